//! The purse: the Lightning node behind the market, asked again and again what the state says is outstanding. There is no
//! other way money moves, before or after a crash.

use super::{config::Payments, failure::Failure, shared::App, writer};
use crate::{
    api::DevPayment,
    venue::payments::{carry_out, outstanding},
};
use axum::http::StatusCode;
use market::{id::Digest, ledger::Account, units::Msat};
use pay::{
    InvoiceRequest, LightningNode, NodeInfo, PayError, PayRequest, PaymentState,
    dev::{self, DevNetwork, DevNode, DevState},
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::sync::Notify;

/// How often the node is asked while something is outstanding.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How often it is looked at while nothing is.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What routing may cost a play-money wallet, in parts per hundred.
const DEV_FEE_PERCENT: u64 = 5;
/// …and a little in any case: a hop has a base fee, however small the payment.
const DEV_FEE_FLOOR: Msat = Msat(10_000);
const INVOICE_LIFETIME_MS: u64 = 3_600_000;
/// The domain under which a wallet's secret becomes the name of its node.
const WALLET_DOMAIN: &str = "gristmill 2026 dev wallet v1";
/// The most nodes of a play-money network: each costs memory, and anybody can make one.
const NODES_MAX: usize = 1_000;

/// The node, and with play money the network around it.
pub(super) struct Purse {
    pub(super) node: Arc<dyn LightningNode>,
    pub(super) info: NodeInfo,
    dev: Option<DevPurse>,
}

/// A network of play money in this process, kept in a file unless somebody else keeps it.
struct DevPurse {
    network: DevNetwork,
    /// The rest of the world: pays top-ups, takes withdrawals.
    wallet: DevNode,
    kept: Option<Kept>,
}

struct Kept {
    file: PathBuf,
    saved: Mutex<Vec<u8>>,
}

/// Why there is no purse.
#[derive(Debug, thiserror::Error)]
pub enum PurseError {
    /// The file of the play-money network.
    #[error("the play-money network in {} cannot be used: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The node gave no answer.
    #[error(transparent)]
    Unavailable(#[from] pay::Unavailable),
}

impl Purse {
    pub(super) async fn open(payments: &Payments, folder: &Path) -> Result<Purse, PurseError> {
        let (node, dev): (Arc<dyn LightningNode>, _) = match payments {
            Payments::Node(node) => (node.clone(), None),
            Payments::Dev => {
                let dev = DevPurse::open(folder)?;
                (Arc::new(dev.network.node("market")), Some(dev))
            }
            Payments::DevNetwork(network) => {
                let dev = DevPurse::new(network.clone(), None);
                (Arc::new(network.node("market")), Some(dev))
            }
        };
        let info = node.info().await?;
        Ok(Purse { node, info, dev })
    }

    /// Whether it gives play money away.
    pub(super) fn has_faucet(&self) -> bool {
        self.dev.is_some()
    }

    /// What the node holds, payments under way included.
    pub(super) async fn balance(&self) -> Option<Msat> {
        let balance = self.node.balance().await.ok()?;
        balance.spendable.plus(balance.in_flight).ok()
    }

    /// Writes play money down, where there is some.
    pub(super) fn save(&self) -> Result<(), PurseError> {
        self.dev.as_ref().map_or(Ok(()), DevPurse::save)
    }

    /// Pays an invoice out of the play-money wallet of the rest of the world.
    pub(super) async fn dev_pay(&self, bolt11: String) -> Result<DevPayment, Failure> {
        let dev = self.dev()?;
        let unusable = |why: String| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "payment_failed", why);
        let invoice = pay::bolt11::decode(&bolt11).map_err(|error| unusable(error.to_string()))?;
        let amount = invoice.amount.ok_or_else(|| unusable("the invoice names no amount".into()))?;
        let share = amount.scale(DEV_FEE_PERCENT, 100, market::units::Rounding::Up).unwrap_or(Msat::ZERO);
        let max_fee = share.max(DEV_FEE_FLOOR);
        let needed = amount.plus(max_fee).map_err(|error| unusable(error.to_string()))?;
        let spendable = dev.wallet.balance().await.map_err(|error| unusable(error.to_string()))?.spendable;
        let missing = needed.saturating_sub(spendable);
        if missing > Msat::ZERO {
            dev.network.issue(&dev.wallet, missing).map_err(|error| unusable(error.to_string()))?;
        }
        let unknown = |why: String| Failure::unavailable("payment_unknown", why);
        let state = dev.wallet.pay(PayRequest { bolt11, amount, max_fee }).await;
        self.save().map_err(|error| Failure::internal(error.to_string()))?;
        let state = state.map_err(|error| match error {
            PayError::Unavailable(error) => unknown(error.to_string()),
            refused => unusable(refused.to_string()),
        });
        match state? {
            PaymentState::Succeeded { preimage, .. } => Ok(DevPayment { preimage: Some(preimage) }),
            PaymentState::InFlight => Ok(DevPayment { preimage: None }),
            PaymentState::Failed { reason } => Err(unusable(reason.to_string())),
            PaymentState::Unknown => Err(unknown("nobody can say yet whether it arrived: ask again".into())),
        }
    }

    /// An invoice of the rest of the world.
    pub(super) async fn dev_invoice(&self, amount: Msat) -> Result<pay::Invoice, Failure> {
        let dev = self.dev()?;
        let request = InvoiceRequest {
            amount,
            description: "a play-money wallet".into(),
            expires_in_ms: INVOICE_LIFETIME_MS,
        };
        let invoice = dev
            .wallet
            .create_invoice(request)
            .await
            .map_err(|error| Failure::bad_request(error.to_string()))?;
        self.save().map_err(|error| Failure::internal(error.to_string()))?;
        Ok(invoice)
    }

    /// Has the node of a wallet do something: whoever knows the secret owns its play money.
    pub(super) async fn dev_lightning(
        &self,
        secret: &Digest,
        call: dev::Call,
    ) -> Result<dev::Answer, Failure> {
        let dev = self.dev()?;
        let name = format!("wallet {}", Digest::of_parts(WALLET_DOMAIN, &[&secret.0]));
        if !dev.network.has_node(&name) && dev.network.node_count() >= NODES_MAX {
            return Err(Failure::unavailable(
                "too_many_wallets",
                "this market has no room for another play-money wallet",
            ));
        }
        let answer = call.make(&dev.network.node(&name)).await;
        // Reads too: what they tell may not have been written down by the one whose doing it was.
        self.save().map_err(|error| Failure::internal(error.to_string()))?;
        Ok(answer)
    }

    fn dev(&self) -> Result<&DevPurse, Failure> {
        self.dev
            .as_ref()
            .ok_or_else(|| Failure::not_found("play money at this market: pay with a real wallet"))
    }
}

impl DevPurse {
    fn open(folder: &Path) -> Result<DevPurse, PurseError> {
        let file = folder.join("dev-network.json");
        let failed = |reason: String| PurseError::File { file: file.clone(), reason };
        let clock = writer::now;
        let network = match std::fs::read(&file) {
            Ok(bytes) => {
                let saved: DevState =
                    serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
                DevNetwork::restore(saved, clock)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).map_err(|error| failed(error.to_string()))?;
                DevNetwork::new(seed, clock)
            }
            Err(error) => return Err(failed(error.to_string())),
        };
        let purse = DevPurse::new(network, Some(Kept { file, saved: Mutex::default() }));
        purse.save()?;
        Ok(purse)
    }

    fn new(network: DevNetwork, kept: Option<Kept>) -> DevPurse {
        let wallet = network.node("rest of the world");
        DevPurse { network, wallet, kept }
    }

    /// Writes the network down if it has changed, before anybody relies on the change.
    fn save(&self) -> Result<(), PurseError> {
        let Some(Kept { file, saved }) = &self.kept else { return Ok(()) };
        let failed = |reason: String| PurseError::File { file: file.clone(), reason };
        let mut saved = saved.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = serde_json::to_vec(&self.network.save()).map_err(|error| failed(error.to_string()))?;
        if *saved != bytes {
            crate::durable_file::replace(file, &bytes).map_err(|error| failed(error.to_string()))?;
            *saved = bytes;
        }
        Ok(())
    }
}

