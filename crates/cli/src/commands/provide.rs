//! `grist provide` and `grist validate`: this computer sells work, or checks the work of others.

mod check;
mod computer;
mod options;

use crate::{
    args::Global,
    exit::{Exit, Failure},
    output::{Output, Tone},
    session::Session,
    text,
};
use clap::{Args, Subcommand};
use computer::Computer;
use indicatif::ProgressBar;
use market::{
    command::Command,
    offer::{OfferRole, OfferTerms},
    units::Msat,
};
use node::{
    config_file,
    provider::{Driver, ProcessSandbox, ProvideError, Sandbox, agent::Tally},
};
use options::Options;
use runner::ModuleCache;
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How large the caches of blobs and of compiled modules may get, in bytes.
const CACHE_BYTES: u64 = 4 << 30;
/// How long running tasks may take when the provider is asked to end.
const GRACE: Duration = Duration::from_secs(30);

/// `grist provide` and `grist validate`. Every option can also stand in a file, under the same name with `_` for `-`.
#[derive(Debug, Args)]
pub(crate) struct ProvideArgs {
    #[command(subcommand)]
    command: Option<ProvideCommand>,
    /// A file with these options; what is given here as well wins [default: provide.toml in the configuration folder]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The machine's key file, made by `grist machine add --out`, instead of the one in the configuration folder
    #[arg(long, value_name = "FILE", global = true)]
    machine_key: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// `grist provide …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProvideCommand {
    /// Find out whether this computer can work, and say what to do where it cannot
    Check,
}

/// Everything that is known before the market is asked.
struct Prepared {
    options: Options,
    computer: Computer,
    machine_key: Option<PathBuf>,
}

/// Sells work (or audits) until it is asked to end.
pub(crate) async fn run(
    args: ProvideArgs,
    role: OfferRole,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let options = match args.config.clone().or_else(|| options::default_file(global)) {
        Some(file) => args.options.or(read(&file)?),
        None => args.options,
    };
    let computer = Computer::found();
    let prepared = Prepared { options, computer, machine_key: args.machine_key };
    match args.command {
        Some(ProvideCommand::Check) => check::run(&prepared, role, global, output).await,
        None => provide(prepared, role, global, output).await,
    }
}

async fn provide(
    prepared: Prepared,
    role: OfferRole,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let Prepared { options, computer, machine_key } = prepared;
    // What is wrong with the options is told before anything is registered.
    let label = options.label()?;
    let capacity = options.capacity(&computer);
    options.rates()?;
    let session = Session::open(global).await?;
    let this =
        super::machine::this_machine(&session, machine_key.as_ref(), &label, &capacity, output).await?;
    if let Some(bond) = options.bond {
        lock_bond(&session, bond.0).await?;
    }
    let data = session
        .home
        .data("providers")
        .join(session.market.venue().to_string())
        .join(this.machine.to_string());
    let sandbox = sandbox(&data)?;
    let policy = options.policy(role, &computer, sandbox.isolation())?;
    let offers = policy.offers.clone();
    let (tally, news) = watch::channel(Tally::default());
    let mut gate = options.gate(&computer);
    let driver = Driver {
        market: session.market.clone(),
        secret: this.secret.clone(),
        identity: this.identity(),
        policy,
        state_dir: data.join("state"),
        cache_bytes: CACHE_BYTES,
        grace: GRACE,
        sandbox: Arc::new(sandbox),
        is_open: Box::new(move |tally| gate.is_open(tally)),
        fault: None,
        tally,
    };
    session.keep_head()?;
    output.json_line(&json!({
        "machine": this.machine,
        "party": this.party,
        "address": session.market.address().to_string(),
        "capacity": capacity,
        "offers": offers,
    }))?;
    output.note(&started(&this.machine.to_string(), &session, &offers, &capacity, output));
    work(driver, news, output).await
}

