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
    args::Global,
    exit::{Exit, Failure},
};
use directories::ProjectDirs;
use econ::catalogue::{Catalogue, Overlay, Sheet, import};
use market::{key::PublicKey, name::Name};
use node::client::{Address, TokenJar};
use serde::Deserialize;
use std::{
    io,
    path::{Path, PathBuf},
};

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
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                toml::from_str(&text).map_err(|e| Failure::of(Exit::BadInput, e).during(file.display()))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Settings::default()),
            Err(e) => Err(Failure::of(Exit::BadInput, e).during(file.display())),
        }
    }

    /// What is known about prices and tariffs: the program's figures, over them what was taken over from feeds and files,
    /// over that what the person wrote into `prices.toml`.
    pub(crate) fn catalogue(&self) -> Result<Catalogue, Failure> {
        let mut catalogue = Catalogue::embedded().map_err(|e| Failure::of(Exit::Unexpected, e))?;
        catalogue.overlay(&self.stored_prices()?);
        let own = self.settings.join("prices.toml");
        match std::fs::read_to_string(&own) {
            Ok(text) => {
                let overlay = Overlay::from_toml(&text, today());
                catalogue
                    .overlay(&overlay.map_err(|e| Failure::of(Exit::BadInput, e).during(own.display()))?);
                Ok(catalogue)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(catalogue),
            Err(e) => Err(Failure::of(Exit::BadInput, e).during(own.display())),
        }
    }

    /// The prices that were taken over from feeds and files.
    pub(crate) fn stored_prices(&self) -> Result<Overlay, Failure> {
        let folder = self.settings.join("prices");
        let wrong = |e: io::Error| Failure::of(Exit::BadInput, e).during(folder.display());
        let mut sheets = Vec::new();
        for table in Catalogue::tables() {
            let name = format!("{table}.csv");
            match std::fs::read_to_string(folder.join(&name)) {
                Ok(text) => sheets.push(Sheet { name, text }),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(wrong(e)),
            }
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

/// Makes a folder that only its owner can enter.
pub(crate) fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
