//! The finished film: frames as PNG, and all of them as an animated PNG and an animated GIF.

use std::{
    fs::File,
    io::{BufWriter, Cursor},
    path::{Path, PathBuf},
};

/// How long a frame is shown, in hundredths of a second (what GIF counts in).
const FRAME_CENTISECONDS: u16 = 8;

/// Why there is no film.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilmError {
    /// A frame is not a PNG that can be read.
    #[error("{frame} is not a picture that can be read: {source}")]
    BadFrame {
        /// Which.
        frame: String,
        /// Why.
        source: png::DecodingError,
    },
    /// Frames differ in size or colors.
    #[error("{0} has another size or other colors than the first frame")]
    OddFrame(String),
    /// There are none.
    #[error("there are no frames")]
    NoFrames,
    /// The film cannot be written.
    #[error("cannot write {file}: {reason}")]
    Write {
        /// Where.
        file: PathBuf,
        /// Why.
        reason: String,
    },
}

/// A picture with 8-bit red, green and blue.
#[derive(Debug)]
pub(crate) struct Picture {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

/// Reads a frame.
pub(crate) fn decode(frame: &str, bytes: &[u8]) -> Result<Picture, FilmError> {
    let bad = |source| FilmError::BadFrame { frame: frame.to_owned(), source };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: 256 << 20 });
    decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(bad)?;
    let size = reader.output_buffer_size().ok_or_else(|| FilmError::OddFrame(frame.to_owned()))?;
    let mut rgb = vec![0; size];
    let info = reader.next_frame(&mut rgb).map_err(bad)?;
    rgb.truncate(info.buffer_size());
    if info.color_type != png::ColorType::Rgb {
        return Err(FilmError::OddFrame(frame.to_owned()));
    }
    Ok(Picture { width: info.width, height: info.height, rgb })
}

/// Writes an animated PNG (lossless) that repeats for ever.
pub(crate) fn write_apng(file: &Path, pictures: &[Picture]) -> Result<(), FilmError> {
    let first = pictures.first().ok_or(FilmError::NoFrames)?;
    let failed =
        |error: &dyn std::fmt::Display| FilmError::Write { file: file.to_owned(), reason: error.to_string() };
    let out = BufWriter::new(File::create(file).map_err(|e| failed(&e))?);
    let mut encoder = png::Encoder::new(out, first.width, first.height);
    encoder.set_color(png::ColorType::Rgb);
    let frames = u32::try_from(pictures.len()).map_err(|e| failed(&e))?;
    encoder.set_animated(frames, 0).map_err(|e| failed(&e))?;
    encoder.set_frame_delay(FRAME_CENTISECONDS, 100).map_err(|e| failed(&e))?;
    let mut writer = encoder.write_header().map_err(|e| failed(&e))?;
    for picture in pictures {
        writer.write_image_data(&picture.rgb).map_err(|e| failed(&e))?;
    }
    writer.finish().map_err(|e| failed(&e))
}

/// Writes an animated GIF (256 colors a frame) that repeats for ever.
pub(crate) fn write_gif(file: &Path, pictures: &[Picture]) -> Result<(), FilmError> {
    let first = pictures.first().ok_or(FilmError::NoFrames)?;
    let failed =
        |error: &dyn std::fmt::Display| FilmError::Write { file: file.to_owned(), reason: error.to_string() };
    let (width, height) = (first.width, first.height);
    let size = |n: u32| u16::try_from(n).map_err(|e| failed(&e));
    let (columns, rows) = (size(width)?, size(height)?);
    let out = BufWriter::new(File::create(file).map_err(|e| failed(&e))?);
    let mut encoder = gif::Encoder::new(out, columns, rows, &[]).map_err(|e| failed(&e))?;
    encoder.set_repeat(gif::Repeat::Infinite).map_err(|e| failed(&e))?;
    for (number, picture) in pictures.iter().enumerate() {
        if (picture.width, picture.height) != (width, height) {
            return Err(FilmError::OddFrame(format!("frame {number}")));
        }
        // 1 is the best palette, 30 the fastest.
        let mut frame = gif::Frame::from_rgb_speed(columns, rows, &picture.rgb, 10);
        frame.delay = FRAME_CENTISECONDS;
        encoder.write_frame(&frame).map_err(|e| failed(&e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(shade: u8) -> Picture {
        Picture { width: 4, height: 2, rgb: vec![shade; 24] }
    }

    #[test]
    fn a_film_has_all_its_frames() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = [picture(10), picture(200), picture(90)];
        let (apng, gif_file) = (folder.path().join("film.png"), folder.path().join("film.gif"));
        write_apng(&apng, &pictures).unwrap();
        write_gif(&gif_file, &pictures).unwrap();
        let reader =
            png::Decoder::new(std::io::BufReader::new(File::open(&apng).unwrap())).read_info().unwrap();
        assert_eq!(reader.info().animation_control().unwrap().num_frames, 3);
        let mut decoder = gif::DecodeOptions::new().read_info(File::open(&gif_file).unwrap()).unwrap();
        let mut frames = 0;
        while decoder.read_next_frame().unwrap().is_some() {
            frames += 1;
        }
        assert_eq!(frames, 3);
    }

    #[test]
    fn what_is_not_a_picture_is_named() {
        let error = decode("frame-003.png", b"not a picture").unwrap_err();
        assert!(error.to_string().starts_with("frame-003.png is not a picture"), "{error}");
    }
}
