//! What machines have and what work needs, in integer units.

use crate::{name::Name, sparse::serialize_sparsely};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// GPUs of one model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpus {
    /// Model, such as `nvidia-h100-80gb-hbm3`.
    pub model: Name,
    /// How many.
    pub count: u32,
    /// Memory of each, in MiB.
    pub memory_mib: u64,
}

/// Countable capacity: what a machine has in all, what an offer sells, what a lease reserves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Thousandths of a CPU core.
    pub cpu_milli: u64,
    /// Main memory, in MiB.
    pub memory_mib: u64,
    /// Disk space, in MiB.
    #[serde(default)]
    pub disk_mib: u64,
    /// Upload bandwidth, in Mbit/s.
    #[serde(default)]
    pub upload_mbps: u64,
    /// GPUs of one model.
    #[serde(default)]
    pub gpus: Option<Gpus>,
}

serialize_sparsely!(Resources { cpu_milli, memory_mib, disk_mib, upload_mbps, gpus } but gpus when there);

/// One kind of capacity, for telling what is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// CPU time.
    Cpu,
    /// Main memory.
    Memory,
    /// Disk space.
    Disk,
    /// Upload bandwidth.
    Upload,
    /// GPU model.
    GpuModel,
    /// Number of GPUs.
    GpuCount,
    /// Memory of each GPU.
    GpuMemory,
}

impl Resources {
    /// The largest count of any kind that the market takes; anything above is a mistake.
    pub const MAX_COUNT: u64 = 1 << 40;

    /// Whether every count is in range and something is there at all.
    pub fn is_sane(&self) -> bool {
        let gpus_sane = self
            .gpus
            .as_ref()
            .is_none_or(|g| g.count > 0 && g.count <= 1 << 16 && g.memory_mib <= Self::MAX_COUNT);
        let counts = [self.cpu_milli, self.memory_mib, self.disk_mib, self.upload_mbps];
        gpus_sane && self.cpu_milli > 0 && self.memory_mib > 0 && counts.iter().all(|n| *n <= Self::MAX_COUNT)
    }

    /// What of `self` is too little for `need`; `None` when all of it is enough.
    pub fn shortage(&self, need: &Resources) -> Option<ResourceKind> {
        let short = |have: u64, want: u64, kind| (have < want).then_some(kind);
        short(self.cpu_milli, need.cpu_milli, ResourceKind::Cpu)
            .or_else(|| short(self.memory_mib, need.memory_mib, ResourceKind::Memory))
            .or_else(|| short(self.disk_mib, need.disk_mib, ResourceKind::Disk))
            .or_else(|| short(self.upload_mbps, need.upload_mbps, ResourceKind::Upload))
            .or_else(|| {
                let want = need.gpus.as_ref()?;
                match &self.gpus {
                    Some(have) if have.model != want.model => Some(ResourceKind::GpuModel),
                    Some(have) => short(have.count.into(), want.count.into(), ResourceKind::GpuCount)
                        .or_else(|| short(have.memory_mib, want.memory_mib, ResourceKind::GpuMemory)),
                    None => Some(ResourceKind::GpuCount),
                }
            })
    }

    /// Whether all of it is enough for `need` so many times over.
    pub fn holds(&self, need: &Resources, times: u32) -> bool {
        need.times(times).is_some_and(|all| self.shortage(&all).is_none())
    }

    /// So many times as much of everything that is used up; a GPU's memory comes with each GPU.
    fn times(&self, times: u32) -> Option<Resources> {
        let all = |count: u64| count.checked_mul(times.into());
        let gpus = match &self.gpus {
            Some(gpus) => Some(Gpus { count: gpus.count.checked_mul(times)?, ..gpus.clone() }),
            None => None,
        };
        Some(Resources {
            cpu_milli: all(self.cpu_milli)?,
            memory_mib: all(self.memory_mib)?,
            disk_mib: all(self.disk_mib)?,
            upload_mbps: all(self.upload_mbps)?,
            gpus,
        })
    }

