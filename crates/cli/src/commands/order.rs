//! `grist order` and `grist lease`: the two sides of what a job has won.

use crate::{
    args::Global,
    exit::{Exit, Failure},
    output::{Output, facts, table},
    session::Session,
    text,
};
use clap::{Args, Subcommand};
use market::{
    command::Command,
    id::{LeaseId, OrderId},
    order::OrderKind,
};
use node::{
    api::{HoldView, JobView, LeaseResult, LeaseView},
    client::{ClientError, LeaseReader},
};
use runner::OutputBundle;
use serde::Serialize;
use serde_json::json;

/// `grist order …`.
#[derive(Debug, Subcommand)]
pub(crate) enum OrderCommand {
    /// List your orders
    List,
    /// Show an order of yours
    Show {
        /// The order
        order: OrderId,
    },
    /// Why an order has no more leases than it has
    Why {
        /// The order
        order: OrderId,
    },
    /// Cancel an order and its job: what is accepted is paid, the rest comes back
    Cancel {
        /// The order
        order: OrderId,
    },
}

/// `grist lease …`.
#[derive(Debug, Subcommand)]
pub(crate) enum LeaseCommand {
    /// List the leases of your jobs and of your machines
    List,
    /// Show a lease
    Show {
        /// The lease
        lease: LeaseId,
    },
    /// List the tasks that were done under a lease, and what was found about them
    Results(ReadArgs),
    /// Print what those tasks wrote to standard output and standard error
    Logs(ReadArgs),
    /// End a lease of one of your jobs; its tasks run elsewhere
    Dismiss {
        /// The lease
        lease: LeaseId,
    },
}

/// Which lease, and by which right.
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// The lease
    lease: LeaseId,
    /// Read with a token that somebody gave you; `-` reads it from standard input
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

/// Runs `grist order`.
pub(crate) async fn order(command: &OrderCommand, global: &Global, output: &Output) -> Result<(), Failure> {
    let session = Session::open(global).await?;
    match command {
        OrderCommand::List => list(&session, output).await,
        OrderCommand::Show { order } => show(&session, *order, output).await,
        OrderCommand::Why { order } => super::offers::why_order(&session, *order, output).await,
        OrderCommand::Cancel { order } => {
            let job = find(&session, *order).await?.job;
            super::job::cancel(&session, job, output).await
        }
    }
}

/// Runs `grist lease`.
pub(crate) async fn lease(command: &LeaseCommand, global: &Global, output: &Output) -> Result<(), Failure> {
    let session = Session::open(global).await?;
    match command {
        LeaseCommand::List => {
            let leases = own_leases(&session).await?;
            output.result(&leases, || leases_table(&leases, output))
        }
        LeaseCommand::Show { lease } => {
            let lease = session.market.lease(*lease).await?;
            let holds = holds_of(&session, &lease).await?;
            let shown = ShownLease { lease: &lease, holds: &holds };
            output.result(&shown, || lease_facts(&lease, output) + &super::job::holds(&holds))
        }
        LeaseCommand::Results(args) => results(&session, args, output).await,
        LeaseCommand::Logs(args) => logs(&session, args, output).await,
        LeaseCommand::Dismiss { lease } => {
            let party = session.party().await?;
            session.submit(&party.secret, Command::DismissLease { lease: *lease }).await?;
            output.result(&json!({ "lease": lease }), || {
                format!("{lease} is dismissed; its tasks run elsewhere")
            })
        }
    }
}

/// A lease, with what its buyer alone may see.
#[derive(Serialize)]
struct ShownLease<'a> {
    #[serde(flatten)]
    lease: &'a LeaseView,
    holds: &'a [HoldView],
}

