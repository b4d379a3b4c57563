//! What this machine draws now, as far as it says so itself.

use econ::own_machine::{Domain, Meter, Reading, rapl_watts};
use nvml_wrapper::{Nvml, error::NvmlError};
use rust_decimal::Decimal;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Where Linux shows the energy counters of processors.
const POWERCAP: &str = "/sys/class/powercap";

/// What was read, and for each meter that said nothing, why.
#[derive(Debug, Default)]
pub struct Readings {
    /// What was read.
    pub readings: Vec<Reading>,
    /// Sentences about what was not.
    pub silent: Vec<String>,
}

/// Reads every meter there is; the processor's energy is watched for `watch`.
pub async fn read(watch: Duration) -> Readings {
    let mut found = Readings::default();
    match rapl(Path::new(POWERCAP), watch).await {
        Ok(watts) => found.readings.push(Reading { part: "processor".into(), meter: Meter::Rapl, watts }),
        Err(why) => found.silent.push(format!("RAPL: {why}")),
    }
    match nvml() {
        Ok(readings) => found.readings.extend(readings),
        Err(error) => found.silent.push(format!("NVML: {error}")),
    }
    found
}

async fn rapl(folder: &Path, watch: Duration) -> Result<Decimal, String> {
    let unreadable = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => "this system shows no energy counters".to_owned(),
        io::ErrorKind::PermissionDenied => "the energy counters are for root: run this with sudo".to_owned(),
        _ => e.to_string(),
    };
    let zones = zones(folder).map_err(unreadable)?;
    let (begun, mut domains) = (Instant::now(), Vec::new());
    for zone in &zones {
        let name = fs::read_to_string(zone.join("name")).map_err(unreadable)?.trim().to_owned();
        let max_range_uj = counter(&zone.join("max_energy_range_uj")).map_err(unreadable)?;
        let before_uj = counter(&zone.join("energy_uj")).map_err(unreadable)?;
        domains.push(Domain { name, before_uj, after_uj: before_uj, max_range_uj });
    }
    tokio::time::sleep(watch).await;
    for (zone, domain) in zones.iter().zip(&mut domains) {
        domain.after_uj = counter(&zone.join("energy_uj")).map_err(unreadable)?;
    }
    rapl_watts(&domains, begun.elapsed()).map_err(|e| e.to_string())
}

/// The zones of processors and their parts, in the order of their names.
fn zones(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut zones = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_rapl = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("intel-rapl:"));
        if is_rapl && path.join("energy_uj").exists() {
            zones.push(path);
        }
    }
    zones.sort();
    Ok(zones)
}

fn counter(file: &Path) -> io::Result<u64> {
    fs::read_to_string(file)?.trim().parse().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// The draw of each card, as its driver measures it.
fn nvml() -> Result<Vec<Reading>, NvmlError> {
    let nvml = Nvml::init()?;
    let mut readings = Vec::new();
    for index in 0..nvml.device_count()? {
        let device = nvml.device_by_index(index)?;
        let watts = Decimal::from(device.power_usage()?) / Decimal::ONE_THOUSAND;
        readings.push(Reading { part: device.name()?, meter: Meter::Nvml, watts });
    }
    Ok(readings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(folder: &Path, name: &str, says: &str, energy: u64) -> PathBuf {
        let zone = folder.join(name);
        fs::create_dir(&zone).unwrap();
        fs::write(zone.join("name"), format!("{says}\n")).unwrap();
        fs::write(zone.join("max_energy_range_uj"), "262143328850\n").unwrap();
        fs::write(zone.join("energy_uj"), format!("{energy}\n")).unwrap();
        zone
    }

    #[tokio::test]
    async fn counters_that_stand_still_are_no_power() {
        let folder = tempfile::tempdir().unwrap();
        zone(folder.path(), "intel-rapl:0", "package-0", 5_000_000);
        zone(folder.path(), "intel-rapl:0:0", "core", 1);
        fs::create_dir(folder.path().join("dtpm")).unwrap();
        assert_eq!(rapl(folder.path(), Duration::from_millis(1)).await, Ok(Decimal::ZERO));
    }

    #[tokio::test]
    async fn a_system_without_counters_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let missing = rapl(&folder.path().join("none"), Duration::ZERO).await;
        assert_eq!(missing, Err("this system shows no energy counters".into()));
        let wrong = zone(folder.path(), "intel-rapl:0", "package-0", 1);
        fs::write(wrong.join("energy_uj"), "many").unwrap();
        assert!(rapl(folder.path(), Duration::ZERO).await.unwrap_err().contains("invalid digit"));
    }
}
