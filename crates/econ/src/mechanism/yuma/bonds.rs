//! How bonds grow: the two rules, liquid alpha, and the way bonds are stored.
//!
//! A bond is a validator's early stake in a miner: it grows while the validator supports the miner and earns part of the
//! miner's incentive as dividend. Source: subtensor, `epoch/run_epoch.rs` and `epoch/math.rs`.

use super::matrix::Matrix;
use super::number::Number;

/// How bonds grow and turn into dividends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BondRule<N> {
    /// Original Yuma. ΔBᵢⱼ = sᵢwᵢⱼ / Σₖsₖwₖⱼ; Bᵢⱼ ← α·ΔBᵢⱼ + (1−α)·Bᵢⱼ, columns to one; Dᵢ = ΣⱼBᵢⱼIⱼ.
    Original {
        /// α: the part of the new bonds that each epoch takes over.
        alpha: N,
    },
    /// Yuma 3. Bᵢⱼ ← αᵢⱼ·wᵢⱼ + (1−αᵢⱼ)·Bᵢⱼ, each at most one; Dᵢ = sᵢ·Σⱼ(Bᵢⱼ/ΣₖBₖⱼ)·Iⱼ, brought to a sum of one.
    Yuma3 {
        /// α, one for all or one for each pair of validator and miner.
        alpha: Alpha<N>,
    },
}

/// The speed at which bonds of Yuma 3 follow weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Alpha<N> {
    /// The same for every pair.
    Fixed(N),
    /// Liquid alpha: between `low` and `high` by how far weight, consensus and bond are apart.
    ///
    /// d = wᵢⱼ − Cⱼ when the weight is at least the bond (buying), else Bᵢⱼ − wᵢⱼ (selling), held within 0 and 1;
    /// α = low + (high − low) / (1 + e^(−steepness·(d − ½))). Without any consensus `idle` applies.
    Liquid {
        /// The slowest.
        low: N,
        /// The fastest.
        high: N,
        /// How sharply it goes from slow to fast. The chain stores a hundredfold: 1000 is 10.
        steepness: N,
        /// What applies while no miner has consensus.
        idle: N,
    },
}

/// α from the chain's `bonds_moving_average`, the millionths of old bonds that are kept: 900000 gives a tenth.
pub fn alpha_of_moving_average<N: Number>(kept_ppm: u64) -> N {
    N::ONE - N::ratio(kept_ppm, 1_000_000)
}

impl<N: Number> Alpha<N> {
    /// Liquid alpha as the chain has it: bounds in 65535ths, steepness in hundredths.
    pub fn liquid(low_share: u16, high_share: u16, steepness_hundredths: u64, kept_ppm: u64) -> Self {
        Self::Liquid {
            low: N::ratio(u64::from(low_share), 65_535),
            high: N::ratio(u64::from(high_share), 65_535),
            steepness: N::ratio(steepness_hundredths, 100),
            idle: alpha_of_moving_average(kept_ppm),
        }
    }
}

/// Liquid alpha of one pair of validator and miner.
pub fn liquid_alpha<N: Number>(weight: N, bond: N, consensus: N, low: N, high: N, steepness: N) -> N {
    let gap = if weight >= bond { weight - consensus } else { bond - weight };
    let gap = gap.max(N::ZERO).min(N::ONE);
    let turned = (N::ZERO - steepness) * (gap - N::ratio(1, 2));
    let sigmoid = N::ONE.over(N::ONE + turned.exp());
    (low + sigmoid * (high - low)).max(low).min(high)
}

/// Moves bonds toward weights by the rule of Yuma 3.
pub(super) fn follow_weights<N: Number>(
    bonds: &mut Matrix<N>,
    weights: &Matrix<N>,
    consensus: &[N],
    alpha: Alpha<N>,
) {
    let fixed = match alpha {
        Alpha::Fixed(alpha) => Some(alpha),
        Alpha::Liquid { idle, .. } => consensus.iter().all(|c| *c == N::ZERO).then_some(idle),
    };
    for row in 0..bonds.rows() {
        let cells = bonds.row_mut(row).iter_mut().zip(weights.row(row));
        match (fixed, alpha) {
            (Some(alpha), _) | (None, Alpha::Fixed(alpha)) => {
                let kept = N::ONE - alpha;
                cells.for_each(|(bond, weight)| *bond = alpha * *weight + kept * *bond);
            }
            (None, Alpha::Liquid { low, high, steepness, .. }) => {
                for ((bond, weight), agreed) in cells.zip(consensus) {
                    let alpha = liquid_alpha(*weight, *bond, *agreed, low, high, steepness);
                    *bond = ((N::ONE - alpha) * *bond + alpha * *weight).min(N::ONE);
                }
            }
        }
    }
}

/// The sum of every column.
pub(super) fn sum_columns<N: Number>(matrix: &Matrix<N>, sums: &mut [N]) {
    sums.fill(N::ZERO);
    for row in 0..matrix.rows() {
        for (sum, cell) in sums.iter_mut().zip(matrix.row(row)) {
            *sum = *sum + *cell;
        }
    }
}

/// Brings every column to a sum of one; a column of zeros stays.
pub(super) fn normalize_columns<N: Number>(matrix: &mut Matrix<N>, sums: &mut [N]) {
    sum_columns(matrix, sums);
    divide_columns(matrix, sums);
}

/// Brings the largest of every column to one; a column of zeros stays.
pub(super) fn upscale_columns<N: Number>(matrix: &mut Matrix<N>, largest: &mut [N]) {
    largest.fill(N::ZERO);
    for row in 0..matrix.rows() {
        for (largest, cell) in largest.iter_mut().zip(matrix.row(row)) {
            *largest = largest.max(*cell);
        }
    }
    divide_columns(matrix, largest);
}

fn divide_columns<N: Number>(matrix: &mut Matrix<N>, divisors: &[N]) {
    for row in 0..matrix.rows() {
        for (cell, divisor) in matrix.row_mut(row).iter_mut().zip(divisors) {
            *cell = cell.over(*divisor);
        }
    }
}

/// Cuts bonds off to the 16 bits in which the chain stores them.
///
/// The chain reads original bonds back in 65535ths, since their columns are brought to one anyway, and bonds of Yuma 3
/// as fractions. To agree in the last bit, so do we.
pub(super) fn store_as_shares<N: Number>(bonds: &mut Matrix<N>, rule: BondRule<N>) {
    for cell in bonds.cells_mut() {
        *cell = N::ratio(u64::from(cell.to_share()), stored_unit(rule));
    }
}

/// What a stored bond of one reads back as, in 65535ths.
pub(super) fn stored_unit<N>(rule: BondRule<N>) -> u64 {
    match rule {
        BondRule::Original { .. } => 1,
        BondRule::Yuma3 { .. } => 65_535,
    }
}
