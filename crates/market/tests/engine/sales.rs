//! Results that are paid to decrypt.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::world::*;
use market::{
    command::{Command, Reveal},
    effect::Effect,
    engine::state::{JobPhase, LeasePhase, SalePhase},
    event::{Event, JobOutcome, RejectReason, Verdict},
    funding::{Funding, SaleOffer, SaleTerms},
    id::{AttemptId, Digest, JobId, LeaseId},
    job::Verification,
    lease::CloseReason,
    ledger::Account,
    offer::{OfferRole, OfferTerms},
    order::OrderTerms,
    preimage::Preimage,
    receipt::{ReceiptBody, SaleFate},
    rejection::{Conflict, Rejection},
    units::{Msat, Rate},
};

const FUNDS: u64 = 1_000_000;
/// A price of 10 000: 200 of it are the fee, 2 500 the deposit; the invoice is over the rest.
const PRICE: u64 = 10_000;
const FEE: u64 = 200;
const DEPOSIT: u64 = 2_500;
const INVOICE: u64 = PRICE - FEE;
/// What a validator asks for a replica.
const CHECK: u64 = 1_000;
const BOND: u64 = 50_000;
const REPLICAS: Verification = Verification::Replicas { k: 2, n: 3, named: vec![] };

fn liar(_: u32) -> u8 {
    66
}

fn sells() -> OfferTerms {
    let sales = Some(SaleTerms { deposit_min_ppm: 250_000 });
    OfferTerms { sales, ..offer_terms(OfferRole::Work, Rate::per_task(Msat(PRICE))) }
}

fn checks() -> OfferTerms {
    offer_terms(OfferRole::Audit, Rate::per_task(Msat(CHECK)))
}

fn to_decrypt(slots: u32) -> OrderTerms {
    let funding = Some(Funding::Decrypt { deposit_ppm: 250_000 });
    let mut terms = OrderTerms { funding, ..order_terms(slots, Rate::per_task(Msat(PRICE)), Msat(200_000)) };
    terms.needs.min_bond_msat = Msat(INVOICE);
    terms
}

/// A market with a seller, a validator and a buyer.
struct Scene {
    world: World,
    seller: Provider,
    checker: Provider,
    buyer: Buyer,
}

impl Scene {
    fn new() -> Scene {
        Scene::with_bond(BOND)
    }

    fn with_bond(bond: u64) -> Scene {
        let mut world = World::new();
        let seller = world.provider(sells(), Msat(bond), honest);
        let checker = world.provider(checks(), Msat(BOND), honest);
        let buyer = world.buyer(Msat(FUNDS));
        Scene { world, seller, checker, buyer }
    }

    fn place(&mut self, tasks: u32) -> JobId {
        self.world.place(&self.buyer, to_decrypt(1), job(tasks, REPLICAS)).unwrap()
    }

    fn work(&mut self) {
        self.world.work(&[&self.seller, &self.checker]);
    }

    /// Places a job of one task and brings it so far that its result is for sale.
    fn offered(&mut self) -> (JobId, LeaseId, AttemptId) {
        let job = self.place(1);
        self.work();
        let payable = self.payable(job);
        assert_eq!(payable.len(), 1);
        (job, payable[0].0, payable[0].1)
    }

    fn payable(&self, job: JobId) -> Vec<(LeaseId, AttemptId)> {
        let state = self.world.engine.state();
        let leases = state.job(job).leases.iter().map(|id| (*id, state.lease(*id)));
        let sales =
            leases.flat_map(|(id, lease)| lease.sales.iter().map(move |(attempt, sale)| (id, attempt, sale)));
        let payable = sales.filter(|(.., sale)| matches!(sale.phase, SalePhase::Payable { .. }));
        payable.map(|(lease, attempt, _)| (lease, *attempt)).collect()
    }

    fn says(&mut self, command: Command) -> Result<(), Rejection> {
        self.world.apply(self.buyer.key.public(), command).map(drop)
    }

    fn show(&mut self, lease: LeaseId, attempt: AttemptId) {
        self.says(Command::ShowKey { lease, attempt, preimage: key_of(attempt) }).unwrap();
    }

