//! What a machine asks: above its floor at every tariff, and what others ask where that is more.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use econ::{catalogue::Catalogue, price_policy::Ask};
use jiff::civil::{DateTime, date};
use market::{
    id::{MachineId, OfferId, PartyId},
    job::TaskLimits,
    offer::{OfferRole, OfferTerms},
    resources::{Isolation, Resources},
    units::{Msat, Rate},
};
use node::{
    api::OfferView,
    provider::{
        Decline,
        config::{ConfigError, ProvideConfig},
        hardware::Hardware,
        pricing::Pricing,
    },
};
use proptest::prelude::*;

/// 100 W at 0.40 $/kWh and 100,000 $/BTC: 40 sat an hour, 10 for each of four leases.
const COSTS: &str =
    "[costs]\nwatts = 100\nusd_per_kwh = 0.40\npaid_for = true\nmargin = \"0%\"\nbtc_usd = 100000\n";
/// A fuel speed at which an hour burns 3,600 giga-fuel.
const SPEED: u64 = 1_000_000_000;

fn hardware() -> Hardware {
    Hardware {
        cpu: "cpu".into(),
        arch: "x86_64".into(),
        cores: 4,
        memory_mib: 8_000,
        disk_free_mib: Some(1_000),
        os: "os".into(),
        gpus: None,
        gpu_note: String::new(),
    }
}

fn pricing(prices: &str, costs: &str) -> Pricing {
    let config = ProvideConfig::parse(&format!("{prices}\n{costs}")).unwrap();
    let capacity = config.capacity(&hardware()).unwrap();
    let catalogue = Catalogue::embedded().unwrap();
    Pricing::new(config, &catalogue, Some(0), hardware(), capacity, Isolation::Wasm, SPEED).unwrap()
}

fn offer_of(party: u64, rate: Rate) -> OfferView {
    let terms = OfferTerms {
        role: OfferRole::Work,
        rate,
        resources: Resources { cpu_milli: 1_000, memory_mib: 512, ..Resources::default() },
        isolation: Isolation::Wasm,
        region: "eu".parse().unwrap(),
        class: "x".parse().unwrap(),
        attributes: Default::default(),
        lease_max_ms: 1,
        holds: None,
        sales: None,
    };
    OfferView {
        offer: OfferId(party),
        machine: MachineId(party),
        machine_label: String::new(),
        party: PartyId(party),
        party_label: String::new(),
        free: terms.resources.clone(),
        terms,
        is_live: true,
        reputation_ppm: 0,
        is_unvetted: true,
        bond_msat: Msat::ZERO,
    }
}

/// The 7th of December 2026 is a Monday.
fn monday(hour: i8) -> DateTime {
    date(2026, 12, 7).at(hour, 0, 0, 0)
}

fn rates(pricing: &Pricing, at: DateTime, others: &[OfferView], idle_hours: u64) -> Vec<Rate> {
    let priced = pricing.at(at, Some(PartyId(1)), others, idle_hours).unwrap();
    priced.policy.offers.iter().map(|offer| offer.rate).collect()
}

#[test]
fn a_machine_does_not_sell_more_than_it_has() {
    let config = |text: &str| ProvideConfig::parse(text).unwrap();
    let sold = config("").capacity(&hardware()).unwrap();
    assert_eq!((sold.cpu_milli, sold.memory_mib), (4_000, 6_000));
    for text in ["max_cpus = 5", "max_memory = \"9GiB\"", "max_disk = \"2GiB\""] {
        assert!(matches!(config(text).capacity(&hardware()), Err(ConfigError::TooMuch { .. })), "{text}");
    }
}

#[test]
fn each_price_is_an_offer_and_no_price_is_an_error() {
    let config = ProvideConfig::parse("price_per_task = \"1 sat\"\nprice_per_hour = \"40 sat\"").unwrap();
    let capacity = config.capacity(&hardware()).unwrap();
    let rates = config.rates().unwrap();
    let policy = config.policy(&rates, &hardware(), &capacity, Isolation::Wasm, 1).unwrap();
    let rates: Vec<Rate> = policy.offers.iter().map(|offer| offer.rate).collect();
    assert_eq!(rates, [Rate::per_task(Msat(1_000)), Rate::per_hour(Msat(40_000))]);
    assert!(matches!(ProvideConfig::default().rates(), Err(ConfigError::NoPrice)));
    let both = ProvideConfig::parse("price = \"auto\"\nprice_per_hour = \"40 sat\"").unwrap();
    assert!(matches!(both.rates(), Err(ConfigError::TwoPrices)));
    let tasks_too = ProvideConfig::parse("price = \"auto\"\nprice_per_task = \"40 sat\"").unwrap();
    assert_eq!(tasks_too.rates().unwrap(), [Rate::per_task(Msat(40_000))]);
}

