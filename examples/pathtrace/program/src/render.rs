//! From a studio to the pixels of one frame.

use glam::Vec3;

use crate::bvh::Ray;
use crate::denoise::{self, Guide, Layer};
use crate::film;
use crate::light::{Sample, camera_sample};
use crate::sampler::Sampler;
use crate::studio::Studio;

/// Size and effort of a picture.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Camera rays per pixel; difficult pixels get [`EXTRA_FACTOR`] times as many.
    pub samples: u32,
}

/// A finished frame.
pub struct Picture {
    /// sRGB, three bytes a pixel, rows from the top.
    pub rgb: Vec<u8>,
    /// How many rays were traced.
    pub rays: u64,
}

/// Samples of a pixel on an edge or with a noisy reflection, as a multiple of the others'.
pub const EXTRA_FACTOR: u32 = 4;

/// Where the picture is taken from.
struct Camera {
    eye: Vec3,
    forward: Vec3,
    right: Vec3,
    up: Vec3,
    /// Size of a pixel at distance 1.
    pixel: f32,
    width: f32,
    height: f32,
}

impl Camera {
    /// Looks down a little at a mesh of that height, so that its turning circle fits the picture.
    fn new(studio: &Studio, settings: &Settings) -> Self {
        const ELEVATION: f32 = 0.36;
        const HALF_FIELD_OF_VIEW: f32 = 0.21;
        let (width, height) = (settings.width as f32, settings.height as f32);
        let middle = Vec3::new(0.0, studio.height * 0.38, 0.0);
        let (sin, cos) = libm::sincosf(ELEVATION);
        let half_height = (studio.height * 0.5 * cos + sin) * 1.02;
        let fitting_height = half_height.max(1.04 * height / width);
        let tangent = libm::tanf(HALF_FIELD_OF_VIEW);
        let eye = middle + Vec3::new(0.0, sin, cos) * (fitting_height / tangent + 0.2);
        let forward = (middle - eye).normalize();
        let right = forward.cross(Vec3::Y).normalize();
        Self { eye, forward, right, up: right.cross(forward), pixel: 2.0 * tangent / height, width, height }
    }

    /// The ray through the point (`x`, `y`) of the picture, in pixels from the upper left.
    fn ray(&self, x: f32, y: f32) -> Ray {
        let across = (x - self.width * 0.5) * self.pixel;
        let down = (y - self.height * 0.5) * self.pixel;
        Ray { origin: self.eye, direction: (self.forward + self.right * across - self.up * down).normalize() }
    }
}

/// The sums over a pixel's samples.
#[derive(Clone, Copy, Default)]
struct Pixel {
    emission: Vec3,
    diffuse: Vec3,
    albedo: Vec3,
    reflection: Vec3,
    /// Squared luminance of irradiance and of reflection: for the variance.
    squares: (f32, f32),
    normal: Vec3,
    position: Vec3,
    distance: f32,
    samples: f32,
}

impl Pixel {
    fn add(&mut self, sample: &Sample) {
        self.emission += sample.emission;
        self.diffuse += sample.albedo * sample.irradiance;
        self.albedo += sample.albedo;
        self.reflection += sample.reflection;
        let bright = (denoise::luminance(sample.irradiance), denoise::luminance(sample.reflection));
        self.squares = (self.squares.0 + bright.0 * bright.0, self.squares.1 + bright.1 * bright.1);
        self.normal += sample.normal;
        self.position += sample.position;
        self.distance += sample.distance;
        self.samples += 1.0;
    }

    /// Whether its samples of the reflection differ by more than an eye forgives.
    fn reflection_deviates(&self) -> bool {
        const MOST_VARIANCE: f32 = 0.02;
        let mean = denoise::luminance(self.reflection) / self.samples;
        self.squares.1 / self.samples - mean * mean > MOST_VARIANCE
    }
}

