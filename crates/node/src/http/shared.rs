//! What all handlers share.

use super::{
    archive::{Archived, LogReader},
    blob_store::BlobStore,
    config::{Limits, Prices},
    failure::Failure,
    limits::Guards,
    metrics::Metrics,
    payments::Purse,
    pokes::Pokes,
    writer::{self, NoWriter, WriterHandle},
};
use crate::{
    api::ReadToken,
    venue::{Floor, reads::Reader},
};
use axum::http::{HeaderMap, header};
use market::{id::PartyId, key::PublicKey, units::Msat};
use pay::l402::server::Gate;
use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicBool},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// See the [module documentation](self).
pub(super) struct Shared {
    pub(super) venue: PublicKey,
    pub(super) name: String,
    pub(super) limits: Limits,
    pub(super) lost_after_ms: u64,
    /// The most that is held for one party, where that is less than the rules allow.
    pub(super) max_balance: Msat,
    pub(super) floor: Arc<RwLock<Floor>>,
    pub(super) writer: WriterHandle,
    pub(super) durable: watch::Receiver<u64>,
    pub(super) archived: watch::Receiver<Archived>,
    pub(super) pokes: Arc<Pokes>,
    pub(super) blobs: BlobStore,
    pub(super) purse: Arc<Purse>,
    pub(super) gate: Arc<Gate>,
    pub(super) prices: Prices,
    pub(super) payments_wake: Arc<tokio::sync::Notify>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) guards: Guards,
    pub(super) receipts: PathBuf,
    pub(super) log: LogReader,
    /// Whether the node holds less than the venue owes.
    pub(super) is_insolvent: AtomicBool,
    pub(super) stopping: CancellationToken,
}

/// What the handlers get.
pub(super) type App = Arc<Shared>;

impl Shared {
    /// Reads the floor. The answer is given once everything that it rests on is durable.
    pub(super) async fn read<R>(&self, f: impl FnOnce(&Floor) -> R) -> Result<R, Failure> {
        let (answer, position) = {
            let floor = self.floor.read().unwrap_or_else(PoisonError::into_inner);
            (f(&floor), floor.position())
        };
        self.wait_until_durable(position).await?;
        Ok(answer)
    }

    async fn wait_until_durable(&self, position: u64) -> Result<(), Failure> {
        let mut durable = self.durable.clone();
        // The other end is gone when the writer has ended.
        durable.wait_for(|reached| *reached >= position).await.map(|_| ()).map_err(|_| Failure::stopping())
    }

    /// Waits until the archive has everything that is durable now, or could not write it.
    pub(super) async fn wait_until_archived(&self) -> Result<(), Failure> {
        let durable = *self.durable.borrow();
        let mut archived = self.archived.clone();
        let reached = archived.wait_for(|archived| archived.tried >= durable).await;
        reached.map(|_| ()).map_err(|_| Failure::stopping())
    }

    /// Who reads, by the request's token; without one, anyone.
    pub(super) async fn reader(&self, headers: &HeaderMap) -> Result<Reader, Failure> {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(Reader::Anyone) };
        let token = value.to_str().ok().and_then(ReadToken::from_header);
        let token = token.ok_or_else(|| {
            Failure::unauthorized(
                "the Authorization header is not a read token `Grist KEY.EXPIRES_MS.SIGNATURE`",
            )
        })?;
        if !token.is_valid(&self.venue, writer::now()) {
            return Err(Failure::unauthorized(
                "the read token has expired, lasts for more than an hour, or was signed for another market: sign a new one",
            ));
        }
        let reader = self.read(|floor| floor.reader(&token.key)).await?;
        reader.ok_or_else(|| {
            Failure::unauthorized("the token's key is not registered here: register a party first")
        })
    }

    /// As [`Shared::reader`], for those who have to be somebody: a party, itself or through its machine.
    pub(super) async fn member(&self, headers: &HeaderMap) -> Result<PartyId, Failure> {
        self.reader(headers).await?.party().ok_or_else(|| {
            Failure::unauthorized(
                "this needs a read token in the Authorization header, signed by a registered key",
            )
        })
    }

    /// As [`Shared::reader`], for a party itself: a machine that was broken into tells nothing about its owner's affairs.
    pub(super) async fn party(&self, headers: &HeaderMap) -> Result<PartyId, Failure> {
        match self.reader(headers).await? {
            Reader::Party(party) => Ok(party),
            Reader::Anyone | Reader::Machine(..) => Err(Failure::unauthorized(
                "this needs a read token in the Authorization header, signed by the party's own key",
            )),
        }
    }
}

impl From<NoWriter> for Failure {
    fn from(why: NoWriter) -> Failure {
        match why {
            NoWriter::Busy => {
                Failure::unavailable("busy", "more statements wait than this market can take: try again")
            }
            NoWriter::Stopped => Failure::stopping(),
        }
    }
}
