//! Receipts and the entries of the public log, out of the archive.

use super::{
    archive::receipt_file,
    extract::{Id, Params},
    failure::Failure,
    shared::App,
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use market::{
    id::{JobId, PartyId},
    receipt::Receipt,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io;

/// The most entries of one answer.
const ENTRIES_MAX: u64 = 1_000;

pub(super) async fn receipt(
    State(app): State<App>,
    headers: HeaderMap,
    Id(job): Id<JobId>,
) -> Result<Response, Failure> {
    let party = app.member(&headers).await?;
    app.wait_until_archived().await?;
    let missing = || {
        Failure::not_found(format_args!(
            "receipt of a {job} that you had a part in; a job has one once it is settled"
        ))
    };
    let text = match tokio::fs::read(receipt_file(&app.receipts, job)).await {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
        Err(error) => return Err(Failure::internal(format!("the receipt cannot be read: {error}"))),
    };
    let receipt: Receipt = serde_json::from_slice(&text)
        .map_err(|error| Failure::internal(format!("the stored receipt is damaged: {error}")))?;
    if !has_part_in(&receipt, party) {
        return Err(missing());
    }
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

fn has_part_in(receipt: &Receipt, party: PartyId) -> bool {
    let body = &receipt.body;
    body.buyer == party || body.leases.iter().any(|lease| lease.party == party)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntriesQuery {
    start: u64,
    #[serde(default)]
    limit: Option<u64>,
}

/// The entries of the public log, verbatim what was hashed: anybody can recompute root and reputation from them.
pub(super) async fn entries(
    State(app): State<App>,
    Params(query): Params<EntriesQuery>,
) -> Result<Json<Vec<Box<RawValue>>>, Failure> {
    app.wait_until_archived().await?;
    let limit = query.limit.unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX);
    let reader = app.log.clone();
    let lines = tokio::task::spawn_blocking(move || reader.read(query.start, limit)).await;
    let failed =
        |error: &dyn std::fmt::Display| Failure::internal(format!("the public log cannot be read: {error}"));
    let lines = lines.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let entries: Result<_, _> = lines.into_iter().map(RawValue::from_string).collect();
    entries.map(Json).map_err(|error| failed(&error))
}
