//! How the money of a job gets to where it waits for results.
//!
//! | way | who holds what | for how long |
//! |---|---|---|
//! | [whole budget](crate::order::OrderTerms::budget_msat) (no [`Funding`]) | the market, all of it | until the job is settled |
//! | [`Funding::Session`] | the market, at most one prepayment at a time | until it is used up, or the job is settled |
//! | [`Funding::Hold`] | nobody in the middle: it hangs in the buyer's payment to the provider | until the verdict, or its expiry |
//! | [`Funding::Decrypt`] | the buyer, who pays for a result's key when the result is verified | until then |
//!
//! A hold is paid in slices, each with a payment hash of its own, so that part of it can be taken. The market knows the
//! preimages and gives out as many as were earned; what is earned beyond the last whole slice, and the market's fee, come
//! out of a reserve that the market does hold: one slice and the fee.

pub mod plan;
mod sale;

pub use sale::{EncryptedResult, SaleOffer, SalePrice, SaleTerms, result_key};

use crate::{
    rules::Rules,
    units::{Msat, Overflow, PPM, Rounding},
};
use serde::{Deserialize, Serialize};

/// The most prepayments of one session.
pub const PREPAYMENTS_MAX: u64 = 1_000;
/// The most slices of one hold.
pub const SLICES_MAX: u8 = 8;
/// A slice is at least this many times what claiming one payment on the chain costs.
pub const CLAIM_COSTS_PER_SLICE: u64 = 10;
/// The longest that a payment may be held, in blocks: a week. Nodes refuse routes that lock money much longer.
pub const HOLD_BLOCKS_MAX: u64 = 1_008;
/// A block of the bitcoin chain takes about ten minutes.
pub const BLOCK_MS: u64 = 600_000;

/// The share of a result's price that buyers who pay to decrypt leave with the market unless they say otherwise, in parts
/// per million: enough that not paying costs more than it saves trouble, little enough that the market is no bank.
pub const DEPOSIT_PPM: u32 = 250_000;

/// What routing may cost is at most this share of a payment, in parts per million…
pub const FEE_SHARE_PPM: u64 = 10_000;
/// …and this in any case: each hop has a base fee, however small the payment.
pub const FEE_FLOOR: Msat = Msat(5_000);
/// A payment on its way that is smaller than this has no output of its own on the chain (354 sat, the dust limit of the
/// outputs that channels have): should a channel be closed by force, nobody can claim it, and it goes to the miners.
pub const DUST_LIMIT: Msat = Msat(354_000);

/// The most that routing a payment of this size may cost.
pub fn fee_max(amount_msat: Msat) -> Msat {
    let share = amount_msat.scale(FEE_SHARE_PPM, PPM, Rounding::Up).unwrap_or(Msat::MAX);
    share.max(FEE_FLOOR)
}

/// How a job is funded other than by its whole budget at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Funding {
    /// A prepayment is taken from the buyer's balance, and another whenever less than a quarter of one is left, up to the
    /// budget.
    Session {
        /// One prepayment.
        prepay_msat: Msat,
    },
    /// Each lease is funded by Lightning payments that the provider holds and cannot take before the verdict. The budget
    /// is what the market keeps in reserve for them, and what replicas and audits may cost.
    Hold {
        /// One slice.
        slice_msat: Msat,
        /// How many there are for each lease, 1 to [`SLICES_MAX`].
        slices: u8,
    },
    /// Each result is encrypted, and the buyer pays its provider for the key when replicas have vouched for the result. The
    /// budget is what the market keeps for deposits, and what replicas may cost.
    Decrypt {
        /// The share of a result's price that the market keeps until the buyer shows the key, in parts per million. The
        /// provider gets it when the buyer does not pay.
        deposit_ppm: u32,
    },
}

/// What a provider asks of payments that it is to hold; an offer without it takes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldTerms {
    /// The smallest slice that is worth claiming on the chain.
    pub slice_min_msat: Msat,
}

impl Funding {
    /// The first thing that makes it unusable with this budget, in words.
    pub fn flaw(&self, budget_msat: Msat) -> Option<&'static str> {
        match *self {
            Funding::Session { prepay_msat } if prepay_msat == Msat::ZERO => Some("a prepayment of nothing"),
            Funding::Session { prepay_msat } if budget_msat.0 / prepay_msat.0 >= PREPAYMENTS_MAX => {
                Some("a session of more than 1000 prepayments: make them larger")
            }
            Funding::Session { prepay_msat } if prepay_msat > budget_msat => {
                Some("the prepayment is more than the whole budget")
            }
            Funding::Hold { slices, .. } if slices == 0 || slices > SLICES_MAX => {
                Some("a hold has 1 to 8 slices")
            }
            Funding::Hold { slice_msat, slices } if slice_msat.times(slices.into()).is_err() => {
                Some("the slices add up to more than all bitcoin")
            }
            Funding::Hold { slice_msat, .. } if slice_msat == Msat::ZERO => Some("a slice of nothing"),
            Funding::Decrypt { deposit_ppm: 0 } => Some("a deposit of nothing: the fee comes out of it"),
            Funding::Decrypt { deposit_ppm } if u64::from(deposit_ppm) > PPM => {
                Some("a deposit of more than the price")
            }
            Funding::Session { .. } | Funding::Hold { .. } | Funding::Decrypt { .. } => None,
        }
    }
}

