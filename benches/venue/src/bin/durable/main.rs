//! Commands that survive a power cut, beside PostgreSQL doing the same durable work.
//!
//! Both get the same clients, the same number of commands outstanding and the same batch size, on the same disk, in
//! turns. A single command moves one msat between two accounts and remembers its idempotency key; ours also comes as a
//! signed statement, whose JSON is read and whose signature is checked within the measured time. A batch is one
//! statement with 1,000 items, against one transaction over 1,000 rows. The items go through three steps on both sides:
//! tasks are claimed and their price is set aside, results are committed, results are revealed and paid; PostgreSQL
//! inserts its rows, and changes them twice. What is sent in a step is made before its clock starts, on both sides:
//! signing is the work of the client's own machine. A second line has PostgreSQL insert 1,000 rows and do no more, beside
//! the same batches of ours.
//!
//! Closed loop: each client sends as soon as it has its answer, which gives the rate. Open loop: commands are due at
//! fixed times at the same rate on both sides, and a latency counts from when the command was due.

mod clients;
mod grist;
mod postgres;

use clients::{Pace, Run, drive, drive_steps};
use postgres::Step;
use report::{
    machine,
    samples::{Samples, median},
    table::{Table, per_second, spans, verdict},
};
use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

const SINGLE_CLIENTS: usize = 64;
const BATCH_CLIENTS: usize = 8;
/// Items of a batch.
pub(crate) const BATCH: usize = 1_000;
/// Batches that each client sends in one step.
pub(crate) const BATCHES: usize = 32;
/// What items go through.
const STEPS: &[Step] = &[Step::Claim, Step::Commit, Step::Reveal];
/// How often they do so in a round; the first time is not counted.
const CYCLES: usize = 4;
/// Rounds; ours and the peer's take turns.
const ROUNDS: usize = 3;
/// How long each round runs.
const ROUND: Duration = Duration::from_secs(4);
/// Bytes of a batch in the journal, about: what an fsync has to write.
const BATCH_BYTES: usize = 128 << 10;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // A folder that the database's own user can enter.
    let folder = tempfile::Builder::new().prefix("grist-bench-").tempdir_in("/var/tmp")?;
    println!("durable: {}", machine::line(folder.path()));
    let syncs = fsync_rate(folder.path())?;
    println!("fsync of {} KiB: {}", BATCH_BYTES >> 10, per_second(syncs));
    let database = postgres::Cluster::start(folder.path())?;
    if database.is_none() {
        println!("PostgreSQL is not here (apt-get install postgresql): ours alone");
    }
    let mut peers = Contest { database, folder: folder.path(), run: 0 };
    let mut table = Table::new(["", "PostgreSQL", "grist", "ratio", "aim", ""]);
    let (theirs, ours) = peers.rates(Work::Single).await?;
    row(&mut table, format!("{SINGLE_CLIENTS} clients, single commands"), theirs, ours, 1.3);
    let rate = 0.5 * if theirs > 0.0 { theirs.min(ours) } else { ours };
    let pace = Pace::Open { interval: Duration::from_secs_f64(SINGLE_CLIENTS as f64 / rate) };
    let (their_spans, our_spans) = peers.latencies(pace).await?;
    table.row([
        format!("open loop at {}: p50 / p99 / p99.9", per_second(rate)),
        spans(their_spans),
        spans(our_spans),
        format!("{:.2}", our_spans[1].as_secs_f64() / their_spans[1].as_secs_f64()),
        "–".into(),
        "".into(),
    ]);
    let items = |batches: f64| batches * BATCH as f64;
    let (inserted, beside) = peers.rates(Work::Batch(&[Step::Insert])).await?;
    let (theirs, ours) = peers.rates(Work::Batch(STEPS)).await?;
    let what = format!("{BATCH_CLIENTS} clients, batches of {BATCH}, items");
    row(&mut table, what, items(theirs), items(ours), 1.5);
    row(&mut table, "the same, beside inserts alone".into(), items(inserted), items(beside), 1.5);
    let limit = items(syncs);
    table.row([
        "of fsyncs/s × batch".into(),
        format!("{:.0} %", 100.0 * items(theirs) / limit),
        format!("{:.0} %", 100.0 * items(ours) / limit),
        "".into(),
        "50 %".into(),
        verdict(items(ours) >= 0.5 * limit),
    ]);
    println!("{table}");
    Ok(())
}

