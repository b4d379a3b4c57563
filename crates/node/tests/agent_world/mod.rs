//! A market in miniature for one machine, and a network, a disk and a worker that misbehave as they are told.

#![allow(unreachable_pub, reason = "shared by several tests, which each compile it")]

use market::{
    command::{Abandon, Claim, Command, Commit, Reveal},
    id::{AttemptId, Digest, JobId, LeaseId, MachineId, OfferId, PartyId},
    job::{JobSpec, TaskLimits, Verification},
    key::SecretKey,
    offer::{OfferRole, OfferTerms},
    rejection::Rejection,
    reply::{Grant, Item, Reply},
    resources::{Isolation, Resources},
    units::{Msat, Rate, TimeMs},
    verify::{Exit, TaskResult, seal},
};
use node::{
    api::{WorkAttempt, WorkDue, WorkLease, WorkLeasePhase, WorkOutput, WorkView},
    provider::{
        Policy, Secrets,
        agent::{Action, Agent, Answer, Identity, Input, Kept, KeptKey, RequestId, RunEnd},
    },
};
use std::collections::{BTreeMap, BTreeSet};

pub const IDENTITY: Identity = Identity { machine: MachineId(7), party: PartyId(3) };
pub const LEASE: LeaseId = LeaseId(1);

pub fn resources() -> Resources {
    Resources { cpu_milli: 1_000, memory_mib: 64, ..Resources::default() }
}

pub fn offer(msat: u64) -> OfferTerms {
    OfferTerms {
        role: OfferRole::Work,
        rate: Rate::per_task(Msat(msat)),
        resources: resources(),
        isolation: Isolation::Wasm,
        region: "eu".parse().unwrap(),
        class: "test".parse().unwrap(),
        attributes: Default::default(),
        lease_max_ms: 3_600_000,
        holds: None,
        sales: None,
    }
}

pub fn policy() -> Policy {
    Policy {
        offers: vec![offer(1_000)],
        fuel_per_second: 1_000_000,
        cost_per_hour_msat: Msat::ZERO,
        discount_ppm: 200_000,
        assumed_bidders: 4,
        profiles: BTreeSet::from(["wasm-1".to_owned()]),
        batch_ms: 250,
    }
}

pub fn spec(verification: Verification) -> JobSpec {
    JobSpec {
        name: "test".into(),
        profile: "wasm-1".into(),
        module: Digest([1; 32]),
        args: Vec::new(),
        env: BTreeMap::new(),
        stdin: None,
        inputs: Vec::new(),
        tasks: 40,
        max_parallel: 1_000,
        retries: 200,
        duplicate_stragglers: false,
        limits: TaskLimits { memory_mib: 1, output_bytes: 1, fuel: 1_000_000, timeout_ms: 60_000 },
        verification,
    }
}

pub fn result_of(task: u32) -> TaskResult {
    let output = Digest::of(&(task % 3).to_le_bytes());
    TaskResult { exit: Exit::Code(0), output, fuel: u64::from(task) }
}

/// How far an attempt is at the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Running,
    Sealed(Digest),
    Due(Digest),
    Judging,
}

/// The market's side of one lease.
pub struct Venue {
    pub revision: u64,
    pub lease: WorkLease,
    pub offers: Vec<(OfferId, OfferTerms)>,
    pub waiting: BTreeSet<u32>,
    pub attempts: BTreeMap<AttemptId, (u32, At)>,
    pub seals: BTreeMap<AttemptId, Digest>,
    pub done: BTreeSet<u32>,
    pub blobs: BTreeSet<Digest>,
    pub is_quit: bool,
    /// What becomes of outputs.
    pub output: WorkOutput,
    next: u64,
}

impl Venue {
    pub fn new(verification: Verification) -> Venue {
        let spec = spec(verification);
        let waiting = (0..spec.tasks).collect();
        let lease = WorkLease {
            lease: LEASE,
            job: JobId(1),
            spec,
            rate: Rate::per_task(Msat(1_000)),
            resources: resources(),
            phase: WorkLeasePhase::Granted { start_by_ms: TimeMs(u64::MAX) },
            claimable: 40,
        };
        Venue {
            revision: 1,
            lease,
            offers: Vec::new(),
            waiting,
            attempts: BTreeMap::new(),
            seals: BTreeMap::new(),
            done: BTreeSet::new(),
            blobs: BTreeSet::new(),
            is_quit: false,
            output: WorkOutput::Upload,
            next: 1,
        }
    }

