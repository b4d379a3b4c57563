//! The samples beside this file have every field that the protocol files of LND 0.20 name, written as its gateway does.

use super::*;
use serde_json::{from_str, to_value};

fn preimage() -> Preimage {
    Preimage([0x2a; 32])
}

#[test]
fn a_node_says_who_it_is_and_on_which_network() {
    let text = include_str!("getinfo.json");
    let info: Info = from_str(text).unwrap();
    assert_eq!((info.alias.as_str(), info.network()), ("hub", Ok(Network::Signet)));
    for (name, network) in [
        ("mainnet", Ok(Network::Bitcoin)),
        ("testnet4", Ok(Network::Testnet)),
        ("regtest", Ok(Network::Regtest)),
        ("simnet", Ok(Network::Simnet)),
        ("litecoin", Err("litecoin".to_owned())),
    ] {
        assert_eq!(from_str::<Info>(&text.replace("signet", name)).unwrap().network(), network);
    }
}

#[test]
fn what_is_on_its_way_out_is_what_lnd_calls_the_other_sides() {
    let balance: ChannelBalance = from_str(include_str!("channel_balance.json")).unwrap();
    assert_eq!(balance.local_balance.msat, 1_500_000_123);
    assert_eq!(balance.unsettled_remote_balance.msat, 20_000_001);
}

#[test]
fn a_payment_has_arrived_with_its_last_part() {
    let invoice: Invoice = from_str(include_str!("invoice_accepted.json")).unwrap();
    let seen = invoice.seen(preimage().payment_hash());
    let wanted = SeenInvoice::Accepted { amount: Msat(1_000_000), at: TimeMs(1_750_000_004_000) };
    assert_eq!(seen, Ok(wanted), "a part that was cancelled does not count");
}

#[test]
fn a_settled_invoice_has_its_preimage() {
    let text = include_str!("invoice_settled.json");
    let invoice: Invoice = from_str(text).unwrap();
    let wanted = SeenInvoice::Settled { amount: Msat(1_000_000), preimage: preimage() };
    assert_eq!(invoice.seen(preimage().payment_hash()), Ok(wanted));
    assert!(invoice.seen(PaymentHash([1; 32])).is_err(), "a preimage of something else");
    let open = text.replace(r#""state":"SETTLED","htlcs""#, r#""state":"OPEN","htlcs""#);
    let open: Invoice = from_str(&open).unwrap();
    assert_eq!(open.seen(preimage().payment_hash()), Ok(SeenInvoice::Open));
}

#[test]
fn a_payment_that_ended_says_how() {
    let hash = preimage().payment_hash();
    let line: StreamLine<Payment> = from_str(include_str!("payment_succeeded.json")).unwrap();
    let status = SeenStatus::Succeeded { preimage: preimage(), fee: Msat(1_100) };
    assert_eq!(line.result.as_ref().unwrap().seen(hash), Ok(SeenPayment { index: 412, status }));
    assert!(line.result.unwrap().seen(PaymentHash([1; 32])).is_err());
    let text = include_str!("payment_failed.json");
    for (reason, meaning) in [
        ("INCORRECT_PAYMENT_DETAILS", FailureReason::Rejected),
        ("INSUFFICIENT_BALANCE", FailureReason::InsufficientBalance),
        ("NO_ROUTE", FailureReason::NoRoute),
        ("TIMEOUT", FailureReason::NoRoute),
        ("ERROR", FailureReason::NoRoute),
        ("CANCELED", FailureReason::NoRoute),
    ] {
        let text = text.replace("INCORRECT_PAYMENT_DETAILS", reason);
        let line: StreamLine<Payment> = from_str(&text).unwrap();
        let status = SeenStatus::Failed { reason: meaning };
        assert_eq!(line.result.unwrap().seen(hash), Ok(SeenPayment { index: 413, status }));
    }
}

#[test]
fn a_payment_under_way_is_not_decided_whatever_lnd_calls_it() {
    for (word, status) in [
        ("INITIATED", SeenStatus::InFlight),
        ("IN_FLIGHT", SeenStatus::InFlight),
        ("UNKNOWN", SeenStatus::Unknown),
    ] {
        let text = include_str!("payment_failed.json").replace(r#""FAILED""#, &format!("{word:?}"));
        let line: StreamLine<Payment> = from_str(&text).unwrap();
        assert_eq!(line.result.unwrap().seen(PaymentHash([1; 32])).unwrap().status, status);
    }
    let new = include_str!("payment_failed.json").replace(r#""FAILED""#, r#""FROZEN""#);
    assert!(from_str::<StreamLine<Payment>>(&new).is_err(), "what is not known is not guessed");
}

#[test]
fn requests_are_written_as_the_gateway_reads_them() {
    let hash = PaymentHash([0xfb; 32]);
    let invoice = NewInvoice {
        hash: Some(base64(&hash.0)),
        memo: "hold".into(),
        description_hash: None,
        value_msat: "1000000".into(),
        expiry: "3600".into(),
        cltv_expiry: Some("40".into()),
        private: true,
    };
    let wanted = serde_json::json!({
        "hash": "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=", "memo": "hold", "value_msat": "1000000",
        "expiry": "3600", "cltv_expiry": "40", "private": true,
    });
    assert_eq!(to_value(invoice).unwrap(), wanted);
    let send = SendPayment {
        payment_request: "lnbcrt".into(),
        amt_msat: None,
        fee_limit_msat: "0".into(),
        timeout_seconds: 60,
    };
    let wanted =
        serde_json::json!({ "payment_request": "lnbcrt", "fee_limit_msat": "0", "timeout_seconds": 60 });
    assert_eq!(to_value(send).unwrap(), wanted);
}

#[test]
fn integers_are_read_as_text_and_as_numbers_and_never_below_zero() {
    let read = |text: &str| from_str::<Amount>(&format!(r#"{{"msat":{text}}}"#)).map(|amount| amount.msat);
    assert_eq!(read(r#""18""#).unwrap(), 18);
    assert_eq!(read("18").unwrap(), 18);
    for bad in [r#""-1""#, "-1", r#""1.5""#, r#""""#, "null", "1.5"] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
