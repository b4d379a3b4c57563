//! What speaks to LND, what it remembers, and the task that looks after both.

use super::{
    LndConfig, OpenError,
    records::{Records, Turn},
    rest::{CallError, Rest},
    wire,
};
use crate::{
    folder,
    node::{Network, NodeBalance, NodeInfo, Unavailable},
};
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// How often something is looked at that nobody asks for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many invoices, and how many payments, are looked at each time, so that LND has time for others. What is due comes first.
const LOOKS_MAX: usize = 50;
/// After so many failures the rest waits for the next look.
const FAILURES_MAX: usize = 3;

/// What tells the time.
pub(super) type Clock = dyn Fn() -> TimeMs + Send + Sync;

/// A way to an LND, and what is remembered beside it.
pub(super) struct Core {
    pub(super) rest: Rest,
    pub(super) info: NodeInfo,
    clock: Arc<Clock>,
    records: Mutex<Records>,
    /// After which hash the next look begins. One looks at a time.
    looked_to: tokio::sync::Mutex<PaymentHash>,
}

impl Core {
    pub(super) async fn open(config: &LndConfig, clock: Arc<Clock>) -> Result<Core, OpenError> {
        let rest = Rest::open(config)?;
        let said: wire::Info = rest.get("/v1/getinfo").await.map_err(|error| not_open(config, error))?;
        let network = said.network().map_err(OpenError::NoSuchNetwork)?;
        if network == Network::Bitcoin && !config.allow_real_money {
            return Err(folder::FolderError::RealMoney.into());
        }
        // It names a folder.
        if said.identity_pubkey.len() != 66 || !said.identity_pubkey.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(OpenError::NotLnd(config.address.to_string()));
        }
        let dir = config.dir.join(&said.identity_pubkey);
        folder::create_private(&dir)?;
        folder::mark_network(&config.dir, network)?;
        let records = tokio::task::spawn_blocking(move || Records::open(&dir)).await;
        let records = records.map_err(|error| Unavailable(error.to_string()))??;
        let play_money = network != Network::Bitcoin;
        let info = NodeInfo { id: said.identity_pubkey, alias: said.alias, network, play_money };
        let (records, looked_to) = (Mutex::new(records), tokio::sync::Mutex::new(PaymentHash([0; 32])));
        Ok(Core { rest, info, clock, records, looked_to })
    }

    pub(super) fn now(&self) -> TimeMs {
        (self.clock)()
    }

    /// Does something with the records, where it may wait for the disk.
    pub(super) async fn records<T: Send + 'static>(
        self: &Arc<Core>,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T, Unavailable> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let core = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            // A panic elsewhere leaves the records as they were written: nothing is changed in memory before.
            let mut records = core.records.lock().unwrap_or_else(PoisonError::into_inner);
            records.with(work)
        });
        done.await.map_err(|error| Unavailable(error.to_string()))?
    }

    /// What the channels have. Their reserves are part of it: about a hundredth that cannot be sent.
    pub(super) async fn balance(&self) -> Result<NodeBalance, Unavailable> {
        let said: wire::ChannelBalance = self.rest.get("/v1/balance/channels").await?;
        let in_flight = Msat(said.unsettled_remote_balance.msat);
        Ok(NodeBalance { spendable: Msat(said.local_balance.msat), in_flight })
    }

    /// Looks at what nobody asks for: gives back what was held for long enough, and takes up what a crash interrupted.
    pub(super) async fn tend(self: &Arc<Core>) -> Result<(), Unavailable> {
        let mut looked_to = self.looked_to.lock().await;
        let (invoices, payments) =
            self.records(|turn| Ok((turn.live_invoices(), turn.undecided_payments()))).await?;
        let now = self.now();
        let (due, waiting): (Vec<_>, Vec<_>) =
            invoices.into_iter().partition(|(_, record)| record.due(now).is_some());
        let waiting: Vec<PaymentHash> = waiting.into_iter().map(|(hash, _)| hash).collect();
        let (waiting, undecided) = (next_after(*looked_to, &waiting), next_after(*looked_to, &payments));
        // The one that got less far decides: a look too many does no harm.
        let reached = [&waiting, &undecided].into_iter().filter_map(|list| list.last()).min();
        *looked_to = reached.copied().unwrap_or(PaymentHash([0; 32]));

        // One that fails must not keep the others from their turn; where many do, LND is not there.
        let mut failures = Vec::new();
        for hash in due.into_iter().map(|(hash, _)| hash).chain(waiting) {
            failures.extend(self.invoice_record(hash).await.err());
            if failures.len() == FAILURES_MAX {
                break;
            }
        }
        for hash in undecided {
            if failures.len() == FAILURES_MAX {
                break;
            }
            failures.extend(self.mend(hash).await.err());
        }
        failures.into_iter().next().map_or(Ok(()), Err)
    }
}

/// The next ones of a sorted list, round and round.
fn next_after(after: PaymentHash, sorted: &[PaymentHash]) -> Vec<PaymentHash> {
    let start = sorted.partition_point(|hash| *hash <= after);
    sorted[start..].iter().chain(&sorted[..start]).take(LOOKS_MAX).copied().collect()
}

/// Looks after the node until it is told to stop, or nobody has it any more.
pub(super) async fn keep(core: std::sync::Weak<Core>, mut stopped: watch::Receiver<bool>) {
    let mut was_well = true;
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let Some(core) = core.upgrade() else { return };
        let done = core.tend().await;
        match (&done, was_well) {
            (Err(error), true) => tracing::error!(%error, "LND is not looked after; it is tried again"),
            (Ok(()), false) => tracing::info!("LND is looked after again"),
            (Err(_), false) | (Ok(()), true) => {}
        }
        was_well = done.is_ok();
    }
}

fn not_open(config: &LndConfig, error: CallError) -> OpenError {
    match error {
        CallError::OtherCertificate(address) => {
            OpenError::OtherCertificate { address, certificate: config.certificate.to_string() }
        }
        CallError::Denied(reason) => OpenError::Denied(reason),
        CallError::NotSent { address, reason } => OpenError::Unreachable { address, reason },
        CallError::NoAnswer(reason) => OpenError::Unreachable { address: config.address.to_string(), reason },
        CallError::Refused(status) => {
            OpenError::Unreachable { address: config.address.to_string(), reason: status.message }
        }
    }
}

/// The time, for expiries.
pub(super) fn system_clock() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_gets_its_turn() {
        let hashes: Vec<PaymentHash> = (0..120).map(|first| PaymentHash([first; 32])).collect();
        let (mut after, mut seen) = (PaymentHash([0; 32]), std::collections::BTreeSet::new());
        for _ in 0..3 {
            let next = next_after(after, &hashes);
            assert_eq!(next.len(), LOOKS_MAX);
            after = *next.last().unwrap();
            seen.extend(next);
        }
        assert_eq!(seen.len(), 120);
        assert_eq!(next_after(after, &hashes[..3]).len(), 3);
        assert!(next_after(after, &[]).is_empty());
    }
}
