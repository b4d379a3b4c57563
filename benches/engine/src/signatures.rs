//! What comes before the engine: reading a statement and checking its signature, on all cores.

use crate::cpu::cpu_time;
use market::{
    command::Command,
    id::OfferId,
    key::SecretKey,
    statement::{Payload, Statement},
    units::TimeMs,
};
use report::table::per_second;
use std::thread;

/// Statements that each core checks.
const STATEMENTS: u64 = 20_000;

/// Prints how many statements a second all cores together can check.
pub(crate) fn report() -> anyhow::Result<()> {
    let venue = SecretKey::from_bytes([255; 32]).public();
    let signer = SecretKey::from_bytes([1; 32]);
    let sign = |nonce| {
        let command = Command::WithdrawOffer { offer: OfferId(nonce) };
        let payload = Payload { v: 1, venue, not_after_ms: TimeMs(1), nonce, seen: None, command };
        Statement::sign(&signer, &payload)
    };
    let statements: Vec<Statement> = (0..STATEMENTS).map(sign).collect::<Result<_, _>>()?;
    let cores = thread::available_parallelism()?.get();
    let check = || {
        let started = cpu_time();
        let all_good = statements.iter().all(|statement| statement.check(&venue).is_ok());
        all_good.then(|| cpu_time() - started)
    };
    let spent = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(check)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()?).collect::<Vec<_>>()
    });
    anyhow::ensure!(spent.len() == cores, "a good signature is refused");
    let rate: f64 = spent.iter().map(|spent| STATEMENTS as f64 / spent.as_secs_f64()).sum();
    println!("statements read and signatures checked, {cores} cores: {}\n", per_second(rate));
    Ok(())
}
