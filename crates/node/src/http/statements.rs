//! `POST /v1/statements`: the one way to change the market.

use super::{
    extract::JsonBody,
    failure::Failure,
    shared::{App, Shared},
    writer,
};
use crate::{
    api::Accepted,
    venue::{CheckedStatement, check_statement},
};
use axum::{Json, extract::State, http::StatusCode};
use market::{command::Command, id::Digest, statement::Statement};
use std::sync::atomic::Ordering;

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
            match reveals.iter().find(|reveal| missing(&reveal.result.output)) {
                Some(reveal) => Err(Failure::new(
                    StatusCode::CONFLICT,
                    "output_missing",
                    format!(
                        "the output {} of {} is not stored here: upload it, then reveal",
                        reveal.result.output, reveal.attempt
                    ),
                )),
                None => Ok(()),
            }
        }
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
        _ => Ok(()),
    }
}

fn insolvent() -> Failure {
    Failure::unavailable(
        "insolvent",
        "this market's Lightning node holds less than the market owes: it takes no money and no work until that is mended",
    )
}
