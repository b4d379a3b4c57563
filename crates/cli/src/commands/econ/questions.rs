//! The questions about prices, costs and pay.

use super::inputs::{RateArgs, TariffArgs, catalogue, refused, share, usd};
use crate::{
    answer::{self, today},
    args::Global,
    exit::{Exit, Failure},
    output::Output,
    session::Session,
};
use clap::Args;
use econ::{
    amount::{Amount, Currency},
    breakeven::{self, Pay, Residual},
    catalogue::Catalogue,
    checkpoint::Habit,
    compare::{self, Extra, LiveOffer, Reliability, Terms},
    date::AsOf,
    energy, miner,
    money::Usd,
    rates, rent_or_mine, swarm,
};
use node::{config_file::Span, provider::pricing};
use rust_decimal::Decimal;

/// What a machine costs.
#[derive(Debug, Args)]
struct MachineArgs {
    /// Machines of `grist econ catalog show hardware` [default: all of them]
    #[arg(value_name = "HARDWARE")]
    hardware: Vec<String>,
    #[command(flatten)]
    tariff: TariffArgs,
    /// What it draws at work, instead of the catalogue's figure
    #[arg(long, allow_negative_numbers = true)]
    watts: Option<Decimal>,
    /// What it draws when idle
    #[arg(long, value_name = "WATTS", allow_negative_numbers = true)]
    idle_watts: Option<Decimal>,
    /// What it costs to buy, in dollars, instead of the catalogue's figure
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    hardware_usd: Option<Decimal>,
    /// What it can be sold for in the end: dollars, or a share of the price such as 40%
    #[arg(long, value_name = "USD|SHARE", value_parser = residual)]
    residual: Option<Residual>,
    /// How long it is used [default: 3 years, by the catalogue]
    #[arg(long, value_name = "YEARS", allow_negative_numbers = true)]
    life: Option<Decimal>,
    /// The share of its hours that earn, such as 45% [default: half, by the catalogue]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    utilization: Option<Decimal>,
    #[command(flatten)]
    rate: RateArgs,
}

impl MachineArgs {
    fn question(self) -> breakeven::Question {
        breakeven::Question {
            hardware: self.hardware,
            tariff: self.tariff.given().unwrap_or_default(),
            watts: self.watts,
            idle_watts: self.idle_watts,
            price_usd: self.hardware_usd.map(Usd),
            residual: self.residual,
            life_years: self.life,
            utilization: self.utilization,
            bitcoin: self.rate.rate(),
            pay: None,
        }
    }
}

fn residual(text: &str) -> Result<Residual, String> {
    if text.trim().ends_with('%') {
        return share(text).map(Residual::Share);
    }
    text.trim()
        .parse()
        .map(|usd| Residual::Usd(Usd(usd)))
        .map_err(|_| "write dollars, or a share such as 40%".into())
}

/// `grist econ breakeven`.
#[derive(Debug, Args)]
pub(super) struct BreakevenArgs {
    #[command(flatten)]
    machine: MachineArgs,
    /// What an hour of work is paid, such as `0.17usd` or `300sat`: tells at which tariff that breaks even
    #[arg(long, value_name = "AMOUNT")]
    price: Option<Amount>,
}

/// What an hour of a machine has to bring.
pub(super) fn breakeven(
    args: BreakevenArgs,
    csv: bool,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let catalogue = catalogue(global)?;
    let pay = args.price.map(|amount| pay(&amount, &catalogue)).transpose()?;
    let question = breakeven::Question { pay, ..args.machine.question() };
    answer::print(&breakeven::ask(&question, &catalogue).map_err(refused)?, csv, output)
}

/// A pay in satoshi stays one, so that the answer can turn it into dollars by the rate that it was given.
fn pay(amount: &Amount, catalogue: &Catalogue) -> Result<Pay, Failure> {
    match amount.currency {
        Currency::Sat => Ok(Pay::SatsPerHour(amount.value)),
        Currency::Usd | Currency::Stablecoin(_) | Currency::Btc | Currency::Msat | Currency::Token(_) => {
            usd(amount, catalogue).map(Pay::UsdPerHour)
        }
    }
}

/// `grist econ rates`.
#[derive(Debug, Args)]
pub(super) struct RatesArgs {
    #[command(flatten)]
    machine: MachineArgs,
    /// The share of hours that markets keep a machine busy, lowest and highest [default: 30%-60%, by the catalogue]
    #[arg(long, value_name = "LOW-HIGH", value_parser = shares)]
    realistic: Option<(Decimal, Decimal)>,
    /// What markets keep whose fee nobody states [default: their prices stay as buyers pay them]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    unknown_fee: Option<Decimal>,
    /// What makes it worth your time, in satoshi an hour
    #[arg(long, value_name = "SATS", allow_negative_numbers = true)]
    worth: Option<Decimal>,
}

