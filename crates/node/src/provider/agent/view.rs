//! Learning from a view: what the market expects corrects what the agent believes.

use super::{
    Action, Agent, KeptKey,
    attempts::{Attempt, Progress, Stage},
};
use crate::api::{WorkAttempt, WorkDue, WorkView};
use market::id::AttemptId;
use std::collections::BTreeSet;

impl Agent {
    pub(super) fn learn(&mut self, view: WorkView) {
        let Some(asked) = self.poll.asked.take() else { return };
        self.poll.failures.reset();
        self.poll.revision = Some(view.revision);
        self.poll.answered_at = self.now;
        self.venue_ahead_ms = i64::try_from(i128::from(view.now_ms.0) - i128::from(self.now.0)).unwrap_or(0);
        self.offers.saw(asked);
        self.standing = view.offers;
        self.learn_auctions(view.auctions, asked);
        self.learn_leases(view.leases);
        let listed: BTreeSet<AttemptId> = view.attempts.iter().map(|attempt| attempt.attempt).collect();
        for attempt in view.attempts {
            self.learn_attempt(attempt, asked);
        }
        self.drop_missing(&listed, asked);
    }

    fn learn_attempt(&mut self, seen: WorkAttempt, asked: u64) {
        let id = seen.attempt;
        if self.attempts.is_over(id) {
            return;
        }
        let Some(known) = self.attempts.get(id).copied() else { return self.adopt(seen) };
        self.attempts.update(id, |attempt| attempt.output = seen.output);
        if let WorkDue::Commit { by_ms } = seen.due {
            let until = self.local(by_ms);
            self.attempts.update(id, |attempt| attempt.until = until);
        }
        let expected = expected(known.progress, seen.due);
        if expected == known.progress {
            return;
        }
        if known.touched > asked {
            // The view may be older than what the market has answered since.
            self.poll.is_recheck = true;
            return;
        }
        self.attempts.set(id, expected);
        if expected.stage() == Stage::Finished {
            self.commits.offer(self.now);
        }
    }

    /// An attempt that the agent does not know: a lost answer, or a restart.
    fn adopt(&mut self, seen: WorkAttempt) {
        let kept = self.kept.get(&seen.attempt).copied();
        let (progress, until) = match (seen.due, kept) {
            (WorkDue::Commit { by_ms }, Some(result)) => (Progress::Finished(result), self.local(by_ms)),
            (WorkDue::Commit { by_ms }, None) => (self.first_step(seen.lease), self.local(by_ms)),
            (WorkDue::Wait, Some(result)) => (Progress::Sealed(result), self.now),
            (WorkDue::Reveal { .. }, Some(result)) => (Progress::Due(result), self.now),
            (WorkDue::Judging, Some(result)) => (Progress::Revealed(result), self.now),
            // Sealed, and the result is lost with the disk: it stays unrevealed and unpaid. It is not run again, because
            // a reveal that does not open its seal counts as a cheat.
            (WorkDue::Wait | WorkDue::Reveal { .. } | WorkDue::Judging, None) => {
                (Progress::GivenUp, self.now)
            }
        };
        let (lease, task, output) = (seen.lease, seen.task, seen.output);
        let attempt = Attempt { lease, task, until, crashes: 0, touched: self.turn, output, progress };
        self.attempts.insert(seen.attempt, attempt);
        if matches!(progress, Progress::Finished(_)) {
            self.commits.offer(self.now);
        }
    }

    /// What a fresh view does not list has its verdict.
    fn drop_missing(&mut self, listed: &BTreeSet<AttemptId>, asked: u64) {
        let missing: Vec<AttemptId> = self.attempts.ids().filter(|id| !listed.contains(id)).collect();
        let mut forget = Vec::new();
        for id in missing {
            if self.attempts.get(id).is_some_and(|attempt| attempt.touched > asked) {
                self.poll.is_recheck = true;
                continue;
            }
            let Some(attempt) = self.attempts.drop(id) else { continue };
            // The verdict may be faster than the answer to the reveal.
            let was_revealed = matches!(attempt.progress, Progress::Revealing(_) | Progress::Revealed(_));
            self.tally.revealed += u64::from(was_revealed);
            if attempt.progress.stage() == Stage::Running {
                self.actions.push(Action::Stop { lease: attempt.lease, attempt: id });
            }
            self.for_sale.forget(id);
            let is_kept = self.kept.remove(&id).is_some();
            if is_kept || attempt.progress.result().is_some() {
                forget.push(KeptKey::Result(id));
            }
        }
        // What an earlier run kept and nobody asks for any more.
        let attempts = &self.attempts;
        self.kept.retain(|id, _| {
            let is_wanted = attempts.get(*id).is_some();
            if !is_wanted {
                forget.push(KeptKey::Result(*id));
            }
            is_wanted
        });
        if !forget.is_empty() {
            self.actions.push(Action::Forget(forget));
        }
    }
}

/// Where an attempt stands when the market says that this is due.
fn expected(known: Progress, due: WorkDue) -> Progress {
    let Some(result) = known.result() else {
        // Nothing was sent that the market could know more of than this.
        return known;
    };
    match (due, known) {
        (WorkDue::Commit { .. }, Progress::Finished(_) | Progress::Committing(_)) => known,
        (WorkDue::Commit { .. }, _) => Progress::Finished(result),
        // `Due`: jobs without verification open the reveal with the commit, before a view says so.
        (WorkDue::Wait, Progress::Sealed(_) | Progress::Due(_) | Progress::Revealing(_)) => known,
        (WorkDue::Wait, _) => Progress::Sealed(result),
        (WorkDue::Reveal { .. }, Progress::Due(_) | Progress::Revealing(_)) => known,
        (WorkDue::Reveal { .. }, _) => Progress::Due(result),
        (WorkDue::Judging, _) => Progress::Revealed(result),
    }
}
