//! How results are verified: seals, batch roots, audit seeds, draws, and what a set of results proves.
//!
//! A provider first commits to a result by its [`seal`], in a batch. After the batch is durable, buyer and venue each
//! reveal the next link of a hash chain ([`Chain`]) that they anchored before anybody worked; the [`seed`] is a hash
//! over both links and the batch root, so nobody could choose it. The seed says which tasks are audited
//! ([`is_audited`]) and who runs their replicas ([`draw`]). Only when the replicas are committed as well are the
//! results revealed, and [`judge`] says what they prove. Whether cheating pays for all that is [`Deterrence`].

mod deterrence;

pub use deterrence::{Deterrence, Stakes, deterrence, task_usage, task_usage_max};

use crate::{
    id::{AttemptId, Digest, PartyId},
    units::{PPM, big_u64},
};
use serde::{Deserialize, Serialize};

/// How a task ended, as far as the execution profile determines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// The program ended with this code.
    Code(i32),
    /// The program trapped (unreachable, out of bounds, division by zero…).
    Trap,
    /// The fuel ran out.
    OutOfFuel,
}

impl Exit {
    /// Whether the program said that it succeeded.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }
}

/// A deterministic result: two honest machines give the same one, to the bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskResult {
    /// How the program ended.
    pub exit: Exit,
    /// Digest of the output bundle.
    pub output: Digest,
    /// Fuel used.
    #[serde(with = "big_u64")]
    pub fuel: u64,
}

const SEAL_DOMAIN: &str = "gristmill 2026 result seal v1";
const CHAIN_DOMAIN: &str = "gristmill 2026 audit chain v1";
const ROOT_DOMAIN: &str = "gristmill 2026 commit batch root v1";
const SEED_DOMAIN: &str = "gristmill 2026 audit seed v1";
const DRAW_DOMAIN: &str = "gristmill 2026 draw v1";

/// The commitment to a result: H(domain, task, attempt, party, salt, exit, output digest, fuel). The party is in it so
/// that nobody can copy another's seal.
pub fn seal(task: u32, attempt: AttemptId, party: PartyId, salt: &Digest, result: &TaskResult) -> Digest {
    let exit: [u8; 5] = match result.exit {
        Exit::Code(code) => {
            let [a, b, c, d] = code.to_le_bytes();
            [0, a, b, c, d]
        }
        Exit::Trap => [1, 0, 0, 0, 0],
        Exit::OutOfFuel => [2, 0, 0, 0, 0],
    };
    Digest::of_parts(
        SEAL_DOMAIN,
        &[
            &task.to_le_bytes(),
            &attempt.0.to_le_bytes(),
            &party.0.to_le_bytes(),
            &salt.0,
            &exit,
            &result.output.0,
            &result.fuel.to_le_bytes(),
        ],
    )
}

/// The root of a batch of commitments, in the order in which they were accepted.
pub fn batch_root(commits: &[(AttemptId, Digest)]) -> Digest {
    let mut bytes = Vec::with_capacity(commits.len() * 40);
    for (attempt, seal) in commits {
        bytes.extend_from_slice(&attempt.0.to_le_bytes());
        bytes.extend_from_slice(&seal.0);
    }
    Digest::of_parts(ROOT_DOMAIN, &[&bytes])
}

/// One step of a hash chain.
fn step(link: &Digest) -> Digest {
    Digest::of_parts(CHAIN_DOMAIN, &[&link.0])
}

/// A hash chain that its owner walks backwards: `anchor = Hⁿ(secret)`, round `r` reveals `Hⁿ⁻¹⁻ʳ(secret)`.
#[derive(Debug, Clone, Copy)]
pub struct Chain {
    secret: Digest,
    rounds: u32,
}

impl Chain {
    /// A chain for at most `rounds` rounds from a secret that nobody else knows.
    pub fn new(secret: Digest, rounds: u32) -> Chain {
        Chain { secret, rounds }
    }

    /// What is published before anybody works.
    pub fn anchor(&self) -> Digest {
        self.after(self.rounds)
    }

    /// The link of a round, counted from 0; `None` past the end of the chain.
    pub fn link(&self, round: u32) -> Option<Digest> {
        let steps = self.rounds.checked_sub(1)?.checked_sub(round)?;
        Some(self.after(steps))
    }

    fn after(&self, steps: u32) -> Digest {
        (0..steps).fold(self.secret, |link, _| step(&link))
    }
}

/// How many rounds the chains of a job have to last for. A round takes in everything that was committed during the
/// round before, so a job with more commitments than this just has larger rounds.
pub fn rounds_for(tasks: u32) -> u32 {
    tasks.saturating_mul(2).saturating_add(64).min(65_536)
}

/// Whether `link` is the one that comes `rounds_since` rounds after `known` (an anchor, or a link revealed earlier).
/// Rounds whose links were withheld are skipped over.
pub fn follows(known: &Digest, link: &Digest, rounds_since: u32) -> bool {
    (0..rounds_since).fold(*link, |link, _| step(&link)) == *known
}

/// The seed of an audit round. A link that was withheld is left out, and who withheld it pays for auditing the batch.
pub fn seed(buyer_link: Option<&Digest>, venue_link: Option<&Digest>, root: &Digest) -> Digest {
    let part = |link: Option<&Digest>| link.map_or([0; 32], |d| d.0);
    Digest::of_parts(SEED_DOMAIN, &[&part(buyer_link), &part(venue_link), &root.0])
}

