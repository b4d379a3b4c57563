use super::*;
use ldk_node::io::sqlite_store::SqliteStore;
use proptest::prelude::*;

const HASH: PaymentHash = PaymentHash([7; 32]);

fn store(folder: &std::path::Path) -> Arc<DynStore> {
    Arc::new(SqliteStore::new(folder.to_owned(), None, None).unwrap())
}

fn invoice(stage: InvoiceStage) -> InvoiceRecord {
    InvoiceRecord {
        bolt11: "lnbcrt1".into(),
        description: "two frames".into(),
        amount: Msat(1_000),
        made_at: TimeMs(0),
        expires_at: TimeMs(100),
        settlement: Settlement::Hold { hold_ms: 50 },
        stage,
    }
}

fn payment(stage: PaymentStage) -> PaymentRecord {
    PaymentRecord {
        bolt11: "lnbcrt1".into(),
        amount: Msat(1_000),
        max_fee: Msat(10),
        begun_at: TimeMs(0),
        tries: 1,
        run: 1,
        dead_at_block: 1_000,
        stage,
    }
}

fn held() -> Held {
    Held { amount: Msat(1_000), until: TimeMs(200), until_block: 50 }
}

#[test]
fn records_outlive_the_process_and_each_start_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut records = Records::open(store(folder.path())).unwrap();
    assert_eq!((records.run, records.payment(HASH).unwrap()), (1, None));
    records.put_payment(HASH, payment(PaymentStage::Intended)).unwrap();
    records.put_invoice(HASH, invoice(InvoiceStage::Held { held: held() })).unwrap();
    drop(records);

    let records = Records::open(store(folder.path())).unwrap();
    assert_eq!(records.run, 2);
    assert_eq!(records.undecided_payments(), [(HASH, payment(PaymentStage::Intended))]);
    assert_eq!(records.live_invoices(), [(HASH, invoice(InvoiceStage::Held { held: held() }))]);
}

#[test]
fn what_an_earlier_run_sent_is_unknown_until_a_channel_shows_it() {
    for stage in [PaymentStage::Intended, PaymentStage::Sent] {
        let record = payment(stage);
        assert_eq!(record.state(1, false), PaymentState::InFlight);
        assert_eq!(record.state(2, false), PaymentState::Unknown);
        assert_eq!(record.state(2, true), PaymentState::InFlight);
    }
    let failed = payment(PaymentStage::Failed { reason: FailureReason::NoRoute });
    assert_eq!(failed.state(2, true), PaymentState::Failed { reason: FailureReason::NoRoute });
}

#[test]
fn an_invoice_ends_by_time_or_by_block() {
    let ends = |stage: InvoiceStage, now: u64, height: u32| {
        let mut record = invoice(stage);
        record.advance(TimeMs(now), height).then_some(record.stage)
    };
    let closed = |gives_back| Some(InvoiceStage::Closed { why: Closed::Expired, gives_back });
    let (holding, secret) = (InvoiceStage::Held { held: held() }, Preimage([1; 32]));
    let claiming = InvoiceStage::Claiming { held: held(), preimage: secret };

    assert_eq!(ends(InvoiceStage::Open, 99, 0), None);
    assert_eq!(ends(InvoiceStage::Open, 100, 0), closed(false));
    assert_eq!(ends(holding, 199, 49), None, "a held payment outlives its invoice");
    assert_eq!(ends(holding, 200, 49), closed(true), "LDK holds on until it is told");
    assert_eq!(ends(holding, 0, 50), closed(false), "LDK gave it back itself");
    // The preimage is out: only the chain can say that it came too late.
    assert_eq!(ends(claiming, u64::MAX, 56), None);
    assert_eq!(ends(claiming, 0, 57), closed(false));
    assert_eq!(ends(InvoiceStage::Paid { preimage: secret }, u64::MAX, u32::MAX), None);
}

#[test]
fn events_are_kept_in_order_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let event = |byte| NodeEvent::InvoiceClosed { payment_hash: PaymentHash([byte; 32]) };
    for byte in 1..=11 {
        Records::open(store(folder.path())).unwrap().tell(event(byte)).unwrap();
    }
    let records = Records::open(store(folder.path())).unwrap();
    let read = |after, limit| records.events(EventCursor(after), limit).unwrap();
    assert_eq!(read(0, 2), [(EventCursor(1), event(1)), (EventCursor(2), event(2))]);
    assert_eq!(read(9, 9), [(EventCursor(10), event(10)), (EventCursor(11), event(11))]);
    assert_eq!((read(11, 9), read(u64::MAX, 9)), (vec![], vec![]));
}

proptest! {
    #[test]
    fn a_record_reads_as_it_was_written(amount in 0..=Msat::MAX.0, until: u64, byte: u8, tries: u32) {
        let held = Held { amount: Msat(amount), until: TimeMs(until), until_block: tries };
        for stage in [
            InvoiceStage::Open,
            InvoiceStage::Held { held },
            InvoiceStage::Claiming { held, preimage: Preimage([byte; 32]) },
            InvoiceStage::Paid { preimage: Preimage([byte; 32]) },
            InvoiceStage::Closed { why: Closed::Cancelled, gives_back: true },
        ] {
            let record = invoice(stage);
            let text = serde_json::to_string(&record).unwrap();
            prop_assert_eq!(serde_json::from_str::<InvoiceRecord>(&text).unwrap(), record);
        }
    }
}
