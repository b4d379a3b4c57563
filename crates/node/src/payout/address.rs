//! Lightning addresses: `name@host` stands for somebody who makes invoices when asked.
//!
//! LUD-16 (<https://github.com/lnurl/luds/blob/luds/16.md>) says where to ask, LUD-06
//! (<https://github.com/lnurl/luds/blob/luds/06.md>) what is answered and what a payer checks: the amount of the
//! invoice, and that it commits to the text that was shown.

use crate::client::{FeedError, fetch_text};
use market::{id::PaymentHash, units::Msat};
use pay::bolt11::{self, BadInvoice};
use reqwest::Url;
use serde::Deserialize;
use std::{fmt, str::FromStr};

/// The longest answer, in bytes; descriptions may hold a picture.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// The longest name.
const NAME_MAX: usize = 64;

/// Where money can be sent to: `name@host`, or `name@127.0.0.1:PORT` in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LightningAddress {
    name: String,
    host: String,
}

/// Why an address cannot be paid.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Not an address.
    #[error("`{0}` is no Lightning address: write name@host, with a name of a-z, 0-9, `-`, `_`, `.` and `+`")]
    Form(String),
    /// No answer.
    #[error("{address} cannot be asked: {source}")]
    Ask {
        /// Whom.
        address: String,
        /// Why not.
        source: FeedError,
    },
    /// Whoever answers says no.
    #[error("{address} says: {reason}")]
    Refused {
        /// Who.
        address: String,
        /// Its words.
        reason: String,
    },
    /// An answer that is none.
    #[error("{address} gave an answer that cannot be used ({reason}): nothing was paid")]
    Answer {
        /// Who.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The amount is not accepted there.
    #[error("{address} takes {least} to {most}, and {amount} were to be sent")]
    Amount {
        /// Who.
        address: String,
        /// The smallest amount.
        least: Msat,
        /// The largest.
        most: Msat,
        /// What was asked for.
        amount: Msat,
    },
    /// An invoice for something else.
    #[error("{address} gave an invoice that is not what was asked for ({reason}): nothing was paid")]
    Invoice {
        /// Who.
        address: String,
        /// What is wrong.
        reason: String,
    },
}

impl AddressError {
    /// Whether waiting and trying again can help.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            AddressError::Ask { .. } | AddressError::Refused { .. } | AddressError::Amount { .. } => true,
            AddressError::Form(_) | AddressError::Answer { .. } | AddressError::Invoice { .. } => false,
        }
    }
}

/// What whoever stands behind an address offers to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayOffer {
    /// Who.
    pub address: LightningAddress,
    /// The smallest amount.
    pub least: Msat,
    /// The largest.
    pub most: Msat,
    callback: Url,
    /// The text that invoices commit to, byte for byte.
    metadata: String,
}

/// An invoice that is for what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedInvoice {
    /// The invoice.
    pub bolt11: String,
    /// What its payment is known by.
    pub payment_hash: PaymentHash,
}

/// The first answer of LUD-06, as far as it is used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Terms {
    tag: String,
    callback: String,
    min_sendable: u64,
    max_sendable: u64,
    metadata: String,
}

/// The second.
#[derive(Deserialize)]
struct Made {
    pr: String,
}

/// Either answer may be this instead.
#[derive(Deserialize)]
struct No {
    status: String,
    #[serde(default)]
    reason: String,
}

impl FromStr for LightningAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<LightningAddress, AddressError> {
        let wrong = || AddressError::Form(text.chars().filter(|c| !c.is_control()).take(80).collect());
        let (name, host) = text.split_once('@').ok_or_else(wrong)?;
        let is_name = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_.+".contains(&c);
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(is_name) {
            return Err(wrong());
        }
        let address = LightningAddress { name: name.to_owned(), host: host.to_ascii_lowercase() };
        // A host that says more than where: a path, a user.
        let url: Url = address.url().parse().map_err(|_| wrong())?;
        let is_plain = url.path() == address.path() && url.username().is_empty() && url.query().is_none();
        if host.is_empty() || !is_plain || url.fragment().is_some() { Err(wrong()) } else { Ok(address) }
    }
}

impl fmt::Display for LightningAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.host)
    }
}

impl LightningAddress {
    fn path(&self) -> String {
        format!("/.well-known/lnurlp/{}", self.name)
    }

    /// Where to ask: over https, but on this computer, where nobody listens in.
    fn url(&self) -> String {
        let host = self.host.rsplit_once(':').map_or(self.host.as_str(), |(host, _)| host);
        let scheme = if matches!(host, "127.0.0.1" | "localhost" | "[::1]") { "http" } else { "https" };
        format!("{scheme}://{}{}", self.host, self.path())
    }

