//! The token: a macaroon in the binary format, version 2, of Go's `macaroon.v2`
//! (<https://github.com/rescrv/libmacaroons/blob/master/doc/format.txt>), whose identifier names a payment.

use super::{
    caveat::Caveat,
    keys::RootKey,
    rights::{Rights, RightsError},
};
use data_encoding::{BASE64, BASE64URL, HEXLOWER};
use libmacaroon::{Caveat as Raw, Format, Macaroon, MacaroonError};
use market::id::PaymentHash;
use std::fmt;

/// The longest token that is read, in bytes.
pub const TOKEN_MAX_BYTES: usize = 4_096;
/// The most caveats that a token may have.
pub const CAVEATS_MAX: usize = 64;
/// What a binary macaroon of version 2 begins with.
const FORMAT: u8 = 2;
/// The only version of identifiers that there is.
const VERSION: [u8; 2] = [0, 0];

/// What tells one token from another, chosen by chance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub [u8; 32]);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The identifier of a token: version 0 in two bytes, big-endian, the payment hash, the token's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identifier {
    /// What has to be paid for the token. 32 zero bytes where nothing has to: nobody knows a preimage of those.
    pub payment_hash: PaymentHash,
    /// Which token.
    pub token: TokenId,
}

impl Identifier {
    /// Its length.
    pub const BYTES: usize = 66;
    /// The payment hash of tokens that were given, not sold.
    pub const NO_PAYMENT: PaymentHash = PaymentHash([0; 32]);

    /// As it stands in the macaroon.
    pub fn to_bytes(&self) -> [u8; Identifier::BYTES] {
        let mut bytes = [0; Identifier::BYTES];
        bytes[..2].copy_from_slice(&VERSION);
        bytes[2..34].copy_from_slice(&self.payment_hash.0);
        bytes[34..].copy_from_slice(&self.token.0);
        bytes
    }

    /// Reads one; `None` for anything but version 0.
    pub fn from_bytes(bytes: &[u8]) -> Option<Identifier> {
        let (hash, token) = bytes.strip_prefix(&VERSION)?.split_first_chunk()?;
        Some(Identifier { payment_hash: PaymentHash(*hash), token: TokenId(token.try_into().ok()?) })
    }

    /// Whether the token was given, not sold.
    pub fn is_unpaid(&self) -> bool {
        self.payment_hash == Identifier::NO_PAYMENT
    }
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// More than is read.
    #[error("the token is longer than {TOKEN_MAX_BYTES} bytes or has more than {CAVEATS_MAX} caveats")]
    TooLarge,
    /// Not the text of one.
    #[error("the token is not standard base64 with padding: copy it again, in full")]
    NotBase64,
    /// Not a macaroon.
    #[error("the token is no macaroon of version 2 ({0}): copy it again, in full")]
    NotMacaroon(String),
    /// Another kind of macaroon.
    #[error(
        "the macaroon's identifier is not one of L402 (version 0, payment hash, token id): it is for something else"
    )]
    Identifier,
    /// A caveat that somebody else would have to discharge.
    #[error("the macaroon has a caveat that a third party has to discharge, which L402 does not know")]
    ThirdParty,
}

/// A token. It is a secret: whoever has it, and the preimage, has its rights. So it does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    macaroon: Macaroon,
    identifier: Identifier,
    bytes: Vec<u8>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.identifier.token)
    }
}

impl Token {
    /// Makes a token. `location` is a hint for its holder and not protected by the signature.
    pub fn mint(
        key: &RootKey,
        location: &str,
        identifier: Identifier,
        caveats: &[Caveat],
    ) -> Result<Token, TokenError> {
        let mut macaroon =
            Macaroon::create(Some(location), key.macaroon_key(), identifier.to_bytes()).map_err(broken)?;
        for caveat in caveats {
            macaroon.add_first_party_caveat(caveat.to_string()).map_err(broken)?;
        }
        Token::of(macaroon)
    }

    /// The token with one more caveat: it can do less, never more.
    pub fn narrowed(&self, caveat: &Caveat) -> Result<Token, TokenError> {
        self.with_predicate(&caveat.to_string())
    }

    /// The token with a caveat that may be of any kind; kinds that its reader does not know are skipped there.
    pub fn with_predicate(&self, predicate: &str) -> Result<Token, TokenError> {
        let mut macaroon = self.macaroon.clone();
        macaroon.add_first_party_caveat(predicate).map_err(broken)?;
        Token::of(macaroon)
    }

    /// Reads a binary macaroon.
    pub fn from_bytes(bytes: &[u8]) -> Result<Token, TokenError> {
        if bytes.len() > TOKEN_MAX_BYTES {
            return Err(TokenError::TooLarge);
        }
        if bytes.first() != Some(&FORMAT) {
            return Err(TokenError::NotMacaroon("it does not begin with a 2".to_owned()));
        }
        Token::of(Macaroon::deserialize_binary(bytes).map_err(broken)?)
    }

    /// Reads the text that stands in headers: standard base64 with padding.
    pub fn from_base64(text: &str) -> Result<Token, TokenError> {
        // Four digits are three bytes; nothing longer is decoded.
        if text.len() > TOKEN_MAX_BYTES.div_ceil(3) * 4 {
            return Err(TokenError::TooLarge);
        }
        Token::from_bytes(&BASE64.decode(text.as_bytes()).map_err(|_| TokenError::NotBase64)?)
    }

    fn of(macaroon: Macaroon) -> Result<Token, TokenError> {
        if macaroon.caveats().len() > CAVEATS_MAX {
            return Err(TokenError::TooLarge);
        }
        if macaroon.caveats().iter().any(|caveat| matches!(caveat, Raw::ThirdParty(_))) {
            return Err(TokenError::ThirdParty);
        }
        let identifier = Identifier::from_bytes(macaroon.identifier()).ok_or(TokenError::Identifier)?;
        // The crate gives the bytes as URL-safe base64 only.
        let text = macaroon.serialize(Format::V2).map_err(broken)?;
        let bytes = BASE64URL.decode(text.as_bytes()).map_err(|_| TokenError::NotBase64)?;
        if bytes.len() > TOKEN_MAX_BYTES {
            return Err(TokenError::TooLarge);
        }
        Ok(Token { macaroon, identifier, bytes })
    }

    /// The macaroon in binary.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As it stands in headers.
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.bytes)
    }

    /// Which payment, which token.
    pub fn identifier(&self) -> Identifier {
        self.identifier
    }

    /// Where it is from, by its own word.
    pub fn location(&self) -> Option<&str> {
        self.macaroon.location()
    }

    /// Its caveats in order, known or not; those that are no UTF-8 with a replacement sign.
    pub fn caveats(&self) -> impl Iterator<Item = String> {
        self.predicates().map(|predicate| String::from_utf8_lossy(predicate).into_owned())
    }

    pub(super) fn predicates(&self) -> impl Iterator<Item = &[u8]> {
        self.macaroon.caveats().iter().filter_map(|caveat| Some(caveat.as_first_party()?.predicate()))
    }

    pub(super) fn macaroon(&self) -> &Macaroon {
        &self.macaroon
    }

    /// What the token is good for in a service, if it is what it says: ask [`super::RootKeys::signed`] for that.
    pub fn rights(&self, service: &str) -> Result<Rights, RightsError> {
        Rights::of(self, service)
    }
}

fn broken(error: MacaroonError) -> TokenError {
    match error {
        MacaroonError::TooManyCaveats | MacaroonError::FieldTooLarge { .. } => TokenError::TooLarge,
        other => TokenError::NotMacaroon(other.to_string()),
    }
}
