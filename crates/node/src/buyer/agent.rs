//! The buyer's agent: follows a job, answers its audit rounds and collects its results, without I/O, clock or randomness.
//!
//! It is told what happened ([`Input`]) and says what to do ([`Action`]), as the provider's agent does, so that the simulation
//! drives this very code. What it is told last is enough: after a restart the view of the job and the record on disk
//! ([`Resume`]) bring it where it was.
//!
//! # What it does not believe
//!
//! The seed of an audit round is a hash over a link of the buyer's chain, a link of the venue's, and the batch. Whoever
//! knows a link of the buyer early can choose batches by what they will be audited for, and a later link gives away all
//! earlier ones. So a link is only revealed for the next round, or for one that the market can have reached without us:
//! each round that ends without the buyer's link takes the market [`LINK_GRACE_MS`].
//!
//! # Paying
//!
//! While the view says that a hold, a result or a session waits for the buyer's money, each look leads to another request to pay
//! ([`Action::PayHold`], [`Action::BuyKey`], [`Action::TopUp`]), one at a time for each. Whoever carries them out checks what is to be paid and
//! pays nothing twice, so that asking again is safe. What was refused is not asked again.

use crate::api::{HoldView, JobView, SaleView, TaskView};
use market::{
    command::{AuditLink, Command},
    event::{JobOutcome, TaskOutcome},
    funding::Funding,
    id::{AttemptId, Digest, JobId, LeaseId},
    units::{Msat, TimeMs},
    verify::{Chain, TaskResult},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The shortest time in which a round ends without the buyer's link, in milliseconds; see `link_grace_ms` of the rules.
pub const LINK_GRACE_MS: u64 = 30_000;
/// The view is asked for at least this often, in milliseconds, should an event have been missed.
const LOOK_EVERY_MS: u64 = 2_000;
/// Results fetched at the same time.
const FETCHES_MAX: usize = 8;
/// After this many tries a result that cannot be fetched is given up.
const FETCH_TRIES_MAX: u8 = 5;

/// What is told to the agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Time has passed, or something happened to the job that is not told in detail: it may be worth a look.
    Time,
    /// The market opened an audit round (its event).
    RoundOpened {
        /// Which.
        round: u32,
    },
    /// The answer to [`Action::Look`]; `None` when there was none.
    Looked(Option<Box<JobView>>),
    /// The answer to [`Action::LookAtTasks`]; `None` when there was none.
    Tasks(Option<Vec<TaskView>>),
    /// The answer to [`Action::Submit`]: whether the market took the link.
    Submitted {
        /// The round.
        round: u32,
        /// Whether it was taken.
        is_accepted: bool,
    },
    /// The answer to [`Action::Fetch`]: whether the output is here and has its digest.
    Fetched {
        /// The task.
        task: u32,
        /// Whether it is here.
        is_here: bool,
    },
    /// The answer to [`Action::PayHold`], [`Action::BuyKey`] and [`Action::TopUp`].
    Tried {
        /// What was to be paid.
        what: Payable,
        /// What came of it.
        tried: Tried,
    },
}

/// What waits for the buyer's money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Payable {
    /// The payments that fund a lease.
    Hold(LeaseId),
    /// The next prepayment of the job's session.
    Session,
    /// The key of a result.
    Key(AttemptId),
}

/// What came of trying to pay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// Everything is on its way, held, or arrived.
    OnItsWay {
        /// All of it together.
        amount_msat: Msat,
    },
    /// There is no node here to pay from: these invoices wait for whoever has one.
    ByHand {
        /// BOLT11.
        invoices: Vec<String>,
        /// All of them together.
        amount_msat: Msat,
    },
    /// The key of a result is paid for, and opens what replicas vouched for.
    Bought {
        /// What it cost.
        amount_msat: Msat,
    },
    /// The key of a result is paid for, and opens something else: the market is told, and the provider's bond has to pay.
    Disputed {
        /// What it cost.
        amount_msat: Msat,
    },
    /// Not all of it is, now; it is tried again.
    NotYet {
        /// Why.
        why: String,
    },
    /// Nothing is paid, and nothing will be.
    Refused {
        /// What is wrong.
        why: String,
    },
}

