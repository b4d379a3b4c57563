//! One Yuma epoch after another: weights and stake in; consensus, incentive, bonds and dividends out.

use super::bonds::{self, BondRule};
use super::matrix::Matrix;
use super::median::{self, Scratch};
use super::number::Number;

/// The parameters of a subnet that decide an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules<N> {
    /// κ: the share of stake that must support a weight for it to stand. On the chain 32767/65535.
    pub kappa: N,
    /// How far bonds follow the clipped instead of the set weights, 0 to 1. On the chain 1 unless the owner lowers it.
    pub bonds_penalty: N,
    /// How bonds grow and turn into dividends.
    pub bonds: BondRule<N>,
    /// How bonds are kept from epoch to epoch.
    pub storage: BondStorage,
}

/// How bonds are kept from one epoch to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BondStorage {
    /// Cut off to 16 bits, as the chain stores them.
    Shares,
    /// As they are.
    Exact,
}

impl<N: Number> Rules<N> {
    /// The rules of the original algorithm as a subnet starts with them: κ one half, full penalty, a tenth new bonds.
    pub fn original() -> Self {
        Self {
            kappa: N::ratio(32_767, 65_535),
            bonds_penalty: N::ONE,
            bonds: BondRule::Original { alpha: bonds::alpha_of_moving_average(900_000) },
            storage: BondStorage::Shares,
        }
    }

    /// The rules of Yuma 3 with liquid alpha off.
    pub fn yuma3() -> Self {
        let alpha = bonds::Alpha::Fixed(bonds::alpha_of_moving_average(975_000));
        Self { bonds_penalty: N::ZERO, bonds: BondRule::Yuma3 { alpha }, ..Self::original() }
    }
}

/// What an epoch decided. Vectors by miner are as long as the matrix is wide, those by validator as it is high.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<N> {
    /// By miner: the weight on which the majority agrees.
    pub consensus: Vec<N>,
    /// By miner: the share of the miners' emission. Sums to one, or all are zero.
    pub incentive: Vec<N>,
    /// By validator: the sum of its weights that stood after clipping.
    pub validator_trust: Vec<N>,
    /// By validator: the share of the validators' emission. Sums to one, or all are zero.
    pub dividends: Vec<N>,
}

/// A subnet that runs epochs: its bonds, the last decision, and the working memory, so that an epoch allocates nothing.
#[derive(Clone, Debug)]
pub struct Epochs<N> {
    rules: Rules<N>,
    bonds: Matrix<N>,
    decision: Decision<N>,
    weights: Matrix<N>,
    scratch: Matrix<N>,
    column_sums: Vec<N>,
    parts: Vec<N>,
    scratch_of_median: Scratch<N>,
}

impl<N: Number> Epochs<N> {
    /// A subnet of `validators` × `miners` without bonds.
    pub fn new(validators: usize, miners: usize, rules: Rules<N>) -> Self {
        let empty = Matrix::filled(validators, miners, N::ZERO);
        Self {
            rules,
            bonds: empty.clone(),
            decision: Decision {
                consensus: vec![N::ZERO; miners],
                incentive: vec![N::ZERO; miners],
                validator_trust: vec![N::ZERO; validators],
                dividends: vec![N::ZERO; validators],
            },
            weights: empty.clone(),
            scratch: empty,
            column_sums: vec![N::ZERO; miners],
            parts: vec![N::ZERO; miners],
            scratch_of_median: Scratch::default(),
        }
    }

    /// The bonds as they are kept. Of the original rule only their proportions within a column mean something (stored
    /// in 16 bits they count in 65535ths of the column's largest); of Yuma 3 each is 0 to 1.
    pub fn bonds(&self) -> &Matrix<N> {
        &self.bonds
    }

    /// The bonds in 65535ths, as the chain stores them.
    pub fn bond_shares(&self) -> Matrix<u16> {
        let mut shares = Matrix::filled(self.bonds.rows(), self.bonds.columns(), 0);
        let unit = match self.rules.storage {
            BondStorage::Shares => bonds::stored_unit(self.rules.bonds),
            BondStorage::Exact => 65_535,
        };
        for (share, bond) in shares.cells_mut().iter_mut().zip(self.bonds.cells()) {
            // What was stored is whole, but a fraction is held from below: a tenth of a unit brings it back.
            let units = (*bond + N::ratio(1, 10 * unit)).of(unit);
            *share = u16::try_from(units).unwrap_or(u16::MAX);
        }
        shares
    }

    /// The bonds, to reset the column of a miner that registered anew or to start from a known state.
    pub fn bonds_mut(&mut self) -> &mut Matrix<N> {
        &mut self.bonds
    }

    /// What the last epoch decided.
    pub fn decision(&self) -> &Decision<N> {
        &self.decision
    }

    /// The rules.
    pub fn rules(&self) -> &Rules<N> {
        &self.rules
    }

    /// The rules, to change between epochs.
    pub fn rules_mut(&mut self) -> &mut Rules<N> {
        &mut self.rules
    }

