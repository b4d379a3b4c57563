//! `grist job`: jobs that were placed.

use super::order::leases_table;
use crate::{
    args::Global,
    exit::{Exit, Failure},
    output::{Output, Tone, facts, table},
    session::{Party, Session},
    text,
};
use clap::{Args, Subcommand};
use market::{
    command::Command,
    event::TaskOutcome,
    funding::result_key,
    id::JobId,
    units::Msat,
    verify::{Exit as TaskExit, TaskResult},
};
use node::{
    api::{HoldView, JobView, LeaseView, SaleView, TaskView},
    encrypted_result,
};
use runner::OutputBundle;
use serde_json::json;
use std::io::Write;

/// `grist job …`.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// List your jobs
    List,
    /// Show a job: its leases, its tasks, its money
    Status {
        /// The job
        job: JobId,
    },
    /// Print what tasks wrote to standard output and standard error
    Logs(LogsArgs),
    /// Cancel a job: what is accepted is paid, the rest comes back
    Cancel {
        /// The job
        job: JobId,
    },
    /// Fetch the results that are there
    Results(super::run::ResultsArgs),
    /// Follow a job to its end, and fetch its results
    Watch(super::run::WatchArgs),
}

/// `grist job logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The job
    job: JobId,
    /// Only this task
    #[arg(long, value_name = "N")]
    task: Option<u32>,
}

/// Runs the command.
pub(crate) async fn run(command: &JobCommand, global: &Global, output: &Output) -> Result<(), Failure> {
    let session = Session::open(global).await?;
    match command {
        JobCommand::List => list(&session, output).await,
        JobCommand::Status { job } => status(&session, *job, output).await,
        JobCommand::Logs(args) => logs(&session, args, output).await,
        JobCommand::Cancel { job } => cancel(&session, *job, output).await,
        JobCommand::Results(args) => super::run::results(&session, args, output).await,
        JobCommand::Watch(args) => super::run::watch(&session, args, output).await,
    }
}

async fn list(session: &Session, output: &Output) -> Result<(), Failure> {
    let jobs = session.market.jobs(&session.party().await?.secret).await?;
    output.result(&jobs, || {
        if jobs.is_empty() {
            return "no jobs: place one with `grist run job.toml`".to_owned();
        }
        let rows = jobs.iter().map(|job| {
            vec![
                job.job.to_string(),
                job.spec.name.clone(),
                phase(job),
                format!("{}/{}", job.tasks_done, job.spec.tasks),
                job.tasks_failed.to_string(),
                output.money(job.paid_msat),
                text::time(job.placed_at_ms),
            ]
        });
        table(["JOB", "NAME", "PHASE", "DONE", "FAILED", "PAID", "PLACED"], rows)
    })
}

async fn status(session: &Session, id: JobId, output: &Output) -> Result<(), Failure> {
    let party = session.party().await?;
    let job = session.market.job(&party.secret, id).await?;
    let tasks = session.market.tasks(&party.secret, id).await?;
    output.result(&json!({ "job": job, "tasks": tasks }), || {
        let refunded =
            job.refunded_msat.map_or_else(|| "not settled yet".to_owned(), |amount| output.money(amount));
        let lines = facts([
            ("job", format!("{} ({})", job.job, job.spec.name)),
            ("phase", phase(&job)),
            (
                "tasks",
                format!(
                    "{} done, {} failed, {} running, of {}",
                    job.tasks_done, job.tasks_failed, job.running, job.spec.tasks
                ),
            ),
            ("paid by", text::funding(job.terms.funding)),
            ("locked", output.money(job.escrow_msat)),
            ("paid", output.money(job.paid_msat)),
            ("refunded", refunded),
        ]);
        let troubled: Vec<String> = tasks.iter().filter_map(trouble).collect();
        let troubled = match troubled.is_empty() {
            true => String::new(),
            false => format!("\n{}\n{}\n", output.tone(Tone::Bad, "tasks with trouble"), troubled.join("\n")),
        };
        let (paid, leases) = (text::venue_paid(job.venue_paid_msat), leases_table(&job.leases, output));
        let holds = holds(&job.holds) + &sales(&job.sales);
        let needs = job.session_needs_msat.map(|amount| low(amount, output)).unwrap_or_default();
        format!("{lines}{needs}{paid}\n{leases}{holds}{}{troubled}", weakest(&job.leases))
    })
}

/// What a session that ran low waits for.
fn low(amount: Msat, output: &Output) -> String {
    let what =
        format!("the session waits for {amount}: `grist wallet topup`, or follow the job with --lightning");
    format!("{}\n", output.tone(Tone::Bad, &what))
}

/// The payments that fund leases.
pub(super) fn holds(holds: &[HoldView]) -> String {
    if holds.is_empty() {
        return String::new();
    }
    let rows = holds.iter().flat_map(|hold| {
        hold.payment_hashes.iter().enumerate().map(|(nth, hash)| {
            let lease = if nth == 0 { hold.lease.to_string() } else { String::new() };
            vec![lease, hold.slice_msat.to_string(), slice_phase(hold, nth).to_owned(), hash.to_string()]
        })
    });
    format!("\n{}", table(["HOLD", "SLICE", "STATE", "PAYMENT HASH"], rows))
}

/// Results that are paid to decrypt.
fn sales(sales: &[SaleView]) -> String {
    if sales.is_empty() {
        return String::new();
    }
    let rows = sales.iter().map(|sale| {
        let (task, hash) = (sale.task.to_string(), sale.encrypted.payment_hash.to_string());
        vec![task, sale.invoice_msat.to_string(), sale.phase.clone(), hash]
    });
    format!("\n{}", table(["KEY OF TASK", "PRICE", "STATE", "PAYMENT HASH"], rows))
}

