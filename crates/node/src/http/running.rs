//! Starting a market and stopping it.

use super::{
    archive::{self, LogFile, Refill},
    blob_store::BlobStore,
    chores,
    config::MarketConfig,
    judging,
    limits::Guards,
    metrics::Metrics,
    payments::{self, Purse, PurseError},
    pokes::Pokes,
    router,
    shared::{App, Shared},
    tls::{self, TlsError, Transport},
    tolls::{self, TollsError},
    venue_key::{self, KeyError},
    writer::{self, Outlets},
};
use crate::{
    api::Accepted,
    journal::{FileJournal, Folder, JournalError, OpenError, Options, snapshot},
    venue::{RecoverError, Refusal, Settings, Venue},
};
use axum::Router;
use axum_server::{Handle, tls_rustls::RustlsConfig};
use market::{
    command::Command,
    id::PartyId,
    key::{PublicKey, SecretKey},
    rejection::{Conflict, Rejection},
    rules::Rules,
    units::Msat,
};
use pay::l402::server::Gate;
use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, PoisonError, atomic::AtomicBool},
    time::Duration,
};
use tokio::{
    sync::{Notify, oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// How long requests may still take when the market stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a client may take for the head of its request, and for the TLS handshake.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a market did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder.
    #[error("the data folder {}: {source}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The venue's key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The journal does not replay.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The Lightning node.
    #[error(transparent)]
    Purse(#[from] PurseError),
    /// What tokens are signed and counted with.
    #[error(transparent)]
    Tolls(#[from] TollsError),
    /// The blobs.
    #[error("the blobs cannot be opened: {0}")]
    Blobs(String),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// Where.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The rules could not be activated.
    #[error("the rules could not be activated: {0}")]
    Rules(String),
}

/// Why a market ended other than as it should.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The disk failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The writer made a mistake and ended, so that nothing wrong is written.
    #[error("the writer ended unexpectedly: see the log; nothing that was acknowledged is lost")]
    Writer,
    /// The server failed.
    #[error("the server failed: {0}")]
    Server(#[from] io::Error),
    /// Play money could not be written down.
    #[error(transparent)]
    Purse(#[from] PurseError),
}

/// A market that runs in this process, until [`RunningMarket::shutdown`] or until it is dropped.
pub struct RunningMarket {
    listen: SocketAddr,
    address: String,
    venue: PublicKey,
    app: App,
    handle: Handle<SocketAddr>,
    server: JoinHandle<io::Result<()>>,
    tasks: Vec<JoinHandle<()>>,
    writer: oneshot::Receiver<Result<(), StopError>>,
}

impl std::fmt::Debug for RunningMarket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunningMarket({})", self.address)
    }
}

/// Starts a market: opens or makes what is in the data folder, replays the journal, listens.
pub async fn serve(config: MarketConfig) -> Result<RunningMarket, ServeError> {
    let in_folder = |source| ServeError::Folder { folder: config.data_dir.clone(), source };
    for folder in ["journal", "snapshots", "blobs", "receipts", "payments"] {
        std::fs::create_dir_all(config.data_dir.join(folder)).map_err(in_folder)?;
    }
    let secret = venue_key::venue_key(&config.data_dir.join("venue.key"))?;
    let transport = tls::transport(&config.tls, config.listen, &secret)?;
    let (venue, log) = open_venue(&config, &secret)?;
    let payments_dir = config.data_dir.join("payments");
    let purse = Arc::new(Purse::open(&config.payments, &payments_dir).await?);
    let gate = tolls::open(&secret.public(), purse.clone(), &payments_dir)?;
    let blobs = BlobStore::open(&config.data_dir.join("blobs"), config.limits.blobs, writer::now())
        .await
        .map_err(|error| ServeError::Blobs(error.to_string()))?;
    let listen_error = |source| ServeError::Listen { listen: config.listen, source };
    let listener = TcpListener::bind(config.listen).map_err(listen_error)?;
    listener.set_nonblocking(true).map_err(listen_error)?;
    let listen = listener.local_addr().map_err(listen_error)?;

    let (app, ended) = assemble(&config, venue, log, (purse, gate), blobs).map_err(in_folder)?;
    activate_rules(&app, &config).await?;
    let tasks = vec![
        tokio::spawn(payments::look_after(app.clone(), app.payments_wake.clone())),
        tokio::spawn(judging::look_after(app.clone())),
        tokio::spawn(chores::look_after(app.clone(), config.data_dir.clone(), config.snapshot_every)),
    ];
    let address = address(&transport, &config, listen, &secret.public());
    let handle = Handle::new();
    let server = spawn_server(listener, transport, router::router(app.clone()), handle.clone());
    tracing::info!(%address, "the market is open");
    Ok(RunningMarket { listen, address, venue: secret.public(), app, handle, server, tasks, writer: ended })
}

fn open_venue(
    config: &MarketConfig,
    secret: &SecretKey,
) -> Result<(Venue<FileJournal>, LogFile), ServeError> {
    let (journal, cut) =
        FileJournal::open(&config.data_dir.join("journal"), secret.public(), Options::default())?;
    if let Some(cut) = cut {
        tracing::warn!("{cut}");
    }
    let snapshots = config.data_dir.join("snapshots");
    let in_snapshots = |source| ServeError::Folder { folder: snapshots.clone(), source };
    let found = snapshot::latest(&Folder::create(&snapshots).map_err(in_snapshots)?).map_err(in_snapshots)?;
    for ignored in &found.ignored {
        tracing::warn!("{ignored}");
    }
    let settings = Settings {
        lost_after_ms: config.lost_after_ms,
        recent_events: config.limits.recent_events,
        withholds_links: config.withholds_links,
    };
    let path = config.data_dir.join("public-log.jsonl");
    let in_log = |source| ServeError::Folder { folder: path.clone(), source };
    let mut log = LogFile::open(&path).map_err(in_log)?;
    let mut failure = None;
    let receipts = config.data_dir.join("receipts");
    let refill = Refill { log: &mut log, receipts: &receipts, failure: &mut failure };
    let (venue, report) =
        Venue::open(journal, secret.clone(), settings, found.newest, writer::now(), refill)?;
    failure.map_or(Ok(()), Err).and_then(|()| log.flush()).map_err(in_log)?;
    let published = venue.read().log().size();
    if log.entries() > published {
        tracing::error!(
            archived = log.entries(),
            published,
            "the archive of the public log is longer than the journal accounts for: acknowledged entries were lost"
        );
        log.cut(published).map_err(in_log)?;
    }
    if let Some(why) = &report.ignored {
        tracing::warn!(why, "the newest snapshot was not used");
    }
    tracing::info!(snapshot = ?report.snapshot, replayed = report.replayed, "the journal is replayed");
    Ok((venue, log))
}

/// Starts the writer and puts together what the handlers share.
fn assemble(
    config: &MarketConfig,
    venue: Venue<FileJournal>,
    log: LogFile,
    (purse, gate): (Arc<Purse>, Arc<Gate>),
    blobs: BlobStore,
) -> io::Result<(App, oneshot::Receiver<Result<(), StopError>>)> {
    let (floor, key) = (venue.floor(), venue.key());
    let (durable, durable_seen) = watch::channel(venue.read().durable());
    let (pokes, metrics, payments_wake) =
        (Arc::new(Pokes::default()), Arc::new(Metrics::new()), Arc::new(Notify::new()));
    let reader = log.reader();
    let (archive, archived, archive_thread) = archive::start(log, config.data_dir.join("receipts"))?;
    let outlets = Outlets {
        durable,
        pokes: pokes.clone(),
        payments: payments_wake.clone(),
        archive,
        metrics: metrics.clone(),
    };
    let (writer, thread) = writer::start(venue, outlets)?;
    let stopping = CancellationToken::new();
    let (tell_end, ended) = oneshot::channel();
    let on_end = stopping.clone();
    std::thread::Builder::new().name("writer's end".into()).spawn(move || {
        let result =
            thread.join().map_err(|_| StopError::Writer).and_then(|result| result.map_err(StopError::from));
        // Ends with what the writer sent last.
        let result = archive_thread.join().map_err(|_| StopError::Writer).and(result);
        // Whether it was asked to or not: nothing can be served without it.
        on_end.cancel();
        let _ = tell_end.send(result);
    })?;
    let app = Arc::new(Shared {
        venue: key,
        name: config.name.clone(),
        limits: config.limits.clone(),
        lost_after_ms: config.lost_after_ms,
        max_balance: config.max_balance.unwrap_or(Msat::MAX),
        floor,
        writer,
        durable: durable_seen,
        archived,
        pokes,
        blobs,
        purse,
        gate,
        prices: config.prices,
        payments_wake,
        metrics,
        guards: Guards::new(&config.limits),
        receipts: config.data_dir.join("receipts"),
        log: reader,
        is_insolvent: AtomicBool::new(false),
        stopping,
    });
    Ok((app, ended))
}

async fn activate_rules(app: &App, config: &MarketConfig) -> Result<(), ServeError> {
    let is_new = app.floor.read().unwrap_or_else(PoisonError::into_inner).position() == 0;
    let recommended = is_new.then_some(Rules::RECOMMENDED.version);
    let Some(version) = config.rules_version.or(recommended) else { return Ok(()) };
    match app.writer.submit_own(Command::ActivateRules { version }).await {
        Ok(Ok(_) | Err(Refusal::Rejected(Rejection::Conflict { is: Conflict::Settled, .. }))) => Ok(()),
        Ok(Err(refusal)) => Err(ServeError::Rules(refusal.to_string())),
        Err(_) => Err(ServeError::Rules("the writer has stopped".into())),
    }
}

fn address(transport: &Transport, config: &MarketConfig, listen: SocketAddr, venue: &PublicKey) -> String {
    let authority = match &config.public_host {
        Some(host) => format!("{host}:{}", listen.port()),
        None => listen.to_string(),
    };
    match transport {
        Transport::Plain => format!("http://{authority}"),
        Transport::Pinned(_) => format!("grist://{venue}@{authority}"),
        Transport::Certified(_) => format!("https://{authority}"),
    }
}

fn spawn_server(
    listener: TcpListener,
    transport: Transport,
    router: Router,
    handle: Handle<SocketAddr>,
) -> JoinHandle<io::Result<()>> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    macro_rules! serve_with {
        ($server:expr) => {
            tokio::spawn(async move {
                let mut server = $server?.handle(handle);
                // A client that sends its request byte by byte is cut off.
                let timer = hyper_util::rt::TokioTimer::new();
                server.http_builder().http1().timer(timer).header_read_timeout(HEAD_TIMEOUT);
                server.serve(service).await
            })
        };
    }
    match transport {
        Transport::Plain => serve_with!(axum_server::from_tcp(listener)),
        Transport::Pinned(config) | Transport::Certified(config) => {
            serve_with!(axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(config)))
        }
    }
}

