//! Where keys, settings and what was seen are kept: the user's configuration folder, or `GRIST_HOME`.
//!
//! ```text
//! config.toml            settings
//! provide.toml           a provider's settings
//! party.key              the party's secret key
//! machines/LABEL.key     secret keys of machines
//! heads/VENUE.json       the newest public head that each market showed
//! tokens/DIGEST.json     a token for each address that was paid for
//! prices.toml            figures of one's own about prices, costs and tariffs
//! prices/TABLE.csv       figures that were taken over from feeds and files
//! profiles/NAME/…        the same again, for --profile NAME
//! ```
//!
//! What programs write while they run (a market's journal, a provider's cache) is in the data folder, or in
//! `GRIST_HOME/data` where that is set.

use crate::{
    answer::today,
    args::{DatedRate, FiatChoice, Global},
    exit::{Exit, Failure},
};
use directories::ProjectDirs;
use econ::{
    catalogue::{Catalogue, Overlay, Sheet, import},
    money::BtcRate,
};
use market::{key::PublicKey, name::Name};
use node::{
    client::{Address, TokenJar},
    config_file::{TEXT_BYTES_MAX, read_text},
};
use serde::Deserialize;
use std::{
    io,
    path::{Path, PathBuf},
};

/// The largest table of prices that was taken over, in bytes: many feeds together.
const TABLE_BYTES_MAX: u64 = 256 << 20;

/// The folders of one user, or of one of the user's profiles.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    settings: PathBuf,
    data: PathBuf,
}

/// `config.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The market that is used when none is named.
    pub(crate) market: Option<Address>,
}

impl Home {
    /// The folders that the options and the environment name.
    pub(crate) fn of(global: &Global) -> Result<Home, Failure> {
        let home = match std::env::var_os("GRIST_HOME") {
            Some(folder) => {
                let folder = PathBuf::from(folder);
                Home { data: folder.join("data"), settings: folder }
            }
            None => {
                let folders = ProjectDirs::from("", "", "grist").ok_or_else(|| {
                    Failure::new(Exit::Unexpected, "this user has no home folder: set GRIST_HOME to a folder")
                })?;
                let (settings, data) = (folders.config_dir(), folders.data_local_dir());
                Home { settings: settings.to_owned(), data: data.to_owned() }
            }
        };
        let Some(profile) = &global.profile else { return Ok(home) };
        // A name, so that no profile leads out of the folder.
        let profile: Name = profile.parse().map_err(|e| Failure::of(Exit::Usage, e).during("--profile"))?;
        let within = |folder: PathBuf| folder.join("profiles").join(profile.as_str());
        Ok(Home { settings: within(home.settings), data: within(home.data) })
    }

