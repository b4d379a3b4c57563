//! Payments: what the state says is to be done at the Lightning node, and doing it. Everything is found in the state and
//! asked of the node, never remembered here: after a crash the same question is asked again. A payment hash is never paid
//! twice, because a node answers for one that it knows with its state; one that nobody can tell about stays unknown.

use crate::api::{TopupPhase, WithdrawalPhase};
use market::{
    command::{Command, TopUpOutcome, WithdrawalOutcome},
    effect::Effect,
    engine::State,
    event::Event,
    id::{PartyId, PaymentHash, TopupId, WithdrawalId},
    units::Msat,
};
use pay::{InvoiceRequest, InvoiceState, LightningNode, PayError, PayRequest, PaymentState};
use std::collections::BTreeMap;

/// How long an invoice for a top-up can be paid, in milliseconds.
const INVOICE_LIFETIME_MS: u64 = 3_600_000;
/// How many finished payments are remembered for those who ask.
const REMEMBERED: usize = 10_000;

/// Whether an effect is about a payment.
pub fn concerns(effect: &Effect) -> bool {
    match effect {
        Effect::CreateInvoice { .. } | Effect::PayInvoice { .. } => true,
        Effect::AnchorAudits { .. }
        | Effect::RevealVenueLink { .. }
        | Effect::DealHold { .. }
        | Effect::ReleaseHold { .. }
        | Effect::JudgeKey { .. } => false,
    }
}

/// Something to be done, or asked, at the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Duty {
    /// Make the invoice of a top-up.
    Invoice {
        /// Which top-up.
        topup: TopupId,
        /// Over how much.
        amount_msat: Msat,
    },
    /// Ask whether an invoice was paid. One that the node calls expired is never paid, and not asked about again.
    Watch {
        /// Which top-up.
        topup: TopupId,
        /// Its invoice.
        payment_hash: PaymentHash,
        /// Over how much.
        amount_msat: Msat,
    },
    /// Pay a withdrawal, or ask what became of it.
    Pay {
        /// Which withdrawal.
        withdrawal: WithdrawalId,
        /// Its payment hash.
        payment_hash: PaymentHash,
        /// What to pay.
        request: PayRequest,
        /// Whether it is said that nobody knows.
        is_unknown: bool,
    },
}

/// Everything that is outstanding.
pub fn outstanding(state: &State) -> Vec<Duty> {
    let topups = state.topups.iter().filter(|(_, row)| !row.is_expired);
    let topups = topups.map(|(topup, row)| match &row.invoice {
        None => Duty::Invoice { topup, amount_msat: row.amount_msat },
        Some(invoice) => {
            Duty::Watch { topup, payment_hash: invoice.payment_hash, amount_msat: row.amount_msat }
        }
    });
    let withdrawals = state.withdrawals.iter().map(|(withdrawal, row)| Duty::Pay {
        withdrawal,
        payment_hash: row.payment_hash,
        request: PayRequest {
            bolt11: row.bolt11.clone(),
            amount: row.amount_msat,
            max_fee: row.max_fee_msat,
        },
        is_unknown: row.is_unknown,
    });
    topups.chain(withdrawals).collect()
}

/// Does what a duty asks for and says what became of it; `None` when there is nothing to say yet.
pub async fn carry_out(node: &dyn LightningNode, duty: &Duty) -> Option<Command> {
    match duty {
        Duty::Invoice { topup, amount_msat } => invoice(node, *topup, *amount_msat).await,
        Duty::Watch { topup, payment_hash, amount_msat } => {
            let outcome = match node.invoice(*payment_hash).await.ok()?? {
                InvoiceState::Paid { .. } => TopUpOutcome::Received { amount_msat: *amount_msat },
                InvoiceState::Expired | InvoiceState::Cancelled => TopUpOutcome::Expired,
                InvoiceState::Open | InvoiceState::Held { .. } => return None,
            };
            Some(Command::TopUpOutcome { topup: *topup, outcome })
        }
        Duty::Pay { withdrawal, payment_hash, request, is_unknown } => {
            let outcome = pay(node, *payment_hash, request).await;
            let is_news = !(outcome == WithdrawalOutcome::Unknown && *is_unknown);
            is_news.then_some(Command::WithdrawalOutcome { withdrawal: *withdrawal, outcome })
        }
    }
}

