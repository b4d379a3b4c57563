//! What a seed means: who takes part, with which machines and jobs, who cheats how, and what breaks when. A plan is drawn
//! before anything runs, so that the world with the cheat and the world without it differ in nothing else.

use crate::{
    cheat::{Cheat, Side},
    rng::Rng,
};
use market::{
    job::Verification,
    order::{AuctionPrice, OrderKind},
    rules::Rules,
    units::{Msat, Unit},
};
use std::{collections::BTreeSet, ops::Range};

/// What every provider and validator stakes: orders ask for it.
pub const BOND: Msat = Msat(60_000);
/// The most that anybody pays for a task, or for a million units of fuel, which is what a task burns.
pub const CEILING: Msat = Msat(1_500);
/// What a result is worth to its buyer: more than three replicas at the ceiling.
pub const WORTH: Msat = Msat(6_000);
/// What honest work on a task costs its provider.
pub const COST: Msat = Msat(300);
/// A lease by time costs in an hour what so many tasks cost.
pub const TASKS_AN_HOUR: u64 = 900;
/// How many validators there are.
const VALIDATORS: usize = 5;
/// Who plays the cheat that is measured asks this: low, so that it gets work.
const FOCUS_PRICE: u64 = 600;

/// How large worlds are.
#[derive(Debug, Clone)]
pub struct Size {
    /// How many machines.
    pub machines: Range<u64>,
    /// How many jobs.
    pub jobs: Range<u64>,
    /// How long things break, in milliseconds; after that the world heals and everything has to end.
    pub chaos_ms: u64,
}

impl Size {
    /// Small worlds, for tests.
    pub fn small() -> Size {
        Size { machines: 8..20, jobs: 3..7, chaos_ms: 240_000 }
    }
}

/// A world to be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// When things stop breaking, in milliseconds from the start.
    pub chaos_ms: u64,
    /// The version of the rules that the venue switches to, and when, if it does.
    pub rules: Option<(u64, u32)>,
    /// Whether the venue keeps its audit links to itself: the operator's part of the measured cheat.
    pub withholds_links: bool,
    /// How often the market makes a snapshot, if it does.
    pub snapshots_every_ms: Option<u64>,
    /// Everybody.
    pub parties: Vec<PartyPlan>,
    /// What breaks when.
    pub faults: Vec<(u64, Fault)>,
    /// The loss of messages, in parts per million.
    pub loss_ppm: u32,
    /// Messages that come twice, in parts per million.
    pub duplicate_ppm: u32,
    /// The cheat that is measured.
    pub focus: Cheat,
}

/// A party.
#[derive(Debug, Clone)]
pub struct PartyPlan {
    /// What it does.
    pub role: Role,
    /// How it cheats, if it does.
    pub cheat: Option<Cheat>,
    /// Whether it plays the cheat that is measured.
    pub is_focus: bool,
    /// Parties of one group know each other and lie alike.
    pub group: u64,
    /// Its clock less the true time, in milliseconds.
    pub skew_ms: i64,
    /// When it takes out part of its balance.
    pub withdraws_at_ms: Option<u64>,
    /// When it moves to a new key.
    pub rotates_at_ms: Option<u64>,
    /// When it revokes the first of its machines.
    pub revokes_at_ms: Option<u64>,
}

impl PartyPlan {
    /// A party that does what it should, and nothing that it need not.
    pub fn honest(role: Role, group: u64) -> PartyPlan {
        PartyPlan {
            role,
            cheat: None,
            is_focus: false,
            group,
            skew_ms: 0,
            withdraws_at_ms: None,
            rotates_at_ms: None,
            revokes_at_ms: None,
        }
    }
}

/// What a party does.
#[derive(Debug, Clone)]
pub enum Role {
    /// Sells work.
    Provider(Vec<MachinePlan>),
    /// Sells audits.
    Validator(Vec<MachinePlan>),
    /// Buys.
    Buyer(Vec<JobPlan>),
}

/// A machine.
#[derive(Debug, Clone)]
pub struct MachinePlan {
    /// Its price.
    pub price_msat: u64,
    /// Its speed in percent.
    pub speed_pct: u64,
    /// How many leases fit.
    pub cores: u64,
    /// Runs that crash, in parts per million.
    pub crash_ppm: u32,
}

