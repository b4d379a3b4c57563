//! What an operator does with a node: money on chain, channels, peers, history.

use super::{
    LdkNode,
    config::Peer,
    core::Core,
    records::{Closed, InvoiceStage, PaymentStage},
};
use crate::node::{NodeBalance, Unavailable};
use ldk_node::{BalanceDetails, LightningBalance, NodeError, PendingSweepBalance};
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use serde::Serialize;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The node said no.
    #[error("the Lightning node refuses: {0}")]
    Node(String),
    /// Too little on chain.
    #[error(
        "there is too little confirmed money on chain for the channel, its fees and the reserve of 25,000 sat: send some to `address` and wait for a block"
    )]
    TooLittleOnChain,
    /// The peer does not answer.
    #[error("the peer does not answer: check its key and address")]
    NoPeer,
    /// No such channel.
    #[error("no channel is called {0}: list them")]
    NoChannel(String),
    /// See [`Unavailable`].
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl OperatorError {
    pub(super) fn of(error: NodeError) -> OperatorError {
        match error {
            NodeError::InsufficientFunds => OperatorError::TooLittleOnChain,
            NodeError::ConnectionFailed => OperatorError::NoPeer,
            other => OperatorError::Node(other.to_string()),
        }
    }
}

/// All the money of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WalletBalance {
    /// What channels can send, and what they are sending.
    pub lightning: NodeBalance,
    /// On chain, confirmed and not needed as a reserve for closing channels.
    pub on_chain_sat: u64,
    /// On chain, all of it.
    pub on_chain_total_sat: u64,
    /// In channels that are closing, until the chain releases it.
    pub closing_sat: u64,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Channel {
    /// What [`LdkNode::close`] calls it.
    pub id: String,
    /// The node at the other end.
    pub peer: String,
    /// Its size.
    pub value_sat: u64,
    /// What can be sent.
    pub outbound_msat: u64,
    /// What can be sent in one payment now: the peer limits what is in flight.
    pub outbound_at_once_msat: u64,
    /// What can be received.
    pub inbound_msat: u64,
    /// Whether its funding is confirmed.
    pub is_ready: bool,
    /// Whether it can be used now: ready, and the peer is there.
    pub is_usable: bool,
    /// Whether the network knows it.
    pub is_announced: bool,
    /// Blocks on top of its funding, and how many it needs.
    pub confirmations: Option<u32>,
    /// See `confirmations`.
    pub confirmations_required: Option<u32>,
}

/// A known peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerStatus {
    /// `KEY@HOST:PORT`.
    pub peer: String,
    /// Whether it is there.
    pub is_connected: bool,
}

/// Which way money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Movement {
    /// An invoice of this node.
    In,
    /// A payment by this node.
    Out,
}

/// An invoice or a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryRow {
    /// When it was made.
    pub at: TimeMs,
    /// Which way.
    pub movement: Movement,
    /// What it is known by.
    pub payment_hash: PaymentHash,
    /// How much, without fees.
    pub amount_msat: Msat,
    /// What became of it, in a word.
    pub state: &'static str,
    /// What routing cost; zero for what came in.
    pub fee_msat: Msat,
}

impl LdkNode {
    /// A new address for money on chain.
    pub async fn address(&self) -> Result<String, OperatorError> {
        self.operate(|core| {
            let address = core.node.onchain_payment().new_address();
            address.map(|address| address.to_string()).map_err(OperatorError::of)
        })
        .await
    }

    /// All the money.
    pub async fn wallet(&self) -> Result<WalletBalance, OperatorError> {
        self.operate(|core| {
            let all = core.node.list_balances();
            Ok(WalletBalance {
                lightning: core.balance(),
                on_chain_sat: all.spendable_onchain_balance_sats,
                on_chain_total_sat: all.total_onchain_balance_sats,
                closing_sat: closing(&all),
            })
        })
        .await
    }

    /// Looks at the chain now rather than with the next round.
    pub async fn sync(&self) -> Result<(), OperatorError> {
        self.operate(|core| core.node.sync_wallets().map_err(OperatorError::of)).await
    }

    /// The height of the chain as the node sees it.
    pub fn height(&self) -> u32 {
        self.core.height()
    }

    /// Where others reach this node, if it listens.
    pub fn reachable_at(&self) -> Vec<String> {
        let id = self.core.node.node_id();
        let addresses = self.core.node.listening_addresses().unwrap_or_default();
        addresses.iter().map(|address| format!("{id}@{address}")).collect()
    }

    /// The known peers.
    pub async fn peers(&self) -> Result<Vec<PeerStatus>, OperatorError> {
        self.operate(|core| {
            let peers = core.node.list_peers().into_iter();
            Ok(peers
                .map(|peer| PeerStatus {
                    peer: Peer { id: peer.node_id, address: peer.address }.to_string(),
                    is_connected: peer.is_connected,
                })
                .collect())
        })
        .await
    }

    /// Connects to a node, and again whenever it is lost.
    pub async fn connect(&self, peer: Peer) -> Result<(), OperatorError> {
        self.operate(move |core| core.node.connect(peer.id, peer.address, true).map_err(OperatorError::of))
            .await
    }

