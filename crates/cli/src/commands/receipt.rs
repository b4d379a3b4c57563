//! `grist receipt`: the signed story of a settled job.

use crate::{
    args::Global,
    exit::{Exit, Failure},
    home::read_named,
    output::{Output, Tone, facts, table},
    session::Session,
    text,
};
use clap::{Args, Subcommand};
use market::{
    event::{TaskOutcome, Verdict},
    id::JobId,
    job::Verification,
    key::PublicKey,
    receipt::{LeaseReceipt, Receipt, SaleFate, SaleReceipt, TaskReceipt},
    units::Msat,
    verify::Deterrence,
};
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// The largest receipt that is read, in bytes: of a job of a million tasks.
const RECEIPT_BYTES_MAX: u64 = 1 << 30;

/// `grist receipt …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Fetch the receipt of a settled job
    Get(GetArgs),
    /// Check a receipt, without asking anybody
    Verify(VerifyArgs),
    /// Print a receipt for people
    Show(ShowArgs),
}

/// `grist receipt get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The job
    job: JobId,
    /// Where to put it
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `grist receipt verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The receipt
    file: PathBuf,
    /// The venue that it has to be from: its key, as in the market's address
    #[arg(long, value_name = "KEY")]
    venue: Option<PublicKey>,
}

/// `grist receipt show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The receipt
    file: PathBuf,
}

/// Runs the command.
pub(crate) async fn run(command: &ReceiptCommand, global: &Global, output: &Output) -> Result<(), Failure> {
    match command {
        ReceiptCommand::Get(args) => get(args, global, output).await,
        ReceiptCommand::Verify(args) => verify(args, output),
        ReceiptCommand::Show(args) => {
            let receipt = read(&args.file)?;
            let shown = Shown { deterrence: receipt.body.deterrence(), receipt: &receipt };
            output.result(&shown, || story(&receipt, output))
        }
    }
}

/// A receipt with what follows from it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    receipt: &'a Receipt,
    deterrence: Deterrence,
}

async fn get(args: &GetArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let session = Session::open(global).await?;
    let secret = session.secret()?;
    let Some(receipt) = session.market.receipt(&secret, args.job).await? else {
        let why = format!("{} has no receipt yet: it is settled when all its leases are closed", args.job);
        return Err(Failure::new(Exit::Refused, why));
    };
    check(&receipt, Some(&session.market.venue()))?;
    match &args.out {
        Some(file) => {
            save(file, &receipt)?;
            output.result(&json!({ "job": args.job, "file": file }), || {
                format!("the receipt of {} is in {}", args.job, file.display())
            })
        }
        None => output.result(&receipt, || story(&receipt, output)),
    }
}

fn verify(args: &VerifyArgs, output: &Output) -> Result<(), Failure> {
    let receipt = read(&args.file)?;
    check(&receipt, args.venue.as_ref()).map_err(|e| e.during(args.file.display()))?;
    let body = &receipt.body;
    let json = json!({
        "valid": true,
        "venue": body.venue,
        "venue_was_given": args.venue.is_some(),
        "job": body.job,
        "position": body.position,
        "paid_msat": body.paid_msat,
        "refunded_msat": body.refunded_msat,
        "funding": body.funding,
        "holds": body.leases.iter().filter_map(hold_json).collect::<Vec<_>>(),
        "sales": body.leases.iter().flat_map(|lease| &lease.sales).collect::<Vec<_>>(),
    });
    output.result(&json, || {
        let from = match args.venue {
            Some(_) => "the venue that was asked for",
            None => "the venue that it names; give --venue KEY to be sure which one that is",
        };
        let ways = text::funding(body.funding);
        format!(
            "{}: signed by {from}, its sums are right, and it stands in the public log\nvenue {}, {}, journal position {}, paid by {ways}{}",
            output.tone(Tone::Good, "valid"),
            body.venue,
            body.job,
            body.position,
            paid_directly(&body.leases),
        )
    })
}

fn hold_json(lease: &LeaseReceipt) -> Option<serde_json::Value> {
    let hold = lease.hold.as_ref()?;
    Some(json!({
        "lease": lease.lease,
        "payment_hashes": hold.payment_hashes,
        "released": hold.released,
        "returned_msat": hold.returned_msat(),
    }))
}

/// The payments that funded leases, and where they went.
fn holds(leases: &[LeaseReceipt]) -> String {
    let rows: Vec<Vec<String>> = leases.iter().flat_map(hold_rows).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", table(["HOLD", "SLICE", "WENT TO", "PAYMENT HASH"], rows))
}

/// What went from the buyer to providers past the market.
fn paid_directly(leases: &[LeaseReceipt]) -> String {
    holds(leases) + &sales(leases)
}

/// Results that were paid to decrypt, and how that ended.
fn sales(leases: &[LeaseReceipt]) -> String {
    let rows = leases.iter().flat_map(|lease| lease.sales.iter().map(|sale| sale_row(lease, sale)));
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", table(["KEY OF TASK", "FROM", "PRICE", "ENDED", "PAYMENT HASH"], rows))
}

