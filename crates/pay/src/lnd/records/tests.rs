use super::*;
use std::fs;

const HASH: PaymentHash = PaymentHash([3; 32]);

fn record(stage: InvoiceStage) -> InvoiceRecord {
    InvoiceRecord { amount: Msat(1_000), expires_at: TimeMs(60_000), settlement: Settlement::AtOnce, stage }
}

fn put(records: &mut Records, stage: InvoiceStage) {
    records
        .with(|turn| {
            turn.put_invoice(HASH, record(stage));
            turn.tell(NodeEvent::InvoiceClosed { payment_hash: HASH });
            Ok(())
        })
        .unwrap();
}

fn stage(records: &mut Records) -> Option<InvoiceStage> {
    records.with(|turn| Ok(turn.invoice(HASH).map(|record| record.stage))).unwrap()
}

fn events(records: &mut Records, after: u64, limit: usize) -> Vec<u64> {
    let events = records.with(|turn| Ok(turn.events(EventCursor(after), limit))).unwrap();
    events.into_iter().map(|(cursor, _)| cursor.0).collect()
}

#[test]
fn what_one_process_writes_the_other_reads_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (mut one, mut other) = (Records::open(folder.path()).unwrap(), Records::open(folder.path()).unwrap());
    put(&mut one, InvoiceStage::Open);
    assert_eq!(stage(&mut other), Some(InvoiceStage::Open));
    put(&mut other, InvoiceStage::Held { until: TimeMs(7) });
    put(&mut one, InvoiceStage::Closed { why: Closed::Expired });
    for records in [&mut one, &mut other] {
        assert_eq!(stage(records), Some(InvoiceStage::Closed { why: Closed::Expired }));
        assert_eq!(events(records, 0, 10), [1, 2, 3]);
        assert_eq!(events(records, 1, 1), [2]);
        assert!(records.with(|turn| Ok(turn.live_invoices())).unwrap().is_empty());
    }
}

#[test]
fn a_change_that_was_cut_short_did_not_happen() {
    let folder = tempfile::tempdir().unwrap();
    put(&mut Records::open(folder.path()).unwrap(), InvoiceStage::Open);
    let file = folder.path().join(NAME);
    let before = fs::read(&file).unwrap();
    put(&mut Records::open(folder.path()).unwrap(), InvoiceStage::Closed { why: Closed::Cancelled });
    let line = fs::read(&file).unwrap()[before.len()..].iter().position(|byte| *byte == b'\n').unwrap();
    for cut in 1..=line {
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..before.len() + cut.min(whole.len() - before.len())]).unwrap();
        assert_eq!(stage(&mut Records::open(folder.path()).unwrap()), Some(InvoiceStage::Open), "{cut}");
        assert_eq!(fs::read(&file).unwrap(), before);
        put(&mut Records::open(folder.path()).unwrap(), InvoiceStage::Closed { why: Closed::Cancelled });
    }
}

#[test]
fn records_that_were_damaged_are_not_read_as_others() {
    let folder = tempfile::tempdir().unwrap();
    put(&mut Records::open(folder.path()).unwrap(), InvoiceStage::Open);
    let file = folder.path().join(NAME);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("invoice", "unvoice", 1)).unwrap();
    assert!(Records::open(folder.path()).is_err_and(|error| error.0.contains("damaged")));
}

#[test]
fn a_file_that_was_shortened_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut records = Records::open(folder.path()).unwrap();
    for until in 0..100 {
        put(&mut records, InvoiceStage::Held { until: TimeMs(until) });
    }
    let attempt = Attempt {
        bolt11: "lnbcrt".into(),
        amount: Msat(1),
        max_fee: Msat(2),
        begun_at: TimeMs(3),
        expires_at: TimeMs(4),
        after: 5,
        has_stray: true,
    };
    let other = PaymentHash([4; 32]);
    records
        .with(|turn| {
            turn.put_payment(other, PaymentRecord::Taken(attempt.clone()));
            turn.put_invoice(other, record(InvoiceStage::Asked));
            turn.forget_invoice(other);
            Ok(())
        })
        .unwrap();
    let file = folder.path().join(NAME);
    let long = fs::metadata(&file).unwrap().len();
    // Somebody uses it: it stays.
    drop(Records::open_with(folder.path(), 10).unwrap());
    assert_eq!(fs::metadata(&file).unwrap().len(), long);
    drop(records);
    let mut records = Records::open_with(folder.path(), 10).unwrap();
    assert!(fs::metadata(&file).unwrap().len() < long);
    assert_eq!(stage(&mut records), Some(InvoiceStage::Held { until: TimeMs(99) }));
    assert_eq!(events(&mut records, 97, 10), [98, 99, 100]);
    let (payment, forgotten, undecided) = records
        .with(|turn| Ok((turn.payment(other), turn.invoice(other), turn.undecided_payments())))
        .unwrap();
    assert_eq!((payment, forgotten), (Some(PaymentRecord::Taken(attempt)), None));
    assert_eq!(undecided, [other]);
}

#[test]
fn old_events_go_and_cursors_keep_their_meaning() {
    let mut contents = Contents::default();
    for _ in 0..EVENTS_KEPT + 5 {
        contents.apply(Line::Event(NodeEvent::InvoiceClosed { payment_hash: HASH }));
    }
    let turn = Turn { contents: &contents, changes: Vec::new() };
    let first = turn.events(EventCursor::default(), 1);
    assert_eq!(first[0].0, EventCursor(6));
    let last = turn.events(EventCursor(EVENTS_KEPT as u64 + 4), 10);
    assert_eq!(last.iter().map(|(cursor, _)| cursor.0).collect::<Vec<_>>(), [EVENTS_KEPT as u64 + 5]);
}

#[cfg(unix)]
#[test]
fn nobody_else_reads_the_file() {
    let folder = tempfile::tempdir().unwrap();
    put(&mut Records::open(folder.path()).unwrap(), InvoiceStage::Paid { preimage: Preimage([1; 32]) });
    let mode = fs::metadata(folder.path().join(NAME)).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
}
