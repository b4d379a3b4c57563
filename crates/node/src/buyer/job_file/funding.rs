//! `[funding]`: how the money of a job gets to where it waits.

use super::JobFileError;
use crate::config_file::{BadUnit, Money, Span};
use market::{
    funding::{self, DEPOSIT_PPM, Funding, SalePrice},
    job::{JobSpec, Verification},
    order::OrderTerms,
    rules::Rules,
    units::{Msat, Overflow, PPM, Rounding, Unit, mul_div},
};
use serde::{Deserialize, Deserializer, de};
use std::str::FromStr;

/// `[funding]`: one of the three. Without it the whole budget is locked at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FundingTable {
    /// One prepayment after another.
    pub session: Option<Prepayment>,
    /// Payments that the provider holds until the verdict.
    pub hold: Option<Slices>,
    /// Each result is paid for when it is verified, to whoever has its key.
    pub decrypt: bool,
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
    /// What may hang in holds, be taken from them, or be paid for keys.
    pub(super) holds_max_msat: Msat,
    /// The bond that a provider needs for it.
    pub(super) min_bond_msat: Msat,
}

impl FundingTable {
    /// Divides the most that the job may cost (the budget of `terms`) into what the market gets and what is held.
    pub(super) fn resolve(&self, terms: &OrderTerms, spec: &JobSpec) -> Result<Resolved, JobFileError> {
        let overflow = |overflow: Overflow| JobFileError::Flaw(overflow.to_string());
        let all = terms.budget_msat;
        let (holds_max_msat, min_bond_msat) = (Msat::ZERO, Msat::ZERO);
        match (self.session, self.hold, self.decrypt) {
            (None, None, false) => {
                Ok(Resolved { funding: None, budget_msat: all, holds_max_msat, min_bond_msat })
            }
            (None, None, true) => decrypt(terms, spec),
            (Some(_), Some(_), _) | (Some(_), _, true) | (_, Some(_), true) => Err(JobFileError::Flaw(
                "a job is funded by a session, by holds, or by paying to decrypt: one of them".into(),
            )),
            (Some(prepayment), None, false) => {
                let prepay_msat = prepayment.amount(terms)?.min(all);
                let funding = Some(Funding::Session { prepay_msat });
                Ok(Resolved { funding, budget_msat: all, holds_max_msat, min_bond_msat })
            }
            (None, Some(Slices { slice, slices }), false) => {
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
                Ok(Resolved { funding: Some(funding), budget_msat, holds_max_msat, min_bond_msat })
            }
        }
    }
}

/// Divides what a job may cost whose results are paid to decrypt: deposits and replicas to the market, the rest for keys. A
/// provider's bond has to cover a key.
fn decrypt(terms: &OrderTerms, spec: &JobSpec) -> Result<Resolved, JobFileError> {
    if terms.ceiling.unit != Unit::Task || !matches!(spec.verification, Verification::Replicas { .. }) {
        return Err(JobFileError::Flaw(
            "paying to decrypt needs max_price_per_task, because each result is sold by itself, and [verify] method = \"replicas\", \
             because somebody has to vouch for it"
                .into(),
        ));
    }
    let overflow = |overflow: Overflow| JobFileError::Flaw(overflow.to_string());
    let price = SalePrice::new(&Rules::RECOMMENDED, &terms.ceiling, DEPOSIT_PPM).map_err(overflow)?;
    let tasks = u64::from(spec.tasks);
    let deposits = price.deposit_msat.times(tasks).map_err(overflow)?;
    let keys = price.invoice_msat().times(tasks).map_err(overflow)?;
    let budget_msat = deposits.plus(checks(terms, spec).map_err(overflow)?).map_err(overflow)?;
    let (given, needed) = (terms.budget_msat, budget_msat.plus(keys).map_err(overflow)?);
    if given < needed {
        return Err(JobFileError::DecryptBudget { given, needed, keys, kept: budget_msat });
    }
    Ok(Resolved {
        funding: Some(Funding::Decrypt { deposit_ppm: DEPOSIT_PPM }),
        budget_msat,
        holds_max_msat: given.saturating_sub(budget_msat),
        min_bond_msat: price.invoice_msat(),
    })
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
