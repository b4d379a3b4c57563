//! Paying from the buyer's own Lightning node: the holds of a job's leases, the keys of its results, and what its session or
//! balance needs.
//!
//! Written down and synced before anything is paid: which invoices, on which hashes. After that a hash is never paid by
//! another invoice, and the node is asked what became of it before the same invoice is paid again, which happens only when
//! it is known to have failed. So a process that is killed anywhere goes on without paying twice.

use super::{
    agent::{Payable, Tried},
    hold_check::{self, BadHold, Expected},
    keys::CiphertextFolder,
    purchase::BuyError,
    record::{RecordError, Records},
};
use crate::{
    api::{HoldView, SaleView, TopupPhase, TopupView},
    client::{ClientError, Market},
};
use market::{
    command::Command,
    funding,
    id::{AttemptId, LeaseId, PaymentHash, TopupId},
    key::SecretKey,
    order::OrderTerms,
    reply::Reply,
    rules::Rules,
    units::Msat,
};
use pay::{LightningNode, PayRequest, PaymentState, Unavailable};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Mutex;

/// How often the market is asked for the invoice of a top-up, and how long.
const ASK_EVERY: Duration = Duration::from_millis(100);
const ASKS_MAX: u32 = 100;

/// A node that can be shared between tasks.
pub type SharedNode = Arc<dyn LightningNode>;

