//! Yuma: how a Bittensor subnet turns what validators say into who is paid.
//!
//! Every epoch each validator *i* with stake *s* states a weight *w* for each miner *j*. Then:
//!
//! | step | formula |
//! |---|---|
//! | consensus | `C_j` = the largest weight that validators with at least κ of the stake reach ([`median`]) |
//! | clipping | `w̄_ij = min(w_ij, C_j)`: saying more than the majority does not help |
//! | incentive | `R_j = Σ_i s_i·w̄_ij`, `I = R / ΣR`: the miners' shares |
//! | bonds | follow stake-weighted shares (original) or weights (Yuma 3); see [`bonds`] |
//! | dividends | original `D_i = Σ_j B_ij·I_j`; Yuma 3 `D_i ∝ s_i·Σ_j (B_ij/Σ_k B_kj)·I_j` |
//! | emission | incentive and dividends, each half |
//!
//! [`epoch::Epochs`] runs this for any number type: in [`number::Fixed32`] it agrees with the chain bit for bit, in
//! `f64` it is fast and allocates nothing per epoch. [`subnet::Subnet`] adds what the chain does around it.
//! [`research`] holds the variants of the public simulation.
//! Sources: opentensor/subtensor `pallets/subtensor/src/epoch/` at 14bc6f9f; bactensor/yuma-simulation at 2b976fd5.

pub mod bonds;
pub mod epoch;
pub mod matrix;
pub mod median;
pub mod number;
pub mod research;
pub mod subnet;

pub use epoch::{BondStorage, Decision, Epochs, Rules};
pub use matrix::Matrix;
pub use number::{Fixed32, Number};

/// Runs `epochs` epochs of Yuma 3 in `f64` on the same weights, each a little shifted so that none is the same as the
/// one before, and returns the last dividends: a yardstick for speed.
pub fn run_shifting(epochs: usize, stake: &[f64], weights: &Matrix<f64>) -> Vec<f64> {
    let rules = Rules { storage: BondStorage::Exact, ..Rules::yuma3() };
    let mut subnet = Epochs::new(weights.rows(), weights.columns(), rules);
    let mut weights = weights.clone();
    for epoch in 0..epochs {
        let row = epoch % weights.rows();
        weights.row_mut(row).rotate_right(1);
        subnet.run(stake, &weights);
    }
    subnet.decision().dividends.clone()
}
