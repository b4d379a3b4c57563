//! What a machine does in the situations that matter, one at a time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod agent_world;

use agent_world::{IDENTITY, LEASE, World, new_agent, offer, policy, result_of};
use market::{
    command::{AbandonReason, Command},
    funding::{EncryptedResult, SaleOffer},
    id::{Digest, OfferId, OrderId, PaymentHash},
    job::Verification,
    key::{PublicKey, Signature},
    order::{AuctionPrice, Needs, OrderKind, OrderTerms, bid_seal},
    reply::Reply,
    resources::Isolation,
    units::{Msat, Rate, TimeMs},
};
use node::{
    api::{AuctionDue, WorkAuction, WorkOutput, WorkView},
    provider::Decline,
    provider::agent::{Action, Agent, Answer, Input, Kept, RequestId, RunEnd, WorkerFailure},
};

fn commands(actions: &[Action]) -> Vec<(RequestId, Command)> {
    let submitted = actions.iter().filter_map(|action| match action {
        Action::Submit { request, command } => Some((*request, (**command).clone())),
        _ => None,
    });
    submitted.collect()
}

fn see(agent: &mut Agent, now: u64, view: WorkView) -> Vec<(RequestId, Command)> {
    commands(&agent.handle(TimeMs(now), Input::Work(Box::new(view))))
}

/// A world whose lease runs, with the first claim on its way.
fn running(verification: Verification) -> World {
    let mut world = World::new(verification);
    world.look();
    world.deliver_view();
    world.tell(Input::WorkerReady { lease: LEASE });
    while !world.statements.is_empty() {
        world.arrive(0);
    }
    while !world.answers.is_empty() {
        world.answer(0);
    }
    world
}

/// The poll that is out is answered, and the next one, which was asked for after all answers that came before.
fn look_twice(world: &mut World) {
    for _ in 0..2 {
        world.look();
        world.deliver_view();
        world.pass(100);
    }
}

fn last_claim(world: &World) -> u32 {
    match world.statements.last() {
        Some((_, Command::ClaimTasks { claims })) => claims[0].max,
        other => panic!("no claim but {other:?}"),
    }
}

/// The claim is granted and its tasks run, each in this time.
fn run_claim(world: &mut World, wall_us: u64) -> u32 {
    let index = world
        .statements
        .iter()
        .position(|(_, command)| matches!(command, Command::ClaimTasks { .. }))
        .unwrap();
    let before = world.runs.len();
    world.arrive(index);
    world.answer(world.answers.len() - 1);
    let granted = u32::try_from(world.runs.len() - before).unwrap();
    let runs = std::mem::take(&mut world.runs);
    let runs = runs
        .into_iter()
        .map(|(id, task)| (id, RunEnd::Finished { result: result_of(task), wall_us }))
        .collect();
    world.tell(Input::Ran { runs });
    granted
}

#[test]
fn an_offer_is_posted_once_however_often_the_machine_restarts() {
    let mut world = World::new(Verification::None);
    world.look();
    world.deliver_view();
    let posts = |world: &World| {
        world.statements.iter().filter(|(_, c)| matches!(c, Command::PostOffer { .. })).count()
    };
    assert_eq!(posts(&world), 1);
    world.restart();
    assert_eq!(world.venue.offers.len(), 1, "the statement arrived although its sender died");
    world.look();
    world.deliver_view();
    assert_eq!(posts(&world), 0);
}

#[test]
fn standing_offers_are_changed_and_duplicates_withdrawn() {
    let mut agent = new_agent(policy(), Vec::new());
    agent.handle(TimeMs(1), Input::Time);
    let offers = vec![(OfferId(4), offer(900)), (OfferId(9), offer(1_000))];
    let first = see(&mut agent, 2, WorkView { revision: 1, offers, ..WorkView::default() });
    assert_eq!(first[0].1, Command::WithdrawOffer { offer: OfferId(9) });
    agent.handle(TimeMs(3), Input::Answered { request: first[0].0, answer: Answer::Accepted(Reply::Done) });
    let after = WorkView { revision: 2, offers: vec![(OfferId(4), offer(900))], ..WorkView::default() };
    assert_eq!(see(&mut agent, 100, after.clone()), [], "this view was asked for before the answer came");
    agent.handle(TimeMs(200), Input::Time);
    let second = see(&mut agent, 201, after);
    assert_eq!(second[0].1, Command::ChangeOffer { offer: OfferId(4), terms: Box::new(offer(1_000)) });
}

