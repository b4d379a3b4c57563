//! What a buyer must not forget about its jobs: one small file for each, written before anything is sent.
//!
//! The secret of the audit chain is derived from the party's key and a nonce, so the file holds no secret: with the key and
//! the file, anybody who may can go on where this process stopped.

use super::agent::Resume;
use market::{
    id::{Digest, JobId},
    key::SecretKey,
    statement::Statement,
    verify::{Chain, rounds_for},
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const CHAIN_DOMAIN: &str = "gristmill 2026 buyer audit chain v1";

/// Why a buyer's records cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the job record {}: {source}; check permissions and free space", file.display())]
pub struct RecordError {
    file: PathBuf,
    source: io::Error,
}

/// What is kept about a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// What the chain's secret is derived from, with the party's key.
    pub(super) nonce: Digest,
    /// How many tasks the job has: the length of the chain follows.
    pub(super) tasks: u32,
    /// The order as it was signed: sent again, it is the same order.
    pub(super) order: Statement,
    /// How far the audit links are revealed.
    pub(super) resume: Resume,
}

impl Record {
    /// The job's audit chain.
    pub(super) fn chain(&self, secret: &SecretKey) -> Chain {
        chain(secret, &self.nonce, self.tasks)
    }
}

/// The audit chain of a job.
pub(super) fn chain(secret: &SecretKey, nonce: &Digest, tasks: u32) -> Chain {
    Chain::new(Digest::of_parts(CHAIN_DOMAIN, &[&secret.to_bytes(), &nonce.0]), rounds_for(tasks))
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

    fn draft(&self, nonce: &Digest) -> PathBuf {
        self.folder.join(format!("order-{nonce}.json"))
    }

    /// Keeps an order before it is sent.
    pub(super) fn keep_draft(&self, record: &Record) -> Result<(), RecordError> {
        write(&self.draft(&record.nonce), record)
    }

    /// The order became a job.
    pub(super) fn placed(&self, record: &Record, job: JobId) -> Result<(), RecordError> {
        self.keep(record, job)?;
        self.drop_draft(record)
    }

    /// The order will never become a job.
    pub(super) fn drop_draft(&self, record: &Record) -> Result<(), RecordError> {
        let file = self.draft(&record.nonce);
        fs::remove_file(&file).map_err(|source| RecordError { file, source })
    }

    pub(super) fn keep(&self, record: &Record, job: JobId) -> Result<(), RecordError> {
        write(&self.file(job), record)
    }

    /// What is known of a job; `None` when it was placed elsewhere.
    pub(super) fn find(&self, job: JobId) -> Result<Option<Record>, RecordError> {
        read(&self.file(job))
    }

    /// Orders that were sent and never answered, as far as this machine knows.
    pub(super) fn drafts(&self) -> Result<Vec<Record>, RecordError> {
        let failed = |source| RecordError { file: self.folder.clone(), source };
        let mut drafts = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with("order-") && name.ends_with(".json")) {
                drafts.extend(read(&entry.path())?);
            }
        }
        Ok(drafts)
    }
}

fn read(file: &Path) -> Result<Option<Record>, RecordError> {
    let failed = |source| RecordError { file: file.to_owned(), source };
    match fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|e| failed(e.into())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(e)),
    }
}

/// Whole or not at all, and on disk before this returns.
fn write(file: &Path, record: &Record) -> Result<(), RecordError> {
    let failed = |source| RecordError { file: file.to_owned(), source };
    let text = serde_json::to_vec_pretty(record).map_err(|e| failed(e.into()))?;
    let part = file.with_extension("part");
    fs::write(&part, text).map_err(failed)?;
    fs::File::open(&part).and_then(|opened| opened.sync_all()).map_err(failed)?;
    fs::rename(&part, file).map_err(failed)
}
