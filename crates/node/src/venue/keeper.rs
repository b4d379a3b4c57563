//! Effects that need nobody outside: the anchors and links of the venue's audit chains, the hashes and preimages of holds,
//! and what has to be said at the start. What is outstanding is kept until the state shows that it is done, so that a refusal or a restart loses nothing:
//! after a start it is read from the state again.

use market::{
    command::{AuditLink, Command},
    effect::Effect,
    engine::{State, state::HoldPhase},
    id::{Digest, JobId, LeaseId},
    key::SecretKey,
    preimage::Preimage,
    units::TimeMs,
    verify::{Chain, rounds_for},
};
use std::collections::BTreeMap;

/// What the key of all chain secrets is derived from.
const CHAIN_KEY_CONTEXT: &str = "gristmill 2026 venue audit chain key v1";
/// What the key of all preimages is derived from.
const PREIMAGE_KEY_CONTEXT: &str = "gristmill 2026 venue preimage key v1";
/// How long a duty that was answered in vain waits for the next answer, in milliseconds.
const AGAIN_AFTER_MS: u64 = 1_000;

/// Something that the venue has to do for a job or a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Duty {
    Anchor(JobId),
    Link(JobId, u32),
    Deal(LeaseId),
    Release(LeaseId),
}

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Keeper {
    chain_key: [u8; 32],
    preimage_key: [u8; 32],
    withholds_links: bool,
    /// What is outstanding, and when it is answered next.
    duties: BTreeMap<Duty, TimeMs>,
    /// What has to be said once, in order.
    demands: Vec<Command>,
}

impl Keeper {
    pub(super) fn new(secret: &SecretKey, withholds_links: bool) -> Keeper {
        let chain_key = blake3::derive_key(CHAIN_KEY_CONTEXT, &secret.to_bytes());
        let preimage_key = blake3::derive_key(PREIMAGE_KEY_CONTEXT, &secret.to_bytes());
        Keeper { chain_key, preimage_key, withholds_links, duties: BTreeMap::new(), demands: Vec::new() }
    }

    /// Finds in the state what is outstanding.
    pub(super) fn take_over(&mut self, state: &State) {
        for (id, job) in state.jobs.iter() {
            let Some(audits) = &job.audits else { continue };
            if audits.venue.is_none() {
                self.owe(Duty::Anchor(id));
            }
            if let Some(round) = &audits.open {
                self.owe(Duty::Link(id, round.number));
            }
        }
        for (_, lease) in &state.open_holds {
            self.owe(Duty::Deal(*lease));
            self.owe(Duty::Release(*lease));
        }
    }

    /// Takes an effect on; payments and blobs are not its business.
    pub(super) fn take(&mut self, effect: &Effect) {
        match effect {
            Effect::AnchorAudits { job, .. } => self.owe(Duty::Anchor(*job)),
            Effect::RevealVenueLink { job, round } => self.owe(Duty::Link(*job, *round)),
            Effect::DealHold { lease, .. } => self.owe(Duty::Deal(*lease)),
            Effect::ReleaseHold { lease, .. } => self.owe(Duty::Release(*lease)),
            Effect::CreateInvoice { .. } | Effect::PayInvoice { .. } | Effect::JudgeKey { .. } => {}
        }
    }

    /// Has something said with the next answers.
    pub(super) fn demand(&mut self, command: Command) {
        self.demands.push(command);
    }

    /// What is to be said now.
    pub(super) fn answers(&mut self, now: TimeMs, state: &State) -> Vec<Command> {
        let mut commands = std::mem::take(&mut self.demands);
        let due: Vec<Duty> =
            self.duties.iter().filter(|(_, at)| **at <= now).map(|(duty, _)| *duty).collect();
        for duty in due {
            match self.answer(duty, state) {
                Some(command) => {
                    commands.push(command);
                    self.duties.insert(duty, now.plus(AGAIN_AFTER_MS));
                }
                None => {
                    self.duties.remove(&duty);
                }
            }
        }
        commands
    }

    /// When an answer is due next.
    pub(super) fn next_answer(&self) -> Option<TimeMs> {
        if self.demands.is_empty() { self.duties.values().min().copied() } else { Some(TimeMs(0)) }
    }

    fn owe(&mut self, duty: Duty) {
        self.duties.insert(duty, TimeMs(0));
    }

    /// The answer to a duty; `None` when it is no longer one.
    fn answer(&self, duty: Duty, state: &State) -> Option<Command> {
        match duty {
            Duty::Anchor(id) => {
                let job = state.jobs.get(id)?;
                let is_wanted = job.is_active() && job.audits.as_ref()?.venue.is_none();
                is_wanted.then(|| Command::AnchorAudits {
                    job: id,
                    anchor: self.chain(id, job.spec.tasks).anchor(),
                })
            }
            Duty::Link(..) if self.withholds_links => None,
            Duty::Link(id, number) => {
                let job = state.jobs.get(id)?;
                let round = job.audits.as_ref()?.open.as_ref()?;
                if round.number != number || round.venue_link.is_some() {
                    return None;
                }
                let link = self.chain(id, job.spec.tasks).link(number)?;
                Some(Command::RevealVenueLink(AuditLink { job: id, round: number, link }))
            }
            Duty::Deal(lease) => {
                let row = state.leases.get(lease)?;
                let hold = row.hold.as_ref().filter(|hold| hold.phase == HoldPhase::Asked)?;
                let hashes = self.preimages(lease, hold.slices).map(|preimage| preimage.payment_hash());
                row.phase.is_held().then(|| Command::DealHold { lease, hashes: hashes.collect() })
            }
            Duty::Release(lease) => match state.leases.get(lease)?.hold.as_ref()?.phase {
                HoldPhase::Decided { released } => {
                    let preimages = self.preimages(lease, released).collect();
                    Some(Command::ReleaseHold { lease, preimages })
                }
                HoldPhase::Asked
                | HoldPhase::Dealt
                | HoldPhase::Invoiced { .. }
                | HoldPhase::Funded
                | HoldPhase::Released { .. }
                | HoldPhase::Over { .. } => None,
            },
        }
    }

    /// The preimages of the first slices of a lease's hold: the same after a restart, and nobody else's to guess.
    fn preimages(&self, lease: LeaseId, slices: u8) -> impl Iterator<Item = Preimage> {
        let key = self.preimage_key;
        (0..slices).map(move |slice| {
            let mut place = [0; 9];
            place[..8].copy_from_slice(&lease.0.to_le_bytes());
            place[8] = slice;
            Preimage(*blake3::keyed_hash(&key, &place).as_bytes())
        })
    }

    /// The chain of a job. Its secret is the same after a restart and nobody can guess it without the venue's key.
    fn chain(&self, job: JobId, tasks: u32) -> Chain {
        let secret = blake3::keyed_hash(&self.chain_key, &job.0.to_le_bytes());
        Chain::new(Digest(*secret.as_bytes()), rounds_for(tasks))
    }
}
