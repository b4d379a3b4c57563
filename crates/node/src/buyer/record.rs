//! What a buyer must not forget about its jobs: one small file for each, written before anything is sent.
//!
//! The file holds the secret of the job's audit chain and is its owner's alone. The chain does not hang on the party's key,
//! which may be rotated while the job runs: with the file and the newest key, another process can go on where this stopped.

use super::{
    agent::Resume,
    keys::CiphertextFolder,
    payer::{Allowance, Notes},
};
use crate::durable_file;
use market::{
    command::Command,
    id::{Digest, JobId},
    statement::Statement,
    units::Msat,
    verify::{Chain, rounds_for},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const CHAIN_DOMAIN: &str = "gristmill 2026 buyer audit chain v2";

/// Why a buyer's records cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the job record {}: {source}; check permissions and free space, or move it away if the job is over", file.display())]
pub struct RecordError {
    file: PathBuf,
    source: io::Error,
}

/// What is kept about a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The secret of the audit chain, random.
    pub(super) chain_secret: Digest,
    /// How many tasks the job has: the length of the chain follows.
    pub(super) tasks: u32,
    /// The order as it was signed: sent again, it is the same order.
    pub(super) order: Statement,
    /// The most that may hang in holds of the job, be taken from them, or be paid for keys.
    #[serde(default)]
    pub(super) holds_max_msat: Msat,
    /// How far the audit links are revealed.
    pub(super) resume: Resume,
}

impl Record {
    /// What may be paid for the job from a node of its buyer: what its order says, which is in the buyer's own words.
    pub(super) fn allowance(&self) -> Option<Allowance> {
        match self.order.read().ok()?.command {
            Command::PlaceOrder { terms, .. } => Some(Allowance {
                holds_msat: self.holds_max_msat,
                topups_msat: terms.budget_msat,
                terms: Some(*terms),
            }),
            _ => None,
        }
    }

    /// The job's audit chain.
    pub(super) fn chain(&self) -> Chain {
        chain(&self.chain_secret, self.tasks)
    }
}

/// The audit chain of a job.
pub(super) fn chain(secret: &Digest, tasks: u32) -> Chain {
    Chain::new(Digest::of_parts(CHAIN_DOMAIN, &[&secret.0]), rounds_for(tasks))
}

/// The folder of a buyer's records at one market.
#[derive(Debug, Clone)]
pub(super) struct Records {
    folder: PathBuf,
}

impl Records {
    pub(super) fn open(folder: &Path) -> Result<Records, RecordError> {
        fs::create_dir_all(folder).map_err(|source| RecordError { file: folder.to_owned(), source })?;
        Ok(Records { folder: folder.to_owned() })
    }

    fn file(&self, job: JobId) -> PathBuf {
        self.folder.join(format!("{job}.json"))
    }

    /// Named after the order: the name of a file is no place for a secret.
    fn draft(&self, record: &Record) -> PathBuf {
        self.folder.join(format!("order-{}.json", record.order.digest()))
    }

    /// Keeps an order before it is sent.
    pub(super) fn keep_draft(&self, record: &Record) -> Result<(), RecordError> {
        write(&self.draft(record), record)
    }

    /// The order became a job.
    pub(super) fn placed(&self, record: &Record, job: JobId) -> Result<(), RecordError> {
        self.keep(record, job)?;
        self.drop_draft(record)
    }

    /// The order will never become a job.
    pub(super) fn drop_draft(&self, record: &Record) -> Result<(), RecordError> {
        let file = self.draft(record);
        fs::remove_file(&file).map_err(|source| RecordError { file, source })
    }

    pub(super) fn keep(&self, record: &Record, job: JobId) -> Result<(), RecordError> {
        write(&self.file(job), record)
    }

    /// What was written down about payments; nothing where nothing was paid.
    pub(super) fn notes(&self, stem: &str) -> Result<Notes, RecordError> {
        Ok(read(&self.notes_file(stem))?.unwrap_or_default())
    }

    /// Writes down what is about to be paid.
    pub(super) fn keep_notes(&self, stem: &str, notes: &Notes) -> Result<(), RecordError> {
        write(&self.notes_file(stem), notes)
    }

    /// Where encrypted results are kept.
    pub(super) fn ciphertexts(&self, stem: &str) -> CiphertextFolder {
        CiphertextFolder(self.folder.join(format!("{stem}.encrypted")))
    }

    fn notes_file(&self, stem: &str) -> PathBuf {
        self.folder.join(format!("{stem}.payments.json"))
    }

    /// What is known of a job; `None` when it was placed elsewhere.
    pub(super) fn find(&self, job: JobId) -> Result<Option<Record>, RecordError> {
        read(&self.file(job))
    }

    /// Orders that were sent and never answered, as far as this machine knows; those that cannot be read as errors.
    pub(super) fn drafts(&self) -> Result<Vec<Result<Record, RecordError>>, RecordError> {
        let failed = |source| RecordError { file: self.folder.clone(), source };
        let mut drafts = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with("order-") && name.ends_with(".json")) {
                drafts.extend(read(&entry.path()).transpose());
            }
        }
        Ok(drafts)
    }
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<Option<T>, RecordError> {
    let failed = |source| RecordError { file: file.to_owned(), source };
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|e| failed(e.into())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(e)),
    }
}

/// Whole or not at all, and on disk before this returns, with its name.
fn write(file: &Path, record: &impl Serialize) -> Result<(), RecordError> {
    let failed = |source| RecordError { file: file.to_owned(), source };
    let text = serde_json::to_vec_pretty(record).map_err(|e| failed(e.into()))?;
    durable_file::replace(file, &text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{key::SecretKey, statement::Payload, units::TimeMs};

    fn record(nonce: u64) -> Record {
        let secret = SecretKey::from_bytes([1; 32]);
        let payload = Payload {
            v: 1,
            venue: secret.public(),
            not_after_ms: TimeMs(1),
            nonce,
            seen: None,
            command: Command::Tick,
        };
        let order = Statement::sign(&secret, &payload).unwrap();
        let chain_secret = Digest([2; 32]);
        Record { chain_secret, tasks: 3, order, holds_max_msat: Msat::ZERO, resume: Resume::default() }
    }

    #[test]
    fn a_draft_that_cannot_be_read_is_named_beside_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::open(folder.path()).unwrap();
        records.keep_draft(&record(1)).unwrap();
        fs::write(folder.path().join("order-torn.json"), "{").unwrap();
        records.keep_draft(&record(2)).unwrap();
        let (good, bad): (Vec<_>, Vec<_>) = records.drafts().unwrap().into_iter().partition(Result::is_ok);
        assert_eq!(good.len(), 2);
        assert!(bad[0].as_ref().unwrap_err().to_string().contains("order-torn.json"), "{bad:?}");
    }
}
