//! The venue without a server: liveness, snapshots, payments.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use futures_util::FutureExt;
use market::{
    command::{CERTIFICATE_DOMAIN, Command, WithdrawalOutcome, certificate_message},
    engine::state::Presence,
    id::{Digest, JobId, MachineId, WithdrawalId},
    key::SecretKey,
    resources::Resources,
    statement::{Payload, Statement},
    units::{Msat, TimeMs},
};
use node::{
    journal::{
        FileJournal, Folder, Journal, MemoryJournal, Options, Position, SimulatedDisk,
        snapshot::{self, Snapshot},
    },
    venue::{
        Archive, Leaf, NoArchive, RecoveryReport, Settings, Venue, check_statement, make_snapshot,
        payments::{Duty, carry_out, outstanding},
        replay,
    },
};
use pay::{
    LightningNode, PayRequest,
    dev::{DevNetwork, Fault},
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

const VENUE: [u8; 32] = [9; 32];

fn say<J: Journal>(venue: &mut Venue<J>, secret: &SecretKey, now: TimeMs, command: Command) {
    let payload = Payload {
        v: 1,
        venue: venue.key(),
        not_after_ms: now.plus(60_000),
        nonce: now.0,
        seen: None,
        command,
    };
    let checked = check_statement(&Statement::sign(secret, &payload).unwrap(), &venue.key()).unwrap();
    venue.commit(now, vec![checked]).unwrap().0.remove(0).unwrap();
}

/// Has the venue say what it has to say, and tells which commands these were.
fn chores<J: Journal>(venue: &mut Venue<J>, now: TimeMs) -> Vec<Command> {
    let own = venue.chores(now);
    let commands = own.iter().map(|statement| statement.command().clone()).collect();
    venue.commit(now, own).unwrap();
    commands
}

fn in_memory(disk: &SimulatedDisk, now: TimeMs) -> Venue<MemoryJournal> {
    let secret = SecretKey::from_bytes(VENUE);
    let settings = Settings { lost_after_ms: 1_000, recent_events: 100, ..Settings::default() };
    let (journal, _) = MemoryJournal::open(disk, secret.public(), Options::default()).unwrap();
    Venue::open(journal, secret, settings, None, now, NoArchive).unwrap().0
}

#[test]
fn only_changes_of_presence_are_told_and_a_start_gives_fresh_grace() {
    let disk = SimulatedDisk::new();
    let mut venue = in_memory(&disk, TimeMs(0));
    let (owner, machine) = (SecretKey::from_bytes([1; 32]), SecretKey::from_bytes([2; 32]));
    say(&mut venue, &owner, TimeMs(1), Command::RegisterParty { label: "owner".into() });
    let consent = machine.sign(CERTIFICATE_DOMAIN, &certificate_message(&venue.key(), &owner.public()));
    let capacity = Resources { cpu_milli: 1_000, memory_mib: 1_024, ..Resources::default() };
    let machine_key = machine.public();
    say(
        &mut venue,
        &owner,
        TimeMs(2),
        Command::CertifyMachine { machine_key, consent, label: "box".into(), capacity },
    );
    let id = MachineId(1);
    let presence = |venue: &Venue<MemoryJournal>| venue.read().state().machine(id).presence;

    assert_eq!(chores(&mut venue, TimeMs(100)), []);
    venue.heard(id, TimeMs(900));
    assert_eq!(chores(&mut venue, TimeMs(1_800)), []);
    assert_eq!(chores(&mut venue, TimeMs(2_100)), [Command::Liveness { lost: vec![id], back: vec![] }]);
    assert_eq!(presence(&venue), Presence::Lost { since: TimeMs(2_100) });
    assert_eq!(chores(&mut venue, TimeMs(3_000)), []);
    venue.heard(id, TimeMs(3_100));
    assert_eq!(venue.next_chore(TimeMs(3_100)), TimeMs(3_100), "who is back does not wait for the next look");
    assert_eq!(chores(&mut venue, TimeMs(3_100)), [Command::Liveness { lost: vec![], back: vec![id] }]);
    drop(venue);

    let mut venue = in_memory(&disk, TimeMs(60_000));
    assert_eq!(chores(&mut venue, TimeMs(60_000)), [Command::Resume]);
    assert_eq!((chores(&mut venue, TimeMs(60_900)), presence(&venue)), (vec![], Presence::Live));
    assert_eq!(chores(&mut venue, TimeMs(61_200)), [Command::Liveness { lost: vec![id], back: vec![] }]);
}

fn in_folder(
    folder: &Path,
    snapshot: Option<Snapshot>,
    archive: impl Archive,
) -> (Venue<FileJournal>, RecoveryReport) {
    let secret = SecretKey::from_bytes(VENUE);
    let (journal, _) =
        FileJournal::open(&folder.join("journal"), secret.public(), Options::default()).unwrap();
    Venue::open(journal, secret, Settings::default(), snapshot, TimeMs(1_000), archive).unwrap()
}

fn newest(folder: &Path) -> Option<Snapshot> {
    snapshot::latest(&Folder::create(&folder.join("snapshots")).unwrap()).unwrap().newest
}

/// An archive that lost everything, and remembers what it is given.
struct Empty<'a>(&'a mut Vec<Leaf>);