/// What the agent wants done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Write to disk before anything that follows.
    Keep(Resume),
    /// Sign and send a statement.
    Submit {
        /// The round whose link it reveals.
        round: u32,
        /// The statement's command.
        command: Command,
    },
    /// Ask for the job.
    Look,
    /// Ask for its tasks.
    LookAtTasks,
    /// Fetch an output, or open the ciphertext whose key was bought; check its digest and store it.
    Fetch {
        /// The task.
        task: u32,
        /// Its result.
        result: TaskResult,
    },
    /// Check the invoices of a hold and pay them, or see to it that those under way arrive.
    PayHold(HoldView),
    /// Check what is asked for the key of a result, pay it, open the result and say what was found.
    BuyKey(Box<SaleView>),
    /// Pay so much into the balance, so that the job's session goes on.
    TopUp {
        /// What the session needs.
        amount_msat: Msat,
    },
    /// Tell the person.
    Tell(Progress),
}

/// What a person wants to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// The job as it is now.
    Job(Box<JobView>),
    /// A task ended.
    Task {
        /// Its number.
        task: u32,
        /// How.
        outcome: TaskOutcome,
    },
    /// A result is here.
    Fetched {
        /// The task.
        task: u32,
    },
    /// A result cannot be had, although the market says that it was accepted.
    Missing {
        /// The task.
        task: u32,
        /// Its digest.
        output: Digest,
    },
    /// Something was to be paid. Told when that changes.
    Paying {
        /// What.
        what: Payable,
        /// What came of it.
        tried: Tried,
    },
    /// The market asks for a link that it cannot need yet. It is not given.
    EarlyRound {
        /// The round that it asked for.
        round: u32,
        /// The one that would be next.
        expected: u32,
    },
    /// Nothing more will happen.
    Ended {
        /// How the job ended.
        outcome: JobOutcome,
    },
}

/// What must survive a restart of the buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The first round whose link was never revealed.
    pub next_round: u32,
    /// When that was, by the venue's clock; 0: when the job was placed.
    pub since_ms: TimeMs,
}

/// Follows one job. See the [module](self).
#[derive(Debug)]
pub struct Follower {
    job: JobId,
    chain: Option<Chain>,
    resume: Resume,
    now: TimeMs,
    is_looking: bool,
    is_stale: bool,
    look_at: TimeMs,
    sending: Option<u32>,
    wanted_round: Option<u32>,
    refused: BTreeSet<u32>,
    tasks: Tasks,
    payments: Payments,
    ended: Option<JobOutcome>,
    is_told: bool,
    actions: Vec<Action>,
}

#[derive(Debug, Default)]
struct Payments {
    /// Being tried now.
    trying: BTreeSet<Payable>,
    /// What came of the last try, of everything that still waits.
    tried: BTreeMap<Payable, Tried>,
}

#[derive(Debug, Default)]
struct Tasks {
    wants_results: bool,
    /// Results are to be had once their keys are bought.
    needs_keys: bool,
    /// Tasks whose sale is over.
    sold: BTreeSet<u32>,
    done_in_view: u32,
    is_looking: bool,
    is_stale: bool,
    known: BTreeMap<u32, TaskOutcome>,
    waiting: BTreeMap<u32, (TaskResult, u8)>,
    fetching: BTreeMap<u32, (TaskResult, u8)>,
}

impl Follower {
    /// Follows a job. `chain` is the chain whose anchor went with the order, if there was one; `wants_results` says
    /// whether outputs are fetched.
    pub fn new(job: JobId, chain: Option<Chain>, resume: Resume, wants_results: bool) -> Follower {
        Follower {
            job,
            chain,
            resume,
            now: TimeMs(0),
            is_looking: false,
            is_stale: true,
            look_at: TimeMs(0),
            sending: None,
            wanted_round: None,
            refused: BTreeSet::new(),
            tasks: Tasks { wants_results, ..Tasks::default() },
            payments: Payments::default(),
            ended: None,
            is_told: false,
            actions: Vec::new(),
        }
    }

