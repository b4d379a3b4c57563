//! The two headers: the challenge of a server, the credential of a client.

use super::token::{Token, TokenError};
use crate::node::Preimage;
use data_encoding::HEXLOWER;

/// The longest header value that is read.
pub const HEADER_MAX_BYTES: usize = 8_192;
/// Headers with a macaroon alone, in hex, the preimage in a caveat: what clients of gRPC gateways send.
pub const MACAROON_HEADERS: [&str; 4] =
    ["grpc-metadata-token", "token", "grpc-metadata-macaroon", "macaroon"];
/// The caveat that carries the preimage there.
const PREIMAGE_CAVEAT: &str = "preimage=";
/// The scheme, and its name before it was called L402.
const SCHEMES: [&str; 2] = ["L402", "LSAT"];

/// What a server asks for: pay the invoice, and the token is good. Texts as they travel, for tokens of others may be of
/// another make.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The token, standard base64.
    pub token: String,
    /// The invoice, BOLT11.
    pub invoice: String,
}

impl std::fmt::Debug for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Challenge({})", self.invoice)
    }
}

impl Challenge {
    /// The value of `WWW-Authenticate`. The token stands there twice: clients look for `macaroon`, the newest specification
    /// calls it `token` and counts versions.
    pub fn header(&self) -> String {
        let Challenge { token, invoice } = self;
        format!(r#"L402 macaroon="{token}", invoice="{invoice}", version="0", token="{token}""#)
    }

    /// Reads a value of `WWW-Authenticate`, with or without quotes, parameters in any order, among challenges of other
    /// schemes; `None` when there is none of L402 or LSAT in it.
    pub fn parse(header: &str) -> Option<Challenge> {
        let mut rest = Some(header).filter(|header| header.len() <= HEADER_MAX_BYTES)?;
        let (mut token, mut invoice, mut is_ours) = (None, None, false);
        while !rest.is_empty() {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            let Some(value) = behind.trim_start_matches([' ', '\t']).strip_prefix('=') else {
                // A scheme: parameters before it belong to the challenge before it.
                if is_ours && token.is_some() && invoice.is_some() {
                    break;
                }
                (token, invoice) = (None, None);
                is_ours = SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
                rest = behind;
                continue;
            };
            let (value, behind) = value_of(value)?;
            rest = behind;
            match word.to_ascii_lowercase().as_str() {
                "macaroon" => token = Some(value),
                "token" => token = token.or(Some(value)),
                "invoice" => invoice = Some(value),
                _ => {}
            }
        }
        let challenge = Challenge { token: token?.to_owned(), invoice: invoice?.to_owned() };
        let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        (is_ours && is_plain(&challenge.token) && is_plain(&challenge.invoice)).then_some(challenge)
    }

    /// The value of `Authorization` once it is paid.
    pub fn authorization(&self, preimage: &Preimage) -> String {
        format!("L402 {}:{}", self.token, HEXLOWER.encode(&preimage.0))
    }
}

/// The value of a parameter, quoted or not, and what is behind it. Quoted pairs (`\"`) do not occur in tokens and invoices.
fn value_of(text: &str) -> Option<(&str, &str)> {
    match text.trim_start_matches([' ', '\t']).strip_prefix('"') {
        Some(quoted) => quoted.split_once('"'),
        None => {
            let text = text.trim_start_matches([' ', '\t']);
            Some(text.split_at(text.find([' ', '\t', ',']).unwrap_or(text.len())))
        }
    }
}

/// A token, and what shows that it was paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The token.
    pub token: Token,
    /// The preimage of its payment; none for one that was given, not sold.
    pub preimage: Option<Preimage>,
}

/// A header that is meant to hold a credential, and does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCredential {
    /// More than is read.
    #[error("the header is longer than {HEADER_MAX_BYTES} bytes")]
    TooLong,
    /// Not both parts.
    #[error("the header is not `L402 TOKEN:PREIMAGE`: the token in base64, a colon, the preimage in hex")]
    Form,
    /// No preimage.
    #[error("the preimage is not 64 lower-case hex digits")]
    Preimage,
    /// No hex.
    #[error("the macaroon in this header has to be lower-case hex")]
    Hex,
    /// No token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Credential {
    /// Reads a value of `Authorization`; `None` for another scheme than L402 and LSAT.
    pub fn from_authorization(value: &str) -> Result<Option<Credential>, BadCredential> {
        let split = value.split_once(' ');
        let ours = split.filter(|(word, _)| SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme)));
        let Some((_, rest)) = ours else { return Ok(None) };
        if value.len() > HEADER_MAX_BYTES {
            return Err(BadCredential::TooLong);
        }
        let (token, preimage) = rest.split_once(':').ok_or(BadCredential::Form)?;
        let preimage = read_preimage(preimage)?;
        Ok(Some(Credential { token: Token::from_base64(token)?, preimage: Some(preimage) }))
    }

    /// Reads a value of one of [`MACAROON_HEADERS`]. A caveat `preimage=…` is the preimage; a token without one may have
    /// been given.
    pub fn from_macaroon(value: &str) -> Result<Credential, BadCredential> {
        if value.len() > HEADER_MAX_BYTES {
            return Err(BadCredential::TooLong);
        }
        let token = Token::from_bytes(&HEXLOWER.decode(value.as_bytes()).map_err(|_| BadCredential::Hex)?)?;
        let found = token.caveats().find_map(|text| Some(text.strip_prefix(PREIMAGE_CAVEAT)?.to_owned()));
        let preimage = found.map(|text| read_preimage(&text)).transpose()?;
        Ok(Credential { token, preimage })
    }

    /// The value of `Authorization`; `None` without a preimage.
    pub fn authorization(&self) -> Option<String> {
        let preimage = HEXLOWER.encode(&self.preimage?.0);
        Some(format!("L402 {}:{preimage}", self.token.to_base64()))
    }

    /// The value of one of [`MACAROON_HEADERS`], with the preimage, if there is one, in a caveat.
    pub fn macaroon(&self) -> Result<String, TokenError> {
        let is_there = self.token.caveats().any(|text| text.starts_with(PREIMAGE_CAVEAT));
        match self.preimage.filter(|_| !is_there) {
            None => Ok(HEXLOWER.encode(self.token.as_bytes())),
            Some(preimage) => {
                let caveat = format!("{PREIMAGE_CAVEAT}{}", HEXLOWER.encode(&preimage.0));
                Ok(HEXLOWER.encode(self.token.with_predicate(&caveat)?.as_bytes()))
            }
        }
    }

    /// Whether the preimage is that of the token's payment. Paid or not: whoever chose the hash knows it anyway.
    pub fn is_opened(&self) -> bool {
        self.preimage.is_some_and(|preimage| {
            let (opened, promised) = (preimage.payment_hash(), self.token.identifier().payment_hash);
            bitcoin_hashes::cmp::fixed_time_eq(&opened.0, &promised.0)
        })
    }
}

fn read_preimage(text: &str) -> Result<Preimage, BadCredential> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Preimage).ok_or(BadCredential::Preimage)
}
