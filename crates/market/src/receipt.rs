//! Receipts: the complete story of a settled job, signed by the venue and checkable offline.
//!
//! [`Receipt::verify`] recomputes everything that can be recomputed: that bills follow from verdicts and rates, that
//! what was locked is what was paid plus what came back, that the venue signed it, and that the settlement stands in
//! the venue's public log.

use crate::{
    engine::state::{JudgedAttempt, LeasePhase, Sale, SaleOutcome, Sold, State},
    event::{Event, JobOutcome, PlacedEvent, TaskOutcome, Verdict},
    funding::{EncryptedResult, Funding, SalePrice, divide},
    id::{AttemptId, Digest, JobId, LeaseId, MachineId, OrderId, PartyId, PaymentHash},
    job::Verification,
    key::{PublicKey, SecretKey, Signature},
    lease::{CloseReason, Settlement},
    log::{InclusionProof, SignedHead, verify_inclusion},
    name::Name,
    preimage::Preimage,
    rules::Rules,
    units::{Msat, Rate, TimeMs, Unit},
    verify::Deterrence,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The domain of receipt signatures.
pub const DOMAIN: &str = "gristmill 2026 receipt v1";

/// What happened, without proofs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptBody {
    /// Format version: 4 when results are paid to decrypt, 3 when it names a session or holds, 2 when it names a demanded bond or what the venue paid, else 1.
    pub v: u32,
    /// The venue.
    pub venue: PublicKey,
    /// The job.
    pub job: JobId,
    /// Its order.
    pub order: OrderId,
    /// Who paid.
    pub buyer: PartyId,
    /// The job's name.
    pub name: String,
    /// Digest of the whole job spec, in JSON.
    pub spec: Digest,
    /// The module that ran.
    pub module: Digest,
    /// The execution profile: what re-executing the bill needs.
    pub profile: String,
    /// How results were verified; `none` means that nobody checked them.
    pub verification: Verification,
    /// When it was placed.
    pub placed_at_ms: TimeMs,
    /// When it was settled.
    pub settled_at_ms: TimeMs,
    /// Position of the journal entry that settled it.
    pub position: u64,
    /// The version of the rules at settlement.
    pub rules_version: u32,
    /// How it ended.
    pub outcome: JobOutcome,
    /// What the job could cost the buyer's balance, and unless `funding` says otherwise what had been locked.
    pub budget_msat: Msat,
    /// How it was funded, when not by the whole budget at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub funding: Option<Funding>,
    /// What a session had taken from the buyer's balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub funded_msat: Option<Msat>,
    /// What the venue added to it, because it withheld audit links of the job.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub venue_paid_msat: Msat,
    /// The bond that the order demanded of providers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_bond_msat: Option<Msat>,
    /// What was paid, fees included.
    pub paid_msat: Msat,
    /// What came back to the buyer.
    pub refunded_msat: Msat,
    /// Its leases.
    pub leases: Vec<LeaseReceipt>,
    /// Its tasks, by number.
    pub tasks: Vec<TaskReceipt>,
}

/// A lease on a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseReceipt {
    /// Which.
    pub lease: LeaseId,
    /// The machine.
    pub machine: MachineId,
    /// Who was paid.
    pub party: PartyId,
    /// The hardware class.
    pub class: Name,
    /// The price.
    pub rate: Rate,
    /// Whether it ran hidden replicas only.
    pub is_audit: bool,
    /// Why it ended.
    pub reason: CloseReason,
    /// Its books.
    pub books: Settlement,
    /// The payments that funded it, where a hold did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldReceipt>,
    /// Its results that were paid to decrypt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sales: Vec<SaleReceipt>,
}

/// A result that was paid to decrypt, on a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaleReceipt {
    /// Whose result.
    pub attempt: AttemptId,
    /// The task's number.
    pub task: u32,
    /// The digest that replicas vouched for.
    pub output: Digest,
    /// What it cost.
    pub price: SalePrice,
    /// What the provider signed: with the preimage and the ciphertext anybody can check it.
    pub encrypted: EncryptedResult,
    /// How it ended.
    pub fate: SaleFate,
}

