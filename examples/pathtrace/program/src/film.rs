//! From light to bytes: exposure, tone curve, sRGB, PNG.

use std::io::Write;

use glam::Vec3;

/// Entries of the table from linear light (by its square root) to sRGB levels.
const LEVELS: usize = 2048;
const EXPOSURE: f32 = 0.78;

/// Maps radiance to sRGB bytes.
pub struct ToneCurve {
    /// sRGB level 0..=255 for a linear value of (i / (LEVELS - 1))².
    levels: Vec<f32>,
}

impl ToneCurve {
    /// Computes the table.
    #[must_use]
    pub fn new() -> Self {
        let encode = |linear: f32| {
            if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * libm::powf(linear, 1.0 / 2.4) - 0.055 }
        };
        let root = |index: usize| index as f32 / (LEVELS - 1) as f32;
        Self { levels: (0..LEVELS).map(|index| encode(root(index) * root(index)) * 255.0).collect() }
    }

    /// The bytes of the pixel at (`x`, `y`), with half a level of ordered dither against bands in smooth gradients.
    #[must_use]
    pub fn develop(&self, radiance: Vec3, x: usize, y: usize) -> [u8; 3] {
        const BAYER: [[f32; 4]; 4] =
            [[0.0, 8.0, 2.0, 10.0], [12.0, 4.0, 14.0, 6.0], [3.0, 11.0, 1.0, 9.0], [15.0, 7.0, 13.0, 5.0]];
        let dither = (BAYER[y % 4][x % 4] + 0.5) / 16.0;
        filmic(radiance * EXPOSURE).to_array().map(|linear| {
            let index = (linear.clamp(0.0, 1.0).sqrt() * (LEVELS - 1) as f32 + 0.5) as usize;
            (self.levels[index.min(LEVELS - 1)] + dither) as u8
        })
    }
}

impl Default for ToneCurve {
    fn default() -> Self {
        Self::new()
    }
}

/// K. Narkowicz's fit of the ACES film curve (2015): highlights roll off instead of clipping.
fn filmic(x: Vec3) -> Vec3 {
    (x * (x * 2.51 + 0.03)) / (x * (x * 2.43 + 0.59) + 0.14)
}

/// Writes a PNG.
///
/// # Errors
/// The writer's own, or that `rgb` does not hold `width` × `height` pixels.
pub fn write_png(target: impl Write, width: u32, height: u32, rgb: &[u8]) -> Result<(), png::EncodingError> {
    let mut encoder = png::Encoder::new(target, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()
}
