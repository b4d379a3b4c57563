//! A world: the market, its machines and parties, and the loop that runs them.

use crate::{
    cheat::{Cheat, Side},
    checker::{Checker, Sabotage, WrongResults},
    hold_watch::{HoldTally, NODE_MONEY},
    machine::{Machine, Parts, Spied},
    market_host::{JOURNAL, MarketHost, SETTINGS, now_or_never},
    operator::{self, OperatorCheats},
    party::{News, OwnMachine, Party, consent},
    plan::{Fault, PartyPlan, Plan, Role, WORTH},
    rng::Rng,
    stage::{EPOCH, Event, MachineEvent, Peer, Request, Stage, truth},
};
use market::{
    command::Command,
    engine::state::JobPhase,
    event::TaskOutcome,
    id::{Digest, PartyId},
    key::SecretKey,
    ledger::Account,
    log::Head,
    offer::OfferRole,
    statement::Statement,
    units::{Msat, TimeMs},
};
use node::{
    journal::{Journal, MemoryJournal, Position, snapshot::Snapshot},
    provider::agent::Identity,
    venue::{NoArchive, Venue},
};
use pay::{
    LightningNode,
    dev::{Chaos, DevNetwork},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// After things heal, everything has to end within this time, in milliseconds.
const PATIENCE_MS: u64 = 3 * 3_600_000;
/// How many fresh, honest parties come when things heal, so that no job waits for somebody that does not exist.
const RESCUERS: usize = 7;

/// What became of a world.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// A hash over everything that happened: the same seed gives the same.
    pub trace: Option<Digest>,
    /// How long it lived.
    pub simulated_ms: u64,
    /// How many statements the market accepted.
    pub commands: u64,
    /// What broke, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// What was done that is no fault, by name.
    pub deeds: BTreeMap<&'static str, u64>,
    /// What did not hold.
    pub violations: Vec<String>,
    /// Wrong results that stand.
    pub wrong: WrongResults,
    /// What the measured actor has gained, in msat: money, results at their worth, less honest work at its cost.
    pub focus_gain_msat: i64,
    /// What the operator tried.
    pub operator: OperatorCheats,
    /// Holds and sessions.
    pub holds: HoldTally,
    /// Jobs that were placed, and tasks that have a result.
    pub jobs: u64,
    /// Tasks that have a result.
    pub tasks: u64,
}

struct World<'a> {
    plan: &'a Plan,
    stage: Stage,
    clock: Arc<AtomicU64>,
    network: DevNetwork,
    market: MarketHost,
    machines: Vec<Machine>,
    parties: Vec<Party>,
    spied: Spied,
    checker: Checker,
    trace: blake3::Hasher,
    prints: bool,
    keys: Rng,
}

