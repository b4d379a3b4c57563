//! Waking the machines that wait for work: those whose work an event changes, and nobody else.

use crate::{
    api::PlacedEvent,
    venue::{Floor, reads::Touched},
};
use market::id::MachineId;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Notify;

/// A bell for each machine that waits.
#[derive(Debug, Default)]
pub(super) struct Pokes(Mutex<BTreeMap<MachineId, Arc<Notify>>>);

impl Pokes {
    /// The bell of a machine.
    pub(super) fn bell(&self, machine: MachineId) -> Arc<Notify> {
        self.with(|bells| bells.entry(machine).or_default().clone())
    }

    /// Rings for those whose work these events change.
    pub(super) fn poke(&self, floor: &Floor, events: &[Arc<PlacedEvent>]) {
        let mut touched = BTreeSet::new();
        for event in events {
            match floor.machines_touched(&event.event) {
                Touched::Some(machines) => touched.extend(machines),
                Touched::All => {
                    return self.with(|bells| bells.values().for_each(|bell| bell.notify_waiters()));
                }
            }
        }
        self.with(|bells| {
            for machine in touched {
                if let Some(bell) = bells.get(&machine) {
                    bell.notify_waiters();
                }
            }
        });
    }

    /// Forgets the bells that nobody waits for.
    pub(super) fn tidy(&self) {
        self.with(|bells| bells.retain(|_, bell| Arc::strong_count(bell) > 1));
    }

    fn with<R>(&self, f: impl FnOnce(&mut BTreeMap<MachineId, Arc<Notify>>) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