    /// Opens a channel of `value_sat` with a peer, of which `push` is given to it. Announced channels are known to the
    /// network and carry payments of others, and accept a tenth of their size in flight. The channel can be used once its
    /// funding is confirmed.
    pub async fn open_channel(
        &self,
        peer: Peer,
        value_sat: u64,
        push: Msat,
        is_announced: bool,
    ) -> Result<(), OperatorError> {
        self.operate(move |core| {
            let (node, push) = (&core.node, Some(push.0));
            let opened = if is_announced {
                node.open_announced_channel(peer.id, peer.address, value_sat, push, None)
            } else {
                node.open_channel(peer.id, peer.address, value_sat, push, None)
            };
            opened.map(|_| ()).map_err(OperatorError::of)
        })
        .await
    }

    /// The channels.
    pub async fn channels(&self) -> Result<Vec<Channel>, OperatorError> {
        self.operate(|core| Ok(core.node.list_channels().iter().map(Channel::of).collect())).await
    }

    /// Closes a channel: together with the peer, or by `force` alone, which costs more and takes its time.
    pub async fn close(&self, id: String, force: bool) -> Result<(), OperatorError> {
        self.operate(move |core| {
            let channels = core.node.list_channels();
            let channel = channels.iter().find(|channel| channel.channel_id.to_string() == id);
            let channel = channel.ok_or(OperatorError::NoChannel(id))?;
            let (own_id, peer) = (&channel.user_channel_id, channel.counterparty_node_id);
            let closed = if force {
                core.node.force_close_channel(own_id, peer, None)
            } else {
                core.node.close_channel(own_id, peer)
            };
            closed.map_err(OperatorError::of)
        })
        .await
    }

    /// Invoices and payments, oldest first.
    pub async fn history(&self) -> Result<Vec<HistoryRow>, OperatorError> {
        self.operate(|core| {
            let (invoices, payments) = {
                let records = core.records();
                (records.invoices()?, records.payments()?)
            };
            let mut rows: Vec<HistoryRow> = invoices
                .into_iter()
                .map(|(payment_hash, record)| HistoryRow {
                    at: record.made_at,
                    movement: Movement::In,
                    payment_hash,
                    amount_msat: record.amount,
                    state: invoice_word(record.stage),
                    fee_msat: Msat::ZERO,
                })
                .collect();
            rows.extend(payments.into_iter().map(|(payment_hash, record)| HistoryRow {
                at: record.begun_at,
                movement: Movement::Out,
                payment_hash,
                amount_msat: record.amount,
                state: payment_word(record.stage),
                fee_msat: match record.stage {
                    PaymentStage::Succeeded { fee, .. } => fee,
                    PaymentStage::Intended | PaymentStage::Sent | PaymentStage::Failed { .. } => Msat::ZERO,
                },
            }));
            rows.sort_by_key(|row| (row.at, row.payment_hash));
            Ok(rows)
        })
        .await
    }

    pub(super) async fn operate<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Core) -> Result<T, OperatorError> + Send + 'static,
    ) -> Result<T, OperatorError> {
        self.blocking(work).await?
    }
}

impl Channel {
    fn of(channel: &ldk_node::ChannelDetails) -> Channel {
        Channel {
            id: channel.channel_id.to_string(),
            peer: channel.counterparty_node_id.to_string(),
            value_sat: channel.channel_value_sats,
            outbound_msat: channel.outbound_capacity_msat,
            outbound_at_once_msat: channel.next_outbound_htlc_limit_msat,
            inbound_msat: channel.inbound_capacity_msat,
            is_ready: channel.is_channel_ready,
            is_usable: channel.is_usable,
            is_announced: channel.is_announced,
            confirmations: channel.confirmations,
            confirmations_required: channel.confirmations_required,
        }
    }
}

/// What the chain still holds back: balances of closed channels, and sweeps that are not buried yet.
fn closing(all: &BalanceDetails) -> u64 {
    let in_closed = all.lightning_balances.iter().map(|balance| match balance {
        LightningBalance::ClaimableAwaitingConfirmations { amount_satoshis, .. }
        | LightningBalance::ContentiousClaimable { amount_satoshis, .. } => *amount_satoshis,
        LightningBalance::ClaimableOnChannelClose { .. }
        | LightningBalance::MaybeTimeoutClaimableHTLC { .. }
        | LightningBalance::MaybePreimageClaimableHTLC { .. }
        | LightningBalance::CounterpartyRevokedOutputClaimable { .. } => 0,
    });
    let swept = all.pending_balances_from_channel_closures.iter().map(|sweep| match sweep {
        PendingSweepBalance::PendingBroadcast { amount_satoshis, .. }
        | PendingSweepBalance::BroadcastAwaitingConfirmation { amount_satoshis, .. }
        | PendingSweepBalance::AwaitingThresholdConfirmations { amount_satoshis, .. } => *amount_satoshis,
    });
    in_closed.chain(swept).sum()
}

fn invoice_word(stage: InvoiceStage) -> &'static str {
    match stage {
        InvoiceStage::Open => "open",
        InvoiceStage::Held { .. } => "held",
        InvoiceStage::Claiming { .. } => "claiming",
        InvoiceStage::Paid { .. } => "paid",
        InvoiceStage::Closed { why: Closed::Cancelled, .. } => "cancelled",
        InvoiceStage::Closed { why: Closed::Expired, .. } => "expired",
    }
}

fn payment_word(stage: PaymentStage) -> &'static str {
    match stage {
        PaymentStage::Intended | PaymentStage::Sent => "under way",
        PaymentStage::Succeeded { .. } => "paid",
        PaymentStage::Failed { .. } => "failed",
    }
}
