use super::*;
use crate::{drawn::drawn, wild};
use proptest::{array, collection, option, prelude::*};

fn ask_embedded(question: &Question) -> Result<Mined, QuestionError> {
    ask(question, &wild::EMBEDDED)
}

#[test]
fn a_miner_of_the_catalogues_network_is_reckoned_with() {
    insta::assert_snapshot!(drawn(&ask_embedded(&Question::default()).unwrap()), @r"
    A miner of Bittensor at $215 a token

    [emission] Who gets the tokens of a day
    who                    | tokens/day | $/day
    the network            | 3600.0000  | $774000.00
    a subnet               | 27.9070    | $6000.00
    its miners             | 11.4419    | $2460.00
    its validators         | 11.4419    | $2460.00
    its owner              | 5.0233     | $1080.00
    a slot, average of 256 | 0.0447     | $9.61
    the first slot         | 1.8683     | $401.68
    the median slot        | 0.0145     | $3.13

    [costs] What is left of a day
    machine     | cost $/day | average net $ | first net $ | median net $ | average pays above $/token | median pays above $/token | slots that pay
    own, low    | $5.00      | $4.61         | $396.68     | -$1.87       | $111.87                    | $343.90                   | 80
    own, high   | $15.00     | -$5.39        | $386.68     | -$11.87      | $335.61                    | $1031.69                  | 26
    cloud, low  | $50.00     | -$40.39       | $351.68     | -$46.87      | $1118.70                   | $3438.98                  | 8
    cloud, high | $200.00    | -$190.39      | $201.68     | -$196.87     | $4474.80                   | $13755.92                 | 2

    [ranks] What a rank gets
    rank | of all miners get | tokens/day | $/day
    1    | 16.33 %           | 1.8683     | $401.68
    2    | 8.16 %            | 0.9341     | $200.84
    5    | 3.27 %            | 0.3737     | $80.34
    25   | 0.65 %            | 0.0747     | $16.07
    64   | 0.26 %            | 0.0292     | $6.28
    128  | 0.13 %            | 0.0146     | $3.14
    256  | 0.06 %            | 0.0073     | $1.57

    [falling] As the token falls
    $/token | average $/day | first $/day | median $/day | pay at own, low | own, high | cloud, low | cloud, high
    $215.00 | $9.61         | $401.68     | $3.13        | 80              | 26        | 8          | 2
    $161.25 | $7.21         | $301.26     | $2.34        | 60              | 20        | 6          | 1
    $107.50 | $4.80         | $200.84     | $1.56        | 40              | 13        | 4          | 1
    $53.75  | $2.40         | $100.42     | $0.78        | 20              | 6         | 2          | 0
    $21.50  | $0.96         | $40.17      | $0.31        | 8               | 2         | 0          | 0

    * All subnets are taken to get the same; in fact a few get most of it. Give the share of yours.
    * The slot of rank r gets r^−1 ÷ Σ k^−1 of what miners get. The exponent is an assumption, not a measurement.
    * Not counted: 0.1-10 tokens to register, burned, and 100 tokens of stake to compete ($21500.00 now), as sources claim.
    * Costs are those of a day of a machine that can compete, as sources claim; what a subnet asks for differs.
    ");
}

#[test]
fn the_split_of_a_day_is_what_it_is_by_hand() {
    let mined = ask_embedded(&Question::default()).unwrap();
    // 7200 blocks of half a token, 129 subnets, 41 % for 256 miners
    assert_eq!(mined.emission.total, dec!(3600));
    assert_eq!(mined.emission.subnet.round_dp(3), dec!(27.907));
    assert_eq!(mined.tokens.average.round_dp(5), dec!(0.04469));
    let parts = mined.emission.miners + mined.emission.validators + mined.emission.owner;
    assert_eq!(parts.round_dp(12), mined.emission.subnet.round_dp(12));
}

#[test]
fn without_skew_all_slots_are_average() {
    let mined = ask_embedded(&Question { exponent: dec!(0), ..Question::default() }).unwrap();
    assert_eq!(mined.tokens.top.round_dp(9), mined.tokens.average.round_dp(9));
    assert_eq!(mined.tokens.median.round_dp(9), mined.tokens.average.round_dp(9));
}

#[test]
fn with_an_exponent_of_one_the_first_gets_twice_what_the_second_gets() {
    let mined = ask_embedded(&Question { slots: Some(3), ..Question::default() }).unwrap();
    let of = |rank: usize| mined.ranks[rank - 1];
    let first = of(1).round_dp(8);
    assert_eq!((of(2) * dec!(2)).round_dp(8), first);
    assert_eq!((of(3) * dec!(3)).round_dp(8), first);
    assert_eq!(mined.tokens.median, of(2));
}

#[test]
fn at_the_price_where_the_median_breaks_even_half_the_slots_pay() {
    let odd = Question { slots: Some(255), ..Question::default() };
    let cost = ask_embedded(&odd).unwrap().costs[0].clone();
    // A hair above, since the price is the end of a division.
    let price = cost.median_breaks_even_usd.unwrap().0 + dec!(0.000001);
    let mined = ask_embedded(&Question { token_usd: Some(price), ..odd }).unwrap();
    assert_eq!(mined.costs[0].paying_slots, 128);
}

#[test]
fn bad_inputs_are_answered_with_what_is_accepted() {
    let questions = [
        Question { token_usd: Some(dec!(-1)), ..Question::default() },
        Question { slots: Some(0), ..Question::default() },
        Question { exponent: dec!(-1), ..Question::default() },
        Question { subnet_share: Some(dec!(1.5)), ..Question::default() },
        Question { network: "Bittensr".to_owned(), ..Question::default() },
        Question { own_usd_per_day: Some((Usd(dec!(-5)), Usd(dec!(15)))), ..Question::default() },
    ];
    let texts = questions.map(|question| ask_embedded(&question).unwrap_err().to_string());
    insta::assert_snapshot!(texts.join("\n"), @r"
    the price of the token is -1; it has to be from 0 to 1000000 $
    the number of miners is 0; it has to be from 1 to 100000
    the exponent of the rewards is -1; it has to be from 0 (even) to 10
    the share of the subnet is 1.5; it has to be from 0 to 1 (a fraction: 0.15 is 15 %)
    the catalogue has no network figure `Bittensr token_price`; did you mean `Bittensor token_price`?
    the cost is -5; it has to be from 0 to 10000000 $/day
    ");
}

#[test]
fn an_impossible_block_time_is_answered_in_seconds() {
    let mut catalogue = Catalogue::embedded().unwrap();
    for row in catalogue.networks.iter_mut().filter(|row| row.key == "block_time") {
        row.value = Decimal::ZERO;
    }
    let error = ask(&Question::default(), &catalogue).unwrap_err().to_string();
    assert_eq!(error, "the block time is 0; it has to be from 0.001 to 86400 s");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn ranks_fall_and_share_out_all_that_miners_get(slots in 1_u32..2000, tenths in 0_u32..40) {
        let exponent = Decimal::new(tenths.into(), 1);
        let mined = ask_embedded(&Question { slots: Some(slots), exponent, ..Question::default() }).unwrap();
        prop_assert!(mined.ranks.is_sorted_by(|a, b| a >= b));
        let sum: Decimal = mined.ranks.iter().sum();
        prop_assert_eq!(sum.round_dp(6), mined.emission.miners.round_dp(6));
    }

    #[test]
    fn a_lower_price_pays_no_more_slots(price in 1_u32..1000, less in 1_u32..1000) {
        let prices_usd = vec![Decimal::from(price), Decimal::from(price + less)];
        let mined = ask_embedded(&Question { prices_usd, ..Question::default() }).unwrap();
        for (high, low) in mined.falling[0].paying_slots.iter().zip(&mined.falling[1].paying_slots) {
            prop_assert!(high >= low);
        }
    }

    #[test]
    fn no_number_makes_it_panic(
        numbers in array::uniform4(option::of(wild::number())),
        prices_usd in collection::vec(wild::number(), 0..2),
        slots in option::of(0_u32..3000),
        exponent in wild::number(),
    ) {
        let [token_usd, emission_per_day, subnet_share, cost] = numbers;
        let cost = cost.map(|cost| (Usd(cost), Usd(cost)));
        let question = Question {
            token_usd,
            prices_usd,
            emission_per_day,
            subnet_share,
            slots,
            exponent,
            cloud_usd_per_day: cost,
            ..Question::default()
        };
        if let Ok(answer) = ask_embedded(&question) {
            prop_assert!(!drawn(&answer).is_empty());
        }
    }
}
