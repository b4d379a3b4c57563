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

fn token(volatility_per_year: f64, conversion: Conversion) -> Payout {
    Payout::Token { drift_per_year: 0.0, volatility_per_year, conversion }
}

#[test]
fn a_seed_has_the_same_answer_on_every_platform() {
    let question = Question { payout: token(0.9, Conversion::Daily), ..few() };
    let net = simulate(&question).outcome.net();
    let bits = [13875614460494383347, 13872499822018339848, 4639206019787867059];
    assert_eq!([net.p5, net.p50, net.p95].map(f64::to_bits), bits, "{net:?}");
    assert_eq!(simulate(&question), simulate(&question));
    assert_ne!(simulate(&question).outcome, simulate(&Question { seed: 2, ..question }).outcome);
}

#[test]
fn without_chance_the_median_is_the_sum_by_hand() {
    let question = Question {
        watts: Some(450.0),
        tariff_usd_per_kwh: Some(0.16),
        hardware_usd: Some(2400.0),
        residual_usd: Some(1200.0),
        price_usd_per_hour: Some(0.40),
        fee_rate: Some(0.15),
        utilization: Some(0.5),
        utilization_concentration: 1000.0,
        price_volatility_per_year: 0.0,
        failures_per_year: 0.0,
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
    let halving = Some(Halving { month: 1, probability: 1.0 });
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
        let tokens = simulate(&Question { payout: token(0.0, conversion), ..few() }).outcome;
        for (a, b) in [(tokens.net().p5, dollars.net().p5), (tokens.net().p95, dollars.net().p95)] {
            assert!((a - b).abs() < 1e-9, "{conversion:?}: {a} {b}");
        }
    }
}

#[test]
fn holding_a_volatile_token_widens_the_fan() {
    let width = |conversion| {
        let net = simulate(&Question { payout: token(1.0, conversion), ..Question::default() }).outcome.net();
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
        (
            Question { utilization: Some(1.3), ..few() },
            "the mean utilization is 1.3; it must lie between 0.01 and 0.99",
        ),
        (
            Question { utilization: Some(0.0), ..few() },
            "the mean utilization is 0; it must lie between 0.01 and 0.99",
        ),
        (
            Question { watts: Some(-5.0), ..few() },
            "the draw in watts is -5; it must lie between 0.1 and 100000",
        ),
        (
            Question { idle_watts: f64::NAN, ..few() },
            "the idle draw in watts is NaN; it must lie between 0 and 100000",
        ),
        (Question { months: 0, ..few() }, "the number of months is 0; it must lie between 1 and 120"),
        (
            Question { residual_usd: Some(9e3), ..few() },
            "the resale value is 9000; it must lie between 0 and 2500",
        ),
        (
            Question { region: "Texsa".into(), ..few() },
            "the catalogue has no region `Texsa`; did you mean `Texas`?",
        ),
        (
            Question { hardware: Some("mac-mini-m4-pro".into()), ..few() },
            "no market of the catalogue rents mac: give the price of an hour",
        ),
        (Question { hardware: None, ..few() }, "name a machine of the catalogue, or give its draw in watts"),
    ];
    for (question, message) in cases {
        assert_eq!(ask(&question, &catalogue()).unwrap_err().to_string(), message);
    }
}

#[test]
fn the_answer_names_its_figures_and_warns_of_old_ones() {
    let answer = simulate(&few());
    let sources: Vec<_> = answer.figures().iter().map(|figure| figure.what.as_str()).collect();
    assert!(sources.contains(&"Vast.ai RTX-4090"), "{sources:?}");
    let warnings = answer.figures().warnings(jiff::civil::date(2026, 11, 20));
    assert_eq!(warnings, ["figures of 2026-03-12 (economics) are 253 days old"]);
}

fn any_question() -> impl Strategy<Value = Question> {
    let machine = (0.1..100_000.0f64, 0.0..10_000_000.0f64, 0.0..1.0f64, 0.0..10.0f64, 0.0..10_000.0f64);
    let chances = (-0.99..10.0f64, 0.0..3.0f64, 0.01..0.99f64, 2.0..1000.0f64, 0.0..24.0f64, 0.0..365.0f64);
    let payout = prop_oneof![
        Just(Payout::Dollars),
        (-0.99..10.0f64, 0.0..3.0f64, any::<bool>()).prop_map(
            |(drift_per_year, volatility_per_year, held)| {
                let conversion = if held { Conversion::Held } else { Conversion::Daily };
                Payout::Token { drift_per_year, volatility_per_year, conversion }
            }
        ),
    ];
    (machine, chances, payout, 1..=120u32, any::<u64>()).prop_map(
        |(
            (watts, hardware, kept, tariff, price),
            (drift, volatility, mean, concentration, failures, down),
            payout,
            months,
            seed,
        )| {
            Question {
                watts: Some(watts),
                hardware_usd: Some(hardware),
                residual_usd: Some(hardware * kept),
                tariff_usd_per_kwh: Some(tariff),
                price_usd_per_hour: Some(price),
                price_drift_per_year: drift,
                price_volatility_per_year: volatility,
                utilization: Some(mean),
                utilization_concentration: concentration,
                failures_per_year: failures,
                downtime_days: down,
                payout,
                months,
                paths: 100,
                seed,
                ..Question::default()
            }
        },
    )
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
    fn dearer_power_never_helps(question in any_question(), factor in 1.0..3.0f64) {
        let tariff = question.tariff_usd_per_kwh.map(|tariff| (tariff * factor).min(10.0));
        let cheap = simulate(&question).outcome;
        let dear = simulate(&Question { tariff_usd_per_kwh: tariff, ..question }).outcome;
        prop_assert!(dear.net().p50 <= cheap.net().p50);
        prop_assert!(dear.loss_probability >= cheap.loss_probability);
    }

    #[test]
    fn the_currency_has_no_scale(question in any_question()) {
        // Everything twice as dear: prices, power, repairs, hardware. Doubling is exact in floats.
        let twice = |amount: Option<f64>| amount.map(|amount| amount * 2.0);
        let question = Question {
            tariff_usd_per_kwh: question.tariff_usd_per_kwh.map(|tariff| tariff / 2.0),
            price_usd_per_hour: question.price_usd_per_hour.map(|price| price / 2.0),
            hardware_usd: question.hardware_usd.map(|price| price / 2.0),
            residual_usd: question.residual_usd.map(|price| price / 2.0),
            ..question
        };
        let doubled = Question {
            tariff_usd_per_kwh: twice(question.tariff_usd_per_kwh),
            price_usd_per_hour: twice(question.price_usd_per_hour),
            hardware_usd: twice(question.hardware_usd),
            residual_usd: twice(question.residual_usd),
            repair_usd: question.repair_usd * 2.0,
            ..question.clone()
        };
        let (one, two) = (simulate(&question).outcome, simulate(&doubled).outcome);
        prop_assert_eq!(one.net().p50 * 2.0, two.net().p50);
        prop_assert_eq!(one.loss_probability, two.loss_probability);
    }
}
