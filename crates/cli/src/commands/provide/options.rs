//! What a provider is told: `provide.toml`, and flags that come before it.

use crate::exit::{Exit, Failure};
use clap::Args;
use market::{name::Name, offer::OfferRole};
use node::{
    config_file::{ByteSize, Cores, Money, Share, Span},
    provider::{
        config::{AutoPrice, ConfigError, ProvideConfig},
        pricing::CostsConfig,
        schedule::WeeklyHours,
    },
};
use rust_decimal::Decimal;
use std::path::Path;

/// Flags that come before `provide.toml`.
#[derive(Debug, Default, Args)]
pub(crate) struct Flags {
    /// Follow the market's prices of an hour and of fuel, never below cost and a margin; needs what the computer costs. Its
    /// speed is measured at the start, and not again
    #[arg(long, value_name = "auto", global = true)]
    price: Option<AutoPrice>,
    /// Price of an accepted task; several prices make several offers
    #[arg(long, value_name = "AMOUNT", global = true)]
    price_per_task: Option<Money>,
    /// Price of an hour of a lease
    #[arg(long, value_name = "AMOUNT", global = true)]
    price_per_hour: Option<Money>,
    /// Price of 10⁹ instructions
    #[arg(long, value_name = "AMOUNT", global = true)]
    price_per_giga_fuel: Option<Money>,
    /// CPU cores to sell [default: all]
    #[arg(long, value_name = "CORES", global = true)]
    max_cpus: Option<Cores>,
    /// Memory to sell [default: three quarters]
    #[arg(long, value_name = "SIZE", global = true)]
    max_memory: Option<ByteSize>,
    /// Disk space to sell [default: none]
    #[arg(long, value_name = "SIZE", global = true)]
    max_disk: Option<ByteSize>,
    /// Take new work only while nobody else uses the computer
    #[arg(long, global = true)]
    only_when_idle: bool,
    /// Take no new work in these hours, local time: `22:00-07:00`, `sat,sun 09:00-12:00`; may be repeated
    #[arg(long, value_name = "HOURS", global = true)]
    quiet_hours: Vec<WeeklyHours>,
    /// Where the computer stands
    #[arg(long, value_name = "NAME", global = true)]
    region: Option<Name>,
    /// Its hardware class [default: made of architecture and cores, or of the GPUs]
    #[arg(long, value_name = "NAME", global = true)]
    class: Option<Name>,
    /// Bring the party's bond up to this
    #[arg(long, value_name = "AMOUNT", global = true)]
    bond: Option<Money>,
    /// The longest lease to take [default: 24h]
    #[arg(long, value_name = "TIME", global = true)]
    lease_max: Option<Span>,
    #[command(flatten)]
    costs: CostFlags,
}

/// What the computer costs its owner; comes before `[costs]` in `provide.toml`.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "What the computer costs")]
pub(crate) struct CostFlags {
    /// Take its draw and price from the catalogue: see `grist econ catalog show hardware`
    #[arg(long, value_name = "ID", global = true)]
    hardware: Option<String>,
    /// What it draws at work
    #[arg(long, value_name = "WATTS", global = true)]
    watts: Option<Decimal>,
    /// What it draws when idle [default: 0]
    #[arg(long, value_name = "WATTS", global = true)]
    idle_watts: Option<Decimal>,
    /// It would be on anyway: only what work draws above idle counts
    #[arg(long, global = true)]
    always_on: bool,
    /// What a kilowatt-hour costs
    #[arg(long, value_name = "USD", global = true)]
    tariff: Option<Decimal>,
    /// What the computer cost
    #[arg(long, value_name = "USD", global = true)]
    hardware_usd: Option<Decimal>,
    /// It is paid for: only power counts
    #[arg(long, global = true)]
    paid_for: bool,
    /// The share of the time that it is expected to earn [default: 50%]
    #[arg(long, value_name = "SHARE", global = true)]
    utilization: Option<Share>,
    /// What you want above cost [default: 20%]
    #[arg(long, value_name = "SHARE", global = true)]
    margin: Option<Share>,
    /// What a bitcoin costs in dollars [default: the catalogue's rate]
    #[arg(long, value_name = "USD", global = true)]
    btc_usd: Option<Decimal>,
}

