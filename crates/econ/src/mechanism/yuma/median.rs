//! The stake-weighted median: the weight on which a majority of the stake agrees.
//!
//! With the minority `1 − κ`, the consensus on a miner is the smallest weight `w` such that the validators who set at
//! most `w` hold strictly more stake than the minority. Said from above: the largest weight that validators with at
//! least `κ` of the stake reach. Source: subtensor, `epoch/math.rs`, `weighted_median`.

use super::number::Number;

/// The smallest score whose holders, with all below, have strictly more stake than `minority`; zero without holders.
///
/// `holders` are pairs of (score, stake) with positive stake and are reordered. Runs in linear time on average: each
/// round splits the holders at a pivot and goes on in the part that holds the answer.
pub fn weighted_median<N: Number>(holders: &mut [(N, N)], minority: N) -> N {
    let mut below = N::ZERO;
    let (mut low, mut high) = (0, holders.len());
    while high - low > 1 {
        let part = &mut holders[low..high];
        let pivot = middle_of_three(part[0].0, part[part.len() / 2].0, part[part.len() - 1].0);
        let split = split_at(part, pivot);
        if below + split.stake_below > minority {
            high = low + split.first_equal;
        } else if below + split.stake_below + split.stake_equal > minority || low + split.first_above == high {
            return pivot;
        } else {
            below = below + split.stake_below + split.stake_equal;
            low += split.first_above;
        }
    }
    holders.get(low).map_or(N::ZERO, |holder| holder.0)
}

/// The consensus on every column of `weights` (row-major, one row a validator) under a majority of `kappa`.
///
/// Rows without stake have no say. The stake of the others is brought to a sum of one first.
pub fn consensus<N: Number>(
    stake: &[N],
    weights: &super::Matrix<N>,
    kappa: N,
    holders: &mut Vec<(N, N)>,
    out: &mut [N],
) {
    let total = stake.iter().filter(|s| **s > N::ZERO).fold(N::ZERO, |sum, s| sum + *s);
    let staked = || stake.iter().enumerate().filter(|(_, s)| **s > N::ZERO).map(|(row, s)| (row, s.over(total)));
    let minority = staked().fold(N::ZERO, |sum, (_, share)| sum + share) - kappa;
    for (column, cell) in out.iter_mut().enumerate() {
        holders.clear();
        holders.extend(staked().map(|(row, share)| (weights.at(row, column), share)));
        *cell = weighted_median(holders, minority);
    }
}

struct Split<N> {
    first_equal: usize,
    first_above: usize,
    stake_below: N,
    stake_equal: N,
}

/// Puts the scores below the pivot first, then the equal ones, then those above, and sums the stake of the first two.
fn split_at<N: Number>(part: &mut [(N, N)], pivot: N) -> Split<N> {
    let mut split =
        Split { first_equal: 0, first_above: part.len(), stake_below: N::ZERO, stake_equal: N::ZERO };
    let mut next = 0;
    while next < split.first_above {
        let (score, stake) = part[next];
        if score < pivot {
            split.stake_below = split.stake_below + stake;
            part.swap(next, split.first_equal);
            split.first_equal += 1;
            next += 1;
        } else if score > pivot {
            split.first_above -= 1;
            part.swap(next, split.first_above);
        } else {
            split.stake_equal = split.stake_equal + stake;
            next += 1;
        }
    }
    split
}

fn middle_of_three<N: Number>(a: N, b: N, c: N) -> N {
    a.min(b).max(a.max(b).min(c))
}
