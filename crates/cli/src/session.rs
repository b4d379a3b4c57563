//! One command's connection to a market: which market, which party, and what the market showed before.

use crate::{
    args::Global,
    exit::{Exit, Failure},
    home::{Home, private_folder},
    keys::{self, KeyError},
    output::Output,
};
use market::{
    command::Command,
    id::{Digest, PartyId},
    key::{PublicKey, SecretKey},
    log::SignedHead,
    reply::Reply,
};
use node::{
    api::KeyView,
    client::{Address, ClientError, Market, Payer, Wallet},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How long a command that somebody waits for asks a market that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A market, and the folders of whoever talks to it.
pub(crate) struct Session {
    /// The market.
    pub(crate) market: Market,
    /// The folders.
    pub(crate) home: Home,
    global: Global,
}

/// A party that the market knows.
pub(crate) struct Party {
    /// Its key.
    pub(crate) secret: SecretKey,
    /// Its id in this market.
    pub(crate) id: PartyId,
}

impl Session {
    /// Connects to the market that the options, the environment or the settings name.
    pub(crate) async fn open(global: &Global) -> Result<Session, Failure> {
        let home = Home::of(global)?;
        let market = Market::connect_to(address(global, &home)?, PATIENCE).await?;
        // Where the market has no play money, it says which invoice to pay.
        let payer = Payer::new(global.max_pay.0, home.tokens(), Wallet::PlayMoney(market.clone()));
        let market = market.with_payer(Arc::new(payer));
        let session = Session { market, home, global: global.clone() };
        session.recall_head().await?;
        Ok(session)
    }

    /// The party's key.
    pub(crate) fn secret(&self) -> Result<SecretKey, Failure> {
        self.secret_if_any()?.ok_or_else(|| no_party(self.party_key_file()))
    }

    fn secret_if_any(&self) -> Result<Option<SecretKey>, Failure> {
        match keys::read(&self.home.party_key(&self.global)) {
            Ok(secret) => Ok(Some(secret)),
            Err(KeyError::Missing(_)) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The party, which the market has to know.
    pub(crate) async fn party(&self) -> Result<Party, Failure> {
        let secret = self.secret()?;
        match self.market.key(&secret.public()).await? {
            Some(KeyView::Party(id)) => Ok(Party { secret, id }),
            Some(KeyView::Machine { .. }) => Err(Failure::new(
                Exit::Key,
                "this is the key of a machine, not of a party: leave --key out, or name the party's key",
            )),
            Some(KeyView::Retired) => Err(Failure::new(
                Exit::Key,
                "this key was rotated away and is worth nothing at this market any more: use the newer one",
            )),
            None => Err(Failure::new(
                Exit::Key,
                "this market does not know your party yet: run `grist party register`",
            )),
        }
    }

    /// The party; on a market with play money, where nothing can be lost, it is made and registered when there is none.
    pub(crate) async fn party_or_new(&self, output: &Output) -> Result<Party, Failure> {
        let secret = match self.secret_if_any()? {
            Some(secret) if self.market.key(&secret.public()).await?.is_some() => return self.party().await,
            found => found,
        };
        if !self.market.info().await?.is_play_money {
            return self.party().await;
        }
        let secret = match secret {
            Some(secret) => secret,
            None => {
                let (secret, file) = (keys::generate()?, self.home.party_key(&self.global));
                keys::create(&file, &secret)?;
                output.note(&format!(
                    "made a party's key in {}; `grist party backup` shows its recovery phrase",
                    file.display()
                ));
                secret
            }
        };
        let id = self.register(&secret, &party_label(&secret.public())).await?;
        output.note(&format!("registered as {id} at this market of play money"));
        Ok(Party { secret, id })
    }

    /// Makes a key a party of this market.
    pub(crate) async fn register(&self, secret: &SecretKey, label: &str) -> Result<PartyId, Failure> {
        match self.submit(secret, Command::RegisterParty { label: label.to_owned() }).await? {
            Reply::Party(id) => Ok(id),
            other => Err(strange(&other)),
        }
    }

    /// Signs and sends a command, and remembers the head that came with the answer.
    pub(crate) async fn submit(&self, secret: &SecretKey, command: Command) -> Result<Reply, Failure> {
        let accepted = self.market.submit(secret, command).await?;
        self.keep_head()?;
        Ok(accepted.reply)
    }

    /// Where the party's key is.
    pub(crate) fn party_key_file(&self) -> PathBuf {
        self.home.party_key(&self.global)
    }

    /// Compares what the market shows now with what it showed in an earlier run.
    async fn recall_head(&self) -> Result<(), Failure> {
        let file = self.home.head(&self.market.venue());
        let head: SignedHead = match std::fs::read(&file) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(head) => head,
                // It is only a memory; the next answer replaces it.
                Err(_) => return Ok(()),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Failure::of(Exit::Unexpected, e).during(file.display())),
        };
        match self.market.remember_head(head).await {
            Err(ClientError::Fork(evidence)) => {
                let proof = file.with_extension("fork.json");
                write_json(&proof, &evidence)?;
                let failure = Failure::from(ClientError::Fork(evidence));
                Err(failure.advise(&format!("the evidence is in {}", proof.display())))
            }
            other => Ok(other?),
        }
    }

    /// Remembers the newest head for the next run.
    pub(crate) fn keep_head(&self) -> Result<(), Failure> {
        match self.market.newest_head() {
            Some(head) => write_json(&self.home.head(&self.market.venue()), &head),
            None => Ok(()),
        }
    }
}

/// The address of the market.
pub(crate) fn address(global: &Global, home: &Home) -> Result<Address, Failure> {
    match &global.market {
        Some(text) => Ok(text.parse().map_err(ClientError::from)?),
        None => home.settings()?.market.ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!(
                    "which market? Give --market ADDRESS, set GRIST_MARKET, or write market = \"ADDRESS\" into {}",
                    home.settings_file().display()
                ),
            )
        }),
    }
}

