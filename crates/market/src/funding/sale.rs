//! Paying to decrypt: what a provider signs when it offers an encrypted result, what that costs, and which key opens it.
//!
//! The provider encrypts a result under a key that follows from a preimage, and makes an invoice on the preimage's hash.
//! Paying gives the preimage. Whether the key opens what replicas vouched for shows only then: [`EncryptedResult`] is signed so
//! that a key which opens something else is proof, for anybody who has the ciphertext.

use crate::{
    id::{AttemptId, Digest, PaymentHash},
    key::{BadSignature, PublicKey, SecretKey, Signature},
    preimage::Preimage,
    rules::Rules,
    units::{Msat, Overflow, PPM, Rate, Rounding},
};
use serde::{Deserialize, Serialize};

/// The domain of a provider's signature under an encrypted result.
const DOMAIN: &str = "gristmill 2026 encrypted result v1";
/// What keys of encrypted results are derived under.
const KEY_CONTEXT: &str = "gristmill 2026 encrypted result key v1";

/// What a provider asks of buyers who pay to decrypt; an offer without it sells no results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaleTerms {
    /// The smallest share of a result's price that the market keeps for it, in parts per million.
    pub deposit_min_ppm: u32,
}

/// What one result costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SalePrice {
    /// The price, the operator's fee included.
    pub price_msat: Msat,
    /// The operator's fee, rounded down; it comes out of the deposit.
    pub fee_msat: Msat,
    /// What the market keeps until the buyer shows the key, rounded up; never less than the fee.
    pub deposit_msat: Msat,
}

impl SalePrice {
    /// The price of a result by the task. Each result is sold by itself, so it is rounded by itself, up.
    pub fn new(rules: &Rules, rate: &Rate, deposit_ppm: u32) -> Result<SalePrice, Overflow> {
        let price_msat = rate.ceiling(1)?;
        let fee_msat = price_msat.scale(rules.fee_ppm.into(), PPM, Rounding::Down)?;
        let deposit_msat = price_msat.scale(deposit_ppm.into(), PPM, Rounding::Up)?.max(fee_msat);
        Ok(SalePrice { price_msat, fee_msat, deposit_msat })
    }

    /// What the provider's invoice asks for, and the most that a buyer can lose to a key that opens something else.
    pub fn invoice_msat(&self) -> Msat {
        self.price_msat.saturating_sub(self.fee_msat)
    }
}

/// What a provider signs about an encrypted result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncryptedResult {
    /// The hash that the invoice is on: its preimage opens the ciphertext.
    pub payment_hash: PaymentHash,
    /// The encrypted output bundle, as a blob.
    pub ciphertext: Digest,
    /// Goes into the key with the preimage, so that nodes which route the payment and learn the preimage have no key.
    pub salt: Digest,
    /// The machine's key.
    pub signer: PublicKey,
    /// Its signature under [`DOMAIN`] over venue, attempt, output digest, ciphertext, payment hash and salt.
    pub signature: Signature,
}

impl EncryptedResult {
    /// Signs that the preimage of `payment_hash` opens `ciphertext`, and that what is in it has the digest `output`.
    pub fn sign(
        secret: &SecretKey,
        venue: &PublicKey,
        attempt: AttemptId,
        output: Digest,
        (payment_hash, ciphertext, salt): (PaymentHash, Digest, Digest),
    ) -> EncryptedResult {
        let mut encrypted = EncryptedResult {
            payment_hash,
            ciphertext,
            salt,
            signer: secret.public(),
            signature: Signature([0; 64]),
        };
        encrypted.signature = secret.sign(DOMAIN, &encrypted.message(venue, attempt, output));
        encrypted
    }

    /// Whether the signer signed this for this attempt and output.
    pub fn verify(&self, venue: &PublicKey, attempt: AttemptId, output: Digest) -> Result<(), BadSignature> {
        self.signer.verify(DOMAIN, &self.message(venue, attempt, output), &self.signature)
    }

    /// Everything in it has a fixed length.
    fn message(&self, venue: &PublicKey, attempt: AttemptId, output: Digest) -> Vec<u8> {
        let attempt = attempt.0.to_le_bytes();
        let parts: [&[u8]; 6] =
            [&venue.0, &attempt, &output.0, &self.ciphertext.0, &self.payment_hash.0, &self.salt.0];
        parts.concat()
    }
}

/// An encrypted result with the invoice for its key, as it is offered when the result is revealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaleOffer {
    /// What the provider signs.
    pub encrypted: EncryptedResult,
    /// The invoice, opaque to the market; the buyer checks hash, amount and expiry before it pays.
    pub invoice: String,
}

/// The key of an encrypted result: BLAKE3 in its mode for deriving keys, over preimage and salt
/// (<https://github.com/BLAKE3-team/BLAKE3-specs>, section 2.3). A payment hash has one preimage, so a ciphertext and
/// a signature under its hash have one key.
pub fn result_key(preimage: &Preimage, salt: &Digest) -> [u8; 32] {
    blake3::derive_key(KEY_CONTEXT, &[preimage.0, salt.0].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_signature_is_for_one_attempt_output_and_ciphertext_alone() {
        let secret = SecretKey::from_bytes([1; 32]);
        let venue = SecretKey::from_bytes([2; 32]).public();
        let parts = (Preimage([3; 32]).payment_hash(), Digest([4; 32]), Digest([5; 32]));
        let (attempt, output) = (AttemptId(6), Digest([7; 32]));
        let encrypted = EncryptedResult::sign(&secret, &venue, attempt, output, parts);
        assert_eq!(encrypted.verify(&venue, attempt, output), Ok(()));
        assert_eq!(encrypted.verify(&venue, AttemptId(7), output), Err(BadSignature));
        assert_eq!(encrypted.verify(&venue, attempt, Digest([8; 32])), Err(BadSignature));
        assert_eq!(encrypted.verify(&encrypted.signer, attempt, output), Err(BadSignature));
        let other = EncryptedResult { ciphertext: Digest([9; 32]), ..encrypted };
        assert_eq!(other.verify(&venue, attempt, output), Err(BadSignature));
    }

    #[test]
    fn preimage_and_salt_both_make_the_key() {
        let key = result_key(&Preimage([1; 32]), &Digest([2; 32]));
        assert_ne!(key, result_key(&Preimage([1; 32]), &Digest([3; 32])));
        assert_ne!(key, result_key(&Preimage([3; 32]), &Digest([2; 32])));
        assert_ne!(key, result_key(&Preimage([2; 32]), &Digest([1; 32])));
    }

    proptest! {
        #[test]
        fn the_deposit_covers_the_fee_and_is_never_more_than_the_price(
            msat in 1u64..1_000_000_000_000, per in 1u64..1_000, deposit_ppm in 0u32..=1_000_000,
        ) {
            let rate = Rate { per, ..Rate::per_task(Msat(msat)) };
            let price = SalePrice::new(&Rules::RECOMMENDED, &rate, deposit_ppm).unwrap();
            prop_assert!(price.fee_msat <= price.deposit_msat && price.deposit_msat <= price.price_msat);
            prop_assert_eq!(price.invoice_msat().0 + price.fee_msat.0, price.price_msat.0);
        }
    }
}
