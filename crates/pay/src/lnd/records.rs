//! What is remembered beside LND: how long a payment may be held, why an invoice was closed, and which payments are
//! intended. LND knows the rest, and knows it better.
//!
//! One file, a line of JSON for each change, that is only appended to; a line counts once it is on disk. Processes may share
//! it: each takes the file's lock for a change, and first reads what others appended. What a crash left of a line is cut.

use crate::node::{EventCursor, FailureReason, NodeEvent, Preimage, Unavailable};
use market::{
    id::PaymentHash,
    units::{Msat, TimeMs},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// The file's name.
const NAME: &str = "records.jsonl";
/// Events that are kept; they are hints, so older ones are missed by nobody who asks for states.
const EVENTS_KEPT: usize = 10_000;
/// The file is written anew, at a start, when it has this many lines more than it needs.
const SPARE_LINES_MAX: usize = 50_000;

/// An invoice that was made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InvoiceRecord {
    pub(super) amount: Msat,
    pub(super) expires_at: TimeMs,
    pub(super) settlement: Settlement,
    pub(super) stage: InvoiceStage,
}

/// When the payment of an invoice is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Settlement {
    AtOnce,
    Hold { hold_ms: u64 },
}

/// Where an invoice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum InvoiceStage {
    /// LND was asked to make it, and nobody has been given it yet.
    Asked,
    Open,
    Held {
        until: TimeMs,
    },
    /// LND is to cancel it; which of the two came first, that or a settlement, LND decides.
    Closing {
        why: Closed,
    },
    Paid {
        preimage: Preimage,
    },
    Closed {
        why: Closed,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Closed {
    Cancelled,
    Expired,
}

impl InvoiceRecord {
    /// Whether something can still happen to it.
    pub(super) fn is_live(&self) -> bool {
        match self.stage {
            InvoiceStage::Open | InvoiceStage::Held { .. } | InvoiceStage::Closing { .. } => true,
            InvoiceStage::Asked | InvoiceStage::Paid { .. } | InvoiceStage::Closed { .. } => false,
        }
    }
}

/// A payment from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PaymentRecord {
    /// Written down before LND was asked; LND has not been seen to have it.
    Sending(Attempt),
    /// LND has it.
    Taken(Attempt),
    Succeeded {
        preimage: Preimage,
        fee: Msat,
    },
    Failed {
        reason: FailureReason,
        /// LND's number of the try that failed; zero where it never had one.
        index: u64,
    },
}

/// What was asked of LND.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) bolt11: String,
    pub(super) amount: Msat,
    pub(super) max_fee: Msat,
    pub(super) begun_at: TimeMs,
    pub(super) expires_at: TimeMs,
    /// LND's number of the try before this one, which failed; zero for a first try.
    pub(super) after: u64,
    /// Set when it was sent again without an answer to the first: a request may still be on its way to LND.
    pub(super) has_stray: bool,
}

impl PaymentRecord {
    /// What is being tried, while nobody knows how it ends.
    pub(super) fn attempt(&self) -> Option<&Attempt> {
        match self {
            PaymentRecord::Sending(attempt) | PaymentRecord::Taken(attempt) => Some(attempt),
            PaymentRecord::Succeeded { .. } | PaymentRecord::Failed { .. } => None,
        }
    }
}

/// A change.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Invoice(PaymentHash, InvoiceRecord),
    NoInvoice(PaymentHash),
    Payment(PaymentHash, PaymentRecord),
    NoPayment(PaymentHash),
    Event(NodeEvent),
    /// So many events were before, and are not kept.
    Events(u64),
}

/// What the lines so far say.
#[derive(Debug, Default)]
struct Contents {
    invoices: BTreeMap<PaymentHash, InvoiceRecord>,
    live_invoices: BTreeSet<PaymentHash>,
    payments: BTreeMap<PaymentHash, PaymentRecord>,
    undecided_payments: BTreeSet<PaymentHash>,
    events: VecDeque<NodeEvent>,
    events_before: u64,
    lines: usize,
}

