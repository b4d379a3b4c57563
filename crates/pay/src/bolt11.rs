//! Reading and writing BOLT11 invoices (<https://github.com/lightning/bolts/blob/master/11-payment-encoding.md>).

use crate::node::Network;
use bitcoin_hashes::{Hash, sha256};
use lightning_invoice::{Bolt11Invoice, Currency, InvoiceBuilder, PaymentSecret};
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use secp256k1::{SECP256K1, SecretKey};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One block of the bitcoin chain takes about ten minutes.
const BLOCK_MS: u64 = 600_000;

/// The longest description that an invoice holds; of a longer one it holds the digest.
const DESCRIPTION_MAX_BYTES: usize = 639;

/// What an invoice says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bolt11 {
    /// What its payment is known by.
    pub payment_hash: PaymentHash,
    /// How much, unless the payer may choose.
    pub amount: Option<Msat>,
    /// What for; empty where the invoice has only a digest of it.
    pub description: String,
    /// The SHA-256 of a longer description, where the invoice has no other.
    pub description_hash: Option<[u8; 32]>,
    /// When it can no longer be paid.
    pub expires_at: TimeMs,
    /// The payee's public key, in hex.
    pub payee: String,
    /// Which money it is for.
    pub network: Network,
    /// How many blocks before its end its payment has to arrive at the payee, at least: as long can the payee hold it.
    pub final_blocks: u64,
}

impl Bolt11 {
    /// Whether it commits to this text by its digest, as LUD-06 demands of invoices that an address gives.
    pub fn describes(&self, text: &str) -> bool {
        self.description_hash == Some(sha256::Hash::hash(text.as_bytes()).to_byte_array())
    }
}

/// A text that is not an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("not a BOLT11 invoice ({0}): copy it again, in full")]
pub struct BadInvoice(String);

/// Reads an invoice and checks its checksum and signature, not its expiry.
pub fn decode(bolt11: &str) -> Result<Bolt11, BadInvoice> {
    let invoice: Bolt11Invoice = bolt11.parse().map_err(|error| BadInvoice(format!("{error:?}")))?;
    let amount = invoice.amount_milli_satoshis().map(Msat);
    if amount.is_some_and(|amount| amount > Msat::MAX) {
        return Err(BadInvoice("it asks for more than all bitcoin".to_owned()));
    }
    let expires_after = invoice.duration_since_epoch().saturating_add(invoice.expiry_time());
    Ok(Bolt11 {
        payment_hash: PaymentHash(invoice.payment_hash().to_byte_array()),
        amount,
        description: match invoice.description() {
            lightning_invoice::Bolt11InvoiceDescriptionRef::Direct(text) => text.to_string(),
            lightning_invoice::Bolt11InvoiceDescriptionRef::Hash(_) => String::new(),
        },
        description_hash: match invoice.description() {
            lightning_invoice::Bolt11InvoiceDescriptionRef::Direct(_) => None,
            lightning_invoice::Bolt11InvoiceDescriptionRef::Hash(hash) => Some(hash.0.to_byte_array()),
        },
        expires_at: TimeMs(u64::try_from(expires_after.as_millis()).unwrap_or(u64::MAX)),
        payee: invoice.get_payee_pub_key().to_string(),
        network: match invoice.currency() {
            Currency::Bitcoin => Network::Bitcoin,
            Currency::BitcoinTestnet => Network::Testnet,
            Currency::Regtest => Network::Regtest,
            Currency::Simnet => Network::Simnet,
            Currency::Signet => Network::Signet,
        },
        final_blocks: invoice.min_final_cltv_expiry_delta(),
    })
}

/// What [`encode`] writes.
pub(crate) struct Terms<'a> {
    pub(crate) payment_hash: PaymentHash,
    pub(crate) payment_secret: [u8; 32],
    pub(crate) amount: Msat,
    pub(crate) description: &'a str,
    pub(crate) now: TimeMs,
    pub(crate) expires_in_ms: u64,
    pub(crate) hold_ms: u64,
}

/// Writes an invoice on regtest, signed by `key`, and says when it expires.
pub(crate) fn encode(key: &SecretKey, terms: &Terms<'_>) -> Result<(String, TimeMs), BadInvoice> {
    let payment_hash =
        sha256::Hash::from_slice(&terms.payment_hash.0).map_err(|error| BadInvoice(error.to_string()))?;
    let (now_s, expiry_s) = (terms.now.0 / 1_000, terms.expires_in_ms.div_ceil(1_000));
    let invoice = InvoiceBuilder::new(Currency::Regtest);
    let invoice = if terms.description.len() <= DESCRIPTION_MAX_BYTES {
        invoice.description(terms.description.to_owned())
    } else {
        invoice.description_hash(sha256::Hash::hash(terms.description.as_bytes()))
    };
    let invoice = invoice
        .payment_hash(payment_hash)
        .payment_secret(PaymentSecret(terms.payment_secret))
        .duration_since_epoch(Duration::from_secs(now_s))
        .expiry_time(Duration::from_secs(expiry_s))
        .min_final_cltv_expiry_delta(terms.hold_ms.div_ceil(BLOCK_MS).max(18))
        .amount_milli_satoshis(terms.amount.0)
        .build_signed(|digest| SECP256K1.sign_ecdsa_recoverable(digest, key))
        .map_err(|error| BadInvoice(error.to_string()))?;
    Ok((invoice.to_string(), TimeMs((now_s + expiry_s) * 1_000)))
}

