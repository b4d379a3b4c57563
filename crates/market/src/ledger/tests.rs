use super::*;
use proptest::prelude::*;

const ALICE: Account = Account::Available(PartyId(0));
const BOB: Account = Account::Available(PartyId(1));
const JOB: Account = Account::Escrow(JobId(7));

fn funded(amount: u64) -> Ledger {
    let mut ledger = Ledger::new();
    ledger.transfer(Account::Node, ALICE, Msat(amount)).unwrap();
    ledger
}

#[test]
fn reserved_money_stands_on_the_account_but_cannot_be_spent() {
    let mut ledger = funded(100);
    ledger.pend(ALICE, JOB, Msat(70)).unwrap();
    let expected =
        Balance { available: Msat(30), pending_out: Msat(70), pending_in: Msat::ZERO, posted: Msat(100) };
    assert_eq!(ledger.balance(ALICE), expected);
    assert_eq!(ledger.available(JOB), Msat::ZERO, "what is on its way cannot be spent yet");
    let refused = ledger.transfer(ALICE, BOB, Msat(31)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "party-0 available has 0.030 sat to spend, 0.031 sat needed: top up or lower the amount"
    );
}

#[test]
fn posting_a_part_releases_the_rest() {
    let mut ledger = funded(100);
    let reserved = ledger.pend(ALICE, BOB, Msat(70)).unwrap();
    let posted = ledger.post_pending(reserved.transfer, Msat(50)).unwrap();
    assert_eq!(posted.state, PostingState::Posted { released: Msat(20) });
    assert_eq!((ledger.available(ALICE), ledger.available(BOB)), (Msat(50), Msat(50)));
    assert_eq!(ledger.counts(), TransferCounts { posted: 2, voided: 0 });
}

#[test]
fn a_reservation_ends_once() {
    let mut ledger = funded(100);
    let transfer = ledger.pend(ALICE, BOB, Msat(70)).unwrap().transfer;
    let asked = ledger.post_pending(transfer, Msat(71)).unwrap_err();
    assert_eq!(asked, LedgerError::MoreThanReserved { transfer, reserved: Msat(70), asked: Msat(71) });
    ledger.void(transfer).unwrap();
    assert_eq!(ledger.available(ALICE), Msat(100));
    assert_eq!(ledger.void(transfer), Err(LedgerError::NotPending { transfer }));
    assert_eq!(ledger.post_pending(transfer, Msat(1)), Err(LedgerError::NotPending { transfer }));
}

#[test]
fn routing_fees_lower_what_the_node_has_to_hold() {
    let mut ledger = funded(100);
    ledger.transfer(ALICE, Account::Node, Msat(60)).unwrap();
    ledger.transfer(ALICE, Account::Routing, Msat(3)).unwrap();
    assert_eq!(ledger.held(), Msat(37));
    assert_eq!(ledger.liabilities(), 37);
    assert_eq!(ledger.check(), Ok(()));
}

#[test]
fn nonsense_is_refused_and_changes_nothing() {
    let mut ledger = funded(100);
    let before = ledger.clone();
    let far = Account::Bond(PartyId(u64::MAX));
    for (debit, credit, amount) in [
        (ALICE, ALICE, 1),
        (BOB, ALICE, 1),
        (ALICE, Account::Node, 101),
        (Account::Node, ALICE, Msat::MAX.0),
        (Account::Node, ALICE, u64::MAX),
        (ALICE, far, 1),
        (far, ALICE, 1),
    ] {
        assert!(ledger.transfer(debit, credit, Msat(amount)).is_err(), "{debit} to {credit}");
        assert!(ledger.pend(debit, credit, Msat(amount)).is_err(), "{debit} to {credit}");
    }
    assert_eq!(ledger, before);
}

#[test]
fn an_empty_escrow_is_forgotten() {
    let mut ledger = funded(100);
    ledger.transfer(ALICE, JOB, Msat(10)).unwrap();
    let pending = ledger.pend(JOB, ALICE, Msat(10)).unwrap().transfer;
    ledger.post_pending(pending, Msat(10)).unwrap();
    let voided = ledger.pend(ALICE, JOB, Msat(10)).unwrap().transfer;
    ledger.void(voided).unwrap();
    assert!(ledger.escrows.is_empty());
}