/// Looks after payments until the market stops.
pub(super) async fn look_after(app: App, wake: Arc<Notify>) {
    loop {
        // First of all: a market that cannot pay takes nothing more.
        watch_solvency(&app).await;
        let is_busy = round(&app).await;
        let pause = if is_busy { ASK_EVERY } else { LOOK_EVERY };
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Asks the node about everything that is outstanding; says whether there was anything.
async fn round(app: &App) -> bool {
    let Ok(duties) = app.read(|floor| outstanding(floor.state())).await else { return false };
    for duty in &duties {
        let Some(command) = carry_out(app.purse.node.as_ref(), duty).await else { continue };
        if let Err(error) = app.purse.save() {
            tracing::error!(%error, "payments wait until the play-money network can be written down");
            return true;
        }
        match app.writer.submit_own(command).await {
            Ok(Ok(_)) => {}
            Ok(Err(refusal)) => {
                tracing::warn!(%refusal, "the outcome of a payment was refused; it will be asked again")
            }
            Err(_) => return false,
        }
    }
    !duties.is_empty()
}

/// Compares what is owed with what is there.
async fn watch_solvency(app: &App) {
    let Ok((owed, pending)) = app.read(|floor| owed(floor.state())).await else { return };
    let Some(balance) = app.purse.balance().await else { return };
    app.metrics.liabilities_msat.set(i64::try_from(owed.0).unwrap_or(i64::MAX));
    app.metrics.node_balance_msat.set(i64::try_from(balance.0).unwrap_or(i64::MAX));
    // What is on its way out may have left the node already, and still stands in the books.
    let is_insolvent = owed.saturating_sub(pending) > balance;
    app.metrics.solvent.set(i64::from(!is_insolvent));
    if app.is_insolvent.swap(is_insolvent, Ordering::Relaxed) != is_insolvent {
        tracing::error!(%owed, %balance, is_insolvent, "what is owed against what the node holds");
    }
}

/// What the venue owes all parties, and how much of it is on its way to them. What hangs in holds is not the venue's, and it
/// owes none of it.
pub(super) fn owed(state: &market::engine::State) -> (Msat, Msat) {
    let pending = state.ledger.balance(Account::Node).pending_out.0
        + state.ledger.balance(Account::Routing).pending_in.0;
    (state.ledger.held(), Msat(pending))
}
