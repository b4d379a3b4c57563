//! The questions about time: what may come of a machine, what has become of a network.

use super::inputs::{RateArgs, TariffArgs, catalogue, refused, share, usd};
use crate::{
    answer::{self, today},
    args::Global,
    commands::journal,
    exit::{Exit, Failure},
    home::read_named,
    output::Output,
    session::Session,
};
use clap::{Args, ValueEnum};
use econ::{
    amount::Amount,
    answer::Provenance,
    catalogue::Catalogue,
    date::AsOf,
    money::{BtcRate, Usd},
    network::{self, Activity, History},
    own_machine::{self, Meter, Reading, read_powermetrics},
    simulate::{self, Conversion, Halving, Payout},
};
use market::{id::MachineId, units::Msat};
use node::{
    api::KeyView,
    config_file::{Money, Span},
    provider::power,
    venue::replay,
};
use rust_decimal::Decimal;
use std::path::{Path, PathBuf};

/// The largest file of figures or readings, in bytes.
const FIGURES_BYTES_MAX: u64 = 16 << 20;

/// `grist econ simulate`.
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// A machine of `grist econ catalog show hardware`
    #[arg(value_name = "HARDWARE", default_value = "rtx4090-system")]
    hardware: String,
    #[command(flatten)]
    tariff: TariffArgs,
    /// By what fraction electricity gets dearer each year
    #[arg(long, value_name = "SHARE", value_parser = share, allow_hyphen_values = true, default_value = "0")]
    tariff_drift: Decimal,
    /// What it draws at work, instead of the catalogue's figure
    #[arg(long, allow_negative_numbers = true)]
    watts: Option<Decimal>,
    /// What it draws while it waits
    #[arg(long, value_name = "WATTS", default_value = "0", allow_negative_numbers = true)]
    idle_watts: Decimal,
    /// What it costs, in dollars, instead of the catalogue's figure; 0 for a machine that is there already
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    hardware_usd: Option<Decimal>,
    /// What it is sold for at the end, in dollars [default: it loses its price evenly over its life]
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    residual_usd: Option<Decimal>,
    /// What renters pay for an hour, such as `0.17usd` or `300sat` [default: the lowest typical price of the catalogue's
    /// markets whose fee is known]
    #[arg(long, value_name = "AMOUNT")]
    price: Option<Amount>,
    /// What the market keeps [default: the fee of the market whose price is taken; nothing beside --price]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    fee: Option<Decimal>,
    /// By what fraction that price is expected to change in a year
    #[arg(long, value_name = "SHARE", value_parser = share, allow_hyphen_values = true, default_value = "0")]
    price_drift: Decimal,
    /// How much it varies in a year: the standard deviation of its logarithm
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "40%")]
    price_volatility: Decimal,
    /// The month from which pay is halved for good
    #[arg(long, value_name = "MONTH")]
    halving: Option<u32>,
    /// How likely the halving comes at all
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "100%", requires = "halving")]
    halving_probability: Decimal,
    /// The mean share of the hours that earn [default: the middle of what is realistic, by the catalogue]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    utilization: Option<Decimal>,
    /// How closely months keep to that mean: 2 hardly, 1000 exactly
    #[arg(long, value_name = "K", default_value = "20", allow_negative_numbers = true)]
    concentration: Decimal,
    /// What is paid each month come what may, in dollars
    #[arg(long, value_name = "USD", default_value = "0", allow_negative_numbers = true)]
    fixed: Decimal,
    /// How often it breaks in a year
    #[arg(long, value_name = "N", default_value = "0.5", allow_negative_numbers = true)]
    failures: Decimal,
    /// What a repair costs, in dollars
    #[arg(long, value_name = "USD", default_value = "150", allow_negative_numbers = true)]
    repair: Decimal,
    /// How many days a repair takes
    #[arg(long, value_name = "DAYS", default_value = "7", allow_negative_numbers = true)]
    downtime: Decimal,
    /// What pay comes in
    #[arg(long, value_enum, default_value = "dollars")]
    paid_in: PaidIn,
    /// By what fraction the token's price is expected to change in a year
    #[arg(long, value_name = "SHARE", value_parser = share, allow_hyphen_values = true, default_value = "0")]
    token_drift: Decimal,
    /// How much the token's price varies in a year: the standard deviation of its logarithm
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "100%")]
    token_volatility: Decimal,
    /// How many months to look ahead
    #[arg(long, value_name = "N", default_value_t = 12)]
    months: u32,
    /// How many paths to draw
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    paths: u32,
    /// The same seed gives the same answer
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// What pay comes in.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum PaidIn {
    /// Dollars, or something that keeps its value in dollars.
    Dollars,
    /// A token, sold every day.
    TokenSoldDaily,
    /// A token, kept to the end.
    TokenHeld,
}

