//! Render's burn-mint equilibrium: what buyers pay is burned, what nodes get is minted by a schedule of its own.
//!
//! | rule | figure | source |
//! |---|---|---|
//! | burn | 95 % of what is spent; 5 % is the network's fee | RNP-006, RNP-019 |
//! | emission, first year | 760,567 RENDER a month, half of it the Foundation's | RNP-001, RNP-003, RNP-006 |
//! | emission, second and third year | 492,132 a month; a quarter nodes, a quarter grants, half operations | RNP-018, RNP-022, RNP-023 |
//! | job reward | `base · multiplier · hours / 168` a week; base 10, later 25 RENDER | RNP-019, RNP-021 |
//! | availability reward | 2 RENDER a week × uptime for a compute node; a weighted share of a pool for a render node | RNP-019, RNP-015 |
//! | Salad | burns 60 % (containers) or 35 % (bandwidth), rewards four points less | RNP-023 |
//!
//! The emission does not depend on what was burned: that would defeat the equilibrium (RNP-001).

/// What existed before the first emission, in RENDER. Emissions are given as parts of it.
pub const SUPPLY_BEFORE_RENDER: f64 = 536_870_912.0;

/// All that the schedule emits, a fifth of the supply before, in RENDER (RNP-001).
pub const EMISSION_CAP_RENDER: f64 = 107_374_182.0;

/// The part of buyers' spending that is burned.
pub const BURNED: f64 = 0.95;

/// Hours of a weekly epoch.
pub const EPOCH_HOURS: f64 = 168.0;

/// The job reward of a week on an RTX 4090, in RENDER (RNP-019).
pub const JOB_BASE_RENDER: f64 = 10.0;

/// The same from the expansion to enterprise hardware on (RNP-021).
pub const JOB_BASE_ENTERPRISE_RENDER: f64 = 25.0;

/// What an available compute node gets a week, in RENDER (RNP-019).
pub const AVAILABILITY_RENDER: f64 = 2.0;

/// By how much a growth year's emission shrinks against the year before (RNP-001).
const GROWTH_DAMPING: f64 = 0.945;

/// The emission of a year (the first is 1) in RENDER, before the cap.
///
/// Published are 1.7 % of the supply for year 1 (760,567 a month), 1.1 % for years 2 and 3 (492,132 a month), damping by
/// 0.945 in the growth years after year 5, a cap of 20 %, and that it is reached in year 60. The years between are not
/// in the proposals' text; 1.1 % through year 5 and 0.8 % in year 6 are the round figures that meet all of these.
pub fn yearly_emission_render(year: u32) -> f64 {
    let part = match year {
        0 => 0.0,
        1 => 0.017,
        2..=5 => 0.011,
        _ => 0.008 * GROWTH_DAMPING.powi(i32::try_from(year - 6).unwrap_or(i32::MAX)),
    };
    SUPPLY_BEFORE_RENDER * part
}

/// The emission of a month (the first is 1) in whole RENDER: a twelfth of its year, as far as the cap allows.
pub fn monthly_emission_render(month: u32) -> f64 {
    if month == 0 {
        return 0.0;
    }
    let before = emitted_render(month - 1);
    twelfth(month).min((EMISSION_CAP_RENDER - before).max(0.0))
}

/// All that was emitted through a month (the first is 1), in RENDER.
pub fn emitted_render(month: u32) -> f64 {
    let full_years = month / 12;
    let years: f64 = (1..=full_years).map(|year| 12.0 * twelfth(year * 12)).sum();
    let rest = if month.is_multiple_of(12) { 0.0 } else { f64::from(month % 12) * twelfth(month) };
    (years + rest).min(EMISSION_CAP_RENDER)
}

fn twelfth(month: u32) -> f64 {
    (yearly_emission_render(month.div_ceil(12)) / 12.0).round()
}

/// Who gets a month's emission, as parts of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmissionSplit {
    /// The Foundation, for operations and growth.
    pub foundation: f64,
    /// Nodes, for jobs and availability.
    pub nodes: f64,
    /// Artists and grants; in the first year liquidity, too.
    pub grants: f64,
}

/// The split of a year (the first is 1): half to the Foundation, the rest between nodes and grants (RNP-003, -018, -022).
pub fn emission_split() -> EmissionSplit {
    EmissionSplit { foundation: 0.5, nodes: 0.25, grants: 0.25 }
}

/// What becomes of a buyer's spending.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spending {
    /// Bought and burned, in RENDER.
    pub burned_render: f64,
    /// The network's fee, in USD.
    pub fee_usd: f64,
}

/// Burns 95 % of `spend_usd` at a price of `render_usd`; the rest is the fee.
pub fn spend(spend_usd: f64, render_usd: f64) -> Spending {
    Spending { burned_render: spend_usd * BURNED / render_usd, fee_usd: spend_usd * (1.0 - BURNED) }
}

