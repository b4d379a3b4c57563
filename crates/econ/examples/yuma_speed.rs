//! How many Yuma 3 epochs of 256 validators and 256 miners run in a second, and the dividends that they lead to:
//!
//! ```text
//! cargo run --release -p econ --example yuma_speed [EPOCHS] > rust.json
//! python3 benches/econ/yuma.py rust.json
//! ```
//!
//! The second command runs the same epochs in numpy and compares both. Prints one JSON object.

use econ::mechanism::yuma::{Matrix, run_shifting};
use std::time::Instant;

/// Validators, and miners.
const SIZE: usize = 256;
/// The run is timed this often; the median counts.
const RUNS: usize = 5;

fn main() {
    let epochs = std::env::args().nth(1).map_or(Ok(1_000), |epochs| epochs.parse::<usize>());
    let epochs = epochs.unwrap_or_else(|_| panic!("the number of epochs is a number"));
    // The same whole numbers as in the Python file, before they are brought to a sum of one.
    let weight =
        |row: usize, column: usize| ((row * 7_919 + column * 104_729 + row * column * 31) % 1_000 + 1) as f64;
    let rows: Vec<Vec<f64>> =
        (0..SIZE).map(|row| (0..SIZE).map(|column| weight(row, column)).collect()).collect();
    let weights = Matrix::from_rows(&rows).unwrap_or_else(|| unreachable!("all rows are as long"));
    let total: f64 = (0..SIZE).map(|row| (row % 17 + 1) as f64).sum();
    let stake: Vec<f64> = (0..SIZE).map(|row| (row % 17 + 1) as f64 / total).collect();
    let mut dividends = run_shifting(epochs, &stake, &weights);
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        dividends = run_shifting(epochs, &stake, &weights);
        times.push(start.elapsed());
    }
    times.sort();
    let seconds = times[RUNS / 2].as_secs_f64();
    let result = serde_json::json!({
        "size": SIZE,
        "epochs": epochs,
        "epochs_per_second": epochs as f64 / seconds,
        "dividends": dividends,
    });
    println!("{result}");
}
