//! What a machine has: found out, never guessed. What cannot be found is left out and said so.

use super::sandbox::{Program, Sandbox, StartError};
use market::{
    id::Digest,
    name::Name,
    resources::{Attributes, Gpus},
};
use nvml_wrapper::{Nvml, error::NvmlError};
use runner::{Limits, Outcome, Profile, TaskInput};
use serde::Serialize;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Instant};
use sysinfo::{Disks, System};

/// A machine's hardware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hardware {
    /// The processor's model, as it calls itself.
    pub cpu: String,
    /// The architecture: `x86_64`, `aarch64`.
    pub arch: String,
    /// Logical cores.
    pub cores: u64,
    /// Main memory, in MiB.
    pub memory_mib: u64,
    /// Free disk space where the state is kept, in MiB; none if the system does not say.
    pub disk_free_mib: Option<u64>,
    /// The operating system, with its version.
    pub os: String,
    /// GPUs of the most frequent model.
    pub gpus: Option<Gpus>,
    /// What was found about GPUs, in words.
    pub gpu_note: String,
}

impl Hardware {
    /// Looks at this machine. `state_dir` is where the disk matters.
    pub fn find(state_dir: &Path) -> Hardware {
        let mut system = System::new();
        system.refresh_memory();
        system.refresh_cpu_all();
        let cpu = system.cpus().first().map_or_else(String::new, |cpu| cpu.brand().trim().to_owned());
        let (gpus, gpu_note) = find_gpus();
        Hardware {
            cpu: if cpu.is_empty() { "unknown".into() } else { cpu },
            arch: System::cpu_arch(),
            cores: system.cpus().len().max(1) as u64,
            memory_mib: system.total_memory() >> 20,
            disk_free_mib: disk_free_mib(state_dir),
            os: System::long_os_version().unwrap_or_else(|| "unknown".into()),
            gpus,
            gpu_note,
        }
    }

    /// The hardware class: what reputation is kept for. Architecture and cores, or the GPUs where there are any.
    pub fn class(&self) -> Option<Name> {
        match &self.gpus {
            Some(gpus) => Name::slug(&format!("{}x-{}", gpus.count, gpus.model)),
            None => Name::slug(&format!("{}-{}c", self.arch.replace('_', "-"), self.cores)),
        }
    }

    /// Facts for offers.
    pub fn attributes(&self) -> Attributes {
        let facts =
            [("cpu", Name::slug(&self.cpu)), ("os", Name::slug(&self.os)), ("arch", Name::slug(&self.arch))];
        let facts = facts.into_iter().filter_map(|(key, value)| Some((key.parse().ok()?, value?)));
        facts.collect()
    }
}

/// The disk whose mount point is the longest that the folder lies under.
fn disk_free_mib(folder: &Path) -> Option<u64> {
    let folder = folder.canonicalize().ok()?;
    let disks = Disks::new_with_refreshed_list();
    let holding = disks.iter().filter(|disk| folder.starts_with(disk.mount_point()));
    let disk = holding.max_by_key(|disk| disk.mount_point().as_os_str().len())?;
    Some(disk.available_space() >> 20)
}

fn find_gpus() -> (Option<Gpus>, String) {
    match list_gpus() {
        Ok(models) if models.is_empty() => (None, "no NVIDIA GPU".into()),
        Ok(models) => {
            let most = models.into_iter().max_by_key(|(_, count)| *count);
            let gpus = most.map(|((model, memory_mib), count)| Gpus { model, count, memory_mib });
            let note = gpus
                .as_ref()
                .map(|gpus| format!("{} × {}, {} MiB each", gpus.count, gpus.model, gpus.memory_mib));
            (gpus, note.unwrap_or_default())
        }
        Err(error) => (None, format!("no NVIDIA GPU found ({error})")),
    }
}

/// GPUs by model and memory, with how many there are.
fn list_gpus() -> Result<BTreeMap<(Name, u64), u32>, NvmlError> {
    let nvml = Nvml::init()?;
    let mut models = BTreeMap::new();
    for index in 0..nvml.device_count()? {
        let device = nvml.device_by_index(index)?;
        let memory_mib = device.memory_info()?.total >> 20;
        if let Some(model) = Name::slug(&device.name()?) {
            *models.entry((model, memory_mib)).or_insert(0) += 1;
        }
    }
    Ok(models)
}

