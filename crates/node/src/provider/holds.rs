//! The provider's Lightning node: invoices on hashes that the market dealt, payments that wait for the verdict, and claiming
//! or cancelling them afterwards. See [`market::funding`].
//!
//! What is due is in every [`WorkView`](crate::api::WorkView), and what has happened is asked of the node, so a restart at
//! any point goes on where it should. Only one thing has to be remembered: an invoice, between its making and the market's
//! word that it has it, because a node makes no second one on the same hash.

use crate::{
    api::{HoldDue, WorkHold},
    client::{ClientError, Market},
};
use market::{command::Command, id::LeaseId, key::SecretKey, preimage::Preimage, units::TimeMs};
use pay::{CancelError, InvoiceError, InvoiceRequest, InvoiceState, LightningNode, SettleError, Unavailable};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// How long an invoice can be paid, in milliseconds. The lease is void sooner if nobody pays; what comes later is cancelled.
const INVOICE_LIFETIME_MS: u64 = 600_000;
/// How often the node is asked while something is due.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Where invoices are kept.
const FILE: &str = "hold-invoices.json";

/// What stands in the way of seeing to a lease's payments. All of it is tried again, but for the last.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The node.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The node does not make such an invoice.
    #[error("the Lightning node makes no invoice for {lease}: {reason}")]
    Invoice {
        /// For this lease.
        lease: LeaseId,
        /// The node's reason.
        reason: String,
    },
    /// What must not be forgotten cannot be written.
    #[error("cannot write `{}`: {source}; check the folder's permissions and free space", path.display())]
    Keep {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The market released something that opens nothing.
    #[error(
        "the market released a preimage for {0} that does not open its hash: nothing can be claimed with it"
    )]
    BadPreimage(LeaseId),
}

/// Invoices that were made, by lease, kept in a file until their lease's hold is over.
#[derive(Debug)]
pub struct HoldInvoices {
    file: Option<PathBuf>,
    made: BTreeMap<LeaseId, Vec<String>>,
}

impl HoldInvoices {
    /// Those in a folder.
    pub fn open(folder: &Path) -> Result<HoldInvoices, HoldError> {
        let path = folder.join(FILE);
        let failed = |source| HoldError::Keep { path: path.clone(), source };
        let made = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(io::Error::other(error)))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(failed(error)),
        };
        Ok(HoldInvoices { file: Some(path), made })
    }

    /// Kept in memory only: for the simulation, whose disks are its own.
    pub fn in_memory() -> HoldInvoices {
        HoldInvoices { file: None, made: BTreeMap::new() }
    }

    fn keep(&mut self, lease: LeaseId, invoices: Vec<String>) -> Result<(), HoldError> {
        self.made.insert(lease, invoices);
        self.write()
    }

    /// Forgets the invoices of leases that are not listed any more.
    fn retain(&mut self, holds: &[WorkHold]) -> Result<(), HoldError> {
        let before = self.made.len();
        self.made.retain(|lease, _| holds.iter().any(|hold| hold.lease == *lease));
        if self.made.len() == before { Ok(()) } else { self.write() }
    }

    /// Synced before it takes the place of the old one: an invoice that is forgotten cannot be made again.
    fn write(&self) -> Result<(), HoldError> {
        let Some(path) = &self.file else { return Ok(()) };
        let failed = |source| HoldError::Keep { path: path.clone(), source };
        let bytes = serde_json::to_vec(&self.made).map_err(|error| failed(io::Error::other(error)))?;
        crate::durable_file::replace(path, &bytes).map_err(failed)
    }
}

/// Does what is due for a lease's payments; the answer is what to tell the market, if there is anything to tell yet.
pub async fn see_to(
    node: &dyn LightningNode,
    invoices: &mut HoldInvoices,
    hold: &WorkHold,
    now: TimeMs,
) -> Result<Option<Command>, HoldError> {
    let lease = hold.lease;
    match &hold.due {
        HoldDue::Wait => Ok(None),
        HoldDue::Invoice => match make_invoices(node, invoices, hold, now).await {
            Ok(invoices) => Ok(Some(Command::InvoiceHold { lease, invoices })),
            // The market deals other hashes for the next lease.
            Err(HoldError::Invoice { lease, reason }) => {
                tracing::warn!(%lease, %reason, "given back: its payments cannot be invoiced");
                Ok(Some(Command::QuitLease { lease }))
            }
            Err(error) => Err(error),
        },
        HoldDue::Fund => Ok(is_held(node, hold).await?.then_some(Command::HoldFunded { lease })),
        HoldDue::Claim { preimages, .. } => {
            Ok(claim(node, hold, preimages).await?.then_some(Command::HoldOver { lease }))
        }
    }
}

