//! Which way of funding suits a job, and what each side can lose in each: a function without state.
//!
//! The rule: of the ways that are possible, the one in which the least of the buyer's money lies with the market at any time.
//! A session is preferred where they are equal, because it needs no node. So large work that is done soon takes a hold, and small
//! or long work a session.

use super::{
    BLOCK_MS, CLAIM_COSTS_PER_SLICE, DUST_LIMIT, FEE_SHARE_PPM, Funding, HOLD_BLOCKS_MAX, SLICES_MAX,
    fee_max, hold_span_ms, reserve,
};
use crate::{
    rules::Rules,
    units::{Msat, Overflow, PPM, Rounding},
};
use serde::Serialize;
use std::fmt;

/// A prepayment of a session is for this long, in milliseconds, where the job takes longer.
pub const PREPAY_MS: u64 = 900_000;
/// What a route costs however small the payment: a satoshi at each of three hops.
pub const ROUTE_COST: Msat = Msat(3_000);

/// What is to be funded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Work {
    /// What it may cost.
    pub amount_msat: Msat,
    /// How long it takes, in milliseconds.
    pub duration_ms: u64,
    /// The longest that a single task takes, in milliseconds.
    pub timeout_ms: u64,
    /// What claiming one payment on the chain costs today.
    pub claim_cost_msat: Msat,
}

/// A way of funding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// All of it is locked at the market at once.
    WholeBudget,
    /// One prepayment after another.
    Session,
    /// Payments that the provider holds until the verdict.
    Hold,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::WholeBudget => "whole budget",
            Way::Session => "session",
            Way::Hold => "hold",
        })
    }
}

/// Who can lose something, or be the one that it is lost to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Who pays.
    Buyer,
    /// Who works.
    Provider,
    /// The operator of the market.
    Market,
    /// The operator of the market and the provider together, against the buyer.
    MarketAndProvider,
    /// The miners: fees of transactions on the chain.
    Miners,
    /// A node between the two.
    RoutingNode,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Buyer => "buyer",
            Side::Provider => "provider",
            Side::Market => "market",
            Side::MarketAndProvider => "market and provider together",
            Side::Miners => "miners",
            Side::RoutingNode => "routing node",
        })
    }
}

/// The most that one side can lose to another, should that one cheat or fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Exposure {
    /// Who loses.
    pub who: Side,
    /// To whom.
    pub to: Side,
    /// How much at most.
    pub most_msat: Msat,
    /// When.
    pub when: &'static str,
}

/// One way, worked out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Worked {
    /// Which.
    pub way: Way,
    /// What an order would say; nothing for the whole budget, and where the way is not possible.
    pub funding: Option<Funding>,
    /// What the market has of the buyer's money at any time, at most.
    pub at_market_msat: Msat,
    /// How many Lightning payments the buyer makes.
    pub payments: u64,
    /// The size of each; the last may be smaller.
    pub payment_msat: Msat,
    /// The most that routing may cost in all.
    pub fees_max_msat: Msat,
    /// After how many blocks a payment goes back by itself; nothing where none is held.
    pub expiry_blocks: Option<u64>,
    /// How many leases are funded one after the other.
    pub periods: u64,
    /// Who can lose what.
    pub exposures: Vec<Exposure>,
    /// Why it was not chosen; nothing for the one that was.
    pub not_chosen: Option<String>,
}

/// What suits the work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The work.
    pub work: Work,
    /// The way that suits it.
    pub chosen: Way,
    /// A smaller payment is not worth sending: it could not be enforced on the chain, or routing would cost more than its share.
    pub least_payment_msat: Msat,
    /// The smallest slice of a hold.
    pub least_slice_msat: Msat,
    /// All of them.
    pub ways: Vec<Worked>,
}

/// Work that cannot be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing to pay, or no time to do it in.
    #[error("there is nothing to plan: amount and time have to be more than nothing")]
    Nothing,
    /// Too much.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

/// Works out every way and chooses one.
pub fn plan(rules: &Rules, work: Work) -> Result<Plan, PlanError> {
    if work.amount_msat == Msat::ZERO || work.duration_ms == 0 {
        return Err(PlanError::Nothing);
    }
    let least_payment_msat = DUST_LIMIT.max(ROUTE_COST.scale(PPM, FEE_SHARE_PPM, Rounding::Up)?);
    let least_slice_msat = work.claim_cost_msat.times(CLAIM_COSTS_PER_SLICE)?.max(least_payment_msat);
    let session = session(&work, least_payment_msat)?;
    let hold = hold(rules, &work, least_slice_msat)?;
    let is_hold = hold.funding.is_some() && hold.at_market_msat < session.at_market_msat;
    let chosen = if is_hold { Way::Hold } else { Way::Session };
    let mut ways = vec![whole_budget(&work), session, hold];
    let best = ways.iter().find(|option| option.way == chosen).map_or(Msat::ZERO, |best| best.at_market_msat);
    for option in &mut ways {
        if option.way == chosen {
            option.not_chosen = None;
        } else if option.not_chosen.is_none() {
            option.not_chosen = Some(format!(
                "the market would have {} of the buyer's money, with a {chosen} {best}",
                option.at_market_msat
            ));
        }
    }
    Ok(Plan { work, chosen, least_payment_msat, least_slice_msat, ways })
}

