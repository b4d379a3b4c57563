//! The energy counters of a processor (RAPL) as Linux shows them in `/sys/class/powercap`.
//!
//! Each zone `intel-rapl:N` has a `name`, a counter `energy_uj` in microjoules, and `max_energy_range_uj`, after which the
//! counter begins anew (kernel documentation, `power/powercap/powercap.rst`). At 200 W a counter of 2^32 × 61 µJ turns over
//! every 20 minutes or so: readings must be taken closer together than that.

use rust_decimal::Decimal;
use std::time::Duration;

/// Two readings of the counter of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// What its file `name` says: `package-0`, `psys`, `dram`, `core`, `uncore`.
    pub name: String,
    /// The first reading of `energy_uj`.
    pub before_uj: u64,
    /// The second one.
    pub after_uj: u64,
    /// `max_energy_range_uj`.
    pub max_range_uj: u64,
}

/// Why counters say nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RaplError {
    /// There is no counter for the whole processor.
    #[error("this machine has no energy counter for its processor; give its draw in watts")]
    NoPackage,
    /// No time between the readings.
    #[error("the two readings were taken at the same time; wait a second between them")]
    NoTime,
    /// A reading above what the counter can show.
    #[error("the counter of {0} shows more than its range; its readings cannot be used")]
    BeyondRange(String),
}

impl Domain {
    /// The energy between the readings, when the counter turned over at most once.
    fn microjoules(&self) -> Result<u64, RaplError> {
        if self.before_uj > self.max_range_uj || self.after_uj > self.max_range_uj {
            return Err(RaplError::BeyondRange(self.name.clone()));
        }
        if self.after_uj >= self.before_uj {
            return Ok(self.after_uj - self.before_uj);
        }
        Ok(self.max_range_uj - self.before_uj + self.after_uj)
    }
}

/// The mean power between two readings. The whole platform (`psys`) where there is a counter for it, else every package with
/// its memory (`dram`); parts of packages (`core`, `uncore`) are in these already.
pub fn rapl_watts(domains: &[Domain], between: Duration) -> Result<Decimal, RaplError> {
    let named = |name: &'static str| domains.iter().filter(move |domain| domain.name.starts_with(name));
    let used: Vec<&Domain> = if named("psys").next().is_some() {
        named("psys").collect()
    } else if named("package").next().is_some() {
        named("package").chain(named("dram")).collect()
    } else {
        return Err(RaplError::NoPackage);
    };
    let mut microjoules = Decimal::ZERO;
    for domain in used {
        microjoules += Decimal::from(domain.microjoules()?);
    }
    let microseconds = Decimal::from(u64::try_from(between.as_micros()).unwrap_or(u64::MAX));
    microjoules.checked_div(microseconds).ok_or(RaplError::NoTime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rust_decimal::dec;

    const MAX: u64 = 262_143_328_850;

    fn domain(name: &str, before_uj: u64, after_uj: u64) -> Domain {
        Domain { name: name.into(), before_uj, after_uj, max_range_uj: MAX }
    }

    fn watts(domains: &[Domain]) -> Result<Decimal, RaplError> {
        rapl_watts(domains, Duration::from_secs(2))
    }

    #[test]
    fn packages_and_their_memory_are_added_up_and_parts_are_not_counted_twice() {
        let domains = [
            domain("package-0", 1_000_000, 91_000_000),
            domain("core", 500_000, 70_000_000),
            domain("dram", 0, 6_000_000),
            domain("package-1", 0, 4_000_000),
        ];
        assert_eq!(watts(&domains), Ok(dec!(50)));
    }

    #[test]
    fn a_counter_that_turned_over_goes_on_from_zero() {
        assert_eq!(watts(&[domain("package-0", MAX - 15_000_000, 5_000_000)]), Ok(dec!(10)));
    }

    #[test]
    fn the_whole_platform_is_preferred() {
        assert_eq!(watts(&[domain("package-0", 0, 20_000_000), domain("psys", 0, 60_000_000)]), Ok(dec!(30)));
    }

    #[test]
    fn counters_that_say_nothing_are_errors() {
        assert_eq!(watts(&[domain("core", 0, 1)]), Err(RaplError::NoPackage));
        assert_eq!(watts(&[]), Err(RaplError::NoPackage));
        assert_eq!(rapl_watts(&[domain("package-0", 0, 1)], Duration::ZERO), Err(RaplError::NoTime));
        let beyond = RaplError::BeyondRange("package-0".into());
        assert_eq!(watts(&[domain("package-0", MAX + 1, 1)]), Err(beyond));
    }

    proptest::proptest! {
        #[test]
        fn energy_does_not_depend_on_where_the_counter_stands(before in 0..=MAX, energy in 0..MAX) {
            let after = if before + energy > MAX { before + energy - MAX } else { before + energy };
            let domain = domain("package-0", before, after);
            proptest::prop_assert_eq!(domain.microjoules(), Ok(energy));
        }
    }
}
