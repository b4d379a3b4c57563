//! A buyer pays for the keys of results from a Lightning node of its own: a market over HTTP, a provider that sells, a
//! validator that vouches, and wallets of play money. Whatever breaks, a key is paid for once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use market::{
    command::Command,
    event::JobOutcome,
    funding::{Funding, SaleTerms, result_key},
    id::{Digest, JobId},
    job::Verification,
    key::SecretKey,
    offer::OfferRole,
    order::OrderTerms,
    receipt::{ReceiptBody, SaleFate},
    units::{Msat, TimeMs},
};
use node::{
    buyer::{
        Buyer, News, PreparedJob,
        agent::{Payable, Progress, Tried},
    },
    client::{ClientError, DevWallet},
    encrypted_result,
    http::Payments,
    provider::Fault,
};
use pay::{LightningNode, PaymentState, dev::DevNetwork, dev::DevNode};
use runner::OutputBundle;
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use support::{
    OpenMarket, fund, job,
    machine::{Machine, Running, offers_stand, policy},
    party,
    troubled_node::{Node, Trouble},
};

const TASKS: u32 = 2;
/// A result: 2 % of it are the market's, a quarter is the deposit.
const PRICE: u64 = 10_000;
const FEE: u64 = 200;
const KEY: u64 = PRICE - FEE;
/// What the validator asks for a replica.
const CHECK: u64 = 3_000;
const BOND: Msat = Msat(50_000);
const FUNDS: Msat = Msat(1_000_000);
/// What routing a key costs: a satoshi, and 100 parts in a million, which are less than one here.
const ROUTE: u64 = 1_000;

