//! Any payload, properly signed, by the venue or by a party: the engine takes it or refuses it, and its books stay right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use market::{
    command::Command,
    engine::Engine,
    key::SecretKey,
    statement::{DOMAIN, Payload, Statement, StatementError},
    units::TimeMs,
};

// The keys of the golden statements, so that those are a corpus to begin with.
const PARTY: [u8; 32] = [1; 32];
const VENUE: [u8; 32] = [2; 32];
const NOW: TimeMs = TimeMs(1_699_999_999_000);

fuzz_target!(|payload: &str| {
    let venue = SecretKey::from_bytes(VENUE);
    let mut engine = market_with_a_party(&venue);
    for secret in [&venue, &SecretKey::from_bytes(PARTY)] {
        let signature = secret.sign(DOMAIN, payload.as_bytes());
        let statement = Statement { payload: payload.to_owned(), key: secret.public(), signature };
        assert_eq!(Statement::from_bytes(&statement.to_bytes()), Some(statement.clone()));
        let checked = match statement.check(&venue.public()) {
            Ok(checked) => checked,
            Err(StatementError::BadSignature) => panic!("it was signed a moment ago"),
            Err(_) => continue,
        };
        let before = engine.state_hash().expect("the state can be encoded");
        if engine.apply(NOW, &checked).is_err() {
            assert_eq!(engine.state_hash().expect("as before"), before, "a refusal changes nothing");
        }
        engine.check_invariants().expect("the books stay right");
    }
});

fn market_with_a_party(venue: &SecretKey) -> Engine {
    let mut engine = Engine::new(venue.public());
    let command = Command::RegisterParty { label: "Ada".into() };
    let payload = Payload { v: 1, venue: venue.public(), not_after_ms: NOW, nonce: 0, seen: None, command };
    let statement = Statement::sign(&SecretKey::from_bytes(PARTY), &payload).expect("a payload is JSON");
    let checked = statement.check(&venue.public()).expect("it is sound");
    engine.apply(NOW, &checked).expect("nobody is registered yet");
    engine
}
