//! What interruptions cost work that saves its state now and then.
//!
//! With `C` hours to save, `τ` hours of work between savings, `R` hours to go on after an interruption, and an
//! interruption every `M` hours on average (exponentially distributed; `M` of one machine ÷ machines, since one that stops
//! stops all):
//!
//! ```text
//! first order  lost ≈ C/τ + τ/(2M) + R/M                            best τ = √(2CM)                   Young 1974
//! exact        time = work · M/τ · e^(R/M) · (e^((τ+C)/M) − 1)      best τ = √(2CM)·(1 + x/3 + x²/9) − C  Daly 2006
//!              with x = √(C/(2M)), and τ = M where C ≥ 2M
//! ```
//!
//! J. W. Young, "A first order approximation to the optimum checkpoint interval", Communications of the ACM 17(9), 1974.
//! J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", Future Generation Computer
//! Systems 22(3), 2006.

use crate::{
    money::float,
    question::{self, QuestionError},
};
use rust_decimal::{Decimal, prelude::FromPrimitive};
use serde::Serialize;

/// Work that takes this many times as long as without interruptions does not end.
const ENDLESS: f64 = 1e6;

/// How work saves its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Habit {
    /// Hours of work between two savings, from 0.001; where none is given, the best by Daly.
    pub interval_hours: Option<Decimal>,
    /// Hours that a saving takes, from 0.0001.
    pub cost_hours: Decimal,
    /// Hours to go on after an interruption, from 0.
    pub restart_hours: Decimal,
}

/// What is expected to be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Hours between interruptions of all machines together.
    pub mtbf_hours: Decimal,
    /// Hours of work between two savings, as reckoned with.
    pub interval_hours: Decimal,
    /// The best interval by Young.
    pub young_hours: Decimal,
    /// The best interval by Daly.
    pub daly_hours: Decimal,
    /// The share that is lost, to first order; a rough figure where it is not small.
    pub first_order: Decimal,
    /// How many hours an hour of work takes, by Daly; absent where the work does not end.
    pub stretch: Option<Decimal>,
}

impl Loss {
    /// What is expected of work with this habit on `machines` machines, each of which is interrupted every `mtbf_hours`.
    pub fn expected(habit: &Habit, mtbf_hours: Decimal, machines: u32) -> Result<Loss, QuestionError> {
        question::MTBF.check(mtbf_hours)?;
        question::CHECKPOINT.check(habit.cost_hours)?;
        question::RESTART.check(habit.restart_hours)?;
        let interval = habit.interval_hours.map(|hours| question::INTERVAL.check(hours)).transpose()?;
        // With the ranges just checked every result below is finite or cut off.
        let decimal = |float: f64| Decimal::from_f64(float).unwrap_or_default();
        let mtbf = float(mtbf_hours) / f64::from(machines.max(1));
        let (cost, restart) = (float(habit.cost_hours), float(habit.restart_hours));
        let (young, daly) = (young(cost, mtbf), daly(cost, mtbf));
        let interval = interval.map_or(daly, float);
        let stretch = stretch(interval, cost, restart, mtbf);
        Ok(Loss {
            mtbf_hours: decimal(mtbf),
            interval_hours: decimal(interval),
            young_hours: decimal(young),
            daly_hours: decimal(daly),
            first_order: decimal(cost / interval + interval / (2.0 * mtbf) + restart / mtbf),
            stretch: (stretch <= ENDLESS).then(|| decimal(stretch)),
        })
    }

    /// The share of the time that is lost.
    pub fn share(&self) -> Decimal {
        let useful = self.stretch.and_then(|stretch| Decimal::ONE.checked_div(stretch));
        Decimal::ONE - useful.unwrap_or_default()
    }
}

fn young(cost: f64, mtbf: f64) -> f64 {
    (2.0 * cost * mtbf).sqrt()
}