    fn dispute(&mut self, lease: LeaseId, attempt: AttemptId) {
        let (ciphertext, preimage) = (ciphertext_of(attempt), key_of(attempt));
        self.says(Command::DisputeKey { lease, attempt, ciphertext, preimage }).unwrap();
        assert!(self.world.effects.contains(&Effect::JudgeKey { lease, attempt }));
    }

    fn judge(&mut self, lease: LeaseId, attempt: AttemptId, opened: Option<Digest>) {
        self.world.as_venue(Command::JudgeKey { lease, attempt, opened });
    }

    fn buyer_has(&self) -> u64 {
        self.world.available(self.buyer.party).0
    }

    /// The receipt's body, whose sums have been checked.
    fn receipt(&self, job: JobId) -> ReceiptBody {
        let receipt = self.world.receipt(job);
        receipt.verify(Some(&self.world.venue.public())).unwrap();
        receipt.body
    }
}

#[test]
fn an_honest_sale_costs_the_market_side_the_fee_and_the_check_alone() {
    let mut scene = Scene::new();
    let (job, lease, attempt) = scene.offered();
    assert_eq!(scene.world.engine.state().party(scene.seller.party).at_sale_msat, Msat(INVOICE));
    scene.show(lease, attempt);
    let state = scene.world.engine.state();
    assert!(matches!(state.job(job).phase, JobPhase::Settled { outcome: JobOutcome::Completed, .. }));
    assert_eq!(scene.buyer_has(), FUNDS - FEE - CHECK, "the price itself went past the market");
    assert_eq!(scene.world.available(scene.seller.party), Msat(1_000), "nothing through the market");
    assert_eq!(scene.world.available(scene.checker.party), Msat(1_000 + CHECK - CHECK / 50));
    assert_eq!(scene.world.balance(Account::Fees), Msat(FEE + CHECK / 50));
    assert_eq!(state.party(scene.seller.party).at_sale_msat, Msat::ZERO);
    let body = scene.receipt(job);
    assert_eq!((body.v, body.paid_msat), (4, Msat(PRICE + CHECK)));
    let sale = &body.leases[0].sales[0];
    assert_eq!((sale.fate, sale.encrypted.ciphertext), (SaleFate::Sold, ciphertext_of(attempt)));
    assert!(
        !serde_json::to_string(&body).unwrap().contains(&data_encoding::HEXLOWER.encode(&key_of(attempt).0))
    );
}

#[test]
fn a_machine_that_sells_and_vouches_is_paid_for_both() {
    let mut scene = Scene::new();
    let (machine, offer) = (scene.checker.machine_key.public(), scene.checker.offer);
    scene.world.apply(machine, Command::WithdrawOffer { offer }).unwrap();
    let other = scene.world.provider(sells(), Msat(BOND), honest);
    let job = scene.world.place(&scene.buyer, to_decrypt(8), job(4, REPLICAS)).unwrap();
    for _ in 0..4 {
        scene.world.work(&[&scene.seller, &other]);
        for (lease, attempt) in scene.payable(job) {
            scene.show(lease, attempt);
        }
    }
    let body = scene.receipt(job);
    assert_eq!(body.outcome, JobOutcome::Completed);
    // Each task is sold once, at its price, and vouched for once, at the same price, out of the budget.
    assert_eq!(scene.buyer_has(), FUNDS - 4 * FEE - 4 * PRICE);
    assert_eq!(body.paid_msat, Msat(8 * PRICE));
    let through_the_market = |party| scene.world.available(party).0 - 1_000;
    assert_eq!(
        through_the_market(scene.seller.party) + through_the_market(other.party),
        4 * (PRICE - PRICE / 50)
    );
}