/// A market, a provider that sells results, a validator, and a buyer with a wallet there.
struct Scene {
    open: OpenMarket,
    network: DevNetwork,
    seller: Machine,
    checker: Machine,
    secret: SecretKey,
    /// The buyer's wallet as the market's process sees it.
    payer: DevNode,
    tasks: u32,
    balance: Msat,
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
        let (seller, checker) = (Machine::new(&open.market, 2).await, Machine::new(&open.market, 3).await);
        for machine in [&seller, &checker] {
            fund(&open.market, &machine.party, BOND).await;
            open.market.submit(&machine.party, Command::LockBond { amount_msat: BOND }).await.unwrap();
        }
        let secret = party(&open.market, 1).await;
        let info = DevWallet::new(open.market.clone(), [1; 32]).info().await.unwrap();
        let payer = network.node(&info.alias);
        network.issue(&payer, FUNDS).unwrap();
        Scene { open, network, seller, checker, secret, payer, tasks: TASKS, balance: Msat::ZERO }
    }

    fn wallet(&self, secret: u8) -> Arc<DevWallet> {
        Arc::new(DevWallet::new(self.open.market.clone(), [secret; 32]))
    }

    fn sells(&self, fault: Option<Fault>) -> Running {
        let mut policy = policy(PRICE);
        for offer in &mut policy.offers {
            offer.sales = Some(SaleTerms { deposit_min_ppm: 250_000 });
        }
        self.seller.start_at_fault(&self.open.market, policy, Some(self.wallet(2)), fault)
    }

    async fn provide(&self, fault: Option<Fault>) -> [Running; 2] {
        let mut checks = policy(CHECK);
        for offer in &mut checks.offers {
            offer.role = OfferRole::Audit;
        }
        let running = [self.sells(fault), self.checker.start_with(&self.open.market, checks, None)];
        offers_stand(&self.open.market, 2).await;
        running
    }

    fn job(&self) -> PreparedJob {
        let replicas = Verification::Replicas { k: 2, n: 3, named: vec![] };
        let plain = job(&self.open.path(""), self.tasks, replicas);
        let funding = Some(Funding::Decrypt { deposit_ppm: 250_000 });
        let mut terms = OrderTerms { slots: 1, funding, ..plain.terms };
        terms.needs.min_bond_msat = Msat(KEY);
        PreparedJob { terms, holds_max_msat: Msat(u64::from(self.tasks) * KEY), ..plain }
    }

    fn buyer(&self, node: Option<Arc<dyn LightningNode>>) -> Buyer {
        let buyer =
            Buyer::new(self.open.market.clone(), self.secret.clone(), &self.open.path("records")).unwrap();
        match node {
            Some(node) => buyer.with_node(node),
            None => buyer,
        }
    }

    async fn place(&mut self) -> JobId {
        let job = self.job();
        self.balance = job.terms.budget_msat;
        fund(&self.open.market, &self.secret, self.balance).await;
        let buyer = self.buyer(None);
        buyer.upload(&job, |_, _| {}).await.unwrap();
        buyer.place(&job).await.unwrap().job
    }

    /// Follows the job to its end; what was said about payments, and the results that cannot be had.
    async fn follow(&self, id: JobId, results: &Path) -> (Vec<(Payable, Tried)>, Vec<u32>) {
        let (mut said, mut missing) = (Vec::new(), Vec::new());
        let buyer = self.buyer(Some(self.wallet(1)));
        let following = buyer.follow(id, Some(results), |news| match news {
            News::Progress(Progress::Paying { what, tried }) => said.push((what, tried)),
            News::Progress(Progress::Missing { task, .. }) => missing.push(task),
            _ => {}
        });
        let outcome = tokio::time::timeout(Duration::from_secs(120), following).await;
        assert_eq!(outcome.unwrap().unwrap(), JobOutcome::Completed);
        (said, missing)
    }

    /// Every task wrote its number; the market never had the results in clear.
    async fn results_are_here(&self, id: JobId, results: &Path) {
        let body = self.receipt(id).await;
        let sales: Vec<_> = body.leases.iter().flat_map(|lease| &lease.sales).collect();
        assert_eq!(sales.len(), TASKS as usize);
        for sale in sales {
            let file = results.join(format!("task-{:06}.bundle", sale.task));
            let bytes = std::fs::read(file).unwrap();
            assert_eq!(Digest::of(&bytes), sale.output);
            let bundle = OutputBundle::decode(&bytes, usize::MAX).unwrap();
            assert!(bundle.stdout.starts_with(sale.task.to_string().as_bytes()), "{:?}", bundle.stdout);
            let plain = self.open.market.get_blob(&self.secret, sale.output, 1 << 20).await;
            assert!(matches!(plain, Err(ClientError::Refused { status: 404, .. })), "{plain:?}");
        }
    }

    async fn receipt(&self, id: JobId) -> ReceiptBody {
        let receipt = self.open.market.receipt(&self.secret, id).await.unwrap().unwrap();
        receipt.verify(Some(&self.open.market.venue())).unwrap();
        receipt.body
    }

    /// Every key was paid for once, past the market; the market took its fee and paid for the checks.
    async fn books_agree(&self, id: JobId) {
        let tasks = u64::from(TASKS);
        let (payer, payee) = (self.payer.balance().await.unwrap(), self.wallet(2).balance().await.unwrap());
        assert_eq!((payer.spendable, payer.in_flight), (Msat(FUNDS.0 - tasks * (KEY + ROUTE)), Msat::ZERO));
        assert_eq!(payee.spendable, Msat(tasks * KEY));
        self.network.check().unwrap();
        let market = &self.open.market;
        let buyer = market.account(&self.secret).await.unwrap();
        assert_eq!(
            buyer.available_msat,
            Msat(self.balance.0 - tasks * (FEE + CHECK)),
            "the deposits are back"
        );
        assert_eq!(market.account(&self.seller.party).await.unwrap().available_msat, Msat::ZERO);
        let body = self.receipt(id).await;
        let sales: Vec<_> = body.leases.iter().flat_map(|lease| &lease.sales).collect();
        assert!(sales.iter().all(|sale| sale.fate == SaleFate::Sold), "{sales:?}");
        for sale in sales {
            let state = self.payer.payment(sale.encrypted.payment_hash).await.unwrap();
            assert!(matches!(state, Some(PaymentState::Succeeded { .. })), "{state:?}");
        }
    }
}

