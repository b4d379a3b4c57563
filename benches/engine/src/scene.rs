//! A market of many machines, and people who use it.

use super::Recorded;
use anyhow::{Context, bail};
use market::{
    command::{CERTIFICATE_DOMAIN, Claim, Command, Commit, Reveal, TopUpOutcome, certificate_message},
    engine::{Engine, State},
    id::{AttemptId, Digest, JobId, LeaseId, MachineId, OfferId, PartyId},
    job::{JobSpec, TaskLimits, Verification},
    key::{PublicKey, SecretKey},
    name::Name,
    offer::{OfferRole, OfferTerms},
    order::{Needs, OrderKind, OrderTerms},
    reply::{Item, Reply},
    reputation::Observation,
    resources::{Attributes, Gpus, Isolation, Resources},
    statement::Checked,
    units::{Msat, Rate, TimeMs},
    verify::{Exit, TaskResult, seal},
};
use std::{collections::VecDeque, fmt};

/// Standing offers.
pub(crate) const OFFERS: usize = 100_000;
const OFFERS_PER_MACHINE: usize = 10;
const MACHINES_PER_PARTY: usize = 10;
const BUYERS: usize = 100;
/// Jobs that are under way at once.
const JOBS_UNDER_WAY: usize = 256;
const TASKS_PER_JOB: u32 = 4;
/// One job in so many is cancelled half-way.
const CANCELLED_ONE_IN: u64 = 10;
/// Commands that arrive in one millisecond of the market's clock, the venue's tick among them.
const COMMANDS_PER_MS: usize = 1_000;
/// How long statements are good and attempts may take, in milliseconds: so short that remembering and forgetting both are
/// part of a run. Clocks differ a little, and so does what people sign.
const SHORTLY_MS: u64 = 100;
const CLOCKS_DIFFER_MS: u64 = 50;
const REGIONS: [&str; 8] =
    ["eu-west", "eu-north", "eu-south", "us-east", "us-west", "asia-east", "asia-south", "africa"];
const CLASSES: [&str; 4] = ["x86-64-v3", "x86-64-v4", "aarch64", "cuda-sm90"];
const MODELS: [&str; 4] = ["rtx-3090", "rtx-4090", "l40s", "h100-80gb"];

/// What a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Post,
    Change,
    Withdraw,
    Place,
    Start,
    Claim,
    Commit,
    Reveal,
    Settle,
    Cancel,
    Tick,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Post => "post an offer",
            Kind::Change => "change an offer",
            Kind::Withdraw => "withdraw an offer",
            Kind::Place => "place an order that matches",
            Kind::Start => "start a lease",
            Kind::Claim => "claim a task",
            Kind::Commit => "commit a result",
            Kind::Reveal => "reveal a result",
            Kind::Settle => "reveal the last, settle",
            Kind::Cancel => "cancel a job",
            Kind::Tick => "tick: what is due",
        })
    }
}

/// A job on its way.
struct Flow {
    buyer: usize,
    job: JobId,
    lease: LeaseId,
    machine: PublicKey,
    party: PartyId,
    is_cancelled: bool,
    stage: Stage,
}

enum Stage {
    Placed,
    Running { done: u32 },
    Claimed { attempt: AttemptId, task: u32 },
    Committed { attempt: AttemptId, task: u32 },
}

struct Scene {
    engine: Engine,
    venue: PublicKey,
    random: fastrand::Rng,
    now: TimeMs,
    buyers: Vec<PublicKey>,
    machines: Vec<(MachineId, PublicKey)>,
    offers: Vec<(OfferId, PublicKey)>,
    flows: VecDeque<Flow>,
    names: Names,
}

struct Names {
    regions: Vec<Name>,
    classes: Vec<Name>,
    models: Vec<Name>,
}

