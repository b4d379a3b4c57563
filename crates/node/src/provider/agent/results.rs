//! From a result to its verdict: keep, commit, upload, reveal. And the other end: giving back.

use super::{
    Action, Agent, Backoff, Items, Kept, Request,
    attempts::{Progress, Stage},
};
use crate::api::WorkOutput;
use market::{
    command::{Abandon, Command, Commit, MAX_BATCH, Reveal},
    funding::SaleOffer,
    id::{AttemptId, Digest},
    units::{Msat, TimeMs},
    verify::seal,
};
use std::collections::{BTreeMap, BTreeSet};

/// A finished result waits at most this long for others to be committed with it, in milliseconds…
const LINGER_MS: u64 = 50;
/// …or until this many wait.
const COMMIT_BATCH: usize = 1_024;
/// Reveals in one statement: with their results they fill about half of the largest payload.
const REVEAL_BATCH: usize = 2_048;
/// The same with results that are sold, each with an invoice.
const SALE_BATCH: usize = 256;
/// Uploads at the same time.
const UPLOADS_MAX: usize = 8;
/// How many outputs are remembered as stored.
const STORED_MAX: usize = 65_536;

/// Statements of one kind: one on its way at any time.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Since when something waits for company.
    since: Option<TimeMs>,
    backoff: Backoff,
}

impl Lane {
    /// Something waits.
    pub(super) fn offer(&mut self, now: TimeMs) {
        self.since.get_or_insert(now);
    }

    fn settle(&mut self, is_accepted: bool, now: TimeMs) {
        if is_accepted { self.backoff.reset() } else { self.backoff.fail(now) }
    }
}

/// Output bundles, as far as the market has them.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    stored: BTreeSet<Digest>,
    uploading: BTreeSet<Digest>,
    failed: BTreeMap<Digest, Backoff>,
}

impl Outputs {
    pub(super) fn uploaded(&mut self, output: Digest, is_stored: bool, now: TimeMs) {
        self.uploading.remove(&output);
        if !is_stored {
            self.failed.entry(output).or_default().fail(now);
            return;
        }
        self.failed.remove(&output);
        if self.stored.len() >= STORED_MAX {
            self.stored.pop_first();
        }
        self.stored.insert(output);
    }
}

/// Results that are sold, as far as they are encrypted.
#[derive(Debug, Default)]
pub(super) struct ForSale {
    made: BTreeMap<AttemptId, SaleOffer>,
    underway: BTreeSet<AttemptId>,
    failed: BTreeMap<AttemptId, Backoff>,
}

impl ForSale {
    pub(super) fn encrypted(&mut self, attempt: AttemptId, offer: Option<SaleOffer>, now: TimeMs) {
        self.underway.remove(&attempt);
        match offer {
            Some(offer) => {
                self.failed.remove(&attempt);
                self.made.insert(attempt, offer);
            }
            None => self.failed.entry(attempt).or_default().fail(now),
        }
    }

    pub(super) fn forget(&mut self, attempt: AttemptId) {
        self.made.remove(&attempt);
        self.failed.remove(&attempt);
    }
}

impl Agent {
    /// Commits to what is finished: at once when the worker of a lease would otherwise stand idle, else with others.
    pub(super) fn commit_finished(&mut self) {
        let Some(since) = self.commits.since else { return };
        if self.is_sent(|request| matches!(request, Request::Commit(_))) || self.wait(self.commits.backoff) {
            return;
        }
        let finished: Vec<_> = self.attempts.in_stage(Stage::Finished).take(MAX_BATCH).collect();
        let ahead = [Stage::Queued, Stage::Running];
        let is_last = |lease| !self.attempts.has(lease, &ahead);
        let mut leases: Vec<_> = finished.iter().map(|(lease, _)| *lease).collect();
        leases.dedup();
        let is_full = finished.len() >= COMMIT_BATCH || leases.into_iter().any(is_last);
        let latest = since.plus(LINGER_MS);
        if finished.is_empty() {
            self.commits.since = None;
        } else if is_full || self.now >= latest {
            self.commit(finished.into_iter().map(|(_, id)| id).collect());
        } else {
            self.wake_at(latest);
        }
    }

    fn commit(&mut self, ids: Vec<AttemptId>) {
        let mut keep = Vec::new();
        let mut commits = Vec::with_capacity(ids.len());
        for id in &ids {
            let Some(attempt) = self.attempts.get(*id).copied() else { continue };
            let Some(result) = attempt.progress.result() else { continue };
            if self.kept.insert(*id, result).is_none() {
                keep.push(Kept::Result { attempt: *id, result });
            }
            let seal = seal(attempt.task, *id, self.identity.party, &self.salt(*id), &result);
            commits.push(Commit { attempt: *id, seal });
            self.attempts.set(*id, Progress::Committing(result));
        }
        // More than one batch may be waiting.
        let rest = self.attempts.in_stage(Stage::Finished).next();
        self.commits.since = rest.map(|_| self.now);
        if !keep.is_empty() {
            self.actions.push(Action::Keep(keep));
        }
        self.submit(Request::Commit(ids), Command::CommitResults { commits });
    }

