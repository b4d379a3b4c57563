//! How times, prices and states are written for people.

use market::{
    matching::PriceText,
    name::Name,
    resources::Resources,
    units::{Msat, Rate, TimeMs, Unit},
};
use serde::Serialize;

/// A time, in UTC to the second.
pub(crate) fn time(at: TimeMs) -> String {
    let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => format!("{} ms", at.0),
    }
}

/// A price, in the unit that it is usually told in.
pub(crate) fn rate(rate: &Rate) -> String {
    PriceText(rate).to_string()
}

/// Usage in the unit of a price.
pub(crate) fn usage(unit: Unit, usage: u64) -> String {
    match unit {
        Unit::Task => format!("{usage} tasks"),
        Unit::Ms => format!("{:.1} s", usage as f64 / 1_000.0),
        Unit::Fuel => format!("{:.2} G fuel", usage as f64 / 1e9),
    }
}

/// The word that stands for a state in JSON, with spaces.
pub(crate) fn word<T: Serialize>(state: &T) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(word)) => word.replace('_', " "),
        // A state with data: its name is the key.
        Ok(serde_json::Value::Object(map)) => {
            map.keys().next().map(|word| word.replace('_', " ")).unwrap_or_default()
        }
        Ok(other) => other.to_string(),
        Err(e) => e.to_string(),
    }
}

/// What a machine has, in short.
pub(crate) fn resources(resources: &Resources) -> String {
    let Resources { cpu_milli, memory_mib, disk_mib, upload_mbps, gpus } = resources;
    let mut parts = vec![format!("{} CPU", *cpu_milli as f64 / 1_000.0), mebibytes(*memory_mib)];
    if *disk_mib > 0 {
        parts.push(format!("{} disk", mebibytes(*disk_mib)));
    }
    if *upload_mbps > 0 {
        parts.push(format!("{upload_mbps} Mbit/s"));
    }
    if let Some(gpus) = gpus {
        parts.push(format!("{}× {}", gpus.count, gpus.model));
    }
    parts.join(", ")
}

/// A reputation as a share.
pub(crate) fn reputation(score_ppm: u32, is_unvetted: bool) -> String {
    let new = if is_unvetted { " (new)" } else { "" };
    format!("{:.1} %{new}", f64::from(score_ppm) / 10_000.0)
}

/// An amount that may not be known.
pub(crate) fn amount(amount: Option<Msat>) -> String {
    amount.map_or_else(|| "unknown beforehand".to_owned(), |amount| amount.to_string())
}

/// A name that may not be asked for.
pub(crate) fn any(name: Option<&Name>) -> String {
    name.map_or_else(|| "any".to_owned(), ToString::to_string)
}

fn mebibytes(mib: u64) -> String {
    if mib >= 1024 { format!("{:.1} GiB", mib as f64 / 1024.0) } else { format!("{mib} MiB") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{event::JobOutcome, lease::CloseReason};

    #[test]
    fn times_and_states_read_well() {
        assert_eq!(time(TimeMs(1_735_689_600_000)), "2025-01-01 00:00:00 UTC");
        assert_eq!(word(&JobOutcome::OutOfFunds), "out of funds");
        assert_eq!(word(&CloseReason::NeverStarted), "never started");
        assert_eq!(rate(&Rate::per_task(Msat(1_500))), "1500 msat a task");
    }
}
