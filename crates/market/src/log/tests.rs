use super::*;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;

/// RFC 9162, section 2.1.1, word for word: the reference that the incremental tree is held against.
fn tree_hash(events: &[Vec<u8>]) -> Digest {
    match events {
        [] => Digest::of(b""),
        [event] => Digest::of(&[&[0x00], event.as_slice()].concat()),
        _ => {
            let (left, right) = events.split_at(half(events.len()));
            Digest::of(&[&[0x01], &tree_hash(left).0[..], &tree_hash(right).0].concat())
        }
    }
}

/// RFC 9162, section 2.1.3.1.
fn path(index: usize, events: &[Vec<u8>]) -> Vec<Digest> {
    if events.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = events.split_at(half(events.len()));
    if index < left.len() {
        [path(index, left), vec![tree_hash(right)]].concat()
    } else {
        [path(index - left.len(), right), vec![tree_hash(left)]].concat()
    }
}

/// RFC 9162, section 2.1.4.1.
fn subproof(old: usize, events: &[Vec<u8>], whole: bool) -> Vec<Digest> {
    if old == events.len() {
        return if whole { Vec::new() } else { vec![tree_hash(events)] };
    }
    let (left, right) = events.split_at(half(events.len()));
    if old <= left.len() {
        [subproof(old, left, whole), vec![tree_hash(right)]].concat()
    } else {
        [subproof(old - left.len(), right, false), vec![tree_hash(left)]].concat()
    }
}

fn half(length: usize) -> usize {
    let mut half = 1;
    while half * 2 < length {
        half *= 2;
    }
    half
}

fn events(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| number.to_le_bytes().to_vec()).collect()
}

fn log_of(events: &[Vec<u8>]) -> PublicLog {
    let mut log = PublicLog::new();
    for event in events {
        log.append(event);
    }
    log
}

fn venue() -> SecretKey {
    SecretKey::from_bytes([9; 32])
}

fn signed(head: Head) -> SignedHead {
    SignedHead::sign(head, TimeMs(1), &venue())
}

#[test]
fn the_roots_are_those_of_rfc_9162_and_of_another_implementation() {
    let events = events(70);
    let log = log_of(&events);
    let mut peer = MemoryBackedTree::<blake3::Hasher, Vec<u8>>::new();
    for size in 0..=70 {
        let root = log.root_at(size).unwrap();
        assert_eq!(root, tree_hash(&events[..size as usize]), "size {size}");
        assert_eq!(log_of(&events[..size as usize]).head(), Head { size, root });
        if size > 0 {
            assert_eq!(&root.0[..], peer.root().as_bytes().as_slice(), "size {size}");
        }
        if let Some(event) = events.get(size as usize) {
            peer.push(event.clone());
        }
    }
}

#[test]
fn every_event_is_proven_under_every_later_head() {
    let events = events(34);
    let log = log_of(&events);
    for size in 1..=34 {
        let head = Head { size, root: log.root_at(size).unwrap() };
        for index in 0..size {
            let proof = log.inclusion_proof(index, size).unwrap();
            assert_eq!(proof.path, path(index as usize, &events[..size as usize]));
            assert_eq!(verify_inclusion(&head, &events[index as usize], &proof), Ok(()));
            assert!(verify_inclusion(&head, b"something else", &proof).is_err());
            let elsewhere = InclusionProof { index: (index + 1) % size, ..proof.clone() };
            assert_eq!(verify_inclusion(&head, &events[index as usize], &elsewhere).is_ok(), size == 1);
        }
    }
}

#[test]
fn every_head_is_joined_to_every_later_one() {
    let events = events(34);
    let log = log_of(&events);
    for new in 0..=34 {
        for old in 0..=new {
            let proof = log.consistency_proof(old, new).unwrap();
            if old > 0 {
                assert_eq!(
                    proof.path,
                    subproof(old as usize, &events[..new as usize], true),
                    "{old} to {new}"
                );
            }
            assert_eq!(verify_consistency(&proof.old, &proof.new, &proof), Ok(()), "{old} to {new}");
        }
    }
}

#[test]
fn beyond_the_end_there_is_no_proof() {
    let log = log_of(&events(5));
    assert_eq!(log.root_at(6), Err(BeyondEnd { asked: 6, size: 5 }));
    assert!(log.inclusion_proof(5, 5).is_err());
    assert!(log.inclusion_proof(0, 6).is_err());
    assert!(log.consistency_proof(4, 3).is_err());
    assert!(log.consistency_proof(0, 6).is_err());
    assert!(!log.passed_through(&Head { size: u64::MAX, root: log.head().root }));
    assert!(!log.passed_through(&Head { size: 4, root: log.head().root }));
    assert!(log.passed_through(&log.consistency_proof(4, 5).unwrap().old));
}