/// Runs the driver until Ctrl-C; a second one does not wait for running tasks.
async fn work(driver: Driver, news: watch::Receiver<Tally>, output: &Output) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    let display = tokio::spawn(show(news, output.clone()));
    let mut running = std::pin::pin!(driver.run(stop.clone()));
    let result = tokio::select! {
        result = &mut running => result,
        () = asked_to_end() => {
            output.note("finishing what was begun; Ctrl-C again to end at once");
            stop.cancel();
            tokio::select! {
                result = &mut running => result,
                () = asked_to_end() => {
                    return Err(Failure::new(Exit::Interrupted, "ended at once; what was running goes to others"));
                }
            }
        }
    };
    display.abort();
    let tally = result.map_err(ended)?;
    output.result(&told_json(tally), || told(tally))
}

/// Shows how it goes: a line on terminals, JSON a line otherwise.
async fn show(mut news: watch::Receiver<Tally>, output: Output) {
    let bar = output.bars().add(ProgressBar::new_spinner());
    while news.changed().await.is_ok() {
        let tally = *news.borrow_and_update();
        bar.set_message(told(tally));
        bar.tick();
        // Work goes on when nobody reads.
        let _ = output.json_line(&told_json(tally));
    }
}

fn told(tally: Tally) -> String {
    let Tally { leases, attempts, finished, inconclusive, revealed } = tally;
    format!(
        "{leases} leases, {attempts} tasks open, {finished} finished, {revealed} revealed, {inconclusive} without a result"
    )
}

fn told_json(tally: Tally) -> serde_json::Value {
    let Tally { leases, attempts, finished, inconclusive, revealed } = tally;
    json!({ "tally": {
        "leases": leases, "attempts": attempts, "finished": finished, "inconclusive": inconclusive, "revealed": revealed,
    }})
}

fn started(
    machine: &str,
    session: &Session,
    offers: &[OfferTerms],
    capacity: &market::resources::Resources,
    output: &Output,
) -> String {
    let prices: Vec<String> = offers.iter().map(|offer| text::rate(&offer.rate)).collect();
    let isolation = offers.first().map(|offer| text::word(&offer.isolation)).unwrap_or_default();
    format!(
        "{}\n  sells:     {} at {}\n  isolation: {isolation}\n  stop it:   Ctrl-C",
        output.tone(Tone::Strong, &format!("{machine} works at {}", session.market.address())),
        text::resources(capacity),
        prices.join(", "),
    )
}

/// Brings the bond up to what the options say.
async fn lock_bond(session: &Session, bond: Msat) -> Result<(), Failure> {
    let party = session.party().await?;
    let account = session.market.account(&party.secret).await?;
    let missing = bond.saturating_sub(account.bond_msat);
    if missing == Msat::ZERO {
        return Ok(());
    }
    if account.available_msat < missing {
        let why = format!(
            "a bond of {bond} needs {missing} more, and there are {}: run `grist wallet topup`, or lower --bond",
            account.available_msat
        );
        return Err(Failure::new(Exit::Money, why));
    }
    session.submit(&party.secret, Command::LockBond { amount_msat: missing }).await.map(drop)
}

/// Where tasks run: in this program, started again for each lease.
fn sandbox(data: &Path) -> Result<ProcessSandbox, Failure> {
    let program = std::env::current_exe().map_err(|e| Failure::of(Exit::Unexpected, e))?;
    let cache = ModuleCache::open(&data.join("modules"), CACHE_BYTES);
    let cache = cache.map_err(|e| Failure::of(Exit::BadInput, e))?;
    Ok(ProcessSandbox::new(program, vec!["worker".into()], cache))
}

fn read(file: &Path) -> Result<Options, Failure> {
    let text =
        std::fs::read_to_string(file).map_err(|e| Failure::of(Exit::BadInput, e).during(file.display()))?;
    config_file::parse(&text).map_err(|e| Failure::of(Exit::BadInput, e).during(file.display()))
}

fn ended(error: ProvideError) -> Failure {
    match error {
        ProvideError::Market(error) => error.into(),
        ProvideError::Locked(_) | ProvideError::State { .. } | ProvideError::Shelf(_) => {
            Failure::of(Exit::BadInput, error)
        }
        ProvideError::FaultWithRealMoney | ProvideError::Died => Failure::of(Exit::Unexpected, error),
    }
}

/// Ctrl-C, or a service manager's SIGTERM.
async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return,
                _ = terminate.recv() => return,
            }
        }
    }
    // Without a signal handler the system ends the process by itself.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
