//! Audit rounds: anchors, links, seeds, and the draw of who runs replicas.

use super::{
    Actor, Engine,
    state::{JobPhase, KnownLink, Round, Timer},
};
use crate::{
    command::AuditLink,
    effect::Effect,
    event::Event,
    id::{AttemptId, Digest, JobId, OfferId, PartyId},
    job::Verification,
    matching::Wanted,
    rejection::{Conflict, Entity, NeedsSigner, Rejection},
    reply::Reply,
    verify::{batch_root, draw, follows, is_audited, seed},
};
use std::collections::BTreeMap;

/// How many validators' offers are looked at for one draw.
const VALIDATORS_TRIED_MAX: usize = 256;

impl Engine {
    pub(super) fn anchor_audits(&mut self, job: JobId, anchor: Digest) -> Result<Reply, Rejection> {
        let row = self.state.jobs.get_mut(job).ok_or(Rejection::Unknown(Entity::Job(job)))?;
        match &mut row.audits {
            Some(audits) if audits.venue.is_none() => {
                audits.venue = Some(KnownLink { link: anchor, round: 0 })
            }
            Some(_) | None => return Err(Rejection::conflict(Entity::Job(job), Conflict::Anchored)),
        }
        Ok(Reply::Done)
    }

    /// Starts the next round over everything that was committed meanwhile, if no round is open.
    pub(super) fn open_round(&mut self, job: JobId) {
        let reveal_by_ms = self.now().plus(self.rules.link_grace_ms);
        let Some(audits) = &mut self.state.job_mut(job).audits else { return };
        if audits.open.is_some() || audits.backlog.is_empty() {
            return;
        }
        let backlog = std::mem::take(&mut audits.backlog);
        let round = audits.next_round;
        let commits = self.sealed(&backlog);
        if commits.is_empty() {
            return;
        }
        let root = batch_root(&commits);
        let attempts = commits.into_iter().map(|(attempt, _)| attempt).collect();
        if let Some(audits) = &mut self.state.job_mut(job).audits {
            audits.next_round += 1;
            let until = reveal_by_ms;
            audits.open =
                Some(Round { number: round, root, attempts, buyer_link: None, venue_link: None, until });
        }
        self.set_timer(reveal_by_ms, Timer::Links(job, round));
        self.emit(Event::RoundOpened { job, round, root, reveal_by_ms });
        self.effect(Effect::RevealVenueLink { job, round });
    }

    pub(super) fn reveal_buyer_link(&mut self, actor: Actor, link: &AuditLink) -> Result<Reply, Rejection> {
        let row = self.state.jobs.get(link.job).ok_or(Rejection::Unknown(Entity::Job(link.job)))?;
        if self.signing_party(actor)? != row.buyer {
            return Err(Rejection::NotAllowed { needs: NeedsSigner::Owner });
        }
        let (open, known) = match &row.audits {
            Some(audits) => (audits.open.as_ref(), Some(audits.buyer)),
            None => (None, None),
        };
        let is_due = open.is_some_and(|round| round.number == link.round && round.buyer_link.is_none());
        check_link(link, is_due, known)?;
        if let Some(audits) = &mut self.state.job_mut(link.job).audits {
            audits.buyer = KnownLink { link: link.link, round: link.round + 1 };
            if let Some(round) = &mut audits.open {
                round.buyer_link = Some(link.link);
            }
        }
        self.seed_if_complete(link.job);
        Ok(Reply::Done)
    }

    pub(super) fn reveal_venue_link(&mut self, link: &AuditLink) -> Result<Reply, Rejection> {
        let row = self.state.jobs.get(link.job).ok_or(Rejection::Unknown(Entity::Job(link.job)))?;
        let (open, known) = match &row.audits {
            Some(audits) => (audits.open.as_ref(), audits.venue),
            None => (None, None),
        };
        let is_due = open.is_some_and(|round| round.number == link.round && round.venue_link.is_none());
        check_link(link, is_due, known)?;
        if let Some(audits) = &mut self.state.job_mut(link.job).audits {
            audits.venue = Some(KnownLink { link: link.link, round: link.round + 1 });
            if let Some(round) = &mut audits.open {
                round.venue_link = Some(link.link);
            }
        }
        self.seed_if_complete(link.job);
        Ok(Reply::Done)
    }

