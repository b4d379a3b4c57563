//! Small tasks from one end to the other, beside Ray with as many workers.
//!
//! Ours: `grist run` of 10,000 empty WebAssembly tasks over two providers, from starting the command until the results
//! are fetched and the receipt is checked. Ray: `ray.get` of 10,000 empty functions on two warm workers. `GRIST` names
//! our program, `RAY_PYTHON` a Python that has Ray.

use report::{
    machine,
    pool::{Pool, peer_number},
    samples::median,
    table::{Table, per_second, verdict},
};
use std::{path::Path, process::Command};

const TASKS: u32 = 10_000;
const PROVIDERS: usize = 2;
/// Rounds; ours and the peer's take turns.
const ROUNDS: usize = 3;

fn main() -> anyhow::Result<()> {
    println!("tasks: {}", machine::line(Path::new("/var/tmp")));
    let pool = Pool::start(PROVIDERS)?;
    pool.fund("1000000sat")?;
    // The module is compiled once, and Ray's workers are warm as well.
    pool.run(&pool.empty_job("warm", 10, PROVIDERS as u32)?)?;
    let job = pool.empty_job("empty", TASKS, PROVIDERS as u32)?;
    let (mut ours, mut theirs) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        theirs.extend(ray()?);
        ours.push(f64::from(TASKS) / pool.run(&job)?.as_secs_f64());
    }
    let mut table = Table::new(["", "Ray", "grist", "ratio", "aim", ""]);
    let (ours, ratio) = (median(ours.clone()), median(ours) / median(theirs.clone()));
    let theirs = if theirs.is_empty() { "not installed".into() } else { per_second(median(theirs)) };
    let what = format!("{TASKS} empty tasks, {PROVIDERS} workers");
    table.row([what, theirs, per_second(ours), format!("{ratio:.2}"), "2 ×".into(), verdict(ratio >= 2.0)]);
    println!("{table}");
    Ok(())
}

/// Ray's tasks a second, in a network namespace that has loopback alone.
fn ray() -> anyhow::Result<Option<f64>> {
    let Some(python) = std::env::var_os("RAY_PYTHON") else { return Ok(None) };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin/tasks/ray_tasks.py");
    let enter = "ip link set lo up && exec \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--net", "sh", "-c", enter])
        .arg(python)
        .arg(script)
        .arg(TASKS.to_string())
        .arg(PROVIDERS.to_string());
    peer_number(&mut command)
}
