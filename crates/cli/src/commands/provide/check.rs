//! `grist provide check`: whether this computer can work, and what to do where it cannot.

use super::Prepared;
use crate::{
    args::Global,
    exit::{Exit, Failure},
    output::{Output, Tone},
    session::Session,
    text,
};
use market::{id::Digest, offer::OfferRole};
use node::{
    api::KeyView,
    provider::{Program, Sandbox, StartError},
};
use runner::{ExitStatus, Limits, Outcome, Profile, TaskInput};
use serde::Serialize;
use std::{sync::Arc, time::SystemTime};

/// A program that does nothing and succeeds: `(module (memory (export "memory") 1) (func (export "_start")))`.
const EMPTY: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\
    \x07\x13\x02\x06memory\x02\0\x06_start\0\0\x0a\x04\x01\x02\0\x0b";
/// A clock that is off by more than this makes statements expire.
const SKEW_MAX_MS: u64 = 60_000;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    says: String,
}

/// Looks at everything; fails when something has to be done.
pub(super) async fn run(
    prepared: &Prepared,
    role: OfferRole,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let mut findings = Vec::new();
    let mut found = |what, result: Result<String, String>| {
        let ok = result.is_ok();
        findings.push(Finding { what, ok, says: result.unwrap_or_else(|why| why) });
    };
    let (options, computer) = (&prepared.options, &prepared.computer);
    found("computer", Ok(text::resources(&options.capacity(computer))));
    found(
        "price",
        options
            .rates()
            .map(|rates| rates.iter().map(text::rate).collect::<Vec<_>>().join(", "))
            .map_err(said),
    );
    for line in runner::enforceable().mechanisms {
        let says = format!("{}: {}", line.mechanism, line.reason);
        found(
            "isolation",
            if line.enforced {
                Ok(says)
            } else {
                Err(format!("{says}; work that demands it goes to others"))
            },
        );
    }
    found("worker", worker(prepared, role, global));
    match Session::open(global).await {
        Ok(session) => {
            found("market", Ok(session.market.address().to_string()));
            found("clock", clock(&session));
            found("machine", machine(&session, prepared).await.map_err(said));
        }
        Err(e) => found("market", Err(e.to_string())),
    }
    output.result(&findings, || told(&findings, output))?;
    let wrong = findings.iter().filter(|finding| !finding.ok).count();
    if wrong == 0 {
        return Ok(());
    }
    Err(Failure::new(Exit::NotVerified, format!("{wrong} of {} checks need attention", findings.len())))
}

fn told(findings: &[Finding], output: &Output) -> String {
    let line = |finding: &Finding| {
        let mark = match finding.ok {
            true => output.tone(Tone::Good, "ok  "),
            false => output.tone(Tone::Bad, "LOOK"),
        };
        format!("{mark} {:10} {}\n", finding.what, finding.says)
    };
    findings.iter().map(line).collect()
}

/// Starts a worker and runs a task in it, as for a lease.
fn worker(prepared: &Prepared, role: OfferRole, global: &Global) -> Result<String, String> {
    let home = crate::home::Home::of(global).map_err(said)?;
    let sandbox = super::sandbox(&home.data("providers").join("check")).map_err(said)?;
    let limits = Limits::default();
    let program = Program { profile: Profile::newest(), wasm: Arc::from(EMPTY), limits, input_bytes: 0 };
    let mut worker = sandbox.start(&program).map_err(|e: StartError| e.to_string())?;
    let outcome = worker.run(&TaskInput::new(Digest::of(EMPTY)), &limits).map_err(|e| e.to_string())?;
    let isolation = text::word(&sandbox.isolation());
    match outcome {
        Outcome::Finished(finished) if finished.exit == ExitStatus::Code(0) => {
            let offers = prepared.options.policy(role, &prepared.computer, sandbox.isolation());
            let offers = offers.map_or(0, |policy| policy.offers.len());
            Ok(format!("runs tasks in isolation `{isolation}`, under {offers} offers"))
        }
        other => Err(format!("an empty task ended with {other:?}")),
    }
}

fn clock(session: &Session) -> Result<String, String> {
    let local = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let skew_ms = session.market.now().0.abs_diff(u64::try_from(local.as_millis()).unwrap_or(u64::MAX));
    if skew_ms <= SKEW_MAX_MS {
        return Ok(format!("{skew_ms} ms from the market's"));
    }
    Err(format!(
        "{} s from the market's: set this computer's clock (it is corrected for, but quiet hours are not)",
        skew_ms / 1_000
    ))
}

async fn machine(session: &Session, prepared: &Prepared) -> Result<String, Failure> {
    let label = prepared.options.label()?;
    let file = prepared.machine_key.clone().unwrap_or_else(|| session.home.machine_key(&label));
    if !file.exists() {
        return Ok(format!("{label} is new: `grist provide` makes its key and certifies it"));
    }
    let secret = crate::keys::read(&file)?;
    match session.market.key(&secret.public()).await? {
        Some(KeyView::Machine { machine, party }) => Ok(format!("{label} is {machine} of {party}")),
        None => Ok(format!("{label} has a key; `grist provide` certifies it at this market")),
        Some(KeyView::Retired) => Err(Failure::new(
            Exit::Key,
            format!("{label} was revoked: move {} away, and `grist provide` makes another", file.display()),
        )),
        Some(KeyView::Party(_)) => {
            Err(Failure::new(Exit::Key, format!("{} is a party's key: name a machine's", file.display())))
        }
    }
}

fn said(failure: Failure) -> String {
    failure.to_string()
}
