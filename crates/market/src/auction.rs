//! Clearing an auction: who wins, and at which price.
//!
//! A candidate's score is its price divided by its quality: what a unit of accepted work is expected to cost. The lowest
//! scores win; at the same score the machine that was registered first. A machine takes as many slots as it has room for
//! before the next one gets any.
//!
//! **First price**: each winner is paid what it bid.
//!
//! **Second price**: each winner is paid what its place is worth without it. The places that did not win are listed by
//! score, those of the winner itself left out (its own bid must not set its price). Its first slot is paid the first of
//! these scores times its own quality, its second slot the second, and so on; where the list ends, the ceiling. No slot
//! is paid above the ceiling. This is the Vickrey auction: each slot is paid the highest bid that would still have
//! won it, so the price of a slot does not depend on the bid that won it, and no bid is better than the true
//! cost. Paying the ceiling when nobody loses follows from that: any bid up to the ceiling would have won, and a price
//! between bid and ceiling would reward bidding more than the cost. A buyer who thinks it too much sets a lower ceiling.
//! (Machines of one owner count as different bidders here; an owner that brings several can gain by it, as in every
//! such auction.)
//!
//! Prices are rounded down to whole msat for the winner's own number of units: the remainder belongs to the buyer, as in
//! every bill. A winner never gets less than its bid for it, because the bid itself is whole.

use crate::{
    id::{MachineId, OfferId},
    matching::is_within,
    order::AuctionPrice,
    units::{Msat, Rate},
};
use std::{cmp::Ordering, collections::BTreeSet};

/// Somebody who takes part: a revealed bid, or a standing offer at its public price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The machine.
    pub machine: MachineId,
    /// The offer under which it would work.
    pub offer: OfferId,
    /// Its price.
    pub rate: Rate,
    /// The share of its work that is expected to be accepted, in parts per million, never zero.
    pub quality_ppm: u32,
}

/// A slot that was won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Award {
    /// By whom.
    pub machine: MachineId,
    /// Under which offer.
    pub offer: OfferId,
    /// What is paid.
    pub rate: Rate,
}

/// Clears an auction for a number of slots; the awards are in the order of their scores.
///
/// `fits` says whether a candidate's machine has room for another lease when it has this many already from this auction.
/// Candidates above the ceiling, priced in another unit or without any quality neither win nor set a price. A machine that
/// comes with several candidates takes part with the one of the best score.
pub fn clear(
    candidates: &[Candidate],
    slots: u32,
    price: AuctionPrice,
    ceiling: &Rate,
    fits: impl FnMut(&Candidate, u32) -> bool,
) -> Vec<Award> {
    let ranked = rank(candidates, ceiling);
    let slots = usize::try_from(slots).unwrap_or(usize::MAX);
    let (winners, losers) = fill(&ranked, slots, fits);
    let mut awards = Vec::with_capacity(winners.len());
    for slots_of_one in winners.chunk_by(|a, b| a.machine == b.machine) {
        let mut others = losers.iter().filter(|loser| loser.machine != slots_of_one[0].machine);
        for winner in slots_of_one {
            let rate = match price {
                AuctionPrice::First => winner.rate,
                AuctionPrice::Second => second_price(winner, others.next().copied(), ceiling),
            };
            awards.push(Award { machine: winner.machine, offer: winner.offer, rate });
        }
    }
    awards
}

/// Orders two candidates by score, then by age.
pub fn by_score(a: &Candidate, b: &Candidate) -> Ordering {
    compare_scores(a, b).then(a.machine.cmp(&b.machine)).then(a.offer.cmp(&b.offer))
}

/// `price₁ ÷ quality₁` against `price₂ ÷ quality₂` by cross-multiplication, exactly: a price is less than 2⁶⁴ msat for
/// less than 2⁶⁴ units and a quality below 2³², so the products need 160 bits.
fn compare_scores(a: &Candidate, b: &Candidate) -> Ordering {
    let left = product(a.rate.msat.0, b.rate.per, b.quality_ppm.into());
    left.cmp(&product(b.rate.msat.0, a.rate.per, a.quality_ppm.into()))
}

/// One candidate for each machine that can win, best score first.
fn rank<'a>(candidates: &'a [Candidate], ceiling: &Rate) -> Vec<&'a Candidate> {
    let can_win = |c: &&Candidate| c.rate.per > 0 && c.quality_ppm > 0 && is_within(&c.rate, ceiling);
    let mut ranked: Vec<&Candidate> = candidates.iter().filter(can_win).collect();
    ranked.sort_by(|a, b| by_score(a, b));
    let mut seen = BTreeSet::new();
    ranked.retain(|candidate| seen.insert(candidate.machine));
    ranked
}

/// The winner of each slot, and the places that came next: as many as can matter for the price of any slot.
fn fill<'a>(
    ranked: &[&'a Candidate],
    slots: usize,
    mut fits: impl FnMut(&Candidate, u32) -> bool,
) -> (Vec<&'a Candidate>, Vec<&'a Candidate>) {
    let (mut winners, mut losers) = (Vec::new(), Vec::new());
    for candidate in ranked {
        // A machine has at most `slots` places, so of this many losing ones enough are others' to price its own.
        if losers.len() >= slots {
            break;
        }
        let mut taken = 0;
        while (taken as usize) < slots && fits(candidate, taken) {
            let side = if winners.len() < slots { &mut winners } else { &mut losers };
            side.push(*candidate);
            taken += 1;
        }
    }
    (winners, losers)
}

/// The highest price that is neither above the score of `loser` at the winner's quality nor above the ceiling. The
/// bid itself is such a price.
fn second_price(winner: &Candidate, loser: Option<&Candidate>, ceiling: &Rate) -> Rate {
    highest_rate(&winner.rate, |rate| {
        let moved = Candidate { rate: *rate, ..*winner };
        is_within(rate, ceiling) && loser.is_none_or(|loser| compare_scores(&moved, loser).is_le())
    })
}

/// The highest price in whole msat, for as many units as `rate` counts, that is `fair`; zero when none is. Whatever is
/// below a fair price must be fair.
pub(crate) fn highest_rate(rate: &Rate, fair: impl Fn(&Rate) -> bool) -> Rate {
    let at = |msat| Rate { msat: Msat(msat), ..*rate };
    let (mut low, mut high) = (0, Msat::MAX.0);
    while low < high {
        let middle = high - (high - low) / 2;
        if fair(&at(middle)) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    at(low)
}

/// `a · b · c` without losing a bit: the bits above the lowest 64, and the lowest 64.
fn product(a: u64, b: u64, c: u64) -> (u128, u64) {
    let ab = u128::from(a) * u128::from(b);
    let low = (ab & u128::from(u64::MAX)) * u128::from(c);
    let high = (ab >> 64) * u128::from(c) + (low >> 64);
    (high, low as u64)
}

#[cfg(test)]
mod tests;
