//! The sandbox on Linux. Everything Linux-only is in this file.

use super::{Enforcement, Mechanism, SandboxConfig};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr,
    RulesetStatus, Scope,
};
use rustix::process::{self, DumpableBehavior, Resource, Rlimit, Signal};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::collections::BTreeMap;

/// The newest Landlock whose rules are asked for; older kernels enforce what they know.
const LANDLOCK: ABI = ABI::V6;

/// Address space beyond private memory: the reservation of a linear memory with its guards, and the program itself.
const ADDRESS_SPACE_EXTRA_BYTES: u64 = 16 << 30;

/// The first part, before the process starts its threads: what threads inherit.
pub(crate) fn enter(config: &SandboxConfig, report: &mut Enforcement) {
    report.note(Mechanism::Privileges, set_no_new_privileges());
    report.note(Mechanism::Memory, hide_memory());
    report.note(Mechanism::Lifetime, die_with_parent());
    report.note(Mechanism::Priority, lower_priority(config.nice));
    report.note(Mechanism::Files, forbid_files());
}

/// The last part, once all threads run: after it no thread, process or file can be had any more.
pub(crate) fn lock(config: &SandboxConfig, report: &mut Enforcement) {
    report.note(Mechanism::Resources, limit_resources(config.data_bytes));
    report.note(Mechanism::SystemCalls, forbid_system_calls());
}

/// Asks the kernel what it has.
pub(super) fn enforceable() -> Enforcement {
    let mut report = Enforcement::default();
    let always = || Ok::<_, String>("the kernel has it".to_owned());
    let landlock = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create);
    report.note(Mechanism::Files, landlock.map(|_| "the kernel has it".to_owned()));
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    report.note(
        Mechanism::SystemCalls,
        match actions {
            Ok(actions) if actions.split_whitespace().any(|action| action == "kill_process") => always(),
            Ok(_) => Err("the kernel's seccomp cannot kill processes".to_owned()),
            Err(error) => Err(format!("the kernel has no seccomp: {error}")),
        },
    );
    for mechanism in [
        Mechanism::Resources,
        Mechanism::Privileges,
        Mechanism::Memory,
        Mechanism::Lifetime,
        Mechanism::Priority,
    ] {
        report.note(mechanism, always());
    }
    report
}

fn set_no_new_privileges() -> rustix::io::Result<String> {
    rustix::thread::set_no_new_privs(true)?;
    Ok("no_new_privs".into())
}

fn hide_memory() -> rustix::io::Result<String> {
    process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok("not dumpable".into())
}

/// The signal comes when the thread ends that started this process; the parent keeps that thread for as long as it wants
/// the worker.
fn die_with_parent() -> rustix::io::Result<String> {
    process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok("parent death signal".into())
}

fn lower_priority(nice: u8) -> rustix::io::Result<String> {
    let nice = process::nice(i32::from(nice.min(19)))?;
    Ok(format!("nice {nice}"))
}

/// Landlock without a single rule: every access that it knows is forbidden, network and signals included.
fn forbid_files() -> Result<String, String> {
    let restrict = || {
        Ruleset::default()
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?
            .restrict_self()
    };
    let status = restrict().map_err(|error| error.to_string())?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::FullyEnforced, _) => Ok("every access denied".into()),
        (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => {
            Ok(format!("every access denied that Landlock {effective_abi:?} of this kernel knows"))
        }
        _ => Err("the kernel has no Landlock, or it is not switched on (`lsm=landlock`)".into()),
    }
}

/// CPU time is not limited here: a worker lives as long as its lease, and its parent keeps the time of each task.
fn limit_resources(data_bytes: u64) -> Result<String, String> {
    let limits = [
        ("core", Resource::Core, 0),
        ("fsize", Resource::Fsize, 0),
        ("nofile", Resource::Nofile, 16),
        ("nproc", Resource::Nproc, 0),
        ("data", Resource::Data, data_bytes),
        ("as", Resource::As, data_bytes.saturating_add(ADDRESS_SPACE_EXTRA_BYTES)),
    ];
    for (name, resource, wanted) in limits {
        // A lower limit that is already there stays.
        let maximum = process::getrlimit(resource).maximum.map_or(wanted, |now| now.min(wanted));
        process::setrlimit(resource, Rlimit { current: Some(maximum), maximum: Some(maximum) })
            .map_err(|error| format!("the limit `{name}` cannot be set: {error}"))?;
    }
    Ok(format!("{} MiB of memory, no files, no processes, no core dumps", data_bytes >> 20))
}

/// What wasmtime and a loop that reads and writes two pipes need: memory, locks, clocks, signals for traps, exit.
const ALLOWED: [i64; 29] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_read,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Refused without killing: the C library's allocator looks for a setting of the kernel when it gives memory back, and
/// goes on without it.
const REFUSED: [i64; 1] = [libc::SYS_openat];

fn forbid_system_calls() -> Result<String, String> {
    let refused = filter(&REFUSED, SeccompAction::Allow, SeccompAction::Errno(libc::EACCES as u32));
    // The kernel asks both filters and takes the stricter answer, so what is refused above passes here.
    let calls: Vec<i64> = ALLOWED.iter().chain(&REFUSED).copied().collect();
    let allowed = filter(&calls, SeccompAction::KillProcess, SeccompAction::Allow);
    for program in [refused, allowed] {
        let program = program.map_err(|error| error.to_string())?;
        seccompiler::apply_filter_all_threads(&program).map_err(|error| error.to_string())?;
    }
    Ok(format!("{} system calls allowed, opening files refused, any other kills the process", ALLOWED.len()))
}

fn filter(
    calls: &[i64],
    other: SeccompAction,
    these: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let rules: BTreeMap<_, _> = calls.iter().map(|&call| (call, Vec::new())).collect();
    SeccompFilter::new(rules, other, these, std::env::consts::ARCH.try_into()?)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn landlock_alone_denies_every_file() {
        // Landlock binds the thread that asks for it, so the other tests stay free.
        std::thread::spawn(|| match forbid_files() {
            Ok(_) => {
                let error = std::fs::File::open("/etc/passwd").unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
            }
            Err(why) => eprintln!("not tested, this kernel has no Landlock: {why}"),
        })
        .join()
        .unwrap();
    }

    #[test]
    fn asking_what_is_enforceable_restricts_nothing() {
        let report = enforceable();
        assert_eq!(report.mechanisms.len(), Mechanism::ALL.len());
        assert!(std::fs::File::open("/etc/passwd").is_ok());
    }
}
