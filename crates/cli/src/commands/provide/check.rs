//! `grist provide check`: whether this computer can work, and what to do where it cannot.

use super::{Prepared, options::unusable};
use crate::{
    args::Global,
    exit::{Exit, Failure},
    home::Home,
    output::{Output, Tone},
    session::Session,
    text,
};
use market::resources::Isolation;
use node::{
    api::KeyView,
    provider::{
        Sandbox,
        hardware::{Hardware, fuel_per_second},
    },
};
use serde::Serialize;
use std::{path::Path, time::SystemTime};

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
    home: &Home,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let mut findings = Vec::new();
    let mut found = |what, result: Result<String, String>| {
        let ok = result.is_ok();
        findings.push(Finding { what, ok, says: result.unwrap_or_else(|why| why) });
    };
    let folder = home.data("providers").join("check");
    let hardware = Hardware::find(&folder);
    found("computer", Ok(format!("{}, {} cores, {}", hardware.cpu, hardware.cores, hardware.os)));
    found(
        "gpus",
        Ok(hardware.gpus.as_ref().map_or(hardware.gpu_note.clone(), |g| format!("{}× {}", g.count, g.model))),
    );
    found("terms", terms(prepared, &hardware).map_err(said));
    for line in runner::enforceable().mechanisms {
        let says = format!("{}: {}", line.mechanism, line.reason);
        let missing = || format!("{says}; work that demands it goes to others");
        found("isolation", if line.enforced { Ok(says.clone()) } else { Err(missing()) });
    }
    found("worker", worker(&folder));
    match Session::open(global).await {
        Ok(session) => {
            found("market", Ok(session.market.address().to_string()));
            found("clock", clock(&session));
            found("machine", machine(&session, prepared).await.map_err(said));
            found("bond", bond(&session, prepared).await.map_err(said));
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

/// What would be sold, and at which price.
fn terms(prepared: &Prepared, hardware: &Hardware) -> Result<String, Failure> {
    let capacity = prepared.config.capacity(hardware).map_err(unusable)?;
    let policy = prepared.config.policy(hardware, &capacity, Isolation::Wasm, 0).map_err(unusable)?;
    let prices: Vec<String> = policy.offers.iter().map(|offer| text::rate(&offer.rate)).collect();
    Ok(format!("{} at {}", text::resources(&capacity), prices.join(", ")))
}

/// Whether the bond is as large as its owner wants it. A machine that only has its own key cannot see it.
async fn bond(session: &Session, prepared: &Prepared) -> Result<String, Failure> {
    let wanted = prepared.config.bond.0;
    let Some(party) = session.party_if_any().await? else {
        return Ok(format!(
            "{wanted} wanted; the party's key is not here, so nobody can tell whether it is locked"
        ));
    };
    let locked = session.market.account(&party.secret).await?.bond_msat;
    if locked >= wanted {
        return Ok(format!("{locked} locked"));
    }
    Err(Failure::new(Exit::Money, format!("{locked} locked, {wanted} wanted: run `grist wallet bond lock`")))
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

/// Starts a worker and runs the benchmark in it, as a task of a lease would run.
fn worker(folder: &Path) -> Result<String, String> {
    let sandbox = super::sandbox(folder).map_err(said)?;
    let fuel_per_second = fuel_per_second(&sandbox).map_err(|e| e.to_string())?;
    let isolation = text::word(&sandbox.isolation());
    Ok(format!("runs tasks in isolation `{isolation}`, {:.2} G fuel a second", fuel_per_second as f64 / 1e9))
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
    let label = &prepared.label;
    let file = prepared.machine_key.clone().unwrap_or_else(|| session.home.machine_key(label));
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
