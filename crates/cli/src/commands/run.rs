//! `grist run`: a job file in, results and a receipt out.

mod paying;

use super::results::{self, Outputs};
use crate::{
    answer::today,
    args::Global,
    exit::{Exit, Failure},
    output::{Output, Tone, facts, table},
    screen::{Screen, settlement},
    session::{Party, Session},
    text,
};
use clap::Args;
use econ::{
    catalogue::Catalogue,
    compare::{self, Elsewhere},
};
use indicatif::{ProgressBar, ProgressStyle};
use market::{
    event::{JobOutcome, TaskOutcome},
    funding::Funding,
    id::JobId,
    job::Verification,
    units::Msat,
};
use node::{
    api::{JobView, Quote, QuoteRequest},
    buyer::{BuyError, Buyer, JobFile, JobFileError, News, PreparedJob, agent::Progress},
    config_file::Money,
};
use paying::{PayFrom, PayingArgs};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::json;
use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

/// How long a market that does not answer is waited for while a job runs: as long as it may take to restart.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a detached job lacks: the buyer's links of its audit rounds.
const UNANSWERED: &str = "while nobody follows it, audit rounds wait half a minute for your link, and without it all of their \
                          results are checked, at your cost";

/// `grist run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The job file
    #[arg(value_name = "JOB.TOML")]
    job: PathBuf,
    /// Price the job against the live offers and stop there
    #[arg(long)]
    dry_run: bool,
    /// The most that the whole job may cost, instead of max_price in the job file; never exceeded
    #[arg(long, value_name = "AMOUNT")]
    max_price: Option<Money>,
    /// Where the results go [default: results/JOB]
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Place the job and leave it running
    #[arg(long, short, conflicts_with = "out")]
    detach: bool,
    /// Do not ask before spending
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    paying: PayingArgs,
}

/// Which job's results.
#[derive(Debug, Args)]
pub(crate) struct ResultsArgs {
    /// The job
    pub(crate) job: JobId,
    /// Where the results go [default: results/JOB]
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Which job is followed.
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    results: ResultsArgs,
    #[command(flatten)]
    node: PayFrom,
}

/// Runs a job.
pub(crate) async fn run(args: &RunArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let job = load(args).map_err(|e| wrong_file(&args.job, e))?;
    let from = &args.paying.node;
    let session = Session::open(global).await?;
    let request = QuoteRequest { terms: job.terms.clone(), job: job.spec.clone() };
    let quote = session.market.quote(&request).await?;
    if args.dry_run {
        let elsewhere = elsewhere(&job, &session.home.catalogue()?);
        let priced = PricedRun { quote: &quote, elsewhere: &elsewhere };
        return output.result(&priced, || {
            told_quote(&job, &quote, output) + &paying::told(&job, from) + &told_elsewhere(&elsewhere)
        });
    }
    output.note(&(told_quote(&job, &quote, output) + &paying::told(&job, from)));
    let party = session.party_or_new(output).await?;
    let buyer = buyer(&session, &party)?;
    from.with(buyer, &session, output, async |buyer| buy(args, &session, &party, &buyer, &job, output).await)
        .await
}

/// Places the order and follows its job.
async fn buy(
    args: &RunArgs,
    session: &Session,
    party: &Party,
    buyer: &Buyer,
    job: &PreparedJob,
    output: &Output,
) -> Result<(), Failure> {
    if !args.yes && output.can_ask() {
        let question = format!("Place it, and lock {} for it?", output.money(paying::locked_first(job)));
        if !output.confirm(&question)? {
            return Err(Failure::new(Exit::Usage, "nothing was placed and nothing was spent"));
        }
    }
    paying::afford(session, party, buyer, &args.paying.node, job, output).await?;
    let recovered = buyer.recover().await.map_err(failed)?;
    for error in recovered.unreadable {
        output
            .warn(&format!("an order of an earlier run may have been placed: {error}; see `grist job list`"));
    }
    for earlier in recovered.placed {
        output.warn(&format!(
            "an earlier order was placed after all: follow it with `grist job watch {}`",
            earlier.job
        ));
    }
    upload(buyer, job, output).await?;
    let placed = buyer.place(job).await.map_err(failed)?;
    let interrupt = interrupt();
    session.keep_head()?;
    let json = json!({ "placed": { "order": placed.order, "job": placed.job, "leases": placed.leases } });
    output.json_line(&json)?;
    output.note(&format!("{} is placed as {}", placed.job, placed.order));
    if args.detach {
        if job.spec.verification != Verification::None {
            output.note(&format!("{UNANSWERED}: `grist job watch {}`", placed.job));
        }
        return output.text(&placed.job.to_string());
    }
    let out = args.out.clone().unwrap_or_else(|| default_out(placed.job));
    follow(session, party, buyer, placed.job, &out, interrupt, output).await
}

