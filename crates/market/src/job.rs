//! Jobs: what is to be run, in how many tasks, within which limits, and how it is verified.

use crate::{
    id::{Digest, PartyId},
    sparse::serialize_sparsely,
    units::{PPM, big_u64},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How results are verified (see [`crate::verify`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Verification {
    /// Not at all; the receipt says so.
    None,
    /// Each task runs on different parties' machines until `k` results agree to the bit, on at most `n`.
    Replicas {
        /// How many must agree; at least 2.
        k: u8,
        /// How many may be asked; at least `k`.
        n: u8,
        /// Parties that the buyer names: replicas are drawn among these alone. Empty: among all.
        #[serde(default)]
        named: Vec<PartyId>,
    },
    /// A share of the tasks, chosen by a seed that nobody can choose, is run again by somebody else.
    Audit {
        /// The smallest share of a party's tasks that is audited, in parts per million; newcomers are audited more.
        floor_ppm: u32,
    },
}

impl Verification {
    /// The most replicas of one task.
    pub const MAX_REPLICAS: u8 = 9;
}

/// What one task may use. Exhausting fuel is a result like any other (it is deterministic); exhausting time or the
/// machine's memory is inconclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskLimits {
    /// Linear memory of the module, in MiB.
    pub memory_mib: u64,
    /// Everything that it writes, in bytes.
    pub output_bytes: u64,
    /// Instructions, in fuel of the execution profile.
    #[serde(with = "big_u64")]
    pub fuel: u64,
    /// From claim to commit, in milliseconds of the venue's clock.
    pub timeout_ms: u64,
}

/// A file that every task of the job can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFile {
    /// Where the task sees it, relative to `/in`.
    pub path: String,
    /// The blob.
    pub blob: Digest,
    /// Its size.
    #[serde(with = "big_u64")]
    pub bytes: u64,
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// For people; at most 64 characters.
    pub name: String,
    /// Name of the execution profile: exact engine version, flags, fuel table.
    pub profile: String,
    /// The WebAssembly module.
    pub module: Digest,
    /// Arguments; `{task}` and `{tasks}` stand for the task's number (from 0) and the number of tasks.
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment, beside `GRIST_TASK` and `GRIST_TASKS`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What tasks read from standard input.
    #[serde(default)]
    pub stdin: Option<Digest>,
    /// Input files.
    #[serde(default)]
    pub inputs: Vec<InputFile>,
    /// How many tasks.
    pub tasks: u32,
    /// How many attempts may run at once, over all leases.
    pub max_parallel: u32,
    /// How many failed attempts of one task (lost, late, inconclusive, wrong) are followed by another.
    pub retries: u8,
    /// Whether idle leases run tasks a second time that take far longer than the others.
    #[serde(default)]
    pub duplicate_stragglers: bool,
    /// Limits of each task.
    pub limits: TaskLimits,
    /// How results are verified.
    pub verification: Verification,
}

serialize_sparsely!(JobSpec {
    name, profile, module, args, env, stdin, inputs, tasks, max_parallel, retries, duplicate_stragglers, limits,
    verification,
} but stdin when there);

impl JobSpec {
    /// The most tasks of one job.
    pub const MAX_TASKS: u32 = 1_000_000;
    /// The most bytes of arguments and environment together.
    pub const MAX_TEXT_BYTES: usize = 16_384;
    /// The most input files.
    pub const MAX_INPUTS: usize = 256;

    /// The first thing that makes the job unusable, in words.
    pub fn flaw(&self) -> Option<&'static str> {
        let text: usize = self.args.iter().map(String::len).sum::<usize>()
            + self.env.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
        let limits = &self.limits;
        if self.name.is_empty() || self.name.chars().count() > 64 || self.name.chars().any(char::is_control) {
            Some("the name must have 1 to 64 printable characters")
        } else if self.tasks == 0 || self.tasks > Self::MAX_TASKS {
            Some("a job has 1 to 1000000 tasks")
        } else if self.max_parallel == 0 {
            Some("max_parallel is zero")
        } else if text > Self::MAX_TEXT_BYTES || self.args.len() > 256 || self.env.len() > 256 {
            Some("arguments and environment are larger than 16 KiB or more than 256")
        } else if self.inputs.len() > Self::MAX_INPUTS {
            Some("more than 256 input files")
        } else if self.inputs.iter().any(|file| !is_safe_path(&file.path)) {
            Some("an input path must be relative, without `..`, empty parts or control characters")
        } else if limits.memory_mib == 0 || limits.memory_mib > 4_096 {
            Some("limits.memory_mib must be 1 to 4096")
        } else if limits.output_bytes == 0 || limits.output_bytes > 1 << 30 {
            Some("limits.output_bytes must be 1 to 1 GiB")
        } else if limits.fuel == 0 || limits.timeout_ms == 0 || limits.timeout_ms > 7 * 86_400_000 {
            Some("limits.fuel and limits.timeout_ms must be above zero, the timeout at most a week")
        } else {
            self.verification_flaw()
        }
    }

    fn verification_flaw(&self) -> Option<&'static str> {
        match &self.verification {
            Verification::None => None,
            Verification::Replicas { k, n, named } => {
                if *k < 2 || n < k || *n > Verification::MAX_REPLICAS {
                    Some("replicas need 2 <= k <= n <= 9")
                } else if named.len() > 64 || (!named.is_empty() && named.len() < usize::from(*k)) {
                    Some("name at least k parties for the replicas, at most 64, or none")
                } else {
                    None
                }
            }
            Verification::Audit { floor_ppm } => {
                (u64::from(*floor_ppm) > PPM).then_some("an audit share above 1000000 ppm")
            }
        }
    }

    /// The arguments of one task.
    pub fn args_of(&self, task: u32) -> Vec<String> {
        let (task, tasks) = (task.to_string(), self.tasks.to_string());
        self.args.iter().map(|arg| arg.replace("{task}", &task).replace("{tasks}", &tasks)).collect()
    }

    /// The environment of one task.
    pub fn env_of(&self, task: u32) -> BTreeMap<String, String> {
        let mut env = self.env.clone();
        env.insert("GRIST_TASK".into(), task.to_string());
        env.insert("GRIST_TASKS".into(), self.tasks.to_string());
        env
    }
}

/// Whether a path is relative, has no `.`, `..` or empty part and nothing that a file system could take differently.
pub fn is_safe_path(path: &str) -> bool {
    path.len() <= 512
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && part.len() <= 255)
        && !path.chars().any(|c| c.is_control() || c == '\\' || c == ':')
}
