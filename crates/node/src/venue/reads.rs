//! Reads: what the state means for those who ask.

mod auctions;
mod holds;
mod sales;

use super::Floor;
use auctions::work_auction;
use sales::{ciphertexts, sales, work_output, work_sales};

use crate::api::{
    AccountView, Board, BoardCounts, BoardJob, ClassScore, JobView, KeyView, LeaseView, MachineView,
    OfferView, PartyView, TaskView, TopupPhase, TopupView, WithdrawalPhase, WithdrawalView, WorkAttempt,
    WorkDue, WorkLease, WorkLeasePhase, WorkView,
};
use market::{
    engine::{
        State,
        state::{
            AttemptPhase, HoldPhase, Job, JobPhase, KeyOwner, Lease, LeasePhase, Order, OrderPhase, Presence,
        },
    },
    event::{Audience, Event, TaskOutcome},
    id::{Digest, JobId, LeaseId, MachineId, OfferId, PartyId, TopupId, WithdrawalId},
    key::PublicKey,
    ledger::Account,
    offer::OfferTerms,
    units::Msat,
};

/// Revisions stay below 2^53, so that every JSON reader keeps them exact.
const REVISION_BITS: u32 = 53;
/// How much of everything the board shows.
const BOARD_OFFERS: usize = 100;
const BOARD_JOBS: usize = 50;
const BOARD_LEASES: usize = 100;

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Somebody without a token.
    Anyone,
    /// A party.
    Party(PartyId),
    /// A machine, with its owner.
    Machine(MachineId, PartyId),
}

impl Reader {
    /// The party that reads, itself or through its machine.
    pub fn party(self) -> Option<PartyId> {
        match self {
            Reader::Anyone => None,
            Reader::Party(party) | Reader::Machine(_, party) => Some(party),
        }
    }
}

/// Whether an order takes bids or reveals.
pub(super) fn takes_bids(order: &Order) -> bool {
    match order.phase {
        OrderPhase::Bidding { .. } | OrderPhase::Revealing { .. } => true,
        OrderPhase::Open | OrderPhase::Closed => false,
    }
}

impl Floor {
    /// What a key is here.
    pub fn key(&self, key: &PublicKey) -> Option<KeyView> {
        Some(match self.state().keys.get(key)? {
            KeyOwner::Party(party) => KeyView::Party(*party),
            KeyOwner::Machine(machine) => {
                KeyView::Machine { machine: *machine, party: self.state().machine(*machine).party }
            }
            KeyOwner::Retired => KeyView::Retired,
        })
    }

    /// Who reads with this key; `None` for keys that are worth nothing here.
    pub fn reader(&self, key: &PublicKey) -> Option<Reader> {
        match self.key(key)? {
            KeyView::Party(party) => Some(Reader::Party(party)),
            KeyView::Machine { machine, party } => Some(Reader::Machine(machine, party)),
            KeyView::Retired => None,
        }
    }

    /// Whether a reader may see an event.
    pub fn may_see(&self, reader: Reader, event: &Event) -> bool {
        match event.audience() {
            Audience::Public => true,
            Audience::Venue => false,
            Audience::Job(job) => {
                self.state().jobs.get(job).is_some_and(|job| reader == Reader::Party(job.buyer))
            }
            Audience::Party(party) => reader == Reader::Party(party),
            Audience::Machine(machine) => match reader {
                Reader::Anyone => false,
                Reader::Machine(reader, _) => reader == machine,
                Reader::Party(party) => self.state().machine(machine).party == party,
            },
        }
    }

