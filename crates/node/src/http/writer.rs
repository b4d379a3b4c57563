//! The writer: one thread that owns the venue. It takes everything that arrived while the last sync ran as one group,
//! applies and syncs it, and then sets answers and events free.

use super::{archive::Delivery, metrics::Metrics, pokes::Pokes};
use crate::{
    api::Accepted,
    journal::{FileJournal, JournalError},
    venue::{Admitted, CheckedStatement, Refusal, Released, Venue},
};
use market::{command::Command, id::MachineId, units::TimeMs};
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::{oneshot, watch};

/// How many statements may wait for the writer before others are turned away.
const QUEUE: usize = 16_384;
/// How many statements are one group at most.
const GROUP_MAX: usize = 4_096;
/// How many bytes of statements are one group at most.
const GROUP_MAX_BYTES: usize = 32 << 20;
/// The longest sleep.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// How long the venue's own chores wait while the disk is full.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// What the writer is told.
enum Input {
    /// A statement, and who waits for the answer.
    Statement(CheckedStatement, oneshot::Sender<Result<Accepted, Refusal>>),
    /// Something that the venue itself has to say.
    Own(Command, oneshot::Sender<Result<Accepted, Refusal>>),
    /// A machine gave a sign of life.
    Heard(MachineId),
    /// Finish what has arrived and end.
    Stop,
}

/// What is shared with the writer.
pub(super) struct Outlets {
    /// The last durable position.
    pub(super) durable: watch::Sender<u64>,
    /// Wakes those who wait for work.
    pub(super) pokes: Arc<Pokes>,
    /// Wakes whoever looks after payments.
    pub(super) payments: Arc<tokio::sync::Notify>,
    /// Keeps what the market forgets.
    pub(super) archive: std::sync::mpsc::Sender<Delivery>,
    /// Counts.
    pub(super) metrics: Arc<Metrics>,
}

/// Where statements are handed in.
#[derive(Clone)]
pub(super) struct WriterHandle(SyncSender<Input>);

/// Why a statement found no writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoWriter {
    /// Too much is waiting.
    Busy,
    /// It has stopped.
    Stopped,
}

/// The current time.
pub(super) fn now() -> TimeMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl WriterHandle {
    /// Hands in a statement and waits until it is durable or refused.
    pub(super) async fn submit(
        &self,
        statement: CheckedStatement,
    ) -> Result<Result<Accepted, Refusal>, NoWriter> {
        let (answer, answered) = oneshot::channel();
        self.send(Input::Statement(statement, answer))?;
        answered.await.map_err(|_| NoWriter::Stopped)
    }

    /// Has the venue itself say something.
    pub(super) async fn submit_own(&self, command: Command) -> Result<Result<Accepted, Refusal>, NoWriter> {
        let (answer, answered) = oneshot::channel();
        self.send(Input::Own(command, answer))?;
        answered.await.map_err(|_| NoWriter::Stopped)
    }

    /// Passes on a sign of life. One that finds the queue full is not missed: the next one comes soon.
    pub(super) fn heard(&self, machine: MachineId) {
        let _ = self.send(Input::Heard(machine));
    }

    /// Has the writer finish.
    pub(super) fn stop(&self) {
        // A writer that is gone has stopped already.
        let _ = self.0.send(Input::Stop);
    }

    fn send(&self, input: Input) -> Result<(), NoWriter> {
        self.0.try_send(input).map_err(|error| match error {
            TrySendError::Full(_) => NoWriter::Busy,
            TrySendError::Disconnected(_) => NoWriter::Stopped,
        })
    }
}

/// Starts the writer. It ends after [`WriterHandle::stop`], or with the error that the process has to end for.
pub(super) fn start(
    venue: Venue<FileJournal>,
    outlets: Outlets,
) -> std::io::Result<(WriterHandle, JoinHandle<Result<(), JournalError>>)> {
    let (sender, inbox) = sync_channel(QUEUE);
    let writer = Writer { venue, inbox, outlets };
    let thread = std::thread::Builder::new().name("writer".into()).spawn(move || writer.run())?;
    Ok((WriterHandle(sender), thread))
}

