use super::*;
use crate::{
    order::Needs,
    resources::{Attributes, Gpus},
    units::{Msat, Rate},
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::cmp::Ordering;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn terms(msat: u64) -> OfferTerms {
    OfferTerms {
        role: OfferRole::Work,
        rate: Rate::per_task(Msat(msat)),
        resources: Resources { cpu_milli: 4_000, memory_mib: 8_192, ..Resources::default() },
        isolation: Isolation::Wasm,
        region: name("eu"),
        class: name("pc"),
        attributes: Attributes::new(),
        lease_max_ms: 3_600_000,
        holds: None,
        sales: None,
    }
}

fn needs() -> Needs {
    Needs {
        resources: Resources { cpu_milli: 1_000, memory_mib: 1_024, ..Resources::default() },
        isolation: Isolation::Wasm,
        region: None,
        attributes: Attributes::new(),
        min_reputation_ppm: 0,
        min_bond_msat: Msat::ZERO,
    }
}

const CEILING: Rate = Rate { msat: Msat(1_000), per: 1, unit: Unit::Task };

fn wanted(needs: &Needs) -> Wanted<'_> {
    Wanted {
        role: OfferRole::Work,
        needs,
        ceiling: &CEILING,
        lease_ms: 60_000,
        slice_msat: None,
        deposit_ppm: None,
    }
}

fn gpus(model: &str, count: u32) -> Option<Gpus> {
    Some(Gpus { model: name(model), count, memory_mib: 24_576 })
}

fn any_rate() -> impl Strategy<Value = Rate> {
    let unit = select(vec![Unit::Task, Unit::Ms]);
    (1..60u64, 1..4u64, unit).prop_map(|(msat, per, unit)| Rate { msat: Msat(msat), per, unit })
}

fn any_resources() -> impl Strategy<Value = Resources> {
    let gpus = (select(vec!["h100", "rtx-4090"]), 1..5u32, 1..5u64)
        .prop_map(|(model, count, memory_mib)| Gpus { model: name(model), count, memory_mib });
    (1..9u64, 1..9u64, 0..2u64, option::of(gpus)).prop_map(|(cpu_milli, memory_mib, disk_mib, gpus)| {
        Resources { cpu_milli, memory_mib, disk_mib, upload_mbps: 0, gpus }
    })
}

fn any_attributes() -> impl Strategy<Value = Attributes> {
    option::of(select(vec!["1", "2"]))
        .prop_map(|value| value.into_iter().map(|value| (name("driver"), name(value))).collect())
}

prop_compose! {
    fn any_terms()(
        role in select(vec![OfferRole::Work, OfferRole::Work, OfferRole::Audit]),
        rate in any_rate(),
        resources in any_resources(),
        isolation in select(vec![Isolation::Wasm, Isolation::WasmConfined]),
        region in select(vec!["eu", "us"]),
        attributes in any_attributes(),
        lease_max_ms in 1..4u64,
    ) -> OfferTerms {
        OfferTerms { role, rate, resources, isolation, region: name(region), class: name("pc"), attributes, lease_max_ms, holds: None, sales: None }
    }
}

prop_compose! {
    fn any_needs()(
        resources in any_resources(),
        isolation in select(vec![Isolation::Wasm, Isolation::WasmConfined]),
        region in option::of(select(vec!["eu", "us"])),
        attributes in any_attributes(),
    ) -> Needs {
        Needs { resources, isolation, region: region.map(name), attributes, ..needs() }
    }
}

