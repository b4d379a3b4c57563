//! Paying for the keys of results: download, check, write down, pay, open, say what was found. See [`market::funding`].
//!
//! The ciphertext is here before anything is paid. What the node says about the payment is enough to go on from wherever an
//! earlier process stopped: the preimage comes from there, and later from the market, which shows the buyer its own.

use super::{
    agent::Tried,
    payer::{Notes, Payer, Slice, Stop, pay_once, trouble_with},
    purchase::BuyError,
    sale_check::{self, BadSale, Expected},
};
use crate::{
    api::SaleView,
    client::{ClientError, Market},
    encrypted_result::{self, DecryptError},
};
use market::{
    command::Command,
    funding::{self, result_key},
    id::{Digest, PaymentHash},
    key::SecretKey,
    preimage::Preimage,
    units::Msat,
};
use pay::{LightningNode, PaymentState};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

impl Payer {
    /// Pays for the key of a result, opens it, and tells the market what came of it.
    pub(super) async fn buy(&self, notes: &mut Notes, sale: &SaleView) -> Result<Tried, Stop> {
        let Some(node) = &self.node else {
            let why = "a result is opened with what the payer gets for its payment: name your node with --lightning";
            return Ok(Tried::Refused { why: why.into() });
        };
        let slice = Slice {
            payment_hash: sale.encrypted.payment_hash,
            amount_msat: sale.invoice_msat,
            bolt11: sale.invoice.clone(),
        };
        match notes.sales.get(&sale.attempt) {
            Some(known) if *known != slice => {
                let why = "the market shows another invoice than the one that is being paid".to_owned();
                return Ok(Tried::Refused { why });
            }
            Some(_) => {}
            None => {
                match sale_check::check(sale, &self.expected_sale(notes, node.as_ref()).await?) {
                    Ok(()) => {}
                    Err(error @ BadSale::TooMuch { .. }) => {
                        return Ok(Tried::NotYet { why: error.to_string() });
                    }
                    Err(error) => return Ok(Tried::Refused { why: error.to_string() }),
                }
                self.ciphertexts.ciphertext(&self.market, &self.secret, sale).await?;
                let (has, needed) = (node.balance().await?.spendable, cost(&slice));
                if has < needed {
                    let why = format!("your node can spend {has}, and the key costs up to {needed}");
                    return Ok(Tried::NotYet { why });
                }
                notes.sales.insert(sale.attempt, slice.clone());
                self.keep(notes)?;
            }
        }
        let state = pay_once(node.as_ref(), &slice).await?;
        match (&state, trouble_with(&state)) {
            (Ok(PaymentState::Succeeded { preimage, .. }), _) => self.open_bought(sale, preimage).await,
            (_, Some(why)) => Ok(Tried::NotYet { why }),
            (_, None) => Ok(Tried::OnItsWay { amount_msat: sale.invoice_msat }),
        }
    }

    /// What the buyer knows without the market's word.
    async fn expected_sale(&self, notes: &Notes, node: &dyn LightningNode) -> Result<Expected, Stop> {
        let network = node.info().await?.network;
        let mut taken: BTreeSet<PaymentHash> = notes.sales.values().map(|known| known.payment_hash).collect();
        let mut paid = 0u64;
        for known in notes.sales.values() {
            let state = node.payment(known.payment_hash).await?;
            // Only what is known to have come back is free again.
            if !matches!(state, Some(PaymentState::Failed { .. })) {
                paid = paid.saturating_add(known.amount_msat.0);
            }
        }
        taken.extend(notes.holds.values().flatten().map(|slice| slice.payment_hash));
        let left_msat = self.allowance.holds_msat.saturating_sub(Msat(paid));
        let Some(terms) = self.allowance.terms.clone() else { return Err(BuyError::Strange.into()) };
        Ok(Expected { terms, venue: self.market.venue(), network, now: self.market.now(), left_msat, taken })
    }

