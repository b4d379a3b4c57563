use super::*;
use crate::{drawn::drawn, wild};
use proptest::{array, option, prelude::*};
use rust_decimal::dec;

fn ask_embedded(question: &Question) -> Result<BreakEven, QuestionError> {
    ask(question, &wild::EMBEDDED)
}

fn of(hardware: &str) -> Question {
    Question { hardware: vec![hardware.to_owned()], ..Question::default() }
}

fn at(usd_per_btc: Decimal) -> Option<BtcRate> {
    Some(BtcRate { usd_per_btc, as_of: "2026-11-20".parse().unwrap(), source: "you".to_owned() })
}

#[test]
fn the_worked_examples_hold_to_the_cent() {
    let examples: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/worked-examples.json")).unwrap();
    for example in examples["electricity_at_0.16"].as_array().unwrap() {
        let answer = ask_embedded(&of(example["hardware"].as_str().unwrap())).unwrap();
        let electricity = answer.machines[0].electricity;
        let usd = |key: &str| Usd(example[key].to_string().parse().unwrap());
        assert_eq!(electricity.usd_per_hour, usd("usd_per_hour"));
        assert_eq!(electricity.usd_per_day.rounded(2), usd("usd_per_day"));
        assert_eq!(electricity.usd_per_month.rounded(2), usd("usd_per_month"));
        assert_eq!(electricity.sats_per_hour, example["sats_per_hour"].as_i64());
    }
}