#[test]
fn a_new_price_changes_the_standing_offer_and_no_price_withdraws_it() {
    let mut agent = new_agent(policy(), Vec::new());
    agent.handle(TimeMs(1), Input::Time);
    let view = WorkView { revision: 1, offers: vec![(OfferId(4), offer(1_000))], ..WorkView::default() };
    assert_eq!(see(&mut agent, 2, view), []);
    let dearer = node::provider::Policy { offers: vec![offer(1_100)], ..policy() };
    let sent = commands(&agent.handle(TimeMs(3), Input::Policy(Box::new(dearer))));
    assert_eq!(sent[0].1, Command::ChangeOffer { offer: OfferId(4), terms: Box::new(offer(1_100)) });
    agent.handle(TimeMs(4), Input::Answered { request: sent[0].0, answer: Answer::Accepted(Reply::Done) });
    let after = WorkView { revision: 2, offers: vec![(OfferId(4), offer(1_100))], ..WorkView::default() };
    // The first answers a poll that was sent before the change; the second knows of it.
    for now in [100, 300] {
        assert_eq!(see(&mut agent, now, after.clone()), []);
        agent.handle(TimeMs(now + 100), Input::Time);
    }
    let none = node::provider::Policy { offers: Vec::new(), ..policy() };
    let sent = commands(&agent.handle(TimeMs(500), Input::Policy(Box::new(none))));
    assert_eq!(sent[0].1, Command::WithdrawOffer { offer: OfferId(4) });
}

#[test]
fn a_machine_that_is_not_to_take_work_withdraws_its_offers_and_posts_them_again_later() {
    let mut world = running(Verification::None);
    look_twice(&mut world);
    world.tell(Input::Open(false));
    assert!(
        world.statements.iter().any(|(_, command)| *command == Command::WithdrawOffer { offer: OfferId(1) })
    );
    while !world.statements.is_empty() {
        world.arrive(0);
        world.answer(0);
    }
    assert!(world.venue.offers.is_empty() && world.venue.is_quit);
    world.tell(Input::Open(true));
    look_twice(&mut world);
    assert!(world.statements.iter().any(|(_, command)| matches!(command, Command::PostOffer { .. })));
}

#[test]
fn a_view_that_overtakes_an_answer_does_not_blind_an_idle_machine() {
    let mut world = World::new(Verification::None);
    world.venue.is_quit = true;
    world.look();
    world.deliver_view();
    world.arrive(0);
    // The view with the new offer is here before the answer to the statement that posted it.
    world.pass(100);
    world.look();
    world.deliver_view();
    world.pass(100);
    world.answer(0);
    for _ in 0..3 {
        world.look();
        world.deliver_view();
        world.pass(100);
    }
    world.tell(Input::Drain);
    assert!(world.statements.iter().any(|(_, command)| matches!(command, Command::WithdrawOffer { .. })));
}

#[test]
fn the_first_claim_is_one_task_and_later_claims_grow_with_short_tasks() {
    let mut world = running(Verification::None);
    assert_eq!(last_claim(&world), 1);
    let granted: Vec<u32> = (0..3).map(|_| run_claim(&mut world, 1_000)).collect();
    assert_eq!(granted, [1, 8, 25], "eight times more, then 250 ms of work, the last rest for everybody");
}

#[test]
fn long_tasks_are_claimed_one_at_a_time_and_never_ahead() {
    let mut world = running(Verification::None);
    assert_eq!(run_claim(&mut world, 2_000_000), 1);
    assert_eq!(last_claim(&world), 1);
    let index = world.statements.len() - 1;
    world.arrive(index);
    world.answer(world.answers.len() - 1);
    assert_eq!(world.runs.len(), 1);
    let is_claim = |(_, command): &(RequestId, Command)| matches!(command, Command::ClaimTasks { .. });
    assert!(!world.statements.iter().any(is_claim), "a claim while a long task runs");
}

#[test]
fn a_job_without_verification_needs_no_view_between_claim_and_reveal() {
    let mut world = running(Verification::None);
    run_claim(&mut world, 1_000);
    let views = world.log.iter().filter(|action| matches!(action, Action::Poll { .. })).count();
    while world.venue.attempts.values().all(|(_, at)| *at != agent_world::At::Judging) {
        while !world.statements.is_empty() {
            world.arrive(0);
            world.answer(0);
        }
        while !world.uploads.is_empty() {
            world.finish_upload(0, true);
        }
    }
    assert_eq!(views, world.log.iter().filter(|action| matches!(action, Action::Poll { .. })).count());
}

