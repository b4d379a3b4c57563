//! Claims about what computing costs at clouds and networks.

use super::desk::{Desk, Finding, Range, Stop, over, shown, times};
use crate::money::{HOURS_PER_DAY, HOURS_PER_MONTH};
use rust_decimal::{Decimal, dec};

/// Networks that sell what clouds sell, in the catalogue's tables.
fn is_cloud(name: &str) -> bool {
    name.contains("AWS") || name.contains("GCP")
}

pub(super) fn market_capitalization(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let price = desk.network("Bittensor", "token_price")?;
    let supply = desk.other_claim("Bittensor circulating supply")?;
    let one = over(times(supply.high, price)?, dec!(1000))?;
    let share = Range { low: one, high: one }.over(claimed)?.times(Decimal::ONE_HUNDRED)?;
    let arithmetic = format!(
        "Bittensor alone: {} million tokens × {} $ = {} billion $, {} % of it",
        shown(supply.high, 2),
        shown(price, 0),
        shown(one, 2),
        share.shown(0)
    );
    Ok(Finding::undecided(arithmetic, "the catalogue has no supply and price of the other networks"))
}

pub(super) fn revenue(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?.times(dec!(1_000_000))?;
    let price = desk.market("RTX-4090", "Vast.ai")?.typical().0;
    let month = times(price, HOURS_PER_MONTH)?;
    let cards = Range { low: over(claimed.low, month)?, high: over(claimed.high, month)? };
    let arithmetic = format!(
        "as RTX 4090 at the median of {} $/h: {} million cards rented day and night",
        shown(price, 2),
        cards.times(dec!(0.000001))?.shown(2)
    );
    Ok(Finding::undecided(
        arithmetic,
        "the catalogue has no revenue of a network; `econ network` computes one",
    ))
}

pub(super) fn times_cheaper(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let missing = || Stop::Missing("prices of an A100 at both hyperscalers and networks");
    let source = desk.claim.source.clone();
    let dear = desk.cloud("A100", "on-demand", |provider, by| is_cloud(provider) && by == source);
    let dear = dear.ok_or_else(missing)?;
    let own = networks(desk, Some(&source)).ok_or_else(missing)?;
    let all = networks(desk, None).ok_or_else(missing)?;
    let all_dear = desk.cloud("A100", "on-demand", |provider, _| is_cloud(provider)).ok_or_else(missing)?;
    let by_itself = dear.over(own)?;
    let by_all = all_dear.over(all)?;
    let arithmetic = format!(
        "A100: {} ÷ {} $/h = {} times by its own source; {} ÷ {} = {} by all sources",
        dear.shown(2),
        own.shown(2),
        by_itself.shown(1),
        all_dear.shown(2),
        all.shown(2),
        by_all.shown(1)
    );
    let why = "it lies inside a range so wide that any factor in it could be claimed; one source has a network above a cloud";
    let why = if by_all.low < Decimal::ONE {
        why
    } else {
        "the factor depends on which end of which range is taken"
    };
    Ok(Finding::new(arithmetic, claimed.verdict(by_all), why))
}

/// What an A100 costs on the networks, by one source or by all.
fn networks(desk: &mut Desk<'_>, source: Option<&str>) -> Option<Range> {
    let rows = desk.catalogue.market_prices_of("A100").filter(|row| !is_cloud(&row.network));
    let rows: Vec<_> = rows.filter(|row| source.is_none_or(|source| row.source == source)).collect();
    for row in &rows {
        let high = row.usd_high.unwrap_or(row.usd_low);
        desk.figures.cite_row(*row, format!("{}-{} usd/h", row.usd_low.0, high.0));
    }
    Range::of(rows.iter().flat_map(|row| [row.usd_low.0, row.usd_high.unwrap_or(row.usd_low).0]))
}

