//! The ledger: double entry in two phases.
//!
//! Every movement of money is a transfer from one account (debited) to another (credited), so nothing is ever
//! made or lost. A transfer is either posted at once ([`Ledger::transfer`]) or first reserved
//! ([`Ledger::pend`]) and later posted, in whole or in part, or voided. Reserved money still stands on the
//! account that it comes from, but cannot be spent again.
//!
//! [`Account::Node`] mirrors the outside: debiting it brings money in, crediting it lets money out. [`Account::Holds`]
//! does the same for payments between others that a provider holds, which the venue never has. All other
//! accounts are what is owed or kept, and none of them can go below zero, reservations included:
//!
//! | what happens | debit | credit |
//! |---|---|---|
//! | a top-up arrives | `Node` | `Available` |
//! | a job's price is locked | `Available` | `Escrow` |
//! | a task is paid, withheld until audits resolve | `Escrow` | `Earnings` |
//! | the audits resolve | `Earnings` | `Available` |
//! | a withdrawal (pending until the outcome is known) | `Available` | `Node` |
//! | its routing fee | `Available` | `Routing` |
//! | a provider holds a lease's payments | `Holds` | `Held` |
//! | slices are released, or go back | `Earnings`, `Held` | `Holds` |
//!
//! What the Lightning node must hold is [`Ledger::held`]: `Node − Routing`. [`Ledger::liabilities`] always equals that
//! and `Holds` together; [`Ledger::check`] recomputes it from the single accounts.
//!
//! The two-phase model follows TigerBeetle's (<https://docs.tigerbeetle.com/coding/two-phase-transfers/>).

use crate::{
    id::{JobId, LeaseId, PartyId, TransferId},
    units::Msat,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Party ids are handed out one after the other; a larger one is a mistake and must not allocate memory.
const PARTIES_MAX: u64 = 1 << 24;

/// Where money stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// The Lightning node: all that came in less all that went out to parties. The one asset account.
    Node,
    /// What a party can spend or withdraw.
    Available(PartyId),
    /// What a party earned and does not get before the audits of its lease have resolved.
    Earnings(PartyId),
    /// What a party loses when it is proven to cheat.
    Bond(PartyId),
    /// What is locked for a job.
    Escrow(JobId),
    /// The operator's income.
    Fees,
    /// Slashed bonds that no buyer needed to be made whole; not the operator's income.
    Insurance,
    /// Lightning routing fees paid: money that has left the node without reaching a party.
    Routing,
    /// Lightning payments that providers hold and cannot take yet: an asset account, of money that the venue does not have.
    Holds,
    /// What a lease that is funded by a hold can pay: the hold itself and the reserve that the market keeps for it.
    Held(LeaseId),
}

impl Account {
    fn party(self) -> Option<PartyId> {
        match self {
            Account::Available(party) | Account::Earnings(party) | Account::Bond(party) => Some(party),
            Account::Node
            | Account::Escrow(_)
            | Account::Fees
            | Account::Insurance
            | Account::Routing
            | Account::Holds
            | Account::Held(_) => None,
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Account::Node => f.write_str("node"),
            Account::Available(party) => write!(f, "{party} available"),
            Account::Earnings(party) => write!(f, "{party} earnings"),
            Account::Bond(party) => write!(f, "{party} bond"),
            Account::Escrow(job) => write!(f, "{job} escrow"),
            Account::Fees => f.write_str("fees"),
            Account::Insurance => f.write_str("insurance"),
            Account::Routing => f.write_str("routing"),
            Account::Holds => f.write_str("holds"),
            Account::Held(lease) => write!(f, "{lease} hold"),
        }
    }
}

/// What stands on an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Balance {
    /// What can be spent: `posted − pending_out`.
    pub available: Msat,
    /// What is reserved to leave.
    pub pending_out: Msat,
    /// What is reserved to arrive.
    pub pending_in: Msat,
    /// All that stands on the account, reservations to leave included.
    pub posted: Msat,
}

