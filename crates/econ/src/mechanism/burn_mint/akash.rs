//! Akash's burn-mint equilibrium: buyers burn AKT for ACT, a dollar credit; providers are paid in freshly minted AKT.
//!
//! | rule | formula |
//! |---|---|
//! | top-up | `ACT = AKT · P`, cut off to millionths; the AKT stays in the vault as remint credit |
//! | settlement | `AKT = ACT / P`, cut off; paid from remint credit first, the rest is new AKT |
//! | spread | a part of what was minted stays in the vault: 25 basis points of a top-up, none of a settlement |
//! | collateral ratio | `CR = vault AKT · P / outstanding ACT` |
//! | breaker | CR ≤ 0.95 slows top-ups, CR ≤ 0.90 stops them; settlements go on |
//! | back-off | epoch = 10 blocks · 1.1^steps, one step for each 0.001 of CR under 0.95, at most 14400 blocks |
//!
//! Rates have 18 digits ([`super::decimal18`]). [`Vault`](super::vault::Vault) is the ledger on these rules.
//! Sources: AEP-76; akash-network/node `x/bme/keeper` at 3efe26bf.

use super::decimal18::Decimal18;

/// One basis point is a ten-thousandth.
const BASIS_POINTS: u128 = 10_000;

/// The parameters that governance sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// At or under this collateral ratio top-ups slow down, in basis points.
    pub warn_bps: u32,
    /// At or under this one they stop, in basis points.
    pub halt_bps: u32,
    /// What stays in the vault of a top-up, in basis points.
    pub mint_spread_bps: u32,
    /// What stays in the vault of a settlement, in basis points.
    pub settle_spread_bps: u32,
    /// The shortest epoch, in blocks.
    pub min_epoch_blocks: u64,
    /// By how many percent the epoch grows with each step under the warning ratio.
    pub backoff_percent: u32,
    /// The smallest top-up, in millionths of ACT that it mints.
    pub min_mint_uact: u128,
    /// The smallest settlement, in millionths of AKT that it mints. Zero: any.
    pub min_mint_uakt: u128,
    /// How often a conversion that fails for want of funds or a price is tried.
    pub max_attempts: u32,
}

/// The longest epoch, in blocks: a day of six-second blocks.
pub const MAX_EPOCH_BLOCKS: u64 = 14_400;

impl Default for Parameters {
    fn default() -> Self {
        Self {
            warn_bps: 9_500,
            halt_bps: 9_000,
            mint_spread_bps: 25,
            settle_spread_bps: 0,
            min_epoch_blocks: 10,
            backoff_percent: 10,
            min_mint_uact: 10_000_000,
            min_mint_uakt: 0,
            max_attempts: 3,
        }
    }
}

impl Parameters {
    /// How many blocks until the next epoch of top-ups at a collateral ratio.
    pub fn epoch_blocks(&self, ratio_bps: u64) -> u64 {
        let steps = u64::from(self.warn_bps).saturating_sub(ratio_bps) / 10;
        if steps == 0 || self.backoff_percent == 0 {
            return self.min_epoch_blocks;
        }
        let percent = Decimal18::whole(100 + u128::from(self.backoff_percent));
        let longest = Decimal18::whole(u128::from(MAX_EPOCH_BLOCKS));
        // What grows past the range of the arithmetic has long passed the longest epoch.
        let grown = percent
            .over(Decimal18::whole(100))
            .and_then(|base| base.power(steps))
            .and_then(|growth| Decimal18::whole(u128::from(self.min_epoch_blocks)).times(growth))
            .map_or(longest, |grown| grown.min(longest));
        u64::try_from(grown.cut_off()).unwrap_or(MAX_EPOCH_BLOCKS).max(self.min_epoch_blocks)
    }

    /// Whether top-ups flow at a collateral ratio.
    pub fn status(&self, ratio_bps: u64) -> Status {
        if ratio_bps > u64::from(self.warn_bps) {
            Status::Healthy
        } else if ratio_bps > u64::from(self.halt_bps) {
            Status::Warning
        } else {
            Status::HaltedByCollateral
        }
    }