#[test]
fn a_wrong_key_that_is_proven_costs_the_bond_and_the_buyer_has_its_price_again() {
    for opened in [None, Some(Digest([66; 32]))] {
        let mut scene = Scene::new();
        let (job, lease, attempt) = scene.offered();
        scene.dispute(lease, attempt);
        scene.judge(lease, attempt, opened);
        assert_eq!(scene.buyer_has(), FUNDS - CHECK + INVOICE, "what it paid for the key is back");
        assert_eq!(scene.world.bond(scene.seller.party), Msat::ZERO);
        assert_eq!(scene.world.balance(Account::Insurance), Msat(BOND - INVOICE));
        let forged =
            |event: &Event| matches!(event, Event::KeyForged { opened: found, .. } if *found == opened);
        assert!(scene.world.events.iter().any(forged));
        let body = scene.receipt(job);
        assert_eq!(body.leases[0].sales[0].fate, SaleFate::Forged { preimage: key_of(attempt), opened });
        assert_eq!((body.leases[0].books.paid_msat, body.leases[0].books.wrong), (Msat::ZERO, 1));
        assert_eq!(body.leases[0].reason, CloseReason::Cheated);
    }
}

#[test]
fn a_dispute_of_a_right_key_is_refused_and_costs_no_more_than_saying_nothing() {
    let mut scene = Scene::new();
    let (job, lease, attempt) = scene.offered();
    scene.dispute(lease, attempt);
    scene.judge(lease, attempt, Some(result(1).output));
    assert_eq!(scene.buyer_has(), FUNDS - FEE - CHECK);
    assert_eq!(scene.world.bond(scene.seller.party), Msat(BOND));
    assert_eq!(scene.receipt(job).leases[0].sales[0].fate, SaleFate::Sold);
}

#[test]
fn a_buyer_that_never_pays_loses_its_deposit_to_the_provider() {
    let mut scene = Scene::new();
    let (job, lease, attempt) = scene.offered();
    scene.world.wait(599_999);
    assert_eq!(scene.payable(job), [(lease, attempt)]);
    scene.world.wait(1);
    assert_eq!(scene.payable(job), []);
    assert_eq!(scene.buyer_has(), FUNDS - DEPOSIT - CHECK);
    assert_eq!(scene.world.available(scene.seller.party), Msat(1_000 + DEPOSIT - DEPOSIT / 50));
    let late = scene.says(Command::ShowKey { lease, attempt, preimage: key_of(attempt) });
    assert!(matches!(late, Err(Rejection::Conflict { is: Conflict::NoSuchSale, .. })), "{late:?}");
    let body = scene.receipt(job);
    assert_eq!(body.leases[0].sales[0].fate, SaleFate::Unsold);
    assert_eq!(body.leases[0].books.compensation_msat, Msat(DEPOSIT));
}

#[test]
fn a_provider_that_never_offers_its_result_is_late_and_has_nothing() {
    let mut scene = Scene::new();
    let job = scene.place(1);
    scene.world.start(&scene.seller);
    let attempts = scene.world.claim(&scene.seller, 1);
    scene.world.commit(&scene.seller, &attempts).unwrap();
    scene.world.start(&scene.checker);
    let checks = scene.world.claim(&scene.checker, 1);
    scene.world.commit(&scene.checker, &checks).unwrap();
    // A reveal that offers nothing is none.
    let attempt = attempts[0].0;
    let reveal = |sale: Option<SaleOffer>| {
        let reveals = vec![Reveal { attempt, salt: Digest([7; 32]), result: result(1), sale }];
        Command::RevealResults { reveals }
    };
    let machine = scene.seller.machine_key.public();
    assert!(matches!(scene.world.apply(machine, reveal(None)), Err(Rejection::Batch(_))));
    scene.world.reveal(&scene.checker);
    scene.world.wait(30_001);
    let late = |event: &Event| {
        let verdict = Verdict::Rejected { reason: RejectReason::NotRevealed, evidence: None };
        matches!(event, Event::AttemptJudged { attempt: of, verdict: found, .. } if *of == attempt && *found == verdict)
    };
    assert!(scene.world.events.iter().any(late));
    assert_eq!(scene.payable(job), []);
    assert_eq!(scene.world.engine.state().party(scene.seller.party).at_sale_msat, Msat::ZERO);
}

