//! What a buyer sees in the invoices of a hold before it pays any of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use market::{
    funding::{BLOCK_MS, Funding, HOLD_BLOCKS_MAX},
    id::{LeaseId, PaymentHash},
    units::{Msat, TimeMs},
};
use node::{
    api::HoldView,
    buyer::hold_check::{BadHold, Expected, Flaw, MARGIN_BLOCKS, check},
};
use pay::{
    InvoiceRequest, LightningNode, Network,
    dev::{DevNetwork, DevNode},
};
use std::{
    collections::BTreeSet,
    pin::pin,
    task::{Context, Poll, Waker},
};

const NOW: TimeMs = TimeMs(1_750_000_000_000);
const SLICE: Msat = Msat(100_000_000);
const HOUR_MS: u64 = 3_600_000;

/// A dev network never makes its caller wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a dev node made its caller wait"),
    }
}

fn provider() -> DevNode {
    DevNetwork::new([3; 32], || NOW).node("provider")
}

fn invoice(node: &DevNode, hash: u8, amount: Msat, hold_ms: u64, expires_in_ms: u64) -> String {
    let request = InvoiceRequest { amount, description: "a slice".into(), expires_in_ms };
    now(node.create_hold_invoice(PaymentHash([hash; 32]), hold_ms, request)).unwrap().bolt11
}

fn hold(invoices: Vec<String>, hashes: &[u8]) -> HoldView {
    HoldView {
        lease: LeaseId(1),
        slice_msat: SLICE,
        payment_hashes: hashes.iter().map(|hash| PaymentHash([*hash; 32])).collect(),
        invoices,
        until_ms: NOW.plus(2 * HOUR_MS),
        phase: "invoiced".into(),
        released: 0,
    }
}

fn expected() -> Expected {
    Expected {
        funding: Some(Funding::Hold { slice_msat: SLICE, slices: 2 }),
        network: Some(Network::Regtest),
        now: NOW,
        left_msat: Msat(2 * SLICE.0),
        taken: BTreeSet::new(),
    }
}

fn good() -> HoldView {
    let node = provider();
    hold([1, 2].map(|hash| invoice(&node, hash, SLICE, 2 * HOUR_MS, HOUR_MS)).into(), &[1, 2])
}

/// A hold whose second invoice is another.
fn with_second(second: String) -> HoldView {
    let mut hold = good();
    hold.invoices[1] = second;
    hold
}

fn flaw(hold: &HoldView, expected: &Expected) -> Flaw {
    match check(hold, expected) {
        Err(BadHold::Invoice { nth: 1, flaw }) => flaw,
        other => panic!("{other:?}"),
    }
}

#[test]
fn invoices_that_are_what_was_ordered_are_paid() {
    assert_eq!(check(&good(), &expected()), Ok(()));
    assert_eq!(check(&good(), &Expected { network: None, ..expected() }), Ok(()));
}

#[test]
fn one_wrong_invoice_is_enough_to_pay_none() {
    let node = provider();
    let other = invoice(&node, 9, SLICE, 2 * HOUR_MS, HOUR_MS);
    let dealt = PaymentHash([2; 32]);
    assert_eq!(flaw(&with_second(other), &expected()), Flaw::Hash { found: PaymentHash([9; 32]), dealt });
    let dear = invoice(&node, 2, Msat(SLICE.0 + 1), 2 * HOUR_MS, HOUR_MS);
    let found = Some(Msat(SLICE.0 + 1));
    assert_eq!(flaw(&with_second(dear), &expected()), Flaw::Amount { found, slice_msat: SLICE });
    assert!(matches!(flaw(&with_second("lnbcrt1".into()), &expected()), Flaw::Unreadable(_)));
    let late = Expected { now: NOW.plus(HOUR_MS), ..expected() };
    assert!(matches!(check(&good(), &late), Err(BadHold::Invoice { nth: 0, flaw: Flaw::Expired })));
    let real = Expected { network: Some(Network::Bitcoin), ..expected() };
    assert!(matches!(check(&good(), &real), Err(BadHold::Invoice { nth: 0, flaw: Flaw::Network { .. } })));
}

#[test]
fn a_payment_is_not_locked_for_longer_than_the_lease_needs_and_a_margin() {
    let longest = 12 + MARGIN_BLOCKS;
    let for_blocks = |blocks: u64| with_second(invoice(&provider(), 2, SLICE, blocks * BLOCK_MS, HOUR_MS));
    assert_eq!(check(&for_blocks(longest), &expected()), Ok(()));
    let too_long = Flaw::TooLong { blocks: longest + 1, most: longest };
    assert_eq!(flaw(&for_blocks(longest + 1), &expected()), too_long);
    // However long the market says that the lease needs.
    let mut hold = for_blocks(HOLD_BLOCKS_MAX);
    hold.until_ms = NOW.plus(2 * HOLD_BLOCKS_MAX * BLOCK_MS);
    assert_eq!(check(&hold, &expected()), Ok(()));
}

#[test]
fn a_hash_pays_for_one_slice_of_one_lease() {
    let node = provider();
    let same = invoice(&node, 1, SLICE, 2 * HOUR_MS, HOUR_MS);
    let twice = hold(vec![same.clone(), same], &[1, 1]);
    assert_eq!(flaw(&twice, &expected()), Flaw::HashTwice(PaymentHash([1; 32])));
    let taken = BTreeSet::from([PaymentHash([2; 32])]);
    let before = Expected { taken, ..expected() };
    assert_eq!(flaw(&good(), &before), Flaw::HashTwice(PaymentHash([2; 32])));
}

#[test]
fn the_number_and_the_total_are_what_the_buyer_allowed() {
    let mut one = good();
    one.payment_hashes.pop();
    assert!(matches!(check(&one, &expected()), Err(BadHold::NotOrdered { found: 1, .. })));
    let session = Expected { funding: Some(Funding::Session { prepay_msat: SLICE }), ..expected() };
    assert!(matches!(check(&good(), &session), Err(BadHold::NotOrdered { .. })));
    let mut fewer = good();
    fewer.invoices.pop();
    assert_eq!(check(&fewer, &expected()), Err(BadHold::Count { invoices: 1, hashes: 2 }));
    let left_msat = Msat(2 * SLICE.0 - 1);
    let poorer = Expected { left_msat, ..expected() };
    let total_msat = Msat(2 * SLICE.0);
    assert_eq!(check(&good(), &poorer), Err(BadHold::TooMuch { total_msat, left_msat }));
}