/// The same invoice, signed again by its payee's key, with another number of blocks before the end at which its payment
/// has to arrive.
#[cfg(any(test, feature = "ldk"))]
pub(crate) fn with_final_cltv(
    invoice: Bolt11Invoice,
    blocks: u64,
    key: &SecretKey,
) -> Result<String, BadInvoice> {
    use lightning_invoice::{MinFinalCltvExpiryDelta, RawTaggedField, TaggedField};
    let (mut raw, ..) = invoice.into_signed_raw().into_parts();
    let fields = &mut raw.data.tagged_fields;
    let is_cltv = |field: &RawTaggedField| {
        matches!(field, RawTaggedField::KnownSemantics(TaggedField::MinFinalCltvExpiryDelta(_)))
    };
    fields.retain(|field| !is_cltv(field));
    fields.push(TaggedField::MinFinalCltvExpiryDelta(MinFinalCltvExpiryDelta(blocks)).into());
    let signed = raw.sign(|digest| Ok::<_, BadInvoice>(SECP256K1.sign_ecdsa_recoverable(digest, key)))?;
    let invoice = Bolt11Invoice::from_signed(signed).map_err(|error| BadInvoice(format!("{error:?}")))?;
    Ok(invoice.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(amount: u64, now: TimeMs) -> (String, TimeMs) {
        let terms = Terms {
            payment_hash: PaymentHash([3; 32]),
            payment_secret: [4; 32],
            amount: Msat(amount),
            description: "two frames",
            now,
            expires_in_ms: 60_500,
            hold_ms: 0,
        };
        encode(&SecretKey::from_slice(&[7; 32]).unwrap(), &terms).unwrap()
    }

    #[test]
    fn an_invoice_reads_as_it_was_written() {
        let (text, expires_at) = encoded(1_234, TimeMs(1_750_000_000_999));
        assert!(text.starts_with("lnbcrt"), "{text}");
        let read = decode(&text).unwrap();
        assert_eq!(read.payment_hash, PaymentHash([3; 32]));
        assert_eq!((read.amount, read.description.as_str()), (Some(Msat(1_234)), "two frames"));
        assert_eq!((read.expires_at, expires_at), (TimeMs(1_750_000_061_000), TimeMs(1_750_000_061_000)));
        assert_eq!((read.network, read.final_blocks), (Network::Regtest, 18));
        let key = SecretKey::from_slice(&[7; 32]).unwrap().public_key(SECP256K1);
        assert_eq!(read.payee, key.to_string());
    }

    #[test]
    fn a_long_description_is_committed_to_by_its_digest() {
        let text = "a turntable ".repeat(60);
        let terms = Terms {
            payment_hash: PaymentHash([3; 32]),
            payment_secret: [4; 32],
            amount: Msat(1_000),
            description: &text,
            now: TimeMs(1_750_000_000_000),
            expires_in_ms: 60_000,
            hold_ms: 0,
        };
        let (invoice, _) = encode(&SecretKey::from_slice(&[7; 32]).unwrap(), &terms).unwrap();
        let read = decode(&invoice).unwrap();
        assert!(read.describes(&text) && read.description.is_empty());
        assert!(!read.describes(&text[1..]), "another text");
        let (short, _) = encoded(1_000, TimeMs(1_750_000_000_000));
        assert!(!decode(&short).unwrap().describes("two frames"), "LUD-06 asks for the digest");
    }

    #[test]
    fn signing_again_changes_nothing_but_the_blocks() {
        let (text, _) = encoded(1_234, TimeMs(1_750_000_000_000));
        let key = SecretKey::from_slice(&[7; 32]).unwrap();
        let before: Bolt11Invoice = text.parse().unwrap();
        let again = with_final_cltv(before.clone(), 700, &key).unwrap();
        let after: Bolt11Invoice = again.parse().unwrap();
        assert_eq!(after.payment_secret(), before.payment_secret());
        let was = decode(&text).unwrap();
        assert_eq!(was.final_blocks, 18);
        assert_eq!(decode(&again).unwrap(), Bolt11 { final_blocks: 700, ..was });
    }

    #[test]
    fn a_damaged_invoice_is_refused() {
        let (text, _) = encoded(1_234, TimeMs(1_750_000_000_000));
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] = if damaged[at] == b'q' { b'p' } else { b'q' };
            assert!(decode(&String::from_utf8(damaged).unwrap()).is_err(), "changed at {at}");
        }
        for text in ["", "lnbcrt", &text[..text.len() / 2], &format!("{text}q")] {
            assert!(decode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_published_example_is_read() {
        // The second example of the BOLT11 specification: 250 000 sat for a cup of coffee within 60 seconds.
        let text = "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwz\
                    qfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0l\
                    p53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh";
        let read = decode(text).unwrap();
        assert_eq!(read.amount, Some(Msat(250_000_000)));
        assert_eq!((read.description.as_str(), read.network), ("1 cup coffee", Network::Bitcoin));
        assert_eq!(read.expires_at, TimeMs((1_496_314_658 + 60) * 1_000));
        assert_eq!(
            read.payment_hash.to_string(),
            "0001020304050607080900010203040506070809000102030405060708090102"
        );
    }
}
