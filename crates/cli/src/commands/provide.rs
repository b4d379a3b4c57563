//! `grist provide` and `grist validate`: this computer sells work, or checks the work of others.

mod check;
mod options;

use crate::{
    answer,
    args::Global,
    exit::{Exit, Failure},
    home::Home,
    lightning_node::{NodeArg, OwnNode, lnd::LndArgs},
    output::{Output, Tone},
    session::{Session, machine_label},
    text,
};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use market::{command::Command, name::Name, offer::OfferRole, resources::Isolation, units::Msat};
use node::provider::{
    self, ProcessSandbox, ProvideError, Provider, Sandbox, StartupError,
    agent::Tally,
    config::{AutoPrice, ProvideConfig},
    hardware::Hardware,
    pricing::{self, Pricing},
};
use options::Flags;
use runner::ModuleCache;
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How large the cache of compiled modules may get, in bytes.
const CACHE_BYTES: u64 = 4 << 30;

/// `grist provide` and `grist validate`.
#[derive(Debug, Args)]
pub(crate) struct ProvideArgs {
    #[command(subcommand)]
    command: Option<ProvideCommand>,
    /// A file with these settings and more; flags come before it [default: provide.toml in the configuration folder]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The machine's key file, made by `grist machine add --out`, instead of the one in the configuration folder
    #[arg(long, value_name = "FILE", global = true)]
    machine_key: Option<PathBuf>,
    /// How the machine is called [default: this computer's name]
    #[arg(long, value_name = "NAME", global = true)]
    label: Option<Name>,
    /// Your Lightning node, for jobs that are paid by holds or to decrypt (`hold_slice_min`, `decrypt_deposit_min` in the file): dev, ldk:FOLDER or lnd:ADDRESS
    #[arg(long, value_name = "NODE")]
    lightning: Option<NodeArg>,
    #[command(flatten)]
    lnd: LndArgs,
    /// Show the sum behind the prices, and sell nothing
    #[arg(long)]
    explain_price: bool,
    #[command(flatten)]
    flags: Flags,
}

/// `grist provide …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProvideCommand {
    /// Find out whether this computer can work, and say what to do where it cannot
    Check,
}

/// Everything that is known before the market is asked.
struct Prepared {
    config: ProvideConfig,
    label: Name,
    machine_key: Option<PathBuf>,
    lightning: Option<NodeArg>,
    lnd: LndArgs,
}

/// Sells work until it is asked to end; audits, where the role says so.
pub(crate) async fn run(
    args: ProvideArgs,
    role: Option<OfferRole>,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    let home = Home::of(global)?;
    let file = options::load(args.config.as_deref(), &home.provide_file())?;
    let config = args.flags.over(file, role);
    // The address in the file counts where nothing else names a market.
    let global =
        &Global { market: global.market.clone().or_else(|| config.market.clone()), ..global.clone() };
    let label = match args.label {
        Some(label) => label,
        None => machine_label().parse().map_err(|e| Failure::of(Exit::Usage, e))?,
    };
    let (lightning, lnd) = (args.lightning, args.lnd);
    let prepared = Prepared { config, label, machine_key: args.machine_key, lightning, lnd };
    match args.command {
        Some(ProvideCommand::Check) => check::run(&prepared, &home, global, output).await,
        None if args.explain_price => explain(&prepared, &home, global, output).await,
        None => provide(prepared, &home, global, output).await,
    }
}

/// Shows how the prices come about: with those of the market, where one is named.
async fn explain(prepared: &Prepared, home: &Home, global: &Global, output: &Output) -> Result<(), Failure> {
    let is_named = global.market.is_some() || home.settings()?.market.is_some();
    let (fee_ppm, own, others) = if is_named {
        let session = Session::open(global).await?;
        let own = match crate::keys::read(&session.party_key_file()) {
            Ok(_) => Some(session.party().await?.id),
            Err(crate::keys::KeyError::Missing(_)) => None,
            Err(error) => return Err(error.into()),
        };
        (Some(session.market.info().await?.fee_ppm), own, pricing::read_offers(&session.market).await?)
    } else {
        output.warn("no market is named: its fee and what others ask are left out");
        (None, None, Vec::new())
    };
    let state_dir = home.data("providers").join("check");
    let sandbox = Arc::new(sandbox(&state_dir)?);
    let found = provider::Found { state_dir: &state_dir, certified: None, sandbox };
    let pricing = provider::price(&prepared.config, &home.catalogue()?, fee_ppm, found).await;
    let priced = pricing.map_err(ended)?.at(jiff::Zoned::now().datetime(), own, &others, 0);
    let unknown = "the prices are your own and no costs are named: there is no sum to show";
    match priced.map_err(options::unusable)?.explanation {
        Some(explanation) => answer::print(&explanation, false, output),
        None => Err(Failure::new(Exit::Usage, unknown)
            .advise("say them, for example --watts 65 --tariff 0.16 --paid-for")),
    }
}

