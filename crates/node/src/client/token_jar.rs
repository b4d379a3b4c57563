//! Tokens that were bought, or are being bought: a file for each address, in a folder for their owner alone.
//!
//! A token is here before its invoice is paid, and that it is about to be paid is here before it is. So a crash loses no
//! money: the next run finds the payment and asks what became of it.

use crate::durable_file;
use market::{
    id::{Digest, PaymentHash},
    units::{Msat, TimeMs},
};
use pay::{Preimage, l402::Challenge};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

/// See the [module documentation](self).
#[derive(Debug, Clone)]
pub struct TokenJar {
    folder: PathBuf,
}

/// A token for an address.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredToken {
    /// The address without its query.
    pub url: String,
    /// The token, as the server wrote it.
    pub token: String,
    /// Its invoice.
    pub invoice: String,
    /// What its payment is known by.
    pub payment_hash: PaymentHash,
    /// What it costs.
    pub price_msat: Msat,
    /// When it came.
    pub at_ms: TimeMs,
    /// How far it is.
    pub phase: TokenPhase,
}

/// How far the purchase of a token is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenPhase {
    /// Nobody here pays it; somebody may, elsewhere.
    Offered,
    /// It is about to be paid, and may have been.
    Paying,
    /// It is good.
    Paid {
        /// What shows it.
        preimage: Preimage,
    },
}

impl std::fmt::Debug for StoredToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredToken({}, {})", self.url, self.phase.word())
    }
}

impl TokenPhase {
    /// For people.
    pub fn word(&self) -> &'static str {
        match self {
            TokenPhase::Offered => "offered",
            TokenPhase::Paying => "being paid",
            TokenPhase::Paid { .. } => "paid",
        }
    }
}

impl StoredToken {
    /// The value of `Authorization`, once it is paid.
    pub fn authorization(&self) -> Option<String> {
        match &self.phase {
            TokenPhase::Offered | TokenPhase::Paying => None,
            TokenPhase::Paid { preimage } => Some(self.challenge().authorization(preimage)),
        }
    }

    fn challenge(&self) -> Challenge {
        Challenge { token: self.token.clone(), invoice: self.invoice.clone() }
    }
}

/// The jar is this process's as long as it lives.
#[derive(Debug)]
pub(super) struct Locked(#[expect(dead_code, reason = "holds the lock")] File);

impl TokenJar {
    /// The jar in a folder, which is made when something is put into it.
    pub fn new(folder: impl Into<PathBuf>) -> TokenJar {
        TokenJar { folder: folder.into() }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The token for an address.
    pub fn get(&self, url: &str) -> io::Result<Option<StoredToken>> {
        match fs::read(self.file(url)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All tokens, by address.
    pub fn all(&self) -> io::Result<Vec<StoredToken>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut tokens = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                tokens.push(serde_json::from_slice::<StoredToken>(&fs::read(path)?)?);
            }
        }
        tokens.sort_by(|a, b| a.url.cmp(&b.url));
        Ok(tokens)
    }

    /// Puts a token in the place of the one for its address, durably.
    pub fn put(&self, token: &StoredToken) -> io::Result<()> {
        self.make_folder()?;
        durable_file::replace(&self.file(&token.url), &serde_json::to_vec_pretty(token)?)
    }

    /// Throws the token for an address away.
    pub fn remove(&self, url: &str) -> io::Result<()> {
        match fs::remove_file(self.file(url)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Waits until nobody else pays out of this jar.
    pub(super) fn lock(&self) -> io::Result<Locked> {
        self.make_folder()?;
        let path = self.folder.join("lock");
        let file = durable_file::private(&path, OpenOptions::new().create(true).truncate(false))?;
        file.lock()?;
        Ok(Locked(file))
    }

    fn file(&self, url: &str) -> PathBuf {
        self.folder.join(format!("{}.json", Digest::of(url.as_bytes())))
    }

    fn make_folder(&self) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder)
    }
}
