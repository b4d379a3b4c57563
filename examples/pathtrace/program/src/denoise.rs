//! An edge-avoiding à-trous wavelet filter.
//!
//! H. Dammertz et al., "Edge-avoiding à-trous wavelet transform for fast global illumination filtering" (2010), with
//! the variance-guided luminance weight of C. Schied et al., "Spatiotemporal variance-guided filtering" (2017).
//! Each pass averages a pixel with neighbours that lie on the same plane, face the same way and are as bright as the
//! noise allows; the distance to the neighbours doubles from pass to pass. Four pixels of a row at a time.

use glam::Vec3;
use wide::f32x4;

/// How a layer is filtered.
pub struct Strength {
    /// Passes; the last reaches 2^(passes-1) pixels far.
    passes: u32,
    /// How many standard deviations apart two pixels may be before they stop mixing.
    deviations: f32,
    /// Squarings of the cosine between two normals: more keep finer relief.
    normal_squarings: u32,
}

/// Diffuse light is soft, except at the edge of a shadow.
pub const DIFFUSE: Strength = Strength { passes: 5, deviations: 2.5, normal_squarings: 5 };
/// Reflections are sharp.
pub const REFLECTION: Strength = Strength { passes: 3, deviations: 1.5, normal_squarings: 7 };

/// Room around the picture, so that no neighbour of a neighbour lies outside of the planes. A multiple of 4.
const MARGIN: usize = 32;
const LANES: usize = 4;
/// A pixel may be this many standard deviations brighter than those around it.
const MOST_DEVIATIONS: f32 = 1.5;

/// Brightness as the eye weighs it (Rec. 709).
#[must_use]
pub fn luminance(colour: Vec3) -> f32 {
    colour.dot(Vec3::new(0.2126, 0.7152, 0.0722))
}

/// What surface each pixel shows, one plane of numbers each.
pub struct Guide {
    width: usize,
    height: usize,
    stride: usize,
    normal: [Vec<f32>; 3],
    position: [Vec<f32>; 3],
    /// Size of the pixel on the surface, in the scene's unit.
    footprint: Vec<f32>,
}

impl Guide {
    /// An empty guide: no pixel shows anything.
    #[must_use]
    pub fn new(width: usize, height: usize) -> Self {
        let stride = width.next_multiple_of(LANES) + 2 * MARGIN;
        let plane = || vec![0.0; stride * (height + 2 * MARGIN)];
        Self {
            width,
            height,
            stride,
            normal: std::array::from_fn(|_| plane()),
            position: std::array::from_fn(|_| plane()),
            footprint: plane(),
        }
    }

    /// Describes the pixel at (`x`, `y`). A normal of length 0 keeps it out of the filter.
    pub fn set(&mut self, x: usize, y: usize, normal: Vec3, position: Vec3, footprint: f32) {
        let index = self.index(x, y);
        for axis in 0..3 {
            self.normal[axis][index] = normal[axis];
            self.position[axis][index] = position[axis];
        }
        self.footprint[index] = footprint;
    }

    fn index(&self, x: usize, y: usize) -> usize {
        (y + MARGIN) * self.stride + x + MARGIN
    }

    fn geometry(&self, at: usize) -> ([f32x4; 3], [f32x4; 3]) {
        let load3 =
            |planes: &[Vec<f32>; 3]| -> [f32x4; 3] { std::array::from_fn(|axis| load(&planes[axis], at)) };
        (load3(&self.normal), load3(&self.position))
    }
}

/// Noisy light, one plane of numbers each: red, green, blue, variance.
pub struct Layer {
    planes: [Vec<f32>; 4],
}

impl Layer {
    /// A black layer of the guide's size.
    #[must_use]
    pub fn new(guide: &Guide) -> Self {
        Self { planes: std::array::from_fn(|_| vec![0.0; guide.footprint.len()]) }
    }

    /// Sets a pixel to the mean of its samples; `mean_square` is the mean of their squared luminance.
    pub fn set(&mut self, guide: &Guide, (x, y): (usize, usize), mean: Vec3, mean_square: f32) {
        let index = guide.index(x, y);
        for axis in 0..3 {
            self.planes[axis][index] = mean[axis];
        }
        self.planes[3][index] = mean_square;
    }

    /// The pixel at (`x`, `y`).
    #[must_use]
    pub fn get(&self, guide: &Guide, (x, y): (usize, usize)) -> Vec3 {
        let index = guide.index(x, y);
        Vec3::from_array(std::array::from_fn(|axis| self.planes[axis][index]))
    }

    /// Filters the layer in place.
    pub fn denoise(&mut self, guide: &Guide, strength: &Strength) {
        let lit = self.lit_groups(guide);
        self.estimate_variance(guide, strength, &lit);
        let mut target = Self::new(guide);
        for pass in 0..strength.passes {
            self.filter_into(&mut target, guide, strength, 1 << pass, &lit);
            std::mem::swap(self, &mut target);
        }
    }

    /// The index of the first of each four pixels of a row, where any of them has light. The others show the backdrop
    /// or, in a layer of reflections, a surface that reflects nothing: they stay black.
    fn lit_groups(&self, guide: &Guide) -> Vec<usize> {
        (0..guide.height)
            .flat_map(|y| (0..guide.width).step_by(LANES).map(move |x| guide.index(x, y)))
            .filter(|&at| load(&self.planes[3], at).simd_gt(f32x4::ZERO).any())
            .collect()
    }

