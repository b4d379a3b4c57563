//! What a worker process may do: nothing but compute and talk to its parent. How that is enforced depends on the
//! system; what is enforced is always reported.

use serde::{Deserialize, Serialize};
use std::fmt;

#[cfg(target_os = "linux")]
#[path = "sandbox/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "sandbox/other.rs"]
mod system;

pub(crate) use system::{enter, lock};

/// One way to hold a worker process in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mechanism {
    /// No file can be opened (Landlock).
    Files,
    /// Only the system calls of a computation are allowed: opening a file is refused, any other call kills the process.
    /// No sockets, no new processes or threads, no other programs (seccomp).
    SystemCalls,
    /// Memory, file size, descriptors, processes and core dumps are limited (rlimits).
    Resources,
    /// No program can raise its privileges (`no_new_privs`).
    Privileges,
    /// No other process of the user can read its memory.
    Memory,
    /// It is killed when its parent dies.
    Lifetime,
    /// It runs with low priority.
    Priority,
}

impl Mechanism {
    /// Every mechanism.
    pub const ALL: [Mechanism; 7] = [
        Mechanism::Files,
        Mechanism::SystemCalls,
        Mechanism::Resources,
        Mechanism::Privileges,
        Mechanism::Memory,
        Mechanism::Lifetime,
        Mechanism::Priority,
    ];
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mechanism::Files => "file access (landlock)",
            Mechanism::SystemCalls => "system calls (seccomp)",
            Mechanism::Resources => "resource limits (rlimits)",
            Mechanism::Privileges => "no new privileges",
            Mechanism::Memory => "memory hidden from other processes",
            Mechanism::Lifetime => "dies with its parent",
            Mechanism::Priority => "low priority",
        })
    }
}

/// Whether one mechanism is enforced, and why not or how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforced {
    /// Which mechanism.
    pub mechanism: Mechanism,
    /// Whether it holds.
    pub enforced: bool,
    /// How it is enforced, or why it is not, in words.
    pub reason: String,
}

/// What holds a worker process in its place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforcement {
    /// One line for each mechanism.
    pub mechanisms: Vec<Enforced>,
}

impl Enforcement {
    /// Whether that mechanism is enforced.
    pub fn enforces(&self, mechanism: Mechanism) -> bool {
        self.mechanisms.iter().any(|line| line.mechanism == mechanism && line.enforced)
    }

    /// Those of `required` that are not enforced.
    pub fn missing(&self, required: &[Mechanism]) -> Vec<Mechanism> {
        required.iter().copied().filter(|&mechanism| !self.enforces(mechanism)).collect()
    }

    pub(crate) fn note<E: fmt::Display>(&mut self, mechanism: Mechanism, result: Result<String, E>) {
        let (enforced, reason) = match result {
            Ok(how) => (true, how),
            Err(why) => (false, why.to_string()),
        };
        self.mechanisms.push(Enforced { mechanism, enforced, reason });
    }
}

impl fmt::Display for Enforcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.mechanisms {
            let mark = if line.enforced { "enforced" } else { "NOT enforced" };
            writeln!(f, "{}: {mark} ({})", line.mechanism, line.reason)?;
        }
        Ok(())
    }
}

/// What a worker process is limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SandboxConfig {
    /// Private memory, in bytes.
    pub(crate) data_bytes: u64,
    /// How much nicer than its parent it is, 0 to 19.
    pub(crate) nice: u8,
}

/// What this machine could enforce, without restricting the process that asks.
pub fn enforceable() -> Enforcement {
    system::enforceable()
}
