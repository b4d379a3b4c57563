//! From a configuration to a machine that works.

use super::{
    Driver, Fault, ProvideError, Sandbox,
    agent::{Identity, Tally},
    config::{ConfigError, ProvideConfig},
    hardware::{self, BenchmarkError, Hardware},
    pricing::{self, Pricing},
    schedule,
};
use crate::{
    api::KeyView,
    client::{ClientError, Market},
};
use econ::catalogue::Catalogue;
use market::{
    key::{PublicKey, SecretKey},
    offer::OfferRole,
    resources::Resources,
};
use pay::LightningNode;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use sysinfo::System;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A machine that is to work.
pub struct Provider {
    /// The market.
    pub market: Market,
    /// The machine's key.
    pub secret: SecretKey,
    /// What its owner chose.
    pub config: ProvideConfig,
    /// What is known about prices and tariffs.
    pub catalogue: Catalogue,
    /// Where it keeps what it must not forget.
    pub state_dir: PathBuf,
    /// Where tasks run.
    pub sandbox: Arc<dyn Sandbox>,
    /// The owner's Lightning node, for jobs that are paid by holds or to decrypt.
    pub lightning: Option<Arc<dyn LightningNode>>,
    /// A fault on purpose; play money only.
    pub fault: Option<Fault>,
    /// Where others can see how it goes.
    pub tally: watch::Sender<Tally>,
}

/// Why a machine does not work.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// Nobody has certified it.
    #[error(
        "this machine is not known at the market: its owner adds it with `grist machine add` (its key is {0})"
    )]
    NotCertified(PublicKey),
    /// It was certified once.
    #[error("this machine's key was revoked: make a new one with `grist machine add`")]
    Revoked,
    /// The key is not a machine's.
    #[error(
        "this key is a party's, not a machine's: give the machine a key of its own with `grist machine add`"
    )]
    PartyKey,
    /// The market.
    #[error(transparent)]
    Market(#[from] ClientError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The speed.
    #[error("the machine's speed could not be measured: {0}")]
    Benchmark(#[from] BenchmarkError),
    /// Holds, or sales of results, without a node.
    #[error(
        "`hold_slice_min` and `decrypt_deposit_min` offer to take payments from buyers, which needs a Lightning node of your own: name one with --lightning, or leave them out"
    )]
    NoLightning,
    /// It worked, and ended.
    #[error(transparent)]
    Provide(#[from] ProvideError),
}

/// Sells the machine's work until `stop` is cancelled.
pub async fn provide(provider: Provider, stop: CancellationToken) -> Result<Tally, StartupError> {
    let Provider { market, secret, config, catalogue, state_dir, sandbox, lightning, fault, tally } =
        provider;
    let is_paid_directly = config.hold_slice_min.is_some() || config.decrypt_deposit_min.is_some();
    if is_paid_directly && lightning.is_none() {
        return Err(StartupError::NoLightning);
    }
    let identity = identify(&market, &secret).await?;
    let certified = certified_capacity(&market, identity).await?;
    let fee_ppm = Some(market.info().await?.fee_ppm);
    let found = Found { state_dir: &state_dir, certified: certified.as_ref(), sandbox: sandbox.clone() };
    let pricing = price(&config, &catalogue, fee_ppm, found).await?;
    let first = pricing.at(jiff::Zoned::now().datetime(), Some(identity.party), &[], 0)?.policy;
    let (policies, policy) = watch::channel(first);
    let driver = Driver {
        market: market.clone(),
        secret,
        identity,
        policy,
        state_dir,
        cache_bytes: config.cache.0,
        grace: config.grace.duration(),
        sandbox,
        lightning,
        is_open: Box::new(move |tally| is_open(&config, tally)),
        fault,
        tally: tally.clone(),
    };
    tokio::select! {
        result = driver.run(stop) => Ok(result?),
        never = pricing::follow(pricing, market, identity, tally.subscribe(), policies) => match never {},
    }
}

