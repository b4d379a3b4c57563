//! What the tests of the market share: a market in this process, parties with money, and jobs for them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each test file uses a part of it, and fails by panicking"
)]

pub(crate) mod machine;
pub(crate) mod troubled_node;

use futures_util::StreamExt;
use market::{
    command::Command,
    event::Event,
    id::{Digest, JobId},
    job::{JobSpec, TaskLimits, Verification},
    key::SecretKey,
    order::{Needs, OrderKind, OrderTerms},
    reply::Reply,
    resources::{Isolation, Resources},
    units::{Msat, Rate},
};
use node::{
    api::EventCursor,
    buyer::{Buyer, PreparedJob},
    client::Market,
    http::{MarketConfig, RunningMarket, serve},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

/// How long a test waits for something before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A market in this process, and a connection to it.
pub(crate) struct OpenMarket {
    pub(crate) running: RunningMarket,
    pub(crate) market: Market,
    folder: tempfile::TempDir,
}

impl OpenMarket {
    pub(crate) async fn new() -> OpenMarket {
        OpenMarket::with(|_| {}).await
    }

    /// A market that is run in a way of its own.
    pub(crate) async fn with(set: impl FnOnce(&mut MarketConfig)) -> OpenMarket {
        OpenMarket::start(tempfile::tempdir().unwrap(), set).await
    }

    /// A market whose data are in `market` below a folder.
    pub(crate) async fn in_folder(folder: tempfile::TempDir) -> OpenMarket {
        OpenMarket::start(folder, |_| {}).await
    }

    async fn start(folder: tempfile::TempDir, set: impl FnOnce(&mut MarketConfig)) -> OpenMarket {
        let mut config = MarketConfig::new(folder.path().join("market"));
        set(&mut config);
        let running = serve(config).await.unwrap();
        let market = Market::connect(running.address()).await.unwrap();
        OpenMarket { running, market, folder }
    }

    /// Stops the market and starts it again at the same address; `meanwhile` gets its data folder.
    pub(crate) async fn restart(self, meanwhile: impl AsyncFnOnce(&Path)) -> OpenMarket {
        let OpenMarket { running, folder, .. } = self;
        let listen = running.listen();
        running.shutdown().await.unwrap();
        meanwhile(&folder.path().join("market")).await;
        OpenMarket::start(folder, |config| config.listen = listen).await
    }

    /// Stops the market and starts it again in another way.
    pub(crate) async fn restart_with(self, set: impl FnOnce(&mut MarketConfig)) -> OpenMarket {
        let OpenMarket { running, folder, .. } = self;
        running.shutdown().await.unwrap();
        OpenMarket::start(folder, set).await
    }

    /// Stops the market.
    pub(crate) async fn close(self) {
        self.running.shutdown().await.unwrap();
    }

    /// A place for a file of the test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A registered party.
pub(crate) async fn party(market: &Market, seed: u8) -> SecretKey {
    let secret = SecretKey::from_bytes([seed; 32]);
    let accepted =
        market.submit(&secret, Command::RegisterParty { label: format!("party {seed}") }).await.unwrap();
    assert!(matches!(accepted.reply, Reply::Party(_)));
    secret
}

/// Waits for something to happen that this key may see; what happened already counts.
pub(crate) async fn event<T>(
    market: &Market,
    reader: &SecretKey,
    mut pick: impl FnMut(Event) -> Option<T>,
) -> T {
    let events = market.events(Some(EventCursor::default()), Some(reader));
    let found = pin!(events.filter_map(|placed| std::future::ready(pick(placed.unwrap().event))));
    tokio::time::timeout(PATIENCE, found.into_future()).await.expect("it does not happen").0.unwrap()
}

/// Asks now, and again whenever something happens in public, until there is an answer.
pub(crate) async fn until<T>(market: &Market, ask: impl AsyncFnMut() -> Option<T>) -> T {
    until_as(None, market, ask).await
}

/// The same, woken by what this key may see.
pub(crate) async fn until_as<T>(
    reader: Option<&SecretKey>,
    market: &Market,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> T {
    let position = market.info().await.unwrap().position;
    let mut events = pin!(market.events(Some(EventCursor { position, index: u32::MAX }), reader));
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            events.next().await.unwrap().unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("there is no answer")
}

/// Asks for an invoice to pay into a party's balance, and waits for it.
pub(crate) async fn invoice(market: &Market, secret: &SecretKey, amount_msat: Msat) -> String {
    let asked = market.submit(secret, Command::TopUp { amount_msat }).await.unwrap();
    let Reply::TopUp(wanted) = asked.reply else { panic!("{asked:?}") };
    event(market, secret, |event| match event {
        Event::TopUpInvoiced { topup, bolt11, .. } if topup == wanted => Some(bolt11),
        _ => None,
    })
    .await
}

/// Gives a party play money.
pub(crate) async fn fund(market: &Market, secret: &SecretKey, amount_msat: Msat) {
    let bolt11 = invoice(market, secret, amount_msat).await;
    market.dev_pay(&bolt11).await.unwrap();
    received(market, secret, amount_msat).await;
}

/// Waits for money.
pub(crate) async fn received(market: &Market, secret: &SecretKey, wanted: Msat) {
    event(market, secret, |event| match event {
        Event::TopUpReceived { amount_msat, .. } if amount_msat == wanted => Some(()),
        _ => None,
    })
    .await;
}

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

/// What so many cores come with.
pub(crate) fn resources(cores: u64) -> Resources {
    Resources { cpu_milli: 1_000 * cores, memory_mib: 256 * cores, ..Resources::default() }
}

/// A job of [`PROGRAM`], whose file is put into the folder.
pub(crate) fn job(folder: &Path, tasks: u32, verification: Verification) -> PreparedJob {
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
        funding: None,
    };
    PreparedJob { spec, terms, holds_max_msat: Msat::ZERO, blobs: BTreeMap::from([(module, file)]) }
}

/// A buyer with money, whose job is placed.
pub(crate) async fn order(open: &OpenMarket, job: &PreparedJob) -> (Buyer, SecretKey, JobId) {
    let secret = party(&open.market, 1).await;
    fund(&open.market, &secret, job.terms.budget_msat).await;
    let buyer = Buyer::new(open.market.clone(), secret.clone(), &open.path("records")).unwrap();
    buyer.upload(job, |_, _| {}).await.unwrap();
    let placed = buyer.place(job).await.unwrap();
    (buyer, secret, placed.job)
}
