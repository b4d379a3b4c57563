//! `grist offers`: what machines sell, and why they have work or not.

use crate::{
    args::Global,
    exit::{Exit, Failure},
    output::{Output, facts, table},
    session::{Session, strange},
    text,
};
use clap::{Args, Subcommand};
use market::{
    command::Command,
    id::{MachineId, OfferId, OrderId, PartyId},
    name::Name,
    offer::{OfferRole, OfferTerms},
    reply::Reply,
    resources::{Attributes, Isolation, Resources},
    units::Rate,
};
use node::{
    api::OfferView,
    client::{OfferNews, OfferQuery},
    config_file::{ByteSize, Cores, Money, Span},
};
use serde_json::json;

/// `grist offers`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct OffersArgs {
    #[command(subcommand)]
    command: Option<OffersCommand>,
    #[command(flatten)]
    list: ListArgs,
    /// Why offers do or do not match this order of yours
    #[arg(long, value_name = "ORDER")]
    why: Option<OrderId>,
}

/// `grist offers …`.
#[derive(Debug, Subcommand)]
pub(crate) enum OffersCommand {
    /// List standing offers
    List(ListArgs),
    /// Show an offer
    Show {
        /// The offer
        offer: OfferId,
    },
    /// Post an offer by hand; `grist provide` posts its own
    Post(PostArgs),
    /// Withdraw an offer; leases that run go on
    Withdraw {
        /// The offer
        offer: OfferId,
    },
    /// Why an offer has no work, and what would have won
    WhyIdle {
        /// The offer
        offer: OfferId,
    },
}

/// Which offers.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those of this party
    #[arg(long, value_name = "PARTY")]
    party: Option<PartyId>,
    /// Only those of this machine
    #[arg(long, value_name = "MACHINE")]
    machine: Option<MachineId>,
    /// Only those of your own party
    #[arg(long, conflicts_with = "party")]
    mine: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// Go on and print each offer that changes, one a line; a market may charge for that
    #[arg(long, conflicts_with_all = ["party", "machine", "mine"])]
    follow: bool,
}

/// `grist offers post`.
#[derive(Debug, Args)]
pub(crate) struct PostArgs {
    /// The machine that sells
    machine: MachineId,
    #[command(flatten)]
    price: PriceArgs,
    /// CPU cores of one lease
    #[arg(long, value_name = "CORES", default_value = "1")]
    cpus: Cores,
    /// Memory of one lease
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    memory: ByteSize,
    /// Disk space of one lease
    #[arg(long, value_name = "SIZE", default_value = "0")]
    disk: ByteSize,
    /// Where the machine stands
    #[arg(long, value_name = "NAME", default_value = "anywhere")]
    region: Name,
    /// Its hardware class
    #[arg(long, value_name = "NAME")]
    class: Name,
    /// Runs hidden replicas only
    #[arg(long)]
    audit: bool,
    /// The longest lease that it takes
    #[arg(long, value_name = "TIME", default_value = "24h")]
    lease_max: Span,
}

/// A price in one of three units.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct PriceArgs {
    /// Price of an accepted task
    #[arg(long, value_name = "AMOUNT")]
    price_per_task: Option<Money>,
    /// Price of an hour
    #[arg(long, value_name = "AMOUNT")]
    price_per_hour: Option<Money>,
    /// Price of 10⁹ instructions
    #[arg(long, value_name = "AMOUNT")]
    price_per_giga_fuel: Option<Money>,
}

impl PriceArgs {
    fn rate(&self) -> Option<Rate> {
        let task = self.price_per_task.map(|money| Rate::per_task(money.0));
        let hour = self.price_per_hour.map(|money| Rate::per_hour(money.0));
        let fuel = self.price_per_giga_fuel.map(|money| Rate::per_giga_fuel(money.0));
        task.or(hour).or(fuel)
    }
}

/// Runs the command.
pub(crate) async fn run(args: &OffersArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let session = Session::open(global).await?;
    if let Some(order) = args.why {
        return why_order(&session, order, output).await;
    }
    match &args.command {
        None => list(&session, &args.list, output).await,
        Some(OffersCommand::List(args)) => list(&session, args, output).await,
        Some(OffersCommand::Show { offer }) => show(&session, *offer, output).await,
        Some(OffersCommand::Post(args)) => post(&session, args, output).await,
        Some(OffersCommand::Withdraw { offer }) => {
            let party = session.party().await?;
            session.submit(&party.secret, Command::WithdrawOffer { offer: *offer }).await?;
            output
                .result(&json!({ "offer": offer }), || format!("{offer} is withdrawn; leases that run go on"))
        }
        Some(OffersCommand::WhyIdle { offer }) => {
            let why = session.market.why_idle(*offer).await?;
            output.result(&why, || why.to_string())
        }
    }
}