impl CostFlags {
    /// The file's costs, with what the flags say instead; none where neither says anything.
    fn over(&self, file: Option<CostsConfig>) -> Option<CostsConfig> {
        let file = file.unwrap_or_default();
        let costs = CostsConfig {
            hardware: self.hardware.clone().or(file.hardware),
            watts: self.watts.or(file.watts),
            idle_watts: self.idle_watts.or(file.idle_watts),
            always_on: self.always_on || file.always_on,
            usd_per_kwh: self.tariff.or(file.usd_per_kwh),
            price_usd: self.hardware_usd.or(file.price_usd),
            paid_for: self.paid_for || file.paid_for,
            utilization: self.utilization.or(file.utilization),
            margin: self.margin.or(file.margin),
            btc_usd: self.btc_usd.or(file.btc_usd),
            ..file
        };
        (costs != CostsConfig::default()).then_some(costs)
    }
}

impl Flags {
    /// The file's settings, with what the flags say instead.
    pub(super) fn over(&self, file: ProvideConfig, role: Option<OfferRole>) -> ProvideConfig {
        let costs = self.costs.over(file.costs.clone());
        let prices = [self.price_per_task, self.price_per_hour, self.price_per_giga_fuel];
        // A price on the command line stands for all: nobody wants to sell at another one as well.
        let (price, [price_per_task, price_per_hour, price_per_giga_fuel]) = match (self.price, prices) {
            (None, [None, None, None]) => {
                (file.price, [file.price_per_task, file.price_per_hour, file.price_per_giga_fuel])
            }
            given => given,
        };
        let quiet_hours =
            if self.quiet_hours.is_empty() { file.quiet_hours } else { self.quiet_hours.clone() };
        ProvideConfig {
            role: role.unwrap_or(file.role),
            price,
            costs,
            price_per_task,
            price_per_hour,
            price_per_giga_fuel,
            max_cpus: self.max_cpus.or(file.max_cpus),
            max_memory: self.max_memory.or(file.max_memory),
            max_disk: self.max_disk.unwrap_or(file.max_disk),
            only_when_idle: self.only_when_idle || file.only_when_idle,
            quiet_hours,
            region: self.region.clone().or(file.region),
            class: self.class.clone().or(file.class),
            bond: self.bond.unwrap_or(file.bond),
            lease_max: self.lease_max.unwrap_or(file.lease_max),
            ..file
        }
    }
}

/// The settings of a file; the defaults where no file is named and the usual one is not there.
pub(super) fn load(named: Option<&Path>, usual: &Path) -> Result<ProvideConfig, Failure> {
    match named.or_else(|| usual.is_file().then_some(usual)) {
        Some(file) => ProvideConfig::load(file).map_err(unusable),
        None => Ok(ProvideConfig::default()),
    }
}

/// Settings that cannot be used.
pub(super) fn unusable(error: ConfigError) -> Failure {
    match &error {
        ConfigError::NoPrice => Failure::of(Exit::Usage, error).advise("for example --price-per-task 10sat"),
        ConfigError::NoCosts => Failure::of(Exit::Usage, error)
            .advise("or with flags, for example --watts 65 --tariff 0.16 --paid-for"),
        _ => Failure::of(Exit::BadInput, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_on_the_command_line_replaces_those_of_the_file() {
        let flags = Flags { price_per_hour: Some("9sat".parse().unwrap()), ..Flags::default() };
        let file = ProvideConfig::parse("price_per_task = \"1 sat\"\nmax_cpus = 0.5").unwrap();
        let config = flags.over(file, None);
        assert_eq!((config.price_per_task, config.price_per_hour), (None, Some("9sat".parse().unwrap())));
        assert_eq!(config.max_cpus, Some(Cores(500)));
    }
}
