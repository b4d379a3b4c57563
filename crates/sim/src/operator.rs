//! The operator as the cheat: a journal with its entries in another order, and a log that looks different to different
//! clients. Neither can be prevented; both have to be provable from what clients hold.

use crate::{
    caller::sign,
    market_host::{JOURNAL, SETTINGS},
    rng::Rng,
};
use market::{
    command::Command,
    key::SecretKey,
    log::{SignedHead, is_fork},
    statement::Statement,
    units::TimeMs,
};
use node::{
    journal::{Journal, MemoryJournal, Position, SimulatedDisk},
    venue::{NoArchive, Refusal, Venue, check_statement},
};

/// What became of the operator's cheats in one world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct OperatorCheats {
    /// How often it forked or reordered.
    pub tried: u64,
    /// How often two heads, or a head and a refusal, prove it.
    pub proven: u64,
}

/// Tries the operator's cheats on copies of a finished market. `head` is the last that honest clients saw.
pub(crate) fn cheat(
    disk: &SimulatedDisk,
    secret: &SecretKey,
    now: TimeMs,
    head: SignedHead,
    rng: &mut Rng,
) -> OperatorCheats {
    let Some(statements) = statements_of(disk, secret) else { return OperatorCheats::default() };
    let forked = fork(&statements, secret, now, head, rng);
    let reordered = reorder(&statements, secret, head, rng);
    let outcomes = [forked, reordered];
    OperatorCheats {
        tried: outcomes.iter().flatten().count() as u64,
        proven: outcomes.iter().flatten().filter(|is_proven| **is_proven).count() as u64,
    }
}

/// The entries of a journal: times and statements.
fn statements_of(disk: &SimulatedDisk, secret: &SecretKey) -> Option<Vec<(TimeMs, Statement)>> {
    let (journal, _) = MemoryJournal::open(disk, secret.public(), JOURNAL).ok()?;
    journal
        .read(Position(1))
        .map(|entry| entry.ok().and_then(|entry| Some((entry.at, Statement::from_bytes(&entry.payload)?))))
        .collect()
}

fn empty_venue(secret: &SecretKey) -> Option<Venue<MemoryJournal>> {
    let (journal, _) = MemoryJournal::open(&SimulatedDisk::new(), secret.public(), JOURNAL).ok()?;
    Venue::open(journal, secret.clone(), SETTINGS, None, TimeMs(0), NoArchive).ok().map(|(venue, _)| venue)
}

/// Feeds a history to a venue; statements that the rules refuse in this order are left out.
fn replay<'a>(
    venue: &mut Venue<MemoryJournal>,
    history: impl Iterator<Item = &'a (TimeMs, Statement)>,
) -> Option<SignedHead> {
    let mut head = None;
    for (at, statement) in history {
        let checked = check_statement(statement, &venue.key()).ok()?;
        venue.admit(*at, vec![checked]).ok()?;
        head = Some(venue.sync(*at).ok()?.head);
    }
    head
}

/// Two clients are shown two continuations. One of them brings its head to the other market, or both compare.
fn fork(
    statements: &[(TimeMs, Statement)],
    secret: &SecretKey,
    now: TimeMs,
    head: SignedHead,
    rng: &mut Rng,
) -> Option<bool> {
    let mut shown = Vec::new();
    for label in ["what one client is shown", "what the other is shown"] {
        let mut venue = empty_venue(secret)?;
        replay(&mut venue, statements.iter())?;
        let key = SecretKey::from_bytes(rng.bytes());
        let command = Command::RegisterParty { label: label.into() };
        let statement = sign(&key, secret.public(), now, Some(head.head), rng, command);
        replay(&mut venue, std::iter::once(&(now, statement)))?;
        let head = venue.read().head();
        shown.push((head, venue));
    }
    let [(one, _), (other, venue)] = &mut shown[..] else { return None };
    // The client of the first sends a statement that names its head to the second.
    let key = SecretKey::from_bytes(rng.bytes());
    let command = Command::RegisterParty { label: "a client that has seen the other log".into() };
    let witness = sign(&key, secret.public(), now, Some(one.head), rng, command);
    let refused = venue.admit(now, vec![check_statement(&witness, &secret.public()).ok()?]).ok()?;
    let is_refused = matches!(
        refused.first(),
        Some(Err(Refusal::Rejected(market::rejection::Rejection::UnknownHead { .. })))
    );
    Some(is_refused && is_fork(one, other, None) && !is_fork(one, one, None))
}

/// The history is rewritten with two neighbouring entries swapped. The rewritten log's own proof of how it came to be
/// leads from another root than the one that clients hold.
fn reorder(
    statements: &[(TimeMs, Statement)],
    secret: &SecretKey,
    head: SignedHead,
    rng: &mut Rng,
) -> Option<bool> {
    let at = rng.between(0, (statements.len() as u64).saturating_sub(1)) as usize;
    let mut history: Vec<_> = statements.to_vec();
    if at + 1 >= history.len() {
        return None;
    }
    history.swap(at, at + 1);
    let mut venue = empty_venue(secret)?;
    // Times never run backwards: the swapped entries keep the places of their times.
    let (first, second) = (history[at].0, history[at + 1].0);
    (history[at].0, history[at + 1].0) = (second.min(first), second.max(first));
    let rewritten = replay(&mut venue, history.iter())?;
    let floor = venue.read();
    if floor.log().passed_through(&head.head) {
        // Neither entry, nor anything after it, left another trace in public: nobody was told anything else.
        return None;
    }
    let (small, large) = (head.head.size.min(rewritten.head.size), rewritten.head.size);
    if head.head.size > large {
        // The rewritten log is shorter than what was shown: it cannot even answer for the older head.
        return Some(floor.log().consistency_proof(head.head.size, large).is_err());
    }
    let proof = floor.log().consistency_proof(small, large).ok()?;
    let evidence = (small < large).then_some(&proof);
    Some(is_fork(&head, &rewritten, evidence))
}
