//! What came of the paths: quantiles, the chance of a loss, when the hardware has paid for itself.

use serde::Serialize;

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// How many paths there were.
    pub paths: u32,
    /// Net since the start at the end of each month, after the hardware's loss of value; the first entry is the start.
    pub fan: Vec<Quantiles>,
    /// The share of paths that end below zero.
    pub loss_probability: f64,
    /// When what came in, less running costs, has covered the price of the hardware.
    pub payback: Payback,
    /// What the average path is made of.
    pub mean: Breakdown,
}

/// Values that 5, 25, 50, 75 and 95 % of the paths stay below, interpolated as numpy does by default (type 7 of Hyndman
/// and Fan, 1996).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[expect(missing_docs, reason = "the names say the percentage")]
pub struct Quantiles {
    pub p5: f64,
    pub p25: f64,
    pub p50: f64,
    pub p75: f64,
    pub p95: f64,
}

/// When paths pay back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Payback {
    /// How many paths pay back in each month, the first month first.
    pub paths_by_month: Vec<u32>,
    /// How many do not within the months looked at.
    pub never: u32,
}

/// Sums in dollars since the start.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Breakdown {
    /// What renters paid.
    pub gross: f64,
    /// What the market kept of it.
    pub fee: f64,
    /// Electricity.
    pub power: f64,
    /// What is paid come what may.
    pub fixed: f64,
    /// Repairs.
    pub repairs: f64,
    /// What the hardware has lost in value.
    pub depreciation: f64,
}

impl Breakdown {
    /// What is left.
    pub fn net(&self) -> f64 {
        self.gross - self.fee - self.power - self.fixed - self.repairs - self.depreciation
    }

    fn parts(&mut self) -> [&mut f64; 6] {
        let Breakdown { gross, fee, power, fixed, repairs, depreciation } = self;
        [gross, fee, power, fixed, repairs, depreciation]
    }
}

impl Quantiles {
    /// Of values in ascending order, at least one.
    fn of(sorted: &[f64]) -> Quantiles {
        let at = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (below, part) = (place.floor() as usize, place.fract());
            let above = (below + 1).min(sorted.len() - 1);
            sorted[below] + (sorted[above] - sorted[below]) * part
        };
        Quantiles { p5: at(0.05), p25: at(0.25), p50: at(0.5), p75: at(0.75), p95: at(0.95) }
    }
}

impl Payback {
    /// The month by which that share of the paths has paid back, if so many do.
    pub fn month(&self, share: f64) -> Option<u32> {
        let paths = self.never + self.paths_by_month.iter().sum::<u32>();
        let wanted = share * f64::from(paths);
        let sums = self.paths_by_month.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        let month = sums.zip(1..).find(|(sum, _)| *sum > 0 && f64::from(*sum) >= wanted);
        month.map(|(_, month)| month)
    }
}

impl Outcome {
    /// Net after the last month.
    pub fn net(&self) -> Quantiles {
        self.fan.last().copied().unwrap_or_default()
    }
}

/// Gathers paths, one after the other in their order: sums of floats depend on it.
pub(super) struct Collector {
    /// Net by month and path.
    nets: Vec<Vec<f64>>,
    payback: Payback,
    has_paid_back: bool,
    sums: Breakdown,
}

impl Collector {
    pub(super) fn new(months: u32, paths: u32) -> Collector {
        Collector {
            nets: (0..months).map(|_| Vec::with_capacity(paths as usize)).collect(),
            payback: Payback { paths_by_month: vec![0; months as usize], never: 0 },
            has_paid_back: false,
            sums: Breakdown::default(),
        }
    }

    /// Takes where the current path stands at the end of a month; months come in order, the first is 1.
    pub(super) fn end_month(&mut self, month: u32, sums: &Breakdown, hardware_usd: f64) {
        let index = month as usize - 1;
        self.nets[index].push(sums.net());
        if !self.has_paid_back && sums.net() + sums.depreciation >= hardware_usd {
            self.has_paid_back = true;
            self.payback.paths_by_month[index] += 1;
        }
    }

    pub(super) fn end_path(&mut self, mut sums: Breakdown) {
        if !std::mem::take(&mut self.has_paid_back) {
            self.payback.never += 1;
        }
        for (total, sum) in self.sums.parts().into_iter().zip(sums.parts()) {
            *total += *sum;
        }
    }

    pub(super) fn finish(self, paths: u32) -> Outcome {
        let count = f64::from(paths);
        let mut mean = self.sums;
        for part in mean.parts() {
            *part /= count;
        }
        let (mut fan, mut loss_probability) = (vec![Quantiles::default()], 0.0);
        for mut month in self.nets {
            month.sort_unstable_by(f64::total_cmp);
            loss_probability = month.partition_point(|net| *net < 0.0) as f64 / count;
            fan.push(Quantiles::of(&month));
        }
        Outcome { paths, fan, loss_probability, payback: self.payback, mean }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated_as_in_numpy() {
        let values: Vec<f64> = (1..=5).map(f64::from).collect();
        let expected = Quantiles { p5: 1.2, p25: 2.0, p50: 3.0, p75: 4.0, p95: 4.8 };
        assert_eq!(Quantiles::of(&values), expected);
    }

    #[test]
    fn a_payback_that_too_few_paths_reach_has_no_month() {
        let payback = Payback { paths_by_month: vec![0, 10, 0, 30], never: 60 };
        let months = [0.05, 0.10, 0.11, 0.40, 0.50].map(|share| payback.month(share));
        assert_eq!(months, [Some(2), Some(2), Some(4), Some(4), None]);
    }
}
