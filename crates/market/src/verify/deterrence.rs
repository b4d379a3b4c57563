//! Whether cheating pays: the numbers that each party relies on.

use crate::{
    job::{TaskLimits, Verification},
    units::{Msat, PPM, Rounding, Unit, mul_div},
};
use serde::{Deserialize, Serialize};

/// What a cheat on one task must gain for it to pay, in expectation: `p·d·(1−r)·(R+S)`.
///
/// `p` is the share of tasks that is checked, `d` the probability that a check proves a wrong result, `r` the probability
/// that whoever checks is in league with the cheat (all in parts per million), `R` the pay still withheld and `S` the
/// bond: both are lost. Cheating loses while what it saves, at most the price of the task, is below this. Rounded down,
/// so that nobody is promised more than there is.
pub fn deterrence(p_ppm: u32, d_ppm: u32, r_ppm: u32, withheld: Msat, bond: Msat) -> Msat {
    let share = |value: u64, ppm: u64| mul_div(value, ppm.min(PPM), PPM, Rounding::Down).unwrap_or(0);
    let at_stake = withheld.0.saturating_add(bond.0);
    let checked = share(share(at_stake, p_ppm.into()), d_ppm.into());
    Msat(share(checked, PPM.saturating_sub(r_ppm.into()))).min(Msat::MAX)
}

/// What stands between a provider and a false result for one more task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deterrence {
    /// Nothing: nobody checks the results.
    Unverified,
    /// Nothing is left to decide: the lease is settled.
    Settled,
    /// The numbers of [`deterrence`].
    Stakes(Stakes),
}

/// The numbers of [`deterrence`], and what follows from them when nobody who checks is in league with the cheat (`r` = 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stakes {
    /// `p`: the share of tasks that is checked, in parts per million.
    pub checked_ppm: u32,
    /// `d`: the share of wrong results that a check proves, in parts per million.
    pub proven_ppm: u32,
    /// `R`: the pay still withheld.
    pub withheld_msat: Msat,
    /// `S`: the bond.
    pub bond_msat: Msat,
    /// `c`: what a false result saves at most, the price of the task.
    pub gain_msat: Msat,
    /// `p·d·(R+S)`: what it costs on average.
    pub loss_msat: Msat,
    /// Whether cheating pays: the loss is not above the gain.
    pub cheating_pays: bool,
    /// `r`: cheating does not pay while a smaller share of those who check is in league with the cheat, in parts per million.
    pub colluding_below_ppm: u32,
    /// The bond from which on cheating does not pay; none when no bond is enough, because nothing is proven.
    pub bond_needed_msat: Option<Msat>,
}

impl Deterrence {
    /// What deters from cheating on one task under this way to verify. `audit_ppm` is the share that is audited,
    /// where results are audited.
    pub fn new(
        verification: &Verification,
        audit_ppm: u32,
        withheld_msat: Msat,
        bond_msat: Msat,
        gain_msat: Msat,
    ) -> Deterrence {
        let (checked_ppm, proven_ppm) = match verification {
            Verification::None => return Deterrence::Unverified,
            // Without room for one more replica a dissent stays undecided: unpaid, but nobody is convicted.
            Verification::Replicas { k, n, .. } => (PPM as u32, if n > k { PPM as u32 } else { 0 }),
            Verification::Audit { .. } => (audit_ppm.min(PPM as u32), PPM as u32),
        };
        let loss_msat = deterrence(checked_ppm, proven_ppm, 0, withheld_msat, bond_msat);
        let margin = loss_msat.saturating_sub(gain_msat);
        let below = mul_div(margin.0, PPM, loss_msat.0.max(1), Rounding::Down).unwrap_or(0);
        Deterrence::Stakes(Stakes {
            checked_ppm,
            proven_ppm,
            withheld_msat,
            bond_msat,
            gain_msat,
            loss_msat,
            cheating_pays: margin == Msat::ZERO,
            colluding_below_ppm: below as u32,
            bond_needed_msat: bond_needed(checked_ppm, proven_ppm, withheld_msat, gain_msat),
        })
    }

    /// How far cheating is from paying; the smallest is the weakest. What is settled cannot be cheated on any more.
    pub fn margin_msat(&self) -> i128 {
        match self {
            Deterrence::Unverified => i128::MIN,
            Deterrence::Settled => i128::MAX,
            Deterrence::Stakes(stakes) => i128::from(stakes.loss_msat.0) - i128::from(stakes.gain_msat.0),
        }
    }
}

