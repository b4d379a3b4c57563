//! Results that are sold for their keys: encrypting, the invoice, and taking the payment. See [`market::funding`].
//!
//! A key follows from a preimage that this machine chose, and the invoice is on the preimage's hash. Both are written down
//! and synced before the market hears of them: a payment that arrives later can be taken after any restart. What the market
//! lists is asked of the owner's Lightning node; what it lists no more is cancelled, so that no late payment is taken for a
//! result whose deposit was.

use super::vault::Vault;
use crate::{
    api::WorkView,
    client::{ClientError, Market},
    encrypted_result,
};
use market::{
    funding::{EncryptedResult, SaleOffer, result_key},
    id::{AttemptId, Digest, PaymentHash},
    key::SecretKey,
    preimage::Preimage,
    units::Msat,
};
use pay::{CancelError, InvoiceError, InvoiceRequest, InvoiceState, LightningNode, SettleError, Unavailable};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// How long an invoice can be paid, in milliseconds: until replicas agree, and then for as long as the buyer has.
const INVOICE_LIFETIME_MS: u64 = 7_200_000;
/// How long a payment may wait to be taken, in milliseconds. It is taken at once; this is for a restart in between.
const HOLD_MS: u64 = 3_600_000;
/// How often the node is asked while something is for sale.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// Where keys are kept.
const FILE: &str = "result-keys.json";

/// What stands in the way of a sale. All of it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum SaleError {
    /// The node.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The node makes no such invoice.
    #[error(transparent)]
    Invoice(#[from] InvoiceError),
    /// The ciphertext could not be uploaded.
    #[error(transparent)]
    Market(#[from] ClientError),
    /// What must not be forgotten cannot be written.
    #[error("cannot write `{}`: {source}; check the folder's permissions and free space", path.display())]
    Keep {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The output is not here.
    #[error("the output {0} is not in the state folder any more")]
    Gone(Digest),
    /// Nobody to be paid.
    #[error("this provider has no Lightning node to be paid by: start it with --lightning")]
    NoNode,
    /// Encrypting failed.
    #[error("cannot encrypt the result: {0}")]
    Encrypt(io::Error),
}

/// The key of one result, with the invoice for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    output: Digest,
    preimage: Preimage,
    salt: Digest,
    invoice: String,
}

/// Keys by attempt, in a file until their sale is over.
#[derive(Debug)]
pub(super) struct Keys {
    path: PathBuf,
    kept: BTreeMap<AttemptId, Key>,
}

impl Keys {
    /// Those in a folder.
    pub(super) fn open(folder: &Path) -> Result<Keys, SaleError> {
        let path = folder.join(FILE);
        let failed = |source| SaleError::Keep { path: path.clone(), source };
        let kept = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(io::Error::other(error)))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(failed(error)),
        };
        Ok(Keys { path, kept })
    }

    fn keep(&mut self, attempt: AttemptId, key: Key) -> Result<(), SaleError> {
        self.kept.insert(attempt, key);
        self.write()
    }

    fn forget(&mut self, attempt: AttemptId) -> Result<(), SaleError> {
        self.kept.remove(&attempt);
        self.write()
    }

    fn write(&self) -> Result<(), SaleError> {
        let failed = |source| SaleError::Keep { path: self.path.clone(), source };
        let bytes = serde_json::to_vec(&self.kept).map_err(|error| failed(io::Error::other(error)))?;
        crate::durable_file::replace(&self.path, &bytes).map_err(failed)
    }
}

/// What is to be sold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) attempt: AttemptId,
    pub(super) output: Digest,
    pub(super) invoice_msat: Msat,
}

/// Encrypts results, and offers them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Seller {
    pub(super) market: Market,
    pub(super) secret: SecretKey,
    pub(super) node: Arc<dyn LightningNode>,
    pub(super) keys: Arc<Mutex<Keys>>,
    /// Rung when there is another invoice to look after.
    pub(super) made: Arc<Notify>,
    /// A fault on purpose: what it encrypts is something else.
    pub(super) forges: bool,
}

/// Encrypts an output that is in the vault.
pub(super) async fn encrypt(
    seller: Option<Seller>,
    vault: Arc<Mutex<Vault>>,
    wanted: Wanted,
) -> Result<SaleOffer, SaleError> {
    let seller = seller.ok_or(SaleError::NoNode)?;
    let read = tokio::task::spawn_blocking(move || {
        vault.lock().unwrap_or_else(PoisonError::into_inner).output(wanted.output)
    });
    let plain = read.await.ok().flatten().ok_or(SaleError::Gone(wanted.output))?;
    seller.encrypt(wanted, plain).await
}

impl Seller {
    /// Encrypts an output, stores the ciphertext at the market, and says what the market is to be told.
    async fn encrypt(&self, wanted: Wanted, mut plain: Vec<u8>) -> Result<SaleOffer, SaleError> {
        let Wanted { attempt, output, .. } = wanted;
        let key = self.key(wanted).await?;
        let secret = result_key(&key.preimage, &key.salt);
        if self.forges {
            plain.push(b'?');
        }
        let encrypt = move || {
            let mut encrypted = Vec::new();
            encrypted_result::encrypt(&secret, plain.as_slice(), &mut encrypted).map(|()| encrypted)
        };
        let bytes = tokio::task::spawn_blocking(encrypt).await.map_err(io::Error::other);
        let bytes = bytes.and_then(|bytes| bytes).map_err(SaleError::Encrypt)?;
        let ciphertext = self.market.put_blob(&self.secret, bytes).await?;
        let parts = (key.preimage.payment_hash(), ciphertext, key.salt);
        let encrypted = EncryptedResult::sign(&self.secret, &self.market.venue(), attempt, output, parts);
        self.made.notify_one();
        Ok(SaleOffer { encrypted, invoice: key.invoice })
    }