    /// Takes an input and says what to do. `now` is the venue's clock, as far as it is known.
    pub fn handle(&mut self, now: TimeMs, input: Input) -> Vec<Action> {
        self.now = self.now.max(now);
        match input {
            Input::Time => self.is_stale |= self.now >= self.look_at,
            Input::RoundOpened { round } => {
                self.wanted_round = Some(round);
                self.is_stale = true;
            }
            Input::Looked(view) => self.looked(view),
            Input::Tasks(tasks) => self.saw_tasks(tasks),
            Input::Submitted { round, is_accepted } => {
                self.sending = None;
                // After a refusal the next view says whether the link is still wanted.
                self.is_stale |= !is_accepted;
                self.wanted_round = self.wanted_round.filter(|wanted| *wanted != round);
            }
            Input::Fetched { task, is_here } => self.fetched(task, is_here),
            Input::Tried { what, tried } => self.tried(what, tried),
        }
        self.decide();
        std::mem::take(&mut self.actions)
    }

    /// When to call with [`Input::Time`] at the latest.
    pub fn next_wake(&self) -> TimeMs {
        self.look_at
    }

    /// Whether the job is settled and every result that can be had is here.
    pub fn is_done(&self) -> bool {
        self.is_told
    }

    /// Something happened to the job (an event): its view is worth a look.
    pub fn nudge(&mut self) {
        self.look_at = self.now;
    }

    fn looked(&mut self, view: Option<Box<JobView>>) {
        self.is_looking = false;
        self.look_at = self.now.plus(LOOK_EVERY_MS);
        let Some(view) = view else { return };
        if self.resume.since_ms == TimeMs(0) {
            self.resume.since_ms = view.placed_at_ms;
        }
        self.wanted_round = view.round_waiting_for_buyer;
        self.tasks.is_stale |= view.tasks_done + view.tasks_failed != self.tasks.done_in_view;
        self.tasks.done_in_view = view.tasks_done + view.tasks_failed;
        if view.phase == "settled" && self.ended.is_none() {
            self.ended = view.outcome;
            self.tasks.is_stale = true;
        }
        self.saw_sales(&view);
        self.pay(&view);
        self.actions.push(Action::Tell(Progress::Job(view)));
    }

    /// What was bought can be opened; what was not sold, or turned out to be something else, is not to be had.
    fn saw_sales(&mut self, view: &JobView) {
        self.tasks.needs_keys = matches!(view.terms.funding, Some(Funding::Decrypt { .. }));
        for sale in &view.sales {
            let is_sold = sale.is_sold();
            let is_lost = sale.phase == "unsold" || sale.phase == "forged";
            if !self.tasks.wants_results || !(is_sold || is_lost) || !self.tasks.sold.insert(sale.task) {
                continue;
            }
            if is_sold {
                self.tasks.waiting.insert(sale.task, (sale.result, 0));
            } else {
                let (task, output) = (sale.task, sale.result.output);
                self.actions.push(Action::Tell(Progress::Missing { task, output }));
            }
        }
    }

    /// Asks for everything to be paid that waits for it, unless it was refused.
    fn pay(&mut self, view: &JobView) {
        let holds = view.holds.iter().filter(|hold| hold.phase == "invoiced");
        let holds = holds.map(|hold| (Payable::Hold(hold.lease), Action::PayHold(hold.clone())));
        let session = view.session_needs_msat.filter(|amount| *amount > Msat::ZERO);
        let session = session.map(|amount_msat| (Payable::Session, Action::TopUp { amount_msat }));
        let sales = view.sales.iter().filter(|sale| sale.phase == "payable");
        let sales = sales.map(|sale| (Payable::Key(sale.attempt), Action::BuyKey(Box::new(sale.clone()))));
        let wanted: Vec<_> = holds.chain(session).chain(sales).collect();
        self.payments.tried.retain(|what, _| wanted.iter().any(|(waiting, _)| waiting == what));
        for (what, action) in wanted {
            let is_refused = matches!(self.payments.tried.get(&what), Some(Tried::Refused { .. }));
            if !is_refused && self.payments.trying.insert(what) {
                self.actions.push(action);
            }
        }
    }

