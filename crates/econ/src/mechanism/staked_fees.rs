//! Fees and stake: buyers pay for work and the network takes a fee; staked devices share an emission besides.
//!
//! | rule | figure | source |
//! |---|---|---|
//! | renter's fee | 0.25 % of the reservation, 2 % more when paid in dollars | io.net, IO Tokenomics |
//! | supplier's fee | the same again | io.net, IO Tokenomics |
//! | emission | hourly, see [`emission::io_net`](super::emission::io_net) | io.net, Token Emission Schedule |
//! | stake needed | `200 IO · max(1, multiplier)` for each GPU | io.net, IO Staking |
//! | block reward | among devices with their stake, by multiplier, GPUs and uptime | io.net, Block Rewards |
//! | co-staking | whoever lends the stake gets an agreed part of the reward | io.net, Co-staking |
//! | fees | buy IO and burn it | io.net, IO Tokenomics |

use serde::{Deserialize, Serialize};

use super::emission::io_net;
use super::scenario::ranges::Ranges;
use super::{Deception, EpochInputs, EpochOutcome, Mechanism, Tokens, serve};

/// The fee on a reservation, taken from each side.
pub const RESERVATION_FEE: f64 = 0.0025;

/// The further fee of a side that pays or is paid in dollars.
pub const DOLLAR_FEE: f64 = 0.02;

/// The least stake for each GPU, in IO.
pub const STAKE_PER_GPU_IO: f64 = 200.0;

/// A device that wants block rewards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Device {
    /// Its earning multiplier: 10 for an H100.
    pub multiplier: f64,
    /// How many GPUs it has.
    pub gpus: u32,
    /// The part of the hour that it was up and passed the checks, 0 to 1.
    pub uptime: f64,
    /// What is staked on it, in IO.
    pub staked_io: f64,
    /// The part of its reward that goes to whoever lent the stake, 0 to 1.
    pub co_staker_part: f64,
}

impl Device {
    /// The stake without which it gets no block reward, in IO.
    pub fn stake_needed_io(&self) -> f64 {
        STAKE_PER_GPU_IO * self.multiplier.max(1.0) * f64::from(self.gpus)
    }

    fn weight(&self) -> f64 {
        if self.staked_io < self.stake_needed_io() {
            return 0.0;
        }
        self.multiplier * f64::from(self.gpus) * self.uptime
    }
}

/// What a device's block reward comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BlockReward {
    /// For the device's owner, in IO.
    pub owner_io: f64,
    /// For its co-staker, in IO.
    pub co_staker_io: f64,
}

/// Shares a block's emission among devices; what nobody qualifies for is not paid.
pub fn block_rewards(devices: &[Device], emission_io: f64) -> Vec<BlockReward> {
    let total: f64 = devices.iter().map(Device::weight).sum();
    let reward = |device: &Device| {
        let all = if total > 0.0 { emission_io * device.weight() / total } else { 0.0 };
        let lent = all * device.co_staker_part;
        BlockReward { owner_io: all - lent, co_staker_io: lent }
    };
    devices.iter().map(reward).collect()
}

/// What stakers get of `fees_usd`, each by its stake.
pub fn share_by_stake(stakes: &[f64], fees_usd: f64) -> Vec<f64> {
    let total: f64 = stakes.iter().sum();
    stakes.iter().map(|stake| if total > 0.0 { fees_usd * stake / total } else { 0.0 }).collect()
}

/// io.net, in a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// The price of IO at the beginning, in USD.
    pub token_usd: f64,
    /// The part of the network that the scenario's market is, 0 to 1.
    pub emission_share: f64,
    /// Hours of emission before the scenario begins. The first was on 11 June 2024.
    pub start_hour: u32,
    /// The part of both sides that pays and is paid in dollars.
    pub in_dollars: f64,
    /// The part of block rewards that goes to co-stakers.
    pub co_staker_part: f64,
    /// The part of pretenders that pass the hourly checks.
    pub pretender_passes: f64,
    /// How likely a buyer takes one who only pretends, against an honest provider.
    pub pretender_chosen: f64,
    /// The part of a rental's pay that one who pretends gets before the buyer ends it.
    pub pretender_paid: f64,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            token_usd: 0.2,
            emission_share: 0.1,
            start_hour: 15_300,
            in_dollars: 1.0,
            co_staker_part: 0.2,
            pretender_passes: 0.3,
            pretender_chosen: 0.1,
            pretender_paid: 0.04,
        }
    }
}

