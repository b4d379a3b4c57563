use super::*;
use crate::units::Unit;
use proptest::{collection::vec, prelude::*, sample::select};
use std::collections::BTreeMap;

fn bid(machine: u64, msat: u64, quality_ppm: u32) -> Candidate {
    Candidate {
        machine: MachineId(machine),
        offer: OfferId(machine),
        rate: Rate::per_task(Msat(msat)),
        quality_ppm,
    }
}

fn once(_: &Candidate, has: u32) -> bool {
    has == 0
}

fn paid(awards: &[Award]) -> Vec<(u64, u64)> {
    awards.iter().map(|award| (award.machine.0, award.rate.msat.0)).collect()
}

const CEILING: Rate = Rate { msat: Msat(1_000), per: 1, unit: Unit::Task };

#[test]
fn a_second_price_is_the_first_losing_score_times_the_own_quality() {
    let bids = [bid(1, 90, 900_000), bid(2, 160, 800_000), bid(3, 50, 1_000_000)];
    let awards = clear(&bids, 2, AuctionPrice::Second, &CEILING, once);
    // The loser's score is 160 ÷ 0.8 = 200 a unit of quality.
    assert_eq!(paid(&awards), [(3, 200), (1, 180)]);
    assert_eq!(paid(&clear(&bids, 2, AuctionPrice::First, &CEILING, once)), [(3, 50), (1, 90)]);
}

#[test]
fn without_a_loser_the_ceiling_is_paid() {
    assert_eq!(paid(&clear(&[bid(1, 90, 1)], 2, AuctionPrice::Second, &CEILING, once)), [(1, 1_000)]);
}

#[test]
fn the_price_is_rounded_down_but_not_below_the_bid() {
    let bids = [bid(1, 1, 333_333), bid(2, 10, 1_000_000)];
    assert_eq!(paid(&clear(&bids, 1, AuctionPrice::Second, &CEILING, once)), [(1, 3)]);
    let by_three =
        Candidate { rate: Rate { msat: Msat(2), per: 3, unit: Unit::Task }, ..bid(1, 0, 1_000_000) };
    let awards = clear(&[by_three, bid(2, 5, 1_000_000)], 1, AuctionPrice::Second, &CEILING, once);
    assert_eq!(awards[0].rate, Rate { msat: Msat(15), per: 3, unit: Unit::Task });
}

#[test]
fn every_slot_of_one_machine_is_priced_by_the_places_of_others() {
    let bids = [bid(1, 10, 1_000_000), bid(2, 50, 1_000_000), bid(3, 70, 1_000_000)];
    let room = |candidate: &Candidate, has: u32| has < if candidate.machine.0 == 1 { 2 } else { 1 };
    assert_eq!(paid(&clear(&bids, 2, AuctionPrice::Second, &CEILING, room)), [(1, 50), (1, 70)]);
    // With three slots machine 2 wins the last; its own bid prices nobody's slot.
    assert_eq!(paid(&clear(&bids, 3, AuctionPrice::Second, &CEILING, room)), [(1, 70), (1, 1_000), (2, 70)]);
}

#[test]
fn a_left_over_place_of_a_winner_prices_the_slots_of_others() {
    let bids = [bid(1, 10, 1_000_000), bid(2, 50, 1_000_000), bid(3, 70, 1_000_000)];
    let room = |candidate: &Candidate, has: u32| has < if candidate.machine.0 == 2 { 2 } else { 1 };
    assert_eq!(paid(&clear(&bids, 2, AuctionPrice::Second, &CEILING, room)), [(1, 50), (2, 70)]);
}

#[test]
fn the_earlier_machine_wins_a_tie() {
    let bids = [bid(2, 10, 500_000), bid(1, 20, 1_000_000)];
    assert_eq!(paid(&clear(&bids, 1, AuctionPrice::First, &CEILING, once)), [(1, 20)]);
}

#[test]
fn a_machine_takes_part_with_its_best_candidate_alone() {
    let second = Candidate { machine: MachineId(1), ..bid(3, 20, 1_000_000) };
    let bids = [bid(1, 30, 1_000_000), second, bid(2, 50, 1_000_000)];
    assert_eq!(paid(&clear(&bids, 1, AuctionPrice::Second, &CEILING, once)), [(1, 50)]);
    assert_eq!(clear(&bids, 3, AuctionPrice::First, &CEILING, once)[0].offer, OfferId(3));
    assert_eq!(clear(&bids, 3, AuctionPrice::First, &CEILING, once).len(), 2);
}

#[test]
fn who_is_above_the_ceiling_neither_wins_nor_sets_a_price() {
    let by_time = Candidate { rate: Rate::per_hour(Msat(1)), ..bid(3, 1, 1_000_000) };
    let free = Candidate { rate: Rate { msat: Msat(0), per: 0, unit: Unit::Task }, ..bid(5, 0, 1_000_000) };
    let bids = [bid(1, 100, 1_000_000), bid(2, 1_001, 1_000_000), by_time, bid(4, 1, 0), free];
    assert_eq!(paid(&clear(&bids, 5, AuctionPrice::Second, &CEILING, once)), [(1, 1_000)]);
}