/// Where to look for what a machine has.
pub struct Found<'a> {
    /// The disk that matters.
    pub state_dir: &'a Path,
    /// What the market believes that it has.
    pub certified: Option<&'a Resources>,
    /// Where its speed is measured.
    pub sandbox: Arc<dyn Sandbox>,
}

/// Finds out what the machine has and how fast it is, and from that what its prices depend on. `fee_ppm` is what the market
/// keeps, if one is known.
pub async fn price(
    config: &ProvideConfig,
    catalogue: &Catalogue,
    fee_ppm: Option<u32>,
    found: Found<'_>,
) -> Result<Pricing, StartupError> {
    let Found { state_dir, certified, sandbox } = found;
    let hardware = Hardware::find(state_dir);
    let wanted = config.capacity(&hardware)?;
    // The certificate is the owner's word to the market; what one lease may reserve is never more.
    let capacity = certified.map_or(wanted.clone(), |certified| smaller(&wanted, certified));
    let isolation = sandbox.isolation();
    // As busy as it will be: cores slow each other down.
    let workers = usize::try_from(capacity.cpu_milli / 1_000).unwrap_or(1);
    let speed =
        tokio::task::spawn_blocking(move || hardware::fuel_per_second(sandbox.as_ref(), workers)).await;
    // The measurement does not panic; where the runtime is shutting down, the speed is as good as unknown.
    let fuel_per_second = speed.unwrap_or(Ok(0))?;
    tracing::info!(%fuel_per_second, cpu = %hardware.cpu, gpus = %hardware.gpu_note, "this machine is measured");
    Ok(Pricing::new(config.clone(), catalogue, fee_ppm, hardware, capacity, isolation, fuel_per_second)?)
}

/// Checks the work of others until `stop` is cancelled: the same machine, whose offers are for audits only.
pub async fn validate(provider: Provider, stop: CancellationToken) -> Result<Tally, StartupError> {
    let config = ProvideConfig { role: OfferRole::Audit, ..provider.config };
    provide(Provider { config, ..provider }, stop).await
}

/// Who a machine is at a market.
pub async fn identify(market: &Market, secret: &SecretKey) -> Result<Identity, StartupError> {
    match market.key(&secret.public()).await? {
        Some(KeyView::Machine { machine, party }) => Ok(Identity { machine, party }),
        Some(KeyView::Party(_)) => Err(StartupError::PartyKey),
        Some(KeyView::Retired) => Err(StartupError::Revoked),
        None => Err(StartupError::NotCertified(secret.public())),
    }
}

/// What the market believes that the machine has.
pub(super) async fn certified_capacity(
    market: &Market,
    identity: Identity,
) -> Result<Option<Resources>, ClientError> {
    let machines = market.machines(identity.party).await?;
    let own = machines.into_iter().find(|machine| machine.machine == identity.machine);
    Ok(own.map(|machine| machine.capacity))
}

/// The smaller of each kind.
fn smaller(one: &Resources, other: &Resources) -> Resources {
    let gpus = match (&one.gpus, &other.gpus) {
        (Some(one), Some(other)) if one.model == other.model => {
            let mut gpus = one.clone();
            gpus.count = gpus.count.min(other.count);
            gpus.memory_mib = gpus.memory_mib.min(other.memory_mib);
            Some(gpus)
        }
        (Some(_) | None, Some(_) | None) => None,
    };
    Resources {
        cpu_milli: one.cpu_milli.min(other.cpu_milli),
        memory_mib: one.memory_mib.min(other.memory_mib),
        disk_mib: one.disk_mib.min(other.disk_mib),
        upload_mbps: one.upload_mbps.min(other.upload_mbps),
        gpus,
    }
}

/// Whether the owner lets the machine work now.
fn is_open(config: &ProvideConfig, tally: Tally) -> bool {
    let now = jiff::Zoned::now().datetime();
    let is_quiet = config.quiet_hours.iter().any(|hours| hours.contains(now));
    let is_idle = || schedule::is_idle(System::load_average().one, tally.leases, config.idle_below.0);
    !is_quiet && (!config.only_when_idle || is_idle())
}
