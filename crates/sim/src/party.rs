//! A party's client: it registers, tops up, stakes, certifies its machines; buyers place jobs, answer audit rounds and
//! wait for the end. Everything is asked again until it is answered.

mod jobs;

use crate::{
    caller::{Caller, Ended, sign},
    cheat::Cheat,
    market_host::now_or_never,
    order::budget,
    plan::{BOND, PartyPlan, Role},
    stage::{Event, PartyEvent, Peer, Request, Response, Stage, Ticket},
};
use jobs::{OwnJob, own_job};
use market::{
    command::{CERTIFICATE_DOMAIN, Command, ROTATION_DOMAIN, certificate_message, rotation_message},
    id::{Digest, MachineId, PartyId, TopupId},
    key::{PublicKey, SecretKey, Signature},
    reply::Reply,
    resources::Resources,
    statement::Statement,
    units::{Msat, TimeMs},
};
use node::{
    api::{KeyView, TopupView},
    buyer::agent::Input,
};
use pay::{LightningNode, PayRequest, dev::DevNode};
use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
};

/// The longest that a buyer's agent is left alone, in milliseconds.
const LOOK_MS: u64 = 2_000;
/// How long a griefing buyer lets a job run.
const GRIEF_MS: u64 = 12_000;
/// When a buyer that replays sends its statements again: soon, later, and after they have expired.
const REPLAYED_AFTER_MS: [u64; 3] = [700, 5_000, 65_000];

/// What has to be done before a party can take part, one after the other.
#[derive(Debug, Clone)]
enum Step {
    Register,
    TopUp(Msat),
    AwaitTopup(TopupId),
    LockBond(Msat),
    Certify(usize),
    Rotate,
    Revoke(usize),
}

#[derive(Debug)]
enum Purpose {
    Step(Step),
    Place(usize),
    Look(usize),
    Tasks(usize),
    Fetch(usize, u32),
    Link(usize, u32),
    Other,
}

/// What a world has to do for a party.
#[derive(Debug)]
pub(crate) enum News {
    /// A machine is certified and can start.
    Certified(usize, PartyId, MachineId),
    /// A machine is revoked and is switched off.
    Revoked(usize),
}

/// A machine to be certified.
pub(crate) struct OwnMachine {
    /// Its number in the world.
    pub(crate) index: usize,
    /// Its key.
    pub(crate) key: PublicKey,
    /// Its consent.
    pub(crate) consent: Signature,
    /// What it has.
    pub(crate) capacity: Resources,
    /// What it is called, once it is certified.
    pub(crate) id: Option<MachineId>,
}

/// See the [module](self).
pub(crate) struct Party {
    index: usize,
    /// Its key.
    pub(crate) key: SecretKey,
    /// What was planned for it.
    pub(crate) plan: PartyPlan,
    /// Its id, once it is registered.
    pub(crate) id: Option<PartyId>,
    /// Its jobs.
    pub(crate) jobs: Vec<OwnJob>,
    venue: PublicKey,
    /// What it tops up from, and withdraws to.
    wallet: DevNode,
    /// What it pays holds from, and where it holds them.
    pub(crate) lightning: DevNode,
    steps: VecDeque<Step>,
    machines: BTreeMap<usize, OwnMachine>,
    caller: Caller<Purpose>,
    /// Whether its process has crashed and has not started again.
    is_down: bool,
}

impl Party {
    /// A party that nobody knows yet.
    pub(crate) fn new(
        index: usize,
        key: SecretKey,
        plan: PartyPlan,
        venue: PublicKey,
        [wallet, lightning]: [DevNode; 2],
        machines: Vec<OwnMachine>,
    ) -> Party {
        let jobs: Vec<OwnJob> = match &plan.role {
            Role::Buyer(jobs) => jobs.iter().zip(0..).map(|(job, n)| own_job(&key, job, n)).collect(),
            Role::Provider(_) | Role::Validator(_) => Vec::new(),
        };
        let mut steps = VecDeque::from([Step::Register]);
        let budget: u64 = jobs.iter().map(|job| budget(&job.plan).0).sum();
        match (&plan.role, plan.cheat) {
            (Role::Buyer(_), Some(Cheat::Unfunded)) => {}
            (Role::Buyer(_), _) => steps.push_back(Step::TopUp(Msat(budget.max(10_000)))),
            (Role::Provider(_) | Role::Validator(_), _) => {
                steps.extend([Step::TopUp(Msat(BOND.0 + 20_000)), Step::LockBond(BOND)]);
            }
        }
        steps.extend(machines.iter().map(|machine| Step::Certify(machine.index)));
        let machines = machines.into_iter().map(|machine| (machine.index, machine)).collect();
        let caller = Caller::new(Peer::Party(index));
        Party {
            index,
            key,
            plan,
            id: None,
            jobs,
            venue,
            wallet,
            lightning,
            steps,
            machines,
            caller,
            is_down: false,
        }
    }

