use super::*;
use crate::{
    auction::{Candidate, by_score},
    engine::{
        Engine,
        state::{Job, JobPhase, Lease, LeasePhase, Machine, Order, Party, Presence},
    },
    id::{Digest, JobId, LeaseId, MachineId, PartyId},
    job::{JobSpec, TaskLimits, Verification},
    key::SecretKey,
    lease::Settlement,
    ledger::Account,
    matching::Mismatch,
    offer::OfferTerms,
    order::{Needs, OrderKind},
    reputation::Observation,
    resources::{Attributes, Isolation, Resources},
    units::{Msat, Rate, TimeMs},
};
use proptest::prelude::*;
use std::{collections::BTreeSet, sync::Arc};

const BUYER: PartyId = PartyId(1);

fn empty() -> State {
    let mut state = State::new(key(0), 1);
    party(&mut state);
    state
}

fn key(n: u8) -> crate::key::PublicKey {
    SecretKey::from_bytes([n; 32]).public()
}

fn party(state: &mut State) -> PartyId {
    state.parties.push(Party {
        key: key(0),
        label: String::new(),
        is_operators: false,
        open_leases: 0,
        open_payments: 0,
        in_flight_msat: Msat::ZERO,
        hold_faults: 0,
        at_sale_msat: Msat::ZERO,
    })
}

fn resources(cpu_milli: u64) -> Resources {
    Resources { cpu_milli, memory_mib: 4_096, ..Resources::default() }
}

/// A live machine of a party of its own, and its offer.
fn offer(state: &mut State, msat: u64) -> OfferId {
    let owner = party(state);
    let machine = Machine {
        party: owner,
        key: key(0),
        label: String::new(),
        capacity: resources(4_000),
        free: resources(4_000),
        presence: Presence::Live,
        offers: BTreeSet::new(),
        leases: BTreeSet::new(),
    };
    let machine = state.machines.push(machine);
    let terms = OfferTerms {
        role: OfferRole::Work,
        rate: Rate::per_task(Msat(msat)),
        resources: resources(4_000),
        isolation: Isolation::Wasm,
        region: "eu".parse().unwrap(),
        class: "pc".parse().unwrap(),
        attributes: Attributes::new(),
        lease_max_ms: 3_600_000,
        holds: None,
        sales: None,
    };
    state.offers.push(Offer { machine, party: owner, terms: terms.into() })
}

fn machine_of(state: &mut State, offer: OfferId) -> &mut Machine {
    let machine = state.offer(offer).machine;
    state.machine_mut(machine)
}

fn order_terms() -> OrderTerms {
    OrderTerms {
        kind: OrderKind::Ask,
        slots: 1,
        ceiling: Rate::per_task(Msat(1_000)),
        budget_msat: Msat(1_000_000),
        needs: Needs {
            resources: resources(1_000),
            isolation: Isolation::Wasm,
            region: None,
            attributes: Attributes::new(),
            min_reputation_ppm: 0,
            min_bond_msat: Msat::ZERO,
        },
        lease_max_ms: 60_000,
        funding: None,
    }
}

fn spec() -> JobSpec {
    JobSpec {
        name: "job".into(),
        profile: "p".into(),
        module: Digest([0; 32]),
        args: vec![],
        env: Default::default(),
        stdin: None,
        inputs: vec![],
        tasks: 1,
        max_parallel: 1,
        retries: 0,
        duplicate_stragglers: false,
        limits: TaskLimits { memory_mib: 1, output_bytes: 1, fuel: 1, timeout_ms: 1 },
        verification: Verification::None,
    }
}

fn order(state: &mut State, terms: OrderTerms) -> OrderId {
    let order = state.orders.next_id();
    let job = Job {
        order,
        buyer: BUYER,
        spec: spec(),
        placed_at: TimeMs(0),
        phase: JobPhase::Active,
        tasks: Default::default(),
        next_fresh: 0,
        again: BTreeSet::new(),
        drawn: BTreeMap::new(),
        starved: BTreeSet::new(),
        unfinished: 1,
        running: 0,
        leases: vec![],
        open_leases: 0,
        avoid: BTreeSet::new(),
        paid_msat: Msat::ZERO,
        funded_msat: Msat::ZERO,
        is_low: false,
        mean_task_ms: 0,
        audits: None,
    };
    let job = state.jobs.push(job);
    state.orders.push(Order { job, buyer: BUYER, terms, phase: OrderPhase::Open, held_slots: 0 })
}

fn lease(state: &mut State, order: OrderId, offer: OfferId) -> LeaseId {
    let (job, row) = (state.order(order).job, state.offer(offer).clone());
    let lease = state.leases.push(Lease {
        order,
        job,
        buyer: BUYER,
        machine: row.machine,
        party: row.party,
        class: row.terms.class.clone(),
        rate: row.terms.rate,
        resources: resources(1_000),
        is_audit: false,
        max_ms: 60_000,
        limit_ms: 60_000,
        reserved: None,
        hold: None,
        sales: BTreeMap::new(),
        phase: LeasePhase::Running { started: TimeMs(0) },
        open_attempts: BTreeSet::new(),
        books: Settlement::default(),
    });
    state.job_mut(job).leases.push(lease);
    state.order_mut(order).held_slots += 1;
    state.machine_mut(row.machine).leases.insert(lease);
    lease
}

