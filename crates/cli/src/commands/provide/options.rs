//! What a provider can be told, on the command line and in `provide.toml`.

use super::computer::Computer;
use crate::{
    args::Global,
    exit::{Exit, Failure},
    home::Home,
};
use clap::Args;
use market::{
    name::Name,
    offer::{OfferRole, OfferTerms},
    resources::{Attributes, Isolation, Resources},
    units::{Msat, Rate},
};
use node::{
    config_file::{ByteSize, Cores, Money, Span},
    provider::{Policy, agent::Tally},
};
use runner::Profile;
use serde::{Deserialize, Deserializer, de};
use std::{path::PathBuf, str::FromStr};

/// What a provider can be told.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Options {
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
    /// Take new work only while nobody else uses the computer
    #[arg(long, global = true)]
    only_when_idle: bool,
    /// Take no new work between these times of the day, local time
    #[arg(long, value_name = "HH:MM-HH:MM", global = true)]
    quiet_hours: Option<QuietHours>,
    /// Where the computer stands
    #[arg(long, value_name = "NAME", global = true)]
    region: Option<Name>,
    /// Its hardware class [default: its processor]
    #[arg(long, value_name = "NAME", global = true)]
    class: Option<Name>,
    /// How it is called [default: this computer's name]
    #[arg(long, value_name = "NAME", global = true)]
    label: Option<Name>,
    /// Bring the party's bond up to this
    #[arg(long, value_name = "AMOUNT", global = true)]
    pub(super) bond: Option<Money>,
    /// The longest lease to take [default: 24h]
    #[arg(long, value_name = "TIME", global = true)]
    lease_max: Option<Span>,
}

impl Options {
    /// These options, and those of a file where nothing is said here.
    pub(super) fn or(self, file: Options) -> Options {
        let prices = [self.price_per_task, self.price_per_hour, self.price_per_giga_fuel];
        // A price on the command line stands for all: nobody wants to sell at another one as well.
        let [price_per_task, price_per_hour, price_per_giga_fuel] = match prices {
            [None, None, None] => [file.price_per_task, file.price_per_hour, file.price_per_giga_fuel],
            given => given,
        };
        Options {
            price_per_task,
            price_per_hour,
            price_per_giga_fuel,
            max_cpus: self.max_cpus.or(file.max_cpus),
            max_memory: self.max_memory.or(file.max_memory),
            only_when_idle: self.only_when_idle || file.only_when_idle,
            quiet_hours: self.quiet_hours.or(file.quiet_hours),
            region: self.region.or(file.region),
            class: self.class.or(file.class),
            label: self.label.or(file.label),
            bond: self.bond.or(file.bond),
            lease_max: self.lease_max.or(file.lease_max),
        }
    }

    /// How the machine is called.
    pub(super) fn label(&self) -> Result<Name, Failure> {
        match &self.label {
            Some(label) => Ok(label.clone()),
            None => crate::session::default_label().parse().map_err(|e| Failure::of(Exit::Usage, e)),
        }
    }

    /// The prices.
    pub(super) fn rates(&self) -> Result<Vec<Rate>, Failure> {
        let given = [
            self.price_per_task.map(|money| Rate::per_task(money.0)),
            self.price_per_hour.map(|money| Rate::per_hour(money.0)),
            self.price_per_giga_fuel.map(|money| Rate::per_giga_fuel(money.0)),
        ];
        let rates: Vec<Rate> = given.into_iter().flatten().collect();
        if rates.is_empty() {
            let why =
                "at which price? Give --price-per-task 10sat, --price-per-hour or --price-per-giga-fuel";
            return Err(Failure::new(Exit::Usage, why));
        }
        Ok(rates)
    }

    /// What is for sale.
    pub(super) fn capacity(&self, computer: &Computer) -> Resources {
        let own_share_mib = computer.memory_mib / 4 * 3;
        Resources {
            cpu_milli: self.max_cpus.map_or(computer.cpu_milli, |cores| cores.0.min(computer.cpu_milli)),
            memory_mib: self.max_memory.map_or(own_share_mib, |size| (size.0 >> 20).min(computer.memory_mib)),
            disk_mib: computer.disk_mib / 2,
            upload_mbps: 0,
            gpus: None,
        }
    }

