//! Machines at a real market: over HTTP, with a journal, through restarts of either side.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use market::{
    command::{CERTIFICATE_DOMAIN, Command, certificate_message},
    event::JobOutcome,
    id::Digest,
    job::{JobSpec, TaskLimits, Verification},
    key::SecretKey,
    offer::{OfferRole, OfferTerms},
    order::{Needs, OrderKind, OrderTerms},
    reply::Reply,
    resources::{Isolation, Resources},
    units::{Msat, Rate},
};
use node::{
    api::{JobView, TopupPhase},
    buyer::{Buyer, PreparedJob},
    client::Market,
    http::{MarketConfig, RunningMarket, serve},
    provider::{
        Driver, InProcess, Policy, ProvideError,
        agent::{Identity, Tally},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::Duration,
};
use support::{party, until};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Writes its task's number to standard output, after some work.
const PROGRAM: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (local $i i32)
        (drop (call $sizes (i32.const 0) (i32.const 4)))
        (drop (call $args_get (i32.const 64) (i32.const 256)))
        (loop $work
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $work (i32.lt_u (local.get $i) (i32.const 2000000))))
        (i32.store (i32.const 16) (i32.load (i32.const 68)))
        (i32.store (i32.const 20) (i32.const 4))
        (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))))"#;

fn resources(cores: u64) -> Resources {
    Resources { cpu_milli: 1_000 * cores, memory_mib: 256 * cores, ..Resources::default() }
}

fn policy(msat: u64) -> Policy {
    let offer = OfferTerms {
        role: OfferRole::Work,
        rate: Rate::per_task(Msat(msat)),
        resources: resources(1),
        isolation: Isolation::Wasm,
        region: "here".parse().unwrap(),
        class: "test".parse().unwrap(),
        attributes: BTreeMap::new(),
        lease_max_ms: 3_600_000,
    };
    Policy {
        offers: vec![offer],
        fuel_per_second: 0,
        cost_per_hour_msat: Msat::ZERO,
        discount_ppm: 0,
        assumed_bidders: 4,
        profiles: BTreeSet::from(["wasm-1".to_owned()]),
        batch_ms: 250,
    }
}

/// A party with a machine.
struct Machine {
    party: SecretKey,
    secret: SecretKey,
    identity: Identity,
    state: tempfile::TempDir,
}

impl Machine {
    async fn new(market: &Market, seed: u8) -> Machine {
        let party = party(market, seed).await;
        let secret = SecretKey::from_bytes([seed + 100; 32]);
        let message = certificate_message(&market.venue(), &party.public());
        let command = Command::CertifyMachine {
            machine_key: secret.public(),
            consent: secret.sign(CERTIFICATE_DOMAIN, &message),
            label: format!("machine {seed}"),
            capacity: resources(2),
        };
        let Reply::Machine(machine) = market.submit(&party, command).await.unwrap().reply else {
            panic!("no machine")
        };
        let account = market.account(&party).await.unwrap();
        let identity = Identity { machine, party: account.party };
        Machine { party, secret, identity, state: tempfile::tempdir().unwrap() }
    }

    fn start(&self, market: &Market, msat: u64) -> Running {
        let (tally, seen) = watch::channel(Tally::default());
        let driver = Driver {
            market: market.clone(),
            secret: self.secret.clone(),
            identity: self.identity,
            policy: watch::channel(policy(msat)).1,
            state_dir: self.state.path().to_owned(),
            cache_bytes: 1 << 30,
            grace: Duration::from_secs(20),
            sandbox: Arc::new(InProcess),
            is_open: Box::new(|_| true),
            fault: None,
            tally,
        };
        let stop = CancellationToken::new();
        Running { task: tokio::spawn(driver.run(stop.clone())), stop, seen }
    }
}

struct Running {
    task: JoinHandle<Result<Tally, ProvideError>>,
    stop: CancellationToken,
    seen: watch::Receiver<Tally>,
}

impl Running {
    /// As with kill -9: nothing more is sent.
    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    async fn stop(self) -> Tally {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(60), self.task).await.unwrap().unwrap().unwrap()
    }
}

async fn fund(market: &Market, secret: &SecretKey, amount_msat: Msat) {
    let asked = market.submit(secret, Command::TopUp { amount_msat }).await.unwrap();
    let Reply::TopUp(topup) = asked.reply else { panic!("{asked:?}") };
    let bolt11 = until(async || market.topup(secret, topup).await.unwrap().bolt11).await;
    market.dev_pay(&bolt11).await.unwrap();
    until(async || (market.topup(secret, topup).await.unwrap().phase == TopupPhase::Received).then_some(()))
        .await;
}

