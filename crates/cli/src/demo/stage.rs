//! The demo's stage: a market in this process, parties with money and bonds, a provider process for each machine.

use super::cast::{BUYER, BUYER_FUNDS_SAT, CAST};
use crate::{
    exit::{Exit, Failure},
    output::Output,
    session::{random_digest, strange},
};
use futures_util::StreamExt;
use market::{
    command::{CERTIFICATE_DOMAIN, Command, certificate_message},
    event::Event,
    id::{MachineId, PartyId},
    key::SecretKey,
    reply::Reply,
    resources::Resources,
    units::Msat,
};
use node::{
    api::{EventCursor, OfferView},
    client::{Market, OfferQuery},
    http::{MarketConfig, RunningMarket, serve},
    provider::agent::Identity,
};
use std::{collections::BTreeMap, path::Path, pin::pin, time::Duration};
use tokio::process::Child;

/// The rules of the demo: those with short grace periods, because nobody wants to wait a minute for a dead machine.
const RULES: u32 = 4;
/// A machine of the demo that was not heard of for so long is lost, in milliseconds.
const LOST_AFTER_MS: u64 = 2_000;
/// How long a payment of play money is waited for.
const PAYMENT_PATIENCE: Duration = Duration::from_secs(10);

/// How long the providers' processes may take until their offers stand.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Somebody in the demo.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) party: PartyId,
    pub(super) topped_up: Msat,
    pub(super) bond: Msat,
    secret: SecretKey,
    machine: Option<MachineId>,
}

impl Member {
    /// Its key.
    pub(super) fn secret(&self) -> &SecretKey {
        &self.secret
    }
}

/// The stage with everybody on it.
#[derive(Debug)]
pub(super) struct Stage {
    running: RunningMarket,
    market: Market,
    members: Vec<Member>,
    processes: Vec<(PartyId, Child)>,
}

impl Stage {
    /// Opens the market, gives everybody money, and starts a process for each provider.
    pub(super) async fn set(folder: &Path, output: &Output) -> Result<Stage, Failure> {
        let mut config = MarketConfig::new(folder.join("market"));
        config.name = "the demo's market".into();
        config.rules_version = Some(RULES);
        config.lost_after_ms = LOST_AFTER_MS;
        let running =
            serve(config).await.map_err(|e| Failure::of(Exit::Unexpected, e).during("the demo's market"))?;
        output.note(&format!("a market with play money opens at {}", running.address()));
        let market = Market::connect(running.address()).await?;
        let mut stage = Stage { running, market, members: Vec::new(), processes: Vec::new() };
        stage.enter(BUYER, BUYER_FUNDS_SAT, 0).await?;
        for player in CAST {
            let secret = stage.enter(player.name, player.bond_sat, player.bond_sat).await?;
            let (machine, machine_key) = stage.certify(&secret, player.name).await?;
            if let Some(member) = stage.members.last_mut() {
                member.machine = Some(machine);
            }
            let home = folder.join("providers").join(player.name);
            let party = stage.party_of(player.name)?;
            let identity = Identity { machine, party };
            let process =
                super::provider::start(&home, stage.running.address(), identity, &machine_key, &player)?;
            stage.processes.push((party, process));
        }
        Ok(stage)
    }

    /// Registers a party and brings money in over (play) Lightning.
    async fn enter(&mut self, name: &str, funds_sat: u64, bond_sat: u64) -> Result<SecretKey, Failure> {
        let secret = SecretKey::from_bytes(random_digest()?.0);
        let party = match self.submit(&secret, Command::RegisterParty { label: name.to_owned() }).await? {
            Reply::Party(party) => party,
            other => return Err(strange(&other)),
        };
        let (topped_up, bond) = (Msat(funds_sat * 1_000), Msat(bond_sat * 1_000));
        self.top_up(&secret, topped_up).await?;
        if bond > Msat::ZERO {
            self.submit(&secret, Command::LockBond { amount_msat: bond }).await?;
        }
        let name = name.to_owned();
        self.members.push(Member { name, party, topped_up, bond, secret: secret.clone(), machine: None });
        Ok(secret)
    }

    async fn top_up(&self, secret: &SecretKey, amount_msat: Msat) -> Result<(), Failure> {
        let accepted = self.market.submit(secret, Command::TopUp { amount_msat }).await?;
        let after = EventCursor { position: accepted.position, index: u32::MAX };
        let paid = async {
            let mut events = pin!(self.market.events(Some(after), Some(secret)));
            while let Some(event) = events.next().await.transpose()? {
                match event.event {
                    Event::TopUpInvoiced { bolt11, .. } => {
                        self.market.dev_pay(&bolt11).await?;
                    }
                    Event::TopUpReceived { .. } => return Ok(()),
                    _ => {}
                }
            }
            Err(ended())
        };
        let late = |_| Failure::new(Exit::Unexpected, "play money did not arrive within ten seconds");
        tokio::time::timeout(PAYMENT_PATIENCE, paid).await.map_err(late)?
    }