fn shares(text: &str) -> Result<(Decimal, Decimal), String> {
    let (low, high) = text.split_once('-').ok_or("write a range such as 30%-60%")?;
    Ok((share(low)?, share(high)?))
}

/// What a network must pay, and what markets do.
pub(super) fn rates(args: RatesArgs, csv: bool, global: &Global, output: &Output) -> Result<(), Failure> {
    let question = rates::Question {
        costs: args.machine.question(),
        realistic: args.realistic,
        unknown_fee: args.unknown_fee,
        worth_sats_per_hour: args.worth,
    };
    answer::print(&rates::ask(&question, &catalogue(global)?).map_err(refused)?, csv, output)
}

/// `grist econ compare`.
#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// The accelerator: `A100` means every A100
    #[arg(long)]
    gpu: String,
    /// How many
    #[arg(long, default_value_t = 1, value_name = "N")]
    count: u32,
    /// For how many hours
    #[arg(long, default_value = "1", allow_negative_numbers = true)]
    hours: Decimal,
    /// Only these: on-demand, reserved, spot, network, live
    #[arg(long, value_delimiter = ',', value_name = "TERMS")]
    terms: Vec<Terms>,
    /// Data that leaves the cloud, in GB
    #[arg(long, value_name = "GB", default_value = "0", allow_negative_numbers = true)]
    egress: Decimal,
    /// Data that is kept there all the time, in GB
    #[arg(long, value_name = "GB", default_value = "0", allow_negative_numbers = true)]
    storage: Decimal,
    /// What a provider takes for a GB that leaves: `AWS=0.09`; may be repeated
    #[arg(long, value_name = "PROVIDER=USD", value_parser = of_provider::<Decimal>)]
    egress_price: Vec<(String, Decimal)>,
    /// What a provider takes for a GB kept for a month: `AWS=0.08`; may be repeated
    #[arg(long, value_name = "PROVIDER=USD", value_parser = of_provider::<Decimal>)]
    storage_price: Vec<(String, Decimal)>,
    /// Hours between interruptions of one machine, of a provider or of terms: `spot=24`; may be repeated
    #[arg(long, value_name = "PROVIDER=HOURS", value_parser = of_provider::<Decimal>)]
    mtbf: Vec<(String, Decimal)>,
    /// How much of the time a provider is there: `Akash=99%`; may be repeated
    #[arg(long, value_name = "PROVIDER=SHARE", value_parser = share_of_provider)]
    availability: Vec<(String, Decimal)>,
    /// How often the work saves its state [default: as often as is best, by Daly]
    #[arg(long, value_name = "TIME")]
    checkpoint_every: Option<Span>,
    /// How long saving takes
    #[arg(long, value_name = "TIME", default_value = "2m")]
    checkpoint_takes: Span,
    /// How long it takes to go on after an interruption
    #[arg(long, value_name = "TIME", default_value = "5m")]
    restart_takes: Span,
    #[command(flatten)]
    rate: RateArgs,
}

fn of_provider<T: std::str::FromStr>(text: &str) -> Result<(String, T), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let value = value.trim().parse().map_err(|_| format!("`{value}` is no number"))?;
    Ok((name.trim().to_owned(), value))
}

fn share_of_provider(text: &str) -> Result<(String, Decimal), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=SHARE")?;
    Ok((name.trim().to_owned(), share(value)?))
}

fn hours(span: Span) -> Decimal {
    Decimal::from(span.0) / Decimal::from(3_600_000)
}

