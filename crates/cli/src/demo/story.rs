//! What a person sees of the job while it runs: the events of the market, told in sentences and bars.

use super::stage::Script;
use crate::output::{Output, Tone};
use indicatif::{ProgressBar, ProgressStyle};
use market::{
    event::{Event, Evidence, InconclusiveReason, RejectReason, TaskOutcome, Verdict},
    id::{AttemptId, LeaseId, MachineId, PartyId},
    lease::CloseReason,
    matching::PriceText,
    units::Msat,
};
use std::collections::{BTreeMap, BTreeSet};

/// What is going on at a provider.
#[derive(Debug)]
struct Row {
    bar: ProgressBar,
    running: BTreeSet<u32>,
    checking: BTreeSet<u32>,
    accepted: u32,
    earned: Msat,
    state: &'static str,
}

/// Something that the demo itself has to react to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cue {
    /// A party was convicted.
    Convicted(PartyId),
    /// A party has just taken a task.
    Working(PartyId),
    /// The job is settled.
    Settled,
}

/// Tells the story of one job.
#[derive(Debug)]
pub(super) struct Story<'a> {
    output: &'a Output,
    script: &'a Script,
    rows: BTreeMap<PartyId, Row>,
    frames: ProgressBar,
    leases: BTreeMap<LeaseId, PartyId>,
    attempts: BTreeMap<AttemptId, (PartyId, u32)>,
    /// Frames whose attempt was lost, by whom.
    orphans: BTreeMap<u32, PartyId>,
    /// What went into the insurance account.
    pub(super) insured: Msat,
}