#[test]
fn alone_in_the_market_it_asks_its_floor_for_an_hour_and_for_fuel() {
    let asked = rates(&pricing("price = \"auto\"", COSTS), monday(12), &[], 0);
    assert_eq!(asked, [Rate::per_hour(Msat(10_000)), Rate::per_giga_fuel(Msat(3))]);
}

#[test]
fn it_follows_others_above_its_floor_and_never_below() {
    let auto = pricing("price = \"auto\"", COSTS);
    let hour = |msat, idle| {
        let other = [offer_of(2, Rate::per_hour(Msat(msat)))];
        rates(&auto, monday(12), &other, idle)[0].msat
    };
    assert_eq!(
        [hour(30_000, 0), hour(30_000, 1), hour(9_000, 0)],
        [Msat(30_000), Msat(20_000), Msat(10_000)]
    );
    let own = [offer_of(1, Rate::per_hour(Msat(99_000)))];
    assert_eq!(rates(&auto, monday(12), &own, 0)[0].msat, Msat(10_000), "its own offers are no competition");
}

#[test]
fn work_below_the_floor_is_declined_at_claim_time_as_well() {
    let priced = pricing("price = \"auto\"", COSTS).at(monday(12), None, &[], 0).unwrap();
    let limits = TaskLimits { memory_mib: 64, output_bytes: 1, fuel: 1_000_000, timeout_ms: 10_000 };
    let at = |msat| priced.policy.risk(&limits, &Rate::per_hour(Msat(msat)));
    assert_eq!((at(10_000), at(9_999)), (None, Some(Decline::Cost)));
    let explanation = priced.explanation.unwrap();
    assert_eq!((explanation.leases, explanation.hour), (4, Some(Ask::Alone { msat: Msat(10_000) })));
}

#[test]
fn no_lease_is_offered_that_could_run_into_a_dearer_tariff() {
    let costs = format!("{COSTS}tariff_hours = [{{ hours = \"17:00-21:00\", usd_per_kwh = 0.80 }}]");
    let auto = pricing("price = \"auto\"", &costs);
    let at = |hour| {
        let policy = auto.at(monday(hour), None, &[], 0).unwrap().policy;
        (policy.offers[0].rate.msat, policy.offers[0].lease_max_ms / 60_000)
    };
    // Ten minutes less than the cheap time, in whole quarters of an hour: so much later the offer may be taken.
    assert_eq!(at(12), (Msat(10_000), 5 * 60 - 15));
    assert_eq!(at(17), (Msat(20_000), 24 * 60), "what comes is no dearer");
    assert_eq!(at(21), (Msat(10_000), 20 * 60 - 15));
}

#[test]
fn prices_of_the_owners_own_are_withdrawn_while_they_would_lose_money() {
    let costs = format!("{COSTS}tariff_hours = [{{ hours = \"17:00-21:00\", usd_per_kwh = 0.80 }}]");
    let own = pricing("price_per_hour = \"15 sat\"\nprice_per_task = \"1 sat\"", &costs);
    let per_task = Rate::per_task(Msat(1_000));
    assert_eq!(rates(&own, monday(12), &[], 0), [per_task, Rate::per_hour(Msat(15_000))]);
    assert_eq!(rates(&own, monday(18), &[], 0), [per_task], "tasks are looked at one by one");
    let explained = |at| own.at(at, None, &[], 0).unwrap().explanation.unwrap();
    assert_eq!(explained(monday(12)).hour, Some(Ask::Own { msat: Msat(15_000) }));
    assert_eq!(explained(monday(18)).hour, Some(Ask::Withdrawn { msat: Msat(15_000) }));
    let dear = explained(monday(18));
    assert!(
        dear.figures.iter().any(|figure| figure.what == "electricity now" && figure.value == "0.8 usd/kWh")
    );
}

#[test]
fn what_the_owner_leaves_out_comes_from_the_catalogue_and_is_cited() {
    let costs = "[costs]\nhardware = \"mac-mini-m4-pro\"\nregion = \"California\"\n";
    let priced = pricing("price = \"auto\"", costs).at(monday(12), None, &[], 0).unwrap();
    let explanation = priced.explanation.unwrap();
    assert_eq!(explanation.costs.watts, 40.into());
    let cited: Vec<&str> = explanation.figures.iter().map(|figure| figure.what.as_str()).collect();
    assert_eq!(
        cited,
        [
            "Mac Mini M4 Pro",
            "bitcoin",
            "electricity, California",
            "hardware_life",
            "mac-mini-m4-pro idle draw",
            "utilization_for_amortization"
        ]
    );
}

