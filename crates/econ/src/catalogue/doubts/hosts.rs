//! Claims about what the owner of hardware earns.

use super::desk::{Desk, Finding, Range, Stop, over, shown, times};
use crate::{
    cost::{amortized_usd_per_hour, electricity_usd_per_hour},
    money::{HOURS_PER_DAY, HOURS_PER_MONTH, Usd},
};
use rust_decimal::{Decimal, dec};

/// Days of a year.
const DAYS_PER_YEAR: Decimal = dec!(365);

pub(super) fn monthly_earning(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let row = desk.market("RTX-4090", "Vast.ai")?;
    let (price, fee) = (row.typical().0, row.fee_rate.unwrap_or_default());
    let use_low = desk.assumption("marketplace_utilization_low")?;
    let used = Range { low: use_low, high: desk.assumption("marketplace_utilization_high")? };
    let tariff = desk.tariff(None)?;
    let watts = desk.hardware("rtx4090-system")?.train_watts;
    let gross = used.times(times(times(price, Decimal::ONE - fee)?, HOURS_PER_MONTH)?)?;
    let power = used.times(times(electricity_usd_per_hour(watts, tariff).0, HOURS_PER_MONTH)?)?;
    let net = Range { low: gross.low - power.low, high: gross.high - power.high };
    let arithmetic = format!(
        "{} $/h after {} % fee, {} % of 720 h: {} $; less {} $ of power at {} $/kWh: {} $",
        shown(price, 2),
        shown(times(fee, Decimal::ONE_HUNDRED)?, 0),
        used.times(Decimal::ONE_HUNDRED)?.shown(0),
        gross.shown(2),
        power.shown(2),
        shown(tariff.0, 2),
        net.shown(2)
    );
    let kept = over(times(net.low, Decimal::ONE_HUNDRED)?, gross.low)?;
    let why = format!("before power; {} % of it stays after power", shown(kept, 0));
    Ok(Finding::new(arithmetic, claimed.verdict(gross), why))
}

pub(super) fn gross_range(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let row = desk.market("RTX-4090", "Vast.ai")?;
    let listed = Range { low: row.usd_low.0, high: row.usd_high.unwrap_or(row.usd_low).0 };
    let median = row.typical().0;
    let arithmetic = format!("listed at {} $/h, median {}", listed.shown(2), shown(median, 2));
    let within =
        |price: Decimal| if claimed.low <= price && price <= claimed.high { "inside" } else { "outside" };
    let why = format!("the median lies {}, the listing's high {}", within(median), within(listed.high));
    Ok(Finding::new(arithmetic, claimed.verdict(listed), why))
}

pub(super) fn payback(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let [price] = desk.said(["what the build costs"])?;
    let tariff = desk.tariff(Some("US residential (May 2026 study)"))?;
    let mut years = Vec::new();
    let mut parts = Vec::new();
    for row in &desk.catalogue.rentals {
        desk.figures.cite_row(row, format!("{} usd/day gross", row.gross_usd_per_day.0));
        let power =
            times(electricity_usd_per_hour(row.watts, tariff).0, times(HOURS_PER_DAY, row.utilization)?)?;
        let net = row.gross_usd_per_day.0 - power;
        if net > Decimal::ZERO {
            let needed = over(over(price, net)?, DAYS_PER_YEAR)?;
            parts.push(format!("{} {} $/day net, {} years", row.network, shown(net, 2), shown(needed, 1)));
            years.push(needed);
        } else {
            parts.push(format!("{} never", row.network));
        }
    }
    let computed =
        Range::of(years).ok_or(Stop::Missing("network on which renting out earned more than its power"))?;
    Ok(Finding::new(
        parts.join("; "),
        claimed.verdict(computed),
        "it depends on which network rents the card",
    ))
}

pub(super) fn migration(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let home = desk.tariff(Some("US residential (May 2026 study)"))?;
    let low = desk.tariff(Some("Small operator low"))?;
    let high = desk.tariff(Some("Small operator high"))?;
    let row = desk.catalogue.rentals.first().ok_or(Stop::Missing("card that was rented out"))?;
    desk.figures.cite_row(row, format!("{} W", row.watts));
    let kwh = over(times(times(row.watts, HOURS_PER_DAY)?, Decimal::TEN)?, Decimal::ONE_THOUSAND)?;
    let saved = Range { low: times(kwh, home.0 - high.0)?, high: times(kwh, home.0 - low.0)? };
    let days = claimed.over(saved)?;
    let arithmetic = format!(
        "ten cards of {} W save {} $/day between {} and {}-{} $/kWh: paid back in {} days",
        shown(row.watts, 0),
        saved.shown(2),
        shown(home.0, 2),
        shown(low.0, 2),
        shown(high.0, 2),
        days.shown(0)
    );
    Ok(Finding::undecided(
        arithmetic,
        "nothing in the catalogue says what moving costs; the sum says when it pays",
    ))
}

pub(super) fn worth_my_time(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let name = desk.claim.claim.trim_start_matches("Worth my time ").to_owned();
    let tariff = desk.tariff(None)?;
    let (life, used) = (desk.assumption("hardware_life")?, desk.assumption("utilization_for_amortization")?);
    let machine = desk.hardware(&name)?;
    let power = electricity_usd_per_hour(machine.train_watts, tariff);
    let wear = amortized_usd_per_hour(machine.price_usd, Usd::ZERO, life, used).ok_or(Stop::OutOfReach)?;
    let pay = desk.sats(claimed.low)?;
    let cost = (power + wear).0;
    let mut arithmetic = format!(
        "{} $/h, {} times power and purchase ({} $/h)",
        shown(pay, 2),
        shown(over(pay, cost)?, 1),
        shown(cost, 3)
    );
    let gpu = name.trim_end_matches(" system").to_owned();
    let Ok(market) = desk.market(&gpu, "Vast.ai") else {
        return Ok(Finding::undecided(
            arithmetic,
            "a wish, and no market of the catalogue lists this machine",
        ));
    };
    let offered = market.typical().0;
    arithmetic.push_str(&format!(
        "; {} times the market's {} $/h",
        shown(over(pay, offered)?, 1),
        shown(offered, 2)
    ));
    let why = if offered < pay { "a wish; the market pays less" } else { "a wish; the market pays as much" };
    Ok(Finding::undecided(arithmetic, why))
}

pub(super) fn swarm(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let [peers, sats] = desk.said(["how many machines", "what each is paid"])?;
    let pay = desk.sats(times(peers, sats)?)?;
    let missing = Stop::Missing("on-demand price of an A100 at CoreWeave");
    let rented = desk.cloud("A100", "on-demand", |provider, _| provider == "CoreWeave").ok_or(missing)?;
    let instead = over(pay, rented.low)?;
    let arithmetic = format!(
        "{peers} × {sats} sats = {} $/h, the price of {} A100 at {} $/h",
        shown(pay, 2),
        shown(instead, 1),
        shown(rented.low, 2)
    );
    let why = format!(
        "the pay is right; that the swarm matches one A100 is unproven, and it would have to match {}",
        shown(instead, 1)
    );
    Ok(Finding::new(arithmetic, claimed.verdict(Range { low: pay, high: pay }), why))
}
