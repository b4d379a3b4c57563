//! Reputation: a published formula over public events that anybody can recompute.
//!
//! A [`Standing`] is kept for each party and hardware class. The formula, with `U` the weight of one observation:
//!
//! 1. **Weight.** An observation weighs the market fee of its work: 100 sat of fees weigh `U`. Fees are what wash
//!    trading costs, so standing costs at least as much as it pretends to.
//! 2. **Forgetting.** Every weight halves in 30 days, in steps of an hour: `w(t) = w · 2^(−hours/720)`. A home host works
//!    evenings and weekends, so a half-life must span several weeks of its time: a week of holidays costs it 15 %, and
//!    what a machine did half a year ago counts 1/64.
//! 3. **Cap.** Of the accepted work, and of the work that came late, no counterparty makes up more than a quarter:
//!    `capped(w) = Σ min(wᵢ, T/4)` where `T = 2U + Σ min(wᵢ, T/4)`. However much one counterparty trades, it adds at most
//!    ⅔ `U`; two add 2 `U`, three 6 `U`; from four on there is no limit.
//! 4. **Evidence.** `α = U + capped(accepted)`, `β = U + wrong + capped(late)`, from a prior Beta(1, 1), where for each
//!    counterparty `accepted` sums the weights of accepted work, and `late` those of late work (factor 1) and of work
//!    that was lost with its machine (factor ½). Work proven wrong weighs ten times its fee, at least 10 `U`, and is not
//!    capped: it rests on replicas, not on anybody's word. Inconclusive work says nothing.
//! 5. **Quality** is the mean, `α/(α+β)`: the share of work that is expected to be accepted. A price divided by it is the
//!    expected price of accepted work, which is what offers are ranked by.
//! 6. **Score** is the mean less one standard deviation, `α/(α+β) − √(αβ/((α+β)²(α+β+U)))`: what can be counted on. A new
//!    key has quality 500 000 ppm and score 211 324 ppm.
//! 7. **Unvetted** is who has `capped(accepted) < 4U`; that needs at least three counterparties.
//!
//! All of it is integer arithmetic. Weights are kept in 10⁻⁹ `U` and decay rounds them down once for each hour in which
//! something was observed, so that a weight is at most 1040 · 10⁻⁹ `U` below the exact value, however often it is looked
//! at (the geometric series 1/(1 − 2^(−1/720))); looking alone changes nothing.

use crate::{
    id::PartyId,
    name::Name,
    units::{Msat, PPM, TimeMs},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The weight of one observation (`U`), in the unit in which weights are kept.
const ONE: u64 = 1_000_000_000;
/// 100 sat of fees weigh [`ONE`].
const WEIGHT_PER_MSAT: u64 = ONE / 100_000;
/// Work proven wrong counts this many times…
const WRONG_FACTOR: u64 = 10;
/// …and work lost with its machine half.
const LOST_DIVISOR: u64 = 2;
/// Accepted weight from which a party is vetted.
const VETTED: u64 = 4 * ONE;
/// No counterparty makes up more than one part in this many.
const CAP_PARTS: u64 = 4;
/// So at most this many are capped at once.
const CAPPED_MAX: u64 = CAP_PARTS - 1;

const HOUR_MS: u64 = 3_600_000;
/// Every weight halves in 30 days.
const HALF_LIFE_HOURS: u64 = 720;

/// How a piece of work ended, as far as standing is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation {
    /// Verified and accepted.
    Accepted,
    /// Proven wrong, or a seal that was not opened by what was revealed.
    Wrong,
    /// Rejected without proof of cheating: not committed or not revealed in time.
    Late,
    /// Lost with its machine or given back.
    Lost,
    /// Nobody can say, or nobody looked.
    Inconclusive,
}

/// What the formula says about a party at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// What can be counted on, in parts per million; orders ask for a minimum of it.
    pub score_ppm: u32,
    /// The share of work that is expected to be accepted, in parts per million, never zero; divides the price in
    /// rankings.
    pub quality_ppm: u32,
    /// Whether too few counterparties, or too small ones, vouch for the party so far.
    pub unvetted: bool,
}

/// What is remembered of one counterparty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Dealings {
    accepted: u64,
    late: u64,
}

/// The standing of one party in one hardware class. See the [module documentation](self) for the formula.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// The hour since 1970 at which the weights below were right.
    hour: u64,
    dealings: BTreeMap<PartyId, Dealings>,
    wrong: u64,
    valid_in_a_row: u32,
}

impl Standing {
    /// The standing of a new key.
    pub fn new() -> Standing {
        Standing::default()
    }

