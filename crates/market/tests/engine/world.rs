//! A small market for tests: a venue, parties with machines, and honest or crooked ways to work.

#![expect(unreachable_pub, clippy::unwrap_used, reason = "a test's own module")]

use market::{
    command::{
        AuditLink, CERTIFICATE_DOMAIN, Claim, Command, Commit, Reveal, TopUpOutcome, certificate_message,
    },
    effect::Effect,
    engine::{
        Applied, Engine,
        state::{Attempt, AttemptPhase, HoldPhase, JobPhase, LeasePhase},
    },
    event::{Event, PlacedEvent},
    funding::{EncryptedResult, SaleOffer},
    id::{AttemptId, Digest, JobId, LeaseId, MachineId, OfferId, PartyId},
    job::{JobSpec, TaskLimits, Verification},
    key::{PublicKey, SecretKey},
    ledger::Account,
    log::{PublicLog, SignedHead},
    offer::{OfferRole, OfferTerms},
    order::{Needs, OrderKind, OrderTerms},
    preimage::Preimage,
    receipt::{Receipt, ReceiptBody},
    rejection::Rejection,
    reply::{Item, Reply},
    resources::{Isolation, Resources},
    statement::Checked,
    units::{Msat, Rate, TimeMs},
    verify::{Chain, Exit, TaskResult, rounds_for, seal},
};
use std::collections::BTreeMap;

/// A party with one machine.
pub struct Provider {
    pub party: PartyId,
    pub key: SecretKey,
    pub machine: MachineId,
    pub machine_key: SecretKey,
    pub offer: OfferId,
    /// What this machine answers for a task.
    pub answer: fn(u32) -> u8,
}

/// A party that buys.
pub struct Buyer {
    pub party: PartyId,
    pub key: SecretKey,
}

/// The market and everything that happened in it.
pub struct World {
    pub engine: Engine,
    pub venue: SecretKey,
    pub now: TimeMs,
    pub events: Vec<Event>,
    pub effects: Vec<Effect>,
    /// Whether venue and buyer answer audit rounds by themselves.
    pub venue_answers: bool,
    pub buyer_answers: bool,
    /// Whether the venue reveals its links when it answers.
    pub venue_reveals: bool,
    nonce: u8,
    keys: u8,
    chains: BTreeMap<JobId, (Buyer, Chain, Chain)>,
}

pub fn honest(_: u32) -> u8 {
    1
}

pub fn resources(cpus: u64) -> Resources {
    Resources { cpu_milli: cpus * 1_000, memory_mib: cpus * 1_024, ..Resources::default() }
}

pub fn offer_terms(role: OfferRole, rate: Rate) -> OfferTerms {
    OfferTerms {
        role,
        rate,
        resources: resources(4),
        isolation: Isolation::WasmConfined,
        region: "eu".parse().unwrap(),
        class: "x86-64".parse().unwrap(),
        attributes: BTreeMap::new(),
        lease_max_ms: 86_400_000,
        holds: None,
        sales: None,
    }
}

pub fn order_terms(slots: u32, ceiling: Rate, budget_msat: Msat) -> OrderTerms {
    OrderTerms {
        kind: OrderKind::Ask,
        slots,
        ceiling,
        budget_msat,
        needs: Needs {
            resources: resources(1),
            isolation: Isolation::Wasm,
            region: None,
            attributes: BTreeMap::new(),
            min_reputation_ppm: 0,
            min_bond_msat: Msat::ZERO,
        },
        lease_max_ms: 3_600_000,
        funding: None,
    }
}

pub fn job(tasks: u32, verification: Verification) -> JobSpec {
    JobSpec {
        name: "test".into(),
        profile: "wasm-1".into(),
        module: Digest([1; 32]),
        args: vec![],
        env: BTreeMap::new(),
        stdin: None,
        inputs: vec![],
        tasks,
        max_parallel: 1_000,
        retries: 3,
        duplicate_stragglers: false,
        limits: TaskLimits { memory_mib: 64, output_bytes: 1_000, fuel: 1_000_000, timeout_ms: 60_000 },
        verification,
    }
}

pub fn result(answer: u8) -> TaskResult {
    TaskResult { exit: Exit::Code(0), output: Digest([answer; 32]), fuel: 500_000 }
}