struct Writer {
    venue: Venue<FileJournal>,
    inbox: Receiver<Input>,
    outlets: Outlets,
}

/// What is written together.
#[derive(Default)]
struct Group {
    statements: Vec<CheckedStatement>,
    /// Who waits for the answers, in the same order.
    waiting: Vec<oneshot::Sender<Result<Accepted, Refusal>>>,
    bytes: usize,
    is_last: bool,
}

impl Writer {
    fn run(mut self) -> Result<(), JournalError> {
        loop {
            let group = self.gather();
            let is_last = group.is_last;
            // The venue's own come first: after an outage nothing may happen before it has said that it is back.
            let own = self.venue.chores(now());
            if !group.statements.is_empty() || !own.is_empty() {
                self.write(own, group)?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Waits for something to do and takes what else is there.
    fn gather(&mut self) -> Group {
        let now_ms = now();
        let sleep = Duration::from_millis(self.venue.next_chore(now_ms).since(now_ms)).min(SLEEP_MAX);
        let sleep = if self.venue.is_full() { sleep.max(FULL_PAUSE) } else { sleep };
        let mut group = Group::default();
        let mut next = match self.inbox.recv_timeout(sleep) {
            Ok(input) => Some(input),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Input::Stop),
        };
        while let Some(input) = next {
            self.take(input, &mut group);
            let has_room = group.statements.len() < GROUP_MAX && group.bytes < GROUP_MAX_BYTES;
            next = if has_room { self.inbox.try_recv().ok() } else { None };
        }
        group
    }

    fn take(&mut self, input: Input, group: &mut Group) {
        match input {
            Input::Statement(statement, answer) => {
                group.bytes += statement.bytes_len();
                group.statements.push(statement);
                group.waiting.push(answer);
            }
            Input::Own(command, answer) => {
                if let Some(statement) = self.venue.own_statement(now(), command) {
                    group.statements.push(statement);
                    group.waiting.push(answer);
                }
            }
            Input::Heard(machine) => self.venue.heard(machine, now()),
            Input::Stop => group.is_last = true,
        }
    }

    fn write(&mut self, own: Vec<CheckedStatement>, group: Group) -> Result<(), JournalError> {
        let waiting = own.iter().map(|_| None).chain(group.waiting.into_iter().map(Some)).collect::<Vec<_>>();
        let statements = own.into_iter().chain(group.statements).collect();
        let admitted = self.venue.admit(now(), statements)?;
        let metrics = &self.outlets.metrics;
        metrics.read_only.set(i64::from(self.venue.is_full()));
        let begun = Instant::now();
        let released = self.venue.sync(now())?;
        metrics.sync_seconds.observe(begun.elapsed().as_secs_f64());
        metrics.group_size.observe(admitted.len() as f64);
        self.publish(&released);
        let Released { position, leaves, receipts, .. } = released;
        // The archive's thread ends after this one.
        let _ = self.outlets.archive.send(Delivery { position, leaves, receipts });
        for (result, answer) in admitted.into_iter().zip(waiting) {
            self.outlets.metrics.count_statement(&result);
            if let Some(answer) = answer {
                // Whoever asked may have gone.
                let _ = answer.send(result.map(|admitted: Admitted| admitted.accepted(released.head)));
            } else if let Err(refusal) = result {
                tracing::debug!(%refusal, "a statement of the venue itself was refused");
            }
        }
        Ok(())
    }

    fn publish(&self, released: &Released) {
        self.outlets.durable.send_replace(released.position);
        if !released.events.is_empty() {
            let floor = self.venue.read();
            self.outlets.pokes.poke(&floor, &released.events);
        }
        if released.has_payments {
            self.outlets.payments.notify_one();
        }
    }
}