impl Configuration {
    /// Checks every number against its range.
    pub fn check(&self, ranges: &mut Ranges) {
        ranges.within("io_net.token_usd", self.token_usd, 1e-6, 1e9);
        ranges.within("io_net.emission_share", self.emission_share, 0.0, 1.0);
        ranges.within("io_net.start_hour", f64::from(self.start_hour), 0.0, f64::from(io_net::HOURS));
        ranges.within("io_net.in_dollars", self.in_dollars, 0.0, 1.0);
        ranges.within("io_net.co_staker_part", self.co_staker_part, 0.0, 1.0);
        ranges.within("io_net.pretender_passes", self.pretender_passes, 0.0, 1.0);
        ranges.within("io_net.pretender_chosen", self.pretender_chosen, 0.0, 1.0);
        ranges.within("io_net.pretender_paid", self.pretender_paid, 0.0, 1.0);
    }

    /// The fee of one side.
    fn fee(&self) -> f64 {
        RESERVATION_FEE + DOLLAR_FEE * self.in_dollars
    }
}

/// io.net in motion.
#[derive(Clone, Debug)]
pub struct IoNet {
    configuration: Configuration,
    supply_tokens: f64,
}

impl IoNet {
    /// io.net at the beginning.
    pub fn new(configuration: &Configuration) -> Self {
        let issued = io_net::INITIAL_SUPPLY_IO + io_net::emission_between_io(0, configuration.start_hour);
        Self { supply_tokens: issued * configuration.emission_share, configuration: configuration.clone() }
    }

    fn mint(&self, inputs: &EpochInputs) -> f64 {
        let hour = |day: f64| self.configuration.start_hour.saturating_add((day * 24.0).round() as u32);
        let emitted = io_net::emission_between_io(hour(inputs.day), hour(inputs.day + inputs.days));
        emitted * self.configuration.emission_share
    }
}

impl Mechanism for IoNet {
    fn name(&self) -> &'static str {
        "io.net"
    }

    fn rule(&self) -> &'static str {
        "buyers pay less fees; staked devices share an hourly emission, busy or idle"
    }

    fn supply_tokens(&self) -> Option<f64> {
        Some(self.supply_tokens)
    }

    fn epoch(&mut self, inputs: &EpochInputs) -> EpochOutcome {
        let c = &self.configuration;
        let price_usd = c.token_usd * inputs.token_index;
        let served = serve(inputs, Deception { chosen: c.pretender_chosen, paid: c.pretender_paid }, 1.0);
        // The renter's fee comes out of the same budget: the price of an hour includes it.
        let kept = (1.0 - c.fee()) / (1.0 + c.fee());
        let burned = Tokens::worth((served.revenue_usd + served.lost_usd) * (1.0 - kept), price_usd);

        let minted = Tokens::at(self.mint(inputs), price_usd);
        let passing = inputs.pretending_hours() * c.pretender_passes;
        let all = inputs.honest_hours() + passing;
        let devices_usd = if all > 0.0 { minted.usd * (1.0 - c.co_staker_part) } else { 0.0 };
        let per_hour = if all > 0.0 { devices_usd / all } else { 0.0 };

        self.supply_tokens += minted.tokens - burned.tokens;
        EpochOutcome {
            served_hours: served.hours,
            revenue_usd: served.revenue_usd + served.lost_usd,
            minted,
            paid_served_usd: served.revenue_usd * kept + per_hour * served.hours,
            paid_idle_usd: per_hour * (inputs.honest_hours() - served.hours),
            paid_pretending_usd: served.lost_usd * kept + per_hour * passing,
            validators_usd: minted.usd - devices_usd,
            burned,
            ..EpochOutcome::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H100: Device =
        Device { multiplier: 10.0, gpus: 8, uptime: 1.0, staked_io: 16_000.0, co_staker_part: 0.25 };

    #[test]
    fn the_published_examples_need_the_published_stake() {
        assert_eq!(H100.stake_needed_io(), 16_000.0);
        let small = Device { multiplier: 0.25, gpus: 4, ..H100 };
        assert_eq!(small.stake_needed_io(), 800.0);
    }

    #[test]
    fn a_device_without_its_stake_gets_nothing_and_the_rest_goes_by_weight() {
        let half = Device { uptime: 0.5, ..H100 };
        let unstaked = Device { staked_io: 15_999.0, ..H100 };
        let rewards = block_rewards(&[H100, half, unstaked], 300.0);
        assert_eq!(rewards[0], BlockReward { owner_io: 150.0, co_staker_io: 50.0 });
        assert_eq!(rewards[1], BlockReward { owner_io: 75.0, co_staker_io: 25.0 });
        assert_eq!(rewards[2], BlockReward::default());
        assert_eq!(block_rewards(&[unstaked], 300.0), [BlockReward::default()]);
    }

    #[test]
    fn fees_go_by_stake() {
        assert_eq!(share_by_stake(&[1.0, 3.0], 8.0), [2.0, 6.0]);
        assert_eq!(share_by_stake(&[0.0], 8.0), [0.0]);
    }
}