    /// The machines whose [`WorkView`] an event changes.
    pub fn machines_touched(&self, event: &Event) -> Touched {
        let state = self.state();
        let of_lease = |lease: &LeaseId| match state.leases.get(*lease) {
            Some(lease) => Touched::Some(vec![lease.machine]),
            None => Touched::Some(Vec::new()),
        };
        match event {
            Event::LeaseGranted { machine, .. }
            | Event::HoldDealt { machine, .. }
            | Event::HoldReleased { machine, .. }
            | Event::MachineBack { machine }
            | Event::MachineLost { machine }
            | Event::MachineRevoked { machine }
            | Event::BidCommitted { machine, .. }
            | Event::BidRevealed { machine, .. }
            | Event::OfferPosted { machine, .. } => Touched::Some(vec![*machine]),
            Event::OfferChanged { offer, .. } => match state.offers.get(*offer) {
                Some(offer) => Touched::Some(vec![offer.machine]),
                None => Touched::All,
            },
            Event::LeaseStarted { lease, .. }
            | Event::HoldInvoiced { lease, .. }
            | Event::HoldFunded { lease, .. }
            | Event::HoldDecided { lease, .. }
            | Event::HoldOver { lease, .. }
            | Event::SaleOpened { lease, .. }
            | Event::KeyDisputed { lease, .. }
            | Event::RevealsOpened { lease, .. }
            | Event::ResultsCommitted { lease, .. } => of_lease(lease),
            // What is claimable changes for every lease of the job.
            Event::LeaseDraining { job, .. }
            | Event::LeaseClosed { job, .. }
            | Event::TasksClaimed { job, .. }
            | Event::RoundSeeded { job, .. }
            | Event::ResultRevealed { job, .. }
            | Event::AttemptJudged { job, .. }
            | Event::TaskReopened { job, .. }
            | Event::TaskFinished { job, .. }
            | Event::SessionRefilled { job, .. }
            | Event::JobEnded { job, .. } => self.machines_of_job(*job),
            // What a bond covers changes what its owner's other machines may claim.
            Event::ResultSold { party, .. }
            | Event::ResultUnsold { party, .. }
            | Event::KeyForged { party, .. } => self.machines_of_party(*party),
            Event::OfferWithdrawn { .. }
            | Event::OrderPlaced { .. }
            | Event::BidsClosed { .. }
            | Event::AuctionCleared { .. }
            | Event::RulesActivated { .. }
            | Event::Resumed { .. } => Touched::All,
            Event::PartyRegistered { .. }
            | Event::KeyRotated { .. }
            | Event::DeclaredOwn { .. }
            | Event::MachineCertified { .. }
            | Event::Posted { .. }
            | Event::TopUpRequested { .. }
            | Event::TopUpInvoiced { .. }
            | Event::TopUpReceived { .. }
            | Event::TopUpExpired { .. }
            | Event::WithdrawalRequested { .. }
            | Event::WithdrawalSent { .. }
            | Event::WithdrawalFailed { .. }
            | Event::WithdrawalUnknown { .. }
            | Event::BondChanged { .. }
            | Event::BondSlashed { .. }
            | Event::RoundOpened { .. }
            | Event::VenueCharged { .. }
            | Event::VenuePaid { .. }
            | Event::ClaimCostSet { .. }
            | Event::SessionLow { .. }
            | Event::JobSettled { .. } => Touched::Some(Vec::new()),
        }
    }

    fn machines_of_party(&self, party: PartyId) -> Touched {
        let machines = self.state().machines.iter().filter(|(_, machine)| machine.party == party);
        Touched::Some(machines.map(|(id, _)| id).collect())
    }

    fn machines_of_job(&self, job: JobId) -> Touched {
        let state = self.state();
        let Some(job) = state.jobs.get(job) else { return Touched::Some(Vec::new()) };
        let leases = job.leases.iter().filter_map(|lease| state.leases.get(*lease));
        Touched::Some(leases.filter(|lease| !lease.phase.is_closed()).map(|lease| lease.machine).collect())
    }

    /// Everything that a machine has to do; `None` for one that there is not.
    pub fn work(&self, id: MachineId) -> Option<WorkView> {
        let state = self.state();
        let machine = state.machines.get(id)?;
        let leases = machine.leases.iter().map(|lease| (*lease, state.lease(*lease)));
        let mut view = WorkView {
            leases: leases.clone().filter_map(|(id, lease)| self.work_lease(id, lease)).collect(),
            attempts: leases.flat_map(|(id, lease)| work_attempts(state, id, lease)).collect(),
            auctions: self
                .auctions()
                .iter()
                .filter_map(|order| work_auction(state, id, machine, *order))
                .collect(),
            offers: machine
                .offers
                .iter()
                .map(|offer| (*offer, OfferTerms::clone(&state.offer(*offer).terms)))
                .collect(),
            holds: self.work_holds(id),
            sales: work_sales(state, machine),
            ..WorkView::default()
        };
        view.revision = revision(&view);
        view.now_ms = state.now;
        Some(view)
    }

    fn work_lease(&self, id: LeaseId, lease: &Lease) -> Option<WorkLease> {
        let is_funded = lease.hold.as_ref().is_none_or(|hold| hold.phase == HoldPhase::Funded);
        let phase = match lease.phase {
            LeasePhase::Granted { .. } if !is_funded => WorkLeasePhase::Unfunded,
            LeasePhase::Granted { start_by } => WorkLeasePhase::Granted { start_by_ms: start_by },
            LeasePhase::Running { .. } => WorkLeasePhase::Running,
            LeasePhase::Draining { .. } => WorkLeasePhase::Draining,
            LeasePhase::Closed { .. } => return None,
        };
        Some(WorkLease {
            lease: id,
            job: lease.job,
            spec: self.state().job(lease.job).spec.clone(),
            rate: lease.rate,
            resources: lease.resources.clone(),
            phase,
            claimable: self.engine().claimable(id),
        })
    }

