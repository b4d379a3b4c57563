//! The variants of Yuma that were compared before Yuma 3 was chosen, as the public simulation states them.
//!
//! They differ from the chain in small ways that matter to conformance: a millionth stands in every divisor, consensus
//! is brought to a sum of one and cut off to 65535ths before it clips, and bonds stay floats.
//! Source: bactensor/yuma-simulation, `_internal/yumas.py`; names are theirs.

use serde::{Deserialize, Serialize};

use super::bonds::liquid_alpha;
use super::matrix::Matrix;
use super::median;

/// The millionth that keeps divisors from zero.
const NEARLY_ZERO: f64 = 1e-6;

/// Which algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Variant {
    /// The chain's code of the time: without liquid alpha, bonds forget the past at once.
    #[serde(rename = "Yuma 1")]
    Yuma1,
    /// The original paper's bonds: an average over epochs of stake-weighted shares.
    #[serde(rename = "Yuma 2 (subtensor)")]
    Yuma2,
    /// As Yuma 2, but the weights of the epoch before are clipped at the consensus of now.
    #[serde(rename = "Yuma 2B (Adrian-Fish)")]
    Yuma2b,
    /// Bonds are bought out of a capacity that grows with stake, and decay.
    #[serde(rename = "Yuma 2C (Rhef+reset)")]
    Yuma2c,
    /// Bonds on a scale of their own, 0 to 1 for each pair; stake counts in the dividends only.
    #[serde(rename = "Yuma 3 (Rhef+relative bonds)")]
    Yuma3,
    /// Yuma 3 with liquid alpha.
    #[serde(rename = "Yuma 3 (Rhef+relative bonds) - liquid alpha on")]
    Yuma3Liquid,
}

/// The simulation's parameters, with its names.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameters {
    /// κ.
    pub kappa: f64,
    /// How far bonds follow clipped weights, 0 to 1.
    pub bond_penalty: f64,
    /// The part of old bonds that an epoch keeps.
    pub bond_moving_avg: f64,
    /// Whether alpha is liquid.
    pub liquid_alpha: bool,
    /// Slowest liquid alpha.
    pub alpha_low: f64,
    /// Fastest liquid alpha.
    pub alpha_high: f64,
    /// Steepness of liquid alpha.
    pub alpha_sigmoid_steepness: f64,
    /// Yuma 2C: the part of bonds lost per epoch.
    pub decay_rate: f64,
    /// Yuma 2C: the part of its capacity that a validator may buy per epoch.
    pub capacity_alpha: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            kappa: 0.5,
            bond_penalty: 0.0,
            bond_moving_avg: 0.1,
            liquid_alpha: false,
            alpha_low: 0.1,
            alpha_high: 0.3,
            alpha_sigmoid_steepness: 10.0,
            decay_rate: 0.1,
            capacity_alpha: 0.1,
        }
    }
}

/// What an epoch decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Result {
    /// By miner: the agreed weight, brought to a sum of one and cut off.
    pub consensus: Vec<f64>,
    /// By miner: the share of the miners' emission.
    pub incentive: Vec<f64>,
    /// By validator: the share of the validators' emission.
    pub dividends: Vec<f64>,
}

/// A run of epochs under one variant.
#[derive(Clone, Debug)]
pub struct Study {
    variant: Variant,
    parameters: Parameters,
    bonds: Option<Matrix<f64>>,
    weights_before: Option<Matrix<f64>>,
}

impl Study {
    /// A run that has not begun.
    pub fn new(variant: Variant, parameters: Parameters) -> Self {
        Self { variant, parameters, bonds: None, weights_before: None }
    }

    /// The bonds after the last epoch.
    pub fn bonds(&self) -> Option<&Matrix<f64>> {
        self.bonds.as_ref()
    }

    /// Forgets the bonds on one miner. The variants before 2C do not know resets and keep theirs.
    pub fn reset_bonds_on(&mut self, miner: usize) {
        let knows_resets = match self.variant {
            Variant::Yuma1 | Variant::Yuma2 | Variant::Yuma2b => false,
            Variant::Yuma2c | Variant::Yuma3 | Variant::Yuma3Liquid => true,
        };
        if let (true, Some(bonds)) = (knows_resets, &mut self.bonds) {
            bonds.fill_column(miner, 0.0);
        }
    }