#[test]
fn several_machines_stand_in_one_answer() {
    let question = Question {
        hardware: vec!["rtx4090-system".into(), "Mac Mini M4 Pro".into()],
        pay: Some(Pay::SatsPerHour(dec!(200))),
        ..Question::default()
    };
    insta::assert_snapshot!(drawn(&ask_embedded(&question).unwrap()), @r"
    What an hour has to bring at $0.160 a kilowatt-hour

    [breakeven] Break-even for an hour that earns
    machine         | power $/h | idle $/h | wear $/h | own it $/h | own it sats/h | full cost $/h | full cost sats/h | full cost $/month
    RTX 4090 system | $0.0720   |          | $0.1903  | $0.0720    | 103           | $0.2623       | 375              | $94.41
    Mac Mini M4 Pro | $0.0064   |          | $0.0609  | $0.0064    | 9             | $0.0673       | 96               | $24.22

    [electricity] Electricity under load
    machine         | W   | low W | high W | $/h     | $/day | $/month | $/year  | idle $/h
    RTX 4090 system | 450 | 350   | 450    | $0.0720 | $1.73 | $51.84  | $630.72 |
    Mac Mini M4 Pro | 40  | 30    | 50     | $0.0064 | $0.15 | $4.61   | $56.06  | $0.0008

    [electricity_sats] Electricity under load, in satoshi
    machine         | sats/h | sats/day | sats/month | sats/year
    RTX 4090 system | 103    | 2469     | 74057      | 901029
    Mac Mini M4 Pro | 9      | 219      | 6583       | 80091

    [pay] Paid $0.1400 an hour
    machine         | own it: net $/h | own it: pays below $/kWh | full cost: net $/h | full cost: pays below $/kWh
    RTX 4090 system | $0.0680         | $0.311                   | -$0.1223           | none
    Mac Mini M4 Pro | $0.1336         | $3.500                   | $0.0727            | $1.978

    * Electricity is watts ÷ 1000 × tariff, around the clock under load; a month is 30 days, a year 8760 hours. The full cost of a month is that of its hours that earn.
    * Wear is (price − residual value) ÷ (3 years × 8760 h × 50 % of the hours earn).
    * Idle hours are not counted: the machine is taken to be on anyway. Where it is on for this alone, give its idle draw.
    * RTX 4090 system: the pay is less than the wear, free electricity does not help.
    ");
}

#[test]
fn a_machine_of_your_own_needs_no_catalogue() {
    let question = Question {
        tariff: Tariff::UsdPerKwh(Usd(dec!(0.20))),
        watts: Some(dec!(500)),
        idle_watts: Some(dec!(100)),
        price_usd: Some(Usd(dec!(1752))),
        residual: Some(Residual::Share(dec!(0.25))),
        life_years: Some(dec!(2)),
        utilization: Some(dec!(0.5)),
        ..Question::default()
    };
    let answer = ask_embedded(&question).unwrap();
    let machine = &answer.machines[0];
    assert_eq!(machine.electricity.usd_per_hour, Usd(dec!(0.1)));
    assert_eq!(machine.idle_share, Some(Usd(dec!(0.02))));
    assert_eq!(machine.wear, Some(Usd(dec!(0.15))));
    assert_eq!(machine.full.unwrap().usd_per_hour, Usd(dec!(0.27)));
}

#[test]
fn what_a_vendor_says_about_idle_draw_is_shown_and_not_counted() {
    let answer = ask_embedded(&of("mac-mini-m4-pro")).unwrap();
    let machine = &answer.machines[0];
    assert_eq!(machine.idle.unwrap().usd_per_hour, Usd(dec!(0.0008)));
    assert_eq!((machine.idle_share, machine.owned), (None, machine.electricity));
}

#[test]
fn two_sources_about_one_machine_are_both_shown() {
    let mut catalogue = Catalogue::embedded().unwrap();
    let mut other = catalogue.hardware("rtx4090-system").unwrap().clone();
    (other.price_usd, other.source) = (Usd(dec!(2000)), "another".to_owned());
    catalogue.hardware.push(other);
    let answer = ask(&of("rtx4090-system"), &catalogue).unwrap();
    let labels: Vec<String> = answer.machines.iter().map(|machine| answer.label(machine)).collect();
    assert_eq!(labels, ["RTX 4090 system (economics)", "RTX 4090 system (another)"]);
    assert!(answer.machines[0].wear > answer.machines[1].wear);
}

#[test]
fn bad_inputs_are_answered_with_what_is_accepted() {
    let questions = [
        Question { watts: Some(dec!(0)), ..of("rtx4090-system") },
        Question { watts: Some(dec!(-450)), ..of("rtx4090-system") },
        Question { utilization: Some(dec!(0)), ..Question::default() },
        Question { utilization: Some(dec!(1.3)), ..Question::default() },
        Question { tariff: Tariff::Region("Califronia".into()), ..Question::default() },
        of("rtx4090-sistem"),
        Question { price_usd: Some(Usd(dec!(2500))), ..Question::default() },
        Question { residual: Some(Residual::Usd(Usd(dec!(3000)))), ..of("rtx4090-system") },
        Question { bitcoin: at(dec!(0)), ..Question::default() },
        Question { life_years: Some(Decimal::MAX), ..Question::default() },
    ];
    let texts = questions.map(|question| ask_embedded(&question).unwrap_err().to_string());
    insta::assert_snapshot!(texts.join("\n"), @r"
    the power is 0; it has to be from 0.1 to 1000000 W
    the power is -450; it has to be from 0.1 to 1000000 W
    the utilization is 0; it has to be from 0.001 to 1 (a fraction: 0.45 is 45 %)
    the utilization is 1.3; it has to be from 0.001 to 1 (a fraction: 0.45 is 45 %)
    the catalogue has no region `Califronia`; did you mean `California`?
    the catalogue has no hardware `rtx4090-sistem`; did you mean `rtx4090-system`?
    the power (watts) is not given; it is needed for a machine that the catalogue does not have
    the residual value is 3000; it has to be from 0 to the price, 2500
    the price of a bitcoin is 0; it has to be from 1 to 1000000000 $
    the life is 79228162514264337593543950335; it has to be from 0.01 to 100 years
    ");
}

proptest! {
    #[test]
    fn costs_rise_with_the_tariff_and_add_up(low in 0_u32..5000, more in 1_u32..5000, watts in 1_u32..10_000) {
        let at = |mills: u32| {
            let tariff = Tariff::UsdPerKwh(Usd(Decimal::new(mills.into(), 4)));
            let question = Question { tariff, watts: Some(watts.into()), idle_watts: Some(dec!(7)), ..of("rtx3090-system") };
            ask_embedded(&question).unwrap().machines.remove(0)
        };
        let (cheap, dear) = (at(low), at(low + more));
        prop_assert!(cheap.owned.usd_per_hour < dear.owned.usd_per_hour);
        prop_assert!(cheap.full.unwrap().usd_per_hour < dear.full.unwrap().usd_per_hour);
        let parts = dear.electricity.usd_per_hour + dear.idle_share.unwrap() + dear.wear.unwrap();
        prop_assert_eq!(parts, dear.full.unwrap().usd_per_hour);
    }

    #[test]
    fn a_dearer_bitcoin_changes_satoshi_alone(usd_per_btc in 1_000_u32..1_000_000, watts in 1_u32..10_000) {
        let with = |usd_per_btc: u32| {
            let question = Question { watts: Some(watts.into()), bitcoin: at(usd_per_btc.into()), ..of("rtx3090-system") };
            ask_embedded(&question).unwrap().machines.remove(0).full.unwrap()
        };
        let (once, twice) = (with(usd_per_btc), with(2 * usd_per_btc));
        prop_assert_eq!(once.usd_per_year, twice.usd_per_year);
        let off = once.sats_per_year.unwrap() - 2 * twice.sats_per_year.unwrap();
        prop_assert!(off.abs() <= 1, "{}", off);
    }

    #[test]
    fn at_the_tariff_where_it_breaks_even_the_pay_is_the_cost(pay_mills in 1_u32..30_000, idle in 0_u32..100) {
        let question = Question {
            idle_watts: Some(idle.into()),
            pay: Some(Pay::UsdPerHour(Usd(Decimal::new(pay_mills.into(), 3)))),
            ..of("rtx3080-system")
        };
        let machine = ask_embedded(&question).unwrap().machines.remove(0);
        match machine.full_breaks_even.unwrap() {
            Threshold::Below(tariff) => {
                let again = Question { tariff: Tariff::UsdPerKwh(tariff), ..question };
                let cost = ask_embedded(&again).unwrap().machines.remove(0).full.unwrap().usd_per_hour;
                let pay = Usd(Decimal::new(pay_mills.into(), 3));
                prop_assert_eq!(cost.rounded(9), pay.rounded(9));
            }
            Threshold::Never => prop_assert!(machine.wear.unwrap().0 > Decimal::new(pay_mills.into(), 3)),
        }
    }

    #[test]
    fn no_number_makes_it_panic(numbers in array::uniform8(option::of(wild::number()))) {
        let [watts, idle_watts, price, residual, life_years, utilization, pay, tariff] = numbers;
        let question = Question {
            hardware: Vec::new(),
            tariff: tariff.map_or_else(Tariff::default, |usd| Tariff::UsdPerKwh(Usd(usd))),
            watts,
            idle_watts,
            price_usd: price.map(Usd),
            residual: residual.map(Residual::Share),
            life_years,
            utilization,
            bitcoin: life_years.and_then(at),
            pay: pay.map(Pay::SatsPerHour),
        };
        if let Ok(answer) = ask_embedded(&question) {
            prop_assert!(!drawn(&answer).is_empty());
        }
    }
}
