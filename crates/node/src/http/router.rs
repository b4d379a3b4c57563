//! Which path leads where.

use super::{
    blobs, events,
    failure::{Failure, STATEMENT_BODY_BYTES},
    limits, offer_stream, openapi, pages, quotes, receipts,
    shared::App,
    statements, tokens,
    tolls::{BlobTariff, StreamTariff},
    views, work,
};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use pay::l402::server::L402Layer;
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer};
use utoipa_swagger_ui::SwaggerUi;

/// All routes, with their limits.
pub(super) fn router(app: App) -> Router {
    let short = short_routes().layer(middleware::from_fn_with_state(app.clone(), limits::short));
    let nosniff = SetResponseHeaderLayer::if_not_present(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    Router::new()
        .merge(short)
        .merge(long_routes(&app))
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi::document()))
        .fallback(|| async { Failure::not_found("such page: see /docs for what there is") })
        .method_not_allowed_fallback(|| async {
            Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this page knows other methods: see /docs",
            )
        })
        .layer(middleware::from_fn_with_state(app.clone(), limits::at_the_door))
        .layer(nosniff)
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(app)
}

/// Requests that are answered at once.
fn short_routes() -> Router<App> {
    Router::new()
        .route("/", get(pages::status))
        .route("/assets/status.css", get(pages::style))
        .route("/assets/status.js", get(pages::script))
        .route("/healthz", get(views::healthz))
        .route("/metrics", get(views::metrics))
        .route("/v1/statements", post(statements::submit))
        .route("/v1/venue", get(views::venue))
        .route("/v1/board", get(views::board))
        .route("/v1/keys/{key}", get(views::key))
        .route("/v1/offers", get(views::offers))
        .route("/v1/offers/{offer}", get(views::offer))
        .route("/v1/offers/{offer}/why-idle", get(quotes::why_idle))
        .route("/v1/quotes", post(quotes::quote))
        .route("/v1/orders/{order}/why", get(quotes::why_order))
        .route("/v1/jobs", get(views::jobs))
        .route("/v1/jobs/{job}", get(views::job))
        .route("/v1/jobs/{job}/tasks", get(views::tasks))
        .route("/v1/leases/{lease}", get(views::lease))
        .route("/v1/leases/{lease}/results", get(tokens::results))
        .route("/v1/leases/{lease}/token", post(tokens::give))
        .route("/v1/token", get(tokens::look))
        .route("/v1/machines", get(views::machines))
        .route("/v1/machines/{machine}", get(views::machine))
        .route("/v1/parties/{party}", get(views::party))
        .route("/v1/account", get(views::account))
        .route("/v1/topups/{topup}", get(views::topup))
        .route("/v1/withdrawals/{withdrawal}", get(views::withdrawal))
        .route("/v1/receipts/{job}", get(receipts::receipt))
        .route("/v1/log/head", get(views::log_head))
        .route("/v1/log/entries", get(receipts::entries))
        .route("/v1/log/inclusion", get(views::inclusion))
        .route("/v1/log/consistency", get(views::consistency))
        .route("/v1/dev/pay", post(views::dev_pay))
        .route("/v1/dev/invoice", post(views::dev_invoice))
        .route("/v1/dev/lightning", post(views::dev_lightning))
        .layer(DefaultBodyLimit::max(STATEMENT_BODY_BYTES))
}

/// Requests that wait or carry much; each has limits of its own.
fn long_routes(app: &App) -> Router<App> {
    let offers = L402Layer::new(app.gate.clone(), StreamTariff(app.clone()));
    let blobs = get(blobs::get).head(blobs::head).put(blobs::put).layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/v1/work", get(work::work))
        .route("/v1/events", get(events::events))
        .route("/v1/offers/stream", get(offer_stream::offers).layer(offers))
        .route("/v1/blobs/{digest}", blobs.layer(L402Layer::new(app.gate.clone(), BlobTariff(app.clone()))))
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let what =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(what = what.unwrap_or("unknown"), "a handler panicked");
    Failure::internal("the market made a mistake; its operator finds it in the log").into_response()
}
