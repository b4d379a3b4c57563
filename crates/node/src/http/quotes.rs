//! Questions before and after an order: what a job would cost, why an order has no leases, why an offer has no work.

use super::{
    extract::{Id, JsonBody},
    failure::Failure,
    shared::App,
};
use crate::api::{Quote, QuoteRequest};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use market::{
    engine::explain::{WhyIdle, WhyOrder},
    id::{OfferId, OrderId},
};

/// How many single offers an explanation shows.
const EXAMPLES: usize = 10;

pub(super) async fn quote(
    State(app): State<App>,
    JsonBody(request): JsonBody<QuoteRequest>,
) -> Result<Json<Quote>, Failure> {
    if let Some(flaw) = request.terms.flaw().or_else(|| request.job.flaw()) {
        return Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "flaw", flaw));
    }
    Ok(Json(app.read(|floor| floor.quote(&request)).await?))
}

pub(super) async fn why_order(
    State(app): State<App>,
    headers: HeaderMap,
    Id(order): Id<OrderId>,
) -> Result<Json<WhyOrder>, Failure> {
    let party = app.party(&headers).await?;
    let why = app.read(|floor| {
        let is_own = floor.state().orders.get(order).is_some_and(|row| row.buyer == party);
        is_own.then(|| floor.state().why_order(order, EXAMPLES)).flatten()
    });
    why.await?.map(Json).ok_or_else(|| Failure::not_found(format_args!("{order} of yours")))
}

pub(super) async fn why_idle(
    State(app): State<App>,
    Id(offer): Id<OfferId>,
) -> Result<Json<WhyIdle>, Failure> {
    let why = app.read(|floor| floor.state().why_idle(offer)).await?;
    why.map(Json).ok_or_else(|| Failure::not_found(offer))
}