    pub fn view(&self, now: TimeMs) -> WorkView {
        let due = |at: &At| match at {
            At::Running => WorkDue::Commit { by_ms: TimeMs(1 << 50) },
            At::Sealed(_) => WorkDue::Wait,
            At::Due(_) => WorkDue::Reveal { by_ms: TimeMs(1 << 50) },
            At::Judging => WorkDue::Judging,
        };
        let lease = WorkLease { claimable: self.waiting.len() as u32, ..self.lease.clone() };
        WorkView {
            revision: self.revision,
            now_ms: TimeMs(now.0 + 1_000_000),
            leases: if self.is_quit && self.attempts.is_empty() { Vec::new() } else { vec![lease] },
            attempts: (self.attempts.iter())
                .map(|(id, (task, at))| WorkAttempt {
                    attempt: *id,
                    lease: LEASE,
                    task: *task,
                    due: due(at),
                    output: self.output,
                })
                .collect(),
            auctions: Vec::new(),
            offers: self.offers.clone(),
            holds: Vec::new(),
            sales: Vec::new(),
        }
    }

    /// Reveals open, or verdicts fall.
    pub fn advance(&mut self, judges: bool) {
        self.revision += 1;
        for (_, at) in self.attempts.values_mut() {
            if let At::Sealed(seal) = *at {
                *at = At::Due(seal);
            }
        }
        if judges {
            let done: Vec<u32> =
                self.attempts.values().filter(|(_, at)| *at == At::Judging).map(|(task, _)| *task).collect();
            self.done.extend(done);
            self.attempts.retain(|_, (_, at)| *at != At::Judging);
        }
    }

    pub fn apply(&mut self, command: &Command) -> Result<Reply, String> {
        self.revision += 1;
        match command {
            Command::PostOffer { terms, .. } => {
                let id = OfferId(self.offers.len() as u64 + 1);
                self.offers.push((id, (**terms).clone()));
                Ok(Reply::Offer(id))
            }
            Command::ChangeOffer { offer, terms } => {
                for (id, stands) in &mut self.offers {
                    if id == offer {
                        *stands = (**terms).clone();
                    }
                }
                Ok(Reply::Done)
            }
            Command::WithdrawOffer { offer } => {
                self.offers.retain(|(id, _)| id != offer);
                Ok(Reply::Done)
            }
            Command::StartLease { .. } if self.lease.phase == WorkLeasePhase::Running => {
                Err("conflict".into())
            }
            Command::StartLease { .. } => {
                self.lease.phase = WorkLeasePhase::Running;
                Ok(Reply::Done)
            }
            Command::QuitLease { .. } => {
                self.is_quit = true;
                self.lease.phase = WorkLeasePhase::Draining;
                let open: Vec<_> = self
                    .attempts
                    .iter()
                    .filter(|(_, (_, at))| *at == At::Running)
                    .map(|(id, _)| *id)
                    .collect();
                for id in open {
                    self.give_back(id);
                }
                Ok(Reply::Done)
            }
            Command::ClaimTasks { claims } => {
                Ok(Reply::Claimed(claims.iter().map(|claim| self.claim(claim)).collect()))
            }
            Command::CommitResults { commits } => {
                Ok(Reply::Items(commits.iter().map(|c| self.commit(c)).collect()))
            }
            Command::RevealResults { reveals } => {
                Ok(Reply::Items(reveals.iter().map(|r| self.reveal(r)).collect()))
            }
            Command::AbandonAttempts { attempts } => {
                Ok(Reply::Items(attempts.iter().map(|a| self.abandon(a)).collect()))
            }
            other => panic!("the agent has no reason to send {other:?}"),
        }
    }

    fn claim(&mut self, claim: &Claim) -> Item<Vec<Grant>> {
        let held = self.attempts.values().filter(|(_, at)| *at == At::Running).count();
        assert!(held + claim.max as usize <= 4_096 + 1, "{held} held and {} wanted", claim.max);
        let mut grants = Vec::new();
        while grants.len() < claim.max as usize && self.lease.phase == WorkLeasePhase::Running {
            let Some(task) = self.waiting.pop_first() else { break };
            let attempt = AttemptId(self.next);
            self.next += 1;
            self.attempts.insert(attempt, (task, At::Running));
            grants.push(Grant { attempt, task, deadline_ms: TimeMs(1 << 50) });
        }
        Item::Done(grants)
    }

