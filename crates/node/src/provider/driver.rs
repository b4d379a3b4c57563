//! Runs an [`Agent`] for real: asks the market, sends statements, starts workers, writes to disk.
//!
//! One loop owns the agent and everything that it decides about. What takes time happens in tasks and threads that report
//! back to the loop; nothing is shared with them but queues and the [`Vault`].

use super::{
    Policy, Secrets,
    agent::{Action, Agent, Answer, Identity, Input, RequestId, RunEnd, Tally, WorkerFailure},
    blob_cache::{BlobCache, BlobError},
    fault::{Fault, Faulty},
    holds::{HoldError, HoldInvoices, HoldKeeper},
    lease_worker::{self, Clock, News, Queue, Report, Run, Setup},
    sales::{self, Keys, Listed, SaleError, SaleKeeper, Seller, Wanted},
    sandbox::{Program, Sandbox, task_limits},
    vault::{Vault, VaultError},
};
use crate::{
    api::{WorkHold, WorkView},
    client::{ClientError, Market},
};
use market::{
    command::{AbandonReason, Command},
    funding::SaleOffer,
    id::{AttemptId, Digest, LeaseId},
    job::JobSpec,
    key::SecretKey,
    units::TimeMs,
};
use pay::LightningNode;
use runner::Profile;
use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// How long the market may wait with the answer to a poll of an idle machine, in milliseconds…
const IDLE_POLL_WAIT_MS: u64 = 25_000;
/// …and of one that has work: a view that corrects the agent must not come too late for a reveal.
const BUSY_POLL_WAIT_MS: u64 = 3_000;
/// How long a statement is sent again while the market does not answer: as long as a market may take to restart.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often it is looked at whether the machine may take work.
const OPEN_EVERY: Duration = Duration::from_secs(5);
/// How many reports are taken in at once.
const REPORTS_MAX: usize = 4_096;

/// Everything that a provider on one machine needs.
pub struct Driver {
    /// The market.
    pub market: Market,
    /// The machine's key.
    pub secret: SecretKey,
    /// Who it is there.
    pub identity: Identity,
    /// What it takes, and at which price; may change while it works.
    pub policy: watch::Receiver<Policy>,
    /// Where it keeps what it must not forget; one process at a time.
    pub state_dir: PathBuf,
    /// How large its cache of modules and inputs may get, in bytes.
    pub cache_bytes: u64,
    /// How long running tasks and open reveals may take when it is told to stop.
    pub grace: Duration,
    /// Where tasks run.
    pub sandbox: Arc<dyn Sandbox>,
    /// The owner's Lightning node: without one no offer takes holds, or sells results for their keys.
    pub lightning: Option<Arc<dyn LightningNode>>,
    /// Whether the machine may take work now; asked every few seconds.
    pub is_open: Box<dyn FnMut(Tally) -> bool + Send>,
    /// A fault on purpose; play money only.
    pub fault: Option<Fault>,
    /// Where others can see how it goes.
    pub tally: watch::Sender<Tally>,
}

