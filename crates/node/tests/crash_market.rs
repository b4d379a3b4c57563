//! A market that is killed, and a market whose disk is full.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use market::{
    command::Command,
    id::PartyId,
    key::SecretKey,
    reply::Reply,
    statement::{Payload, Statement},
    units::TimeMs,
};
use node::{
    api::KeyView,
    client::Market,
    http::{MarketConfig, serve},
    journal::{MemoryJournal, Options, SimulatedDisk},
    venue::{NoArchive, Refusal, Settings, Venue, check_statement},
};
use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Stdio},
    time::Duration,
};
use support::party;

/// Set for the process that is to be a market and to be killed.
const MARKET_FOLDER: &str = "GRIST_TEST_MARKET_FOLDER";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other half of the tests that start a market in another process"]
async fn market_process() {
    let Ok(folder) = std::env::var(MARKET_FOLDER) else { return };
    let running = serve(MarketConfig::new(folder)).await.unwrap();
    println!("address {}", running.address());
    running.run_until_signal().await.unwrap();
    println!("closed");
}

/// A market in another process; killed when it goes out of scope.
struct MarketProcess {
    child: Child,
    said: BufReader<ChildStdout>,
    address: String,
}

impl MarketProcess {
    fn start(folder: &std::path::Path) -> MarketProcess {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "market_process", "--ignored", "--nocapture"]).env(MARKET_FOLDER, folder);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut process = MarketProcess { child, said, address: String::new() };
        while process.address.is_empty() {
            let mut line = String::new();
            assert!(process.said.read_line(&mut line).unwrap() > 0, "the market did not start");
            // The test runner prints the test's name first, on the same line.
            if let Some((_, address)) = line.split_once("address ") {
                process.address = address.trim().to_owned();
            }
        }
        process
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for MarketProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = MarketProcess::start(folder.path());
    let market = Market::connect(&process.address).await.unwrap().with_patience(Duration::ZERO);
    let writers = (0..8u8).map(|writer| {
        let market = market.clone();
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0..=u8::MAX {
                let mut seed = [writer; 32];
                seed[0] = n;
                let secret = SecretKey::from_bytes(seed);
                match market.submit(&secret, Command::RegisterParty { label: format!("{writer} {n}") }).await
                {
                    Ok(accepted) => acknowledged.push((secret.public(), accepted)),
                    Err(_) => break,
                }
            }
            acknowledged
        })
    });
    let writers: Vec<_> = writers.collect();
    // Killed while statements are on their way: as soon as some are acknowledged.
    support::until(&market, async || (market.info().await.unwrap().position >= 40).then_some(())).await;
    process.kill();

    let running = serve(MarketConfig::new(folder.path())).await.unwrap();
    let market = Market::connect(running.address()).await.unwrap();
    let mut count = 0;
    for writer in writers {
        for (key, accepted) in writer.await.unwrap() {
            let Reply::Party(id) = accepted.reply else { panic!("{accepted:?}") };
            assert_eq!(market.key(&key).await.unwrap(), Some(KeyView::Party(id)));
            count += 1;
        }
    }
    assert!(count >= 30, "only {count} statements were acknowledged before the kill");
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(unix)]
async fn a_market_that_is_asked_to_end_finishes_and_closes() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = MarketProcess::start(folder.path());
    let market = Market::connect(&process.address).await.unwrap().with_patience(Duration::ZERO);
    party(&market, 1).await;
    let asked = std::process::Command::new("kill").arg(process.child.id().to_string()).status().unwrap();
    assert!(asked.success());
    assert!(process.child.wait().unwrap().success());
    let mut said = String::new();
    process.said.read_to_string(&mut said).unwrap();
    assert!(said.contains("closed"), "{said}");
    assert!(market.info().await.is_err());
}

fn open(disk: &SimulatedDisk, now: TimeMs) -> Venue<MemoryJournal> {
    let secret = SecretKey::from_bytes([9; 32]);
    let options = Options { segment_bytes: 1 << 16, extent_bytes: 4_096 };
    let (journal, _) = MemoryJournal::open(disk, secret.public(), options).unwrap();
    Venue::open(journal, secret, Settings::default(), None, now, NoArchive).unwrap().0
}

