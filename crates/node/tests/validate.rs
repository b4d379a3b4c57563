//! `grist validate` at a real market, over HTTP: a cheat works, validators check, and the cheat pays for it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use econ::catalogue::Catalogue;
use market::{
    command::Command,
    event::{Event, JobOutcome, RejectReason, Verdict},
    id::PartyId,
    job::Verification,
    key::SecretKey,
    lease::CloseReason,
    offer::OfferRole,
    units::{Msat, PPM},
    verify::{Deterrence, Stakes},
};
use node::{
    api::QuoteRequest,
    client::Market,
    config_file::{ByteSize, Cores, Money},
    provider::{
        Fault, InProcess, Provider, StartupError, agent::Tally, config::ProvideConfig, provide, validate,
    },
};
use std::{sync::Arc, time::Duration};
use support::{OpenMarket, event, fund, job, machine::certify, order, party, until};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// What the cheat stakes, and what it asks for a task.
const BOND: Msat = Msat(50_000);
const PRICE: Msat = Msat(5_000);
/// What a validator asks for a replica.
const AUDIT_PRICE: Msat = Msat(3_000);
/// The least share of tasks that is audited.
const FLOOR_PPM: u32 = 200_000;

/// An agent with a party and a machine of its own.
struct Agent {
    party: SecretKey,
    id: PartyId,
    task: JoinHandle<Result<Tally, StartupError>>,
    stop: CancellationToken,
    _state: tempfile::TempDir,
}

impl Agent {
    async fn start(market: &Market, seed: u8, role: OfferRole, fault: Option<Fault>) -> Agent {
        let party = party(market, seed).await;
        if fault.is_some() {
            fund(market, &party, BOND).await;
            market.submit(&party, Command::LockBond { amount_msat: BOND }).await.unwrap();
        }
        let (_, secret) = certify(market, &party, seed + 100, 1).await;
        let id = market.account(&party).await.unwrap().party;
        let state = tempfile::tempdir().unwrap();
        let provider = Provider {
            market: market.clone(),
            secret,
            config: config(role),
            catalogue: Catalogue::embedded().unwrap(),
            state_dir: state.path().to_owned(),
            sandbox: Arc::new(InProcess),
            lightning: None,
            fault,
            tally: watch::channel(Tally::default()).0,
        };
        let stop = CancellationToken::new();
        let task = match role {
            OfferRole::Work => tokio::spawn(provide(provider, stop.clone())),
            OfferRole::Audit => tokio::spawn(validate(provider, stop.clone())),
        };
        Agent { party, id, task, stop, _state: state }
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(60), self.task).await.unwrap().unwrap().unwrap();
    }
}

fn config(role: OfferRole) -> ProvideConfig {
    let price = match role {
        OfferRole::Work => PRICE,
        OfferRole::Audit => AUDIT_PRICE,
    };
    ProvideConfig {
        price_per_task: Some(Money(price)),
        max_cpus: Some(Cores(1_000)),
        max_memory: Some(ByteSize(256 << 20)),
        class: Some("test".parse().unwrap()),
        ..ProvideConfig::default()
    }
}