/// A job.
#[derive(Debug, Clone)]
pub struct JobPlan {
    /// When it is placed.
    pub at_ms: u64,
    /// How many tasks.
    pub tasks: u32,
    /// How long a task takes at full speed.
    pub task_ms: u64,
    /// How it is verified.
    pub verification: Verification,
    /// The parties, counted over the world, that replicas are drawn among; empty: among all.
    pub named: BTreeSet<usize>,
    /// What is paid for.
    pub unit: Unit,
    /// How leases are found.
    pub kind: OrderKind,
    /// How many leases.
    pub slots: u32,
    /// The longest that a lease takes.
    pub lease_max_ms: u64,
    /// How it is paid for.
    pub funding: FundingPlan,
}

/// How a job is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FundingPlan {
    /// The whole budget is locked at once.
    Budget,
    /// In so many prepayments.
    Session {
        /// How many make up the budget.
        prepayments: u64,
    },
    /// By payments that the provider holds.
    Hold {
        /// How many tasks a slice pays for.
        tasks_per_slice: u64,
        /// How many slices a lease has.
        slices: u8,
    },
}

/// Something that breaks, for how long in milliseconds.
#[expect(missing_docs, reason = "the variants say it")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The market's machine loses power; some unsynced sectors may survive.
    MarketPowerCut { torn: u64, down_ms: u64 },
    /// The market's process is killed.
    MarketKilled { down_ms: u64 },
    /// Power fails in the middle of a sync.
    MarketPowerCutInSync { torn: u64, down_ms: u64 },
    /// A sync fails.
    SyncFails { down_ms: u64 },
    /// The market's disk is full for a while.
    DiskFull { for_ms: u64 },
    /// Power fails while a snapshot is written.
    MarketPowerCutInSnapshot { torn: u64, down_ms: u64 },
    /// The newest snapshot is damaged on its disk.
    SnapshotDamaged { byte: u64 },
    /// A machine (counted over the whole world) dies, and comes back with or without its disk.
    MachineCrash { machine: u64, down_ms: u64, loses_disk: bool },
    /// A machine is cut off.
    MachinePartition { machine: u64, for_ms: u64 },
    /// A party's client is cut off.
    PartyPartition { party: u64, for_ms: u64 },
    /// A party's client dies; what it wrote down is there when it comes back.
    PartyCrash { party: u64, down_ms: u64 },
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64, size: &Size, focus: Cheat) -> Plan {
        let mut rng = Rng::new(seed, 1);
        let rng = &mut rng;
        let machines = machine_count(rng, &size.machines);
        let jobs = rng.between(size.jobs.start, size.jobs.end);
        let is_rough = rng.happens(800_000);
        let mut parties = Vec::new();
        let mut left = machines;
        while left > 0 {
            let count = rng.between(1, 9.min(machines / 5 + 2)).min(left);
            left -= count;
            parties.push(provider(rng, count));
        }
        for _ in 0..VALIDATORS {
            parties.push(PartyPlan { role: Role::Validator(vec![machine(rng, 4)]), ..provider(rng, 0) });
        }
        let (sellers, buyers) = (parties.len(), (jobs / 3).max(2));
        for buyer in 0..buyers {
            let jobs = (0..jobs).filter(|job| job % buyers == buyer);
            let jobs = jobs.map(|_| job_plan(rng, size, focus, sellers)).collect();
            parties.push(PartyPlan { role: Role::Buyer(jobs), ..provider(rng, 0) });
        }
        add_cast(rng, &mut parties, focus);
        plan_changes(rng, size, &mut parties);
        for (group, party) in (1..).zip(&mut parties) {
            if party.group == 0 {
                party.group = group;
            }
        }
        let faults = if is_rough { faults(rng, size, machines, parties.len() as u64) } else { Vec::new() };
        Plan {
            seed,
            chaos_ms: size.chaos_ms,
            rules: rules(rng, size, focus),
            withholds_links: focus == Cheat::VenueWithholdsLinks,
            snapshots_every_ms: rng.happens(600_000).then(|| rng.between(10_000, 90_000)),
            parties,
            faults,
            loss_ppm: if is_rough { rng.between(0, 40_000) as u32 } else { 0 },
            duplicate_ppm: if is_rough { rng.between(0, 40_000) as u32 } else { 0 },
            focus,
        }
    }

    /// The same world with the measured cheat played honestly.
    pub fn honest(&self) -> Plan {
        let mut plan = Plan { withholds_links: false, ..self.clone() };
        for party in plan.parties.iter_mut().filter(|party| party.is_focus) {
            party.cheat = None;
        }
        plan
    }
}

/// Small worlds are as likely as large ones: the upper end is halved up to four times.
fn machine_count(rng: &mut Rng, range: &Range<u64>) -> u64 {
    let top = (range.end >> rng.between(0, 5)).max(range.start + 1);
    rng.between(range.start.max(top / 2), top)
}

