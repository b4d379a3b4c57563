//! How many paths of a year the Monte Carlo draws in a second, and the quantiles they lead to:
//!
//! ```text
//! cargo run --release -p econ --example monte_carlo_speed [PATHS [SEED]] > rust.json
//! python3 benches/econ/monte_carlo.py rust.json
//! ```
//!
//! The second command runs the same model in numpy and compares both. Prints one JSON object.

use econ::simulate::model::{Conversion, Model, Payout};
use std::time::{Duration, Instant};

/// Each case is run this often; the median counts.
const RUNS: usize = 9;

fn main() {
    let argument = |place| std::env::args().nth(place).map(|text| text.parse::<u32>());
    let paths = argument(1).map_or(10_000, |paths| match paths {
        Ok(paths @ 1..=100_000) => paths,
        _ => panic!("the number of paths is 1 to 100000"),
    });
    let seed = argument(2).map_or(1, |seed| seed.unwrap_or_else(|_| panic!("the seed is a number"))).into();
    let token = |conversion| Payout::Token { drift_per_year: -0.2, volatility_per_year: 0.9, conversion };
    let cases = [
        ("dollars", Payout::Dollars),
        ("token_sold_daily", token(Conversion::Daily)),
        ("token_held", token(Conversion::Held)),
    ];
    let results: serde_json::Map<String, serde_json::Value> = cases
        .into_iter()
        .map(|(name, payout)| {
            let model = Model { payout, ..year() };
            let (took, outcome) = measure(|| model.run(paths, seed));
            let seconds = took.as_secs_f64();
            let result = serde_json::json!({
                "model": model,
                "paths": paths,
                "median_ms": seconds * 1e3,
                "paths_per_second": f64::from(paths) / seconds,
                "net": outcome.net(),
                "mean_net": outcome.mean.net(),
                "loss_probability": outcome.loss_probability,
            });
            (name.to_owned(), result)
        })
        .collect();
    println!("{:#}", serde_json::Value::Object(results));
}

/// A year in which everything that the model knows happens.
fn year() -> Model {
    Model {
        months: 12,
        price_usd_per_hour: 0.45,
        price_drift_per_year: -0.3,
        price_volatility_per_year: 0.4,
        halving: None,
        fee_rate: 0.15,
        utilization_mean: 0.45,
        utilization_concentration: 20.0,
        watts: 450.0,
        idle_watts: 60.0,
        tariff_usd_per_kwh: 0.16,
        tariff_drift_per_year: 0.03,
        fixed_usd_per_month: 5.0,
        failures_per_year: 1.0,
        repair_usd: 150.0,
        downtime_days: 7.0,
        hardware_usd: 2500.0,
        residual_usd: 1700.0,
        payout: Payout::Dollars,
    }
}

fn measure<T>(run: impl Fn() -> T) -> (Duration, T) {
    let mut outcome = run();
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        outcome = run();
        times.push(start.elapsed());
    }
    times.sort();
    (times[RUNS / 2], outcome)
}