    fn seed_if_complete(&mut self, job: JobId) {
        let open = self.state.job(job).audits.as_ref().and_then(|audits| audits.open.as_ref());
        if open.is_some_and(|round| round.buyer_link.is_some() && round.venue_link.is_some()) {
            self.seed_round(job);
        }
    }

    /// The wait for the links of a round is over. Who withheld a link pays for auditing the whole batch.
    pub(super) fn links_are_due(&mut self, job: JobId, round: u32) {
        let Some(row) = self.state.jobs.get(job) else { return };
        let open = row.audits.as_ref().and_then(|audits| audits.open.as_ref());
        if open.is_some_and(|open| open.number == round) {
            self.seed_round(job);
        }
    }

    fn seed_round(&mut self, job: JobId) {
        let Some(round) = self.state.job_mut(job).audits.as_mut().and_then(|audits| audits.open.take())
        else {
            return;
        };
        let (buyer_withheld, venue_withheld) = (round.buyer_link.is_none(), round.venue_link.is_none());
        let seed = seed(round.buyer_link.as_ref(), round.venue_link.as_ref(), &round.root);
        let number = round.number;
        self.emit(Event::RoundSeeded { job, round: number, seed, buyer_withheld, venue_withheld });
        let mut replicas = 0;
        for attempt in round.attempts {
            replicas += self.seed_attempt(attempt, &seed, buyer_withheld || venue_withheld);
        }
        // Also when the buyer's link is missing, too: an operator could have kept it from arriving.
        if venue_withheld && self.rules.venue_pays_withheld {
            self.charge_venue(job, number, replicas);
        }
        self.open_round(job);
    }

    /// Decides by the seed whether the task of a committed attempt gets replicas. Says how many it asks for.
    fn seed_attempt(&mut self, attempt: AttemptId, seed: &Digest, audit_all: bool) -> u64 {
        let Some(row) = self.state.attempts.get(&attempt) else { return 0 };
        let (job, task, party, lease) = (row.job, row.task, row.party, row.lease);
        if self.state.job(job).task(task).seed.is_some() {
            return 0;
        }
        let needed = match self.state.job(job).spec.verification {
            Verification::None => 1,
            Verification::Replicas { k, .. } => k,
            Verification::Audit { floor_ppm } => {
                let class = &self.state.lease(lease).class;
                let rate = self.state.reputation.audit_rate_ppm(party, class, floor_ppm);
                if audit_all || is_audited(seed, task, rate) { 2 } else { 1 }
            }
        };
        // A job that has ended asks for no replicas any more; what was committed before is paid as it is.
        let needed = if matches!(self.state.job(job).phase, JobPhase::Active) { needed } else { 1 };
        let until = self.now().plus(self.rules.replica_wait_ms);
        let row = self.state.job_mut(job).task_mut(task);
        row.seed = Some(*seed);
        row.needed = needed;
        if needed > 1 {
            row.replicas_until = Some(until);
            self.set_timer(until, Timer::ReplicaWait(job, task));
        }
        self.advance_task(job, task);
        u64::from(needed - 1)
    }

    /// Draws parties for the replicas of a task that nobody was drawn for yet.
    pub(super) fn draw_replicas(&mut self, job: JobId, task: u32) {
        loop {
            let row = self.state.job(job);
            let drawn = row.drawn.values().filter(|tasks| tasks.contains_key(&task)).count();
            let task_row = row.task(task);
            let Some(seed) = task_row.seed.filter(|_| drawn < usize::from(task_row.wanted)) else {
                self.state.job_mut(job).starved.remove(&task);
                return;
            };
            let candidates = self.replica_candidates(job, task);
            let weights: Vec<_> = candidates.iter().map(|(party, (weight, _))| (*party, *weight)).collect();
            let turn = task_row.turn;
            let Some(party) = draw(&seed, task, turn, &weights) else {
                self.starve(job, task);
                return;
            };
            self.state.job_mut(job).task_mut(task).turn += 1;
            let mut claim_ms = self.rules.replica_claim_ms;
            if let Some((_, Some(offer))) = candidates.get(&party) {
                let order = self.state.job(job).order;
                let rate = self.state.offer(*offer).terms.rate;
                if self.grant_lease(order, *offer, rate, true).is_none() {
                    self.starve(job, task);
                    return;
                }
                claim_ms += self.rules.claim_grace_ms;
            }
            self.state.job_mut(job).drawn.entry(party).or_default().insert(task, turn);
            let until = self.now().plus(claim_ms);
            self.set_timer(until, Timer::ReplicaClaim(job, task, turn));
        }
    }