/// Follows a job that was placed earlier.
pub(crate) async fn watch(session: &Session, args: &WatchArgs, output: &Output) -> Result<(), Failure> {
    let party = session.party().await?;
    let (node, args) = (&args.node, &args.results);
    let out = args.out.clone().unwrap_or_else(|| default_out(args.job));
    let followed =
        async |buyer: Buyer| follow(session, &party, &buyer, args.job, &out, interrupt(), output).await;
    node.with(buyer(session, &party)?, session, output, followed).await
}

/// Fetches what is there, without waiting for the rest.
pub(crate) async fn results(session: &Session, args: &ResultsArgs, output: &Output) -> Result<(), Failure> {
    let party = session.party().await?;
    let job = session.market.job(&party.secret, args.job).await?;
    let tasks = session.market.tasks(&party.secret, args.job).await?;
    let out = args.out.clone().unwrap_or_else(|| default_out(args.job));
    let buyer = buyer(session, &party)?;
    let needs_keys = matches!(job.terms.funding, Some(Funding::Decrypt { .. }));
    let mut outputs = Outputs::new(&out)?;
    let bar = output.bars().add(ProgressBar::new(tasks.len() as u64));
    for view in tasks {
        let sold = job.sales.iter().find(|sale| sale.task == view.task && sale.is_sold());
        if let Some(TaskOutcome::Done { result, .. }) = view.outcome
            && sold.is_some() == needs_keys
        {
            let file = outputs.bundle(view.task);
            buyer.output(args.job, sold, &result, &file).await.map_err(failed)?;
            outputs.arrived(view.task, &result, file);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let summary = outputs.unpack()?;
    let json = json!({ "job": args.job, "out": out, "tasks": job.spec.tasks, "results": summary });
    output.result(&json, || summary.told(&out, job.spec.tasks))
}

fn load(args: &RunArgs) -> Result<PreparedJob, JobFileError> {
    let path = &args.job;
    let mut file = JobFile::read(path)?;
    file.max_price = args.max_price.unwrap_or(file.max_price);
    args.paying.over(&mut file);
    file.prepare(path.parent().unwrap_or(Path::new("")))
}

fn wrong_file(path: &Path, error: JobFileError) -> Failure {
    let exit = match &error {
        JobFileError::Budget { .. }
        | JobFileError::HoldBudget { .. }
        | JobFileError::DecryptBudget { .. } => Exit::Money,
        _ => Exit::BadInput,
    };
    match &error {
        // It names the file itself.
        JobFileError::Read { .. } | JobFileError::File(_) => Failure::of(exit, error),
        _ => Failure::of(exit, error).during(path.display()),
    }
}

/// The price before anything is spent.
fn told_quote(job: &PreparedJob, quote: &Quote, output: &Output) -> String {
    let (spec, terms) = (&job.spec, &job.terms);
    let verified = match &spec.verification {
        Verification::None => "not verified".to_owned(),
        Verification::Replicas { k, n, .. } => format!("{k} of up to {n} parties must agree on each"),
        Verification::Audit { floor_ppm } => {
            format!("at least {} % run again by others", f64::from(*floor_ppm) / 1e4)
        }
    };
    let mut told = facts([
        ("job", format!("{}: {} tasks, {verified}", spec.name, spec.tasks)),
        ("offers", format!("{} match, at most {} are used at once", quote.matching, terms.slots)),
        ("a task", text::amount(quote.task_msat, output)),
        ("expected", text::amount(quote.expected_msat, output)),
        (
            "at most",
            format!(
                "{}; what is not used comes back",
                output.money(Msat(quote.at_most_msat.0.saturating_add(job.holds_max_msat.0)))
            ),
        ),
    ]);
    if let (Some(asked), Some(task)) = (quote.asked_msat, quote.task_msat)
        && asked < task
    {
        told.push_str(&format!(
            "\na second-price auction pays winners the first losing price, and your ceiling where nobody loses: {task} a \
             task, although {asked} is asked; a lower ceiling, fewer slots or price = \"first\" pays less\n"
        ));
    }
    told.push_str(&format!("\n{}\n", text::deterrence(&quote.deterrence)));
    if quote.venue_owes_msat > Msat::ZERO && spec.verification != Verification::None {
        told.push_str(&format!(
            "\nthe market owes {} for audit links that it withheld, and takes no verified job before that is paid\n",
            quote.venue_owes_msat
        ));
    }
    if quote.matching == 0 {
        told.push_str("\nno offer matches now; the order would wait for one\n");
    }
    for (reason, offers) in &quote.mismatches {
        told.push_str(&format!("  {offers} {reason}\n"));
    }
    told
}

/// What a dry run says.
#[derive(Debug, Serialize)]
struct PricedRun<'a> {
    #[serde(flatten)]
    quote: &'a Quote,
    elsewhere: &'a SameElsewhere,
}

/// What clouds and networks would charge for the same, at most: every task takes all of its time.
#[derive(Debug, Serialize)]
struct SameElsewhere {
    /// Hours of one lease, all tasks together.
    hours: Decimal,
    /// What they cost.
    answer: Elsewhere,
}

fn elsewhere(job: &PreparedJob, catalogue: &Catalogue) -> SameElsewhere {
    let spec = &job.spec;
    let hours = Decimal::from(spec.tasks) * Decimal::from(spec.limits.timeout_ms) / Decimal::from(3_600_000);
    let answer = compare::elsewhere(&job.terms.needs.resources, hours, None, catalogue);
    let answer = answer.unwrap_or_else(|error| Elsewhere::NotPriced { reason: error.to_string() });
    SameElsewhere { hours, answer }
}

fn told_elsewhere(elsewhere: &SameElsewhere) -> String {
    let hours = elsewhere.hours.round_dp(2);
    let comparison = match &elsewhere.answer {
        Elsewhere::Priced(comparison) => comparison,
        Elsewhere::NotPriced { reason } => return format!("\nelsewhere: {reason}\n"),
    };
    let rows = comparison.offers.iter().map(|offer| {
        let (low, high) = offer.gpu_usd_per_hour;
        let gpus = Decimal::from(offer.paid_gpus) * elsewhere.hours;
        vec![
            offer.provider.clone(),
            offer.terms_words.clone(),
            (low * gpus).to_string(),
            (high * gpus).to_string(),
        ]
    });
    let dated = comparison.figures.warnings(today());
    let old = dated.iter().map(|warning| format!("{warning}\n"));
    format!(
        "\nelsewhere, for the {hours} hours that the tasks may take one after the other:\n{}{}",
        table(["WHERE", "TERMS", "FROM", "TO"], rows),
        old.collect::<String>()
    )
}

fn buyer(session: &Session, party: &Party) -> Result<Buyer, Failure> {
    let records = session.home.data("jobs").join(session.market.venue().to_string());
    Buyer::new(session.market.with_patience(PATIENCE), party.secret.clone(), &records).map_err(failed)
}

async fn upload(buyer: &Buyer, job: &PreparedJob, output: &Output) -> Result<(), Failure> {
    let bar = output.bars().add(ProgressBar::new(job.blobs.len() as u64).with_prefix("uploading"));
    bar.set_style(
        ProgressStyle::with_template("{prefix:>18} {bar:28} {pos}/{len} files")
            .map_err(|e| Failure::of(Exit::Unexpected, e))?,
    );
    let uploaded = buyer.upload(job, |done, _| bar.set_position(done as u64)).await;
    bar.finish_and_clear();
    uploaded.map_err(failed)
}

/// A Ctrl-C that comes from now on.
type Interrupt = Pin<Box<dyn Future<Output = io::Result<()>>>>;

fn interrupt() -> Interrupt {
    let mut interrupt: Interrupt = Box::pin(tokio::signal::ctrl_c());
    // The first poll installs the handler: from here on nobody is cut off without being told how to go on.
    let _ = interrupt.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    interrupt
}

/// Follows a job to its end: shows it, unpacks its results, fetches and checks its receipt.
async fn follow(
    session: &Session,
    party: &Party,
    buyer: &Buyer,
    job: JobId,
    out: &Path,
    interrupt: Interrupt,
    output: &Output,
) -> Result<(), Failure> {
    let mut screen = Screen::new(output, &session.market.job(&party.secret, job).await?);
    let mut outputs = Outputs::new(out)?;
    let bundles = outputs.bundles().to_owned();
    let following = buyer.follow(job, Some(&bundles), |news| match news {
        News::Event(event) => screen.event(&event),
        News::Output { task, result, file } => outputs.arrived(task, &result, file),
        News::Progress(Progress::Job(view)) => screen.job(&view),
        News::Progress(Progress::EarlyRound { round, expected }) => output.warn(&format!(
            "the market asks for the audit link of round {round} when {expected} is next; it does not get it yet"
        )),
        News::Progress(Progress::Missing { task, .. }) => {
            output.warn(&format!("the result of task {task} was accepted, but the market does not have it"));
        }
        News::Progress(Progress::Paying { what, tried }) => paying::told_payment(what, &tried, output),
        News::Progress(Progress::Task { .. } | Progress::Fetched { .. } | Progress::Ended { .. }) => {}
        News::Away(why) => {
            // A job is followed on when nobody reads what is said about it.
            let _ = output.json_line(&json!({ "away": why }));
            output.warn(&format!("{why}; it is asked again for up to {} seconds", PATIENCE.as_secs()));
        }
        News::Retry { what, why } => {
            let _ = output.json_line(&json!({ "retry": { "what": what, "why": why } }));
            output.note(&format!("{what} did not work ({why}); it is tried again where that can help"));
        }
        News::Back => {
            let _ = output.json_line(&json!({ "back": session.market.address().to_string() }));
            output.note("the market answers again");
        }
    });
    let goes_on = format!(
        "{job} goes on; follow it again soon (audits need your answers): `grist job watch {job} --out {}`",
        out.display()
    );
    let outcome = tokio::select! {
        outcome = following => outcome.map_err(|error| {
            let failure = failed(error);
            if failure.exit() == Exit::Unreachable { failure.advise(&goes_on) } else { failure }
        }),
        interrupted = interrupt => {
            interrupted.map_err(|e| Failure::of(Exit::Unexpected, e))?;
            Err(Failure::new(Exit::Interrupted, goes_on))
        }
    };
    screen.finish();
    session.keep_head()?;
    let outcome = outcome?;
    finish(session, party, job, outcome, outputs, output).await
}

async fn finish(
    session: &Session,
    party: &Party,
    job: JobId,
    outcome: JobOutcome,
    outputs: Outputs,
    output: &Output,
) -> Result<(), Failure> {
    let view = session.market.job(&party.secret, job).await?;
    let receipt = results::receipt(session, party, job).await?;
    let receipt_file = outputs.folder().join("receipt.json");
    super::receipt::save(&receipt_file, &receipt)?;
    let folder = outputs.folder().to_owned();
    let summary = outputs.unpack()?;
    let json = json!({ "result": {
        "job": job,
        "outcome": outcome,
        "tasks": view.spec.tasks,
        "tasks_done": view.tasks_done,
        "tasks_failed": view.tasks_failed,
        "paid_msat": receipt.body.paid_msat,
        "refunded_msat": receipt.body.refunded_msat,
        "out": folder,
        "receipt": receipt_file,
        "results": summary,
    }});
    output.json_line(&json)?;
    output.text(&told_end(&view, &receipt.body.paid_msat, &receipt.body.refunded_msat, output))?;
    output.text(&summary.told(&folder, view.spec.tasks))?;
    output.text(&format!("receipt, checked: {}", receipt_file.display()))?;
    if outcome == JobOutcome::Completed
        && summary.failing.is_empty()
        && summary.count == u64::from(view.spec.tasks)
    {
        return Ok(());
    }
    Err(Failure::new(Exit::Incomplete, why_incomplete(&view, outcome, summary.failing.len())))
}

fn told_end(view: &JobView, paid: &Msat, refunded: &Msat, output: &Output) -> String {
    let title = output.tone(Tone::Strong, &format!("{} is settled: {paid} paid, {refunded} back", view.job));
    format!("\n{title}\n{}", settlement(view, output))
}

fn why_incomplete(view: &JobView, outcome: JobOutcome, failing: usize) -> String {
    let (job, of) = (view.job, view.spec.tasks);
    match outcome {
        JobOutcome::Completed => {
            format!("{failing} of {of} tasks ended with a failing exit: see `grist job logs {job}`")
        }
        JobOutcome::Partial => {
            format!("{} of {of} tasks have no result: see `grist job status {job}`", view.tasks_failed)
        }
        JobOutcome::Cancelled => format!("{job} was cancelled with {} of {of} results", view.tasks_done),
        JobOutcome::OutOfFunds => {
            format!(
                "the budget ran out after {} of {of} tasks: run it again with a higher --max-price",
                view.tasks_done
            )
        }
        JobOutcome::NoBids => {
            format!("no machine bid below the ceiling: see `grist offers --why {}`, or raise it", view.order)
        }
    }
}

fn default_out(job: JobId) -> PathBuf {
    Path::new("results").join(job.to_string())
}

fn failed(error: BuyError) -> Failure {
    match error {
        BuyError::Market(error) => error.into(),
        BuyError::Record(_) | BuyError::Results { .. } => Failure::of(Exit::BadInput, error),
        BuyError::Random(_) | BuyError::Strange => Failure::of(Exit::Unexpected, error),
    }
}
