//! Systems where nothing is enforced. WebAssembly itself still keeps a task in its memory, without files and network.

use super::{Enforcement, Mechanism, SandboxConfig};

/// Nothing can be enforced here.
pub(super) fn enforceable() -> Enforcement {
    let mut report = Enforcement::default();
    for mechanism in Mechanism::ALL {
        report.note::<&str>(mechanism, Err("only done on Linux"));
    }
    report
}

/// Restricts nothing, and says so.
pub(crate) fn enter(_config: &SandboxConfig, report: &mut Enforcement) {
    *report = enforceable();
}

/// Restricts nothing; `enter` has said so.
pub(crate) fn lock(_config: &SandboxConfig, _report: &mut Enforcement) {}