    /// Asks what the address takes.
    pub async fn ask(&self) -> Result<PayOffer, AddressError> {
        let text = self.fetch(&self.url()).await?;
        let wrong = |reason: String| AddressError::Answer { address: self.to_string(), reason };
        let terms: Terms = self.read(&text)?;
        if terms.tag != "payRequest" {
            return Err(wrong(format!("it is no `payRequest` but `{}`", plain(&terms.tag))));
        }
        let entries: Vec<Vec<serde_json::Value>> = serde_json::from_str(&terms.metadata)
            .map_err(|error| wrong(format!("its description is no list: {error}")))?;
        let is_text = |entry: &Vec<serde_json::Value>| entry.first().is_some_and(|kind| kind == "text/plain");
        if !entries.iter().any(is_text) {
            return Err(wrong("it describes itself in no words".into()));
        }
        if terms.min_sendable == 0 || terms.min_sendable > terms.max_sendable {
            return Err(wrong("it takes no amount at all".into()));
        }
        let callback: Url = terms.callback.parse().map_err(|_| wrong("its callback is no address".into()))?;
        let own: Url = self.url().parse().map_err(|_| wrong("it cannot be asked".into()))?;
        if is_here(&callback) != is_here(&own) {
            return Err(wrong("its callback leads to another computer than it should".into()));
        }
        Ok(PayOffer {
            address: self.clone(),
            least: Msat(terms.min_sendable),
            most: Msat(terms.max_sendable.min(Msat::MAX.0)),
            callback,
            metadata: terms.metadata,
        })
    }

    async fn fetch(&self, url: &str) -> Result<String, AddressError> {
        let failed = |source| AddressError::Ask { address: self.to_string(), source };
        fetch_text(url, ANSWER_BYTES_MAX).await.map_err(failed)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, text: &str) -> Result<T, AddressError> {
        let address = self.to_string();
        match serde_json::from_str::<No>(text) {
            Ok(No { status, reason }) if status.eq_ignore_ascii_case("error") => {
                Err(AddressError::Refused { address, reason: plain(&reason) })
            }
            Ok(_) | Err(_) => serde_json::from_str(text)
                .map_err(|error| AddressError::Answer { address, reason: error.to_string() }),
        }
    }
}

impl PayOffer {
    /// As much of an amount as is taken, in whole satoshi, which every wallet can make an invoice for.
    pub fn fitting(&self, amount: Msat) -> Result<Msat, AddressError> {
        let fitting = Msat(amount.min(self.most).0 / 1_000 * 1_000);
        self.check(fitting)?;
        Ok(fitting)
    }

    fn check(&self, amount: Msat) -> Result<(), AddressError> {
        if (self.least..=self.most).contains(&amount) {
            return Ok(());
        }
        let (address, least, most) = (self.address.to_string(), self.least, self.most);
        Err(AddressError::Amount { address, least, most, amount })
    }

    /// Asks for an invoice, and checks that it is for this amount and for what was described.
    pub async fn invoice(&self, amount: Msat) -> Result<CheckedInvoice, AddressError> {
        self.check(amount)?;
        let mut url = self.callback.clone();
        url.query_pairs_mut().append_pair("amount", &amount.0.to_string());
        let text = self.address.fetch(url.as_str()).await?;
        let made: Made = self.address.read(&text)?;
        self.checked(&made.pr, amount)
    }

    fn checked(&self, bolt11: &str, amount: Msat) -> Result<CheckedInvoice, AddressError> {
        let wrong = |reason: String| AddressError::Invoice { address: self.address.to_string(), reason };
        let invoice = bolt11::decode(bolt11).map_err(|error: BadInvoice| wrong(error.to_string()))?;
        if invoice.amount != Some(amount) {
            let asks = invoice.amount.map_or_else(|| "any amount".to_owned(), |amount| amount.to_string());
            return Err(wrong(format!("it is over {asks} instead of {amount}")));
        }
        if !invoice.describes(&self.metadata) {
            return Err(wrong("it does not commit to what was described".into()));
        }
        Ok(CheckedInvoice { bolt11: bolt11.to_owned(), payment_hash: invoice.payment_hash })
    }
}

/// Whether an address is on this computer. A stranger's must not lead here.
fn is_here(url: &Url) -> bool {
    matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

/// A stranger's words, short and without what would steer a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