/// Whether the seed picks this task for an audit at this rate.
pub fn is_audited(seed: &Digest, task: u32, rate_ppm: u32) -> bool {
    draw_number(seed, task, u32::MAX) % PPM < u64::from(rate_ppm)
}

fn draw_number(seed: &Digest, task: u32, turn: u32) -> u64 {
    Digest::of_parts(DRAW_DOMAIN, &[&seed.0, &task.to_le_bytes(), &turn.to_le_bytes()]).to_u64()
}

/// Draws one of the candidates, each with the probability of its weight (its bond; everybody has at least weight 1).
/// `turn` counts the draws for this task. The bias of the modulo is below 2⁻²⁰ for weights that sum below 2⁴⁴.
pub fn draw(seed: &Digest, task: u32, turn: u32, candidates: &[(PartyId, u64)]) -> Option<PartyId> {
    let weight = |(_, bond): &(PartyId, u64)| u128::from((*bond).max(1));
    let total: u128 = candidates.iter().map(weight).sum();
    if total == 0 {
        return None;
    }
    let mut ticket = u128::from(draw_number(seed, task, turn)) % total;
    for candidate in candidates {
        if ticket < weight(candidate) {
            return Some(candidate.0);
        }
        ticket -= weight(candidate);
    }
    None
}

/// What the revealed results of one task prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// This result was given by enough parties. `convicts` says whether the others are proven wrong: only after
    /// an escalation, when at least two parties agree against them.
    Agreed {
        /// The result.
        result: TaskResult,
        /// Whether the minority loses its bond.
        convicts: bool,
    },
    /// This many more results are needed.
    More(u8),
    /// The limit of replicas is reached and no result has enough votes.
    Undecided,
}

/// Judges the results of one task, one for each party. `needed` have to agree, `limit` may be asked. A dissent that
/// was followed by further replicas is an escalation; with `needed` of 1 (no replicas) nobody is convicted.
pub fn judge(results: &[TaskResult], needed: u8, limit: u8) -> Judgement {
    let votes = |result: &TaskResult| results.iter().filter(|other| *other == result).count();
    let best = results.iter().max_by_key(|result| votes(result));
    let agreeing = best.map_or(0, &votes);
    match best {
        Some(result) if agreeing >= usize::from(needed) => {
            let escalated = results.len() > usize::from(needed);
            Judgement::Agreed {
                result: *result,
                convicts: needed >= 2 && escalated && agreeing < results.len(),
            }
        }
        Some(_) | None if results.len() >= usize::from(limit) => Judgement::Undecided,
        Some(_) | None => {
            let missing = usize::from(needed) - agreeing;
            let room = usize::from(limit) - results.len();
            Judgement::More(u8::try_from(missing.min(room)).unwrap_or(u8::MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(n: u8) -> TaskResult {
        TaskResult { exit: Exit::Code(0), output: Digest([n; 32]), fuel: 1 }
    }

    #[test]
    fn a_chain_is_walked_backwards_from_its_anchor() {
        let chain = Chain::new(Digest([1; 32]), 3);
        let links: Vec<_> = (0..3).map(|r| chain.link(r).unwrap()).collect();
        assert!(follows(&chain.anchor(), &links[0], 1));
        assert!(follows(&links[0], &links[1], 1));
        assert!(follows(&links[0], &links[2], 2));
        assert!(!follows(&chain.anchor(), &links[1], 1));
        assert_eq!(chain.link(3), None);
    }

    #[test]
    fn a_seal_cannot_be_copied_by_another_party() {
        let salt = Digest([9; 32]);
        let mine = seal(1, AttemptId(1), PartyId(1), &salt, &result(1));
        assert_ne!(mine, seal(1, AttemptId(1), PartyId(2), &salt, &result(1)));
        assert_ne!(mine, seal(1, AttemptId(2), PartyId(1), &salt, &result(1)));
    }

    #[test]
    fn a_minority_is_convicted_only_after_escalation() {
        let (a, b) = (result(1), result(2));
        assert_eq!(judge(&[a], 2, 3), Judgement::More(1));
        assert_eq!(judge(&[a, b], 2, 3), Judgement::More(1));
        assert_eq!(judge(&[a, a], 2, 3), Judgement::Agreed { result: a, convicts: false });
        assert_eq!(judge(&[a, b, b], 2, 3), Judgement::Agreed { result: b, convicts: true });
        assert_eq!(judge(&[a, b, result(3)], 2, 3), Judgement::Undecided);
        assert_eq!(judge(&[a], 1, 1), Judgement::Agreed { result: a, convicts: false });
    }

    #[test]
    fn draws_follow_the_bonds() {
        let candidates = [(PartyId(1), 0), (PartyId(2), 3)];
        let wins = (0..4_000)
            .filter(|turn| draw(&Digest([5; 32]), 0, *turn, &candidates) == Some(PartyId(2)))
            .count();
        assert!((2_850..3_150).contains(&wins), "{wins} of 4000 for three quarters of the weight");
        assert_eq!(draw(&Digest([5; 32]), 0, 0, &[]), None);
    }

    #[test]
    fn the_audited_share_is_the_rate() {
        let audited = (0..10_000).filter(|task| is_audited(&Digest([5; 32]), *task, 250_000)).count();
        assert!((2_300..2_700).contains(&audited), "{audited} of 10000 at a quarter");
        assert!((0..100).all(|task| is_audited(&Digest([5; 32]), task, 1_000_000)));
        assert!((0..100).all(|task| !is_audited(&Digest([5; 32]), task, 0)));
    }
}
