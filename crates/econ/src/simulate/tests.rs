use super::*;
use proptest::prelude::*;

fn catalogue() -> Catalogue {
    Catalogue::embedded().unwrap()
}

fn simulate(question: &Question) -> Simulation {
    ask(question, &catalogue()).unwrap()
}

/// Few paths: enough for properties that hold on every path.
fn few() -> Question {
    Question { paths: 200, ..Question::default() }
}

fn token(volatility: Decimal, conversion: Conversion) -> Payout {
    Payout::Token { drift: Decimal::ZERO, volatility, conversion }
}

#[test]
fn a_seed_has_the_same_answer_on_every_platform() {
    let question = Question { payout: token(dec!(0.9), Conversion::Daily), ..few() };
    let net = simulate(&question).outcome.net();
    let bits = [13875614460494383348, 13872499822018339850, 4639206019787867051];
    assert_eq!([net.p5, net.p50, net.p95].map(f64::to_bits), bits, "{net:?}");
    assert_eq!(simulate(&question), simulate(&question));
    assert_ne!(simulate(&question).outcome, simulate(&Question { seed: 2, ..question }).outcome);
}

#[test]
fn without_chance_the_median_is_the_sum_by_hand() {
    let question = Question {
        watts: Some(dec!(450)),
        tariff: Tariff::UsdPerKwh(Usd(dec!(0.16))),
        hardware_usd: Some(Usd(dec!(2400))),
        residual_usd: Some(Usd(dec!(1200))),
        usd_per_hour: Some(Usd(dec!(0.40))),
        fee_rate: Some(dec!(0.15)),
        utilization: Some(dec!(0.5)),
        utilization_concentration: dec!(1000),
        price_volatility: Decimal::ZERO,
        failures_per_year: Decimal::ZERO,
        paths: 20_000,
        ..Question::default()
    };
    // 12 months × 720 h × 0.5 × (0.40 × 0.85 − 0.45 × 0.16) − 1200
    let expected = 4320.0 * (0.34 - 0.072) - 1200.0;
    let outcome = simulate(&question).outcome;
    assert!((outcome.mean.net() - expected).abs() < 1.0, "{} for {expected}", outcome.mean.net());
    assert!((outcome.net().p50 - expected).abs() < 2.0);
}

#[test]
fn a_certain_halving_in_the_first_month_halves_what_renters_pay() {
    let halving = Some(Halving { month: 1, probability: Decimal::ONE });
    // One draw decides whether it comes, so the other draws of the two runs are not the same.
    let (whole, half) =
        (simulate(&Question::default()), simulate(&Question { halving, ..Question::default() }));
    let ratio = half.outcome.mean.gross / whole.outcome.mean.gross;
    assert!((ratio - 0.5).abs() < 0.01, "{ratio}");
}

#[test]
fn a_token_that_does_not_move_is_as_good_as_dollars() {
    let dollars = simulate(&few()).outcome;
    for conversion in [Conversion::Daily, Conversion::Held] {
        let tokens = simulate(&Question { payout: token(Decimal::ZERO, conversion), ..few() }).outcome;
        for (a, b) in [(tokens.net().p5, dollars.net().p5), (tokens.net().p95, dollars.net().p95)] {
            assert!((a - b).abs() < 1e-9, "{conversion:?}: {a} {b}");
        }
    }
}

#[test]
fn holding_a_volatile_token_widens_the_fan() {
    let width = |conversion| {
        let net = simulate(&Question { payout: token(Decimal::ONE, conversion), ..Question::default() })
            .outcome
            .net();
        net.p95 - net.p5
    };
    let (daily, held) = (width(Conversion::Daily), width(Conversion::Held));
    assert!(held > 1.2 * daily, "{held} against {daily}");
}

#[test]
fn a_path_does_not_depend_on_how_many_others_there_are() {
    let model = simulate(&few()).model;
    let alone = model.run(1, 9).net().p50;
    let two = model.run(2, 9).net();
    // Of two values, P5 and P95 lie 90 % of their distance apart.
    let half = (two.p95 - two.p5) / 1.8;
    let is_one_of_them = [two.p50 - half, two.p50 + half].iter().any(|net| (net - alone).abs() < 1e-6);
    assert!(half > 1.0 && is_one_of_them, "{alone} is not in {two:?}");
}

