//! The peer: a limit order book with 100,000 resting orders. Posting an offer is adding a limit order, withdrawing it
//! is cancelling, changing it is repricing, and placing an order that matches is a market order for one unit. What a
//! lease goes through afterwards has no counterpart in an order book.

use super::scene::{Kind, OFFERS};
use crate::cpu::cpu_time;
use anyhow::Context;
use orderbook_rs::prelude::{Id, OrderBook, Side, TimeInForce};
use pricelevel::{OrderUpdate, Price};
use report::samples::Samples;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Prices of resting orders, in ticks; the same spread as the offers have.
const PRICES: std::ops::Range<u64> = 1_000..100_000;

/// Something to do with the book.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    Add { id: u64, price: u64 },
    Cancel { id: u64 },
    Reprice { id: u64, price: u64 },
    Take { id: u64 },
}

/// Orders in the proportions in which offers and orders come in ours. The book stays as deep as it is: what is taken
/// is added again.
pub(crate) fn record(orders: usize) -> (Vec<Order>, Vec<Order>) {
    let mut random = fastrand::Rng::with_seed(7);
    let mut next = 0;
    let mut fresh = || {
        next += 1;
        next
    };
    let mut resting: Vec<u64> = Vec::new();
    let mut prepared = Vec::new();
    for _ in 0..OFFERS {
        let id = fresh();
        resting.push(id);
        prepared.push(Order::Add { id, price: random.u64(PRICES) });
    }
    let order = |_| match random.u32(0..13) {
        0..4 => {
            let id = fresh();
            resting.push(id);
            Order::Add { id, price: random.u64(PRICES) }
        }
        4..8 => Order::Cancel { id: resting.swap_remove(random.usize(0..resting.len())) },
        8..12 => Order::Reprice { id: resting[random.usize(0..resting.len())], price: random.u64(PRICES) },
        _ => Order::Take { id: fresh() },
    };
    let recorded = (0..orders).map(order).collect();
    (prepared, recorded)
}

fn book(prepared: &[Order]) -> anyhow::Result<OrderBook> {
    let book = OrderBook::new("offers");
    prepared.iter().try_for_each(|order| apply(&book, *order))?;
    Ok(book)
}

/// An order that was taken before it was cancelled or repriced is not there any more; that is no error here.
fn apply(book: &OrderBook, order: Order) -> anyhow::Result<()> {
    let sell = |id, price: u64| {
        book.add_limit_order(Id::from_u64(id), price.into(), 1, Side::Sell, TimeInForce::Gtc, None)
    };
    match order {
        Order::Add { id, price } => drop(sell(id, price).context("adding")?),
        Order::Cancel { id } => drop(book.cancel_order(Id::from_u64(id)).context("cancelling")?),
        Order::Reprice { id, price } => {
            let update =
                OrderUpdate::UpdatePrice { order_id: Id::from_u64(id), new_price: Price::new(price.into()) };
            drop(book.update_order(update).context("repricing")?);
        }
        Order::Take { id } => {
            drop(book.submit_market_order(Id::from_u64(id), 1, Side::Buy).context("taking")?);
        }
    }
    Ok(())
}

/// How long all orders take.
pub(crate) fn total((prepared, orders): &(Vec<Order>, Vec<Order>)) -> anyhow::Result<Duration> {
    let book = book(prepared)?;
    let started = cpu_time();
    orders.iter().try_for_each(|order| apply(&book, *order))?;
    Ok(cpu_time() - started)
}

/// How long each order takes.
pub(crate) fn each(
    (prepared, orders): &(Vec<Order>, Vec<Order>),
    spans: &mut BTreeMap<Kind, Samples>,
) -> anyhow::Result<()> {
    let book = book(prepared)?;
    for order in orders {
        let kind = match order {
            Order::Add { .. } => Kind::Post,
            Order::Cancel { .. } => Kind::Withdraw,
            Order::Reprice { .. } => Kind::Change,
            Order::Take { .. } => Kind::Place,
        };
        let started = Instant::now();
        apply(&book, *order)?;
        spans.entry(kind).or_default().push(started.elapsed());
    }
    Ok(())
}