/// Prepares a market, then records what people do in it. The state is that before the first recorded command.
pub(crate) fn record(commands: usize) -> anyhow::Result<(State, Vec<Recorded>)> {
    let mut scene = Scene::prepare()?;
    let state = scene.with_history();
    let restored = Engine::restore(state.clone());
    scene.engine = restored.map_err(|version| anyhow::anyhow!("rules version {version} is not known"))?;
    let mut recorded = Vec::with_capacity(commands);
    while recorded.len() < commands {
        if recorded.len() % COMMANDS_PER_MS == 0 {
            scene.now = scene.now.plus(1);
            recorded.push(scene.apply(Kind::Tick, scene.venue, Command::Tick)?.0);
        }
        recorded.push(scene.step()?);
    }
    Ok((state, recorded))
}

impl Scene {
    fn prepare() -> anyhow::Result<Scene> {
        let venue = SecretKey::from_bytes([255; 32]).public();
        let names = |texts: &[&str]| texts.iter().map(|text| text.parse()).collect::<Result<Vec<Name>, _>>();
        let names = Names { regions: names(&REGIONS)?, classes: names(&CLASSES)?, models: names(&MODELS)? };
        let mut scene = Scene {
            engine: Engine::new(venue),
            venue,
            random: fastrand::Rng::with_seed(1),
            now: TimeMs(1_000_000),
            buyers: vec![],
            machines: vec![],
            offers: vec![],
            flows: VecDeque::new(),
            names,
        };
        for _ in 0..BUYERS {
            let key = scene.party()?.public();
            scene.fund(key)?;
            scene.buyers.push(key);
        }
        for _ in 0..OFFERS / OFFERS_PER_MACHINE / MACHINES_PER_PARTY {
            let owner = scene.party()?;
            for _ in 0..MACHINES_PER_PARTY {
                scene.machine(&owner)?;
            }
        }
        for nth in 0..OFFERS {
            let (machine, key) = scene.machines[nth / OFFERS_PER_MACHINE];
            scene.post(machine, key)?;
        }
        Ok(scene)
    }

    /// The state, as if the parties had worked for a while: some of them are new, most are good, some are often late.
    fn with_history(&mut self) -> State {
        let mut state = self.engine.state().clone();
        let machines: Vec<_> = state.machines.iter().map(|(machine, row)| (machine, row.party)).collect();
        for (machine, party) in machines {
            let works = match party.0 % 10 {
                0 => 0,
                1 => 10,
                _ => 20,
            };
            for _ in 0..works {
                let is_late = party.0 % 10 == 1 && self.random.bool();
                let observation = if is_late { Observation::Late } else { Observation::Accepted };
                let buyer = PartyId(self.random.u64(1..=BUYERS as u64));
                let fee = Msat(self.random.u64(10_000..1_000_000));
                let class = &self.names.classes[machine.0 as usize % CLASSES.len()];
                state.reputation.standing_mut(party, class).observe(self.now, buyer, fee, observation);
            }
        }
        state
    }

    fn new_key(&mut self) -> SecretKey {
        SecretKey::from_bytes(std::array::from_fn(|_| self.random.u8(..)))
    }

    /// Applies a command and keeps it, with the answer.
    fn apply(
        &mut self,
        kind: Kind,
        signer: PublicKey,
        command: Command,
    ) -> anyhow::Result<(Recorded, Reply)> {
        let digest = Digest(std::array::from_fn(|_| self.random.u8(..)));
        let not_after_ms = self.now.plus(SHORTLY_MS + self.random.u64(0..CLOCKS_DIFFER_MS));
        let statement = Checked { signer, digest, not_after_ms, seen: None, command };
        let applied = self.engine.apply(self.now, &statement);
        let reply = applied.with_context(|| format!("to {kind}"))?.reply;
        Ok((Recorded { now: self.now, statement, kind }, reply))
    }

    fn party(&mut self) -> anyhow::Result<SecretKey> {
        let key = self.new_key();
        self.apply(Kind::Post, key.public(), Command::RegisterParty { label: "somebody".into() })?;
        Ok(key)
    }

