//! Durations and their percentiles.

use std::time::Duration;

/// Measured durations.
#[derive(Debug, Default, Clone)]
pub struct Samples {
    nanos: Vec<u64>,
}

impl Samples {
    /// Adds one.
    pub fn push(&mut self, sample: Duration) {
        self.nanos.push(u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds all of another's.
    pub fn extend(&mut self, other: &Samples) {
        self.nanos.extend(&other.nanos);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.nanos.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nanos.is_empty()
    }

    /// Sorts them, for percentiles.
    pub fn sorted(mut self) -> Sorted {
        self.nanos.sort_unstable();
        Sorted(self.nanos)
    }
}

/// Durations in order.
#[derive(Debug, Clone)]
pub struct Sorted(Vec<u64>);

impl Sorted {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The smallest duration that at least `per_mille` of 1,000 are not above; zero when there are none.
    pub fn per_mille(&self, per_mille: usize) -> Duration {
        let rank = (self.0.len() * per_mille).div_ceil(1_000).max(1) - 1;
        Duration::from_nanos(self.0.get(rank).copied().unwrap_or(0))
    }

    /// p50, p99 and p99.9.
    pub fn percentiles(&self) -> [Duration; 3] {
        [500, 990, 999].map(|per_mille| self.per_mille(per_mille))
    }
}

/// The middle one of several measurements of the same thing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