    /// How the machine behaves in the market.
    pub(super) fn policy(
        &self,
        role: OfferRole,
        computer: &Computer,
        isolation: Isolation,
    ) -> Result<Policy, Failure> {
        let anywhere = || Name::slug("anywhere").unwrap_or_else(|| computer.class.clone());
        let offer = |rate| OfferTerms {
            role,
            rate,
            resources: self.capacity(computer),
            isolation,
            region: self.region.clone().unwrap_or_else(anywhere),
            class: self.class.clone().unwrap_or_else(|| computer.class.clone()),
            attributes: Attributes::new(),
            lease_max_ms: self.lease_max.map_or(86_400_000, |span| span.0),
        };
        let offers: Vec<OfferTerms> = self.rates()?.into_iter().map(offer).collect();
        if let Some(flaw) = offers.iter().find_map(OfferTerms::flaw) {
            return Err(Failure::new(Exit::Usage, flaw));
        }
        Ok(Policy {
            offers,
            fuel_per_second: 0,
            cost_per_hour_msat: Msat::ZERO,
            discount_ppm: 100_000,
            assumed_bidders: 4,
            profiles: Profile::all().iter().map(|profile| profile.name.to_owned()).collect(),
            batch_ms: 500,
        })
    }

    /// When the machine takes work.
    pub(super) fn gate(&self, computer: &Computer) -> Gate {
        Gate {
            quiet_hours: self.quiet_hours,
            only_when_idle: self.only_when_idle,
            cores: computer.cpu_milli as f64 / 1_000.0,
        }
    }
}

/// Decides when the machine takes new work.
pub(super) struct Gate {
    quiet_hours: Option<QuietHours>,
    only_when_idle: bool,
    cores: f64,
}

impl Gate {
    /// Whether it takes new work now.
    pub(super) fn is_open(&mut self, tally: Tally) -> bool {
        let now = jiff::Zoned::now();
        let minute = u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs());
        let is_quiet = self.quiet_hours.is_some_and(|hours| hours.contains(minute));
        // Our own workers are no sign that somebody else is at work.
        let others = Computer::load() - tally.leases as f64;
        !is_quiet && !(self.only_when_idle && others > self.cores / 4.0)
    }
}

/// A span of the day, in minutes since midnight; may pass midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuietHours {
    from: u16,
    until: u16,
}

impl QuietHours {
    fn contains(self, minute: u16) -> bool {
        if self.from <= self.until {
            (self.from..self.until).contains(&minute)
        } else {
            minute >= self.from || minute < self.until
        }
    }
}

/// A text that is no span of the day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a span of the day: write 22:00-07:00")]
pub(crate) struct BadHours(String);

impl FromStr for QuietHours {
    type Err = BadHours;

    fn from_str(text: &str) -> Result<QuietHours, BadHours> {
        let minute = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        };
        let span = text.split_once('-').and_then(|(from, until)| Some((minute(from)?, minute(until)?)));
        span.map(|(from, until)| QuietHours { from, until }).ok_or_else(|| BadHours(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for QuietHours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<QuietHours, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// `provide.toml` in the configuration folder, where there is one.
pub(super) fn default_file(global: &Global) -> Option<PathBuf> {
    let file = Home::of(global).ok()?.provide_file();
    file.is_file().then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_hours_may_pass_midnight() {
        let night: QuietHours = "22:00-07:30".parse().unwrap();
        assert!(night.contains(23 * 60) && night.contains(0) && night.contains(7 * 60 + 29));
        assert!(!night.contains(7 * 60 + 30) && !night.contains(12 * 60));
        let day: QuietHours = "09:00-17:00".parse().unwrap();
        assert!(day.contains(12 * 60) && !day.contains(17 * 60) && !day.contains(0));
    }

    #[test]
    fn hours_that_do_not_exist_are_refused() {
        for text in ["", "22-7", "24:00-07:00", "22:60-07:00", "22:00", "22:00-"] {
            assert!(text.parse::<QuietHours>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_price_on_the_command_line_replaces_those_of_the_file() {
        let price = |text: &str| Some(text.parse().unwrap());
        let flags = Options { price_per_hour: price("9sat"), ..Options::default() };
        let file =
            Options { price_per_task: price("1sat"), max_cpus: Some(Cores(500)), ..Options::default() };
        let options = flags.or(file);
        assert_eq!(options.rates().unwrap(), [Rate::per_hour(Msat(9_000))]);
        assert_eq!(options.max_cpus, Some(Cores(500)));
    }
}