/// How a sale ended. The preimage of one that was sold is the buyer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaleFate {
    /// The buyer paid the provider's invoice and has shown the key.
    Sold,
    /// The buyer has shown no key in time; the provider has the deposit.
    Unsold,
    /// The key opens something else.
    Forged {
        /// What the key is made of.
        preimage: Preimage,
        /// The digest of what it opens; nothing when it opens nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opened: Option<Digest>,
    },
}

impl SaleReceipt {
    /// `None` of a sale that is not over.
    fn of(attempt: AttemptId, sale: &Sale) -> Option<SaleReceipt> {
        let offered = sale.offered()?;
        let fate = match sale.outcome()? {
            SaleOutcome::Sold { .. } => SaleFate::Sold,
            SaleOutcome::Unsold => SaleFate::Unsold,
            SaleOutcome::Forged { preimage, opened } => SaleFate::Forged { preimage, opened },
        };
        let (output, encrypted) = (offered.result.output, offered.offer.encrypted);
        Some(SaleReceipt { attempt, task: sale.task, output, price: sale.price, encrypted, fate })
    }

    fn check(&self, venue: &PublicKey) -> Result<(), BadReceipt> {
        let wrong = |what: &str| Err(BadReceipt::Sums(format!("{}: {what}", self.attempt)));
        if self.encrypted.verify(venue, self.attempt, self.output).is_err() {
            return wrong("the provider has not signed what it is said to have sold");
        }
        if let SaleFate::Forged { preimage, opened } = self.fate {
            if preimage.payment_hash() != self.encrypted.payment_hash {
                return wrong("what is said to be the key is not on its payment hash");
            }
            if opened == Some(self.output) {
                return wrong("the key that is said to be forged opens what it should");
            }
        }
        Ok(())
    }
}

/// A hold on a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldReceipt {
    /// One slice.
    pub slice_msat: Msat,
    /// What the provider said that it held; nothing when the buyer did not pay.
    pub funded_msat: Msat,
    /// The payment hash of each slice.
    pub payment_hashes: Vec<PaymentHash>,
    /// How many of them the provider got the preimages of, from the first on. The others went back to the buyer.
    pub released: u8,
}

impl HoldReceipt {
    /// What went back to the buyer of what was held.
    pub fn returned_msat(&self) -> Msat {
        self.funded_msat.saturating_sub(Msat(self.slice_msat.0.saturating_mul(self.released.into())))
    }
}

/// A task on a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskReceipt {
    /// How it ended.
    pub outcome: TaskOutcome,
    /// Every attempt, with its verdict.
    pub attempts: Vec<JudgedAttempt>,
}

/// A receipt with its proofs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// What happened.
    pub body: ReceiptBody,
    /// The venue's signature over the digest of the body.
    pub signature: Signature,
    /// The leaf of the public log that announces the settlement: JSON of a [`PlacedEvent`], verbatim.
    pub leaf: String,
    /// Where the leaf is in the log.
    pub inclusion: InclusionProof,
    /// The head that the proof leads to.
    pub head: SignedHead,
}

/// Why a receipt is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReceipt {
    /// A version from the future.
    #[error("receipt version {0} is not known here; this program reads versions 1 to 4")]
    Version(u32),
    /// Another venue than expected.
    #[error("the receipt is from venue {found}, not from {expected}")]
    WrongVenue {
        /// Whom it is from.
        found: PublicKey,
        /// Whom it should be from.
        expected: PublicKey,
    },
    /// The venue did not sign this.
    #[error("the venue's signature does not fit the receipt: it was changed, or is not the venue's")]
    BadSignature,
    /// The money does not add up.
    #[error("the money does not add up: {0}")]
    Sums(String),
    /// The leaf does not announce this receipt.
    #[error("the public log's entry is not about this receipt")]
    WrongLeaf,
    /// The leaf is not in the log.
    #[error("the entry is not in the public log that the head signs")]
    NotIncluded,
}

