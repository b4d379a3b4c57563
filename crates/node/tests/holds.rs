//! Jobs that are paid by payments which the provider's node holds until the verdict: a market over HTTP, a provider's agent,
//! and a network of play money in this process.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use market::{
    event::JobOutcome,
    funding::{Funding, HoldTerms},
    job::Verification,
    order::OrderTerms,
    units::{Msat, TimeMs},
};
use node::{api::JobView, buyer::PreparedJob, client::Market, provider::Policy};
use pay::{
    LightningNode, PayRequest,
    dev::{DevNetwork, DevNode},
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use support::{
    OpenMarket, job,
    machine::{Machine, Running, offers_stand, policy},
    order, until_as,
};

const SLICE: Msat = Msat(20_000);

/// A market, a provider and a buyer, the latter two with Lightning nodes of their own.
struct Scene {
    open: OpenMarket,
    machine: Machine,
    payee: DevNode,
    payer: DevNode,
}

impl Scene {
    async fn new() -> Scene {
        let clock = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            TimeMs(u64::try_from(now.as_millis()).unwrap())
        };
        let network = DevNetwork::new([5; 32], clock);
        let (payee, payer) = (network.node("provider"), network.node("buyer"));
        network.issue(&payer, Msat(1_000_000)).unwrap();
        let open = OpenMarket::new().await;
        let machine = Machine::new(&open.market, 2).await;
        Scene { open, machine, payee, payer }
    }

    fn provide(&self) -> Running {
        let mut policy: Policy = policy(5_000);
        for offer in &mut policy.offers {
            offer.holds = Some(HoldTerms { slice_min_msat: SLICE });
        }
        self.machine.start_with(&self.open.market, policy, Some(Arc::new(self.payee.clone())))
    }

    fn job(&self, tasks: u32) -> PreparedJob {
        let plain = job(&self.open.path(""), tasks, Verification::None);
        let funding = Some(Funding::Hold { slice_msat: SLICE, slices: 4 });
        PreparedJob { terms: OrderTerms { slots: 1, funding, ..plain.terms }, ..plain }
    }

    /// Pays every invoice that the job shows, once, until the job is settled.
    async fn pay_until_settled(
        &self,
        market: &Market,
        secret: &market::key::SecretKey,
        id: market::id::JobId,
    ) -> JobView {
        let mut paid = BTreeSet::new();
        until_as(Some(secret), market, async || {
            let view = market.job(secret, id).await.unwrap();
            for hold in &view.holds {
                for bolt11 in
                    hold.invoices.iter().filter(|bolt11| !paid.contains(*bolt11)).cloned().collect::<Vec<_>>()
                {
                    paid.insert(bolt11.clone());
                    let request = PayRequest { bolt11, amount: hold.slice_msat, max_fee: Msat(10_000) };
                    self.payer.pay(request).await.unwrap();
                }
            }
            (view.phase == "settled").then_some(view)
        })
        .await
    }
}

async fn spendable(node: &DevNode) -> Msat {
    node.balance().await.unwrap().spendable
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_paid_by_what_the_providers_node_held() {
    let scene = Scene::new().await;
    let market = scene.open.market.clone();
    let running = scene.provide();
    offers_stand(&market, 1).await;
    let (_buyer, secret, id) = order(&scene.open, &scene.job(9)).await;
    let view = scene.pay_until_settled(&market, &secret, id).await;
    assert_eq!((view.outcome, view.tasks_done), (Some(JobOutcome::Completed), 9));
    // 45 000 earned, less 900: two slices of 20 000, and 4 100 out of the reserve.
    assert_eq!((view.holds.len(), view.holds[0].released), (1, 2), "{:?}", view.holds);
    let account = market.account(&scene.machine.party).await.unwrap();
    assert_eq!(account.available_msat, Msat(4_100));
    running.stop().await;
    let view = market.job(&secret, id).await.unwrap();
    assert_eq!(view.holds[0].phase, "over", "the provider has said that nothing is held any more");
    assert_eq!(spendable(&scene.payee).await, Msat(40_000));
    let payer = scene.payer.balance().await.unwrap();
    assert_eq!(payer.in_flight, Msat::ZERO, "what was not earned is back");
    let left = Msat(1_000_000 - 40_000 - payer.spendable.0);
    assert_eq!(left, Msat(2 * 1_002), "routing took a satoshi and 100 ppm of each slice");
    scene.payer.network().check().unwrap();
    let receipt = market.receipt(&secret, id).await.unwrap().unwrap();
    receipt.verify(Some(&market.venue())).unwrap();
    assert_eq!(receipt.body.leases[0].hold.as_ref().unwrap().released, 2);
    scene.open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_killed_provider_nor_a_restarted_market_loses_what_is_held() {
    let mut scene = Scene::new().await;
    let market = scene.open.market.clone();
    let first = scene.provide();
    offers_stand(&market, 1).await;
    let (_buyer, secret, id) = order(&scene.open, &scene.job(9)).await;
    // Killed once it has told its invoices, and before anybody has paid them.
    until_as(Some(&secret), &market, async || {
        let view = market.job(&secret, id).await.unwrap();
        view.holds.iter().any(|hold| hold.phase == "invoiced").then_some(())
    })
    .await;
    first.kill().await;
    scene.open = scene.open.restart(async |_| {}).await;
    let second = scene.provide();
    let view = scene.pay_until_settled(&market, &secret, id).await;
    assert_eq!((view.outcome, view.leases.len()), (Some(JobOutcome::Completed), 1));
    // Killed before it has claimed, or just afterwards: the next one claims what is left to claim.
    second.kill().await;
    let third = scene.provide();
    until_as(Some(&secret), &market, async || {
        let view = market.job(&secret, id).await.unwrap();
        (view.holds[0].phase == "over").then_some(())
    })
    .await;
    third.stop().await;
    assert_eq!(spendable(&scene.payee).await, Msat(40_000));
    scene.payer.network().check().unwrap();
    scene.open.close().await;
}
