//! Receipts: written to a folder when a job is settled, kept after the market has forgotten the job.

use super::{extract::Id, failure::Failure, files, shared::App};
use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use market::{
    id::{JobId, PartyId},
    receipt::Receipt,
};
use std::{io, path::Path};

pub(super) async fn receipt(
    State(app): State<App>,
    headers: HeaderMap,
    Id(job): Id<JobId>,
) -> Result<Response, Failure> {
    let party = app.reading_party(&headers).await?;
    let missing = || {
        Failure::not_found(format_args!(
            "receipt of a {job} that you had a part in; a job has one once it is settled"
        ))
    };
    let text = match tokio::fs::read(app.receipts.join(file_name(job))).await {
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

/// Writes a receipt, unless it is there from before: the first one stays, since a replay makes the same story with a
/// later head.
pub(super) fn store(folder: &Path, receipt: &Receipt) -> io::Result<()> {
    let file = folder.join(file_name(receipt.body.job));
    if file.exists() { Ok(()) } else { files::replace(&file, &serde_json::to_vec(receipt)?) }
}

fn has_part_in(receipt: &Receipt, party: PartyId) -> bool {
    let body = &receipt.body;
    body.buyer == party || body.leases.iter().any(|lease| lease.party == party)
}

fn file_name(job: JobId) -> String {
    format!("{job}.json")
}
