//! The activity of a Gristmill market, from its public events: those of its journal or of its public log.

use super::{Activity, HourPrice, Payment, Workload, WorkloadKind};
use crate::{
    answer::Provenance,
    money::{BtcRate, Usd},
};
use market::{
    event::{Event, PlacedEvent},
    id::{JobId, LeaseId, MachineId, PartyId},
    lease::Settlement,
    name::Name,
    units::{Msat, TimeMs},
};
use rust_decimal::{Decimal, dec};
use std::collections::{BTreeMap, BTreeSet};

const MS_PER_HOUR: Decimal = dec!(3_600_000);

/// Follows the events of a market, in their order.
#[derive(Debug, Clone, Default)]
pub struct History {
    machines: BTreeMap<MachineId, Span>,
    leases: BTreeMap<LeaseId, Lease>,
    jobs: BTreeMap<JobId, Job>,
    operators: BTreeSet<PartyId>,
    last: TimeMs,
}

/// From when until when; still open without an end.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: TimeMs,
    until: Option<TimeMs>,
}

#[derive(Debug, Clone)]
struct Lease {
    machine: MachineId,
    party: PartyId,
    job: JobId,
    work: Option<Span>,
    closed: Option<(Name, Msat)>,
    /// What the market kept of it.
    fee: Msat,
}

#[derive(Debug, Clone)]
struct Job {
    buyer: PartyId,
    name: String,
}

/// What one machine did in a market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineHistory {
    /// Hours for which it was registered.
    pub registered_hours: Decimal,
    /// Those in which it had work that was paid.
    pub earning_hours: Decimal,
    /// What it was paid, less what the market kept.
    pub earned: Msat,
}

impl Span {
    fn end(&mut self, at: TimeMs) {
        self.until.get_or_insert(at);
    }

    fn until(&self, last: TimeMs) -> u64 {
        self.until.unwrap_or(last).0
    }
}

impl History {
    /// Takes an event. Those that say nothing about machines, leases and jobs are passed over.
    pub fn see(&mut self, placed: &PlacedEvent) {
        let at = placed.at_ms;
        self.last = self.last.max(at);
        match &placed.event {
            Event::DeclaredOwn { party } => {
                self.operators.insert(*party);
            }
            Event::MachineCertified { machine, .. } => {
                self.machines.entry(*machine).or_insert(Span { from: at, until: None });
            }
            Event::MachineRevoked { machine } => {
                if let Some(machine) = self.machines.get_mut(machine) {
                    machine.end(at);
                }
            }
            Event::OrderPlaced { job, buyer, name, .. } => {
                self.jobs.insert(*job, Job { buyer: *buyer, name: name.clone() });
            }
            Event::LeaseGranted { lease, job, machine, party, .. } => {
                let row = Lease {
                    machine: *machine,
                    party: *party,
                    job: *job,
                    work: None,
                    closed: None,
                    fee: Msat::ZERO,
                };
                self.leases.insert(*lease, row);
            }
            Event::LeaseStarted { lease, .. } => {
                if let Some(lease) = self.leases.get_mut(lease) {
                    lease.work = Some(Span { from: at, until: None });
                }
            }
            Event::LeaseDraining { lease, .. } => self.end_work(*lease, at),
            Event::LeaseClosed { lease, class, settlement, .. } => {
                self.end_work(*lease, at);
                if let Some(lease) = self.leases.get_mut(lease) {
                    lease.closed = Some((class.clone(), earned(settlement)));
                    lease.fee = settlement.fee_msat;
                }
            }
            _ => {}
        }
    }

    fn end_work(&mut self, lease: LeaseId, at: TimeMs) {
        if let Some(work) = self.leases.get_mut(&lease).and_then(|lease| lease.work.as_mut()) {
            work.end(at);
        }
    }

    /// What a machine did until the last event; `None` where no event names it.
    pub fn machine(&self, machine: MachineId) -> Option<MachineHistory> {
        let registered = self.machines.get(&machine)?;
        let mut spans = Vec::new();
        let mut sum = Msat::ZERO;
        for (lease, work, _, msat) in self.paid().filter(|(lease, ..)| lease.machine == machine) {
            spans.push((work.from.0, work.until(self.last)));
            sum.0 = sum.0.saturating_add(msat.saturating_sub(lease.fee).0);
        }
        Some(MachineHistory {
            registered_hours: hours(registered.until(self.last).saturating_sub(registered.from.0)),
            earning_hours: hours(covered(spans)),
            earned: sum,
        })
    }

    /// What happened until the last event, under a name. `btc` says what a bitcoin costs; `provenance` where the events are
    /// from. Hours of leases that were paid nothing, or are not closed yet, earned nothing.
    pub fn activity(&self, network: &str, btc: &BtcRate, provenance: Provenance) -> Activity {
        let usd = |msat: Msat| btc.usd_of(msat);
        let registered: u64 =
            self.machines.values().map(|span| span.until(self.last).saturating_sub(span.from.0)).sum();
        Activity {
            network: network.to_owned(),
            registered_hours: Some(hours(registered)),
            earning_hours: Some(hours(self.earning_ms().into_values().sum())),
            payments: self.payments(&usd),
            emitted_usd: Some(Usd::ZERO),
            prices: self.prices(&usd),
            workloads: self.workloads(&usd),
            provenance,
        }
    }