    /// Takes in how a piece of work for `counterparty` ended, and the market fee that was paid for it, or would have
    /// been.
    pub fn observe(&mut self, now: TimeMs, counterparty: PartyId, fee: Msat, observation: Observation) {
        self.forget_until(now);
        let weight = fee.0.saturating_mul(WEIGHT_PER_MSAT);
        match observation {
            Observation::Accepted => {
                self.valid_in_a_row = self.valid_in_a_row.saturating_add(1);
                self.deal(counterparty, |dealings| &mut dealings.accepted, weight);
            }
            Observation::Wrong => {
                self.valid_in_a_row = 0;
                self.wrong = self.wrong.saturating_add(weight.max(ONE).saturating_mul(WRONG_FACTOR));
            }
            Observation::Late => {
                self.valid_in_a_row = 0;
                self.deal(counterparty, |dealings| &mut dealings.late, weight);
            }
            Observation::Lost => {
                self.deal(counterparty, |dealings| &mut dealings.late, weight / LOST_DIVISOR)
            }
            Observation::Inconclusive => {}
        }
    }

    /// What the formula says now. Linear in the number of counterparties.
    pub fn score(&self, now: TimeMs) -> Score {
        let factor = decay_factor(self.hours_until(now));
        let (mut accepted, mut late) = (CappedSum::default(), CappedSum::default());
        for dealings in self.dealings.values() {
            accepted.add(decay(dealings.accepted, factor));
            late.add(decay(dealings.late, factor));
        }
        let accepted = accepted.total();
        let alpha = u128::from(ONE) + accepted;
        let beta = u128::from(ONE) + u128::from(decay(self.wrong, factor)) + late.total();
        let (mean, lower) = beta_mean_and_lower(alpha, beta);
        Score {
            score_ppm: to_ppm(lower),
            quality_ppm: to_ppm(mean).max(1),
            unvetted: accepted < u128::from(VETTED),
        }
    }

    /// Accepted results since the last rejected one.
    pub fn valid_in_a_row(&self) -> u32 {
        self.valid_in_a_row
    }

    /// The share of this party's tasks to audit, where the order asks for at least `floor_ppm`.
    pub fn audit_rate_ppm(&self, floor_ppm: u32) -> u32 {
        audit_rate_ppm(floor_ppm, self.valid_in_a_row)
    }

    fn deal(&mut self, counterparty: PartyId, side: fn(&mut Dealings) -> &mut u64, weight: u64) {
        if weight > 0 {
            let side = side(self.dealings.entry(counterparty).or_default());
            *side = side.saturating_add(weight);
        }
    }

    fn hours_until(&self, now: TimeMs) -> u64 {
        (now.0 / HOUR_MS).saturating_sub(self.hour)
    }

    fn forget_until(&mut self, now: TimeMs) {
        let hours = self.hours_until(now);
        if hours == 0 {
            return;
        }
        self.hour += hours;
        let factor = decay_factor(hours);
        self.wrong = decay(self.wrong, factor);
        self.dealings.retain(|_, dealings| {
            dealings.accepted = decay(dealings.accepted, factor);
            dealings.late = decay(dealings.late, factor);
            *dealings != Dealings::default()
        });
    }
}

/// The standings of all parties of a venue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Book {
    standings: BTreeMap<PartyId, BTreeMap<Name, Standing>>,
}

impl Book {
    /// A book without entries.
    pub fn new() -> Book {
        Book::default()
    }

    /// The standing of a party in a hardware class, which begins as that of a new key.
    pub fn standing_mut(&mut self, party: PartyId, class: &Name) -> &mut Standing {
        self.standings.entry(party).or_default().entry(class.clone()).or_default()
    }

    /// The standing of a party in a hardware class, if anything was ever observed.
    pub fn standing(&self, party: PartyId, class: &Name) -> Option<&Standing> {
        self.standings.get(&party)?.get(class)
    }

    /// What the formula says now about a party in a hardware class.
    pub fn score(&self, party: PartyId, class: &Name, now: TimeMs) -> Score {
        self.standing(party, class).map_or_else(|| Standing::new().score(now), |standing| standing.score(now))
    }

    /// The share of a party's tasks to audit, where the order asks for at least `floor_ppm`.
    pub fn audit_rate_ppm(&self, party: PartyId, class: &Name, floor_ppm: u32) -> u32 {
        audit_rate_ppm(floor_ppm, self.standing(party, class).map_or(0, Standing::valid_in_a_row))
    }

