//! `[funding]`: how the money of a job gets to where it waits.

use super::JobFileError;
use crate::config_file::{BadUnit, Money, Span};
use market::{
    funding::{self, Funding},
    job::{JobSpec, Verification},
    order::OrderTerms,
    rules::Rules,
    units::{Msat, Overflow, PPM, Rounding, Unit, mul_div},
};
use serde::{Deserialize, Deserializer, de};
use std::str::FromStr;

/// `[funding]`: one of the two. Without it the whole budget is locked at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FundingTable {
    /// One prepayment after another.
    pub session: Option<Prepayment>,
    /// Payments that the provider holds until the verdict.
    pub hold: Option<Slices>,
}

/// How large a prepayment is: `5000 sat`, or `15m` of the most that all slots cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepayment {
    /// So much.
    Amount(Money),
    /// What so much time costs at the ceiling, in every slot.
    Time(Span),
}

/// A text that is no prepayment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a prepayment like \"5000 sat\" or, for prices by the hour, \"15m\"")]
pub struct BadPrepayment(String);

impl FromStr for Prepayment {
    type Err = BadPrepayment;

    fn from_str(text: &str) -> Result<Prepayment, BadPrepayment> {
        let amount = text.parse().map(Prepayment::Amount);
        amount
            .or_else(|_: BadUnit| text.parse().map(Prepayment::Time))
            .map_err(|_: BadUnit| BadPrepayment(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Prepayment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Prepayment, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The slices of each lease's hold: `{ slice = "100000 sat", slices = 4 }`, on the command line `4x100000sat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slices {
    /// One of them.
    pub slice: Money,
    /// How many.
    pub slices: u8,
}

/// A text that is no hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hold like 4x100000sat: a number of slices, and what each is")]
pub struct BadSlices(String);

impl FromStr for Slices {
    type Err = BadSlices;

    fn from_str(text: &str) -> Result<Slices, BadSlices> {
        let bad = || BadSlices(text.to_owned());
        let (slices, slice) = text.split_once(['x', '×']).ok_or_else(bad)?;
        Ok(Slices {
            slices: slices.trim().parse().map_err(|_| bad())?,
            slice: slice.parse().map_err(|_: BadUnit| bad())?,
        })
    }
}

/// What a job's terms become when it is funded in this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) funding: Option<Funding>,
    /// What the market may take of the buyer's balance.
    pub(super) budget_msat: Msat,
    /// What may hang in holds, or be taken from them.
    pub(super) holds_max_msat: Msat,
}

impl FundingTable {
    /// Divides the most that the job may cost (the budget of `terms`) into what the market gets and what is held.
    pub(super) fn resolve(&self, terms: &OrderTerms, spec: &JobSpec) -> Result<Resolved, JobFileError> {
        let overflow = |overflow: Overflow| JobFileError::Flaw(overflow.to_string());
        let all = terms.budget_msat;
        match (self.session, self.hold) {
            (None, None) => Ok(Resolved { funding: None, budget_msat: all, holds_max_msat: Msat::ZERO }),
            (Some(_), Some(_)) => {
                Err(JobFileError::Flaw("a job is funded by a session or by holds, not by both".into()))
            }
            (Some(prepayment), None) => {
                let prepay_msat = prepayment.amount(terms)?.min(all);
                let funding = Some(Funding::Session { prepay_msat });
                Ok(Resolved { funding, budget_msat: all, holds_max_msat: Msat::ZERO })
            }
            (None, Some(Slices { slice, slices })) => {
                let funding = Funding::Hold { slice_msat: slice.0, slices };
                let rules = &Rules::RECOMMENDED;
                let reserve = funding::reserve(rules, slice.0, slices).map_err(overflow)?;
                let held = slice.0.times(u64::from(slices) * u64::from(terms.slots)).map_err(overflow)?;
                let kept = reserve.times(terms.slots.into()).map_err(overflow)?;
                let budget_msat = kept.plus(checks(terms, spec).map_err(overflow)?).map_err(overflow)?;
                let needed = budget_msat.plus(held).map_err(overflow)?;
                if all < needed {
                    return Err(JobFileError::HoldBudget { given: all, needed, held, kept: budget_msat });
                }
                let holds_max_msat = all.saturating_sub(budget_msat);
                Ok(Resolved { funding: Some(funding), budget_msat, holds_max_msat })
            }
        }
    }
}

impl Prepayment {
    fn amount(self, terms: &OrderTerms) -> Result<Msat, JobFileError> {
        match self {
            Prepayment::Amount(money) => Ok(money.0),
            Prepayment::Time(span) if terms.ceiling.unit == Unit::Ms => {
                let amount = terms.ceiling.ceiling(span.0).and_then(|one| one.times(terms.slots.into()));
                amount.map_err(|overflow| JobFileError::Flaw(overflow.to_string()))
            }
            Prepayment::Time(_) => Err(JobFileError::Flaw(
                "a session by time needs max_price_per_hour: nobody knows what a quarter of an hour of tasks costs; say an \
                 amount, like session = \"5000 sat\""
                    .into(),
            )),
        }
    }
}

/// What checking may cost beside the holds: replicas of validators are paid by the market out of the budget. An audited task
/// may need one more to decide it.
fn checks(terms: &OrderTerms, spec: &JobSpec) -> Result<Msat, Overflow> {
    let tasks = u64::from(spec.tasks);
    let replicas = match &spec.verification {
        Verification::None => 0,
        Verification::Replicas { k, .. } => tasks * u64::from(k.saturating_sub(1)),
        Verification::Audit { floor_ppm } => {
            2 * mul_div(tasks, u64::from(*floor_ppm), PPM, Rounding::Up).unwrap_or(tasks)
        }
    };
    let one = match terms.ceiling.unit {
        Unit::Task => terms.ceiling.ceiling(1)?,
        Unit::Fuel => terms.ceiling.ceiling(spec.limits.fuel)?,
        Unit::Ms => terms.ceiling.ceiling(spec.limits.timeout_ms)?,
    };
    one.times(replicas)
}
