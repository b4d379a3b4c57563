//! Random draws that are the same on every platform.
//!
//! The generator is ChaCha8; a path has a stream of its own, so that it does not depend on how many others there are or
//! who computes them. `rand_distr` is not used here because it calls the platform's `ln` and `exp`, whose last bits
//! differ between systems; `libm` computes them in Rust, and `+ - × ÷ √` are exact everywhere (IEEE 754).

use rand::RngCore;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// The draws of one path.
pub(super) struct Draws {
    rng: ChaCha8Rng,
    spare_normal: Option<f64>,
}

impl Draws {
    /// The stream of a path under a seed.
    pub(super) fn new(seed: u64, path: u64) -> Draws {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(path);
        Draws { rng, spare_normal: None }
    }

    /// Uniform between 0 and 1, neither of them included.
    pub(super) fn uniform(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1u64 << 52) as f64;
        ((self.rng.next_u64() >> 12) as f64 + 0.5) * STEP
    }

    /// Normal with mean 0 and variance 1, by the polar method (Marsaglia and Bray, 1964).
    pub(super) fn normal(&mut self) -> f64 {
        if let Some(normal) = self.spare_normal.take() {
            return normal;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 {
                let scale = (-2.0 * libm::log(square) / square).sqrt();
                self.spare_normal = Some(y * scale);
                return x * scale;
            }
        }
    }

    /// Gamma with scale 1 (Marsaglia and Tsang, 2000); below shape 1 by their boost.
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = libm::pow(self.uniform(), 1.0 / shape);
            return self.gamma(shape + 1.0) * boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let normal = self.normal();
            let root = 1.0 + c * normal;
            let cube = root * root * root;
            if root <= 0.0 {
                continue;
            }
            let (uniform, square) = (self.uniform(), normal * normal);
            // Accepts nearly always, without a logarithm; what it accepts, the line after it would, too.
            if uniform < 1.0 - 0.0331 * square * square
                || libm::log(uniform) < 0.5 * square + d - d * cube + d * libm::log(cube)
            {
                return d * cube;
            }
        }
    }

    /// Beta, as the share of one gamma in two. One of the two parameters is at least 1.
    pub(super) fn beta(&mut self, alpha: f64, beta: f64) -> f64 {
        let (one, other) = (self.gamma(alpha), self.gamma(beta));
        one / (one + other)
    }

    /// Poisson, by multiplying uniforms until they fall below `exp(-mean)` (Knuth, TAOCP 3.4.1); for small means.
    pub(super) fn poisson(&mut self, exp_of_minus_mean: f64) -> u32 {
        let (mut count, mut product) = (0, self.uniform());
        while product > exp_of_minus_mean {
            product *= self.uniform();
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of many draws.
    fn moments(mut draw: impl FnMut(&mut Draws) -> f64) -> (f64, f64) {
        const COUNT: usize = 200_000;
        let mut draws = Draws::new(1, 0);
        let values: Vec<f64> = (0..COUNT).map(|_| draw(&mut draws)).collect();
        let mean = values.iter().sum::<f64>() / COUNT as f64;
        (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / COUNT as f64)
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        let exp = libm::exp(-0.7);
        let beta = |a: f64, b: f64| (a / (a + b), a * b / ((a + b) * (a + b) * (a + b + 1.0)));
        let cases = [
            ("uniform", moments(Draws::uniform), (0.5, 1.0 / 12.0)),
            ("normal", moments(Draws::normal), (0.0, 1.0)),
            ("beta", moments(|draws| draws.beta(9.0, 11.0)), beta(9.0, 11.0)),
            ("beta below one", moments(|draws| draws.beta(0.2, 1.8)), beta(0.2, 1.8)),
            ("poisson", moments(|draws| f64::from(draws.poisson(exp))), (0.7, 0.7)),
        ];
        for (name, (mean, variance), (true_mean, true_variance)) in cases {
            assert!((mean - true_mean).abs() < 0.01, "{name}: mean {mean}, not {true_mean}");
            assert!(
                (variance - true_variance).abs() < 0.015,
                "{name}: variance {variance}, not {true_variance}"
            );
        }
    }

    #[test]
    fn the_first_draws_of_a_seed_are_known() {
        let mut draws = Draws::new(42, 7);
        let bits = [draws.uniform(), draws.normal(), draws.beta(9.0, 11.0)].map(f64::to_bits);
        assert_eq!(bits, [4593797953228562196, 13833065431725548813, 4603318800242483812]);
    }
}