impl RunningMarket {
    /// Where it listens.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The address that clients use.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The venue's key.
    pub fn venue(&self) -> PublicKey {
        self.venue
    }

    /// Has the operator say something under the venue's key: declare parties its own, give a verdict, activate rules.
    pub async fn submit_as_venue(&self, command: Command) -> Result<Accepted, Refusal> {
        // A writer that is gone takes nothing, as on a full disk.
        self.app.writer.submit_own(command).await.unwrap_or(Err(Refusal::DiskFull))
    }

    /// Has the operator declare a party its own, unless that is declared already.
    pub async fn declare_own(&self, party: PartyId) -> Result<(), Refusal> {
        let is_declared = {
            let floor = self.app.floor.read().unwrap_or_else(PoisonError::into_inner);
            floor.state().parties.get(party).is_some_and(|row| row.is_operators)
        };
        match is_declared {
            true => Ok(()),
            false => self.submit_as_venue(Command::DeclareOwn { party }).await.map(|_| ()),
        }
    }

    /// Says what claiming a payment on the chain costs these days, unless that was said already: slices of holds are at least
    /// ten times that.
    pub async fn set_claim_cost(&self, amount_msat: Msat) -> Result<(), Refusal> {
        let known = {
            let floor = self.app.floor.read().unwrap_or_else(PoisonError::into_inner);
            floor.state().claim_cost_msat
        };
        match known == amount_msat {
            true => Ok(()),
            false => self.submit_as_venue(Command::SetClaimCost { amount_msat }).await.map(|_| ()),
        }
    }

