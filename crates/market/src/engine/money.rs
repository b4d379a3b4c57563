//! Money in, money out, bonds. Intent is journaled before anything is paid; the outcome comes back as a command.

use super::{
    Actor, Engine,
    state::{Topup, TopupInvoice, Withdrawal},
};
use crate::{
    command::{TopUpOutcome, WithdrawalOutcome},
    effect::Effect,
    event::Event,
    id::{PartyId, PaymentHash, TopupId, WithdrawalId},
    ledger::Account,
    rejection::{Conflict, Entity, Rejection},
    reply::Reply,
    units::{Msat, TimeMs},
};

/// The most top-ups and withdrawals of one party that are on their way at once.
const OPEN_PAYMENTS_MAX: u32 = 32;
/// The longest invoice, in bytes.
const BOLT11_MAX_BYTES: usize = 4_096;

impl Engine {
    pub(super) fn top_up(&mut self, actor: Actor, amount_msat: Msat) -> Result<Reply, Rejection> {
        let party = self.signing_party(actor)?;
        self.check_payment(party, amount_msat)?;
        if self.state.holdings(party).plus(amount_msat)? > self.rules.balance_cap_msat {
            return Err(Rejection::BalanceCap { cap: self.rules.balance_cap_msat });
        }
        self.state.party_mut(party).open_payments += 1;
        let topup = self.state.topups.push(Topup { party, amount_msat, is_expired: false, invoice: None });
        self.emit(Event::TopUpRequested { topup, party, amount_msat });
        self.effect(Effect::CreateInvoice { topup, amount_msat });
        Ok(Reply::TopUp(topup))
    }

    pub(super) fn top_up_invoiced(
        &mut self,
        topup: TopupId,
        bolt11: &str,
        payment_hash: PaymentHash,
        expires_at_ms: TimeMs,
    ) -> Result<Reply, Rejection> {
        let row = self.state.topups.get_mut(topup).ok_or(Rejection::Unknown(Entity::TopUp(topup)))?;
        if row.invoice.is_some() || row.is_expired {
            return Err(Rejection::conflict(Entity::TopUp(topup), Conflict::Settled));
        }
        check_invoice(bolt11)?;
        row.invoice = Some(TopupInvoice { bolt11: bolt11.to_owned(), payment_hash, expires_at_ms });
        let party = row.party;
        self.emit(Event::TopUpInvoiced {
            topup,
            party,
            bolt11: bolt11.to_owned(),
            payment_hash,
            expires_at_ms,
        });
        Ok(Reply::Done)
    }

    pub(super) fn top_up_outcome(
        &mut self,
        topup: TopupId,
        outcome: TopUpOutcome,
    ) -> Result<Reply, Rejection> {
        let row = self.state.topups.get_mut(topup).ok_or(Rejection::Unknown(Entity::TopUp(topup)))?;
        let (party, was_expired) = (row.party, row.is_expired);
        match outcome {
            TopUpOutcome::Expired if was_expired => {
                return Err(Rejection::conflict(Entity::TopUp(topup), Conflict::Settled));
            }
            TopUpOutcome::Expired => {
                row.is_expired = true;
                self.emit(Event::TopUpExpired { topup, party });
            }
            TopUpOutcome::Received { amount_msat } => {
                self.transfer(Account::Node, Account::Available(party), amount_msat)?;
                self.state.topups.remove(topup);
                self.emit(Event::TopUpReceived { topup, party, amount_msat });
                self.refill_sessions_of(party);
            }
        }
        if !was_expired {
            self.state.party_mut(party).open_payments -= 1;
        }
        Ok(Reply::Done)
    }

    pub(super) fn withdraw(
        &mut self,
        actor: Actor,
        bolt11: &str,
        payment_hash: PaymentHash,
        amount_msat: Msat,
        max_fee_msat: Msat,
    ) -> Result<Reply, Rejection> {
        let party = self.signing_party(actor)?;
        self.check_payment(party, amount_msat)?;
        check_invoice(bolt11)?;
        if self.state.payment_hashes.contains(&payment_hash) {
            return Err(Rejection::InvoiceUsed);
        }
        let account = Account::Available(party);
        let (needed, available) = (amount_msat.plus(max_fee_msat)?, self.state.ledger.available(account));
        if available < needed {
            return Err(Rejection::InsufficientFunds { account, available, needed });
        }
        let amount = self.state.ledger.pend(account, Account::Node, amount_msat)?;
        self.post_event(amount);
        let mut reserved_fee = None;
        if max_fee_msat > Msat::ZERO {
            let fee = self.state.ledger.pend(account, Account::Routing, max_fee_msat)?;
            self.post_event(fee);
            reserved_fee = Some(fee.transfer);
        }
        let row = Withdrawal {
            party,
            amount_msat,
            max_fee_msat,
            bolt11: bolt11.to_owned(),
            payment_hash,
            reserved: amount.transfer,
            reserved_fee,
            is_unknown: false,
        };
        let withdrawal = self.state.withdrawals.push(row);
        self.state.payment_hashes.insert(payment_hash);
        self.state.party_mut(party).open_payments += 1;
        self.emit(Event::WithdrawalRequested { withdrawal, party, amount_msat, payment_hash });
        let bolt11 = bolt11.to_owned();
        self.effect(Effect::PayInvoice { withdrawal, bolt11, payment_hash, amount_msat, max_fee_msat });
        Ok(Reply::Withdrawal(withdrawal))
    }