/// A world whose results are due, with this to become of their outputs.
fn due(output: WorkOutput) -> World {
    let mut world = running(Verification::Replicas { k: 2, n: 3, named: Vec::new() });
    world.venue.output = output;
    run_claim(&mut world, 1_000);
    while !world.statements.is_empty() {
        world.arrive(0);
        world.answer(0);
    }
    world.venue.advance(false);
    look_twice(&mut world);
    world
}

fn reveals(world: &World) -> usize {
    let revealed = world.statements.iter().map(|(_, command)| match command {
        Command::RevealResults { reveals } => reveals.len(),
        _ => 0,
    });
    revealed.sum()
}

#[test]
fn a_replica_of_what_another_sells_is_revealed_without_giving_its_output_away() {
    let world = due(WorkOutput::Keep);
    assert!(reveals(&world) > 0 && world.uploads.is_empty() && world.encrypting.is_empty());
}

#[test]
fn a_result_that_is_sold_is_revealed_once_it_is_encrypted_and_not_uploaded() {
    let mut world = due(WorkOutput::Sell { invoice_msat: Msat(980) });
    let wanted = world.encrypting.clone();
    assert!(!wanted.is_empty() && world.uploads.is_empty());
    assert_eq!(reveals(&world), 0);
    world.tell(Input::Encrypted { attempt: wanted[0], offer: None });
    assert!(!world.encrypting[wanted.len()..].contains(&wanted[0]), "it waits before the next try");
    world.pass(60_000);
    assert!(world.encrypting[wanted.len()..].contains(&wanted[0]), "and tries again");
    let encrypted = EncryptedResult {
        payment_hash: PaymentHash([1; 32]),
        ciphertext: Digest([2; 32]),
        salt: Digest([3; 32]),
        signer: PublicKey([4; 32]),
        signature: Signature([5; 64]),
    };
    let offer = Some(SaleOffer { encrypted, invoice: "lnbcrt1".into() });
    world.tell(Input::Encrypted { attempt: wanted[0], offer });
    assert_eq!(reveals(&world), 1);
    let reveal = |(_, command): &(RequestId, Command)| matches!(command, Command::RevealResults { .. });
    world.arrive(world.statements.iter().position(reveal).unwrap());
    assert_eq!(world.venue.attempts[&wanted[0]].1, agent_world::At::Judging);
}

#[test]
fn equal_outputs_are_uploaded_once() {
    let mut world = running(Verification::None);
    world.settle();
    let uploads = world.log.iter().filter(|action| matches!(action, Action::Upload { .. })).count();
    assert_eq!(uploads, 3, "forty tasks have three different outputs");
}

#[test]
fn a_lease_that_could_end_unpaid_is_given_back_once_and_then_left_to_lapse() {
    let mut world = World::new(Verification::None);
    world.venue.lease.spec.limits.fuel = 1_000_000 * 61;
    world.look();
    world.deliver_view();
    let quits = |world: &World| {
        world.statements.iter().filter(|(_, c)| matches!(c, Command::QuitLease { .. })).count()
    };
    assert_eq!((quits(&world), world.workers.len()), (1, 0));
    let declined = |world: &World| {
        let tally = world.agent.tally();
        (tally.declined, tally.declined_because)
    };
    assert_eq!(declined(&world), (1, Some(Decline::Timeout)), "its owner learns why");
    world.statements.clear();
    world.venue.lease.lease = market::id::LeaseId(2);
    world.venue.revision += 1;
    world.pass(1_000);
    world.look();
    world.deliver_view();
    assert_eq!((quits(&world), world.workers.len()), (0, 0));
    assert_eq!(declined(&world).0, 2);
}

#[test]
fn the_tasks_of_a_job_that_nobody_can_run_are_given_back_with_the_reason() {
    let mut world = World::new(Verification::None);
    world.look();
    world.deliver_view();
    let failure = WorkerFailure::Job(AbandonReason::Module);
    world.tell(Input::WorkerFailed { lease: LEASE, failure });
    let mut reasons = Vec::new();
    while reasons.is_empty() {
        let (_, command) = world.statements[0].clone();
        if let Command::AbandonAttempts { attempts } = command {
            reasons = attempts.iter().map(|abandon| abandon.reason).collect();
        }
        world.arrive(0);
        world.answer(0);
    }
    assert_eq!(reasons, vec![AbandonReason::Module; 40]);
}

