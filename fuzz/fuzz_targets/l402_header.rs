//! Any text as a header of L402: refused, or read, and then it reads the same when it is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pay::l402::{Challenge, Credential};

fuzz_target!(|text: &str| {
    if let Some(challenge) = Challenge::parse(text) {
        // One of the longest may not fit once its token stands there twice.
        if !challenge.token.contains('"') && !challenge.invoice.contains('"') && challenge.header().len() <= 8_192 {
            assert_eq!(Challenge::parse(&challenge.header()), Some(challenge));
        }
    }
    if let Ok(Some(credential)) = Credential::from_authorization(text) {
        let written = credential.authorization().expect("it has a preimage");
        assert_eq!(Credential::from_authorization(&written), Ok(Some(credential)));
    }
    if let Ok(credential) = Credential::from_macaroon(text) {
        let written = credential.macaroon().expect("it is there already");
        assert_eq!(Credential::from_macaroon(&written), Ok(credential));
    }
});
