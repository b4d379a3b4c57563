//! Claims about hardware itself.

use super::desk::{Desk, Finding, Range, Stop, over, shown, times};
use rust_decimal::{Decimal, dec};

pub(super) fn resale(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let years = desk.assumption("hardware_life")?;
    let machine = desk.hardware("rtx4090-system")?;
    let price = machine.price_usd.0;
    let lost = |percent: Decimal| over(times(price, Decimal::ONE_HUNDRED - percent)?, Decimal::ONE_HUNDRED);
    let days = times(years, dec!(365))?;
    let per_day = Range { low: over(lost(claimed.high)?, days)?, high: over(lost(claimed.low)?, days)? };
    let arithmetic = format!(
        "an RTX 4090 system of {} $ then loses {} $/day over {} years, and {} without resale",
        shown(price, 0),
        per_day.shown(2),
        shown(years, 0),
        shown(over(price, days)?, 2)
    );
    Ok(Finding::undecided(
        arithmetic,
        "the catalogue has no resale prices, and not the age at which it is sold",
    ))
}

pub(super) fn against_apple(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let card = "rtx4090-system";
    let mut ratios = Vec::new();
    for fast in desk.catalogue.benchmarks_of(card) {
        let same = |row: &&_| is_apple_at(row, &fast.workload);
        for slow in desk.catalogue.benchmarks.iter().filter(same) {
            let speeds = (over(fast.amount, fast.seconds)?, over(slow.amount, slow.seconds)?);
            ratios.push(over(speeds.0, speeds.1)?);
            for row in [fast, slow] {
                desk.figures.cite_row(row, format!("{} {} in {} s", row.amount, row.unit, row.seconds));
            }
        }
    }
    let faster = Range::of(ratios).ok_or(Stop::Missing("benchmark of both at the same work"))?;
    let watts = desk.hardware(card)?.train_watts;
    let apple: Vec<Decimal> =
        desk.catalogue.hardware.iter().filter(|row| row.kind == "apple").map(|row| row.train_watts).collect();
    let power = Range::of([watts]).ok_or(Stop::OutOfReach)?;
    let power = power.over(Range::of(apple).ok_or(Stop::Missing("machine by Apple"))?)?;
    let arithmetic = format!(
        "the same work in the benchmarks: {} times as fast; planned power: {} times",
        faster.shown(1),
        power.shown(1)
    );
    let why =
        "the benchmarks are of inference and rendering, not of training; they spread wider than the claim";
    Ok(Finding::undecided(arithmetic, why))
}

fn is_apple_at(row: &crate::catalogue::Benchmark, workload: &str) -> bool {
    row.kind == "apple" && row.workload == workload
}
