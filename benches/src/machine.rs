//! What the numbers were taken on.

use std::{fs, path::Path, process::Command};

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
