//! Payments between a buyer and a provider that wait for the verdict on a lease.

use crate::{
    id::PaymentHash,
    preimage::Preimage,
    units::{Msat, TimeMs},
};
use serde::{Deserialize, Serialize};

/// The hold that funds a lease.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hold {
    /// One slice.
    pub slice_msat: Msat,
    /// How many there are.
    pub slices: u8,
    /// The payment hash of each slice; none before the venue has dealt them.
    pub hashes: Vec<PaymentHash>,
    /// How long the provider's invoices have to hold their payments at least.
    pub until: TimeMs,
    /// What the provider has said that it holds; nothing before that. It stays on the books when the hold is over.
    pub funded_msat: Msat,
    /// How far it is.
    pub phase: HoldPhase,
}

/// How far a hold is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HoldPhase {
    /// The venue is asked for payment hashes.
    Asked,
    /// The provider is to make an invoice on each hash.
    Dealt,
    /// The buyer is to pay the invoices.
    Invoiced {
        /// One for each slice, opaque to the market.
        invoices: Vec<String>,
    },
    /// The provider holds all payments, by its own word: it works for nothing if that is not so.
    Funded,
    /// The lease is settled: so many slices were earned, and the venue is asked for their preimages.
    Decided {
        /// How many.
        released: u8,
    },
    /// The provider is to claim the slices whose preimages it has, and to cancel the others.
    Released {
        /// The preimages of the first slices.
        preimages: Vec<Preimage>,
        /// Until then.
        claim_by: TimeMs,
    },
    /// The provider says that nothing is held any more, or has said nothing in time.
    Over {
        /// How many slices were released.
        released: u8,
        /// Whether it said so in time.
        in_time: bool,
    },
}

impl Hold {
    /// All slices together.
    pub fn total_msat(&self) -> Msat {
        Msat(self.slice_msat.0.saturating_mul(u64::from(self.slices)))
    }

    /// How many slices were earned; none before that is decided.
    pub fn released(&self) -> u8 {
        match &self.phase {
            HoldPhase::Asked | HoldPhase::Dealt | HoldPhase::Invoiced { .. } | HoldPhase::Funded => 0,
            HoldPhase::Decided { released } | HoldPhase::Over { released, .. } => *released,
            HoldPhase::Released { preimages, .. } => preimages.len() as u8,
        }
    }

    /// What was earned of it, the fee aside.
    pub fn released_msat(&self) -> Msat {
        Msat(self.slice_msat.0.saturating_mul(u64::from(self.released())))
    }

    /// What goes back to the buyer of what was held, once that is decided.
    pub fn returned_msat(&self) -> Msat {
        match &self.phase {
            HoldPhase::Asked | HoldPhase::Dealt | HoldPhase::Invoiced { .. } | HoldPhase::Funded => {
                Msat::ZERO
            }
            HoldPhase::Decided { .. } | HoldPhase::Released { .. } | HoldPhase::Over { .. } => {
                self.funded_msat.saturating_sub(self.released_msat())
            }
        }
    }
}