    /// The settings; empty when there is no file.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let file = self.settings_file();
        match read_if_there(&file, TEXT_BYTES_MAX)? {
            Some(text) => {
                toml::from_str(&text).map_err(|e| Failure::of(Exit::BadInput, e).during(file.display()))
            }
            None => Ok(Settings::default()),
        }
    }

    /// What is known about prices and tariffs: the program's figures, over them what was taken over from feeds and files,
    /// over that what the person wrote into `prices.toml`.
    pub(crate) fn catalogue(&self) -> Result<Catalogue, Failure> {
        let mut catalogue = Catalogue::embedded().map_err(|e| Failure::of(Exit::Unexpected, e))?;
        self.lay_own_prices(&mut catalogue)?;
        Ok(catalogue)
    }

    /// What a bitcoin costs by the person's own figures. The program's are no source that the person named.
    fn own_btc_rate(&self) -> Result<Option<BtcRate>, Failure> {
        let mut own = Catalogue::default();
        self.lay_own_prices(&mut own)?;
        Ok(own.btc_rate().ok())
    }

    fn lay_own_prices(&self, catalogue: &mut Catalogue) -> Result<(), Failure> {
        catalogue.overlay(&self.stored_prices()?);
        let own = self.settings.join("prices.toml");
        if let Some(text) = read_if_there(&own, TEXT_BYTES_MAX)? {
            let overlay = Overlay::from_toml(&text, today());
            catalogue.overlay(&overlay.map_err(|e| Failure::of(Exit::BadInput, e).during(own.display()))?);
        }
        Ok(())
    }

    /// The prices that were taken over from feeds and files.
    pub(crate) fn stored_prices(&self) -> Result<Overlay, Failure> {
        let folder = self.settings.join("prices");
        let mut sheets = Vec::new();
        for table in Catalogue::tables() {
            let name = format!("{table}.csv");
            let text = read_if_there(&folder.join(&name), TABLE_BYTES_MAX)?;
            sheets.extend(text.map(|text| Sheet { name, text }));
        }
        import(&sheets, today()).map_err(|e| Failure::of(Exit::BadInput, e).during(folder.display()))
    }

    /// Keeps them. A table is replaced whole or not at all.
    pub(crate) fn store_prices(&self, sheets: &[Sheet]) -> Result<(), Failure> {
        let folder = self.settings.join("prices");
        let wrong = |e: io::Error| Failure::of(Exit::BadInput, e).during(folder.display());
        private_folder(&folder).map_err(wrong)?;
        for Sheet { name, text } in sheets {
            let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(wrong)?;
            io::Write::write_all(&mut file, text.as_bytes()).map_err(wrong)?;
            file.persist(folder.join(name)).map_err(|e| wrong(e.error))?;
        }
        Ok(())
    }

    /// Where the settings are.
    pub(crate) fn settings_file(&self) -> PathBuf {
        self.settings.join("config.toml")
    }

    /// Where a provider's settings are.
    pub(crate) fn provide_file(&self) -> PathBuf {
        self.settings.join("provide.toml")
    }

    /// Where the party's key is.
    pub(crate) fn party_key(&self, global: &Global) -> PathBuf {
        global.key.clone().unwrap_or_else(|| self.settings.join("party.key"))
    }

    /// The keys of all machines that are here, in the order of their names.
    pub(crate) fn machine_keys(&self) -> Result<Vec<PathBuf>, Failure> {
        let folder = self.settings.join("machines");
        let wrong = |e: io::Error| Failure::of(Exit::BadInput, e).during(folder.display());
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(wrong(e)),
        };
        let paths: Result<Vec<PathBuf>, io::Error> = entries.map(|entry| Ok(entry?.path())).collect();
        let mut keys = paths.map_err(wrong)?;
        keys.retain(|path| path.extension().is_some_and(|extension| extension == "key"));
        keys.sort();
        Ok(keys)
    }

    /// Where the key of a machine is.
    pub(crate) fn machine_key(&self, label: &Name) -> PathBuf {
        self.settings.join("machines").join(format!("{label}.key"))
    }

    /// The secret of the wallet of play money.
    pub(crate) fn dev_wallet(&self) -> PathBuf {
        self.settings.join("dev-wallet.key")
    }

    /// Where the newest head of a market is remembered.
    pub(crate) fn head(&self, venue: &PublicKey) -> PathBuf {
        self.settings.join("heads").join(format!("{venue}.json"))
    }

    /// The tokens that were paid for.
    pub(crate) fn tokens(&self) -> TokenJar {
        TokenJar::new(self.settings.join("tokens"))
    }

    /// A folder for what a program writes while it runs.
    pub(crate) fn data(&self, what: &str) -> PathBuf {
        self.data.join(what)
    }
}

/// The rate by which amounts are to be told in another currency; none where nobody asked for one.
pub(crate) fn fiat_rate(global: &Global) -> Result<Option<BtcRate>, Failure> {
    match (global.fiat, &global.fiat_rate) {
        (None, _) => Ok(None),
        (Some(FiatChoice::Usd), Some(DatedRate(rate))) => Ok(Some(rate.clone())),
        (Some(FiatChoice::Usd), None) => {
            let home = Home::of(global)?;
            let rate = home.own_btc_rate()?.ok_or_else(|| {
                let text = format!(
                    "by which rate? Give --fiat-rate 100000@2026-11-20, or write [btc] with usd, as_of and source into {}",
                    home.settings.join("prices.toml").display()
                );
                Failure::new(Exit::Usage, text)
            })?;
            Ok(Some(rate))
        }
    }
}

/// Reads a file that somebody named, or that somebody writes.
pub(crate) fn read_named(file: &Path, bytes_max: u64) -> Result<String, Failure> {
    read_text(file, bytes_max).map_err(|e| Failure::of(Exit::BadInput, e).during(file.display()))
}

/// Reads a file that need not be there.
fn read_if_there(file: &Path, bytes_max: u64) -> Result<Option<String>, Failure> {
    match read_text(file, bytes_max) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Failure::of(Exit::BadInput, e).during(file.display())),
    }
}

/// Makes a folder that only its owner can enter.
pub(crate) fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
