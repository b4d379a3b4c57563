//! A subnet as the chain keeps it: neurons with stake and permits, weights in 16 bits, and an emission in rao.
//!
//! Around the epoch itself the chain decides who takes part: inactive validators lose their say, weights without a
//! permit, on oneself, or on a miner that registered since do not count, and bonds on a newcomer are forgotten.

use super::epoch::{Decision, Epochs, Rules, normalize};
use super::matrix::Matrix;
use super::number::{Fixed32, Number};

/// One registered key, validator or miner or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neuron {
    /// Its stake, in any unit.
    pub stake: u64,
    /// Whether it may set weights.
    pub permitted: bool,
    /// The block in which it last set weights.
    pub last_update: u64,
    /// The block in which it registered.
    pub registered_at: u64,
}

/// A subnet between epochs. The arithmetic is the chain's.
#[derive(Clone, Debug)]
pub struct Subnet {
    /// The neurons, by uid.
    pub neurons: Vec<Neuron>,
    /// What each neuron set on each other, in 65535ths of its largest.
    pub weights: Matrix<u16>,
    /// The uid of the owner, who keeps a permit and may weigh itself.
    pub owner: Option<usize>,
    /// How many of the largest holders get a permit for the next epoch.
    pub max_validators: usize,
    /// How many blocks without new weights make a validator inactive.
    pub activity_cutoff_blocks: u64,
    /// The stake under which a validator has no say, the owner excepted.
    pub min_stake: u64,
    /// The block of the epoch before; bonds on neurons that registered after it are forgotten.
    pub last_epoch_at: Option<u64>,
    epochs: Epochs<Fixed32>,
}

/// What an epoch of a subnet paid and decided, by uid.
#[derive(Clone, Debug, PartialEq)]
pub struct Payout {
    /// Paid for mining, in rao.
    pub server_emission_rao: Vec<u64>,
    /// Paid for validating, in rao.
    pub validator_emission_rao: Vec<u64>,
    /// Both together, cut off once, in rao.
    pub emission_rao: Vec<u64>,
    /// Incentive in 65535ths.
    pub incentive: Vec<u16>,
    /// Dividends in 65535ths.
    pub dividends: Vec<u16>,
    /// Consensus in 65535ths.
    pub consensus: Vec<u16>,
}

impl Subnet {
    /// A subnet of these neurons without weights and bonds.
    pub fn new(neurons: Vec<Neuron>, rules: Rules<Fixed32>) -> Self {
        let n = neurons.len();
        Self {
            weights: Matrix::filled(n, n, 0),
            owner: None,
            max_validators: n,
            activity_cutoff_blocks: 5_000,
            min_stake: 0,
            last_epoch_at: None,
            epochs: Epochs::new(n, n, rules),
            neurons,
        }
    }

    /// The bonds in 65535ths.
    pub fn bonds(&self) -> Matrix<u16> {
        self.epochs.bond_shares()
    }

    /// Forgets all bonds on one neuron, as its owner may ask for.
    pub fn reset_bonds_on(&mut self, uid: usize) {
        self.epochs.bonds_mut().fill_column(uid, Fixed32::ZERO);
    }

    /// The rules, to change between epochs.
    pub fn rules_mut(&mut self) -> &mut Rules<Fixed32> {
        self.epochs.rules_mut()
    }

    /// Runs the epoch of `block` and pays out `emission_rao`.
    pub fn epoch(&mut self, block: u64, emission_rao: u64) -> Payout {
        let stake = self.stake_shares();
        let active = self.active_stake(&stake, block);
        let weights = self.counted_weights();
        self.forget_newcomers();
        let decision = self.epochs.run(&active, &weights).clone();
        let payout = pay(&decision, &stake, &active, emission_rao);
        self.renew_permits(&stake);
        self.last_epoch_at = Some(block);
        payout
    }

    fn is_owner(&self, uid: usize) -> bool {
        self.owner == Some(uid)
    }