/// How the money of a lease that is funded by a hold divides up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// Slices that the provider gets the preimages of.
    pub released: u8,
    /// What it gets of the reserve.
    pub rest_msat: Msat,
    /// What the operator gets of the reserve.
    pub fee_msat: Msat,
}

/// How long payments for a lease of this length have to be held, in milliseconds: funding, work, evaluation, claiming, and a
/// margin.
pub fn hold_span_ms(rules: &Rules, lease_max_ms: u64, timeout_ms: u64) -> u64 {
    let evaluation =
        [timeout_ms, timeout_ms, rules.link_grace_ms, rules.replica_wait_ms, rules.reveal_grace_ms];
    let rest = [rules.hold_fund_ms, rules.claim_grace_ms, rules.hold_claim_ms, rules.hold_margin_ms];
    evaluation.into_iter().chain(rest).fold(lease_max_ms, u64::saturating_add)
}

/// What the market keeps of the budget for a lease that is funded by a hold: one slice, and the fee on everything.
pub fn reserve(rules: &Rules, slice_msat: Msat, slices: u8) -> Result<Msat, Overflow> {
    let most = slice_msat.times(u64::from(slices) + 1)?;
    let fee_ppm = u64::from(rules.fee_ppm);
    slice_msat.plus(most.scale(fee_ppm, PPM - fee_ppm, Rounding::Up)?)
}

/// Divides what a lease earned, the fee included: as many whole slices as there are in it, the rest out of the reserve. The
/// fee is rounded down, as everywhere: the remainder stays with the provider.
pub fn divide(rules: &Rules, slice_msat: Msat, slices: u8, earned_msat: Msat) -> Division {
    let fee_msat = earned_msat.scale(rules.fee_ppm.into(), PPM, Rounding::Down).unwrap_or(Msat::ZERO);
    let net = earned_msat.saturating_sub(fee_msat);
    let released = (net.0 / slice_msat.0.max(1)).min(slices.into()) as u8;
    let rest_msat = net.saturating_sub(Msat(slice_msat.0 * u64::from(released)));
    Division { released, rest_msat, fee_msat }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_work_is_paid_by_all_slices() {
        let rules = &Rules::RECOMMENDED;
        let reserve = reserve(rules, Msat(1_000), 4).unwrap();
        assert_eq!(reserve, Msat(1_000 + 103), "2 % of what 5 slices are net, rounded up");
        let all = divide(rules, Msat(1_000), 4, Msat(5_103));
        assert_eq!(all, Division { released: 4, rest_msat: Msat(1_001), fee_msat: Msat(102) });
        let four = divide(rules, Msat(1_000), 4, Msat(4_082));
        assert_eq!(four, Division { released: 4, rest_msat: Msat(1), fee_msat: Msat(81) });
        let some = divide(rules, Msat(1_000), 4, Msat(2_500));
        assert_eq!(some, Division { released: 2, rest_msat: Msat(450), fee_msat: Msat(50) });
        assert_eq!(divide(rules, Msat(1_000), 4, Msat::ZERO).released, 0);
    }

    proptest! {
        #[test]
        fn the_reserve_covers_every_rest_and_fee(
            slice in 1u64..1_000_000_000_000,
            slices in 1u8..=SLICES_MAX,
            share_ppm in 0u64..=PPM,
        ) {
            let rules = &Rules::RECOMMENDED;
            let slice = Msat(slice);
            let reserve = reserve(rules, slice, slices).unwrap();
            let capacity = Msat(slice.0 * u64::from(slices) + reserve.0);
            let earned = capacity.scale(share_ppm, PPM, Rounding::Down).unwrap();
            let Division { released, rest_msat, fee_msat } = divide(rules, slice, slices, earned);
            prop_assert!(released <= slices);
            prop_assert_eq!(slice.0 * u64::from(released) + rest_msat.0 + fee_msat.0, earned.0);
            prop_assert!(rest_msat.0 + fee_msat.0 <= reserve.0, "{:?} {:?} of {:?}", rest_msat, fee_msat, reserve);
        }
    }
}