    fn fund(&mut self, key: PublicKey) -> anyhow::Result<()> {
        let amount_msat = Msat(10_000_000_000);
        let (_, reply) = self.apply(Kind::Post, key, Command::TopUp { amount_msat })?;
        let Reply::TopUp(topup) = reply else { bail!("{reply:?}") };
        let outcome = TopUpOutcome::Received { amount_msat };
        self.apply(Kind::Post, self.venue, Command::TopUpOutcome { topup, outcome })?;
        Ok(())
    }

    fn machine(&mut self, owner: &SecretKey) -> anyhow::Result<()> {
        let key = self.new_key();
        let consent = key.sign(CERTIFICATE_DOMAIN, &certificate_message(&self.venue, &owner.public()));
        let gpus = self.random.bool().then(|| Gpus {
            model: self.names.models[self.random.usize(0..MODELS.len())].clone(),
            count: 1 << self.random.u32(0..4),
            memory_mib: 24_576 << self.random.u32(0..2),
        });
        let cpus = 4 << self.random.u64(0..5);
        let capacity = Resources {
            cpu_milli: cpus * 1_000,
            memory_mib: cpus * 2_048,
            disk_mib: 100_000,
            upload_mbps: 100,
            gpus,
        };
        let label = "machine".to_owned();
        let command = Command::CertifyMachine { machine_key: key.public(), consent, label, capacity };
        let (_, reply) = self.apply(Kind::Post, owner.public(), command)?;
        let Reply::Machine(machine) = reply else { bail!("{reply:?}") };
        self.machines.push((machine, key.public()));
        Ok(())
    }

    /// Terms for a machine that sells all that it has.
    fn terms(&mut self, machine: MachineId) -> OfferTerms {
        let region = self.names.regions[machine.0 as usize % REGIONS.len()].clone();
        let class = self.names.classes[machine.0 as usize % CLASSES.len()].clone();
        OfferTerms {
            role: OfferRole::Work,
            rate: Rate::per_task(Msat(self.random.u64(1_000..100_000))),
            resources: self.engine.state().machine(machine).capacity.clone(),
            isolation: if self.random.bool() { Isolation::Wasm } else { Isolation::WasmConfined },
            region,
            class,
            attributes: Attributes::new(),
            lease_max_ms: 86_400_000,
            holds: None,
        }
    }

    fn post(&mut self, machine: MachineId, key: PublicKey) -> anyhow::Result<Recorded> {
        let terms = Box::new(self.terms(machine));
        let (recorded, reply) = self.apply(Kind::Post, key, Command::PostOffer { machine, terms })?;
        let Reply::Offer(offer) = reply else { bail!("{reply:?}") };
        self.offers.push((offer, key));
        Ok(recorded)
    }

    /// Whatever somebody does next.
    fn step(&mut self) -> anyhow::Result<Recorded> {
        match self.random.u32(0..10) {
            0 | 1 => {
                let (machine, key) = self.machines[self.random.usize(0..self.machines.len())];
                self.post(machine, key)
            }
            2 | 3 => {
                let (offer, key) = self.offers.swap_remove(self.random.usize(0..self.offers.len()));
                Ok(self.apply(Kind::Withdraw, key, Command::WithdrawOffer { offer })?.0)
            }
            4 | 5 => {
                let (offer, key) = self.offers[self.random.usize(0..self.offers.len())];
                let machine = self.engine.state().offer(offer).machine;
                let terms = Box::new(self.terms(machine));
                Ok(self.apply(Kind::Change, key, Command::ChangeOffer { offer, terms })?.0)
            }
            _ if self.flows.len() < JOBS_UNDER_WAY => self.place(),
            _ => self.advance(),
        }
    }