    pub(super) fn withdrawal_outcome(
        &mut self,
        id: WithdrawalId,
        outcome: &WithdrawalOutcome,
    ) -> Result<Reply, Rejection> {
        let row = self.state.withdrawals.get_mut(id).ok_or(Rejection::Unknown(Entity::Withdrawal(id)))?;
        let party = row.party;
        match outcome {
            WithdrawalOutcome::Unknown if row.is_unknown => {
                return Err(Rejection::conflict(Entity::Withdrawal(id), Conflict::Settled));
            }
            WithdrawalOutcome::Unknown => {
                row.is_unknown = true;
                self.emit(Event::WithdrawalUnknown { withdrawal: id, party });
                return Ok(Reply::Done);
            }
            WithdrawalOutcome::Sent { fee_msat } => {
                // A fee above the party's limit is the operator's mistake and not charged to the party.
                let (amount_msat, fee_msat) = (row.amount_msat, (*fee_msat).min(row.max_fee_msat));
                let (reserved, reserved_fee) = (row.reserved, row.reserved_fee);
                self.post_reserved(reserved, amount_msat);
                if let Some(transfer) = reserved_fee {
                    self.post_reserved(transfer, fee_msat);
                }
                self.emit(Event::WithdrawalSent { withdrawal: id, party, amount_msat, fee_msat });
            }
            WithdrawalOutcome::Failed { reason } => {
                let (reserved, reserved_fee, hash) = (row.reserved, row.reserved_fee, row.payment_hash);
                self.void_reserved(reserved);
                if let Some(transfer) = reserved_fee {
                    self.void_reserved(transfer);
                }
                self.state.payment_hashes.remove(&hash);
                self.emit(Event::WithdrawalFailed {
                    withdrawal: id,
                    party,
                    reason: reason.chars().take(200).collect(),
                });
            }
        }
        self.state.withdrawals.remove(id);
        self.state.party_mut(party).open_payments -= 1;
        Ok(Reply::Done)
    }

    pub(super) fn lock_bond(&mut self, actor: Actor, amount_msat: Msat) -> Result<Reply, Rejection> {
        let party = self.signing_party(actor)?;
        check_amount(amount_msat)?;
        self.transfer(Account::Available(party), Account::Bond(party), amount_msat)?;
        self.emit_bond(party);
        Ok(Reply::Done)
    }

    pub(super) fn unlock_bond(&mut self, actor: Actor, amount_msat: Msat) -> Result<Reply, Rejection> {
        let party = self.signing_party(actor)?;
        check_amount(amount_msat)?;
        if self.state.party(party).open_leases > 0 {
            return Err(Rejection::conflict(Entity::Party(party), Conflict::HasLeases));
        }
        self.transfer(Account::Bond(party), Account::Available(party), amount_msat)?;
        self.emit_bond(party);
        Ok(Reply::Done)
    }

    /// A party gives money to the operator: mostly the operator itself, to back its audit links before they are needed, or
    /// to pay what it owes.
    pub(super) fn fund_venue(&mut self, actor: Actor, amount_msat: Msat) -> Result<Reply, Rejection> {
        let party = self.signing_party(actor)?;
        check_amount(amount_msat)?;
        self.transfer(Account::Available(party), Account::Fees, amount_msat)?;
        self.collect_dues();
        Ok(Reply::Done)
    }

    pub(super) fn emit_bond(&mut self, party: PartyId) {
        let bond_msat = self.bond(party);
        self.emit(Event::BondChanged { party, bond_msat });
    }

    pub(super) fn bond(&self, party: PartyId) -> Msat {
        self.state.ledger.available(Account::Bond(party))
    }

    /// Posts part of a reservation that the engine made itself, and frees the rest.
    pub(super) fn post_reserved(&mut self, transfer: crate::id::TransferId, amount: Msat) {
        match self.state.ledger.post_pending(transfer, amount) {
            Ok(posting) => self.post_event(posting),
            Err(error) => panic!("the books promise {amount} of {transfer}, the ledger says: {error}"),
        }
    }

    /// Frees a reservation that the engine made itself.
    pub(super) fn void_reserved(&mut self, transfer: crate::id::TransferId) {
        match self.state.ledger.void(transfer) {
            Ok(posting) => self.post_event(posting),
            Err(error) => panic!("the books hold {transfer}, the ledger says: {error}"),
        }
    }

    fn check_payment(&self, party: PartyId, amount_msat: Msat) -> Result<(), Rejection> {
        if amount_msat < self.rules.payment_min_msat {
            return Err(Rejection::Flaw(format!("the smallest payment is {}", self.rules.payment_min_msat)));
        }
        if self.state.party(party).open_payments >= OPEN_PAYMENTS_MAX {
            return Err(Rejection::conflict(Entity::Party(party), Conflict::Limit));
        }
        Ok(())
    }
}

fn check_amount(amount_msat: Msat) -> Result<(), Rejection> {
    if amount_msat == Msat::ZERO { Err(Rejection::Flaw("the amount is zero".into())) } else { Ok(()) }
}

fn check_invoice(bolt11: &str) -> Result<(), Rejection> {
    if bolt11.is_empty() || bolt11.len() > BOLT11_MAX_BYTES || !bolt11.is_ascii() {
        return Err(Rejection::Flaw("an invoice is 1 to 4096 ASCII characters".into()));
    }
    Ok(())
}