/// One of Salad's products, with its parts of revenue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SaladProduct {
    /// Burned when the customer pays, as a part of one.
    pub burned: f64,
    /// Paid to those who did the work, as a part of one.
    pub rewarded: f64,
}

impl SaladProduct {
    /// Containers: 60 % burned, 56 % rewarded.
    pub const CONTAINERS: Self = Self { burned: 0.60, rewarded: 0.56 };
    /// Bandwidth: 35 % burned, 31 % rewarded.
    pub const BANDWIDTH: Self = Self { burned: 0.35, rewarded: 0.31 };

    /// What `spend_usd` burns, at the price of the day it is paid, in RENDER.
    pub fn burned_render(&self, spend_usd: f64, render_usd: f64) -> f64 {
        spend_usd * self.burned / render_usd
    }

    /// What it rewards, at the price of the day of the work, in RENDER.
    pub fn rewarded_render(&self, spend_usd: f64, render_usd: f64) -> f64 {
        spend_usd * self.rewarded / render_usd
    }
}

/// The reward for `hours` of work in a weekly epoch, in RENDER.
pub fn job_reward_render(base_render: f64, multiplier: f64, hours: f64) -> f64 {
    base_render * multiplier * hours / EPOCH_HOURS
}

/// The availability reward of a compute node for a weekly epoch, in RENDER. `uptime` is 0 to 1.
pub fn availability_reward_render(uptime: f64) -> f64 {
    AVAILABILITY_RENDER * uptime
}

/// What a node is, each against the baseline of an RTX 4090 with 24 GB and 400/300 Mbps (RNP-019, appendix 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Specification {
    /// GPU cores: 1.7 for an RTX 5090, 0.5 for an RTX 3060.
    pub gpu: f64,
    /// Video memory over 24 GB.
    pub vram: f64,
    /// Line speed over 400/300 Mbps, at most 4.
    pub network: f64,
    /// Clock speed over 2.2/2.5 GHz.
    pub clock: f64,
    /// Memory bandwidth over 1410.
    pub memory_bandwidth: f64,
    /// CPU over 8 cores at 3 GHz.
    pub cpu: f64,
}

impl Specification {
    /// The compound multiplier. The published weights sum to 0.97, so the baseline itself has 0.97.
    pub fn multiplier(&self) -> f64 {
        0.36 * self.gpu
            + 0.26 * self.vram
            + 0.15 * self.network
            + 0.08 * self.clock
            + 0.08 * self.memory_bandwidth
            + 0.04 * self.cpu
    }
}

/// A render node that shares the pool of availability rewards (RNP-015).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AvailableNode {
    /// The part of the epoch that it was idle and online, 0 to 1.
    pub idle: f64,
    /// Its OctaneBench score, above 1.
    pub octane_bench: f64,
    /// Its video memory in GB, above 1.
    pub vram_gb: f64,
    /// Its age in epochs, above 1.
    pub age_epochs: f64,
    /// How many nodes its wallet has, itself included.
    pub nodes_of_wallet: u32,
}

/// How rewards decay once a wallet has more than three nodes: `e^(−0.65·(n−3))`.
pub fn many_nodes_penalty(nodes_of_wallet: u32) -> f64 {
    if nodes_of_wallet <= 3 { 1.0 } else { (-0.65 * f64::from(nodes_of_wallet - 3)).exp() }
}

/// Shares `pool_render` among nodes by idle time, benchmark, memory and age; logarithms are against the average node's.
pub fn share_availability_pool(nodes: &[AvailableNode], pool_render: f64) -> Vec<f64> {
    let average = |of: fn(&AvailableNode) -> f64| nodes.iter().map(of).sum::<f64>() / nodes.len() as f64;
    let (bench, vram, age) = (average(|n| n.octane_bench), average(|n| n.vram_gb), average(|n| n.age_epochs));
    let points: Vec<f64> = nodes
        .iter()
        .map(|n| {
            let merit = 3.0 * n.octane_bench.ln() / bench.ln()
                + 3.0 * n.vram_gb.ln() / vram.ln()
                + n.age_epochs.ln() / age.ln();
            n.idle * merit * many_nodes_penalty(n.nodes_of_wallet)
        })
        .collect();
    share_by_points(&points, pool_render)
}

/// A node of a compute client in its monthly pool (RNP-006): each factor is a score of 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClientNode {
    /// What it earned against the best node, brought to 0.1 to 1.
    pub work: f64,
    /// Its bandwidth band: 0.2, 0.4, 0.6 or 0.8.
    pub bandwidth: f64,
    /// Its GPU model, 0.5 to 1.
    pub gpu: f64,
    /// The part of the epoch that it was up.
    pub uptime: f64,
}

/// The most that a pool of a compute client pays for each of its nodes, in RENDER (RNP-006).
pub const CLIENT_POOL_PER_NODE_RENDER: f64 = 75.0;

