//! From an order to its first task, beside `podman run`.
//!
//! Ours: jobs of one empty task, one after the other, through a market and a provider on loopback. The journal says
//! when the order was accepted, when its task was claimed, and when its result was committed, by the market's clock in
//! milliseconds: the task has begun between the last two. The peer starts a static program that does nothing, in an
//! image that holds nothing else. `GRIST` names our program, `PODMAN_RUN` is the command that starts the peer.

use anyhow::Context;
use report::{
    machine,
    pool::Pool,
    samples::{Samples, Sorted},
    table::{Table, span, spans},
};
use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const JOBS: usize = 50;

fn main() -> anyhow::Result<()> {
    println!("latency: {}", machine::line(Path::new("/var/tmp")));
    let pool = Pool::start(1)?;
    pool.fund("100000sat")?;
    let job = pool.empty_job("one", 1, 1)?;
    let podman = podman()?;
    let known = pool.journal()?.len();
    for _ in 0..JOBS {
        pool.run(&job)?;
    }
    let (claimed, committed) = read(&pool.journal()?[known..])?;
    let (claimed, committed) = (claimed.sorted(), committed.sorted());
    let mut table = Table::new(["p50 / p99 / p99.9", "podman run", "grist", "ratio of p50"]);
    let theirs = podman.as_ref().map_or("not here".into(), |sorted| spans(sorted.percentiles()));
    let ratio = |ours: &Sorted| {
        let theirs = podman.as_ref().map_or(f64::NAN, |sorted| sorted.per_mille(500).as_secs_f64());
        format!("{:.3}", ours.per_mille(500).as_secs_f64() / theirs)
    };
    table.row(["order → task claimed".into(), theirs.clone(), spans(claimed.percentiles()), ratio(&claimed)]);
    table.row(["order → result committed".into(), theirs, spans(committed.percentiles()), ratio(&committed)]);
    println!("{table}");
    println!("order → first task running lies between the two; at most {}\n", span(committed.per_mille(500)));
    Ok(())
}

/// Times from each order to the next claim and to the next commit.
fn read(entries: &[Value]) -> anyhow::Result<(Samples, Samples)> {
    let (mut claimed, mut committed) = (Samples::default(), Samples::default());
    let (mut placed_at, mut is_claimed) = (None, false);
    for entry in entries {
        let at = entry["at_ms"].as_u64().context("an entry without a time")?;
        let command = &entry["payload"]["command"];
        let kind = command.as_object().and_then(|command| command.keys().next()).map(String::as_str);
        let since = placed_at.map(|placed_at| Duration::from_millis(at - placed_at));
        match (kind, since) {
            (Some("place_order"), _) => (placed_at, is_claimed) = (Some(at), false),
            (Some("claim_tasks"), Some(since)) if !is_claimed => {
                claimed.push(since);
                is_claimed = true;
            }
            (Some("commit_results"), Some(since)) => {
                committed.push(since);
                placed_at = None;
            }
            _ => {}
        }
    }
    Ok((claimed, committed))
}

fn podman() -> anyhow::Result<Option<Sorted>> {
    let Ok(command) = std::env::var("PODMAN_RUN") else { return Ok(None) };
    let mut words = command.split_whitespace();
    let program = words.next().context("PODMAN_RUN is empty")?;
    let mut run = Command::new(program);
    run.args(words).stdout(Stdio::null());
    let mut times = Samples::default();
    for _ in 0..JOBS {
        let started = Instant::now();
        anyhow::ensure!(run.status()?.success(), "{run:?} failed");
        times.push(started.elapsed());
    }
    Ok(Some(times.sorted()))
}