/// What opens a slice of a lease's hold in these tests.
pub fn preimage(lease: LeaseId, slice: u8) -> Preimage {
    Preimage(Digest::of_parts("test slice", &[&lease.0.to_le_bytes(), &[slice]]).0)
}

/// What opens an encrypted result in these tests.
pub fn key_of(attempt: AttemptId) -> Preimage {
    Preimage(Digest::of_parts("test key", &[&attempt.0.to_le_bytes()]).0)
}

/// What a result is encrypted in.
pub fn ciphertext_of(attempt: AttemptId) -> Digest {
    Digest::of_parts("test ciphertext", &[&attempt.0.to_le_bytes()])
}

impl World {
    pub fn new() -> World {
        let venue = SecretKey::from_bytes([255; 32]);
        World {
            engine: Engine::new(venue.public()),
            venue,
            now: TimeMs(1_000_000),
            events: vec![],
            effects: vec![],
            venue_answers: true,
            buyer_answers: true,
            venue_reveals: true,
            nonce: 0,
            keys: 0,
            chains: BTreeMap::new(),
        }
    }

    pub fn new_key(&mut self) -> SecretKey {
        self.keys += 1;
        SecretKey::from_bytes([self.keys; 32])
    }

    /// Applies a command, checks every invariant, and lets the venue answer effects.
    pub fn apply(&mut self, signer: PublicKey, command: Command) -> Result<Applied, Rejection> {
        self.nonce = self.nonce.wrapping_add(1);
        let digest = Digest::of_parts("test", &[&self.now.0.to_le_bytes(), &[self.nonce], &signer.0]);
        let checked = Checked { signer, digest, not_after_ms: self.now.plus(60_000), seen: None, command };
        self.apply_checked(&checked)
    }

    pub fn apply_checked(&mut self, checked: &Checked) -> Result<Applied, Rejection> {
        let applied = self.engine.apply(self.now, checked);
        self.engine.check_invariants().unwrap();
        let applied = applied?;
        self.events.extend(applied.events.iter().cloned());
        for (_, effect) in &applied.effects {
            self.effects.push(effect.clone());
            self.answer(effect);
        }
        Ok(applied)
    }

    fn answer(&mut self, effect: &Effect) {
        if !self.venue_answers {
            return;
        }
        match effect {
            Effect::AnchorAudits { job, rounds } => {
                let anchor = Chain::new(Digest([9; 32]), *rounds).anchor();
                self.as_venue(Command::AnchorAudits { job: *job, anchor });
            }
            Effect::RevealVenueLink { job, round } => {
                if self.venue_reveals {
                    self.reveal_venue_link(*job, *round);
                }
                if self.buyer_answers {
                    self.reveal_buyer_link(*job, *round).unwrap();
                }
            }
            Effect::DealHold { lease, slices } => {
                let hashes = (0..*slices).map(|slice| preimage(*lease, slice).payment_hash()).collect();
                self.as_venue(Command::DealHold { lease: *lease, hashes });
            }
            Effect::ReleaseHold { lease, slices } => {
                let preimages = (0..*slices).map(|slice| preimage(*lease, slice)).collect();
                self.as_venue(Command::ReleaseHold { lease: *lease, preimages });
            }
            Effect::CreateInvoice { .. } | Effect::PayInvoice { .. } | Effect::JudgeKey { .. } => {}
        }
    }

    pub fn reveal_venue_link(&mut self, job: JobId, round: u32) {
        let link = self.chains[&job].2.link(round).unwrap();
        self.as_venue(Command::RevealVenueLink(AuditLink { job, round, link }));
    }

    pub fn reveal_buyer_link(&mut self, job: JobId, round: u32) -> Result<Applied, Rejection> {
        let (buyer, chain, _) = &self.chains[&job];
        let (key, link) = (buyer.key.public(), chain.link(round).unwrap());
        self.apply(key, Command::RevealBuyerLink(AuditLink { job, round, link }))
    }

    pub fn as_venue(&mut self, command: Command) -> Applied {
        let key = self.venue.public();
        self.apply(key, command).unwrap()
    }

    /// Lets time pass and ticks.
    pub fn wait(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.as_venue(Command::Tick);
    }