    /// A standing offer.
    pub fn offer(&self, id: OfferId) -> Option<OfferView> {
        let state = self.state();
        let offer = state.offers.get(id)?;
        let (machine, party) = (state.machine(offer.machine), state.party(offer.party));
        let score = state.reputation.score(offer.party, &offer.terms.class, state.now);
        Some(OfferView {
            offer: id,
            machine: offer.machine,
            machine_label: machine.label.clone(),
            party: offer.party,
            party_label: party.label.clone(),
            terms: OfferTerms::clone(&offer.terms),
            free: machine.free.clone(),
            is_live: machine.presence == Presence::Live,
            reputation_ppm: score.score_ppm,
            is_unvetted: score.unvetted,
            bond_msat: self.balance(Account::Bond(offer.party)),
        })
    }

    /// A machine.
    pub fn machine(&self, id: MachineId) -> Option<MachineView> {
        let machine = self.state().machines.get(id)?;
        Some(MachineView {
            machine: id,
            key: machine.key,
            label: machine.label.clone(),
            capacity: machine.capacity.clone(),
            free: machine.free.clone(),
            presence: match machine.presence {
                Presence::Live => "live".into(),
                Presence::Lost { .. } => "lost".into(),
                Presence::Revoked => "revoked".into(),
            },
            offers: machine.offers.iter().copied().collect(),
            leases: machine.leases.iter().copied().collect(),
        })
    }

    /// The machines of a party.
    pub fn machines_of(&self, party: PartyId) -> Vec<MachineView> {
        let machines = self.state().machines.iter().filter(|(_, machine)| machine.party == party);
        machines.filter_map(|(id, _)| self.machine(id)).collect()
    }

    /// A party, as everybody may see it.
    pub fn party(&self, id: PartyId) -> Option<PartyView> {
        let state = self.state();
        let party = state.parties.get(id)?;
        let standings = state.reputation.iter().filter(|(owner, _, _)| *owner == id);
        let reputation = standings.map(|(_, class, standing)| {
            let score = standing.score(state.now);
            ClassScore {
                class: class.clone(),
                score_ppm: score.score_ppm,
                is_unvetted: score.unvetted,
                valid_in_a_row: standing.valid_in_a_row(),
            }
        });
        Some(PartyView {
            party: id,
            key: party.key,
            label: party.label.clone(),
            is_operators: party.is_operators,
            bond_msat: self.balance(Account::Bond(id)),
            reputation: reputation.collect(),
        })
    }

    /// A party's money.
    pub fn account(&self, id: PartyId) -> Option<AccountView> {
        let state = self.state();
        let party = state.parties.get(id)?;
        let available = state.ledger.balance(Account::Available(id));
        let own_jobs = state.jobs.iter().filter(|(_, job)| job.buyer == id);
        let escrow = own_jobs.map(|(job, _)| state.ledger.balance(Account::Escrow(job)).posted.0).sum();
        Some(AccountView {
            party: id,
            label: party.label.clone(),
            available_msat: available.available,
            pending_msat: available.pending_out,
            withheld_msat: state.ledger.balance(Account::Earnings(id)).posted,
            bond_msat: self.balance(Account::Bond(id)),
            escrow_msat: Msat(escrow),
        })
    }

    /// A top-up and whose it is.
    pub fn topup(&self, id: TopupId) -> Option<(PartyId, TopupView)> {
        let view = |amount_msat, phase| TopupView {
            topup: id,
            amount_msat,
            bolt11: None,
            payment_hash: None,
            expires_at_ms: None,
            phase,
        };
        let Some(row) = self.state().topups.get(id) else {
            let (party, amount_msat, phase) = self.payments().topup(id)?;
            return Some((party, view(amount_msat, phase)));
        };
        let phase = match (&row.invoice, row.is_expired) {
            (_, true) => TopupPhase::Expired,
            (None, false) => TopupPhase::Requested,
            (Some(_), false) => TopupPhase::Invoiced,
        };
        let mut view = view(row.amount_msat, phase);
        if let Some(invoice) = &row.invoice {
            view.bolt11 = Some(invoice.bolt11.clone());
            view.payment_hash = Some(invoice.payment_hash);
            view.expires_at_ms = Some(invoice.expires_at_ms);
        }
        Some((row.party, view))
    }

