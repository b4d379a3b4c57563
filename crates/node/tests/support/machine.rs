//! Machines at the market of a test.

use super::{party, resources, until};
use market::{
    command::{CERTIFICATE_DOMAIN, Command, certificate_message},
    id::MachineId,
    key::SecretKey,
    offer::{OfferRole, OfferTerms},
    reply::Reply,
    resources::Isolation,
    units::{Msat, Rate},
};
use node::{
    client::Market,
    provider::{
        Driver, Fault, InProcess, Policy, ProvideError,
        agent::{Identity, Tally},
    },
};
use pay::LightningNode;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub(crate) fn policy(msat: u64) -> Policy {
    let offer = OfferTerms {
        role: OfferRole::Work,
        rate: Rate::per_task(Msat(msat)),
        resources: resources(1),
        isolation: Isolation::Wasm,
        region: "here".parse().unwrap(),
        class: "test".parse().unwrap(),
        attributes: BTreeMap::new(),
        lease_max_ms: 3_600_000,
        holds: None,
        sales: None,
    };
    Policy {
        offers: vec![offer],
        fuel_per_second: 0,
        cost_per_hour_msat: Msat::ZERO,
        discount_ppm: 0,
        assumed_bidders: 4,
        profiles: BTreeSet::from(["wasm-1".to_owned()]),
        batch_ms: 250,
    }
}

/// A machine of a party, with so many cores.
pub(crate) async fn certify(
    market: &Market,
    owner: &SecretKey,
    seed: u8,
    cores: u64,
) -> (MachineId, SecretKey) {
    let secret = SecretKey::from_bytes([seed; 32]);
    let message = certificate_message(&market.venue(), &owner.public());
    let command = Command::CertifyMachine {
        machine_key: secret.public(),
        consent: secret.sign(CERTIFICATE_DOMAIN, &message),
        label: format!("machine {seed}"),
        capacity: resources(cores),
    };
    match market.submit(owner, command).await.unwrap().reply {
        Reply::Machine(machine) => (machine, secret),
        other => panic!("{other:?}"),
    }
}

/// A party with a machine.
pub(crate) struct Machine {
    pub(crate) party: SecretKey,
    secret: SecretKey,
    pub(crate) identity: Identity,
    state: tempfile::TempDir,
}

impl Machine {
    pub(crate) async fn new(market: &Market, seed: u8) -> Machine {
        let party = party(market, seed).await;
        let (machine, secret) = certify(market, &party, seed + 100, 2).await;
        let account = market.account(&party).await.unwrap();
        let identity = Identity { machine, party: account.party };
        Machine { party, secret, identity, state: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn start(&self, market: &Market, msat: u64) -> Running {
        self.start_with(market, policy(msat), None)
    }

    /// With a policy and a Lightning node of its own.
    pub(crate) fn start_with(
        &self,
        market: &Market,
        policy: Policy,
        lightning: Option<Arc<dyn LightningNode>>,
    ) -> Running {
        self.start_at_fault(market, policy, lightning, None)
    }

    /// The same, with something wrong.
    pub(crate) fn start_at_fault(
        &self,
        market: &Market,
        policy: Policy,
        lightning: Option<Arc<dyn LightningNode>>,
        fault: Option<Fault>,
    ) -> Running {
        let (tally, seen) = watch::channel(Tally::default());
        let driver = Driver {
            market: market.clone(),
            secret: self.secret.clone(),
            identity: self.identity,
            policy: watch::channel(policy).1,
            state_dir: self.state.path().to_owned(),
            cache_bytes: 1 << 30,
            grace: Duration::from_secs(20),
            sandbox: Arc::new(InProcess),
            lightning,
            is_open: Box::new(|_| true),
            fault,
            tally,
        };
        let stop = CancellationToken::new();
        Running { task: tokio::spawn(driver.run(stop.clone())), stop, seen }
    }
}

pub(crate) struct Running {
    pub(crate) task: JoinHandle<Result<Tally, ProvideError>>,
    stop: CancellationToken,
    pub(crate) seen: watch::Receiver<Tally>,
}

impl Running {
    /// As with kill -9: nothing more is sent.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    pub(crate) async fn stop(self) -> Tally {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(60), self.task).await.unwrap().unwrap().unwrap()
    }
}

pub(crate) async fn offers_stand(market: &Market, count: usize) {
    let stand = async || market.offers(&Default::default()).await.unwrap().len();
    until(market, async || (stand().await == count).then_some(())).await;
}