    /// Plans everything that it does by itself.
    pub(crate) fn begin(&mut self, stage: &mut Stage) {
        let start_ms = stage.rng.between(0, 5_000);
        self.later(stage, start_ms, PartyEvent::Step);
        for (n, job) in self.jobs.iter().enumerate() {
            self.later(stage, job.plan.at_ms, PartyEvent::Place(n));
        }
        if let Some(at_ms) = self.plan.withdraws_at_ms {
            self.later(stage, at_ms, PartyEvent::Withdraw);
        }
        if let Some(at_ms) = self.plan.rotates_at_ms {
            self.later(stage, at_ms, PartyEvent::Rotate);
        }
        if let Some(at_ms) = self.plan.revokes_at_ms {
            self.later(stage, at_ms, PartyEvent::Revoke);
        }
        if self.plan.cheat == Some(Cheat::QuitsBeforeAudit) {
            self.later(stage, 30_000, PartyEvent::GrabBond);
        }
    }

    /// Whether it has nothing to wait for any more.
    pub(crate) fn is_done(&self) -> bool {
        self.steps.is_empty() && self.jobs.iter().all(|job| job.is_over)
    }

    fn later(&self, stage: &mut Stage, ms: u64, event: PartyEvent) {
        stage.after(ms, Event::Party { party: self.index, event });
    }

    /// The process dies. What it wrote down survives: keys, what it has to do, its orders, and how far links are revealed.
    pub(crate) fn crash(&mut self, stage: &mut Stage, down_ms: u64) {
        if std::mem::replace(&mut self.is_down, true) {
            return;
        }
        stage.count("party crash");
        self.caller.forget();
        for own in &mut self.jobs {
            (own.follower, own.looks_at) = (None, TimeMs(u64::MAX));
        }
        self.later(stage, down_ms, PartyEvent::Start);
    }

    /// The process is back, and goes on as production does: orders whose answer is not known are sent again as they were
    /// signed, jobs are followed from what was kept.
    fn start(&mut self, stage: &mut Stage) {
        self.is_down = false;
        self.step(stage);
        for n in 0..self.jobs.len() {
            let Some(own) = self.jobs.get(n).filter(|own| !own.is_over) else { continue };
            match (own.job, own.draft.clone()) {
                (Some(job), _) => {
                    stage.note("job followed again after a crash");
                    self.follow(stage, n, job);
                }
                (None, Some(order)) => {
                    stage.note("order sent again after a crash");
                    self.caller.ask_again(stage, order, Purpose::Place(n));
                }
                (None, None) => {}
            }
        }
    }

    /// Something is due.
    pub(crate) fn happens(&mut self, stage: &mut Stage, event: PartyEvent) {
        if self.is_down {
            return match event {
                PartyEvent::Start => self.start(stage),
                // These begin again when the process starts.
                PartyEvent::Step | PartyEvent::Look(_) => {}
                // These are what a person wants, who waits.
                PartyEvent::Place(_)
                | PartyEvent::Cancel(_)
                | PartyEvent::Withdraw
                | PartyEvent::GrabBond
                | PartyEvent::Rotate
                | PartyEvent::Revoke => self.later(stage, 1_000, event),
            };
        }
        match event {
            PartyEvent::Start => {}
            PartyEvent::Step => self.step(stage),
            PartyEvent::Place(n) => self.place(stage, n),
            PartyEvent::Look(n) => {
                if let Some(own) = self.jobs.get_mut(n).filter(|own| own.looks_at <= stage.now) {
                    own.looks_at = TimeMs(u64::MAX);
                    self.tell(stage, n, Input::Time);
                }
            }
            PartyEvent::Cancel(n) => {
                if let Some(job) = self.jobs.get(n).and_then(|job| job.job) {
                    self.send(stage, Command::CancelJob { job }, Purpose::Other);
                }
            }
            PartyEvent::Withdraw => self.withdraw(stage),
            PartyEvent::GrabBond => {
                self.send(stage, Command::UnlockBond { amount_msat: BOND }, Purpose::Other);
                if stage.is_rough {
                    self.later(stage, 10_000, PartyEvent::GrabBond);
                }
            }
            PartyEvent::Rotate => self.add_step(stage, Step::Rotate),
            PartyEvent::Revoke => {
                if let Some(machine) = self.machines.keys().next().copied() {
                    self.add_step(stage, Step::Revoke(machine));
                }
            }
        }
    }

    /// One more thing to do, after what is under way.
    fn add_step(&mut self, stage: &mut Stage, step: Step) {
        self.steps.push_back(step);
        if self.steps.len() == 1 {
            self.step(stage);
        }
    }

