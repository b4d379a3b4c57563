//! `GET /v1/work`: machines ask for their work and wait until there is something else to tell.

use super::{
    extract::Params,
    failure::Failure,
    metrics::Counted,
    shared::{App, Shared},
    writer,
};
use crate::{api::WorkView, venue::reads::Reader};
use axum::{Json, extract::State, http::HeaderMap};
use market::id::MachineId;
use serde::Deserialize;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// The longest that a machine may wait, in milliseconds.
const WAIT_MAX_MS: u64 = 30_000;
/// How often a machine that waits counts as heard of, within the time after which it would be lost.
const SIGNS_OF_LIFE: u64 = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkQuery {
    machine: MachineId,
    revision: Option<u64>,
    #[serde(default)]
    wait_ms: u64,
}

pub(super) async fn work(
    State(app): State<App>,
    headers: HeaderMap,
    Params(query): Params<WorkQuery>,
) -> Result<Json<WorkView>, Failure> {
    let reader = app.reader(&headers).await?;
    if !matches!(reader, Reader::Machine(machine, _) if machine == query.machine) {
        return Err(Failure::forbidden(
            "only the machine itself can ask for its work: sign the read token with its key",
        ));
    }
    let _place = app.guards.poll()?;
    let _counted = Counted::new(&app.metrics.polls);
    let bell = app.pokes.bell(query.machine);
    let end = Instant::now() + Duration::from_millis(query.wait_ms.min(WAIT_MAX_MS));
    let beat = Duration::from_millis((app.lost_after_ms / SIGNS_OF_LIFE).max(1));
    loop {
        // Heard of for as long as the connection stands: when it breaks, this future is dropped.
        app.writer.heard(query.machine);
        let rung = bell.notified();
        tokio::pin!(rung);
        // From here on no ring is missed.
        rung.as_mut().enable();
        let view = look(&app, query.machine).await?;
        if query.revision != Some(view.revision) || Instant::now() >= end {
            return Ok(Json(view));
        }
        let next_beat = (Instant::now() + beat).min(end);
        tokio::select! {
            () = app.stopping.cancelled() => return Ok(Json(view)),
            // Deadlines alone can make a straggler claimable: looked at with each beat, too.
            _ = timeout_at(next_beat, rung) => {}
            () = sleep_until(end) => {}
        }
    }
}

async fn look(app: &Shared, machine: MachineId) -> Result<WorkView, Failure> {
    let view = app.read(|floor| floor.work(machine)).await?;
    let view = view.ok_or_else(|| Failure::not_found(machine))?;
    Ok(WorkView { now_ms: writer::now(), ..view })
}
