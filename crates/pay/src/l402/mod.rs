//! L402: a request that costs something is answered with 402, a token and an invoice; the preimage that paying the invoice
//! gives makes the token good (<https://github.com/lightninglabs/L402/blob/master/protocol-specification.md>).
//!
//! The token is a macaroon ([`Token`]). Whoever holds it can make it narrower without asking anybody ([`Token::narrowed`]),
//! and nobody can make it wider. What it is good for is said by its caveats ([`Caveat`]), read together as [`Rights`].
//! [`Challenge`] and [`Credential`] are the two HTTP headers, [`RootKeys`] the secrets that tokens are signed with.
//!
//! Everything here but [`server`] is computation: no clock, no chance, no network. `docs/l402.md` shows the bytes.
//!
//! ```
//! use market::units::TimeMs;
//! use pay::{Preimage, l402::{Caveat, Challenge, Credential, Identifier, Limit, RootKeys, Service, Token, TokenId}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = TimeMs(1_750_000_000_000);
//! let keys = RootKeys::new([7; 32], now);
//! let preimage = Preimage([9; 32]);
//! let identifier = Identifier { payment_hash: preimage.payment_hash(), token: TokenId([1; 32]) };
//! let caveats = [Caveat::Services(vec![Service { name: "films".into(), tier: 0 }])];
//!
//! let token = Token::mint(keys.current(), "films.example", identifier, &caveats)?;
//! let challenge = Challenge { token: token.to_base64(), invoice: "lnbc1…".into() };
//! assert!(challenge.header().starts_with("L402 macaroon=\"AgE"));
//!
//! let friday = Limit::ValidUntil(1_750_400_000).of("films");
//! let credential = Credential { token: token.narrowed(&friday)?, preimage: Some(preimage) };
//! let read = Credential::from_authorization(&credential.authorization().ok_or("paid")?)?;
//! assert_eq!(read, Some(credential.clone()));
//! assert!(keys.signed(&credential.token, now));
//! assert_eq!(credential.token.rights("films")?.valid_until_s, Some(1_750_400_000));
//! # Ok(())
//! # }
//! ```

mod caveat;
mod header;
mod keys;
mod rights;
#[cfg(feature = "l402-server")]
pub mod server;
#[cfg(test)]
mod tests;
mod token;

pub use caveat::{BadCaveat, Caveat, Limit, Service};
pub use header::{BadCredential, Challenge, Credential, HEADER_MAX_BYTES, MACAROON_HEADERS};
pub use keys::{ROOT_KEYS_MAX, RootKey, RootKeys, TooManyKeys};
pub use rights::{Rights, RightsError, UseLimit};
pub use token::{CAVEATS_MAX, Identifier, TOKEN_MAX_BYTES, Token, TokenError, TokenId};