    fn tried(&mut self, what: Payable, tried: Tried) {
        self.payments.trying.remove(&what);
        if self.payments.tried.get(&what) != Some(&tried) {
            self.payments.tried.insert(what, tried.clone());
            self.actions.push(Action::Tell(Progress::Paying { what, tried }));
        }
    }

    fn saw_tasks(&mut self, tasks: Option<Vec<TaskView>>) {
        self.tasks.is_looking = false;
        let Some(tasks) = tasks else {
            self.tasks.is_stale = true;
            return;
        };
        for view in tasks {
            let Some(outcome) = view.outcome else { continue };
            // A result of a party that is proven to cheat later is replaced by another.
            if self.tasks.known.insert(view.task, outcome) == Some(outcome) {
                continue;
            }
            self.actions.push(Action::Tell(Progress::Task { task: view.task, outcome }));
            match outcome {
                TaskOutcome::Done { result, .. } if self.tasks.wants_results && !self.tasks.needs_keys => {
                    self.tasks.waiting.insert(view.task, (result, 0));
                }
                TaskOutcome::Done { .. } | TaskOutcome::Failed { .. } | TaskOutcome::Cancelled => {}
            }
        }
    }

    fn fetched(&mut self, task: u32, is_here: bool) {
        let Some((result, tries)) = self.tasks.fetching.remove(&task) else { return };
        let is_newer_known = self.tasks.waiting.contains_key(&task);
        if is_here {
            if !is_newer_known {
                self.actions.push(Action::Tell(Progress::Fetched { task }));
            }
        } else if tries + 1 >= FETCH_TRIES_MAX {
            self.actions.push(Action::Tell(Progress::Missing { task, output: result.output }));
        } else {
            self.tasks.waiting.entry(task).or_insert((result, tries + 1));
        }
    }

    fn decide(&mut self) {
        if self.is_told {
            return;
        }
        self.reveal_link();
        self.fetch();
        if self.tasks.is_stale && !self.tasks.is_looking {
            self.tasks.is_stale = false;
            self.tasks.is_looking = true;
            self.actions.push(Action::LookAtTasks);
        }
        let is_waiting =
            self.tasks.is_looking || !self.tasks.waiting.is_empty() || !self.tasks.fetching.is_empty();
        match self.ended {
            Some(outcome) if !is_waiting => {
                self.is_told = true;
                self.actions.push(Action::Tell(Progress::Ended { outcome }));
            }
            Some(_) => {}
            None if self.is_stale && !self.is_looking => {
                self.is_stale = false;
                self.is_looking = true;
                self.actions.push(Action::Look);
            }
            None => {}
        }
    }

    fn reveal_link(&mut self) {
        let (Some(round), Some(chain)) = (self.wanted_round, self.chain) else { return };
        if self.sending.is_some() {
            return;
        }
        let expected = self.resume.next_round;
        let skipped = u64::from(round.saturating_sub(expected));
        if skipped > 0 && self.now.since(self.resume.since_ms) / LINK_GRACE_MS < skipped {
            if self.refused.insert(round) {
                self.actions.push(Action::Tell(Progress::EarlyRound { round, expected }));
            }
            return;
        }
        let Some(link) = chain.link(round) else { return };
        if round >= expected {
            self.resume = Resume { next_round: round + 1, since_ms: self.now };
            self.actions.push(Action::Keep(self.resume));
        }
        self.sending = Some(round);
        let command = Command::RevealBuyerLink(AuditLink { job: self.job, round, link });
        self.actions.push(Action::Submit { round, command });
    }

    fn fetch(&mut self) {
        while self.tasks.fetching.len() < FETCHES_MAX {
            let free =
                self.tasks.waiting.keys().find(|task| !self.tasks.fetching.contains_key(task)).copied();
            let Some((task, wanted)) = free.and_then(|task| self.tasks.waiting.remove_entry(&task)) else {
                return;
            };
            self.tasks.fetching.insert(task, wanted);
            self.actions.push(Action::Fetch { task, result: wanted.0 });
        }
    }
}
