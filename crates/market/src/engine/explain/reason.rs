//! Why an offer does not get an order's lease.

use crate::{
    engine::state::{Job, Offer, Order, Presence, State},
    id::OfferId,
    job::Verification,
    ledger::Account,
    matching::{Mismatch, Wanted, amount, count},
    offer::OfferRole,
    order::{Needs, OrderTerms},
    resources::{ResourceKind, Resources},
    units::{Msat, TimeMs},
};
use serde::{Deserialize, Serialize};

/// Why an offer does not get an order's lease.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its terms do not match.
    #[error(transparent)]
    Terms(Mismatch),
    /// Its machine is not heard of.
    #[error("its machine is not heard of any more")]
    MachineLost {
        /// Since when.
        since: TimeMs,
    },
    /// Its machine was taken away.
    #[error("its machine was revoked")]
    MachineRevoked,
    /// Other leases have reserved what the order needs.
    #[error("its machine has {} free, the order needs {}", amount(*kind, *free), amount(*kind, *needs))]
    MachineFull {
        /// What is short.
        kind: ResourceKind,
        /// How much is free.
        free: u64,
        /// How much is needed.
        needs: u64,
    },
    /// Its machine had a lease of this job that failed.
    #[error("its machine had a lease of this job that ended early")]
    FailedBefore,
    /// Its owner's bond is too small.
    #[error("its owner has a bond of {has_msat}, the order needs {needs_msat}")]
    BondTooSmall {
        /// The bond.
        has_msat: Msat,
        /// What the order needs.
        needs_msat: Msat,
    },
    /// Its owner's reputation in its hardware class is too low.
    #[error("its owner has a reputation of {has_ppm} ppm in this class, the order needs {needs_ppm} ppm")]
    ReputationTooLow {
        /// The score.
        has_ppm: u32,
        /// What the order needs.
        needs_ppm: u32,
    },
    /// A validator for a job that is not audited.
    #[error("the job's results are not verified, so that there is nothing to audit")]
    NothingToAudit,
    /// A validator of the buyer or of the operator.
    #[error("nobody audits the own job, and the operator audits none")]
    MayNotAudit,
    /// A validator that is not among those that the buyer named.
    #[error("the buyer named who audits, and not its owner")]
    NotNamed,
}

impl Reason {
    /// A stable word for counting reasons.
    pub fn code(&self) -> &'static str {
        match self {
            Reason::Terms(mismatch) => mismatch.code(),
            Reason::MachineLost { .. } => "machine_lost",
            Reason::MachineRevoked => "machine_revoked",
            Reason::MachineFull { .. } => "machine_full",
            Reason::FailedBefore => "failed_before",
            Reason::BondTooSmall { .. } => "bond_too_small",
            Reason::ReputationTooLow { .. } => "reputation_too_low",
            Reason::NothingToAudit => "nothing_to_audit",
            Reason::MayNotAudit => "may_not_audit",
            Reason::NotNamed => "not_named",
        }
    }

    /// Whether the machine is of the right kind in the right place, and only price, room or trust is missing.
    pub fn is_near_miss(&self) -> bool {
        match self {
            Reason::Terms(mismatch) => matches!(mismatch, Mismatch::Price { .. }),
            Reason::MachineLost { .. }
            | Reason::MachineRevoked
            | Reason::MachineFull { .. }
            | Reason::FailedBefore
            | Reason::BondTooSmall { .. }
            | Reason::ReputationTooLow { .. }
            | Reason::NothingToAudit
            | Reason::MayNotAudit
            | Reason::NotNamed => true,
        }
    }
}

impl State {
    /// Why an offer cannot serve an order now; `None` when it can. Terms first, then the machine, then its owner.
    pub fn why_unfit(&self, order: &Order, offer: OfferId) -> Option<Reason> {
        let row = self.offers.get(offer)?;
        let job = self.jobs.get(order.job);
        let unfit_for_role = || match row.terms.role {
            OfferRole::Work => {
                job.filter(|job| job.avoid.contains(&row.machine)).map(|_| Reason::FailedBefore)
            }
            OfferRole::Audit => self.why_no_audit(job, row),
        };
        self.why_unfit_for(&order.terms, row.terms.role, offer).or_else(unfit_for_role)
    }

    /// Why an offer could not serve an order with these terms, if it were placed now.
    pub fn why_unfit_for(&self, terms: &OrderTerms, role: OfferRole, offer: OfferId) -> Option<Reason> {
        let row = self.offers.get(offer)?;
        let wanted = Wanted { role, ..Wanted::work(terms) };
        let mismatch = wanted.mismatch(&row.terms).map(Reason::Terms);
        mismatch
            .or_else(|| self.why_machine_unfit(&terms.needs, row))
            .or_else(|| self.why_owner_unfit(&terms.needs, row))
    }

    fn why_machine_unfit(&self, needs: &Needs, offer: &Offer) -> Option<Reason> {
        let machine = self.machine(offer.machine);
        match machine.presence {
            Presence::Live => {}
            Presence::Lost { since } => return Some(Reason::MachineLost { since }),
            Presence::Revoked => return Some(Reason::MachineRevoked),
        }
        let full = |kind| {
            let of = |resources: &Resources| count(kind, resources);
            Reason::MachineFull { kind, free: of(&machine.free), needs: of(&needs.resources) }
        };
        machine.free.shortage(&needs.resources).map(full)
    }

    fn why_owner_unfit(&self, needs: &Needs, offer: &Offer) -> Option<Reason> {
        let has_msat = self.ledger.available(Account::Bond(offer.party));
        if has_msat < needs.min_bond_msat {
            return Some(Reason::BondTooSmall { has_msat, needs_msat: needs.min_bond_msat });
        }
        if needs.min_reputation_ppm == 0 {
            return None;
        }
        let has_ppm = self.reputation.score(offer.party, &offer.terms.class, self.now).score_ppm;
        let is_too_low = has_ppm < needs.min_reputation_ppm;
        is_too_low.then_some(Reason::ReputationTooLow { has_ppm, needs_ppm: needs.min_reputation_ppm })
    }

    fn why_no_audit(&self, job: Option<&Job>, validator: &Offer) -> Option<Reason> {
        let job = job?;
        match &job.spec.verification {
            Verification::None => return Some(Reason::NothingToAudit),
            Verification::Replicas { named, .. }
                if !named.is_empty() && !named.contains(&validator.party) =>
            {
                return Some(Reason::NotNamed);
            }
            Verification::Replicas { .. } | Verification::Audit { .. } => {}
        }
        let may_not = validator.party == job.buyer || self.party(validator.party).is_operators;
        may_not.then_some(Reason::MayNotAudit)
    }
}
