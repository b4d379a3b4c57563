//! Leases that are funded by payments which the provider holds.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::world::*;
use market::{
    command::Command,
    engine::state::{HoldPhase, JobPhase},
    event::JobOutcome,
    funding::{BLOCK_MS, Funding, HOLD_BLOCKS_MAX, HoldTerms},
    id::{JobId, LeaseId},
    job::Verification,
    lease::CloseReason,
    ledger::Account,
    offer::{OfferRole, OfferTerms},
    order::OrderTerms,
    preimage::Preimage,
    receipt::{BadReceipt, Receipt},
    rejection::{Conflict, Rejection},
    units::{Msat, Rate},
};

const SLICE: Msat = Msat(10_000);
/// What the market keeps for four slices of 10 000: one slice, and 2 % of the whole.
const KEPT: Msat = Msat(10_000 + 1_021);

fn by_hold(slices: u8) -> Option<Funding> {
    Some(Funding::Hold { slice_msat: SLICE, slices })
}

fn work(rate: Rate) -> OfferTerms {
    OfferTerms { holds: Some(HoldTerms { slice_min_msat: SLICE }), ..offer_terms(OfferRole::Work, rate) }
}

fn per_task(budget: Msat) -> OrderTerms {
    OrderTerms { funding: by_hold(4), ..order_terms(1, Rate::per_task(Msat(5_000)), budget) }
}

fn invoices(slices: u8) -> Vec<String> {
    (0..slices).map(|slice| format!("lnbcrt{slice}")).collect()
}

/// A market with a buyer, a provider that takes holds, and a job of theirs whose lease waits for its money.
struct Scene {
    world: World,
    buyer: Buyer,
    worker: Provider,
    job: JobId,
    lease: LeaseId,
}

impl Scene {
    fn new(rate: Rate, terms: OrderTerms, tasks: u32) -> Scene {
        let mut world = World::new();
        let worker = world.provider(work(rate), Msat(1_000), honest);
        let buyer = world.buyer(Msat(1_000_000));
        let job = world.place(&buyer, terms, job(tasks, Verification::None)).unwrap();
        let lease = world.engine.state().job(job).leases[0];
        Scene { world, buyer, worker, job, lease }
    }

    fn phase(&self) -> HoldPhase {
        self.world.engine.state().lease(self.lease).hold.as_ref().unwrap().phase.clone()
    }

    fn says(&mut self, command: Command) -> Result<(), Rejection> {
        self.world.apply(self.worker.machine_key.public(), command).map(drop)
    }

    fn invoice(&mut self, slices: u8) {
        let lease = self.lease;
        self.says(Command::InvoiceHold { lease, invoices: invoices(slices) }).unwrap();
    }

    fn fund(&mut self, slices: u8) {
        self.invoice(slices);
        self.says(Command::HoldFunded { lease: self.lease }).unwrap();
    }

    fn outcome(&self) -> JobOutcome {
        match self.world.engine.state().job(self.job).phase {
            JobPhase::Settled { outcome, .. } => outcome,
            JobPhase::Active | JobPhase::Ended { .. } => panic!("the job is not settled"),
        }
    }

    fn receipt(&self) -> Receipt {
        self.world.receipt(self.job)
    }
}

#[test]
fn work_begins_when_the_payments_are_held_and_not_before() {
    let mut scene = Scene::new(Rate::per_task(Msat(5_000)), per_task(KEPT), 4);
    let lease = scene.lease;
    assert_eq!(scene.phase(), HoldPhase::Dealt, "the venue has dealt the hashes");
    let refused = scene.says(Command::StartLease { lease });
    assert!(matches!(refused, Err(Rejection::Conflict { is: Conflict::NotFunded, .. })), "{refused:?}");
    scene.invoice(4);
    let refused = scene.says(Command::StartLease { lease });
    assert!(matches!(refused, Err(Rejection::Conflict { is: Conflict::NotFunded, .. })), "{refused:?}");
    scene.says(Command::HoldFunded { lease }).unwrap();
    scene.says(Command::StartLease { lease }).unwrap();
    assert_eq!(
        scene.world.engine.state().ledger.held(),
        Msat(1_000_000 + 2_000),
        "the venue holds none of it"
    );
}

