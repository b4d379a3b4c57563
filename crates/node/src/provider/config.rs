//! `provide.toml`: what a machine sells, at which price, and when. The default file documents itself.

use super::{
    Policy,
    hardware::Hardware,
    pricing::{CostsConfig, CostsError},
    schedule::WeeklyHours,
};
use crate::config_file::{self, ByteSize, Cores, FileError, Money, Share, Span};
use market::{
    funding::{HoldTerms, SaleTerms},
    name::Name,
    offer::{OfferRole, OfferTerms},
    resources::{Attributes, Isolation, MAX_ATTRIBUTES, Resources},
    units::{Msat, Rate, Unit},
};
use serde::Deserialize;
use std::path::Path;

/// The file that `grist provide` writes where there is none: every setting with its default.
pub const DEFAULT_TEXT: &str = include_str!("provide.toml");

/// What the owner of a machine chose.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProvideConfig {
    /// The market's address.
    pub market: Option<String>,
    /// Whether it works for buyers or checks the work of others.
    pub role: OfferRole,
    /// `auto`: prices follow the market, and stay above cost.
    pub price: Option<AutoPrice>,
    /// What the machine costs; needed for `price = "auto"`. Where it is known, nothing is offered at a loss.
    pub costs: Option<CostsConfig>,
    /// The price of a task.
    pub price_per_task: Option<Money>,
    /// The price of an hour of a lease.
    pub price_per_hour: Option<Money>,
    /// The price of 10⁹ fuel.
    pub price_per_giga_fuel: Option<Money>,
    /// How far below that price sealed bids may go.
    pub auction_discount: Share,
    /// How many bidders a first-price auction is assumed to have.
    pub assumed_bidders: u32,
    /// What an hour of one lease costs its owner.
    pub cost_per_hour: Money,
    /// The smallest slice of a hold that is taken; no holds, if not given.
    pub hold_slice_min: Option<Money>,
    /// The smallest share of a result's price that buyers who pay to decrypt leave with the market; no such buyers, if not
    /// given.
    pub decrypt_deposit_min: Option<Share>,
    /// The bond that the owner wants to have locked.
    pub bond: Money,
    /// How many cores are for sale; all, if not given.
    pub max_cpus: Option<Cores>,
    /// How much memory is for sale; three quarters, if not given.
    pub max_memory: Option<ByteSize>,
    /// How much disk is for sale.
    pub max_disk: ByteSize,
    /// Upload bandwidth, in Mbit/s. Declared, never measured: a measurement would be somebody else's traffic.
    pub upload_mbps: u64,
    /// The longest lease.
    pub lease_max: Span,
    /// The cache of modules and inputs.
    pub cache: ByteSize,
    /// Whether work is only taken while nobody else uses the machine.
    pub only_when_idle: bool,
    /// How many cores others may use while it still counts as idle.
    pub idle_below: Cores,
    /// When no work is taken.
    pub quiet_hours: Vec<WeeklyHours>,
    /// How long running tasks and open reveals may take when it is told to stop.
    pub grace: Span,
    /// Where the machine stands; `unknown`, if not given.
    pub region: Option<Name>,
    /// The hardware class; from the hardware, if not given.
    pub class: Option<Name>,
    /// Further facts.
    pub attributes: Attributes,
}

impl Default for ProvideConfig {
    fn default() -> ProvideConfig {
        ProvideConfig {
            market: None,
            role: OfferRole::Work,
            price: None,
            costs: None,
            price_per_task: None,
            price_per_hour: None,
            price_per_giga_fuel: None,
            auction_discount: Share(0),
            assumed_bidders: 4,
            cost_per_hour: Money(Msat::ZERO),
            hold_slice_min: None,
            decrypt_deposit_min: None,
            bond: Money(Msat::ZERO),
            max_cpus: None,
            max_memory: None,
            max_disk: ByteSize(0),
            upload_mbps: 0,
            lease_max: Span(24 * 3_600_000),
            cache: ByteSize(10 << 30),
            only_when_idle: false,
            idle_below: Cores(500),
            quiet_hours: Vec::new(),
            grace: Span(30_000),
            region: None,
            class: None,
            attributes: Attributes::new(),
        }
    }
}

