//! What a machine must not lose: results that it has committed to, with their outputs, and its sealed bids.
//!
//! A log of JSON lines says what is kept; outputs are files under their digest. Nothing is synced: this guards against
//! the end of the process, not of the power. After a power cut an unrevealed result is unpaid, nothing worse.

use super::agent::{Kept, KeptKey};
use market::id::{AttemptId, Digest};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The log is written anew when it has this many lines more than there is to say.
const SLACK_LINES: usize = 20_000;

/// The vault of one machine.
#[derive(Debug)]
pub(super) struct Vault {
    folder: PathBuf,
    log: File,
    lines: usize,
    kept: BTreeMap<KeptKey, Kept>,
    /// Which output each attempt has put here.
    outputs: BTreeMap<AttemptId, Digest>,
    /// How many attempts an output belongs to.
    uses: BTreeMap<Digest, u32>,
}

/// The state folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use `{}`: {source}; check the folder's permissions and free space", path.display())]
pub struct VaultError {
    path: PathBuf,
    source: io::Error,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Keep(Vec<Kept>),
    Forget(Vec<KeptKey>),
}

impl Vault {
    /// Opens the vault and says what is in it. Outputs that nothing refers to are removed.
    pub(super) fn open(folder: &Path) -> Result<(Vault, Vec<Kept>), VaultError> {
        let failed = |source| VaultError { path: folder.to_owned(), source };
        fs::create_dir_all(folder.join("outputs")).map_err(failed)?;
        let path = log_path(folder);
        let kept = match fs::read_to_string(&path) {
            Ok(text) => replay(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(failed(error)),
        };
        let log = rewrite(folder, &kept).map_err(failed)?;
        let mut vault = Vault {
            folder: folder.to_owned(),
            log,
            lines: 0,
            kept,
            outputs: BTreeMap::new(),
            uses: BTreeMap::new(),
        };
        let items: Vec<Kept> = vault.kept.values().copied().collect();
        for item in &items {
            if let Kept::Result { attempt, result } = item {
                vault.refer(*attempt, result.output);
            }
        }
        vault.sweep().map_err(failed)?;
        Ok((vault, items))
    }

    /// Stores the output of an attempt.
    pub(super) fn put(&mut self, attempt: AttemptId, output: Digest, bytes: &[u8]) -> Result<(), VaultError> {
        if self.refer(attempt, output) {
            let path = self.output_path(output);
            fs::write(&path, bytes).map_err(|source| VaultError { path, source })?;
        }
        Ok(())
    }

    /// Reads an output; `None` when it is not here or damaged.
    pub(super) fn output(&self, output: Digest) -> Option<Vec<u8>> {
        let bytes = fs::read(self.output_path(output)).ok()?;
        (Digest::of(&bytes) == output).then_some(bytes)
    }

    /// Writes down what must not be forgotten.
    pub(super) fn keep(&mut self, items: Vec<Kept>) -> Result<(), VaultError> {
        self.kept.extend(items.iter().map(|item| (item.key(), *item)));
        self.append(&Line::Keep(items))
    }

    /// Writes down what may be forgotten, and removes its outputs.
    pub(super) fn forget(&mut self, keys: Vec<KeptKey>) -> Result<(), VaultError> {
        for key in &keys {
            self.kept.remove(key);
            if let KeptKey::Result(attempt) = key
                && let Some(output) = self.outputs.remove(attempt)
            {
                self.release(output);
            }
        }
        self.append(&Line::Forget(keys))
    }

    fn append(&mut self, line: &Line) -> Result<(), VaultError> {
        let failed = |source| VaultError { path: log_path(&self.folder), source };
        write_line(&mut self.log, line).map_err(failed)?;
        self.lines += 1;
        if self.lines > self.kept.len() + SLACK_LINES {
            self.log = rewrite(&self.folder, &self.kept).map_err(failed)?;
            self.lines = 0;
        }
        Ok(())
    }

    /// Notes that an attempt has this output; says whether it is the first.
    fn refer(&mut self, attempt: AttemptId, output: Digest) -> bool {
        match self.outputs.insert(attempt, output) {
            Some(before) if before == output => return false,
            Some(before) => self.release(before),
            None => {}
        }
        let uses = self.uses.entry(output).or_insert(0);
        *uses += 1;
        *uses == 1
    }

    fn release(&mut self, output: Digest) {
        let Some(uses) = self.uses.get_mut(&output) else { return };
        *uses -= 1;
        if *uses == 0 {
            self.uses.remove(&output);
            // What stays behind is swept at the next start.
            let _ = fs::remove_file(self.output_path(output));
        }
    }

    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.folder.join("outputs"))? {
            let entry = entry?;
            let digest = entry.file_name().to_str().and_then(|name| name.parse::<Digest>().ok());
            if !digest.is_some_and(|digest| self.uses.contains_key(&digest)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn output_path(&self, output: Digest) -> PathBuf {
        self.folder.join("outputs").join(output.to_string())
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("kept.jsonl")
}

/// What the log says. A last line that was cut off was never relied on.
fn replay(text: &str) -> BTreeMap<KeptKey, Kept> {
    let mut kept = BTreeMap::new();
    for line in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
        match line {
            Line::Keep(items) => kept.extend(items.into_iter().map(|item| (item.key(), item))),
            Line::Forget(keys) => kept.retain(|key, _| !keys.contains(key)),
        }
    }
    kept
}

/// Writes a log that says just this, and opens it for more.
fn rewrite(folder: &Path, kept: &BTreeMap<KeptKey, Kept>) -> io::Result<File> {
    let new = folder.join("kept.new");
    let mut file = File::create(&new)?;
    for item in kept.values() {
        write_line(&mut file, &Line::Keep(vec![*item]))?;
    }
    fs::rename(&new, log_path(folder))?;
    OpenOptions::new().append(true).open(log_path(folder))
}

fn write_line(file: &mut File, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    file.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::verify::{Exit, TaskResult};

    fn result(attempt: u64, bytes: &[u8]) -> Kept {
        let result = TaskResult { exit: Exit::Code(0), output: Digest::of(bytes), fuel: 1 };
        Kept::Result { attempt: AttemptId(attempt), result }
    }

    #[test]
    fn a_restart_finds_what_was_kept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (mut vault, items) = Vault::open(folder.path()).unwrap();
        assert_eq!(items, []);
        for (attempt, bytes) in [(1, b"one"), (2, b"two"), (3, b"one"), (4, b"odd")] {
            vault.put(AttemptId(attempt), Digest::of(bytes), bytes).unwrap();
        }
        vault.keep(vec![result(1, b"one"), result(2, b"two")]).unwrap();
        vault.keep(vec![result(3, b"one")]).unwrap();
        vault.forget(vec![KeptKey::Result(AttemptId(1)), KeptKey::Result(AttemptId(2))]).unwrap();
        drop(vault);
        let (vault, items) = Vault::open(folder.path()).unwrap();
        assert_eq!(items, [result(3, b"one")]);
        assert_eq!(vault.output(Digest::of(b"one")), Some(b"one".to_vec()));
        assert_eq!(fs::read_dir(folder.path().join("outputs")).unwrap().count(), 1, "never kept: swept");
    }

    #[test]
    fn a_log_that_was_cut_off_keeps_what_came_before() {
        let folder = tempfile::tempdir().unwrap();
        let (mut vault, _) = Vault::open(folder.path()).unwrap();
        vault.keep(vec![result(1, b"one")]).unwrap();
        vault.keep(vec![result(2, b"two")]).unwrap();
        drop(vault);
        let path = log_path(folder.path());
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        let (_, items) = Vault::open(folder.path()).unwrap();
        assert_eq!(items, [result(1, b"one")]);
    }

    #[test]
    fn a_damaged_output_is_not_given_out() {
        let folder = tempfile::tempdir().unwrap();
        let (mut vault, _) = Vault::open(folder.path()).unwrap();
        vault.put(AttemptId(1), Digest::of(b"one"), b"one").unwrap();
        fs::write(vault.output_path(Digest::of(b"one")), b"ONE").unwrap();
        assert_eq!(vault.output(Digest::of(b"one")), None);
    }
}
