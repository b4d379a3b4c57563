//! What a buyer looks at before it pays for the key of a result. The market says what replicas vouched for, the provider signs
//! what it sells, and neither is believed beyond that.

use crate::api::SaleView;
use market::{
    funding::{BLOCK_MS, Funding, SalePrice},
    id::PaymentHash,
    key::PublicKey,
    order::OrderTerms,
    rules::Rules,
    units::{Msat, TimeMs},
};
use pay::{
    Network,
    bolt11::{self, BadInvoice},
};
use std::collections::BTreeSet;

/// How many blocks a provider's node may want to hold the payment at most. It takes it at once; a day is what nodes want as a
/// margin, and as long as a payment can be stuck.
pub const HOLD_BLOCKS_MAX: u64 = 144;
/// With less time than this left to show the key, nothing is paid any more, in milliseconds: a payment that arrives too late
/// buys the result and loses the deposit.
pub const PAY_TIME_MIN_MS: u64 = 60_000;

/// What the buyer knows by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The order's terms, as the buyer signed them.
    pub terms: OrderTerms,
    /// The venue's key.
    pub venue: PublicKey,
    /// The network of the node that pays.
    pub network: Network,
    /// The time by the venue's clock.
    pub now: TimeMs,
    /// How much more may be paid for keys of this job.
    pub left_msat: Msat,
    /// Payment hashes of other results.
    pub taken: BTreeSet<PaymentHash>,
}

/// Why a result is not paid for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSale {
    /// The order says something else.
    #[error("the job is not paid to decrypt")]
    NotOrdered,
    /// Nobody vouches for it.
    #[error("nobody but its provider says what the result is: the job ended before replicas could agree")]
    Unverified,
    /// Above the ceiling.
    #[error("the market asks for {asked}, a result of this order costs {most} at most")]
    TooDear {
        /// What it asks for.
        asked: Msat,
        /// What the ceiling comes to.
        most: Msat,
    },
    /// The total is too much.
    #[error(
        "the key costs {asked}, but only {left} more may be paid for this job: raise --max-price to go on"
    )]
    TooMuch {
        /// What it asks for.
        asked: Msat,
        /// What is left of what was allowed.
        left: Msat,
    },
    /// A wrong key would prove nothing.
    #[error("the provider has not signed what it sells: a wrong key would be no proof against its bond")]
    Unsigned,
    /// Time is up.
    #[error("there is too little time left to pay and to show the key")]
    TooLate,
    /// Not an invoice.
    #[error(transparent)]
    Unreadable(#[from] BadInvoice),
    /// Its preimage makes no key.
    #[error("the invoice is on payment hash {found}, the provider signed {signed}: paying it gives no key")]
    Hash {
        /// The invoice's.
        found: PaymentHash,
        /// The signed one.
        signed: PaymentHash,
    },
    /// Paid before.
    #[error("payment hash {0} is that of another result: its key is known to who sold that")]
    HashTwice(PaymentHash),
    /// Another amount.
    #[error("the invoice asks for {}, the key costs {asked}", found.map_or_else(|| "any amount".to_owned(), |amount| amount.to_string()))]
    Amount {
        /// The invoice's.
        found: Option<Msat>,
        /// The price.
        asked: Msat,
    },
    /// Other money.
    #[error("the invoice is for {found}, your node is on {node}")]
    Network {
        /// The invoice's.
        found: Network,
        /// The node's.
        node: Network,
    },
    /// Too late.
    #[error("the invoice has expired")]
    Expired,
    /// The money could be locked for long.
    #[error("the invoice may hold the payment for {blocks} blocks, at most {HOLD_BLOCKS_MAX} are accepted")]
    TooLong {
        /// The invoice's.
        blocks: u64,
    },
}

/// Checks what is asked for the key of a result.
pub fn check(sale: &SaleView, expected: &Expected) -> Result<(), BadSale> {
    let Some(Funding::Decrypt { deposit_ppm }) = expected.terms.funding else {
        return Err(BadSale::NotOrdered);
    };
    if !sale.is_verified {
        return Err(BadSale::Unverified);
    }
    let asked = sale.invoice_msat;
    let most = SalePrice::new(&Rules::RECOMMENDED, &expected.terms.ceiling, deposit_ppm);
    let most = most.map_or(Msat::ZERO, |price| price.price_msat);
    if asked > most {
        return Err(BadSale::TooDear { asked, most });
    }
    if asked > expected.left_msat {
        return Err(BadSale::TooMuch { asked, left: expected.left_msat });
    }
    if sale.encrypted.verify(&expected.venue, sale.attempt, sale.result.output).is_err() {
        return Err(BadSale::Unsigned);
    }
    if sale.until_ms.is_none_or(|until| until < expected.now.plus(PAY_TIME_MIN_MS)) {
        return Err(BadSale::TooLate);
    }
    check_invoice(sale, expected)
}

fn check_invoice(sale: &SaleView, expected: &Expected) -> Result<(), BadSale> {
    let invoice = bolt11::decode(&sale.invoice)?;
    let signed = sale.encrypted.payment_hash;
    if invoice.payment_hash != signed {
        return Err(BadSale::Hash { found: invoice.payment_hash, signed });
    }
    if expected.taken.contains(&signed) {
        return Err(BadSale::HashTwice(signed));
    }
    if invoice.amount != Some(sale.invoice_msat) {
        return Err(BadSale::Amount { found: invoice.amount, asked: sale.invoice_msat });
    }
    if invoice.network != expected.network {
        return Err(BadSale::Network { found: invoice.network, node: expected.network });
    }
    if invoice.expires_at <= expected.now {
        return Err(BadSale::Expired);
    }
    if invoice.final_blocks > HOLD_BLOCKS_MAX {
        return Err(BadSale::TooLong { blocks: invoice.final_blocks });
    }
    Ok(())
}

const _: () = assert!(HOLD_BLOCKS_MAX * BLOCK_MS == 86_400_000);