/// Runs a plan to its end.
pub fn run(plan: &Plan, sabotage: Option<Sabotage>, prints: bool) -> Outcome {
    let mut world = World::new(plan, sabotage, prints);
    world.begin();
    let deadline = EPOCH.plus(plan.chaos_ms + PATIENCE_MS);
    let mut is_over = false;
    while let Some(event) = world.stage.next() {
        world.clock.store(world.stage.now.0, Ordering::Relaxed);
        world.note(&event);
        let is_sync = matches!(event, Event::Sync { .. });
        world.handle(event);
        if !world.checker.violations.is_empty() {
            break;
        }
        // Whether everything has ended changes with what the market does, and costs a walk over all that there is.
        is_over = is_sync && !world.stage.is_rough && world.is_over();
        if is_over || world.stage.now > deadline {
            break;
        }
    }
    if !is_over && world.checker.violations.is_empty() {
        world.explain_hang();
    }
    world.finish()
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, sabotage: Option<Sabotage>, prints: bool) -> World<'a> {
        let mut keys = Rng::new(plan.seed, 3);
        let clock = Arc::new(AtomicU64::new(EPOCH.0));
        let reads = clock.clone();
        let network = DevNetwork::new(keys.bytes(), move || TimeMs(reads.load(Ordering::Relaxed)));
        let market = MarketHost::new(
            SecretKey::from_bytes(keys.bytes()),
            network.node("market"),
            plan.withholds_links,
        );
        let mut world = World {
            plan,
            stage: Stage::new(plan),
            clock,
            network,
            market,
            machines: Vec::new(),
            parties: Vec::new(),
            spied: Spied::new(),
            checker: Checker::new(sabotage),
            trace: blake3::Hasher::new(),
            prints,
            keys,
        };
        for party in &plan.parties {
            world.add(party.clone());
        }
        world
    }

    fn add(&mut self, plan: PartyPlan) {
        let owner = self.parties.len();
        let venue = self.market.secret.public();
        let key = SecretKey::from_bytes(self.keys.bytes());
        let (role, machines) = match &plan.role {
            Role::Provider(machines) => (OfferRole::Work, machines.clone()),
            Role::Validator(machines) => (OfferRole::Audit, machines.clone()),
            Role::Buyer(_) => (OfferRole::Work, Vec::new()),
        };
        let lightning = self.network.node(&format!("node {owner}"));
        if self.network.issue(&lightning, NODE_MONEY).is_err() {
            self.checker.violation("no play money was issued".into());
        }
        let mut own = Vec::new();
        for machine in machines {
            let index = self.machines.len();
            let machine = Machine::new(Parts {
                index,
                key: SecretKey::from_bytes(self.keys.bytes()),
                owner,
                role,
                plan: machine,
                venue,
                cheat: plan.cheat,
                is_focus: plan.is_focus,
                group: plan.group,
                skew_ms: plan.skew_ms,
                lightning: lightning.clone(),
            });
            let consent = consent(&machine.key, &venue, &key.public());
            let capacity = machine.capacity();
            own.push(OwnMachine { index, key: machine.key.public(), consent, capacity, id: None });
            self.machines.push(machine);
        }
        let wallet = self.network.node("wallets");
        self.parties.push(Party::new(owner, key, plan, venue, [wallet, lightning], own));
    }

    fn begin(&mut self) {
        // Everybody's wallet together has more than anybody can spend.
        if self.network.issue(&self.network.node("wallets"), Msat(1 << 50)).is_err() {
            self.checker.violation("no play money was issued".into());
        }
        if self.plan.loss_ppm > 0 {
            self.network.set_chaos(Chaos {
                fail_payment_ppm: 50_000,
                hang_payment_ppm: 50_000,
                lose_answer_ppm: 50_000,
                settle_late_ppm: 50_000,
                duplicate_event_ppm: 50_000,
                lose_event_ppm: 50_000,
                delay_max_ms: 30_000,
            });
        }
        self.market.start(&mut self.stage, &mut self.checker);
        if let Some((at_ms, version)) = self.plan.rules {
            self.stage.after(at_ms, Event::Rules { version });
        }
        for party in &mut self.parties {
            party.begin(&mut self.stage);
        }
        for (number, (at_ms, _)) in self.plan.faults.iter().enumerate() {
            self.stage.after(*at_ms, Event::Fault(number));
        }
        if let Some(every_ms) = self.plan.snapshots_every_ms {
            self.stage.after(every_ms, Event::Snapshot { every_ms });
        }
        self.stage.after(self.plan.chaos_ms, Event::Heal);
    }

    /// Puts what happens into the trace: when, what kind, to whom. What was said is in the market's history, which is
    /// hashed at the end.
    fn note(&mut self, event: &Event) {
        let now_ms = self.stage.now.since(EPOCH);
        let (kind, whose) = event.label();
        self.trace.update(&now_ms.to_le_bytes());
        self.trace.update(kind.as_bytes());
        self.trace.update(&whose.to_le_bytes());
        if self.prints {
            eprintln!("{now_ms:>9} {:.400}", format!("{event:?}"));
        }
    }

    fn handle(&mut self, event: Event) {
        let stage = &mut self.stage;
        match event {
            Event::Asked(ticket, request) => self.market.asked(stage, ticket, request),
            Event::Answered(ticket, response) => match ticket.peer {
                Peer::Machine(machine) => {
                    if let Some(machine) = self.machines.get_mut(machine) {
                        machine.answered(stage, &mut self.spied, ticket, response);
                    }
                }
                Peer::Party(party) => {
                    let news =
                        self.parties.get_mut(party).and_then(|party| party.answered(stage, ticket, response));
                    self.hear(news);
                }
            },
            Event::Retry(ticket) => match ticket.peer {
                Peer::Machine(machine) => {
                    if let Some(machine) = self.machines.get_mut(machine) {
                        machine.retry(stage, &mut self.spied, ticket);
                    }
                }
                Peer::Party(party) => {
                    let news = self.parties.get_mut(party).and_then(|party| party.retry(stage, ticket));
                    self.hear(news);
                }
            },
            Event::Admit { life } => self.market.admit(stage, &mut self.checker, life),
            Event::Sync { life } => self.market.sync(stage, &mut self.checker, life),
            Event::Own { life, duty, command } => self.market.own(stage, life, &duty, *command),
            Event::MarketStarts => self.market.start(stage, &mut self.checker),
            Event::Snapshot { every_ms } => {
                self.market.snapshot(stage, &mut self.checker);
                stage.after(every_ms, event);
            }
            // A market that is down is told later.
            Event::Rules { .. } if self.market.venue.is_none() => stage.after(1_000, event),
            Event::Rules { version } => self.market.say(stage, Command::ActivateRules { version }),
            Event::Replayed(request) => {
                if let Request::Statement(statement) = &*request {
                    self.market.replayed(stage, &mut self.checker, statement);
                }
            }
            Event::Machine { machine, life, event } => {
                if let Some(machine) = self.machines.get_mut(machine) {
                    machine.happens(stage, &mut self.spied, life, event);
                }
            }
            Event::Party { party, event } => {
                if let Some(party) = self.parties.get_mut(party) {
                    party.happens(stage, event);
                }
            }
            Event::Fault(number) => {
                if let Some((_, fault)) = self.plan.faults.get(number) {
                    self.strike(*fault);
                }
            }
            Event::DiskFreed => self.market.disk.set_capacity(None),
            Event::Heal => self.heal(),
        }
    }

    fn hear(&mut self, news: Option<News>) {
        match news {
            Some(News::Certified(index, party, id)) => {
                if let Some(machine) = self.machines.get_mut(index) {
                    machine.identity = Some(Identity { machine: id, party });
                    let (life, event) = (machine.life(), MachineEvent::Start);
                    self.stage.after(10, Event::Machine { machine: index, life, event });
                }
            }
            Some(News::Revoked(index)) => {
                self.stage.note("machine revoked");
                if let Some(machine) = self.machines.get_mut(index) {
                    machine.retire();
                }
            }
            None => {}
        }
    }

    fn strike(&mut self, fault: Fault) {
        match fault {
            Fault::MachineCrash { machine, down_ms, loses_disk } => {
                self.stage.count(if loses_disk { "machine crash with disk" } else { "machine crash" });
                let index = machine as usize;
                if let Some(machine) = self.machines.get_mut(index) {
                    machine.crash(loses_disk);
                    let (life, event) = (machine.life(), MachineEvent::Start);
                    self.stage.after(down_ms, Event::Machine { machine: index, life, event });
                }
            }
            Fault::MachinePartition { machine, for_ms } => {
                self.stage.count("machine partition");
                self.stage.cut_off(Peer::Machine(machine as usize), for_ms);
            }
            Fault::PartyPartition { party, for_ms } => {
                self.stage.count("party partition");
                self.stage.cut_off(Peer::Party(party as usize), for_ms);
            }
            Fault::PartyCrash { party, down_ms } => {
                if let Some(party) = self.parties.get_mut(party as usize) {
                    party.crash(&mut self.stage, down_ms);
                }
            }
            Fault::MarketPowerCut { .. }
            | Fault::MarketKilled { .. }
            | Fault::MarketPowerCutInSnapshot { .. }
            | Fault::SnapshotDamaged { .. }
            | Fault::MarketPowerCutInSync { .. }
            | Fault::SyncFails { .. }
            | Fault::DiskFull { .. } => self.market.fault(&mut self.stage, &mut self.checker, fault),
        }
    }

    /// Nothing breaks any more, and fresh honest machines come: from here on every job has to end by itself.
    fn heal(&mut self) {
        self.stage.heal();
        self.network.set_chaos(Chaos::default());
        self.market.disk.set_capacity(None);
        self.market.disk.set_failing_syncs(false);
        for number in 0..RESCUERS {
            let machines =
                vec![crate::plan::MachinePlan { price_msat: 1_400, speed_pct: 200, cores: 64, crash_ppm: 0 }];
            let role = if number % 2 == 0 { Role::Provider(machines) } else { Role::Validator(machines) };
            let group = 2_000_000 + number as u64;
            self.add(PartyPlan::honest(role, group));
            if let Some(party) = self.parties.last_mut() {
                party.begin(&mut self.stage);
            }
        }
    }

    fn is_over(&self) -> bool {
        let Some(venue) = &self.market.venue else { return false };
        if !self.parties.iter().all(|party| party.is_done() || party.plan.cheat.is_some()) {
            return false;
        }
        let floor = venue.read();
        let state = floor.state();
        let is_settled = |phase: &JobPhase| matches!(phase, JobPhase::Settled { .. });
        floor.durable() == floor.position()
            && state.jobs.iter().all(|(_, job)| is_settled(&job.phase))
            && state.leases.iter().all(|(_, lease)| lease.phase.is_closed())
            && state.withdrawals.is_empty()
            && state.open_holds.is_empty()
            && state.topups.iter().all(|(_, topup)| topup.is_expired || topup.invoice.is_some())
            // Focus buyers that cannot pay never finish; everybody else's orders are in by now.
            && self.stage.now > EPOCH.plus(self.plan.chaos_ms + 30_000)
    }

    fn explain_hang(&mut self) {
        let mut why = Vec::new();
        match &self.market.venue {
            None => why.push("the market is down".to_owned()),
            Some(venue) => {
                let floor = venue.read();
                for (id, job) in floor.state().jobs.iter() {
                    if !matches!(job.phase, JobPhase::Settled { .. }) {
                        why.push(format!(
                            "{id} is {:?}, {} tasks unfinished, {} leases open",
                            job.phase, job.unfinished, job.open_leases
                        ));
                    }
                }
                why.push(format!("{} withdrawals", floor.state().withdrawals.len()));
            }
        }
        let waiting = self.parties.iter().filter(|party| !party.is_done()).count();
        why.push(format!("{waiting} parties wait"));
        why.truncate(6);
        self.checker.violation(format!("not everything has ended: {}", why.join("; ")));
    }

    fn finish(mut self) -> Outcome {
        for digest in self.checker.history() {
            self.trace.update(&digest.0);
        }
        let mut outcome = Outcome {
            trace: Some(Digest(*self.trace.finalize().as_bytes())),
            simulated_ms: self.stage.now.since(EPOCH),
            faults: std::mem::take(&mut self.stage.faults),
            ..Outcome::default()
        };
        if let Some(venue) = self.market.venue.take() {
            self.close(venue, &mut outcome);
        }
        outcome.deeds = std::mem::take(&mut self.stage.deeds);
        outcome.violations = std::mem::take(&mut self.checker.violations);
        outcome
    }

    /// The last checks: promises, money, results, replay.
    fn close(&mut self, venue: Venue<MemoryJournal>, outcome: &mut Outcome) {
        let is_clean = self.checker.violations.is_empty();
        let journaled = self.journaled(&venue);
        let floor = venue.read();
        outcome.commands = floor.position();
        outcome.jobs = floor.state().jobs.len() as u64;
        let done = |job: &market::engine::state::Job| {
            job.tasks.iter().filter(|task| matches!(task.outcome, Some(TaskOutcome::Done { .. }))).count()
                as u64
        };
        outcome.tasks = floor.state().jobs.iter().map(|(_, job)| done(job)).sum();
        if is_clean {
            self.checker.finish(&floor, &journaled);
            self.check_money(&floor);
            let wrong = self.checker.holds.compare(floor.state(), &self.parties);
            wrong.into_iter().for_each(|what| self.checker.violation(what));
        }
        let groups: BTreeMap<PartyId, u64> =
            self.parties.iter().filter_map(|party| Some((party.id?, party.plan.group))).collect();
        outcome.wrong = self.checker.check_results(
            &floor,
            |job, task| truth(&job.spec.module, task),
            |party| groups.get(&party).copied().unwrap_or(u64::MAX - party.0),
        );
        outcome.holds = self.checker.holds.tally;
        outcome.focus_gain_msat = self.focus_gain(&floor);
        let before = (floor.engine().state_hash().ok(), floor.log().head());
        let head = floor.head();
        drop(floor);
        drop(venue);
        if is_clean {
            self.check_replay(before);
        }
        if self.plan.focus.side() == Side::Operator {
            let now = self.stage.now;
            outcome.operator =
                operator::cheat(&self.market.disk, &self.market.secret, now, head, &mut self.stage.rng);
            if outcome.operator.proven < outcome.operator.tried {
                self.checker.violation(format!("a fork is not provable: {:?}", outcome.operator));
            }
        }
    }

    fn journaled(&mut self, venue: &Venue<MemoryJournal>) -> BTreeMap<Digest, u64> {
        let mut journaled = BTreeMap::new();
        for entry in venue.journal().read(Position(1)) {
            let statement =
                entry.ok().and_then(|entry| Some((entry.position.0, Statement::from_bytes(&entry.payload)?)));
            let Some((position, statement)) = statement else {
                self.checker.violation("an entry of the journal cannot be read".into());
                continue;
            };
            if let Some(before) = journaled.insert(statement.digest(), position) {
                self.checker.violation(format!("one statement was accepted at {before} and at {position}"));
            }
        }
        journaled
    }

    /// All play money is somewhere, and the market's node has what the market owes.
    fn check_money(&mut self, floor: &node::venue::Floor) {
        if let Err(imbalance) = self.network.check() {
            self.checker.violation(format!("play money is missing: {imbalance}"));
        }
        let held = floor.state().ledger.held();
        match now_or_never(self.market.node.balance()) {
            Some(Ok(balance)) if balance.spendable == held && balance.in_flight == Msat::ZERO => {}
            other => self.checker.violation(format!("the market owes {held} and its node has {other:?}")),
        }
    }

    /// The journal alone gives the same market, and so does the newest snapshot with the rest of the journal.
    fn check_replay(&mut self, before: (Option<Digest>, Head)) {
        let snapshot = self.market.newest_snapshot(&mut self.stage);
        let from_snapshot = snapshot.map(|snapshot| (Some(snapshot), "the newest snapshot"));
        for (snapshot, from) in [(None, "the whole journal")].into_iter().chain(from_snapshot) {
            match self.reopen(snapshot) {
                Ok(after) if after == before => {}
                Ok(_) => self.checker.violation(format!("the replay from {from} ends in another state")),
                Err(error) => self.checker.violation(format!("there is no replay from {from}: {error}")),
            }
        }
    }

    fn reopen(&self, snapshot: Option<Snapshot>) -> Result<(Option<Digest>, Head), String> {
        let opened = MemoryJournal::open(&self.market.disk, self.market.secret.public(), JOURNAL);
        let (journal, _) = opened.map_err(|error| error.to_string())?;
        let secret = self.market.secret.clone();
        let (venue, _) = Venue::open(journal, secret, SETTINGS, snapshot, self.stage.now, NoArchive)
            .map_err(|error| error.to_string())?;
        let floor = venue.read();
        Ok((floor.engine().state_hash().ok(), floor.log().head()))
    }

    /// What the measured actor gained.
    fn focus_gain(&self, floor: &node::venue::Floor) -> i64 {
        let mut gain = 0;
        if self.plan.focus == Cheat::VenueWithholdsLinks {
            // What the operator owes it pays sooner or later; until then it takes no verified job.
            let state = floor.state();
            gain += state.ledger.available(Account::Fees).0 as i64 - state.venue_owes().0 as i64;
        }
        for party in self.parties.iter().filter(|party| party.plan.is_focus) {
            let Some(id) = party.id else { continue };
            let ledger = &floor.state().ledger;
            let has = |account| ledger.balance(account).posted.0 as i64;
            gain += has(Account::Available(id)) + has(Account::Earnings(id)) + has(Account::Bond(id));
            gain += self.checker.withdrawn.get(&id).copied().unwrap_or_default() as i64;
            gain -= self.checker.deposits.get(&id).copied().unwrap_or_default() as i64;
            let own = self.machines.iter().filter(|machine| machine.owner == party_index(&self.parties, id));
            gain -= own.map(|machine| machine.spent.0 as i64).sum::<i64>();
            if let Some(Ok(balance)) = now_or_never(party.lightning.balance()) {
                gain += balance.spendable.0 as i64 + balance.in_flight.0 as i64 - NODE_MONEY.0 as i64;
            }
            gain += self.worth_of_results(floor, party);
        }
        gain
    }

    /// What a buyer's right results are worth to it.
    fn worth_of_results(&self, floor: &node::venue::Floor, party: &Party) -> i64 {
        let jobs = floor.state().jobs.iter().filter(|(_, job)| Some(job.buyer) == party.id);
        let right = jobs.flat_map(|(_, job)| {
            job.tasks.iter().zip(0..).filter(|(task, number)| match task.outcome {
                Some(TaskOutcome::Done { result, .. }) => result == truth(&job.spec.module, *number),
                Some(TaskOutcome::Failed { .. } | TaskOutcome::Cancelled) | None => false,
            })
        });
        right.count() as i64 * WORTH.0 as i64
    }
}

fn party_index(parties: &[Party], id: PartyId) -> usize {
    parties.iter().position(|party| party.id == Some(id)).unwrap_or(usize::MAX)
}
