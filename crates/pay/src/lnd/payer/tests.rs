use super::*;
use crate::node::Preimage;
use proptest::prelude::*;

const EXPIRY: u64 = 1_000_000;

fn attempt(after: u64, has_stray: bool) -> Attempt {
    Attempt {
        bolt11: String::new(),
        amount: Msat(1_000),
        max_fee: Msat(10),
        begun_at: TimeMs(0),
        expires_at: TimeMs(EXPIRY),
        after,
        has_stray,
    }
}

fn seen_as(index: u64, status: SeenStatus) -> Option<SeenPayment> {
    Some(SeenPayment { index, status })
}

const FAILED: SeenStatus = SeenStatus::Failed { reason: FailureReason::NoRoute };

#[test]
fn the_failure_of_an_earlier_try_says_nothing() {
    let sending = PaymentRecord::Sending(attempt(4, false));
    assert_eq!(sending.after(seen_as(4, FAILED), TimeMs(1)), None);
    assert_eq!(sending.state(seen_as(4, FAILED)), PaymentState::Unknown);
    let failed = PaymentRecord::Failed { reason: FailureReason::NoRoute, index: 5 };
    assert_eq!(sending.after(seen_as(5, FAILED), TimeMs(1)), Some(failed.clone()));
    // A database that gives numbers again: once LND has taken this try on, it shows no other.
    let taken = PaymentRecord::Taken(attempt(5, false));
    assert_eq!(taken.after(seen_as(5, FAILED), TimeMs(1)), Some(failed));
}

#[test]
fn a_failure_is_not_believed_while_a_request_may_be_on_its_way() {
    let taken = PaymentRecord::Taken(attempt(0, true));
    let dead = EXPIRY + CLOCK_MARGIN_MS;
    assert_eq!(taken.after(seen_as(1, FAILED), TimeMs(dead - 1)), None);
    assert!(matches!(taken.after(seen_as(1, FAILED), TimeMs(dead)), Some(PaymentRecord::Failed { .. })));
}

#[test]
fn what_lnd_never_had_fails_with_its_invoice_and_what_it_had_and_lost_never_does() {
    let dead = TimeMs(EXPIRY + CLOCK_MARGIN_MS);
    let sending = PaymentRecord::Sending(attempt(0, false));
    assert_eq!(sending.after(None, TimeMs(dead.0 - 1)), None);
    assert!(matches!(sending.after(None, dead), Some(PaymentRecord::Failed { .. })));
    let taken = PaymentRecord::Taken(attempt(0, false));
    assert_eq!(taken.after(None, TimeMs(u64::MAX)), None);
    assert_eq!(taken.state(None), PaymentState::Unknown);
}

fn any_status() -> impl Strategy<Value = SeenStatus> {
    prop_oneof![
        Just(SeenStatus::InFlight),
        Just(SeenStatus::Succeeded { preimage: Preimage([1; 32]), fee: Msat(1) }),
        Just(FAILED),
        Just(SeenStatus::Unknown),
    ]
}

proptest! {
    /// Whatever LND shows and whenever: it is called failed only if LND says so of this try, or can take it on no more.
    #[test]
    fn nothing_is_called_failed_that_may_still_arrive(
        after in 0..3u64,
        index in 0..3u64,
        status in proptest::option::of(any_status()),
        has_stray: bool,
        was_taken: bool,
        now in 0..2 * (EXPIRY + CLOCK_MARGIN_MS),
    ) {
        let attempt = attempt(after, has_stray);
        let record = if was_taken { PaymentRecord::Taken(attempt) } else { PaymentRecord::Sending(attempt) };
        let seen = status.map(|status| SeenPayment { index, status });
        let is_dead = now >= EXPIRY + CLOCK_MARGIN_MS;
        let next = record.after(seen, TimeMs(now));
        if let Some(PaymentRecord::Failed { .. }) = next {
            let may_be = matches!(status, None | Some(SeenStatus::Failed { .. }));
            prop_assert!(may_be, "{:?}", status);
            prop_assert!(is_dead || (!has_stray && (was_taken || index != after)));
        }
        let is_open = |record: &PaymentRecord| record.attempt().is_some();
        if next.as_ref().is_none_or(is_open) {
            let state = next.as_ref().unwrap_or(&record).state(seen);
            let is_open = matches!(state, PaymentState::InFlight | PaymentState::Unknown);
            prop_assert!(is_open, "{:?}", state);
        }
    }
}
