//! What a buyer orders: the terms and the job of a plan.

use crate::plan::{BOND, CEILING, FundingPlan, JobPlan, TASKS_AN_HOUR};
use market::{
    funding::Funding,
    id::{Digest, PartyId},
    job::{JobSpec, TaskLimits, Verification},
    name::Name,
    order::{Needs, OrderTerms},
    resources::{Attributes, Isolation, Resources},
    units::{Msat, Rate, Unit},
};
use std::collections::BTreeMap;

/// What machines say about themselves that take work which nobody checks. Whoever plays the measured cheat does not say it:
/// that lies pay where nobody looks needs no measurement, and would hide what they cost where somebody does.
pub(crate) fn open_to_unchecked() -> Attributes {
    Attributes::from([(name("pool"), name("open"))])
}

/// A name that is known to be good.
pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|_| unreachable!("a good name"))
}

/// A price for about a task: for the task, for the fuel that one burns, or for the time that one takes.
pub(crate) fn rate(msat: Msat, unit: Unit) -> Rate {
    match unit {
        Unit::Task => Rate::per_task(msat),
        Unit::Fuel => Rate { msat, per: 1_000_000, unit: Unit::Fuel },
        Unit::Ms => Rate::per_hour(Msat(msat.0 * TASKS_AN_HOUR)),
    }
}

/// Enough for a job that has bad luck.
pub(crate) fn budget(plan: &JobPlan) -> Msat {
    if plan.unit == Unit::Ms {
        // Every slot for its longest, and as much again for validators.
        let slot = rate(CEILING, Unit::Ms).ceiling(plan.lease_max_ms).unwrap_or(Msat::MAX);
        return Msat(slot.0 * 2 * u64::from(plan.slots));
    }
    let copies = match &plan.verification {
        Verification::None => 2,
        Verification::Replicas { n, .. } => u64::from(*n),
        Verification::Audit { .. } => 4,
    };
    Msat(CEILING.0 * 2 * u64::from(plan.tasks) * copies)
}

/// The terms of an order.
pub(crate) fn order_terms(plan: &JobPlan) -> OrderTerms {
    let is_unchecked = plan.verification == Verification::None;
    OrderTerms {
        kind: plan.kind,
        slots: plan.slots,
        ceiling: rate(CEILING, plan.unit),
        budget_msat: budget(plan),
        needs: Needs {
            resources: Resources { cpu_milli: 1_000, memory_mib: 512, ..Resources::default() },
            isolation: Isolation::Wasm,
            region: None,
            attributes: if is_unchecked { open_to_unchecked() } else { Attributes::new() },
            min_reputation_ppm: 0,
            min_bond_msat: BOND,
        },
        lease_max_ms: plan.lease_max_ms,
        funding: match plan.funding {
            FundingPlan::Budget => None,
            FundingPlan::Session { prepayments } => {
                Some(Funding::Session { prepay_msat: Msat(budget(plan).0 / prepayments) })
            }
            FundingPlan::Hold { tasks_per_slice, slices } => {
                Some(Funding::Hold { slice_msat: Msat(CEILING.0 * tasks_per_slice), slices })
            }
        },
    }
}

/// The job; `named` are the parties that replicas are drawn among.
pub(crate) fn job_spec(plan: &JobPlan, module: Digest, named: Vec<PartyId>) -> JobSpec {
    let verification = match plan.verification {
        Verification::Replicas { k, n, .. } => Verification::Replicas { k, n, named },
        Verification::None => Verification::None,
        Verification::Audit { floor_ppm } => Verification::Audit { floor_ppm },
    };
    JobSpec {
        name: "simulated".into(),
        profile: "simulated".into(),
        module,
        // How long the simulated worker takes.
        args: vec![plan.task_ms.to_string()],
        env: BTreeMap::new(),
        stdin: None,
        inputs: vec![],
        tasks: plan.tasks,
        max_parallel: 1_000,
        retries: 8,
        duplicate_stragglers: plan.tasks.is_multiple_of(2),
        limits: TaskLimits { memory_mib: 256, output_bytes: 1_000, fuel: 3_000_000, timeout_ms: 60_000 },
        verification,
    }
}