/// What was written down before it was paid.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Notes {
    /// The invoices of each lease's hold.
    #[serde(default)]
    pub(super) holds: BTreeMap<LeaseId, Vec<Slice>>,
    /// The invoices for the keys of results.
    #[serde(default)]
    pub(super) sales: BTreeMap<AttemptId, Slice>,
    /// Top-ups, the newest last.
    #[serde(default)]
    topups: Vec<TopUp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slice {
    pub(super) payment_hash: PaymentHash,
    pub(super) amount_msat: Msat,
    pub(super) bolt11: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopUp {
    topup: TopupId,
    amount_msat: Msat,
    /// Once its invoice may have been paid.
    payment_hash: Option<PaymentHash>,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fate {
    Open,
    Received,
    Expired,
}

/// What may be paid for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allowance {
    /// The terms of its order; none where there is no job.
    pub(super) terms: Option<OrderTerms>,
    /// The most that may hang in holds, be taken from them, or be paid for keys.
    pub(super) holds_msat: Msat,
    /// The most that may be topped up.
    pub(super) topups_msat: Msat,
}

/// Pays for one job, one thing at a time. Cheap to clone.
#[derive(Clone)]
pub(super) struct Payer {
    pub(super) market: Market,
    pub(super) secret: SecretKey,
    records: Records,
    /// What its notes are filed under.
    stem: String,
    pub(super) allowance: Allowance,
    pub(super) node: Option<SharedNode>,
    /// Where ciphertexts are.
    pub(super) ciphertexts: CiphertextFolder,
    notes: Arc<Mutex<Notes>>,
}

impl Payer {
    pub(super) fn open(
        market: &Market,
        secret: &SecretKey,
        records: &Records,
        stem: String,
        allowance: Allowance,
        node: Option<SharedNode>,
    ) -> Result<Payer, RecordError> {
        let notes = Arc::new(Mutex::new(records.notes(&stem)?));
        let (market, secret, records) = (market.clone(), secret.clone(), records.clone());
        let ciphertexts = records.ciphertexts(&stem);
        Ok(Payer { market, secret, records, stem, allowance, node, ciphertexts, notes })
    }

    /// Pays what waits, or sees to it that what is under way arrives.
    pub(super) async fn pay(&self, due: Due) -> Result<Tried, BuyError> {
        let mut notes = self.notes.lock().await;
        let tried = match &due {
            Due::Hold(hold) => self.pay_hold(&mut notes, hold).await,
            Due::TopUp(amount_msat) => self.top_up(&mut notes, *amount_msat).await,
            Due::Key(sale) => self.buy(&mut notes, sale).await,
        };
        match tried {
            Err(Stop::NoAnswer(error)) => Ok(Tried::NotYet { why: error.to_string() }),
            Err(Stop::Failed(error)) => Err(error),
            Ok(tried) => Ok(tried),
        }
    }

    async fn pay_hold(&self, notes: &mut Notes, hold: &HoldView) -> Result<Tried, Stop> {
        let slices: Vec<Slice> = slices(hold);
        let amount_msat = Msat(hold.slice_msat.0.saturating_mul(slices.len() as u64));
        match notes.holds.get(&hold.lease) {
            Some(known) if *known != slices => {
                let why = "the market shows other invoices than those that are being paid".to_owned();
                return Ok(Tried::Refused { why });
            }
            Some(_) => {}
            None => {
                let expected = self.expected(notes).await?;
                match hold_check::check(hold, &expected) {
                    Ok(()) => {}
                    // Other leases may give something back.
                    Err(error @ BadHold::TooMuch { .. }) => {
                        return Ok(Tried::NotYet { why: error.to_string() });
                    }
                    Err(error) => return Ok(Tried::Refused { why: error.to_string() }),
                }
            }
        }
        let Some(node) = &self.node else {
            return Ok(Tried::ByHand { invoices: hold.invoices.clone(), amount_msat });
        };
        if let Entry::Vacant(place) = notes.holds.entry(hold.lease) {
            // A part of the slices funds nothing, and locks money until the provider gives it back.
            let (has, needed) = (node.balance().await?.spendable, with_fees(&slices));
            if has < needed {
                let why =
                    format!("your node can spend {has}, and all slices with their fees need up to {needed}");
                return Ok(Tried::NotYet { why });
            }
            place.insert(slices.clone());
            self.keep(notes)?;
        }
        let mut trouble = None;
        for (nth, slice) in slices.iter().enumerate() {
            let state = pay_once(node.as_ref(), slice).await;
            if let Some(what) = trouble_with(&state?) {
                trouble.get_or_insert(format!("slice {}: {what}", nth + 1));
            }
        }
        Ok(match trouble {
            Some(why) => Tried::NotYet { why },
            None => Tried::OnItsWay { amount_msat },
        })
    }

    /// What the buyer knows without the market's word.
    async fn expected(&self, notes: &Notes) -> Result<Expected, Stop> {
        let network = match &self.node {
            Some(node) => Some(node.info().await?.network),
            None => None,
        };
        let (mut taken, mut bound) = (BTreeSet::new(), 0u64);
        for slice in notes.holds.values().flatten() {
            taken.insert(slice.payment_hash);
            let state = match &self.node {
                Some(node) => node.payment(slice.payment_hash).await?,
                None => None,
            };
            // Only what is known to have come back is free again.
            if !matches!(state, Some(PaymentState::Failed { .. })) {
                bound = bound.saturating_add(slice.amount_msat.0);
            }
        }
        let left_msat = self.allowance.holds_msat.saturating_sub(Msat(bound));
        let funding = self.allowance.terms.as_ref().and_then(|terms| terms.funding);
        Ok(Expected { funding, network, now: self.market.now(), left_msat, taken })
    }

    async fn top_up(&self, notes: &mut Notes, needed: Msat) -> Result<Tried, Stop> {
        let nth = match notes.topups.iter().rposition(|topup| topup.fate == Fate::Open) {
            Some(open) => open,
            None => {
                let amount_msat = needed.max(Rules::RECOMMENDED.payment_min_msat);
                let received = notes.topups.iter().filter(|topup| topup.fate == Fate::Received);
                let so_far = received.map(|topup| topup.amount_msat.0).sum::<u64>();
                let allowed = self.allowance.topups_msat;
                if so_far.saturating_add(needed.0) > allowed.0 {
                    let why = format!(
                        "{} was topped up for this job, and with {needed} more it would be over its budget of {allowed}",
                        Msat(so_far)
                    );
                    return Ok(Tried::Refused { why });
                }
                let topup = self.ask_for_top_up(amount_msat).await?;
                notes.topups.push(TopUp { topup, amount_msat, payment_hash: None, fate: Fate::Open });
                self.keep(notes)?;
                notes.topups.len() - 1
            }
        };
        let view = self.invoiced(notes.topups[nth].topup).await?;
        match view.phase {
            TopupPhase::Requested => {
                Ok(Tried::NotYet { why: "the market has made no invoice for the top-up yet".into() })
            }
            TopupPhase::Received => {
                notes.topups[nth].fate = Fate::Received;
                self.keep(notes)?;
                Ok(Tried::OnItsWay { amount_msat: view.amount_msat })
            }
            TopupPhase::Expired => self.expired(notes, nth).await,
            TopupPhase::Invoiced => self.pay_top_up(notes, nth, &view).await,
        }
    }

    async fn ask_for_top_up(&self, amount_msat: Msat) -> Result<TopupId, Stop> {
        match self.market.submit(&self.secret, Command::TopUp { amount_msat }).await?.reply {
            Reply::TopUp(topup) => Ok(topup),
            _ => Err(BuyError::Strange.into()),
        }
    }

    /// The top-up, once it has an invoice or will have none.
    async fn invoiced(&self, topup: TopupId) -> Result<TopupView, Stop> {
        let mut asks = 0;
        loop {
            let view = self.market.topup(&self.secret, topup).await?;
            asks += 1;
            if view.phase != TopupPhase::Requested || asks >= ASKS_MAX {
                return Ok(view);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Another invoice is paid only after the payment of this one is known to have failed, or never to have begun.
    async fn expired(&self, notes: &mut Notes, nth: usize) -> Result<Tried, Stop> {
        if let (Some(node), Some(hash)) = (&self.node, notes.topups[nth].payment_hash) {
            match node.payment(hash).await? {
                None | Some(PaymentState::Failed { .. }) => {}
                Some(PaymentState::InFlight | PaymentState::Unknown | PaymentState::Succeeded { .. }) => {
                    let why =
                        "the last top-up has expired at the market, and its payment has not failed".into();
                    return Ok(Tried::NotYet { why });
                }
            }
        }
        notes.topups[nth].fate = Fate::Expired;
        self.keep(notes)?;
        Ok(Tried::NotYet { why: "the last top-up was not paid in time; another invoice follows".into() })
    }

    async fn pay_top_up(&self, notes: &mut Notes, nth: usize, view: &TopupView) -> Result<Tried, Stop> {
        let amount_msat = notes.topups[nth].amount_msat;
        let Some(bolt11) = view.bolt11.clone() else {
            return Ok(Tried::NotYet { why: "the market does not show the invoice of the top-up".into() });
        };
        let invoice = match pay::bolt11::decode(&bolt11) {
            Ok(invoice) if invoice.amount == Some(amount_msat) => invoice,
            Ok(_) => {
                let why = format!("the market's invoice is not over {amount_msat}: it is not paid");
                return Ok(Tried::Refused { why });
            }
            Err(error) => return Ok(Tried::Refused { why: error.to_string() }),
        };
        let Some(node) = &self.node else {
            return Ok(Tried::ByHand { invoices: vec![bolt11], amount_msat });
        };
        if notes.topups[nth].payment_hash.is_some_and(|known| known != invoice.payment_hash) {
            let why = "the market shows another invoice than the one that is being paid".to_owned();
            return Ok(Tried::Refused { why });
        }
        notes.topups[nth].payment_hash = Some(invoice.payment_hash);
        self.keep(notes)?;
        let slice = Slice { payment_hash: invoice.payment_hash, amount_msat, bolt11 };
        Ok(match trouble_with(&pay_once(node.as_ref(), &slice).await?) {
            Some(why) => Tried::NotYet { why },
            None => Tried::OnItsWay { amount_msat },
        })
    }

    pub(super) fn keep(&self, notes: &Notes) -> Result<(), Stop> {
        Ok(self.records.keep_notes(&self.stem, notes).map_err(BuyError::from)?)
    }
}

/// What waits for money.
#[derive(Debug, Clone)]
pub(super) enum Due {
    Hold(Box<HoldView>),
    TopUp(Msat),
    Key(Box<SaleView>),
}

impl Due {
    pub(super) fn what(&self) -> Payable {
        match self {
            Due::Hold(hold) => Payable::Hold(hold.lease),
            Due::TopUp(_) => Payable::Session,
            Due::Key(sale) => Payable::Key(sale.attempt),
        }
    }
}

/// How paying ends early.
pub(super) enum Stop {
    NoAnswer(Unavailable),
    Failed(BuyError),
}

impl From<Unavailable> for Stop {
    fn from(error: Unavailable) -> Stop {
        Stop::NoAnswer(error)
    }
}

impl From<BuyError> for Stop {
    fn from(error: BuyError) -> Stop {
        Stop::Failed(error)
    }
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Stop {
        Stop::Failed(error.into())
    }
}

fn slices(hold: &HoldView) -> Vec<Slice> {
    let slices = hold.payment_hashes.iter().zip(&hold.invoices);
    let amount_msat = hold.slice_msat;
    slices.map(|(hash, bolt11)| Slice { payment_hash: *hash, amount_msat, bolt11: bolt11.clone() }).collect()
}

fn with_fees(slices: &[Slice]) -> Msat {
    let costs = slices.iter().map(|slice| slice.amount_msat.0.saturating_add(fee_max(slice).0));
    Msat(costs.fold(0, u64::saturating_add))
}

fn fee_max(slice: &Slice) -> Msat {
    funding::fee_max(slice.amount_msat)
}

/// Pays an invoice unless it is under way or has arrived; what became of it, or why nobody knows.
pub(super) async fn pay_once(
    node: &dyn LightningNode,
    slice: &Slice,
) -> Result<Result<PaymentState, String>, Stop> {
    match node.payment(slice.payment_hash).await? {
        None | Some(PaymentState::Failed { .. }) => {}
        Some(state) => return Ok(Ok(state)),
    }
    let request =
        PayRequest { bolt11: slice.bolt11.clone(), amount: slice.amount_msat, max_fee: fee_max(slice) };
    Ok(node.pay(request).await.map_err(|error| error.to_string()))
}

pub(super) fn trouble_with(state: &Result<PaymentState, String>) -> Option<String> {
    match state {
        Ok(PaymentState::InFlight | PaymentState::Succeeded { .. }) => None,
        Ok(PaymentState::Unknown) => {
            Some("your node cannot say yet whether it arrives; it is not paid again".into())
        }
        Ok(PaymentState::Failed { reason }) => Some(reason.to_string()),
        Err(why) => Some(why.clone()),
    }
}
