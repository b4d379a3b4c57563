//! Ours: the venue core with its journal, a writer that takes together what arrived while the last sync ran, and clients
//! whose statements are read and checked before they reach it.

use super::{
    BATCH, BATCHES,
    clients::{BatchClient, Client},
};
use anyhow::{Context, bail, ensure};
use market::{
    command::{CERTIFICATE_DOMAIN, Claim, Command, Commit, Reveal, TopUpOutcome, certificate_message},
    id::{AttemptId, Digest, LeaseId, PartyId},
    job::{JobSpec, TaskLimits, Verification},
    key::{PublicKey, SecretKey},
    offer::{OfferRole, OfferTerms},
    order::{Needs, OrderKind, OrderTerms},
    reply::{Item, Reply},
    resources::{Attributes, Isolation, Resources},
    statement::{Payload, Statement},
    units::{Msat, Rate, TimeMs},
    verify::{Exit, TaskResult, seal},
};
use node::{
    api::Accepted,
    journal::{FileJournal, Options},
    venue::{CheckedStatement, NoArchive, Refusal, Settings, Venue, check_statement},
};
use std::{
    collections::VecDeque,
    path::Path,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::oneshot;

/// How long a statement is good, in milliseconds.
const LIFETIME_MS: u64 = 60_000;
/// Batches that one lease may have under way.
const BATCHES_PER_LEASE: usize = 4;
/// Leases of each client that sends batches.
const LEASES: usize = BATCHES / BATCHES_PER_LEASE;
/// Tasks of each job: more than a run claims.
const TASKS: u32 = 100_000;
/// Statements that the writer takes together at most, as in the server.
const GROUP_MAX: usize = 4_096;

type Answer = Result<Accepted, Refusal>;
type Submission = (CheckedStatement, oneshot::Sender<Answer>);

fn now() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A market with its writer.
pub(crate) struct Market {
    key: SecretKey,
    submit: Sender<Submission>,
    writer: JoinHandle<anyhow::Result<()>>,
}

impl Market {
    /// Opens a new market in a folder.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Market> {
        let key = SecretKey::from_bytes([255; 32]);
        let (journal, _) = FileJournal::open(folder, key.public(), Options::default())?;
        let (venue, _) = Venue::open(journal, key.clone(), Settings::default(), None, now(), NoArchive)?;
        let (submit, inbox) = channel();
        let writer = thread::spawn(move || write(venue, inbox));
        Ok(Market { key, submit, writer })
    }

    /// Ends the writer; all clients must be gone.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        drop(self.submit);
        self.writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?
    }

    fn signer(&self, key: SecretKey) -> Signer {
        Signer { key, venue: self.key.public(), submit: self.submit.clone(), nonce: 0 }
    }

    /// A party with money.
    async fn party(&self, nth: usize) -> anyhow::Result<(Signer, PartyId)> {
        let mut seed = [1; 32];
        seed[..8].copy_from_slice(&(nth as u64).to_le_bytes());
        let mut party = self.signer(SecretKey::from_bytes(seed));
        let reply = party.send(Command::RegisterParty { label: "somebody".into() }).await?;
        let Reply::Party(id) = reply else { bail!("{reply:?}") };
        let amount_msat = Msat(10_000_000_000);
        let reply = party.send(Command::TopUp { amount_msat }).await?;
        let Reply::TopUp(topup) = reply else { bail!("{reply:?}") };
        let outcome = TopUpOutcome::Received { amount_msat };
        let mut venue = self.signer(self.key.clone());
        venue.nonce = nth as u64;
        venue.send(Command::TopUpOutcome { topup, outcome }).await?;
        Ok((party, id))
    }

    /// Clients that move one msat into their bond again and again.
    pub(crate) async fn single_clients(&self, count: usize) -> anyhow::Result<Vec<Saver>> {
        let mut savers = Vec::new();
        for nth in 0..count {
            savers.push(Saver::new(self.party(nth).await?.0)?);
        }
        Ok(savers)
    }

    /// Clients that each work for jobs of their own, 1,000 tasks at a time.
    pub(crate) async fn batch_clients(&self, count: usize) -> anyhow::Result<Vec<Worker>> {
        let mut workers = Vec::new();
        for nth in 0..count {
            let (mut owner, party) = self.party(nth).await?;
            let mut seed = [2; 32];
            seed[..8].copy_from_slice(&(nth as u64).to_le_bytes());
            let mut machine = self.signer(SecretKey::from_bytes(seed));
            let message = certificate_message(&owner.venue, &owner.key.public());
            let consent = machine.key.sign(CERTIFICATE_DOMAIN, &message);
            let certify = Command::CertifyMachine {
                machine_key: machine.key.public(),
                consent,
                label: "machine".into(),
                capacity: resources(LEASES as u64),
            };
            let reply = owner.send(certify).await?;
            let Reply::Machine(id) = reply else { bail!("{reply:?}") };
            machine.send(Command::PostOffer { machine: id, terms: Box::new(offer_terms()?) }).await?;
            let mut leases = Vec::new();
            for _ in 0..LEASES {
                let order = Command::PlaceOrder {
                    terms: Box::new(order_terms()),
                    job: Box::new(job()),
                    audit_anchor: None,
                };
                let reply = owner.send(order).await?;
                let Reply::Order { leases: won, .. } = reply else { bail!("{reply:?}") };
                let lease = *won.first().context("no lease")?;
                machine.send(Command::StartLease { lease }).await?;
                leases.push(lease);
            }
            workers.push(Worker {
                machine,
                party,
                leases,
                next: Step::Claim,
                held: vec![],
                signed: VecDeque::new(),
            });
        }
        Ok(workers)
    }
}

