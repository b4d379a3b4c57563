//! Any bytes as a token: refused, or read, and then written as they were; no key signed it, and its caveats are read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pay::l402::{Caveat, RootKey, Token};

fuzz_target!(|bytes: &[u8]| {
    let token = match Token::from_bytes(bytes) {
        Ok(token) => token,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(Token::from_bytes(token.as_bytes()), Ok(token.clone()));
    assert_eq!(Token::from_base64(&token.to_base64()), Ok(token.clone()));
    assert!(!RootKey::new(*b"a secret that no input can guess").signed(&token));
    for text in token.caveats() {
        if let Ok(Some(caveat)) = Caveat::parse(&text) {
            assert_eq!(Caveat::parse(&caveat.to_string()), Ok(Some(caveat)));
        }
    }
    if let (Ok(before), Ok(narrower)) = (token.rights("grist"), token.with_predicate("grist_max_uses=1")) {
        let after = narrower.rights("grist").expect("one use is narrower than anything");
        assert_eq!(after.uses.len(), before.uses.len() + 1);
    }
});
