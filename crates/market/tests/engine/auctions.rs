//! Sealed auctions.

use crate::world::*;
use market::{
    command::Command,
    engine::state::JobPhase,
    event::{Event, JobOutcome},
    id::{Digest, OrderId},
    job::Verification,
    offer::OfferRole,
    order::{AuctionPrice, OrderKind, OrderTerms, bid_seal},
    rejection::{Conflict, Rejection},
    units::{Msat, Rate},
};

fn auction(price: AuctionPrice) -> OrderTerms {
    let mut terms = order_terms(1, Rate::per_task(Msat(1_000)), Msat(100_000));
    terms.kind = OrderKind::Auction { price, window_ms: 1_000, reveal_ms: 1_000 };
    terms
}

fn bid(world: &mut World, provider: &Provider, msat: u64) -> Result<(), Rejection> {
    let seal = bid_seal(OrderId(1), provider.machine, &Rate::per_task(Msat(msat)), &[3; 32]);
    let command = Command::CommitBid { order: OrderId(1), offer: provider.offer, seal };
    world.apply(provider.machine_key.public(), command).map(|_| ())
}

fn show(world: &mut World, provider: &Provider, msat: u64) -> Result<(), Rejection> {
    let rate = Rate::per_task(Msat(msat));
    let command =
        Command::RevealBid { order: OrderId(1), offer: provider.offer, rate, salt: Digest([3; 32]) };
    world.apply(provider.machine_key.public(), command).map(|_| ())
}

fn three(world: &mut World) -> [Provider; 3] {
    [800, 700, 600].map(|msat| {
        world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(msat))), Msat::ZERO, honest)
    })
}

fn won(world: &World) -> Vec<(market::id::PartyId, Rate)> {
    let granted = world.events.iter().filter_map(|event| match event {
        Event::LeaseGranted { party, rate, .. } => Some((*party, *rate)),
        _ => None,
    });
    granted.collect()
}

#[test]
fn the_lowest_sealed_bid_wins_and_is_paid_its_price_or_the_second() {
    for (price, paid) in [(AuctionPrice::First, 300), (AuctionPrice::Second, 500)] {
        let mut world = World::new();
        let [a, b, c] = three(&mut world);
        let buyer = world.buyer(Msat(1_000_000));
        world.place(&buyer, auction(price), job(2, Verification::None)).unwrap();
        bid(&mut world, &a, 300).unwrap();
        bid(&mut world, &b, 500).unwrap();
        world.wait(1_000);
        show(&mut world, &a, 300).unwrap();
        show(&mut world, &b, 500).unwrap();
        assert_eq!(won(&world), [(a.party, Rate::per_task(Msat(paid)))]);
        world.work(&[&a, &b, &c]);
        assert_eq!(world.available(buyer.party), Msat(1_000_000 - 2 * paid));
    }
}

#[test]
fn an_unrevealed_bid_loses() {
    let mut world = World::new();
    let [a, b, _] = three(&mut world);
    let buyer = world.buyer(Msat(1_000_000));
    world.place(&buyer, auction(AuctionPrice::First), job(2, Verification::None)).unwrap();
    bid(&mut world, &a, 100).unwrap();
    bid(&mut world, &b, 500).unwrap();
    world.wait(1_000);
    show(&mut world, &b, 500).unwrap();
    assert!(won(&world).is_empty());
    world.wait(1_000);
    assert_eq!(won(&world), [(b.party, Rate::per_task(Msat(500)))]);
}

#[test]
fn standing_offers_take_part_at_their_public_price() {
    let mut world = World::new();
    let [a, _, c] = three(&mut world);
    let buyer = world.buyer(Msat(1_000_000));
    world.place(&buyer, auction(AuctionPrice::First), job(2, Verification::None)).unwrap();
    bid(&mut world, &a, 650).unwrap();
    world.wait(1_000);
    show(&mut world, &a, 650).unwrap();
    assert_eq!(won(&world), [(c.party, Rate::per_task(Msat(600)))]);
}

#[test]
fn bids_out_of_phase_twice_or_changed_are_refused() {
    let mut world = World::new();
    let [a, b, _] = three(&mut world);
    let buyer = world.buyer(Msat(1_000_000));
    world.place(&buyer, auction(AuctionPrice::First), job(2, Verification::None)).unwrap();
    let is = |result: Result<(), Rejection>, conflict| {
        assert!(matches!(result, Err(Rejection::Conflict { is, .. }) if is == conflict), "{result:?}");
    };
    is(show(&mut world, &a, 300), Conflict::WrongPhase);
    bid(&mut world, &a, 300).unwrap();
    is(bid(&mut world, &a, 200), Conflict::BidTwice);
    bid(&mut world, &b, 2_000).unwrap();
    world.wait(1_000);
    is(bid(&mut world, &b, 100), Conflict::WrongPhase);
    is(show(&mut world, &a, 299), Conflict::BidMismatch);
    is(show(&mut world, &b, 2_000), Conflict::BidMismatch);
}

#[test]
fn an_auction_without_bids_gives_the_budget_back() {
    let mut world = World::new();
    let buyer = world.buyer(Msat(1_000_000));
    let job = world.place(&buyer, auction(AuctionPrice::First), job(2, Verification::None)).unwrap();
    world.wait(1_000);
    assert!(matches!(
        world.engine.state().job(job).phase,
        JobPhase::Settled { outcome: JobOutcome::NoBids, .. }
    ));
    assert_eq!(world.available(buyer.party), Msat(1_000_000));
}
