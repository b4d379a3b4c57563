//! How long a search for the cheapest matching offers takes, from a thousand to a million offers.
//!
//! Run it with `cargo run --release -p market --example matching_scale`.

use market::{
    id::OfferId,
    matching::{OfferIndex, Wanted},
    name::Name,
    offer::{OfferRole, OfferTerms},
    order::Needs,
    resources::{Attributes, Gpus, Isolation, Resources},
    units::{Msat, Rate},
};
use std::{
    error::Error,
    hint::black_box,
    time::{Duration, Instant},
};

/// How many offers a search may look at, as in the market's rules.
const LOOKS_MAX: usize = 65_536;
const SEARCHES: u32 = 200;

fn main() -> Result<(), Box<dyn Error>> {
    println!("{:>9}  {:>14}  {:>12}  search for 16 offers", "offers", "insert each", "remove each");
    for offers in [1_000, 100_000, 1_000_000] {
        measure(&mixed_market(offers)?, offers, &searches()?);
    }
    println!("\n999 in 1000 offers cost 1 msat and have 8 GB; the order needs 512 GB");
    for offers in [1_000, 100_000, 1_000_000] {
        let hard = [("512 GB", Needs { resources: resources(4_000, 524_288, None), ..needs() })];
        measure(&small_market(offers)?, offers, &hard);
    }
    Ok(())
}

fn measure(market: &[OfferTerms], offers: u64, searches: &[(&str, Needs)]) {
    let mut index = OfferIndex::new();
    let started = Instant::now();
    for (id, terms) in (1..).map(OfferId).zip(market) {
        index.insert(id, terms);
    }
    let inserted = started.elapsed();
    let terms_of = |id: OfferId| usize::try_from(id.0).ok().and_then(|id| market.get(id.checked_sub(1)?));
    let mut lines = Vec::new();
    for (name, needs) in searches {
        let wanted = Wanted {
            role: OfferRole::Work,
            needs,
            ceiling: &Rate::per_task(Msat(5_000)),
            lease_ms: 60_000,
            slice_msat: None,
            deposit_ppm: None,
        };
        let started = Instant::now();
        let mut found = 0;
        for _ in 0..SEARCHES {
            found = black_box(index.cheapest(black_box(wanted), LOOKS_MAX, terms_of).take(16)).count();
        }
        lines.push(format!("{name}: {:?} ({found} found)", started.elapsed() / SEARCHES));
    }
    let started = Instant::now();
    for (id, terms) in (1..).map(OfferId).zip(market) {
        index.remove(id, terms);
    }
    let each = |span: Duration| format!("{} ns", span.as_nanos() / u128::from(offers));
    println!("{offers:>9}  {:>14}  {:>12}  {}", each(inserted), each(started.elapsed()), lines.join(", "));
}

/// Machines of many sizes in 20 regions; one in four has GPUs of one of 12 models.
fn mixed_market(offers: u64) -> Result<Vec<OfferTerms>, Box<dyn Error>> {
    let regions: Vec<Name> = (0..20).map(|n| format!("region-{n}").parse()).collect::<Result<_, _>>()?;
    let models: Vec<Name> = (0..12).map(|n| format!("gpu-{n}").parse()).collect::<Result<_, _>>()?;
    let mut random = 1u64;
    let mut pick = move |below: u64| {
        // Knuth's linear congruential generator: the same market in every run.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut market = Vec::new();
    for _ in 0..offers {
        let gpus = match pick(4) {
            0 => {
                let model = models[pick(12) as usize].clone();
                Some(Gpus { model, count: 1 + pick(8) as u32, memory_mib: 24_576 })
            }
            _ => None,
        };
        market.push(OfferTerms {
            rate: Rate::per_task(Msat(1 + pick(10_000))),
            resources: resources(1_000 * (1 + pick(64)), 1_024 << pick(9), gpus),
            region: regions[pick(20) as usize].clone(),
            ..offer()?
        });
    }
    Ok(market)
}

/// Small machines that cost next to nothing, and one in a thousand that is large and dear.
fn small_market(offers: u64) -> Result<Vec<OfferTerms>, Box<dyn Error>> {
    let small =
        OfferTerms { rate: Rate::per_task(Msat(1)), resources: resources(8_000, 8_192, None), ..offer()? };
    let large = OfferTerms {
        rate: Rate::per_task(Msat(4_000)),
        resources: resources(64_000, 524_288, None),
        ..offer()?
    };
    Ok((1..=offers).map(|n| if n % 1_000 == 0 { large.clone() } else { small.clone() }).collect())
}

fn searches() -> Result<Vec<(&'static str, Needs)>, Box<dyn Error>> {
    let gpus = Gpus { model: "gpu-3".parse()?, count: 4, memory_mib: 16_384 };
    Ok(vec![
        ("small", needs()),
        ("one region", Needs { region: Some("region-7".parse()?), ..needs() }),
        ("4 GPUs", Needs { resources: resources(4_000, 16_384, Some(gpus)), ..needs() }),
    ])
}

fn resources(cpu_milli: u64, memory_mib: u64, gpus: Option<Gpus>) -> Resources {
    Resources { cpu_milli, memory_mib, gpus, ..Resources::default() }
}

fn offer() -> Result<OfferTerms, Box<dyn Error>> {
    Ok(OfferTerms {
        role: OfferRole::Work,
        rate: Rate::per_task(Msat(1)),
        resources: resources(1_000, 1_024, None),
        isolation: Isolation::Wasm,
        region: "anywhere".parse()?,
        class: "pc".parse()?,
        attributes: Attributes::new(),
        lease_max_ms: 3_600_000,
        holds: None,
        sales: None,
    })
}

fn needs() -> Needs {
    Needs {
        resources: resources(2_000, 2_048, None),
        isolation: Isolation::Wasm,
        region: None,
        attributes: Attributes::new(),
        min_reputation_ppm: 0,
        min_bond_msat: Msat::ZERO,
    }
}
