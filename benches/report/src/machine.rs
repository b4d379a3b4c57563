//! What the numbers were taken on.

use anyhow::Context;
use std::{fs, path::Path, process::Command};

/// How much memory a process has.
pub fn resident_bytes(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the process is gone")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}

/// One line: CPU, cores, kernel, file system of a folder, load.
pub fn line(folder: &Path) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown CPU");
    let cpu = cpu.trim_start_matches(|c: char| c.is_whitespace() || c == ':');
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let disk = Command::new("df").args(["--output=source,fstype"]).arg(folder).output();
    let disk = disk.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let disk: Vec<&str> = disk.lines().nth(1).unwrap_or("unknown").split_whitespace().collect();
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    format!("{cpu}, {cores} cores; Linux {}; disk {}; load {}", kernel.trim(), disk.join(" "), load.join(" "))
}