fn job(folder: &Path, tasks: u32, verification: Verification) -> PreparedJob {
    let wasm = wat::parse_str(PROGRAM).unwrap();
    let module = Digest::of(&wasm);
    let file = folder.join("program.wasm");
    std::fs::write(&file, wasm).unwrap();
    let spec = JobSpec {
        name: "test".into(),
        profile: "wasm-1".into(),
        module,
        args: vec!["{task}".into()],
        env: BTreeMap::new(),
        stdin: None,
        inputs: Vec::new(),
        tasks,
        max_parallel: tasks,
        retries: 5,
        duplicate_stragglers: false,
        limits: TaskLimits { memory_mib: 16, output_bytes: 1 << 16, fuel: 1_000_000_000, timeout_ms: 60_000 },
        verification,
    };
    let terms = OrderTerms {
        kind: OrderKind::Ask,
        slots: 3,
        ceiling: Rate::per_task(Msat(10_000)),
        budget_msat: Msat(u64::from(tasks) * 40_000),
        needs: Needs {
            resources: resources(1),
            isolation: Isolation::Wasm,
            region: None,
            attributes: BTreeMap::new(),
            min_reputation_ppm: 0,
            min_bond_msat: Msat::ZERO,
        },
        lease_max_ms: 600_000,
    };
    PreparedJob { spec, terms, blobs: BTreeMap::from([(module, file)]) }
}

/// A buyer with money, whose job is placed.
async fn order(market: &Market, folder: &Path, job: &PreparedJob) -> (Buyer, SecretKey, market::id::JobId) {
    let secret = party(market, 1).await;
    fund(market, &secret, job.terms.budget_msat).await;
    let buyer = Buyer::new(market.clone(), secret.clone(), &folder.join("records")).unwrap();
    buyer.upload(job, |_, _| {}).await.unwrap();
    let placed = buyer.place(job).await.unwrap();
    (buyer, secret, placed.job)
}

async fn offers_stand(market: &Market, count: usize) {
    until(async || (market.offers(&Default::default()).await.unwrap().len() == count).then_some(())).await;
}

async fn finished(buyer: &Buyer, secret: &SecretKey, market: &Market, id: market::id::JobId) -> JobView {
    let outcome = tokio::time::timeout(Duration::from_secs(120), buyer.follow(id, None, |_| {})).await;
    assert_eq!(outcome.unwrap().unwrap(), JobOutcome::Completed);
    market.job(secret, id).await.unwrap()
}

async fn open_market(folder: &Path, listen: Option<SocketAddr>) -> (RunningMarket, Market) {
    let mut config = MarketConfig::new(folder.join("market"));
    config.listen = listen.unwrap_or(config.listen);
    let running = serve(config).await.unwrap();
    let market = Market::connect(running.address()).await.unwrap();
    (running, market)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_machines_finish_a_verified_job_and_are_paid_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (running, market) = open_market(folder.path(), None).await;
    let mut machines = Vec::new();
    for seed in 2..5 {
        machines.push(Machine::new(&market, seed).await);
    }
    let started: Vec<Running> = machines.iter().map(|machine| machine.start(&market, 5_000)).collect();
    offers_stand(&market, 3).await;
    let job = job(folder.path(), 30, Verification::Replicas { k: 2, n: 3, named: Vec::new() });
    let (buyer, secret, id) = order(&market, folder.path(), &job).await;
    let view = finished(&buyer, &secret, &market, id).await;
    assert_eq!((view.tasks_done, view.tasks_failed), (30, 0));
    assert_eq!(view.paid_msat, Msat(30 * 2 * 5_000), "every task was run twice");
    for running in started {
        let tally = running.stop().await;
        assert_eq!(tally.attempts, 0, "{tally:?}");
    }
    let mut earned = 0;
    for machine in &machines {
        earned += market.account(&machine.party).await.unwrap().available_msat.0;
    }
    assert_eq!(earned, 30 * 2 * 5_000 * 98 / 100, "less the operator's fee");
    offers_stand(&market, 0).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_killed_machine_nor_a_restarted_market_loses_a_lease() {
    let folder = tempfile::tempdir().unwrap();
    let (running, market) = open_market(folder.path(), None).await;
    let machine = Machine::new(&market, 2).await;
    let first = machine.start(&market, 5_000);
    offers_stand(&market, 1).await;
    let (buyer, secret, id) =
        order(&market, folder.path(), &job(folder.path(), 60, Verification::None)).await;
    let mut seen = first.seen.clone();
    seen.wait_for(|tally| tally.finished >= 5).await.unwrap();
    first.kill().await;

    let second = machine.start(&market, 5_000);
    let mut seen = second.seen.clone();
    seen.wait_for(|tally| tally.finished >= 5).await.unwrap();
    let listen = running.listen();
    running.shutdown().await.unwrap();
    let (running, _) = open_market(folder.path(), Some(listen)).await;

    let view = finished(&buyer, &secret, &market, id).await;
    assert_eq!((view.tasks_done, view.tasks_failed), (60, 0));
    // One lease would do; those beyond the first were won for the order's other slots at the start.
    let quits = view
        .leases
        .iter()
        .filter(|lease| lease.reason.is_some_and(|r| r != market::lease::CloseReason::Finished));
    assert_eq!(quits.count(), 0, "{:?}", view.leases);
    second.stop().await;
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_serves_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let (running, market) = open_market(folder.path(), None).await;
    let machine = Machine::new(&market, 2).await;
    let first = machine.start(&market, 5_000);
    offers_stand(&market, 1).await;
    let second = machine.start(&market, 5_000).task.await.unwrap();
    assert!(matches!(second, Err(ProvideError::Locked(_))), "{second:?}");
    first.stop().await;
    running.shutdown().await.unwrap();
}