    fn place(&mut self) -> anyhow::Result<Recorded> {
        let buyer = self.random.usize(0..BUYERS);
        let resources = Resources { cpu_milli: 1_000, memory_mib: 1_024, ..Resources::default() };
        let region =
            self.random.bool().then(|| self.names.regions[self.random.usize(0..REGIONS.len())].clone());
        let terms = OrderTerms {
            kind: OrderKind::Ask,
            slots: 1,
            ceiling: Rate::per_task(Msat(100_000)),
            budget_msat: Msat(400_000),
            needs: Needs {
                resources,
                isolation: Isolation::Wasm,
                region,
                attributes: Attributes::new(),
                min_reputation_ppm: 0,
                min_bond_msat: Msat::ZERO,
            },
            lease_max_ms: 3_600_000,
            funding: None,
        };
        let limits =
            TaskLimits { memory_mib: 64, output_bytes: 1_000, fuel: 1_000_000, timeout_ms: SHORTLY_MS };
        let job = JobSpec {
            name: "frames".into(),
            profile: "wasm-1".into(),
            module: Digest([1; 32]),
            args: vec!["--frame".into(), "{task}".into()],
            env: Default::default(),
            stdin: None,
            inputs: vec![],
            tasks: TASKS_PER_JOB,
            max_parallel: 100,
            retries: 3,
            duplicate_stragglers: false,
            limits,
            verification: Verification::None,
        };
        let command = Command::PlaceOrder { terms: Box::new(terms), job: Box::new(job), audit_anchor: None };
        let (recorded, reply) = self.apply(Kind::Place, self.buyers[buyer], command)?;
        let Reply::Order { job, leases, .. } = reply else { bail!("{reply:?}") };
        let lease = *leases.first().context("no offer matches the order")?;
        let row = self.engine.state().lease(lease);
        let (party, machine) = (row.party, self.engine.state().machine(row.machine).key);
        let is_cancelled = self.random.u64(0..CANCELLED_ONE_IN) == 0;
        self.flows.push_back(Flow { buyer, job, lease, machine, party, is_cancelled, stage: Stage::Placed });
        Ok(recorded)
    }

    /// Brings the job that has waited longest one step further.
    fn advance(&mut self) -> anyhow::Result<Recorded> {
        let mut flow = self.flows.pop_front().context("no job is under way")?;
        let (lease, machine) = (flow.lease, flow.machine);
        let (recorded, is_over) = match flow.stage {
            Stage::Placed => {
                let (recorded, _) = self.apply(Kind::Start, machine, Command::StartLease { lease })?;
                flow.stage = Stage::Running { done: 0 };
                (recorded, false)
            }
            Stage::Running { done } if flow.is_cancelled && done == TASKS_PER_JOB / 2 => {
                let command = Command::CancelJob { job: flow.job };
                (self.apply(Kind::Cancel, self.buyers[flow.buyer], command)?.0, true)
            }
            Stage::Running { .. } => {
                let command = Command::ClaimTasks { claims: vec![Claim { lease, max: 1 }] };
                let (recorded, reply) = self.apply(Kind::Claim, machine, command)?;
                let Reply::Claimed(items) = &reply else { bail!("{reply:?}") };
                let Some(Item::Done(grants)) = items.first() else { bail!("{reply:?}") };
                let grant = grants.first().context("no task is left")?;
                flow.stage = Stage::Claimed { attempt: grant.attempt, task: grant.task };
                (recorded, false)
            }
            Stage::Claimed { attempt, task } => {
                let seal = seal(task, attempt, flow.party, &salt(), &result());
                let command = Command::CommitResults { commits: vec![Commit { attempt, seal }] };
                let (recorded, _) = self.apply(Kind::Commit, machine, command)?;
                flow.stage = Stage::Committed { attempt, task };
                (recorded, false)
            }
            Stage::Committed { attempt, task } => {
                let reveals = vec![Reveal { attempt, salt: salt(), result: result() }];
                let is_last = task + 1 == TASKS_PER_JOB;
                let kind = if is_last { Kind::Settle } else { Kind::Reveal };
                let (recorded, _) = self.apply(kind, machine, Command::RevealResults { reveals })?;
                flow.stage = Stage::Running { done: task + 1 };
                (recorded, is_last)
            }
        };
        if !is_over {
            self.flows.push_back(flow);
        }
        Ok(recorded)
    }
}

fn salt() -> Digest {
    Digest([7; 32])
}

fn result() -> TaskResult {
    TaskResult { exit: Exit::Code(0), output: Digest([3; 32]), fuel: 500_000 }
}
