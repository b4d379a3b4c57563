//! What comes before the engine: reading a statement and checking its signature, on all cores.

use anyhow::Context;
use benches::table::per_second;
use market::{
    command::Command,
    id::OfferId,
    key::SecretKey,
    statement::{Payload, Statement},
    units::TimeMs,
};
use std::{thread, time::Instant};

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
    let started = Instant::now();
    let all_good = thread::scope(|scope| {
        let check = || statements.iter().all(|statement| statement.check(&venue).is_ok());
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(check)).collect();
        threads.into_iter().all(|thread| thread.join().is_ok_and(|good| good))
    });
    let rate = (cores as u64 * STATEMENTS) as f64 / started.elapsed().as_secs_f64();
    all_good.then_some(()).context("a good signature is refused")?;
    println!("statements read and signatures checked, {cores} cores: {}\n", per_second(rate));
    Ok(())
}