fn sale_row(lease: &LeaseReceipt, sale: &SaleReceipt) -> Vec<String> {
    let ended = match sale.fate {
        SaleFate::Sold => "sold".to_owned(),
        SaleFate::Unsold => format!("not paid: {} to the provider", sale.price.deposit_msat),
        SaleFate::Forged { .. } => "forged: paid back out of the bond".to_owned(),
    };
    let (task, from, hash) = (sale.task.to_string(), lease.party.to_string(), sale.encrypted.payment_hash);
    vec![task, from, sale.price.invoice_msat().to_string(), ended, hash.to_string()]
}

fn hold_rows(lease: &LeaseReceipt) -> Vec<Vec<String>> {
    let Some(hold) = &lease.hold else { return Vec::new() };
    let rows = hold.payment_hashes.iter().enumerate().map(|(nth, hash)| {
        let name = if nth == 0 { lease.lease.to_string() } else { String::new() };
        let to = if nth < usize::from(hold.released) {
            lease.party.to_string()
        } else if hold.funded_msat == Msat::ZERO {
            "nobody: not paid".to_owned()
        } else {
            "the buyer again".to_owned()
        };
        vec![name, hold.slice_msat.to_string(), to, hash.to_string()]
    });
    rows.collect()
}

/// Checks a receipt; what is wrong with it has an exit code of its own.
pub(crate) fn check(receipt: &Receipt, venue: Option<&PublicKey>) -> Result<(), Failure> {
    receipt.verify(venue).map_err(|e| Failure::of(Exit::NotVerified, e))
}

/// Writes a receipt for later.
pub(crate) fn save(file: &Path, receipt: &Receipt) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(receipt).map_err(|e| Failure::of(Exit::Unexpected, e))?;
    std::fs::write(file, text + "\n").map_err(|e| Failure::of(Exit::BadInput, e).during(file.display()))
}

fn read(file: &Path) -> Result<Receipt, Failure> {
    parse(&read_named(file, RECEIPT_BYTES_MAX)?).map_err(|e| e.during(file.display()))
}

fn parse(text: &str) -> Result<Receipt, Failure> {
    serde_json::from_str(text)
        .map_err(|e| Failure::of(Exit::NotVerified, e).advise("this is not a receipt as the market wrote it"))
}

/// The receipt as people read it.
pub(crate) fn story(receipt: &Receipt, output: &Output) -> String {
    let body = &receipt.body;
    let how = match &body.verification {
        Verification::None => "not at all: nobody checked these results".to_owned(),
        Verification::Replicas { k, n, .. } => format!("{k} of up to {n} parties had to agree to the bit"),
        Verification::Audit { floor_ppm } => {
            format!("at least {:.1} % were run again by others", f64::from(*floor_ppm) / 10_000.0)
        }
    };
    let head = facts([
        ("job", format!("{} ({})", body.job, body.name)),
        ("outcome", text::word(&body.outcome)),
        ("settled", format!("{}, journal position {}", text::time(body.settled_at_ms), body.position)),
        ("verified", how),
        ("paid by", text::funding(body.funding)),
        ("locked", output.money(body.funded_msat.unwrap_or(body.budget_msat))),
        ("paid", output.money(body.paid_msat)),
        ("refunded", output.money(body.refunded_msat)),
    ]);
    let head = format!(
        "{head}{}\n{}\n",
        text::venue_paid(body.venue_paid_msat),
        text::deterrence(&body.deterrence())
    );
    let leases = body.leases.iter().map(|lease| {
        let books = &lease.books;
        vec![
            lease.lease.to_string(),
            lease.party.to_string(),
            lease.class.to_string(),
            text::rate(&lease.rate, output),
            books.accepted.to_string(),
            books.wrong.to_string(),
            output.money(Msat(books.paid_msat.0.saturating_add(books.compensation_msat.0))),
            output.money(books.fee_msat),
            text::word(&lease.reason),
        ]
    });
    let headers = ["LEASE", "PARTY", "CLASS", "PRICE", "OK", "WRONG", "PAID", "FEE", "ENDED"];
    let mut story = format!("{head}\n{}{}", table(headers, leases), paid_directly(&body.leases));
    let rejected: Vec<String> = body.tasks.iter().enumerate().flat_map(rejections).collect();
    if !rejected.is_empty() {
        story.push_str(&format!(
            "\n{}\n{}\n",
            output.tone(Tone::Bad, "rejected results"),
            rejected.join("\n")
        ));
    }
    let failed = body.tasks.iter().filter(|task| !matches!(task.outcome, TaskOutcome::Done { .. })).count();
    if failed > 0 {
        story.push_str(&format!("\n{failed} of {} tasks have no result\n", body.tasks.len()));
    }
    story
}

fn rejections((task, receipt): (usize, &TaskReceipt)) -> Vec<String> {
    let rejected = receipt.attempts.iter().filter_map(|judged| match &judged.verdict {
        Verdict::Rejected { reason, evidence } => Some((judged, reason, evidence)),
        Verdict::Accepted { .. } | Verdict::Inconclusive { .. } => None,
    });
    rejected
        .map(|(judged, reason, evidence)| {
            let found = evidence.as_ref().map_or_else(String::new, |e| {
                let claimed =
                    e.claimed.map_or_else(|| "nothing".to_owned(), |claimed| claimed.output.short());
                format!(": claimed {claimed}, {} others found {}", e.by.len(), e.agreed.output.short())
            });
            format!("  task {task}, {} under {}: {}{found}", judged.attempt, judged.lease, text::word(reason))
        })
        .collect()
}