    pub fn fund(&mut self, key: &SecretKey, amount_msat: Msat) {
        let reply = self.apply(key.public(), Command::TopUp { amount_msat }).unwrap().reply;
        let Reply::TopUp(topup) = reply else { panic!("{reply:?}") };
        self.as_venue(Command::TopUpOutcome { topup, outcome: TopUpOutcome::Received { amount_msat } });
    }

    pub fn party(&mut self, label: &str, funds: Msat) -> (PartyId, SecretKey) {
        let key = self.new_key();
        let reply = self.apply(key.public(), Command::RegisterParty { label: label.into() }).unwrap().reply;
        let Reply::Party(party) = reply else { panic!("{reply:?}") };
        if funds > Msat::ZERO {
            self.fund(&key, funds);
        }
        (party, key)
    }

    pub fn buyer(&mut self, funds: Msat) -> Buyer {
        let (party, key) = self.party("buyer", funds);
        Buyer { party, key }
    }

    pub fn machine(&mut self, owner: &SecretKey, cpus: u64) -> (MachineId, SecretKey) {
        let key = self.new_key();
        let consent =
            key.sign(CERTIFICATE_DOMAIN, &certificate_message(&self.venue.public(), &owner.public()));
        let capacity = resources(cpus);
        let label = "machine".to_owned();
        let command = Command::CertifyMachine { machine_key: key.public(), consent, label, capacity };
        let reply = self.apply(owner.public(), command).unwrap().reply;
        let Reply::Machine(machine) = reply else { panic!("{reply:?}") };
        (machine, key)
    }

    pub fn provider(&mut self, terms: OfferTerms, bond: Msat, answer: fn(u32) -> u8) -> Provider {
        let (party, key) = self.party("provider", Msat(bond.0 + 1_000));
        if bond > Msat::ZERO {
            self.apply(key.public(), Command::LockBond { amount_msat: bond }).unwrap();
        }
        let (machine, machine_key) = self.machine(&key, 4);
        let offer = self.offer(&machine_key, machine, terms);
        Provider { party, key, machine, machine_key, offer, answer }
    }

    pub fn offer(&mut self, machine_key: &SecretKey, machine: MachineId, terms: OfferTerms) -> OfferId {
        let command = Command::PostOffer { machine, terms: Box::new(terms) };
        let reply = self.apply(machine_key.public(), command).unwrap().reply;
        let Reply::Offer(offer) = reply else { panic!("{reply:?}") };
        offer
    }

    pub fn place(&mut self, buyer: &Buyer, terms: OrderTerms, spec: JobSpec) -> Result<JobId, Rejection> {
        let rounds = rounds_for(spec.tasks);
        let (mine, venues) = (Chain::new(Digest([8; 32]), rounds), Chain::new(Digest([9; 32]), rounds));
        let audit_anchor = (spec.verification != Verification::None).then(|| mine.anchor());
        let job = self.engine.state().jobs.next_id();
        let owner = Buyer { party: buyer.party, key: buyer.key.clone() };
        self.chains.insert(job, (owner, mine, venues));
        let command = Command::PlaceOrder { terms: Box::new(terms), job: Box::new(spec), audit_anchor };
        self.apply(buyer.key.public(), command)?;
        Ok(job)
    }

    pub fn leases_of(&self, provider: &Provider) -> Vec<LeaseId> {
        let leases = self.engine.state().machine(provider.machine).leases.iter();
        leases.copied().collect()
    }

    /// Starts every lease of a provider that waits for it and is funded.
    pub fn start(&mut self, provider: &Provider) {
        for lease in self.leases_of(provider) {
            let row = self.engine.state().lease(lease);
            let is_funded = row.hold.as_ref().is_none_or(|hold| hold.phase == HoldPhase::Funded);
            if is_funded && matches!(row.phase, LeasePhase::Granted { .. }) {
                self.apply(provider.machine_key.public(), Command::StartLease { lease }).unwrap();
            }
        }
    }

    /// Claims up to `max` tasks under every lease of a provider.
    pub fn claim(&mut self, provider: &Provider, max: u32) -> Vec<(AttemptId, u32)> {
        let mut attempts = vec![];
        for lease in self.leases_of(provider) {
            let command = Command::ClaimTasks { claims: vec![Claim { lease, max }] };
            if let Ok(Applied { reply: Reply::Claimed(items), .. }) =
                self.apply(provider.machine_key.public(), command)
            {
                for item in items {
                    let Item::Done(grants) = item else { continue };
                    attempts.extend(grants.iter().map(|grant| (grant.attempt, grant.task)));
                }
            }
        }
        attempts
    }

