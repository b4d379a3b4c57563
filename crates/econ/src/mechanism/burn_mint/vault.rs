//! The ledger of Akash's burn-mint equilibrium: requests wait for their epoch, then burn and mint.

use std::collections::VecDeque;

use super::akash::{Conversion, ConversionError, Direction, Parameters, Status, collateral_ratio_bps};
use super::decimal18::Decimal18;

/// The vault and the two supplies. Amounts are millionths of a token.
#[derive(Clone, Debug)]
pub struct Vault {
    parameters: Parameters,
    status: Status,
    epoch_blocks: u64,
    next_settle_at: u64,
    next_top_up_at: u64,
    waiting: VecDeque<Waiting>,
    next_id: u64,
    balances: Balances,
}

/// What the vault holds and has done, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balances {
    /// AKT in the vault, without what waits for a top-up.
    pub vault_uakt: u128,
    /// AKT that waits in the vault for a top-up.
    pub waiting_uakt: u128,
    /// AKT burned by top-ups that can be issued again without inflation.
    pub remint_credit_uakt: u128,
    /// ACT in existence, what waits for a settlement included.
    pub supply_uact: u128,
    /// AKT that settlements minted beyond the credit, since the beginning.
    pub minted_uakt: u128,
    /// ACT that top-ups minted, since the beginning.
    pub minted_uact: u128,
    /// ACT that settlements burned, since the beginning.
    pub burned_uact: u128,
}

#[derive(Clone, Debug)]
struct Waiting {
    id: u64,
    direction: Direction,
    amount: u128,
    attempts: u32,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Burned and minted.
    Done {
        /// Which request.
        id: u64,
        /// Which way.
        direction: Direction,
        /// How much.
        conversion: Conversion,
        /// Of a settlement, the part that is new AKT and not from the credit.
        newly_minted: u128,
    },
    /// Given back.
    Canceled {
        /// Which request.
        id: u64,
        /// Why.
        reason: ConversionError,
        /// What was given back.
        refunded: u128,
    },
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no price.
    #[error("there is no price of AKT: ask again when the oracle is healthy")]
    NoPrice,
    /// The breaker is open.
    #[error("the circuit breaker is open ({0:?}): ask again when the collateral has recovered")]
    BreakerOpen(Status),
    /// More ACT than the vault's books know of.
    #[error("more ACT was offered for settlement than is in existence")]
    MoreThanSupply,
}

impl Vault {
    /// A vault with a reserve, before its first block. As on the chain top-ups are stopped until a block found it healthy.
    pub fn new(parameters: Parameters, reserve_uakt: u128) -> Self {
        Self {
            epoch_blocks: parameters.min_epoch_blocks,
            parameters,
            status: Status::HaltedByCollateral,
            next_settle_at: 0,
            next_top_up_at: 0,
            waiting: VecDeque::new(),
            next_id: 0,
            balances: Balances { vault_uakt: reserve_uakt, ..Balances::default() },
        }
    }

    /// What it holds.
    pub fn balances(&self) -> &Balances {
        &self.balances
    }

    /// Whether top-ups flow, as of the last block.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The block of the next epoch of top-ups.
    pub fn next_top_up_at(&self) -> u64 {
        self.next_top_up_at
    }