fn registration(venue: &Venue<MemoryJournal>, seed: u32, now: TimeMs) -> Statement {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    let payload = Payload {
        v: 1,
        venue: venue.key(),
        not_after_ms: now.plus(60_000),
        nonce: 0,
        seen: None,
        command: Command::RegisterParty { label: format!("party {seed}") },
    };
    Statement::sign(&SecretKey::from_bytes(bytes), &payload).unwrap()
}

#[test]
fn a_full_disk_stops_accepting_and_loses_nothing() {
    let (disk, now) = (SimulatedDisk::new(), TimeMs(1_000));
    let mut venue = open(&disk, now);
    disk.set_capacity(Some(20_000));
    let mut accepted = Vec::new();
    let refused = (1..).find_map(|seed| {
        let statement = registration(&venue, seed, now);
        let checked = check_statement(&statement, &venue.key()).unwrap();
        match venue.commit(now, vec![checked]).unwrap().0.remove(0) {
            Ok(answer) => {
                accepted.push((statement, answer));
                None
            }
            Err(refusal) => Some((statement, refusal)),
        }
    });
    let (statement, refusal) = refused.unwrap();
    assert_eq!(refusal, Refusal::DiskFull);
    assert!(venue.is_full() && accepted.len() > 10, "{}", accepted.len());

    // A repeated statement is still answered, and space that comes back is used.
    let (old, answer) = &accepted[0];
    let again =
        venue.commit(now, vec![check_statement(old, &venue.key()).unwrap()]).unwrap().0.remove(0).unwrap();
    assert_eq!((again.position, again.duplicate), (answer.position, true));
    disk.set_capacity(None);
    let late =
        venue.commit(now, vec![check_statement(&statement, &venue.key()).unwrap()]).unwrap().0.remove(0);
    assert_eq!(late.unwrap().position, accepted.len() as u64 + 1);
    assert!(!venue.is_full());
    let before = venue.read().engine().state_hash().unwrap();
    drop(venue);
    assert_eq!(open(&disk, now).read().engine().state_hash().unwrap(), before);
}

#[test]
fn a_failed_sync_ends_the_venue() {
    let (disk, now) = (SimulatedDisk::new(), TimeMs(1_000));
    let mut venue = open(&disk, now);
    let checked = check_statement(&registration(&venue, 1, now), &venue.key()).unwrap();
    disk.set_failing_syncs(true);
    assert!(venue.commit(now, vec![checked]).is_err());
    disk.set_failing_syncs(false);
    let checked = check_statement(&registration(&venue, 2, now), &venue.key()).unwrap();
    assert!(venue.commit(now, vec![checked]).is_err(), "a journal that failed once takes nothing more");
}

#[test]
fn a_statement_that_saw_another_history_is_refused() {
    let (disk, now) = (SimulatedDisk::new(), TimeMs(1_000));
    let mut venue = open(&disk, now);
    let statement = registration(&venue, 1, now);
    venue.commit(now, vec![check_statement(&statement, &venue.key()).unwrap()]).unwrap();
    let seen = venue.read().head().head;
    assert_eq!(seen.size, 1);
    let with_head = |root| {
        let mut payload: Payload = serde_json::from_str(&registration(&venue, 2, now).payload).unwrap();
        payload.seen = Some(market::log::Head { size: 1, root });
        Statement::sign(&SecretKey::from_bytes([3; 32]), &payload).unwrap()
    };
    let (honest, forked) = (with_head(seen.root), with_head(market::id::Digest([0; 32])));
    let batch = [&honest, &forked].map(|statement| check_statement(statement, &venue.key()).unwrap());
    let answers = venue.commit(now, batch.to_vec()).unwrap().0;
    assert_eq!(answers[0].as_ref().unwrap().reply, Reply::Party(PartyId(2)));
    let refusal = answers[1].as_ref().unwrap_err().to_string();
    assert!(refusal.contains("forked"), "{refusal}");
}