fn whole_budget(work: &Work) -> Worked {
    let all = work.amount_msat;
    Worked {
        way: Way::WholeBudget,
        funding: None,
        at_market_msat: all,
        payments: 1,
        payment_msat: all,
        fees_max_msat: fee_max(all),
        expiry_blocks: None,
        periods: 1,
        exposures: vec![
            Exposure { who: Side::Buyer, to: Side::Market, most_msat: all, when: "until the job is settled" },
            Exposure {
                who: Side::Provider,
                to: Side::Market,
                most_msat: all,
                when: "until it withdraws what it earned",
            },
        ],
        not_chosen: None,
    }
}

fn session(work: &Work, least_payment_msat: Msat) -> Result<Worked, Overflow> {
    let by_time = work.amount_msat.scale(PREPAY_MS.min(work.duration_ms), work.duration_ms, Rounding::Up)?;
    let prepay_msat = whole_sats(by_time).max(least_payment_msat).min(work.amount_msat);
    let payments = work.amount_msat.0.div_ceil(prepay_msat.0);
    Ok(Worked {
        way: Way::Session,
        funding: Some(Funding::Session { prepay_msat }),
        // The next prepayment is taken before the last one is used up.
        at_market_msat: Msat(prepay_msat.0 + prepay_msat.0 / 4).min(work.amount_msat),
        payments,
        payment_msat: prepay_msat,
        fees_max_msat: fee_max(prepay_msat).times(payments)?,
        expiry_blocks: None,
        periods: 1,
        exposures: vec![
            Exposure {
                who: Side::Buyer,
                to: Side::Market,
                most_msat: Msat(prepay_msat.0 + prepay_msat.0 / 4).min(work.amount_msat),
                when: "a prepayment and a quarter, while the job runs",
            },
            Exposure {
                who: Side::Provider,
                to: Side::Market,
                most_msat: work.amount_msat,
                when: "what it earned, until it withdraws it",
            },
        ],
        not_chosen: None,
    })
}

fn hold(rules: &Rules, work: &Work, least_slice_msat: Msat) -> Result<Worked, Overflow> {
    let other_ms = hold_span_ms(rules, 0, work.timeout_ms);
    let longest_ms = (HOLD_BLOCKS_MAX * BLOCK_MS).saturating_sub(other_ms);
    if longest_ms == 0 {
        let why = format!(
            "a single task of {} s takes too long for a hold of {HOLD_BLOCKS_MAX} blocks",
            work.timeout_ms / 1_000
        );
        return Ok(no_hold(work, why));
    }
    let periods = work.duration_ms.div_ceil(longest_ms);
    let period_ms = work.duration_ms.div_ceil(periods);
    let period_msat = Msat(work.amount_msat.0.div_ceil(periods));
    let slices = (period_msat.0 / least_slice_msat.0).min(SLICES_MAX.into());
    let Some(count) = u8::try_from(slices).ok().filter(|count| *count > 0) else {
        let why = format!(
            "a slice has to be at least {least_slice_msat}, {CLAIM_COSTS_PER_SLICE} times what claiming it on the chain costs, and \
             there is only {period_msat} to divide"
        );
        return Ok(no_hold(work, why));
    };
    let slice_msat = whole_sats(Msat(period_msat.0.div_ceil(slices)));
    let (held_msat, kept_msat) = (slice_msat.times(slices)?, reserve(rules, slice_msat, count)?);
    let payments = slices * periods;
    Ok(Worked {
        way: Way::Hold,
        funding: Some(Funding::Hold { slice_msat, slices: count }),
        at_market_msat: kept_msat,
        payments,
        payment_msat: slice_msat,
        fees_max_msat: fee_max(slice_msat).times(payments)?,
        expiry_blocks: Some(hold_span_ms(rules, period_ms, work.timeout_ms).div_ceil(BLOCK_MS)),
        periods,
        exposures: hold_exposures(work, held_msat, kept_msat, count)?,
        not_chosen: None,
    })
}

fn hold_exposures(
    work: &Work,
    held_msat: Msat,
    kept_msat: Msat,
    slices: u8,
) -> Result<Vec<Exposure>, Overflow> {
    let earned_msat = held_msat.plus(kept_msat)?;
    Ok(vec![
        Exposure {
            who: Side::Buyer,
            to: Side::Market,
            most_msat: kept_msat,
            when: "the reserve, until the job is settled",
        },
        Exposure {
            who: Side::Buyer,
            to: Side::MarketAndProvider,
            most_msat: held_msat,
            when: "the market alone releases: with the provider it could take a hold without work",
        },
        Exposure {
            who: Side::Provider,
            to: Side::Market,
            most_msat: earned_msat,
            when: "work of one hold, should the market not release what was earned",
        },
        Exposure {
            who: Side::Provider,
            to: Side::Miners,
            most_msat: work.claim_cost_msat.times(slices.into())?,
            when: "when a channel is closed by force while slices are held",
        },
        Exposure {
            who: Side::RoutingNode,
            to: Side::Provider,
            most_msat: held_msat,
            when: "when it is away from the claim until the payment expires on the buyer's side",
        },
    ])
}

fn no_hold(work: &Work, why: String) -> Worked {
    Worked {
        way: Way::Hold,
        funding: None,
        at_market_msat: work.amount_msat,
        payments: 0,
        payment_msat: Msat::ZERO,
        fees_max_msat: Msat::ZERO,
        expiry_blocks: None,
        periods: 0,
        exposures: Vec::new(),
        not_chosen: Some(why),
    }
}

/// Rounded up, as wallets show it.
fn whole_sats(amount: Msat) -> Msat {
    Msat(amount.0.div_ceil(1_000).saturating_mul(1_000))
}