fn row(table: &mut Table, what: String, theirs: f64, ours: f64, aim: f64) {
    let ratio = ours / theirs;
    table.row([
        what,
        per_second(theirs),
        per_second(ours),
        format!("{ratio:.2}"),
        format!("{aim} ×"),
        verdict(ratio >= aim),
    ]);
}

/// What the clients do.
#[derive(Clone, Copy)]
enum Work {
    Single,
    /// The peer does these steps; ours are always all.
    Batch(&'static [Step]),
}

/// Both sides, in turns.
struct Contest<'a> {
    database: Option<postgres::Cluster>,
    folder: &'a Path,
    run: u32,
}

impl Contest<'_> {
    /// Commands a second of the peer and of ours, the median over all rounds.
    async fn rates(&mut self, work: Work) -> anyhow::Result<(f64, f64)> {
        let (mut theirs, mut ours) = (vec![], vec![]);
        for _ in 0..ROUNDS {
            theirs.push(self.peer(work, Pace::Closed).await?.rate());
            ours.push(self.ours(work, Pace::Closed).await?.rate());
        }
        Ok((median(theirs), median(ours)))
    }

    /// Percentiles of the peer's latencies and of ours, over all rounds.
    async fn latencies(&mut self, pace: Pace) -> anyhow::Result<([Duration; 3], [Duration; 3])> {
        let (mut theirs, mut ours) = (Samples::default(), Samples::default());
        for _ in 0..ROUNDS {
            theirs.extend(&self.peer(Work::Single, pace).await?.latencies);
            ours.extend(&self.ours(Work::Single, pace).await?.latencies);
        }
        Ok((theirs.sorted().percentiles(), ours.sorted().percentiles()))
    }

    async fn peer(&self, work: Work, pace: Pace) -> anyhow::Result<Run> {
        let Some(database) = &self.database else { return Ok(Run::default()) };
        match work {
            Work::Single => drive(database.single_clients(SINGLE_CLIENTS).await?, pace, ROUND).await,
            Work::Batch(steps) => {
                let clients = database.batch_clients(BATCH_CLIENTS, steps).await?;
                drive_steps(clients, BATCHES, STEPS.len() * CYCLES, STEPS.len()).await
            }
        }
    }

    async fn ours(&mut self, work: Work, pace: Pace) -> anyhow::Result<Run> {
        self.run += 1;
        let folder = self.folder.join(format!("journal-{}", self.run));
        let market = grist::Market::start(&folder)?;
        let run = match work {
            Work::Single => drive(market.single_clients(SINGLE_CLIENTS).await?, pace, ROUND).await?,
            Work::Batch(_) => {
                let clients = market.batch_clients(BATCH_CLIENTS).await?;
                drive_steps(clients, BATCHES, STEPS.len() * CYCLES, STEPS.len()).await?
            }
        };
        market.stop()?;
        fs::remove_dir_all(&folder)?;
        Ok(run)
    }
}

/// How often a second the disk makes a small write durable.
fn fsync_rate(folder: &Path) -> anyhow::Result<f64> {
    let path = folder.join("fsync");
    let mut file = File::create(&path)?;
    let block = vec![1; BATCH_BYTES];
    for _ in 0..256 {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < Duration::from_secs(2) {
        file.write_all_at(&block, count % 256 * BATCH_BYTES as u64)?;
        file.sync_data()?;
        count += 1;
    }
    fs::remove_file(path)?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}