    /// What `amount` millionths of one token turn into, at `akt_usd` dollars per AKT and one dollar per ACT.
    ///
    /// # Errors
    /// [`ConversionError`]: no price, too little to mint a millionth, or less than the minimum.
    pub fn convert(
        &self,
        direction: Direction,
        amount: u128,
        akt_usd: Decimal18,
    ) -> Result<Conversion, ConversionError> {
        let (from, to) = match direction {
            Direction::TopUp => (akt_usd, Decimal18::ONE),
            Direction::Settle => (Decimal18::ONE, akt_usd),
        };
        let rate = from.over(to).filter(|rate| !rate.is_zero()).ok_or(ConversionError::NoPrice)?;
        let exact = Decimal18::whole(amount).times(rate).ok_or(ConversionError::TooMuch { amount })?;
        let minted = exact.cut_off();
        if minted == 0 {
            return Err(ConversionError::TooLittle { amount });
        }
        let (minimum, spread_bps) = match direction {
            Direction::TopUp => (self.min_mint_uact, self.mint_spread_bps),
            Direction::Settle => (self.min_mint_uakt, self.settle_spread_bps),
        };
        if minted < minimum {
            return Err(ConversionError::UnderMinimum { minted, minimum });
        }
        let spread = exact
            .times(Decimal18::whole(u128::from(spread_bps)))
            .and_then(|part| part.over(Decimal18::whole(BASIS_POINTS)))
            .map_or(0, Decimal18::cut_off);
        Ok(Conversion { burned: amount, minted, spread })
    }
}

/// The vault's worth over what it owes, in basis points, held within 32 bits as on the chain.
///
/// While no ACT is out, nothing is owed and the ratio is the vault's worth itself: in effect healthy.
pub fn collateral_ratio_bps(vault_uakt: u128, akt_usd: Decimal18, outstanding_uact: u128) -> u64 {
    let worth = Decimal18::whole(vault_uakt).times(akt_usd);
    let ratio = match outstanding_uact {
        0 => worth,
        owed => worth.and_then(|worth| worth.over(Decimal18::whole(owed))),
    };
    let bps = ratio
        .and_then(|ratio| ratio.times(Decimal18::whole(BASIS_POINTS)))
        .map_or(u128::MAX, Decimal18::cut_off);
    u64::from(u32::try_from(bps).unwrap_or(u32::MAX))
}

/// Which way a conversion goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// A buyer burns AKT and gets ACT.
    TopUp,
    /// ACT is burned and a provider, or a buyer who wants a refund, gets AKT.
    Settle,
}

/// A conversion, in millionths of the token burned and of the token minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversion {
    /// Taken.
    pub burned: u128,
    /// Minted in all.
    pub minted: u128,
    /// Of it, what stays in the vault; the rest is the user's.
    pub spread: u128,
}

impl Conversion {
    /// What the user gets.
    pub fn to_user(&self) -> u128 {
        self.minted - self.spread
    }
}

/// Why a conversion cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// The oracle has no price, or it is zero.
    #[error("there is no price of AKT: wait until the oracle is healthy")]
    NoPrice,
    /// Less than a millionth would be minted.
    #[error("{amount} millionths give less than one millionth of the other token: convert more at once")]
    TooLittle {
        /// What was to be burned.
        amount: u128,
    },
    /// Less than the minimum would be minted.
    #[error("{minted} millionths would be minted, the minimum is {minimum}: convert more at once")]
    UnderMinimum {
        /// What would have been minted.
        minted: u128,
        /// The minimum.
        minimum: u128,
    },
    /// The amount passes the range of the arithmetic.
    #[error("{amount} millionths are more than the arithmetic holds: convert less at once")]
    TooMuch {
        /// What was to be burned.
        amount: u128,
    },
    /// More ACT was to be burned than exists.
    #[error("{amount} millionths of ACT are more than the {supply} in existence")]
    MoreThanSupply {
        /// What was to be burned.
        amount: u128,
        /// What exists.
        supply: u128,
    },
}

impl ConversionError {
    /// Whether another try cannot end differently.
    pub fn is_final(self) -> bool {
        match self {
            Self::TooLittle { .. } | Self::UnderMinimum { .. } | Self::TooMuch { .. } => true,
            Self::NoPrice | Self::MoreThanSupply { .. } => false,
        }
    }
}

/// Whether top-ups flow. Later ones are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// They flow every ten blocks.
    Healthy,
    /// They flow, the more slowly the less collateral.
    Warning,
    /// They are stopped for want of collateral. Settlements go on.
    HaltedByCollateral,
    /// All is stopped for want of a price.
    HaltedByOracle,
}