fn chance(state: &State, offer: OfferId, order: OrderId) -> Chance {
    let answer = state.why_idle(offer).unwrap();
    answer.orders.into_iter().find(|at| at.order == order).unwrap().chance
}

/// One offer for each thing that can stand in the way, and the order that they cannot serve.
fn obstacles() -> (State, OrderId) {
    let mut state = empty();
    let needs = Needs { min_bond_msat: Msat(5_000), min_reputation_ppm: 200_000, ..order_terms().needs };
    let order = order(&mut state, OrderTerms { needs, ..order_terms() });
    let offers: Vec<OfferId> = (1..=8).map(|n| offer(&mut state, n * 100)).collect();
    for offer in &offers[1..] {
        let party = state.offer(*offer).party;
        state.ledger.transfer(Account::Node, Account::Available(party), Msat(5_000)).unwrap();
        state.ledger.transfer(Account::Available(party), Account::Bond(party), Msat(5_000)).unwrap();
    }
    for (offer, rate) in [(offers[1], Rate::per_task(Msat(1_001))), (offers[2], Rate::per_hour(Msat(1)))] {
        Arc::make_mut(&mut state.offer_mut(offer).terms).rate = rate;
    }
    machine_of(&mut state, offers[3]).presence = Presence::Lost { since: TimeMs(0) };
    machine_of(&mut state, offers[4]).free = resources(500);
    let avoided = state.offer(offers[5]).machine;
    state.job_mut(JobId(1)).avoid.insert(avoided);
    let party = state.offer(offers[6]).party;
    let class = state.offer(offers[6]).terms.class.clone();
    state.reputation.standing_mut(party, &class).observe(TimeMs(0), BUYER, Msat(1), Observation::Wrong);
    (state, order)
}