/// Each invoice is written down before the next is made. One that was made and then lost in a crash cannot be made again,
/// because its hash serves no second one: the lease is given back.
async fn make_invoices(
    node: &dyn LightningNode,
    kept: &mut HoldInvoices,
    hold: &WorkHold,
    now: TimeMs,
) -> Result<Vec<String>, HoldError> {
    let lease = hold.lease;
    let mut made = kept.made.get(&lease).cloned().unwrap_or_default();
    for (hash, number) in hold.hashes.iter().zip(1..).skip(made.len()) {
        let request = InvoiceRequest {
            amount: hold.slice_msat,
            description: format!(
                "{lease}, slice {number} of {}: held until the work is verified",
                hold.hashes.len()
            ),
            expires_in_ms: INVOICE_LIFETIME_MS,
        };
        // It may be paid at the last moment, and has to be held as long as planned from then on, too.
        let hold_ms = hold.until_ms.since(now);
        match node.create_hold_invoice(*hash, hold_ms, request).await {
            Ok(invoice) => made.push(invoice.bolt11),
            Err(InvoiceError::Unavailable(error)) => return Err(error.into()),
            Err(error @ (InvoiceError::BadRequest(_) | InvoiceError::HashInUse(_))) => {
                return Err(HoldError::Invoice { lease, reason: error.to_string() });
            }
        }
        kept.keep(lease, made.clone())?;
    }
    Ok(made)
}

/// Whether every payment has arrived, and is held for as long as the lease may take. Work for less is work for nothing.
async fn is_held(node: &dyn LightningNode, hold: &WorkHold) -> Result<bool, Unavailable> {
    for hash in &hold.hashes {
        match node.invoice(*hash).await? {
            Some(InvoiceState::Held { until }) if until >= hold.until_ms => {}
            Some(InvoiceState::Held { until }) => {
                tracing::warn!(lease = %hold.lease, ?until, "a payment is held for less time than the lease needs: not accepted");
                return Ok(false);
            }
            Some(
                InvoiceState::Open
                | InvoiceState::Paid { .. }
                | InvoiceState::Cancelled
                | InvoiceState::Expired,
            )
            | None => return Ok(false),
        }
    }
    Ok(true)
}

/// Claims what was released and cancels the rest; says whether nothing is held any more.
async fn claim(node: &dyn LightningNode, hold: &WorkHold, preimages: &[Preimage]) -> Result<bool, HoldError> {
    for (preimage, hash) in preimages.iter().zip(&hold.hashes) {
        if preimage.payment_hash() != *hash {
            return Err(HoldError::BadPreimage(hold.lease));
        }
        match node.settle(*preimage).await {
            Ok(()) => {}
            Err(SettleError::Unavailable(error)) => return Err(error.into()),
            // Said out loud: it was earned, and came too late or never.
            Err(error) => {
                tracing::error!(lease = %hold.lease, %error, "a slice that was earned cannot be claimed")
            }
        }
    }
    for hash in hold.hashes.iter().skip(preimages.len()) {
        match node.cancel(*hash).await {
            Ok(()) | Err(CancelError::UnknownInvoice(_)) => {}
            Err(CancelError::Unavailable(error)) => return Err(error.into()),
            Err(error @ CancelError::AlreadySettled(_)) => {
                tracing::error!(lease = %hold.lease, %error, "a slice that was not earned cannot be given back");
            }
        }
    }
    for hash in &hold.hashes {
        match node.invoice(*hash).await? {
            Some(InvoiceState::Held { .. } | InvoiceState::Open) => return Ok(false),
            Some(InvoiceState::Paid { .. } | InvoiceState::Cancelled | InvoiceState::Expired) | None => {}
        }
    }
    Ok(true)
}

/// Sees to the payments of a machine's leases, as its views list them, until the views end.
pub(super) struct HoldKeeper {
    pub(super) market: Market,
    pub(super) secret: SecretKey,
    pub(super) node: Arc<dyn LightningNode>,
    pub(super) invoices: HoldInvoices,
    pub(super) holds: watch::Receiver<(TimeMs, Vec<WorkHold>)>,
}

impl HoldKeeper {
    pub(super) async fn run(mut self) {
        let mut said: Option<String> = None;
        loop {
            let (now, holds) = self.holds.borrow_and_update().clone();
            if let Err(error) = self.invoices.retain(&holds) {
                tracing::error!(%error, "invoices are not forgotten");
            }
            let mut is_busy = false;
            for hold in holds.iter().filter(|hold| hold.due != HoldDue::Wait) {
                is_busy = true;
                match see_to(self.node.as_ref(), &mut self.invoices, hold, now).await {
                    Ok(Some(command)) => self.tell(command).await,
                    Ok(None) => {}
                    // Said once, not four times a second.
                    Err(error) => {
                        let text = error.to_string();
                        if said.as_deref() != Some(&text) {
                            tracing::warn!(%error, lease = %hold.lease, "a lease's payments wait");
                            said = Some(text);
                        }
                    }
                }
            }
            tokio::select! {
                changed = self.holds.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(ASK_EVERY), if is_busy => {}
            }
        }
    }

    /// What the market refuses, the next view explains.
    async fn tell(&self, command: Command) {
        match self.market.submit(&self.secret, command).await {
            Ok(_) => {}
            Err(ClientError::Refused { error, .. }) => tracing::debug!(code = %error.code, "not taken"),
            Err(error) => {
                tracing::warn!(%error, "the market was not told about a lease's payments; trying again")
            }
        }
    }
}
