//! Akash as a way to pay for computing: spending is burned for dollar credits and minted again at settlement.

use serde::{Deserialize, Serialize};

use super::akash::{Direction, Parameters};
use super::decimal18::Decimal18;
use super::vault::{Outcome, Vault};
use crate::mechanism::scenario::ranges::Ranges;
use crate::mechanism::{Deception, EpochInputs, EpochOutcome, Mechanism, Tokens, serve};

/// Blocks of six seconds in a day.
const BLOCKS_PER_DAY: f64 = 14_400.0;

/// Akash, in a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// The price of AKT at the beginning, in USD.
    pub token_usd: f64,
    /// AKT in existence at the beginning, in the whole network.
    pub issued_tokens: f64,
    /// The part of the network that the scenario's market is, 0 to 1. It scales the supply for inflation, nothing else.
    pub emission_share: f64,
    /// AKT that the vault holds in reserve at the beginning.
    pub reserve_tokens: f64,
    /// For how many days of spending buyers hold credits.
    pub runway_days: f64,
    /// How likely a buyer takes one who only pretends, against an honest provider.
    pub pretender_chosen: f64,
    /// The part of a lease's pay that one who pretends gets before the buyer closes it.
    pub pretender_paid: f64,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            token_usd: 1.14,
            issued_tokens: 278_583_970.0,
            emission_share: 0.1,
            reserve_tokens: 100_000.0,
            runway_days: 7.0,
            pretender_chosen: 0.1,
            pretender_paid: 0.04,
        }
    }
}

impl Configuration {
    /// Checks every number against its range.
    pub fn check(&self, ranges: &mut Ranges) {
        ranges.within("akash.token_usd", self.token_usd, 1e-6, 1e6);
        ranges.within("akash.issued_tokens", self.issued_tokens, 1.0, 388_539_008.0);
        ranges.within("akash.emission_share", self.emission_share, 1e-6, 1.0);
        ranges.within("akash.reserve_tokens", self.reserve_tokens, 0.0, 388_539_008.0);
        ranges.within("akash.runway_days", self.runway_days, 0.0, 365.0);
        ranges.within("akash.pretender_chosen", self.pretender_chosen, 0.0, 1.0);
        ranges.within("akash.pretender_paid", self.pretender_paid, 0.0, 1.0);
    }
}

/// Akash in motion.
#[derive(Clone, Debug)]
pub struct AkashNetwork {
    configuration: Configuration,
    vault: Vault,
    height: u64,
    credits_uact: u128,
    supply_tokens: f64,
}

impl AkashNetwork {
    /// Akash at the beginning.
    pub fn new(configuration: &Configuration) -> Self {
        Self {
            vault: Vault::new(Parameters::default(), micro(configuration.reserve_tokens)),
            height: 0,
            credits_uact: 0,
            supply_tokens: configuration.issued_tokens * configuration.emission_share,
            configuration: configuration.clone(),
        }
    }

    /// Buys AKT for `usd` and burns it for credits; says what was burned, nothing while the breaker is open.
    fn top_up(&mut self, usd: f64, price_usd: f64, price: Decimal18) -> Tokens {
        let amount = micro(usd / price_usd);
        if amount == 0 || self.vault.request(Direction::TopUp, amount, Some(price)).is_err() {
            return Tokens::default();
        }
        self.height = self.vault.next_top_up_at().max(self.height + 1);
        for outcome in self.vault.end_block(self.height, Some(price)) {
            if let Outcome::Done { conversion, direction: Direction::TopUp, .. } = outcome {
                self.credits_uact += conversion.to_user();
                return Tokens::at(tokens(conversion.burned), price_usd);
            }
        }
        Tokens::default()
    }

    /// Burns credits and mints what providers are owed; says what is new and what was issued again.
    fn settle(&mut self, uact: u128, price_usd: f64, price: Decimal18) -> (Tokens, Tokens) {
        if uact == 0 || self.vault.request(Direction::Settle, uact, Some(price)).is_err() {
            return Default::default();
        }
        self.height = self.vault.next_settle_at().max(self.height + 1);
        for outcome in self.vault.end_block(self.height, Some(price)) {
            if let Outcome::Done { conversion, direction: Direction::Settle, newly_minted, .. } = outcome {
                self.credits_uact -= conversion.burned;
                let again = conversion.to_user() - newly_minted;
                return (Tokens::at(tokens(newly_minted), price_usd), Tokens::at(tokens(again), price_usd));
            }
        }
        Default::default()
    }
}

impl Mechanism for AkashNetwork {
    fn name(&self) -> &'static str {
        "akash"
    }

    fn rule(&self) -> &'static str {
        "spending burns tokens for dollar credits; settlement mints what a credit is then worth"
    }

    fn supply_tokens(&self) -> Option<f64> {
        Some(self.supply_tokens)
    }

    fn epoch(&mut self, inputs: &EpochInputs) -> EpochOutcome {
        let c = &self.configuration;
        let price_usd = c.token_usd * inputs.token_index;
        // Prices are positive and bounded by the scenario's ranges; past them there is no oracle price and nothing flows.
        let price = Decimal18::from_f64(price_usd).unwrap_or(Decimal18::ZERO);
        let served = serve(inputs, Deception { chosen: c.pretender_chosen, paid: c.pretender_paid }, 1.0);
        let due_usd = served.revenue_usd + served.lost_usd;
        let runway_usd = due_usd / inputs.days * c.runway_days;

        self.height = self.height.max((inputs.day * BLOCKS_PER_DAY) as u64);
        self.vault.end_block(self.height, Some(price));
        let wanted_usd = (due_usd + runway_usd - tokens(self.credits_uact)).max(0.0);
        let burned = self.top_up(wanted_usd, price_usd, price);
        let from_credits_usd = due_usd.min(tokens(self.credits_uact));
        let (minted, reissued) = self.settle(micro(from_credits_usd), price_usd, price);

        // What credits do not cover, the breaker being open, buyers pay directly in AKT bought for it.
        let settled_usd = minted.usd + reissued.usd;
        let direct_usd = (due_usd - from_credits_usd).max(0.0);
        let paid_usd = settled_usd + direct_usd;
        let part = |usd: f64| if due_usd > 0.0 { paid_usd * usd / due_usd } else { 0.0 };
        self.supply_tokens += minted.tokens + reissued.tokens - burned.tokens;
        EpochOutcome {
            served_hours: served.hours,
            revenue_usd: burned.usd + direct_usd,
            minted,
            reissued,
            paid_served_usd: part(served.revenue_usd),
            paid_pretending_usd: part(served.lost_usd),
            burned,
            ..EpochOutcome::default()
        }
    }
}

fn micro(amount: f64) -> u128 {
    // A float turns into an integer by cutting off; amounts are positive and far below 2^128.
    (amount * 1e6) as u128
}

fn tokens(micro: u128) -> f64 {
    micro as f64 / 1e6
}