/// The one word that `price` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AutoPrice {
    /// Break-even and a margin, and what others ask above that.
    Auto,
}

impl std::str::FromStr for AutoPrice {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<AutoPrice, &'static str> {
        match text {
            "auto" => Ok(AutoPrice::Auto),
            _ => Err(
                "the only word is `auto`; prices of your own are --price-per-task, --price-per-hour and --price-per-giga-fuel",
            ),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// Which.
        path: std::path::PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Its text.
    #[error("{}: {source}", path.display())]
    Text {
        /// Which.
        path: std::path::PathBuf,
        /// What is wrong.
        source: FileError,
    },
    /// No price.
    #[error(
        "say a price: price_per_task, price_per_hour or price_per_giga_fuel, in provide.toml or as a flag"
    )]
    NoPrice,
    /// A price and the wish to find one.
    #[error(
        "`price = \"auto\"` finds the prices of an hour and of fuel: leave out price_per_hour and price_per_giga_fuel"
    )]
    TwoPrices,
    /// Nothing to find a price from.
    #[error("`price = \"auto\"` needs to know what the machine costs: say it under [costs] in provide.toml")]
    NoCosts,
    /// Costs that cannot be.
    #[error("[costs]: {0}")]
    Costs(#[from] CostsError),
    /// More for sale than there is.
    #[error("{what} is {wanted}, but the machine has {has}: lower it")]
    TooMuch {
        /// Which setting.
        what: &'static str,
        /// What it says.
        wanted: String,
        /// What there is.
        has: String,
    },
    /// An offer that the market would refuse.
    #[error("the offer would be refused: {0}")]
    Flaw(&'static str),
    /// No name for the hardware.
    #[error("no hardware class can be made of what this machine says about itself: set `class`")]
    NoClass,
}

impl ProvideConfig {
    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<ProvideConfig, FileError> {
        config_file::parse(text)
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<ProvideConfig, ConfigError> {
        let path = path.to_owned();
        let text = match config_file::read_text(&path, config_file::TEXT_BYTES_MAX) {
            Ok(text) => text,
            Err(source) => return Err(ConfigError::Read { path, source }),
        };
        ProvideConfig::parse(&text).map_err(|source| ConfigError::Text { path, source })
    }

    /// Everything that the machine has to sell: what its certificate says.
    pub fn capacity(&self, hardware: &Hardware) -> Result<Resources, ConfigError> {
        let cpu_milli = self.max_cpus.map_or(hardware.cores.saturating_mul(1_000), |cores| cores.0);
        let memory_mib = self.max_memory.map_or(hardware.memory_mib / 4 * 3, |size| size.0 >> 20);
        let too_much = |what, wanted: String, has: String| Err(ConfigError::TooMuch { what, wanted, has });
        if cpu_milli > hardware.cores.saturating_mul(1_000) {
            let wanted = format!("{}.{:03}", cpu_milli / 1_000, cpu_milli % 1_000);
            return too_much("max_cpus", wanted, format!("{} cores", hardware.cores));
        }
        if memory_mib > hardware.memory_mib {
            return too_much(
                "max_memory",
                format!("{memory_mib} MiB"),
                format!("{} MiB", hardware.memory_mib),
            );
        }
        let disk_mib = self.max_disk.0 >> 20;
        if let Some(free) = hardware.disk_free_mib.filter(|free| disk_mib > *free) {
            return too_much("max_disk", format!("{disk_mib} MiB"), format!("{free} MiB free"));
        }
        let gpus = hardware.gpus.clone();
        Ok(Resources { cpu_milli, memory_mib, disk_mib, upload_mbps: self.upload_mbps, gpus })
    }

    /// The prices that the owner named.
    pub fn rates(&self) -> Result<Vec<Rate>, ConfigError> {
        let rates = [
            self.price_per_task.map(|money| Rate::per_task(money.0)),
            self.price_per_hour.map(|money| Rate::per_hour(money.0)),
            self.price_per_giga_fuel.map(|money| Rate::per_giga_fuel(money.0)),
        ];
        let rates: Vec<Rate> = rates.into_iter().flatten().collect();
        // What a task costs depends on the task: its price is always the owner's to name.
        let is_found = |rate: &Rate| rate.unit != Unit::Task;
        match self.price {
            Some(AutoPrice::Auto) if rates.iter().any(is_found) => Err(ConfigError::TwoPrices),
            None if rates.is_empty() => Err(ConfigError::NoPrice),
            Some(AutoPrice::Auto) | None => Ok(rates),
        }
    }

    /// Results are sold one by one, by offers with a price by the task; validators only vouch for them.
    fn sale_terms(&self, rate: &Rate) -> Option<SaleTerms> {
        let sells = self.role == OfferRole::Work && rate.unit == Unit::Task;
        let least = self.decrypt_deposit_min.filter(|_| sells)?;
        Some(SaleTerms { deposit_min_ppm: least.0 })
    }

    /// How the machine behaves at these rates: what was chosen, found and measured. `capacity` is what one lease may
    /// reserve.
    pub fn policy(
        &self,
        rates: &[Rate],
        hardware: &Hardware,
        capacity: &Resources,
        isolation: Isolation,
        fuel_per_second: u64,
    ) -> Result<Policy, ConfigError> {
        let class = self.class.clone().or_else(|| hardware.class()).ok_or(ConfigError::NoClass)?;
        let region = self.region.clone().or_else(|| Name::slug("unknown")).ok_or(ConfigError::NoClass)?;
        // What the owner says comes first; where it is too much, found facts are left out.
        let mut attributes = self.attributes.clone();
        for (key, value) in hardware.attributes() {
            if attributes.len() < MAX_ATTRIBUTES {
                attributes.entry(key).or_insert(value);
            }
        }
        let offers = rates.iter().map(|rate| OfferTerms {
            role: self.role,
            rate: *rate,
            resources: capacity.clone(),
            isolation,
            region: region.clone(),
            class: class.clone(),
            attributes: attributes.clone(),
            lease_max_ms: self.lease_max.0,
            holds: self.hold_slice_min.map(|least| HoldTerms { slice_min_msat: least.0 }),
            sales: self.sale_terms(rate),
        });
        let offers: Vec<OfferTerms> = offers.collect();
        if let Some(flaw) = offers.iter().find_map(OfferTerms::flaw) {
            return Err(ConfigError::Flaw(flaw));
        }
        Ok(Policy {
            offers,
            fuel_per_second,
            cost_per_hour_msat: self.cost_per_hour.0,
            discount_ppm: self.auction_discount.0,
            assumed_bidders: self.assumed_bidders,
            profiles: runner::Profile::all().iter().map(|profile| profile.name.to_owned()).collect(),
            batch_ms: Policy::BATCH_MS,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_documents_itself_says_the_defaults() {
        let written = ProvideConfig::parse(DEFAULT_TEXT).unwrap();
        assert_eq!(written, ProvideConfig::default());
        // Every line that is commented out is a setting that can be switched on.
        let on: Vec<&str> = DEFAULT_TEXT.lines().map(|line| line.strip_prefix("#").unwrap_or(line)).collect();
        let on: Vec<&str> = on.into_iter().filter(|line| !line.starts_with(' ')).collect();
        let all = ProvideConfig::parse(&on.join("\n")).unwrap();
        assert!(
            all.market.is_some() && all.price_per_task.is_some() && !all.quiet_hours.is_empty(),
            "{all:?}"
        );
    }

    #[test]
    fn a_typo_is_answered_with_the_nearest_word() {
        let error = ProvideConfig::parse("only_when_idel = true").unwrap_err().to_string();
        assert!(error.contains("did you mean `only_when_idle`?"), "{error}");
    }
}