impl Contents {
    fn apply(&mut self, line: Line) {
        self.lines += 1;
        match line {
            Line::Invoice(hash, record) => {
                if record.is_live() {
                    self.live_invoices.insert(hash);
                } else {
                    self.live_invoices.remove(&hash);
                }
                self.invoices.insert(hash, record);
            }
            Line::NoInvoice(hash) => {
                self.live_invoices.remove(&hash);
                self.invoices.remove(&hash);
            }
            Line::Payment(hash, record) => {
                if record.attempt().is_some() {
                    self.undecided_payments.insert(hash);
                } else {
                    self.undecided_payments.remove(&hash);
                }
                self.payments.insert(hash, record);
            }
            Line::NoPayment(hash) => {
                self.undecided_payments.remove(&hash);
                self.payments.remove(&hash);
            }
            Line::Event(event) => {
                self.events.push_back(event);
                if self.events.len() > EVENTS_KEPT {
                    self.events.pop_front();
                    self.events_before += 1;
                }
            }
            Line::Events(before) => self.events_before = before,
        }
    }

    /// The lines that say all of it.
    fn whole(&self) -> impl Iterator<Item = Line> {
        let invoices = self.invoices.iter().map(|(hash, record)| Line::Invoice(*hash, *record));
        let payments = self.payments.iter().map(|(hash, record)| Line::Payment(*hash, record.clone()));
        let events = self.events.iter().map(|event| Line::Event(*event));
        std::iter::once(Line::Events(self.events_before)).chain(invoices).chain(payments).chain(events)
    }
}

/// The records, as far as this process has read them.
pub(super) struct Records {
    file: File,
    read_to: u64,
    contents: Contents,
    /// Shared by all processes that use the file; whoever has it alone may replace the file.
    _in_use: Option<File>,
}

impl Records {
    /// Opens the records in a folder.
    pub(super) fn open(dir: &Path) -> Result<Records, Unavailable> {
        Records::open_with(dir, SPARE_LINES_MAX).map_err(|error| broken(&error))
    }

    fn open_with(dir: &Path, spare_lines_max: usize) -> io::Result<Records> {
        let in_use = private().truncate(false).open(dir.join("in-use"))?;
        if in_use.try_lock().is_ok() {
            shorten(dir, spare_lines_max)?;
        }
        in_use.lock_shared()?;
        Ok(Records { _in_use: Some(in_use), ..Records::of_file(dir)? })
    }

    fn of_file(dir: &Path) -> io::Result<Records> {
        let file = private().append(true).open(dir.join(NAME))?;
        Ok(Records { file, read_to: 0, contents: Contents::default(), _in_use: None })
    }

    /// Reads what was appended since, and cuts what is left of a line that a crash cut short. Nobody appends meanwhile.
    fn catch_up(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        if length == self.read_to {
            return Ok(());
        }
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(self.read_to))?;
        self.file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in bytes[..whole].split_inclusive(|byte| *byte == b'\n') {
            let line = serde_json::from_slice(line).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("records.jsonl is damaged: {error}"))
            })?;
            self.contents.apply(line);
        }
        self.read_to += whole as u64;
        if whole < bytes.len() {
            tracing::warn!("a record of the LND node was cut short by a crash; it did not count");
            self.file.set_len(self.read_to)?;
        }
        Ok(())
    }

    /// Does something with the records while no other process changes them. What it changes counts only if all of it could be
    /// written.
    pub(super) fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T, Unavailable>,
    ) -> Result<T, Unavailable> {
        self.file.lock().map_err(|error| broken(&error))?;
        let done = self.locked(work);
        let unlocked = self.file.unlock().map_err(|error| broken(&error));
        done.and_then(|done| unlocked.map(|()| done))
    }

    fn locked<T>(
        &mut self,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T, Unavailable>,
    ) -> Result<T, Unavailable> {
        self.catch_up().map_err(|error| broken(&error))?;
        let mut turn = Turn { contents: &self.contents, changes: Vec::new() };
        let done = work(&mut turn)?;
        let changes = turn.changes;
        self.append(changes).map_err(|error| broken(&error))?;
        Ok(done)
    }

    fn append(&mut self, changes: Vec<Line>) -> io::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for line in &changes {
            write_line(&mut bytes, line)?;
        }
        if let Err(error) = self.file.write_all(&bytes).and_then(|()| self.file.sync_data()) {
            // Whatever of it is there must not be found later: the caller was told that it failed.
            self.file.set_len(self.read_to)?;
            return Err(error);
        }
        self.read_to += bytes.len() as u64;
        changes.into_iter().for_each(|line| self.contents.apply(line));
        Ok(())
    }
}

