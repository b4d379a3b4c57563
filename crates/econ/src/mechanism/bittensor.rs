//! A Bittensor subnet as a way to pay for computing: an emission that does not ask what was bought.
//!
//! The chain mints by [`emission`](super::emission); the subnet's part is split 41 % miners, 41 % validators, 18 % owner;
//! the miners' part goes by Yuma's incentive, which validators' weights decide ([`yuma`](super::yuma)). Buyers pay the
//! subnet's owner, who may buy tokens back and burn them. Sources: as the modules named.

use serde::{Deserialize, Serialize};

use super::emission::{BITTENSOR_BLOCK_S, RAO, SubnetSplit, emission_over_blocks_rao};
use super::scenario::ranges::Ranges;
use super::yuma::{BondStorage, Epochs, Matrix, Rules};
use super::{EpochInputs, EpochOutcome, Mechanism, Tokens};

/// A subnet, in a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// The price of TAO at the beginning, in USD.
    pub token_usd: f64,
    /// TAO in existence at the beginning.
    pub issued_tokens: f64,
    /// The subnet's part of the emission, 0 to 1.
    pub emission_share: f64,
    /// How many validators; the k-th largest has 1/k of the largest's stake.
    pub validators: usize,
    /// The part of the stake whose validators do not test miners but weigh what is claimed.
    pub lazy_stake: f64,
    /// The part of pretenders that a testing validator sees through.
    pub caught: f64,
    /// The part of buyers' spending with which the owner buys tokens and burns them.
    pub buyback: f64,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            token_usd: 215.0,
            issued_tokens: 10_760_000.0,
            emission_share: 1.0 / 129.0,
            validators: 16,
            lazy_stake: 0.3,
            caught: 0.8,
            buyback: 0.0,
        }
    }
}

impl Configuration {
    /// Checks every number against its range.
    pub fn check(&self, ranges: &mut Ranges) {
        ranges.within("bittensor.token_usd", self.token_usd, 1e-6, 1e9);
        ranges.within("bittensor.issued_tokens", self.issued_tokens, 0.0, 21e6);
        ranges.within("bittensor.emission_share", self.emission_share, 0.0, 1.0);
        ranges.within("bittensor.validators", self.validators as f64, 1.0, 256.0);
        ranges.within("bittensor.lazy_stake", self.lazy_stake, 0.0, 1.0);
        ranges.within("bittensor.caught", self.caught, 0.0, 1.0);
        ranges.within("bittensor.buyback", self.buyback, 0.0, 1.0);
    }
}

/// A subnet in motion.
#[derive(Clone, Debug)]
pub struct BittensorSubnet {
    configuration: Configuration,
    split: SubnetSplit,
    issued_rao: u64,
    burned_tokens: f64,
    blocks_owed: f64,
    stake: Vec<f64>,
    lazy: Vec<bool>,
    yuma: Epochs<f64>,
}

impl BittensorSubnet {
    /// A subnet at the beginning.
    pub fn new(configuration: &Configuration) -> Self {
        let stake = rank_size_stake(configuration.validators);
        let rules = Rules { storage: BondStorage::Exact, ..Rules::yuma3() };
        Self {
            split: SubnetSplit::STANDARD,
            issued_rao: (configuration.issued_tokens * RAO as f64) as u64,
            burned_tokens: 0.0,
            blocks_owed: 0.0,
            lazy: lazy_validators(&stake, configuration.lazy_stake),
            yuma: Epochs::new(stake.len(), 2, rules),
            stake,
            configuration: configuration.clone(),
        }
    }

    /// The miners' shares of honest capacity and of pretended, by Yuma.
    fn incentive(&mut self, inputs: &EpochInputs) -> (f64, f64) {
        let seen = inputs.pretending_gpus * (1.0 - self.configuration.caught);
        let mut weights = Matrix::filled(self.stake.len(), 2, 0.0);
        for (validator, lazy) in self.lazy.iter().enumerate() {
            weights.set(validator, 0, inputs.honest_gpus);
            weights.set(validator, 1, if *lazy { inputs.pretending_gpus } else { seen });
        }
        let decision = self.yuma.run(&self.stake, &weights);
        (decision.incentive[0], decision.incentive[1])
    }

    fn mint(&mut self, days: f64) -> f64 {
        self.blocks_owed += days * 86_400.0 / BITTENSOR_BLOCK_S as f64;
        let blocks = self.blocks_owed.floor();
        self.blocks_owed -= blocks;
        let minted_rao = emission_over_blocks_rao(self.issued_rao, blocks as u64);
        self.issued_rao += minted_rao;
        minted_rao as f64 / RAO as f64 * self.configuration.emission_share
    }
}

impl Mechanism for BittensorSubnet {
    fn name(&self) -> &'static str {
        "bittensor"
    }

    fn rule(&self) -> &'static str {
        "a posted emission, 41 % to miners by stake-weighted votes; buyers pay the owner"
    }

    fn supply_tokens(&self) -> Option<f64> {
        Some(self.issued_rao as f64 / RAO as f64 * self.configuration.emission_share - self.burned_tokens)
    }

    fn epoch(&mut self, inputs: &EpochInputs) -> EpochOutcome {
        let price_usd = self.configuration.token_usd * inputs.token_index;
        let minted = Tokens::at(self.mint(inputs.days), price_usd);
        let (honest, pretending) = self.incentive(inputs);
        let nobody = 1.0 - honest - pretending;
        let hours = (inputs.demand_usd / inputs.price_usd_per_gpu_hour).min(inputs.honest_hours());
        let busy = if inputs.honest_hours() > 0.0 { hours / inputs.honest_hours() } else { 0.0 };
        let revenue_usd = hours * inputs.price_usd_per_gpu_hour;
        let burned = Tokens::worth(revenue_usd * self.configuration.buyback, price_usd);
        self.burned_tokens += burned.tokens;
        let miners_usd = minted.usd * self.split.miners;
        EpochOutcome {
            served_hours: hours,
            revenue_usd,
            minted,
            paid_served_usd: miners_usd * honest * busy,
            paid_idle_usd: miners_usd * honest * (1.0 - busy),
            paid_pretending_usd: miners_usd * pretending,
            // Without a single weight the chain pays stake.
            validators_usd: minted.usd * self.split.validators + miners_usd * nobody,
            treasury_usd: minted.usd * self.split.owner + revenue_usd - burned.usd,
            burned,
            ..EpochOutcome::default()
        }
    }
}

fn rank_size_stake(validators: usize) -> Vec<f64> {
    let mut stake: Vec<f64> = (1..=validators).map(|rank| 1.0 / rank as f64).collect();
    super::yuma::epoch::normalize(&mut stake);
    stake
}

/// The smallest validators whose stake together is at most `lazy_stake`: who has less at stake tests less.
fn lazy_validators(stake: &[f64], lazy_stake: f64) -> Vec<bool> {
    let mut left = lazy_stake + 1e-12;
    let mut lazy = vec![false; stake.len()];
    for (validator, share) in stake.iter().enumerate().rev() {
        left -= share;
        lazy[validator] = left >= 0.0;
    }
    lazy
}