    /// Gives a party a machine of one core: all of them share this computer.
    async fn certify(&self, owner: &SecretKey, label: &str) -> Result<(MachineId, SecretKey), Failure> {
        let key = SecretKey::from_bytes(random_digest()?.0);
        let consent =
            key.sign(CERTIFICATE_DOMAIN, &certificate_message(&self.market.venue(), &owner.public()));
        let capacity = Resources { cpu_milli: 1_000, memory_mib: 512, disk_mib: 512, ..Resources::default() };
        let label = label.to_owned();
        let command = Command::CertifyMachine { machine_key: key.public(), consent, label, capacity };
        match self.submit(owner, command).await? {
            Reply::Machine(machine) => Ok((machine, key)),
            other => Err(strange(&other)),
        }
    }

    async fn submit(&self, secret: &SecretKey, command: Command) -> Result<Reply, Failure> {
        Ok(self.market.submit(secret, command).await?.reply)
    }

    /// The buyer's key.
    pub(super) fn buyer(&self) -> Result<&SecretKey, Failure> {
        let buyer = self.members.iter().find(|member| member.name == BUYER);
        buyer.map(Member::secret).ok_or_else(|| Failure::new(Exit::Unexpected, "the demo has no buyer"))
    }

    /// The market.
    pub(super) fn market(&self) -> &Market {
        &self.market
    }

    /// Everybody.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Who is who.
    pub(super) fn script(&self) -> Script {
        let name = |member: &Member| (member.party, member.name.clone());
        let machine = |member: &Member| Some((member.machine?, member.party));
        Script {
            names: self.members.iter().map(name).collect(),
            machines: self.members.iter().filter_map(machine).collect(),
        }
    }

    /// The party of a player.
    pub(super) fn party_of(&self, name: &str) -> Result<PartyId, Failure> {
        let member = self.members.iter().find(|member| member.name == name);
        member
            .map(|member| member.party)
            .ok_or_else(|| Failure::new(Exit::Unexpected, format!("{name} is not in the demo")))
    }

    /// Waits until every provider's offer stands.
    pub(super) async fn wait_for_offers(&self) -> Result<Vec<OfferView>, Failure> {
        let all_stand = async {
            let mut events = pin!(self.market.events(Some(EventCursor::default()), None));
            let mut standing = 0;
            while standing < CAST.len() {
                let event = events.next().await.ok_or_else(ended)??;
                standing += usize::from(matches!(event.event, Event::OfferPosted { .. }));
            }
            Ok::<_, Failure>(self.market.offers(&OfferQuery::default()).await?)
        };
        let late = |_| {
            let text =
                "the demo's providers did not start within 30 seconds: end other programs and try again";
            Failure::new(Exit::Incomplete, text)
        };
        tokio::time::timeout(START_PATIENCE, all_stand).await.map_err(late)?
    }

    /// Kills a provider's process, as a power cut would.
    pub(super) async fn kill(&mut self, party: PartyId) -> Result<(), Failure> {
        for (owner, process) in &mut self.processes {
            if *owner == party {
                process
                    .kill()
                    .await
                    .map_err(|e| Failure::of(Exit::Unexpected, e).during("killing a provider"))?;
            }
        }
        Ok(())
    }

    /// The address of the market.
    pub(super) fn address(&self) -> &str {
        self.running.address()
    }

    /// Ends the providers, then the market.
    pub(super) async fn strike(mut self) -> Result<(), Failure> {
        for (_, process) in &mut self.processes {
            // One that has ended already needs no killing.
            let _ = process.kill().await;
        }
        self.running
            .shutdown()
            .await
            .map_err(|e| Failure::of(Exit::Unexpected, e).during("the demo's market"))
    }
}

/// Who is who in the demo.
#[derive(Debug)]
pub(super) struct Script {
    names: BTreeMap<PartyId, String>,
    machines: BTreeMap<MachineId, PartyId>,
}

impl Script {
    /// The providers' parties with their names.
    pub(super) fn parties(&self) -> impl Iterator<Item = (PartyId, &str)> {
        self.machines.values().map(|party| (*party, self.name(*party)))
    }

    /// The providers' machines.
    pub(super) fn machines(&self) -> impl Iterator<Item = MachineId> {
        self.machines.keys().copied()
    }

    /// What a party is called.
    pub(super) fn name(&self, party: PartyId) -> &str {
        self.names.get(&party).map_or("somebody", String::as_str)
    }

    /// What the owner of a machine is called.
    pub(super) fn machine_name(&self, machine: MachineId) -> Option<&str> {
        self.machines.get(&machine).map(|party| self.name(*party))
    }
}

/// The stream of events ended, which it does not while the market runs.
fn ended() -> Failure {
    Failure::new(Exit::Unexpected, "the demo's market tells of no more events")
}
