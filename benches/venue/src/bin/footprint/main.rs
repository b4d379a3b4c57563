//! What a market takes: memory for a million standing offers, and how fast a journal is replayed.

use anyhow::bail;
use market::{
    command::{CERTIFICATE_DOMAIN, Command, TopUpOutcome, certificate_message},
    engine::Engine,
    id::{Digest, MachineId},
    key::{PublicKey, SecretKey},
    offer::{OfferRole, OfferTerms},
    reply::Reply,
    resources::{Attributes, Isolation, Resources},
    statement::{Checked, Payload, Statement},
    units::{Msat, Rate, TimeMs},
};
use node::{
    journal::{FileJournal, Options},
    venue::{NoArchive, Settings, Venue, check_statement, replay},
};
use report::{
    machine::{self, resident_bytes},
    pool::Pool,
    table::{Table, per_second},
};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

const OFFERS: usize = 1_000_000;
const OFFERS_PER_MACHINE: usize = 100;
/// Entries of the journal that is replayed.
const ENTRIES: usize = 100_000;
/// Entries that are made durable together.
const GROUP: usize = 1_000;

fn main() -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("grist-bench-").tempdir_in("/var/tmp")?;
    println!("footprint: {}", machine::line(folder.path()));
    let mut table = Table::new(["", "grist"]);
    let before = resident_bytes(std::process::id())?;
    let engine = market_with_offers()?;
    let taken = resident_bytes(std::process::id())? - before;
    let each = taken / OFFERS as u64;
    table.row([
        format!("memory of a market with {OFFERS} offers"),
        format!("{} MiB, {each} B each", taken >> 20),
    ]);
    drop(engine);
    let journal = folder.path().join("journal");
    let venue = write_journal(&journal)?;
    let started = Instant::now();
    let replayed = replay(&journal, venue, |_| {})?;
    let rate = replayed.entries as f64 / started.elapsed().as_secs_f64();
    table.row([format!("replay of {} journal entries", replayed.entries), per_second(rate)]);
    if std::env::var_os("GRIST").is_some() {
        let pool = Pool::start(1)?;
        thread::sleep(Duration::from_secs(2));
        let idle = pool.providers_memory()?.into_iter().max().unwrap_or(0);
        table.row(["memory of an idle provider".into(), format!("{} MiB", idle >> 20)]);
    }
    println!("{table}");
    Ok(())
}

fn market_with_offers() -> anyhow::Result<Engine> {
    let venue = SecretKey::from_bytes([255; 32]).public();
    let owner = SecretKey::from_bytes([1; 32]);
    let mut engine = Engine::new(venue);
    let mut position = 0u64;
    let mut apply = |engine: &mut Engine, signer: PublicKey, command: Command| {
        position += 1;
        // Minutes pass, so that the market has forgotten most of these statements in the end.
        let now = TimeMs(position);
        let digest = Digest::of(&position.to_le_bytes());
        let statement = Checked { signer, digest, not_after_ms: now.plus(10_000), seen: None, command };
        engine.apply(now, &statement).map(|applied| applied.reply)
    };
    apply(&mut engine, owner.public(), Command::RegisterParty { label: "owner".into() })?;
    for nth in 0..(OFFERS / OFFERS_PER_MACHINE) as u64 {
        let mut seed = [2; 32];
        seed[..8].copy_from_slice(&nth.to_le_bytes());
        let key = SecretKey::from_bytes(seed);
        let consent = key.sign(CERTIFICATE_DOMAIN, &certificate_message(&venue, &owner.public()));
        let (machine_key, label) = (key.public(), "machine".into());
        let certify = Command::CertifyMachine { machine_key, consent, label, capacity: resources(nth) };
        let Reply::Machine(machine) = apply(&mut engine, owner.public(), certify)? else {
            bail!("no machine")
        };
        for offer in 0..OFFERS_PER_MACHINE as u64 {
            let terms = Box::new(terms(machine, nth, offer)?);
            apply(&mut engine, key.public(), Command::PostOffer { machine, terms })?;
        }
    }
    Ok(engine)
}

fn resources(nth: u64) -> Resources {
    let cpus = 1 << (nth % 7);
    Resources { cpu_milli: cpus * 1_000, memory_mib: cpus * 2_048, ..Resources::default() }
}

fn terms(machine: MachineId, nth: u64, offer: u64) -> anyhow::Result<OfferTerms> {
    Ok(OfferTerms {
        role: OfferRole::Work,
        rate: Rate::per_task(Msat(1_000 + (machine.0 * 7_919 + offer * 104_729) % 100_000)),
        resources: resources(nth),
        isolation: Isolation::Wasm,
        region: ["eu-west", "eu-north", "us-east", "asia-east"][nth as usize % 4].parse()?,
        class: "x86-64-v3".parse()?,
        attributes: Attributes::new(),
        lease_max_ms: 86_400_000,
        holds: None,
    })
}

/// Writes a journal of signed statements as a market would.
fn write_journal(folder: &Path) -> anyhow::Result<PublicKey> {
    let key = SecretKey::from_bytes([255; 32]);
    let venue = key.public();
    let (journal, _) = FileJournal::open(folder, venue, Options::default())?;
    let mut now = TimeMs(1_000_000_000_000);
    let (mut market, _) = Venue::open(journal, key.clone(), Settings::default(), None, now, NoArchive)?;
    let party = SecretKey::from_bytes([1; 32]);
    let amount_msat = Msat(10_000_000_000);
    let mut nonce = 0;
    let mut sign = |secret: &SecretKey, now: TimeMs, command: Command| -> anyhow::Result<_> {
        nonce += 1;
        let payload = Payload { v: 1, venue, not_after_ms: now.plus(60_000), nonce, seen: None, command };
        Ok(check_statement(&Statement::sign(secret, &payload)?, &venue)?)
    };
    let register = sign(&party, now, Command::RegisterParty { label: "party".into() })?;
    let top_up = sign(&party, now, Command::TopUp { amount_msat })?;
    let outcome = TopUpOutcome::Received { amount_msat };
    let received = sign(&key, now, Command::TopUpOutcome { topup: 1.into(), outcome })?;
    let (answers, _) = market.commit(now, vec![register, top_up, received])?;
    answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    for _ in 0..ENTRIES / GROUP {
        now = now.plus(100);
        let lock = |_| sign(&party, now, Command::LockBond { amount_msat: Msat(1) });
        let group = (0..GROUP).map(lock).collect::<Result<_, _>>()?;
        market.commit(now, group)?.0.into_iter().collect::<Result<Vec<_>, _>>()?;
    }
    Ok(venue)
}
