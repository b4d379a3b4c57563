//! Pay for verified work: buyers lock the price before work starts and pay for results that hold; there is no token.
//!
//! | rule | formula |
//! |---|---|
//! | escrow | price plus verification budget is locked before the work; what is not due goes back |
//! | fee | 2 % of what is paid out for work |
//! | checking | a share `p` of tasks is done again by another party, at the same pay |
//! | cheating | a false result is found with `q = p·d·(1−r)`; then the pay `R` still withheld and the bond `S` are lost |
//! | deterrence | cheating loses while `q·(R + S) > c`, `c` being the pay that a false result saves the work for |
//!
//! Source: Gristmill's own rules, `market::verify` and `market::rules`; SECURITY.md says what they promise.

use serde::{Deserialize, Serialize};

use super::scenario::ranges::Ranges;
use super::{Deception, EpochInputs, EpochOutcome, Mechanism};

/// Gristmill, in a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// The venue's fee, a part of what is paid out.
    pub fee: f64,
    /// `p`: the share of tasks that is done a second time to check.
    pub checked: f64,
    /// `d`: the part of wrong results that a check proves.
    pub proven: f64,
    /// `r`: the part of those who check that is in league with the cheat.
    pub colluding: f64,
    /// `R`: pay withheld until results are judged, in hours of work.
    pub withheld_hours: f64,
    /// `S`: the bond for each GPU, in hours of work.
    pub bond_hours: f64,
    /// How likely a pretender is given work, against an honest provider.
    pub pretender_chosen: f64,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            fee: 0.02,
            checked: 0.1,
            proven: 1.0,
            colluding: 0.05,
            withheld_hours: 4.0,
            bond_hours: 24.0,
            pretender_chosen: 1.0,
        }
    }
}

impl Configuration {
    /// Checks every number against its range.
    pub fn check(&self, ranges: &mut Ranges) {
        ranges.within("gristmill.fee", self.fee, 0.0, 0.5);
        ranges.within("gristmill.checked", self.checked, 0.0, 1.0);
        ranges.within("gristmill.proven", self.proven, 0.0, 1.0);
        ranges.within("gristmill.colluding", self.colluding, 0.0, 1.0);
        ranges.within("gristmill.withheld_hours", self.withheld_hours, 0.0, 8_760.0);
        ranges.within("gristmill.bond_hours", self.bond_hours, 0.0, 8_760.0);
        ranges.within("gristmill.pretender_chosen", self.pretender_chosen, 0.0, 1.0);
    }

    /// `q = p·d·(1−r)`: how likely a false result is found.
    pub fn found(&self) -> f64 {
        self.checked * self.proven * (1.0 - self.colluding)
    }

    /// What a pretender expects for an hour of work, against the pay: `1 − q − q·(R + S)`. Negative: pretending loses.
    pub fn pretender_expects(&self) -> f64 {
        let q = self.found();
        1.0 - q - q * (self.withheld_hours + self.bond_hours)
    }
}

/// One job's money, from escrow to settlement. Amounts are USD.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settlement {
    /// Locked before the work.
    pub escrow_usd: f64,
    /// To whoever did the work.
    pub provider_usd: f64,
    /// To those who did parts of it again.
    pub checkers_usd: f64,
    /// To the venue.
    pub fee_usd: f64,
    /// Back to the buyer.
    pub refund_usd: f64,
}

/// Settles a job: `done` of its tasks hold, 0 to 1; what fails or was not checked after all goes back to the buyer.
pub fn settle(price_usd: f64, checked: f64, fee: f64, done: f64) -> Settlement {
    let budget = price_usd * checked;
    let escrow_usd = (price_usd + budget) * (1.0 + fee);
    let provider_usd = price_usd * done;
    let checkers_usd = budget * done;
    let fee_usd = (provider_usd + checkers_usd) * fee;
    let refund_usd = escrow_usd - provider_usd - checkers_usd - fee_usd;
    Settlement { escrow_usd, provider_usd, checkers_usd, fee_usd, refund_usd }
}

/// Gristmill in motion. It remembers nothing between epochs: nothing was minted.
#[derive(Clone, Debug)]
pub struct Gristmill {
    configuration: Configuration,
}

impl Gristmill {
    /// Gristmill at the beginning.
    pub fn new(configuration: &Configuration) -> Self {
        Self { configuration: configuration.clone() }
    }
}

impl Mechanism for Gristmill {
    fn name(&self) -> &'static str {
        "gristmill"
    }

    fn rule(&self) -> &'static str {
        "buyers escrow and pay for work that holds when checked; cheats lose pay and bond; no token"
    }

    fn supply_tokens(&self) -> Option<f64> {
        None
    }

    fn epoch(&mut self, inputs: &EpochInputs) -> EpochOutcome {
        let c = &self.configuration;
        let q = c.found();
        // A false result that is not found is paid like a good one: the buyer believes it served.
        let deception = Deception { chosen: c.pretender_chosen, paid: 1.0 - q };
        let served = super::serve(inputs, deception, 1.0 + c.checked);
        let job = settle(1.0, c.checked, c.fee, 1.0);
        let part = |usd: f64| served.revenue_usd * usd / job.escrow_usd;
        let lost_usd = served.lost_usd / job.escrow_usd;
        let false_hours = c.pretender_chosen * inputs.pretence() * served.hours;
        let hour_usd = inputs.price_usd_per_gpu_hour / job.escrow_usd;
        let slashed_usd = false_hours * q * (c.withheld_hours + c.bond_hours) * hour_usd;
        EpochOutcome {
            served_hours: served.hours,
            revenue_usd: served.revenue_usd + served.lost_usd,
            slashed_usd,
            paid_served_usd: part(job.provider_usd),
            paid_checking_usd: part(job.checkers_usd) + lost_usd * job.checkers_usd,
            paid_pretending_usd: lost_usd,
            treasury_usd: part(job.fee_usd) + lost_usd * job.fee_usd,
            refunds_usd: slashed_usd,
            ..EpochOutcome::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settlement_gives_out_what_the_escrow_held() {
        for done in [0.0, 0.4, 1.0] {
            let s = settle(10.0, 0.1, 0.02, done);
            let out = s.provider_usd + s.checkers_usd + s.fee_usd + s.refund_usd;
            assert!((out - s.escrow_usd).abs() < 1e-12);
            assert!(s.refund_usd >= 0.0);
        }
        assert_eq!(settle(10.0, 0.1, 0.02, 0.0).provider_usd, 0.0);
    }

    #[test]
    fn with_the_default_numbers_pretending_loses_money() {
        let defaults = Configuration::default();
        assert!(defaults.pretender_expects() < 0.0, "{}", defaults.pretender_expects());
        let unchecked = Configuration { checked: 0.0, ..defaults };
        assert_eq!(unchecked.pretender_expects(), 1.0);
    }
}
