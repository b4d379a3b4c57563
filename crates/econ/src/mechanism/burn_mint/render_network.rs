//! Render as a way to pay for computing: buyers' spending is burned, nodes share a posted emission.

use serde::{Deserialize, Serialize};

use super::render;
use crate::mechanism::scenario::ranges::Ranges;
use crate::mechanism::{EpochInputs, EpochOutcome, Mechanism, Tokens};

/// Weekly job rewards of the whole network, in RENDER (RNP-022).
const JOB_POOL_RENDER: f64 = 15_000.0;

/// Weekly availability rewards of the whole network, in RENDER (RNP-022).
const AVAILABILITY_POOL_RENDER: f64 = 2_800.0;

/// Render, in a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// The price of RENDER at the beginning, in USD.
    pub token_usd: f64,
    /// RENDER and RNDR in existence at the beginning, in the whole network.
    pub issued_tokens: f64,
    /// The part of the network that the scenario's market is, 0 to 1.
    pub emission_share: f64,
    /// The month of the emission schedule in which the scenario begins; the first is 1 and was the one from 20 December 2023.
    pub start_month: u32,
    /// Whether nodes get their whole quarter of the emission. If not, they get the weekly pools of RNP-022 and what is
    /// above them is kept for later.
    pub whole_node_share: bool,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            token_usd: 2.0,
            issued_tokens: 545_000_000.0,
            emission_share: 0.5,
            start_month: 28,
            whole_node_share: false,
        }
    }
}

impl Configuration {
    /// Checks every number against its range.
    pub fn check(&self, ranges: &mut Ranges) {
        ranges.within("render.token_usd", self.token_usd, 1e-6, 1e9);
        ranges.within("render.issued_tokens", self.issued_tokens, 1.0, 644_245_094.0);
        ranges.within("render.emission_share", self.emission_share, 0.0, 1.0);
        ranges.within("render.start_month", f64::from(self.start_month), 1.0, 720.0);
    }
}

/// Render in motion.
#[derive(Clone, Debug)]
pub struct RenderNetwork {
    configuration: Configuration,
    supply_tokens: f64,
}

impl RenderNetwork {
    /// Render at the beginning.
    pub fn new(configuration: &Configuration) -> Self {
        let supply_tokens = configuration.issued_tokens * configuration.emission_share;
        Self { supply_tokens, configuration: configuration.clone() }
    }

    /// What an epoch mints of its month's emission, in RENDER.
    fn mint(&self, inputs: &EpochInputs) -> f64 {
        let c = &self.configuration;
        let month_days = 365.0 / 12.0;
        // A scenario is at most decades long: its months are far within 32 bits.
        let month = c.start_month + (inputs.day / month_days) as u32;
        render::monthly_emission_render(month) * inputs.days / month_days * c.emission_share
    }
}

impl Mechanism for RenderNetwork {
    fn name(&self) -> &'static str {
        "render"
    }

    fn rule(&self) -> &'static str {
        "95 % of spending is burned; nodes share a posted emission by work done and by being available"
    }

    fn supply_tokens(&self) -> Option<f64> {
        Some(self.supply_tokens)
    }

    fn epoch(&mut self, inputs: &EpochInputs) -> EpochOutcome {
        let price_usd = self.configuration.token_usd * inputs.token_index;
        let hours = (inputs.demand_usd / inputs.price_usd_per_gpu_hour).min(inputs.honest_hours());
        let revenue_usd = hours * inputs.price_usd_per_gpu_hour;
        let spent = render::spend(revenue_usd, price_usd);

        let minted = Tokens::at(self.mint(inputs), price_usd);
        let nodes_usd = minted.usd * render::emission_split().nodes;
        let pools = JOB_POOL_RENDER + AVAILABILITY_POOL_RENDER;
        let weekly_usd = pools * self.configuration.emission_share * inputs.days / 7.0 * price_usd;
        let shared_usd =
            if self.configuration.whole_node_share { nodes_usd } else { nodes_usd.min(weekly_usd) };
        let jobs_usd = if hours > 0.0 { shared_usd * JOB_POOL_RENDER / pools } else { 0.0 };

        // Availability goes by idle time: who works is not paid for being available.
        let idle_hours = inputs.honest_hours() - hours;
        let all_idle = idle_hours + inputs.pretending_hours();
        let available_usd = if all_idle > 0.0 { shared_usd * AVAILABILITY_POOL_RENDER / pools } else { 0.0 };
        let per_idle_hour = if all_idle > 0.0 { available_usd / all_idle } else { 0.0 };

        self.supply_tokens += minted.tokens - spent.burned_render;
        EpochOutcome {
            served_hours: hours,
            revenue_usd,
            minted,
            paid_served_usd: jobs_usd,
            paid_idle_usd: per_idle_hour * idle_hours,
            paid_pretending_usd: per_idle_hour * inputs.pretending_hours(),
            treasury_usd: minted.usd - jobs_usd - available_usd + spent.fee_usd,
            burned: Tokens::at(spent.burned_render, price_usd),
            ..EpochOutcome::default()
        }
    }
}
