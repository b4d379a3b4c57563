use super::*;
use crate::node::Preimage;
use data_encoding::HEXLOWER;
use market::{id::LeaseId, units::TimeMs};
use proptest::prelude::*;
use std::collections::BTreeSet;

const NOW: TimeMs = TimeMs(1_750_000_000_000);
const PREIMAGE: Preimage = Preimage([9; 32]);

/// What `pymacaroons` 0.13 made of the same secrets, identifier and caveats; `scripts/l402_peers.py` makes them again.
const OF_PYMACAROONS: [&str; 2] = [
    "AgENZmlsbXMuZXhhbXBsZQJCAACMDMF6BJQsxPjg/gswJgbTEIhgwSZCi6LO61+e1BwrBQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fAAIQc2Vy\
     dmljZXM9ZmlsbXM6MAAABiDf1BSliVsFqDLFgUgnAHKbUWhgc5owlgleieMw6KDFvw==",
    "AgENZmlsbXMuZXhhbXBsZQJCAACMDMF6BJQsxPjg/gswJgbTEIhgwSZCi6LO61+e1BwrBQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fAAIYc2Vy\
     dmljZXM9ZmlsbXM6MCxtdXNpYzoyAAIdZmlsbXNfY2FwYWJpbGl0aWVzPXJlYWQsd2F0Y2gAAhxmaWxtc192YWxpZF91bnRpbD0xNzUwNDAwMDAwAAIJY29s\
     b3I9cmVkAAIYZmlsbXNfY2FwYWJpbGl0aWVzPXdhdGNoAAAGIKwN/lePslocvNExyJqCLI9vch5ZTaCvvhdZt0Dt7azn",
];

fn secrets() -> [[u8; 32]; 2] {
    [[7; 32], std::array::from_fn(|at| at as u8)]
}

fn identifier() -> Identifier {
    let token = TokenId(std::array::from_fn(|at| at as u8));
    Identifier { payment_hash: PREIMAGE.payment_hash(), token }
}

fn token_with(caveats: &[&str]) -> Token {
    let plain = Token::mint(&RootKey::new([7; 32]), "films.example", identifier(), &[]).unwrap();
    caveats.iter().fold(plain, |token, caveat| token.with_predicate(caveat).unwrap())
}

fn rights(caveats: &[&str]) -> Result<Rights, RightsError> {
    token_with(caveats).rights("films")
}

#[test]
fn tokens_are_those_of_pymacaroons_to_the_byte() {
    let films = Service { name: "films".into(), tier: 0 };
    let first = [Caveat::Services(vec![films.clone()])];
    let [first_secret, second_secret] = secrets().map(RootKey::new);
    let ours = Token::mint(&first_secret, "films.example", identifier(), &first).unwrap();
    assert_eq!(ours.to_base64(), OF_PYMACAROONS[0]);

    let second = [
        Caveat::Services(vec![films, Service { name: "music".into(), tier: 2 }]),
        Limit::Capabilities(BTreeSet::from(["read".into(), "watch".into()])).of("films"),
        Limit::ValidUntil(1_750_400_000).of("films"),
    ];
    let ours = Token::mint(&second_secret, "films.example", identifier(), &second).unwrap();
    let narrower = Limit::Capabilities(BTreeSet::from(["watch".into()])).of("films");
    let ours = ours.with_predicate("color=red").unwrap().narrowed(&narrower).unwrap();
    assert_eq!(ours.to_base64(), OF_PYMACAROONS[1]);
}

#[test]
fn tokens_of_pymacaroons_are_read_and_their_signatures_hold() {
    for (text, secret) in OF_PYMACAROONS.iter().zip(secrets()) {
        let token = Token::from_base64(text).unwrap();
        assert_eq!((token.identifier(), token.location()), (identifier(), Some("films.example")));
        assert!(RootKey::new(secret).signed(&token));
        assert!(!RootKey::new([8; 32]).signed(&token));
    }
    let read = Token::from_base64(OF_PYMACAROONS[1]).unwrap().rights("films").unwrap();
    assert_eq!(read.capabilities, Some(BTreeSet::from(["watch".into()])));
    assert_eq!(read.valid_until_s, Some(1_750_400_000));
}