/// What may come of a machine.
pub(super) fn simulate(
    args: SimulateArgs,
    csv: bool,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let catalogue = catalogue(global)?;
    let usd_per_hour = args.price.as_ref().map(|amount| usd(amount, &catalogue)).transpose()?;
    let token =
        |conversion| Payout::Token { drift: args.token_drift, volatility: args.token_volatility, conversion };
    let question = simulate::Question {
        hardware: Some(args.hardware),
        gpu: None,
        tariff: args.tariff.given().unwrap_or_default(),
        tariff_drift: args.tariff_drift,
        watts: args.watts,
        idle_watts: args.idle_watts,
        hardware_usd: args.hardware_usd.map(Usd),
        residual_usd: args.residual_usd.map(Usd),
        usd_per_hour,
        fee_rate: args.fee,
        price_drift: args.price_drift,
        price_volatility: args.price_volatility,
        halving: args.halving.map(|month| Halving { month, probability: args.halving_probability }),
        utilization: args.utilization,
        utilization_concentration: args.concentration,
        fixed_usd_per_month: Usd(args.fixed),
        failures_per_year: args.failures,
        repair_usd: Usd(args.repair),
        downtime_days: args.downtime,
        payout: match args.paid_in {
            PaidIn::Dollars => Payout::Dollars,
            PaidIn::TokenSoldDaily => token(Conversion::Daily),
            PaidIn::TokenHeld => token(Conversion::Held),
        },
        months: args.months,
        paths: args.paths,
        seed: args.seed,
    };
    answer::print(&simulate::ask(&question, &catalogue).map_err(refused)?, csv, output)
}

/// `grist econ network`.
#[derive(Debug, Args)]
pub(super) struct NetworkArgs {
    /// The data folder of a Gristmill market; without it, the public log of --market
    #[arg(long, value_name = "FOLDER")]
    journal: Option<PathBuf>,
    /// Figures of other networks (CSV; docs/economics.md says how); may be repeated
    #[arg(long, value_name = "FILE")]
    figures: Vec<PathBuf>,
    #[command(flatten)]
    rate: RateArgs,
}

/// The questions to ask of any network.
pub(super) async fn network(
    args: NetworkArgs,
    csv: bool,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let catalogue = catalogue(global)?;
    let btc = rate(&args.rate, &catalogue)?;
    let mut activities = Vec::new();
    if let Some(folder) = &args.journal {
        activities.push(of_journal(folder, &btc)?);
    } else if global.market.is_some() || args.figures.is_empty() {
        let session = Session::open(global).await?;
        let history = public_history(&session, output).await?;
        let name = session.market.address().to_string();
        activities.push(history.activity(&name, &btc, provenance("its public log")));
    }
    activities.extend(figures(&args.figures)?);
    answer::print(&network::ask(activities, &catalogue), csv, output)
}

/// What files say about networks.
pub(super) fn figures(files: &[PathBuf]) -> Result<Vec<Activity>, Failure> {
    let mut activities = Vec::new();
    for file in files {
        let text = read_named(file, FIGURES_BYTES_MAX)?;
        let read = network::read_csv(&text, today());
        activities.extend(read.map_err(|e| Failure::of(Exit::BadInput, e).during(file.display()))?);
    }
    Ok(activities)
}

fn rate(args: &RateArgs, catalogue: &Catalogue) -> Result<BtcRate, Failure> {
    match args.rate() {
        Some(rate) => Ok(rate),
        None => catalogue.btc_rate().map_err(|e| Failure::of(Exit::Unexpected, e)),
    }
}

fn provenance(source: &str) -> Provenance {
    Provenance { as_of: AsOf::day(today()), source: source.to_owned() }
}

fn of_journal(folder: &Path, btc: &BtcRate) -> Result<Activity, Failure> {
    let folder = journal::journal_folder(folder)?;
    let mut history = History::default();
    replay(&folder, journal::venue_of(&folder)?, |event| history.see(event))
        .map_err(|e| Failure::of(Exit::NotVerified, e))?;
    Ok(history.activity(&folder.display().to_string(), btc, provenance("its journal")))
}

/// Everything that a market's public log tells.
async fn public_history(session: &Session, output: &Output) -> Result<History, Failure> {
    let size = session.market.log_head().await?.head.size;
    let mut history = History::default();
    let bar = output.bars().add(indicatif::ProgressBar::new(size));
    let mut read = 0;
    while read < size {
        let entries = session.market.log_entries(read).await?;
        if entries.is_empty() {
            let why = format!("the market gave {read} of the {size} entries of its public log");
            return Err(Failure::new(Exit::NotVerified, why));
        }
        entries.iter().for_each(|event| history.see(event));
        read += entries.len() as u64;
        bar.set_position(read);
    }
    bar.finish_and_clear();
    session.keep_head()?;
    Ok(history)
}

