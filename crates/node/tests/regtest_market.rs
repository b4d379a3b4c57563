//! Real Lightning nodes around a market: money in, money out, and holds from a buyer to a provider. `scripts/regtest`
//! runs this; without a bitcoind it says that nothing was tested.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../../pay/tests/regtest/chain.rs"]
mod chain;
#[path = "../../pay/tests/regtest/nodes.rs"]
mod nodes;
mod support;

use chain::{Chain, free_port};
use market::{
    command::Command,
    event::{Event, JobOutcome},
    funding::{Funding, HoldTerms},
    job::Verification,
    order::OrderTerms,
    units::{Msat, Rate},
};
use node::{
    buyer::{Buyer, PreparedJob},
    http::Payments,
};
use nodes::{fund, open, options, until};
use pay::{InvoiceRequest, InvoiceState, LightningNode, PayRequest, PaymentState, ldk::LdkNode};
use std::{path::Path, sync::Arc};
use support::{
    OpenMarket, event, invoice, job,
    machine::{Machine, offers_stand, policy},
    party, received,
};

/// The side that accepted a channel takes a tenth of its size in flight.
const TOP_UP: Msat = Msat(150_000_000);
const WITHDRAWN: Msat = Msat(120_000_000);
/// Nobody lies between the two.
const NO_FEE: Msat = Msat::ZERO;
const SLICE: Msat = Msat(2_000_000);
const PRICE: Msat = Msat(500_000);