#[test]
fn whole_slices_are_released_and_the_rest_is_paid_from_the_reserve() {
    let mut scene = Scene::new(Rate::per_task(Msat(5_000)), per_task(KEPT), 5);
    scene.fund(4);
    scene.world.work(&[&scene.worker]);
    assert_eq!(scene.outcome(), JobOutcome::Completed);
    // 25 000 earned, less 500 fee: two slices and 4 500.
    let HoldPhase::Released { preimages, .. } = scene.phase() else { panic!("{:?}", scene.phase()) };
    assert_eq!(preimages, [preimage(scene.lease, 0), preimage(scene.lease, 1)]);
    assert_eq!(scene.world.available(scene.worker.party), Msat(1_000 + 4_500));
    assert_eq!(scene.world.balance(Account::Fees), Msat(500));
    assert_eq!(
        scene.world.available(scene.buyer.party),
        Msat(1_000_000 - 5_000),
        "the rest of the budget is back"
    );
    assert_eq!(scene.world.balance(Account::Holds), Msat::ZERO, "the ledger has forgotten the hold");
    scene.says(Command::HoldOver { lease: scene.lease }).unwrap();
    assert_eq!(scene.phase(), HoldPhase::Over { released: 2, in_time: true });
    assert_eq!(scene.world.engine.state().party(scene.worker.party).in_flight_msat, Msat::ZERO);
}

#[test]
fn a_hold_that_is_used_up_rolls_into_the_next() {
    let mut scene = Scene::new(Rate::per_task(Msat(5_000)), per_task(Msat(100_000)), 15);
    scene.fund(4);
    scene.world.work(&[&scene.worker]);
    // 40 000 held and 11 021 in reserve pay for ten tasks.
    let lease = scene.world.engine.state().lease(scene.lease);
    assert_eq!((lease.books.accepted, lease.phase.is_closed()), (10, true));
    let next = *scene.world.engine.state().job(scene.job).leases.last().unwrap();
    assert_ne!(next, scene.lease);
    scene.lease = next;
    assert_eq!(scene.phase(), HoldPhase::Dealt, "work pauses until the next one is funded");
    scene.fund(4);
    scene.world.work(&[&scene.worker]);
    assert_eq!(scene.outcome(), JobOutcome::Completed);
}

#[test]
fn by_time_a_lease_lasts_as_long_as_its_hold_pays() {
    let rate = Rate::per_hour(Msat(3_600_000)); // 1 msat a millisecond
    let terms = OrderTerms { funding: by_hold(4), ..order_terms(1, rate, KEPT) };
    let mut scene = Scene::new(rate, terms, 1_000);
    assert_eq!(scene.world.engine.state().lease(scene.lease).max_ms, 51_021);
    scene.fund(4);
    scene.world.start(&scene.worker);
    scene.world.wait(51_021);
    let lease = scene.world.engine.state().lease(scene.lease);
    assert_eq!(lease.books.paid_msat, Msat(51_021));
    assert!(matches!(scene.phase(), HoldPhase::Released { preimages, .. } if preimages.len() == 4));
}

#[test]
fn a_lease_that_nobody_funds_is_void_and_costs_nothing() {
    let mut scene = Scene::new(Rate::per_task(Msat(5_000)), per_task(KEPT), 4);
    scene.invoice(4);
    let grace = scene.world.engine.rules().hold_fund_ms;
    scene.world.wait(grace);
    let state = scene.world.engine.state();
    let reason = CloseReason::NeverStarted;
    assert!(
        matches!(state.lease(scene.lease).phase, market::engine::state::LeasePhase::Closed { reason: r, .. } if r == reason)
    );
    assert!(
        matches!(scene.phase(), HoldPhase::Released { preimages, .. } if preimages.is_empty()),
        "to be cancelled"
    );
    scene.world.apply(scene.buyer.key.public(), Command::CancelJob { job: scene.job }).unwrap();
    assert_eq!(scene.world.available(scene.buyer.party), Msat(1_000_000));
}