    /// Every standing, by party and class.
    pub fn iter(&self) -> impl Iterator<Item = (PartyId, &Name, &Standing)> {
        self.standings.iter().flat_map(|(party, classes)| {
            classes.iter().map(move |(class, standing)| (*party, class, standing))
        })
    }
}

/// The share of tasks to audit, in parts per million: `max(floor, 1/(valid_in_a_row + 1))`, rounded up. A new party, and
/// one whose last result was rejected, is audited always.
pub fn audit_rate_ppm(floor_ppm: u32, valid_in_a_row: u32) -> u32 {
    let earned = PPM.div_ceil(u64::from(valid_in_a_row) + 1);
    u64::from(floor_ppm).max(earned).min(PPM) as u32
}

/// `Σ min(wᵢ, cap)` with `cap = T/4`, `T = 2U + Σ min(wᵢ, cap)`.
///
/// If the `j` largest weights are the capped ones, then `T = 2U + rest + j·T/4`, so `cap = (2U + rest)/(4 − j)`, where
/// `rest` sums the others. The right `j` is the first for which the largest of the others is within the cap; it is at
/// most 3, because then the cap is at least `rest`.
#[derive(Default)]
struct CappedSum {
    /// The largest weights, the largest first.
    largest: [u64; CAPPED_MAX as usize],
    /// The sum of all.
    sum: u128,
}

impl CappedSum {
    fn add(&mut self, weight: u64) {
        self.sum += u128::from(weight);
        if weight > self.largest[self.largest.len() - 1] {
            let rank = self.largest.partition_point(|other| *other >= weight);
            self.largest[rank..].rotate_right(1);
            self.largest[rank] = weight;
        }
    }

    fn total(self) -> u128 {
        let mut rest = self.sum;
        for (capped, weight) in (0..CAPPED_MAX).zip(self.largest.map(u128::from)) {
            let cap = (2 * u128::from(ONE) + rest) / u128::from(CAP_PARTS - capped);
            if weight <= cap {
                return rest + u128::from(capped) * cap;
            }
            rest -= weight;
        }
        rest + u128::from(CAPPED_MAX) * (2 * u128::from(ONE) + rest)
    }
}

/// Mean of Beta(α, β), and the mean less one standard deviation, as fractions of 2³².
///
/// With `p = α/n` and `n = α + β` the variance is `p(1 − p) · U/(n + U)`; all roundings together stay below 10⁻⁸.
fn beta_mean_and_lower(alpha: u128, beta: u128) -> (u64, u64) {
    let n = alpha + beta;
    let mean = (alpha << 32) / n;
    let variance = mean * ((1 << 32) - mean) * u128::from(ONE) / (n + u128::from(ONE));
    let lower = mean.saturating_sub(variance.isqrt());
    // Both are at most 2^32.
    (mean as u64, lower as u64)
}

fn to_ppm(fraction: u64) -> u32 {
    ((u128::from(fraction) * u128::from(PPM)) >> 32) as u32
}

/// `2^(−2^k/720)` as fractions of 2⁶³, rounded down: the decay over 1, 2, 4, … 512 hours.
const DECAY_OVER_POWERS_OF_TWO: [u64; 10] = [
    0x7fe0_7822_d482_9288,
    0x7fc0_f80a_085c_3bb7,
    0x7f82_0f1d_e756_fc62,
    0x7f04_9a26_0d97_8eb8,
    0x7e0b_220d_defd_34b2,
    0x7c1d_ec03_3274_333c,
    0x785a_0044_d65f_ca0d,
    0x7128_ffc9_72c1_3692,
    0x640a_70c1_8baa_bf60,
    0x4e30_5108_6bcc_76c7,
];

/// What is left of 1 after some hours, as a fraction of 2⁶³. Strictly falling until it is zero; below the exact value
/// by less than 2⁻⁵⁸.
fn decay_factor(hours: u64) -> u64 {
    let (halvings, rest) = (hours / HALF_LIFE_HOURS, hours % HALF_LIFE_HOURS);
    if halvings >= 63 {
        return 0;
    }
    let mut factor: u64 = 1 << 63;
    for (bit, over_power) in DECAY_OVER_POWERS_OF_TWO.iter().enumerate() {
        if rest >> bit & 1 == 1 {
            factor = decay(factor, *over_power);
        }
    }
    factor >> halvings
}

/// `weight × factor`, rounded down.
fn decay(weight: u64, factor: u64) -> u64 {
    ((u128::from(weight) * u128::from(factor)) >> 63) as u64
}

#[cfg(test)]
mod tests;
