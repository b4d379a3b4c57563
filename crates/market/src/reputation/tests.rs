use super::*;
use proptest::prelude::*;

const DAY_MS: u64 = 24 * HOUR_MS;
const T0: TimeMs = TimeMs(1_750_000_000_000);
/// Fees that weigh one observation.
const FEE: Msat = Msat(100_000);

fn standing(observations: &[(u64, u64, Observation)]) -> Standing {
    let mut standing = Standing::new();
    for (counterparty, fee_msat, observation) in observations {
        standing.observe(T0, PartyId(*counterparty), Msat(*fee_msat), *observation);
    }
    standing
}

fn accepted_by(counterparties: u64, fee_msat: u64) -> Standing {
    let all: Vec<_> = (0..counterparties).map(|id| (id, fee_msat, Observation::Accepted)).collect();
    standing(&all)
}

#[test]
fn a_new_key_is_unvetted_and_scored_by_the_prior() {
    let score = Standing::new().score(T0);
    assert_eq!(score, Score { score_ppm: 211_324, quality_ppm: 500_000, unvetted: true });
    assert_eq!(Standing::new().audit_rate_ppm(10_000), 1_000_000);
}

#[test]
fn one_counterparty_alone_never_vouches_for_anybody() {
    let huge = accepted_by(1, Msat::MAX.0).score(T0);
    // α = 1 + ⅔: the mean of Beta(5/3, 1) is 5/8.
    assert_eq!((huge.quality_ppm, huge.unvetted), (624_999, true));
    assert!(accepted_by(2, Msat::MAX.0).score(T0).unvetted);
    assert!(!accepted_by(3, Msat::MAX.0).score(T0).unvetted);
    let broad = accepted_by(40, FEE.0).score(T0);
    assert!(broad.score_ppm > 950_000 && !broad.unvetted, "{broad:?}");
}

#[test]
fn one_wrong_result_costs_more_than_ten_good_ones_earn() {
    let mut caught = accepted_by(10, FEE.0);
    assert_eq!(caught.audit_rate_ppm(0), 90_910);
    caught.observe(T0, PartyId(0), Msat(1), Observation::Wrong);
    assert!(caught.score(T0).quality_ppm <= 500_000, "{:?}", caught.score(T0));
    assert_eq!(caught.audit_rate_ppm(0), 1_000_000);
}

#[test]
fn late_work_from_one_buyer_hurts_little_and_inconclusive_work_not_at_all() {
    let good = accepted_by(40, FEE.0);
    let mut griefed = good.clone();
    griefed.observe(T0, PartyId(99), Msat::MAX, Observation::Late);
    assert!(good.score(T0).score_ppm - griefed.score(T0).score_ppm < 30_000);
    let (mut late, mut lost, mut unclear) = (good.clone(), good.clone(), good.clone());
    late.observe(T0, PartyId(1), Msat(10_000), Observation::Late);
    lost.observe(T0, PartyId(1), Msat(10_000), Observation::Lost);
    unclear.observe(T0, PartyId(1), Msat(10_000), Observation::Inconclusive);
    assert!(late.score(T0).score_ppm < lost.score(T0).score_ppm);
    assert!(lost.score(T0).score_ppm < good.score(T0).score_ppm);
    assert_eq!(unclear, good);
    assert_eq!((late.valid_in_a_row(), lost.valid_in_a_row()), (0, 40));
}

#[test]
fn what_happened_a_half_life_ago_counts_half() {
    let mut standing = accepted_by(40, FEE.0);
    let later = TimeMs(T0.0 + 30 * DAY_MS);
    assert_eq!(standing.score(later), accepted_by(40, FEE.0 / 2).score(T0));
    standing.observe(TimeMs(T0.0 + 4_000 * DAY_MS), PartyId(0), FEE, Observation::Inconclusive);
    assert!(standing.dealings.is_empty(), "what counts nothing any more is not kept");
}

#[test]
fn a_clock_that_stands_still_or_goes_back_forgets_nothing() {
    let mut standing = accepted_by(4, FEE.0);
    let before = standing.clone();
    standing.observe(TimeMs(0), PartyId(1), Msat::ZERO, Observation::Lost);
    assert_eq!(standing, before);
    assert_eq!(standing.score(TimeMs(0)), standing.score(T0));
}

#[test]
fn the_audit_rate_falls_with_every_valid_result_down_to_the_floor() {
    let rates: Vec<u32> = [0, 1, 2, 9, 99, u32::MAX].map(|valid| audit_rate_ppm(50_000, valid)).to_vec();
    assert_eq!(rates, [1_000_000, 500_000, 333_334, 100_000, 50_000, 50_000]);
    assert_eq!(audit_rate_ppm(u32::MAX, 5), 1_000_000);
}

