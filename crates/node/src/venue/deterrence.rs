//! What stands against cheating, in the numbers of the market as it is.

use super::Floor;
use crate::api::{OfferView, QuoteRequest};
use market::{
    engine::state::Lease,
    job::Verification,
    ledger::Account,
    units::{Msat, PPM, Rate},
    verify::{Deterrence, task_usage},
};

impl Floor {
    /// What deters a provider from cheating on the next task under its lease.
    pub(super) fn deterrence(&self, lease: &Lease) -> Deterrence {
        let state = self.state();
        let job = state.job(lease.job);
        let audit_ppm = match job.spec.verification {
            Verification::Audit { floor_ppm } if !lease.is_audit => {
                state.reputation.audit_rate_ppm(lease.party, &lease.class, floor_ppm)
            }
            // A replica is there to be compared.
            Verification::Audit { .. } | Verification::None | Verification::Replicas { .. } => PPM as u32,
        };
        let withheld = Msat(lease.books.paid_msat.0.saturating_add(lease.books.compensation_msat.0));
        let usage = task_usage(lease.rate.unit, &job.spec.limits, job.mean_task_ms);
        let deterrence = Deterrence::new(
            &job.spec.verification,
            audit_ppm,
            withheld,
            state.ledger.available(Account::Bond(lease.party)),
            lease.rate.ceiling(usage).unwrap_or(Msat::MAX),
        );
        match deterrence {
            Deterrence::Stakes(_) if lease.phase.is_closed() => Deterrence::Settled,
            other => other,
        }
    }
}

/// What would deter from cheating at the weakest of the offers that win; by the terms alone where there is none.
pub(super) fn promised(winners: &[OfferView], request: &QuoteRequest) -> Deterrence {
    let (terms, spec) = (&request.terms, &request.job);
    let floor_ppm = match spec.verification {
        Verification::Audit { floor_ppm } => floor_ppm,
        Verification::None | Verification::Replicas { .. } => 0,
    };
    let of = |bond: Msat, rate: &Rate| {
        let gain = rate.ceiling(task_usage(rate.unit, &spec.limits, 0)).unwrap_or(Msat::MAX);
        Deterrence::new(&spec.verification, floor_ppm, Msat::ZERO, bond, gain)
    };
    let offers = winners.iter().map(|offer| of(offer.bond_msat, &offer.terms.rate));
    offers
        .min_by_key(Deterrence::margin_msat)
        .unwrap_or_else(|| of(terms.needs.min_bond_msat, &terms.ceiling))
}
