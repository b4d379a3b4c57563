//! Why the terms of an offer do not meet what is wanted.

use super::price::{PriceText, is_within};
use crate::{
    funding::{Funding, HoldTerms, SaleTerms},
    name::Name,
    offer::{OfferRole, OfferTerms},
    order::{Needs, OrderTerms},
    resources::{Isolation, ResourceKind, Resources},
    units::{Msat, Rate, Unit},
};
use serde::{Deserialize, Serialize};

/// What is wanted of an offer.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What the offer has to be for.
    pub role: OfferRole,
    /// What the machine must have.
    pub needs: &'a Needs,
    /// The highest price, in the unit in which offers have to be priced.
    pub ceiling: &'a Rate,
    /// How long the lease may run, in milliseconds.
    pub lease_ms: u64,
    /// The slices in which the lease is paid, when it is paid by a hold.
    pub slice_msat: Option<Msat>,
    /// The share of a result's price that the market keeps, in parts per million, when it is paid to decrypt.
    pub deposit_ppm: Option<u32>,
}

impl<'a> Wanted<'a> {
    /// What an order wants of the machines that run its tasks.
    pub fn work(order: &'a OrderTerms) -> Wanted<'a> {
        Wanted {
            role: OfferRole::Work,
            needs: &order.needs,
            ceiling: &order.ceiling,
            lease_ms: order.lease_max_ms,
            slice_msat: match order.funding {
                Some(Funding::Hold { slice_msat, .. }) => Some(slice_msat),
                Some(Funding::Session { .. } | Funding::Decrypt { .. }) | None => None,
            },
            deposit_ppm: match order.funding {
                Some(Funding::Decrypt { deposit_ppm }) => Some(deposit_ppm),
                Some(Funding::Session { .. } | Funding::Hold { .. }) | None => None,
            },
        }
    }

    /// What an order wants of validators.
    pub fn audit(order: &'a OrderTerms) -> Wanted<'a> {
        // Replicas are paid out of the budget, whatever pays the work.
        Wanted { role: OfferRole::Audit, slice_msat: None, deposit_ppm: None, ..Wanted::work(order) }
    }

    /// The first thing that stands between the terms and what is wanted; `None` when they match.
    ///
    /// The price comes last: an offer that asks too much would have matched at another price.
    pub fn mismatch(&self, terms: &OfferTerms) -> Option<Mismatch> {
        let needs = self.needs;
        if terms.role != self.role {
            return Some(Mismatch::Role { has: terms.role });
        }
        if terms.rate.unit != self.ceiling.unit {
            return Some(Mismatch::Unit { has: terms.rate.unit, needs: self.ceiling.unit });
        }
        if let Some(kind) = terms.resources.shortage(&needs.resources) {
            return Some(Mismatch::shortage(kind, &terms.resources, &needs.resources));
        }
        if terms.isolation < needs.isolation {
            return Some(Mismatch::Isolation { has: terms.isolation, needs: needs.isolation });
        }
        if let Some(region) = needs.region.as_ref().filter(|region| **region != terms.region) {
            return Some(Mismatch::Region { has: terms.region.clone(), needs: region.clone() });
        }
        if let Some((key, value)) =
            needs.attributes.iter().find(|(key, value)| terms.attributes.get(*key) != Some(*value))
        {
            let has = terms.attributes.get(key).cloned();
            return Some(Mismatch::Attribute { key: key.clone(), has, needs: value.clone() });
        }
        if terms.lease_max_ms < self.lease_ms {
            return Some(Mismatch::Lease { has_ms: terms.lease_max_ms, needs_ms: self.lease_ms });
        }
        let is_held = |slice_msat| terms.holds.is_some_and(|holds| slice_msat >= holds.slice_min_msat);
        if let Some(slice_msat) = self.slice_msat.filter(|slice| !is_held(*slice)) {
            return Some(Mismatch::Hold { takes: terms.holds, slice_msat });
        }
        let is_enough = |ppm| terms.sales.is_some_and(|sales| ppm >= sales.deposit_min_ppm);
        if let Some(deposit_ppm) = self.deposit_ppm.filter(|ppm| !is_enough(*ppm)) {
            return Some(Mismatch::Sale { takes: terms.sales, deposit_ppm });
        }
        let asks_too_much = !is_within(&terms.rate, self.ceiling);
        asks_too_much.then_some(Mismatch::Price { asks: terms.rate, pays: *self.ceiling })
    }
}

/// Why the terms of an offer do not meet what is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// It is for something else.
    #[error("{}", match has { OfferRole::Work => "runs tasks, not audits", OfferRole::Audit => "only runs audits" })]
    Role {
        /// What it is for.
        has: OfferRole,
    },
    /// It is priced in another unit.
    #[error("is priced {}, the order pays {}", by(*has), by(*needs))]
    Unit {
        /// Its unit.
        has: Unit,
        /// The order's.
        needs: Unit,
    },
    /// It has other GPUs, or none.
    #[error("has no GPU {needs}{}", has.as_ref().map(|model| format!(", its GPUs are {model}")).unwrap_or_default())]
    GpuModel {
        /// What it has.
        has: Option<Name>,
        /// What the order needs.
        needs: Name,
    },
    /// It has too little of something.
    #[error("has {}, the order needs {}", amount(*kind, *has), amount(*kind, *needs))]
    Resource {
        /// Of what.
        kind: ResourceKind,
        /// How much it sells.
        has: u64,
        /// How much is needed.
        needs: u64,
    },
    /// It isolates work too weakly.
    #[error("isolation {}, the order needs {}", isolation(*has), isolation(*needs))]
    Isolation {
        /// How it isolates work.
        has: Isolation,
        /// The weakest that will do.
        needs: Isolation,
    },
    /// It stands somewhere else.
    #[error("is in {has}, the order needs {needs}")]
    Region {
        /// Where it stands.
        has: Name,
        /// Where it should.
        needs: Name,
    },
    /// An attribute is missing or different.
    #[error("{}, the order needs {key}={needs}", match has { Some(has) => format!("has {key}={has}"), None => format!("does not state {key}") })]
    Attribute {
        /// Which.
        key: Name,
        /// What it states.
        has: Option<Name>,
        /// What the order needs.
        needs: Name,
    },
    /// It takes no lease that long.
    #[error("takes leases of up to {} s, the order's may run {} s", has_ms / 1_000, needs_ms.div_ceil(1_000))]
    Lease {
        /// Its longest lease, in milliseconds.
        has_ms: u64,
        /// The order's, in milliseconds.
        needs_ms: u64,
    },
    /// It takes no holds, or none in slices so small.
    #[error("{}, the order pays in slices of {slice_msat}", match takes { Some(holds) => format!("holds slices of {} or more", holds.slice_min_msat), None => "takes no holds".to_owned() })]
    Hold {
        /// The holds that it takes.
        takes: Option<HoldTerms>,
        /// The order's slices.
        slice_msat: Msat,
    },
    /// It sells no results for their keys, or not for so small a deposit.
    #[error("{}, the order leaves {} %", match takes { Some(sales) => format!("wants {} % of the price as a deposit", percent(sales.deposit_min_ppm)), None => "sells no results for their keys".to_owned() }, percent(*deposit_ppm))]
    Sale {
        /// The terms on which it does.
        takes: Option<SaleTerms>,
        /// The order's deposit, in parts per million.
        deposit_ppm: u32,
    },
    /// It asks more than the order pays.
    #[error("asks {}, the order pays at most {}", PriceText(asks), PriceText(pays))]
    Price {
        /// What it asks.
        asks: Rate,
        /// The order's ceiling.
        pays: Rate,
    },
}

impl Mismatch {
    /// A shortage that [`Resources::shortage`] found, with its data.
    fn shortage(kind: ResourceKind, has: &Resources, needs: &Resources) -> Mismatch {
        let model = |of: &Resources| of.gpus.as_ref().map(|gpus| gpus.model.clone());
        match (model(has), model(needs)) {
            (has, Some(needs)) if has.as_ref() != Some(&needs) => Mismatch::GpuModel { has, needs },
            _ => Mismatch::Resource { kind, has: count(kind, has), needs: count(kind, needs) },
        }
    }

