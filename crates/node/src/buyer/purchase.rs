//! Buying for real: uploads, places the order, follows the job to its end, collects results.

use super::{
    PreparedJob,
    agent::{Action, Follower, Input, Progress, Resume, Tried},
    payer::{Allowance, Due, Payer, SharedNode},
    record::{Record, RecordError, Records, chain},
};
use crate::{
    api::{PlacedEvent, SaleView},
    client::{ClientError, Market},
};
use futures_util::StreamExt;
use market::{
    command::Command,
    event::{Event, JobOutcome},
    id::{Digest, JobId, LeaseId, OrderId},
    job::Verification,
    key::SecretKey,
    reply::Reply,
    units::Msat,
    verify::TaskResult,
};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};
use tokio::{sync::mpsc, task::JoinSet};

/// How long the next look at a job waits at most when nothing happens.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The name of a task's output in the folder of results.
fn output_name(task: u32) -> String {
    format!("task-{task:06}.bundle")
}

/// A buyer at a market.
#[derive(Clone)]
pub struct Buyer {
    market: Market,
    secret: SecretKey,
    records: Records,
    node: Option<SharedNode>,
}

impl fmt::Debug for Buyer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buyer({} at {})", self.secret.public(), self.market.address())
    }
}

/// Why buying went wrong.
#[derive(Debug, thiserror::Error)]
pub enum BuyError {
    /// The market, or the way to it.
    #[error(transparent)]
    Market(#[from] ClientError),
    /// The records.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The folder of results.
    #[error("cannot write results to {}: {source}", folder.display())]
    Results {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// An answer that does not belong to the question.
    #[error("the market gave a strange answer to the order: does it run another version?")]
    Strange,
}

/// An order that was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The order.
    pub order: OrderId,
    /// Its job.
    pub job: JobId,
    /// Leases won at once.
    pub leases: Vec<LeaseId>,
}

/// What became of orders that an earlier process sent without learning the answer.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Those that are jobs now.
    pub placed: Vec<Placed>,
    /// Records that cannot be read: nobody knows what became of their orders.
    pub unreadable: Vec<RecordError>,
}

/// What whoever follows a job is told.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// Something happened at the market: public, or about this buyer.
    Event(Box<PlacedEvent>),
    /// The job is further.
    Progress(Progress),
    /// The market cannot be used at the moment, and why; it is asked again. Told once per outage.
    Away(String),
    /// The market can be used again.
    Back,
    /// Something did not work, and is tried again while it may help.
    Retry {
        /// What was tried.
        what: String,
        /// What came of it.
        why: String,
    },
    /// The output of a task is here.
    Output {
        /// The task.
        task: u32,
        /// Its result.
        result: TaskResult,
        /// The bundle's file.
        file: PathBuf,
    },
}

impl Buyer {
    /// A buyer whose records are in a folder. A folder serves one party at one market.
    pub fn new(market: Market, secret: SecretKey, records: &Path) -> Result<Buyer, BuyError> {
        Ok(Buyer { market, secret, records: Records::open(records)?, node: None })
    }

    /// The same buyer, who pays from a node of his own what holds and sessions need.
    pub fn with_node(self, node: SharedNode) -> Buyer {
        Buyer { node: Some(node), ..self }
    }

    /// Raises the balance at the market by this much, from the buyer's node or by an invoice for him to pay. Safe to ask
    /// again: what is under way is not paid twice.
    pub async fn raise_balance(&self, amount_msat: Msat) -> Result<Tried, BuyError> {
        let allowance = Allowance { terms: None, holds_msat: Msat::ZERO, topups_msat: Msat::MAX };
        self.payer("balance".into(), allowance)?.pay(Due::TopUp(amount_msat)).await
    }

    fn payer(&self, stem: String, allowance: Allowance) -> Result<Payer, BuyError> {
        let node = self.node.clone();
        Ok(Payer::open(&self.market, &self.secret, &self.records, stem, allowance, node)?)
    }

    /// Uploads what a job needs; `told` hears after each file how many of all are there.
    pub async fn upload(
        &self,
        job: &PreparedJob,
        mut told: impl FnMut(usize, usize),
    ) -> Result<(), BuyError> {
        for (nth, file) in job.blobs.values().enumerate() {
            self.market.put_blob_file(&self.secret, file).await?;
            told(nth + 1, job.blobs.len());
        }
        Ok(())
    }

    /// Puts the output of a task into a file, whole and checked: as it is stored, or, where its key was bought (see
    /// [`JobView::sales`](crate::api::JobView::sales)), opened.
    pub async fn output(
        &self,
        job: JobId,
        sold: Option<&SaleView>,
        result: &TaskResult,
        file: &Path,
    ) -> Result<(), BuyError> {
        match sold {
            Some(sale) => {
                let ciphertexts = self.records.ciphertexts(&job.to_string());
                ciphertexts.unpack(&self.market, &self.secret, sale, file).await
            }
            None => {
                self.market.get_blob_file(&self.secret, result.output, file).await?;
                Ok(())
            }
        }
    }