/// What the same work costs elsewhere, and at a market that is named.
pub(super) async fn compare(
    args: CompareArgs,
    csv: bool,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    if args.terms.contains(&Terms::Live) && global.market.is_none() {
        let text = "--terms live shows what a running market offers: name it with --market ADDRESS";
        return Err(Failure::new(Exit::Usage, text));
    }
    let live = if global.market.is_some() { live_offers(global).await? } else { Vec::new() };
    let mut extras: Vec<Extra> = Vec::new();
    for (provider, price) in &args.egress_price {
        extras.push(Extra { egress_usd_per_gb: Some(Usd(*price)), ..no_extra(provider) });
    }
    for (provider, price) in &args.storage_price {
        match extras.iter_mut().find(|extra| extra.provider == *provider) {
            Some(extra) => extra.storage_usd_per_gb_month = Some(Usd(*price)),
            None => extras.push(Extra { storage_usd_per_gb_month: Some(Usd(*price)), ..no_extra(provider) }),
        }
    }
    let interrupted = args.mtbf.iter().map(|(of, hours)| Reliability {
        of: of.clone(),
        mtbf_hours: Some(*hours),
        availability: args.availability.iter().find(|(other, _)| other == of).map(|(_, share)| *share),
    });
    let others = args.availability.iter().filter(|(of, _)| !args.mtbf.iter().any(|(other, _)| other == of));
    let present = others.map(|(of, share)| Reliability {
        of: of.clone(),
        mtbf_hours: None,
        availability: Some(*share),
    });
    let question = compare::Question {
        terms: args.terms.clone(),
        egress_gb: args.egress,
        storage_gb: args.storage,
        reliability: interrupted.chain(present).collect(),
        extras,
        checkpoint: Some(Habit {
            interval_hours: args.checkpoint_every.map(hours),
            cost_hours: hours(args.checkpoint_takes),
            restart_hours: hours(args.restart_takes),
        }),
        live,
        bitcoin: args.rate.rate(),
        ..compare::Question::new(args.gpu.clone(), args.count, args.hours)
    };
    answer::print(&compare::ask(&question, &catalogue(global)?).map_err(refused)?, csv, output)
}

fn no_extra(provider: &str) -> Extra {
    Extra {
        provider: provider.to_owned(),
        egress_usd_per_gb: None,
        storage_usd_per_gb_month: None,
        buyer_fee_rate: None,
    }
}

/// What a market's machines ask for an hour now.
async fn live_offers(global: &Global) -> Result<Vec<LiveOffer>, Failure> {
    let session = Session::open(global).await?;
    let market = session.market.address().to_string();
    let offers = pricing::read_offers(&session.market).await?;
    session.keep_head()?;
    let as_of = AsOf::day(today());
    let live = offers.iter().filter(|offer| offer.is_live);
    Ok(live.filter_map(|offer| LiveOffer::new(&market, offer.offer, &offer.terms, as_of)).collect())
}

/// `grist econ rent-or-mine`.
#[derive(Debug, Args)]
pub(super) struct RentOrMineArgs {
    #[command(flatten)]
    tariff: TariffArgs,
    /// How many cards the owner of many has
    #[arg(long, default_value_t = 10, value_name = "N")]
    cards: u32,
    /// What a card with its machine costs, in dollars, instead of what the sources say
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    build_usd: Option<Decimal>,
    /// What the Bitcoin miner costs, in dollars
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    asic_usd: Option<Decimal>,
    /// What a card draws between rentals
    #[arg(long, value_name = "WATTS", allow_negative_numbers = true)]
    idle_watts: Option<Decimal>,
    /// What a terahash a second earns in a day, in dollars
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    hashprice: Option<Decimal>,
    #[command(flatten)]
    rate: RateArgs,
}

/// The same card mining or rented out.
pub(super) fn rent_or_mine(
    args: RentOrMineArgs,
    csv: bool,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let usual = rent_or_mine::Question::default();
    let question = rent_or_mine::Question {
        home_tariff: args.tariff.given().unwrap_or(usual.home_tariff),
        cards: args.cards,
        build_usd: args.build_usd.map(Usd),
        asic_usd: args.asic_usd.map(Usd),
        idle_watts: args.idle_watts,
        hashprice_usd: args.hashprice,
        bitcoin: args.rate.rate(),
    };
    answer::print(&rent_or_mine::ask(&question, &catalogue(global)?).map_err(refused)?, csv, output)
}

/// `grist econ miner`.
#[derive(Debug, Args)]
pub(super) struct MinerArgs {
    /// The network, as `grist econ catalog show networks` calls it
    #[arg(long, default_value = "Bittensor")]
    network: String,
    /// What a token costs, in dollars
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    token_usd: Option<Decimal>,
    /// Prices to look at as it falls [default: 100, 75, 50, 25 and 10 % of it]
    #[arg(long, value_delimiter = ',', value_name = "USD")]
    prices: Vec<Decimal>,
    /// Tokens emitted in a day, over all subnets
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    emission: Option<Decimal>,
    /// The share of the emission that the subnet gets [default: all get the same]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    subnet_share: Option<Decimal>,
    /// How many miners share it [default: by the catalogue]
    #[arg(long, value_name = "N")]
    slots: Option<u32>,
    /// How skewed rewards are: the exponent of rank and size, 0 for even
    #[arg(long, default_value = "1", allow_negative_numbers = true)]
    exponent: Decimal,
    /// What a rented machine costs in a day, in dollars [default: 50-200, by the sources]
    #[arg(long, value_name = "LOW-HIGH", value_parser = dollars)]
    cloud: Option<(Usd, Usd)>,
    /// What a machine of your own costs in a day, in dollars [default: 5-15, by the sources]
    #[arg(long, value_name = "LOW-HIGH", value_parser = dollars)]
    own: Option<(Usd, Usd)>,
}