/// What the server's writer does: everything that has arrived is one group.
fn write(mut venue: Venue<FileJournal>, inbox: Receiver<Submission>) -> anyhow::Result<()> {
    while let Ok(first) = inbox.recv() {
        let arrived = std::iter::once(first).chain(inbox.try_iter()).take(GROUP_MAX);
        let (statements, waiting): (Vec<_>, Vec<_>) = arrived.unzip();
        let (answers, _) = venue.commit(now(), statements)?;
        for (answer, waiting) in answers.into_iter().zip(waiting) {
            // A client that has gone does not want to know.
            let _ = waiting.send(answer);
        }
    }
    Ok(())
}

/// Somebody with a key.
pub(crate) struct Signer {
    key: SecretKey,
    venue: PublicKey,
    submit: Sender<Submission>,
    nonce: u64,
}

impl Signer {
    fn sign(&mut self, command: Command) -> anyhow::Result<Statement> {
        self.nonce += 1;
        let not_after_ms = now().plus(LIFETIME_MS);
        let payload =
            Payload { v: 1, venue: self.venue, not_after_ms, nonce: self.nonce, seen: None, command };
        Ok(Statement::sign(&self.key, &payload)?)
    }

    /// What the server does with a statement: read, check, hand to the writer, wait until it is durable.
    async fn submit(&self, statement: &Statement) -> anyhow::Result<Reply> {
        let checked = check_statement(statement, &self.venue)?;
        let (answer, answered) = oneshot::channel();
        self.submit.send((checked, answer)).context("the writer is gone")?;
        Ok(answered.await??.reply)
    }

    async fn send(&mut self, command: Command) -> anyhow::Result<Reply> {
        let statement = self.sign(command)?;
        self.submit(&statement).await
    }
}

/// Moves money, with statements that were signed beforehand: signing is the work of the client's own machine.
pub(crate) struct Saver {
    signer: Signer,
    signed: Vec<Statement>,
}

impl Saver {
    /// Statements for one round, more than it can use.
    const SIGNED: usize = 3_000;

    fn new(mut signer: Signer) -> anyhow::Result<Saver> {
        let sign = |_| signer.sign(Command::LockBond { amount_msat: Msat(1) });
        let signed = (0..Self::SIGNED).map(sign).collect::<Result<_, _>>()?;
        Ok(Saver { signer, signed })
    }
}

impl Client for Saver {
    async fn command(&mut self) -> anyhow::Result<()> {
        let statement = self.signed.pop().context("a round used up all statements: sign more")?;
        let reply = self.signer.submit(&statement).await?;
        ensure!(reply == Reply::Done, "{reply:?}");
        Ok(())
    }
}

/// Claims tasks, 1,000 at a time, commits their results, reveals them, and again. The statements of a step are signed, and
/// its seals made, before it begins: both are the work of the machines that run the tasks.
pub(crate) struct Worker {
    machine: Signer,
    party: PartyId,
    leases: Vec<LeaseId>,
    next: Step,
    /// What was claimed and is not revealed, batch by batch.
    held: Vec<Vec<(AttemptId, u32)>>,
    signed: VecDeque<Statement>,
}

