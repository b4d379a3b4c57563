//! What a buyer pays for, as the market tells it.

use market::{
    funding::EncryptedResult,
    id::{AttemptId, LeaseId, PaymentHash},
    preimage::Preimage,
    units::{Msat, TimeMs},
    verify::TaskResult,
};
use serde::{Deserialize, Serialize};

/// The payments that fund a lease, as its buyer sees them. See [`market::funding`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// The lease.
    pub lease: LeaseId,
    /// What each invoice has to ask for.
    pub slice_msat: Msat,
    /// The payment hash that each has to be on.
    pub payment_hashes: Vec<PaymentHash>,
    /// The invoices that wait to be paid; none before they are there, and none afterwards.
    pub invoices: Vec<String>,
    /// How long payments may be held at least.
    pub until_ms: TimeMs,
    /// `asked`, `dealt`, `invoiced`, `funded`, `decided`, `released` or `over`.
    pub phase: String,
    /// How many slices were earned.
    pub released: u8,
}

/// A result that is paid to decrypt, as its buyer sees it. See [`market::funding`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaleView {
    /// Under which lease it was made.
    pub lease: LeaseId,
    /// Whose result it is.
    pub attempt: AttemptId,
    /// The task's number.
    pub task: u32,
    /// The result that replicas vouch for.
    pub result: TaskResult,
    /// Whether they do: a job that ended early has nobody else to ask.
    pub is_verified: bool,
    /// What the invoice has to ask for.
    pub invoice_msat: Msat,
    /// What the market keeps until the key is shown.
    pub deposit_msat: Msat,
    /// What the provider has signed.
    pub encrypted: EncryptedResult,
    /// The invoice for the key.
    pub invoice: String,
    /// Until when the key has to be shown, while it waits for that.
    pub until_ms: Option<TimeMs>,
    /// `payable`, `disputed`, `sold`, `unsold` or `forged`.
    pub phase: String,
    /// What the key is made of, once it was shown.
    pub preimage: Option<Preimage>,
}

impl SaleView {
    /// Whether its key was bought: it can be opened.
    pub fn is_sold(&self) -> bool {
        self.phase == "sold"
    }
}
