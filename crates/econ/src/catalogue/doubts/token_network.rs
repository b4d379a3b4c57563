//! Claims about a token network's supply, and what its miners pay.

use super::{
    Verdict,
    desk::{Desk, Finding, Range, Stop, numbers, over, shown, times},
};
use crate::{cost::electricity_usd_per_hour, money::HOURS_PER_DAY};
use rust_decimal::{Decimal, dec};

const NETWORK: &str = "Bittensor";
/// Seconds of a day.
const SECONDS_PER_DAY: Decimal = dec!(86400);
/// Tokens of a million.
const MILLION: Decimal = dec!(1_000_000);

pub(super) fn staked(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let supply = desk.network(NETWORK, "max_supply")?;
    let staked = times(claimed.low, dec!(1_000_000_000))?;
    let arithmetic = format!(
        "{} tokens staked, {} can ever exist: {} times as many",
        shown(staked, 0),
        shown(supply, 0),
        shown(over(staked, supply)?, 0)
    );
    if staked <= supply {
        return Ok(Finding::new(arithmetic, Verdict::Holds, "it fits the supply"));
    }
    let circulating = desk.other_claim("Bittensor circulating supply")?.high;
    let share = times(over(claimed.low, circulating)?, Decimal::ONE_HUNDRED)?;
    let why = format!("more than exists; read as million it is {} % of what circulates", shown(share, 0));
    Ok(Finding::new(arithmetic, Verdict::DoesNotHold, why))
}

/// The reward of a block halves each time that half of what is left has been issued. A reward of `2^-n` token (n from 1)
/// says that between `1 − 2^-n` and `1 − 2^-(n+1)` of the supply exists.
pub(super) fn circulating(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?.times(MILLION)?;
    let supply = desk.network(NETWORK, "max_supply")?;
    let reward = desk.network(NETWORK, "emission_per_block")?;
    let share = Range { low: Decimal::ONE - reward, high: Decimal::ONE - over(reward, Decimal::TWO)? };
    let issued = share.times(supply)?;
    let arithmetic = format!(
        "{} token a block is paid while {} million of {} exist",
        reward.normalize(),
        issued.times(dec!(0.000001))?.shown(2),
        shown(over(supply, MILLION)?, 0)
    );
    let mut why = "it stands against the reward that is paid".to_owned();
    if let Some(other) = numbers(&desk.claim.note).last() {
        let million = times(*other, MILLION)?;
        let fits = if issued.low <= million && million <= issued.high { "fits too" } else { "does not fit" };
        why = format!("the {other} million that was noted beside it {fits}");
    }
    Ok(Finding::new(arithmetic, issued.verdict(claimed), why))
}

/// What entry costs in dollars and in days of an average miner.
pub(super) fn entry(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let price = desk.network(NETWORK, "token_price")?;
    let per_block = desk.network(NETWORK, "emission_per_block")?;
    let blocks = over(SECONDS_PER_DAY, desk.network(NETWORK, "block_time")?)?;
    let to_miners = times(times(blocks, per_block)?, desk.network(NETWORK, "share_miners")?)?;
    let per_subnet = desk.network(NETWORK, "miner_slots_per_subnet")?;
    let slots = times(desk.network(NETWORK, "subnets")?, per_subnet)?;
    let average = over(to_miners, slots)?;
    let days = Range { low: over(claimed.low, average)?, high: over(claimed.high, average)? };
    let arithmetic = format!(
        "{} $; an average slot earns {} token ({} $) a day, so {} days of one",
        claimed.times(price)?.shown(2),
        shown(average, 4),
        shown(times(average, price)?, 2),
        days.shown(1)
    );
    Ok(Finding::undecided(
        arithmetic,
        "the catalogue has no record of what subnets ask; rewards are far from even",
    ))
}

pub(super) fn miner_in_the_cloud(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let mut prices = Vec::new();
    for row in desk.catalogue.cloud_prices.iter().filter(|row| row.terms == "on-demand") {
        desk.figures.cite_row(row, format!("{} usd/h", row.gpu_usd_per_hour.0));
        prices.push(row.gpu_usd_per_hour.0);
    }
    let price = Range::of(prices).ok_or(Stop::Missing("on-demand price at a cloud"))?;
    let day = price.times(HOURS_PER_DAY)?;
    let hour = Range { low: over(claimed.low, HOURS_PER_DAY)?, high: over(claimed.high, HOURS_PER_DAY)? };
    let arithmetic =
        format!("one accelerator on demand: {} $/h × 24 h = {} $/day", price.shown(2), day.shown(0));
    let low = if hour.low < price.low {
        "its low end is below any on-demand price"
    } else {
        "its low end is on offer"
    };
    let high = if hour.high < price.high { "it leaves out the dearest" } else { "it reaches the dearest" };
    let why = format!("the claim is {} $/h: {low}, and {high}", hour.shown(2));
    Ok(Finding::new(arithmetic, claimed.verdict(day), why))
}

pub(super) fn miner_on_own_hardware(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let tariff = desk.tariff(None)?;
    let days = times(desk.assumption("hardware_life")?, dec!(365))?;
    let mut costs = Vec::new();
    for row in desk.catalogue.hardware.iter().filter(|row| row.kind == "nvidia") {
        desk.figures.cite_row(row, format!("{} W, {} usd", row.train_watts, row.price_usd.0));
        let power = times(electricity_usd_per_hour(row.train_watts, tariff).0, HOURS_PER_DAY)?;
        costs.push(power + over(row.price_usd.0, days)?);
    }
    let cost = Range::of(costs).ok_or(Stop::Missing("machine by NVIDIA"))?;
    let machines = Range { low: over(claimed.low, cost.high)?, high: over(claimed.high, cost.high)? };
    let arithmetic = format!("power day and night and purchase of one machine: {} $/day", cost.shown(2));
    let why = format!("the claim is {} of the dearest machine in the catalogue", machines.shown(1));
    Ok(Finding::new(arithmetic, claimed.verdict(cost), why))
}
