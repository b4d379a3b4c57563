//! A job on the screen: what happens to it, line by line, and a progress bar for each lease.

use crate::{
    output::{Output, Tone},
    text,
};
use indicatif::{ProgressBar, ProgressStyle};
use market::{
    event::{Event, RejectReason, Verdict},
    id::{JobId, LeaseId, MachineId, OrderId, PartyId},
    units::Msat,
};
use node::api::{JobView, LeaseView, PlacedEvent};
use std::collections::BTreeMap;

/// Shows one job.
pub(crate) struct Screen<'a> {
    output: &'a Output,
    job: JobId,
    order: OrderId,
    tasks: u32,
    total: ProgressBar,
    leases: BTreeMap<LeaseId, Row>,
}

/// A lease on the screen.
struct Row {
    bar: ProgressBar,
    machine: MachineId,
    party: PartyId,
    label: String,
}

impl<'a> Screen<'a> {
    /// An empty screen for a job.
    pub(crate) fn new(output: &'a Output, view: &JobView) -> Screen<'a> {
        let total = output.bars().add(ProgressBar::new(view.spec.tasks.into()));
        total.set_style(style("{prefix:>18} {bar:28} {pos}/{len} {msg}"));
        total.set_prefix(view.spec.name.clone());
        let (job, order, tasks) = (view.job, view.order, view.spec.tasks);
        Screen { output, job, order, tasks, total, leases: BTreeMap::new() }
    }

    /// The job as it is now.
    pub(crate) fn job(&mut self, view: &JobView) {
        for lease in &view.leases {
            self.lease(lease);
        }
        self.total.set_position(view.tasks_done.into());
        let failed = match view.tasks_failed {
            0 => String::new(),
            failed => format!(", {failed} without a result"),
        };
        self.total.set_message(format!("{}{failed}, {} paid", view.phase, self.output.money(view.paid_msat)));
    }

    fn lease(&mut self, lease: &LeaseView) {
        let (output, total, tasks) = (self.output, &self.total, self.tasks);
        let row = self.leases.entry(lease.lease).or_insert_with(|| {
            let bar = output.bars().insert_before(total, ProgressBar::new(tasks.into()));
            bar.set_style(style("{prefix:>18} {bar:28} {pos:>3} {msg}"));
            bar.set_prefix(lease.machine_label.clone());
            let (machine, party) = (lease.machine, lease.party);
            Row { bar, machine, party, label: lease.machine_label.clone() }
        });
        let books = &lease.books;
        row.bar.set_position(books.accepted.into());
        let mut news = vec![lease.reason.as_ref().map_or_else(|| lease.phase.clone(), text::word)];
        if books.wrong > 0 {
            news.push(format!("{} wrong", books.wrong));
        }
        if books.failed > 0 {
            news.push(format!("{} failed", books.failed));
        }
        row.bar.set_message(format!("{} at {}", news.join(", "), text::rate(&lease.rate, self.output)));
        if lease.reason.is_some() {
            row.bar.abandon();
        }
    }

    /// Something happened somewhere in the market; what concerns the job is told.
    pub(crate) fn event(&mut self, placed: &PlacedEvent) {
        let Some(line) = self.line(&placed.event) else { return };
        // A job is followed on when nobody reads what is said about it.
        let _ = self.output.json_line(&serde_json::json!({ "event": placed }));
        self.output.note(&line);
    }

    /// The end: bars stay as they are.
    pub(crate) fn finish(&self) {
        for row in self.leases.values() {
            row.bar.abandon();
        }
        self.total.abandon();
    }

    /// What happened to the job's money.
    fn money_line(&self, event: &Event) -> Option<String> {
        let bad = |text: String| Some(self.output.tone(Tone::Bad, &text));
        match event {
            Event::HoldFunded { lease, job, amount_msat } if *job == self.job => {
                Some(format!("{lease}: the provider holds {amount_msat}, and begins"))
            }
            Event::HoldDecided { lease, job, released_msat, returned_msat } if *job == self.job => {
                Some(format!(
                    "{lease}: {released_msat} of what was held is earned, {returned_msat} goes back to you"
                ))
            }
            Event::SaleOpened { job, task, invoice_msat, .. } if *job == self.job => {
                Some(format!("task {task} is verified, and its key costs {invoice_msat}"))
            }
            Event::ResultUnsold { job, attempt, deposit_msat, .. } if *job == self.job => bad(format!(
                "the key of {attempt} was not paid for: its provider has the deposit of {deposit_msat}"
            )),
            Event::KeyForged { job, party, attempt, .. } if *job == self.job => {
                bad(format!("the key of {attempt} opens something else: {party} pays for it with its bond"))
            }
            Event::SessionRefilled { job, amount_msat } if *job == self.job => {
                Some(format!("the session takes another {amount_msat} of your balance"))
            }
            Event::SessionLow { job, left_msat, wanted_msat } if *job == self.job => {
                bad(format!("the session has {left_msat} left and needs {wanted_msat}"))
            }
            _ => None,
        }
    }

    fn line(&mut self, event: &Event) -> Option<String> {
        let good = |text: String| Some(self.output.tone(Tone::Good, &text));
        let bad = |text: String| Some(self.output.tone(Tone::Bad, &text));
        match event {
            Event::BidCommitted { order, machine, .. } if *order == self.order => {
                Some(format!("  sealed bid of {machine}"))
            }
            Event::BidsClosed { order, .. } if *order == self.order => {
                Some("the window is closed; bids are being revealed".to_owned())
            }
            Event::AuctionCleared { order, bids, unrevealed, won } if *order == self.order => {
                Some(format!("auction: {bids} sealed bids, {unrevealed} not revealed, {won} leases won"))
            }
            Event::LeaseGranted { lease, job, machine, party, rate, .. } if *job == self.job => {
                Some(format!("{lease} to {machine} of {party} at {}", text::rate(rate, self.output)))
            }
            Event::LeaseClosed { lease, job, reason, settlement, .. } if *job == self.job => Some(format!(
                "{lease} ({}) closed: {}, {} results accepted, {} paid",
                self.who(*lease),
                text::word(reason),
                settlement.accepted,
                self.output.money(settlement.paid_msat)
            )),
            Event::AttemptJudged { job, task, lease, verdict, .. } if *job == self.job => match verdict {
                Verdict::Rejected { reason, evidence } => {
                    let found = evidence.as_ref().map_or_else(String::new, |evidence| {
                        let claimed = evidence.claimed.map_or_else(|| "nothing".into(), |c| c.output.short());
                        let agreed = evidence.agreed.output.short();
                        format!(": claimed {claimed}, {} others found {agreed}", evidence.by.len())
                    });
                    let why = rejected(*reason);
                    bad(format!(
                        "task {task}: result of {} ({lease}) rejected, {why}{found}",
                        self.who(*lease)
                    ))
                }
                Verdict::Accepted { .. } | Verdict::Inconclusive { .. } => None,
            },
            Event::TaskReopened { job, task } if *job == self.job => {
                Some(format!("task {task} runs again: its result came from a proven cheat"))
            }
            Event::BondSlashed { party, lease, bond_msat, to_buyer_msat, .. }
                if self.leases.contains_key(lease) =>
            {
                let (bond, to_buyer) = (self.output.money(*bond_msat), self.output.money(*to_buyer_msat));
                bad(format!("{party} lost its bond of {bond}; {to_buyer} of it go to the buyer"))
            }
            Event::MachineLost { machine } if self.has(*machine) => {
                bad(format!("{machine} is not heard of any more; its tasks go to others"))
            }
            Event::MachineBack { machine } if self.has(*machine) => Some(format!("{machine} is back")),
            Event::JobSettled { job, outcome, paid_msat, refunded_msat, .. } if *job == self.job => {
                let (paid, back) = (self.output.money(*paid_msat), self.output.money(*refunded_msat));
                good(format!("{job} settled ({}): {paid} paid, {back} back", text::word(outcome)))
            }
            // Everything else is somebody else's, or shows in the bars.
            other => self.money_line(other),
        }
    }

    fn has(&self, machine: MachineId) -> bool {
        self.leases.values().any(|row| row.machine == machine)
    }

    fn who(&self, lease: LeaseId) -> String {
        self.leases
            .get(&lease)
            .map_or_else(|| lease.to_string(), |row| format!("{} of {}", row.label, row.party))
    }
}

fn rejected(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::Wrong => "proven wrong",
        RejectReason::Minority => "the others agree on something else",
        RejectReason::NotRevealed => "it was not revealed in time",
        RejectReason::Late => "it came too late",
        RejectReason::LeaseCheated => "nothing from this lease is trusted any more",
    }
}

/// What everybody earned: the settlement table.
pub(crate) fn settlement(view: &JobView, output: &Output) -> String {
    let rows = view.leases.iter().map(|lease| {
        let books = &lease.books;
        let earned = books.paid_msat.0.saturating_add(books.compensation_msat.0);
        let net = Msat(earned.saturating_sub(books.fee_msat.0));
        vec![
            lease.lease.to_string(),
            lease.machine_label.clone(),
            lease.party.to_string(),
            text::rate(&lease.rate, output),
            books.accepted.to_string(),
            books.wrong.to_string(),
            output.money(net),
            output.money(books.fee_msat),
            lease.reason.as_ref().map_or_else(|| lease.phase.clone(), text::word),
        ]
    });
    let headers = ["LEASE", "MACHINE", "PARTY", "PRICE", "OK", "WRONG", "EARNED", "FEE", "ENDED"];
    crate::output::table(headers, rows)
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours; one that cannot be read shows as the plain style.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}