/// The payments that fund a lease, where it is one of your jobs'.
async fn holds_of(session: &Session, lease: &LeaseView) -> Result<Vec<HoldView>, Failure> {
    let Ok(secret) = session.secret() else { return Ok(Vec::new()) };
    match session.market.job(&secret, lease.job).await {
        Ok(job) => Ok(job.holds.into_iter().filter(|hold| hold.lease == lease.lease).collect()),
        // Somebody else's.
        Err(ClientError::Refused { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The results under a lease, and who reads them.
async fn read(session: &Session, args: &ReadArgs) -> Result<(LeaseReader, Vec<LeaseResult>), Failure> {
    let reader = match &args.token {
        Some(text) => LeaseReader::Holder(super::token::read(text)?),
        None => LeaseReader::Party(session.secret()?),
    };
    let results = session.market.lease_results(&reader, args.lease).await?;
    Ok((reader, results))
}

async fn results(session: &Session, args: &ReadArgs, output: &Output) -> Result<(), Failure> {
    let (_, results) = read(session, args).await?;
    output.result(&results, || {
        let rows = results.iter().map(|row| {
            let exit = row
                .result
                .map_or_else(|| "not shown".to_owned(), |result| super::job::exit_text(result.exit));
            vec![row.task.to_string(), text::word(&row.verdict), exit, row.paid_msat.to_string()]
        });
        table(["TASK", "VERDICT", "ENDED WITH", "PAID"], rows)
    })
}

async fn logs(session: &Session, args: &ReadArgs, output: &Output) -> Result<(), Failure> {
    let (reader, results) = read(session, args).await?;
    let limit = session.market.info().await?.blob_max_bytes;
    for row in &results {
        let Some(result) = row.result else { continue };
        let bytes = session.market.lease_output(&reader, result.output, limit).await?;
        let bundle =
            OutputBundle::decode(&bytes, bytes.len()).map_err(|e| Failure::of(Exit::NotVerified, e))?;
        super::job::print_log(row.task, &result, &bundle, results.len() == 1, output)?;
    }
    Ok(())
}

async fn list(session: &Session, output: &Output) -> Result<(), Failure> {
    let jobs = session.market.jobs(&session.party().await?.secret).await?;
    let orders: Vec<_> = jobs.iter().map(order_json).collect();
    output.result(&orders, || {
        let rows = jobs.iter().map(|job| {
            let held = job.leases.iter().filter(|lease| lease.phase != "closed").count();
            vec![
                job.order.to_string(),
                job.job.to_string(),
                kind(&job.terms.kind),
                text::rate(&job.terms.ceiling, output),
                output.money(job.terms.budget_msat),
                format!("{held}/{}", job.terms.slots),
                job.phase.clone(),
            ]
        });
        table(["ORDER", "JOB", "KIND", "CEILING", "BUDGET", "LEASES", "PHASE"], rows)
    })
}

async fn show(session: &Session, order: OrderId, output: &Output) -> Result<(), Failure> {
    let job = find(session, order).await?;
    output.result(&order_json(&job), || {
        let (terms, needs) = (&job.terms, &job.terms.needs);
        let lines = facts([
            ("order", job.order.to_string()),
            ("job", format!("{} ({})", job.job, job.spec.name)),
            ("kind", kind(&terms.kind)),
            ("ceiling", text::rate(&terms.ceiling, output)),
            ("budget", output.money(terms.budget_msat)),
            ("paid by", text::funding(terms.funding)),
            ("a lease", text::resources(&needs.resources)),
            ("isolation", text::word(&needs.isolation)),
            ("region", text::any(needs.region.as_ref())),
            ("phase", job.phase.clone()),
        ]);
        format!("{lines}\n{}", leases_table(&job.leases, output))
    })
}

fn order_json(job: &JobView) -> serde_json::Value {
    json!({
        "order": job.order,
        "job": job.job,
        "terms": job.terms,
        "phase": job.phase,
        "placed_at_ms": job.placed_at_ms,
        "leases": job.leases.iter().map(|lease| lease.lease).collect::<Vec<_>>(),
    })
}

async fn find(session: &Session, order: OrderId) -> Result<JobView, Failure> {
    let jobs = session.market.jobs(&session.party().await?.secret).await?;
    jobs.into_iter().find(|job| job.order == order).ok_or_else(|| {
        Failure::new(Exit::Refused, format!("you have no {order} at this market: see `grist order list`"))
    })
}

fn kind(kind: &OrderKind) -> String {
    match kind {
        OrderKind::Ask => "best standing offers".to_owned(),
        OrderKind::Auction { price, .. } => format!("{}-price auction", text::word(price)),
    }
}

/// The leases of one's jobs, then those that one's machines work under.
async fn own_leases(session: &Session) -> Result<Vec<LeaseView>, Failure> {
    let party = session.party().await?;
    let jobs = session.market.jobs(&party.secret).await?;
    let mut leases: Vec<LeaseView> = jobs.into_iter().flat_map(|job| job.leases).collect();
    for machine in session.market.machines(party.id).await? {
        for lease in machine.leases {
            if leases.iter().all(|known| known.lease != lease) {
                leases.push(session.market.lease(lease).await?);
            }
        }
    }
    Ok(leases)
}

/// Leases for people.
pub(crate) fn leases_table(leases: &[LeaseView], output: &Output) -> String {
    if leases.is_empty() {
        return "no leases".to_owned();
    }
    let headers =
        ["LEASE", "JOB", "MACHINE", "PARTY", "PRICE", "PHASE", "OK", "WRONG", "FAILED", "PAID", "CHEATING"];
    table(
        headers,
        leases.iter().map(|lease| {
            let books = &lease.books;
            vec![
                lease.lease.to_string(),
                lease.job.to_string(),
                lease.machine_label.clone(),
                lease.party.to_string(),
                text::rate(&lease.rate, output),
                phase(lease),
                books.accepted.to_string(),
                books.wrong.to_string(),
                books.failed.to_string(),
                output.money(books.paid_msat),
                text::cheating(&lease.deterrence).to_owned(),
            ]
        }),
    )
}

fn phase(lease: &LeaseView) -> String {
    let audit = if lease.is_audit { "audit, " } else { "" };
    match &lease.reason {
        Some(reason) => format!("{audit}{}: {}", lease.phase, text::word(reason)),
        None => format!("{audit}{}", lease.phase),
    }
}

fn lease_facts(lease: &LeaseView, output: &Output) -> String {
    let books = &lease.books;
    let lines = facts([
        ("lease", lease.lease.to_string()),
        ("job", lease.job.to_string()),
        ("machine", format!("{} ({})", lease.machine, lease.machine_label)),
        ("party", lease.party.to_string()),
        ("class", lease.class.to_string()),
        ("price", text::rate(&lease.rate, output)),
        ("phase", phase(lease)),
        ("usage", text::usage(lease.rate.unit, books.usage)),
        ("paid", format!("{} (of it {} fee)", output.money(books.paid_msat), books.fee_msat)),
        ("compensation", output.money(books.compensation_msat)),
        ("clawed back", output.money(books.clawed_back_msat)),
        (
            "attempts",
            format!(
                "{} accepted, {} wrong, {} failed, {} without a verdict",
                books.accepted, books.wrong, books.failed, books.inconclusive
            ),
        ),
    ]);
    format!("{lines}\n{}\n", text::deterrence(&lease.deterrence))
}