fn daly(cost: f64, mtbf: f64) -> f64 {
    if cost >= 2.0 * mtbf {
        return mtbf;
    }
    let x = (cost / (2.0 * mtbf)).sqrt();
    young(cost, mtbf) * (1.0 + x / 3.0 + x * x / 9.0) - cost
}

fn stretch(interval: f64, cost: f64, restart: f64, mtbf: f64) -> f64 {
    mtbf / interval * (restart / mtbf).exp() * ((interval + cost) / mtbf).exp_m1()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wild;
    use proptest::{array, prelude::*};
    use rust_decimal::dec;

    fn habit(interval_hours: Option<Decimal>) -> Habit {
        Habit { interval_hours, cost_hours: dec!(0.08), restart_hours: dec!(0.1) }
    }

    #[test]
    fn the_formulas_give_what_they_give_by_hand() {
        // √(2 · 0.08 · 25) = 2; x = 0.04: 2 · (1 + 0.04/3 + 0.0016/9) − 0.08 = 1.947022…
        let loss = Loss::expected(&habit(Some(dec!(2))), dec!(25), 1).unwrap();
        assert_eq!((loss.young_hours, loss.daly_hours.round_dp(6)), (dec!(2), dec!(1.947022)));
        // 0.08/2 + 2/50 + 0.1/25
        assert_eq!(loss.first_order.round_dp(6), dec!(0.084));
        // 12.5 · e^0.004 · (e^0.0832 − 1)
        assert_eq!(loss.stretch.unwrap().round_dp(4), dec!(1.0888));
        assert_eq!(loss.share().round_dp(4), dec!(0.0816));
    }

    #[test]
    fn two_machines_are_interrupted_twice_as_often() {
        let one = Loss::expected(&habit(None), dec!(10), 1).unwrap();
        let two = Loss::expected(&habit(None), dec!(20), 2).unwrap();
        assert_eq!(one, two);
    }

    #[test]
    fn work_that_is_interrupted_before_it_can_be_saved_does_not_end() {
        let loss = Loss::expected(&habit(Some(dec!(100))), dec!(1), 8).unwrap();
        assert_eq!((loss.stretch, loss.share()), (None, dec!(1)));
    }

    #[test]
    fn a_checkpoint_that_costs_nothing_is_refused() {
        let free = Habit { cost_hours: dec!(0), ..habit(None) };
        insta::assert_snapshot!(Loss::expected(&free, dec!(24), 1).unwrap_err(), @r"the time to save a checkpoint is 0; it has to be from 0.0001 to 1000 h");
    }

    proptest! {
        #[test]
        fn the_best_interval_is_better_than_others(cost in 0.001..0.5_f64, mtbf in 2.0..1000.0_f64, off in 0.3..0.9_f64) {
            let best = stretch(daly(cost, mtbf), cost, 0.1, mtbf);
            prop_assert!(best <= stretch(daly(cost, mtbf) * off, cost, 0.1, mtbf));
            prop_assert!(best <= stretch(daly(cost, mtbf) / off, cost, 0.1, mtbf));
        }

        #[test]
        fn rare_interruptions_cost_what_the_first_order_says(cost in 1_u32..100, mtbf in 10_000_u32..1_000_000) {
            let habit = Habit { interval_hours: None, cost_hours: Decimal::new(cost.into(), 3), restart_hours: dec!(0.1) };
            let loss = Loss::expected(&habit, mtbf.into(), 1).unwrap();
            let off = loss.stretch.unwrap() - Decimal::ONE - loss.first_order;
            prop_assert!(off.abs() < dec!(0.0001), "{}", off);
        }

        #[test]
        fn no_number_makes_it_panic(numbers in array::uniform4(wild::number()), machines: u32) {
            let [interval, cost_hours, restart_hours, mtbf] = numbers;
            let habit = Habit { interval_hours: Some(interval), cost_hours, restart_hours };
            if let Ok(loss) = Loss::expected(&habit, mtbf, machines) {
                prop_assert!(loss.share() <= Decimal::ONE);
            }
        }
    }
}