impl ReceiptBody {
    /// The story of a job that is being settled now. Panics when a lease of it is not closed or a task has no outcome:
    /// the engine settles only then.
    pub fn of(state: &State, job: JobId, outcome: JobOutcome, refunded_msat: Msat) -> ReceiptBody {
        let row = state.job(job);
        let lease_receipt = |id: &LeaseId| {
            let lease = state.lease(*id);
            let LeasePhase::Closed { reason, .. } = lease.phase else {
                panic!("{id} is settled before it is closed")
            };
            LeaseReceipt {
                lease: *id,
                machine: lease.machine,
                party: lease.party,
                class: lease.class.clone(),
                rate: lease.rate,
                is_audit: lease.is_audit,
                reason,
                books: lease.books,
                hold: lease.hold.as_ref().map(|hold| HoldReceipt {
                    slice_msat: hold.slice_msat,
                    funded_msat: hold.funded_msat,
                    payment_hashes: hold.hashes.clone(),
                    released: hold.released(),
                }),
                sales: lease.sales.iter().filter_map(|(id, sale)| SaleReceipt::of(*id, sale)).collect(),
            }
        };
        let tasks = row.tasks.iter().map(|task| TaskReceipt {
            outcome: task.outcome.unwrap_or_else(|| panic!("{job} is settled before its tasks are finished")),
            attempts: task.judged.clone(),
        });
        let terms = &state.order(row.order).terms;
        let names_bond = Rules::version(state.rules_version).is_some_and(|rules| rules.receipts_name_bond);
        let min_bond_msat = names_bond.then_some(terms.needs.min_bond_msat);
        let venue_paid_msat = state.venue_paid(job);
        ReceiptBody {
            v: match terms.funding {
                Some(Funding::Decrypt { .. }) => 4,
                Some(Funding::Session { .. } | Funding::Hold { .. }) => 3,
                None if min_bond_msat.is_some() || !is_zero(&venue_paid_msat) => 2,
                None => 1,
            },
            venue: state.venue,
            job,
            order: row.order,
            buyer: row.buyer,
            name: row.spec.name.clone(),
            spec: Digest::of(&json(&row.spec)),
            module: row.spec.module,
            profile: row.spec.profile.clone(),
            verification: row.spec.verification.clone(),
            placed_at_ms: row.placed_at,
            settled_at_ms: state.now,
            position: state.position + 1,
            rules_version: state.rules_version,
            outcome,
            budget_msat: terms.budget_msat,
            funding: terms.funding,
            funded_msat: matches!(terms.funding, Some(Funding::Session { .. })).then_some(row.funded_msat),
            venue_paid_msat,
            min_bond_msat,
            paid_msat: row.paid_msat,
            refunded_msat,
            leases: row.leases.iter().map(lease_receipt).collect(),
            tasks: tasks.collect(),
        }
    }

    /// What the terms of the order promised to stand against cheating on any of its tasks: the least share of audits, the
    /// demanded bond, nothing withheld yet, and the dearest task. Older receipts do not name the bond: none is counted.
    pub fn deterrence(&self) -> Deterrence {
        let floor_ppm = match self.verification {
            Verification::Audit { floor_ppm } => floor_ppm,
            Verification::None | Verification::Replicas { .. } => 0,
        };
        let by_time =
            self.leases.iter().filter(|lease| lease.rate.unit == Unit::Ms && lease.books.accepted > 0);
        let by_time = by_time.map(|lease| lease.books.paid_msat.0.div_ceil(lease.books.accepted.into()));
        let attempts = self.tasks.iter().flat_map(|task| &task.attempts);
        let sales = self.leases.iter().flat_map(|lease| &lease.sales).map(|sale| sale.price.price_msat.0);
        let paid = attempts.map(|attempt| attempt.paid_msat.0);
        let gain_msat = paid.chain(by_time).chain(sales).max().unwrap_or(0);
        let bond_msat = self.min_bond_msat.unwrap_or(Msat::ZERO);
        Deterrence::new(&self.verification, floor_ppm, Msat::ZERO, bond_msat, Msat(gain_msat))
    }