    /// `self − used`, or `None` when there is less than that.
    pub fn minus(&self, used: &Resources) -> Option<Resources> {
        let gpus = match (&self.gpus, &used.gpus) {
            (have, None) => have.clone(),
            (Some(have), Some(take)) if have.model == take.model => {
                Some(Gpus { count: have.count.checked_sub(take.count)?, ..have.clone() })
            }
            (_, Some(_)) => return None,
        };
        Some(Resources {
            cpu_milli: self.cpu_milli.checked_sub(used.cpu_milli)?,
            memory_mib: self.memory_mib.checked_sub(used.memory_mib)?,
            disk_mib: self.disk_mib.checked_sub(used.disk_mib)?,
            upload_mbps: self.upload_mbps.checked_sub(used.upload_mbps)?,
            gpus,
        })
    }

    /// `self + freed`, the inverse of [`Resources::minus`].
    pub fn plus(&self, freed: &Resources) -> Resources {
        let gpus = match (&self.gpus, &freed.gpus) {
            (Some(have), Some(back)) => {
                Some(Gpus { count: have.count.saturating_add(back.count), ..have.clone() })
            }
            (Some(have), None) => Some(have.clone()),
            (None, back) => back.clone(),
        };
        Resources {
            cpu_milli: self.cpu_milli.saturating_add(freed.cpu_milli),
            memory_mib: self.memory_mib.saturating_add(freed.memory_mib),
            disk_mib: self.disk_mib.saturating_add(freed.disk_mib),
            upload_mbps: self.upload_mbps.saturating_add(freed.upload_mbps),
            gpus,
        }
    }
}

/// How strongly a machine separates a stranger's work from itself. Stronger satisfies weaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// A WebAssembly sandbox in a process of its own.
    Wasm,
    /// The same, in a process that the kernel confines as well (landlock, seccomp, rlimits).
    WasmConfined,
}

/// Free-form facts about a machine (`driver = "560"`), at most [`MAX_ATTRIBUTES`].
pub type Attributes = BTreeMap<Name, Name>;

/// How many attributes an offer or an order may carry.
pub const MAX_ATTRIBUTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Resources {
        let gpus = Some(Gpus { model: "rtx-4090".parse().unwrap(), count: 2, memory_mib: 24_576 });
        Resources { cpu_milli: 8_000, memory_mib: 16_384, disk_mib: 100, upload_mbps: 50, gpus }
    }

    #[test]
    fn capacity_taken_and_given_back_is_the_same() {
        let need = Resources {
            cpu_milli: 1_000,
            gpus: Some(Gpus { count: 1, ..machine().gpus.unwrap() }),
            ..Resources::default()
        };
        let left = machine().minus(&need).unwrap();
        assert_eq!(left.gpus.as_ref().unwrap().count, 1);
        assert_eq!(left.plus(&need), machine());
    }

    #[test]
    fn a_machine_holds_a_need_as_often_as_it_can_be_taken_away() {
        let gpus = Some(Gpus { count: 1, memory_mib: 20_000, ..machine().gpus.unwrap() });
        for need in [
            Resources { cpu_milli: 3_000, ..Resources::default() },
            Resources { upload_mbps: 25, gpus, ..Resources::default() },
            machine(),
        ] {
            let mut left = Some(machine());
            for times in 1..=4 {
                left = left.filter(|left| left.shortage(&need).is_none()).and_then(|left| left.minus(&need));
                assert_eq!(machine().holds(&need, times), left.is_some(), "{need:?} {times} times");
            }
        }
        assert!(!machine().holds(&machine(), u32::MAX), "the product is larger than any count");
    }

    #[test]
    fn a_shortage_names_what_is_short() {
        let need = Resources { memory_mib: 20_000, ..Resources::default() };
        assert_eq!(machine().shortage(&need), Some(ResourceKind::Memory));
        let other = Some(Gpus { model: "h100".parse().unwrap(), count: 1, memory_mib: 1 });
        assert_eq!(
            machine().shortage(&Resources { gpus: other, ..Resources::default() }),
            Some(ResourceKind::GpuModel)
        );
        assert_eq!(machine().shortage(&Resources::default()), None);
    }
}