    /// Runs until the process is asked to end (SIGINT or SIGTERM) or the writer has to, then stops.
    pub async fn run_until_signal(mut self) -> Result<(), StopError> {
        tokio::select! {
            () = asked_to_end() => {
                tracing::info!("asked to end");
                self.shutdown().await
            }
            ended = &mut self.writer => {
                self.stop_serving().await?;
                ended.unwrap_or(Err(StopError::Writer))
            }
        }
    }

    /// Stops: takes no more requests, answers those that are here, writes everything down.
    pub async fn shutdown(mut self) -> Result<(), StopError> {
        self.stop_serving().await?;
        tracing::info!("writing down what has arrived");
        self.app.writer.stop();
        (&mut self.writer).await.unwrap_or(Err(StopError::Writer))?;
        self.app.purse.save()?;
        tracing::info!("the market is closed");
        Ok(())
    }

    async fn stop_serving(&mut self) -> Result<(), StopError> {
        tracing::info!(
            connections = self.handle.connection_count(),
            "finishing the requests that are being served"
        );
        self.app.stopping.cancel();
        self.handle.graceful_shutdown(Some(DRAIN));
        (&mut self.server).await.map_err(|error| StopError::Server(io::Error::other(error)))??;
        for task in self.tasks.drain(..) {
            task.await.map_err(|error| StopError::Server(io::Error::other(error)))?;
        }
        Ok(())
    }
}

/// A market that is dropped stops as after a crash: what it acknowledged is durable, and nothing of it goes on.
impl Drop for RunningMarket {
    fn drop(&mut self) {
        self.app.stopping.cancel();
        self.app.writer.stop();
        self.handle.shutdown();
        self.server.abort();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Returns when the process is asked to end: by Ctrl-C or SIGTERM.
#[cfg(unix)]
pub async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be waited for; Ctrl-C works");
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

/// Returns when the process is asked to end, by Ctrl-C.
#[cfg(not(unix))]
pub async fn asked_to_end() {
    let _ = tokio::signal::ctrl_c().await;
}