    pub(super) fn committed(&mut self, ids: &[AttemptId], items: Items) {
        self.commits.settle(items.has_worked(), self.now);
        for (index, id) in ids.iter().enumerate() {
            let Some(attempt) = self.attempts.get(*id).copied() else { continue };
            // A view may have moved it on before this answer came.
            let Progress::Committing(result) = attempt.progress else { continue };
            let is_unverified = self.leases.get(&attempt.lease).is_some_and(|lease| !lease.is_verified());
            let progress = match items.is_done(index) {
                // Nothing is to be audited, so the reveal is open at once.
                Some(true) if is_unverified => Progress::Due(result),
                Some(true) => Progress::Sealed(result),
                Some(false) => Progress::Parked(result),
                None => Progress::Finished(result),
            };
            self.settle(*id, progress);
        }
        if self.attempts.in_stage(Stage::Finished).next().is_some() {
            self.commits.offer(self.now);
        }
    }

    /// Uploads what is to be revealed and reveals what is uploaded.
    pub(super) fn reveal_due(&mut self) {
        let is_sent = self.is_sent(|request| matches!(request, Request::Reveal(_)));
        let is_free = !is_sent && !self.wait(self.reveals.backoff);
        let due: Vec<AttemptId> = self.attempts.in_stage(Stage::Due).map(|(_, id)| id).collect();
        let mut ready = Vec::new();
        for id in due {
            let Some(attempt) = self.attempts.get(id).copied() else { continue };
            let Some(result) = attempt.progress.result() else { continue };
            let is_ready = match attempt.output {
                WorkOutput::Upload => self.outputs.stored.contains(&result.output),
                WorkOutput::Keep => true,
                WorkOutput::Sell { .. } => self.for_sale.made.contains_key(&id),
            };
            match attempt.output {
                _ if is_ready => ready.push((id, result)),
                WorkOutput::Upload | WorkOutput::Keep => self.upload(result.output),
                WorkOutput::Sell { invoice_msat } => self.encrypt(id, result.output, invoice_msat),
            }
        }
        let offer = |id: &AttemptId| self.for_sale.made.get(id).cloned();
        let batch = if ready.iter().any(|(id, _)| offer(id).is_some()) { SALE_BATCH } else { REVEAL_BATCH };
        ready.truncate(batch);
        if ready.is_empty() || !is_free {
            return;
        }
        let reveals = ready.iter().map(|(id, result)| Reveal {
            attempt: *id,
            salt: self.salt(*id),
            result: *result,
            sale: offer(id),
        });
        let reveals = reveals.collect();
        for (id, result) in &ready {
            self.attempts.set(*id, Progress::Revealing(*result));
        }
        let ids = ready.into_iter().map(|(id, _)| id).collect();
        self.submit(Request::Reveal(ids), Command::RevealResults { reveals });
    }

    fn encrypt(&mut self, attempt: AttemptId, output: Digest, invoice_msat: Msat) {
        let backoff = self.for_sale.failed.get(&attempt).copied().unwrap_or_default();
        if self.for_sale.underway.len() < UPLOADS_MAX
            && !self.for_sale.underway.contains(&attempt)
            && !self.wait(backoff)
        {
            self.for_sale.underway.insert(attempt);
            self.actions.push(Action::Encrypt { attempt, output, invoice_msat });
        }
    }

    fn upload(&mut self, output: Digest) {
        if self.outputs.uploading.contains(&output) || self.outputs.uploading.len() >= UPLOADS_MAX {
            return;
        }
        let backoff = self.outputs.failed.get(&output).copied().unwrap_or_default();
        if !self.wait(backoff) {
            self.outputs.uploading.insert(output);
            self.actions.push(Action::Upload { output });
        }
    }

    pub(super) fn revealed(&mut self, ids: &[AttemptId], items: Items) {
        self.reveals.settle(items.has_worked(), self.now);
        for (index, id) in ids.iter().enumerate() {
            let Some(attempt) = self.attempts.get(*id).copied() else { continue };
            let Progress::Revealing(result) = attempt.progress else { continue };
            let progress = match items.is_done(index) {
                Some(true) => Progress::Revealed(result),
                Some(false) => {
                    // The market may have lost the output: it is uploaded again if the reveal is still wanted.
                    self.outputs.stored.remove(&result.output);
                    self.for_sale.forget(*id);
                    Progress::Parked(result)
                }
                None => Progress::Due(result),
            };
            self.settle(*id, progress);
        }
    }

    /// Gives back what has no result.
    pub(super) fn give_back(&mut self) {
        if self.is_sent(|request| matches!(request, Request::Abandon(_)))
            || self.wait(self.give_backs.backoff)
        {
            return;
        }
        let mut attempts = Vec::new();
        for (_, id) in self.attempts.in_stage(Stage::GivingUp).take(MAX_BATCH) {
            if let Some(Progress::GivingUp(reason)) = self.attempts.get(id).map(|attempt| attempt.progress) {
                attempts.push(Abandon { attempt: id, reason });
            }
        }
        if attempts.is_empty() {
            return;
        }
        let ids: Vec<AttemptId> = attempts.iter().map(|abandon| abandon.attempt).collect();
        self.submit(Request::Abandon(ids), Command::AbandonAttempts { attempts });
    }

    pub(super) fn abandoned(&mut self, ids: &[AttemptId], items: Items) {
        self.give_backs.settle(items.has_worked(), self.now);
        for (index, id) in ids.iter().enumerate() {
            // Refused ones are over as well: the market took the task away before.
            if items.is_done(index).is_some() {
                self.settle(*id, Progress::GivenUp);
            }
        }
    }

    /// Moves an attempt on after the market has answered about it.
    fn settle(&mut self, id: AttemptId, progress: Progress) {
        if progress.stage() == Stage::Parked {
            self.poll.is_recheck = true;
        }
        let turn = self.turn;
        self.attempts.update(id, |attempt| {
            attempt.progress = progress;
            attempt.touched = turn;
        });
    }
}