    /// Runs one epoch.
    ///
    /// `stake` is each validator's share of the active stake, `weights` what each set on each miner; rows need not sum
    /// to one. Both must have the sizes the subnet was made with.
    ///
    /// # Panics
    /// When a size differs.
    pub fn run(&mut self, stake: &[N], weights: &Matrix<N>) -> &Decision<N> {
        assert_eq!(stake.len(), self.weights.rows(), "one stake for every validator");
        assert_eq!((weights.rows(), weights.columns()), (self.weights.rows(), self.weights.columns()));
        self.take_weights(weights);
        let Self { rules, decision, weights, scratch_of_median, .. } = self;
        median::consensus(stake, weights, rules.kappa, scratch_of_median, &mut decision.consensus);
        self.rank(stake);
        self.weigh_bonds();
        match self.rules.bonds {
            BondRule::Original { alpha } => self.original_dividends(stake, alpha),
            BondRule::Yuma3 { alpha } => self.yuma3_dividends(stake, alpha),
        }
        if self.rules.storage == BondStorage::Shares {
            bonds::store_as_shares(&mut self.bonds, self.rules.bonds);
        }
        &self.decision
    }

    /// Brings every row to a sum of one.
    fn take_weights(&mut self, weights: &Matrix<N>) {
        for row in 0..weights.rows() {
            let source = weights.row(row);
            let sum = sum(source, source, |weight, _| weight);
            for (cell, weight) in self.weights.row_mut(row).iter_mut().zip(source) {
                *cell = weight.over(sum);
            }
        }
    }

    /// Clips at the consensus; a miner's rank is the stake-weighted sum of what remains.
    fn rank(&mut self, stake: &[N]) {
        let Decision { consensus, incentive, validator_trust, .. } = &mut self.decision;
        incentive.fill(N::ZERO);
        for (row, trust) in validator_trust.iter_mut().enumerate() {
            let (share, weights) = (stake[row], self.weights.row(row));
            *trust = sum(weights, consensus, |weight, limit| weight.min(limit));
            for ((weight, limit), rank) in weights.iter().zip(&*consensus).zip(&mut *incentive) {
                *rank = *rank + share * weight.min(*limit);
            }
        }
        normalize(incentive);
    }

    /// Moves the weights toward the clipped ones by the penalty. They are only used for bonds from here on.
    fn weigh_bonds(&mut self) {
        let penalty = self.rules.bonds_penalty;
        if penalty == N::ZERO {
            return;
        }
        for row in 0..self.weights.rows() {
            for (weight, limit) in self.weights.row_mut(row).iter_mut().zip(&self.decision.consensus) {
                let clipped = weight.min(*limit);
                *weight = if penalty == N::ONE { clipped } else { *weight + penalty * (clipped - *weight) };
            }
        }
    }

    /// Bonds follow each validator's stake-weighted share of every miner; dividends are bonds times incentive.
    fn original_dividends(&mut self, stake: &[N], alpha: N) {
        bonds::normalize_columns(&mut self.bonds, &mut self.column_sums);
        for (row, share) in stake.iter().enumerate() {
            for (cell, weight) in self.scratch.row_mut(row).iter_mut().zip(self.weights.row(row)) {
                *cell = *weight * *share;
            }
        }
        bonds::normalize_columns(&mut self.scratch, &mut self.column_sums);
        let kept = N::ONE - alpha;
        for (bond, bought) in self.bonds.cells_mut().iter_mut().zip(self.scratch.cells()) {
            *bond = alpha * *bought + kept * *bond;
        }
        bonds::normalize_columns(&mut self.bonds, &mut self.column_sums);
        for (row, dividend) in self.decision.dividends.iter_mut().enumerate() {
            *dividend = sum(self.bonds.row(row), &self.decision.incentive, |bond, part| bond * part);
        }
        normalize(&mut self.decision.dividends);
        bonds::upscale_columns(&mut self.bonds, &mut self.column_sums);
    }

    /// Bonds follow each validator's own weights, whatever its stake; stake counts once, in the dividends.
    fn yuma3_dividends(&mut self, stake: &[N], alpha: bonds::Alpha<N>) {
        bonds::follow_weights(&mut self.bonds, &self.weights, &self.decision.consensus, alpha);
        bonds::sum_columns(&self.bonds, &mut self.column_sums);
        let Decision { incentive, dividends, .. } = &mut self.decision;
        for ((row, dividend), share) in dividends.iter_mut().enumerate().zip(stake) {
            for ((part, bond), all) in self.parts.iter_mut().zip(self.bonds.row(row)).zip(&self.column_sums) {
                *part = bond.over(*all);
            }
            *dividend = sum(&self.parts, incentive, |part, incentive| part * incentive) * *share;
        }
        normalize(dividends);
    }
}

/// The sum of a term for each pair. Four sums side by side do not wait for each other.
fn sum<N: Number>(left: &[N], right: &[N], term: impl Fn(N, N) -> N) -> N {
    let mut lanes = [N::ZERO; 4];
    let (mut lefts, mut rights) = (left.chunks_exact(4), right.chunks_exact(4));
    for (left, right) in lefts.by_ref().zip(rights.by_ref()) {
        for (lane, (left, right)) in lanes.iter_mut().zip(left.iter().zip(right)) {
            *lane = *lane + term(*left, *right);
        }
    }
    for (left, right) in lefts.remainder().iter().zip(rights.remainder()) {
        lanes[0] = lanes[0] + term(*left, *right);
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

/// Brings a vector to a sum of one; one that sums to zero stays as it is.
pub(crate) fn normalize<N: Number>(values: &mut [N]) {
    let sum = values.iter().fold(N::ZERO, |sum, v| sum + *v);
    if sum == N::ZERO {
        return;
    }
    for value in values {
        *value = value.over(sum);
    }
}