/// Two nodes with money on chain and a channel that the first opened.
async fn pair(chain: &Chain, root: &Path, push: Msat) -> (LdkNode, LdkNode) {
    let mut config = options(chain, &root.join("payee"));
    let port = free_port();
    config.listen = vec![([127, 0, 0, 1], port).into()];
    let payee = LdkNode::open(config).await.unwrap();
    let payer = LdkNode::open(options(chain, &root.join("payer"))).await.unwrap();
    fund(chain, &[&payee, &payer]).await;
    let address = format!("{}@127.0.0.1:{port}", payee.info().await.unwrap().id);
    open(chain, &payer, &payee, &address, push, false).await;
    (payer, payee)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyers_own_node_tops_up_and_is_paid_out() {
    let Some(chain) = Chain::start() else { return };
    let root = tempfile::tempdir().unwrap();
    // The market's side of the channel has to hold the reserve before anything can be paid out.
    let (buyer, behind) = pair(&chain, root.path(), Msat(100_000_000)).await;
    let had = buyer.balance().await.unwrap().spendable;

    let payments = Payments::Node(Arc::new(behind.clone()));
    let market = OpenMarket::with(|config| config.payments = payments).await;
    let alice = party(&market.market, 1).await;
    let bolt11 = invoice(&market.market, &alice, TOP_UP).await;
    let sent = buyer.pay(PayRequest { bolt11, amount: TOP_UP, max_fee: NO_FEE }).await.unwrap();
    assert!(matches!(sent, PaymentState::InFlight | PaymentState::Succeeded { .. }), "{sent:?}");
    received(&market.market, &alice, TOP_UP).await;
    assert_eq!(market.market.account(&alice).await.unwrap().available_msat, TOP_UP);

    let request = InvoiceRequest { amount: WITHDRAWN, description: "pay".into(), expires_in_ms: 600_000 };
    let made = buyer.create_invoice(request).await.unwrap();
    let command = Command::Withdraw {
        bolt11: made.bolt11,
        payment_hash: made.payment_hash,
        amount_msat: WITHDRAWN,
        max_fee_msat: Msat(1_000_000),
    };
    market.market.submit(&alice, command).await.unwrap();
    let fee = event(&market.market, &alice, |event| match event {
        Event::WithdrawalSent { fee_msat, .. } => Some(fee_msat),
        _ => None,
    });
    assert_eq!(fee.await, NO_FEE);
    let state = buyer.invoice(made.payment_hash).await.unwrap();
    assert!(matches!(state, Some(InvoiceState::Paid { .. })), "{state:?}");

    // The books and the channel agree to the millisatoshi.
    let rest = Msat(TOP_UP.0 - WITHDRAWN.0);
    assert_eq!(market.market.account(&alice).await.unwrap().available_msat, rest);
    until("the channel has it", async || buyer.balance().await.unwrap().spendable.0 == had.0 - rest.0).await;
    let info = market.market.info().await.unwrap();
    assert!(info.liabilities_msat <= info.node_balance_msat, "{info:?}");
    market.close().await;
    buyer.stop().await.unwrap();
    behind.stop().await.unwrap();
}

/// Nine tasks at 500 sat, paid by four slices of 2,000.
fn held_job(folder: &Path) -> PreparedJob {
    let plain = job(folder, 9, Verification::None);
    let terms = OrderTerms {
        slots: 1,
        ceiling: Rate::per_task(PRICE),
        budget_msat: Msat(20_000_000),
        funding: Some(Funding::Hold { slice_msat: SLICE, slices: 4 }),
        ..plain.terms
    };
    PreparedJob { terms, holds_max_msat: Msat(4 * SLICE.0), ..plain }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_earned_of_a_hold_moves_over_the_channel_and_the_rest_comes_back() {
    let Some(chain) = Chain::start() else { return };
    let root = tempfile::tempdir().unwrap();
    let (buyers, providers) = pair(&chain, root.path(), Msat::ZERO).await;
    let had = buyers.balance().await.unwrap().spendable;

    let open = OpenMarket::new().await;
    let machine = Machine::new(&open.market, 2).await;
    let mut policy = policy(PRICE.0);
    for offer in &mut policy.offers {
        offer.holds = Some(HoldTerms { slice_min_msat: SLICE });
    }
    let running = machine.start_with(&open.market, policy, Some(Arc::new(providers.clone())));
    offers_stand(&open.market, 1).await;
    let secret = party(&open.market, 1).await;
    let job = held_job(&open.path(""));
    support::fund(&open.market, &secret, job.terms.budget_msat).await;
    let buyer = Buyer::new(open.market.clone(), secret.clone(), &open.path("records")).unwrap();
    let buyer = buyer.with_node(Arc::new(buyers.clone()));
    buyer.upload(&job, |_, _| {}).await.unwrap();
    let placed = buyer.place(&job).await.unwrap();
    assert_eq!(buyer.follow(placed.job, None, |_| {}).await.unwrap(), JobOutcome::Completed);

    // 4,500 sat less 2 %: two slices, and 410 sat out of the reserve.
    let earned = Msat(2 * SLICE.0);
    until("the channel has it", async || {
        let sent = buyers.balance().await.unwrap();
        sent.in_flight == Msat::ZERO && had.0 - sent.spendable.0 == earned.0
    })
    .await;
    assert_eq!(open.market.account(&machine.party).await.unwrap().available_msat, Msat(410_000));
    let receipt = open.market.receipt(&secret, placed.job).await.unwrap().unwrap();
    receipt.verify(Some(&open.market.venue())).unwrap();
    let hold = receipt.body.leases[0].hold.clone().unwrap();
    assert_eq!((hold.released, hold.returned_msat()), (2, Msat(2 * SLICE.0)));
    for (nth, hash) in hold.payment_hashes.iter().enumerate() {
        let sent = buyers.payment(*hash).await.unwrap().unwrap();
        let came = providers.invoice(*hash).await.unwrap().unwrap();
        assert_eq!(matches!(sent, PaymentState::Succeeded { .. }), nth < 2, "{nth}: {sent:?}");
        assert_eq!(matches!(came, InvoiceState::Paid { .. }), nth < 2, "{nth}: {came:?}");
    }
    running.stop().await;
    open.close().await;
    buyers.stop().await.unwrap();
    providers.stop().await.unwrap();
}