/// Why a provider ended, other than because it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ProvideError {
    /// Another process.
    #[error("another provider runs with the state folder `{}`: stop it, or give this one a folder of its own", .0.display())]
    Locked(PathBuf),
    /// The state folder.
    #[error("cannot use the state folder `{}`: {source}; check its permissions and free space", path.display())]
    State {
        /// Where.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// What must not be forgotten cannot be written down, so nothing more may be promised.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Nor can the invoices of holds.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// Nor can the keys of results that are sold.
    #[error(transparent)]
    Sale(#[from] SaleError),
    /// The market cannot be used any more.
    #[error(transparent)]
    Market(#[from] ClientError),
    /// A fault with real money.
    #[error("faults are for markets with play money; this one holds real money")]
    FaultWithRealMoney,
    /// [`Fault::DieAfter`].
    #[error("the provider died, as its fault says")]
    Died,
}

/// What comes back to the loop.
enum Event {
    Polled(Result<Box<WorkView>, ClientError>),
    Answered(RequestId, Result<Answer, ClientError>),
    Uploaded(Digest, Result<(), ClientError>),
    Encrypted(AttemptId, Result<SaleOffer, SaleError>),
    Fetched(LeaseId, u64, Result<Fetched, BlobError>),
}

/// A lease's program and files.
struct Fetched {
    spec: Arc<JobSpec>,
    program: Program,
    blobs: BTreeMap<Digest, Arc<[u8]>>,
}

struct LeaseThread {
    generation: u64,
    queue: Arc<Queue>,
}

struct Loop {
    market: Market,
    secret: SecretKey,
    agent: Agent,
    clock: Clock,
    sandbox: Arc<dyn Sandbox>,
    cache: Arc<BlobCache>,
    vault: Arc<Mutex<Vault>>,
    threads: BTreeMap<LeaseId, LeaseThread>,
    generation: u64,
    events: mpsc::UnboundedSender<Event>,
    reports: mpsc::UnboundedSender<Report>,
    /// Requests on their way; they end with the loop.
    tasks: JoinSet<()>,
    /// Whether the last poll failed: said once, not every time.
    is_away: bool,
    /// Payments for this machine's leases, as last told, for the [`HoldKeeper`].
    holds: watch::Sender<(TimeMs, Vec<WorkHold>)>,
    /// Results of this machine, as last told, for the [`SaleKeeper`].
    listed: watch::Sender<Listed>,
    /// None without a Lightning node.
    seller: Option<Seller>,
}

impl Driver {
    /// Works until `stop` is cancelled and what was begun is finished, or `grace` is over.
    pub async fn run(self, stop: CancellationToken) -> Result<Tally, ProvideError> {
        let info = self.market.info().await?;
        if self.fault.is_some() && !info.is_play_money {
            return Err(ProvideError::FaultWithRealMoney);
        }
        let _lock = lock(&self.state_dir)?;
        let state = |source| ProvideError::State { path: self.state_dir.clone(), source };
        let (vault, kept) = Vault::open(&self.state_dir)?;
        let cache = BlobCache::open(self.state_dir.join("blobs"), self.cache_bytes).map_err(state)?;
        let death = CancellationToken::new();
        let sandbox = match self.fault {
            Some(fault) => Arc::new(Faulty::new(self.sandbox, fault, death.clone())),
            None => self.sandbox,
        };
        let (events, inbox) = mpsc::unbounded_channel();
        let (reports, report_inbox) = mpsc::unbounded_channel();
        let secrets = Secrets::of_machine(&self.secret);
        let (holds, held) = watch::channel((TimeMs(0), Vec::new()));
        let (listed, seen) = watch::channel(Listed::default());
        let mut tasks = JoinSet::new();
        let mut seller = None;
        if let Some(node) = self.lightning {
            let invoices = HoldInvoices::open(&self.state_dir)?;
            let (market, secret) = (self.market.with_patience(PATIENCE), self.secret.clone());
            let (keys, made) = (Arc::new(Mutex::new(Keys::open(&self.state_dir)?)), Arc::default());
            let forges = self.fault == Some(Fault::WrongKeys);
            let sells = Seller { market, secret, node, keys, made, forges };
            let (market, secret, node) = (sells.market.clone(), sells.secret.clone(), sells.node.clone());
            tasks.spawn(HoldKeeper { market, secret, node, invoices, holds: held }.run());
            let (node, keys, made) = (sells.node.clone(), sells.keys.clone(), sells.made.clone());
            tasks.spawn(SaleKeeper { node, keys, made, listed: seen }.run());
            seller = Some(sells);
        }
        let mut policies = self.policy;
        let policy = policies.borrow_and_update().clone();
        let mut main = Loop {
            market: self.market.with_patience(PATIENCE),
            secret: self.secret,
            agent: Agent::new(self.identity, secrets, policy, kept),
            clock: Clock::start(),
            sandbox,
            cache: Arc::new(cache),
            vault: Arc::new(Mutex::new(vault)),
            threads: BTreeMap::new(),
            generation: 0,
            events,
            reports,
            tasks,
            is_away: false,
            holds,
            listed,
            seller,
        };
        let inboxes = Inboxes { events: inbox, reports: report_inbox, policies };
        let result = main.work(inboxes, self.is_open, self.grace, &self.tally, stop, death).await;
        for thread in main.threads.values() {
            thread.queue.stop();
        }
        result
    }
}

struct Inboxes {
    events: mpsc::UnboundedReceiver<Event>,
    reports: mpsc::UnboundedReceiver<Report>,
    policies: watch::Receiver<Policy>,
}

impl Loop {
    async fn work(
        &mut self,
        mut inboxes: Inboxes,
        mut is_open: Box<dyn FnMut(Tally) -> bool + Send>,
        grace: Duration,
        tally: &watch::Sender<Tally>,
        stop: CancellationToken,
        death: CancellationToken,
    ) -> Result<Tally, ProvideError> {
        let mut open_tick = tokio::time::interval(OPEN_EVERY);
        let mut reports = Vec::new();
        let mut end = None;
        loop {
            let wake = self.agent.next_wake().map(|at| self.clock.instant(at));
            let event = tokio::select! {
                biased;
                () = death.cancelled() => return Err(ProvideError::Died),
                () = stop.cancelled(), if end.is_none() => {
                    end = Some(tokio::time::Instant::now() + grace);
                    self.tell(Input::Drain)?;
                    None
                }
                () = until(end) => break,
                Some(event) = inboxes.events.recv() => Some(event),
                _ = inboxes.reports.recv_many(&mut reports, REPORTS_MAX) => None,
                Ok(()) = inboxes.policies.changed() => {
                    let policy = inboxes.policies.borrow_and_update().clone();
                    self.tell(Input::Policy(Box::new(policy)))?;
                    None
                }
                _ = open_tick.tick() => {
                    let is_open = is_open(self.agent.tally());
                    self.tell(Input::Open(is_open))?;
                    None
                }
                () = until(wake.map(tokio::time::Instant::from_std)) => {
                    self.tell(Input::Time)?;
                    None
                }
            };
            if let Some(event) = event {
                self.take(event)?;
            }
            self.take_reports(&mut reports)?;
            while self.tasks.try_join_next().is_some() {}
            tally.send_replace(self.agent.tally());
            // What is held for others is claimed or given back, and what is sold is paid, before the process ends.
            let is_unpaid = !self.listed.borrow().payable.is_empty();
            if self.agent.is_drained() && !is_unpaid && self.holds.borrow().1.is_empty() {
                break;
            }
        }
        Ok(self.agent.tally())
    }

    fn take(&mut self, event: Event) -> Result<(), ProvideError> {
        match event {
            Event::Polled(Ok(view)) => {
                if std::mem::take(&mut self.is_away) {
                    tracing::info!("the market answers again");
                }
                self.holds.send_replace((view.now_ms, view.holds.clone()));
                self.listed.send_replace(Listed::of(&view));
                self.tell(Input::Work(view))
            }
            Event::Polled(Err(error)) => {
                let error = bearable(error)?;
                if !std::mem::replace(&mut self.is_away, true) {
                    tracing::warn!(%error, "the market does not tell this machine's work; asking again");
                }
                self.tell(Input::PollFailed)
            }
            Event::Answered(request, answer) => {
                let answer = match answer {
                    Ok(answer) => answer,
                    Err(error) => {
                        let error = bearable(error)?;
                        tracing::warn!(%error, "a statement was not answered");
                        Answer::Unknown
                    }
                };
                self.tell(Input::Answered { request, answer })
            }
            Event::Uploaded(output, stored) => {
                let is_stored = match stored {
                    Ok(()) => true,
                    Err(error) => {
                        let error = bearable(error)?;
                        tracing::warn!(%error, %output, "an output was not uploaded; trying again");
                        false
                    }
                };
                self.tell(Input::Uploaded { output, is_stored })
            }
            Event::Encrypted(attempt, encrypted) => {
                let error = match encrypted {
                    Ok(offer) => return self.tell(Input::Encrypted { attempt, offer: Some(offer) }),
                    Err(SaleError::Market(error)) => bearable(error)?.into(),
                    Err(error) => error,
                };
                tracing::warn!(%error, %attempt, "a result was not encrypted; trying again");
                self.tell(Input::Encrypted { attempt, offer: None })
            }
            Event::Fetched(lease, generation, fetched) => self.fetched(lease, generation, fetched),
        }
    }

    /// Takes in what the lease threads report; runs that ended together are told together.
    fn take_reports(&mut self, reports: &mut Vec<Report>) -> Result<(), ProvideError> {
        let mut runs = Vec::new();
        for Report { lease, generation, news } in reports.drain(..) {
            if self.threads.get(&lease).is_none_or(|thread| thread.generation != generation) {
                continue;
            }
            match news {
                News::Ran(attempt, end) => runs.push((attempt, end)),
                News::Ready => self.tell(Input::WorkerReady { lease })?,
                News::Failed { failure, why } => {
                    tracing::warn!(%lease, %why, "a worker failed");
                    self.tell_runs(&mut runs)?;
                    self.threads.remove(&lease);
                    self.tell(Input::WorkerFailed { lease, failure })?;
                }
            }
        }
        self.tell_runs(&mut runs)
    }

    fn tell_runs(&mut self, runs: &mut Vec<(AttemptId, RunEnd)>) -> Result<(), ProvideError> {
        if runs.is_empty() {
            return Ok(());
        }
        self.tell(Input::Ran { runs: std::mem::take(runs) })
    }

    /// Tells the agent and does what it says.
    fn tell(&mut self, input: Input) -> Result<(), ProvideError> {
        let actions = self.agent.handle(self.clock.now(), input);
        actions.into_iter().try_for_each(|action| self.carry_out(action))
    }

    fn carry_out(&mut self, action: Action) -> Result<(), ProvideError> {
        match action {
            Action::Poll { revision } => self.poll(revision),
            Action::Submit { request, command } => self.submit(request, *command),
            Action::Upload { output } => self.upload(output),
            Action::Encrypt { attempt, output, invoice_msat } => {
                self.encrypt(Wanted { attempt, output, invoice_msat });
            }
            Action::StartWorker { lease, spec, .. } => self.fetch(lease, *spec),
            Action::StopWorker { lease } => {
                if let Some(thread) = self.threads.remove(&lease) {
                    thread.queue.stop();
                }
            }
            Action::Run { lease, attempt, task, until } => {
                if let Some(thread) = self.threads.get(&lease) {
                    thread.queue.push(Run { attempt, task, until });
                }
            }
            Action::Stop { lease, attempt } => {
                if let Some(thread) = self.threads.get(&lease) {
                    thread.queue.cancel(attempt);
                }
            }
            Action::Flush { lease } => {
                if let Some(thread) = self.threads.get(&lease) {
                    for attempt in thread.queue.flush() {
                        let news = News::Ran(attempt, RunEnd::NotBegun);
                        let _ = self.reports.send(Report { lease, generation: thread.generation, news });
                    }
                }
            }
            Action::Keep(items) => self.with_vault(|vault| vault.keep(items))?,
            Action::Forget(keys) => self.with_vault(|vault| vault.forget(keys))?,
        }
        Ok(())
    }

    fn with_vault<T>(&self, use_it: impl FnOnce(&mut Vault) -> T) -> T {
        use_it(&mut self.vault.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn poll(&mut self, revision: Option<u64>) {
        let (market, secret, events) = (self.market.clone(), self.secret.clone(), self.events.clone());
        let machine = self.agent.identity().machine;
        let is_idle = self.agent.tally().leases == 0;
        let longest_ms = if is_idle { IDLE_POLL_WAIT_MS } else { BUSY_POLL_WAIT_MS };
        let wait_ms = revision.map_or(0, |_| longest_ms);
        self.tasks.spawn(async move {
            let view = market.work(&secret, machine, revision, wait_ms).await;
            let _ = events.send(Event::Polled(view.map(Box::new)));
        });
    }

    fn submit(&mut self, request: RequestId, command: Command) {
        let (market, secret, events) = (self.market.clone(), self.secret.clone(), self.events.clone());
        self.tasks.spawn(async move {
            let answer = match market.submit(&secret, command).await {
                Ok(accepted) => Ok(Answer::Accepted(accepted.reply)),
                Err(ClientError::Refused { status, error, .. }) if status < 500 && status != 429 => {
                    tracing::debug!(code = %error.code, %error, "the market refused a statement");
                    Ok(Answer::Refused { code: error.code })
                }
                Err(error) => Err(error),
            };
            let _ = events.send(Event::Answered(request, answer));
        });
    }

    fn upload(&mut self, output: Digest) {
        let (market, secret, events) = (self.market.clone(), self.secret.clone(), self.events.clone());
        let vault = self.vault.clone();
        self.tasks.spawn(async move {
            let read = tokio::task::spawn_blocking(move || {
                vault.lock().unwrap_or_else(PoisonError::into_inner).output(output)
            });
            let stored = match read.await.ok().flatten() {
                Some(bytes) => market.put_blob(&secret, bytes).await.map(|_| ()),
                None => Err(ClientError::BlobMismatch(output)),
            };
            let _ = events.send(Event::Uploaded(output, stored));
        });
    }

    fn encrypt(&mut self, wanted: Wanted) {
        let (seller, vault, events) = (self.seller.clone(), self.vault.clone(), self.events.clone());
        self.tasks.spawn(async move {
            let encrypted = sales::encrypt(seller, vault, wanted).await;
            let _ = events.send(Event::Encrypted(wanted.attempt, encrypted));
        });
    }

    /// Fetches what a lease needs; its thread starts when everything is here.
    fn fetch(&mut self, lease: LeaseId, spec: JobSpec) {
        self.generation += 1;
        let generation = self.generation;
        let queue = Arc::new(Queue::default());
        self.threads.insert(lease, LeaseThread { generation, queue });
        let (market, secret, events) = (self.market.clone(), self.secret.clone(), self.events.clone());
        let cache = self.cache.clone();
        self.tasks.spawn(async move {
            let fetched = fetch_all(&cache, &market, &secret, spec).await;
            let _ = events.send(Event::Fetched(lease, generation, fetched));
        });
    }

    fn fetched(
        &mut self,
        lease: LeaseId,
        generation: u64,
        fetched: Result<Fetched, BlobError>,
    ) -> Result<(), ProvideError> {
        let Some(thread) = self.threads.get(&lease).filter(|thread| thread.generation == generation) else {
            return Ok(());
        };
        let error = match fetched {
            Ok(Fetched { spec, program, blobs }) => {
                let setup = Setup {
                    lease,
                    generation,
                    spec,
                    program,
                    blobs,
                    sandbox: self.sandbox.clone(),
                    vault: self.vault.clone(),
                    clock: self.clock,
                    reports: self.reports.clone(),
                };
                let queue = thread.queue.clone();
                // Tasks in this process need a stack of their own.
                let builder = std::thread::Builder::new().name(lease.to_string()).stack_size(8 << 20);
                match builder.spawn(move || lease_worker::serve(&setup, &queue)) {
                    Ok(_) => return Ok(()),
                    Err(error) => (WorkerFailure::Machine, error.to_string()),
                }
            }
            Err(BlobError::Market(error)) => (WorkerFailure::Machine, bearable(error)?.to_string()),
            Err(error @ BlobError::Folder { .. }) => (WorkerFailure::Machine, error.to_string()),
            Err(error @ BlobError::Gone { .. }) => {
                (WorkerFailure::Job(AbandonReason::Input), error.to_string())
            }
        };
        self.threads.remove(&lease);
        let (failure, why) = error;
        tracing::warn!(%lease, %why, "a lease's program or files could not be had");
        self.tell(Input::WorkerFailed { lease, failure })
    }
}

/// A market that showed two histories, or that cannot be understood, is not worked for.
fn bearable(error: ClientError) -> Result<ClientError, ProvideError> {
    match error {
        ClientError::Fork(_) | ClientError::NoProof { .. } | ClientError::UnsignedHead => Err(error.into()),
        ClientError::Refused { .. }
        | ClientError::Unreachable { .. }
        | ClientError::Paying(_)
        | ClientError::Address(_)
        | ClientError::Tls(_)
        | ClientError::Garbled { .. }
        | ClientError::Encode(_)
        | ClientError::BlobMismatch(_)
        | ClientError::File { .. } => Ok(error),
    }
}

async fn fetch_all(
    cache: &BlobCache,
    market: &Market,
    secret: &SecretKey,
    spec: JobSpec,
) -> Result<Fetched, BlobError> {
    let profile = Profile::find(&spec.profile)
        .ok_or_else(|| BlobError::Gone { digest: spec.module, reason: "unknown execution profile".into() })?;
    let wasm = cache.get(market, secret, spec.module).await?;
    let mut blobs = BTreeMap::new();
    for digest in spec.inputs.iter().map(|file| file.blob).chain(spec.stdin) {
        blobs.insert(digest, cache.get(market, secret, digest).await?);
    }
    let input_bytes = blobs.values().map(|bytes| bytes.len() as u64).sum();
    let limits = task_limits(&spec, spec.limits.timeout_ms);
    Ok(Fetched { spec: Arc::new(spec), program: Program { profile, wasm, limits, input_bytes }, blobs })
}

/// Takes the state folder for this process alone.
fn lock(folder: &Path) -> Result<File, ProvideError> {
    let failed = |source| ProvideError::State { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let file = File::create(folder.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ProvideError::Locked(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Waits for a moment; for ever without one.
async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
