//! Numbers that break things.

use crate::{
    breakeven, catalogue::Catalogue, compare, miner, money::Usd, question::QuestionError, rates,
    rent_or_mine, swarm,
};
use proptest::{collection, prelude::*};
use rust_decimal::{Decimal, dec};
use std::sync::LazyLock;

/// The catalogue that comes with the program, read once.
pub(crate) static EMBEDDED: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::embedded().unwrap());

/// Ends of the accepted ranges, numbers beyond them, numbers with all the digits there are, and any other.
pub(crate) fn number() -> impl Strategy<Value = Decimal> {
    let ends = [
        Decimal::MIN,
        Decimal::NEGATIVE_ONE,
        Decimal::ZERO,
        dec!(0.0000000000000000000000000001),
        dec!(0.0001),
        dec!(0.001),
        dec!(0.3333333333333333333333333333),
        Decimal::ONE,
        dec!(100),
        dec!(10_000_000),
        dec!(1_000_000_000),
        dec!(1_000_000_000_000),
        Decimal::MAX,
    ];
    let any = (any::<i64>(), 0..=28_u32).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale));
    prop_oneof![4 => prop::sample::select(ends.to_vec()), 1 => any]
}

/// The embedded catalogue with other numbers in it, as a file of somebody might have them.
fn catalogue() -> impl Strategy<Value = Catalogue> {
    collection::vec(prop_oneof![40 => Just(None), 1 => number().prop_map(Some)], 97).prop_map(|numbers| {
        let mut catalogue = EMBEDDED.clone();
        let mut numbers = numbers.into_iter().cycle();
        let mut change = |value: &mut Decimal| {
            if let Some(Some(number)) = numbers.next() {
                *value = number;
            }
        };
        for row in &mut catalogue.hardware {
            [&mut row.train_watts, &mut row.train_watts_high, &mut row.price_usd.0]
                .into_iter()
                .for_each(&mut change);
        }
        for row in &mut catalogue.cloud_prices {
            change(&mut row.gpu_usd_per_hour.0);
            change(&mut row.node_usd_per_hour.get_or_insert(Usd::ZERO).0);
        }
        for row in &mut catalogue.market_prices {
            [&mut row.usd_low.0, row.fee_rate.get_or_insert(Decimal::ZERO)].into_iter().for_each(&mut change);
        }
        for row in &mut catalogue.mining {
            [&mut row.watts, &mut row.gross_usd_per_day.0].into_iter().for_each(&mut change);
        }
        for row in &mut catalogue.rentals {
            [&mut row.watts, &mut row.gross_usd_per_day.0, &mut row.utilization]
                .into_iter()
                .for_each(&mut change);
        }
        catalogue.tariffs.iter_mut().for_each(|row| change(&mut row.usd_per_kwh.0));
        catalogue.idle_power.iter_mut().for_each(|row| change(&mut row.idle_watts));
        catalogue.networks.iter_mut().for_each(|row| change(&mut row.value));
        catalogue.assumptions.iter_mut().for_each(|row| change(&mut row.value));
        for row in &mut catalogue.claims {
            let mut figure = Decimal::ZERO;
            change(&mut figure);
            if !figure.is_zero() {
                row.figure = figure.to_string();
            }
        }
        catalogue
    })
}

fn is_drawn(answer: Result<impl crate::answer::Answer, QuestionError>) -> bool {
    answer.is_ok_and(|answer| !crate::drawn::drawn(&answer).is_empty())
}

proptest! {
    #[test]
    fn no_catalogue_makes_a_question_panic(catalogue in catalogue()) {
        is_drawn(breakeven::ask(&breakeven::Question::default(), &catalogue));
        is_drawn(rates::ask(&rates::Question::default(), &catalogue));
        is_drawn(compare::ask(&compare::Question::new("A100", 3, dec!(7)), &catalogue));
        is_drawn(rent_or_mine::ask(&rent_or_mine::Question::default(), &catalogue));
        is_drawn(miner::ask(&miner::Question::default(), &catalogue));
        is_drawn(swarm::ask(&swarm::Question::new(3, dec!(7)), &catalogue));
    }
}