#[test]
fn a_token_can_become_narrower_and_never_wider() {
    let narrower = [
        (vec!["services=films:1", "services=films:0"], true),
        (vec!["services=films:0", "services=films:1"], false),
        (vec!["services=films:0", "films_capabilities=a,b", "films_capabilities=b"], true),
        (vec!["services=films:0", "films_capabilities=b", "films_capabilities=a,b"], false),
        (vec!["services=films:0", "films_valid_until=9", "films_valid_until=8"], true),
        (vec!["services=films:0", "films_valid_until=8", "films_valid_until=9"], false),
        (vec!["services=films:0", "films_lease=lease-1", "films_lease=lease-1"], true),
        (vec!["services=films:0", "films_lease=lease-1", "films_lease=lease-2"], false),
        (vec!["services=films:0", "films_path=/a", "films_path=/b"], false),
        (vec!["services=films:0", "films_max_uses=3", "films_max_uses=1"], true),
        (vec!["services=films:0", "films_max_uses=1", "films_max_uses=3"], false),
    ];
    for (caveats, is_good) in narrower {
        let found = rights(&caveats);
        assert_eq!(found.is_ok(), is_good, "{caveats:?}: {found:?}");
        assert!(is_good || matches!(found, Err(RightsError::Wider(_))), "{caveats:?}: {found:?}");
    }
}

#[test]
fn what_is_not_understood_is_skipped_unless_it_is_ours_and_broken() {
    let good =
        rights(&["services=films:0", "color=red", "no equals sign", "music_valid_until=never", "_lease=x"]);
    assert_eq!(good, Ok(Rights::default()));
    for broken in [
        "films_valid_until=never",
        "films_valid_until=+7",
        "films_max_uses=0",
        "films_capabilities=",
        "films_lease=7",
        "films_path=a",
        "films_body_sha256=AB",
        "services=films",
    ] {
        let found = rights(&["services=films:0", broken]);
        assert!(matches!(found, Err(RightsError::Bad(_))), "{broken}: {found:?}");
    }
    for foreign in [&[][..], &["services=music:0"], &["services=films:0", "services=music:0"]] {
        assert_eq!(rights(foreign), Err(RightsError::OtherService("films".into())));
    }
    // A caveat that is no text is of an unknown kind.
    let key = RootKey::new([7; 32]);
    let raw = libmacaroon::Macaroon::create(None, key.macaroon_key(), identifier().to_bytes()).unwrap();
    let mut raw = { raw };
    raw.add_first_party_caveat("services=films:0").unwrap().add_first_party_caveat([0xff, b'=']).unwrap();
    let text = raw.serialize(libmacaroon::Format::V2).unwrap();
    let token = Token::from_bytes(&data_encoding::BASE64URL.decode(text.as_bytes()).unwrap()).unwrap();
    assert_eq!(token.rights("films"), Ok(Rights::default()));
}

#[test]
fn copies_that_were_made_narrower_share_the_count_of_what_they_came_from() {
    let base = ["services=films:0", "films_max_uses=2"];
    let counters = |more: &[&str]| {
        let caveats: Vec<&str> = base.iter().chain(more).copied().collect();
        rights(&caveats).unwrap().uses.iter().map(|limit| limit.counter).collect::<Vec<_>>()
    };
    let (plain, noted, once) = (counters(&[]), counters(&["note=x"]), counters(&["films_max_uses=1"]));
    assert_eq!(plain, noted);
    assert_eq!((once.len(), once[0]), (2, plain[0]));
    let other = counters(&["note=x", "films_max_uses=1"]);
    assert!(other[0] == once[0] && other[1] != once[1], "two friends, two counts of their own");
}

