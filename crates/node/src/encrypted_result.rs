//! Encrypted results: a chunked, authenticated encryption, so that a result of any size is encrypted and opened in little memory.
//!
//! ChaCha20-Poly1305 in the STREAM construction (<https://eprint.iacr.org/2015/189>), as the crate `aead` implements it:
//! chunks of 64 KiB, each with a tag of 16 bytes under a nonce of a prefix, its number and whether it is the last. The prefix
//! is zero, because a key encrypts one result only ([`market::funding::result_key`]). Any changed, missing, added or
//! reordered byte closes everything; so does another key. The ciphertext is a blob, so its digest stands for all of it.

use chacha20poly1305::{
    ChaCha20Poly1305,
    aead::stream::{DecryptorBE32, EncryptorBE32},
};
use std::io::{self, Read, Write};

/// How much is encrypted at once.
const CHUNK_BYTES: u64 = 64 << 10;
/// How much longer each chunk becomes.
const TAG_BYTES: u64 = 16;
/// STREAM takes five of a nonce's twelve bytes for its own.
const NONCE_PREFIX: [u8; 7] = [0; 7];

/// Why nothing was opened.
#[derive(Debug, thiserror::Error)]
pub enum DecryptError {
    /// Another key, or other bytes than were encrypted.
    #[error("the key does not open the ciphertext")]
    Closed,
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Encrypts everything that can be read.
pub fn encrypt(key: &[u8; 32], mut plain: impl Read, mut encrypted: impl Write) -> io::Result<()> {
    let mut stream = EncryptorBE32::<ChaCha20Poly1305>::new(key.into(), &NONCE_PREFIX.into());
    let full = |_| io::Error::other("a result is too large to be encrypted");
    let mut chunk = read_chunk(&mut plain, CHUNK_BYTES)?;
    loop {
        let next = read_chunk(&mut plain, CHUNK_BYTES)?;
        if next.is_empty() {
            stream.encrypt_last_in_place(&[], &mut chunk).map_err(full)?;
            return encrypted.write_all(&chunk);
        }
        stream.encrypt_next_in_place(&[], &mut chunk).map_err(full)?;
        encrypted.write_all(&chunk)?;
        chunk = next;
    }
}

/// Decrypts everything that can be read. What was written before an error is not to be used.
pub fn decrypt(key: &[u8; 32], mut encrypted: impl Read, mut plain: impl Write) -> Result<(), DecryptError> {
    let mut stream = DecryptorBE32::<ChaCha20Poly1305>::new(key.into(), &NONCE_PREFIX.into());
    let mut chunk = read_chunk(&mut encrypted, CHUNK_BYTES + TAG_BYTES)?;
    loop {
        let next = read_chunk(&mut encrypted, CHUNK_BYTES + TAG_BYTES)?;
        if next.is_empty() {
            stream.decrypt_last_in_place(&[], &mut chunk).map_err(|_| DecryptError::Closed)?;
            return Ok(plain.write_all(&chunk)?);
        }
        stream.decrypt_next_in_place(&[], &mut chunk).map_err(|_| DecryptError::Closed)?;
        plain.write_all(&chunk)?;
        chunk = next;
    }
}

/// As many bytes, or all that are left.
fn read_chunk(from: &mut impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::new();
    from.take(bytes).read_to_end(&mut chunk)?;
    Ok(chunk)
}
