//! Results that are paid to decrypt: what providers and buyers have to see to.

use crate::api::{SaleView, WorkOutput};
use market::{
    engine::{
        State,
        state::{Job, Lease, Machine, Sale, SaleOutcome, SalePhase},
    },
    funding::Funding,
    id::{AttemptId, Digest, LeaseId},
};

/// What becomes of the output of an attempt.
pub(super) fn work_output(state: &State, lease: &Lease, attempt: AttemptId) -> WorkOutput {
    let funding = state.orders.get(lease.order).and_then(|order| order.terms.funding);
    match (lease.sales.get(&attempt), funding) {
        (Some(sale), _) => WorkOutput::Sell { invoice_msat: sale.price.invoice_msat() },
        (None, Some(Funding::Decrypt { .. })) => WorkOutput::Keep,
        (None, Some(Funding::Session { .. } | Funding::Hold { .. }) | None) => WorkOutput::Upload,
    }
}

/// The results of a machine that wait for their payment.
pub(super) fn work_sales(state: &State, machine: &Machine) -> Vec<AttemptId> {
    let sales = machine.leases.iter().flat_map(|lease| &state.lease(*lease).sales);
    sales.filter(|(_, sale)| sale.is_open()).map(|(attempt, _)| *attempt).collect()
}

/// The results of a job that were verified.
pub(super) fn sales(state: &State, job: &Job) -> Vec<SaleView> {
    of_job(state, job).filter_map(|(lease, attempt, sale)| view(lease, attempt, sale)).collect()
}

/// What the results of a job are encrypted in.
pub(super) fn ciphertexts<'a>(state: &'a State, job: &'a Job) -> impl Iterator<Item = Digest> + use<'a> {
    of_job(state, job).filter_map(|(_, _, sale)| Some(sale.offered()?.offer.encrypted.ciphertext))
}

fn of_job<'a>(state: &'a State, job: &'a Job) -> impl Iterator<Item = (LeaseId, AttemptId, &'a Sale)> {
    let leases = job.leases.iter().filter_map(|id| Some((*id, state.leases.get(*id)?)));
    leases.flat_map(|(id, lease)| lease.sales.iter().map(move |(attempt, sale)| (id, *attempt, sale)))
}

/// Nothing of a result that nobody has vouched for: the buyer is not to look at it.
fn view(lease: LeaseId, attempt: AttemptId, sale: &Sale) -> Option<SaleView> {
    let (offered, is_verified, until_ms, phase, preimage) = match &sale.phase {
        SalePhase::Working | SalePhase::Revealed(_) => return None,
        SalePhase::Payable { offered, is_verified, until, .. } => {
            (offered, *is_verified, Some(*until), "payable", None)
        }
        SalePhase::Disputed { offered, preimage, .. } => (offered, true, None, "disputed", Some(*preimage)),
        SalePhase::Over { offered, outcome } => match *outcome {
            SaleOutcome::Sold { preimage } => (offered, true, None, "sold", Some(preimage)),
            SaleOutcome::Unsold => (offered, true, None, "unsold", None),
            SaleOutcome::Forged { preimage, .. } => (offered, true, None, "forged", Some(preimage)),
        },
    };
    Some(SaleView {
        lease,
        attempt,
        task: sale.task,
        result: offered.result,
        is_verified,
        invoice_msat: sale.price.invoice_msat(),
        deposit_msat: sale.price.deposit_msat,
        encrypted: offered.offer.encrypted,
        invoice: offered.offer.invoice.clone(),
        until_ms,
        phase: phase.into(),
        preimage,
    })
}