/// Renders a frame. `progress` hears the share that is done, once in a while.
pub fn render(studio: &Studio, settings: &Settings, progress: &mut dyn FnMut(f32)) -> Picture {
    let camera = Camera::new(studio, settings);
    let (width, height) = (settings.width as usize, settings.height as usize);
    let mut pixels = vec![Pixel::default(); width * height];
    let mut rays = 0u64;
    let mut sample_pixel = |pixel: &mut Pixel, x: usize, y: usize, samples: u32, series: u32| {
        let log2 = samples.next_power_of_two().trailing_zeros();
        for sample in 0..samples {
            let mut sampler = Sampler::new(x as u32, y as u32, sample, log2, series);
            let (dx, dy) = sampler.next_2d();
            let ray = camera.ray(x as f32 + dx, y as f32 + dy);
            let seen = camera_sample(studio, &ray, &mut sampler);
            rays += u64::from(seen.rays);
            pixel.add(&seen);
        }
    };
    for y in 0..height {
        if y.is_multiple_of(height.div_ceil(4)) {
            progress(0.8 * y as f32 / height as f32);
        }
        for x in 0..width {
            sample_pixel(&mut pixels[y * width + x], x, y, settings.samples, 0);
        }
    }
    progress(0.8);
    for index in difficult_pixels(&pixels, width) {
        let extra = settings.samples * (EXTRA_FACTOR - 1);
        sample_pixel(&mut pixels[index], index % width, index / width, extra, 1);
    }
    progress(0.9);
    Picture { rgb: develop(&pixels, width, camera.pixel), rays }
}

/// Pixels whose neighbour shows another surface, where jagged edges come from, and pixels whose reflections disagree.
fn difficult_pixels(pixels: &[Pixel], width: usize) -> Vec<usize> {
    let differ = |a: &Pixel, b: &Pixel| {
        let (near, far) = (a.distance.min(b.distance), a.distance.max(b.distance));
        let squared_length = a.normal.length_squared().max(b.normal.length_squared());
        far > near * 1.02 || a.normal.dot(b.normal) < 0.85 * squared_length
    };
    let mut chosen: Vec<bool> = pixels.iter().map(|pixel| pixel.reflection_deviates()).collect();
    for (index, pixel) in pixels.iter().enumerate() {
        let right = (index % width + 1 < width).then_some(index + 1);
        let below = (index + width < pixels.len()).then_some(index + width);
        for neighbour in [right, below].into_iter().flatten() {
            if differ(pixel, &pixels[neighbour]) {
                chosen[index] = true;
                chosen[neighbour] = true;
            }
        }
    }
    (0..pixels.len()).filter(|&index| chosen[index]).collect()
}

/// Denoises and tone-maps.
fn develop(pixels: &[Pixel], width: usize, pixel_size: f32) -> Vec<u8> {
    let height = pixels.len() / width;
    let mut guide = Guide::new(width, height);
    let mut diffuse = Layer::new(&guide);
    let mut reflection = Layer::new(&guide);
    for (index, pixel) in pixels.iter().enumerate() {
        let (x, y) = (index % width, index / width);
        let share = 1.0 / pixel.samples;
        let irradiance = pixel.diffuse / pixel.albedo.max(Vec3::splat(1e-4));
        guide.set(x, y, pixel.normal * share, pixel.position * share, pixel.distance * share * pixel_size);
        diffuse.set(&guide, (x, y), irradiance, pixel.squares.0 * share);
        reflection.set(&guide, (x, y), pixel.reflection * share, pixel.squares.1 * share);
    }
    diffuse.denoise(&guide, &denoise::DIFFUSE);
    reflection.denoise(&guide, &denoise::REFLECTION);
    let tone = film::ToneCurve::new();
    let mut rgb = Vec::with_capacity(pixels.len() * 3);
    for (index, pixel) in pixels.iter().enumerate() {
        let (x, y) = (index % width, index / width);
        let share = 1.0 / pixel.samples;
        let diffuse = pixel.albedo * share * diffuse.get(&guide, (x, y));
        let radiance = pixel.emission * share + diffuse + reflection.get(&guide, (x, y));
        rgb.extend(tone.develop(radiance, x, y));
    }
    rgb
}
