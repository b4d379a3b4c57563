//! What `/metrics` tells, in the OpenMetrics text format.

use crate::venue::{Admitted, Refusal};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// All counters. Cheap to update from anywhere.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    statements: Family<OutcomeLabel, Counter>,
    pub(super) requests: Family<RequestLabel, Counter>,
    pub(super) sync_seconds: Histogram,
    pub(super) group_size: Histogram,
    pub(super) read_only: Gauge,
    pub(super) position: Gauge,
    pub(super) public_events: Gauge,
    pub(super) parties: Gauge,
    pub(super) offers: Gauge,
    pub(super) open_leases: Gauge,
    pub(super) open_jobs: Gauge,
    pub(super) liabilities_msat: Gauge,
    pub(super) node_balance_msat: Gauge,
    pub(super) solvent: Gauge,
    pub(super) operator_msat: Gauge,
    pub(super) owes_msat: Gauge,
    pub(super) withheld_paid_msat: Gauge,
    pub(super) polls: Gauge,
    pub(super) streams: Gauge,
    pub(super) blob_bytes: Gauge,
}

/// How a statement ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// A kind of request and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabel {
    pub(super) route: String,
    pub(super) status: u16,
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("grist"),
            statements: Family::default(),
            requests: Family::default(),
            sync_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            group_size: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            read_only: Gauge::default(),
            position: Gauge::default(),
            public_events: Gauge::default(),
            parties: Gauge::default(),
            offers: Gauge::default(),
            open_leases: Gauge::default(),
            open_jobs: Gauge::default(),
            liabilities_msat: Gauge::default(),
            node_balance_msat: Gauge::default(),
            solvent: Gauge::default(),
            operator_msat: Gauge::default(),
            owes_msat: Gauge::default(),
            withheld_paid_msat: Gauge::default(),
            polls: Gauge::default(),
            streams: Gauge::default(),
            blob_bytes: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("statements", "Statements by outcome", self.statements.clone());
        registry.register("requests", "Requests by route and status", self.requests.clone());
        registry.register("sync_seconds", "Time until a group was durable", self.sync_seconds.clone());
        registry.register("group_size", "Statements in a group", self.group_size.clone());
        let gauges = [
            ("read_only", "1 when the disk is full", &self.read_only),
            ("journal_position", "Last durable journal entry", &self.position),
            ("public_events", "Events in the public log", &self.public_events),
            ("parties", "Registered parties", &self.parties),
            ("offers", "Standing offers", &self.offers),
            ("open_leases", "Leases that are not closed", &self.open_leases),
            ("open_jobs", "Jobs that are not settled", &self.open_jobs),
            ("liabilities_msat", "What the venue owes", &self.liabilities_msat),
            ("node_balance_msat", "What its Lightning node holds", &self.node_balance_msat),
            ("solvent", "1 while the node holds what the venue owes", &self.solvent),
            ("operator_msat", "The operator's money", &self.operator_msat),
            (
                "owes_msat",
                "What the venue owes for audit links that it withheld; verified jobs are refused meanwhile",
                &self.owes_msat,
            ),
            (
                "withheld_paid_msat",
                "What it paid for withheld links into jobs that are not forgotten yet",
                &self.withheld_paid_msat,
            ),
            ("polls", "Machines that wait for work", &self.polls),
            ("streams", "Open event streams", &self.streams),
            ("blob_bytes", "Bytes of stored blobs", &self.blob_bytes),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
    }

    pub(super) fn count_statement(&self, result: &Result<Admitted, Refusal>) {
        let outcome = match result {
            Ok(admitted) if admitted.duplicate => "duplicate",
            Ok(_) => "accepted",
            Err(Refusal::Rejected(rejection)) => rejection.code(),
            Err(Refusal::DiskFull) => "read_only",
        };
        self.statements.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// The text; `None` when it cannot be written.
    pub(super) fn text(&self) -> Option<String> {
        let mut text = String::new();
        encode(&mut text, &self.registry).ok()?;
        Some(text)
    }
}

/// Counts one up for as long as it lives.
pub(super) struct Counted(Gauge);

impl Counted {
    pub(super) fn new(gauge: &Gauge) -> Counted {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
