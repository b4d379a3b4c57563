//! A provider of the demo: a process of its own, so that it can really die.

use super::cast::{CAST, Part, Player};
use crate::exit::{Exit, Failure};
use clap::Args;
use market::{
    id::{MachineId, PartyId},
    key::SecretKey,
    name::Name,
    offer::{OfferRole, OfferTerms},
    resources::Resources,
    units::{Msat, Rate},
};
use node::{
    client::Market,
    provider::{Driver, Fault, Policy, ProcessSandbox, Sandbox, agent::Identity},
};
use runner::{ModuleCache, Profile};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// `grist demo-provider FILE`: started by the demo alone.
#[derive(Debug, Args)]
pub(crate) struct DemoProviderArgs {
    /// What the demo wrote for it
    file: PathBuf,
}

/// What a provider's process is told.
#[derive(Serialize, Deserialize)]
struct Script {
    name: String,
    market: String,
    machine: MachineId,
    party: PartyId,
    machine_key: [u8; 32],
}

/// Starts a provider's process. Its log lies in `home`.
pub(super) fn start(
    home: &Path,
    market: &str,
    identity: Identity,
    machine_key: &SecretKey,
    player: &Player,
) -> Result<Child, Failure> {
    let failed =
        |e: std::io::Error| Failure::of(Exit::Unexpected, e).during(format!("starting {}", player.name));
    std::fs::create_dir_all(home).map_err(failed)?;
    let script = Script {
        name: player.name.to_owned(),
        market: market.to_owned(),
        machine: identity.machine,
        party: identity.party,
        machine_key: machine_key.to_bytes(),
    };
    let file = home.join("script.json");
    let text = serde_json::to_vec(&script).map_err(|e| Failure::of(Exit::Unexpected, e))?;
    write_private(&file, &text).map_err(failed)?;
    let log = File::create(home.join("log")).map_err(failed)?;
    Command::new(std::env::current_exe().map_err(failed)?)
        .arg("demo-provider")
        .arg(&file)
        .env("RUST_LOG", "info")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)
}

fn write_private(file: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text)
}

/// Runs a provider of the demo until it is killed.
pub(crate) async fn run(args: &DemoProviderArgs) -> Result<(), Failure> {
    let unexpected = |e: anyhow::Error| Failure::of(Exit::Unexpected, e).during("a provider of the demo");
    let text = std::fs::read(&args.file).map_err(|e| unexpected(e.into()))?;
    let script: Script = serde_json::from_slice(&text).map_err(|e| unexpected(e.into()))?;
    let player = CAST.iter().find(|player| player.name == script.name);
    let player = player.ok_or_else(|| Failure::new(Exit::Unexpected, "the demo has no such provider"))?;
    let home = args.file.parent().unwrap_or(Path::new("."));
    let cache = ModuleCache::open(&home.join("modules"), 1 << 30).map_err(|e| unexpected(e.into()))?;
    let program = std::env::current_exe().map_err(|e| unexpected(e.into()))?;
    let sandbox = ProcessSandbox::new(program, vec!["worker".into()], cache);
    let fault = match player.part {
        Part::WrongResults => Some(Fault::WrongResults),
        Part::Honest | Part::Dies => {
            (player.slowdown_percent > 0).then_some(Fault::Slow(100 + player.slowdown_percent))
        }
    };
    let (tally, _) = tokio::sync::watch::channel(Default::default());
    let driver = Driver {
        market: Market::connect(&script.market).await?,
        secret: SecretKey::from_bytes(script.machine_key),
        identity: Identity { machine: script.machine, party: script.party },
        policy: tokio::sync::watch::channel(policy(player, &sandbox)).1,
        state_dir: home.join("state"),
        cache_bytes: 1 << 30,
        grace: Duration::from_secs(1),
        sandbox: Arc::new(sandbox),
        lightning: None,
        is_open: Box::new(|_| true),
        fault,
        tally,
    };
    driver.run(CancellationToken::new()).await.map(|_| ()).map_err(|e| unexpected(e.into()))
}

fn policy(player: &Player, sandbox: &ProcessSandbox) -> Policy {
    let name = |text: &str| Name::slug(text).unwrap_or_else(|| unreachable!("the demo's names have letters"));
    let offer = OfferTerms {
        role: OfferRole::Work,
        rate: Rate::per_task(player.price()),
        resources: Resources { cpu_milli: 1_000, memory_mib: 512, disk_mib: 512, ..Resources::default() },
        isolation: sandbox.isolation(),
        region: name("loopback"),
        class: name(player.class),
        attributes: BTreeMap::new(),
        lease_max_ms: 86_400_000,
        holds: None,
        sales: None,
    };
    Policy {
        offers: vec![offer],
        fuel_per_second: 0,
        cost_per_hour_msat: Msat::ZERO,
        discount_ppm: 100_000,
        assumed_bidders: 4,
        profiles: BTreeSet::from([Profile::newest().name.to_owned()]),
        batch_ms: 250,
    }
}