#[test]
fn a_drained_machine_finishes_what_runs_gives_back_the_rest_and_leaves() {
    let mut world = running(Verification::Audit { floor_ppm: 1_000_000 });
    run_claim(&mut world, 1_000);
    let index = world.statements.iter().position(|(_, c)| matches!(c, Command::ClaimTasks { .. })).unwrap();
    world.arrive(index);
    world.answer(world.answers.len() - 1);
    assert_eq!(world.runs.len(), 8);
    world.tell(Input::Drain);
    assert!(world.log.contains(&Action::Flush { lease: LEASE }));
    let (first, rest) = (world.runs[0].0, world.runs[1..].to_vec());
    world.finish_run(0);
    assert!(world.agent.tally().finished == 2 && first.0 > 0);
    world.runs.clear();
    world.tell(Input::Ran { runs: rest.into_iter().map(|(id, _)| (id, RunEnd::NotBegun)).collect() });
    assert!(!world.agent.is_drained());
    world.settle();
    look_twice(&mut world);
    look_twice(&mut world);
    assert!(world.agent.is_drained(), "{:?}", world.agent);
    assert!(world.venue.done.len() == 2 && world.venue.is_quit && world.venue.offers.is_empty());
}

fn auction(due: AuctionDue) -> WorkView {
    let terms = OrderTerms {
        kind: OrderKind::Auction { price: AuctionPrice::Second, window_ms: 500, reveal_ms: 500 },
        slots: 1,
        ceiling: Rate::per_task(Msat(5_000)),
        budget_msat: Msat::ZERO,
        needs: Needs {
            resources: agent_world::resources(),
            isolation: Isolation::Wasm,
            region: None,
            attributes: Default::default(),
            min_reputation_ppm: 0,
            min_bond_msat: Msat::ZERO,
        },
        lease_max_ms: 1,
        funding: None,
    };
    let limits = agent_world::spec(Verification::None).limits;
    let auction = WorkAuction { order: OrderId(2), offer: OfferId(1), terms, tasks: 1, limits, due };
    let revision = match due {
        AuctionDue::Bid { .. } => 1,
        AuctionDue::Wait => 2,
        AuctionDue::Reveal { .. } => 3,
    };
    WorkView {
        revision,
        auctions: vec![auction],
        offers: vec![(OfferId(1), offer(1_000))],
        ..WorkView::default()
    }
}

#[test]
fn a_bid_is_kept_before_it_is_sealed_and_revealed_at_the_same_price_by_a_changed_machine() {
    let mut agent = new_agent(policy(), Vec::new());
    agent.handle(TimeMs(1), Input::Time);
    let actions =
        agent.handle(TimeMs(2), Input::Work(Box::new(auction(AuctionDue::Bid { until_ms: TimeMs(500) }))));
    let kept: Vec<Kept> = actions
        .iter()
        .filter_map(|a| if let Action::Keep(items) = a { Some(items.clone()) } else { None })
        .flatten()
        .collect();
    let rate = Rate::per_task(Msat(800));
    assert_eq!(kept, [Kept::Bid { order: OrderId(2), rate }]);
    let [(_, Command::CommitBid { seal, .. })] = &commands(&actions)[..] else { panic!("{actions:?}") };

    let dearer = node::provider::Policy { discount_ppm: 0, ..policy() };
    let mut restarted = new_agent(dearer, kept);
    restarted.handle(TimeMs(1), Input::Time);
    let sent = see(&mut restarted, 2, auction(AuctionDue::Reveal { until_ms: TimeMs(900) }));
    let [(_, Command::RevealBid { rate: shown, salt, .. })] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((*shown, bid_seal(OrderId(2), IDENTITY.machine, shown, &salt.0)), (rate, *seal));
}

#[test]
fn a_bid_is_made_once_and_forgotten_when_the_auction_is_over() {
    let mut agent = new_agent(policy(), Vec::new());
    agent.handle(TimeMs(1), Input::Time);
    let sent = see(&mut agent, 2, auction(AuctionDue::Bid { until_ms: TimeMs(500) }));
    agent.handle(TimeMs(3), Input::Answered { request: sent[0].0, answer: Answer::Accepted(Reply::Done) });
    assert_eq!(see(&mut agent, 4, auction(AuctionDue::Wait)), []);
    let over = WorkView { revision: 9, offers: vec![(OfferId(1), offer(1_000))], ..WorkView::default() };
    agent.handle(TimeMs(200), Input::Time);
    let actions = agent.handle(TimeMs(201), Input::Work(Box::new(over)));
    assert!(actions.iter().any(|action| matches!(action, Action::Forget(_))), "{actions:?}");
}
