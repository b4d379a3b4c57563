//! A buyer pays holds and sessions from a Lightning node of its own: a market over HTTP, a provider's agent, and wallets of play
//! money that the market keeps. Whatever breaks, nothing is paid twice, and all books agree to the millisatoshi.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use market::{
    command::Command,
    event::JobOutcome,
    funding::{Funding, HoldTerms},
    id::JobId,
    job::Verification,
    key::SecretKey,
    order::OrderTerms,
    units::{Msat, TimeMs},
};
use node::{
    buyer::{
        Buyer, News, PreparedJob,
        agent::{Payable, Progress, Tried},
    },
    client::DevWallet,
    http::Payments,
};
use pay::{
    LightningNode, NodeBalance, PayRequest, PaymentState,
    dev::{DevNetwork, DevNode, Fault, HangEnd},
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use support::{
    OpenMarket, fund, job,
    machine::{Machine, Running, offers_stand, policy},
    party,
    troubled_node::{Node, Trouble},
    until_as,
};
use tokio::sync::mpsc;

const SLICE: Msat = Msat(20_000);
const FUNDS: Msat = Msat(1_000_000);
/// What routing a slice costs: a satoshi and 100 parts in a million.
const ROUTE: u64 = 1_002;

/// A market, a provider and a buyer with wallets there.
struct Scene {
    open: OpenMarket,
    network: DevNetwork,
    machine: Machine,
    secret: SecretKey,
    /// The buyer's wallet as the market's process sees it.
    payer: DevNode,
}

impl Scene {
    async fn new() -> Scene {
        let clock = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            TimeMs(u64::try_from(now.as_millis()).unwrap())
        };
        let network = DevNetwork::new([6; 32], clock);
        let payments = Payments::DevNetwork(network.clone());
        let open = OpenMarket::with(|config| config.payments = payments).await;
        let machine = Machine::new(&open.market, 2).await;
        let secret = party(&open.market, 1).await;
        let info = DevWallet::new(open.market.clone(), [1; 32]).info().await.unwrap();
        let payer = network.node(&info.alias);
        network.issue(&payer, FUNDS).unwrap();
        Scene { open, network, machine, secret, payer }
    }

    fn wallet(&self, secret: u8) -> DevWallet {
        DevWallet::new(self.open.market.clone(), [secret; 32])
    }

    async fn provide(&self, trouble: Trouble) -> Running {
        let mut policy = policy(5_000);
        for offer in &mut policy.offers {
            offer.holds = Some(HoldTerms { slice_min_msat: SLICE });
        }
        let (node, _) = Node::new(self.wallet(2), trouble);
        let running = self.machine.start_with(&self.open.market, policy, Some(node));
        offers_stand(&self.open.market, 1).await;
        running
    }

    /// A job of nine tasks at 5 sat, on one machine.
    fn job(&self, funding: Funding) -> PreparedJob {
        let plain = job(&self.open.path(""), 9, Verification::None);
        let terms = OrderTerms { slots: 1, funding: Some(funding), ..plain.terms };
        PreparedJob { terms, holds_max_msat: Msat(4 * SLICE.0), ..plain }
    }

    fn hold(&self) -> PreparedJob {
        self.job(Funding::Hold { slice_msat: SLICE, slices: 4 })
    }

    fn buyer(&self, node: Option<Arc<dyn LightningNode>>) -> Buyer {
        let buyer =
            Buyer::new(self.open.market.clone(), self.secret.clone(), &self.open.path("records")).unwrap();
        match node {
            Some(node) => buyer.with_node(node),
            None => buyer,
        }
    }

    async fn place(&self, job: &PreparedJob, balance: Msat) -> JobId {
        fund(&self.open.market, &self.secret, balance).await;
        let buyer = self.buyer(None);
        buyer.upload(job, |_, _| {}).await.unwrap();
        buyer.place(job).await.unwrap().job
    }

    /// Follows the job to its end; what was said about payments, in order.
    async fn follow(&self, buyer: &Buyer, id: JobId) -> Vec<(Payable, Tried)> {
        let mut said = Vec::new();
        let following = buyer.follow(id, None, |news| {
            if let News::Progress(Progress::Paying { what, tried }) = news {
                said.push((what, tried));
            }
        });
        let outcome = tokio::time::timeout(Duration::from_secs(120), following).await;
        assert_eq!(outcome.unwrap().unwrap(), JobOutcome::Completed);
        said
    }

    /// Nine tasks came to 45 000, less 900: two slices of 20 000, and 4 100 out of the reserve; once each.
    async fn books_agree(&self, id: JobId) {
        let market = &self.open.market;
        until_as(Some(&self.secret), market, async || {
            let view = market.job(&self.secret, id).await.unwrap();
            (view.holds.iter().all(|hold| hold.phase == "over")).then_some(())
        })
        .await;
        let (payer, payee) = (self.payer.balance().await.unwrap(), self.wallet(2).balance().await.unwrap());
        assert_eq!(payer.in_flight, Msat::ZERO, "what was not earned is back");
        assert_eq!(payer.spendable, Msat(FUNDS.0 - 2 * (SLICE.0 + ROUTE)));
        assert_eq!(payee.spendable, Msat(2 * SLICE.0));
        self.network.check().unwrap();
        let (buyer, worker) =
            (market.account(&self.secret).await.unwrap(), market.account(&self.machine.party).await.unwrap());
        assert_eq!(worker.available_msat, Msat(4_100));
        assert_eq!(buyer.available_msat, Msat(self.hold().terms.budget_msat.0 - 5_000));
        let info = market.info().await.unwrap();
        let owed = buyer.available_msat.0 + worker.available_msat.0 + info.operator_msat.0;
        assert_eq!((info.liabilities_msat.0, info.operator_msat), (owed, Msat(900)));
        let receipt = market.receipt(&self.secret, id).await.unwrap().unwrap();
        receipt.verify(Some(&market.venue())).unwrap();
        let hold = receipt.body.leases[0].hold.clone().unwrap();
        assert_eq!((receipt.body.v, hold.released, hold.returned_msat()), (3, 2, Msat(2 * SLICE.0)));
        for (nth, hash) in hold.payment_hashes.iter().enumerate() {
            let state = self.payer.payment(*hash).await.unwrap().unwrap();
            assert_eq!(matches!(state, PaymentState::Succeeded { .. }), nth < 2, "{nth}: {state:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyers_node_funds_a_job_and_gets_back_what_was_not_earned() {
    let scene = Scene::new().await;
    let running = scene.provide(Trouble::None).await;
    let job = scene.hold();
    let id = scene.place(&job, job.terms.budget_msat).await;
    let buyer = scene.buyer(Some(Arc::new(scene.wallet(1))));
    let said = scene.follow(&buyer, id).await;
    assert!(
        matches!(said[..], [(Payable::Hold(_), Tried::OnItsWay { amount_msat: Msat(80_000) })]),
        "{said:?}"
    );
    scene.books_agree(id).await;
    running.stop().await;
    scene.open.close().await;
}

/// Ends the buyer's process at a moment and starts another; the market is started again in between, too.
async fn killed(trouble: Trouble) {
    let mut scene = Scene::new().await;
    let running = scene.provide(Trouble::None).await;
    let job = scene.hold();
    let id = scene.place(&job, job.terms.budget_msat).await;
    let (node, mut ended) = Node::new(scene.wallet(1), trouble);
    let buyer = scene.buyer(Some(node));
    let first = tokio::spawn(async move { buyer.follow(id, None, |_| {}).await });
    tokio::time::timeout(Duration::from_secs(60), ended.recv()).await.unwrap().unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let (network, listen) = (scene.network.clone(), scene.open.running.listen());
    scene.open = scene
        .open
        .restart_with(|config| {
            config.listen = listen;
            config.payments = Payments::DevNetwork(network);
        })
        .await;
    let buyer = scene.buyer(Some(Arc::new(scene.wallet(1))));
    scene.follow(&buyer, id).await;
    scene.books_agree(id).await;
    running.stop().await;
    scene.open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_that_is_killed_before_its_first_payment_pays_once() {
    killed(Trouble::EndsBefore(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_that_is_killed_between_its_payments_pays_each_once() {
    killed(Trouble::EndsAfter(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_that_is_killed_after_its_last_payment_pays_none_again() {
    killed(Trouble::EndsAfter(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_and_stuck_and_failed_payments_are_seen_through() {
    let scene = Scene::new().await;
    let running = scene.provide(Trouble::None).await;
    let job = scene.hold();
    let id = scene.place(&job, job.terms.budget_msat).await;
    scene.payer.inject(Fault::LoseAnswer);
    scene.payer.inject(Fault::HangPayment { for_ms: 2_500, then: HangEnd::Delivered });
    scene.payer.inject(Fault::FailPayment);
    let buyer = scene.buyer(Some(Arc::new(scene.wallet(1))));
    let said = scene.follow(&buyer, id).await;
    assert!(matches!(said[0].1, Tried::NotYet { .. }), "{said:?}");
    scene.books_agree(id).await;
    running.stop().await;
    scene.open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_invoice_on_another_hash_is_enough_to_pay_none() {
    let scene = Scene::new().await;
    let running = scene.provide(Trouble::OwnHash).await;
    let job = scene.hold();
    let id = scene.place(&job, job.terms.budget_msat).await;
    let buyer = scene.buyer(Some(Arc::new(scene.wallet(1))));
    let (tell, mut told) = mpsc::unbounded_channel();
    let following = tokio::spawn(async move {
        buyer
            .follow(id, None, move |news| {
                if let News::Progress(Progress::Paying { tried, .. }) = news {
                    let _ = tell.send(tried);
                }
            })
            .await
    });
    let tried = tokio::time::timeout(Duration::from_secs(60), told.recv()).await.unwrap().unwrap();
    let Tried::Refused { why } = tried else { panic!("{tried:?}") };
    assert!(why.starts_with("invoice 2 of the hold: it is on payment hash"), "{why}");
    let balance = scene.payer.balance().await.unwrap();
    assert_eq!(balance, NodeBalance { spendable: FUNDS, in_flight: Msat::ZERO });
    // The buyer can leave at once, and has everything again.
    scene.open.market.submit(&scene.secret, Command::CancelJob { job: id }).await.unwrap();
    assert_eq!(following.await.unwrap().unwrap(), JobOutcome::Cancelled);
    let account = scene.open.market.account(&scene.secret).await.unwrap();
    assert_eq!(account.available_msat, job.terms.budget_msat);
    running.stop().await;
    scene.open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_node_the_invoices_are_for_the_person_to_pay() {
    let scene = Scene::new().await;
    let running = scene.provide(Trouble::None).await;
    let job = scene.hold();
    let id = scene.place(&job, job.terms.budget_msat).await;
    let (buyer, wallet) = (scene.buyer(None), scene.wallet(1));
    let (tell, mut told) = mpsc::unbounded_channel();
    let following = tokio::spawn(async move {
        buyer
            .follow(id, None, move |news| {
                if let News::Progress(Progress::Paying { tried, .. }) = news {
                    let _ = tell.send(tried);
                }
            })
            .await
    });
    let tried = tokio::time::timeout(Duration::from_secs(60), told.recv()).await.unwrap().unwrap();
    let Tried::ByHand { invoices, amount_msat } = tried else { panic!("{tried:?}") };
    assert_eq!((invoices.len(), amount_msat), (4, Msat(80_000)));
    for bolt11 in invoices {
        wallet.pay(PayRequest { bolt11, amount: SLICE, max_fee: Msat(10_000) }).await.unwrap();
    }
    assert_eq!(following.await.unwrap().unwrap(), JobOutcome::Completed);
    scene.books_agree(id).await;
    running.stop().await;
    scene.open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_runs_low_is_topped_up_from_the_buyers_node() {
    let scene = Scene::new().await;
    let running = scene.provide(Trouble::None).await;
    let prepay_msat = Msat(15_000);
    let job = scene.job(Funding::Session { prepay_msat });
    // Only the first prepayment is there.
    let id = scene.place(&job, prepay_msat).await;
    let buyer = scene.buyer(Some(Arc::new(scene.wallet(1))));
    let said = scene.follow(&buyer, id).await;
    let is_paid = |(what, tried): &(Payable, Tried)| {
        *what == Payable::Session && matches!(tried, Tried::OnItsWay { .. })
    };
    assert!(said.iter().any(is_paid), "{said:?}");
    let account = scene.open.market.account(&scene.secret).await.unwrap();
    let payer = scene.payer.balance().await.unwrap();
    // What left the node is what the job cost, what is in the balance, and routing.
    let paid_in = account.available_msat.0 + 45_000 - prepay_msat.0;
    let routing = FUNDS.0 - payer.spendable.0 - paid_in;
    assert_eq!(paid_in % 15_000, 0, "whole prepayments: {account:?}");
    assert!((1_000..20_000).contains(&routing), "{routing}");
    assert!(account.available_msat <= prepay_msat, "no more than was asked for: {account:?}");
    scene.network.check().unwrap();
    running.stop().await;
    scene.open.close().await;
}