    fn commit(&mut self, commit: &Commit) -> Item<()> {
        let first = *self.seals.entry(commit.attempt).or_insert(commit.seal);
        assert_eq!(first, commit.seal, "{} was committed twice, differently", commit.attempt);
        let is_unverified = self.lease.spec.verification == Verification::None;
        match self.attempts.get_mut(&commit.attempt) {
            Some((_, at @ At::Running)) => {
                *at = if is_unverified { At::Due(commit.seal) } else { At::Sealed(commit.seal) };
                Item::Done(())
            }
            _ => Item::Refused(Rejection::Fenced { attempt: commit.attempt }),
        }
    }

    fn reveal(&mut self, reveal: &Reveal) -> Item<()> {
        let Some((task, at)) = self.attempts.get_mut(&reveal.attempt) else {
            return Item::Refused(Rejection::Fenced { attempt: reveal.attempt });
        };
        match *at {
            At::Due(promised) => {
                let opened = seal(*task, reveal.attempt, IDENTITY.party, &reveal.salt, &reveal.result);
                assert_eq!(opened, promised, "{} does not open its seal", reveal.attempt);
                match self.output {
                    WorkOutput::Upload => {
                        let is_stored = self.blobs.contains(&reveal.result.output);
                        assert!(is_stored, "revealed before its output was stored");
                    }
                    WorkOutput::Keep => assert_eq!(reveal.sale, None),
                    WorkOutput::Sell { .. } => {
                        assert!(reveal.sale.is_some(), "revealed before it was for sale")
                    }
                }
                *at = At::Judging;
                Item::Done(())
            }
            At::Running | At::Sealed(_) => panic!("{} was revealed before it was due", reveal.attempt),
            At::Judging => Item::Refused(Rejection::Fenced { attempt: reveal.attempt }),
        }
    }

    fn abandon(&mut self, abandon: &Abandon) -> Item<()> {
        match self.attempts.get(&abandon.attempt) {
            Some((_, At::Running)) => {
                self.give_back(abandon.attempt);
                Item::Done(())
            }
            _ => Item::Refused(Rejection::Fenced { attempt: abandon.attempt }),
        }
    }

    pub fn give_back(&mut self, id: AttemptId) {
        if let Some((task, _)) = self.attempts.remove(&id) {
            self.waiting.insert(task);
        }
    }
}

/// Everything around the agent.
pub struct World {
    pub venue: Venue,
    pub agent: Agent,
    pub policy: Policy,
    pub now: TimeMs,
    pub disk: BTreeMap<KeptKey, Kept>,
    /// Statements that may still arrive, with their answers once they did.
    pub statements: Vec<(RequestId, Command)>,
    pub answers: Vec<(RequestId, Answer)>,
    pub polls: Vec<Option<u64>>,
    pub views: Vec<WorkView>,
    pub runs: Vec<(AttemptId, u32)>,
    pub uploads: Vec<Digest>,
    pub encrypting: Vec<AttemptId>,
    pub workers: BTreeSet<LeaseId>,
    pub log: Vec<Action>,
}

impl World {
    pub fn new(verification: Verification) -> World {
        let mut world = World {
            venue: Venue::new(verification),
            agent: new_agent(policy(), Vec::new()),
            policy: policy(),
            now: TimeMs(1_000),
            disk: BTreeMap::new(),
            statements: Vec::new(),
            answers: Vec::new(),
            polls: Vec::new(),
            views: Vec::new(),
            runs: Vec::new(),
            uploads: Vec::new(),
            encrypting: Vec::new(),
            workers: BTreeSet::new(),
            log: Vec::new(),
        };
        world.tell(Input::Time);
        world
    }

