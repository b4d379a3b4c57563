//! What a buyer sees in the offer of an encrypted result before it pays for the key.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use market::{
    funding::{BLOCK_MS, EncryptedResult, Funding},
    id::{AttemptId, Digest, LeaseId, PaymentHash},
    key::SecretKey,
    order::{Needs, OrderKind, OrderTerms},
    resources::{Isolation, Resources},
    units::{Msat, Rate, TimeMs},
    verify::{Exit, TaskResult},
};
use node::{
    api::SaleView,
    buyer::sale_check::{BadSale, Expected, HOLD_BLOCKS_MAX, PAY_TIME_MIN_MS, check},
};
use pay::{
    InvoiceRequest, LightningNode, Network,
    dev::{DevNetwork, DevNode},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    task::{Context, Poll, Waker},
};

const NOW: TimeMs = TimeMs(1_750_000_000_000);
const KEY: Msat = Msat(98_000);
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

fn invoice(hash: u8, amount: Msat, hold_ms: u64) -> String {
    let request = InvoiceRequest { amount, description: "a key".into(), expires_in_ms: HOUR_MS };
    now(provider().create_hold_invoice(PaymentHash([hash; 32]), hold_ms, request)).unwrap().bolt11
}

fn venue() -> SecretKey {
    SecretKey::from_bytes([9; 32])
}

fn sale() -> SaleView {
    let (attempt, output) = (AttemptId(7), Digest([4; 32]));
    let parts = (PaymentHash([1; 32]), Digest([5; 32]), Digest([6; 32]));
    let machine = SecretKey::from_bytes([8; 32]);
    SaleView {
        lease: LeaseId(1),
        attempt,
        task: 0,
        result: TaskResult { exit: Exit::Code(0), output, fuel: 1 },
        is_verified: true,
        invoice_msat: KEY,
        deposit_msat: Msat(25_000),
        encrypted: EncryptedResult::sign(&machine, &venue().public(), attempt, output, parts),
        invoice: invoice(1, KEY, HOUR_MS),
        until_ms: Some(NOW.plus(600_000)),
        phase: "payable".into(),
        preimage: None,
    }
}

fn terms() -> OrderTerms {
    OrderTerms {
        kind: OrderKind::Ask,
        slots: 1,
        ceiling: Rate::per_task(Msat(100_000)),
        budget_msat: Msat(1_000_000),
        needs: Needs {
            resources: Resources { cpu_milli: 1_000, memory_mib: 64, ..Resources::default() },
            isolation: Isolation::Wasm,
            region: None,
            attributes: BTreeMap::new(),
            min_reputation_ppm: 0,
            min_bond_msat: KEY,
        },
        lease_max_ms: HOUR_MS,
        funding: Some(Funding::Decrypt { deposit_ppm: 250_000 }),
    }
}

fn expected() -> Expected {
    let (venue, network, taken) = (venue().public(), Network::Regtest, BTreeSet::new());
    Expected { terms: terms(), venue, network, now: NOW, left_msat: KEY, taken }
}

#[test]
fn a_result_that_is_vouched_for_signed_and_invoiced_is_paid_for() {
    assert_eq!(check(&sale(), &expected()), Ok(()));
}

#[test]
fn what_nobody_vouches_for_or_nobody_ordered_is_not_paid_for() {
    let alone = SaleView { is_verified: false, ..sale() };
    assert_eq!(check(&alone, &expected()), Err(BadSale::Unverified));
    let whole = Expected { terms: OrderTerms { funding: None, ..terms() }, ..expected() };
    assert_eq!(check(&sale(), &whole), Err(BadSale::NotOrdered));
}

#[test]
fn a_result_whose_digest_or_ciphertext_the_machine_has_not_signed_is_not_paid_for() {
    let mut other = sale();
    other.result.output = Digest([44; 32]);
    assert_eq!(check(&other, &expected()), Err(BadSale::Unsigned));
    let mut other = sale();
    other.encrypted.ciphertext = Digest([55; 32]);
    assert_eq!(check(&other, &expected()), Err(BadSale::Unsigned));
    let elsewhere = Expected { venue: SecretKey::from_bytes([10; 32]).public(), ..expected() };
    assert_eq!(check(&sale(), &elsewhere), Err(BadSale::Unsigned));
}

#[test]
fn the_invoice_is_on_the_signed_hash_over_the_price_and_soon_over() {
    let with = |invoice| check(&SaleView { invoice, ..sale() }, &expected());
    let signed = PaymentHash([1; 32]);
    assert_eq!(with(invoice(2, KEY, HOUR_MS)), Err(BadSale::Hash { found: PaymentHash([2; 32]), signed }));
    let found = Some(Msat(KEY.0 + 1));
    assert_eq!(with(invoice(1, Msat(KEY.0 + 1), HOUR_MS)), Err(BadSale::Amount { found, asked: KEY }));
    assert!(matches!(with("lnbcrt1".into()), Err(BadSale::Unreadable(_))));
    let blocks = HOLD_BLOCKS_MAX + 1;
    assert_eq!(with(invoice(1, KEY, blocks * BLOCK_MS)), Err(BadSale::TooLong { blocks }));
    assert_eq!(with(invoice(1, KEY, HOLD_BLOCKS_MAX * BLOCK_MS)), Ok(()));
    let real = Expected { network: Network::Bitcoin, ..expected() };
    assert!(matches!(check(&sale(), &real), Err(BadSale::Network { .. })));
    let late = Expected { now: NOW.plus(HOUR_MS), ..expected() };
    let open = SaleView { until_ms: Some(NOW.plus(2 * HOUR_MS)), ..sale() };
    assert_eq!(check(&open, &late), Err(BadSale::Expired));
}

#[test]
fn a_hash_opens_one_result() {
    let taken = BTreeSet::from([PaymentHash([1; 32])]);
    let before = Expected { taken, ..expected() };
    assert_eq!(check(&sale(), &before), Err(BadSale::HashTwice(PaymentHash([1; 32]))));
}

#[test]
fn nothing_is_paid_above_the_ceiling_above_what_is_left_or_too_late_to_show_the_key() {
    let dear = SaleView { invoice_msat: Msat(100_001), ..sale() };
    let most = Msat(100_000);
    assert_eq!(check(&dear, &expected()), Err(BadSale::TooDear { asked: Msat(100_001), most }));
    let left = Msat(KEY.0 - 1);
    let poorer = Expected { left_msat: left, ..expected() };
    assert_eq!(check(&sale(), &poorer), Err(BadSale::TooMuch { asked: KEY, left }));
    let soon = SaleView { until_ms: Some(NOW.plus(PAY_TIME_MIN_MS - 1)), ..sale() };
    assert_eq!(check(&soon, &expected()), Err(BadSale::TooLate));
    let over = SaleView { until_ms: None, ..sale() };
    assert_eq!(check(&over, &expected()), Err(BadSale::TooLate));
}