#[test]
fn a_machine_whose_invoices_got_lost_may_try_again_but_not_for_ever() {
    let mut scene = Scene::new(Rate::per_task(Msat(5_000)), per_task(KEPT), 4);
    for tries in 1..=3 {
        assert_eq!(scene.world.leases_of(&scene.worker).len(), 1, "lease {tries}");
        scene.lease = scene.world.leases_of(&scene.worker)[0];
        assert_eq!(scene.phase(), HoldPhase::Dealt, "with hashes of its own");
        scene.says(Command::QuitLease { lease: scene.lease }).unwrap();
    }
    assert!(scene.world.leases_of(&scene.worker).is_empty());
}

#[test]
fn a_proven_cheat_gets_no_preimage() {
    let mut world = World::new();
    let rate = Rate::per_task(Msat(5_000));
    let cheat = world.provider(work(rate), Msat(1_000), |_| 2);
    let others: Vec<Provider> =
        (0..2).map(|_| world.provider(offer_terms(OfferRole::Audit, rate), Msat(1_000), honest)).collect();
    let buyer = world.buyer(Msat(1_000_000));
    let audit = Verification::Audit { floor_ppm: 1_000_000 };
    let job = world.place(&buyer, per_task(Msat(100_000)), job(2, audit)).unwrap();
    let lease = world.engine.state().job(job).leases[0];
    let key = cheat.machine_key.public();
    world.apply(key, Command::InvoiceHold { lease, invoices: invoices(4) }).unwrap();
    world.apply(key, Command::HoldFunded { lease }).unwrap();
    world.work(&[&cheat, &others[0], &others[1]]);
    let row = world.engine.state().lease(lease);
    assert_eq!((row.books.wrong, row.books.accepted), (1, 0), "{:?}", row.books);
    let hold = row.hold.as_ref().unwrap();
    assert!(matches!(&hold.phase, HoldPhase::Released { preimages, .. } if preimages.is_empty()));
    assert_eq!(hold.returned_msat(), Msat(40_000));
    assert_eq!(world.balance(Account::Holds), Msat::ZERO);
}

#[test]
fn a_buyer_that_cancels_pays_for_what_is_under_way() {
    let mut scene = Scene::new(Rate::per_task(Msat(5_000)), per_task(KEPT), 4);
    scene.fund(4);
    scene.world.start(&scene.worker);
    assert_eq!(scene.world.claim(&scene.worker, 1).len(), 1);
    scene.world.wait(30_000);
    scene.world.apply(scene.buyer.key.public(), Command::CancelJob { job: scene.job }).unwrap();
    let books = scene.world.engine.state().lease(scene.lease).books;
    assert_eq!((books.compensation_msat, books.fee_msat), (Msat(2_500), Msat(50)));
    assert_eq!(scene.world.available(scene.worker.party), Msat(1_000 + 2_450), "out of the reserve");
}

#[test]
fn who_neither_claims_nor_cancels_may_have_less_in_flight() {
    let mut scene = Scene::new(Rate::per_task(Msat(5_000)), per_task(KEPT), 4);
    scene.fund(4);
    scene.world.work(&[&scene.worker]);
    let grace = scene.world.engine.rules().hold_claim_ms;
    scene.world.wait(grace);
    assert_eq!(scene.phase(), HoldPhase::Over { released: 1, in_time: false });
    let party = scene.world.engine.state().party(scene.worker.party);
    assert_eq!((party.hold_faults, party.in_flight_msat), (1, Msat::ZERO));
    let late = scene.says(Command::HoldOver { lease: scene.lease });
    assert!(matches!(late, Err(Rejection::Conflict { is: Conflict::NoSuchHold, .. })), "{late:?}");
}

