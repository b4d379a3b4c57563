//! `cargo run -p sim --release -- --seeds 1000`: many worlds, what broke in them, and whether anything that must hold
//! did not.

use clap::Parser;
use sim::{
    plan::{Plan, Size},
    progress::Progress,
    report::{Report, SeedResult, cheat_of, run_seed},
    world::run,
};
use std::{
    collections::BTreeSet,
    ops::Range,
    process::ExitCode,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// How many failed seeds get a line that says how to run them again.
const REPLAYS_SHOWN: usize = 20;

/// Runs the market on seeded clocks, networks, disks and payments, with faults and cheats.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Runs this seed alone.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Prints every event of the seed.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// How many machines a world has, as LOW..HIGH.
    #[arg(long, default_value = "12..400", value_parser = parse_range)]
    machines: Range<u64>,
    /// How many jobs a world has, as LOW..HIGH.
    #[arg(long, default_value = "6..30", value_parser = parse_range)]
    jobs: Range<u64>,
    /// How long things break in a world, in simulated hours; then everything has to end.
    #[arg(long, default_value_t = 0.15)]
    hours: f64,
    /// Starts no further seed after so many minutes; the report is about those that were run.
    #[arg(long)]
    minutes: Option<u64>,
    /// How many threads; 0 means one for each core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let bounds = text.split_once("..").map(|(low, high)| (low.parse(), high.parse()));
    match bounds {
        Some((Ok(low), Ok(high))) if low < high => Ok(low..high),
        _ => Err(format!("`{text}` is not a range like 100..400")),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let chaos_ms = (args.hours * 3_600_000.0).max(60_000.0) as u64;
    let size = Size { machines: args.machines.clone(), jobs: args.jobs.clone(), chaos_ms };
    if let (Some(seed), true) = (args.seed, args.trace) {
        return trace(seed, &size);
    }
    let seeds = args.seed.map_or(args.from..args.from.saturating_add(args.seeds), |seed| seed..seed + 1);
    let report = run_all(&args, seeds, &size);
    if args.json {
        match serde_json::to_string_pretty(&report) {
            Ok(json) => println!("{json}"),
            Err(error) => eprintln!("the report has no JSON: {error}"),
        }
    } else {
        print!("{report}");
    }
    let failed: BTreeSet<u64> = report.violations.iter().map(|(seed, _)| *seed).collect();
    for seed in failed.iter().take(REPLAYS_SHOWN) {
        eprintln!("replay seed {seed}: {}", replay(*seed, &args));
    }
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a seed and prints every event of both its worlds; the second is left out when the first is bad already.
fn trace(seed: u64, size: &Size) -> ExitCode {
    let cheating = Plan::draw(seed, size, cheat_of(seed));
    for (name, plan) in [("with the cheat", cheating.clone()), ("without", cheating.honest())] {
        eprintln!("== {}, {name}", plan.focus);
        let outcome = run(&plan, None, true);
        println!("{name}: {outcome:#?}");
        if !outcome.violations.is_empty() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The command that runs a seed again, event by event.
fn replay(seed: u64, args: &Args) -> String {
    let Args { machines, jobs, hours, .. } = args;
    format!(
        "cargo run -p sim --release -- --seed {seed} --trace --machines {}..{} --jobs {}..{} --hours {hours}",
        machines.start, machines.end, jobs.start, jobs.end
    )
}

/// Runs the seeds on all cores; the report does not depend on who is done first.
fn run_all(args: &Args, seeds: Range<u64>, size: &Size) -> Report {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    let threads = if args.threads == 0 { cores } else { args.threads };
    let next = AtomicU64::new(seeds.start);
    let started = Instant::now();
    let is_late =
        || args.minutes.is_some_and(|minutes| started.elapsed() >= Duration::from_secs(60 * minutes));
    let is_late = &is_late;
    let (sender, results) = mpsc::channel::<SeedResult>();
    let mut all = Vec::new();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || is_late() || sender.send(run_seed(seed, size)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut progress = Progress::new(seeds.end - seeds.start);
        for result in results {
            progress.done(result.cheating.violations.len() + result.honest.violations.len());
            all.push(result);
        }
        eprintln!(
            "{} of {} seeds, {threads} threads, {}",
            all.len(),
            seeds.end - seeds.start,
            progress.took()
        );
    });
    all.sort_by_key(|result| result.seed);
    let mut report = Report::default();
    all.iter().for_each(|result| report.add(result));
    report
}
