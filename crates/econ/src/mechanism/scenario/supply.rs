//! Supply: cohorts of owners that come and go by what an hour earns against what it costs.

use super::{Cohort, MONTH_DAYS, Supply};

/// The part of a cohort that always tries: without it nobody would find out that a market which all had left pays again.
const ALWAYS_TRIES: f64 = 1e-4;

/// The cohorts of one mechanism, in motion.
#[derive(Clone, Debug)]
pub(super) struct Cohorts<'a> {
    supply: &'a Supply,
    online: Vec<f64>,
}

/// What an hour online earned in the last epoch, in USD, and how busy honest GPUs were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Income {
    pub honest_usd_per_hour: f64,
    pub pretending_usd_per_hour: f64,
    pub utilization: f64,
}

impl<'a> Cohorts<'a> {
    pub(super) fn new(supply: &'a Supply) -> Self {
        let online =
            supply.cohorts.iter().map(|cohort| cohort.online.max(cohort.gpus * ALWAYS_TRIES)).collect();
        Self { supply, online }
    }

    /// GPUs online that work, and that pretend.
    pub(super) fn gpus(&self) -> (f64, f64) {
        let online = |pretends: bool| {
            let cohorts = self.supply.cohorts.iter().zip(&self.online);
            cohorts.filter(|(cohort, _)| cohort.pretends == pretends).map(|(_, online)| online).sum()
        };
        (online(false), online(true))
    }

    /// Lets owners answer to what an hour earned, for `days`.
    pub(super) fn answer(&mut self, income: Income, days: f64) {
        let part_of_gap = |per_month: f64| 1.0 - (-per_month * days / MONTH_DAYS).exp();
        let (joins, leaves) =
            (part_of_gap(self.supply.joins_per_month), part_of_gap(self.supply.leaves_per_month));
        for (cohort, online) in self.supply.cohorts.iter().zip(&mut self.online) {
            let earned =
                if cohort.pretends { income.pretending_usd_per_hour } else { income.honest_usd_per_hour };
            let running = running_cost(cohort, income.utilization);
            let full = running + cohort.hardware_usd / (cohort.life_years * 8_760.0);
            let would_join = cohort.gpus * covered(earned, full, self.supply.elasticity);
            let would_stay = cohort.gpus * covered(earned, running, self.supply.elasticity);
            if *online < would_join {
                *online += (would_join - *online) * joins;
            } else if *online > would_stay {
                *online -= (*online - would_stay) * leaves;
            }
            *online = online.max(cohort.gpus * ALWAYS_TRIES);
        }
    }
}

/// What an hour online costs in power, in USD. Pretending draws what idling draws.
fn running_cost(cohort: &Cohort, utilization: f64) -> f64 {
    let busy = if cohort.pretends { 0.0 } else { utilization };
    (cohort.watts * busy + cohort.idle_watts * (1.0 - busy)) / 1_000.0 * cohort.usd_per_kwh
}

/// The part of owners whose cost an income covers, costs being log-logistic around `cost`.
fn covered(income: f64, cost: f64, elasticity: f64) -> f64 {
    if income <= 0.0 {
        return 0.0;
    }
    1.0 / (1.0 + (cost / income).powf(elasticity))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supply(cohorts: Vec<Cohort>) -> Supply {
        Supply { elasticity: 3.0, joins_per_month: 0.2, leaves_per_month: 0.5, cohorts }
    }

    fn home() -> Cohort {
        Cohort {
            name: "home".into(),
            pretends: false,
            gpus: 100.0,
            online: 50.0,
            watts: 450.0,
            idle_watts: 60.0,
            usd_per_kwh: 0.16,
            hardware_usd: 2_000.0,
            life_years: 3.0,
        }
    }

    const FULL_COST: f64 = 0.45 * 0.16 + 2_000.0 / (3.0 * 8_760.0);

    fn after(income_usd: f64, months: f64) -> f64 {
        let supply = supply(vec![home()]);
        let mut cohorts = Cohorts::new(&supply);
        let income =
            Income { honest_usd_per_hour: income_usd, pretending_usd_per_hour: 0.0, utilization: 1.0 };
        (0..(months * 4.0) as u32).for_each(|_| cohorts.answer(income, MONTH_DAYS / 4.0));
        cohorts.gpus().0
    }

    #[test]
    fn at_full_cost_half_of_a_cohort_is_online_in_the_end() {
        assert!((covered(FULL_COST, FULL_COST, 3.0) - 0.5).abs() < 1e-12);
        assert!((after(FULL_COST, 60.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn more_income_never_means_less_supply() {
        let online: Vec<f64> = (0..40).map(|i| after(f64::from(i) * 0.01, 24.0)).collect();
        assert!(online.windows(2).all(|pair| pair[0] <= pair[1] + 1e-9), "{online:?}");
    }

    #[test]
    fn a_market_that_all_had_left_fills_again_when_it_pays() {
        let supply = supply(vec![Cohort { online: 0.0, ..home() }]);
        let mut cohorts = Cohorts::new(&supply);
        let income = Income { honest_usd_per_hour: 1.0, pretending_usd_per_hour: 0.0, utilization: 1.0 };
        (0..24).for_each(|_| cohorts.answer(income, MONTH_DAYS));
        assert!(cohorts.gpus().0 > 90.0);
    }

    #[test]
    fn hardware_that_is_paid_for_stays_at_an_income_that_would_not_attract_it() {
        let between = (FULL_COST + 0.45 * 0.16) / 2.0;
        assert!((after(between, 24.0) - 50.0).abs() < 1e-9, "neither joins nor leaves");
        assert!(after(0.0, 24.0) < 0.02, "all but those who always try");
    }
}