    /// A stable word for counting mismatches by kind.
    pub fn code(&self) -> &'static str {
        match self {
            Mismatch::Role { .. } => "role",
            Mismatch::Unit { .. } => "unit",
            Mismatch::GpuModel { .. } => "gpu_model",
            Mismatch::Resource { kind, .. } => kind_code(*kind),
            Mismatch::Isolation { .. } => "isolation",
            Mismatch::Region { .. } => "region",
            Mismatch::Attribute { .. } => "attribute",
            Mismatch::Lease { .. } => "lease",
            Mismatch::Hold { .. } => "hold",
            Mismatch::Sale { .. } => "sale",
            Mismatch::Price { .. } => "price",
        }
    }
}

/// How much of one kind there is.
pub(crate) fn count(kind: ResourceKind, of: &Resources) -> u64 {
    let gpus = of.gpus.as_ref();
    match kind {
        ResourceKind::Cpu => of.cpu_milli,
        ResourceKind::Memory => of.memory_mib,
        ResourceKind::Disk => of.disk_mib,
        ResourceKind::Upload => of.upload_mbps,
        ResourceKind::GpuModel | ResourceKind::GpuCount => gpus.map_or(0, |gpus| gpus.count.into()),
        ResourceKind::GpuMemory => gpus.map_or(0, |gpus| gpus.memory_mib),
    }
}

/// An amount of one kind, for people.
pub(crate) fn amount(kind: ResourceKind, count: u64) -> String {
    match kind {
        ResourceKind::Cpu if count == 1_000 => "1 core".into(),
        ResourceKind::Cpu if count.is_multiple_of(1_000) => format!("{} cores", count / 1_000),
        ResourceKind::Cpu => format!("{}.{:03} cores", count / 1_000, count % 1_000),
        ResourceKind::Memory => format!("{count} MiB memory"),
        ResourceKind::Disk => format!("{count} MiB disk"),
        ResourceKind::Upload => format!("{count} Mbit/s upload"),
        ResourceKind::GpuModel | ResourceKind::GpuCount if count == 1 => "1 GPU".into(),
        ResourceKind::GpuModel | ResourceKind::GpuCount => format!("{count} GPUs"),
        ResourceKind::GpuMemory => format!("{count} MiB of memory on each GPU"),
    }
}

fn kind_code(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Cpu => "cpu",
        ResourceKind::Memory => "memory",
        ResourceKind::Disk => "disk",
        ResourceKind::Upload => "upload",
        ResourceKind::GpuModel => "gpu_model",
        ResourceKind::GpuCount => "gpu_count",
        ResourceKind::GpuMemory => "gpu_memory",
    }
}

/// A share in parts per million as a percentage.
fn percent(ppm: u32) -> String {
    let (whole, rest) = (ppm / 10_000, ppm % 10_000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:04}").trim_end_matches('0').to_owned() }
}

fn by(unit: Unit) -> &'static str {
    match unit {
        Unit::Task => "by the task",
        Unit::Ms => "by time",
        Unit::Fuel => "by fuel",
    }
}

fn isolation(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Wasm => "wasm",
        Isolation::WasmConfined => "wasm-confined",
    }
}