#[test]
fn a_result_that_only_replicas_have_is_made_again_by_somebody_who_sells_it() {
    let mut scene = Scene::new();
    let crook = scene.world.provider(
        OfferTerms { rate: Rate::per_task(Msat(PRICE - 1)), ..sells() },
        Msat(BOND),
        liar,
    );
    let second = scene.world.provider(checks(), Msat(BOND), honest);
    let job = scene.place(1);
    scene.world.work(&[&crook, &scene.checker, &second]);
    let state = scene.world.engine.state();
    assert_eq!((scene.world.bond(crook.party), state.job(job).unfinished), (Msat::ZERO, 1));
    assert!(state.job(job).is_active());
    scene.world.work(&[&scene.seller, &scene.checker, &second]);
    let [(lease, attempt)] = scene.payable(job)[..] else { panic!("{:?}", scene.payable(job)) };
    scene.show(lease, attempt);
    // Three checks, one of which the crook's bond has paid.
    assert_eq!(scene.buyer_has(), FUNDS - FEE - 2 * CHECK);
    scene.receipt(job);
}

#[test]
fn what_is_at_sale_is_never_more_than_the_bond_covers() {
    let mut scene = Scene::with_bond(2 * INVOICE);
    let job = scene.place(3);
    scene.work();
    let open = scene.payable(job);
    assert_eq!(open.len(), 2, "the third task waits for one of them");
    let lease = open[0].0;
    assert_eq!(scene.world.engine.claimable(lease), 0);
    scene.show(open[0].0, open[0].1);
    assert_eq!(scene.world.engine.claimable(lease), 1);
    scene.work();
    assert_eq!(scene.payable(job).len(), 2);
    // One forged key does not take what the other buyer's money rests on.
    let [first, second] = scene.payable(job)[..] else { panic!() };
    for (lease, attempt) in [first, second] {
        scene.dispute(lease, attempt);
    }
    scene.judge(first.0, first.1, None);
    assert_eq!(scene.world.bond(scene.seller.party), Msat(INVOICE));
    assert!(!matches!(scene.world.engine.state().lease(lease).phase, LeasePhase::Closed { .. }));
    scene.judge(second.0, second.1, None);
    assert_eq!(scene.world.bond(scene.seller.party), Msat::ZERO);
    assert_eq!(scene.buyer_has(), FUNDS - FEE - 3 * CHECK + 2 * INVOICE);
    let body = scene.receipt(job);
    assert_eq!(body.leases[0].books.paid_msat, Msat(PRICE), "what was sold before stays sold");
}

#[test]
fn only_the_buyer_and_only_with_the_right_preimage_ends_a_sale() {
    let mut scene = Scene::new();
    let (_, lease, attempt) = scene.offered();
    let wrong = Preimage([1; 32]);
    let shown = scene.says(Command::ShowKey { lease, attempt, preimage: wrong });
    assert_eq!(shown, Err(Rejection::BadPreimage { lease }));
    let ciphertext = Digest([1; 32]);
    let disputed = scene.says(Command::DisputeKey { lease, attempt, ciphertext, preimage: key_of(attempt) });
    assert!(matches!(disputed, Err(Rejection::Flaw(_))), "{disputed:?}");
    let stranger = scene.world.buyer(Msat(1_000)).key.public();
    let show = Command::ShowKey { lease, attempt, preimage: key_of(attempt) };
    assert!(matches!(scene.world.apply(stranger, show), Err(Rejection::NotAllowed { .. })));
    let venue = scene.world.venue.public();
    let judge = Command::JudgeKey { lease, attempt, opened: None };
    assert!(scene.world.apply(venue, judge.clone()).is_err(), "nobody disputes it");
    assert!(scene.world.apply(scene.buyer.key.public(), judge).is_err(), "the venue judges");
}