#[test]
fn hostile_proofs_are_refused() {
    let log = log_of(&events(5));
    let head = log.head();
    let huge = Head { size: u64::MAX, root: head.root };
    for path in [vec![], vec![head.root; 3], vec![head.root; 63], vec![head.root; 64]] {
        let inclusion = InclusionProof { index: u64::MAX - 1, size: u64::MAX, path: path.clone() };
        assert_eq!(verify_inclusion(&huge, b"", &inclusion), Err(BadProof::Malformed));
        let consistency = ConsistencyProof { old: head, new: huge, path: path.clone() };
        assert_eq!(verify_consistency(&head, &huge, &consistency), Err(BadProof::Malformed));
        let backwards = ConsistencyProof { old: huge, new: head, path };
        assert_eq!(verify_consistency(&huge, &head, &backwards), Err(BadProof::Malformed));
    }
    let false_empty = Head { size: 0, root: head.root };
    let proof = ConsistencyProof { old: false_empty, new: head, path: vec![] };
    assert_eq!(verify_consistency(&false_empty, &head, &proof), Err(BadProof::OtherRoot));
}

#[test]
fn a_signed_head_cannot_be_changed() {
    let good = signed(log_of(&events(3)).head());
    assert_eq!(good.verify(), Ok(()));
    let resized = SignedHead { head: Head { size: 4, ..good.head }, ..good };
    let redated = SignedHead { at: TimeMs(2), ..good };
    assert_eq!((resized.verify(), redated.verify()), (Err(BadSignature), Err(BadSignature)));
}

#[test]
fn a_venue_that_shows_two_logs_is_proven_to() {
    let (shown_to_alice, mut shown_to_bob) = (events(6), events(11));
    shown_to_bob[4] = b"another story".to_vec();
    let (alice, bob) = (log_of(&shown_to_alice), log_of(&shown_to_bob));

    let same_size = Head { size: 6, root: bob.root_at(6).unwrap() };
    assert!(is_fork(&signed(alice.head()), &signed(same_size), None));

    // Bob's own proof, from the root that his log had at Alice's size, is the evidence.
    let proof = bob.consistency_proof(6, 11).unwrap();
    assert!(is_fork(&signed(alice.head()), &signed(bob.head()), Some(&proof)));
    assert!(is_fork(&signed(bob.head()), &signed(alice.head()), Some(&proof)), "in either order");
    assert!(!is_fork(&signed(alice.head()), &signed(bob.head()), None), "different sizes need the proof");
}

#[test]
fn an_honest_venue_cannot_be_framed() {
    let log = log_of(&events(11));
    let old = log.consistency_proof(6, 11).unwrap();
    let (older, newer) = (signed(old.old), signed(old.new));
    assert!(!is_fork(&older, &newer, Some(&old)));
    assert!(!is_fork(&older, &older, None));
    let broken = ConsistencyProof { path: vec![log.head().root; 4], ..old.clone() };
    let invented = ConsistencyProof { old: Head { size: 6, root: log.head().root }, ..old.clone() };
    assert!(!is_fork(&older, &newer, Some(&broken)));
    assert!(!is_fork(&older, &newer, Some(&invented)));
    let forged = SignedHead { head: Head { size: 11, root: old.old.root }, ..newer };
    assert!(!is_fork(&newer, &forged, None), "a head that the venue did not sign");
}

#[test]
fn proofs_travel_as_json_of_hex_digests() {
    let log = log_of(&events(3));
    let proof = log.inclusion_proof(2, 3).unwrap();
    let json = serde_json::to_string(&proof).unwrap();
    assert_eq!(json, format!(r#"{{"index":2,"size":3,"path":["{}"]}}"#, log.root_at(2).unwrap()));
    assert_eq!(serde_json::from_str::<InclusionProof>(&json).unwrap(), proof);
    let head = signed(log.head());
    assert_eq!(serde_json::from_str::<SignedHead>(&serde_json::to_string(&head).unwrap()).unwrap(), head);
}

#[test]
fn a_log_survives_serialization() {
    let log = log_of(&events(13));
    let bytes = postcard::to_allocvec(&log).unwrap();
    assert_eq!(postcard::from_bytes::<PublicLog>(&bytes).unwrap(), log);
}

proptest! {
    #[test]
    fn a_changed_path_proves_nothing(
        size in 2u64..300, index in any::<u64>(), old in any::<u64>(), at in any::<usize>(), bit in 0usize..256,
    ) {
        let events = events(size);
        let log = log_of(&events);
        let flip = |path: &mut Vec<Digest>| {
            let at = at % path.len();
            path[at].0[bit / 8] ^= 1 << (bit % 8);
        };
        let index = index % size;
        let mut inclusion = log.inclusion_proof(index, size).unwrap();
        prop_assert_eq!(verify_inclusion(&log.head(), &events[index as usize], &inclusion), Ok(()));
        flip(&mut inclusion.path);
        prop_assert_eq!(
            verify_inclusion(&log.head(), &events[index as usize], &inclusion),
            Err(BadProof::OtherRoot)
        );

        let mut consistency = log.consistency_proof(1 + old % (size - 1), size).unwrap();
        prop_assert_eq!(verify_consistency(&consistency.old, &log.head(), &consistency), Ok(()));
        flip(&mut consistency.path);
        prop_assert_eq!(
            verify_consistency(&consistency.old, &log.head(), &consistency),
            Err(BadProof::OtherRoot)
        );
    }
}