/// Why offers do or do not match an order.
pub(crate) async fn why_order(session: &Session, order: OrderId, output: &Output) -> Result<(), Failure> {
    let why = session.market.why_order(&session.secret()?, order).await?;
    output.result(&why, || why.to_string())
}

async fn list(session: &Session, args: &ListArgs, output: &Output) -> Result<(), Failure> {
    if args.follow {
        return follow(session, output).await;
    }
    let party = if args.mine { Some(session.party().await?.id) } else { args.party };
    let query = OfferQuery { after: None, limit: Some(args.limit), machine: args.machine, party };
    let offers = session.market.offers(&query).await?;
    output.result(&offers, || offers_table(&offers, output))
}

/// Prints what there is and what changes, until the stream ends.
async fn follow(session: &Session, output: &Output) -> Result<(), Failure> {
    let mut news = session.market.offer_news().await?;
    while let Some(news) = news.next().await {
        match news? {
            OfferNews::Stands(offer) => {
                output.json_line(&offer)?;
                let price = text::rate(&offer.terms.rate, output);
                let state = if offer.is_live { "live" } else { "lost" };
                let free = text::resources(&offer.free);
                output
                    .text(&format!("{}  {}  {price}  {free}  {state}", offer.offer, offer.machine_label))?;
            }
            OfferNews::Gone(offer) => {
                output.json_line(&json!({ "withdrawn": offer }))?;
                output.text(&format!("{offer}  withdrawn"))?;
            }
        }
    }
    Ok(())
}

/// Offers for people.
pub(crate) fn offers_table(offers: &[OfferView], output: &Output) -> String {
    if offers.is_empty() {
        return "no standing offers".to_owned();
    }
    let headers = ["OFFER", "MACHINE", "PARTY", "PRICE", "FREE", "CLASS", "REPUTATION", "BOND", "STATE"];
    table(
        headers,
        offers.iter().map(|offer| {
            let state = match (offer.is_live, offer.terms.role) {
                (false, _) => "lost",
                (true, OfferRole::Work) => "live",
                (true, OfferRole::Audit) => "live, audits",
            };
            vec![
                offer.offer.to_string(),
                offer.machine_label.clone(),
                format!("{} ({})", offer.party_label, offer.party),
                text::rate(&offer.terms.rate, output),
                text::resources(&offer.free),
                offer.terms.class.to_string(),
                text::reputation(offer.reputation_ppm, offer.is_unvetted),
                output.money(offer.bond_msat),
                state.to_owned(),
            ]
        }),
    )
}

async fn show(session: &Session, id: OfferId, output: &Output) -> Result<(), Failure> {
    let Some(offer) = session.market.offer(id).await? else {
        return Err(Failure::new(
            Exit::Refused,
            format!("{id} does not stand: it was withdrawn, or never was"),
        ));
    };
    output.result(&offer, || {
        facts([
            ("offer", offer.offer.to_string()),
            ("machine", format!("{} ({})", offer.machine, offer.machine_label)),
            ("party", format!("{} ({})", offer.party, offer.party_label)),
            ("price", text::rate(&offer.terms.rate, output)),
            ("a lease", text::resources(&offer.terms.resources)),
            ("free", text::resources(&offer.free)),
            ("isolation", text::word(&offer.terms.isolation)),
            ("region", offer.terms.region.to_string()),
            ("class", offer.terms.class.to_string()),
            ("reputation", text::reputation(offer.reputation_ppm, offer.is_unvetted)),
            ("bond", output.money(offer.bond_msat)),
            ("live", if offer.is_live { "yes" } else { "no" }.to_owned()),
        ])
    })
}

async fn post(session: &Session, args: &PostArgs, output: &Output) -> Result<(), Failure> {
    let party = session.party().await?;
    let Some(rate) = args.price.rate() else {
        return Err(Failure::new(Exit::Usage, "give a price"));
    };
    let terms = OfferTerms {
        role: if args.audit { OfferRole::Audit } else { OfferRole::Work },
        rate,
        resources: Resources {
            cpu_milli: args.cpus.0,
            memory_mib: args.memory.0 >> 20,
            disk_mib: args.disk.0 >> 20,
            upload_mbps: 0,
            gpus: None,
        },
        isolation: Isolation::Wasm,
        region: args.region.clone(),
        class: args.class.clone(),
        attributes: Attributes::new(),
        lease_max_ms: args.lease_max.0,
        holds: None,
        sales: None,
    };
    if let Some(flaw) = terms.flaw() {
        return Err(Failure::new(Exit::Usage, flaw));
    }
    let command = Command::PostOffer { machine: args.machine, terms: Box::new(terms) };
    match session.submit(&party.secret, command).await? {
        Reply::Offer(offer) => output.result(&json!({ "offer": offer }), || format!("{offer} stands")),
        other => Err(strange(&other)),
    }
}
