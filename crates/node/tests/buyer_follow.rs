//! Following a job: links are revealed when they are due and never earlier, results are fetched once, restarts go on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use market::{
    command::{AuditLink, Command},
    event::{JobOutcome, TaskOutcome},
    funding::{EncryptedResult, Funding},
    id::{AttemptId, Digest, JobId, LeaseId, OrderId, PaymentHash},
    job::{JobSpec, TaskLimits, Verification},
    key::{PublicKey, Signature},
    order::{Needs, OrderKind, OrderTerms},
    resources::{Isolation, Resources},
    units::{Msat, Rate, TimeMs},
    verify::{Chain, Exit, TaskResult, follows},
};
use node::{
    api::{HoldView, JobView, SaleView, TaskView},
    buyer::agent::{Action, Follower, Input, Payable, Progress, Resume, Tried},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const JOB: JobId = JobId(4);
const PLACED: u64 = 1_000_000;

fn chain() -> Chain {
    Chain::new(Digest([9; 32]), 100)
}

fn view(phase: &str, done: u32, round: Option<u32>) -> JobView {
    JobView {
        job: JOB,
        order: OrderId(4),
        terms: OrderTerms {
            kind: OrderKind::Ask,
            slots: 1,
            ceiling: Rate::per_task(Msat(1)),
            budget_msat: Msat(1),
            needs: Needs {
                resources: Resources::default(),
                isolation: Isolation::Wasm,
                region: None,
                attributes: BTreeMap::new(),
                min_reputation_ppm: 0,
                min_bond_msat: Msat::ZERO,
            },
            lease_max_ms: 1,
            funding: None,
        },
        spec: JobSpec {
            name: "test".into(),
            profile: "wasm-1".into(),
            module: Digest([1; 32]),
            args: Vec::new(),
            env: BTreeMap::new(),
            stdin: None,
            inputs: Vec::new(),
            tasks: 3,
            max_parallel: 3,
            retries: 0,
            duplicate_stragglers: false,
            limits: TaskLimits { memory_mib: 1, output_bytes: 1, fuel: 1, timeout_ms: 1 },
            verification: Verification::Audit { floor_ppm: 1 },
        },
        placed_at_ms: TimeMs(PLACED),
        phase: phase.into(),
        outcome: (phase == "settled").then_some(JobOutcome::Completed),
        tasks_done: done,
        tasks_failed: 0,
        running: 0,
        escrow_msat: Msat::ZERO,
        paid_msat: Msat::ZERO,
        refunded_msat: None,
        venue_paid_msat: Msat::ZERO,
        leases: Vec::new(),
        round_waiting_for_buyer: round,
        holds: Vec::new(),
        session_needs_msat: None,
        sales: Vec::new(),
    }
}

fn done(task: u32, output: u8) -> TaskView {
    let result = TaskResult { exit: Exit::Code(0), output: Digest([output; 32]), fuel: 1 };
    let outcome = Some(TaskOutcome::Done { result, attempt: AttemptId(1) });
    TaskView { task, outcome, open_attempts: Vec::new(), failures: 0 }
}

fn links(actions: &[Action]) -> Vec<AuditLink> {
    let links = actions.iter().filter_map(|action| match action {
        Action::Submit { command: Command::RevealBuyerLink(link), .. } => Some(*link),
        _ => None,
    });
    links.collect()
}

fn looked(follower: &mut Follower, now: u64, seen: JobView) -> Vec<Action> {
    follower.handle(TimeMs(now), Input::Looked(Some(Box::new(seen))))
}

#[test]
fn a_link_is_kept_and_revealed_as_soon_as_its_round_opens() {
    let mut follower = Follower::new(JOB, Some(chain()), Resume::default(), true);
    follower.handle(TimeMs(PLACED), Input::Time);
    looked(&mut follower, PLACED + 1, view("running", 0, None));
    let actions = follower.handle(TimeMs(PLACED + 2), Input::RoundOpened { round: 0 });
    let keep = actions.iter().position(|action| matches!(action, Action::Keep(Resume { next_round: 1, .. })));
    let send = actions.iter().position(|action| matches!(action, Action::Submit { round: 0, .. }));
    assert!(keep.is_some() && keep < send, "{actions:?}");
    assert!(follows(&chain().anchor(), &links(&actions)[0].link, 1));
}

#[test]
fn a_link_that_was_lost_is_sent_again_when_the_market_still_waits_for_it() {
    let mut follower = Follower::new(JOB, Some(chain()), Resume::default(), true);
    follower.handle(TimeMs(PLACED), Input::RoundOpened { round: 0 });
    let refused = follower.handle(TimeMs(PLACED), Input::Submitted { round: 0, is_accepted: false });
    assert_eq!(links(&refused), [], "the market is asked first whether it still waits");
    let again = looked(&mut follower, PLACED + 9, view("running", 0, Some(0)));
    assert_eq!(links(&again).len(), 1);
}

#[test]
fn a_market_that_asks_ahead_gets_nothing() {
    let mut follower = Follower::new(JOB, Some(chain()), Resume::default(), true);
    follower.handle(TimeMs(PLACED), Input::Time);
    let actions = looked(&mut follower, PLACED + 29_999, view("running", 0, Some(1)));
    assert_eq!(links(&actions), []);
    assert!(actions.contains(&Action::Tell(Progress::EarlyRound { round: 1, expected: 0 })));
    let actions = follower.handle(TimeMs(PLACED + 30_000), Input::Time);
    assert_eq!(links(&actions).len(), 1, "round 0 can have passed without us by now");
}

#[test]
fn a_buyer_that_was_away_goes_on_with_the_round_that_waits() {
    let resume = Resume { next_round: 3, since_ms: TimeMs(PLACED + 5_000) };
    let mut follower = Follower::new(JOB, Some(chain()), resume, true);
    let actions = looked(&mut follower, PLACED + 65_000, view("running", 0, Some(5)));
    assert_eq!(links(&actions).first().map(|link| link.round), Some(5));
}

#[test]
fn every_result_is_fetched_once_and_a_replaced_one_again() {
    let mut follower = Follower::new(JOB, None, Resume::default(), true);
    follower.handle(TimeMs(PLACED), Input::Time);
    let actions = looked(&mut follower, PLACED + 1, view("running", 2, None));
    assert!(actions.contains(&Action::LookAtTasks));
    let fetches = |actions: &[Action]| actions.iter().filter(|a| matches!(a, Action::Fetch { .. })).count();
    let actions = follower.handle(TimeMs(PLACED + 2), Input::Tasks(Some(vec![done(0, 1), done(1, 1)])));
    assert_eq!(fetches(&actions), 2);
    for task in [0, 1] {
        follower.handle(TimeMs(PLACED + 3), Input::Fetched { task, is_here: true });
    }
    looked(&mut follower, PLACED + 4, view("running", 3, None));
    let tasks = vec![done(0, 1), done(1, 2), done(2, 1)];
    let actions = follower.handle(TimeMs(PLACED + 5), Input::Tasks(Some(tasks)));
    assert_eq!(fetches(&actions), 2, "task 1 was decided anew, task 2 is new");
}

#[test]
fn the_end_is_told_after_the_last_result_and_only_once() {
    let mut follower = Follower::new(JOB, None, Resume::default(), true);
    follower.handle(TimeMs(PLACED), Input::Time);
    looked(&mut follower, PLACED + 1, view("settled", 1, None));
    follower.handle(TimeMs(PLACED + 2), Input::Tasks(Some(vec![done(0, 1)])));
    // The view that said "settled" asked for the tasks again, so that none is missed.
    assert!(!follower.is_done());
    let actions = follower.handle(TimeMs(PLACED + 4), Input::Fetched { task: 0, is_here: true });
    assert!(
        actions.contains(&Action::Tell(Progress::Ended { outcome: JobOutcome::Completed })),
        "{actions:?}"
    );
    assert!(follower.is_done());
    assert_eq!(follower.handle(TimeMs(PLACED + 9_000), Input::Time), []);
}

#[test]
fn a_result_that_cannot_be_had_is_named_and_does_not_hang_the_job() {
    let mut follower = Follower::new(JOB, None, Resume::default(), true);
    follower.handle(TimeMs(PLACED), Input::Time);
    looked(&mut follower, PLACED + 1, view("settled", 1, None));
    follower.handle(TimeMs(PLACED + 2), Input::Tasks(Some(vec![done(0, 1)])));
    let tries: Vec<Vec<Action>> = (0..5)
        .map(|_| follower.handle(TimeMs(PLACED + 3), Input::Fetched { task: 0, is_here: false }))
        .collect();
    assert!(tries[4].contains(&Action::Tell(Progress::Missing { task: 0, output: Digest([1; 32]) })));
    assert!(follower.is_done());
}

#[derive(Debug, Clone)]
enum Step {
    Opened(u32),
    Waits(Option<u32>),
    Answered(bool),
    Pass(u64),
    Restart,
}

fn with_hold(phase: &str) -> JobView {
    let hold = HoldView {
        lease: LeaseId(7),
        slice_msat: Msat(20_000),
        payment_hashes: vec![PaymentHash([1; 32])],
        invoices: vec!["lnbcrt1".into()],
        until_ms: TimeMs(PLACED),
        phase: phase.into(),
        released: 0,
    };
    JobView { holds: vec![hold], ..view("running", 0, None) }
}

/// What the actions want paid.
fn due(actions: &[Action]) -> Vec<Payable> {
    let due = actions.iter().filter_map(|action| match action {
        Action::PayHold(hold) => Some(Payable::Hold(hold.lease)),
        Action::BuyKey(sale) => Some(Payable::Key(sale.attempt)),
        Action::TopUp { .. } => Some(Payable::Session),
        _ => None,
    });
    due.collect()
}

fn tried(follower: &mut Follower, what: Payable, tried: Tried) -> Vec<Action> {
    follower.handle(TimeMs(PLACED), Input::Tried { what, tried })
}

#[test]
fn a_hold_is_paid_while_it_waits_one_try_at_a_time_and_told_when_that_changes() {
    let what = Payable::Hold(LeaseId(7));
    let on_its_way = Tried::OnItsWay { amount_msat: Msat(20_000) };
    let mut follower = Follower::new(JOB, None, Resume::default(), false);
    follower.handle(TimeMs(PLACED), Input::Time);
    assert_eq!(due(&looked(&mut follower, PLACED, with_hold("dealt"))), []);
    assert_eq!(due(&looked(&mut follower, PLACED, with_hold("invoiced"))), [what]);
    assert_eq!(due(&looked(&mut follower, PLACED, with_hold("invoiced"))), [], "it is being tried");
    let told = Action::Tell(Progress::Paying { what, tried: on_its_way.clone() });
    assert!(tried(&mut follower, what, on_its_way.clone()).contains(&told));
    assert_eq!(due(&looked(&mut follower, PLACED, with_hold("invoiced"))), [what], "until it is held");
    assert!(!tried(&mut follower, what, on_its_way).contains(&told), "nothing has changed");
    assert_eq!(due(&looked(&mut follower, PLACED, with_hold("funded"))), []);
}

#[test]
fn what_was_refused_is_not_asked_again_and_a_session_is_topped_up_when_it_runs_low() {
    let what = Payable::Hold(LeaseId(7));
    let mut follower = Follower::new(JOB, None, Resume::default(), false);
    follower.handle(TimeMs(PLACED), Input::Time);
    looked(&mut follower, PLACED, with_hold("invoiced"));
    tried(&mut follower, what, Tried::Refused { why: "another hash".into() });
    assert_eq!(due(&looked(&mut follower, PLACED, with_hold("invoiced"))), []);

    let low = JobView { session_needs_msat: Some(Msat(5_000)), ..view("running", 0, None) };
    let actions = looked(&mut follower, PLACED, low.clone());
    assert!(actions.contains(&Action::TopUp { amount_msat: Msat(5_000) }), "{actions:?}");
    tried(&mut follower, Payable::Session, Tried::NotYet { why: "no route".into() });
    assert_eq!(due(&looked(&mut follower, PLACED, low)), [Payable::Session]);
}

fn with_sale(phase: &str) -> JobView {
    let result = TaskResult { exit: Exit::Code(0), output: Digest([1; 32]), fuel: 1 };
    let sale = SaleView {
        lease: LeaseId(7),
        attempt: AttemptId(9),
        task: 0,
        result,
        is_verified: true,
        invoice_msat: Msat(9_800),
        deposit_msat: Msat(2_500),
        encrypted: EncryptedResult {
            payment_hash: PaymentHash([1; 32]),
            ciphertext: Digest([2; 32]),
            salt: Digest([3; 32]),
            signer: PublicKey([4; 32]),
            signature: Signature([5; 64]),
        },
        invoice: "lnbcrt1".into(),
        until_ms: Some(TimeMs(PLACED)),
        phase: phase.into(),
        preimage: None,
    };
    let mut view = JobView { sales: vec![sale], ..view("running", 0, None) };
    view.terms.funding = Some(Funding::Decrypt { deposit_ppm: 250_000 });
    view
}

#[test]
fn an_encrypted_result_is_fetched_when_its_key_is_bought_and_not_before() {
    let what = Payable::Key(AttemptId(9));
    let mut follower = Follower::new(JOB, None, Resume::default(), true);
    follower.handle(TimeMs(PLACED), Input::Time);
    let is_fetch = |action: &Action| matches!(action, Action::Fetch { task: 0, .. });
    let actions = looked(&mut follower, PLACED, with_sale("payable"));
    assert!(due(&actions) == [what] && !actions.iter().any(is_fetch), "{actions:?}");
    tried(&mut follower, what, Tried::Bought { amount_msat: Msat(9_800) });
    let actions = looked(&mut follower, PLACED, with_sale("sold"));
    assert!(due(&actions).is_empty() && actions.iter().any(is_fetch), "{actions:?}");
    let again = looked(&mut follower, PLACED, with_sale("sold"));
    assert!(!again.iter().any(is_fetch), "{again:?}");

    for lost in ["unsold", "forged"] {
        let mut follower = Follower::new(JOB, None, Resume::default(), true);
        follower.handle(TimeMs(PLACED), Input::Time);
        let missing = Action::Tell(Progress::Missing { task: 0, output: Digest([1; 32]) });
        let actions = looked(&mut follower, PLACED, with_sale(lost));
        assert!(actions.contains(&missing) && !actions.iter().any(is_fetch), "{actions:?}");
        assert!(!looked(&mut follower, PLACED, with_sale(lost)).contains(&missing), "told once");
    }
}

proptest! {
    // A later link gives away the earlier ones, so the highest round revealed is what the market knows.
    #[test]
    fn no_market_learns_links_faster_than_rounds_can_end(
        steps in prop::collection::vec(prop_oneof![
            (0u32..20).prop_map(Step::Opened),
            prop::option::of(0u32..20).prop_map(Step::Waits),
            any::<bool>().prop_map(Step::Answered),
            (0u64..40_000).prop_map(Step::Pass),
            Just(Step::Restart),
        ], 0..60),
    ) {
        let (mut now, mut kept, mut sent) = (PLACED, Resume::default(), None);
        let (mut expected, mut since) = (0u32, PLACED);
        let mut follower = Follower::new(JOB, Some(chain()), kept, false);
        looked(&mut follower, now, view("running", 0, None));
        for step in steps {
            let input = match step {
                Step::Opened(round) => Input::RoundOpened { round },
                Step::Waits(round) => Input::Looked(Some(Box::new(view("running", 0, round)))),
                Step::Answered(is_accepted) => match sent.take() {
                    Some(round) => Input::Submitted { round, is_accepted },
                    None => Input::Time,
                },
                Step::Pass(ms) => {
                    now += ms;
                    Input::Time
                }
                Step::Restart => {
                    follower = Follower::new(JOB, Some(chain()), kept, false);
                    Input::Looked(Some(Box::new(view("running", 0, None))))
                }
            };
            for action in follower.handle(TimeMs(now), input) {
                match action {
                    Action::Keep(resume) => kept = resume,
                    Action::Submit { round, .. } => {
                        sent = Some(round);
                        let ended_alone = u32::try_from((now - since) / 30_000).unwrap();
                        prop_assert!(round <= expected + ended_alone, "round {round} with {expected} due");
                        if round >= expected {
                            (expected, since) = (round + 1, now);
                            prop_assert_eq!(kept.next_round, expected, "kept before it is sent");
                        }
                    }
                    Action::Look
                    | Action::LookAtTasks
                    | Action::Fetch { .. }
                    | Action::PayHold(_)
                    | Action::BuyKey(_)
                    | Action::TopUp { .. }
                    | Action::Tell(_) => {}
                }
            }
        }
    }
}
