//! `grist journal`: a market's data folder, offline.

use crate::{
    exit::{Exit, Failure},
    output::{Output, facts},
    text,
};
use clap::{Args, Subcommand};
use market::{key::PublicKey, statement::Statement};
use node::{
    journal::{self, Entry, Position, ReadError, TornTail},
    venue::replay,
};
use serde_json::json;
use std::path::{Path, PathBuf};

/// `grist journal …`.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Check every checksum, the hash chain, and that nothing is missing
    Verify(FolderArgs),
    /// Print the statements that were accepted, one a line
    Dump(DumpArgs),
    /// Run every statement through the engine again and print the hash of the market that comes out
    Replay(FolderArgs),
}

/// Which data folder.
#[derive(Debug, Args)]
pub(crate) struct FolderArgs {
    /// The market's data folder, or the journal folder in it
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// `grist journal dump`.
#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// The first position
    #[arg(long, value_name = "POSITION", default_value_t = 1)]
    from: u64,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Runs the command.
pub(crate) fn run(command: &JournalCommand, output: &Output) -> Result<(), Failure> {
    match command {
        JournalCommand::Verify(args) => verify(&journal_folder(&args.folder)?, output),
        JournalCommand::Dump(args) => dump(args, output),
        JournalCommand::Replay(args) => replayed(&journal_folder(&args.folder)?, output),
    }
}

fn verify(folder: &Path, output: &Output) -> Result<(), Failure> {
    let report = journal::verify(folder, |_| {}).map_err(unreadable)?;
    let torn = report.torn_tail.as_ref().map(describe_tail);
    let json = json!({
        "segments": report.segments,
        "entries": report.entries,
        "payload_bytes": report.payload_bytes,
        "head": report.head,
        "last_at_ms": report.last_at,
        "torn_tail": torn,
    });
    output.result(&json, || {
        let sound = facts([
            ("entries", report.entries.to_string()),
            ("segments", report.segments.to_string()),
            ("payload", format!("{} bytes", report.payload_bytes)),
            ("last", text::time(report.last_at)),
            ("chain", report.head.hash.to_string()),
        ]);
        match torn {
            Some(tail) => format!("{sound}\nsound up to its end; {tail}"),
            None => format!("{sound}\nsound"),
        }
    })
}

fn describe_tail(tail: &TornTail) -> String {
    format!(
        "an incomplete group of {} bytes at position {} ({}, byte {}) was never acknowledged: the market cuts it when it starts",
        tail.bytes,
        tail.position,
        tail.file.display(),
        tail.offset
    )
}

fn dump(args: &DumpArgs, output: &Output) -> Result<(), Failure> {
    let folder = journal_folder(&args.folder.folder)?;
    let entries = journal::dump(&folder, Position(args.from.max(1))).map_err(unreadable)?;
    for entry in entries.take(args.limit.unwrap_or(usize::MAX)) {
        let entry = entry.map_err(unreadable)?;
        let statement = statement(&entry)?;
        let payload: serde_json::Value =
            serde_json::from_str(&statement.payload).map_err(|e| Failure::of(Exit::NotVerified, e))?;
        let command = payload.get("command").cloned().unwrap_or_default();
        output.text(&format!(
            "{} {} {} {command}",
            entry.position,
            text::time(entry.at),
            statement.key.short()
        ))?;
        output.json_line(&json!({
            "position": entry.position,
            "at_ms": entry.at,
            "key": statement.key,
            "signature": statement.signature,
            "payload": payload,
        }))?;
    }
    Ok(())
}

fn replayed(folder: &Path, output: &Output) -> Result<(), Failure> {
    let venue = venue_of(folder)?;
    let replayed = replay(folder, venue, |_| {}).map_err(|e| Failure::of(Exit::NotVerified, e))?;
    let json = json!({
        "entries": replayed.entries,
        "chain_head": replayed.chain_head,
        "state_hash": replayed.state_hash,
        "public_head": replayed.public_head,
    });
    output.result(&json, || {
        facts([
            ("entries", replayed.entries.to_string()),
            ("state", replayed.state_hash.to_string()),
            (
                "public log",
                format!("{} events, root {}", replayed.public_head.size, replayed.public_head.root),
            ),
            ("books", "every posting sums to zero, every invariant holds".to_owned()),
        ])
    })
}

/// The venue that the first statement is meant for.
pub(super) fn venue_of(folder: &Path) -> Result<PublicKey, Failure> {
    let mut entries = journal::dump(folder, Position::START.next()).map_err(unreadable)?;
    let Some(first) = entries.next() else {
        return Err(Failure::new(Exit::BadInput, "the journal has no entries: nothing to replay"));
    };
    let first = first.map_err(unreadable)?;
    let payload = statement(&first)?.read().map_err(|e| Failure::of(Exit::NotVerified, e))?;
    Ok(payload.venue)
}

fn statement(entry: &Entry) -> Result<Statement, Failure> {
    Statement::from_bytes(&entry.payload).ok_or_else(|| {
        Failure::new(
            Exit::NotVerified,
            format!("entry {} holds no statement: another program wrote it", entry.position),
        )
    })
}

/// People name the data folder as often as the journal in it.
/// The journal in a market's data folder, or the folder itself.
pub(super) fn journal_folder(named: &Path) -> Result<PathBuf, Failure> {
    let inner = named.join("journal");
    let folder = if inner.is_dir() { inner } else { named.to_owned() };
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(Failure::new(
        Exit::BadInput,
        format!("{} is not a folder: name the market's --data", folder.display()),
    ))
}

fn unreadable(error: ReadError) -> Failure {
    let exit = match &error {
        ReadError::Io { .. } => Exit::BadInput,
        _ => Exit::NotVerified,
    };
    Failure::of(exit, error)
}