impl<'a> Story<'a> {
    pub(super) fn new(output: &'a Output, script: &'a Script, frames: u32) -> Story<'a> {
        let bars = output.bars();
        let style = |template: &str| {
            ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━━╌")
        };
        let total = bars.add(ProgressBar::new(frames.into()));
        total.set_style(style("  frames   {bar:32.cyan} {pos:>3}/{len} verified  {elapsed}"));
        let rows = script.parties().map(|(party, name)| {
            let bar = bars.add(ProgressBar::new(frames.into()));
            bar.set_style(style("  {prefix:8} {bar:32.yellow} {pos:>3} paid      {msg}"));
            bar.set_prefix(name.to_owned());
            let (running, checking) = (BTreeSet::new(), BTreeSet::new());
            (party, Row { bar, running, checking, accepted: 0, earned: Msat::ZERO, state: "waits" })
        });
        Story {
            output,
            script,
            rows: rows.collect(),
            frames: total,
            leases: BTreeMap::new(),
            attempts: BTreeMap::new(),
            orphans: BTreeMap::new(),
            insured: Msat::ZERO,
        }
    }

    /// Ends the bars.
    pub(super) fn end(&self) {
        self.frames.finish_and_clear();
        self.rows.values().for_each(|row| row.bar.finish_and_clear());
    }

    /// Tells that the process of a provider is killed.
    pub(super) fn tell_of_kill(&self, party: PartyId) {
        self.say(Tone::Bad, &format!("the process of {} is killed (SIGKILL)", self.script.name(party)));
    }

    /// Tells an event.
    pub(super) fn tell(&mut self, event: &Event) -> Option<Cue> {
        match event {
            Event::BidCommitted { machine, .. } => {
                self.say(
                    Tone::Faint,
                    &format!("a sealed bid from {}: nobody can read it yet", self.machine(*machine)),
                );
            }
            Event::BidsClosed { .. } => self.say(Tone::Faint, "bidding is closed, the bids are opened"),
            Event::AuctionCleared { bids, won, .. } => {
                let text = format!(
                    "the auction is decided: {won} slots among {bids} bids; the first losing bid sets the price"
                );
                self.say(Tone::Strong, &text);
            }
            Event::LeaseGranted { lease, party, rate, .. } => {
                self.leases.insert(*lease, *party);
                let text = format!("{lease} goes to {} at {}", self.script.name(*party), PriceText(rate));
                self.say(Tone::Good, &text);
                self.set_state(*party, "starts");
            }
            Event::LeaseStarted { lease, .. } => self.with_lease(*lease, |row| row.state = "works"),
            Event::TasksClaimed { lease, attempts, .. } => return self.claimed(*lease, attempts),
            Event::ResultsCommitted { attempts, .. } => self.committed(attempts),
            Event::AttemptJudged { attempt, verdict, paid_msat, .. } => {
                self.judged(*attempt, verdict, *paid_msat)
            }
            Event::TaskFinished { outcome: TaskOutcome::Done { .. }, .. } => self.frames.inc(1),
            Event::TaskReopened { task, .. } => {
                self.frames.set_position(self.frames.position().saturating_sub(1));
                self.say(Tone::Bad, &format!("frame {task} runs again: nobody had checked it"));
            }
            Event::BondSlashed { party, bond_msat, to_buyer_msat, to_insurance_msat, .. } => {
                self.insured = Msat(self.insured.0 + to_insurance_msat.0);
                let name = self.script.name(*party);
                let text = format!(
                    "{name} is proven wrong and loses its bond of {bond_msat}: {to_buyer_msat} to the buyer for the cost of \
                     finding out, {to_insurance_msat} into the insurance account"
                );
                self.say(Tone::Bad, &text);
                self.set_state(*party, "convicted");
                return Some(Cue::Convicted(*party));
            }
            Event::MachineLost { machine } => {
                self.say(Tone::Bad, &format!("{} is not heard of any more", self.machine(*machine)));
            }
            Event::LeaseDraining { lease, reason, .. } => self.draining(*lease, *reason),
            Event::JobSettled { .. } => return Some(Cue::Settled),
            _ => {}
        }
        None
    }

    fn claimed(&mut self, lease: LeaseId, attempts: &[(AttemptId, u32)]) -> Option<Cue> {
        let party = *self.leases.get(&lease)?;
        for (attempt, task) in attempts {
            self.attempts.insert(*attempt, (party, *task));
            if let Some(row) = self.rows.get_mut(&party) {
                row.running.insert(*task);
            }
            if let Some(lost_by) = self.orphans.remove(task).filter(|lost_by| *lost_by != party) {
                let (name, before) = (self.script.name(party), self.script.name(lost_by));
                self.say(
                    Tone::Good,
                    &format!("frame {task}, which {before} left behind, is taken over by {name}"),
                );
            }
        }
        self.redraw(party);
        Some(Cue::Working(party))
    }

    fn committed(&mut self, attempts: &[AttemptId]) {
        for attempt in attempts {
            let Some((party, task)) = self.attempts.get(attempt).copied() else { continue };
            if let Some(row) = self.rows.get_mut(&party) {
                row.running.remove(&task);
                row.checking.insert(task);
            }
            self.redraw(party);
        }
    }

    fn judged(&mut self, attempt: AttemptId, verdict: &Verdict, paid: Msat) {
        let Some((party, task)) = self.attempts.remove(&attempt) else { return };
        if let Some(row) = self.rows.get_mut(&party) {
            row.running.remove(&task);
            row.checking.remove(&task);
            row.accepted += u32::from(matches!(verdict, Verdict::Accepted { .. }));
            row.earned = Msat(row.earned.0 + paid.0);
        }
        match verdict {
            Verdict::Rejected { reason: RejectReason::Wrong, evidence: Some(evidence) } => {
                self.wrong(party, task, evidence);
            }
            Verdict::Rejected { reason: RejectReason::LeaseCheated, .. } => {
                self.orphans.insert(task, party);
            }
            Verdict::Inconclusive { reason: InconclusiveReason::MachineLost } => {
                self.orphans.insert(task, party);
            }
            Verdict::Accepted { .. } | Verdict::Rejected { .. } | Verdict::Inconclusive { .. } => {}
        }
        self.redraw(party);
    }

    fn wrong(&self, party: PartyId, task: u32, evidence: &Evidence) {
        let claimed = evidence.claimed.map_or_else(|| "nothing".into(), |result| result.output.short());
        let by: Vec<String> = evidence.by.iter().map(ToString::to_string).collect();
        let text = format!(
            "frame {task} of {} is rejected: it claims output {claimed}…, {} agree on {}…",
            self.script.name(party),
            by.join(" and "),
            evidence.agreed.output.short()
        );
        self.say(Tone::Bad, &text);
    }

    fn draining(&mut self, lease: LeaseId, reason: CloseReason) {
        let Some(party) = self.leases.get(&lease).copied() else { return };
        match reason {
            CloseReason::Lost => {
                self.say(
                    Tone::Bad,
                    &format!("{lease} of {} is closed: its machine is lost", self.script.name(party)),
                );
                self.set_state(party, "lost");
            }
            CloseReason::Finished => self.set_state(party, "done"),
            CloseReason::Cheated => self.set_state(party, "convicted"),
            CloseReason::NeverStarted
            | CloseReason::Dismissed
            | CloseReason::Quit
            | CloseReason::Expired
            | CloseReason::OutOfFunds => self.set_state(party, "ended"),
        }
    }

    fn with_lease(&mut self, lease: LeaseId, change: impl FnOnce(&mut Row)) {
        let Some(party) = self.leases.get(&lease).copied() else { return };
        if let Some(row) = self.rows.get_mut(&party) {
            change(row);
        }
        self.redraw(party);
    }

    fn set_state(&mut self, party: PartyId, state: &'static str) {
        if let Some(row) = self.rows.get_mut(&party) {
            row.state = state;
        }
        self.redraw(party);
    }

    fn redraw(&self, party: PartyId) {
        let Some(row) = self.rows.get(&party) else { return };
        let list = |tasks: &BTreeSet<u32>| tasks.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let mut text = format!("{} · {}", row.state, row.earned);
        if !row.running.is_empty() {
            text.push_str(&format!(" · renders {}", list(&row.running)));
        }
        if !row.checking.is_empty() {
            text.push_str(&format!(" · checked: {}", list(&row.checking)));
        }
        row.bar.set_position(row.accepted.into());
        row.bar.set_message(text);
    }

    fn machine(&self, machine: MachineId) -> String {
        self.script.machine_name(machine).map_or_else(|| machine.to_string(), str::to_owned)
    }

    fn say(&self, tone: Tone, text: &str) {
        let mark = match tone {
            Tone::Good => "+",
            Tone::Bad => "!",
            Tone::Faint => "·",
            Tone::Strong => "=",
        };
        self.output.note(&format!("  {} {text}", self.output.tone(tone, mark)));
    }
}