/// What became of one slice.
fn slice_phase(hold: &HoldView, nth: usize) -> &str {
    match hold.phase.as_str() {
        "decided" | "released" | "over" if nth < usize::from(hold.released) => "the provider's",
        "decided" | "released" | "over" => "back to you",
        "funded" => "held",
        other => other,
    }
}

/// What deters least among the leases.
fn weakest(leases: &[LeaseView]) -> String {
    let weakest = leases.iter().min_by_key(|lease| lease.deterrence.margin_msat());
    weakest.map_or_else(String::new, |lease| {
        format!("\n{}: {}\n", lease.lease, text::deterrence(&lease.deterrence))
    })
}

fn phase(job: &JobView) -> String {
    match &job.outcome {
        Some(outcome) => format!("{}: {}", job.phase, text::word(outcome)),
        None => job.phase.clone(),
    }
}

fn trouble(task: &TaskView) -> Option<String> {
    let what = match task.outcome {
        Some(TaskOutcome::Done { result, .. }) if result.exit.is_success() => return None,
        Some(TaskOutcome::Done { result, .. }) => format!("ended with {}", exit_text(result.exit)),
        Some(TaskOutcome::Failed { attempts }) => format!("failed after {attempts} attempts"),
        Some(TaskOutcome::Cancelled) => "was cancelled".to_owned(),
        None if task.failures > 0 => format!("{} attempts led to nothing so far", task.failures),
        None => return None,
    };
    Some(format!("  task {}: {what}", task.task))
}

/// How a program ended.
pub(crate) fn exit_text(exit: TaskExit) -> String {
    match exit {
        TaskExit::Code(code) => format!("exit code {code}"),
        TaskExit::Trap => "a trap".to_owned(),
        TaskExit::OutOfFuel => "its fuel used up".to_owned(),
    }
}

/// Cancels a job.
pub(crate) async fn cancel(session: &Session, job: JobId, output: &Output) -> Result<(), Failure> {
    let party = session.party().await?;
    session.submit(&party.secret, Command::CancelJob { job }).await?;
    output.result(&json!({ "job": job }), || {
        format!(
            "{job} is cancelled; what is accepted is paid, the rest comes back: see `grist job status {job}`"
        )
    })
}

async fn logs(session: &Session, args: &LogsArgs, output: &Output) -> Result<(), Failure> {
    let party = session.party().await?;
    let job = session.market.job(&party.secret, args.job).await?;
    let tasks = session.market.tasks(&party.secret, args.job).await?;
    if let Some(task) = args.task.filter(|task| *task >= job.spec.tasks) {
        let why = format!("{} has tasks 0 to {}, not {task}", args.job, job.spec.tasks.saturating_sub(1));
        return Err(Failure::new(Exit::Usage, why));
    }
    for view in tasks.iter().filter(|view| args.task.is_none_or(|task| task == view.task)) {
        let Some(TaskOutcome::Done { result, .. }) = view.outcome else {
            if args.task.is_some() {
                let why = format!("task {} has no result: see `grist job status {}`", view.task, args.job);
                return Err(Failure::new(Exit::Refused, why));
            }
            continue;
        };
        let bundle = fetch(session, &party, &job, &result).await?;
        print_log(view.task, &result, &bundle, args.task.is_some(), output)?;
    }
    Ok(())
}

/// Prints what a task wrote.
pub(crate) fn print_log(
    task: u32,
    result: &TaskResult,
    bundle: &OutputBundle,
    is_alone: bool,
    output: &Output,
) -> Result<(), Failure> {
    if output.is_json() {
        return output.json_line(&json!({
            "task": task,
            "exit": result.exit,
            "stdout": String::from_utf8_lossy(&bundle.stdout),
            "stderr": String::from_utf8_lossy(&bundle.stderr),
        }));
    }
    if !is_alone {
        output.text(&output.tone(Tone::Strong, &format!("── task {task}: {}", exit_text(result.exit))))?;
    }
    // A reader that has gone is no failure.
    let _ = std::io::stdout().lock().write_all(&bundle.stdout);
    let _ = std::io::stderr().lock().write_all(&bundle.stderr);
    Ok(())
}

/// Fetches one task's output, checked against its digest.
pub(crate) async fn fetch(
    session: &Session,
    party: &Party,
    job: &JobView,
    result: &TaskResult,
) -> Result<OutputBundle, Failure> {
    // The limit is on what the task writes; names and lengths come on top.
    let limit = job.spec.limits.output_bytes.saturating_add(16 << 20);
    let sold = job.sales.iter().find(|sale| sale.result == *result && sale.is_sold());
    let bytes = match sold.and_then(|sale| Some((sale.encrypted, sale.preimage?))) {
        Some((encrypted, preimage)) => {
            let ciphertext = session.market.get_blob(&party.secret, encrypted.ciphertext, limit).await?;
            let mut plain = Vec::new();
            encrypted_result::decrypt(&result_key(&preimage, &encrypted.salt), &ciphertext[..], &mut plain)
                .map_err(|e| Failure::of(Exit::NotVerified, e))?;
            plain.into()
        }
        None => session.market.get_blob(&party.secret, result.output, limit).await?,
    };
    OutputBundle::decode(&bytes, bytes.len()).map_err(|e| Failure::of(Exit::NotVerified, e))
}
