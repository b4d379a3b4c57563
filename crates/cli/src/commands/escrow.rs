//! `grist escrow`: how the money of a job should wait for results.

use crate::{
    args::Global,
    exit::{Exit, Failure},
    home::Home,
    output::{Output, Tone, facts, table},
    session::{self, Session},
};
use clap::{Args, Subcommand};
use market::{
    funding::{
        CLAIM_COSTS_PER_SLICE, DUST_LIMIT, FEE_SHARE_PPM, Funding,
        plan::{Plan, Work, Worked, plan},
    },
    rules::Rules,
    units::Msat,
};
use node::{
    buyer::JobFile,
    config_file::{Money, Span},
};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use std::path::{Path, PathBuf};

/// The longest that a task takes when no job file says so, in milliseconds.
const TIMEOUT_MS: u64 = 600_000;

/// `grist escrow …`.
#[derive(Debug, Subcommand)]
pub(crate) enum EscrowCommand {
    /// Say which way of paying suits a job, and what each side can lose in every way
    Plan(PlanArgs),
}

/// `grist escrow plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The job file: its max_price, and the time that its tasks may take in its slots
    #[arg(value_name = "JOB.TOML", required_unless_present = "amount")]
    job: Option<PathBuf>,
    /// What the work may cost, instead of max_price
    #[arg(long, value_name = "AMOUNT")]
    amount: Option<Money>,
    /// How long it takes
    #[arg(long, value_name = "HOURS", required_unless_present = "job")]
    hours: Option<Decimal>,
    /// What claiming one payment on the chain costs today [default: what the market says]
    #[arg(long, value_name = "AMOUNT")]
    claim_cost: Option<Money>,
}

/// Runs the command.
pub(crate) async fn run(command: &EscrowCommand, global: &Global, output: &Output) -> Result<(), Failure> {
    let EscrowCommand::Plan(args) = command;
    let work = work(args, global).await?;
    let plan = plan(&Rules::RECOMMENDED, work).map_err(|e| Failure::of(Exit::Usage, e))?;
    output.result(&plan, || told(&plan, output))
}

async fn work(args: &PlanArgs, global: &Global) -> Result<Work, Failure> {
    let file = args.job.as_deref().map(read).transpose()?;
    let timeout = file.as_ref().map_or(Span(TIMEOUT_MS), |file| file.limits.timeout);
    let at_most_ms = file.as_ref().map(|file| {
        let rounds = u64::from(file.tasks).div_ceil(u64::from(file.slots.max(1)));
        rounds.saturating_mul(timeout.0)
    });
    let given_ms = args.hours.map(|hours| hours.saturating_mul(Decimal::from(3_600_000)).to_u64());
    let duration_ms = given_ms.map_or(at_most_ms, |given| Some(given.unwrap_or(0)));
    let amount = args.amount.or(file.as_ref().map(|file| file.max_price));
    Ok(Work {
        amount_msat: amount.map_or(Msat::ZERO, |money| money.0),
        duration_ms: duration_ms.unwrap_or(0),
        timeout_ms: timeout.0,
        claim_cost_msat: claim_cost(args, global).await?,
    })
}

fn read(path: &Path) -> Result<JobFile, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::of(Exit::BadInput, e));
    let file = text.and_then(|text| JobFile::parse(&text).map_err(|e| Failure::of(Exit::BadInput, e)));
    file.map_err(|e| e.during(path.display()))
}

/// What a claim costs: as the person says, or the market.
async fn claim_cost(args: &PlanArgs, global: &Global) -> Result<Msat, Failure> {
    if let Some(cost) = args.claim_cost {
        return Ok(cost.0);
    }
    if session::address(global, &Home::of(global)?).is_err() {
        let why = "what does claiming a payment on the chain cost today? Name a market that says so with --market, or give \
                   --claim-cost AMOUNT";
        return Err(Failure::new(Exit::Usage, why));
    }
    Ok(Session::open(global).await?.market.info().await?.claim_cost_msat)
}

/// A way that suits results, not sums: no amount makes it the right one.
const DECRYPT: &str = "\
pay to decrypt: for results that replicas vouch for and that have a price by the task, whatever the amount
the market has a deposit of a quarter of each price, and what replicas cost; the provider is paid when its result is verified.
Fair up to its bond: a key that opens something else is paid back out of that, and no further.
job file         [funding] decrypt = true
";

fn told(plan: &Plan, output: &Output) -> String {
    let Plan { work, chosen, least_payment_msat, least_slice_msat, ways } = plan;
    let enforced = format!("{DUST_LIMIT} is the least that the chain enforces");
    let share = format!("routing stays below {} %", FEE_SHARE_PPM as f64 / 1e4);
    let head = facts([
        ("work", format!("{} in {:.1} hours", work.amount_msat, work.duration_ms as f64 / 3.6e6)),
        ("claim cost", format!("{} for a payment on the chain, today", work.claim_cost_msat)),
        ("least payment", format!("{least_payment_msat}: {enforced}, and {share}")),
        (
            "least slice",
            format!("{least_slice_msat}: {CLAIM_COSTS_PER_SLICE} claims, and no less than the least payment"),
        ),
        ("take", output.tone(Tone::Good, &format!("a {chosen}"))),
    ]);
    let ways: Vec<String> = ways.iter().map(|way| told_way(way, output)).collect();
    format!("{head}\n{}\n{DECRYPT}", ways.join("\n"))
}

fn told_way(way: &Worked, output: &Output) -> String {
    let title = output.tone(Tone::Strong, &way.way.to_string());
    let verdict = match &way.not_chosen {
        None => "this one".to_owned(),
        Some(why) => format!("not this one: {why}"),
    };
    if way.payments == 0 {
        return format!("{title}: {verdict}\n");
    }
    let payments = format!("{} of {}, routing at most {}", way.payments, way.payment_msat, way.fees_max_msat);
    let mut lines = vec![
        ("payments", payments),
        ("at the market", format!("at most {} at any time", way.at_market_msat)),
    ];
    if let Some(blocks) = way.expiry_blocks {
        lines.push(("expiry", format!("{blocks} blocks, about {:.1} days", blocks as f64 / 144.0)));
    }
    if way.periods > 1 {
        lines.push(("leases", format!("{}, one after the other, each funded by itself", way.periods)));
    }
    lines.extend(way.funding.map(|funding| ("job file", job_file_line(funding))));
    let rows = way.exposures.iter().map(|exposure| {
        let (who, to) = (exposure.who.to_string(), exposure.to.to_string());
        vec![who, to, exposure.most_msat.to_string(), exposure.when.to_owned()]
    });
    let losses = table(["WHO LOSES", "TO", "AT MOST", "WHEN"], rows);
    format!("{title}: {verdict}\n{}{losses}", facts(lines))
}

fn job_file_line(funding: Funding) -> String {
    match funding {
        Funding::Session { prepay_msat } => format!("[funding] session = \"{prepay_msat}\""),
        Funding::Hold { slice_msat, slices } => {
            format!("[funding] hold = {{ slice = \"{slice_msat}\", slices = {slices} }}")
        }
        Funding::Decrypt { .. } => "[funding] decrypt = true".to_owned(),
    }
}
