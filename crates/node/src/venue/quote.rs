//! What a job would cost on the live offers, before anything is spent.

use super::{Floor, deterrence::promised};
use crate::api::{OfferView, Quote, QuoteRequest};
use market::{
    engine::state::Presence,
    job::{JobSpec, Verification},
    matching::Wanted,
    order::OrderTerms,
    units::{Msat, PPM, Rate, Rounding, Unit},
};

/// How many offers a quote looks at.
const LOOKS_MAX: usize = 10_000;
/// How many offers it shows.
const SHOWN_MAX: usize = 100;
/// How many single offers the survey of mismatches keeps.
const EXAMPLES: usize = 5;

impl Floor {
    /// What a job would cost on the live offers.
    pub fn quote(&self, request: &QuoteRequest) -> Quote {
        let (terms, job) = (&request.terms, &request.job);
        let state = self.state();
        let wanted = Wanted::work(terms);
        let terms_of = |id| state.offers.get(id).map(|offer| offer.terms.as_ref());
        let fitting = self.engine().index().cheapest(wanted, LOOKS_MAX, terms_of);
        let fitting = fitting.filter_map(|id| self.offer(id)).filter(|offer| self.meets(offer, terms));
        let mut winners: Vec<OfferView> = fitting.take((terms.slots as usize).min(SHOWN_MAX)).collect();
        let survey = state.survey(terms, EXAMPLES);
        winners.sort_by_key(|offer| market::matching::price_key(&offer.terms.rate));
        let task_msat = winners.first().and_then(|offer| task_cost(&offer.terms.rate, job));
        let dearest = winners.last().and_then(|offer| task_cost(&offer.terms.rate, job));
        Quote {
            matching: survey.fit,
            task_msat,
            // Slots work at their own prices; the dearest winner bounds what each task comes to.
            expected_msat: dearest.and_then(|task| expected(task, job)),
            at_most_msat: terms.budget_msat,
            deterrence: promised(&winners, request),
            venue_owes_msat: state.venue_owes(),
            mismatches: survey
                .reasons
                .iter()
                .map(|count| {
                    (format!("like {}: {}", count.example.offer, count.example.reason), count.offers)
                })
                .collect(),
            offers: winners,
        }
    }

    /// What the index of offers does not know: presence, free capacity, reputation and bond.
    fn meets(&self, offer: &OfferView, terms: &OrderTerms) -> bool {
        let needs = &terms.needs;
        let is_live = self.state().machine(offer.machine).presence == Presence::Live;
        is_live
            && offer.free.shortage(&needs.resources).is_none()
            && offer.reputation_ppm >= needs.min_reputation_ppm
            && offer.bond_msat >= needs.min_bond_msat
    }
}

/// What one run of a task can cost. By the hour nobody can say beforehand.
fn task_cost(rate: &Rate, job: &JobSpec) -> Option<Msat> {
    match rate.unit {
        Unit::Task => rate.ceiling(1).ok(),
        Unit::Fuel => rate.ceiling(job.limits.fuel).ok(),
        Unit::Ms => None,
    }
}

/// All tasks, with the replicas that their verification asks for when all results agree. Rounded up: a quote should not
/// promise too little.
fn expected(task: Msat, job: &JobSpec) -> Option<Msat> {
    let once = task.times(job.tasks.into()).ok()?;
    match &job.verification {
        Verification::None => Some(once),
        Verification::Replicas { k, .. } => once.times((*k).into()).ok(),
        Verification::Audit { floor_ppm } => once.scale(PPM + u64::from(*floor_ppm), PPM, Rounding::Up).ok(),
    }
}