fn dollars(text: &str) -> Result<(Usd, Usd), String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let usd = |text: &str| text.trim().parse().map(Usd).map_err(|_| "write dollars such as 5-15".to_owned());
    Ok((usd(low)?, usd(high)?))
}

/// What a miner earns.
pub(super) fn miner(args: MinerArgs, csv: bool, global: &Global, output: &Output) -> Result<(), Failure> {
    let question = miner::Question {
        network: args.network,
        token_usd: args.token_usd,
        prices_usd: args.prices,
        emission_per_day: args.emission,
        subnet_share: args.subnet_share,
        slots: args.slots,
        exponent: args.exponent,
        cloud_usd_per_day: args.cloud,
        own_usd_per_day: args.own,
    };
    answer::print(&miner::ask(&question, &catalogue(global)?).map_err(refused)?, csv, output)
}

/// `grist econ swarm`.
#[derive(Debug, Args)]
pub(super) struct SwarmArgs {
    /// How many peers
    #[arg(long, value_name = "N")]
    peers: u32,
    /// What each gets for an hour
    #[arg(long, value_name = "SATS", allow_negative_numbers = true)]
    sats_per_hour: Decimal,
    /// What a peer is: a machine of `grist econ catalog show hardware`
    #[arg(long, value_name = "ID")]
    hardware: Option<String>,
    #[command(flatten)]
    tariff: TariffArgs,
    /// Gradients that a peer sends in an hour
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    gradients_per_hour: Option<Decimal>,
    /// The share of them that is accepted [default: all of them]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    acceptance: Option<Decimal>,
    /// How fast a peer is beside an accelerator, as you measured it: `A100=4%`; may be repeated
    #[arg(long, value_name = "GPU=SHARE", value_parser = share_of_provider)]
    speed: Vec<(String, Decimal)>,
    /// Accelerators to compare with [default: A100,H100]
    #[arg(long, value_delimiter = ',', value_name = "GPU")]
    beside: Vec<String>,
    #[command(flatten)]
    rate: RateArgs,
}

/// What a coordinator pays a swarm.
pub(super) fn swarm(args: SwarmArgs, csv: bool, global: &Global, output: &Output) -> Result<(), Failure> {
    let usual = swarm::Question::new(args.peers, args.sats_per_hour);
    let question = swarm::Question {
        hardware: args.hardware.unwrap_or(usual.hardware),
        tariff: args.tariff.given().unwrap_or(usual.tariff),
        gradients_per_hour: args.gradients_per_hour,
        acceptance: args.acceptance,
        speeds: args.speed.into_iter().map(|(gpu, share)| swarm::Speed { gpu, share }).collect(),
        rivals: if args.beside.is_empty() { usual.rivals } else { args.beside },
        bitcoin: args.rate.rate(),
        ..swarm::Question::new(args.peers, args.sats_per_hour)
    };
    answer::print(&swarm::ask(&question, &catalogue(global)?).map_err(refused)?, csv, output)
}

/// `grist econ energy`.
#[derive(Debug, Args)]
pub(super) struct EnergyArgs {
    /// Machines of `grist econ catalog show benchmarks` [default: all of them]
    #[arg(value_name = "HARDWARE")]
    hardware: Vec<String>,
    /// Only workloads with these words
    #[arg(long, value_name = "WORDS")]
    workload: Option<String>,
    #[command(flatten)]
    tariff: TariffArgs,
    #[command(flatten)]
    rate: RateArgs,
}

/// Work for a joule, and for a satoshi.
pub(super) fn energy(args: EnergyArgs, csv: bool, global: &Global, output: &Output) -> Result<(), Failure> {
    let question = energy::Question {
        hardware: args.hardware,
        workload: args.workload,
        tariff: args.tariff.given().unwrap_or_default(),
        bitcoin: args.rate.rate(),
        own: Vec::new(),
    };
    answer::print(&energy::ask(&question, &catalogue(global)?).map_err(refused)?, csv, output)
}