    /// A withdrawal and whose it is.
    pub fn withdrawal(&self, id: WithdrawalId) -> Option<(PartyId, WithdrawalView)> {
        let (party, amount_msat, phase) = match self.state().withdrawals.get(id) {
            Some(row) if row.is_unknown => (row.party, row.amount_msat, WithdrawalPhase::Unknown),
            Some(row) => (row.party, row.amount_msat, WithdrawalPhase::Pending),
            None => self.payments().withdrawal(id)?.clone(),
        };
        Some((party, WithdrawalView { withdrawal: id, amount_msat, phase }))
    }

    /// A lease.
    pub fn lease(&self, id: LeaseId) -> Option<LeaseView> {
        let lease = self.state().leases.get(id)?;
        let (phase, reason) = match lease.phase {
            LeasePhase::Granted { .. } => ("granted", None),
            LeasePhase::Running { .. } => ("running", None),
            LeasePhase::Draining { reason, .. } => ("draining", Some(reason)),
            LeasePhase::Closed { reason, .. } => ("closed", Some(reason)),
        };
        Some(LeaseView {
            lease: id,
            job: lease.job,
            machine: lease.machine,
            machine_label: self.state().machine(lease.machine).label.clone(),
            party: lease.party,
            class: lease.class.clone(),
            rate: lease.rate,
            is_audit: lease.is_audit,
            phase: phase.into(),
            reason,
            books: lease.books,
            deterrence: self.deterrence(lease),
        })
    }

    /// A job, for its buyer.
    pub fn job(&self, id: JobId) -> Option<JobView> {
        let state = self.state();
        let job = state.jobs.get(id)?;
        let (tasks_done, tasks_failed) = task_counts(job);
        let (outcome, refunded_msat) = match job.phase {
            JobPhase::Active => (None, None),
            JobPhase::Ended { outcome } => (Some(outcome), None),
            JobPhase::Settled { outcome, refunded_msat, .. } => (Some(outcome), Some(refunded_msat)),
        };
        let open_round = job.audits.as_ref().and_then(|audits| audits.open.as_ref());
        Some(JobView {
            job: id,
            order: job.order,
            terms: state.order(job.order).terms.clone(),
            spec: job.spec.clone(),
            placed_at_ms: job.placed_at,
            phase: self.job_phase(job).into(),
            outcome,
            tasks_done,
            tasks_failed,
            running: job.running,
            escrow_msat: state.ledger.balance(Account::Escrow(id)).posted,
            paid_msat: job.paid_msat,
            refunded_msat,
            venue_paid_msat: state.venue_paid(id),
            leases: job.leases.iter().filter_map(|lease| self.lease(*lease)).collect(),
            round_waiting_for_buyer: open_round
                .filter(|round| round.buyer_link.is_none())
                .map(|round| round.number),
            holds: job.leases.iter().filter_map(|lease| self.hold(*lease)).collect(),
            session_needs_msat: job.is_low.then(|| self.next_prepayment(job)),
            sales: sales(state, job),
        })
    }

    /// The tasks of a job.
    pub fn tasks(&self, id: JobId) -> Option<Vec<TaskView>> {
        let job = self.state().jobs.get(id)?;
        let tasks = job.tasks.iter().zip(0..).map(|(task, number)| TaskView {
            task: number,
            outcome: task.outcome,
            open_attempts: task.open.clone(),
            failures: task.failures,
        });
        Some(tasks.collect())
    }

    /// The jobs of a buyer, the newest first.
    pub fn jobs_of(&self, buyer: PartyId) -> Vec<JobView> {
        let jobs = self.state().jobs.iter().rev().filter(|(_, job)| job.buyer == buyer);
        jobs.filter_map(|(id, _)| self.job(id)).collect()
    }

