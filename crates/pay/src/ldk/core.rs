//! The node itself, what it remembers, and the task that looks after both.

use super::{
    OpenError,
    config::{ChainSource, Folder, LdkConfig, Peer},
    mirror::{self, Mirrored},
    records::Records,
    seed::Seed,
};
use crate::node::{Network, NodeBalance, NodeInfo, Unavailable};
use ldk_node::{
    Builder, DynStore, Event, LightningBalance, Node,
    bitcoin::bip32::Xpriv,
    config::{Config, EsploraSyncConfig},
    lightning::sign::KeysManager,
    logger::LogLevel,
};
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use secp256k1::{SECP256K1, SecretKey};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::{Notify, watch};

/// How often expiries are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a start waits for a chain source that tells nothing new.
const CHAIN_PATIENCE: Duration = Duration::from_secs(60);
/// How often peers that were lost are dialled, and payments of an earlier run taken up.
const MEND_EVERY: Duration = Duration::from_secs(5);

/// A running node.
pub(super) struct Core {
    pub(super) node: Node,
    pub(super) network: Network,
    pub(super) alias: String,
    /// The node's own key, to sign invoices whose hold is longer than LDK makes them.
    pub(super) key: SecretKey,
    records: Mutex<Records>,
    /// Told whenever an invoice changes.
    pub(super) changed: Notify,
    peers: Vec<Peer>,
    _folder: Folder,
}

impl Core {
    pub(super) fn open(config: &LdkConfig) -> Result<Core, OpenError> {
        let folder = Folder::open(config)?;
        let seed = Seed::read(&config.seed, config.passphrase.as_ref())?;
        let store: Arc<DynStore> = match &config.mirror {
            Some(mirror) => Arc::new(Mirrored::open(&config.dir, mirror)?),
            None => {
                mirror::forget(&config.dir)?;
                Arc::new(mirror::open_store(&config.dir)?)
            }
        };
        let node = build(config, &folder, &seed, store.clone())?;
        let key = node_key(&folder, &seed)?;
        if key.public_key(SECP256K1) != node.node_id() {
            return Err(OpenError::Build("its key does not follow from the seed as expected".into()));
        }
        let records = Mutex::new(Records::open(store)?);
        let started_at_s = now().0 / 1_000;
        node.start().map_err(|error| OpenError::Start(error.to_string()))?;
        catch_up(&node, started_at_s)?;
        Ok(Core {
            node,
            network: config.network,
            alias: config.alias.clone(),
            key,
            records,
            changed: Notify::new(),
            peers: config.peers.clone(),
            _folder: folder,
        })
    }

    /// A panic elsewhere leaves the records as they were written: nothing is changed in memory before.
    pub(super) fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn info(&self) -> NodeInfo {
        NodeInfo {
            id: self.node.node_id().to_string(),
            alias: self.alias.clone(),
            network: self.network,
            play_money: self.network != Network::Bitcoin,
        }
    }

    pub(super) fn height(&self) -> u32 {
        self.node.status().current_best_block.height
    }

    /// What channels can send, and what they are sending. Millisatoshis that the chain knows nothing of are counted.
    pub(super) fn balance(&self) -> NodeBalance {
        let channels = self.node.list_channels();
        let ready = channels.iter().filter(|channel| channel.is_channel_ready);
        let spendable = ready.map(|channel| channel.outbound_capacity_msat).sum();
        // A channel carries a payment a moment after it was sent; until then it is in the records only.
        let (mut carried, sent) = (0, self.sent_msat());
        for balance in self.node.list_balances().lightning_balances {
            match balance {
                LightningBalance::MaybeTimeoutClaimableHTLC {
                    amount_satoshis,
                    outbound_payment: true,
                    ..
                } => carried += amount_satoshis * 1_000,
                LightningBalance::ClaimableOnChannelClose { outbound_payment_htlc_rounded_msat, .. } => {
                    carried += outbound_payment_htlc_rounded_msat;
                }
                LightningBalance::MaybeTimeoutClaimableHTLC { .. }
                | LightningBalance::ClaimableAwaitingConfirmations { .. }
                | LightningBalance::ContentiousClaimable { .. }
                | LightningBalance::MaybePreimageClaimableHTLC { .. }
                | LightningBalance::CounterpartyRevokedOutputClaimable { .. } => {}
            }
        }
        NodeBalance { spendable: Msat(spendable), in_flight: Msat(carried.max(sent)) }
    }

    fn sent_msat(&self) -> u64 {
        let records = self.records();
        let undecided = records.undecided_payments();
        undecided
            .iter()
            .filter(|(_, record)| record.run == records.run)
            .map(|(_, record)| record.amount.0)
            .sum()
    }

    /// The payments of this node that a channel, open or closed, still carries.
    pub(super) fn carried(&self) -> BTreeMap<PaymentHash, u64> {
        let mut carried = BTreeMap::new();
        for balance in self.node.list_balances().lightning_balances {
            if let LightningBalance::MaybeTimeoutClaimableHTLC {
                payment_hash,
                amount_satoshis,
                outbound_payment: true,
                ..
            } = balance
            {
                *carried.entry(PaymentHash(payment_hash.0)).or_default() += amount_satoshis;
            }
        }
        carried
    }