    /// Turns the plane of mean squares into the variance around each pixel: a few samples of one pixel say too
    /// little, so neighbours on the same surface count as samples too. A pixel that outshines them all is dimmed,
    /// because the filter would take it for a detail and keep it.
    fn estimate_variance(&mut self, guide: &Guide, strength: &Strength, lit: &[usize]) {
        let brightness: Vec<f32> = (0..self.planes[3].len())
            .map(|index| {
                luminance(Vec3::new(self.planes[0][index], self.planes[1][index], self.planes[2][index]))
            })
            .collect();
        let mut variance = vec![0.0; brightness.len()];
        for &at in lit {
            let centre = guide.geometry(at);
            let reach = reach(guide, at, 2);
            let (mut weights, mut mean, mut square) = (f32x4::splat(1e-6), f32x4::ZERO, f32x4::ZERO);
            for (neighbour, _) in neighbours(guide, at, 2).chain(neighbours(guide, at, 1)) {
                let weight = same_surface(&centre, &guide.geometry(neighbour), reach, strength);
                weights += weight;
                mean += weight * load(&brightness, neighbour);
                square += weight * load(&self.planes[3], neighbour);
            }
            let known = (weights * f32x4::splat(2.0)).fast_min(f32x4::ONE);
            let (mean, square) = (mean / weights, square / weights);
            let spread = (square - mean * mean).fast_max(f32x4::ZERO);
            store(&mut variance, at, spread);
            let brightest = mean + spread.sqrt() * f32x4::splat(MOST_DEVIATIONS);
            let own = load(&brightness, at) + f32x4::splat(1e-6);
            let dimmed = (brightest / own).fast_min(f32x4::ONE);
            let scale = dimmed * known + (f32x4::ONE - known);
            for plane in self.planes.iter_mut().take(3) {
                let value = load(plane, at) * scale;
                store(plane, at, value);
            }
        }
        self.planes[3] = variance;
    }

    fn filter_into(&self, target: &mut Self, guide: &Guide, strength: &Strength, step: usize, lit: &[usize]) {
        let tolerance = f32x4::splat(strength.deviations * strength.deviations);
        for &at in lit {
            let centre = guide.geometry(at);
            let reach = reach(guide, at, step);
            let own: [f32x4; 4] = std::array::from_fn(|plane| load(&self.planes[plane], at));
            let brightness = luminance_lanes(&own);
            let closeness = f32x4::ONE
                / (own[3] * tolerance + brightness * brightness * f32x4::splat(2e-4) + f32x4::splat(1e-6));
            let middle = f32x4::splat(0.25);
            let mut weights = middle;
            let mut sums = [own[0] * middle, own[1] * middle, own[2] * middle, own[3] * middle * middle];
            for (neighbour, kernel) in neighbours(guide, at, step) {
                let other: [f32x4; 4] = std::array::from_fn(|plane| load(&self.planes[plane], neighbour));
                let difference = luminance_lanes(&other) - brightness;
                let alike = (f32x4::ONE - difference * difference * closeness * f32x4::splat(0.25))
                    .fast_max(f32x4::ZERO);
                let surface = same_surface(&centre, &guide.geometry(neighbour), reach, strength);
                let weight = f32x4::splat(kernel) * surface * alike * alike;
                weights += weight;
                for (sum, value) in sums.iter_mut().zip(&other).take(3) {
                    *sum += *value * weight;
                }
                sums[3] += other[3] * weight * weight;
            }
            let share = f32x4::ONE / weights;
            for (plane, sum) in target.planes.iter_mut().zip(sums).take(3) {
                store(plane, at, sum * share);
            }
            store(&mut target.planes[3], at, sums[3] * share * share);
        }
    }
}

/// The eight neighbours at `step` pixels' distance and their share in a Gaussian of 3×3.
fn neighbours(guide: &Guide, at: usize, step: usize) -> impl Iterator<Item = (usize, f32)> {
    let rows = [at - step * guide.stride, at, at + step * guide.stride];
    const KERNEL: [(usize, usize, f32); 8] = [
        (0, 0, 0.0625),
        (0, 1, 0.125),
        (0, 2, 0.0625),
        (1, 0, 0.125),
        (1, 2, 0.125),
        (2, 0, 0.0625),
        (2, 1, 0.125),
        (2, 2, 0.0625),
    ];
    KERNEL.into_iter().map(move |(row, column, weight)| (rows[row] + column * step - step, weight))
}

/// One over the distance from a pixel's plane at which a neighbour no longer belongs to it.
fn reach(guide: &Guide, at: usize, step: usize) -> f32x4 {
    f32x4::ONE / (load(&guide.footprint, at) * f32x4::splat(1.5 * step as f32) + f32x4::splat(1e-6))
}

type Geometry = ([f32x4; 3], [f32x4; 3]);

/// How much two pixels show the same surface: 0..=1.
fn same_surface(centre: &Geometry, other: &Geometry, reach: f32x4, strength: &Strength) -> f32x4 {
    let (normal, position) = centre;
    let mut facing = normal[0] * other.0[0] + normal[1] * other.0[1] + normal[2] * other.0[2];
    facing = facing.fast_max(f32x4::ZERO);
    for _ in 0..strength.normal_squarings {
        facing = facing * facing;
    }
    let height = normal[0] * (other.1[0] - position[0])
        + normal[1] * (other.1[1] - position[1])
        + normal[2] * (other.1[2] - position[2]);
    facing * (f32x4::ONE - height.abs() * reach).fast_max(f32x4::ZERO)
}

fn luminance_lanes(rgb: &[f32x4; 4]) -> f32x4 {
    rgb[0] * f32x4::splat(0.2126) + rgb[1] * f32x4::splat(0.7152) + rgb[2] * f32x4::splat(0.0722)
}

fn load(plane: &[f32], at: usize) -> f32x4 {
    let group = &plane[at..at + LANES];
    f32x4::from([group[0], group[1], group[2], group[3]])
}

fn store(plane: &mut [f32], at: usize, value: f32x4) {
    plane[at..at + LANES].copy_from_slice(&value.to_array());
}