    /// The key of an attempt: the one that an earlier process chose, while its invoice can be paid, or a new one.
    async fn key(&self, wanted: Wanted) -> Result<Key, SaleError> {
        let known = with(&self.keys, |keys| keys.kept.get(&wanted.attempt).cloned());
        if let Some(key) = known.filter(|key| key.output == wanted.output)
            && self.node.invoice(key.preimage.payment_hash()).await? == Some(InvoiceState::Open)
        {
            return Ok(key);
        }
        let (preimage, salt) = (Preimage(random()?), Digest(random()?));
        let request = InvoiceRequest {
            amount: wanted.invoice_msat,
            description: format!("the key of {}", wanted.attempt),
            expires_in_ms: INVOICE_LIFETIME_MS,
        };
        let invoice = self.node.create_hold_invoice(preimage.payment_hash(), HOLD_MS, request).await?.bolt11;
        let key = Key { output: wanted.output, preimage, salt, invoice };
        with(&self.keys, |keys| keys.keep(wanted.attempt, key.clone()))?;
        Ok(key)
    }
}

fn random() -> Result<[u8; 32], SaleError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| SaleError::Encrypt(io::Error::other(error.to_string())))?;
    Ok(bytes)
}

fn with<T>(keys: &Mutex<Keys>, use_them: impl FnOnce(&mut Keys) -> T) -> T {
    use_them(&mut keys.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What a view says about results that are sold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Whether there was a view at all.
    pub(super) is_known: bool,
    /// Attempts without a verdict, and those whose result waits for its payment.
    pub(super) attempts: BTreeSet<AttemptId>,
    /// The latter alone.
    pub(super) payable: BTreeSet<AttemptId>,
}

impl Listed {
    /// What this view says.
    pub(super) fn of(view: &WorkView) -> Listed {
        let open = view.attempts.iter().map(|attempt| attempt.attempt);
        Listed {
            is_known: true,
            attempts: open.chain(view.sales.iter().copied()).collect(),
            payable: view.sales.iter().copied().collect(),
        }
    }
}

/// Takes the payments for results that are sold, until the views end.
pub(super) struct SaleKeeper {
    pub(super) node: Arc<dyn LightningNode>,
    pub(super) keys: Arc<Mutex<Keys>>,
    pub(super) made: Arc<Notify>,
    pub(super) listed: watch::Receiver<Listed>,
}

impl SaleKeeper {
    pub(super) async fn run(mut self) {
        let mut said: Option<String> = None;
        loop {
            let listed = self.listed.borrow_and_update().clone();
            let keys = with(&self.keys, |keys| keys.kept.clone());
            for (attempt, key) in keys.iter().filter(|_| listed.is_known) {
                if let Err(error) = self.see_to(*attempt, key, &listed).await {
                    let text = error.to_string();
                    // Said once, not four times a second.
                    if said.as_deref() != Some(&text) {
                        tracing::warn!(%error, %attempt, "the payment for a result waits");
                        said = Some(text);
                    }
                }
            }
            tokio::select! {
                changed = self.listed.changed() => if changed.is_err() { return },
                () = self.made.notified() => {}
                () = tokio::time::sleep(ASK_EVERY), if !keys.is_empty() => {}
            }
        }
    }

    /// Takes a payment that has arrived for a verified result. What the market lists no more is closed and forgotten.
    async fn see_to(&self, attempt: AttemptId, key: &Key, listed: &Listed) -> Result<(), SaleError> {
        let hash = key.preimage.payment_hash();
        let state = self.node.invoice(hash).await?;
        if listed.payable.contains(&attempt) {
            return match state {
                Some(InvoiceState::Held { .. }) => self.take(attempt, key.preimage).await,
                Some(
                    InvoiceState::Open
                    | InvoiceState::Paid { .. }
                    | InvoiceState::Cancelled
                    | InvoiceState::Expired,
                )
                | None => Ok(()),
            };
        }
        if listed.attempts.contains(&attempt) {
            return Ok(());
        }
        self.close(hash).await?;
        with(&self.keys, |keys| keys.forget(attempt))
    }

    async fn take(&self, attempt: AttemptId, preimage: Preimage) -> Result<(), SaleError> {
        match self.node.settle(preimage).await {
            Ok(()) => {
                tracing::info!(%attempt, "a result is sold");
                Ok(())
            }
            Err(SettleError::Unavailable(error)) => Err(error.into()),
            // The payer took it back meanwhile, and may pay again.
            Err(SettleError::WentBack(_) | SettleError::NotPaidYet(_) | SettleError::WrongPreimage(_)) => {
                Ok(())
            }
        }
    }

    async fn close(&self, hash: PaymentHash) -> Result<(), SaleError> {
        match self.node.cancel(hash).await {
            Ok(()) | Err(CancelError::UnknownInvoice(_) | CancelError::AlreadySettled(_)) => Ok(()),
            Err(CancelError::Unavailable(error)) => Err(error.into()),
        }
    }
}