fn stakes(deterrence: Deterrence) -> Stakes {
    match deterrence {
        Deterrence::Stakes(stakes) => stakes,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn validators_over_http_convict_a_liar_and_are_paid_from_the_verification_budget() {
    let open = OpenMarket::new().await;
    let market = open.market.clone();
    let liar = Agent::start(&market, 2, OfferRole::Work, Some(Fault::WrongResults)).await;
    let mut validators = Vec::new();
    for seed in 3..5 {
        validators.push(Agent::start(&market, seed, OfferRole::Audit, None).await);
    }
    let stand = async || market.offers(&Default::default()).await.unwrap().len();
    until(&market, async || (stand().await == 3).then_some(())).await;

    let job = job(&open.path(""), 1, Verification::Audit { floor_ppm: FLOOR_PPM });
    let request = QuoteRequest { terms: job.terms.clone(), job: job.spec.clone() };
    let promised = stakes(market.quote(&request).await.unwrap().deterrence);
    assert_eq!((promised.checked_ppm, promised.bond_msat, promised.gain_msat), (FLOOR_PPM, BOND, PRICE));
    assert!(!promised.cheating_pays, "a fifth of {BOND} is more than {PRICE}");

    let (buyer, secret, id) = order(&open, &job).await;
    let granted = event(&market, &secret, |event| match event {
        Event::LeaseGranted { lease, party, .. } if party == liar.id => Some(lease),
        _ => None,
    });
    // The job may be over before it is looked at; then nothing is at stake any more.
    match market.lease(granted.await).await.unwrap().deterrence {
        Deterrence::Stakes(now) => {
            assert_eq!(u64::from(now.checked_ppm), PPM, "a newcomer is always audited")
        }
        other => assert_eq!(other, Deterrence::Settled),
    }
    let outcome = tokio::time::timeout(Duration::from_secs(120), buyer.follow(id, None, |_| {})).await;
    assert_eq!(outcome.unwrap().unwrap(), JobOutcome::Completed);

    let slashed = event(&market, &secret, |event| match event {
        Event::BondSlashed { party, bond_msat, to_buyer_msat, to_insurance_msat, .. } => {
            Some((party, bond_msat, to_buyer_msat, to_insurance_msat))
        }
        _ => None,
    });
    let insurance = BOND.saturating_sub(AUDIT_PRICE);
    assert_eq!(slashed.await, (liar.id, BOND, AUDIT_PRICE, insurance), "the buyer gets the audit back");
    let verdict = event(&market, &secret, |event| match event {
        Event::AttemptJudged { verdict: Verdict::Rejected { reason, evidence }, .. } => {
            Some((reason, evidence.unwrap().by.len()))
        }
        _ => None,
    });
    assert_eq!(verdict.await, (RejectReason::Wrong, 2), "two validators found the same other result");

    let view = market.job(&secret, id).await.unwrap();
    assert_eq!((view.tasks_done, view.paid_msat), (1, Msat(2 * AUDIT_PRICE.0)));
    for lease in &view.leases {
        let books = (lease.books.accepted, lease.books.wrong, lease.books.paid_msat);
        if lease.party == liar.id {
            assert_eq!((lease.is_audit, lease.reason), (false, Some(CloseReason::Cheated)));
            assert_eq!(books, (0, 1, Msat::ZERO));
        } else {
            assert_eq!((lease.is_audit, lease.reason), (true, Some(CloseReason::Finished)));
            assert_eq!(books, (1, 0, AUDIT_PRICE));
        }
    }
    assert_eq!(view.leases.len(), 3);
    for validator in &validators {
        let earned = market.account(&validator.party).await.unwrap().available_msat;
        assert_eq!(earned, Msat(AUDIT_PRICE.0 * 98 / 100), "less the operator's fee");
    }
    let cheat = market.account(&liar.party).await.unwrap();
    assert_eq!(
        (cheat.available_msat, cheat.withheld_msat, cheat.bond_msat),
        (Msat::ZERO, Msat::ZERO, Msat::ZERO)
    );
    let left = market.account(&secret).await.unwrap().available_msat;
    assert_eq!(left, Msat(job.terms.budget_msat.0 - 2 * AUDIT_PRICE.0 + AUDIT_PRICE.0));

    for agent in validators.into_iter().chain([liar]) {
        agent.stop().await;
    }
    open.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_that_withholds_its_link_is_charged_owes_and_takes_no_verified_job_until_it_is_paid() {
    let open = OpenMarket::with(|config| config.withholds_links = true).await;
    let market = open.market.clone();
    let worker = Agent::start(&market, 2, OfferRole::Work, None).await;
    let validator = Agent::start(&market, 3, OfferRole::Audit, None).await;
    let stand = async || market.offers(&Default::default()).await.unwrap().len();
    until(&market, async || (stand().await == 2).then_some(())).await;

    let job = job(&open.path(""), 1, Verification::Audit { floor_ppm: FLOOR_PPM });
    let (buyer, secret, id) = order(&open, &job).await;
    // Half a minute passes before the market may go on without the link.
    let outcome = tokio::time::timeout(Duration::from_secs(150), buyer.follow(id, None, |_| {})).await;
    assert_eq!(outcome.unwrap().unwrap(), JobOutcome::Completed);
    let seeded = event(&market, &secret, |event| match event {
        Event::RoundSeeded { buyer_withheld, venue_withheld, .. } => Some((buyer_withheld, venue_withheld)),
        _ => None,
    });
    assert_eq!(seeded.await, (false, true));
    let charged = event(&market, &secret, |event| match event {
        Event::VenueCharged { amount_msat, .. } => Some(amount_msat),
        _ => None,
    });
    assert_eq!(charged.await, Msat(10_000), "a replica at the ceiling");

    // A market without income pays out of what the job itself brought it, and owes the rest.
    let metric = async |name: &str| {
        let url = format!("{}/metrics", open.running.address());
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("grist_{name} "))).unwrap();
        Msat(line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    let owes = market.info().await.unwrap().owes_msat;
    assert!(owes > Msat::ZERO && owes < Msat(10_000), "{owes}");
    assert_eq!((metric("owes_msat").await, metric("operator_msat").await), (owes, Msat::ZERO));
    let paid = market.job(&secret, id).await.unwrap().venue_paid_msat;
    assert_eq!(metric("withheld_paid_msat").await, paid);
    fund(&market, &secret, Msat(1_000_000)).await;
    let refused = buyer.place(&job).await.unwrap_err();
    assert!(refused.to_string().contains("owes"), "{refused}");

    market.submit(&secret, Command::FundVenue { amount_msat: owes }).await.unwrap();
    assert_eq!(metric("owes_msat").await, Msat::ZERO);
    let placed = buyer.place(&job).await.unwrap();
    market.submit(&secret, Command::CancelJob { job: placed.job }).await.unwrap();
    for agent in [worker, validator] {
        agent.stop().await;
    }
    open.close().await;
}
