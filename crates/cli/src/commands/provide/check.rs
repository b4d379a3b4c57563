//! `grist provide check`: whether this computer can work, and what to do where it cannot.

use super::Prepared;
use crate::{
    args::Global,
    commands::machine::read_or_make,
    exit::{Exit, Failure},
    home::Home,
    output::{Output, Tone},
    session::address,
};
use node::provider::check::{Check, CheckUp, Grade};
use std::sync::Arc;

/// Looks at everything; fails when something keeps the machine from working.
pub(super) async fn run(
    prepared: &Prepared,
    home: &Home,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let address = address(global, home)?.to_string();
    let key_file = prepared.machine_key.clone().unwrap_or_else(|| home.machine_key(&prepared.label));
    // A key that nobody has certified is worth nothing yet, so making one here does no harm.
    let secret = read_or_make(&key_file)?;
    let state_dir = home.data("providers").join("check");
    let sandbox = Arc::new(super::sandbox(&state_dir)?);
    let enforcement = sandbox.enforcement().clone();
    let check_up = CheckUp {
        address: &address,
        secret: &secret,
        key_file: &key_file,
        config: &prepared.config,
        state_dir,
        sandbox,
        enforcement: &enforcement,
    };
    let checks = check_up.run().await;
    output.result(&checks, || checks.iter().map(|check| told(check, output)).collect())?;
    match checks.iter().filter(|check| check.grade == Grade::Fail).count() {
        0 => Ok(()),
        failed => Err(Failure::new(Exit::NotVerified, format!("{failed} of {} checks failed", checks.len()))),
    }
}

fn told(check: &Check, output: &Output) -> String {
    let mark = match check.grade {
        Grade::Ok => output.tone(Tone::Good, "ok  "),
        Grade::Warn => output.tone(Tone::Strong, "look"),
        Grade::Fail => output.tone(Tone::Bad, "FAIL"),
    };
    format!("{mark}  {:10} {}\n", check.name, check.says)
}