#[test]
fn the_check_finds_made_lost_and_twice_promised_money() {
    let mut made = funded(100);
    made.parties[0].bond.posted = 1;
    assert!(matches!(made.check(), Err(LedgerViolation::Unbalanced { owed_msat: 101, .. })));

    let mut reserved = funded(100);
    reserved.pend(ALICE, BOB, Msat(1)).unwrap();
    reserved.parties[1].available.pending_in = 0;
    assert_eq!(reserved.check(), Err(LedgerViolation::Reservations { account: BOB }));

    let mut overdrawn = funded(100);
    overdrawn.parties[0].available.pending_out = 101;
    assert!(matches!(overdrawn.check(), Err(LedgerViolation::Overdrawn { account: ALICE, .. })));
}

#[test]
fn a_ledger_survives_serialization() {
    let mut ledger = funded(100);
    ledger.transfer(ALICE, JOB, Msat(10)).unwrap();
    ledger.pend(ALICE, Account::Node, Msat(5)).unwrap();
    let bytes = postcard::to_allocvec(&ledger).unwrap();
    assert_eq!(postcard::from_bytes::<Ledger>(&bytes).unwrap(), ledger);
}

#[derive(Debug, Clone)]
enum Operation {
    Transfer(Account, Account, u64),
    Pend(Account, Account, u64),
    Post(u64, u64),
    Void(u64),
}

fn account() -> impl Strategy<Value = Account> {
    prop_oneof![
        3 => Just(Account::Node),
        4 => (0u64..3).prop_map(|id| Account::Available(PartyId(id))),
        1 => (0u64..3).prop_map(|id| Account::Earnings(PartyId(id))),
        1 => (0u64..3).prop_map(|id| Account::Bond(PartyId(id))),
        2 => (0u64..2).prop_map(|id| Account::Escrow(JobId(id))),
        1 => Just(Account::Fees),
        1 => Just(Account::Insurance),
        1 => Just(Account::Routing),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let amount = || prop_oneof![20 => 0u64..1_000, 1 => Just(Msat::MAX.0 - 5), 1 => any::<u64>()];
    prop_oneof![
        (account(), account(), amount())
            .prop_map(|(debit, credit, amount)| Operation::Transfer(debit, credit, amount)),
        (account(), account(), amount())
            .prop_map(|(debit, credit, amount)| Operation::Pend(debit, credit, amount)),
        (0u64..60, amount()).prop_map(|(id, amount)| Operation::Post(id, amount)),
        (0u64..60).prop_map(Operation::Void),
    ]
}

/// What a posting says happened, applied to plain signed sums: the reference that the ledger is held against.
fn follow(books: &mut BTreeMap<Account, i128>, posting: &Posting) {
    if let PostingState::Posted { .. } = posting.state {
        *books.entry(posting.debit).or_default() -= i128::from(posting.amount.0);
        *books.entry(posting.credit).or_default() += i128::from(posting.amount.0);
    }
}

proptest! {
    #[test]
    fn any_operations_keep_the_books_balanced(operations in prop::collection::vec(operation(), 1..120)) {
        let mut ledger = Ledger::new();
        let mut books = BTreeMap::new();
        for operation in operations {
            let before = ledger.clone();
            let outcome = match operation {
                Operation::Transfer(debit, credit, amount) => ledger.transfer(debit, credit, Msat(amount)),
                Operation::Pend(debit, credit, amount) => ledger.pend(debit, credit, Msat(amount)),
                Operation::Post(id, amount) => ledger.post_pending(TransferId(id), Msat(amount)),
                Operation::Void(id) => ledger.void(TransferId(id)),
            };
            match outcome {
                Ok(posting) => follow(&mut books, &posting),
                Err(_) => prop_assert_eq!(&ledger, &before, "an error changes nothing"),
            }
            prop_assert_eq!(ledger.check(), Ok(()));
            prop_assert_eq!(books.values().sum::<i128>(), 0);
            for (account, sum) in &books {
                let sign = if *account == Account::Node { -1 } else { 1 };
                prop_assert_eq!(i128::from(ledger.balance(*account).posted.0), sign * sum, "{}", account);
            }
        }
    }
}