    /// The digest that is signed and announced: BLAKE3 of the JSON.
    pub fn digest(&self) -> Digest {
        Digest::of(&json(self))
    }

    /// Recomputes the money: every lease's pay from its verdicts and its rate, and the job's from its leases.
    fn check_sums(&self) -> Result<(), BadReceipt> {
        let mut by_lease: BTreeMap<LeaseId, Recomputed> = BTreeMap::new();
        for attempt in self.tasks.iter().flat_map(|task| &task.attempts) {
            let sums = by_lease.entry(attempt.lease).or_default();
            sums.paid += u128::from(attempt.paid_msat.0);
            if let (Verdict::Accepted { .. }, Some(result)) = (&attempt.verdict, attempt.result) {
                sums.accepted += 1;
                sums.fuel += u128::from(result.fuel);
            }
        }
        let mut paid = 0u128;
        let mut direct = 0u128;
        for lease in &self.leases {
            lease.check(by_lease.remove(&lease.lease).unwrap_or_default())?;
            lease.sales.iter().try_for_each(|sale| sale.check(&self.venue))?;
            direct += self.check_hold(lease)? + u128::from(lease.sold().direct_msat().0);
            paid += u128::from(lease.books.paid_msat.0) + u128::from(lease.books.compensation_msat.0);
        }
        if let Some(lease) = by_lease.into_keys().next() {
            return Err(BadReceipt::Sums(format!("attempts of {lease}, which is not on the receipt")));
        }
        if paid != u128::from(self.paid_msat.0) {
            return Err(BadReceipt::Sums(format!(
                "leases were paid {paid} msat, the receipt says {:?}",
                self.paid_msat
            )));
        }
        let funded_msat = self.funded_msat.unwrap_or(self.budget_msat);
        if funded_msat > self.budget_msat {
            return Err(BadReceipt::Sums("the session took more than the budget".into()));
        }
        let locked = u128::from(funded_msat.0) + u128::from(self.venue_paid_msat.0) + direct;
        if locked != paid + u128::from(self.refunded_msat.0) {
            return Err(BadReceipt::Sums("what was locked is not what was paid plus what came back".into()));
        }
        Ok(())
    }

    /// Recomputes how many slices of a lease's hold its pay comes to; the answer is what they are worth, in msat.
    fn check_hold(&self, lease: &LeaseReceipt) -> Result<u128, BadReceipt> {
        let Some(hold) = &lease.hold else { return Ok(0) };
        let wrong = |what: &str| Err(BadReceipt::Sums(format!("{}: {what}", lease.lease)));
        let Some(rules) = Rules::version(self.rules_version) else {
            return wrong("the rules that divided its hold are not known here");
        };
        let earned = Msat(lease.books.paid_msat.0.saturating_add(lease.books.compensation_msat.0));
        let slices = hold.payment_hashes.len() as u8;
        let division = divide(&rules, hold.slice_msat, slices, earned);
        if division.released != hold.released || division.fee_msat != lease.books.fee_msat {
            return wrong("the slices released are not what it earned");
        }
        let released = u128::from(hold.slice_msat.0) * u128::from(hold.released);
        if released > u128::from(hold.funded_msat.0) {
            return wrong("more was released than was held");
        }
        Ok(released)
    }
}

/// What the verdicts of a lease come to.
#[derive(Default)]
struct Recomputed {
    accepted: u128,
    fuel: u128,
    paid: u128,
}

impl LeaseReceipt {
    /// What its results were sold for.
    fn sold(&self) -> Sold {
        let sold = self.sales.iter().filter(|sale| sale.fate == SaleFate::Sold);
        Sold::sum(sold.map(|sale| &sale.price))
    }

