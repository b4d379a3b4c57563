//! What must hold, checked from the outside: from the events that the market released and the promises that it made, not
//! by asking the engine whether it is content.

use crate::hold_watch::HoldWatch;
use market::{
    engine::state::{Job, JobPhase},
    event::{Event, JobOutcome, TaskOutcome, Verdict},
    id::{Digest, JobId, LeaseId, PartyId, TransferId},
    job::Verification,
    ledger::{Account, Posting, PostingState},
    log::{Head, SignedHead},
    verify::TaskResult,
};
use node::{
    api::{EventCursor, PlacedEvent},
    venue::{Admitted, Floor},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How many released batches go by between two full checks of the engine's own invariants.
const FULL_CHECK_EVERY: u64 = 100;
/// How many violations are kept; more say nothing new.
const VIOLATIONS_MAX: usize = 20;

/// A rule that a test breaks on purpose, to see that the checker notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// One posting of money is not booked.
    DropsPosting,
    /// One lease is settled twice.
    SettlesTwice,
    /// The checker is told that nobody knows each other.
    HidesColluders,
    /// One acknowledged statement is forgotten.
    ForgetsStatement,
    /// One lease begins before its payments are held.
    StartsUnfunded,
}

/// Wrong results that stand, by how that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct WrongResults {
    /// Enough parties colluded: a risk that the market states.
    pub by_collusion: u64,
    /// Nobody audited the task: audits promise a loss to the cheat, not that every lie is found.
    pub unaudited: u64,
    /// The buyer did not want results verified.
    pub unchecked: u64,
    /// The buyer cancelled before replicas ran, so that what there was stood unverified.
    pub cancelled: u64,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// What did not hold.
    pub(crate) violations: Vec<String>,
    /// Deposits by party.
    pub(crate) deposits: BTreeMap<PartyId, u64>,
    /// Withdrawals that arrived, with their fees, by party.
    pub(crate) withdrawn: BTreeMap<PartyId, u64>,
    sabotage: Option<Sabotage>,
    books: Books,
    last: EventCursor,
    /// Everything that the market said: the position in the journal, and a hash.
    history: Vec<(u64, Digest)>,
    acknowledged: BTreeMap<Digest, u64>,
    heads: BTreeMap<u64, Head>,
    open_leases: BTreeSet<LeaseId>,
    closed_leases: BTreeSet<LeaseId>,
    batches: u64,
    pub(crate) holds: HoldWatch,
}

/// The books as the postings tell them.
#[derive(Debug, Default)]
struct Books {
    balances: BTreeMap<Account, i128>,
    promised: BTreeMap<Account, i128>,
    pending: BTreeMap<TransferId, Posting>,
}

impl Books {
    fn take(&mut self, posting: Posting) -> Result<(), String> {
        let amount = i128::from(posting.amount.0);
        match posting.state {
            PostingState::Pending => {
                *self.promised.entry(posting.debit).or_default() += amount;
                self.pending.insert(posting.transfer, posting);
            }
            PostingState::Posted { released } => {
                if let Some(pending) = self.pending.remove(&posting.transfer) {
                    let reserved = i128::from(pending.amount.0);
                    if reserved != amount + i128::from(released.0) {
                        return Err(format!("{posting:?} does not come out of {pending:?}"));
                    }
                    *self.promised.entry(posting.debit).or_default() -= reserved;
                }
                *self.balances.entry(posting.debit).or_default() -= amount;
                *self.balances.entry(posting.credit).or_default() += amount;
            }
            PostingState::Voided => {
                let pending =
                    self.pending.remove(&posting.transfer).ok_or(format!("{posting:?} was never made"))?;
                *self.promised.entry(posting.debit).or_default() -= i128::from(pending.amount.0);
            }
        }
        let (balance, promised) = (self.balance(posting.debit), self.promised.get(&posting.debit));
        if !is_asset(posting.debit) && balance < promised.copied().unwrap_or_default() {
            return Err(format!("{} is overdrawn by {posting:?}", posting.debit));
        }
        Ok(())
    }

    fn balance(&self, account: Account) -> i128 {
        self.balances.get(&account).copied().unwrap_or_default()
    }
}

impl Checker {
    /// A checker, perhaps of a world in which a test breaks a rule.
    pub(crate) fn new(sabotage: Option<Sabotage>) -> Checker {
        Checker { sabotage, ..Checker::default() }
    }

    /// Hashes of everything that the market said, in order.
    pub(crate) fn history(&self) -> impl Iterator<Item = &Digest> {
        self.history.iter().map(|(_, digest)| digest)
    }

    /// Where a statement stands that the market has promised to keep.
    pub(crate) fn position_of(&self, statement: &Digest) -> Option<u64> {
        self.acknowledged.get(statement).copied()
    }