fn provider(rng: &mut Rng, machines: u64) -> PartyPlan {
    let skew_ms = if rng.happens(100_000) { rng.between(0, 600_000) as i64 - 300_000 } else { 0 };
    let withdraws_at_ms = rng.happens(300_000).then(|| rng.between(60_000, 600_000));
    let role = Role::Provider((0..machines).map(|_| machine(rng, 2)).collect());
    PartyPlan { skew_ms, withdraws_at_ms, ..PartyPlan::honest(role, 0) }
}

fn machine(rng: &mut Rng, cores: u64) -> MachinePlan {
    MachinePlan {
        price_msat: rng.between(800, 1_300),
        speed_pct: rng.between(50, 200),
        cores,
        crash_ppm: if rng.happens(100_000) { 50_000 } else { 2_000 },
    }
}

fn job_plan(rng: &mut Rng, size: &Size, focus: Cheat, sellers: usize) -> JobPlan {
    let verification = verification(rng, focus);
    let window = OrderKind::Auction {
        price: if rng.happens(500_000) { AuctionPrice::First } else { AuctionPrice::Second },
        window_ms: 3_000,
        reveal_ms: 3_000,
    };
    let unit = match rng.between(0, 10) {
        _ if focus == Cheat::FakeMeter => Unit::Fuel,
        0..3 => Unit::Fuel,
        3..5 => Unit::Ms,
        _ => Unit::Task,
    };
    let named = match &verification {
        // The validators, which come last among the sellers, and a few others.
        Verification::Replicas { .. } if rng.happens(250_000) => {
            let others = (0..3).map(|_| rng.between(0, sellers as u64) as usize);
            others.chain(sellers.saturating_sub(VALIDATORS)..sellers).collect()
        }
        Verification::None | Verification::Replicas { .. } | Verification::Audit { .. } => BTreeSet::new(),
    };
    JobPlan {
        at_ms: rng.between(15_000, size.chaos_ms * 3 / 4),
        tasks: rng.between(4, 24) as u32,
        task_ms: rng.between(500, 6_000),
        verification,
        named,
        unit,
        kind: if rng.happens(300_000) { window } else { OrderKind::Ask },
        slots: rng.between(2, 10) as u32,
        // Leases by time are short enough that some end before their job.
        lease_max_ms: if unit == Unit::Ms { rng.between(30_000, 600_000) } else { 3_600_000 },
        funding: funding(rng),
    }
}

fn funding(rng: &mut Rng) -> FundingPlan {
    match rng.between(0, 10) {
        0..3 => FundingPlan::Hold { tasks_per_slice: rng.between(1, 4), slices: rng.between(1, 9) as u8 },
        3..5 => FundingPlan::Session { prepayments: rng.between(3, 12) },
        _ => FundingPlan::Budget,
    }
}

fn verification(rng: &mut Rng, focus: Cheat) -> Verification {
    let audit = Verification::Audit { floor_ppm: 100_000 };
    let replicas = |k, n| Verification::Replicas { k, n, named: Vec::new() };
    match (focus, rng.between(0, 20)) {
        // These cheats are about audits, or about three that have to agree.
        (
            Cheat::WithholdsLinks
            | Cheat::FalseLinks
            | Cheat::ColludingValidator
            | Cheat::VenueWithholdsLinks,
            _,
        ) => audit,
        (Cheat::SybilPair, _) => replicas(3, 6),
        (_, 0..7) => replicas(2, 4),
        (_, 7..11) => replicas(3, 6),
        (_, 11..13) => Verification::None,
        (_, _) => audit,
    }
}

