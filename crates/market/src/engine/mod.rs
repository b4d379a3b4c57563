//! The engine: the only writer of the market's state.
//!
//! [`Engine::apply`] checks a command, changes the state and says what happened ([`Event`]) and what somebody has
//! to do about it ([`Effect`]). A rejected command changes nothing. Each family of commands has a file of its own:
//!
//! | file | commands |
//! |---|---|
//! | `parties` | register, rotate, certify, revoke, declare own |
//! | `money` | top up, withdraw, their outcomes, bonds |
//! | `offers` | post, change, withdraw offers |
//! | `orders` | place orders, cancel jobs; fills slots from standing offers |
//! | `bids` | sealed bids, reveals, clearing |
//! | `leases` | start, quit, dismiss; grants, drains, closes |
//! | `claims` | hand out tasks |
//! | `results` | commit, reveal, abandon |
//! | `audits` | anchors, links, seeds, draws of replicas |
//! | `holds` | payments that a provider holds until the verdict |
//! | `sales` | results that are paid to decrypt |
//! | `sessions` | one prepayment after another |
//! | `dues` | what the venue pays for links that it withheld |
//! | `verdicts` | what results prove; pay, conviction |
//! | `settlement` | the books of leases and jobs |
//! | `clock` | ticks, timers, liveness, resume |

mod audits;
mod bids;
mod claims;
mod clock;
mod dues;
pub mod explain;
mod holds;
mod invariants;
mod leases;
mod money;
mod offers;
mod orders;
mod parties;
mod results;
mod sales;
mod sessions;
mod settlement;
pub mod state;
mod verdicts;

use crate::{
    command::Command,
    effect::{Effect, EffectId},
    event::Event,
    id::{Digest, MachineId, PartyId},
    key::PublicKey,
    ledger::{Account, LedgerError, Posting},
    matching::OfferIndex,
    rejection::{NeedsSigner, Rejection},
    reply::{Item, Reply},
    rules::Rules,
    statement::{Checked, MAX_LIFETIME_MS},
    units::{Msat, TimeMs},
};
pub use invariants::Violation;
use state::KeyOwner;
pub use state::State;

/// What an accepted command led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its position in the journal; the first is 1.
    pub position: u64,
    /// What its sender is told.
    pub reply: Reply,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// What somebody has to do, in order.
    pub effects: Vec<(EffectId, Effect)>,
}

/// The market: its state, and what is derived from it.
#[derive(Debug)]
pub struct Engine {
    state: State,
    rules: Rules,
    index: OfferIndex,
    events: Vec<Event>,
    effects: Vec<Effect>,
}

/// Who signed a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Actor {
    Venue,
    Party(PartyId),
    Machine(MachineId),
    Stranger(PublicKey),
}

impl Engine {
    /// A market without history.
    pub fn new(venue: PublicKey) -> Engine {
        Engine::restore(State::new(venue, Rules::FIRST.version))
            .unwrap_or_else(|version| unreachable!("rules version {version} is this program's own"))
    }

    /// A market with the state of a snapshot. An error names a rules version that this program does not know.
    pub fn restore(state: State) -> Result<Engine, u32> {
        let rules = Rules::version(state.rules_version).ok_or(state.rules_version)?;
        let mut index = OfferIndex::default();
        for (id, offer) in state.offers.iter() {
            if state.machine(offer.machine).is_offering() {
                index.insert(id, &offer.terms);
            }
        }
        Ok(Engine { state, rules, index, events: Vec::new(), effects: Vec::new() })
    }

