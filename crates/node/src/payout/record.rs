//! What payouts must not forget: the plan of the owner, and the payment that is on its way.

use super::{AddressError, LightningAddress};
use crate::durable_file;
use market::{
    id::{PaymentHash, WithdrawalId},
    units::Msat,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {}: {source}; check permissions and free space", file.display())]
pub struct RecordError {
    file: PathBuf,
    source: io::Error,
}

/// What is to be paid out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Where to.
    pub to: LightningAddress,
    /// As soon as the balance is above this, all of it.
    pub above_msat: Msat,
    /// The most that routing may cost on top, as a share of the amount, in parts per million.
    pub max_fee_ppm: u32,
}

/// A payment that is to be made, or may have been made already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// The invoice.
    pub bolt11: String,
    /// What its payment is known by.
    pub payment_hash: PaymentHash,
    /// How much.
    pub amount_msat: Msat,
    /// The most that routing may cost on top.
    pub max_fee_msat: Msat,
    /// The withdrawal, once the market has taken it.
    #[serde(default)]
    pub withdrawal: Option<WithdrawalId>,
}

impl Serialize for LightningAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LightningAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LightningAddress, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error: AddressError| de::Error::custom(error))
    }
}

/// The folder of a party's payouts at one market.
#[derive(Debug)]
pub(super) struct Records {
    folder: PathBuf,
}

impl Records {
    pub(super) fn open(folder: &Path) -> Result<Records, RecordError> {
        let failed = |source| RecordError { file: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        Ok(Records { folder: folder.to_owned() })
    }

    pub(super) fn plan(&self) -> Result<Option<Plan>, RecordError> {
        self.read("plan.json")
    }

    pub(super) fn set_plan(&self, plan: Option<&Plan>) -> Result<(), RecordError> {
        self.write("plan.json", plan)
    }

    pub(super) fn intent(&self) -> Result<Option<Intent>, RecordError> {
        self.read("intent.json")
    }

    pub(super) fn set_intent(&self, intent: Option<&Intent>) -> Result<(), RecordError> {
        self.write("intent.json", intent)
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Result<Option<T>, RecordError> {
        let file = self.folder.join(name);
        match fs::read(&file) {
            Ok(text) => {
                serde_json::from_slice(&text).map(Some).map_err(|e| RecordError { file, source: e.into() })
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RecordError { file, source }),
        }
    }

    /// On disk before this returns; gone where there is nothing to keep.
    fn write<T: Serialize>(&self, name: &str, value: Option<&T>) -> Result<(), RecordError> {
        let file = self.folder.join(name);
        let written = match value {
            Some(value) => serde_json::to_vec_pretty(value)
                .map_err(io::Error::from)
                .and_then(|text| durable_file::replace(&file, &text)),
            None => match fs::remove_file(&file) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed.and_then(|()| durable_file::sync_folder(&self.folder)),
            },
        };
        written.map_err(|source| RecordError { file, source })
    }
}
