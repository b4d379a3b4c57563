//! Tokens about leases: given to the parties of a lease, made narrower by them for somebody else, and checked where a lease
//! is read.

use super::{
    extract::{Id, JsonBody},
    failure::Failure,
    shared::App,
    tolls::{given, presented},
    writer,
};
use crate::api::{LeaseResult, LeaseRight, TokenGiven, TokenRequest, TokenView};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Uri},
};
use market::{id::LeaseId, units::TimeMs};

pub(super) async fn give(
    State(app): State<App>,
    headers: HeaderMap,
    Id(lease): Id<LeaseId>,
    JsonBody(request): JsonBody<TokenRequest>,
) -> Result<Json<TokenGiven>, Failure> {
    let party = app.party(&headers).await?;
    if !app.read(|floor| floor.has_part_in(party, lease)).await? {
        return Err(Failure::not_found(format_args!("{lease} that you have a part in")));
    }
    if request.can.is_empty() {
        return Err(Failure::bad_request("a token has to allow something: `status` or `logs`"));
    }
    let lasts_ms = request.valid_until_ms.since(writer::now());
    let can = request.can.iter().map(|right| right.word().to_owned()).collect();
    let token = app.gate.grant(lease, can, lasts_ms).map_err(|e| Failure::internal(e.to_string()))?;
    Ok(Json(TokenGiven { token: token.to_base64() }))
}

pub(super) async fn look(State(app): State<App>, headers: HeaderMap) -> Result<Json<TokenView>, Failure> {
    let token = presented(&headers)?.ok_or_else(|| {
        Failure::unauthorized(
            "this needs a token: in the header `Macaroon`, in hex, or `Authorization: L402 …`",
        )
    })?;
    let rights = app.gate.rights(&token).map_err(|error| Failure::forbidden(error.to_string()))?;
    Ok(Json(TokenView {
        token_id: token.identifier().token.to_string(),
        is_bought: !token.identifier().is_unpaid(),
        can: rights.capabilities.into_iter().flatten().collect(),
        valid_until_ms: TimeMs(rights.valid_until_s.unwrap_or(0).saturating_mul(1_000)),
        lease: rights.lease,
        path: rights.path,
        max_uses: rights.uses.iter().map(|limit| limit.max).min(),
    }))
}

pub(super) async fn results(
    State(app): State<App>,
    headers: HeaderMap,
    uri: Uri,
    Id(lease): Id<LeaseId>,
) -> Result<Json<Vec<LeaseResult>>, Failure> {
    let may_read = match presented(&headers)? {
        Some(token) => given(&app, &token, uri.path(), &LeaseRight::ALL).await?.0 == lease,
        None => {
            let party = app.party(&headers).await?;
            app.read(|floor| floor.has_part_in(party, lease)).await?
        }
    };
    let results = app.read(|floor| floor.lease_results(lease)).await?.filter(|_| may_read);
    results.map(Json).ok_or_else(|| {
        Failure::not_found(format_args!("{lease} that you may read; leases are forgotten with their jobs"))
    })
}