    /// The state, for reading.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The index of live offers, for queries.
    pub fn index(&self) -> &OfferIndex {
        &self.index
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// BLAKE3 over the whole state in its snapshot encoding: two engines of one version of this program with the same hash
    /// are the same market. Another version may encode the same state differently.
    pub fn state_hash(&self) -> Result<Digest, postcard::Error> {
        Ok(Digest::of(&postcard::to_stdvec(&self.state)?))
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<TimeMs> {
        self.state.timers.first().map(|(at, _)| *at)
    }

    /// Applies a command. `now` never runs backwards; an earlier time counts as the time of the last command.
    pub fn apply(&mut self, now: TimeMs, statement: &Checked) -> Result<Applied, Rejection> {
        let before = self.state.now;
        self.state.now = now.max(before);
        match self.admit(statement).and_then(|()| self.dispatch(statement)) {
            Ok(reply) => Ok(self.accept(statement, reply)),
            Err(rejection) => {
                assert!(
                    self.events.is_empty() && self.effects.is_empty(),
                    "a rejected command changed the state"
                );
                self.state.now = before;
                Err(rejection)
            }
        }
    }

    fn admit(&self, statement: &Checked) -> Result<(), Rejection> {
        let now_ms = self.state.now;
        if let Some((position, _)) = self.state.recent.answer(statement) {
            return Err(Rejection::Duplicate { position: *position });
        }
        if statement.not_after_ms < now_ms {
            return Err(Rejection::Expired { not_after_ms: statement.not_after_ms, now_ms });
        }
        if statement.not_after_ms > now_ms.plus(MAX_LIFETIME_MS) {
            return Err(Rejection::LifetimeTooLong { now_ms });
        }
        Ok(())
    }

    fn accept(&mut self, statement: &Checked, reply: Reply) -> Applied {
        let now = self.state.now;
        self.state.position += 1;
        let position = self.state.position;
        self.state.recent.forget_until(now);
        self.state.recent.remember(statement, position, reply.clone());
        let effects = std::mem::take(&mut self.effects).into_iter().zip(0..);
        let effects = effects.map(|(effect, index)| (EffectId { position, index }, effect)).collect();
        Applied { position, reply, events: std::mem::take(&mut self.events), effects }
    }

    fn actor(&self, key: &PublicKey) -> Actor {
        if *key == self.state.venue {
            return Actor::Venue;
        }
        match self.state.keys.get(key) {
            Some(KeyOwner::Party(party)) => Actor::Party(*party),
            Some(KeyOwner::Machine(machine)) => Actor::Machine(*machine),
            Some(KeyOwner::Retired) | None => Actor::Stranger(*key),
        }
    }

    fn dispatch(&mut self, statement: &Checked) -> Result<Reply, Rejection> {
        let actor = self.actor(&statement.signer);
        match &statement.command {
            Command::RegisterParty { label } => self.register_party(actor, label),
            Command::RotateKey { new_key, consent } => self.rotate_key(actor, new_key, consent),
            Command::CertifyMachine { machine_key, consent, label, capacity } => {
                self.certify_machine(actor, machine_key, consent, label, capacity)
            }
            Command::RevokeMachine { machine } => self.revoke_machine(actor, *machine),
            Command::TopUp { amount_msat } => self.top_up(actor, *amount_msat),
            Command::Withdraw { bolt11, payment_hash, amount_msat, max_fee_msat } => {
                self.withdraw(actor, bolt11, *payment_hash, *amount_msat, *max_fee_msat)
            }
            Command::LockBond { amount_msat } => self.lock_bond(actor, *amount_msat),
            Command::UnlockBond { amount_msat } => self.unlock_bond(actor, *amount_msat),
            Command::FundVenue { amount_msat } => self.fund_venue(actor, *amount_msat),
            Command::PlaceOrder { terms, job, audit_anchor } => {
                self.place_order(actor, terms, job, *audit_anchor)
            }
            Command::CancelJob { job } => self.cancel_job(actor, *job),
            Command::DismissLease { lease } => self.dismiss_lease(actor, *lease),
            Command::RevealBuyerLink(link) => self.reveal_buyer_link(actor, link),
            Command::ShowKey { lease, attempt, preimage } => self.show_key(actor, *lease, *attempt, preimage),
            Command::DisputeKey { lease, attempt, ciphertext, preimage } => {
                self.dispute_key(actor, *lease, *attempt, *ciphertext, preimage)
            }
            Command::PostOffer { machine, terms } => self.post_offer(actor, *machine, terms),
            Command::ChangeOffer { offer, terms } => self.change_offer(actor, *offer, terms),
            Command::WithdrawOffer { offer } => self.withdraw_offer(actor, *offer),
            Command::CommitBid { order, offer, seal } => self.commit_bid(actor, *order, *offer, *seal),
            Command::RevealBid { order, offer, rate, salt } => {
                self.reveal_bid(actor, *order, *offer, rate, salt)
            }
            Command::StartLease { lease } => self.start_lease(actor, *lease),
            Command::QuitLease { lease } => self.quit_lease(actor, *lease),
            Command::InvoiceHold { lease, invoices } => self.invoice_hold(actor, *lease, invoices),
            Command::HoldFunded { lease } => self.hold_funded(actor, *lease),
            Command::HoldOver { lease } => self.hold_over(actor, *lease),
            Command::ClaimTasks { claims } => self.claim_tasks(actor, claims),
            Command::CommitResults { commits } => self.commit_results(actor, commits),
            Command::RevealResults { reveals } => self.reveal_results(actor, reveals),
            Command::AbandonAttempts { attempts } => self.abandon_attempts(actor, attempts),
            venue_command => {
                if actor != Actor::Venue {
                    return Err(Rejection::NotAllowed { needs: NeedsSigner::Venue });
                }
                self.dispatch_venue(venue_command)
            }
        }
    }

    fn dispatch_venue(&mut self, command: &Command) -> Result<Reply, Rejection> {
        match command {
            Command::TopUpInvoiced { topup, bolt11, payment_hash, expires_at_ms } => {
                self.top_up_invoiced(*topup, bolt11, *payment_hash, *expires_at_ms)
            }
            Command::TopUpOutcome { topup, outcome } => self.top_up_outcome(*topup, *outcome),
            Command::WithdrawalOutcome { withdrawal, outcome } => {
                self.withdrawal_outcome(*withdrawal, outcome)
            }
            Command::AnchorAudits { job, anchor } => self.anchor_audits(*job, *anchor),
            Command::RevealVenueLink(link) => self.reveal_venue_link(link),
            Command::DealHold { lease, hashes } => self.deal_hold(*lease, hashes),
            Command::ReleaseHold { lease, preimages } => self.release_hold(*lease, preimages),
            Command::SetClaimCost { amount_msat } => self.set_claim_cost(*amount_msat),
            Command::JudgeKey { lease, attempt, opened } => self.judge_key(*lease, *attempt, *opened),
            Command::Verdict { attempt, .. } => self.venue_verdict(*attempt),
            Command::Liveness { lost, back } => self.liveness(lost, back),
            Command::Resume => self.resume(),
            Command::DeclareOwn { party } => self.declare_own(*party),
            Command::ActivateRules { version } => self.activate_rules(*version),
            Command::Tick => self.tick(),
            other => unreachable!("{other:?} is dispatched by its signer"),
        }
    }

    fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    fn now(&self) -> TimeMs {
        self.state.now
    }

    fn set_timer(&mut self, at: TimeMs, timer: state::Timer) {
        self.state.timers.insert((at, timer));
    }

    /// Moves money at once. Nothing happens to an amount of zero.
    fn transfer(&mut self, debit: Account, credit: Account, amount: Msat) -> Result<(), Rejection> {
        if amount == Msat::ZERO {
            return Ok(());
        }
        let posting = self.state.ledger.transfer(debit, credit, amount)?;
        self.post_event(posting);
        Ok(())
    }

    /// Moves money whose presence the engine's own books guarantee.
    fn transfer_own(&mut self, debit: Account, credit: Account, amount: Msat) {
        if let Err(rejection) = self.transfer(debit, credit, amount) {
            panic!("the books promise {amount} from {debit} to {credit}, the ledger says: {rejection}");
        }
    }

    fn post_event(&mut self, posting: Posting) {
        self.emit(Event::Posted { posting });
    }

    /// A party that signs for itself.
    fn signing_party(&self, actor: Actor) -> Result<PartyId, Rejection> {
        match actor {
            Actor::Party(party) => Ok(party),
            Actor::Stranger(_) => Err(Rejection::UnknownSigner),
            Actor::Venue | Actor::Machine(_) => Err(Rejection::NotAllowed { needs: NeedsSigner::Party }),
        }
    }

    /// Whether the signer is this machine or its owner.
    fn check_controls(&self, actor: Actor, machine: MachineId) -> Result<(), Rejection> {
        let allowed = match actor {
            Actor::Machine(signer) => signer == machine,
            Actor::Party(signer) => self.state.machine(machine).party == signer,
            Actor::Stranger(_) => return Err(Rejection::UnknownSigner),
            Actor::Venue => false,
        };
        if allowed { Ok(()) } else { Err(Rejection::NotAllowed { needs: NeedsSigner::MachineOrOwner }) }
    }
}

/// The answer to a batch: item by item, or a rejection when nothing of it could be done.
fn batch_reply<T>(
    items: Vec<Item<T>>,
    reply: impl FnOnce(Vec<Item<T>>) -> Reply,
) -> Result<Reply, Rejection> {
    if items.iter().any(|item| matches!(item, Item::Done(_))) {
        return Ok(reply(items));
    }
    let refused = items.into_iter().filter_map(|item| match item {
        Item::Done(_) => None,
        Item::Refused(rejection) => Some(rejection),
    });
    Err(Rejection::Batch(refused.collect()))
}

impl From<LedgerError> for Rejection {
    fn from(error: LedgerError) -> Rejection {
        match error {
            LedgerError::Insufficient { account, available, needed } => {
                Rejection::InsufficientFunds { account, available, needed }
            }
            other => Rejection::Overflow(other.to_string()),
        }
    }
}