pub(super) fn percent_cheaper(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let row = desk.market("A100", "Akash")?;
    let sla = if row.sla.is_empty() { "as it may be" } else { &row.sla }.to_owned();
    let terms = row.terms.clone();
    let akash = Range { low: row.usd_low.0, high: row.usd_high.unwrap_or(row.usd_low).0 };
    let clouds =
        desk.cloud("A100", "on-demand", |_, _| true).ok_or(Stop::Missing("price of an A100 at a cloud"))?;
    let left = akash.over(clouds)?;
    let saved = |rest: Decimal| times(Decimal::ONE - rest, Decimal::ONE_HUNDRED);
    let computed = Range { low: saved(left.high)?, high: saved(left.low)? };
    let arithmetic =
        format!("A100: 1 − {} ÷ {} $/h = {} % cheaper", akash.shown(2), clouds.shown(2), computed.shown(0));
    let why = format!("on demand at clouds against {terms}, available {sla}");
    Ok(Finding::new(arithmetic, claimed.verdict(computed), why))
}

pub(super) fn two_clouds(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let missing = || Stop::Missing("on-demand price of an A100 at CoreWeave and at AWS");
    let source = desk.claim.source.clone();
    let one = desk.cloud("A100", "on-demand", |provider, _| provider == "CoreWeave").ok_or_else(missing)?;
    let other = desk.cloud("A100", "on-demand", |provider, by| provider == "AWS" && by == source);
    let other = other.ok_or_else(missing)?;
    let ratio = one.over(other)?;
    let arithmetic = format!("{} ÷ {} $/h = {}", one.shown(2), other.shown(2), ratio.shown(2));
    let machines = |provider: &str| -> String {
        let rows = desk.catalogue.cloud_prices_of("A100").filter(|row| row.provider == provider);
        let names = rows.filter(|row| row.terms == "on-demand").map(|row| row.gpu.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let why = format!("{} against {}", machines("CoreWeave"), machines("AWS"));
    Ok(Finding::new(arithmetic, desk.claimed()?.verdict(ratio), why))
}

pub(super) fn node_of_h100(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let price =
        desk.cloud("H100", "on-demand", |_, _| true).ok_or(Stop::Missing("on-demand price of an H100"))?;
    let day = price.times(HOURS_PER_DAY * dec!(8))?;
    let discount = desk.other_claim("Reserved discount")?;
    let rest = |percent: Decimal| over(Decimal::ONE_HUNDRED - percent, Decimal::ONE_HUNDRED);
    let reserved =
        Range { low: times(day.low, rest(discount.high)?)?, high: times(day.low, rest(discount.low)?)? };
    let arithmetic = format!("8 × {} $/h × 24 h = {} $/day on demand", price.shown(2), day.shown(0));
    let why = format!(
        "the cheapest reserved, at the {} % off that is claimed elsewhere, would be {} $/day",
        discount.shown(0),
        reserved.shown(0)
    );
    Ok(Finding::new(arithmetic, claimed.verdict(day), why))
}

pub(super) fn reserved_discount(desk: &mut Desk<'_>) -> Result<Finding, Stop> {
    let claimed = desk.claimed()?;
    let rows = &desk.catalogue.cloud_prices;
    let mut discounts = Vec::new();
    for reserved in rows.iter().filter(|row| row.terms.starts_with("reserved")) {
        let same = |row: &&_| is_same_machine(row, reserved);
        if let Some(on_demand) = rows.iter().find(same) {
            let left = over(reserved.gpu_usd_per_hour.0, on_demand.gpu_usd_per_hour.0)?;
            discounts.push(times(Decimal::ONE - left, Decimal::ONE_HUNDRED)?);
            for row in [reserved, on_demand] {
                desk.figures.cite_row(row, format!("{} usd/h", row.gpu_usd_per_hour.0));
            }
        }
    }
    let computed =
        Range::of(discounts.iter().copied()).ok_or(Stop::Missing("machine both reserved and on demand"))?;
    let arithmetic = format!("machines at both terms: {}; {} % off", discounts.len(), computed.shown(1));
    let why = match computed.high < claimed.low {
        true => "less than the least that is claimed",
        false => "of the machines that the catalogue has at both terms",
    };
    Ok(Finding::new(arithmetic, claimed.verdict(computed), why))
}

fn is_same_machine(row: &crate::catalogue::CloudPrice, reserved: &crate::catalogue::CloudPrice) -> bool {
    let same = (&row.provider, &row.configuration) == (&reserved.provider, &reserved.configuration);
    same && row.terms == "on-demand"
}