    fn stake_shares(&self) -> Vec<Fixed32> {
        let counted: Vec<u64> = (self.neurons.iter().enumerate())
            .map(|(uid, n)| if n.stake < self.min_stake && !self.is_owner(uid) { 0 } else { n.stake })
            .collect();
        let total = counted.iter().fold(0u64, |sum, stake| sum.saturating_add(*stake));
        counted.iter().map(|stake| Fixed32::ratio(*stake, total)).collect()
    }

    fn may_validate(&self, uid: usize) -> bool {
        self.neurons[uid].permitted || self.is_owner(uid)
    }

    fn active_stake(&self, stake: &[Fixed32], block: u64) -> Vec<Fixed32> {
        let mut active: Vec<Fixed32> = (stake.iter().enumerate())
            .map(|(uid, share)| {
                let until = self.neurons[uid].last_update.saturating_add(self.activity_cutoff_blocks);
                if until < block || !self.may_validate(uid) { Fixed32::ZERO } else { *share }
            })
            .collect();
        normalize(&mut active);
        active
    }

    fn counted_weights(&self) -> Matrix<Fixed32> {
        let n = self.neurons.len();
        let mut counted = Matrix::filled(n, n, Fixed32::ZERO);
        for (uid, neuron) in self.neurons.iter().enumerate().filter(|(uid, _)| self.may_validate(*uid)) {
            for (on, other) in self.neurons.iter().enumerate() {
                let on_itself = on == uid && !self.is_owner(uid);
                let outdated = neuron.last_update <= other.registered_at;
                if !on_itself && !outdated {
                    counted.set(uid, on, Fixed32::ratio(u64::from(self.weights.at(uid, on)), 1));
                }
            }
        }
        counted
    }

    fn forget_newcomers(&mut self) {
        for uid in 0..self.neurons.len() {
            if self.last_epoch_at.is_some_and(|last| last < self.neurons[uid].registered_at) {
                self.reset_bonds_on(uid);
            }
        }
    }

    /// Gives permits to the largest holders for the next epoch; who loses its permit loses its bonds.
    fn renew_permits(&mut self, stake: &[Fixed32]) {
        let mut by_stake: Vec<usize> = (0..stake.len()).collect();
        by_stake.sort_by_key(|uid| stake[*uid]);
        let excess = stake.len().saturating_sub(self.max_validators);
        let mut permitted: Vec<bool> = stake.iter().map(|share| *share > Fixed32::ZERO).collect();
        by_stake.iter().take(excess).for_each(|uid| permitted[*uid] = false);
        for (uid, permit) in permitted.into_iter().enumerate() {
            let permit = permit || self.is_owner(uid);
            self.neurons[uid].permitted = permit;
            if !permit {
                self.epochs.bonds_mut().row_mut(uid).fill(Fixed32::ZERO);
            }
        }
    }
}

/// Incentive and dividends share the emission half and half when both exist; without either, stake is paid.
fn pay(decision: &Decision<Fixed32>, stake: &[Fixed32], active: &[Fixed32], emission_rao: u64) -> Payout {
    let mut server = decision.incentive.clone();
    let mut validator = decision.dividends.clone();
    let mut both: Vec<Fixed32> = server.iter().zip(&validator).map(|(i, d)| *i + *d).collect();
    let sum = both.iter().fold(Fixed32::ZERO, |sum, v| sum + *v);
    if sum == Fixed32::ZERO {
        let nobody = active.iter().all(|share| *share == Fixed32::ZERO);
        validator = if nobody { stake.to_vec() } else { active.to_vec() };
        both.clone_from(&validator);
    } else {
        server.iter_mut().chain(&mut validator).chain(&mut both).for_each(|v| *v = v.over(sum));
    }
    let rao = |shares: &[Fixed32]| shares.iter().map(|share| share.of(emission_rao)).collect();
    let stored = |shares: &[Fixed32]| shares.iter().map(|share| share.to_share()).collect();
    Payout {
        server_emission_rao: rao(&server),
        validator_emission_rao: rao(&validator),
        emission_rao: rao(&both),
        incentive: stored(&decision.incentive),
        dividends: stored(&decision.dividends),
        consensus: stored(&decision.consensus),
    }
}
