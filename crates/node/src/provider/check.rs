//! `grist provide check`: everything that can keep a machine from earning, each with a sentence that says what to do.

use super::{
    Sandbox,
    agent::Identity,
    config::ProvideConfig,
    hardware::{self, Hardware},
    provide::{certified_capacity, identify},
};
use crate::client::{ClientError, Market, OfferQuery};
use market::{key::SecretKey, resources::Isolation, units::Msat};
use runner::Enforcement;
use serde::Serialize;
use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Fine.
    Ok,
    /// It works, and could be better.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// How it stands.
    pub grade: Grade,
    /// What was found, and what to do about it.
    pub says: String,
}

/// What is looked at.
pub struct CheckUp<'a> {
    /// The market's address.
    pub address: &'a str,
    /// The machine's key, and where it is kept.
    pub secret: &'a SecretKey,
    /// The key's file.
    pub key_file: &'a Path,
    /// What the owner chose.
    pub config: &'a ProvideConfig,
    /// Where the state is kept.
    pub state_dir: PathBuf,
    /// Where tasks would run.
    pub sandbox: Arc<dyn Sandbox>,
    /// What holds the workers in their place.
    pub enforcement: &'a Enforcement,
}

/// The clock may be off by so much before it is worth a word, in milliseconds.
const SKEW_MS: u64 = 2_000;
/// Less free space than this is worth a word, in MiB.
const SPACE_MIB: u64 = 1_024;

fn ok(name: &'static str, says: impl Into<String>) -> Check {
    Check { name, grade: Grade::Ok, says: says.into() }
}

fn warn(name: &'static str, says: impl Into<String>) -> Check {
    Check { name, grade: Grade::Warn, says: says.into() }
}

fn fail(name: &'static str, says: impl Into<String>) -> Check {
    Check { name, grade: Grade::Fail, says: says.into() }
}

impl CheckUp<'_> {
    /// Looks at everything. What depends on something that failed is left out.
    pub async fn run(&self) -> Vec<Check> {
        let hardware = Hardware::find(&self.state_dir);
        let mut checks = vec![key_file(self.key_file), state_dir(&self.state_dir), space(&hardware)];
        checks.extend(self.sandbox());
        checks.push(self.capacity(&hardware));
        checks.push(self.speed().await);
        checks.extend(self.market().await);
        checks
    }

    /// Which mechanisms hold the workers; what is missing narrows what work the machine gets.
    fn sandbox(&self) -> Vec<Check> {
        let mut checks: Vec<Check> = Vec::new();
        for line in self.enforcement.mechanisms.iter().filter(|line| !line.enforced) {
            checks.push(warn("sandbox", format!("{} is not enforced here: {}", line.mechanism, line.reason)));
        }
        checks.push(match self.sandbox.isolation() {
            Isolation::WasmConfined => ok("sandbox", "workers are confined by the kernel"),
            Isolation::Wasm => warn(
                "sandbox",
                "tasks are held by WebAssembly alone: orders that need `wasm-confined` go to other machines",
            ),
        });
        checks
    }

    fn capacity(&self, hardware: &Hardware) -> Check {
        match self.config.capacity(hardware) {
            Ok(sold) => ok(
                "capacity",
                format!(
                    "{} of {} cores and {} of {} MiB are for sale; {}",
                    sold.cpu_milli / 1_000,
                    hardware.cores,
                    sold.memory_mib,
                    hardware.memory_mib,
                    hardware.gpu_note
                ),
            ),
            Err(error) => fail("capacity", error.to_string()),
        }
    }

    async fn speed(&self) -> Check {
        let sandbox = self.sandbox.clone();
        match tokio::task::spawn_blocking(move || hardware::fuel_per_second(sandbox.as_ref(), 1)).await {
            Ok(Ok(speed)) => ok(
                "speed",
                format!(
                    "one core burns {}.{:02} giga-fuel a second",
                    speed / 1_000_000_000,
                    speed / 10_000_000 % 100
                ),
            ),
            Ok(Err(error)) => fail("speed", error.to_string()),
            Err(error) => fail("speed", format!("the measurement ended unexpectedly: {error}")),
        }
    }

    async fn market(&self) -> Vec<Check> {
        let market = match Market::connect(self.address).await {
            Ok(market) => market,
            Err(error) => return vec![fail("market", error.to_string())],
        };
        let mut checks = vec![match market.info().await {
            Ok(info) => clock(info.now_ms.0),
            Err(error) => return vec![fail("market", error.to_string())],
        }];
        checks.push(ok("market", format!("{} answers", market.address())));
        match identify(&market, self.secret).await {
            Ok(identity) => {
                checks
                    .push(ok("machine", format!("certified as {} of {}", identity.machine, identity.party)));
                checks.extend(
                    self.standing(&market, identity)
                        .await
                        .unwrap_or_else(|error| vec![fail("market", error.to_string())]),
                );
            }
            Err(error) => checks.push(fail("machine", error.to_string())),
        }
        checks
    }

    /// How the machine and its owner stand at the market.
    async fn standing(&self, market: &Market, identity: Identity) -> Result<Vec<Check>, ClientError> {
        let party = market.party(identity.party).await?;
        let wanted = self.config.bond.0;
        let mut checks = vec![if party.bond_msat >= wanted && party.bond_msat > Msat::ZERO {
            ok("bond", format!("{} are locked", party.bond_msat))
        } else {
            warn(
                "bond",
                format!(
                    "{} are locked, {wanted} are wanted: lock more with `grist wallet bond`; orders that ask for a bond and \
                     draws for replicas go to others meanwhile",
                    party.bond_msat
                ),
            )
        }];
        let query = OfferQuery { machine: Some(identity.machine), ..OfferQuery::default() };
        let offers = market.offers(&query).await?;
        checks.push(if offers.is_empty() {
            warn(
                "offers",
                "no offer stands: `grist provide` posts them when it runs and is not in its quiet hours",
            )
        } else {
            ok(
                "offers",
                format!("{} stand; `grist offers --why-idle` says why one has no work", offers.len()),
            )
        });
        if let Some(certified) = certified_capacity(market, identity).await?
            && let Ok(wanted) = self.config.capacity(&Hardware::find(&self.state_dir))
            && let Some(short) = certified.shortage(&wanted)
        {
            let says = format!(
                "the machine is certified for less than its configuration sells ({short:?}): add it again to sell all of it"
            );
            checks.push(warn("certificate", says));
        }
        Ok(checks)
    }
}

