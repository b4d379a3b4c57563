//! The engine in memory, beside a limit order book.
//!
//! A market of 100,000 standing offers takes a mix of commands: offers come, change and go, and jobs run through their
//! whole life. The mix is recorded once and then applied to fresh copies of the same market: once with a clock around
//! the whole run (commands per second), once with a clock around each command (percentiles). Checking signatures and
//! reading JSON happen before the engine, in parallel, and are excluded; their rate is printed beside.

mod cpu;
mod peer;
mod scene;
mod signatures;

use anyhow::Context;
use cpu::cpu_time;
use market::{
    engine::{Engine, State},
    statement::Checked,
    units::TimeMs,
};
use report::{
    machine,
    samples::{Samples, Sorted, median},
    table::{Table, per_second, spans, verdict},
};
use scene::Kind;
use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

/// Commands of one round.
const COMMANDS: usize = 1_000_000;
/// Rounds; ours and the peer's take turns.
const ROUNDS: usize = 5;

/// Commands that arrive together.
const BATCH: usize = 256;
const REFUSED: &str = "a command that was accepted before is refused";

/// A command, when it comes, and what it is.
#[derive(Clone)]
struct Recorded {
    now: TimeMs,
    statement: Checked,
    kind: Kind,
}

fn main() -> anyhow::Result<()> {
    let commands = match std::env::args().nth(1) {
        Some(count) => count.parse().context("the argument is the number of commands")?,
        None => COMMANDS,
    };
    println!("engine: {}", machine::line(Path::new(".")));
    let (state, recorded) = scene::record(commands)?;
    let orders = peer::record(commands);
    let (mut rates, mut peer_rates) = (Vec::new(), Vec::new());
    let (mut spans_of, mut peer_spans) = (BTreeMap::new(), BTreeMap::new());
    if std::env::args().nth(2).is_some_and(|arg| arg == "ours") {
        println!("ours alone: {}", per_second(commands as f64 / total(&state, &recorded)?.as_secs_f64()));
        return Ok(());
    }
    for _ in 0..ROUNDS {
        rates.push(commands as f64 / total(&state, &recorded)?.as_secs_f64());
        peer_rates.push(commands as f64 / peer::total(&orders)?.as_secs_f64());
        each(&state, &recorded, &mut spans_of)?;
        peer::each(&orders, &mut peer_spans)?;
    }
    report(median(rates), median(peer_rates), spans_of, peer_spans);
    signatures::report()
}

fn restored(state: &State) -> anyhow::Result<Engine> {
    let restored = Engine::restore(state.clone());
    restored.map_err(|version| anyhow::anyhow!("rules version {version} is not known"))
}

/// How long all commands take, what they answer included. The writer gets a batch at a time, fresh from being read and
/// checked, so the batch is made anew before its clock starts.
fn total(state: &State, recorded: &[Recorded]) -> anyhow::Result<Duration> {
    let mut engine = restored(state)?;
    let mut total = Duration::ZERO;
    for batch in recorded.chunks(BATCH) {
        let batch = batch.to_vec();
        let started = cpu_time();
        for command in &batch {
            engine.apply(command.now, &command.statement).context(REFUSED)?;
        }
        total += cpu_time() - started;
    }
    Ok(total)
}

/// How long each command takes.
fn each(state: &State, recorded: &[Recorded], spans: &mut BTreeMap<Kind, Samples>) -> anyhow::Result<()> {
    let mut engine = restored(state)?;
    for batch in recorded.chunks(BATCH) {
        for command in &batch.to_vec() {
            let started = Instant::now();
            engine.apply(command.now, &command.statement).context(REFUSED)?;
            spans.entry(command.kind).or_default().push(started.elapsed());
        }
    }
    Ok(())
}

fn report(rate: f64, peer_rate: f64, spans_of: BTreeMap<Kind, Samples>, mut peer: BTreeMap<Kind, Samples>) {
    let all = |spans: &BTreeMap<Kind, Samples>| {
        let mut all = Samples::default();
        spans.values().for_each(|samples| all.extend(samples));
        all.sorted()
    };
    let (ours_all, peer_all) = (all(&spans_of), all(&peer));
    let mut table = Table::new(["", "orderbook-rs 0.15", "grist", "ratio", "aim", ""]);
    table.row([
        "mixed commands".into(),
        per_second(peer_rate),
        per_second(rate),
        format!("{:.2}", rate / peer_rate),
        "1 M/s".into(),
        verdict(rate >= 1e6),
    ]);
    let p99 = ours_all.per_mille(990);
    table.row([
        "p50 / p99 / p99.9".into(),
        spans(peer_all.percentiles()),
        spans(ours_all.percentiles()),
        format!("{:.2}", p99.as_secs_f64() / peer_all.per_mille(990).as_secs_f64()),
        "p99 < 10 µs".into(),
        verdict(p99 < Duration::from_micros(10)),
    ]);
    for (kind, samples) in spans_of {
        let share = 100.0 * samples.len() as f64 / ours_all.count() as f64;
        let ours = samples.sorted();
        let (theirs, ratio) = match peer.remove(&kind).map(Samples::sorted) {
            Some(theirs) => (spans(theirs.percentiles()), ratio(&ours, &theirs)),
            None => ("–".into(), "–".into()),
        };
        table.row([
            format!("{kind} ({share:.0} %)"),
            theirs,
            spans(ours.percentiles()),
            ratio,
            "".into(),
            "".into(),
        ]);
    }
    println!("{table}");
}

/// Ours over the peer's, at the middle.
fn ratio(ours: &Sorted, theirs: &Sorted) -> String {
    format!("{:.2}", ours.per_mille(500).as_secs_f64() / theirs.per_mille(500).as_secs_f64())
}