    /// The key that it moves to next.
    fn next_key(&self) -> SecretKey {
        SecretKey::from_bytes(Digest::of_parts("gristmill simulation next key", &[&self.key.to_bytes()]).0)
    }

    fn send(&mut self, stage: &mut Stage, command: Command, purpose: Purpose) {
        let statement = self.sign(stage, command);
        self.send_signed(stage, statement, purpose);
    }

    fn sign(&self, stage: &mut Stage, command: Command) -> Statement {
        sign(&self.key, self.venue, stage.now, self.caller.seen(), &mut stage.rng, command)
    }

    fn send_signed(&mut self, stage: &mut Stage, statement: Statement, purpose: Purpose) -> Rc<Request> {
        let request = Rc::new(Request::Statement(statement));
        if self.plan.cheat == Some(Cheat::Replays) {
            for after_ms in REPLAYED_AFTER_MS {
                stage.after(after_ms, Event::Replayed(request.clone()));
            }
        }
        self.caller.ask_again(stage, request.clone(), purpose);
        request
    }

    fn step(&mut self, stage: &mut Stage) {
        let Some(step) = self.steps.front().cloned() else { return };
        let command = match &step {
            Step::Register => Command::RegisterParty { label: format!("party {}", self.index) },
            Step::TopUp(amount_msat) => Command::TopUp { amount_msat: *amount_msat },
            Step::LockBond(amount_msat) => Command::LockBond { amount_msat: *amount_msat },
            Step::AwaitTopup(topup) => {
                return self.caller.ask(stage, 300, Request::Topup(*topup), Purpose::Step(step));
            }
            Step::Certify(machine) => {
                let Some(machine) = self.machines.get(machine) else { return };
                Command::CertifyMachine {
                    machine_key: machine.key,
                    consent: machine.consent,
                    label: format!("machine {}", machine.index),
                    capacity: machine.capacity.clone(),
                }
            }
            Step::Rotate => {
                let (old_key, new_key) = (self.key.public(), self.next_key());
                let consent = new_key.sign(ROTATION_DOMAIN, &rotation_message(&self.venue, &old_key));
                Command::RotateKey { new_key: new_key.public(), consent }
            }
            Step::Revoke(machine) => {
                let Some(machine) = self.machines.get(machine).and_then(|machine| machine.id) else { return };
                Command::RevokeMachine { machine }
            }
        };
        self.send(stage, command, Purpose::Step(step));
    }

    /// An answer arrives.
    pub(crate) fn answered(
        &mut self,
        stage: &mut Stage,
        ticket: Ticket,
        response: Rc<Response>,
    ) -> Option<News> {
        let (purpose, ended) = self.caller.answered(ticket, response)?;
        self.take(stage, purpose, ended)
    }

    /// It is time to ask again.
    pub(crate) fn retry(&mut self, stage: &mut Stage, ticket: Ticket) -> Option<News> {
        let (purpose, ended) = self.caller.retry(stage, ticket)?;
        self.take(stage, purpose, ended)
    }

    fn take(&mut self, stage: &mut Stage, purpose: Purpose, ended: Ended) -> Option<News> {
        let response = match &ended {
            Ended::Answer(response) => Some(&**response),
            Ended::Unknown => None,
        };
        match purpose {
            Purpose::Step(step) => return self.stepped(stage, step, response),
            Purpose::Place(n) => self.placed(stage, n, response),
            Purpose::Look(n) => {
                let view = match response {
                    Some(Response::Job(view)) => Some(view.clone()),
                    _ => None,
                };
                self.tell(stage, n, Input::Looked(view));
            }
            Purpose::Tasks(n) => {
                let tasks = match response {
                    Some(Response::Tasks(tasks)) => Some(tasks.clone()),
                    _ => None,
                };
                self.tell(stage, n, Input::Tasks(tasks));
            }
            Purpose::Fetch(n, task) => {
                let is_here = matches!(response, Some(Response::Stored));
                self.tell(stage, n, Input::Fetched { task, is_here });
            }
            Purpose::Link(n, round) => {
                let is_accepted = matches!(response, Some(Response::Accepted(_)));
                self.tell(stage, n, Input::Submitted { round, is_accepted });
            }
            Purpose::Other => {}
        }
        None
    }

