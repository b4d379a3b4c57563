//! Holds and sessions: what providers and buyers have to see to at their Lightning nodes.

use crate::{
    api::{HoldDue, HoldView, WorkHold},
    venue::Floor,
};
use market::{
    engine::state::{HoldPhase, Job},
    funding::Funding,
    id::{LeaseId, MachineId},
    units::Msat,
};

impl Floor {
    /// What the owner of a machine has to see to at its Lightning node.
    pub(super) fn work_holds(&self, machine: MachineId) -> Vec<WorkHold> {
        let state = self.state();
        let leases = state.open_holds.range((machine, LeaseId(0))..=(machine, LeaseId(u64::MAX)));
        let holds = leases.filter_map(|(_, lease)| Some((*lease, state.leases.get(*lease)?.hold.as_ref()?)));
        let holds = holds.map(|(lease, hold)| WorkHold {
            lease,
            slice_msat: hold.slice_msat,
            hashes: hold.hashes.clone(),
            until_ms: hold.until,
            due: match &hold.phase {
                HoldPhase::Dealt => HoldDue::Invoice,
                HoldPhase::Invoiced { .. } => HoldDue::Fund,
                HoldPhase::Asked | HoldPhase::Funded | HoldPhase::Decided { .. } | HoldPhase::Over { .. } => {
                    HoldDue::Wait
                }
                HoldPhase::Released { preimages, claim_by } => {
                    HoldDue::Claim { preimages: preimages.clone(), by_ms: *claim_by }
                }
            },
        });
        holds.collect()
    }

    /// The hold of a lease, if it has one.
    pub(super) fn hold(&self, lease: LeaseId) -> Option<HoldView> {
        let hold = self.state().leases.get(lease)?.hold.as_ref()?;
        let (phase, invoices) = match &hold.phase {
            HoldPhase::Asked => ("asked", Vec::new()),
            HoldPhase::Dealt => ("dealt", Vec::new()),
            HoldPhase::Invoiced { invoices } => ("invoiced", invoices.clone()),
            HoldPhase::Funded => ("funded", Vec::new()),
            HoldPhase::Decided { .. } => ("decided", Vec::new()),
            HoldPhase::Released { .. } => ("released", Vec::new()),
            HoldPhase::Over { .. } => ("over", Vec::new()),
        };
        Some(HoldView {
            lease,
            slice_msat: hold.slice_msat,
            payment_hashes: hold.hashes.clone(),
            invoices,
            until_ms: hold.until,
            phase: phase.into(),
            released: hold.released(),
        })
    }

    /// What a session takes next of its buyer's balance.
    pub(super) fn next_prepayment(&self, job: &Job) -> Msat {
        let terms = &self.state().order(job.order).terms;
        let left = terms.budget_msat.saturating_sub(job.funded_msat);
        match terms.funding {
            Some(Funding::Session { prepay_msat }) => prepay_msat.min(left),
            Some(Funding::Hold { .. } | Funding::Decrypt { .. }) | None => Msat::ZERO,
        }
    }
}