#[test]
fn an_offer_that_the_machine_has_not_signed_is_refused() {
    let mut scene = Scene::new();
    scene.place(1);
    scene.world.start(&scene.seller);
    let attempts = scene.world.claim(&scene.seller, 1);
    scene.world.commit(&scene.seller, &attempts).unwrap();
    scene.world.start(&scene.checker);
    let checks = scene.world.claim(&scene.checker, 1);
    scene.world.commit(&scene.checker, &checks).unwrap();
    let attempt = attempts[0].0;
    let row = scene.world.engine.state().attempt(attempt).clone();
    let good = scene.world.for_sale(&scene.seller, attempt, &row).unwrap();
    let mut other = good.clone();
    other.encrypted.ciphertext = Digest([3; 32]);
    let reveal = |sale| {
        let reveals = vec![Reveal { attempt, salt: Digest([7; 32]), result: result(1), sale: Some(sale) }];
        Command::RevealResults { reveals }
    };
    let machine = scene.seller.machine_key.public();
    assert!(matches!(scene.world.apply(machine, reveal(other)), Err(Rejection::Batch(_))));
    scene.world.apply(machine, reveal(good)).unwrap();
}

#[test]
fn orders_that_nothing_would_stand_behind_are_refused() {
    let mut scene = Scene::new();
    let mut refused = |terms: OrderTerms, spec| match scene.world.place(&scene.buyer, terms, spec) {
        Err(Rejection::Flaw(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(refused(to_decrypt(1), job(1, Verification::None)).contains("vouch"));
    let audit = Verification::Audit { floor_ppm: 1_000_000 };
    assert!(refused(to_decrypt(1), job(1, audit)).contains("vouch"));
    let mut unbonded = to_decrypt(1);
    unbonded.needs.min_bond_msat = Msat(INVOICE - 1);
    assert!(refused(unbonded, job(1, REPLICAS)).contains("bond"));
    let by_time = OrderTerms { ceiling: Rate::per_hour(Msat(PRICE)), ..to_decrypt(1) };
    assert!(refused(by_time, job(1, REPLICAS)).contains("by the task"));
    let funding = Some(Funding::Decrypt { deposit_ppm: 1_000_001 });
    assert!(refused(OrderTerms { funding, ..to_decrypt(1) }, job(1, REPLICAS)).contains("deposit"));
    let funding = Some(Funding::Decrypt { deposit_ppm: 0 });
    assert!(refused(OrderTerms { funding, ..to_decrypt(1) }, job(1, REPLICAS)).contains("nothing"));
    let short = OrderTerms { budget_msat: Msat(DEPOSIT + PRICE - 1), ..to_decrypt(1) };
    let short = scene.world.place(&scene.buyer, short, job(1, REPLICAS));
    assert!(matches!(short, Err(Rejection::Conflict { is: Conflict::BudgetTooSmall, .. })), "{short:?}");
}

#[test]
fn an_offer_that_sells_nothing_or_wants_a_larger_deposit_is_not_matched() {
    let mut world = World::new();
    let plain = offer_terms(OfferRole::Work, Rate::per_task(Msat(1)));
    let picky = Some(SaleTerms { deposit_min_ppm: 250_001 });
    let picky = OfferTerms { sales: picky, ..offer_terms(OfferRole::Work, Rate::per_task(Msat(1))) };
    world.provider(plain, Msat(BOND), honest);
    world.provider(picky, Msat(BOND), honest);
    let buyer = world.buyer(Msat(FUNDS));
    let id = world.place(&buyer, to_decrypt(1), job(1, REPLICAS)).unwrap();
    assert!(world.engine.state().job(id).leases.is_empty());
}

#[test]
fn a_buyer_that_leaves_after_a_commitment_owes_the_deposit_or_the_price() {
    let mut scene = Scene::new();
    let job = scene.place(1);
    scene.world.start(&scene.seller);
    let attempts = scene.world.claim(&scene.seller, 1);
    scene.world.commit(&scene.seller, &attempts).unwrap();
    scene.says(Command::CancelJob { job }).unwrap();
    scene.world.reveal(&scene.seller);
    let [(lease, attempt)] = scene.payable(job)[..] else { panic!("{:?}", scene.payable(job)) };
    let sale = &scene.world.engine.state().lease(lease).sales[&attempt];
    assert!(matches!(sale.phase, SalePhase::Payable { is_verified: false, .. }), "nobody vouches for it");
    scene.world.wait(600_000);
    assert_eq!(scene.buyer_has(), FUNDS - DEPOSIT);
    scene.receipt(job);
}
