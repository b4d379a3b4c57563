//! Any text as an invoice: refused with words, or read with an amount that exists.
#![no_main]

use libfuzzer_sys::fuzz_target;
use market::units::Msat;

fuzz_target!(|text: &str| {
    match pay::bolt11::decode(text) {
        Ok(invoice) => {
            assert!(invoice.amount.is_none_or(|amount| amount <= Msat::MAX));
            assert_eq!(pay::bolt11::decode(text), Ok(invoice));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