#[test]
fn the_decay_table_follows_the_definition() {
    assert_eq!(decay_factor(0), 1 << 63);
    assert_eq!(decay_factor(720), 1 << 62);
    assert_eq!(decay_factor(u64::MAX), 0);
    for hours in 1..2_000u64 {
        let exact = (-(hours as f64) / 720.0).exp2();
        let ours = decay_factor(hours) as f64 / (1u64 << 63) as f64;
        assert!((ours - exact).abs() < 1e-14, "{hours} h: {ours} for {exact}");
        assert!(decay_factor(hours) < decay_factor(hours - 1), "strictly falling at {hours} h");
    }
}

#[test]
fn a_standing_survives_serialization() {
    let standing =
        standing(&[(1, 5, Observation::Accepted), (2, 7, Observation::Late), (3, 9, Observation::Wrong)]);
    let bytes = postcard::to_allocvec(&standing).unwrap();
    assert_eq!(postcard::from_bytes::<Standing>(&bytes).unwrap(), standing);
}

#[test]
fn standing_is_kept_apart_by_party_and_class() {
    let (cpu, gpu): (Name, Name) = ("cpu".parse().unwrap(), "gpu".parse().unwrap());
    let mut book = Book::new();
    book.standing_mut(PartyId(1), &cpu).observe(T0, PartyId(2), FEE, Observation::Accepted);
    assert!(book.score(PartyId(1), &cpu, T0).score_ppm > book.score(PartyId(1), &gpu, T0).score_ppm);
    assert_eq!(book.score(PartyId(1), &gpu, T0), book.score(PartyId(3), &cpu, T0));
    assert_eq!(book.audit_rate_ppm(PartyId(1), &cpu, 0), 500_000);
    assert_eq!(book.audit_rate_ppm(PartyId(1), &gpu, 0), 1_000_000);
    assert_eq!(book.iter().map(|(party, class, _)| (party, class)).collect::<Vec<_>>(), [(PartyId(1), &cpu)]);
}

fn observation() -> impl Strategy<Value = Observation> {
    prop_oneof![
        6 => Just(Observation::Accepted),
        1 => Just(Observation::Wrong),
        1 => Just(Observation::Late),
        1 => Just(Observation::Lost),
        1 => Just(Observation::Inconclusive),
    ]
}

fn history() -> impl Strategy<Value = Vec<(u64, u64, Observation)>> {
    let fee = prop_oneof![8 => 0u64..5_000_000, 1 => Just(Msat::MAX.0)];
    prop::collection::vec((0u64..8, fee, observation()), 0..40)
}

proptest! {
    #[test]
    fn scores_are_bounded_and_move_the_right_way(history in history(), who in 0u64..9, fee in 0u64..50_000_000) {
        let before = standing(&history);
        let score = before.score(T0);
        prop_assert!(score.score_ppm <= score.quality_ppm && score.quality_ppm <= 1_000_000 && score.quality_ppm > 0);
        let after = |observation| {
            let mut standing = before.clone();
            standing.observe(T0, PartyId(who), Msat(fee), observation);
            standing.score(T0)
        };
        // One part per million of slack for rounding.
        prop_assert!(after(Observation::Accepted).score_ppm + 1 >= score.score_ppm);
        prop_assert!(after(Observation::Accepted).quality_ppm >= score.quality_ppm);
        for bad in [Observation::Wrong, Observation::Late, Observation::Lost] {
            prop_assert!(after(bad).score_ppm <= score.score_ppm + 1, "{:?}", bad);
            prop_assert!(after(bad).quality_ppm <= score.quality_ppm, "{:?}", bad);
        }
    }

    #[test]
    fn no_counterparty_exceeds_its_share(weights in prop::collection::vec(
        prop_oneof![0u64..20_000_000_000, Just(u64::MAX), Just(0)], 0..12,
    )) {
        // The defining equation, solved by bisection.
        let total = |cap: u128| weights.iter().map(|weight| u128::from(*weight).min(cap)).sum::<u128>();
        let (mut low, mut high) = (0u128, u128::from(u64::MAX) * 16);
        while high - low > 1 {
            let cap = low.midpoint(high);
            if 4 * cap <= 2 * u128::from(ONE) + total(cap) { low = cap } else { high = cap }
        }
        let mut sum = CappedSum::default();
        weights.iter().for_each(|weight| sum.add(*weight));
        let ours = sum.total();
        prop_assert!(ours.abs_diff(total(low)) <= 16, "{ours} for {}", total(low));
    }

    #[test]
    fn forgetting_does_not_depend_on_how_often_it_is_done(
        steps in prop::collection::vec(1u64..500, 1..30), weight in 0u64..1_000_000_000_000,
    ) {
        let hours: u64 = steps.iter().sum();
        let stepwise = steps.iter().fold(weight, |weight, step| decay(weight, decay_factor(*step)));
        let at_once = decay(weight, decay_factor(hours));
        prop_assert!(stepwise.abs_diff(at_once) <= steps.len() as u64 + 1, "{stepwise} for {at_once}");
    }
}

#[test]
fn hourly_forgetting_stays_within_the_documented_bound() {
    let mut weight = 1_000 * ONE;
    for _ in 0..7_200 {
        weight = decay(weight, decay_factor(1));
    }
    assert!(decay(1_000 * ONE, decay_factor(7_200)) - weight <= 1_040);
}
