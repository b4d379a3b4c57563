//! What a provider is told: `provide.toml`, and flags that come before it.

use crate::exit::{Exit, Failure};
use clap::Args;
use market::{name::Name, offer::OfferRole};
use node::{
    config_file::{ByteSize, Cores, Money, Span},
    provider::{
        config::{ConfigError, ProvideConfig},
        schedule::QuietHours,
    },
};
use std::path::Path;

/// Flags that come before `provide.toml`.
#[derive(Debug, Default, Args)]
pub(crate) struct Flags {
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
    quiet_hours: Vec<QuietHours>,
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
}

impl Flags {
    /// The file's settings, with what the flags say instead.
    pub(super) fn over(&self, file: ProvideConfig, role: Option<OfferRole>) -> ProvideConfig {
        let prices = [self.price_per_task, self.price_per_hour, self.price_per_giga_fuel];
        // A price on the command line stands for all: nobody wants to sell at another one as well.
        let [price_per_task, price_per_hour, price_per_giga_fuel] = match prices {
            [None, None, None] => [file.price_per_task, file.price_per_hour, file.price_per_giga_fuel],
            given => given,
        };
        let quiet_hours =
            if self.quiet_hours.is_empty() { file.quiet_hours } else { self.quiet_hours.clone() };
        ProvideConfig {
            role: role.unwrap_or(file.role),
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
