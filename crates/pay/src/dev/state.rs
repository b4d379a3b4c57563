//! The state of a dev network: a plain state machine that is told the time.

use super::fault::{Fault, HangEnd, Mischief};
use crate::{
    bolt11::{self, Bolt11, Terms},
    node::{
        CancelError, EventCursor, FailureReason, Invoice, InvoiceError, InvoiceRequest, InvoiceState,
        Network, NodeBalance, NodeEvent, NodeInfo, PayError, PayRequest, PaymentState, Preimage, SettleError,
        Unavailable,
    },
};
use market::{
    id::PaymentHash,
    units::{Msat, PPM, Rounding, TimeMs},
};
use secp256k1::{SECP256K1, SecretKey};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A payment can be held for 1008 blocks of ten minutes, a week.
const HOLD_MAX_MS: u64 = 1_008 * 600_000;

/// Which node of the network.
pub(super) type NodeIndex = usize;

/// What routing costs: `base + amount × ppm`, the share rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeePolicy {
    /// For each payment.
    pub base: Msat,
    /// Of the amount, in parts per million.
    pub ppm: u32,
}

impl Default for FeePolicy {
    /// One satoshi and a tenth of a per mille, like a cheap route on the real network.
    fn default() -> FeePolicy {
        FeePolicy { base: Msat(1_000), ppm: 100 }
    }
}

/// More play money than there is bitcoin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a dev network cannot hold more than all bitcoin: issue less")]
pub struct IssueError;

/// Play money was made or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{issued} was issued, but {found} is there")]
pub struct Imbalance {
    /// What was issued.
    pub issued: Msat,
    /// What is in balances, in flight and spent on routing.
    pub found: Msat,
}

/// A saved dev network. It contains the keys of its nodes, which guard play money only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DevState(State);

impl From<State> for DevState {
    fn from(state: State) -> DevState {
        DevState(state)
    }
}

