//! Reads.

use super::{
    extract::{Id, JsonBody, Params},
    failure::Failure,
    payments::owed,
    shared::{App, Shared},
    writer,
};
use crate::{
    api::{
        AccountView, Board, DevInvoice, DevPayment, JobView, KeyView, LeaseView, MachineView, OfferView,
        PartyView, TaskView, TopupView, VenueInfo, WithdrawalView,
    },
    client::OfferQuery,
    venue::Floor,
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use market::{
    id::{Digest, JobId, LeaseId, MachineId, OfferId, PartyId, TopupId, WithdrawalId},
    key::PublicKey,
    ledger::Account,
    log::{BeyondEnd, ConsistencyProof, InclusionProof, SignedHead},
    rules::Rules,
    units::Msat,
};
use serde::Deserialize;
use std::sync::atomic::Ordering;

type Answer<T> = Result<Json<T>, Failure>;

/// The most offers of one page.
const PAGE: usize = 1_000;

pub(super) async fn venue(State(app): State<App>) -> Answer<VenueInfo> {
    let balance = app.purse.balance().await.unwrap_or(Msat::ZERO);
    let info = app.read(|floor| venue_info(&app, floor, balance)).await?;
    Ok(Json(info))
}

fn venue_info(app: &Shared, floor: &Floor, node_balance_msat: Msat) -> VenueInfo {
    let rules: &Rules = floor.engine().rules();
    VenueInfo {
        key: app.venue,
        name: app.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        rules_version: rules.version,
        payments: app.purse.info.to_string(),
        network: app.purse.info.network,
        is_play_money: app.purse.info.play_money,
        has_faucet: app.purse.has_faucet(),
        balance_cap_msat: rules.balance_cap_msat.min(app.max_balance),
        claim_cost_msat: floor.state().claim_cost_msat,
        fee_ppm: rules.fee_ppm,
        blob_max_bytes: app.limits.blobs.blob_max_bytes,
        liabilities_msat: owed(floor.state()).0,
        node_balance_msat,
        is_solvent: !app.is_insolvent.load(Ordering::Relaxed),
        operator_msat: floor.state().ledger.available(Account::Fees),
        owes_msat: floor.state().venue_owes(),
        now_ms: writer::now(),
        position: floor.durable(),
        head: floor.head(),
    }
}

pub(super) async fn key(State(app): State<App>, Id(key): Id<PublicKey>) -> Answer<KeyView> {
    found(app.read(|floor| floor.key(&key)).await?, "such key here")
}

pub(super) async fn board(State(app): State<App>) -> Answer<Board> {
    Ok(Json(app.read(Floor::board).await?))
}

pub(super) async fn offers(
    State(app): State<App>,
    Params(query): Params<OfferQuery>,
) -> Answer<Vec<OfferView>> {
    let limit = query.limit.map_or(PAGE, |limit| limit as usize).min(PAGE);
    let offers = app.read(|floor| {
        let rows = floor.state().offers.iter_after(query.after.map_or(0, |offer| offer.0));
        let rows = rows.filter(|(_, offer)| query.machine.is_none_or(|machine| machine == offer.machine));
        let rows = rows.filter(|(_, offer)| query.party.is_none_or(|party| party == offer.party));
        rows.take(limit).filter_map(|(id, _)| floor.offer(id)).collect()
    });
    Ok(Json(offers.await?))
}

pub(super) async fn offer(State(app): State<App>, Id(id): Id<OfferId>) -> Answer<OfferView> {
    found(app.read(|floor| floor.offer(id)).await?, id)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MachinesQuery {
    party: PartyId,
}

pub(super) async fn machines(
    State(app): State<App>,
    Params(query): Params<MachinesQuery>,
) -> Answer<Vec<MachineView>> {
    Ok(Json(app.read(|floor| floor.machines_of(query.party)).await?))
}

pub(super) async fn machine(State(app): State<App>, Id(id): Id<MachineId>) -> Answer<MachineView> {
    found(app.read(|floor| floor.machine(id)).await?, id)
}

pub(super) async fn party(State(app): State<App>, Id(id): Id<PartyId>) -> Answer<PartyView> {
    found(app.read(|floor| floor.party(id)).await?, id)
}

pub(super) async fn account(State(app): State<App>, headers: HeaderMap) -> Answer<AccountView> {
    let party = app.party(&headers).await?;
    found(app.read(|floor| floor.account(party)).await?, party)
}

pub(super) async fn topup(
    State(app): State<App>,
    headers: HeaderMap,
    Id(id): Id<TopupId>,
) -> Answer<TopupView> {
    let party = app.party(&headers).await?;
    let view = app.read(|floor| floor.topup(id)).await?;
    found(view.filter(|(owner, _)| *owner == party).map(|(_, view)| view), format_args!("{id} of yours"))
}

pub(super) async fn withdrawal(
    State(app): State<App>,
    headers: HeaderMap,
    Id(id): Id<WithdrawalId>,
) -> Answer<WithdrawalView> {
    let party = app.party(&headers).await?;
    let view = app.read(|floor| floor.withdrawal(id)).await?;
    found(view.filter(|(owner, _)| *owner == party).map(|(_, view)| view), format_args!("{id} of yours"))
}

pub(super) async fn lease(State(app): State<App>, Id(id): Id<LeaseId>) -> Answer<LeaseView> {
    found(app.read(|floor| floor.lease(id)).await?, id)
}

pub(super) async fn jobs(State(app): State<App>, headers: HeaderMap) -> Answer<Vec<JobView>> {
    let party = app.party(&headers).await?;
    Ok(Json(app.read(|floor| floor.jobs_of(party)).await?))
}

pub(super) async fn job(State(app): State<App>, headers: HeaderMap, Id(id): Id<JobId>) -> Answer<JobView> {
    check_buyer(&app, &headers, id).await?;
    found(app.read(|floor| floor.job(id)).await?, id)
}

pub(super) async fn tasks(
    State(app): State<App>,
    headers: HeaderMap,
    Id(id): Id<JobId>,
) -> Answer<Vec<TaskView>> {
    check_buyer(&app, &headers, id).await?;
    found(app.read(|floor| floor.tasks(id)).await?, id)
}

/// Jobs of others are as if they were not there.
async fn check_buyer(app: &Shared, headers: &HeaderMap, id: JobId) -> Result<(), Failure> {
    let party = app.party(headers).await?;
    let buyer = app.read(|floor| floor.state().jobs.get(id).map(|job| job.buyer)).await?;
    if buyer == Some(party) {
        Ok(())
    } else {
        Err(Failure::not_found(format_args!(
            "{id} of yours; jobs are forgotten a while after they are settled"
        )))
    }
}

pub(super) async fn log_head(State(app): State<App>) -> Answer<SignedHead> {
    Ok(Json(app.read(Floor::head).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InclusionQuery {
    index: u64,
    size: u64,
}

pub(super) async fn inclusion(
    State(app): State<App>,
    Params(query): Params<InclusionQuery>,
) -> Answer<InclusionProof> {
    let proof = app.read(|floor| floor.log().inclusion_proof(query.index, query.size)).await?;
    Ok(Json(proof.map_err(beyond)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsistencyQuery {
    old: u64,
    new: u64,
}

pub(super) async fn consistency(
    State(app): State<App>,
    Params(query): Params<ConsistencyQuery>,
) -> Answer<ConsistencyProof> {
    let proof = app.read(|floor| floor.log().consistency_proof(query.old, query.new)).await?;
    Ok(Json(proof.map_err(beyond)?))
}

fn beyond(error: BeyondEnd) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "beyond_end", error.to_string())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PayBody {
    pub(super) bolt11: String,
}

pub(super) async fn dev_pay(State(app): State<App>, JsonBody(body): JsonBody<PayBody>) -> Answer<DevPayment> {
    let paid = app.purse.dev_pay(body.bolt11).await?;
    app.payments_wake.notify_one();
    Ok(Json(paid))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InvoiceBody {
    pub(super) amount_msat: Msat,
}

pub(super) async fn dev_invoice(
    State(app): State<App>,
    JsonBody(body): JsonBody<InvoiceBody>,
) -> Answer<DevInvoice> {
    let invoice = app.purse.dev_invoice(body.amount_msat).await?;
    Ok(Json(DevInvoice {
        bolt11: invoice.bolt11,
        payment_hash: invoice.payment_hash,
        amount_msat: body.amount_msat,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WalletBody {
    /// 32 random bytes in hex. They name the wallet, and are all that guards it.
    pub(super) wallet: Digest,
    pub(super) call: pay::dev::Call,
}

pub(super) async fn dev_lightning(
    State(app): State<App>,
    JsonBody(body): JsonBody<WalletBody>,
) -> Answer<pay::dev::Answer> {
    let answer = app.purse.dev_lightning(&body.wallet, body.call).await?;
    app.payments_wake.notify_one();
    Ok(Json(answer))
}

pub(super) async fn healthz(State(app): State<App>) -> Result<&'static str, Failure> {
    if app.metrics.read_only.get() != 0 {
        return Err(Failure::unavailable(
            "read_only",
            "the disk is full: statements are refused, reads work",
        ));
    }
    if app.is_insolvent.load(Ordering::Relaxed) {
        return Err(Failure::unavailable("insolvent", "the Lightning node holds less than the market owes"));
    }
    app.read(|_| ()).await?;
    Ok("ok\n")
}

pub(super) async fn metrics(State(app): State<App>) -> Result<Response, Failure> {
    let metrics = &app.metrics;
    app.read(|floor| {
        let state = floor.state();
        let board = floor.board().counts;
        let gauge = |gauge: &prometheus_client::metrics::gauge::Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        gauge(&metrics.position, floor.durable());
        gauge(&metrics.public_events, floor.log().size());
        gauge(&metrics.parties, state.parties.len() as u64);
        gauge(&metrics.offers, state.offers.len() as u64);
        gauge(&metrics.open_leases, board.open_leases);
        gauge(&metrics.open_jobs, board.open_jobs);
        gauge(&metrics.operator_msat, state.ledger.available(Account::Fees).0);
        gauge(&metrics.owes_msat, state.venue_owes().0);
        gauge(&metrics.withheld_paid_msat, state.venue_paid_msat.values().map(|paid| paid.0).sum());
    })
    .await?;
    metrics.blob_bytes.set(i64::try_from(app.blobs.total_bytes()).unwrap_or(i64::MAX));
    let text = metrics.text().ok_or_else(|| Failure::internal("the metrics could not be written"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

fn found<T>(value: Option<T>, what: impl std::fmt::Display) -> Answer<T> {
    value.map(Json).ok_or_else(|| Failure::not_found(what))
}
