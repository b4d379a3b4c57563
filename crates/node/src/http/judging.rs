//! Keys that buyers dispute: the market decrypts what is stored here and says what the key opens. Anybody who has the
//! ciphertext, what the provider signed and the preimage can do the same.

use super::{blob_store::Part, shared::App, writer};
use crate::encrypted_result::{self, DecryptError};
use futures_util::TryStreamExt;
use market::{
    command::Command,
    engine::{
        State,
        state::{Offered, SalePhase},
    },
    funding::result_key,
    id::{AttemptId, Digest, LeaseId},
    preimage::Preimage,
};
use std::{
    fs::File,
    io::{self, Seek},
    time::Duration,
};
use tokio::io::AsyncWriteExt;

/// How often it is looked for disputes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A key that is disputed.
struct Dispute {
    lease: LeaseId,
    attempt: AttemptId,
    offered: Offered,
    preimage: Preimage,
}

/// Judges what is disputed until the market stops.
pub(super) async fn look_after(app: App) {
    loop {
        let disputes = app.read(|floor| disputes(floor.state())).await.unwrap_or_default();
        for dispute in disputes {
            judge(&app, dispute).await;
        }
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

fn disputes(state: &State) -> Vec<Dispute> {
    let open = state.disputes.iter().filter_map(|(lease, attempt)| {
        match &state.leases.get(*lease)?.sales.get(attempt)?.phase {
            SalePhase::Disputed { offered, preimage, .. } => {
                let (lease, attempt, offered) = (*lease, *attempt, offered.clone());
                Some(Dispute { lease, attempt, offered, preimage: *preimage })
            }
            SalePhase::Working
            | SalePhase::Revealed(_)
            | SalePhase::Payable { .. }
            | SalePhase::Over { .. } => None,
        }
    });
    open.collect()
}

/// What cannot be read now is judged later: nobody is convicted of a fault of this disk.
async fn judge(app: &App, dispute: Dispute) {
    let Dispute { lease, attempt, offered, preimage } = dispute;
    let encrypted = offered.offer.encrypted;
    let opened = match open(app, encrypted.ciphertext, result_key(&preimage, &encrypted.salt)).await {
        Ok(opened) => opened,
        Err(error) => {
            tracing::error!(%error, %attempt, "a disputed key waits: its ciphertext cannot be read");
            return;
        }
    };
    match app.writer.submit_own(Command::JudgeKey { lease, attempt, opened }).await {
        Ok(Ok(_)) => {
            tracing::info!(%attempt, ?opened, promised = %offered.result.output, "a disputed key is judged")
        }
        Ok(Err(refusal)) => tracing::warn!(%refusal, %attempt, "the verdict on a key was refused"),
        Err(_) => {}
    }
}

/// The digest of what a key opens; `None` when it opens nothing.
async fn open(app: &App, ciphertext: Digest, key: [u8; 32]) -> io::Result<Option<Digest>> {
    let stored = app.blobs.get(ciphertext, Part::Whole, writer::now()).await.map_err(io::Error::other)?;
    let mut content = stored.content.map_err(io::Error::other);
    let mut file = tokio::fs::File::from_std(tempfile::tempfile()?);
    while let Some(chunk) = content.try_next().await? {
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    let file = file.into_std().await;
    tokio::task::spawn_blocking(move || digest_of(file, &key)).await.map_err(io::Error::other)?
}

fn digest_of(mut file: File, key: &[u8; 32]) -> io::Result<Option<Digest>> {
    file.rewind()?;
    let mut hasher = blake3::Hasher::new();
    match encrypted_result::decrypt(key, file, &mut hasher) {
        Ok(()) => Ok(Some(Digest(*hasher.finalize().as_bytes()))),
        Err(DecryptError::Closed) => Ok(None),
        Err(DecryptError::Io(error)) => Err(error),
    }
}