    fn stepped(&mut self, stage: &mut Stage, step: Step, response: Option<&Response>) -> Option<News> {
        let reply = match response {
            Some(Response::Accepted(accepted)) => Some(&accepted.reply),
            _ => None,
        };
        let mut news = None;
        let mut next = VecDeque::new();
        match (&step, reply) {
            (Step::Register, Some(Reply::Party(id))) => self.registered(stage, Some(*id)),
            (Step::Register, None) if key_of(response).is_some() => {
                let id = key_of(response).and_then(|key| match key {
                    KeyView::Party(id) => Some(*id),
                    KeyView::Machine { .. } | KeyView::Retired => None,
                });
                self.registered(stage, id);
            }
            (Step::Rotate, Some(_)) => self.rotated(stage),
            (Step::Rotate, None) if key_of(response).is_some() => self.rotated(stage),
            (Step::Revoke(machine), Some(_)) => news = Some(News::Revoked(*machine)),
            // An earlier try, whose answer got lost, has revoked it.
            (Step::Revoke(machine), None) if key_of(response) == Some(&KeyView::Retired) => {
                news = Some(News::Revoked(*machine));
            }
            (Step::Certify(index), None) if key_of(response).is_some() => {
                if let Some(KeyView::Machine { machine, party }) = key_of(response) {
                    news = self.certified(*index, *party, *machine);
                }
            }
            (Step::TopUp(_), Some(Reply::TopUp(topup))) => next.push_back(Step::AwaitTopup(*topup)),
            (Step::LockBond(_), Some(_)) => {}
            (Step::Certify(machine), Some(Reply::Machine(id))) => {
                news = self.id.and_then(|party| self.certified(*machine, party, *id));
            }
            (Step::AwaitTopup(_), _) => match response {
                Some(Response::Topup(view)) if self.pay(view) => {}
                _ => next.push_back(step),
            },
            (Step::LockBond(_), None) if response.is_some() => {
                // Locked by an earlier try whose answer got lost, or there is nothing to lock.
            }
            _ => return self.again(stage, step, response),
        }
        self.steps.pop_front();
        next.into_iter().rev().for_each(|step| self.steps.push_front(step));
        self.step(stage);
        news
    }

    fn registered(&mut self, stage: &mut Stage, id: Option<PartyId>) {
        self.id = id;
        stage.known.extend(id.map(|id| (self.index, id)));
    }

    fn rotated(&mut self, stage: &mut Stage) {
        stage.note("key rotated");
        self.key = self.next_key();
    }

    fn certified(&mut self, index: usize, party: PartyId, id: MachineId) -> Option<News> {
        self.machines.get_mut(&index)?.id = Some(id);
        Some(News::Certified(index, party, id))
    }

    /// A step that failed, or whose answer got lost. What became of a key is asked; the rest is tried again.
    fn again(&mut self, stage: &mut Stage, step: Step, response: Option<&Response>) -> Option<News> {
        let key = match (&step, response) {
            (_, Some(Response::Key(None))) => None,
            // Not revoked after all: said again.
            (Step::Revoke(_), Some(Response::Key(Some(KeyView::Machine { .. })))) => None,
            (Step::Register, _) => Some(self.key.public()),
            (Step::Certify(machine) | Step::Revoke(machine), _) => {
                self.machines.get(machine).map(|machine| machine.key)
            }
            (Step::Rotate, _) => Some(self.next_key().public()),
            (Step::TopUp(_) | Step::AwaitTopup(_) | Step::LockBond(_), _) => None,
        };
        match key {
            Some(key) => self.caller.ask(stage, 1_000, Request::Key(key), Purpose::Step(step)),
            None => self.later(stage, 3_000, PartyEvent::Step),
        }
        None
    }

    /// Pays an invoice that is there to be paid; says whether the money has arrived.
    fn pay(&mut self, view: &TopupView) -> bool {
        if view.phase == node::api::TopupPhase::Received {
            return true;
        }
        if let Some(bolt11) = &view.bolt11 {
            let request =
                PayRequest { bolt11: bolt11.clone(), amount: view.amount_msat, max_fee: Msat(100_000) };
            // Asking twice pays once; what became of it shows in the top-up.
            let _ = now_or_never(self.wallet.pay(request));
        }
        false
    }

    fn withdraw(&mut self, stage: &mut Stage) {
        if self.id.is_none() {
            return;
        }
        let amount_msat = Msat(5_000);
        let request = pay::InvoiceRequest {
            amount: amount_msat,
            description: "earnings".into(),
            expires_in_ms: 86_400_000,
        };
        if let Some(Ok(invoice)) = now_or_never(self.wallet.create_invoice(request)) {
            let command = Command::Withdraw {
                bolt11: invoice.bolt11,
                payment_hash: invoice.payment_hash,
                amount_msat,
                max_fee_msat: Msat(2_000),
            };
            self.send(stage, command, Purpose::Other);
        }
    }
}

/// A machine's consent to belong to a party.
pub(crate) fn consent(machine: &SecretKey, venue: &PublicKey, party: &PublicKey) -> Signature {
    machine.sign(CERTIFICATE_DOMAIN, &certificate_message(venue, party))
}

fn key_of(response: Option<&Response>) -> Option<&KeyView> {
    match response {
        Some(Response::Key(key)) => key.as_ref(),
        _ => None,
    }
}