#[test]
fn inputs_out_of_range_are_refused_with_the_range() {
    let cases = [
        Question { utilization: Some(dec!(1.3)), ..few() },
        Question { utilization: Some(Decimal::ZERO), ..few() },
        Question { watts: Some(dec!(-5)), ..few() },
        Question { months: 0, ..few() },
        Question { residual_usd: Some(Usd(dec!(9000))), ..few() },
        Question { halving: Some(Halving { month: 3, probability: dec!(2) }), ..few() },
        Question { tariff: Tariff::Region("Texsa".into()), ..few() },
        Question { hardware: Some("mac-mini-m4-pro".into()), ..few() },
        Question { hardware: None, ..few() },
    ];
    let errors = cases.map(|question| ask(&question, &catalogue()).unwrap_err().to_string());
    insta::assert_snapshot!(errors.join("\n"), @r"
    the mean utilization is 1.3; it has to be from 0.01 to 0.99 (a fraction: 0.45 is 45 %)
    the mean utilization is 0; it has to be from 0.01 to 0.99 (a fraction: 0.45 is 45 %)
    the power is -5; it has to be from 0.1 to 1000000 W
    the number of months is 0; it has to be from 1 to 120
    the residual value is 9000; it has to be from 0 to 2500 $
    the probability of the halving is 2; it has to be from 0 to 1 (a fraction: 0.15 is 15 %)
    the catalogue has no region `Texsa`; did you mean `Texas`?
    the price of an hour is not given; it is needed because no market of the catalogue rents out this machine
    the power is not given; it is needed because no machine of the catalogue is named
    ");
}

#[test]
fn the_answer_names_its_figures_and_warns_of_old_ones() {
    let answer = simulate(&few());
    let sources: Vec<_> = answer.figures().iter().map(|figure| figure.what.as_str()).collect();
    assert!(sources.contains(&"Vast.ai RTX-4090"), "{sources:?}");
    let warnings = answer.figures().warnings(jiff::civil::date(2026, 11, 20));
    assert_eq!(warnings, ["figures of 2026-03-12 (economics) are 253 days old"]);
}

#[test]
fn a_market_whose_fee_nobody_knows_is_named() {
    let of_a100 = Question {
        hardware: None,
        gpu: Some("A100".into()),
        watts: Some(dec!(400)),
        hardware_usd: Some(Usd(dec!(10_000))),
        ..few()
    };
    assert_eq!(
        simulate(&of_a100).notes()[..2],
        [
            "The price is the typical one at Akash, the lowest among the markets of the catalogue.",
            "The fee of Akash is not known: nothing is taken off.",
        ]
    );
    let given = simulate(&Question { fee_rate: Some(dec!(0.2)), ..of_a100 });
    assert!(!given.notes().iter().any(|note| note.contains("not known")));
    assert_eq!(given.model.fee_rate, 0.2);
    let price_alone = simulate(&Question { usd_per_hour: Some(Usd(dec!(0.3))), ..few() });
    assert_eq!(price_alone.notes()[0], "No fee is given beside the price: nothing is taken off.");
}

#[test]
fn a_market_with_a_known_fee_goes_before_a_cheaper_one_without() {
    let mut catalogue = catalogue();
    let known = catalogue.market_prices_of("RTX-4090").find(|row| row.network == "Vast.ai").unwrap();
    let cheaper = MarketPrice {
        network: "Cheaper".into(),
        usd_low: Usd(dec!(0.01)),
        usd_median: None,
        usd_high: None,
        fee_rate: None,
        ..known.clone()
    };
    catalogue.market_prices.push(cheaper);
    let answer = ask(&few(), &catalogue).unwrap();
    assert_eq!(
        answer.notes()[..2],
        [
            "The price is the typical one at Vast.ai, the lowest among the markets of the catalogue whose fee is known.",
            "Cheaper is cheaper; it is passed over, because its fee is not known.",
        ]
    );
    let given = ask(&Question { fee_rate: Some(dec!(0.1)), ..few() }, &catalogue).unwrap();
    assert_eq!(given.model.price_usd_per_hour, 0.01);
}

/// A number with so many digits after the point.
fn decimal(digits: u32, range: std::ops::RangeInclusive<i64>) -> impl Strategy<Value = Decimal> {
    range.prop_map(move |number| Decimal::new(number, digits))
}

fn any_payout() -> impl Strategy<Value = Payout> {
    let conversion = prop_oneof![Just(Conversion::Daily), Just(Conversion::Held)];
    let token = (decimal(2, -99..=1000), decimal(2, 0..=300), conversion);
    let token =
        token.prop_map(|(drift, volatility, conversion)| Payout::Token { drift, volatility, conversion });
    prop_oneof![Just(Payout::Dollars), token]
}

fn any_question() -> impl Strategy<Value = Question> {
    let costs = (
        decimal(1, 1..=10_000_000),
        decimal(2, 0..=100_000_000_000),
        decimal(3, 0..=1000),
        decimal(4, 0..=1_000_000),
    );
    let pay = (decimal(2, 0..=100_000_000), decimal(2, -99..=1000), decimal(2, 0..=300), any_payout());
    let use_of = (decimal(2, 1..=99), decimal(0, 2..=1000), decimal(1, 0..=240), decimal(0, 0..=365));
    (costs, pay, use_of, 1..=120u32, any::<u64>()).prop_map(|(costs, pay, use_of, months, seed)| {
        let (watts, hardware_usd, kept, usd_per_kwh) = costs;
        let (usd_per_hour, price_drift, price_volatility, payout) = pay;
        let (utilization, utilization_concentration, failures_per_year, downtime_days) = use_of;
        Question {
            watts: Some(watts),
            hardware_usd: Some(Usd(hardware_usd)),
            residual_usd: Some(Usd(hardware_usd * kept)),
            tariff: Tariff::UsdPerKwh(Usd(usd_per_kwh)),
            usd_per_hour: Some(Usd(usd_per_hour)),
            price_drift,
            price_volatility,
            utilization: Some(utilization),
            utilization_concentration,
            failures_per_year,
            downtime_days,
            payout,
            months,
            paths: 100,
            seed,
            ..Question::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_accepted_has_an_ordered_fan_and_adds_up(question in any_question()) {
        let Simulation { outcome, .. } = simulate(&question);
        prop_assert_eq!(outcome.fan.len(), question.months as usize + 1);
        for at in &outcome.fan {
            prop_assert!(at.p5 <= at.p25 && at.p25 <= at.p50 && at.p50 <= at.p75 && at.p75 <= at.p95, "{:?}", at);
            prop_assert!(at.p5.is_finite() && at.p95.is_finite());
        }
        prop_assert!((0.0..=1.0).contains(&outcome.loss_probability));
        let paths = outcome.payback.never + outcome.payback.paths_by_month.iter().sum::<u32>();
        prop_assert_eq!(paths, question.paths);
    }

    #[test]
    fn dearer_power_never_helps(question in any_question(), seed in any::<u64>()) {
        let model = simulate(&question).model;
        let dear = Model { tariff_usd_per_kwh: model.tariff_usd_per_kwh * 1.5, ..model.clone() };
        let (cheap, dear) = (model.run(100, seed), dear.run(100, seed));
        prop_assert!(dear.net().p50 <= cheap.net().p50);
        prop_assert!(dear.loss_probability >= cheap.loss_probability);
    }

    #[test]
    fn the_currency_has_no_scale(question in any_question(), seed in any::<u64>()) {
        // Everything twice as dear. Doubling is exact in floats.
        let model = simulate(&question).model;
        let doubled = Model {
            price_usd_per_hour: model.price_usd_per_hour * 2.0,
            tariff_usd_per_kwh: model.tariff_usd_per_kwh * 2.0,
            fixed_usd_per_month: model.fixed_usd_per_month * 2.0,
            repair_usd: model.repair_usd * 2.0,
            hardware_usd: model.hardware_usd * 2.0,
            residual_usd: model.residual_usd * 2.0,
            ..model.clone()
        };
        let (one, two) = (model.run(100, seed), doubled.run(100, seed));
        prop_assert_eq!(one.net().p50 * 2.0, two.net().p50);
        prop_assert_eq!(one.loss_probability, two.loss_probability);
        prop_assert_eq!(one.payback, two.payback);
    }
}
