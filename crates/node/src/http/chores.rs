//! What runs beside the market: snapshots on a copy, the collection of blobs, tidying up.

use super::{shared::App, writer};
use crate::{
    journal::Position,
    venue::{self, Floor},
};
use std::{path::PathBuf, time::Duration};

/// How often there is a look around.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Looks after everything until the market stops.
pub(super) async fn look_after(app: App, data_dir: PathBuf, snapshot_every: u64) {
    let mut last_snapshot = app.read(Floor::durable).await.unwrap_or(0);
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        app.guards.tidy();
        app.pokes.tidy();
        collect_blobs(&app).await;
        match app.gate.rotate_when_due() {
            Ok(true) => tracing::info!("tokens are signed with a new root key"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the root key of tokens could not be changed"),
        }
        // A replay begins after the snapshot, and could not make again what the archive does not have yet.
        let archived = app.archived.borrow().position;
        if archived.saturating_sub(last_snapshot) >= snapshot_every {
            last_snapshot = archived;
            snapshot(&app, &data_dir, archived).await;
        }
    }
}

async fn collect_blobs(app: &App) {
    let Ok(in_use) = app.read(Floor::blobs_in_use).await else { return };
    match app.blobs.collect(&in_use, writer::now()).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "blobs that nobody needs are deleted"),
        Err(error) => tracing::warn!(%error, "blobs could not be collected"),
    }
}

/// Made from the journal's files, so that the writer never waits for it.
async fn snapshot(app: &App, data_dir: &std::path::Path, upto: u64) {
    let (journal, snapshots, key) = (data_dir.join("journal"), data_dir.join("snapshots"), app.venue);
    let made =
        tokio::task::spawn_blocking(move || venue::make_snapshot(&journal, &snapshots, key, Position(upto)));
    match made.await {
        Ok(Ok(Some(position))) => tracing::info!(%position, "a snapshot was made"),
        Ok(Ok(None)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "no snapshot could be made; the journal has everything"),
        Err(error) => tracing::warn!(%error, "no snapshot could be made; the journal has everything"),
    }
}