    fn job_phase(&self, job: &Job) -> &'static str {
        match job.phase {
            JobPhase::Ended { .. } => "settling",
            JobPhase::Settled { .. } => "settled",
            JobPhase::Active => match self.state().order(job.order).phase {
                OrderPhase::Bidding { .. } => "bidding",
                OrderPhase::Revealing { .. } => "revealing",
                OrderPhase::Open | OrderPhase::Closed => {
                    if job.open_leases == 0 {
                        "waiting"
                    } else {
                        "running"
                    }
                }
            },
        }
    }

    /// The market at a glance.
    pub fn board(&self) -> Board {
        let state = self.state();
        let is_open = |(_, lease): &(LeaseId, &Lease)| !lease.phase.is_closed();
        let machines = state.machines.iter().filter(|(_, machine)| machine.presence != Presence::Revoked);
        let open_jobs = state.jobs.iter().filter(|(_, job)| !matches!(job.phase, JobPhase::Settled { .. }));
        let counts = BoardCounts {
            parties: state.parties.len() as u64,
            machines: machines.count() as u64,
            offers: state.offers.len() as u64,
            open_jobs: open_jobs.count() as u64,
            open_leases: state.leases.iter().filter(is_open).count() as u64,
        };
        Board {
            position: self.position(),
            now_ms: state.now,
            counts,
            offers: state
                .offers
                .iter()
                .rev()
                .take(BOARD_OFFERS)
                .filter_map(|(id, _)| self.offer(id))
                .collect(),
            jobs: state.jobs.iter().rev().take(BOARD_JOBS).map(|(id, job)| self.board_job(id, job)).collect(),
            leases: state
                .leases
                .iter()
                .rev()
                .filter(is_open)
                .take(BOARD_LEASES)
                .filter_map(|(id, _)| self.lease(id))
                .collect(),
        }
    }

    fn board_job(&self, id: JobId, job: &Job) -> BoardJob {
        let (tasks_done, tasks_failed) = task_counts(job);
        BoardJob {
            job: id,
            name: job.spec.name.clone(),
            buyer: job.buyer,
            buyer_label: self.state().party(job.buyer).label.clone(),
            tasks: job.spec.tasks,
            tasks_done,
            tasks_failed,
            running: job.running,
            phase: self.job_phase(job).into(),
            paid_msat: job.paid_msat,
        }
    }

    /// Blobs that a job still needs: its inputs, and results that stand or may come to stand.
    pub fn blobs_in_use(&self) -> std::collections::BTreeSet<Digest> {
        let mut blobs = std::collections::BTreeSet::new();
        for (_, job) in self.state().jobs.iter() {
            let spec = &job.spec;
            blobs.extend(
                [spec.module].into_iter().chain(spec.stdin).chain(spec.inputs.iter().map(|file| file.blob)),
            );
            blobs.extend(ciphertexts(self.state(), job));
            for task in job.tasks.iter() {
                blobs.extend(task.votes.iter().map(|vote| vote.result.output));
                blobs.extend(task.judged.iter().filter_map(|judged| Some(judged.result?.output)));
                if let Some(TaskOutcome::Done { result, .. }) = &task.outcome {
                    blobs.insert(result.output);
                }
            }
        }
        blobs
    }

    fn balance(&self, account: Account) -> Msat {
        self.state().ledger.balance(account).posted
    }
}

/// Whose work an event changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// That of these machines.
    Some(Vec<MachineId>),
    /// That of any machine.
    All,
}

fn task_counts(job: &Job) -> (u32, u32) {
    let (mut done, mut failed) = (0, 0);
    for task in job.tasks.iter() {
        match task.outcome {
            Some(TaskOutcome::Done { .. }) => done += 1,
            Some(TaskOutcome::Failed { .. } | TaskOutcome::Cancelled) => failed += 1,
            None => {}
        }
    }
    (done, failed)
}

fn work_attempts(state: &State, id: LeaseId, lease: &Lease) -> Vec<WorkAttempt> {
    let attempts = lease.open_attempts.iter().map(|attempt| (*attempt, state.attempt(*attempt)));
    let views = attempts.map(|(attempt, row)| WorkAttempt {
        attempt,
        lease: id,
        task: row.task,
        due: match row.phase {
            AttemptPhase::Running { deadline } => WorkDue::Commit { by_ms: deadline },
            AttemptPhase::Committed { .. } => WorkDue::Wait,
            AttemptPhase::Open { until, .. } => WorkDue::Reveal { by_ms: until },
            AttemptPhase::Revealed => WorkDue::Judging,
        },
        output: work_output(state, lease, attempt),
    });
    views.collect()
}

/// Changes with everything that a machine would act on. What never changes about a lease is left out, and so is how many
/// tasks are claimable but for whether there are any: otherwise every claim would wake every machine of the job.
fn revision(view: &WorkView) -> u64 {
    let leases: Vec<_> =
        view.leases.iter().map(|lease| (lease.lease, lease.phase, lease.claimable > 0)).collect();
    let acted_on = (leases, &view.attempts, &view.auctions, &view.offers, &view.holds, &view.sales);
    // Views are plain data: there is nothing that the encoder could refuse.
    let bytes = postcard::to_stdvec(&acted_on).unwrap_or_default();
    Digest::of(&bytes).to_u64() >> (u64::BITS - REVISION_BITS)
}