const BENCHMARK: &[u8] = include_bytes!("benchmark.wasm");
/// Fuel of the benchmark: a fraction of a second on a current core.
const BENCHMARK_FUEL: u64 = 300_000_000;
const BENCHMARK_WALL_MS: u64 = 20_000;
/// How often a worker runs it.
const BENCHMARK_RUNS: usize = 3;

/// Why the speed could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchmarkError {
    /// No worker.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The worker died.
    #[error("the benchmark's worker ended: {0}")]
    Worker(#[from] runner::WorkerError),
    /// It did not burn its fuel in time.
    #[error("the benchmark did not finish within {BENCHMARK_WALL_MS} ms: the machine is overloaded")]
    Late,
}

/// Measures how much fuel one core burns in a second while so many of them work, in the sandbox that tasks run in: the slowest
/// that was seen. Blocks.
pub fn fuel_per_second(sandbox: &dyn Sandbox, workers: usize) -> Result<u64, BenchmarkError> {
    std::thread::scope(|scope| {
        let running: Vec<_> =
            (0..workers.max(1)).map(|_| scope.spawn(|| slowest_fuel_per_second(sandbox))).collect();
        let speeds = running.into_iter().map(|worker| worker.join().unwrap_or(Err(BenchmarkError::Late)));
        speeds.collect::<Result<Vec<u64>, _>>()?.into_iter().min().ok_or(BenchmarkError::Late)
    })
}

/// The slowest of a few runs of one worker.
fn slowest_fuel_per_second(sandbox: &dyn Sandbox) -> Result<u64, BenchmarkError> {
    let limits =
        Limits { memory_bytes: 16 << 20, output_bytes: 1, fuel: BENCHMARK_FUEL, wall_ms: BENCHMARK_WALL_MS };
    let program = Program { profile: Profile::newest(), wasm: Arc::from(BENCHMARK), limits, input_bytes: 0 };
    let mut worker = sandbox.start(&program)?;
    let input = TaskInput::new(Digest([0; 32]));
    // The first run warms memory and caches.
    worker.run(&input, &Limits { fuel: BENCHMARK_FUEL / 10, ..limits })?;
    let mut slowest = u64::MAX;
    for _ in 0..BENCHMARK_RUNS {
        let started = Instant::now();
        match worker.run(&input, &limits)? {
            Outcome::Finished(_) => {
                let us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
                slowest = slowest.min(BENCHMARK_FUEL.saturating_mul(1_000_000) / us);
            }
            Outcome::Inconclusive(_) | Outcome::Invalid(_) => return Err(BenchmarkError::Late),
        }
    }
    Ok(slowest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::InProcess;

    #[test]
    fn the_benchmark_is_the_one_whose_text_is_beside_it() {
        assert_eq!(wat::parse_str(include_str!("benchmark.wat")).unwrap(), BENCHMARK);
    }

    #[test]
    fn the_benchmark_burns_all_its_fuel() {
        assert!(fuel_per_second(&InProcess, 2).unwrap() > 0);
    }

    #[test]
    fn this_machine_has_a_class() {
        let hardware = Hardware::find(Path::new("."));
        assert!(hardware.cores > 0 && hardware.memory_mib > 0, "{hardware:?}");
        assert!(hardware.class().is_some() && !hardware.gpu_note.is_empty());
    }

    #[test]
    fn a_class_names_architecture_and_cores_or_the_gpus() {
        let mut hardware = Hardware {
            cpu: "AMD Ryzen 9".into(),
            arch: "x86_64".into(),
            cores: 8,
            memory_mib: 1,
            disk_free_mib: None,
            os: "Linux 6.1 Debian".into(),
            gpus: None,
            gpu_note: String::new(),
        };
        assert_eq!(hardware.class().unwrap().as_str(), "x86-64-8c");
        assert_eq!(hardware.attributes()["cpu"].as_str(), "amd-ryzen-9");
        hardware.gpus = Some(Gpus { model: "rtx-4090".parse().unwrap(), count: 2, memory_mib: 24_576 });
        assert_eq!(hardware.class().unwrap().as_str(), "2x-rtx-4090");
    }
}