/// One step of a transfer, as it goes into the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posting {
    /// Which transfer.
    pub transfer: TransferId,
    /// Where the money comes from.
    pub debit: Account,
    /// Where it goes.
    pub credit: Account,
    /// How much was reserved, posted or given back, as `state` says.
    pub amount: Msat,
    /// What happened to it.
    pub state: PostingState,
}

/// How far a transfer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostingState {
    /// The amount is reserved.
    Pending,
    /// The amount has moved.
    Posted {
        /// The part of a reservation that was not needed and can be spent again.
        released: Msat,
    },
    /// The reservation is lifted; nothing moved.
    Voided,
}

/// Why the ledger refused. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// More than the account has.
    #[error("{account} has {available} to spend, {needed} needed: top up or lower the amount")]
    Insufficient {
        /// Which account.
        account: Account,
        /// What it has.
        available: Msat,
        /// What was asked.
        needed: Msat,
    },
    /// More than all bitcoin.
    #[error("{account} cannot take {amount} more: no balance may exceed all bitcoin")]
    TooLarge {
        /// Which account.
        account: Account,
        /// What should have arrived.
        amount: Msat,
    },
    /// Debit and credit are one account.
    #[error("a transfer from {account} to itself moves nothing: name two accounts")]
    SameAccount {
        /// Which account.
        account: Account,
    },
    /// No such reservation.
    #[error("{transfer} is not pending: it was posted or voided before, or never made")]
    NotPending {
        /// Which transfer.
        transfer: TransferId,
    },
    /// More than was reserved.
    #[error("{transfer} reserved {reserved}, {asked} cannot be posted: post at most what was reserved")]
    MoreThanReserved {
        /// Which transfer.
        transfer: TransferId,
        /// What it reserved.
        reserved: Msat,
        /// What was asked.
        asked: Msat,
    },
    /// A party id that no venue has handed out.
    #[error("{account} cannot exist: the venue has not registered that many parties")]
    UnknownParty {
        /// Which account.
        account: Account,
    },
}

