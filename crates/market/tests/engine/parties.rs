//! Keys, machines, rights, statements that come twice or late.

use crate::world::*;
use market::{
    command::{CERTIFICATE_DOMAIN, Command, ROTATION_DOMAIN, certificate_message, rotation_message},
    id::{Digest, MachineId},
    offer::OfferRole,
    rejection::{Conflict, NeedsSigner, Rejection},
    statement::Checked,
    units::{Msat, Rate, TimeMs},
};

fn is_conflict(result: Result<market::engine::Applied, Rejection>, conflict: Conflict) {
    assert!(matches!(result, Err(Rejection::Conflict { is, .. }) if is == conflict), "{result:?}");
}

#[test]
fn a_machine_belongs_to_one_party_and_has_to_agree() {
    let mut world = World::new();
    let (_, alice) = world.party("alice", Msat::ZERO);
    let (_, bob) = world.party("bob", Msat::ZERO);
    let (_, key) = world.machine(&alice, 4);
    let certify =
        |owner: &market::key::SecretKey, key: &market::key::SecretKey, venue| Command::CertifyMachine {
            machine_key: key.public(),
            consent: key.sign(CERTIFICATE_DOMAIN, &certificate_message(&venue, &owner.public())),
            label: "m".into(),
            capacity: resources(1),
        };
    let venue = world.venue.public();
    let stolen = world.apply(bob.public(), certify(&bob, &key, venue));
    is_conflict(stolen, Conflict::OwnedByAnother);
    let fresh = world.new_key();
    let unasked = world.apply(bob.public(), certify(&alice, &fresh, venue));
    is_conflict(unasked, Conflict::NoConsent);
}

#[test]
fn only_the_owner_of_a_thing_may_change_it() {
    let mut world = World::new();
    let terms = offer_terms(OfferRole::Work, Rate::per_task(Msat(1)));
    let alice = world.provider(terms.clone(), Msat::ZERO, honest);
    let bob = world.provider(terms.clone(), Msat::ZERO, honest);
    for command in [
        Command::WithdrawOffer { offer: alice.offer },
        Command::ChangeOffer { offer: alice.offer, terms: Box::new(terms.clone()) },
        Command::PostOffer { machine: alice.machine, terms: Box::new(terms) },
        Command::RevokeMachine { machine: alice.machine },
        Command::Tick,
        Command::ActivateRules { version: 2 },
    ] {
        let result = world.apply(bob.key.public(), command);
        assert!(matches!(result, Err(Rejection::NotAllowed { .. })), "{result:?}");
    }
    let stranger = world.new_key();
    let result = world.apply(stranger.public(), Command::TopUp { amount_msat: Msat(5_000) });
    assert_eq!(result.unwrap_err(), Rejection::UnknownSigner);
    let result = world.apply(alice.machine_key.public(), Command::TopUp { amount_msat: Msat(5_000) });
    assert_eq!(result.unwrap_err(), Rejection::NotAllowed { needs: NeedsSigner::Party });
}

#[test]
fn a_rotated_key_is_worth_nothing_and_is_never_used_again() {
    let mut world = World::new();
    let (party, old) = world.party("alice", Msat(10_000));
    let new = world.new_key();
    let consent = new.sign(ROTATION_DOMAIN, &rotation_message(&world.venue.public(), &old.public()));
    world.apply(old.public(), Command::RotateKey { new_key: new.public(), consent }).unwrap();
    let lock = Command::LockBond { amount_msat: Msat(1_000) };
    assert_eq!(world.apply(old.public(), lock.clone()).unwrap_err(), Rejection::UnknownSigner);
    world.apply(new.public(), lock).unwrap();
    assert_eq!(world.bond(party), Msat(1_000));
    let again = world.apply(old.public(), Command::RegisterParty { label: "again".into() });
    is_conflict(again, Conflict::KeyTaken);
}

#[test]
fn a_revoked_machine_loses_offers_and_key() {
    let mut world = World::new();
    let terms = offer_terms(OfferRole::Work, Rate::per_task(Msat(1)));
    let alice = world.provider(terms.clone(), Msat::ZERO, honest);
    world.apply(alice.key.public(), Command::RevokeMachine { machine: alice.machine }).unwrap();
    assert!(world.engine.state().offers.is_empty());
    let post = Command::PostOffer { machine: alice.machine, terms: Box::new(terms) };
    assert_eq!(world.apply(alice.machine_key.public(), post.clone()).unwrap_err(), Rejection::UnknownSigner);
    let by_owner = world.apply(alice.key.public(), post);
    is_conflict(by_owner, Conflict::Revoked);
    assert_eq!(alice.machine, MachineId(1));
}

#[test]
fn a_statement_that_comes_twice_happens_once() {
    let mut world = World::new();
    let key = world.new_key();
    let command = Command::RegisterParty { label: "p".into() };
    let statement = Checked {
        signer: key.public(),
        digest: Digest([4; 32]),
        not_after_ms: world.now.plus(1_000),
        seen: None,
        command,
    };
    let first = world.apply_checked(&statement).unwrap();
    assert_eq!(
        world.apply_checked(&statement).unwrap_err(),
        Rejection::Duplicate { position: first.position }
    );
    world.now = world.now.plus(2_000);
    let late = world.apply_checked(&statement).unwrap_err();
    assert!(matches!(late, Rejection::Duplicate { .. } | Rejection::Expired { .. }), "{late:?}");
}

#[test]
fn wrong_clocks_are_told_apart() {
    let mut world = World::new();
    let key = world.new_key();
    let mut statement = Checked {
        signer: key.public(),
        digest: Digest([4; 32]),
        not_after_ms: TimeMs(5),
        seen: None,
        command: Command::RegisterParty { label: "p".into() },
    };
    assert!(matches!(world.apply_checked(&statement), Err(Rejection::Expired { .. })));
    statement.not_after_ms = world.now.plus(601_000);
    assert!(matches!(world.apply_checked(&statement), Err(Rejection::LifetimeTooLong { .. })));
}