    pub fn tell(&mut self, input: Input) {
        for action in self.agent.handle(self.now, input) {
            self.log.push(action.clone());
            match action {
                Action::Poll { revision } => self.polls.push(revision),
                Action::Submit { request, command } => {
                    self.check_kept(&command);
                    self.statements.push((request, *command));
                }
                Action::StartWorker { lease, .. } => drop(self.workers.insert(lease)),
                Action::StopWorker { lease } => {
                    self.workers.remove(&lease);
                    self.runs.clear();
                }
                Action::Run { attempt, task, .. } => self.runs.push((attempt, task)),
                Action::Stop { attempt, .. } => self.runs.retain(|(id, _)| *id != attempt),
                Action::Flush { .. } => {}
                Action::Upload { output } => self.uploads.push(output),
                Action::Encrypt { attempt, .. } => self.encrypting.push(attempt),
                Action::Keep(items) => self.disk.extend(items.into_iter().map(|item| (item.key(), item))),
                Action::Forget(keys) => self.disk.retain(|key, _| !keys.contains(key)),
            }
        }
    }

    /// A restart would not lose what is about to be sealed.
    fn check_kept(&self, command: &Command) {
        if let Command::CommitResults { commits } = command {
            for commit in commits {
                assert!(
                    self.disk.contains_key(&KeptKey::Result(commit.attempt)),
                    "{} is not kept",
                    commit.attempt
                );
            }
        }
    }

    pub fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.tell(Input::Time);
    }

    /// A statement reaches the market; its answer waits to be delivered.
    pub fn arrive(&mut self, index: usize) {
        let (request, command) = self.statements.remove(index);
        let answer = match self.venue.apply(&command) {
            Ok(reply) => Answer::Accepted(reply),
            Err(code) => Answer::Refused { code },
        };
        self.answers.push((request, answer));
    }

    pub fn answer(&mut self, index: usize) {
        let (request, answer) = self.answers.remove(index);
        self.tell(Input::Answered { request, answer });
    }

    /// The market makes its answer to the poll now; it is delivered later.
    pub fn look(&mut self) {
        if let Some(revision) = self.polls.first().copied()
            && revision != Some(self.venue.revision)
        {
            self.polls.remove(0);
            self.views.push(self.venue.view(self.now));
        }
    }

    pub fn deliver_view(&mut self) {
        if !self.views.is_empty() {
            let view = self.views.remove(0);
            self.tell(Input::Work(Box::new(view)));
        }
    }

    pub fn finish_run(&mut self, index: usize) {
        let (attempt, task) = self.runs.remove(index);
        self.tell(Input::Ran {
            runs: vec![(attempt, RunEnd::Finished { result: result_of(task), wall_us: 2_000 })],
        });
    }

    pub fn finish_upload(&mut self, index: usize, is_stored: bool) {
        let output = self.uploads.remove(index);
        if is_stored {
            self.venue.blobs.insert(output);
        }
        self.tell(Input::Uploaded { output, is_stored });
    }

    /// kill -9 and a new process: what is on disk is all that is left. Statements on their way may still arrive.
    pub fn restart(&mut self) {
        self.answers.clear();
        self.polls.clear();
        self.views.clear();
        self.runs.clear();
        self.uploads.clear();
        self.workers.clear();
        let orphans = std::mem::take(&mut self.statements);
        self.agent = new_agent(self.policy.clone(), self.disk.values().copied().collect());
        for (_, command) in orphans {
            let _ = self.venue.apply(&command);
        }
        self.tell(Input::Time);
    }

    /// Nothing is lost any more: everything is delivered until all is done. A lease that was quit, because its worker died
    /// too often, only has to end its attempts.
    pub fn settle(&mut self) {
        for round in 0..4_000 {
            if self.workers.remove(&LEASE) {
                self.tell(Input::WorkerReady { lease: LEASE });
            }
            while !self.statements.is_empty() {
                self.arrive(0);
            }
            while !self.answers.is_empty() {
                self.answer(0);
            }
            while !self.runs.is_empty() {
                self.finish_run(0);
            }
            while !self.uploads.is_empty() {
                self.finish_upload(0, true);
            }
            if round % 3 == 0 {
                self.venue.advance(true);
            }
            self.look();
            self.deliver_view();
            if self.venue.done.len() == 40 || (self.venue.is_quit && self.venue.attempts.is_empty()) {
                return;
            }
            self.pass(100);
        }
        panic!(
            "the machine stands still with {:?} waiting, {:?}, {:?}",
            self.venue.waiting, self.venue.attempts, self.agent
        );
    }
}

pub fn new_agent(policy: Policy, kept: Vec<Kept>) -> Agent {
    Agent::new(IDENTITY, Secrets::of_machine(&SecretKey::from_bytes([5; 32])), policy, kept)
}