/// `grist econ self`.
#[derive(Debug, Args)]
pub(super) struct SelfArgs {
    /// What the machine draws at work, from a meter at the wall; instead of what its own meters say now
    #[arg(long, allow_negative_numbers = true)]
    watts: Option<Decimal>,
    /// What no meter of its own covers: fans, disks, losses of the power supply
    #[arg(long, value_name = "WATTS", default_value = "0", allow_negative_numbers = true)]
    other_watts: Decimal,
    /// What it draws when it waits; 0 where it would be on anyway
    #[arg(long, value_name = "WATTS", default_value = "0", allow_negative_numbers = true)]
    idle_watts: Decimal,
    /// What `powermetrics` printed on a Mac
    #[arg(long, value_name = "FILE", conflicts_with = "watts")]
    powermetrics: Option<PathBuf>,
    /// How long the processor's energy counters are watched
    #[arg(long, value_name = "TIME", default_value = "2s")]
    watch: Span,
    /// The machine at the market [default: the one whose key is on this computer]
    #[arg(long, value_name = "MACHINE", conflicts_with_all = ["earned", "hours"])]
    machine: Option<MachineId>,
    /// What it earned, instead of asking a market
    #[arg(long, value_name = "AMOUNT", requires = "hours")]
    earned: Option<Money>,
    /// In how many hours of work it earned that
    #[arg(long, value_name = "HOURS", requires = "earned", allow_negative_numbers = true)]
    hours: Option<Decimal>,
    #[command(flatten)]
    tariff: TariffArgs,
    #[command(flatten)]
    rate: RateArgs,
}

/// What a machine did, whoever says so.
struct Did {
    working_hours: Decimal,
    waiting_hours: Decimal,
    earned: Msat,
}

/// What this machine draws, earned and keeps.
pub(super) async fn own_machine(
    args: SelfArgs,
    csv: bool,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let readings = readings(&args, output).await?;
    let did = match (args.earned, args.hours) {
        (Some(earned), Some(hours)) => {
            Did { working_hours: hours, waiting_hours: Decimal::ZERO, earned: earned.0 }
        }
        _ => did_here(args.machine, global, output).await?,
    };
    let question = own_machine::Question {
        readings,
        other_watts: args.other_watts,
        idle_watts: args.idle_watts,
        working_hours: did.working_hours,
        waiting_hours: did.waiting_hours,
        earned: did.earned,
        tariff: args.tariff.given().unwrap_or_default(),
        bitcoin: args.rate.rate(),
    };
    answer::print(&own_machine::ask(&question, &catalogue(global)?).map_err(refused)?, csv, output)
}

/// What the machine draws: what was given, else what its meters say.
async fn readings(args: &SelfArgs, output: &Output) -> Result<Vec<Reading>, Failure> {
    if let Some(watts) = args.watts {
        return Ok(vec![Reading::given(watts)]);
    }
    if let Some(file) = &args.powermetrics {
        let text = read_named(file, FIGURES_BYTES_MAX)?;
        let watts = read_powermetrics(&text).map_err(|e| Failure::of(Exit::BadInput, e))?;
        return Ok(vec![Reading { part: "the chip".into(), meter: Meter::Powermetrics, watts }]);
    }
    let found = power::read(args.watch.duration()).await;
    for why in &found.silent {
        output.note(why);
    }
    if found.readings.is_empty() {
        let why = "nothing in this machine says what it draws: give --watts";
        return Err(Failure::new(Exit::Usage, why));
    }
    Ok(found.readings)
}

/// What the market's public log tells of a machine.
async fn did_here(machine: Option<MachineId>, global: &Global, output: &Output) -> Result<Did, Failure> {
    let session = Session::open(global).await?;
    let machine = match machine {
        Some(machine) => machine,
        None => machine_here(&session).await?,
    };
    let history = public_history(&session, output).await?.machine(machine);
    let unknown = || Failure::new(Exit::Usage, format!("this market's public log has no {machine}"));
    let history = history.ok_or_else(unknown)?;
    let waiting_hours = (history.registered_hours - history.earning_hours).max(Decimal::ZERO);
    Ok(Did { working_hours: history.earning_hours, waiting_hours, earned: history.earned })
}

/// The machine whose key is on this computer, where it is the only one.
async fn machine_here(session: &Session) -> Result<MachineId, Failure> {
    let mut found = Vec::new();
    for file in session.home.machine_keys()? {
        let key = crate::keys::read(&file)?.public();
        if let Some(KeyView::Machine { machine, .. }) = session.market.key(&key).await? {
            found.push(machine);
        }
    }
    let advice = "name it with --machine, or give --earned and --hours";
    match found.as_slice() {
        [machine] => Ok(*machine),
        [] => Err(Failure::new(Exit::Usage, "this computer is no machine of this market").advise(advice)),
        several => {
            let names: Vec<String> = several.iter().map(MachineId::to_string).collect();
            let why = format!("this computer has keys of several machines: {}", names.join(", "));
            Err(Failure::new(Exit::Usage, why).advise(advice))
        }
    }
}
