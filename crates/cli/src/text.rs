//! How times, prices and states are written for people.

use crate::output::Output;
use market::{
    funding::Funding,
    matching::PriceText,
    name::Name,
    resources::Resources,
    units::{Msat, Rate, TimeMs, Unit},
    verify::{Deterrence, Stakes},
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
pub(crate) fn rate(rate: &Rate, output: &Output) -> String {
    let customary = match rate.unit {
        Unit::Task => 1,
        Unit::Ms => 3_600_000,
        Unit::Fuel => 1_000_000_000,
    };
    let dollars = rate.ceiling(customary).ok().and_then(|amount| output.dollars(amount));
    dollars.map_or_else(|| PriceText(rate).to_string(), |usd| format!("{} ({usd})", PriceText(rate)))
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
pub(crate) fn amount(amount: Option<Msat>, output: &Output) -> String {
    amount.map_or_else(|| "unknown beforehand".to_owned(), |amount| output.money(amount))
}

/// Whether cheating pays, in a word.
pub(crate) fn cheating(deterrence: &Deterrence) -> &'static str {
    match deterrence {
        Deterrence::Unverified => "unchecked",
        Deterrence::Settled => "",
        Deterrence::Stakes(stakes) if stakes.cheating_pays => "pays",
        Deterrence::Stakes(_) => "loses",
    }
}

/// Whether cheating pays, in a sentence that names every number of `p·d·(1−r)·(R+S) > c`.
pub(crate) fn deterrence(deterrence: &Deterrence) -> String {
    match deterrence {
        Deterrence::Unverified => "nothing deters cheating: nobody checks the results of this job".to_owned(),
        Deterrence::Settled => "the lease is settled: there is nothing left to cheat on".to_owned(),
        Deterrence::Stakes(stakes) => stakes_sentence(stakes),
    }
}

fn stakes_sentence(stakes: &Stakes) -> String {
    let Stakes { checked_ppm, proven_ppm, withheld_msat, bond_msat, gain_msat, loss_msat, .. } = stakes;
    let numbers = format!(
        "a false result saves at most {gain_msat} (c) and costs {loss_msat} on average: {} of the tasks are checked (p), a \
         check proves {} of wrong results (d), and at stake are {withheld_msat} of withheld pay (R) and a bond of \
         {bond_msat} (S)",
        percent(*checked_ppm),
        percent(*proven_ppm),
    );
    if !stakes.cheating_pays {
        let below = percent(stakes.colluding_below_ppm);
        return format!(
            "cheating loses money: {numbers}; that holds while less than {below} of those who check are in league with the \
             cheat (r)"
        );
    }
    let remedy = match stakes.bond_needed_msat {
        Some(bond) => format!("a bond of {bond} would deter it"),
        None if stakes.checked_ppm == 0 => "no bond deters what is never checked".to_owned(),
        None => "no bond deters it before more parties may be asked than have to agree".to_owned(),
    };
    format!("cheating can pay: {numbers}; {remedy}")
}

/// How a job is paid for.
pub(crate) fn funding(funding: Option<Funding>) -> String {
    match funding {
        None => "its whole budget at once".to_owned(),
        Some(Funding::Session { prepay_msat }) => format!("a session of {prepay_msat} at a time"),
        Some(Funding::Hold { slice_msat, slices }) => {
            format!("holds of {slices} × {slice_msat} for each lease")
        }
        Some(Funding::Decrypt { deposit_ppm }) => {
            format!("paying to decrypt each result, with a deposit of {}", percent(deposit_ppm))
        }
    }
}

/// What the market added to a job's money, where it did.
pub(crate) fn venue_paid(amount: Msat) -> String {
    match amount {
        Msat::ZERO => String::new(),
        amount => format!("\nthe market withheld audit links, and added {amount} to what was locked\n"),
    }
}

fn percent(ppm: u32) -> String {
    format!("{} %", f64::from(ppm) / 10_000.0)
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
    use market::{event::JobOutcome, job::Verification, lease::CloseReason};

    #[test]
    fn times_and_states_read_well() {
        assert_eq!(time(TimeMs(1_735_689_600_000)), "2025-01-01 00:00:00 UTC");
        assert_eq!(word(&JobOutcome::OutOfFunds), "out of funds");
        assert_eq!(word(&CloseReason::NeverStarted), "never started");
    }
    fn told(verification: Verification, withheld: u64, bond: u64) -> String {
        deterrence(&Deterrence::new(&verification, 50_000, Msat(withheld), Msat(bond), Msat(1_500)))
    }

    #[test]
    fn a_deterred_cheat_is_told_with_every_number() {
        insta::assert_snapshot!(told(Verification::Audit { floor_ppm: 50_000 }, 4_000, 96_000), @"cheating loses money: a false result saves at most 1.500 sat (c) and costs 5 sat on average: 5 % of the tasks are checked (p), a check proves 100 % of wrong results (d), and at stake are 4 sat of withheld pay (R) and a bond of 96 sat (S); that holds while less than 70 % of those who check are in league with the cheat (r)");
    }

    #[test]
    fn a_cheat_that_pays_is_told_with_what_would_deter_it() {
        insta::assert_snapshot!(told(Verification::Audit { floor_ppm: 50_000 }, 0, 10_000), @"cheating can pay: a false result saves at most 1.500 sat (c) and costs 0.500 sat on average: 5 % of the tasks are checked (p), a check proves 100 % of wrong results (d), and at stake are 0 sat of withheld pay (R) and a bond of 10 sat (S); a bond of 30.020 sat would deter it");
        let unproven = Verification::Replicas { k: 2, n: 2, named: vec![] };
        insta::assert_snapshot!(told(unproven, 0, 10_000), @"cheating can pay: a false result saves at most 1.500 sat (c) and costs 0 sat on average: 100 % of the tasks are checked (p), a check proves 0 % of wrong results (d), and at stake are 0 sat of withheld pay (R) and a bond of 10 sat (S); no bond deters it before more parties may be asked than have to agree");
    }

    #[test]
    fn an_unverified_job_says_that_nothing_deters() {
        insta::assert_snapshot!(told(Verification::None, 4_000, 96_000), @"nothing deters cheating: nobody checks the results of this job");
    }
}