    /// Notes what did not hold.
    pub(crate) fn violation(&mut self, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(what);
        }
    }

    fn strikes(&mut self, sabotage: Sabotage) -> bool {
        let strikes = self.sabotage == Some(sabotage);
        if strikes {
            self.sabotage = None;
        }
        strikes
    }

    /// The market has said this to the world.
    pub(crate) fn released(&mut self, events: &[Arc<PlacedEvent>], floor: &Floor, head: SignedHead) {
        for event in events {
            self.take(event);
        }
        self.heads.insert(head.head.size, head.head);
        self.batches += 1;
        let ledger = &floor.state().ledger;
        // Between admission and sync the floor may be ahead of what was released; here nothing is admitted.
        let elsewhere = ledger.balance(Account::Holds).posted;
        if u128::from(ledger.held().0) + u128::from(elsewhere.0) != ledger.liabilities() {
            self.violation("the node's money is not what the market owes".into());
        }
        if self.batches.is_multiple_of(FULL_CHECK_EVERY) {
            self.check_floor(floor);
        }
    }

    /// The market is back, from a snapshot of this position or from the beginning (0): what it replayed has to be what it
    /// said before, and nothing acknowledged may be missing.
    pub(crate) fn recovered(&mut self, floor: &Floor, snapshot: u64) {
        let start = EventCursor { position: snapshot, index: u32::MAX };
        let replayed = floor.recent().after(start, usize::MAX).unwrap_or_default();
        let told = self.history.partition_point(|(position, _)| *position <= snapshot);
        let known = self.history.get(told..).unwrap_or_default();
        let is_same = replayed.len() >= known.len()
            && replayed.iter().zip(known).all(|(event, (_, known))| digest_of(event) == *known);
        let known = known.len();
        if !is_same {
            self.violation(format!("the replay of {} events is not the history of {known}", replayed.len()));
        }
        for event in replayed.iter().skip(known) {
            self.take(event);
        }
        let newest = self.acknowledged.values().max().copied().unwrap_or_default();
        if floor.durable() < newest {
            self.violation(format!(
                "entry {newest} was acknowledged and is lost; {} is the last",
                floor.durable()
            ));
        }
        self.check_heads(floor);
        self.check_floor(floor);
    }

    /// A promise that a statement is durable.
    pub(crate) fn acknowledged(&mut self, digest: &Digest, admitted: &Admitted) {
        let before = self.acknowledged.insert(*digest, admitted.position);
        if before.is_some_and(|before| before != admitted.position) {
            self.violation(format!("one statement stands at {before:?} and at {}", admitted.position));
        }
    }

    fn take(&mut self, placed: &PlacedEvent) {
        let cursor = EventCursor { position: placed.position, index: placed.index };
        if cursor <= self.last {
            self.violation(format!("event {cursor} comes twice"));
        }
        self.last = cursor;
        self.history.push((placed.position, digest_of(placed)));
        if let Some(what) = self.holds.take(placed) {
            self.violation(what);
        }
        if matches!(placed.event, Event::HoldFunded { .. }) && self.strikes(Sabotage::StartsUnfunded) {
            self.holds.forget_funding(placed);
        }
        match &placed.event {
            Event::Posted { posting } => {
                if matches!(posting.state, PostingState::Posted { .. })
                    && self.strikes(Sabotage::DropsPosting)
                {
                    return;
                }
                if let Err(why) = self.books.take(*posting) {
                    self.violation(why);
                }
            }
            Event::TopUpReceived { party, amount_msat, .. } => {
                *self.deposits.entry(*party).or_default() += amount_msat.0;
            }
            Event::WithdrawalSent { party, amount_msat, fee_msat, .. } => {
                *self.withdrawn.entry(*party).or_default() += amount_msat.0 + fee_msat.0;
            }
            Event::LeaseGranted { lease, .. } => drop(self.open_leases.insert(*lease)),
            Event::LeaseClosed { lease, .. } => {
                let is_open = self.open_leases.remove(lease);
                let is_twice = self.strikes(Sabotage::SettlesTwice);
                if !is_open || is_twice || !self.closed_leases.insert(*lease) {
                    self.violation(format!("{lease} is settled twice, or was never granted"));
                }
            }
            _ => {}
        }
    }

    /// What the engine says of itself, and whether its ledger is the one that the postings tell.
    fn check_floor(&mut self, floor: &Floor) {
        if let Err(violation) = floor.engine().check_invariants() {
            self.violation(violation.to_string());
        }
        let ledger = &floor.state().ledger;
        let mut differences = Vec::new();
        for (account, balance) in ledger.accounts() {
            let told = self.books.balance(account);
            let told = if is_asset(account) { -told } else { told };
            if told != i128::from(balance.posted.0) {
                differences.push(format!("{account} has {:?}, its postings tell {told}", balance.posted));
            }
        }
        differences.truncate(2);
        differences.into_iter().for_each(|difference| self.violation(difference));
    }

    /// Every head that was shown has to be one that the log passed through.
    fn check_heads(&mut self, floor: &Floor) {
        let strangers: Vec<u64> = self
            .heads
            .values()
            .filter(|head| !floor.log().passed_through(head))
            .map(|head| head.size)
            .collect();
        for size in strangers {
            self.violation(format!("the log never passed through the head of size {size} that was shown"));
        }
    }

    /// Everything is over.
    pub(crate) fn finish(&mut self, floor: &Floor, journaled: &BTreeMap<Digest, u64>) {
        self.check_floor(floor);
        self.check_heads(floor);
        if self.strikes(Sabotage::ForgetsStatement) {
            self.acknowledged.insert(Digest([0; 32]), 1);
        }
        let missing =
            self.acknowledged.iter().filter(|(digest, at)| journaled.get(*digest) != Some(*at)).count();
        if missing > 0 {
            self.violation(format!("{missing} acknowledged statements are not where they were said to be"));
        }
        if !self.open_leases.is_empty() {
            self.violation(format!("{} leases were never settled", self.open_leases.len()));
        }
        let state = floor.state();
        if !state.attempts.is_empty() || state.ledger.pending_count() > 0 {
            let (attempts, pending) = (state.attempts.len(), state.ledger.pending_count());
            self.violation(format!("{attempts} attempts and {pending} reservations are left open"));
        }
    }

    /// Looks at every result that stands. `truth_of` says what is right, `group_of` who knows whom.
    pub(crate) fn check_results(
        &mut self,
        floor: &Floor,
        truth_of: impl Fn(&Job, u32) -> TaskResult,
        group_of: impl Fn(PartyId) -> u64,
    ) -> WrongResults {
        let mut wrong = WrongResults::default();
        let hides = self.strikes(Sabotage::HidesColluders);
        let state = floor.state();
        for (id, job) in state.jobs.iter() {
            for (task, number) in job.tasks.iter().zip(0..) {
                let Some(TaskOutcome::Done { result, .. }) = task.outcome else { continue };
                let agreeing = task.judged.iter().filter(|judged| {
                    matches!(judged.verdict, Verdict::Accepted { .. }) && judged.result == Some(result)
                });
                let agreeing: Vec<PartyId> = agreeing.map(|judged| state.lease(judged.lease).party).collect();
                self.check_named(id, number, job, &agreeing);
                if result == truth_of(job, number) {
                    continue;
                }
                let groups: Vec<u64> =
                    agreeing.iter().map(|party| if hides { party.0 } else { group_of(*party) }).collect();
                self.judge_wrong(id, number, job, &groups, &mut wrong);
            }
        }
        wrong
    }

    /// One of those who agree took the task, the others were drawn for it: among the parties that the buyer named, if any.
    fn check_named(&mut self, id: JobId, task: u32, job: &Job, agreeing: &[PartyId]) {
        let Verification::Replicas { named, .. } = &job.spec.verification else { return };
        let strangers = agreeing.iter().filter(|party| !named.contains(party)).count();
        if !named.is_empty() && strangers > 1 {
            self.violation(format!(
                "{id} task {task}: {strangers} of {agreeing:?} were not named by its buyer"
            ));
        }
    }

    fn judge_wrong(&mut self, id: JobId, task: u32, job: &Job, groups: &[u64], wrong: &mut WrongResults) {
        let is_cancelled = matches!(job.phase, JobPhase::Settled { outcome: JobOutcome::Cancelled, .. });
        let known = groups.first().map_or(0, |first| groups.iter().filter(|group| *group == first).count());
        let needed = match job.spec.verification {
            Verification::None => 1,
            Verification::Replicas { k, .. } => usize::from(k),
            Verification::Audit { .. } => 2,
        };
        let is_audited = groups.len() >= 2;
        match job.spec.verification {
            Verification::None => wrong.unchecked += 1,
            _ if known >= needed => wrong.by_collusion += 1,
            Verification::Audit { .. } if !is_audited => wrong.unaudited += 1,
            _ if is_cancelled => wrong.cancelled += 1,
            _ => self.violation(format!(
                "{id} task {task}: a wrong result was accepted though only {known} of the {needed} needed collude"
            )),
        }
    }
}

/// Debiting it brings money in.
fn is_asset(account: Account) -> bool {
    matches!(account, Account::Node | Account::Holds)
}

fn digest_of(event: &PlacedEvent) -> Digest {
    // Events are plain data: there is nothing that the encoder could refuse.
    Digest::of(&serde_json::to_vec(event).unwrap_or_default())
}
