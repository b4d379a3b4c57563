//! What a buyer looks at before it pays the invoices of a hold.
//!
//! The market dealt the payment hashes, the provider made the invoices, and neither is believed: an invoice on another hash
//! could be taken without any verdict, and one that holds a payment for longer than the work needs locks the buyer's money.

use crate::api::HoldView;
use market::{
    funding::{BLOCK_MS, Funding, HOLD_BLOCKS_MAX},
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use pay::{
    Network,
    bolt11::{self, BadInvoice},
};
use std::collections::BTreeSet;

/// How many blocks longer than the market asks a provider's node may want to hold a payment: nodes add a margin of their
/// own, in which they can still go to the chain. Half a day.
pub const MARGIN_BLOCKS: u64 = 72;

/// What the buyer knows by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// How the order is funded.
    pub funding: Option<Funding>,
    /// The network of the node that pays; not looked at when there is none.
    pub network: Option<Network>,
    /// The time by the venue's clock.
    pub now: TimeMs,
    /// How much more may be put into holds of this job.
    pub left_msat: Msat,
    /// Payment hashes that other leases have.
    pub taken: BTreeSet<PaymentHash>,
}

/// Why none of the invoices is paid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHold {
    /// The order says something else.
    #[error("the market asks for {found} slices of {slice_msat}, which is not what was ordered")]
    NotOrdered {
        /// How many.
        found: usize,
        /// Of what.
        slice_msat: Msat,
    },
    /// One invoice for each hash.
    #[error("there are {invoices} invoices for {hashes} payment hashes")]
    Count {
        /// What there is.
        invoices: usize,
        /// What there should be.
        hashes: usize,
    },
    /// The total is too much.
    #[error(
        "the slices come to {total_msat}, but only {left_msat} more may be held for this job: raise --max-price to go on"
    )]
    TooMuch {
        /// All slices.
        total_msat: Msat,
        /// What is left of what was allowed.
        left_msat: Msat,
    },
    /// One of them is wrong.
    #[error("invoice {} of the hold: {flaw}", nth + 1)]
    Invoice {
        /// Which, from 0.
        nth: usize,
        /// What is wrong with it.
        flaw: Flaw,
    },
}

/// What is wrong with an invoice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Not an invoice.
    #[error(transparent)]
    Unreadable(#[from] BadInvoice),
    /// Its preimage is not the market's to give.
    #[error(
        "it is on payment hash {found}, the market dealt {dealt}: its payee could take the money without a verdict"
    )]
    Hash {
        /// The invoice's.
        found: PaymentHash,
        /// The market's.
        dealt: PaymentHash,
    },
    /// One preimage opens both.
    #[error("its payment hash {0} is that of another slice: one verdict would pay both")]
    HashTwice(PaymentHash),
    /// Another amount.
    #[error("it asks for {}, a slice is {slice_msat}", found.map_or_else(|| "any amount".to_owned(), |amount| amount.to_string()))]
    Amount {
        /// The invoice's.
        found: Option<Msat>,
        /// The order's.
        slice_msat: Msat,
    },
    /// Other money.
    #[error("it is for {found}, your node is on {node}")]
    Network {
        /// The invoice's.
        found: Network,
        /// The node's.
        node: Network,
    },
    /// Too late.
    #[error("it has expired")]
    Expired,
    /// The money would be locked for longer than the work needs.
    #[error("it may hold the payment for {blocks} blocks, the lease needs at most {most}")]
    TooLong {
        /// The invoice's.
        blocks: u64,
        /// The most that is accepted.
        most: u64,
    },
}

/// Checks all invoices of a hold. All are right, or none is to be paid.
pub fn check(hold: &HoldView, expected: &Expected) -> Result<(), BadHold> {
    let found = hold.payment_hashes.len();
    let is_ordered = expected.funding
        == u8::try_from(found).ok().map(|slices| Funding::Hold { slice_msat: hold.slice_msat, slices });
    if !is_ordered {
        return Err(BadHold::NotOrdered { found, slice_msat: hold.slice_msat });
    }
    if hold.invoices.len() != found {
        return Err(BadHold::Count { invoices: hold.invoices.len(), hashes: found });
    }
    let total_msat = Msat(hold.slice_msat.0.saturating_mul(found as u64));
    if total_msat > expected.left_msat {
        return Err(BadHold::TooMuch { total_msat, left_msat: expected.left_msat });
    }
    let mut taken = expected.taken.clone();
    for (nth, (bolt11, dealt)) in hold.invoices.iter().zip(&hold.payment_hashes).enumerate() {
        let wrong = |flaw| BadHold::Invoice { nth, flaw };
        check_invoice(bolt11, dealt, hold, expected).map_err(wrong)?;
        if !taken.insert(*dealt) {
            return Err(wrong(Flaw::HashTwice(*dealt)));
        }
    }
    Ok(())
}

fn check_invoice(
    bolt11: &str,
    dealt: &PaymentHash,
    hold: &HoldView,
    expected: &Expected,
) -> Result<(), Flaw> {
    let invoice = bolt11::decode(bolt11)?;
    if invoice.payment_hash != *dealt {
        return Err(Flaw::Hash { found: invoice.payment_hash, dealt: *dealt });
    }
    if invoice.amount != Some(hold.slice_msat) {
        return Err(Flaw::Amount { found: invoice.amount, slice_msat: hold.slice_msat });
    }
    if let Some(node) = expected.network.filter(|node| *node != invoice.network) {
        return Err(Flaw::Network { found: invoice.network, node });
    }
    if invoice.expires_at <= expected.now {
        return Err(Flaw::Expired);
    }
    let needed = hold.until_ms.since(expected.now).div_ceil(BLOCK_MS);
    let most = needed.saturating_add(MARGIN_BLOCKS).min(HOLD_BLOCKS_MAX);
    if invoice.final_blocks > most {
        return Err(Flaw::TooLong { blocks: invoice.final_blocks, most });
    }
    Ok(())
}