    /// Runs one epoch: `stake` by validator, `weights` one row a validator.
    pub fn epoch(&mut self, stake: &[f64], weights: &Matrix<f64>) -> Result {
        let total: f64 = stake.iter().sum();
        let stake: Vec<f64> = stake.iter().map(|s| s / total).collect();
        let weights = rows_to_one(weights);
        let consensus = consensus(&stake, &weights, self.parameters.kappa);
        let before = match self.variant {
            Variant::Yuma2b => self.weights_before.take().unwrap_or_else(|| weights.clone()),
            _ => weights.clone(),
        };
        let clipped = map(&before, |_, miner, weight| weight.min(consensus[miner]));
        let incentive = ranks_to_one(&stake, &clipped);
        let bought = interpolate(&before, &clipped, self.parameters.bond_penalty);
        let alpha = self.alpha(&weights, &consensus);
        let dividends = match self.variant {
            Variant::Yuma1 | Variant::Yuma2 | Variant::Yuma2b => {
                self.averaged(&stake, &bought, &alpha, &incentive)
            }
            Variant::Yuma2c => self.bought_from_capacity(&stake, &weights, &incentive),
            Variant::Yuma3 | Variant::Yuma3Liquid => self.relative(&stake, &weights, &alpha, &incentive),
        };
        self.weights_before = Some(weights);
        Result { consensus, incentive, dividends }
    }

    /// Alpha for every pair. Liquid alpha starts in the second epoch, when there are bonds to compare with.
    fn alpha(&self, weights: &Matrix<f64>, consensus: &[f64]) -> Matrix<f64> {
        let p = &self.parameters;
        let liquid = p.liquid_alpha || self.variant == Variant::Yuma3Liquid;
        match &self.bonds {
            Some(bonds) if liquid => map(weights, |row, miner, weight| {
                let (low, high) = (p.alpha_low, p.alpha_high);
                let bond = bonds.at(row, miner);
                liquid_alpha(weight, bond, consensus[miner], low, high, p.alpha_sigmoid_steepness)
            }),
            _ => {
                let fixed = if self.variant == Variant::Yuma1 { 1.0 } else { 1.0 - p.bond_moving_avg };
                Matrix::filled(weights.rows(), weights.columns(), fixed)
            }
        }
    }

    /// Yuma 1, 2 and 2B: an average over epochs of each validator's stake-weighted share of a miner.
    fn averaged(
        &mut self,
        s: &[f64],
        bought: &Matrix<f64>,
        alpha: &Matrix<f64>,
        incentive: &[f64],
    ) -> Vec<f64> {
        let slack = if self.variant == Variant::Yuma1 { NEARLY_ZERO } else { 0.0 };
        let mut delta = map(bought, |row, _, weight| s[row] * weight);
        columns_to_one(&mut delta, slack);
        let mut bonds = match &self.bonds {
            Some(old) => map(&delta, |row, miner, new| {
                let alpha = alpha.at(row, miner);
                alpha * new + (1.0 - alpha) * old.at(row, miner)
            }),
            None => delta,
        };
        if self.variant == Variant::Yuma1 {
            columns_to_one(&mut bonds, slack);
        }
        let dividends = weigh(&bonds, incentive);
        self.bonds = Some(bonds);
        nearly_to_one(dividends)
    }

    /// Yuma 2C: purchases out of a capacity that stake gives, on the scale of 64-bit integers, and decay.
    fn bought_from_capacity(&mut self, stake: &[f64], weights: &Matrix<f64>, incentive: &[f64]) -> Vec<f64> {
        let p = self.parameters;
        let scale = u64::MAX as f64;
        let old = self.bonds.take().unwrap_or_else(|| Matrix::filled(weights.rows(), weights.columns(), 0.0));
        let bonds = map(&old, |row, miner, bond| {
            let capacity = stake[row] * scale;
            let purchase =
                (p.capacity_alpha * capacity).min((capacity - bond).max(0.0)) * weights.at(row, miner);
            ((1.0 - p.decay_rate) * bond + purchase).min(capacity)
        });
        let mut shares = bonds.clone();
        columns_to_one(&mut shares, NEARLY_ZERO);
        self.bonds = Some(bonds);
        nearly_to_one(weigh(&shares, incentive))
    }