    fn starve(&mut self, job: JobId, task: u32) {
        let until = self.now().plus(self.rules.replica_claim_ms);
        if self.state.job(job).starved.is_empty() {
            self.set_timer(until, Timer::Redraw(job));
        }
        self.state.job_mut(job).starved.insert(task);
    }

    /// Who could run a replica of a task: parties with a lease of the job, and validators with a matching
    /// offer. One replica for each party; never the buyer, never the operator's own, never who has failed at this task before; only those whom the buyer named,
    /// if any. The weight is the bond in satoshi; an offer is there when the party needs a lease first.
    fn replica_candidates(&self, job: JobId, task: u32) -> BTreeMap<PartyId, (u64, Option<OfferId>)> {
        let row = self.state.job(job);
        let named: &[PartyId] = match &row.spec.verification {
            Verification::Replicas { named, .. } => named,
            Verification::Audit { .. } | Verification::None => &[],
        };
        let has_part = |party: PartyId| {
            row.task(task).open.iter().any(|attempt| self.state.attempt(*attempt).party == party)
                || row.drawn.get(&party).is_some_and(|tasks| tasks.contains_key(&task))
                || row.task(task).failed_by.contains(&party)
        };
        let may = |party: PartyId| {
            party != row.buyer
                && !self.state.party(party).is_operators
                && (named.is_empty() || named.contains(&party))
                && !has_part(party)
        };
        let weight = |party: PartyId| self.bond(party).0 / 1_000 + 1;
        let mut candidates = BTreeMap::new();
        for lease in row.leases.iter().map(|id| self.state.lease(*id)) {
            if lease.phase.is_held() && may(lease.party) {
                candidates.insert(lease.party, (weight(lease.party), None));
            }
        }
        let terms = &self.state.order(row.order).terms;
        for offer in self.state.audit_offers.iter().copied().take(VALIDATORS_TRIED_MAX) {
            let validator = self.state.offer(offer);
            if !candidates.contains_key(&validator.party)
                && may(validator.party)
                && Wanted::audit(terms).mismatch(&validator.terms).is_none()
                && self.offer_can_serve(row.order, offer)
            {
                candidates.insert(validator.party, (weight(validator.party), Some(offer)));
            }
        }
        candidates
    }

    /// A drawn party takes its replica.
    pub(super) fn take_draw(&mut self, job: JobId, party: PartyId, task: u32) {
        let row = self.state.job_mut(job);
        if let Some(tasks) = row.drawn.get_mut(&party) {
            tasks.remove(&task);
            if tasks.is_empty() {
                row.drawn.remove(&party);
            }
        }
        let task = row.task_mut(task);
        task.wanted = task.wanted.saturating_sub(1);
    }

    /// A drawn party did not take its replica in time: somebody else is drawn.
    pub(super) fn replica_claim_is_due(&mut self, job: JobId, task: u32, turn: u32) {
        let Some(row) = self.state.jobs.get_mut(job) else { return };
        let party =
            row.drawn.iter().find(|(_, tasks)| tasks.get(&task) == Some(&turn)).map(|(party, _)| *party);
        let Some(party) = party else { return };
        if let Some(tasks) = row.drawn.get_mut(&party) {
            tasks.remove(&task);
            if tasks.is_empty() {
                row.drawn.remove(&party);
            }
        }
        self.draw_replicas(job, task);
    }

    /// Draws again for the tasks of a job that nobody could be found for.
    pub(super) fn redraw_starved(&mut self, job: JobId) {
        let Some(row) = self.state.jobs.get_mut(job) else { return };
        for task in std::mem::take(&mut row.starved) {
            self.draw_replicas(job, task);
        }
    }
}

fn check_link(link: &AuditLink, is_due: bool, known: Option<KnownLink>) -> Result<(), Rejection> {
    let Some(known) = known.filter(|_| is_due) else {
        return Err(Rejection::conflict(Entity::Job(link.job), Conflict::NoSuchRound));
    };
    if follows(&known.link, &link.link, link.round + 1 - known.round) {
        Ok(())
    } else {
        Err(Rejection::BadLink { job: link.job })
    }
}