    fn check(&self, sums: Recomputed) -> Result<(), BadReceipt> {
        let wrong = |what: &str| Err(BadReceipt::Sums(format!("{}: {what}", self.lease)));
        if sums.accepted != u128::from(self.books.accepted) {
            return wrong("the accepted attempts are not those of its tasks");
        }
        let usage = match self.rate.unit {
            // What is sold has a price of its own.
            Unit::Task => sums.accepted.saturating_sub(self.sales.len() as u128),
            Unit::Fuel => sums.fuel,
            Unit::Ms => u128::from(self.books.usage),
        };
        if usage != u128::from(self.books.usage) {
            return wrong("the usage is not what its accepted results add up to");
        }
        let sold = self.sold().price_msat;
        if self.reason == CloseReason::Cheated {
            let is_unpaid = self.books.paid_msat == sold && self.books.compensation_msat == Msat::ZERO;
            return if is_unpaid { Ok(()) } else { wrong("a proven cheat was paid") };
        }
        let bill =
            self.rate.bill(self.books.usage).map_err(|_| BadReceipt::Sums("a bill does not fit".into()))?;
        let paid = u128::from(self.books.paid_msat.0);
        if u128::from(bill.0) + u128::from(sold.0) != paid {
            return wrong("the pay is not its rate times its usage");
        }
        if self.rate.unit != Unit::Ms && sums.paid + u128::from(sold.0) != paid {
            return wrong("the pay is not what its attempts earned");
        }
        Ok(())
    }
}

impl Receipt {
    /// Puts the venue's signature and the proofs to a body.
    pub fn sign(
        body: ReceiptBody,
        venue: &SecretKey,
        leaf: String,
        inclusion: InclusionProof,
        head: SignedHead,
    ) -> Receipt {
        let signature = venue.sign(DOMAIN, &body.digest().0);
        Receipt { body, signature, leaf, inclusion, head }
    }

    /// Checks everything that can be checked offline. `expected` is the venue's key, where it is known from elsewhere;
    /// without it the receipt proves only that whoever holds the key that it names has signed it.
    pub fn verify(&self, expected: Option<&PublicKey>) -> Result<(), BadReceipt> {
        let body = &self.body;
        if !(1..=4).contains(&body.v) {
            return Err(BadReceipt::Version(body.v));
        }
        if let Some(expected) = expected.filter(|key| **key != body.venue) {
            return Err(BadReceipt::WrongVenue { found: body.venue, expected: *expected });
        }
        let digest = body.digest();
        body.venue.verify(DOMAIN, &digest.0, &self.signature).map_err(|_| BadReceipt::BadSignature)?;
        if self.head.venue != body.venue || self.head.verify().is_err() {
            return Err(BadReceipt::BadSignature);
        }
        body.check_sums()?;
        let leaf: PlacedEvent = serde_json::from_str(&self.leaf).map_err(|_| BadReceipt::WrongLeaf)?;
        let announces = match &leaf.event {
            Event::JobSettled { job, receipt, paid_msat, refunded_msat, .. } => {
                *job == body.job
                    && *receipt == digest
                    && (*paid_msat, *refunded_msat) == (body.paid_msat, body.refunded_msat)
                    && leaf.position == body.position
            }
            _ => false,
        };
        if !announces {
            return Err(BadReceipt::WrongLeaf);
        }
        verify_inclusion(&self.head.head, self.leaf.as_bytes(), &self.inclusion)
            .map_err(|_| BadReceipt::NotIncluded)
    }
}

fn is_zero(amount: &Msat) -> bool {
    *amount == Msat::ZERO
}

/// The JSON of a type whose fields always have one.
fn json<T: Serialize>(value: &T) -> Vec<u8> {
    // Most receipts fit; growing to this size would copy as much again.
    let mut text = Vec::with_capacity(8 << 10);
    serde_json::to_writer(&mut text, value)
        .unwrap_or_else(|error| panic!("a receipt has no JSON form: {error}"));
    text
}