    fn take(&self, event: &Event) -> Result<(), Unavailable> {
        match event {
            Event::PaymentClaimable { payment_hash, claimable_amount_msat, claim_deadline, .. } => {
                let hash = PaymentHash(payment_hash.0);
                self.payment_arrived(hash, Msat(*claimable_amount_msat), *claim_deadline)
            }
            Event::PaymentReceived { payment_hash, amount_msat, .. } => {
                self.payment_claimed(PaymentHash(payment_hash.0), Msat(*amount_msat))
            }
            Event::PaymentSuccessful { payment_hash, payment_preimage, fee_paid_msat, .. } => {
                let (hash, fee) = (PaymentHash(payment_hash.0), Msat(fee_paid_msat.unwrap_or(0)));
                payment_preimage.map_or(Ok(()), |preimage| self.payment_sent(hash, preimage, fee))
            }
            Event::PaymentFailed { payment_hash: Some(hash), reason, .. } => {
                self.payment_failed(PaymentHash(hash.0), *reason)
            }
            Event::PaymentFailed { payment_hash: None, .. } => Ok(()),
            Event::ChannelPending { .. }
            | Event::ChannelReady { .. }
            | Event::ChannelClosed { .. }
            | Event::SplicePending { .. }
            | Event::SpliceFailed { .. }
            | Event::PaymentForwarded { .. } => {
                tracing::info!(?event, "the Lightning node");
                Ok(())
            }
        }
    }

    /// Dials peers that are not there. The side that did not open a channel would wait for a minute.
    fn dial(&self) {
        let known = self.node.list_peers();
        let missing = |peer: &Peer| !known.iter().any(|known| known.node_id == peer.id && known.is_connected);
        let stored = known.iter().filter(|peer| peer.is_persisted);
        let stored = stored.map(|peer| Peer { id: peer.node_id, address: peer.address.clone() });
        for peer in self.peers.iter().cloned().chain(stored).filter(missing) {
            if let Err(error) = self.node.connect(peer.id, peer.address.clone(), true) {
                tracing::debug!(%peer, %error, "a peer does not answer");
            }
        }
    }
}

/// Looks after the node until it is told to stop. What cannot be written down is tried again: an event stays in LDK's
/// queue until it is.
pub(super) async fn keep(core: Arc<Core>, mut stopped: watch::Receiver<bool>) {
    let mut mended: Option<Instant> = None;
    loop {
        let event = tokio::select! {
            _ = stopped.changed() => return,
            event = core.node.next_event_async() => Some(event),
            () = tokio::time::sleep(LOOK_EVERY) => None,
        };
        let must_mend = event.is_none() && mended.is_none_or(|at| at.elapsed() >= MEND_EVERY);
        let is_first = mended.is_none();
        if must_mend {
            mended = Some(Instant::now());
        }
        let worker = core.clone();
        let done = tokio::task::spawn_blocking(move || {
            if let Some(event) = event {
                worker.take(&event)?;
                worker.node.event_handled().map_err(|error| Unavailable(error.to_string()))?;
            }
            worker.expire()?;
            if must_mend {
                worker.dial();
                worker.mend(is_first)?;
            }
            Ok::<_, Unavailable>(())
        });
        match done.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "the Lightning node cannot write; it tries again");
                tokio::time::sleep(LOOK_EVERY).await;
            }
            // The runtime goes down.
            Err(_) => return,
        }
    }
}

/// Waits until the wallets have seen the chain, however long that is while there is progress: before, a balance is one of
/// yesterday.
fn catch_up(node: &Node, started_at_s: u64) -> Result<(), OpenError> {
    let (mut height, mut moved_at) = (0, Instant::now());
    loop {
        let status = node.status();
        let synced =
            [status.latest_lightning_wallet_sync_timestamp, status.latest_onchain_wallet_sync_timestamp];
        if synced.iter().all(|at| at.is_some_and(|at| at >= started_at_s)) {
            return Ok(());
        }
        if status.current_best_block.height != height {
            (height, moved_at) = (status.current_best_block.height, Instant::now());
        }
        if moved_at.elapsed() > CHAIN_PATIENCE {
            return Err(OpenError::Start(format!("nothing new from the chain source after block {height}")));
        }
        std::thread::sleep(LOOK_EVERY / 10);
    }
}

fn build(config: &LdkConfig, folder: &Folder, seed: &Seed, store: Arc<DynStore>) -> Result<Node, OpenError> {
    let failed = |error: ldk_node::BuildError| OpenError::Build(error.to_string());
    let ldk = Config {
        storage_dir_path: config.dir.display().to_string(),
        network: folder.network,
        ..Config::default()
    };
    let mut builder = Builder::from_config(ldk);
    builder.set_entropy_seed_bytes(*seed.bytes());
    builder.set_filesystem_logger(None, Some(LogLevel::Info));
    // The network learns the name of nodes that others can reach only.
    if !config.listen.is_empty() {
        builder.set_node_alias(config.alias.clone()).map_err(failed)?;
        let addresses = config.listen.iter().map(|address| (*address).into()).collect();
        builder.set_listening_addresses(addresses).map_err(failed)?;
    }
    match &config.chain {
        ChainSource::Bitcoind { host, port, auth } => {
            let auth = auth.read()?;
            let (user, password) = auth
                .split_once(':')
                .ok_or_else(|| OpenError::Build("bitcoind's secret is not USER:PASSWORD".into()))?;
            builder.set_chain_source_bitcoind_rpc(host.clone(), *port, user.into(), password.into());
        }
        ChainSource::Esplora { url } => {
            builder.set_chain_source_esplora(url.clone(), Some(EsploraSyncConfig::default()));
        }
    }
    builder.build_with_store(store).map_err(failed)
}

/// The node's own key as LDK derives it: BIP-32's master key of the seed is the seed of LDK's keys.
fn node_key(folder: &Folder, seed: &Seed) -> Result<SecretKey, OpenError> {
    let master = Xpriv::new_master(folder.network, seed.bytes().as_ref())
        .map_err(|error| OpenError::Build(error.to_string()))?;
    Ok(KeysManager::new(&master.private_key.secret_bytes(), 0, 0, true).get_node_secret_key())
}

/// The time, for expiries.
pub(super) fn now() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
