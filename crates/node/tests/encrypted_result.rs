//! Any result comes back under its key, and whatever else is tried is told.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use node::encrypted_result::{DecryptError, decrypt, encrypt};
use proptest::prelude::*;

/// How much is encrypted at once.
const CHUNK: usize = 64 << 10;

fn encrypted(key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encrypt(key, plain, &mut bytes).unwrap();
    bytes
}

fn decrypted(key: &[u8; 32], encrypted: &[u8]) -> Result<Vec<u8>, DecryptError> {
    let mut bytes = Vec::new();
    decrypt(key, encrypted, &mut bytes).map(|()| bytes)
}

fn is_closed(key: &[u8; 32], encrypted: &[u8]) -> bool {
    matches!(decrypted(key, encrypted), Err(DecryptError::Closed))
}

#[test]
fn every_length_around_a_chunk_comes_back() {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
        let plain: Vec<u8> = (0..length).map(|n| n as u8).collect();
        let bytes = encrypted(&[7; 32], &plain);
        assert_eq!(bytes.len(), length + 16 * length.div_ceil(CHUNK).max(1));
        assert_eq!(decrypted(&[7; 32], &bytes).unwrap(), plain, "{length}");
    }
}

#[test]
fn chunks_that_are_cut_off_swapped_or_added_are_told() {
    let bytes = encrypted(&[7; 32], &vec![5; 3 * CHUNK]);
    let part = CHUNK + 16;
    let swapped = [&bytes[part..2 * part], &bytes[..part], &bytes[2 * part..]].concat();
    for wrong in [&bytes[..2 * part], &bytes[..part], &[], &swapped, &[&bytes[..], &bytes[..part]].concat()] {
        assert!(is_closed(&[7; 32], wrong));
    }
}

proptest! {
    #[test]
    fn any_result_comes_back_under_its_key(key: [u8; 32], plain: Vec<u8>) {
        prop_assert_eq!(decrypted(&key, &encrypted(&key, &plain)).unwrap(), plain);
    }

    #[test]
    fn any_flipped_bit_is_told(
        plain in proptest::collection::vec(any::<u8>(), 0..200), place: proptest::sample::Index, bit in 0u8..8,
    ) {
        let mut bytes = encrypted(&[7; 32], &plain);
        let at = place.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(is_closed(&[7; 32], &bytes));
    }

    #[test]
    fn any_other_key_is_told(key: [u8; 32], other: [u8; 32], plain: Vec<u8>) {
        prop_assume!(key != other);
        prop_assert!(is_closed(&other, &encrypted(&key, &plain)));
    }
}
