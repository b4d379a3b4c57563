//! Encrypted results, from the moment that somebody works on one to the end of its sale.

use crate::{
    funding::{SaleOffer, SalePrice},
    id::{Digest, TransferId},
    preimage::Preimage,
    units::{Msat, TimeMs},
    verify::TaskResult,
};
use serde::{Deserialize, Serialize};

/// A result that is sold by itself: the buyer pays its provider for the key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sale {
    /// The task's number.
    pub task: u32,
    /// What it costs.
    pub price: SalePrice,
    /// How far it is.
    pub phase: SalePhase,
}

/// What a provider has encrypted and signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The encrypted output, and the invoice for its key.
    pub offer: SaleOffer,
    /// The result: the digest of the output is what the key has to open.
    pub result: TaskResult,
}

/// How far the sale of a result is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SalePhase {
    /// The provider works on it, or its result is not revealed yet.
    Working,
    /// It is revealed, and replicas have not vouched for it yet.
    Revealed(Offered),
    /// The buyer is to pay, and to show what it got for it.
    Payable {
        /// What it pays for.
        offered: Offered,
        /// Whether replicas agree; a job that ended early has nobody else to ask.
        is_verified: bool,
        /// The deposit, set aside.
        deposit: Option<TransferId>,
        /// Until then.
        until: TimeMs,
    },
    /// The buyer has shown a key and says that it opens something else: the venue is asked.
    Disputed {
        /// What it should open.
        offered: Offered,
        /// The deposit, set aside.
        deposit: Option<TransferId>,
        /// What the key is made of.
        preimage: Preimage,
    },
    /// It is over.
    Over {
        /// What was sold.
        offered: Offered,
        /// How it ended.
        outcome: SaleOutcome,
    },
}

/// How the sale of a result ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaleOutcome {
    /// The buyer has shown the preimage, which it has because it has paid.
    Sold {
        /// It opens the result.
        preimage: Preimage,
    },
    /// The buyer has shown nothing in time, and the provider has the deposit.
    Unsold,
    /// The key opens something else, and the buyer has the price out of the provider's bond, as far as that went.
    Forged {
        /// What the key is made of.
        preimage: Preimage,
        /// The digest of what it opens; `None` when it opens nothing.
        opened: Option<Digest>,
    },
}

impl Sale {
    /// What the provider has encrypted; nothing while it works.
    pub fn offered(&self) -> Option<&Offered> {
        match &self.phase {
            SalePhase::Working => None,
            SalePhase::Revealed(offered)
            | SalePhase::Payable { offered, .. }
            | SalePhase::Disputed { offered, .. }
            | SalePhase::Over { offered, .. } => Some(offered),
        }
    }

    /// Whether the buyer may have paid, and it is not known yet what for.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, SalePhase::Payable { .. } | SalePhase::Disputed { .. })
    }

    /// How it ended, if it has.
    pub fn outcome(&self) -> Option<SaleOutcome> {
        match self.phase {
            SalePhase::Over { outcome, .. } => Some(outcome),
            SalePhase::Working
            | SalePhase::Revealed(_)
            | SalePhase::Payable { .. }
            | SalePhase::Disputed { .. } => None,
        }
    }
}

/// What the results that a lease has sold come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sold {
    /// Their prices.
    pub price_msat: Msat,
    /// The operator's fees on them.
    pub fee_msat: Msat,
}

impl Sold {
    /// What the buyer paid to the provider directly.
    pub fn direct_msat(&self) -> Msat {
        self.price_msat.saturating_sub(self.fee_msat)
    }

    /// Of those of these sales that were sold.
    pub fn of<'a>(sales: impl Iterator<Item = &'a Sale>) -> Sold {
        let sold = sales.filter(|sale| matches!(sale.outcome(), Some(SaleOutcome::Sold { .. })));
        Sold::sum(sold.map(|sale| &sale.price))
    }

    /// These prices together.
    pub fn sum<'a>(prices: impl Iterator<Item = &'a SalePrice>) -> Sold {
        prices.fold(Sold::default(), |sum, price| Sold {
            price_msat: Msat(sum.price_msat.0.saturating_add(price.price_msat.0)),
            fee_msat: Msat(sum.fee_msat.0.saturating_add(price.fee_msat.0)),
        })
    }
}
