use super::*;
use crate::{drawn::drawn, wild};
use market::{
    offer::OfferRole,
    resources::{Attributes, Gpus, Isolation, Resources},
    units::{Msat, Rate},
};
use proptest::{array, prelude::*};
use rust_decimal::dec;

fn ask_embedded(question: &Question) -> Result<Comparison, QuestionError> {
    ask(question, &wild::EMBEDDED)
}

fn a100() -> Question {
    Question::new("A100", 8, dec!(100))
}

fn habit() -> Option<Habit> {
    Some(Habit { interval_hours: None, cost_hours: dec!(0.05), restart_hours: dec!(0.1) })
}

fn every(of: &str, mtbf_hours: Decimal) -> Reliability {
    Reliability { of: of.to_owned(), mtbf_hours: Some(mtbf_hours), availability: None }
}

fn live(gpu: Option<&str>, gpus: u32) -> LiveOffer {
    LiveOffer {
        market: "market.example".to_owned(),
        offer: format!("offer-{gpus}"),
        gpu: gpu.map(str::to_owned),
        gpus,
        msat_per_hour: 1_000_000 * u64::from(gpus),
        availability: Some(dec!(0.98)),
        as_of: "2026-11-20".parse().unwrap(),
    }
}

fn of<'a>(comparison: &'a Comparison, provider: &str) -> &'a Offer {
    comparison.offers.iter().find(|offer| offer.provider == provider).unwrap()
}

