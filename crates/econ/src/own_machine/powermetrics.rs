//! What `powermetrics` prints on a Mac: `sudo powermetrics --samplers cpu_power,gpu_power -n 5 -i 1000`.

use rust_decimal::{Decimal, dec};

/// A text without power in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PowermetricsError {
    /// No line that says what the chip draws.
    #[error(
        "powermetrics printed no line with the chip's power; run it as root with --samplers cpu_power,gpu_power"
    )]
    NoPower,
    /// A line that cannot be read.
    #[error("`{0}` is no power; `Combined Power (CPU + GPU + ANE): 1290 mW` would be one")]
    Unreadable(String),
}

/// The mean power of the chip over all samples, in watts. It is the `Combined Power` of a sample; where it has none (before
/// macOS 13) the sum of `CPU Power`, `GPU Power` and `ANE Power`; on Intel the `package power`.
pub fn read_powermetrics(text: &str) -> Result<Decimal, PowermetricsError> {
    if let Some(watts) = mean_of(text, "Combined Power (CPU + GPU + ANE)")? {
        return Ok(watts);
    }
    if let Some(cpu) = mean_of(text, "CPU Power")? {
        let others = [mean_of(text, "GPU Power")?, mean_of(text, "ANE Power")?];
        return Ok(others.into_iter().flatten().fold(cpu, |sum, watts| sum + watts));
    }
    let package = mean_of(text, "Intel energy model derived package power (CPUs+GT+SA)")?;
    package.ok_or(PowermetricsError::NoPower)
}

/// The mean of the lines with a name, in watts, if there are any. A name may come up twice in a sample.
fn mean_of(text: &str, name: &str) -> Result<Option<Decimal>, PowermetricsError> {
    let (mut sum, mut count) = (Decimal::ZERO, Decimal::ZERO);
    for line in text.lines() {
        let rest = line.trim().strip_prefix(name).map(str::trim_start);
        let Some(value) = rest.and_then(|rest| rest.strip_prefix(':')) else { continue };
        let unreadable = || PowermetricsError::Unreadable(line.trim().to_owned());
        sum += power(value.trim()).ok_or_else(unreadable)?;
        count += Decimal::ONE;
    }
    Ok(sum.checked_div(count))
}

/// `1290 mW` or `3.45W`, in watts; at most a megawatt.
fn power(text: &str) -> Option<Decimal> {
    let (number, factor) = match text.strip_suffix("mW") {
        Some(number) => (number, dec!(0.001)),
        None => (text.strip_suffix('W')?, Decimal::ONE),
    };
    let watts = number.trim().parse::<Decimal>().ok()?.checked_mul(factor)?;
    (Decimal::ZERO..=dec!(1_000_000)).contains(&watts).then_some(watts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPLE: &str = "\
*** Sampled system activity (Thu Mar 12 10:00:01 2026 +0100) (1004.33ms elapsed) ***

**** Processor usage ****

E-Cluster Online: 100%
E-Cluster HW active frequency: 1012 MHz
CPU 0 frequency: 1130 MHz
CPU Power: 4120 mW
GPU Power: 31200 mW
ANE Power: 0 mW
Combined Power (CPU + GPU + ANE): 35320 mW

**** GPU usage ****

GPU HW active frequency: 1338 MHz
GPU Power: 31200 mW

*** Sampled system activity (Thu Mar 12 10:00:02 2026 +0100) (1002.10ms elapsed) ***

CPU Power: 3880 mW
GPU Power: 30800 mW
ANE Power: 0 mW
Combined Power (CPU + GPU + ANE): 34680 mW
";

    const OLDER: &str =
        "CPU Power: 4000 mW\nGPU Power: 6000 mW\nANE Power: 500 mW\nPackage Power: 11000 mW\n";

    const INTEL: &str = "\
**** Processor usage ****

Intel energy model derived package power (CPUs+GT+SA): 3.45W

LLC flushed residency: 55.3%
";

    #[test]
    fn the_combined_power_of_all_samples_is_averaged() {
        assert_eq!(read_powermetrics(APPLE), Ok(dec!(35)));
    }

    #[test]
    fn older_and_intel_macs_are_read_too() {
        assert_eq!(read_powermetrics(OLDER), Ok(dec!(10.5)));
        assert_eq!(read_powermetrics(INTEL), Ok(dec!(3.45)));
    }

    #[test]
    fn text_without_power_is_an_error() {
        assert_eq!(read_powermetrics(""), Err(PowermetricsError::NoPower));
        assert_eq!(
            read_powermetrics("powermetrics must be invoked as the superuser\n"),
            Err(PowermetricsError::NoPower)
        );
        let line = "Combined Power (CPU + GPU + ANE): many mW";
        assert_eq!(read_powermetrics(line), Err(PowermetricsError::Unreadable(line.into())));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(CPU Power: |GPU Power: |[0-9]{0,30}|\\.|mW|W|\n|.){0,20}") {
            let _ = read_powermetrics(&text);
        }
    }
}