/// Nobody else may read the key.
fn key_file(path: &Path) -> Check {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return fail("key", format!("cannot read `{}`: {error}", path.display())),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let says =
                format!("`{0}` can be read by others (mode {mode:03o}): chmod 600 {0}", path.display());
            return fail("key", says);
        }
    }
    ok("key", format!("`{}` is its owner's alone ({} bytes)", path.display(), metadata.len()))
}

/// The state can be written.
fn state_dir(folder: &Path) -> Check {
    let tried = std::fs::create_dir_all(folder)
        .and_then(|()| tempfile::NamedTempFile::new_in(folder))
        .and_then(|mut file| file.write_all(b"check"));
    match tried {
        Ok(()) => ok("state", format!("`{}` can be written", folder.display())),
        Err(error) => {
            fail("state", format!("cannot write to `{}`: {error}; check its owner", folder.display()))
        }
    }
}

fn space(hardware: &Hardware) -> Check {
    match hardware.disk_free_mib {
        Some(free) if free < SPACE_MIB => {
            warn("space", format!("{free} MiB are free: large inputs and outputs will fail; free some space"))
        }
        Some(free) => ok("space", format!("{free} MiB are free")),
        None => warn("space", "this system does not say how much disk space is free"),
    }
}

/// Statements expire by the market's clock. Programs correct for it; a clock that is far off still spoils schedules and logs.
fn clock(venue_now_ms: u64) -> Check {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let off_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).abs_diff(venue_now_ms);
    if off_ms <= SKEW_MS {
        ok("clock", format!("within {off_ms} ms of the market's"))
    } else {
        let seconds = off_ms / 1_000;
        warn("clock", format!("{seconds} s away from the market's: switch on time synchronisation (NTP)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_a_failure_with_its_remedy() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(key_file(file.path()).grade, Grade::Ok);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
            let check = key_file(file.path());
            assert!(check.grade == Grade::Fail && check.says.contains("chmod 600"), "{check:?}");
        }
        assert_eq!(key_file(Path::new("/nowhere/key")).grade, Grade::Fail);
    }

    #[test]
    fn a_state_folder_is_made_and_tried() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(state_dir(&folder.path().join("new")).grade, Grade::Ok);
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        assert_eq!(state_dir(&file).grade, Grade::Fail);
    }

    #[test]
    fn a_clock_that_is_off_is_named_with_how_far() {
        assert!(clock(0).says.contains("NTP"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        assert_eq!(clock(u64::try_from(now).unwrap()).grade, Grade::Ok);
    }
}