#[test]
fn the_same_work_is_compared_across_clouds_and_networks() {
    insta::assert_snapshot!(drawn(&ask_embedded(&a100()).unwrap()), @r"
    8 × A100 for 100 hours

    [prices] Rent, cheapest first
    where      | accelerator | what                        | terms                      | $/h each | to    | rent     | to       | × cheapest | promised      | says who
    Akash      | A100        |                             | reverse auction            | $0.50    | $0.90 | $400.00  | $720.00  | 1.00       | 99%-99.9%     | surge, 2026-02
    io.net     | A100        |                             | consumer and prosumer GPUs | $0.60    | $1.00 | $480.00  | $800.00  | 1.20       | best effort   | surge, 2026-02
    Render     | A100        |                             | distributed nodes          | $0.80    | $1.20 | $640.00  | $960.00  | 1.60       | variable      | surge, 2026-02
    AWS        | A100        | spot off-peak               | spot                       | $1.50    |       | $1200.00 |          | 3.00       | nothing known | economics, 2026-03-12, rounded
    AWS        | A100-SXM-40 | p4d.24xlarge 8x A100 40GB   | reserved-1y                | $2.50    |       | $2000.00 |          | 5.00       | nothing known | economics, 2026-03-12, rounded
    CoreWeave  | A100-SXM-80 | 8x A100 80GB                | on-demand                  | $2.70    |       | $2160.00 |          | 5.40       | nothing known | economics, 2026-03-12
    AWS or GCP | A100        |                             | centralized                | $3.00    | $4.50 | $2400.00 | $3600.00 | 6.00       | 99.9%-99.99%  | surge, 2026-02
    io.net     | A100        |                             | on-demand                  | $3.33    |       | $2664.00 |          | 6.66       | nothing known | economics, 2026-03-12
    GCP        | A100-80     | a2-ultragpu-8g 8x A100 80GB | on-demand                  | $3.67    |       | $2939.00 |          | 7.35       | nothing known | economics, 2026-03-12, rounded
    AWS        | A100-SXM-40 | p4d.24xlarge 8x A100 40GB   | on-demand                  | $4.10    |       | $3277.00 |          | 8.19       | nothing known | economics, 2026-03-12, rounded

    [beside] Beside the rent
    where      | terms                      | network keeps | fee on top | egress     | storage    | total of what is known | to
    Akash      | reverse auction            | not known     | none known | none asked | none asked | $400.00                | $720.00
    io.net     | consumer and prosumer GPUs | not known     | none known | none asked | none asked | $480.00                | $800.00
    Render     | distributed nodes          | not known     | none known | none asked | none asked | $640.00                | $960.00
    AWS        | spot                       | not known     | none known | none asked | none asked | $1200.00               |
    AWS        | reserved-1y                | not known     | none known | none asked | none asked | $2000.00               |
    CoreWeave  | on-demand                  | not known     | none known | none asked | none asked | $2160.00               |
    AWS or GCP | centralized                | not known     | none known | none asked | none asked | $2400.00               | $3600.00
    io.net     | on-demand                  | not known     | none known | none asked | none asked | $2664.00               |
    GCP        | on-demand                  | not known     | none known | none asked | none asked | $2939.00               |
    AWS        | on-demand                  | not known     | none known | none asked | none asked | $3277.00               |

    [useful] An hour of work done by one accelerator
    where      | terms                      | there   | to      | lost to interruptions | $/useful h | to     | counts
    Akash      | reverse auction            | 99.00 % | 99.90 % | not known             | $0.501     | $0.909 | availability
    io.net     | consumer and prosumer GPUs |         |         | not known             | $0.600     | $1.000 | price alone
    Render     | distributed nodes          |         |         | not known             | $0.800     | $1.200 | price alone
    AWS        | spot                       |         |         | not known             | $1.500     |        | price alone
    AWS        | reserved-1y                |         |         | not known             | $2.500     |        | price alone
    CoreWeave  | on-demand                  |         |         | not known             | $2.700     |        | price alone
    AWS or GCP | centralized                | 99.90 % | 99.99 % | not known             | $3.000     | $4.505 | availability
    io.net     | on-demand                  |         |         | not known             | $3.330     |        | price alone
    GCP        | on-demand                  |         |         | not known             | $3.674     |        | price alone
    AWS        | on-demand                  |         |         | not known             | $4.096     |        | price alone

    * Rent is price × accelerators × hours; where a machine has one price, whole machines are rented.
    * What a network keeps is part of its price: the host gets less, the buyer pays no more.
    * An hour of work costs price ÷ availability × the time that interruptions stretch it by. Hours in which it is not there are taken as paid. What is not known does not count: see the column.
    * Sources differ about AWS: $3.00 to $4.50 (A100 centralized; surge, 2026-02) against $4.10 (A100-SXM-40 on-demand; economics, 2026-03-12).
    * Sources differ about GCP: $3.00 to $4.50 (A100 centralized; surge, 2026-02) against $3.67 (A100-80 on-demand; economics, 2026-03-12).
    * Sources differ about io.net: $0.60 to $1.00 (A100 consumer and prosumer GPUs; surge, 2026-02) against $3.33 (A100 on-demand; economics, 2026-03-12).
    ");
}

#[test]
fn live_offers_and_interruptions_stand_in_the_same_tables() {
    let question = Question {
        terms: vec![Terms::Spot],
        live: vec![
            live(Some("nvidia-a100-sxm4-80gb"), 2),
            live(None, 1),
            live(Some("nvidia-a100-sxm4-80gb"), 8),
        ],
        reliability: vec![every("spot", dec!(24))],
        checkpoint: habit(),
        egress_gb: dec!(500),
        extras: vec![Extra {
            provider: "AWS".to_owned(),
            egress_usd_per_gb: Some(Usd(dec!(0.09))),
            storage_usd_per_gb_month: None,
            buyer_fee_rate: None,
        }],
        ..a100()
    };
    insta::assert_snapshot!(drawn(&ask_embedded(&question).unwrap()), @r"
    8 × A100 for 100 hours

    [prices] Rent, cheapest first
    where          | accelerator           | what          | terms | $/h each | to | rent     | to | × cheapest | promised      | says who
    market.example | nvidia-a100-sxm4-80gb | offer-2, 2x   | live  | $0.70    |    | $560.00  |    | 1.00       | nothing known | market.example, 2026-11-20
    market.example | nvidia-a100-sxm4-80gb | offer-8, 8x   | live  | $0.70    |    | $560.00  |    | 1.00       | nothing known | market.example, 2026-11-20
    AWS            | A100                  | spot off-peak | spot  | $1.50    |    | $1200.00 |    | 2.14       | nothing known | economics, 2026-03-12, rounded

    [beside] Beside the rent
    where          | terms | network keeps | fee on top | egress    | storage    | total of what is known | to
    market.example | live  | not known     | none known | not known | none asked | $560.00                |
    market.example | live  | not known     | none known | not known | none asked | $560.00                |
    AWS            | spot  | not known     | none known | $45.00    | none asked | $1245.00               |

    [useful] An hour of work done by one accelerator
    where          | terms | there   | to      | lost to interruptions | $/useful h | to | counts
    market.example | live  | 98.00 % | 98.00 % | not known             | $0.714     |    | availability
    market.example | live  | 98.00 % | 98.00 % | not known             | $0.714     |    | availability
    AWS            | spot  |         |         | 19.88 %               | $1.872     |    | interruptions

    [interruptions] Interruptions
    where | terms | machines | one every h | saved every h | best by Young | best by Daly | lost, first order | lost, exactly
    AWS   | spot  | 8        | 3.00        | 0.51          | 0.55          | 0.51         | 21.63 %           | 19.88 %

    * Rent is price × accelerators × hours; where a machine has one price, whole machines are rented.
    * What a network keeps is part of its price: the host gets less, the buyer pays no more.
    * An hour of work costs price ÷ availability × the time that interruptions stretch it by. Hours in which it is not there are taken as paid. What is not known does not count: see the column.
    * Not everybody's price of data is known: the ratio compares the rent alone.
    * With C hours to save, τ between savings, R to go on and an interruption every M hours (of one machine ÷ machines): lost ≈ C/τ + τ/(2M) + R/M, least at τ = √(2CM) (Young 1974); exactly, work takes M/τ · e^(R/M) · (e^((τ+C)/M) − 1) times as long (Daly 2006).
    * Offers with fewer accelerators than asked for are priced at their rate; they do not count as the cheapest.
    * Live offers with other accelerators or none, left out: 1.
    ");
}

#[test]
fn three_accelerators_of_a_machine_of_eight_cost_the_machine() {
    let comparison = ask_embedded(&Question::new("H100", 3, dec!(1))).unwrap();
    let coreweave = of(&comparison, "CoreWeave");
    assert_eq!((coreweave.paid_gpus, coreweave.machines), (8, 1));
    assert_eq!(coreweave.rent_usd.0, Usd(dec!(49.24)));
}

#[test]
fn ratios_count_egress_once_everybody_states_it() {
    let extra = |provider: &str, price| Extra {
        provider: provider.to_owned(),
        egress_usd_per_gb: Some(Usd(price)),
        storage_usd_per_gb_month: None,
        buyer_fee_rate: Some(dec!(0.1)),
    };
    let question = Question { egress_gb: dec!(1000), ..Question::new("H100", 8, dec!(1)) };
    let one = Question { extras: vec![extra("AWS", dec!(0))], ..question.clone() };
    assert!(!ask_embedded(&one).unwrap().has_all_prices);
    let both = Question { extras: vec![extra("AWS", dec!(0)), extra("CoreWeave", dec!(1))], ..question };
    let comparison = ask_embedded(&both).unwrap();
    // AWS: 98.32 and a tenth; CoreWeave: 49.24, a tenth, and 1000 GB.
    assert_eq!(comparison.offers[0].total_usd.0, Usd(dec!(108.152)));
    assert_eq!(comparison.offers[1].total_usd.0, Usd(dec!(1054.164)));
    assert_eq!(comparison.offers[0].ratio, Some(dec!(1)));
}

#[test]
fn the_reliability_that_means_an_offer_most_closely_counts() {
    let question = Question {
        reliability: vec![every("all", dec!(1000)), every("Akash", dec!(100)), every("spot", dec!(10))],
        checkpoint: habit(),
        ..Question::new("A100", 1, dec!(10))
    };
    let comparison = ask_embedded(&question).unwrap();
    let mtbf = |provider: &str| of(&comparison, provider).loss.unwrap().mtbf_hours;
    assert_eq!((mtbf("Akash"), mtbf("Render")), (dec!(100), dec!(1000)));
    let spot = comparison.offers.iter().find(|offer| offer.terms == Terms::Spot).unwrap();
    assert_eq!(spot.loss.unwrap().mtbf_hours, dec!(10));
}

#[test]
fn a_useful_hour_costs_its_price_by_its_availability() {
    let comparison = ask_embedded(&Question::new("A100", 1, dec!(1))).unwrap();
    let (low, high) = of(&comparison, "Akash").useful_usd_per_hour.unwrap();
    assert_eq!((low.rounded(6), high.rounded(6)), (Usd(dec!(0.500501)), Usd(dec!(0.909091))));
    // `best effort` promises nothing: the price stays as it is.
    let (low, _) = of(&comparison, "io.net").useful_usd_per_hour.unwrap();
    assert_eq!(low, Usd(dec!(0.60)));
}

#[test]
fn an_offer_of_the_market_is_compared_if_it_is_priced_by_time() {
    let terms = |rate| OfferTerms {
        role: OfferRole::Work,
        rate,
        resources: Resources {
            gpus: Some(Gpus {
                model: "nvidia-a100-sxm4-80gb".parse().unwrap(),
                count: 4,
                memory_mib: 81_920,
            }),
            ..Resources::default()
        },
        isolation: Isolation::Wasm,
        region: "eu".parse().unwrap(),
        class: "any".parse().unwrap(),
        attributes: Attributes::default(),
        lease_max_ms: 1,
        holds: None,
        sales: None,
    };
    let as_of = "2026-11-20".parse().unwrap();
    let read = |rate| LiveOffer::new("market.example", "offer-7", &terms(rate), as_of);
    assert_eq!(read(Rate::per_task(Msat(5))), None);
    let live = vec![read(Rate::per_hour(Msat(4_000_000))).unwrap()];
    let comparison = ask_embedded(&Question { live, ..Question::new("A100", 4, dec!(1)) }).unwrap();
    // 4000 sat an hour for four: 0.70 $ each.
    assert_eq!(of(&comparison, "market.example").rent_usd.0, Usd(dec!(2.8)));
}

#[test]
fn bad_inputs_are_answered_with_what_is_accepted() {
    let questions = [
        Question::new("B300", 1, dec!(1)),
        Question::new("A100", 0, dec!(1)),
        Question::new("A100", 1, dec!(0)),
        Question { terms: vec![Terms::Reserved], ..Question::new("H100", 1, dec!(1)) },
        Question { reliability: vec![every("sport", dec!(1))], checkpoint: habit(), ..a100() },
        Question { reliability: vec![every("spot", dec!(1))], ..a100() },
        Question { reliability: vec![every("spot", dec!(0))], checkpoint: habit(), ..a100() },
        Question { egress_gb: dec!(-1), ..a100() },
    ];
    let mut texts: Vec<String> =
        questions.iter().map(|question| ask_embedded(question).unwrap_err().to_string()).collect();
    texts.push("on-demnd".parse::<Terms>().unwrap_err().to_string());
    insta::assert_snapshot!(texts.join("\n"), @r"
    the catalogue has no price of the accelerator `B300`; it has: A100, A100-80, A100-SXM-40, A100-SXM-80, B200-180, GB200-NVL72, H100-SXM-80, H200-SXM-141, RTX-3080, RTX-3090, RTX-4090
    the number of accelerators is 0; it has to be from 1 to 10000000
    the time is 0; it has to be from 0.001 to 10000000 h
    the catalogue has no price on these terms `reserved`; it has: on-demand
    the catalogue has no provider or terms `sport`; did you mean `spot`?
    how long a checkpoint takes is not given; it is needed to reckon with interruptions
    the time between interruptions is 0; it has to be from 0.001 to 10000000 h
    the amount of data is -1; it has to be from 0 to 1000000000 GB
    the catalogue has no terms `on-demnd`; did you mean `on-demand`?
    ");
}

proptest! {
    #[test]
    fn the_rent_grows_with_hours_and_nothing_is_cheaper_than_the_cheapest(
        count in 1_u32..1000, hours in 1_u32..100_000, more in 1_u32..1000
    ) {
        let rent = |hours: u32| ask_embedded(&Question::new("A100", count, hours.into())).unwrap();
        let (short, long) = (rent(hours), rent(hours + more));
        for (short, long) in short.offers.iter().zip(&long.offers) {
            prop_assert!(short.rent_usd.0 < long.rent_usd.0);
            prop_assert!(short.ratio.unwrap() >= Decimal::ONE);
        }
        prop_assert_eq!(short.offers[0].ratio, Some(Decimal::ONE));
    }

    #[test]
    fn no_number_makes_it_panic(
        numbers in array::uniform6(wild::number()), count: u32, msat_per_hour: u64, gpus: u32
    ) {
        let [hours, egress_gb, storage_gb, price, mtbf, share] = numbers;
        let question = Question {
            egress_gb,
            storage_gb,
            extras: vec![Extra {
                provider: "AWS".to_owned(),
                egress_usd_per_gb: Some(Usd(price)),
                storage_usd_per_gb_month: Some(Usd(price)),
                buyer_fee_rate: Some(share),
            }],
            reliability: vec![Reliability { of: "all".to_owned(), mtbf_hours: Some(mtbf), availability: Some(share) }],
            checkpoint: habit(),
            live: vec![LiveOffer { msat_per_hour, gpus, ..live(Some("a100"), 1) }],
            ..Question::new("A100", count, hours)
        };
        if let Ok(answer) = ask_embedded(&question) {
            prop_assert!(!drawn(&answer).is_empty());
        }
    }
}
