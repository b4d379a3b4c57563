//! Payouts: what is above a threshold leaves the market, to a Lightning address of the party's own.
//!
//! At most one payment is on its way. What is to be paid is on disk before the market hears of it, and the market pays an
//! invoice at most once: whoever comes back after a crash asks for the same invoice again, and is told that it is being
//! paid, or has it paid now. Another invoice is asked for only when the market says what became of this one.

mod address;
mod record;

pub use address::{AddressError, LightningAddress, PayOffer};
pub use record::{Intent, Plan, RecordError};

use crate::{
    api::WithdrawalPhase,
    client::{ClientError, Market},
};
use backon::{BackoffBuilder, ExponentialBuilder};
use market::{
    command::Command,
    event::Event,
    id::WithdrawalId,
    key::SecretKey,
    reply::Reply,
    units::{Msat, PPM, Rounding},
};
use record::Records;
use std::{path::Path, time::Duration};

/// The first pause after a payout that failed, and the longest.
const PAUSE_MIN: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// How often the balance is looked at while it is too small.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Why there was no payout.
#[derive(Debug, thiserror::Error)]
pub enum PayoutError {
    /// The market, or the way to it.
    #[error(transparent)]
    Market(#[from] ClientError),
    /// The address, or whoever stands behind it.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The files.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The payment failed; the money is back.
    #[error("the payout failed ({reason}): the money is back in the balance")]
    Failed {
        /// Why.
        reason: String,
    },
    /// The market answered something else.
    #[error("the market gave a strange answer to a withdrawal: does it run another version?")]
    Strange,
}

impl PayoutError {
    /// Whether waiting and trying again can help.
    fn is_passing(&self) -> bool {
        match self {
            PayoutError::Market(error) => error.is_passing() || error.code().is_some(),
            PayoutError::Address(error) => error.is_passing(),
            PayoutError::Failed { .. } => true,
            PayoutError::Record(_) | PayoutError::Strange => false,
        }
    }
}

/// What whoever watches payouts is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// So much is to be paid; the market hears of it next.
    Paying {
        /// How much.
        amount_msat: Msat,
    },
    /// It arrived.
    Paid {
        /// How much.
        amount_msat: Msat,
        /// What routing cost.
        fee_msat: Msat,
    },
    /// A payment that an earlier run began is no longer on its way. Whether it arrived, the payee knows: it left the balance, or
    /// came back.
    Over {
        /// How much.
        amount_msat: Msat,
    },
    /// It did not work, and is tried again after a pause.
    Again {
        /// Why.
        why: String,
        /// The pause.
        pause: Duration,
    },
}

/// The payouts of one party at one market. A folder serves one of them.
#[derive(Debug)]
pub struct Payouts {
    market: Market,
    secret: SecretKey,
    records: Records,
}

impl Payouts {
    /// With the plan and the open payment in a folder.
    pub fn new(market: Market, secret: SecretKey, folder: &Path) -> Result<Payouts, RecordError> {
        Ok(Payouts { market, secret, records: Records::open(folder)? })
    }

    /// What is to be paid out, if anything.
    pub fn plan(&self) -> Result<Option<Plan>, RecordError> {
        self.records.plan()
    }

    /// Changes what is to be paid out. A payment that is on its way goes on.
    pub fn set_plan(&self, plan: Option<&Plan>) -> Result<(), RecordError> {
        self.records.set_plan(plan)
    }