#[test]
fn everything_that_can_stand_in_the_way_is_named() {
    let (state, order) = obstacles();
    insta::assert_snapshot!(state.why_order(order, 3).unwrap().to_string(), @r"
    order-1 has 0 of 1 leases and takes standing offers
    1 of 8 offers fit now; 8 stand in all
    1 like offer-1: its owner has a bond of 0 sat, the order needs 5 sat
    1 like offer-6: its machine had a lease of this job that ended early
    1 like offer-5: its machine has 0.500 cores free, the order needs 1 core
    1 like offer-4: its machine is not heard of any more
    1 like offer-2: asks 1001 msat a task, the order pays at most 1000 msat a task
    1 like offer-7: its owner has a reputation of 6677 ppm in this class, the order needs 200000 ppm
    1 like offer-3: is priced by time, the order pays by the task
    closest:
      offer-1: its owner has a bond of 0 sat, the order needs 5 sat
      offer-4: its machine is not heard of any more
      offer-5: its machine has 0.500 cores free, the order needs 1 core
    ");
}

#[test]
fn the_explanation_is_what_the_engine_does() {
    let (state, order) = obstacles();
    let offers: Vec<OfferId> = state.offers.iter().map(|(id, _)| id).collect();
    let engine = Engine::restore(state).unwrap();
    let state = engine.state();
    let served: Vec<OfferId> = offers
        .into_iter()
        .filter(|offer| {
            let reason = state.why_unfit(state.order(order), *offer);
            let terms_match = !matches!(reason, Some(Reason::Terms(_)));
            assert_eq!(
                reason.is_none(),
                terms_match && engine.offer_can_serve(order, *offer),
                "{offer}: {reason:?}"
            );
            reason.is_none()
        })
        .collect();
    assert_eq!(served, [OfferId(8)]);
}

#[test]
fn a_survey_needs_no_order() {
    let mut state = empty();
    assert_eq!(state.survey(&order_terms(), 5).to_string(), "there are no standing offers\n");
    let (cheap, dear) = (offer(&mut state, 10), offer(&mut state, 2_000));
    let survey = state.survey(&order_terms(), 5);
    assert_eq!((survey.fit, survey.closest.len(), survey.closest[0].offer), (1, 1, dear));
    assert!(matches!(survey.reasons[0].example.reason, Reason::Terms(Mismatch::Price { .. })));
    machine_of(&mut state, cheap).presence = Presence::Revoked;
    assert_eq!(state.survey(&order_terms(), 0).fit, 0);
}

#[test]
fn a_survey_of_many_offers_looks_at_some_of_all() {
    let mut state = empty();
    let first = offer(&mut state, 10);
    let row = state.offer(first).clone();
    (1..25_000).for_each(|_| {
        state.offers.push(row.clone());
    });
    let survey = state.survey(&order_terms(), 0);
    assert_eq!((survey.offers, survey.looked_at, survey.fit), (25_000, 8_334, 8_334));
}

#[test]
fn an_idle_offer_learns_the_price_that_would_have_won() {
    let mut state = empty();
    let (winner, loser) = (offer(&mut state, 400), offer(&mut state, 900));
    let order = order(&mut state, order_terms());
    assert_eq!(chance(&state, loser, order), Chance::NoWorkLeft);
    lease(&mut state, order, winner);
    // The winner's machine is the older one and would have won a tie.
    assert_eq!(chance(&state, loser, order), Chance::Outbid { wins_at: Some(Rate::per_task(Msat(399))) });
    assert_eq!(chance(&state, winner, order), Chance::Leased);
    insta::assert_snapshot!(state.why_idle(loser).unwrap().to_string(), @r"
    offer-2 asks 900 msat a task; its machine has 0 leases
      order-1: was outbid; 399 msat a task would have won
    others of class pc ask 400 msat a task to 400 msat a task, 400 msat a task in the middle, 1 in all
    leases of this class were granted at 400 msat a task to 400 msat a task, 400 msat a task in the middle, 1 in all
    ");
}

#[test]
fn without_orders_an_idle_offer_learns_the_going_prices() {
    let mut state = empty();
    let own = offer(&mut state, 900);
    for msat in [100, 200, 300, 400, 500] {
        offer(&mut state, msat);
    }
    machine_of(&mut state, own).presence = Presence::Lost { since: TimeMs(0) };
    insta::assert_snapshot!(state.why_idle(own).unwrap().to_string(), @r"
    offer-1 asks 900 msat a task; its machine has 0 leases
    it gets no work at all: its machine is not heard of any more
    there are no open orders
    others of class pc ask 100 msat a task to 500 msat a task, 300 msat a task in the middle, 5 in all
    no lease of this class was granted lately
    ");
}

#[test]
fn a_validator_is_told_what_it_can_audit() {
    let mut state = empty();
    let validator = offer(&mut state, 100);
    Arc::make_mut(&mut state.offer_mut(validator).terms).role = OfferRole::Audit;
    let order = order(&mut state, order_terms());
    assert_eq!(chance(&state, validator, order), Chance::Unfit(Reason::NothingToAudit));
    state.job_mut(JobId(1)).spec.verification = Verification::Audit { floor_ppm: 1 };
    assert_eq!(chance(&state, validator, order), Chance::DrawnByLot);
    state.job_mut(JobId(1)).spec.verification = Verification::Replicas { k: 2, n: 2, named: vec![BUYER] };
    assert_eq!(chance(&state, validator, order), Chance::Unfit(Reason::NotNamed));
    state.offer_mut(validator).party = BUYER;
    assert_eq!(chance(&state, validator, order), Chance::Unfit(Reason::MayNotAudit));
}

#[test]
fn an_undecided_auction_is_open_to_everybody_who_fits() {
    let mut state = empty();
    let bidder = offer(&mut state, 100);
    let order = order(&mut state, order_terms());
    state.order_mut(order).phase = OrderPhase::Bidding { until: TimeMs(7), seals: BTreeMap::new() };
    assert_eq!(chance(&state, bidder, order), Chance::Bidding { until: TimeMs(7) });
    assert_eq!(state.why_order(order, 0).unwrap().phase, Taking::Bids);
}

proptest! {
    #[test]
    fn the_price_that_would_have_won_wins_and_one_more_does_not(
        winning in 1..1_000u64, asks in 1..1_000u64, accepted in 0..20_000_000u64, wrong in any::<bool>(),
    ) {
        let mut state = empty();
        let (winner, loser) = (offer(&mut state, winning), offer(&mut state, asks));
        let row = state.offer(winner).clone();
        let standing = state.reputation.standing_mut(row.party, &row.terms.class);
        standing.observe(TimeMs(0), BUYER, Msat(accepted), Observation::Accepted);
        if wrong {
            standing.observe(TimeMs(0), BUYER, Msat(1), Observation::Wrong);
        }
        let order = order(&mut state, order_terms());
        lease(&mut state, order, winner);
        let candidate = |offer: OfferId, msat: u64| {
            let row = state.offer(offer);
            let quality_ppm = state.reputation.score(row.party, &row.terms.class, TimeMs(0)).quality_ppm;
            Candidate { machine: MachineId(row.machine.0), offer, rate: Rate::per_task(Msat(msat)), quality_ppm }
        };
        let beats = |msat| by_score(&candidate(loser, msat), &candidate(winner, winning)).is_lt();
        let Chance::Outbid { wins_at } = chance(&state, loser, order) else { panic!("nobody outbid it") };
        let highest = wins_at.map_or(0, |rate| rate.msat.0);
        prop_assert!(highest == 0 || beats(highest));
        prop_assert!(highest == 1_000 || !beats(highest + 1));
    }
}