impl Archive for Empty<'_> {
    fn entries(&self) -> u64 {
        0
    }

    fn has_receipt(&self, _: JobId) -> bool {
        false
    }

    fn add(&mut self, leaf: Leaf) {
        self.0.push(leaf);
    }
}

#[test]
fn a_snapshot_and_the_rest_give_the_same_market_as_the_whole_journal() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let register = |venue: &mut Venue<FileJournal>, seed: u8| {
        let command = Command::RegisterParty { label: format!("party {seed}") };
        say(venue, &SecretKey::from_bytes([seed; 32]), TimeMs(1_000 + u64::from(seed)), command);
    };
    let (mut venue, _) = in_folder(folder, None, NoArchive);
    (10..20).for_each(|seed| register(&mut venue, seed));
    let snapshots = folder.join("snapshots");
    let made = make_snapshot(&folder.join("journal"), &snapshots, venue.key(), Position(8)).unwrap();
    assert_eq!(made, Some(Position(8)));
    (20..25).for_each(|seed| register(&mut venue, seed));
    let (hash, head) = (venue.read().engine().state_hash().unwrap(), venue.read().log().head());
    let whole = replay(&folder.join("journal"), venue.key(), |_| {}).unwrap();
    assert_eq!((whole.state_hash, whole.public_head, whole.entries), (hash, head, 15));
    drop(venue);

    let (venue, report) = in_folder(folder, newest(folder), NoArchive);
    assert_eq!((report.snapshot, report.replayed), (Some(8), 7));
    assert_eq!((venue.read().engine().state_hash().unwrap(), venue.read().log().head()), (hash, head));
    drop(venue);

    // One that is not of this history, and one whose public log cannot be archived any more, are left aside.
    let mut foreign = newest(folder).unwrap();
    foreign.meta.chain_head.hash = Digest([0; 32]);
    let (venue, report) = in_folder(folder, Some(foreign), NoArchive);
    assert_eq!((report.snapshot, report.replayed, report.ignored.is_some()), (None, 15, true));
    assert_eq!(venue.read().engine().state_hash().unwrap(), hash);
    drop(venue);
    let mut leaves = Vec::new();
    let (_, report) = in_folder(folder, newest(folder), Empty(&mut leaves));
    assert_eq!((report.snapshot, leaves.len()), (None, 15));
}

#[test]
fn an_expired_top_up_is_told_once_and_not_asked_about_again() {
    let clock = Arc::new(AtomicU64::new(1_000));
    let ticking = clock.clone();
    let network = DevNetwork::new([1; 32], move || TimeMs(ticking.load(Ordering::Relaxed)));
    let (node, disk) = (network.node("market"), SimulatedDisk::new());
    let mut venue = in_memory(&disk, TimeMs(0));
    let alice = SecretKey::from_bytes([1; 32]);
    say(&mut venue, &alice, TimeMs(1), Command::RegisterParty { label: "alice".into() });
    say(&mut venue, &alice, TimeMs(2), Command::TopUp { amount_msat: Msat(50_000_000) });
    let mut round = || {
        let duties = outstanding(venue.read().state());
        for duty in &duties {
            if let Some(command) = carry_out(&node, duty).now_or_never().unwrap() {
                let own = venue.own_statement(TimeMs(3), command).unwrap();
                venue.commit(TimeMs(3), vec![own]).unwrap().0.remove(0).unwrap();
            }
        }
        duties
    };
    assert!(matches!(round()[..], [Duty::Invoice { .. }]));
    assert!(matches!(round()[..], [Duty::Watch { .. }]));
    clock.fetch_add(3_600_000, Ordering::Relaxed);
    assert!(matches!(round()[..], [Duty::Watch { .. }]), "it is asked about once more, and told");
    assert_eq!(round(), []);
    assert!(venue.read().state().topups.iter().all(|(_, topup)| topup.is_expired));
}

#[test]
fn a_payment_whose_answer_is_lost_is_asked_about_and_never_made_again() {
    let network = DevNetwork::new([1; 32], || TimeMs(1_000));
    let (market, wallet) = (network.node("market"), network.node("wallet"));
    network.issue(&market, Msat(10_000_000)).unwrap();
    let request =
        pay::InvoiceRequest { amount: Msat(4_000_000), description: String::new(), expires_in_ms: 60_000 };
    let invoice = wallet.create_invoice(request).now_or_never().unwrap().unwrap();
    let duty = |is_unknown| Duty::Pay {
        withdrawal: WithdrawalId(1),
        payment_hash: invoice.payment_hash,
        request: PayRequest {
            bolt11: invoice.bolt11.clone(),
            amount: Msat(4_000_000),
            max_fee: Msat(400_000),
        },
        is_unknown,
    };
    let outcome = |is_unknown| carry_out(&market, &duty(is_unknown)).now_or_never().unwrap();
    let received = || wallet.balance().now_or_never().unwrap().unwrap().spendable;

    market.inject(Fault::LoseAnswer);
    let unknown =
        Command::WithdrawalOutcome { withdrawal: WithdrawalId(1), outcome: WithdrawalOutcome::Unknown };
    assert_eq!(outcome(false), Some(unknown));
    for _ in 0..3 {
        let Some(Command::WithdrawalOutcome { outcome: WithdrawalOutcome::Sent { .. }, .. }) = outcome(true)
        else {
            panic!("the node knows of the payment")
        };
        assert_eq!(received(), Msat(4_000_000));
    }
}