#[test]
fn the_largest_possible_numbers_compare_exactly() {
    let rate = |msat, per| Rate { msat: Msat(msat), per, unit: Unit::Fuel };
    let of = |machine, rate, quality_ppm| Candidate {
        machine: MachineId(machine),
        offer: OfferId(1),
        rate,
        quality_ppm,
    };
    let (most, least) = (Msat::MAX.0, u32::MAX);
    let ceiling = rate(most, 1);
    let bids = [of(1, rate(most, u64::MAX), least), of(2, rate(most - 1, u64::MAX), least)];
    let awards = clear(&bids, 1, AuctionPrice::Second, &ceiling, once);
    assert_eq!((awards[0].machine, awards[0].rate), (MachineId(2), rate(most, u64::MAX)));
}

fn any_bid(machine: u64) -> impl Strategy<Value = Candidate> {
    (1..60u64, 1..4u64, select(vec![1_000_000u32, 750_000, 333_333, 500_000])).prop_map(
        move |(msat, per, quality_ppm)| Candidate {
            rate: Rate { msat: Msat(msat), per, unit: Unit::Task },
            ..bid(machine, 1, quality_ppm)
        },
    )
}

fn any_bids() -> impl Strategy<Value = Vec<(Candidate, u32)>> {
    vec((any_bid(0), 0..4u32), 0..8).prop_map(|bids| {
        (1..)
            .zip(bids)
            .map(|(n, (bid, room))| (Candidate { machine: MachineId(n), offer: OfferId(n), ..bid }, room))
            .collect()
    })
}

fn run(bids: &[(Candidate, u32)], slots: u32, price: AuctionPrice, ceiling: &Rate) -> Vec<Award> {
    let room: BTreeMap<MachineId, u32> = bids.iter().map(|(bid, room)| (bid.machine, *room)).collect();
    let candidates: Vec<Candidate> = bids.iter().map(|(bid, _)| *bid).collect();
    clear(&candidates, slots, price, ceiling, |candidate, has| has < room[&candidate.machine])
}

/// What the awards leave a machine whose cost is this much for each unit, in parts of an msat that all prices here share.
fn gain(awards: &[Award], machine: MachineId, cost: &Rate) -> i64 {
    let exact = |rate: &Rate| (rate.msat.0 * 6 / rate.per) as i64;
    awards.iter().filter(|award| award.machine == machine).map(|award| exact(&award.rate) - exact(cost)).sum()
}

proptest! {
    #[test]
    fn the_lowest_scores_win_every_slot_that_somebody_fits(bids in any_bids(), slots in 1..8u32) {
        let ceiling = Rate::per_task(Msat(30));
        let awards = run(&bids, slots, AuctionPrice::First, &ceiling);
        let mut places: Vec<Candidate> = bids.iter()
            .filter(|(bid, _)| is_within(&bid.rate, &ceiling))
            .flat_map(|(bid, room)| std::iter::repeat_n(*bid, *room as usize))
            .collect();
        places.sort_by(by_score);
        places.truncate(slots as usize);
        let expected: Vec<Award> = places.iter().map(|c| Award { machine: c.machine, offer: c.offer, rate: c.rate }).collect();
        prop_assert_eq!(awards, expected);
    }

    #[test]
    fn a_second_price_is_never_below_the_bid_nor_above_the_ceiling(bids in any_bids(), slots in 1..8u32, most in 1..70u64) {
        let ceiling = Rate::per_task(Msat(most));
        let first = run(&bids, slots, AuctionPrice::First, &ceiling);
        let second = run(&bids, slots, AuctionPrice::Second, &ceiling);
        prop_assert_eq!(first.len(), second.len());
        for (bid, award) in first.iter().zip(&second) {
            prop_assert_eq!(bid.machine, award.machine);
            prop_assert!(is_within(&bid.rate, &award.rate) && is_within(&award.rate, &ceiling));
        }
    }

    /// Holds with one slot and with many, for machines with room for one lease or for several.
    #[test]
    fn no_bid_is_better_than_the_true_cost(
        mut bids in any_bids(), room in 1..4u32, cost in any_bid(99), other in 1..240u64, slots in 1..6u32, most in 1..70u64,
    ) {
        let ceiling = Rate::per_task(Msat(most));
        let gain_with = |bids: &[(Candidate, u32)]| {
            gain(&run(bids, slots, AuctionPrice::Second, &ceiling), cost.machine, &cost.rate)
        };
        bids.push((cost, room));
        let honest = gain_with(&bids);
        if let Some(last) = bids.last_mut() {
            last.0.rate.msat = Msat(other);
        }
        prop_assert!(honest >= 0);
        prop_assert!(gain_with(&bids) <= honest);
    }
}
