//! What this computer has.

use market::name::Name;
use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, RefreshKind, System};

/// What was found.
#[derive(Debug, Clone)]
pub(crate) struct Computer {
    /// CPU cores, in thousandths.
    pub(crate) cpu_milli: u64,
    /// Memory, in MiB.
    pub(crate) memory_mib: u64,
    /// Free space where the data folder is, in MiB.
    pub(crate) disk_mib: u64,
    /// The processor, as a hardware class.
    pub(crate) class: Name,
}

impl Computer {
    /// Looks at this computer.
    pub(crate) fn found() -> Computer {
        let kinds = RefreshKind::nothing()
            .with_memory(MemoryRefreshKind::nothing().with_ram())
            .with_cpu(CpuRefreshKind::nothing());
        let system = System::new_with_specifics(kinds);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let brand = system.cpus().first().map(|cpu| cpu.brand().to_owned()).unwrap_or_default();
        let class = Name::slug(&brand).or_else(|| Name::slug(std::env::consts::ARCH));
        let disks = Disks::new_with_refreshed_list();
        let disk = disks.iter().map(sysinfo::Disk::available_space).max().unwrap_or(0);
        Computer {
            cpu_milli: cores as u64 * 1_000,
            memory_mib: system.total_memory() >> 20,
            disk_mib: disk >> 20,
            class: class.unwrap_or_else(|| unreachable!("the name of an architecture has letters")),
        }
    }

    /// How busy it is: processes that want a core, averaged over a minute.
    pub(crate) fn load() -> f64 {
        System::load_average().one
    }
}
