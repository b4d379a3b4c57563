//! The outputs of a job, from bundles to files.
//!
//! ```text
//! OUT/receipt.json           the receipt
//! OUT/bundles/task-….bundle  each task's output as it was sealed: its BLAKE3 digest is on the receipt
//! OUT/logs/task-….out, .err  what tasks wrote to standard output and standard error
//! OUT/…                      what tasks wrote below /out
//! ```
//!
//! Where two tasks wrote files of the same name, every task's files go into a folder of its own, `OUT/task-…/`.

use crate::{
    exit::{Exit, Failure},
    session::{Party, Session},
};
use market::{id::JobId, receipt::Receipt, verify::TaskResult};
use runner::OutputBundle;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// The outputs of a job, as they arrive.
pub(crate) struct Outputs {
    folder: PathBuf,
    bundles: PathBuf,
    arrived: BTreeMap<u32, (TaskResult, PathBuf)>,
}

/// What was unpacked.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// Tasks whose results are here.
    pub(crate) count: u64,
    /// Files that they wrote.
    pub(crate) files: u64,
    /// Tasks whose program did not succeed.
    pub(crate) failing: Vec<u32>,
}

impl Outputs {
    /// Makes the folder.
    pub(crate) fn new(folder: &Path) -> Result<Outputs, Failure> {
        let bundles = folder.join("bundles");
        fs::create_dir_all(&bundles).map_err(|e| unwritable(&bundles, e))?;
        Ok(Outputs { folder: folder.to_owned(), bundles, arrived: BTreeMap::new() })
    }

    /// Where everything goes.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where bundles go.
    pub(crate) fn bundles(&self) -> &Path {
        &self.bundles
    }

    /// Where the bundle of a task goes.
    pub(crate) fn bundle(&self, task: u32) -> PathBuf {
        self.bundles.join(format!("{}.bundle", name(task)))
    }

    /// A bundle is here. A later one of the same task replaces it.
    pub(crate) fn arrived(&mut self, task: u32, result: &TaskResult, file: PathBuf) {
        self.arrived.insert(task, (*result, file));
    }

    /// Unpacks everything that is here.
    pub(crate) fn unpack(self) -> Result<Summary, Failure> {
        let has_clashes = self.has_clashes()?;
        let logs = self.folder.join("logs");
        let mut summary = Summary { count: 0, files: 0, failing: Vec::new() };
        for (task, (result, file)) in &self.arrived {
            let bundle = read(file)?;
            let folder = if has_clashes { self.folder.join(name(*task)) } else { self.folder.clone() };
            bundle.extract(&folder).map_err(|e| Failure::of(Exit::BadInput, e))?;
            for (text, ending) in [(&bundle.stdout, "out"), (&bundle.stderr, "err")] {
                if !text.is_empty() {
                    let log = logs.join(format!("{}.{ending}", name(*task)));
                    let written = fs::create_dir_all(&logs).and_then(|()| fs::write(&log, text));
                    written.map_err(|e| unwritable(&log, e))?;
                }
            }
            summary.count += 1;
            summary.files += bundle.files.len() as u64;
            if !result.exit.is_success() {
                summary.failing.push(*task);
            }
        }
        Ok(summary)
    }

    /// Whether two tasks wrote files of the same name, or one that the folder needs itself.
    fn has_clashes(&self) -> Result<bool, Failure> {
        let mut seen: BTreeSet<String> = ["bundles", "logs", "receipt.json"].map(str::to_owned).into();
        for (_, file) in self.arrived.values() {
            for path in read(file)?.files.into_keys() {
                let top = path.split('/').next().unwrap_or_default();
                if ["bundles", "logs"].contains(&top) || !seen.insert(path) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl Summary {
    /// For people.
    pub(crate) fn told(&self, folder: &Path, tasks: u32) -> String {
        let mut told =
            format!("results of {} of {tasks} tasks, {} files: {}", self.count, self.files, folder.display());
        if !self.failing.is_empty() {
            let failing: Vec<String> = self.failing.iter().take(10).map(ToString::to_string).collect();
            told.push_str(&format!(
                "\n{} programs did not succeed: tasks {}",
                self.failing.len(),
                failing.join(", ")
            ));
        }
        told
    }
}

/// The receipt of a settled job, checked.
pub(crate) async fn receipt(session: &Session, party: &Party, job: JobId) -> Result<Receipt, Failure> {
    let Some(receipt) = session.market.receipt(&party.secret, job).await? else {
        return Err(Failure::new(
            Exit::Refused,
            format!("the market gives no receipt yet: `grist receipt get {job}` later"),
        ));
    };
    super::receipt::check(&receipt, Some(&session.market.venue()))?;
    Ok(receipt)
}

fn read(file: &Path) -> Result<OutputBundle, Failure> {
    let bytes = fs::read(file).map_err(|e| Failure::of(Exit::BadInput, e).during(file.display()))?;
    OutputBundle::decode(&bytes, bytes.len())
        .map_err(|e| Failure::of(Exit::NotVerified, e).during(file.display()))
}

fn name(task: u32) -> String {
    format!("task-{task:06}")
}

fn unwritable(path: &Path, error: io::Error) -> Failure {
    Failure::of(Exit::BadInput, error).during(path.display())
}
