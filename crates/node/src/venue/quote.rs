//! What a job would cost on the live offers, before anything is spent.

use super::{Floor, deterrence::promised};
use crate::api::{OfferView, Quote, QuoteRequest};
use market::{
    auction::{Award, Candidate, clear},
    engine::state::Presence,
    id::OfferId,
    job::{JobSpec, Verification},
    matching::{Wanted, price_key},
    order::{AuctionPrice, OrderKind, OrderTerms},
    reputation::audit_rate_ppm,
    units::{Msat, PPM, Rate, Rounding, Unit},
};
use std::collections::BTreeSet;

/// How many offers a quote looks at.
const LOOKS_MAX: usize = 10_000;
/// How many offers it shows.
const SHOWN_MAX: usize = 100;
/// How many single offers the survey of mismatches keeps.
const EXAMPLES: usize = 5;
/// A party's audits are counted one by one for so many tasks; from then on its rate stays where it is.
const AUDITS_COUNTED: u32 = 1_000;

impl Floor {
    /// What a job would cost on the live offers: the auction is cleared as if every machine bid what its offer asks.
    pub fn quote(&self, request: &QuoteRequest) -> Quote {
        let (terms, job) = (&request.terms, &request.job);
        let state = self.state();
        let awards = self.awards(terms);
        let mut seen = BTreeSet::new();
        let winners = awards.iter().map(|award| award.offer).filter(|offer| seen.insert(*offer));
        let offers: Vec<OfferView> = winners.take(SHOWN_MAX).filter_map(|id| self.offer(id)).collect();
        let survey = state.survey(terms, EXAMPLES);
        // Slots work at their own prices; the dearest bounds what each task comes to.
        let dearest = awards.iter().max_by_key(|award| price_key(&award.rate));
        let asked = dearest.and_then(|award| state.offers.get(award.offer)).map(|offer| offer.terms.rate);
        let task_msat = dearest.and_then(|award| task_cost(&award.rate, job));
        Quote {
            matching: survey.fit,
            asked_msat: asked.and_then(|rate| task_cost(&rate, job)),
            task_msat,
            expected_msat: task_msat.and_then(|task| self.expected(task, job, &offers)),
            at_most_msat: terms.budget_msat,
            deterrence: promised(&offers, request),
            venue_owes_msat: state.venue_owes(),
            mismatches: survey
                .reasons
                .iter()
                .map(|count| {
                    (format!("like {}: {}", count.example.offer, count.example.reason), count.offers)
                })
                .collect(),
            offers,
        }
    }

    /// Who would win the slots, and at which prices.
    fn awards(&self, terms: &OrderTerms) -> Vec<Award> {
        let state = self.state();
        let terms_of = |id| state.offers.get(id).map(|offer| offer.terms.as_ref());
        let fitting = self.engine().index().cheapest(Wanted::work(terms), LOOKS_MAX, terms_of);
        let candidates: Vec<Candidate> =
            fitting.filter(|id| self.meets(*id, terms)).filter_map(|id| self.candidate(id)).collect();
        let price = match terms.kind {
            // Standing offers are paid what they ask.
            OrderKind::Ask => AuctionPrice::First,
            OrderKind::Auction { price, .. } => price,
        };
        clear(&candidates, terms.slots, price, &terms.ceiling, |candidate, taken| {
            let free = &state.machine(candidate.machine).free;
            free.holds(&terms.needs.resources, taken.saturating_add(1))
        })
    }

    fn candidate(&self, id: OfferId) -> Option<Candidate> {
        let state = self.state();
        let row = state.offers.get(id)?;
        let score = state.reputation.score(row.party, &row.terms.class, state.now);
        let rate = row.terms.rate;
        Some(Candidate { machine: row.machine, offer: id, rate, quality_ppm: score.quality_ppm })
    }

    /// What the index of offers does not know: presence, reputation and bond.
    fn meets(&self, id: OfferId, terms: &OrderTerms) -> bool {
        let needs = &terms.needs;
        self.offer(id).is_some_and(|offer| {
            self.state().machine(offer.machine).presence == Presence::Live
                && offer.reputation_ppm >= needs.min_reputation_ppm
                && offer.bond_msat >= needs.min_bond_msat
        })
    }

    /// All tasks, with the replicas that their verification asks for when all results agree. Rounded up: a quote should
    /// not promise too little.
    fn expected(&self, task: Msat, job: &JobSpec, winners: &[OfferView]) -> Option<Msat> {
        let once = task.times(job.tasks.into()).ok()?;
        match &job.verification {
            Verification::None => Some(once),
            Verification::Replicas { k, .. } => once.times((*k).into()).ok(),
            Verification::Audit { floor_ppm } => {
                let share = job.tasks.div_ceil(u32::try_from(winners.len()).ok()?.max(1));
                let audits = |offer: &OfferView| {
                    let standing = self.state().reputation.standing(offer.party, &offer.terms.class);
                    audits_ppm(*floor_ppm, standing.map_or(0, |known| known.valid_in_a_row()), share)
                };
                let audited_ppm: u64 = winners.iter().map(audits).sum();
                once.0.checked_add(task.scale(audited_ppm, PPM, Rounding::Up).ok()?.0).map(Msat)
            }
        }
    }
}

/// How many of a party's next tasks are audited on average, in millionths of a task: newcomers are audited always, and less
/// with every result that is right.
fn audits_ppm(floor_ppm: u32, valid_in_a_row: u32, tasks: u32) -> u64 {
    let counted = tasks.min(AUDITS_COUNTED);
    let rate = |done: u32| u64::from(audit_rate_ppm(floor_ppm, valid_in_a_row.saturating_add(done)));
    let counted_ppm: u64 = (0..counted).map(rate).sum();
    counted_ppm + rate(counted) * u64::from(tasks - counted)
}

/// What one run of a task can cost. By the hour nobody can say beforehand.
fn task_cost(rate: &Rate, job: &JobSpec) -> Option<Msat> {
    match rate.unit {
        Unit::Task => rate.ceiling(1).ok(),
        Unit::Fuel => rate.ceiling(job.limits.fuel).ok(),
        Unit::Ms => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_is_audited_more_often_than_the_floor_says() {
        let half = 500_000;
        assert_eq!(audits_ppm(half, 0, 1), PPM, "the first result always");
        assert_eq!(audits_ppm(half, 0, 4), PPM + 3 * u64::from(half));
        assert_eq!(audits_ppm(half, 9, 4), 4 * u64::from(half), "who was right nine times, by the floor");
        assert_eq!(audits_ppm(0, 0, 3), PPM + PPM / 2 + 333_334);
    }
}