    pub fn commit(
        &mut self,
        provider: &Provider,
        attempts: &[(AttemptId, u32)],
    ) -> Result<Applied, Rejection> {
        let seal_of = |(attempt, task): &(AttemptId, u32)| Commit {
            attempt: *attempt,
            seal: seal(*task, *attempt, provider.party, &Digest([7; 32]), &result((provider.answer)(*task))),
        };
        let commits = attempts.iter().map(seal_of).collect();
        self.apply(provider.machine_key.public(), Command::CommitResults { commits })
    }

    /// What a provider offers for an attempt whose result it sells.
    pub fn for_sale(&self, provider: &Provider, id: AttemptId, attempt: &Attempt) -> Option<SaleOffer> {
        self.engine.state().lease(attempt.lease).sales.get(&id)?;
        let output = result((provider.answer)(attempt.task)).output;
        let parts = (key_of(id).payment_hash(), ciphertext_of(id), Digest([7; 32]));
        let venue = self.venue.public();
        let encrypted = EncryptedResult::sign(&provider.machine_key, &venue, id, output, parts);
        Some(SaleOffer { encrypted, invoice: format!("lnbcrt{}", id.0) })
    }

    /// Reveals everything that is to be revealed.
    pub fn reveal(&mut self, provider: &Provider) {
        let state = self.engine.state();
        let open = state.attempts.iter().filter(|(_, attempt)| {
            attempt.party == provider.party && matches!(attempt.phase, AttemptPhase::Open { .. })
        });
        let reveals: Vec<_> = open
            .map(|(id, attempt)| Reveal {
                attempt: *id,
                salt: Digest([7; 32]),
                result: result((provider.answer)(attempt.task)),
                sale: self.for_sale(provider, *id, attempt),
            })
            .collect();
        if !reveals.is_empty() {
            self.apply(provider.machine_key.public(), Command::RevealResults { reveals }).unwrap();
        }
    }

    /// Everybody works until nothing moves any more.
    pub fn work(&mut self, providers: &[&Provider]) {
        for _ in 0..200 {
            let before = self.engine.state().position;
            for provider in providers {
                self.start(provider);
            }
            for provider in providers {
                let attempts = self.claim(provider, 2);
                if !attempts.is_empty() {
                    self.now = self.now.plus(100);
                    self.commit(provider, &attempts).unwrap();
                }
                self.reveal(provider);
            }
            if self.engine.state().position == before {
                return;
            }
        }
        panic!("the work never ends");
    }

    /// The receipt of a settled job, in a public log of its own.
    pub fn receipt(&self, job: JobId) -> Receipt {
        let state = self.engine.state();
        let JobPhase::Settled { outcome, refunded_msat, .. } = state.job(job).phase else {
            panic!("the job is not settled")
        };
        let mut body = ReceiptBody::of(state, job, outcome, refunded_msat);
        let JobPhase::Settled { position, at, .. } = state.job(job).phase else { unreachable!() };
        (body.position, body.settled_at_ms) = (position, at);
        let mut log = PublicLog::new();
        let settled = Event::JobSettled {
            job,
            buyer: state.job(job).buyer,
            outcome,
            paid_msat: body.paid_msat,
            refunded_msat,
            receipt: body.digest(),
        };
        let placed = PlacedEvent { position, index: 0, at_ms: at, event: settled };
        let leaf = serde_json::to_string(&placed).unwrap();
        log.append(leaf.as_bytes());
        let inclusion = log.inclusion_proof(0, 1).unwrap();
        let head = SignedHead::sign(log.head(), at, &self.venue);
        Receipt::sign(body, &self.venue, leaf, inclusion, head)
    }

    pub fn available(&self, party: PartyId) -> Msat {
        self.engine.state().ledger.available(Account::Available(party))
    }

    pub fn bond(&self, party: PartyId) -> Msat {
        self.engine.state().ledger.available(Account::Bond(party))
    }

    pub fn balance(&self, account: Account) -> Msat {
        self.engine.state().ledger.available(account)
    }
}
