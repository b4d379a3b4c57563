//! The stake-weighted median: the weight on which a majority of the stake agrees.
//!
//! With the minority `1 − κ`, the consensus on a miner is the smallest weight `w` such that the validators who set at
//! most `w` hold strictly more stake than the minority. Said from above: the largest weight that validators with at
//! least `κ` of the stake reach. Source: subtensor, `epoch/math.rs`, `weighted_median`.

use super::number::Number;

/// The smallest score whose holders, with all below, have strictly more stake than `minority`; zero without holders.
///
/// `holders` are pairs of (score, stake) with positive stake; they are used up. Runs in linear time on average: each round
/// weighs the holders on both sides of a pivot and keeps the side that holds the answer. Neither step branches on a
/// single holder, which with 256 of them in no order costs more than the arithmetic.
pub fn weighted_median<N: Number>(holders: &mut [(N, N)], minority: N) -> N {
    let mut before = N::ZERO;
    let mut left = holders.len();
    loop {
        let part = &mut holders[..left];
        let (Some(first), Some(last)) = (part.first(), part.last()) else { return N::ZERO };
        let pivot = middle_of_three(first.0, part[part.len() / 2].0, last.0);
        let (below, equal) = weigh(part, pivot);
        if before + below > minority {
            left = keep(part, |score| score < pivot);
        } else if before + below + equal > minority {
            return pivot;
        } else {
            before = before + below + equal;
            left = keep(part, |score| score > pivot);
        }
        if left == 0 {
            return pivot;
        }
    }
}

/// Working memory of [`consensus`], kept from call to call.
#[derive(Clone, Debug)]
pub struct Scratch<N> {
    shares: Vec<(usize, N)>,
    holders: Vec<(N, N)>,
}

impl<N> Default for Scratch<N> {
    fn default() -> Self {
        Self { shares: Vec::new(), holders: Vec::new() }
    }
}

/// The consensus on every column of `weights` (row-major, one row a validator) under a majority of `kappa`.
///
/// Rows without stake have no say. The stake of the others is brought to a sum of one first.
pub fn consensus<N: Number>(
    stake: &[N],
    weights: &super::Matrix<N>,
    kappa: N,
    scratch: &mut Scratch<N>,
    out: &mut [N],
) {
    let Scratch { shares, holders } = scratch;
    let total = stake.iter().filter(|s| **s > N::ZERO).fold(N::ZERO, |sum, s| sum + *s);
    let staked = stake.iter().enumerate().filter(|(_, s)| **s > N::ZERO);
    shares.clear();
    shares.extend(staked.map(|(row, s)| (row, s.over(total))));
    let minority = shares.iter().fold(N::ZERO, |sum, (_, share)| sum + *share) - kappa;
    for (column, cell) in out.iter_mut().enumerate() {
        holders.clear();
        holders.extend(shares.iter().map(|(row, share)| (weights.at(*row, column), *share)));
        *cell = weighted_median(holders, minority);
    }
}

/// The stake of those below the pivot, and of those at it.
fn weigh<N: Number>(part: &[(N, N)], pivot: N) -> (N, N) {
    // Four sums side by side do not wait for each other.
    let (mut below, mut equal) = ([N::ZERO; 4], [N::ZERO; 4]);
    let mut add = |lane: usize, (score, stake): (N, N)| {
        below[lane] = below[lane] + if score < pivot { stake } else { N::ZERO };
        equal[lane] = equal[lane] + if score == pivot { stake } else { N::ZERO };
    };
    let mut quads = part.chunks_exact(4);
    for quad in &mut quads {
        (0..4).for_each(|lane| add(lane, quad[lane]));
    }
    quads.remainder().iter().for_each(|holder| add(0, *holder));
    let sum = |lanes: [N; 4]| (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    (sum(below), sum(equal))
}

/// Moves those whose score is wanted to the front and says how many they are.
fn keep<N: Number>(part: &mut [(N, N)], wanted: impl Fn(N) -> bool) -> usize {
    let mut kept = 0;
    for at in 0..part.len() {
        let holder = part[at];
        part[kept] = holder;
        kept += usize::from(wanted(holder.0));
    }
    kept
}

fn middle_of_three<N: Number>(a: N, b: N, c: N) -> N {
    a.min(b).max(a.max(b).min(c))
}
