//! The payments for a machine's leases: the production code, at the node of its owner, which outlives the machine.

use super::{Machine, Purpose};
use crate::{
    market_host::now_or_never,
    stage::{MachineEvent, Stage},
};
use market::command::Command;
use node::{
    api::{HoldDue, WorkHold},
    provider::holds::{HoldInvoices, see_to},
};
use pay::dev::DevNode;

/// How often the node is asked while something is due, in milliseconds.
const ASK_MS: u64 = 1_000;

/// What a machine knows of its leases' payments.
pub(super) struct Holds {
    node: DevNode,
    invoices: HoldInvoices,
    /// As the last view told.
    told: Vec<WorkHold>,
    is_asking: bool,
}

impl Holds {
    pub(super) fn new(node: DevNode) -> Holds {
        Holds { node, invoices: HoldInvoices::in_memory(), told: Vec::new(), is_asking: false }
    }

    /// The process ends; invoices survive on the disk, if that does.
    pub(super) fn crash(&mut self, loses_disk: bool) {
        self.told.clear();
        self.is_asking = false;
        if loses_disk {
            self.invoices = HoldInvoices::in_memory();
        }
    }
}

impl Machine {
    pub(super) fn hear_of_holds(&mut self, stage: &mut Stage, holds: Vec<WorkHold>) {
        self.holds.told = holds;
        if !self.holds.is_asking {
            self.see_to_holds(stage);
        }
    }

    pub(super) fn see_to_holds(&mut self, stage: &mut Stage) {
        self.holds.is_asking = false;
        if self.agent.is_none() {
            return;
        }
        let now = self.clock(stage);
        let now = market::units::TimeMs(now.0.saturating_add_signed(self.ahead_ms));
        let due: Vec<WorkHold> =
            self.holds.told.iter().filter(|hold| hold.due != HoldDue::Wait).cloned().collect();
        for hold in &due {
            let Holds { node, invoices, .. } = &mut self.holds;
            // A node of this network answers at once; what it refuses is looked at again.
            let Some(Ok(Some(command))) = now_or_never(see_to(node, invoices, hold, now)) else { continue };
            stage.note(match command {
                Command::InvoiceHold { .. } => "hold invoiced",
                Command::HoldFunded { .. } => "hold funded",
                _ => "hold claimed or given back",
            });
            self.send(stage, 0, command, Purpose::Aside);
        }
        if !due.is_empty() {
            self.holds.is_asking = true;
            self.later(stage, ASK_MS, MachineEvent::Holds);
        }
    }
}