/// A ledger that contradicts itself: the venue must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerViolation {
    /// What is owed and what routing took is not what came in.
    #[error(
        "the venue owes {owed_msat} msat and paid {routing_msat} msat for routing, but took in or saw held {node_msat} msat"
    )]
    Unbalanced {
        /// All liabilities, in msat.
        owed_msat: u128,
        /// The routing account, in msat.
        routing_msat: u128,
        /// The node account and what is held elsewhere, in msat.
        node_msat: u128,
    },
    /// More is reserved than there is.
    #[error("{account} has {posted} and {pending_out} reserved to leave")]
    Overdrawn {
        /// Which account.
        account: Account,
        /// What it has.
        posted: Msat,
        /// What is reserved.
        pending_out: Msat,
    },
    /// An account's reservations are not those of the pending transfers.
    #[error("the reservations of {account} are not those of the pending transfers")]
    Reservations {
        /// Which account.
        account: Account,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Cell {
    posted: u64,
    pending_in: u64,
    pending_out: u64,
}

impl Cell {
    fn balance(self) -> Balance {
        Balance {
            // Only a broken ledger has more reserved than posted; then nothing can be spent.
            available: Msat(self.posted.saturating_sub(self.pending_out)),
            pending_out: Msat(self.pending_out),
            pending_in: Msat(self.pending_in),
            posted: Msat(self.posted),
        }
    }

    /// Whether `amount` more can arrive, now or later, without ever passing all bitcoin.
    fn has_room(self, amount: Msat) -> bool {
        let sum = u128::from(self.posted) + u128::from(self.pending_in) + u128::from(amount.0);
        sum <= u128::from(Msat::MAX.0)
    }

    fn is_empty(self) -> bool {
        self == Cell::default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct PartyCells {
    available: Cell,
    earnings: Cell,
    bond: Cell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    debit: Account,
    credit: Account,
    amount: Msat,
}

/// How many transfers came to which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TransferCounts {
    /// Posted, at once or after a reservation.
    pub posted: u64,
    /// Voided.
    pub voided: u64,
}

/// Which way money crosses an account.
#[derive(Clone, Copy)]
enum Side {
    Arrives,
    Leaves,
}

/// A debit takes from a liability and adds to an asset account; a credit does the opposite.
fn sides(debit: Account, credit: Account) -> [(Account, Side); 2] {
    let is_asset = |account| matches!(account, Account::Node | Account::Holds);
    let debited = if is_asset(debit) { Side::Arrives } else { Side::Leaves };
    let credited = if is_asset(credit) { Side::Leaves } else { Side::Arrives };
    [(debit, debited), (credit, credited)]
}

/// All accounts of a venue. See the [module documentation](self).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    node: Cell,
    fees: Cell,
    insurance: Cell,
    routing: Cell,
    /// By party id, which is dense; as long as the largest that ever received money.
    parties: Vec<PartyCells>,
    /// Open jobs only: an escrow that is empty again is dropped.
    escrows: BTreeMap<JobId, Cell>,
    holds: Cell,
    /// Leases whose hold is not decided: one that is empty again is dropped.
    held: BTreeMap<LeaseId, Cell>,
    /// Open reservations. Those that were posted or voided are in the journal alone.
    pending: BTreeMap<TransferId, Pending>,
    next_transfer: u64,
    counts: TransferCounts,
}

impl Ledger {
    /// An empty ledger.
    pub fn new() -> Ledger {
        Ledger::default()
    }

    /// Moves money at once.
    pub fn transfer(
        &mut self,
        debit: Account,
        credit: Account,
        amount: Msat,
    ) -> Result<Posting, LedgerError> {
        self.admit(debit, credit, amount)?;
        self.post(debit, credit, amount);
        let state = PostingState::Posted { released: Msat::ZERO };
        Ok(Posting { transfer: self.take_id(), debit, credit, amount, state })
    }

    /// Reserves money for a transfer that [`Ledger::post_pending`] or [`Ledger::void`] ends later.
    pub fn pend(&mut self, debit: Account, credit: Account, amount: Msat) -> Result<Posting, LedgerError> {
        self.admit(debit, credit, amount)?;
        for (account, side) in sides(debit, credit) {
            let cell = self.cell_mut(account);
            match side {
                Side::Arrives => cell.pending_in += amount.0,
                Side::Leaves => cell.pending_out += amount.0,
            }
        }
        let transfer = self.take_id();
        self.pending.insert(transfer, Pending { debit, credit, amount });
        Ok(Posting { transfer, debit, credit, amount, state: PostingState::Pending })
    }

    /// Moves `amount` of a reservation, at most what was reserved, and releases the rest.
    pub fn post_pending(&mut self, transfer: TransferId, amount: Msat) -> Result<Posting, LedgerError> {
        let reserved = self.pending.get(&transfer).ok_or(LedgerError::NotPending { transfer })?.amount;
        let too_much = LedgerError::MoreThanReserved { transfer, reserved, asked: amount };
        let released = reserved.minus(amount).map_err(|_| too_much)?;
        let Pending { debit, credit, .. } = self.release(transfer)?;
        self.post(debit, credit, amount);
        Ok(Posting { transfer, debit, credit, amount, state: PostingState::Posted { released } })
    }

    /// Lifts a reservation; nothing moves.
    pub fn void(&mut self, transfer: TransferId) -> Result<Posting, LedgerError> {
        let Pending { debit, credit, amount } = self.release(transfer)?;
        self.drop_if_empty(debit);
        self.drop_if_empty(credit);
        self.counts.voided += 1;
        Ok(Posting { transfer, debit, credit, amount, state: PostingState::Voided })
    }

    /// What stands on an account; nothing on one that never had money.
    pub fn balance(&self, account: Account) -> Balance {
        self.cell(account).balance()
    }

    /// What can be spent from an account.
    pub fn available(&self, account: Account) -> Msat {
        self.balance(account).available
    }

    /// What the Lightning node has to hold: `Node − Routing`.
    pub fn held(&self) -> Msat {
        Msat(self.node.posted).saturating_sub(Msat(self.routing.posted))
    }

    /// All that is owed or kept, in msat: every account but `Node`, `Holds` and `Routing`, added up. Linear in
    /// the accounts; equal to [`Ledger::held`] and `Holds` together unless the ledger is broken.
    pub fn liabilities(&self) -> u128 {
        let is_owed = |account| !matches!(account, Account::Node | Account::Holds | Account::Routing);
        let owed = self.cells().filter(|(account, _)| is_owed(*account));
        owed.map(|(_, cell)| u128::from(cell.posted)).sum()
    }

    /// How many transfers were posted and voided so far.
    pub fn counts(&self) -> TransferCounts {
        self.counts
    }

    /// What a reservation holds, while it is pending.
    pub fn pending_amount(&self, transfer: TransferId) -> Option<Msat> {
        self.pending.get(&transfer).map(|pending| pending.amount)
    }

    /// How many reservations are open.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// The accounts that have money or reservations, in the order of [`Account`].
    pub fn accounts(&self) -> impl Iterator<Item = (Account, Balance)> + '_ {
        self.cells().filter(|(_, cell)| !cell.is_empty()).map(|(account, cell)| (account, cell.balance()))
    }

    /// Recomputes from the single accounts and reservations that nothing was made, lost or promised twice.
    /// Linear in the accounts: for tests, replays and audits on a copy.
    pub fn check(&self) -> Result<(), LedgerViolation> {
        let mut reserved = self.reservations();
        for (account, cell) in self.cells() {
            if cell.pending_out > cell.posted {
                let (posted, pending_out) = (Msat(cell.posted), Msat(cell.pending_out));
                return Err(LedgerViolation::Overdrawn { account, posted, pending_out });
            }
            let expected = reserved.remove(&account).unwrap_or_default();
            if expected != (u128::from(cell.pending_in), u128::from(cell.pending_out)) {
                return Err(LedgerViolation::Reservations { account });
            }
        }
        if let Some((account, _)) = reserved.into_iter().find(|(_, amounts)| *amounts != (0, 0)) {
            return Err(LedgerViolation::Reservations { account });
        }
        let (owed_msat, routing_msat) = (self.liabilities(), u128::from(self.routing.posted));
        let node_msat = u128::from(self.node.posted) + u128::from(self.holds.posted);
        if owed_msat + routing_msat != node_msat {
            return Err(LedgerViolation::Unbalanced { owed_msat, routing_msat, node_msat });
        }
        Ok(())
    }

    /// What the open reservations add up to on each account, arriving and leaving.
    fn reservations(&self) -> BTreeMap<Account, (u128, u128)> {
        let mut reserved: BTreeMap<Account, (u128, u128)> = BTreeMap::new();
        for pending in self.pending.values() {
            for (account, side) in sides(pending.debit, pending.credit) {
                let (arriving, leaving) = reserved.entry(account).or_default();
                match side {
                    Side::Arrives => *arriving += u128::from(pending.amount.0),
                    Side::Leaves => *leaving += u128::from(pending.amount.0),
                }
            }
        }
        reserved
    }

    fn cells(&self) -> impl Iterator<Item = (Account, Cell)> + '_ {
        let parties = || (0..).map(PartyId).zip(&self.parties);
        [(Account::Node, self.node)]
            .into_iter()
            .chain(parties().map(|(id, cells)| (Account::Available(id), cells.available)))
            .chain(parties().map(|(id, cells)| (Account::Earnings(id), cells.earnings)))
            .chain(parties().map(|(id, cells)| (Account::Bond(id), cells.bond)))
            .chain(self.escrows.iter().map(|(job, cell)| (Account::Escrow(*job), *cell)))
            .chain([
                (Account::Fees, self.fees),
                (Account::Insurance, self.insurance),
                (Account::Routing, self.routing),
                (Account::Holds, self.holds),
            ])
            .chain(self.held.iter().map(|(lease, cell)| (Account::Held(*lease), *cell)))
    }

    fn cell(&self, account: Account) -> Cell {
        match account {
            Account::Node => self.node,
            Account::Available(party) => self.party(party).available,
            Account::Earnings(party) => self.party(party).earnings,
            Account::Bond(party) => self.party(party).bond,
            Account::Escrow(job) => self.escrows.get(&job).copied().unwrap_or_default(),
            Account::Fees => self.fees,
            Account::Insurance => self.insurance,
            Account::Routing => self.routing,
            Account::Holds => self.holds,
            Account::Held(lease) => self.held.get(&lease).copied().unwrap_or_default(),
        }
    }

    fn party(&self, party: PartyId) -> PartyCells {
        usize::try_from(party.0).ok().and_then(|index| self.parties.get(index)).copied().unwrap_or_default()
    }

    fn cell_mut(&mut self, account: Account) -> &mut Cell {
        match account {
            Account::Node => &mut self.node,
            Account::Available(party) => &mut self.party_mut(party).available,
            Account::Earnings(party) => &mut self.party_mut(party).earnings,
            Account::Bond(party) => &mut self.party_mut(party).bond,
            Account::Escrow(job) => self.escrows.entry(job).or_default(),
            Account::Fees => &mut self.fees,
            Account::Insurance => &mut self.insurance,
            Account::Routing => &mut self.routing,
            Account::Holds => &mut self.holds,
            Account::Held(lease) => self.held.entry(lease).or_default(),
        }
    }

    /// The caller has checked that the id is below [`PARTIES_MAX`].
    fn party_mut(&mut self, party: PartyId) -> &mut PartyCells {
        let index = party.0 as usize;
        if index >= self.parties.len() {
            self.parties.resize(index + 1, PartyCells::default());
        }
        &mut self.parties[index]
    }

    /// Refuses what would break an invariant, before anything changes.
    fn admit(&self, debit: Account, credit: Account, amount: Msat) -> Result<(), LedgerError> {
        if debit == credit {
            return Err(LedgerError::SameAccount { account: debit });
        }
        for (account, side) in sides(debit, credit) {
            if account.party().is_some_and(|party| party.0 >= PARTIES_MAX) {
                return Err(LedgerError::UnknownParty { account });
            }
            let cell = self.cell(account);
            match side {
                Side::Arrives if !cell.has_room(amount) => {
                    return Err(LedgerError::TooLarge { account, amount });
                }
                Side::Leaves if cell.balance().available < amount => {
                    let available = cell.balance().available;
                    return Err(LedgerError::Insufficient { account, available, needed: amount });
                }
                Side::Arrives | Side::Leaves => {}
            }
        }
        Ok(())
    }

    /// Moves money that [`Ledger::admit`] has let through, now or when it was reserved.
    fn post(&mut self, debit: Account, credit: Account, amount: Msat) {
        for (account, side) in sides(debit, credit) {
            let cell = self.cell_mut(account);
            match side {
                Side::Arrives => cell.posted += amount.0,
                Side::Leaves => cell.posted -= amount.0,
            }
        }
        self.drop_if_empty(debit);
        self.drop_if_empty(credit);
        self.counts.posted += 1;
    }

    fn release(&mut self, transfer: TransferId) -> Result<Pending, LedgerError> {
        let pending = self.pending.remove(&transfer).ok_or(LedgerError::NotPending { transfer })?;
        for (account, side) in sides(pending.debit, pending.credit) {
            let cell = self.cell_mut(account);
            match side {
                Side::Arrives => cell.pending_in -= pending.amount.0,
                Side::Leaves => cell.pending_out -= pending.amount.0,
            }
        }
        Ok(pending)
    }

    fn drop_if_empty(&mut self, account: Account) {
        if !self.cell(account).is_empty() {
            return;
        }
        match account {
            Account::Escrow(job) => drop(self.escrows.remove(&job)),
            Account::Held(lease) => drop(self.held.remove(&lease)),
            Account::Node
            | Account::Available(_)
            | Account::Earnings(_)
            | Account::Bond(_)
            | Account::Fees
            | Account::Insurance
            | Account::Routing
            | Account::Holds => {}
        }
    }

    fn take_id(&mut self) -> TransferId {
        let id = TransferId(self.next_transfer);
        self.next_transfer += 1;
        id
    }
}

#[cfg(test)]
mod tests;