    /// Leases that were paid: with their time of work and what they earned.
    fn paid(&self) -> impl Iterator<Item = (&Lease, &Span, &Name, Msat)> {
        self.leases.values().filter_map(|lease| {
            let (class, msat) = lease.closed.as_ref().filter(|(_, msat)| *msat > Msat::ZERO)?;
            Some((lease, lease.work.as_ref()?, class, *msat))
        })
    }

    /// Hours in which machines earned, by class. A machine that works under several leases at once earns once.
    fn earning_ms(&self) -> BTreeMap<&Name, u64> {
        let mut spans: BTreeMap<(&Name, MachineId), Vec<(u64, u64)>> = BTreeMap::new();
        for (lease, work, class, _) in self.paid() {
            spans.entry((class, lease.machine)).or_default().push((work.from.0, work.until(self.last)));
        }
        let mut by_class = BTreeMap::new();
        for ((class, _), spans) in spans {
            *by_class.entry(class).or_default() += covered(spans);
        }
        by_class
    }

    fn payments(&self, usd: &impl Fn(Msat) -> Usd) -> Vec<Payment> {
        let mut by_buyer: BTreeMap<PartyId, (Msat, Msat)> = BTreeMap::new();
        for (lease, _, _, msat) in self.paid() {
            let Some(job) = self.jobs.get(&lease.job) else { continue };
            let (all, own) = by_buyer.entry(job.buyer).or_default();
            all.0 = all.0.saturating_add(msat.0);
            if self.is_own(job.buyer, lease) {
                own.0 = own.0.saturating_add(msat.0);
            }
        }
        let payment = |(buyer, (all, own)): (PartyId, (Msat, Msat))| Payment {
            buyer: buyer.to_string(),
            usd: usd(all),
            own_account_usd: Some(usd(own)),
        };
        by_buyer.into_iter().map(payment).collect()
    }

    fn is_own(&self, buyer: PartyId, lease: &Lease) -> bool {
        self.operators.contains(&buyer) || buyer == lease.party
    }

    /// What an hour of a machine brought, by class.
    fn prices(&self, usd: &impl Fn(Msat) -> Usd) -> Vec<HourPrice> {
        let mut paid: BTreeMap<&Name, Msat> = BTreeMap::new();
        for (_, _, class, msat) in self.paid() {
            let sum = paid.entry(class).or_default();
            sum.0 = sum.0.saturating_add(msat.0);
        }
        let earning_ms = self.earning_ms();
        let price = |(class, msat): (&Name, Msat)| {
            let usd_per_hour = usd(msat).per(hours(earning_ms.get(class).copied()?))?;
            Some(HourPrice { hardware: class.as_str().to_owned(), usd_per_hour })
        };
        paid.into_iter().filter_map(price).collect()
    }

    fn workloads(&self, usd: &impl Fn(Msat) -> Usd) -> Vec<Workload> {
        let mut by_name: BTreeMap<(WorkloadKind, &str), Msat> = BTreeMap::new();
        for (lease, _, _, msat) in self.paid() {
            let Some(job) = self.jobs.get(&lease.job) else { continue };
            let is_own = self.is_own(job.buyer, lease);
            let kind = if is_own { WorkloadKind::OwnAccount } else { WorkloadKind::Real };
            let paid = by_name.entry((kind, &job.name)).or_default();
            paid.0 = paid.0.saturating_add(msat.0);
        }
        let workload = |((kind, name), paid): ((WorkloadKind, &str), Msat)| Workload {
            name: name.to_owned(),
            usd: Some(usd(paid)),
            kind,
        };
        by_name.into_iter().map(workload).collect()
    }
}

/// What a buyer paid under a lease: for its work, and for work that the buyer stopped.
fn earned(books: &Settlement) -> Msat {
    Msat(books.paid_msat.0.saturating_add(books.compensation_msat.0))
}

fn hours(ms: u64) -> Decimal {
    Decimal::from(ms) / MS_PER_HOUR
}

/// How much time some spans cover, each moment counted once.
fn covered(mut spans: Vec<(u64, u64)>) -> u64 {
    spans.sort_unstable();
    let (mut sum, mut end) = (0, 0);
    for (from, until) in spans {
        sum += until.saturating_sub(from.max(end));
        end = end.max(until);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_spans_are_counted_once() {
        assert_eq!(covered(vec![(5, 9), (0, 4), (3, 6), (20, 21)]), 10);
        assert_eq!(covered(vec![(0, 10), (2, 3)]), 10);
        assert_eq!(covered(vec![]), 0);
    }
}
