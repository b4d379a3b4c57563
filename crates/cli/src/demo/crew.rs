//! Who of the demo's providers can still work on the job.
//!
//! A market lets a job wait for offers: elsewhere another machine may come. In the demo nobody else comes, so a job without
//! anybody to work on it has to end by itself.

use market::{
    event::Event,
    id::{LeaseId, MachineId},
    lease::CloseReason,
};
use std::collections::{BTreeMap, BTreeSet};

/// The machines of the demo, as the events of the market show them.
#[derive(Debug)]
pub(super) struct Crew {
    /// Machines that this job may still be given to: the market gives it to none twice that failed at it.
    willing: BTreeSet<MachineId>,
    /// Machines that are not heard of at the moment.
    lost: BTreeSet<MachineId>,
    /// Leases that are not settled.
    open: BTreeMap<LeaseId, MachineId>,
    has_ended: bool,
}

impl Crew {
    /// Everybody is there, nobody has begun.
    pub(super) fn new(machines: impl IntoIterator<Item = MachineId>) -> Crew {
        Crew {
            willing: machines.into_iter().collect(),
            lost: BTreeSet::new(),
            open: BTreeMap::new(),
            has_ended: false,
        }
    }

    /// Takes note of an event.
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::MachineLost { machine } => {
                self.lost.insert(*machine);
            }
            Event::MachineBack { machine } => {
                self.lost.remove(machine);
            }
            Event::LeaseGranted { lease, machine, .. } => {
                self.open.insert(*lease, *machine);
            }
            Event::LeaseDraining { lease, reason, .. } if has_failed(*reason) => {
                if let Some(machine) = self.open.get(lease) {
                    self.willing.remove(machine);
                }
            }
            Event::LeaseClosed { lease, .. } => {
                self.open.remove(lease);
            }
            Event::JobEnded { .. } => self.has_ended = true,
            _ => {}
        }
    }

    /// Whether the job goes on and nobody is left who could take its tasks.
    pub(super) fn has_left(&self) -> bool {
        !self.has_ended && self.open.is_empty() && self.willing.is_subset(&self.lost)
    }
}

/// Whether the market gives the machine no other lease of the same job afterwards.
fn has_failed(reason: CloseReason) -> bool {
    match reason {
        CloseReason::NeverStarted
        | CloseReason::Dismissed
        | CloseReason::Quit
        | CloseReason::Lost
        | CloseReason::Cheated => true,
        CloseReason::Finished | CloseReason::Expired | CloseReason::OutOfFunds => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{
        event::JobOutcome,
        id::{JobId, OrderId, PartyId},
        lease::Settlement,
        name::Name,
        units::{Msat, Rate, TimeMs},
    };

    const JOB: JobId = JobId(1);

    fn granted(lease: u64, machine: u64) -> Event {
        Event::LeaseGranted {
            lease: LeaseId(lease),
            order: OrderId(1),
            job: JOB,
            machine: MachineId(machine),
            party: PartyId(machine),
            rate: Rate::per_task(Msat(1)),
            claim_by_ms: TimeMs(0),
        }
    }

    /// A lease ends: it drains, and is settled.
    fn ended(lease: u64, reason: CloseReason) -> [Event; 2] {
        let lease = LeaseId(lease);
        let (party, class) = (PartyId(1), Name::slug("any").unwrap());
        let settlement = Settlement::default();
        [
            Event::LeaseDraining { lease, job: JOB, reason },
            Event::LeaseClosed { lease, job: JOB, party, class, reason, settlement },
        ]
    }

    fn crew(events: impl IntoIterator<Item = Event>) -> Crew {
        let mut crew = Crew::new([MachineId(1), MachineId(2)]);
        events.into_iter().for_each(|event| crew.hear(&event));
        crew
    }

    #[test]
    fn a_crew_whose_leases_all_ended_unstarted_has_left() {
        let one_is_left =
            [granted(1, 1), granted(2, 2)].into_iter().chain(ended(1, CloseReason::NeverStarted));
        let mut crew = crew(one_is_left);
        assert!(!crew.has_left(), "the other lease may still begin");
        let [draining, closed] = ended(2, CloseReason::NeverStarted);
        crew.hear(&draining);
        assert!(!crew.has_left(), "what it committed is still judged");
        crew.hear(&closed);
        assert!(crew.has_left());
    }

    #[test]
    fn a_crew_that_has_not_begun_or_has_finished_has_not_left() {
        assert!(!crew([]).has_left());
        let finished = [granted(1, 1), Event::JobEnded { job: JOB, outcome: JobOutcome::Completed }];
        assert!(!crew(finished.into_iter().chain(ended(1, CloseReason::Finished))).has_left());
        let expired = [granted(1, 1)].into_iter().chain(ended(1, CloseReason::Expired));
        assert!(!crew(expired).has_left(), "it may be given another lease");
    }

    #[test]
    fn machines_that_are_lost_count_again_when_they_are_back() {
        let lost = |machine| Event::MachineLost { machine: MachineId(machine) };
        let mut crew = crew([lost(1), lost(2)]);
        assert!(crew.has_left());
        crew.hear(&Event::MachineBack { machine: MachineId(2) });
        assert!(!crew.has_left());
    }
}
