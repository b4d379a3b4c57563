//! Whatever is lost, delayed, repeated or restarted: the machine keeps its promises and finishes its work.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod agent_world;

use agent_world::{LEASE, World};
use market::{command::AbandonReason, job::Verification};
use node::provider::agent::{Answer, Input, RunEnd, WorkerFailure};
use proptest::prelude::*;

/// Something that happens, chosen without looking.
#[derive(Debug, Clone, Copy)]
enum Step {
    Arrive(usize),
    LoseStatement(usize),
    Answer(usize),
    LoseAnswer(usize),
    Look,
    DeliverView,
    LosePoll,
    WorkerReady,
    WorkerDies,
    FinishRun(usize),
    CrashRun(usize),
    GiveUpRun(usize),
    Upload(usize, bool),
    Advance(bool),
    Pass(u64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => any::<usize>().prop_map(Step::Arrive),
        1 => any::<usize>().prop_map(Step::LoseStatement),
        8 => any::<usize>().prop_map(Step::Answer),
        1 => any::<usize>().prop_map(Step::LoseAnswer),
        6 => Just(Step::Look),
        6 => Just(Step::DeliverView),
        1 => Just(Step::LosePoll),
        4 => Just(Step::WorkerReady),
        1 => Just(Step::WorkerDies),
        10 => any::<usize>().prop_map(Step::FinishRun),
        1 => any::<usize>().prop_map(Step::CrashRun),
        1 => any::<usize>().prop_map(Step::GiveUpRun),
        4 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(i, ok)| Step::Upload(i, ok)),
        2 => any::<bool>().prop_map(Step::Advance),
        6 => (1u64..400).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..400)
}

fn pick(index: usize, len: usize) -> Option<usize> {
    (len > 0).then(|| index % len)
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Arrive(i) => drop(pick(i, world.statements.len()).map(|i| world.arrive(i))),
        Step::LoseStatement(i) => {
            if let Some(i) = pick(i, world.statements.len()) {
                let (request, _) = world.statements.remove(i);
                world.tell(Input::Answered { request, answer: Answer::Unknown });
            }
        }
        Step::Answer(i) => drop(pick(i, world.answers.len()).map(|i| world.answer(i))),
        Step::LoseAnswer(i) => {
            if let Some(i) = pick(i, world.answers.len()) {
                let (request, _) = world.answers.remove(i);
                world.tell(Input::Answered { request, answer: Answer::Unknown });
            }
        }
        Step::Look => world.look(),
        Step::DeliverView => world.deliver_view(),
        Step::LosePoll => {
            if world.polls.pop().is_some() {
                world.tell(Input::PollFailed);
            }
        }
        Step::WorkerReady => {
            if world.workers.remove(&LEASE) {
                world.tell(Input::WorkerReady { lease: LEASE });
            }
        }
        Step::WorkerDies => {
            world.runs.clear();
            world.tell(Input::WorkerFailed { lease: LEASE, failure: WorkerFailure::Machine });
        }
        Step::FinishRun(i) => drop(pick(i, world.runs.len()).map(|i| world.finish_run(i))),
        Step::CrashRun(i) => end_run(world, i, RunEnd::Crashed),
        Step::GiveUpRun(i) => end_run(world, i, RunEnd::Inconclusive(AbandonReason::Memory)),
        Step::Upload(i, ok) => drop(pick(i, world.uploads.len()).map(|i| world.finish_upload(i, ok))),
        Step::Advance(judges) => world.venue.advance(judges),
        Step::Pass(ms) => world.pass(ms),
        Step::Restart => world.restart(),
    }
}

fn end_run(world: &mut World, index: usize, end: RunEnd) {
    if let Some(i) = pick(index, world.runs.len()) {
        let (attempt, _) = world.runs.remove(i);
        world.tell(Input::Ran { runs: vec![(attempt, end)] });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    // The miniature market panics on a reveal before its time, a seal that is not opened, a second commit that differs,
    // a commit that no restart would remember, and a claim beyond the limit.
    #[test]
    fn promises_are_kept_and_work_is_finished_in_any_order_of_events(
        steps in steps(),
        is_verified in any::<bool>(),
    ) {
        let verification =
            if is_verified { Verification::Audit { floor_ppm: 100_000 } } else { Verification::None };
        let mut world = World::new(verification);
        for step in steps {
            take(&mut world, step);
        }
        world.settle();
        prop_assert!(world.venue.is_quit || world.venue.done.len() == 40);
    }
}