impl From<DevState> for State {
    fn from(saved: DevState) -> State {
        saved.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Not saved: a network that nothing happened to looks the same at all times.
    #[serde(skip)]
    now: TimeMs,
    pub(super) fees: FeePolicy,
    pub(super) mischief: Mischief,
    issued: Msat,
    spent_on_routing: Msat,
    nodes: Vec<NodeState>,
    /// What happens by itself, in the order in which it does.
    deadlines: BTreeSet<(TimeMs, NodeIndex, PaymentHash, Deadline)>,
}

/// What happens to an invoice or a payment of a node when its time has come, unless it is decided by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Deadline {
    InvoiceExpires,
    HoldExpires,
    PaymentComesLoose,
    SuccessIsReported,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct NodeState {
    name: String,
    id: String,
    key: [u8; 32],
    spendable: Msat,
    invoices: BTreeMap<PaymentHash, InvoiceRecord>,
    payments: BTreeMap<PaymentHash, Payment>,
    events: Vec<NodeEvent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct InvoiceRecord {
    amount: Msat,
    settlement: Settlement,
    stage: InvoiceStage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Settlement {
    AtOnce { preimage: Preimage },
    Hold { hold_ms: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum InvoiceStage {
    Open,
    Held { payer: NodeIndex, sent: Sent, until: TimeMs },
    Paid { preimage: Preimage },
    Cancelled,
    Expired,
}

/// Money that left a payer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Sent {
    payee: NodeIndex,
    amount: Msat,
    fee: Msat,
}

impl Sent {
    /// Both are part of what was issued, so the sum fits.
    fn total(self) -> u64 {
        self.amount.0 + self.fee.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Payment {
    /// The money is on its way, and nobody can say where.
    Stuck {
        sent: Sent,
        then: HangEnd,
    },
    /// The payee holds it.
    Held {
        sent: Sent,
    },
    /// The payee has it, the payer does not know yet.
    Reporting {
        sent: Sent,
        preimage: Preimage,
    },
    Succeeded {
        preimage: Preimage,
        fee: Msat,
    },
    Failed {
        reason: FailureReason,
    },
}

impl Payment {
    fn state(self) -> PaymentState {
        match self {
            Payment::Stuck { .. } => PaymentState::Unknown,
            Payment::Held { .. } | Payment::Reporting { .. } => PaymentState::InFlight,
            Payment::Succeeded { preimage, fee } => PaymentState::Succeeded { preimage, fee },
            Payment::Failed { reason } => PaymentState::Failed { reason },
        }
    }

    /// What the payer's node has set aside, in msat.
    fn locked(self) -> u64 {
        match self {
            Payment::Stuck { sent, .. } | Payment::Held { sent } | Payment::Reporting { sent, .. } => {
                sent.total()
            }
            Payment::Succeeded { .. } | Payment::Failed { .. } => 0,
        }
    }

    /// What is with neither payer nor payee, in msat.
    fn in_transit(self) -> u64 {
        match self {
            Payment::Stuck { sent, .. } | Payment::Held { sent } => sent.total(),
            Payment::Reporting { .. } | Payment::Succeeded { .. } | Payment::Failed { .. } => 0,
        }
    }
}

impl State {
    pub(super) fn new(seed: [u8; 32]) -> State {
        State {
            now: TimeMs(0),
            fees: FeePolicy::default(),
            mischief: Mischief::new(seed),
            issued: Msat::ZERO,
            spent_on_routing: Msat::ZERO,
            nodes: Vec::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// Lets everything happen that is due. A clock that goes back is taken as standing still.
    pub(super) fn advance(&mut self, now: TimeMs) {
        while let Some((at, node, payment_hash, deadline)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.pop_first();
            self.now = self.now.max(at);
            match deadline {
                Deadline::InvoiceExpires => self.expire_invoice(node, payment_hash),
                Deadline::HoldExpires => self.expire_hold(node, payment_hash),
                Deadline::PaymentComesLoose => self.unstick(node, payment_hash),
                Deadline::SuccessIsReported => self.report_success(node, payment_hash),
            }
        }
        self.now = self.now.max(now);
    }

    pub(super) fn next_deadline(&self) -> Option<TimeMs> {
        self.deadlines.first().map(|(at, ..)| *at)
    }

    pub(super) fn has_node(&self, name: &str) -> bool {
        self.nodes.iter().any(|node| node.name == name)
    }

    pub(super) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn node_named(&mut self, name: &str) -> NodeIndex {
        if let Some(index) = self.nodes.iter().position(|node| node.name == name) {
            return index;
        }
        let key = self.draw_key();
        self.nodes.push(NodeState {
            name: name.to_owned(),
            id: key.public_key(SECP256K1).to_string(),
            key: key.secret_bytes(),
            spendable: Msat::ZERO,
            invoices: BTreeMap::new(),
            payments: BTreeMap::new(),
            events: Vec::new(),
        });
        self.nodes.len() - 1
    }

    pub(super) fn issue(&mut self, node: NodeIndex, amount: Msat) -> Result<(), IssueError> {
        // All other sums are parts of this one, so they cannot overflow.
        self.issued = self.issued.plus(amount).map_err(|_| IssueError)?;
        self.nodes[node].spendable.0 += amount.0;
        Ok(())
    }

    pub(super) fn check(&self) -> Result<(), Imbalance> {
        let of_node = |node: &NodeState| {
            node.spendable.0 + node.payments.values().map(|payment| payment.in_transit()).sum::<u64>()
        };
        let found = Msat(self.spent_on_routing.0 + self.nodes.iter().map(of_node).sum::<u64>());
        if found == self.issued { Ok(()) } else { Err(Imbalance { issued: self.issued, found }) }
    }

    pub(super) fn info(&self, node: NodeIndex) -> NodeInfo {
        let NodeState { name, id, .. } = &self.nodes[node];
        NodeInfo { id: id.clone(), alias: name.clone(), network: Network::Regtest, play_money: true }
    }

    pub(super) fn balance(&self, node: NodeIndex) -> NodeBalance {
        let node = &self.nodes[node];
        let in_flight = Msat(node.payments.values().map(|payment| payment.locked()).sum());
        NodeBalance { spendable: node.spendable, in_flight }
    }

    pub(super) fn events(
        &self,
        node: NodeIndex,
        after: EventCursor,
        limit: usize,
    ) -> Vec<(EventCursor, NodeEvent)> {
        let skip = usize::try_from(after.0).unwrap_or(usize::MAX);
        (1..).map(EventCursor).zip(self.nodes[node].events.iter().copied()).skip(skip).take(limit).collect()
    }

    // ---- the payee's side ----

    pub(super) fn create_invoice(
        &mut self,
        node: NodeIndex,
        request: &InvoiceRequest,
    ) -> Result<Invoice, InvoiceError> {
        let preimage = Preimage(self.mischief.draw());
        self.add_invoice(node, preimage.payment_hash(), Settlement::AtOnce { preimage }, request)
    }

    pub(super) fn create_hold_invoice(
        &mut self,
        node: NodeIndex,
        payment_hash: PaymentHash,
        hold_ms: u64,
        request: &InvoiceRequest,
    ) -> Result<Invoice, InvoiceError> {
        if hold_ms == 0 || hold_ms > HOLD_MAX_MS {
            return Err(InvoiceError::BadRequest(format!("a payment can be held for 1 to {HOLD_MAX_MS} ms")));
        }
        self.add_invoice(node, payment_hash, Settlement::Hold { hold_ms }, request)
    }

    fn add_invoice(
        &mut self,
        node: NodeIndex,
        payment_hash: PaymentHash,
        settlement: Settlement,
        request: &InvoiceRequest,
    ) -> Result<Invoice, InvoiceError> {
        if request.amount == Msat::ZERO || request.amount > Msat::MAX {
            return Err(InvoiceError::BadRequest(format!("{} is no amount to ask for", request.amount)));
        }
        if request.expires_in_ms == 0 || request.expires_in_ms > HOLD_MAX_MS {
            return Err(InvoiceError::BadRequest(format!("it can be open for 1 to {HOLD_MAX_MS} ms")));
        }
        if self.nodes[node].invoices.contains_key(&payment_hash) {
            return Err(InvoiceError::HashInUse(payment_hash));
        }
        let hold_ms = match settlement {
            Settlement::AtOnce { .. } => 0,
            Settlement::Hold { hold_ms } => hold_ms,
        };
        let terms = Terms {
            payment_hash,
            payment_secret: self.mischief.draw(),
            amount: request.amount,
            description: &request.description,
            now: self.now,
            expires_in_ms: request.expires_in_ms,
            hold_ms,
        };
        let bad_request = |error: &dyn std::error::Error| InvoiceError::BadRequest(error.to_string());
        let key = SecretKey::from_slice(&self.nodes[node].key).map_err(|error| bad_request(&error))?;
        let (bolt11, expires_at) = bolt11::encode(&key, &terms).map_err(|error| bad_request(&error))?;
        let record = InvoiceRecord { amount: request.amount, settlement, stage: InvoiceStage::Open };
        self.nodes[node].invoices.insert(payment_hash, record);
        self.deadlines.insert((expires_at, node, payment_hash, Deadline::InvoiceExpires));
        Ok(Invoice { bolt11, payment_hash, expires_at })
    }

    pub(super) fn invoice(&self, node: NodeIndex, payment_hash: PaymentHash) -> Option<InvoiceState> {
        self.nodes[node].invoices.get(&payment_hash).map(|invoice| match invoice.stage {
            InvoiceStage::Open => InvoiceState::Open,
            InvoiceStage::Held { until, .. } => InvoiceState::Held { until },
            InvoiceStage::Paid { preimage } => InvoiceState::Paid { preimage },
            InvoiceStage::Cancelled => InvoiceState::Cancelled,
            InvoiceStage::Expired => InvoiceState::Expired,
        })
    }

    pub(super) fn settle(&mut self, node: NodeIndex, preimage: Preimage) -> Result<(), SettleError> {
        let payment_hash = preimage.payment_hash();
        let invoice = self.nodes[node].invoices.get(&payment_hash);
        match invoice.ok_or(SettleError::WrongPreimage(payment_hash))?.stage {
            InvoiceStage::Open => Err(SettleError::NotPaidYet(payment_hash)),
            InvoiceStage::Held { payer, sent, .. } => {
                self.complete(payer, payment_hash, sent, preimage);
                Ok(())
            }
            InvoiceStage::Paid { .. } => Ok(()),
            InvoiceStage::Cancelled | InvoiceStage::Expired => Err(SettleError::WentBack(payment_hash)),
        }
    }

    pub(super) fn cancel(&mut self, node: NodeIndex, payment_hash: PaymentHash) -> Result<(), CancelError> {
        let invoice = self.nodes[node].invoices.get(&payment_hash);
        match invoice.ok_or(CancelError::UnknownInvoice(payment_hash))?.stage {
            InvoiceStage::Open => self.close_invoice(node, payment_hash, InvoiceStage::Cancelled),
            InvoiceStage::Held { payer, sent, .. } => {
                self.close_invoice(node, payment_hash, InvoiceStage::Cancelled);
                self.give_back(payer, payment_hash, sent, FailureReason::Rejected);
            }
            InvoiceStage::Paid { .. } => return Err(CancelError::AlreadySettled(payment_hash)),
            InvoiceStage::Cancelled | InvoiceStage::Expired => {}
        }
        Ok(())
    }

    // ---- the payer's side ----

    pub(super) fn payment(&self, node: NodeIndex, payment_hash: PaymentHash) -> Option<PaymentState> {
        self.nodes[node].payments.get(&payment_hash).map(|payment| payment.state())
    }

    pub(super) fn pay(&mut self, payer: NodeIndex, request: &PayRequest) -> Result<PaymentState, PayError> {
        let invoice = bolt11::decode(&request.bolt11)?;
        // Before anything else: a caller that asks again must learn what became of it, expired or not.
        match self.payment(payer, invoice.payment_hash) {
            None | Some(PaymentState::Failed { .. }) => {}
            Some(
                under_way @ (PaymentState::InFlight | PaymentState::Unknown | PaymentState::Succeeded { .. }),
            ) => {
                return Ok(under_way);
            }
        }
        self.refuse(&invoice, request.amount)?;
        self.attempt(payer, &invoice, request);
        if self.mischief.strikes(payer, Fault::LoseAnswer) {
            return Err(Unavailable("its answer was lost".to_owned()).into());
        }
        Ok(self.payment(payer, invoice.payment_hash).unwrap_or(PaymentState::Unknown))
    }

    fn refuse(&self, invoice: &Bolt11, asked: Msat) -> Result<(), PayError> {
        if invoice.network != Network::Regtest {
            return Err(PayError::WrongNetwork { invoice: invoice.network, node: Network::Regtest });
        }
        if asked == Msat::ZERO {
            return Err(PayError::ZeroAmount);
        }
        match invoice.amount {
            Some(amount) if amount != asked => Err(PayError::AmountMismatch { invoice: amount, asked }),
            Some(_) | None if invoice.expires_at <= self.now => Err(PayError::Expired),
            Some(_) | None => Ok(()),
        }
    }

    fn attempt(&mut self, payer: NodeIndex, invoice: &Bolt11, request: &PayRequest) {
        let payment_hash = invoice.payment_hash;
        let sent = match self.route(payer, &invoice.payee, request) {
            Ok(sent) => sent,
            Err(reason) => return self.fail(payer, payment_hash, reason),
        };
        self.nodes[payer].spendable.0 -= sent.total();
        match self.mischief.hang(payer) {
            Some((for_ms, then)) => {
                self.nodes[payer].payments.insert(payment_hash, Payment::Stuck { sent, then });
                let at = self.now.plus(for_ms);
                self.deadlines.insert((at, payer, payment_hash, Deadline::PaymentComesLoose));
            }
            None => self.deliver(payer, payment_hash, sent),
        }
    }

    /// Who gets the money and what that costs, before any of it moves.
    fn route(
        &mut self,
        payer: NodeIndex,
        payee_id: &str,
        request: &PayRequest,
    ) -> Result<Sent, FailureReason> {
        let payee = self.nodes.iter().position(|node| node.id == payee_id).filter(|payee| *payee != payer);
        let payee = payee.ok_or(FailureReason::NoRoute)?;
        // An amount that does not fit is more than any balance.
        let too_much = |_| FailureReason::InsufficientBalance;
        let share = request.amount.scale(u64::from(self.fees.ppm), PPM, Rounding::Down).map_err(too_much)?;
        let fee = share.plus(self.fees.base).map_err(too_much)?;
        if fee > request.max_fee {
            return Err(FailureReason::FeeTooHigh);
        }
        if request.amount.plus(fee).map_err(too_much)? > self.nodes[payer].spendable {
            return Err(FailureReason::InsufficientBalance);
        }
        if self.mischief.strikes(payer, Fault::FailPayment) {
            return Err(FailureReason::NoRoute);
        }
        Ok(Sent { payee, amount: request.amount, fee })
    }

    // ---- between the two ----

    /// The money reaches the payee, who takes, holds or refuses it.
    fn deliver(&mut self, payer: NodeIndex, payment_hash: PaymentHash, sent: Sent) {
        let invoice = self.nodes[sent.payee].invoices.get_mut(&payment_hash);
        let open =
            invoice.filter(|invoice| invoice.stage == InvoiceStage::Open && invoice.amount == sent.amount);
        match open.map(|invoice| (invoice.settlement, &mut invoice.stage)) {
            Some((Settlement::AtOnce { preimage }, _)) => self.complete(payer, payment_hash, sent, preimage),
            Some((Settlement::Hold { hold_ms }, stage)) => {
                let until = self.now.plus(hold_ms);
                *stage = InvoiceStage::Held { payer, sent, until };
                self.nodes[payer].payments.insert(payment_hash, Payment::Held { sent });
                self.deadlines.insert((until, sent.payee, payment_hash, Deadline::HoldExpires));
                self.tell(sent.payee, NodeEvent::InvoiceHeld { payment_hash, amount: sent.amount });
            }
            None => self.give_back(payer, payment_hash, sent, FailureReason::Rejected),
        }
    }

    /// The payee shows the preimage and has the money; the payer learns of it now or later.
    fn complete(&mut self, payer: NodeIndex, payment_hash: PaymentHash, sent: Sent, preimage: Preimage) {
        let payee = &mut self.nodes[sent.payee];
        payee.spendable.0 += sent.amount.0;
        if let Some(invoice) = payee.invoices.get_mut(&payment_hash) {
            invoice.stage = InvoiceStage::Paid { preimage };
        }
        self.spent_on_routing.0 += sent.fee.0;
        self.tell(sent.payee, NodeEvent::InvoicePaid { payment_hash, amount: sent.amount });
        self.nodes[payer].payments.insert(payment_hash, Payment::Reporting { sent, preimage });
        match self.mischief.settle_late(payer) {
            Some(by_ms) => {
                let at = self.now.plus(by_ms);
                self.deadlines.insert((at, payer, payment_hash, Deadline::SuccessIsReported));
            }
            None => self.report_success(payer, payment_hash),
        }
    }

    fn report_success(&mut self, payer: NodeIndex, payment_hash: PaymentHash) {
        if let Some(payment) = self.nodes[payer].payments.get_mut(&payment_hash)
            && let Payment::Reporting { sent, preimage } = *payment
        {
            *payment = Payment::Succeeded { preimage, fee: sent.fee };
            self.tell(payer, NodeEvent::PaymentSucceeded { payment_hash, fee: sent.fee });
        }
    }

    fn give_back(&mut self, payer: NodeIndex, payment_hash: PaymentHash, sent: Sent, reason: FailureReason) {
        self.nodes[payer].spendable.0 += sent.total();
        self.fail(payer, payment_hash, reason);
    }

    fn fail(&mut self, payer: NodeIndex, payment_hash: PaymentHash, reason: FailureReason) {
        self.nodes[payer].payments.insert(payment_hash, Payment::Failed { reason });
        self.tell(payer, NodeEvent::PaymentFailed { payment_hash, reason });
    }

    fn unstick(&mut self, payer: NodeIndex, payment_hash: PaymentHash) {
        match self.nodes[payer].payments.get(&payment_hash).copied() {
            Some(Payment::Stuck { sent, then: HangEnd::Delivered }) => {
                self.deliver(payer, payment_hash, sent)
            }
            Some(Payment::Stuck { sent, then: HangEnd::Failed }) => {
                self.give_back(payer, payment_hash, sent, FailureReason::NoRoute);
            }
            Some(
                Payment::Held { .. }
                | Payment::Reporting { .. }
                | Payment::Succeeded { .. }
                | Payment::Failed { .. },
            )
            | None => {}
        }
    }

    fn expire_invoice(&mut self, node: NodeIndex, payment_hash: PaymentHash) {
        if self.invoice(node, payment_hash) == Some(InvoiceState::Open) {
            self.close_invoice(node, payment_hash, InvoiceStage::Expired);
        }
    }

    fn expire_hold(&mut self, node: NodeIndex, payment_hash: PaymentHash) {
        let stage = self.nodes[node].invoices.get(&payment_hash).map(|invoice| invoice.stage);
        if let Some(InvoiceStage::Held { payer, sent, .. }) = stage {
            self.close_invoice(node, payment_hash, InvoiceStage::Expired);
            self.give_back(payer, payment_hash, sent, FailureReason::TimedOut);
        }
    }

    fn close_invoice(&mut self, node: NodeIndex, payment_hash: PaymentHash, stage: InvoiceStage) {
        if let Some(invoice) = self.nodes[node].invoices.get_mut(&payment_hash) {
            invoice.stage = stage;
            self.tell(node, NodeEvent::InvoiceClosed { payment_hash });
        }
    }

    fn tell(&mut self, node: NodeIndex, event: NodeEvent) {
        if self.mischief.strikes(node, Fault::LoseEvent) {
            return;
        }
        self.nodes[node].events.push(event);
        if self.mischief.strikes(node, Fault::DuplicateEvent) {
            self.nodes[node].events.push(event);
        }
    }

    fn draw_key(&mut self) -> SecretKey {
        loop {
            // All but about one in 2^128 draws are keys.
            if let Ok(key) = SecretKey::from_slice(&self.mischief.draw()) {
                return key;
            }
        }
    }
}