    /// The block from which settlements are next done.
    pub fn next_settle_at(&self) -> u64 {
        self.next_settle_at
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The collateral ratio in basis points.
    pub fn ratio_bps(&self, akt_usd: Decimal18) -> u64 {
        collateral_ratio_bps(self.balances.vault_uakt, akt_usd, self.balances.supply_uact)
    }

    /// Takes `amount` millionths for the next epoch and says under which number.
    ///
    /// # Errors
    /// [`RequestError`]: no price, the breaker is open for this direction, or more ACT than exists.
    pub fn request(
        &mut self,
        direction: Direction,
        amount: u128,
        akt_usd: Option<Decimal18>,
    ) -> Result<u64, RequestError> {
        akt_usd.ok_or(RequestError::NoPrice)?;
        let open = match direction {
            Direction::TopUp => self.status >= Status::HaltedByCollateral,
            Direction::Settle => self.status > Status::HaltedByCollateral,
        };
        if open {
            return Err(RequestError::BreakerOpen(self.status));
        }
        match direction {
            Direction::TopUp => self.balances.waiting_uakt += amount,
            Direction::Settle if amount > self.balances.supply_uact => {
                return Err(RequestError::MoreThanSupply);
            }
            Direction::Settle => {}
        }
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.push_back(Waiting { id, direction, amount, attempts: 0 });
        Ok(id)
    }

    /// Ends block `height`: settles when their epoch has come, looks at the collateral, then tops up when theirs has.
    pub fn end_block(&mut self, height: u64, akt_usd: Option<Decimal18>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        if self.next_settle_at <= height {
            self.next_settle_at = height + self.parameters.min_epoch_blocks;
            self.execute(Direction::Settle, akt_usd, &mut outcomes);
        }
        let before = self.status;
        self.look_at_collateral(akt_usd);
        let flows = self.status <= Status::Warning;
        if flows && before >= Status::HaltedByCollateral {
            self.next_top_up_at = height + self.epoch_blocks;
        } else if flows && self.next_top_up_at <= height {
            self.next_top_up_at = height + self.epoch_blocks;
            self.execute(Direction::TopUp, akt_usd, &mut outcomes);
            self.look_at_collateral(akt_usd);
        }
        outcomes
    }

    fn look_at_collateral(&mut self, akt_usd: Option<Decimal18>) {
        let Some(price) = akt_usd.filter(|price| !price.is_zero()) else {
            self.status = Status::HaltedByOracle;
            return;
        };
        let ratio_bps = self.ratio_bps(price);
        self.status = self.parameters.status(ratio_bps);
        if self.status <= Status::Warning {
            self.epoch_blocks = self.parameters.epoch_blocks(ratio_bps);
        }
    }

    fn execute(&mut self, direction: Direction, akt_usd: Option<Decimal18>, outcomes: &mut Vec<Outcome>) {
        for mut request in std::mem::take(&mut self.waiting) {
            if request.direction != direction {
                self.waiting.push_back(request);
                continue;
            }
            match self.convert(&request, akt_usd) {
                Ok(conversion) => {
                    let newly_minted = self.book(direction, conversion);
                    outcomes.push(Outcome::Done { id: request.id, direction, conversion, newly_minted });
                }
                Err(reason) => {
                    request.attempts += 1;
                    if reason.is_final() || request.attempts >= self.parameters.max_attempts {
                        outcomes.push(self.cancel(&request, reason));
                    } else {
                        self.waiting.push_back(request);
                    }
                }
            }
        }
    }

    fn convert(&self, request: &Waiting, akt_usd: Option<Decimal18>) -> Result<Conversion, ConversionError> {
        let supply = self.balances.supply_uact;
        if request.direction == Direction::Settle && request.amount > supply {
            return Err(ConversionError::MoreThanSupply { amount: request.amount, supply });
        }
        self.parameters.convert(request.direction, request.amount, akt_usd.ok_or(ConversionError::NoPrice)?)
    }

    /// Books a conversion and says how much AKT is new.
    fn book(&mut self, direction: Direction, conversion: Conversion) -> u128 {
        let b = &mut self.balances;
        match direction {
            Direction::TopUp => {
                b.waiting_uakt -= conversion.burned;
                b.vault_uakt += conversion.burned;
                b.remint_credit_uakt += conversion.burned;
                b.supply_uact += conversion.minted;
                b.minted_uact += conversion.minted;
                0
            }
            Direction::Settle => {
                b.supply_uact -= conversion.burned;
                b.burned_uact += conversion.burned;
                let from_credit = conversion.minted.min(b.remint_credit_uakt);
                let new = conversion.minted - from_credit;
                b.remint_credit_uakt -= from_credit;
                b.minted_uakt += new;
                b.vault_uakt = b.vault_uakt + new - conversion.to_user();
                new
            }
        }
    }

    fn cancel(&mut self, request: &Waiting, reason: ConversionError) -> Outcome {
        if request.direction == Direction::TopUp {
            self.balances.waiting_uakt -= request.amount;
        }
        Outcome::Canceled { id: request.id, reason, refunded: request.amount }
    }
}