    /// The key is paid for. Either it opens what replicas vouched for, or everybody can see that it does not.
    async fn open_bought(&self, sale: &SaleView, preimage: &Preimage) -> Result<Tried, Stop> {
        let (lease, attempt, preimage) = (sale.lease, sale.attempt, *preimage);
        if preimage.payment_hash() != sale.encrypted.payment_hash {
            return Ok(Tried::NotYet { why: "your node names a preimage that is not the payment's".into() });
        }
        let ciphertext = self.ciphertexts.ciphertext(&self.market, &self.secret, sale).await?;
        let (command, tried) = match self.ciphertexts.open(sale, preimage).await? {
            Some(_) => (
                Command::ShowKey { lease, attempt, preimage },
                Tried::Bought { amount_msat: sale.invoice_msat },
            ),
            None => {
                // The market may have lost what it is to look at.
                self.market.put_blob_file(&self.secret, &ciphertext).await?;
                let ciphertext = sale.encrypted.ciphertext;
                (
                    Command::DisputeKey { lease, attempt, ciphertext, preimage },
                    Tried::Disputed { amount_msat: sale.invoice_msat },
                )
            }
        };
        match self.market.submit(&self.secret, command).await {
            Ok(_) => Ok(tried),
            Err(ClientError::Refused { error, .. }) => Ok(Tried::NotYet { why: error.message }),
            Err(error) => Err(error.into()),
        }
    }
}

fn cost(slice: &Slice) -> Msat {
    Msat(slice.amount_msat.0.saturating_add(funding::fee_max(slice.amount_msat).0))
}

/// Where a buyer keeps ciphertexts, and what it has opened of them.
#[derive(Debug, Clone)]
pub(super) struct CiphertextFolder(pub(super) PathBuf);

impl CiphertextFolder {
    /// The file of a ciphertext, downloaded and checked unless it is there.
    pub(super) async fn ciphertext(
        &self,
        market: &Market,
        secret: &SecretKey,
        sale: &SaleView,
    ) -> Result<PathBuf, BuyError> {
        let file = self.0.join(format!("{}.encrypted", sale.encrypted.ciphertext));
        if !tokio::fs::try_exists(&file).await.map_err(|source| self.failed(source))? {
            tokio::fs::create_dir_all(&self.0).await.map_err(|source| self.failed(source))?;
            market.get_blob_file(secret, sale.encrypted.ciphertext, &file).await?;
        }
        Ok(file)
    }

    /// Opens a ciphertext that is here; `None` when the key opens nothing, or something else than was vouched for.
    pub(super) async fn open(
        &self,
        sale: &SaleView,
        preimage: Preimage,
    ) -> Result<Option<PathBuf>, BuyError> {
        let (output, encrypted) = (sale.result.output, sale.encrypted);
        let from = self.0.join(format!("{}.encrypted", encrypted.ciphertext));
        let to = self.0.join(format!("{output}.bundle"));
        let open = {
            let to = to.clone();
            move || open_file(&from, &to, &result_key(&preimage, &encrypted.salt), output)
        };
        let opened =
            tokio::task::spawn_blocking(open).await.map_err(io::Error::other).and_then(|opened| opened);
        Ok(opened.map_err(|source| self.failed(source))?.then_some(to))
    }

    /// Puts a result whose key was bought, and which the market therefore knows, into a file.
    pub(super) async fn unpack(
        &self,
        market: &Market,
        secret: &SecretKey,
        sale: &SaleView,
        file: &Path,
    ) -> Result<(), BuyError> {
        let output = sale.result.output;
        self.ciphertext(market, secret, sale).await?;
        let opened = match sale.preimage {
            Some(preimage) => self.open(sale, preimage).await?,
            None => None,
        };
        let opened = opened.ok_or(ClientError::BlobMismatch(output))?;
        let failed = |source| ClientError::File { file: file.to_owned(), source };
        Ok(tokio::fs::copy(&opened, file).await.map(|_| ()).map_err(failed)?)
    }

    fn failed(&self, source: io::Error) -> BuyError {
        BuyError::Results { folder: self.0.clone(), source }
    }
}

/// Whether the key opens what it should; only then the file is there.
fn open_file(from: &Path, to: &Path, key: &[u8; 32], output: Digest) -> io::Result<bool> {
    let part = to.with_extension("part");
    let (encrypted, mut plain) = (BufReader::new(File::open(from)?), Hashed::new(File::create(&part)?));
    let is_open = match encrypted_result::decrypt(key, encrypted, &mut plain) {
        Ok(()) => plain.finish()? == output,
        Err(DecryptError::Closed) => false,
        Err(DecryptError::Io(error)) => return Err(error),
    };
    if is_open {
        std::fs::rename(&part, to)?
    } else {
        std::fs::remove_file(&part)?
    }
    Ok(is_open)
}

/// A file, and the digest of what was written to it.
struct Hashed {
    file: BufWriter<File>,
    hasher: blake3::Hasher,
}

impl Hashed {
    fn new(file: File) -> Hashed {
        Hashed { file: BufWriter::new(file), hasher: blake3::Hasher::new() }
    }

    fn finish(self) -> io::Result<Digest> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(Digest(*self.hasher.finalize().as_bytes()))
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
