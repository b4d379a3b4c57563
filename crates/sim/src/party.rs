//! A party's client: it registers, tops up, stakes, certifies its machines; buyers place jobs, answer audit rounds and
//! wait for the end. Everything is asked again until it is answered.

use crate::{
    caller::{Caller, Ended, sign},
    cheat::Cheat,
    market_host::now_or_never,
    plan::{BOND, CEILING, JobPlan, PartyPlan, Role},
    stage::{Event, PartyEvent, Peer, Request, Response, Stage, Ticket},
};
use market::{
    command::{CERTIFICATE_DOMAIN, Command, certificate_message},
    id::{Digest, JobId, MachineId, PartyId, TopupId},
    job::{JobSpec, TaskLimits, Verification},
    key::{PublicKey, SecretKey, Signature},
    order::{Needs, OrderTerms},
    reply::Reply,
    resources::{Isolation, Resources},
    units::{Msat, Rate, Unit},
    verify::{Chain, rounds_for},
};
use node::{
    api::{KeyView, TopupView},
    buyer::agent::{Action, Follower, Input, Resume},
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

/// What has to be done before a party can take part, one after the other.
#[derive(Debug, Clone)]
enum Step {
    Register,
    TopUp(Msat),
    AwaitTopup(TopupId),
    LockBond(Msat),
    Certify(usize),
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

/// A job of this buyer.
#[derive(Debug)]
pub(crate) struct OwnJob {
    /// The plan.
    pub(crate) plan: JobPlan,
    /// Its module stands for it.
    pub(crate) module: Digest,
    /// Its id, once it is placed.
    pub(crate) job: Option<JobId>,
    chain: Chain,
    /// The production agent that follows it.
    follower: Option<Follower>,
    is_over: bool,
}

/// What a world has to do for a party.
#[derive(Debug)]
pub(crate) enum News {
    /// A machine is certified and can start.
    Certified(usize, PartyId, MachineId),
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
    wallet: DevNode,
    steps: VecDeque<Step>,
    machines: BTreeMap<usize, OwnMachine>,
    caller: Caller<Purpose>,
}

impl Party {
    /// A party that nobody knows yet.
    pub(crate) fn new(
        index: usize,
        key: SecretKey,
        plan: PartyPlan,
        venue: PublicKey,
        wallet: DevNode,
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
        Party { index, key, plan, id: None, jobs, venue, wallet, steps, machines, caller }
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

    /// Something is due.
    pub(crate) fn happens(&mut self, stage: &mut Stage, event: PartyEvent) {
        match event {
            PartyEvent::Step => self.step(stage),
            PartyEvent::Place(n) => self.place(stage, n),
            PartyEvent::Look(n) => self.tell(stage, n, Input::Time),
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
        }
    }

    fn send(&mut self, stage: &mut Stage, command: Command, purpose: Purpose) {
        let clock = stage.now;
        let statement = sign(&self.key, self.venue, clock, self.caller.seen(), &mut stage.rng, command);
        let request = Request::Statement(statement);
        if self.plan.cheat == Some(Cheat::Replays) {
            for after_ms in [700, 5_000, 65_000] {
                self.caller.ask(stage, after_ms, request.clone(), Purpose::Other);
            }
        }
        self.caller.ask(stage, 0, request, purpose);
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
            (Step::Register, Some(Reply::Party(id))) => self.id = Some(*id),
            (Step::Register, None) if key_of(response).is_some() => {
                self.id = key_of(response).and_then(|key| match key {
                    KeyView::Party(id) => Some(*id),
                    KeyView::Machine { .. } | KeyView::Retired => None,
                });
            }
            (Step::Certify(index), None) if key_of(response).is_some() => {
                if let Some(KeyView::Machine { machine, party }) = key_of(response) {
                    news = Some(News::Certified(*index, *party, *machine));
                }
            }
            (Step::TopUp(_), Some(Reply::TopUp(topup))) => next.push_back(Step::AwaitTopup(*topup)),
            (Step::LockBond(_), Some(_)) => {}
            (Step::Certify(machine), Some(Reply::Machine(id))) => {
                news = self.id.map(|party| News::Certified(*machine, party, *id));
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

    /// A step that failed, or whose answer got lost. What became of a key is asked; the rest is tried again.
    fn again(&mut self, stage: &mut Stage, step: Step, response: Option<&Response>) -> Option<News> {
        let key = match (&step, response) {
            (_, Some(Response::Key(None))) => None,
            (Step::Register, _) => Some(self.key.public()),
            (Step::Certify(machine), _) => self.machines.get(machine).map(|machine| machine.key),
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

    fn place(&mut self, stage: &mut Stage, n: usize) {
        let is_ready = self.steps.is_empty();
        let Some(job) = self.jobs.get(n) else { return };
        if !is_ready {
            return self.later(stage, 2_000, PartyEvent::Place(n));
        }
        let command = Command::PlaceOrder {
            terms: Box::new(order_terms(&job.plan)),
            job: Box::new(job_spec(&job.plan, job.module)),
            audit_anchor: Some(job.chain.anchor()),
        };
        self.send(stage, command, Purpose::Place(n));
    }

    fn placed(&mut self, stage: &mut Stage, n: usize, response: Option<&Response>) {
        let is_griefing = self.plan.cheat == Some(Cheat::GriefingCancel);
        let Some(own) = self.jobs.get_mut(n) else { return };
        match response {
            Some(Response::Accepted(accepted)) => {
                if let Reply::Order { job, .. } = accepted.reply {
                    own.job = Some(job);
                    own.follower = Some(Follower::new(job, Some(own.chain), Resume::default(), true));
                }
                self.tell(stage, n, Input::Time);
                if is_griefing {
                    self.later(stage, GRIEF_MS, PartyEvent::Cancel(n));
                }
            }
            Some(_) => {
                own.is_over = true;
                stage.count("order refused");
            }
            // The statement has expired without an answer. Placing the order again could buy twice, so the buyer
            // gives this one up; if it was placed after all, it runs to its end unattended.
            None => {
                own.is_over = true;
                stage.count("order given up");
            }
        }
    }

    /// Tells a job's agent something and does what it wants.
    fn tell(&mut self, stage: &mut Stage, n: usize, input: Input) {
        let Some(own) = self.jobs.get_mut(n) else { return };
        let (Some(follower), Some(job)) = (&mut own.follower, own.job) else { return };
        let was_due = input == Input::Time || matches!(input, Input::Looked(_));
        let actions = follower.handle(stage.now, input);
        own.is_over |= follower.is_done();
        if was_due && !own.is_over {
            let ms = follower.next_wake().since(stage.now).clamp(1, LOOK_MS);
            self.later(stage, ms, PartyEvent::Look(n));
        }
        for action in actions {
            match action {
                Action::Look => self.caller.ask(stage, 0, Request::Job(job), Purpose::Look(n)),
                Action::LookAtTasks => self.caller.ask(stage, 0, Request::Tasks(job), Purpose::Tasks(n)),
                Action::Fetch { task, result } => {
                    self.caller.ask(stage, 0, Request::Fetch(result.output), Purpose::Fetch(n, task));
                }
                Action::Submit { round, command } => self.reveal(stage, n, round, command),
                // The simulated buyer's process does not die, and nobody watches it.
                Action::Keep(_) | Action::Tell(_) => {}
            }
        }
    }

    /// Reveals a link, or what this buyer makes of it.
    fn reveal(&mut self, stage: &mut Stage, n: usize, round: u32, mut command: Command) {
        match (&mut command, self.plan.cheat) {
            (_, Some(Cheat::WithholdsLinks)) => {
                return self.tell(stage, n, Input::Submitted { round, is_accepted: true });
            }
            (Command::RevealBuyerLink(link), Some(Cheat::FalseLinks)) => link.link = Digest::of(&link.link.0),
            _ => {}
        }
        self.send(stage, command, Purpose::Link(n, round));
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

fn own_job(key: &SecretKey, plan: &JobPlan, n: u64) -> OwnJob {
    let digest = |domain| Digest::of_parts(domain, &[&key.to_bytes(), &n.to_le_bytes()]);
    OwnJob {
        plan: plan.clone(),
        module: digest("gristmill simulation module"),
        job: None,
        chain: Chain::new(digest("gristmill simulation chain"), rounds_for(plan.tasks)),
        follower: None,
        is_over: false,
    }
}

fn budget(plan: &JobPlan) -> Msat {
    let copies = match &plan.verification {
        Verification::None => 1,
        Verification::Replicas { n, .. } => u64::from(*n),
        Verification::Audit { .. } => 4,
    };
    Msat(CEILING.0 * 2 * u64::from(plan.tasks) * copies)
}

fn order_terms(plan: &JobPlan) -> OrderTerms {
    let per = if plan.unit == Unit::Fuel { 1_000_000 } else { 1 };
    OrderTerms {
        kind: plan.kind,
        slots: plan.slots,
        ceiling: Rate { msat: CEILING, per, unit: plan.unit },
        budget_msat: budget(plan),
        needs: Needs {
            resources: Resources { cpu_milli: 1_000, memory_mib: 512, ..Resources::default() },
            isolation: Isolation::Wasm,
            region: None,
            attributes: BTreeMap::new(),
            min_reputation_ppm: 0,
            min_bond_msat: BOND,
        },
        lease_max_ms: 3_600_000,
    }
}

fn job_spec(plan: &JobPlan, module: Digest) -> JobSpec {
    JobSpec {
        name: "simulated".into(),
        profile: "simulated".into(),
        module,
        // How long the simulated worker takes.
        args: vec![plan.task_ms.to_string()],
        env: BTreeMap::new(),
        stdin: None,
        inputs: vec![],
        tasks: plan.tasks,
        max_parallel: 1_000,
        retries: 8,
        duplicate_stragglers: plan.tasks.is_multiple_of(2),
        limits: TaskLimits { memory_mib: 256, output_bytes: 1_000, fuel: 3_000_000, timeout_ms: 60_000 },
        verification: plan.verification.clone(),
    }
}

fn key_of(response: Option<&Response>) -> Option<&KeyView> {
    match response {
        Some(Response::Key(key)) => key.as_ref(),
        _ => None,
    }
}
