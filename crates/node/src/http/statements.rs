//! `POST /v1/statements`: the one way to change the market.

use super::{
    extract::JsonBody,
    failure::Failure,
    shared::{App, Shared},
    writer,
};
use crate::{
    api::{Accepted, KeyView},
    venue::{CheckedStatement, check_statement},
};
use axum::{Json, extract::State, http::StatusCode};
use market::{
    command::{Command, Reveal},
    id::{AttemptId, Digest},
    key::PublicKey,
    statement::Statement,
    units::Msat,
};
use std::sync::{PoisonError, atomic::Ordering};

pub(super) async fn submit(
    State(app): State<App>,
    JsonBody(statement): JsonBody<Statement>,
) -> Result<Json<Accepted>, Failure> {
    let checked = check_statement(&statement, &app.venue)?;
    app.guards.admit_key(&checked.signer())?;
    admit_at_the_door(&app, &checked)?;
    let accepted = app.writer.submit(checked).await??;
    Ok(Json(accepted))
}

/// What the rules cannot know: whether the blobs of a statement are stored, and whether the venue can pay.
fn admit_at_the_door(app: &Shared, statement: &CheckedStatement) -> Result<(), Failure> {
    let now = writer::now();
    let missing = |digest: &Digest| !app.blobs.has(digest, now);
    match statement.command() {
        Command::RevealResults { reveals } => {
            match reveals.iter().find_map(|reveal| missing_output(app, reveal, missing)) {
                Some((attempt, digest)) => Err(Failure::new(
                    StatusCode::CONFLICT,
                    "output_missing",
                    format!("the output {digest} of {attempt} is not stored here: upload it, then reveal"),
                )),
                None => Ok(()),
            }
        }
        Command::DisputeKey { ciphertext, .. } if missing(ciphertext) => Err(Failure::new(
            StatusCode::CONFLICT,
            "output_missing",
            format!(
                "the ciphertext {ciphertext} is not stored here any more: upload it, then dispute its key"
            ),
        )),
        Command::PlaceOrder { job, .. } => {
            if app.is_insolvent.load(Ordering::Relaxed) {
                return Err(insolvent());
            }
            let inputs = job.inputs.iter().map(|file| file.blob);
            match [job.module].into_iter().chain(job.stdin).chain(inputs).find(missing) {
                Some(digest) => Err(Failure::new(
                    StatusCode::CONFLICT,
                    "input_missing",
                    format!(
                        "the blob {digest} of the job is not stored here: upload it, then place the order"
                    ),
                )),
                None => Ok(()),
            }
        }
        Command::TopUp { .. } if app.is_insolvent.load(Ordering::Relaxed) => Err(insolvent()),
        Command::TopUp { amount_msat } => check_balance(app, &statement.signer(), *amount_msat),
        _ => Ok(()),
    }
}

/// What a reveal needs to be stored and is not: the output, or the ciphertext of one that is sold. Whoever vouches for what
/// another sells stores nothing.
fn missing_output(
    app: &Shared,
    reveal: &Reveal,
    missing: impl Fn(&Digest) -> bool,
) -> Option<(AttemptId, Digest)> {
    let digest = reveal.sale.as_ref().map_or(reveal.result.output, |offer| offer.encrypted.ciphertext);
    if !missing(&digest) {
        return None;
    }
    let floor = app.floor.read().unwrap_or_else(PoisonError::into_inner);
    let keeps = reveal.sale.is_none() && floor.is_paid_to_decrypt(reveal.attempt);
    (!keeps).then_some((reveal.attempt, digest))
}

/// What the market holds for one party is what that party can lose by its operator. Top-ups that are not paid yet count, or
/// many of them together would go past the limit.
fn check_balance(app: &Shared, signer: &PublicKey, amount: Msat) -> Result<(), Failure> {
    let floor = app.floor.read().unwrap_or_else(PoisonError::into_inner);
    let Some(KeyView::Party(party)) = floor.key(signer) else { return Ok(()) };
    let cap = app.max_balance.min(floor.engine().rules().balance_cap_msat);
    let (held, open) = (floor.state().holdings(party), floor.state().open_topups(party));
    let room = cap.saturating_sub(held).saturating_sub(open);
    if amount <= room {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::CONFLICT,
        "balance_cap",
        format!(
            "this market holds at most {cap} for one party: it holds {held} for you, and top-ups of {open} are not paid yet. Top up \
             at most {room}, or withdraw first"
        ),
    ))
}

fn insolvent() -> Failure {
    Failure::unavailable(
        "insolvent",
        "this market's Lightning node holds less than the market owes: it takes no money and no work until that is mended",
    )
}
