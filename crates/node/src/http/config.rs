//! How a market is run.

use super::blob_store::BlobLimits;
use market::units::Msat;
use pay::{LightningNode, dev::DevNetwork};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

/// Everything that [`super::serve`] has to know.
#[derive(Clone)]
pub struct MarketConfig {
    /// Where everything is kept: `venue.key`, `journal/`, `snapshots/`, `blobs/`, `receipts/`, `payments/`.
    pub data_dir: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The host that others reach it under, for the address that it prints; by default the one it listens on.
    pub public_host: Option<String>,
    /// For people.
    pub name: String,
    /// How connections are encrypted.
    pub tls: Tls,
    /// The Lightning node behind it.
    pub payments: Payments,
    /// The rules that are to be in force; by default those that are, and in a new market those recommended.
    pub rules_version: Option<u32>,
    /// The most that the market holds for one party: its balance, withheld pay, bond and open top-ups. Never more than the rules
    /// allow.
    pub max_balance: Option<Msat>,
    /// A machine that was not heard of for so long is lost, in milliseconds.
    pub lost_after_ms: u64,
    /// What reading costs.
    pub prices: Prices,
    /// Keeps its audit links to itself, as a dishonest operator would. For tests.
    pub withholds_links: bool,
    /// Limits.
    pub limits: Limits,
    /// A snapshot is made after so many entries.
    pub snapshot_every: u64,
}

/// How connections are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Not on loopback; elsewhere as [`Tls::VenueKey`].
    Auto,
    /// Not at all. Refused anywhere but on loopback.
    Off,
    /// A certificate made on the spot that carries the venue's key; the address pins it.
    VenueKey,
    /// The operator's certificate chain and key, PEM files.
    Files {
        /// The chain.
        certificates: PathBuf,
        /// The key.
        key: PathBuf,
    },
}

/// The Lightning node behind a market.
#[derive(Clone)]
pub enum Payments {
    /// Play money in this process, kept in the data folder.
    Dev,
    /// Play money on a network that whoever starts the market keeps: for tests that move its clock and let things go wrong.
    DevNetwork(DevNetwork),
    /// A node.
    Node(Arc<dyn LightningNode>),
}

/// What a market charges for reading, with L402. Nothing, unless its operator says otherwise: a market lives from its share
/// of the work, and whoever looks around should not meet an invoice first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prices {
    /// A blob, for each MiB begun, for those who have no part in it; 0 shows blobs to every registered party.
    pub blob_msat_per_mib: Msat,
    /// An hour of the live stream of offers; 0 is free.
    pub offer_stream_msat: Msat,
}

/// Limits of a market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests a second from one address; a thousand times as many on loopback.
    pub requests_per_second: u32,
    /// Statements a second by one key.
    pub statements_per_second: u32,
    /// Requests that are served at once.
    pub concurrent_requests: u32,
    /// Machines that wait for work at once.
    pub polls: u32,
    /// Event streams at once.
    pub streams: u32,
    /// Blobs that are transferred at once.
    pub transfers: u32,
    /// How long an ordinary request may take, in milliseconds.
    pub request_timeout_ms: u64,
    /// Events that are kept for streams that come back.
    pub recent_events: usize,
    /// Limits on blobs.
    pub blobs: BlobLimits,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            requests_per_second: 100,
            statements_per_second: 5_000,
            concurrent_requests: 4_096,
            polls: 16_384,
            streams: 1_024,
            transfers: 256,
            request_timeout_ms: 30_000,
            recent_events: 65_536,
            blobs: BlobLimits {
                blob_max_bytes: 1 << 30,
                party_quota_bytes: 64 << 30,
                unused_grace_ms: 86_400_000,
            },
        }
    }
}

impl MarketConfig {
    /// A market on loopback with play money, in this folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> MarketConfig {
        MarketConfig {
            data_dir: data_dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            public_host: None,
            name: "a Gristmill market".into(),
            tls: Tls::Auto,
            payments: Payments::Dev,
            rules_version: None,
            max_balance: None,
            lost_after_ms: 15_000,
            prices: Prices::default(),
            withholds_links: false,
            limits: Limits::default(),
            snapshot_every: 100_000,
        }
    }
}