async fn stop(running: [Running; 2]) {
    for machine in running {
        machine.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_pays_for_verified_results_and_opens_them() {
    let mut scene = Scene::new().await;
    let running = scene.provide(None).await;
    let id = scene.place().await;
    let results = scene.open.path("results");
    let (said, missing) = scene.follow(id, &results).await;
    let bought = |(_, tried): &&(Payable, Tried)| *tried == Tried::Bought { amount_msat: Msat(KEY) };
    assert_eq!((said.iter().filter(bought).count(), missing.len()), (TASKS as usize, 0), "{said:?}");
    scene.results_are_here(id, &results).await;
    scene.books_agree(id).await;
    stop(running).await;
    scene.open.close().await;
}

/// Ends the buyer's process at a moment of its first payment, and starts another.
async fn killed(trouble: Trouble) {
    let mut scene = Scene::new().await;
    let running = scene.provide(None).await;
    let id = scene.place().await;
    let (node, mut ended) = Node::new(DevWallet::new(scene.open.market.clone(), [1; 32]), trouble);
    let buyer = scene.buyer(Some(node));
    let first = tokio::spawn(async move { buyer.follow(id, None, |_| {}).await });
    tokio::time::timeout(Duration::from_secs(60), ended.recv()).await.unwrap().unwrap();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let results = scene.open.path("results");
    scene.follow(id, &results).await;
    scene.results_are_here(id, &results).await;
    scene.books_agree(id).await;
    stop(running).await;
    scene.open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_that_is_killed_before_it_pays_pays_once() {
    killed(Trouble::EndsBefore(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_that_is_killed_between_paying_and_opening_pays_once_and_opens() {
    killed(Trouble::EndsAfter(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_opens_something_else_is_disputed_by_itself_and_paid_back_out_of_the_bond() {
    let mut scene = Scene::new().await;
    // One task: after the conviction nobody is left to sell another.
    scene.tasks = 1;
    let running = scene.provide(Some(Fault::WrongKeys)).await;
    let id = scene.place().await;
    let (said, missing) = scene.follow(id, &scene.open.path("results")).await;
    assert!(said.iter().any(|(_, tried)| *tried == Tried::Disputed { amount_msat: Msat(KEY) }), "{said:?}");
    assert_eq!(missing, [0], "the result cannot be had");
    let market = &scene.open.market;
    let body = scene.receipt(id).await;
    let sale = &body.leases[0].sales[0];
    let SaleFate::Forged { preimage, opened: Some(opened) } = sale.fate else { panic!("{sale:?}") };
    assert_eq!(scene.payer.balance().await.unwrap().spendable, Msat(FUNDS.0 - KEY - ROUTE), "it was paid");
    let buyer = market.account(&scene.secret).await.unwrap();
    assert_eq!(buyer.available_msat, Msat(scene.balance.0 - CHECK + KEY), "and paid back out of the bond");
    assert_eq!(market.account(&scene.seller.party).await.unwrap().bond_msat, Msat::ZERO);
    // Anybody who has the ciphertext finds what the market found.
    let ciphertext = market.get_blob(&scene.secret, sale.encrypted.ciphertext, 1 << 20).await.unwrap();
    let mut plain = Vec::new();
    encrypted_result::decrypt(&result_key(&preimage, &sale.encrypted.salt), &ciphertext[..], &mut plain)
        .unwrap();
    assert_eq!(Digest::of(&plain), opened);
    assert_ne!(opened, sale.output);
    stop(running).await;
    scene.open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_killed_while_its_results_wait_for_payment_is_still_paid() {
    let mut scene = Scene::new().await;
    let [seller, checker] = scene.provide(None).await;
    let id = scene.place().await;
    // Nobody pays yet: a buyer without a node answers the audit rounds and waits.
    let buyer = scene.buyer(None);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let waiting = tokio::spawn(async move {
        buyer
            .follow(id, None, move |news| {
                if let News::Progress(Progress::Paying { tried, .. }) = news {
                    let _ = tell.send(tried);
                }
            })
            .await
    });
    for _ in 0..TASKS {
        let tried = tokio::time::timeout(Duration::from_secs(60), told.recv()).await.unwrap().unwrap();
        assert!(matches!(&tried, Tried::Refused { why } if why.contains("--lightning")), "{tried:?}");
    }
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    seller.kill().await;
    let seller = scene.sells(None);
    let results = scene.open.path("results");
    scene.follow(id, &results).await;
    scene.results_are_here(id, &results).await;
    scene.books_agree(id).await;
    stop([seller, checker]).await;
    scene.open.close().await;
}