#[test]
fn the_challenge_serves_old_and_new_clients() {
    let challenge = Challenge { token: "AgE=".into(), invoice: "lnbcrt1x".into() };
    let header = challenge.header();
    assert_eq!(header, r#"L402 macaroon="AgE=", invoice="lnbcrt1x", version="0", token="AgE=""#);
    for text in [
        header.as_str(),
        r#"LSAT macaroon="AgE=", invoice="lnbcrt1x""#,
        "LSAT invoice=lnbcrt1x,macaroon=AgE=",
        r#"Basic realm="a, b", L402 version="0", token="AgE=", invoice="lnbcrt1x""#,
        r#"l402 macaroon = "AgE=" , invoice="lnbcrt1x", Bearer realm="z""#,
    ] {
        assert_eq!(Challenge::parse(text), Some(challenge.clone()), "{text}");
    }
    let long = format!("L402 macaroon=\"{}\", invoice=\"x\"", "A".repeat(HEADER_MAX_BYTES));
    for text in [
        "",
        "L402",
        r#"Basic macaroon="AgE=", invoice="x""#,
        r#"L402 macaroon="AgE=""#,
        r#"L402 macaroon="AgE=", invoice="#,
        r#"L402 macaroon="AgE=", Basic invoice="x""#,
        r#"L402 macaroon="A
        B", invoice="x""#,
        &long,
    ] {
        assert_eq!(Challenge::parse(text), None, "{text}");
    }
}

#[test]
fn a_credential_is_read_strictly() {
    let token = token_with(&["services=films:0"]);
    let credential = Credential { token: token.clone(), preimage: Some(PREIMAGE) };
    let header = credential.authorization().unwrap();
    assert_eq!(Credential::from_authorization(&header), Ok(Some(credential.clone())));
    let lsat = header.replacen("L402", "LSAT", 1);
    assert_eq!(Credential::from_authorization(&lsat), Ok(Some(credential.clone())));
    assert!(credential.is_opened());
    assert!(!Credential { preimage: Some(Preimage([8; 32])), ..credential.clone() }.is_opened());
    assert!(!Credential { preimage: None, ..credential }.is_opened());
    for other in ["Grist abc", "Basic abc", "", "L402"] {
        assert_eq!(Credential::from_authorization(other), Ok(None), "{other}");
    }
    let (base64, hex) = (token.to_base64(), HEXLOWER.encode(&PREIMAGE.0));
    let unpadded = base64.trim_end_matches('=');
    assert_ne!(base64, unpadded);
    for broken in [
        format!("L402 {base64}"),
        format!("L402 {base64}:"),
        format!("L402 {base64}:{}", hex.replace('9', "A")),
        format!("L402 {base64}:{hex}00"),
        format!("L402 {unpadded}:{hex}"),
        format!("L402 {}:{hex}", base64.replace('B', "_")),
        format!("L402 :{hex}"),
        format!("L402 {}:{hex}", "A".repeat(HEADER_MAX_BYTES)),
    ] {
        assert!(Credential::from_authorization(&broken).is_err(), "{broken}");
    }
}

#[test]
fn a_macaroon_alone_carries_its_preimage_in_a_caveat() {
    let credential = Credential { token: token_with(&["services=films:0"]), preimage: Some(PREIMAGE) };
    let read = Credential::from_macaroon(&credential.macaroon().unwrap()).unwrap();
    assert!(read.is_opened() && RootKey::new([7; 32]).signed(&read.token));
    assert_eq!(read.macaroon(), credential.macaroon(), "the preimage is not added twice");
    let given = Credential { preimage: None, ..credential };
    assert_eq!(Credential::from_macaroon(&given.macaroon().unwrap()), Ok(given));
    let broken = token_with(&["preimage=7"]);
    let broken = Credential::from_macaroon(&HEXLOWER.encode(broken.as_bytes()));
    assert_eq!(broken, Err(BadCredential::Preimage));
    assert_eq!(Credential::from_macaroon("0g"), Err(BadCredential::Hex));
}

#[test]
fn old_root_keys_are_good_until_their_time_is_over() {
    let (mut keys, overlap_ms) = (RootKeys::new([1; 32], NOW), 1_000);
    let mint = |keys: &RootKeys| Token::mint(keys.current(), "here", identifier(), &[]).unwrap();
    let old = mint(&keys);
    keys.rotate([2; 32], NOW, overlap_ms).unwrap();
    let new = mint(&keys);
    assert!(keys.signed(&old, NOW.plus(999)) && keys.signed(&new, NOW));
    assert!(!keys.signed(&old, NOW.plus(1_000)), "its time is over");
    let saved: RootKeys = serde_json::from_str(&serde_json::to_string(&keys).unwrap()).unwrap();
    assert!(saved.signed(&old, NOW.plus(999)) && saved.signed(&new, NOW));
    for at in 2..ROOT_KEYS_MAX as u8 {
        keys.rotate([1 + at; 32], NOW, overlap_ms).unwrap();
    }
    assert_eq!(keys.rotate([99; 32], NOW, overlap_ms), Err(TooManyKeys));
    assert!(keys.rotate([99; 32], NOW.plus(1_000), overlap_ms).is_ok(), "expired ones make room");
}

#[test]
fn secrets_do_not_print_themselves() {
    let token = token_with(&["services=films:0"]);
    let credential = Credential { token: token.clone(), preimage: Some(PREIMAGE) };
    let challenge = Challenge { token: token.to_base64(), invoice: "lnbc1".into() };
    let printed = format!("{token:?} {credential:?} {challenge:?} {:?}", RootKeys::new([7; 32], NOW));
    for secret in [token.to_base64(), HEXLOWER.encode(&PREIMAGE.0), HEXLOWER.encode(&[7; 32]), "[7, 7".into()]
    {
        assert!(!printed.contains(&secret), "{printed}");
    }
}

#[test]
fn a_token_of_another_kind_is_refused() {
    let key = RootKey::new([7; 32]);
    let bytes = |macaroon: &libmacaroon::Macaroon| {
        let text = macaroon.serialize(libmacaroon::Format::V2).unwrap();
        data_encoding::BASE64URL.decode(text.as_bytes()).unwrap()
    };
    let other = libmacaroon::Macaroon::create(None, key.macaroon_key(), "some id").unwrap();
    assert_eq!(Token::from_bytes(&bytes(&other)), Err(TokenError::Identifier));
    let mut third = libmacaroon::Macaroon::create(None, key.macaroon_key(), identifier().to_bytes()).unwrap();
    third.add_third_party_caveat("bank", key.macaroon_key(), "id").unwrap();
    assert_eq!(Token::from_bytes(&bytes(&third)), Err(TokenError::ThirdParty));
    assert_eq!(Token::from_bytes(&[2; TOKEN_MAX_BYTES + 1]), Err(TokenError::TooLarge));
    let many = (0..CAVEATS_MAX).fold(token_with(&[]), |token, _| token.with_predicate("a=b").unwrap());
    assert_eq!(many.with_predicate("a=b"), Err(TokenError::TooLarge));
}

proptest! {
    #[test]
    fn a_changed_bit_breaks_the_token(at in 0_usize..200, bit in 0_u8..8) {
        let token = token_with(&["services=films:0", "films_valid_until=1750400000"]);
        let mut bytes = token.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = Token::from_bytes(&bytes) {
            // The location is a hint: nothing protects it.
            let is_hint = changed.location() != token.location();
            prop_assert_eq!(RootKey::new([7; 32]).signed(&changed), is_hint);
        }
    }

    #[test]
    fn caveats_read_as_they_were_written(
        lease: u64, count in 1_u32.., until: u64, hash: [u8; 32], path in "/[a-z0-9/=,-]{0,20}",
        words in prop::collection::btree_set("[a-z_.-]{1,8}", 1..4), service in "[a-z][a-z_]{0,8}", tier: u8,
    ) {
        let limits = [
            Limit::Capabilities(words),
            Limit::ValidUntil(until),
            Limit::Lease(LeaseId(lease)),
            Limit::Path(path),
            Limit::BodySha256(hash),
            Limit::MaxUses(count),
        ];
        for limit in limits {
            let caveat = limit.of(&service);
            prop_assert_eq!(Caveat::parse(&caveat.to_string()), Ok(Some(caveat)));
        }
        let services = Caveat::Services(vec![Service { name: service, tier }]);
        prop_assert_eq!(Caveat::parse(&services.to_string()), Ok(Some(services)));
    }

    #[test]
    fn any_text_is_a_header_or_is_not(text in "\\PC{0,80}") {
        let _ = Challenge::parse(&text);
        let _ = Credential::from_authorization(&text);
        let _ = Credential::from_macaroon(&text);
        let _ = Caveat::parse(&text);
    }
}
