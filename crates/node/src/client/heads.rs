//! Watching the public log: every head that the market shows has to be signed by it and to continue the ones that it
//! showed before.

use super::{ClientError, Market};
use market::{
    key::PublicKey,
    log::{ConsistencyProof, SignedHead, is_fork, verify_consistency},
};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};

/// How long a head may go unproven, in milliseconds of the venue's clock: a proof is a request of its own, and one proof
/// covers everything between two heads.
const PROOF_EVERY_MS: u64 = 10_000;

/// Proof that a market showed two histories: two heads under its signature that cannot belong to one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkEvidence {
    /// One head.
    pub one: SignedHead,
    /// The other.
    pub other: SignedHead,
    /// For heads of different sizes: the market's own proof that leads from another root.
    pub proof: Option<ConsistencyProof>,
}

impl ForkEvidence {
    /// Whether it convinces.
    pub fn is_valid(&self) -> bool {
        is_fork(&self.one, &self.other, self.proof.as_ref())
    }
}

/// The heads that were seen.
#[derive(Debug, Default)]
pub(super) struct Heads(Mutex<Seen>);

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    /// The newest one that is proven to continue all before it.
    proven: Option<SignedHead>,
    /// The newest one.
    newest: Option<SignedHead>,
}

impl Heads {
    fn with<R>(&self, f: impl FnOnce(&mut Seen) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn newest(&self) -> Option<SignedHead> {
        self.with(|seen| seen.newest)
    }

    /// Takes a head in. Says from which proven head a proof is due.
    fn take(&self, head: SignedHead, venue: &PublicKey) -> Result<Option<SignedHead>, ClientError> {
        if head.venue != *venue || head.verify().is_err() {
            return Err(ClientError::UnsignedHead);
        }
        self.with(|seen| {
            let Some(newest) = seen.newest else {
                *seen = Seen { proven: Some(head), newest: Some(head) };
                return Ok(None);
            };
            if head.head.size == newest.head.size && head.head.root != newest.head.root {
                return Err(ForkEvidence { one: newest, other: head, proof: None }.into());
            }
            // Answers overtake each other: an older head is no news.
            if head.head.size > newest.head.size {
                seen.newest = Some(head);
            }
            Ok(seen.proven.filter(|proven| {
                head.at.since(proven.at) > PROOF_EVERY_MS && head.head.size > proven.head.size
            }))
        })
    }

    fn prove(&self, head: SignedHead) {
        self.with(|seen| {
            if seen.proven.is_none_or(|proven| proven.head.size < head.head.size) {
                seen.proven = Some(head);
            }
        });
    }
}

impl Market {
    /// The newest head of the public log that was seen, to be kept over restarts (see [`Market::remember_head`]).
    pub fn newest_head(&self) -> Option<SignedHead> {
        self.heads().newest()
    }

    /// Takes in a head from an earlier run, so that a fork between the runs is found.
    pub async fn remember_head(&self, head: SignedHead) -> Result<(), ClientError> {
        let now = self.log_head().await?;
        self.heads().take(head, &self.venue())?;
        if now.head.size < head.head.size {
            // A log only grows: what it showed then is gone or hidden.
            return Err(ClientError::NoProof { old: head.head, new: now.head });
        }
        self.prove_continuity(head, now).await
    }

    /// Takes in a head that came with an answer.
    pub(super) async fn watch_head(&self, head: SignedHead) -> Result<(), ClientError> {
        match self.heads().take(head, &self.venue())? {
            Some(proven) => self.prove_continuity(proven, head).await,
            None => Ok(()),
        }
    }

    /// Asks the market to prove that `new` continues `old`.
    async fn prove_continuity(&self, old: SignedHead, new: SignedHead) -> Result<(), ClientError> {
        let (old, new) = if old.head.size <= new.head.size { (old, new) } else { (new, old) };
        let proof = self.consistency(old.head.size, new.head.size).await?;
        if verify_consistency(&old.head, &new.head, &proof).is_ok() {
            self.heads().prove(new);
            return Ok(());
        }
        let evidence = ForkEvidence { one: old, other: new, proof: Some(proof) };
        if evidence.is_valid() {
            Err(evidence.into())
        } else {
            Err(ClientError::NoProof { old: old.head, new: new.head })
        }
    }
}

impl From<ForkEvidence> for ClientError {
    fn from(evidence: ForkEvidence) -> ClientError {
        ClientError::Fork(Box::new(evidence))
    }
}