/// Shares a compute client's pool: a quarter by work, 35 % by bandwidth, a fifth each by GPU and uptime.
pub fn share_client_pool(nodes: &[ClientNode], pool_render: f64) -> Vec<f64> {
    let pool = pool_render.min(CLIENT_POOL_PER_NODE_RENDER * nodes.len() as f64);
    let points: Vec<f64> =
        nodes.iter().map(|n| 0.25 * n.work + 0.35 * n.bandwidth + 0.2 * n.gpu + 0.2 * n.uptime).collect();
    share_by_points(&points, pool)
}

/// Points that an upgraded token gets: fewer, the more were upgraded before it (RNP-006).
pub fn upgrade_points(upgraded_before: u64) -> u32 {
    match upgraded_before {
        0..40_000_000 => 5,
        40_000_000..80_000_000 => 4,
        80_000_000..140_000_000 => 3,
        140_000_000..180_000_000 => 2,
        180_000_000..230_000_000 => 1,
        _ => 0,
    }
}

/// The points of all tokens upgraded so far.
pub fn upgrade_points_total(upgraded: u64) -> u64 {
    let bounds = [0, 40_000_000, 80_000_000, 140_000_000, 180_000_000, 230_000_000];
    let tier = |pair: &[u64]| {
        upgraded.clamp(pair[0], pair[1]).saturating_sub(pair[0]) * u64::from(upgrade_points(pair[0]))
    };
    bounds.windows(2).map(tier).sum()
}

/// The share of a monthly pool that a holder of `held` tokens, upgraded at `points` each, gets.
pub fn upgrade_reward_render(held: u64, points: u32, upgraded: u64, pool_render: f64) -> f64 {
    match upgrade_points_total(upgraded) {
        0 => 0.0,
        total => (held * u64::from(points)) as f64 / total as f64 * pool_render,
    }
}

fn share_by_points(points: &[f64], pool: f64) -> Vec<f64> {
    let total: f64 = points.iter().sum();
    points.iter().map(|p| if total > 0.0 { pool * p / total } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_months_have_the_published_emission() {
        assert_eq!(monthly_emission_render(1), 760_567.0);
        assert_eq!(monthly_emission_render(12), 760_567.0);
        assert_eq!(emitted_render(12), 9_126_804.0);
        assert_eq!(monthly_emission_render(13), 492_132.0);
        assert_eq!(monthly_emission_render(36), 492_132.0);
    }

    #[test]
    fn the_cap_is_reached_at_the_turn_from_year_60_to_61_and_holds() {
        let short_of_cap = EMISSION_CAP_RENDER - emitted_render(60 * 12);
        assert!(
            (0.0..yearly_emission_render(60)).contains(&short_of_cap),
            "{short_of_cap} left after year 60"
        );
        assert!(emitted_render(62 * 12) == EMISSION_CAP_RENDER);
        assert_eq!(monthly_emission_render(62 * 12), 0.0);
        let all: f64 = (1..=62 * 12).map(monthly_emission_render).sum();
        assert!((all - EMISSION_CAP_RENDER).abs() < 1.0);
    }

    #[test]
    fn the_published_setups_have_the_published_multipliers() {
        let baseline =
            Specification { gpu: 1.0, vram: 1.0, network: 1.0, clock: 1.0, memory_bandwidth: 1.0, cpu: 1.0 };
        let upgraded = Specification {
            gpu: 1.7,
            vram: 1.33,
            network: 4.0,
            clock: 1.12,
            memory_bandwidth: 1.28,
            cpu: 1.5,
        };
        let lower = Specification { network: 0.25, clock: 0.68, memory_bandwidth: 0.66, ..baseline };
        assert!((baseline.multiplier() - 0.97).abs() < 1e-12);
        assert!((upgraded.multiplier() - 1.8098).abs() < 1e-12);
        assert!((lower.multiplier() - 0.8047).abs() < 1e-12);
        assert!((job_reward_render(JOB_BASE_ENTERPRISE_RENDER, 5.0, 100.0) - 74.40).abs() < 0.01);
    }

    #[test]
    fn many_nodes_of_one_wallet_earn_less_each() {
        assert_eq!(many_nodes_penalty(3), 1.0);
        assert!((many_nodes_penalty(5) - (-1.3f64).exp()).abs() < 1e-12);
        let node = AvailableNode {
            idle: 1.0,
            octane_bench: 400.0,
            vram_gb: 24.0,
            age_epochs: 10.0,
            nodes_of_wallet: 1,
        };
        let shares = share_availability_pool(&[node, AvailableNode { nodes_of_wallet: 10, ..node }], 100.0);
        assert!(shares[0] > 90.0 && (shares.iter().sum::<f64>() - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_clients_pool_is_limited_by_its_nodes() {
        let node = ClientNode { work: 1.0, bandwidth: 0.8, gpu: 1.0, uptime: 1.0 };
        let shares = share_client_pool(&[node; 4], 100_000.0);
        assert_eq!(shares, [75.0; 4]);
    }
}
