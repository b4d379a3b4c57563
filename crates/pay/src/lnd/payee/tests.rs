use super::*;
use proptest::prelude::*;

const HASH: PaymentHash = PaymentHash([3; 32]);
const AMOUNT: Msat = Msat(1_000_000);

fn record(settlement: Settlement, stage: InvoiceStage) -> InvoiceRecord {
    InvoiceRecord { amount: AMOUNT, expires_at: TimeMs(60_000), settlement, stage }
}

fn hold(stage: InvoiceStage) -> InvoiceRecord {
    record(Settlement::Hold { hold_ms: 5_000 }, stage)
}

fn stage(record: &InvoiceRecord, seen: Option<SeenInvoice>, now: u64) -> Option<InvoiceStage> {
    record.after(HASH, seen, TimeMs(now)).map(|(stage, _)| stage)
}

#[test]
fn a_longer_hold_asks_for_more_blocks() {
    let blocks = |hold_ms| final_cltv(Settlement::Hold { hold_ms }).unwrap();
    assert_eq!(final_cltv(Settlement::AtOnce).unwrap(), None, "LND's own default");
    assert_eq!(blocks(1), Some(24 + 6 + 1));
    assert_eq!(blocks(86_400_000), Some(24 + 6 + 144 + 36));
    for hold_ms in [0, 6 * 86_400_000, u64::MAX] {
        let refused = final_cltv(Settlement::Hold { hold_ms });
        assert!(matches!(refused, Err(InvoiceError::BadRequest(_))), "{hold_ms}");
    }
}

#[test]
fn a_hold_ends_by_the_time_at_which_it_arrived_and_not_by_when_it_was_seen() {
    let arrived = SeenInvoice::Accepted { amount: AMOUNT, at: TimeMs(10_000) };
    let seen_late = stage(&hold(InvoiceStage::Open), Some(arrived), 14_000);
    assert_eq!(seen_late, Some(InvoiceStage::Held { until: TimeMs(15_000) }));
    // LND's clock is ahead: it cannot have arrived later than now, and the second that LND rounds off.
    let ahead = stage(&hold(InvoiceStage::Open), Some(arrived), 4_000);
    assert_eq!(ahead, Some(InvoiceStage::Held { until: TimeMs(10_000) }));
    let held = hold(InvoiceStage::Held { until: TimeMs(15_000) });
    assert_eq!(stage(&held, Some(arrived), 14_000), None, "it stays as it was first seen");
    assert_eq!((held.due(TimeMs(14_999)), held.due(TimeMs(15_000))), (None, Some(Closed::Expired)));
}

#[test]
fn why_an_invoice_was_closed_is_remembered_or_follows_from_the_time() {
    let canceled = Some(SeenInvoice::Canceled);
    let closed = |why| Some(InvoiceStage::Closed { why });
    for (record, now, why) in [
        (hold(InvoiceStage::Closing { why: Closed::Cancelled }), 99_000, Closed::Cancelled),
        (hold(InvoiceStage::Closing { why: Closed::Expired }), 1, Closed::Expired),
        (hold(InvoiceStage::Open), 1_000, Closed::Cancelled),
        (hold(InvoiceStage::Open), 60_000, Closed::Expired),
        (hold(InvoiceStage::Held { until: TimeMs(9_000) }), 1_000, Closed::Expired),
    ] {
        assert_eq!(stage(&record, canceled, now), closed(why), "{record:?}");
        assert_eq!(stage(&record, None, now), closed(why), "deleted at LND: {record:?}");
    }
}

#[test]
fn what_lnd_settled_is_paid_whatever_was_intended() {
    let preimage = Preimage([5; 32]);
    let settled = Some(SeenInvoice::Settled { amount: AMOUNT, preimage });
    for before in [
        InvoiceStage::Open,
        InvoiceStage::Held { until: TimeMs(1) },
        InvoiceStage::Closing { why: Closed::Cancelled },
    ] {
        assert_eq!(stage(&hold(before), settled, 99_000), Some(InvoiceStage::Paid { preimage }));
    }
}

#[test]
fn a_long_description_is_committed_to_by_its_digest() {
    let request = |description: String| InvoiceRequest { amount: AMOUNT, description, expires_in_ms: 1_500 };
    let short = new_invoice(None, Settlement::AtOnce, &request("d".repeat(639))).unwrap();
    assert_eq!((short.memo.len(), short.description_hash), (639, None));
    let long = new_invoice(None, Settlement::AtOnce, &request("d".repeat(640))).unwrap();
    assert_eq!((long.memo.as_str(), long.expiry.as_str()), ("", "2"));
    let digest = sha256::Hash::hash("d".repeat(640).as_bytes()).to_byte_array();
    assert_eq!(long.description_hash, Some(wire::base64(&digest)));
}

fn any_stage() -> impl Strategy<Value = InvoiceStage> {
    prop_oneof![
        Just(InvoiceStage::Asked),
        Just(InvoiceStage::Open),
        (0..99_000u64).prop_map(|until| InvoiceStage::Held { until: TimeMs(until) }),
        Just(InvoiceStage::Closing { why: Closed::Cancelled }),
        Just(InvoiceStage::Paid { preimage: Preimage([5; 32]) }),
        Just(InvoiceStage::Closed { why: Closed::Expired }),
    ]
}

fn any_seen() -> impl Strategy<Value = Option<SeenInvoice>> {
    prop_oneof![
        Just(None),
        Just(Some(SeenInvoice::Open)),
        (0..99_000u64).prop_map(|at| Some(SeenInvoice::Accepted { amount: AMOUNT, at: TimeMs(at) })),
        Just(Some(SeenInvoice::Settled { amount: AMOUNT, preimage: Preimage([5; 32]) })),
        Just(Some(SeenInvoice::Canceled)),
    ]
}

proptest! {
    #[test]
    fn what_is_final_stays_so_and_nothing_opens_again(before in any_stage(), seen in any_seen(), now in 0..99_000u64) {
        let record = hold(before);
        let after = stage(&record, seen, now);
        let is_final = matches!(before, InvoiceStage::Paid { .. } | InvoiceStage::Closed { .. } | InvoiceStage::Asked);
        prop_assert!(!is_final || after.is_none());
        let opens = matches!(after, Some(InvoiceStage::Open | InvoiceStage::Asked | InvoiceStage::Closing { .. }));
        prop_assert!(!opens, "{:?}", after);
        // A second look at the same changes nothing, so that no event comes twice.
        if let Some(after) = after {
            prop_assert_eq!(stage(&hold(after), seen, now), None);
        }
    }
}