/// The smallest bond whose expected loss is above the gain.
fn bond_needed(p_ppm: u32, d_ppm: u32, withheld: Msat, gain: Msat) -> Option<Msat> {
    let proven = mul_div(p_ppm.into(), d_ppm.into(), PPM, Rounding::Down)?;
    let at_stake = mul_div(gain.0.checked_add(1)?, PPM, (proven > 0).then_some(proven)?, Rounding::Up)?;
    let bond = Msat(at_stake.saturating_sub(withheld.0));
    (bond <= Msat::MAX).then_some(bond)
}

/// The most that one task may use, in a price's unit.
pub fn task_usage_max(unit: Unit, limits: &TaskLimits) -> u64 {
    match unit {
        Unit::Task => 1,
        Unit::Fuel => limits.fuel,
        Unit::Ms => limits.timeout_ms,
    }
}

/// What one task is expected to use, in a price's unit: of time, the mean of the tasks so far, in milliseconds; of
/// anything else, and while that mean is zero because none has ended, [the most that it may](task_usage_max).
pub fn task_usage(unit: Unit, limits: &TaskLimits, mean_task_ms: u64) -> u64 {
    match unit {
        Unit::Ms if mean_task_ms > 0 => mean_task_ms,
        Unit::Task | Unit::Fuel | Unit::Ms => task_usage_max(unit, limits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AUDIT: Verification = Verification::Audit { floor_ppm: 0 };

    fn stakes(verification: &Verification, p_ppm: u32, withheld: u64, bond: u64, gain: u64) -> Stakes {
        match Deterrence::new(verification, p_ppm, Msat(withheld), Msat(bond), Msat(gain)) {
            Deterrence::Stakes(stakes) => stakes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn deterrence_is_the_formula_and_never_more_than_is_at_stake() {
        let stake = (Msat(40_000), Msat(60_000));
        assert_eq!(deterrence(100_000, 1_000_000, 0, stake.0, stake.1), Msat(10_000));
        assert_eq!(deterrence(500_000, 500_000, 200_000, stake.0, stake.1), Msat(20_000));
        assert_eq!(deterrence(1_000_000, 1_000_000, 0, stake.0, stake.1), Msat(100_000));
        assert_eq!(deterrence(1_000_000, 1_000_000, 1_000_000, stake.0, stake.1), Msat(0));
    }

    #[test]
    fn cheating_pays_until_the_loss_is_above_the_price() {
        assert!(stakes(&AUDIT, 100_000, 0, 10_000, 1_000).cheating_pays);
        let enough = stakes(&AUDIT, 100_000, 10, 10_000, 1_000);
        assert!(!enough.cheating_pays);
        assert_eq!(stakes(&AUDIT, 100_000, 0, 20_000, 1_000).colluding_below_ppm, 500_000);
    }

    #[test]
    fn replicas_without_room_for_one_more_convict_nobody() {
        let replicas = |n| Verification::Replicas { k: 2, n, named: vec![] };
        let tight = stakes(&replicas(2), 0, 0, 1_000_000, 1);
        assert!(tight.cheating_pays && tight.bond_needed_msat.is_none());
        assert!(!stakes(&replicas(3), 0, 0, 1_000_000, 1).cheating_pays);
    }

    #[test]
    fn what_nobody_checks_is_weaker_than_anything() {
        let none = Deterrence::new(&Verification::None, 1_000_000, Msat(1), Msat(1), Msat(0));
        assert_eq!(none, Deterrence::Unverified);
        let weak = Deterrence::new(&AUDIT, 0, Msat::ZERO, Msat::ZERO, Msat::MAX);
        assert!(none.margin_msat() < weak.margin_msat());
    }

    proptest! {
        #[test]
        fn the_bond_needed_is_the_smallest_that_deters(
            p_ppm in 1u32..=1_000_000, withheld in 0u64..1 << 40, gain in 0u64..1 << 40,
        ) {
            let needed = stakes(&AUDIT, p_ppm, withheld, 0, gain).bond_needed_msat.unwrap_or(Msat::MAX);
            prop_assert!(!stakes(&AUDIT, p_ppm, withheld, needed.0, gain).cheating_pays);
            if needed > Msat::ZERO {
                prop_assert!(stakes(&AUDIT, p_ppm, withheld, needed.0 - 1, gain).cheating_pays);
            }
        }

        #[test]
        fn collusion_below_the_named_share_leaves_cheating_at_a_loss(
            p_ppm in 1u32..=1_000_000, bond in 0u64..1 << 40, gain in 0u64..1 << 40,
        ) {
            let stakes = stakes(&AUDIT, p_ppm, 0, bond, gain);
            let r_ppm = stakes.colluding_below_ppm.saturating_sub(1);
            let loss = deterrence(p_ppm, stakes.proven_ppm, r_ppm, Msat::ZERO, Msat(bond));
            prop_assert!(stakes.cheating_pays || loss >= Msat(gain));
        }
    }
}