#[test]
fn costs_that_cannot_be_are_refused_before_anything_is_offered() {
    let refused = |costs: &str| {
        let config = ProvideConfig::parse(&format!("price = \"auto\"\n[costs]\n{costs}")).unwrap();
        let capacity = config.capacity(&hardware()).unwrap();
        let catalogue = Catalogue::embedded().unwrap();
        Pricing::new(config, &catalogue, Some(0), hardware(), capacity, Isolation::Wasm, SPEED)
            .unwrap_err()
            .to_string()
    };
    insta::assert_snapshot!(refused("usd_per_kwh = 0.1"), @"[costs]: the costs lack something: say `watts` (--watts), or `hardware` (--hardware) as the catalogue calls it");
    insta::assert_snapshot!(refused("watts = 0\nusd_per_kwh = 0.1\npaid_for = true"), @"[costs]: the power is 0; it has to be from 0.1 to 1000000 W");
    insta::assert_snapshot!(refused("watts = 10\npaid_for = true"), @"[costs]: the costs lack something: say `usd_per_kwh` (--tariff), or a `region` of the catalogue in the file");
    insta::assert_snapshot!(refused("watts = 10\nregion = \"Texsa\"\npaid_for = true"), @"[costs]: the catalogue has no region `Texsa`; did you mean `Texas`?");
    insta::assert_snapshot!(refused("watts = 10\nusd_per_kwh = 0.1"), @"[costs]: the costs lack something: say what the machine cost with `price_usd` (--hardware-usd), or `paid_for = true` (--paid-for) where only power counts");
    insta::assert_snapshot!(
        refused("watts = 10\nusd_per_kwh = 0.1\npaid_for = true\ntariff_hours = [{ hours = \"17:00-21:00\", usd_per_kwh = -1 }]"),
        @"[costs]: the tariff is -1; it has to be from 0 to 100 $/kWh"
    );
}

#[test]
fn a_lease_taken_at_the_last_moment_ends_before_the_dear_hours() {
    let costs = format!("{COSTS}tariff_hours = [{{ hours = \"17:00-21:00\", usd_per_kwh = 0.80 }}]");
    let auto = pricing("price = \"auto\"", &costs);
    for minute in 0..60 {
        let now = date(2026, 12, 7).at(16, minute, 0, 0);
        let policy = auto.at(now, None, &[], 0).unwrap().policy;
        let minutes = i64::try_from(policy.offers[0].lease_max_ms / 60_000).unwrap();
        // Taken five minutes later, when prices are looked at again, and begun a minute after that.
        let ends = i64::from(minute) + 6 + minutes;
        assert!(
            ends <= 60 || policy.offers[0].rate.msat == Msat(20_000),
            "16:{minute:02} for {minutes} minutes"
        );
    }
}

#[test]
fn the_markets_fee_is_asked_on_top() {
    let config = ProvideConfig::parse(&format!("price = \"auto\"\n{COSTS}")).unwrap();
    let capacity = config.capacity(&hardware()).unwrap();
    let catalogue = Catalogue::embedded().unwrap();
    let fee = Some(20_000);
    let pricing =
        Pricing::new(config, &catalogue, fee, hardware(), capacity, Isolation::Wasm, SPEED).unwrap();
    let asked = rates(&pricing, monday(12), &[], 0)[0].msat;
    assert_eq!(asked, Msat(10_205), "98 % of it are 10 sat");
}

#[test]
fn a_machine_that_costs_nothing_still_asks_something() {
    let costs = "[costs]\nwatts = 100\nusd_per_kwh = 0\npaid_for = true\n";
    assert_eq!(rates(&pricing("price = \"auto\"", costs), monday(12), &[], 0)[0].msat, Msat(1));
}

proptest! {
    #[test]
    fn no_machine_declines_its_own_price(watts in 1u32..2_000, speed in 1_000_000u64..5_000_000_000) {
        let costs = COSTS.replace("watts = 100", &format!("watts = {watts}"));
        let config = ProvideConfig::parse(&format!("price = \"auto\"\n{costs}")).unwrap();
        let capacity = config.capacity(&hardware()).unwrap();
        let catalogue = Catalogue::embedded().unwrap();
        let pricing =
            Pricing::new(config, &catalogue, Some(20_000), hardware(), capacity, Isolation::Wasm, speed).unwrap();
        let policy = pricing.at(monday(12), None, &[], 0).unwrap().policy;
        let limits = TaskLimits { memory_mib: 64, output_bytes: 1, fuel: 1_000, timeout_ms: 3_600_000 };
        for offer in &policy.offers {
            prop_assert_eq!(policy.risk(&limits, &offer.rate), None);
        }
    }
}