/// Puts a file in the place of one that says the same in many more lines.
fn shorten(dir: &Path, spare_lines_max: usize) -> io::Result<()> {
    let mut records = Records::of_file(dir)?;
    records.catch_up()?;
    let contents = &records.contents;
    let needed = 1 + contents.invoices.len() + contents.payments.len() + contents.events.len();
    if contents.lines <= needed + spare_lines_max {
        return Ok(());
    }
    let mut bytes = Vec::new();
    contents.whole().try_for_each(|line| write_line(&mut bytes, &line))?;
    let new = dir.join("records.new");
    let mut file = private().truncate(true).open(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, dir.join(NAME))?;
    File::open(dir)?.sync_all()
}

/// The records while they are this process's. Changes are seen once the turn is over.
pub(super) struct Turn<'a> {
    contents: &'a Contents,
    changes: Vec<Line>,
}

impl Turn<'_> {
    pub(super) fn invoice(&self, hash: PaymentHash) -> Option<InvoiceRecord> {
        self.contents.invoices.get(&hash).copied()
    }

    pub(super) fn put_invoice(&mut self, hash: PaymentHash, record: InvoiceRecord) {
        self.changes.push(Line::Invoice(hash, record));
    }

    pub(super) fn forget_invoice(&mut self, hash: PaymentHash) {
        self.changes.push(Line::NoInvoice(hash));
    }

    /// The invoices that something can still happen to.
    pub(super) fn live_invoices(&self) -> Vec<(PaymentHash, InvoiceRecord)> {
        let live = self.contents.live_invoices.iter();
        live.filter_map(|hash| Some((*hash, self.invoice(*hash)?))).collect()
    }

    pub(super) fn payment(&self, hash: PaymentHash) -> Option<PaymentRecord> {
        self.contents.payments.get(&hash).cloned()
    }

    pub(super) fn put_payment(&mut self, hash: PaymentHash, record: PaymentRecord) {
        self.changes.push(Line::Payment(hash, record));
    }

    pub(super) fn forget_payment(&mut self, hash: PaymentHash) {
        self.changes.push(Line::NoPayment(hash));
    }

    /// The payments that nobody knows the end of.
    pub(super) fn undecided_payments(&self) -> Vec<PaymentHash> {
        self.contents.undecided_payments.iter().copied().collect()
    }

    pub(super) fn tell(&mut self, event: NodeEvent) {
        self.changes.push(Line::Event(event));
    }

    pub(super) fn events(&self, after: EventCursor, limit: usize) -> Vec<(EventCursor, NodeEvent)> {
        let skip = usize::try_from(after.0.saturating_sub(self.contents.events_before)).unwrap_or(usize::MAX);
        let places = (self.contents.events_before + 1..).map(EventCursor);
        places.zip(self.contents.events.iter().copied()).skip(skip).take(limit).collect()
    }
}

fn write_line(bytes: &mut Vec<u8>, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *bytes, line)?;
    bytes.push(b'\n');
    Ok(())
}

/// A file that nobody else reads: it holds preimages.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn broken(error: &io::Error) -> Unavailable {
    Unavailable(format!("the records beside LND fail: {error}"))
}

#[cfg(test)]
mod tests;
