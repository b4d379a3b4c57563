//! Sample points that are spread evenly over each pixel's samples and over neighbouring pixels.
//!
//! Pixels are numbered along a Z curve and share one Owen-scrambled Sobol sequence, so that each aligned square of
//! pixels holds a well-spread set: the error looks like blue noise, which the denoiser removes best. After A. Ahmed
//! and P. Wonka, "Screen-space blue-noise diffusion of Monte Carlo sampling error via hierarchical ordering of
//! pixels" (2020), and B. Burley, "Practical hash-based Owen scrambling" (2020).

/// The stream of sample points of one path. The same pixel and sample give the same points in every frame: what
/// noise is left stands still instead of flickering through the animation.
pub struct Sampler {
    index: u32,
    dimension: u32,
}

impl Sampler {
    /// The stream of sample `sample` (below 2^`samples_log2`) of the pixel at (`x`, `y`). Different `series` (a small
    /// number) are independent of each other.
    #[must_use]
    pub fn new(x: u32, y: u32, sample: u32, samples_log2: u32, series: u32) -> Self {
        let pixel = spread_bits(x) | (spread_bits(y) << 1);
        Self { index: (pixel << samples_log2) | sample, dimension: series << 16 }
    }

    /// The next point of the unit square, each coordinate in 0..1.
    pub fn next_2d(&mut self) -> (f32, f32) {
        let seed = hash(self.dimension);
        self.dimension += 1;
        let index = scramble_low_to_high(self.index.reverse_bits(), seed).reverse_bits();
        // Sobol's first dimension is the index with its bits reversed; scrambling reverses them once more.
        let first = scramble_low_to_high(index, hash(seed ^ 0x68bc_21eb)).reverse_bits();
        let second = scramble_low_to_high(sobol_second(index).reverse_bits(), hash(seed ^ 0x02e5_be93));
        (to_unit(first), to_unit(second.reverse_bits()))
    }
}

/// Sobol's second dimension (the Pascal matrix), by the recurrence of its direction numbers.
fn sobol_second(mut index: u32) -> u32 {
    let mut direction = 1 << 31;
    let mut value = 0;
    while index != 0 {
        value ^= direction & (index & 1).wrapping_neg();
        index >>= 1;
        direction ^= direction >> 1;
    }
    value
}

/// Laine and Karras' permutation: each bit is changed only by the bits below it (constants by N. Vegdahl).
fn scramble_low_to_high(mut value: u32, seed: u32) -> u32 {
    value ^= value.wrapping_mul(0x3d20_adea);
    value = value.wrapping_add(seed);
    value = value.wrapping_mul((seed >> 16) | 1);
    value ^= value.wrapping_mul(0x0552_6c56);
    value ^ value.wrapping_mul(0x53a2_2864)
}

/// A 32-bit integer hash with low bias (C. Wellons' `lowbias32`).
fn hash(mut value: u32) -> u32 {
    value = value.wrapping_add(0x9e37_79b9);
    value = (value ^ (value >> 16)).wrapping_mul(0x7feb_352d);
    value = (value ^ (value >> 15)).wrapping_mul(0x846c_a68b);
    value ^ (value >> 16)
}

/// Puts a zero between any two of the low 16 bits.
fn spread_bits(mut value: u32) -> u32 {
    value &= 0xffff;
    value = (value | (value << 8)) & 0x00ff_00ff;
    value = (value | (value << 4)) & 0x0f0f_0f0f;
    value = (value | (value << 2)) & 0x3333_3333;
    (value | (value << 1)) & 0x5555_5555
}

/// The top 24 bits as a fraction below 1: all that an `f32` can hold exactly.
fn to_unit(bits: u32) -> f32 {
    (bits >> 8) as f32 * (1.0 / 16_777_216.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_aligned_square_of_pixels_fills_every_elementary_interval_once() {
        // 4×4 pixels with 4 samples are 64 points: a (0, 6, 2)-net has one in each cell of an 8×8 grid.
        let mut cells = [0; 64];
        for (x, y, sample) in (0..64).map(|i| (8 + i % 4, 4 + i / 4 % 4, i / 16)) {
            let (u, v) = Sampler::new(x, y, sample, 2, 0).next_2d();
            cells[(u * 8.0) as usize * 8 + (v * 8.0) as usize] += 1;
        }
        assert_eq!(cells, [1; 64]);
    }

    #[test]
    fn dimensions_are_not_correlated() {
        let points: Vec<(f32, f32)> = (0..1024)
            .map(|i| {
                let mut sampler = Sampler::new(i % 32, i / 32, 0, 0, 0);
                (sampler.next_2d().0, sampler.next_2d().0)
            })
            .collect();
        let covariance: f32 = points.iter().map(|(a, b)| (a - 0.5) * (b - 0.5)).sum::<f32>() / 1024.0;
        assert!(covariance.abs() < 0.01, "covariance {covariance}");
    }
}