/// What a party is called when nobody says: the beginning of its key. Labels are public, and the name of this computer
/// would say the same of every party on it.
pub(crate) fn party_label(key: &PublicKey) -> String {
    let key = key.to_string();
    format!("key-{}", key.get(..8).unwrap_or(&key))
}

/// What a machine is called when nobody says: this computer's name.
pub(crate) fn machine_label() -> String {
    let name = std::fs::read_to_string("/etc/hostname").ok();
    let name = name.or_else(|| std::env::var("COMPUTERNAME").ok()).unwrap_or_default();
    market::name::Name::slug(&name).map_or_else(|| "grist".to_owned(), |name| name.to_string())
}

/// There is no party's key here.
pub(crate) fn no_party(file: PathBuf) -> Failure {
    Failure::from(KeyError::Missing(file))
        .advise("make a party with `grist party new`, or bring yours here with `grist party restore`")
}

/// A reply that does not belong to the command.
pub(crate) fn strange(reply: &Reply) -> Failure {
    Failure::new(Exit::Unexpected, format!("the market gave a strange answer: {reply:?}"))
}

/// A secret digest that nobody can guess.
pub(crate) fn random_digest() -> Result<Digest, Failure> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| Failure::new(Exit::Unexpected, e.to_string()))?;
    Ok(Digest(bytes))
}

fn write_json(file: &Path, value: &impl serde::Serialize) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        if let Some(folder) = file.parent() {
            private_folder(folder)?;
        }
        let unfinished = file.with_extension(format!("{}.tmp", std::process::id()));
        std::fs::write(&unfinished, serde_json::to_vec(value)?)?;
        std::fs::rename(&unfinished, file)
    };
    write().map_err(|e| Failure::of(Exit::Unexpected, e).during(file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_without_a_label_is_called_by_its_own_key() {
        let labels = [[1; 32], [2; 32]].map(|seed| party_label(&SecretKey::from_bytes(seed).public()));
        assert_ne!(labels[0], labels[1], "two parties of one computer");
        let key = SecretKey::from_bytes([1; 32]).public().to_string();
        assert_eq!(labels[0].strip_prefix("key-"), key.get(..8));
    }
}
