//! Who has a part in a lease, and in a blob.

use super::Floor;
use crate::api::LeaseResult;
use market::{
    engine::state::{Job, JudgedAttempt},
    event::TaskOutcome,
    funding::Funding,
    id::{AttemptId, Digest, LeaseId, PartyId},
};

impl Floor {
    /// Whether a lease is between this party and another: the buyer of its job, or its provider.
    pub fn has_part_in(&self, party: PartyId, lease: LeaseId) -> bool {
        let state = self.state();
        let Some(lease) = state.leases.get(lease) else { return false };
        lease.party == party || state.jobs.get(lease.job).is_some_and(|job| job.buyer == party)
    }

    /// The attempts under a lease that have their verdict, by task; `None` when the lease is not known (any more).
    pub fn lease_results(&self, id: LeaseId) -> Option<Vec<LeaseResult>> {
        let job = self.state().jobs.get(self.state().leases.get(id)?.job)?;
        let results =
            judged(job).filter(|(_, attempt)| attempt.lease == id).map(|(task, attempt)| LeaseResult {
                task,
                attempt: attempt.attempt,
                verdict: attempt.verdict.clone(),
                result: attempt.result,
                paid_msat: attempt.paid_msat,
            });
        Some(results.collect())
    }

    /// Whether a blob is what a task wrote under a lease.
    pub fn is_output_of(&self, id: LeaseId, blob: Digest) -> bool {
        let job = self.state().leases.get(id).and_then(|lease| self.state().jobs.get(lease.job));
        let is_it = |(_, attempt): (u32, &JudgedAttempt)| {
            attempt.lease == id && attempt.result.is_some_and(|result| result.output == blob)
        };
        job.is_some_and(|job| judged(job).any(is_it))
    }

    /// Whether an attempt's job is paid to decrypt: whoever does not sell its result keeps it.
    pub fn is_paid_to_decrypt(&self, attempt: AttemptId) -> bool {
        let state = self.state();
        let job = state.attempts.get(&attempt).and_then(|row| state.jobs.get(row.job));
        let order = job.and_then(|job| state.orders.get(job.order));
        order.is_some_and(|order| matches!(order.terms.funding, Some(Funding::Decrypt { .. })))
    }

    /// Whether a blob belongs to a job that this party bought, or has a lease of. Looks at every job of the party.
    pub fn has_part_in_blob(&self, party: PartyId, blob: Digest) -> bool {
        let state = self.state();
        let is_partys = |job: &Job| {
            let is_provider =
                |lease: &LeaseId| state.leases.get(*lease).is_some_and(|row| row.party == party);
            job.buyer == party || job.leases.iter().any(is_provider)
        };
        state.jobs.iter().any(|(_, job)| is_partys(job) && is_of(job, blob))
    }
}

fn judged(job: &Job) -> impl Iterator<Item = (u32, &JudgedAttempt)> {
    job.tasks.iter().zip(0..).flat_map(|(task, number)| task.judged.iter().map(move |row| (number, row)))
}

/// Whether a job reads or has made this blob.
fn is_of(job: &Job, blob: Digest) -> bool {
    let spec = &job.spec;
    let reads =
        spec.module == blob || spec.stdin == Some(blob) || spec.inputs.iter().any(|file| file.blob == blob);
    reads
        || job.tasks.iter().any(|task| {
            let done =
                matches!(&task.outcome, Some(TaskOutcome::Done { result, .. }) if result.output == blob);
            done || task.votes.iter().any(|vote| vote.result.output == blob)
                || task.judged.iter().any(|row| row.result.is_some_and(|result| result.output == blob))
        })
}
