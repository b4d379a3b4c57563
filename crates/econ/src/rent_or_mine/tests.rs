use super::*;
use crate::{drawn::drawn, wild};
use proptest::{array, option, prelude::*};

fn ask_embedded(question: &Question) -> Result<RentOrMine, QuestionError> {
    ask(question, &wild::EMBEDDED)
}

#[test]
fn the_worked_example_holds_to_the_cent() {
    let examples: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/worked-examples.json")).unwrap();
    let example = &examples["rental_at_0.13"][0];
    let answer = ask_embedded(&Question::default()).unwrap();
    let is_it = |net: &&Net| example["network"] == net.path.as_str() && net.usd_per_kwh == Usd(dec!(0.13));
    let net = answer.nets.iter().find(is_it).unwrap();
    let cents = |usd: Usd| usd.rounded(2).0.to_string().parse::<f64>().unwrap();
    assert_eq!(cents(net.power_usd_per_day), example["power_usd_per_day"]);
    assert_eq!(cents(net.net_usd_per_day), example["net_usd_per_day"]);
}

#[test]
fn mining_and_renting_stand_side_by_side() {
    insta::assert_snapshot!(drawn(&ask_embedded(&Question::default()).unwrap()), @r"
    The same card, mining or rented out

    [paths] What can be done, and the tariff at which it turns negative
    path                 | how    | hardware                     | W    | busy  | gross $/day | pays below $/kWh
    Kaspa                | mined  | RTX 4090 (600 W at the wall) | 600  | 100 % | $1.05       | $0.073
    Ergo                 | mined  | RTX 4090 (600 W at the wall) | 600  | 100 % | $0.82       | $0.057
    Bitcoin              | mined  | Antminer S21 Pro (234 TH/s)  | 3531 | 100 % | $7.21       | $0.085
    Bitcoin by hashprice | mined  | Antminer S21 Pro (234 TH/s)  | 3531 | 100 % | $7.25       | $0.086
    Render               | rented | RTX 4090 (600 W at the wall) | 600  | 65 %  | $2.20       | $0.235
    Akash                | rented | RTX 4090 (600 W at the wall) | 600  | 80 %  | $3.60       | $0.313
    io.net               | rented | RTX 4090 (600 W at the wall) | 600  | 88 %  | $5.40       | $0.426

    [nets] What a card leaves
    owner          | $/kWh | path                 | gross $/day | power $/day | net $/day | net $/month | paid back, years | to
    home, one card | $0.13 | Kaspa                | $1.05       | $1.87       | -$0.82    | -$24.66     | never            |
    home, one card | $0.13 | Ergo                 | $0.82       | $1.87       | -$1.05    | -$31.56     | never            |
    home, one card | $0.13 | Bitcoin              | $7.21       | $11.02      | -$3.81    | -$114.20    | never            |
    home, one card | $0.13 | Bitcoin by hashprice | $7.25       | $11.02      | -$3.76    | -$112.88    | never            |
    home, one card | $0.13 | Render               | $2.20       | $1.22       | $0.98     | $29.50      | 5.6              | 7.0
    home, one card | $0.13 | Akash                | $3.60       | $1.50       | $2.10     | $63.07      | 2.6              | 3.3
    home, one card | $0.13 | io.net               | $5.40       | $1.65       | $3.75     | $112.58     | 1.5              | 1.8
    10 cards       | $0.06 | Kaspa                | $1.05       | $0.86       | $0.19     | $5.58       | 29.5             | 36.8
    10 cards       | $0.06 | Ergo                 | $0.82       | $0.86       | -$0.04    | -$1.32      | never            |
    10 cards       | $0.06 | Bitcoin              | $7.21       | $5.08       | $2.13     | $63.76      | price not known  |
    10 cards       | $0.06 | Bitcoin by hashprice | $7.25       | $5.08       | $2.17     | $65.08      | price not known  |
    10 cards       | $0.06 | Render               | $2.20       | $0.56       | $1.64     | $49.15      | 3.8              | 5.0
    10 cards       | $0.06 | Akash                | $3.60       | $0.69       | $2.91     | $87.26      | 2.2              | 2.8
    10 cards       | $0.06 | io.net               | $5.40       | $0.76       | $4.64     | $139.19     | 1.4              | 1.8
    10 cards       | $0.08 | Kaspa                | $1.05       | $1.15       | -$0.10    | -$3.06      | never            |
    10 cards       | $0.08 | Ergo                 | $0.82       | $1.15       | -$0.33    | -$9.96      | never            |
    10 cards       | $0.08 | Bitcoin              | $7.21       | $6.78       | $0.43     | $12.91      | price not known  |
    10 cards       | $0.08 | Bitcoin by hashprice | $7.25       | $6.78       | $0.47     | $14.23      | price not known  |
    10 cards       | $0.08 | Render               | $2.20       | $0.75       | $1.45     | $43.54      | 4.3              | 5.7
    10 cards       | $0.08 | Akash                | $3.60       | $0.92       | $2.68     | $80.35      | 2.4              | 3.1
    10 cards       | $0.08 | io.net               | $5.40       | $1.01       | $4.39     | $131.59     | 1.4              | 1.9
    data center    | $0.04 | Kaspa                | $1.05       | $0.58       | $0.47     | $14.22      | 11.6             | 14.5
    data center    | $0.04 | Ergo                 | $0.82       | $0.58       | $0.24     | $7.32       | 22.5             | 28.1
    data center    | $0.04 | Bitcoin              | $7.21       | $3.39       | $3.82     | $114.61     | price not known  |
    data center    | $0.04 | Bitcoin by hashprice | $7.25       | $3.39       | $3.86     | $115.93     | price not known  |
    data center    | $0.04 | Render               | $2.20       | $0.37       | $1.83     | $54.77      | 3.0              | 3.8
    data center    | $0.04 | Akash                | $3.60       | $0.46       | $3.14     | $94.18      | 1.7              | 2.2
    data center    | $0.04 | io.net               | $5.40       | $0.51       | $4.89     | $146.79     | 1.1              | 1.4

    [moves] Moving many cards from mining to renting
    owner    | $/kWh | from  | to     | more for each $/day | move paid back, days | to
    10 cards | $0.06 | Kaspa | Render | $1.45               | 207                  | 344
    10 cards | $0.06 | Kaspa | Akash  | $2.72               | 110                  | 184
    10 cards | $0.06 | Kaspa | io.net | $4.45               | 67                   | 112
    10 cards | $0.08 | Kaspa | Render | $1.55               | 193                  | 322
    10 cards | $0.08 | Kaspa | Akash  | $2.78               | 108                  | 180
    10 cards | $0.08 | Kaspa | io.net | $4.49               | 67                   | 111

    * A day leaves gross − watts ÷ 1000 × 24 × busy × tariff. What mines is always busy; rented cards were as busy as measured.
    * The rentals are one card in one week; sources do not say whether their gross is after the network's fee.
    * Paid back: the price of the hardware, and for cards that were moved from mining their part of the move, ÷ what a day leaves. Two prices where sources differ.
    * What a card draws between rentals is not known and not counted.
    * By block reward and hash rate alone a TH/s earns $0.0315 a day.
    ");
}

#[test]
fn a_price_for_the_miner_gives_its_payback() {
    let question =
        Question { asic_usd: Some(Usd(dec!(3500))), hashprice_usd: Some(dec!(0.05)), ..Question::default() };
    let answer = ask_embedded(&question).unwrap();
    let is_it = |net: &&Net| net.path == "Bitcoin by hashprice" && net.owner == "data center";
    let net = answer.nets.iter().find(is_it).unwrap();
    // 234 TH/s · 0.05 − 3.531 kW · 24 h · 0.04
    assert_eq!(net.net_usd_per_day, Usd(dec!(8.31024)));
    let days = dec!(3500) / dec!(8.31024);
    assert_eq!(net.payback, Payback::Days(days, days));
}

#[test]
fn idle_hours_cost_what_the_card_draws_in_them() {
    let with = |idle_watts| {
        let answer = ask_embedded(&Question { idle_watts, ..Question::default() }).unwrap();
        answer.nets.into_iter().find(|net| net.path == "Render").unwrap().power_usd_per_day
    };
    // 35 % of a day at 100 W and 0.13 $/kWh
    assert_eq!(with(Some(dec!(100))) - with(None), Usd(dec!(0.1092)));
}

#[test]
fn a_hash_rate_is_read_from_a_name() {
    assert_eq!(terahashes("Antminer S21 Pro (234 TH/s)"), Some(dec!(234)));
    assert_eq!(terahashes("RTX 4090 (600 W at the wall)"), None);
    assert_eq!(terahashes("Antminer TH/s"), None);
}

#[test]
fn bad_inputs_are_answered_with_what_is_accepted() {
    let questions = [
        Question { cards: 9, ..Question::default() },
        Question { home_tariff: Tariff::UsdPerKwh(Usd(dec!(-0.1))), ..Question::default() },
        Question { home_tariff: Tariff::Region("Texsa".into()), ..Question::default() },
        Question { build_usd: Some(Usd(dec!(-1))), ..Question::default() },
        Question { hashprice_usd: Some(Decimal::MAX), ..Question::default() },
    ];
    let texts = questions.map(|question| ask_embedded(&question).unwrap_err().to_string());
    insta::assert_snapshot!(texts.join("\n"), @r"
    the number of cards is 9; it has to be from 10 to 10000000: the home owner with one card is shown anyway
    the tariff is -0.1; it has to be from 0 to 100 $/kWh
    the catalogue has no region `Texsa`; did you mean `Texas`?
    the price is -1; it has to be from 0 to 1000000000 $
    the hashprice is 79228162514264337593543950335; it has to be from 0 to 10000000 $/day
    ");
}

proptest! {
    #[test]
    fn nets_fall_with_the_tariff_and_add_up(low in 0_u32..5000, more in 1_u32..5000, idle in 0_u32..600) {
        let at = |mills: u32| {
            let home_tariff = Tariff::UsdPerKwh(Usd(Decimal::new(mills.into(), 4)));
            let question = Question { home_tariff, idle_watts: Some(idle.into()), ..Question::default() };
            ask_embedded(&question).unwrap()
        };
        let (cheap, dear) = (at(low), at(low + more));
        for (cheap, dear) in cheap.nets.iter().zip(&dear.nets).filter(|(net, _)| net.owner.starts_with("home")) {
            prop_assert!(cheap.net_usd_per_day > dear.net_usd_per_day);
            prop_assert_eq!(dear.net_usd_per_day + dear.power_usd_per_day, dear.gross_usd_per_day);
        }
    }

    #[test]
    fn at_the_tariff_where_a_path_turns_negative_it_leaves_nothing(idle in 0_u32..600) {
        let question = Question { idle_watts: Some(idle.into()), ..Question::default() };
        for (index, path) in ask_embedded(&question).unwrap().paths.iter().enumerate() {
            let Threshold::Below(tariff) = path.breaks_even else { panic!("{path:?}") };
            let again = Question { home_tariff: Tariff::UsdPerKwh(tariff), ..question.clone() };
            let net = ask_embedded(&again).unwrap().nets.swap_remove(index);
            prop_assert_eq!(net.net_usd_per_day.rounded(9), Usd::ZERO);
        }
    }

    #[test]
    fn no_number_makes_it_panic(numbers in array::uniform5(option::of(wild::number())), cards: u32) {
        let [tariff, build, asic, idle_watts, hashprice_usd] = numbers;
        let question = Question {
            home_tariff: tariff.map_or_else(Tariff::default, |usd| Tariff::UsdPerKwh(Usd(usd))),
            cards,
            build_usd: build.map(Usd),
            asic_usd: asic.map(Usd),
            idle_watts,
            hashprice_usd,
            bitcoin: None,
        };
        if let Ok(answer) = ask_embedded(&question) {
            prop_assert!(!drawn(&answer).is_empty());
        }
    }
}