proptest! {
    #[test]
    fn the_index_finds_what_a_search_through_all_offers_finds(
        offers in vec((any_terms(), any::<bool>()), 0..80),
        needs in any_needs(),
        ceiling in any_rate(),
        role in select(vec![OfferRole::Work, OfferRole::Audit]),
        lease_ms in 1..3u64,
    ) {
        let mut index = OfferIndex::new();
        let terms_of = |id: OfferId| offers.get(id.0 as usize).map(|(terms, _)| terms);
        for (id, (terms, _)) in offers.iter().enumerate() {
            index.insert(OfferId(id as u64), terms);
        }
        for (id, (terms, _)) in offers.iter().enumerate().filter(|(_, (_, stays))| !stays) {
            index.remove(OfferId(id as u64), terms);
        }
        let wanted = Wanted { role, needs: &needs, ceiling: &ceiling, lease_ms, slice_msat: None, deposit_ppm: None };
        let mut expected: Vec<(u128, OfferId)> = (0..).map(OfferId).zip(&offers)
            .filter(|(_, (terms, stays))| *stays && wanted.mismatch(terms).is_none())
            .map(|(id, (terms, _))| (price_key(&terms.rate), id))
            .collect();
        expected.sort();
        let found: Vec<OfferId> = index.cheapest(wanted, usize::MAX, terms_of).collect();
        prop_assert_eq!(found, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
        prop_assert_eq!(index.len(), offers.iter().filter(|(_, stays)| *stays).count());
    }

    #[test]
    fn the_price_key_never_contradicts_the_exact_order(
        a in (any::<u64>(), 1..=u64::MAX), b in (any::<u64>(), 1..=u64::MAX),
    ) {
        let rate = |(msat, per): (u64, u64)| Rate { msat: Msat(msat), per, unit: Unit::Fuel };
        let exact = (u128::from(a.0) * u128::from(b.1)).cmp(&(u128::from(b.0) * u128::from(a.1)));
        let by_key = price_key(&rate(a)).cmp(&price_key(&rate(b)));
        prop_assert!(by_key == exact || by_key == Ordering::Equal);
        prop_assert_eq!(is_within(&rate(a), &rate(b)), exact != Ordering::Greater);
    }
}

#[test]
fn an_emptied_index_keeps_nothing() {
    let mut index = OfferIndex::new();
    let with_gpus =
        OfferTerms { resources: Resources { gpus: gpus("h100", 8), ..terms(1).resources }, ..terms(1) };
    index.insert(OfferId(1), &with_gpus);
    index.insert(OfferId(1), &with_gpus);
    assert_eq!((index.len(), index.buckets.len(), index.shelves.len()), (1, 1, 4));
    index.remove(OfferId(1), &with_gpus);
    index.remove(OfferId(1), &with_gpus);
    assert!(index.is_empty() && index.buckets.is_empty() && index.shelves.is_empty());
}

#[test]
fn offers_that_are_too_small_are_not_looked_at() {
    let large =
        OfferTerms { resources: Resources { memory_mib: 524_288, ..terms(900).resources }, ..terms(900) };
    let mut index = OfferIndex::new();
    (0..1_000).for_each(|id| index.insert(OfferId(id), &terms(1)));
    index.insert(OfferId(1_000), &large);
    let needs = Needs { resources: large.resources.clone(), ..needs() };
    let found: Vec<_> = index.cheapest(wanted(&needs), 1, |_| Some(&large)).collect();
    assert_eq!(found, [OfferId(1_000)]);
}

#[test]
fn a_search_ends_after_as_many_looks_as_it_may_have() {
    let mut index = OfferIndex::new();
    (0..10).for_each(|id| index.insert(OfferId(id), &terms(1)));
    let plain = terms(1);
    let fitting = OfferTerms { attributes: [(name("driver"), name("560"))].into(), ..terms(1) };
    let needs = Needs { attributes: fitting.attributes.clone(), ..needs() };
    let terms_of = |id: OfferId| Some(if id.0 == 5 { &fitting } else { &plain });
    assert_eq!(index.cheapest(wanted(&needs), 6, terms_of).collect::<Vec<_>>(), [OfferId(5)]);
    assert_eq!(index.cheapest(wanted(&needs), 5, terms_of).count(), 0);
}

#[test]
fn a_mismatch_says_what_is_there_and_what_is_needed() {
    let needs = needs();
    let texts: Vec<String> = [
        (
            terms(1),
            Needs {
                resources: Resources { gpus: gpus("rtx-4090", 1), ..needs.resources.clone() },
                ..needs.clone()
            },
        ),
        (
            OfferTerms { resources: Resources { gpus: gpus("h100", 1), ..terms(1).resources }, ..terms(1) },
            Needs {
                resources: Resources { gpus: gpus("rtx-4090", 1), ..needs.resources.clone() },
                ..needs.clone()
            },
        ),
        (
            terms(1),
            Needs { resources: Resources { memory_mib: 16_384, ..needs.resources.clone() }, ..needs.clone() },
        ),
        (
            terms(1),
            Needs { resources: Resources { cpu_milli: 4_500, ..needs.resources.clone() }, ..needs.clone() },
        ),
        (OfferTerms { role: OfferRole::Audit, ..terms(1) }, needs.clone()),
        (OfferTerms { rate: Rate::per_hour(Msat(5)), ..terms(1) }, needs.clone()),
        (terms(1), Needs { isolation: Isolation::WasmConfined, ..needs.clone() }),
        (terms(1), Needs { region: Some(name("us-east")), ..needs.clone() }),
        (terms(1), Needs { attributes: [(name("driver"), name("560"))].into(), ..needs.clone() }),
        (OfferTerms { lease_max_ms: 59_999, ..terms(1) }, needs.clone()),
        (terms(1_500), needs.clone()),
        (
            OfferTerms { rate: Rate { msat: Msat(8_000), per: 7, unit: Unit::Task }, ..terms(1) },
            needs.clone(),
        ),
    ]
    .iter()
    .map(|(terms, needs)| wanted(needs).mismatch(terms).unwrap().to_string())
    .collect();
    insta::assert_snapshot!(texts.join("\n"), @r"
    has no GPU rtx-4090
    has no GPU rtx-4090, its GPUs are h100
    has 8192 MiB memory, the order needs 16384 MiB memory
    has 4 cores, the order needs 4.500 cores
    only runs audits
    is priced by time, the order pays by the task
    isolation wasm, the order needs wasm-confined
    is in eu, the order needs us-east
    does not state driver, the order needs driver=560
    takes leases of up to 59 s, the order's may run 60 s
    asks 1500 msat a task, the order pays at most 1000 msat a task
    asks 8000 msat for 7 tasks, the order pays at most 1000 msat a task
    ");
}

#[test]
fn a_price_reads_as_people_say_it() {
    for (rate, text) in [
        (Rate::per_hour(Msat(36_000)), "36000 msat an hour"),
        (Rate { msat: Msat(10), per: 1_000, unit: Unit::Ms }, "36000 msat an hour"),
        (Rate::per_giga_fuel(Msat(3)), "3 msat a giga-fuel"),
        (Rate { msat: Msat(1_000), per: 7, unit: Unit::Task }, "1000 msat for 7 tasks"),
    ] {
        assert_eq!(PriceText(&rate).to_string(), text);
    }
}
