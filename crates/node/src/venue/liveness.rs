//! Which machines are there. What was last heard of whom is soft state, lost with the process; the journal knows the
//! changes alone.

use market::{
    command::Command,
    engine::{State, state::Presence},
    id::MachineId,
    units::TimeMs,
};
use std::collections::BTreeMap;

/// How often all machines are looked at within the time after which one is lost.
const LOOKS: u64 = 4;

/// Who was heard of when.
#[derive(Debug)]
pub(super) struct Liveness {
    lost_after_ms: u64,
    last_heard: BTreeMap<MachineId, TimeMs>,
    /// Lost machines that were heard of: looked at without waiting.
    is_anyone_back: bool,
    next_look: TimeMs,
}

impl Liveness {
    /// Every machine gets a fresh grace period: after a start nobody could have been heard of.
    pub(super) fn new(lost_after_ms: u64, now: TimeMs, state: &State) -> Liveness {
        let live = state.machines.iter().filter(|(_, machine)| machine.presence == Presence::Live);
        let last_heard = live.map(|(id, _)| (id, now)).collect();
        Liveness { lost_after_ms: lost_after_ms.max(1), last_heard, is_anyone_back: false, next_look: now }
    }

    /// A sign of life.
    pub(super) fn heard(&mut self, machine: MachineId, now: TimeMs) {
        let before = self.last_heard.insert(machine, now);
        self.is_anyone_back |= before.is_none_or(|before| now.since(before) > self.lost_after_ms);
    }

    /// When machines are looked at next.
    pub(super) fn next_look(&self, now: TimeMs) -> TimeMs {
        if self.is_anyone_back { now } else { self.next_look }
    }

    /// Says who was lost and who is back.
    pub(super) fn changes(&mut self, now: TimeMs, state: &State) -> Option<Command> {
        if self.next_look(now) > now {
            return None;
        }
        self.next_look = now.plus((self.lost_after_ms / LOOKS).max(1));
        self.is_anyone_back = false;
        let (mut lost, mut back) = (Vec::new(), Vec::new());
        for (id, machine) in state.machines.iter() {
            match machine.presence {
                Presence::Live => {
                    // A machine that is new was certified just now.
                    let last = *self.last_heard.entry(id).or_insert(now);
                    if now.since(last) > self.lost_after_ms {
                        lost.push(id);
                    }
                }
                Presence::Lost { .. } => {
                    if self.last_heard.get(&id).is_some_and(|last| now.since(*last) <= self.lost_after_ms) {
                        back.push(id);
                    }
                }
                Presence::Revoked => {
                    self.last_heard.remove(&id);
                }
            }
        }
        let has_changes = !lost.is_empty() || !back.is_empty();
        has_changes.then_some(Command::Liveness { lost, back })
    }
}