async fn provide(prepared: Prepared, home: &Home, global: &Global, output: &Output) -> Result<(), Failure> {
    let Prepared { config, label, machine_key, lightning, lnd } = prepared;
    let hardware = Hardware::find(&home.data("providers"));
    let capacity = config.capacity(&hardware).map_err(options::unusable)?;
    // What is wrong with prices and terms is told before anything is registered.
    let catalogue = home.catalogue()?;
    let pricing =
        Pricing::new(config.clone(), &catalogue, None, hardware, capacity.clone(), Isolation::Wasm, 0);
    let now = jiff::Zoned::now().datetime();
    let priced = pricing.and_then(|pricing| pricing.at(now, None, &[], 0)).map_err(options::unusable)?;
    let terms = priced.policy.offers;
    let session = Session::open(global).await?;
    let this =
        super::machine::this_machine(&session, machine_key.as_ref(), &label, &capacity, output).await?;
    if config.bond.0 > Msat::ZERO {
        lock_bond(&session, config.bond.0).await?;
    }
    session.keep_head()?;
    let state_dir = state_folder(home, &session, &this.machine.to_string());
    let sandbox = Arc::new(sandbox(&state_dir)?);
    let prices: Vec<String> = terms.iter().map(|offer| text::rate(&offer.rate, output)).collect();
    if config.price.is_some() && config.price_per_task.is_none() {
        output.warn("jobs that pay by the task find no offer here: name a --price-per-task as well; tasks that could cost more are declined");
    }
    let at = in_words(&config, &prices);
    output.json_line(&json!({
        "machine": this.machine,
        "party": this.party,
        "address": session.market.address().to_string(),
        "capacity": capacity,
        "rates": terms.iter().map(|offer| offer.rate).collect::<Vec<_>>(),
        "isolation": sandbox.isolation(),
    }))?;
    output.note(&format!(
        "{}\n  sells:     {} at {}\n  isolation: {}\n  stop it:   Ctrl-C",
        output.tone(Tone::Strong, &format!("{} works at {}", this.machine, session.market.address())),
        text::resources(&capacity),
        at,
        text::word(&sandbox.isolation()),
    ));
    let own = match &lightning {
        Some(node) => Some(OwnNode::open(node, &lnd, &session, output).await?),
        None => None,
    };
    let (tally, news) = watch::channel(Tally::default());
    let market = session.market.clone();
    let worked = work(
        Provider {
            market,
            secret: this.secret,
            config,
            catalogue,
            state_dir,
            sandbox,
            lightning: own.as_ref().map(OwnNode::shared),
            fault: None,
            tally,
        },
        news,
        output,
    )
    .await;
    if let Some(own) = own {
        own.close().await?;
    }
    worked
}

/// What is sold at which prices, for people.
fn in_words(config: &ProvideConfig, prices: &[String]) -> String {
    match (config.price, prices.is_empty()) {
        (Some(AutoPrice::Auto), _) => {
            "prices that follow the market; `--explain-price` shows the sum".to_owned()
        }
        (None, true) => "nothing now: your prices would lose money at this tariff".to_owned(),
        (None, false) => prices.join(", "),
    }
}

/// Where a machine keeps what it must not forget.
fn state_folder(home: &Home, session: &Session, machine: &str) -> PathBuf {
    home.data("providers").join(session.market.venue().to_string()).join(machine)
}

/// Works until Ctrl-C; a second one does not wait for running tasks.
async fn work(provider: Provider, news: watch::Receiver<Tally>, output: &Output) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    let display = tokio::spawn(show(news, output.clone()));
    let mut running = std::pin::pin!(provider::provide(provider, stop.clone()));
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
    let mut declined = 0;
    while news.changed().await.is_ok() {
        let tally = *news.borrow_and_update();
        if let (true, Some(why)) = (tally.declined > declined, tally.declined_because) {
            output.warn(&format!("a lease was given back: {why}"));
        }
        declined = tally.declined;
        bar.set_message(told(tally));
        bar.tick();
        // Work goes on when nobody reads.
        let _ = output.json_line(&told_json(tally));
    }
}

fn told(tally: Tally) -> String {
    let Tally { leases, attempts, finished, inconclusive, revealed, declined, declined_because: _ } = tally;
    format!(
        "{leases} leases, {attempts} tasks open, {finished} finished, {revealed} revealed, {inconclusive} without a result, \
         {declined} leases declined"
    )
}

fn told_json(tally: Tally) -> serde_json::Value {
    let Tally { leases, attempts, finished, inconclusive, revealed, declined, declined_because } = tally;
    json!({ "tally": {
        "leases": leases, "attempts": attempts, "finished": finished, "inconclusive": inconclusive, "revealed": revealed,
        "declined": declined, "declined_because": declined_because.map(|why| why.to_string()),
    }})
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

fn ended(error: StartupError) -> Failure {
    match error {
        StartupError::Market(error) | StartupError::Provide(ProvideError::Market(error)) => error.into(),
        StartupError::Config(error) => options::unusable(error),
        StartupError::NotCertified(_) | StartupError::Revoked | StartupError::PartyKey => {
            Failure::of(Exit::Key, error)
        }
        StartupError::Provide(
            ProvideError::Locked(_)
            | ProvideError::State { .. }
            | ProvideError::Vault(_)
            | ProvideError::Hold(_)
            | ProvideError::Sale(_),
        )
        | StartupError::NoLightning => Failure::of(Exit::BadInput, error),
        StartupError::Benchmark(_) => {
            Failure::of(Exit::Unexpected, error).advise("see `grist provide check`")
        }
        StartupError::Provide(ProvideError::FaultWithRealMoney | ProvideError::Died) => {
            Failure::of(Exit::Unexpected, error)
        }
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