/// Adds who plays the measured cheat, and a few other cheats that are there in both worlds.
fn add_cast(rng: &mut Rng, parties: &mut Vec<PartyPlan>, focus: Cheat) {
    let cheap = |rng: &mut Rng| {
        let machines = (0..2).map(|_| MachinePlan { price_msat: FOCUS_PRICE, ..machine(rng, 2) }).collect();
        PartyPlan { role: Role::Provider(machines), cheat: Some(focus), is_focus: true, ..provider(rng, 0) }
    };
    let together = |party: PartyPlan| PartyPlan { group: 1_000_000, ..party };
    match focus.side() {
        Side::Provider if focus == Cheat::SybilPair => {
            parties.extend([together(cheap(rng)), together(cheap(rng))]);
        }
        Side::Provider => parties.push(cheap(rng)),
        // The venue itself plays it.
        Side::Operator if focus == Cheat::VenueWithholdsLinks => {}
        Side::Operator => parties.extend([together(cheap(rng)), together(cheap(rng)), together(cheap(rng))]),
        Side::Validator => {
            if let Some(validator) = parties.iter_mut().find(|party| matches!(party.role, Role::Validator(_)))
            {
                (validator.cheat, validator.is_focus) = (Some(focus), true);
                if focus == Cheat::ColludingValidator {
                    validator.group = 1_000_000;
                    parties.push(together(cheap(rng)));
                }
            }
        }
        Side::Buyer => {
            if let Some(buyer) = parties.iter_mut().find(|party| matches!(party.role, Role::Buyer(_))) {
                (buyer.cheat, buyer.is_focus) = (Some(focus), true);
            }
        }
    }
    let singles = [
        Cheat::AlwaysWrong,
        Cheat::SometimesWrong,
        Cheat::CopiesSeals,
        Cheat::LateReveal,
        Cheat::NoReveal,
        Cheat::DoubleClaim,
        Cheat::WithholdsOutput,
        Cheat::QuitsBeforeAudit,
    ];
    for party in parties.iter_mut().filter(|party| party.cheat.is_none()) {
        if matches!(party.role, Role::Provider(_)) && rng.happens(40_000) {
            party.cheat = singles.get(rng.between(0, singles.len() as u64) as usize).copied();
        }
    }
}

/// Most markets switch at once, as new ones do, the others while everything goes on. Whether the venue pays for links that it
/// withholds is asked of rules that say so, from the start.
fn rules(rng: &mut Rng, size: &Size, focus: Cheat) -> Option<(u64, u32)> {
    if focus == Cheat::VenueWithholdsLinks {
        let paying: Vec<u32> =
            Rules::ALL.iter().filter(|rules| rules.venue_pays_withheld).map(|rules| rules.version).collect();
        let version = paying.get(rng.between(0, paying.len() as u64) as usize)?;
        return Some((0, *version));
    }
    let newer = Rules::ALL.len() as u64 - 1;
    let at_ms = if rng.happens(700_000) { 0 } else { rng.between(10_000, size.chaos_ms) };
    let version = Rules::FIRST.version + 1 + rng.between(0, newer) as u32;
    rng.happens(800_000).then_some((at_ms, version))
}

/// Keys that are rotated and machines that are revoked while everything goes on. Whoever plays the measured cheat keeps its
/// machines: with fewer it would earn less, and that is not what is measured.
fn plan_changes(rng: &mut Rng, size: &Size, parties: &mut [PartyPlan]) {
    for party in parties {
        let at_ms = rng.between(20_000, size.chaos_ms);
        if rng.happens(200_000) {
            party.rotates_at_ms = Some(at_ms);
        }
        let has_spare = matches!(&party.role, Role::Provider(machines) if machines.len() > 1);
        if has_spare && !party.is_focus && rng.happens(200_000) {
            party.revokes_at_ms = Some(rng.between(20_000, size.chaos_ms));
        }
    }
}

fn faults(rng: &mut Rng, size: &Size, machines: u64, parties: u64) -> Vec<(u64, Fault)> {
    let mut faults = Vec::new();
    let at = |rng: &mut Rng| rng.between(10_000, size.chaos_ms);
    for _ in 0..rng.between(0, 6) {
        let (torn, down_ms) = (rng.next(), rng.between(500, 40_000));
        let fault = match rng.between(0, 7) {
            0 => Fault::MarketPowerCut { torn, down_ms },
            1 => Fault::MarketKilled { down_ms },
            2 => Fault::MarketPowerCutInSync { torn, down_ms },
            3 => Fault::SyncFails { down_ms },
            4 => Fault::MarketPowerCutInSnapshot { torn, down_ms },
            5 => Fault::SnapshotDamaged { byte: torn },
            _ => Fault::DiskFull { for_ms: down_ms },
        };
        faults.push((at(rng), fault));
    }
    for _ in 0..rng.between(0, machines / 3 + 2) {
        let machine = rng.between(0, machines);
        let fault = if rng.happens(500_000) {
            let loses_disk = rng.happens(300_000);
            Fault::MachineCrash { machine, down_ms: rng.between(1_000, 120_000), loses_disk }
        } else {
            Fault::MachinePartition { machine, for_ms: rng.between(1_000, 90_000) }
        };
        faults.push((at(rng), fault));
    }
    for _ in 0..rng.between(0, parties / 4 + 2) {
        let (party, ms) = (rng.between(0, parties), rng.between(1_000, 60_000));
        let fault = if rng.happens(500_000) {
            Fault::PartyPartition { party, for_ms: ms }
        } else {
            Fault::PartyCrash { party, down_ms: ms }
        };
        faults.push((at(rng), fault));
    }
    faults
}