/// An invoice that was made and then lost in a crash is nobody's: it was never shown to anybody.
async fn invoice(node: &dyn LightningNode, topup: TopupId, amount: Msat) -> Option<Command> {
    let description = format!("top up at the market, {topup}");
    let request = InvoiceRequest { amount, description, expires_in_ms: INVOICE_LIFETIME_MS };
    match node.create_invoice(request).await {
        Ok(made) => Some(Command::TopUpInvoiced {
            topup,
            bolt11: made.bolt11,
            payment_hash: made.payment_hash,
            expires_at_ms: made.expires_at,
        }),
        Err(pay::InvoiceError::BadRequest(_)) => {
            Some(Command::TopUpOutcome { topup, outcome: TopUpOutcome::Expired })
        }
        // Asked again with the next round.
        Err(pay::InvoiceError::HashInUse(_) | pay::InvoiceError::Unavailable(_)) => None,
    }
}

/// The intent is in the journal already. What the node knows of the payment counts; only a payment that it never took on
/// is begun.
async fn pay(node: &dyn LightningNode, payment_hash: PaymentHash, request: &PayRequest) -> WithdrawalOutcome {
    match node.payment(payment_hash).await {
        Ok(Some(state)) => outcome_of(state),
        Err(_) => WithdrawalOutcome::Unknown,
        Ok(None) => match pay::bolt11::decode(&request.bolt11) {
            Ok(invoice) if invoice.payment_hash != payment_hash => WithdrawalOutcome::Failed {
                reason: "the invoice has another payment hash than was said".into(),
            },
            Err(error) => WithdrawalOutcome::Failed { reason: error.to_string() },
            Ok(_) => match node.pay(request.clone()).await {
                Ok(state) => outcome_of(state),
                Err(PayError::Unavailable(_)) => WithdrawalOutcome::Unknown,
                Err(error) => WithdrawalOutcome::Failed { reason: error.to_string() },
            },
        },
    }
}

fn outcome_of(state: PaymentState) -> WithdrawalOutcome {
    match state {
        PaymentState::Succeeded { fee, .. } => WithdrawalOutcome::Sent { fee_msat: fee },
        PaymentState::Failed { reason } => WithdrawalOutcome::Failed { reason: reason.to_string() },
        PaymentState::InFlight | PaymentState::Unknown => WithdrawalOutcome::Unknown,
    }
}

/// What became of payments that are over, for those who ask. Soft: the journal has it for ever.
#[derive(Debug, Default)]
pub struct RecentPayments {
    topups: BTreeMap<TopupId, (PartyId, Msat, TopupPhase)>,
    withdrawals: BTreeMap<WithdrawalId, (PartyId, Msat, WithdrawalPhase)>,
}

impl RecentPayments {
    /// A top-up that is over: whose, how much, how it ended.
    pub fn topup(&self, id: TopupId) -> Option<(PartyId, Msat, TopupPhase)> {
        self.topups.get(&id).copied()
    }

    /// A withdrawal: whose, how much, how it ended.
    pub fn withdrawal(&self, id: WithdrawalId) -> Option<&(PartyId, Msat, WithdrawalPhase)> {
        self.withdrawals.get(&id)
    }

    /// Withdrawals that are on their way after a start.
    pub(super) fn of(state: &State) -> RecentPayments {
        let withdrawals = state.withdrawals.iter().map(|(id, row)| {
            let phase = if row.is_unknown { WithdrawalPhase::Unknown } else { WithdrawalPhase::Pending };
            (id, (row.party, row.amount_msat, phase))
        });
        RecentPayments { topups: BTreeMap::new(), withdrawals: withdrawals.collect() }
    }

    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::TopUpReceived { topup, party, amount_msat } => {
                self.topups.insert(*topup, (*party, *amount_msat, TopupPhase::Received));
            }
            Event::WithdrawalRequested { withdrawal, party, amount_msat, .. } => {
                self.withdrawals.insert(*withdrawal, (*party, *amount_msat, WithdrawalPhase::Pending));
            }
            Event::WithdrawalSent { withdrawal, party, amount_msat, fee_msat } => {
                let phase = WithdrawalPhase::Sent { fee_msat: *fee_msat };
                self.withdrawals.insert(*withdrawal, (*party, *amount_msat, phase));
            }
            Event::WithdrawalFailed { withdrawal, reason, .. } => {
                if let Some((_, _, phase)) = self.withdrawals.get_mut(withdrawal) {
                    *phase = WithdrawalPhase::Failed { reason: reason.clone() };
                }
            }
            Event::WithdrawalUnknown { withdrawal, .. } => {
                if let Some((_, _, phase)) = self.withdrawals.get_mut(withdrawal) {
                    *phase = WithdrawalPhase::Unknown;
                }
            }
            _ => return,
        }
        while self.topups.len() > REMEMBERED {
            self.topups.pop_first();
        }
        while self.withdrawals.len() > REMEMBERED {
            self.withdrawals.pop_first();
        }
    }
}