    /// Yuma 3: each bond follows the weight on its own; stake counts once.
    fn relative(
        &mut self,
        stake: &[f64],
        weights: &Matrix<f64>,
        alpha: &Matrix<f64>,
        part: &[f64],
    ) -> Vec<f64> {
        let old = self.bonds.take().unwrap_or_else(|| Matrix::filled(weights.rows(), weights.columns(), 0.0));
        let bonds = map(&old, |row, miner, bond| {
            let alpha = alpha.at(row, miner);
            let kept = bond * (1.0 - alpha);
            (kept + (alpha * weights.at(row, miner)).min((1.0 - kept).max(0.0))).min(1.0)
        });
        let mut shares = bonds.clone();
        columns_to_one(&mut shares, NEARLY_ZERO);
        self.bonds = Some(bonds);
        let earned = weigh(&shares, part);
        nearly_to_one(earned.iter().zip(stake).map(|(earned, stake)| earned * stake).collect())
    }
}

fn map(matrix: &Matrix<f64>, f: impl Fn(usize, usize, f64) -> f64) -> Matrix<f64> {
    let mut out = matrix.clone();
    for row in 0..matrix.rows() {
        for (column, cell) in out.row_mut(row).iter_mut().enumerate() {
            *cell = f(row, column, *cell);
        }
    }
    out
}

fn rows_to_one(weights: &Matrix<f64>) -> Matrix<f64> {
    let sums: Vec<f64> =
        (0..weights.rows()).map(|row| weights.row(row).iter().sum::<f64>() + NEARLY_ZERO).collect();
    map(weights, |row, _, weight| weight / sums[row])
}

fn consensus(stake: &[f64], weights: &Matrix<f64>, kappa: f64) -> Vec<f64> {
    let mut agreed = vec![0.0; weights.columns()];
    median::consensus(stake, weights, kappa, &mut median::Scratch::default(), &mut agreed);
    let sum: f64 = agreed.iter().sum();
    agreed.iter().map(|c| if sum > 0.0 { (c / sum * 65_535.0).trunc() / 65_535.0 } else { 0.0 }).collect()
}

fn ranks_to_one(stake: &[f64], clipped: &Matrix<f64>) -> Vec<f64> {
    let mut ranks = vec![0.0; clipped.columns()];
    for (row, share) in stake.iter().enumerate() {
        ranks.iter_mut().zip(clipped.row(row)).for_each(|(rank, weight)| *rank += share * weight);
    }
    super::epoch::normalize(&mut ranks);
    ranks
}

fn interpolate(set: &Matrix<f64>, clipped: &Matrix<f64>, penalty: f64) -> Matrix<f64> {
    map(set, |row, miner, weight| (1.0 - penalty) * weight + penalty * clipped.at(row, miner))
}

fn columns_to_one(matrix: &mut Matrix<f64>, slack: f64) {
    let mut sums = vec![0.0; matrix.columns()];
    super::bonds::sum_columns(matrix, &mut sums);
    for row in 0..matrix.rows() {
        for (cell, sum) in matrix.row_mut(row).iter_mut().zip(&sums) {
            *cell = if sum + slack == 0.0 { 0.0 } else { *cell / (sum + slack) };
        }
    }
}

/// Σⱼ Bᵢⱼ·Iⱼ for every validator.
fn weigh(bonds: &Matrix<f64>, incentive: &[f64]) -> Vec<f64> {
    (0..bonds.rows()).map(|row| bonds.row(row).iter().zip(incentive).map(|(b, i)| b * i).sum()).collect()
}

fn nearly_to_one(values: Vec<f64>) -> Vec<f64> {
    let sum = values.iter().sum::<f64>() + NEARLY_ZERO;
    values.into_iter().map(|v| v / sum).collect()
}