#[test]
fn nobody_but_the_venue_deals_and_releases_and_a_wrong_preimage_is_refused() {
    let mut scene = Scene::new(Rate::per_task(Msat(5_000)), per_task(KEPT), 4);
    scene.fund(4);
    let lease = scene.lease;
    let forged = scene.says(Command::ReleaseHold { lease, preimages: vec![preimage(lease, 0)] });
    assert!(matches!(forged, Err(Rejection::NotAllowed { .. })), "{forged:?}");
    scene.world.venue_answers = false;
    scene.world.work(&[&scene.worker]);
    assert_eq!(scene.phase(), HoldPhase::Decided { released: 1 });
    let venue = scene.world.venue.public();
    for wrong in [vec![], vec![Preimage([3; 32])], vec![preimage(lease, 0), preimage(lease, 1)]] {
        let refused = scene.world.apply(venue, Command::ReleaseHold { lease, preimages: wrong });
        assert!(matches!(refused, Err(Rejection::BadPreimage { .. })), "{refused:?}");
    }
    scene.world.as_venue(Command::ReleaseHold { lease, preimages: vec![preimage(lease, 0)] });
    assert!(matches!(scene.phase(), HoldPhase::Released { .. }));
}

#[test]
fn slices_too_small_to_claim_and_leases_too_long_to_hold_are_refused() {
    let mut world = World::new();
    let buyer = world.buyer(Msat(1_000_000));
    world.as_venue(Command::SetClaimCost { amount_msat: Msat(1_001) });
    let refused = world.place(&buyer, per_task(KEPT), job(1, Verification::None));
    assert!(
        matches!(&refused, Err(Rejection::Flaw(why)) if why.contains("not worth claiming")),
        "{refused:?}"
    );
    world.as_venue(Command::SetClaimCost { amount_msat: Msat(1_000) });
    let long = OrderTerms { lease_max_ms: HOLD_BLOCKS_MAX * BLOCK_MS, ..per_task(KEPT) };
    let refused = world.place(&buyer, long, job(1, Verification::None));
    assert!(
        matches!(&refused, Err(Rejection::Flaw(why)) if why.contains("too long for a hold")),
        "{refused:?}"
    );
    let poor = per_task(Msat(KEPT.0 - 1));
    let refused = world.place(&buyer, poor, job(1, Verification::None));
    assert!(matches!(&refused, Err(Rejection::Flaw(why)) if why.contains("reserve")), "{refused:?}");
    world.place(&buyer, per_task(KEPT), job(1, Verification::None)).unwrap();
}

#[test]
fn only_offers_that_take_holds_match() {
    let mut world = World::new();
    let plain = world.provider(offer_terms(OfferRole::Work, Rate::per_task(Msat(1))), Msat::ZERO, honest);
    let picky = HoldTerms { slice_min_msat: Msat(10_001) };
    let picky = OfferTerms { holds: Some(picky), ..offer_terms(OfferRole::Work, Rate::per_task(Msat(1))) };
    let picky = world.provider(picky, Msat::ZERO, honest);
    let buyer = world.buyer(Msat(1_000_000));
    let job = world.place(&buyer, per_task(KEPT), job(1, Verification::None)).unwrap();
    assert_eq!(world.engine.state().job(job).leases, []);
    assert!(world.leases_of(&plain).is_empty() && world.leases_of(&picky).is_empty());
}

#[test]
fn the_receipt_shows_the_hold_and_a_changed_one_is_refused() {
    let mut scene = Scene::new(Rate::per_task(Msat(5_000)), per_task(KEPT), 5);
    scene.fund(4);
    scene.world.work(&[&scene.worker]);
    let receipt = scene.receipt();
    receipt.verify(Some(&scene.world.venue.public())).unwrap();
    let hold = receipt.body.leases[0].hold.clone().unwrap();
    assert_eq!((receipt.body.v, hold.released, hold.payment_hashes.len()), (3, 2, 4));
    let mut body = receipt.body.clone();
    body.leases[0].hold.as_mut().unwrap().released = 3;
    let forged = Receipt::sign(
        body,
        &scene.world.venue,
        receipt.leaf.clone(),
        receipt.inclusion.clone(),
        receipt.head,
    );
    let refused = forged.verify(None);
    assert!(matches!(refused, Err(BadReceipt::Sums(_))), "{refused:?}");
}