enum Step {
    Claim,
    Commit,
    Reveal,
}

impl BatchClient for Worker {
    fn prepare(&mut self) -> anyhow::Result<()> {
        self.next = match self.next {
            Step::Claim => {
                for lease in self.leases.iter().flat_map(|lease| [*lease; BATCHES_PER_LEASE]) {
                    let claims = vec![Claim { lease, max: BATCH as u32 }];
                    self.signed.push_back(self.machine.sign(Command::ClaimTasks { claims })?);
                }
                Step::Commit
            }
            Step::Commit => {
                for tasks in &self.held {
                    let seal_of = |(attempt, task): &(AttemptId, u32)| Commit {
                        attempt: *attempt,
                        seal: seal(*task, *attempt, self.party, &salt(), &result()),
                    };
                    let commits = tasks.iter().map(seal_of).collect();
                    self.signed.push_back(self.machine.sign(Command::CommitResults { commits })?);
                }
                Step::Reveal
            }
            Step::Reveal => {
                for tasks in self.held.drain(..) {
                    let open = |(attempt, _)| Reveal { attempt, salt: salt(), result: result() };
                    let reveals = tasks.into_iter().map(open).collect();
                    self.signed.push_back(self.machine.sign(Command::RevealResults { reveals })?);
                }
                Step::Claim
            }
        };
        Ok(())
    }
}

impl Client for Worker {
    async fn command(&mut self) -> anyhow::Result<()> {
        let statement = self.signed.pop_front().context("nothing is prepared")?;
        match self.machine.submit(&statement).await? {
            Reply::Claimed(items) => {
                let Some(Item::Done(grants)) = items.into_iter().next() else { bail!("nothing was claimed") };
                ensure!(grants.len() == BATCH, "{} tasks", grants.len());
                self.held.push(grants.iter().map(|grant| (grant.attempt, grant.task)).collect());
                Ok(())
            }
            reply => check(reply),
        }
    }
}

fn check(reply: Reply) -> anyhow::Result<()> {
    let Reply::Items(items) = reply else { bail!("{reply:?}") };
    ensure!(items.len() == BATCH && items.iter().all(|item| *item == Item::Done(())), "an item was refused");
    Ok(())
}

fn salt() -> Digest {
    Digest([7; 32])
}

fn result() -> TaskResult {
    TaskResult { exit: Exit::Code(0), output: Digest([3; 32]), fuel: 500_000 }
}

/// What so many leases take.
fn resources(leases: u64) -> Resources {
    Resources { cpu_milli: 1_000 * leases, memory_mib: 1_024 * leases, ..Resources::default() }
}

fn offer_terms() -> anyhow::Result<OfferTerms> {
    Ok(OfferTerms {
        role: OfferRole::Work,
        rate: Rate::per_task(Msat(1)),
        resources: resources(LEASES as u64),
        isolation: Isolation::Wasm,
        region: "here".parse()?,
        class: "x86-64".parse()?,
        attributes: Attributes::new(),
        lease_max_ms: 86_400_000,
        holds: None,
    })
}

fn order_terms() -> OrderTerms {
    OrderTerms {
        kind: OrderKind::Ask,
        slots: 1,
        ceiling: Rate::per_task(Msat(1)),
        budget_msat: Msat(TASKS.into()),
        needs: Needs {
            resources: resources(1),
            isolation: Isolation::Wasm,
            region: None,
            attributes: Attributes::new(),
            min_reputation_ppm: 0,
            min_bond_msat: Msat::ZERO,
        },
        lease_max_ms: 3_600_000,
        funding: None,
    }
}

fn job() -> JobSpec {
    JobSpec {
        name: "tasks".into(),
        profile: "wasm-1".into(),
        module: Digest([1; 32]),
        args: vec![],
        env: Default::default(),
        stdin: None,
        inputs: vec![],
        tasks: TASKS,
        max_parallel: 100_000,
        retries: 3,
        duplicate_stragglers: false,
        limits: TaskLimits { memory_mib: 64, output_bytes: 1_000, fuel: 1_000_000, timeout_ms: 600_000 },
        verification: Verification::None,
    }
}