    /// Places the order. What is needed to go on after a crash is on disk before the order is sent.
    pub async fn place(&self, job: &PreparedJob) -> Result<Placed, BuyError> {
        let chain_secret = random_secret()?;
        let is_verified = job.spec.verification != Verification::None;
        let audit_anchor = is_verified.then(|| chain(&chain_secret, job.spec.tasks).anchor());
        let (terms, spec) = (Box::new(job.terms.clone()), Box::new(job.spec.clone()));
        let command = Command::PlaceOrder { terms, job: spec, audit_anchor };
        let order = self.market.statement(&self.secret, command)?;
        let (tasks, resume) = (job.spec.tasks, Resume::default());
        let record = Record { chain_secret, tasks, order, holds_max_msat: job.holds_max_msat, resume };
        self.records.keep_draft(&record)?;
        self.send(&record).await
    }

    /// Orders that were sent by an earlier process, which did not learn what became of them: sent again, they are either
    /// found to be placed or too old to be. One that cannot be read stops none of the others.
    pub async fn recover(&self) -> Result<Recovered, BuyError> {
        let mut recovered = Recovered::default();
        for record in self.records.drafts()? {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    recovered.unreadable.push(error);
                    continue;
                }
            };
            match self.send(&record).await {
                Ok(order) => recovered.placed.push(order),
                Err(BuyError::Market(ClientError::Refused { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(recovered)
    }

    async fn send(&self, record: &Record) -> Result<Placed, BuyError> {
        let accepted = match self.market.send(&record.order).await {
            Ok(accepted) => accepted,
            Err(error) => {
                if matches!(error, ClientError::Refused { .. }) && !error.is_passing() {
                    self.records.drop_draft(record)?;
                }
                return Err(error.into());
            }
        };
        let Reply::Order { order, job, leases } = accepted.reply else { return Err(BuyError::Strange) };
        self.records.placed(record, job)?;
        Ok(Placed { order, job, leases })
    }

    /// Follows a job until it is settled, answers its audit rounds, and puts the output bundles into `results`, where that
    /// is given. Dropping the future stops following; the job goes on, and can be followed again. So it does after an
    /// error: the market refused, or it did not answer for as long as the patience of the buyer's [`Market`].
    pub async fn follow(
        &self,
        job: JobId,
        results: Option<&Path>,
        mut told: impl FnMut(News),
    ) -> Result<JobOutcome, BuyError> {
        if let Some(folder) = results {
            let failed = |source| BuyError::Results { folder: folder.to_owned(), source };
            tokio::fs::create_dir_all(folder).await.map_err(failed)?;
        }
        let record = self.records.find(job)?;
        let chain = record.as_ref().map(Record::chain);
        let resume = record.as_ref().map_or_else(Resume::default, |record| record.resume);
        let follower = Follower::new(job, chain, resume, results.is_some());
        let (answers, inbox) = mpsc::unbounded_channel();
        let results = results.map(Path::to_owned);
        let payer = match record.as_ref().and_then(Record::allowance) {
            Some(allowance) => Some(self.payer(job.to_string(), allowance)?),
            None => None,
        };
        let errands = Errands {
            buyer: self.clone(),
            job,
            payer,
            record,
            results,
            answers,
            running: JoinSet::new(),
            known: BTreeMap::new(),
            sales: BTreeMap::new(),
        };
        Following { follower, errands, inbox, is_away: false, outcome: None }.run(&mut told).await
    }
}

/// What comes back from an errand.
enum Answer {
    Input(Result<Box<Input>, BuyError>),
    /// A link was sent; where the market refused it, what it said.
    Link(u32, Result<Option<String>, BuyError>),
    Output(u32, TaskResult, Result<PathBuf, BuyError>),
}

/// What the follower wants done meanwhile.
struct Errands {
    buyer: Buyer,
    job: JobId,
    /// None when the job was placed elsewhere, and nobody here knows what may be paid for it.
    payer: Option<Payer>,
    record: Option<Record>,
    results: Option<PathBuf>,
    answers: mpsc::UnboundedSender<Answer>,
    running: JoinSet<()>,
    /// Outputs that are here: tasks with the same output are copied, not fetched.
    known: BTreeMap<Digest, PathBuf>,
    /// Results whose keys were bought, by task.
    sales: BTreeMap<u32, SaleView>,
}

struct Following {
    follower: Follower,
    errands: Errands,
    inbox: mpsc::UnboundedReceiver<Answer>,
    is_away: bool,
    outcome: Option<JobOutcome>,
}

impl Following {
    async fn run(mut self, told: &mut impl FnMut(News)) -> Result<JobOutcome, BuyError> {
        let buyer = self.errands.buyer.clone();
        let mut events = pin!(buyer.market.events(None, Some(&buyer.secret)));
        let mut contact = buyer.market.contact();
        let mut streaming = true;
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let input = tokio::select! {
                Some(answer) = self.inbox.recv() => match answer {
                    Answer::Input(input) => self.errands.heard(*input?),
                    Answer::Link(round, refusal) => sent(round, refusal?, told),
                    Answer::Output(task, result, file) => self.arrived(task, result, file, told)?,
                },
                event = events.next(), if streaming => match event.transpose()? {
                    Some(event) => {
                        let input = self.heard(&event);
                        told(News::Event(Box::new(event)));
                        input
                    }
                    None => {
                        streaming = false;
                        Input::Time
                    }
                },
                Ok(()) = contact.changed() => {
                    let trouble = contact.borrow_and_update().trouble().map(str::to_owned);
                    self.hear_of(trouble, told);
                    continue;
                }
                _ = look.tick() => Input::Time,
            };
            let actions = self.follower.handle(buyer.market.now(), input);
            for action in actions {
                self.carry_out(action, told)?;
            }
            if let Some(outcome) = self.outcome {
                return Ok(outcome);
            }
        }
    }

    fn hear_of(&mut self, trouble: Option<String>, told: &mut impl FnMut(News)) {
        let was_away = std::mem::replace(&mut self.is_away, trouble.is_some());
        match trouble {
            Some(why) if !was_away => told(News::Away(why)),
            None if was_away => told(News::Back),
            Some(_) | None => {}
        }
    }

    /// What an event means for the job: a round to answer, or a reason to look at once.
    fn heard(&mut self, event: &PlacedEvent) -> Input {
        let job = self.errands.job;
        match &event.event {
            Event::RoundOpened { job: of, round, .. } if *of == job => Input::RoundOpened { round: *round },
            // Finished tasks are no reason: there may be thousands a second, and a look shows all of them.
            Event::JobEnded { job: of, .. }
            | Event::JobSettled { job: of, .. }
            | Event::HoldInvoiced { job: of, .. }
            | Event::SessionLow { job: of, .. }
            | Event::SaleOpened { job: of, .. }
            | Event::ResultSold { job: of, .. }
            | Event::KeyForged { job: of, .. }
                if *of == job =>
            {
                self.follower.nudge();
                Input::Time
            }
            _ => Input::Time,
        }
    }

    fn arrived(
        &mut self,
        task: u32,
        result: TaskResult,
        file: Result<PathBuf, BuyError>,
        told: &mut impl FnMut(News),
    ) -> Result<Input, BuyError> {
        match file {
            Ok(file) => {
                self.errands.known.entry(result.output).or_insert_with(|| file.clone());
                told(News::Output { task, result, file });
                Ok(Input::Fetched { task, is_here: true })
            }
            Err(error) => not_fetched(task, error, told),
        }
    }

    fn carry_out(&mut self, action: Action, told: &mut impl FnMut(News)) -> Result<(), BuyError> {
        match action {
            Action::Keep(resume) => {
                if let Some(record) = &mut self.errands.record {
                    record.resume = resume;
                    self.errands.buyer.records.keep(record, self.errands.job)?;
                }
            }
            Action::Submit { round, command } => self.errands.submit(round, command),
            Action::Look => self.errands.look(),
            Action::LookAtTasks => self.errands.look_at_tasks(),
            Action::Fetch { task, result } => self.errands.fetch(task, result),
            Action::PayHold(hold) => self.errands.pay(Due::Hold(Box::new(hold))),
            Action::BuyKey(sale) => self.errands.pay(Due::Key(sale)),
            Action::TopUp { amount_msat } => self.errands.pay(Due::TopUp(amount_msat)),
            Action::Tell(progress) => {
                if let Progress::Ended { outcome } = progress {
                    self.outcome = Some(outcome);
                }
                told(News::Progress(progress));
            }
        }
        Ok(())
    }
}

/// What is not to be had, or is not what the market says, is tried again and then given up; anything else ends it all.
fn not_fetched(task: u32, error: BuyError, told: &mut impl FnMut(News)) -> Result<Input, BuyError> {
    match error {
        BuyError::Market(
            error @ (ClientError::Refused { status: 404, .. } | ClientError::BlobMismatch(_)),
        ) => {
            let what = format!("fetching the result of task {task}");
            told(News::Retry { what, why: error.to_string() });
            Ok(Input::Fetched { task, is_here: false })
        }
        BuyError::Market(ClientError::File { file, source }) => {
            Err(BuyError::Results { folder: file, source })
        }
        other => Err(other),
    }
}

/// What a link that was sent means for the job.
fn sent(round: u32, refusal: Option<String>, told: &mut impl FnMut(News)) -> Input {
    let is_accepted = refusal.is_none();
    if let Some(why) = refusal {
        told(News::Retry { what: format!("revealing the audit link of round {round}"), why });
    }
    Input::Submitted { round, is_accepted }
}

impl Errands {
    /// Notes which results can be opened.
    fn heard(&mut self, input: Input) -> Input {
        if let Input::Looked(Some(view)) = &input {
            let sold = view.sales.iter().filter(|sale| sale.is_sold());
            self.sales.extend(sold.map(|sale| (sale.task, sale.clone())));
        }
        input
    }

    fn submit(&mut self, round: u32, command: Command) {
        let (buyer, answers) = (self.buyer.clone(), self.answers.clone());
        self.running.spawn(async move {
            let refusal = match buyer.market.submit(&buyer.secret, command).await {
                Ok(_) => Ok(None),
                // The round may be over; the next view of the job says so, or why it cannot be seen.
                Err(ClientError::Refused { error, .. }) => Ok(Some(error.message)),
                Err(error) => Err(BuyError::from(error)),
            };
            // Nobody listens any more when the job is no longer followed.
            let _ = answers.send(Answer::Link(round, refusal));
        });
    }

    fn look(&mut self) {
        let (buyer, answers, job) = (self.buyer.clone(), self.answers.clone(), self.job);
        self.running.spawn(async move {
            let view = buyer.market.job(&buyer.secret, job).await;
            let _ = answers.send(Answer::Input(
                view.map(|view| Box::new(Input::Looked(Some(Box::new(view))))).map_err(BuyError::from),
            ));
        });
    }

    fn look_at_tasks(&mut self) {
        let (buyer, answers, job) = (self.buyer.clone(), self.answers.clone(), self.job);
        self.running.spawn(async move {
            let tasks = buyer.market.tasks(&buyer.secret, job).await;
            let _ = answers.send(Answer::Input(
                tasks.map(|tasks| Box::new(Input::Tasks(Some(tasks)))).map_err(BuyError::from),
            ));
        });
    }

    fn pay(&mut self, due: Due) {
        let (payer, answers) = (self.payer.clone(), self.answers.clone());
        self.running.spawn(async move {
            let what = due.what();
            let tried = match payer {
                Some(payer) => payer.pay(due).await,
                None => Ok(Tried::Refused {
                    why: "the job was placed elsewhere: nobody here knows what may be paid for it".into(),
                }),
            };
            let input = match tried {
                Ok(tried) => Ok(Box::new(Input::Tried { what, tried })),
                Err(BuyError::Market(error)) => {
                    // A refusal is about this payment; whether the job can be followed shows elsewhere.
                    let why = error.to_string();
                    Ok(Box::new(Input::Tried { what, tried: Tried::NotYet { why } }))
                }
                Err(error) => Err(error),
            };
            let _ = answers.send(Answer::Input(input));
        });
    }

    fn fetch(&mut self, task: u32, result: TaskResult) {
        let Some(folder) = self.results.clone() else { return };
        let (buyer, answers) = (self.buyer.clone(), self.answers.clone());
        let known = self.known.get(&result.output).cloned();
        let sale = self.sales.get(&task).filter(|sale| sale.result == result).cloned();
        let job = self.job;
        self.running.spawn(async move {
            let file = folder.join(output_name(task));
            let fetched = match known {
                Some(same) if same == file => Ok(()),
                Some(same) => {
                    let failed = |source| ClientError::File { file: file.clone(), source };
                    tokio::fs::copy(&same, &file).await.map(|_| ()).map_err(|e| failed(e).into())
                }
                None => buyer.output(job, sale.as_ref(), &result, &file).await,
            };
            let _ = answers.send(Answer::Output(task, result, fetched.map(|()| file)));
        });
    }
}

fn random_secret() -> Result<Digest, BuyError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| BuyError::Random(e.to_string()))?;
    Ok(Digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_again_is_told_with_the_reason() {
        let mut news = Vec::new();
        let mut told = |item| news.push(item);
        let mismatch = BuyError::Market(ClientError::BlobMismatch(Digest([1; 32])));
        let again = not_fetched(7, mismatch, &mut told).unwrap();
        assert_eq!(again, Input::Fetched { task: 7, is_here: false });
        assert_eq!(sent(3, None, &mut told), Input::Submitted { round: 3, is_accepted: true });
        let refused = sent(4, Some("the round is over".into()), &mut told);
        assert_eq!(refused, Input::Submitted { round: 4, is_accepted: false });
        let [News::Retry { what: fetch, why }, News::Retry { what: link, why: over }] = &news[..] else {
            panic!("{news:?}")
        };
        assert!(fetch.contains("task 7") && why.contains("other bytes"), "{news:?}");
        assert!(link.contains("round 4") && over == "the round is over", "{news:?}");
    }
}