    /// Pays out by the plan until there is none, or until an error that no waiting mends. Dropping the future stops it; what is
    /// on its way is taken up by the next run.
    pub async fn run(&self, mut told: impl FnMut(Told)) -> Result<(), PayoutError> {
        let pauses = || {
            ExponentialBuilder::new()
                .with_min_delay(PAUSE_MIN)
                .with_max_delay(PAUSE_MAX)
                .without_max_times()
                .with_jitter()
                .build()
        };
        let mut left = pauses();
        loop {
            match self.step(&mut told).await {
                Ok(Step::Paid) => left = pauses(),
                Ok(Step::TooSmall) => tokio::time::sleep(LOOK_EVERY).await,
                Ok(Step::NoPlan) => return Ok(()),
                Err(error) if error.is_passing() => {
                    let pause = left.next().unwrap_or(PAUSE_MAX);
                    told(Told::Again { why: error.to_string(), pause });
                    tokio::time::sleep(pause).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Pays what is due now, once, and waits for what becomes of it. An open payment of an earlier run comes first.
    pub async fn step(&self, told: &mut impl FnMut(Told)) -> Result<Step, PayoutError> {
        if let Some(intent) = self.records.intent()? {
            return self.carry_out(intent, told).await;
        }
        let Some(plan) = self.records.plan()? else { return Ok(Step::NoPlan) };
        let available = self.market.account(&self.secret).await?.available_msat;
        if available <= plan.above_msat {
            return Ok(Step::TooSmall);
        }
        let offer = plan.to.ask().await?;
        // Routing is paid on top of the amount.
        let affordable = available.scale(PPM, PPM + u64::from(plan.max_fee_ppm), Rounding::Down);
        let amount_msat = offer.fitting(affordable.unwrap_or(Msat::ZERO))?;
        let max_fee_msat =
            fee_ceiling(amount_msat, plan.max_fee_ppm).min(available.saturating_sub(amount_msat));
        let invoice = offer.invoice(amount_msat).await?;
        let intent = Intent {
            bolt11: invoice.bolt11,
            payment_hash: invoice.payment_hash,
            amount_msat,
            max_fee_msat,
            withdrawal: None,
        };
        self.records.set_intent(Some(&intent))?;
        told(Told::Paying { amount_msat });
        self.carry_out(intent, told).await
    }

    async fn carry_out(&self, intent: Intent, told: &mut impl FnMut(Told)) -> Result<Step, PayoutError> {
        let withdrawal = match intent.withdrawal {
            Some(withdrawal) => withdrawal,
            None => match self.submit(&intent).await? {
                Submitted::Taken(withdrawal) => {
                    self.records
                        .set_intent(Some(&Intent { withdrawal: Some(withdrawal), ..intent.clone() }))?;
                    withdrawal
                }
                Submitted::TakenBefore => {
                    // An earlier run was cut off between the market's yes and writing it down.
                    self.until_nothing_is_pending().await?;
                    self.records.set_intent(None)?;
                    told(Told::Over { amount_msat: intent.amount_msat });
                    return Ok(Step::Paid);
                }
                Submitted::Refused(error) => {
                    self.records.set_intent(None)?;
                    return Err(error.into());
                }
            },
        };
        let view = self.market.until_settled(&self.secret, withdrawal).await?;
        self.records.set_intent(None)?;
        match view.phase {
            WithdrawalPhase::Sent { fee_msat } => {
                told(Told::Paid { amount_msat: intent.amount_msat, fee_msat });
                Ok(Step::Paid)
            }
            WithdrawalPhase::Failed { reason } => Err(PayoutError::Failed { reason }),
            WithdrawalPhase::Pending | WithdrawalPhase::Unknown => Err(PayoutError::Strange),
        }
    }

    async fn submit(&self, intent: &Intent) -> Result<Submitted, PayoutError> {
        let command = Command::Withdraw {
            bolt11: intent.bolt11.clone(),
            payment_hash: intent.payment_hash,
            amount_msat: intent.amount_msat,
            max_fee_msat: intent.max_fee_msat,
        };
        match self.market.submit(&self.secret, command).await {
            Ok(accepted) => match accepted.reply {
                Reply::Withdrawal(withdrawal) => Ok(Submitted::Taken(withdrawal)),
                _ => Err(PayoutError::Strange),
            },
            Err(error) if error.code() == Some("invoice_used") => Ok(Submitted::TakenBefore),
            // These are answers for good: the market never took it.
            Err(error) if matches!(error.code(), Some("insufficient_funds" | "flaw")) => {
                Ok(Submitted::Refused(error))
            }
            // Not now: the same invoice is asked for again.
            Err(error) => Err(error.into()),
        }
    }

    async fn until_nothing_is_pending(&self) -> Result<(), PayoutError> {
        let look = async || {
            let pending = self.market.account(&self.secret).await?.pending_msat;
            Ok((pending == Msat::ZERO).then_some(()))
        };
        let concerns =
            |event: &Event| matches!(event, Event::WithdrawalSent { .. } | Event::WithdrawalFailed { .. });
        Ok(self.market.until(&self.secret, look, concerns).await?)
    }
}

/// What one step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A payment has come to its end.
    Paid,
    /// The balance is not above the threshold.
    TooSmall,
    /// There is nothing to do at all.
    NoPlan,
}

enum Submitted {
    Taken(WithdrawalId),
    TakenBefore,
    Refused(ClientError),
}

/// What routing may cost: a share of the amount, rounded down, since it is a ceiling.
fn fee_ceiling(amount_msat: Msat, max_fee_ppm: u32) -> Msat {
    amount_msat.scale(max_fee_ppm.into(), PPM, Rounding::Down).unwrap_or(Msat::ZERO)
}
