//! The command: see `--help`. Exit codes: 0 the frame is written, 1 the system failed (a file cannot be written),
//! 2 the arguments or the input are wrong.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pathtrace::film;
use pathtrace::obj::{self, ParseError};
use pathtrace::render::{Settings, render};
use pathtrace::studio::Studio;

const HELP: &str = "\
Renders one frame of a turntable animation of an OBJ mesh.

Usage: pathtrace --scene FILE --frame N --frames M --out FILE [--width W] [--height H] [--samples S]

  --scene FILE   the mesh (OBJ); material libraries that it names lie beside it
  --frame N      which frame, from 0
  --frames M     how many frames make one turn
  --out FILE     the PNG to write; ### in it becomes the frame with as many digits
  --width W      pixels, 1 to 4096 [default: 480]
  --height H     pixels, 1 to 4096 [default: 360]
  --samples S    camera rays per pixel, 1 to 64; a power of two is best [default: 2]
";

/// The largest width and height: the sampler numbers pixels with 12 bits each way.
const MOST_PIXELS: u32 = 4096;
/// And a pixel's samples, extra ones included, with 8 bits.
const MOST_SAMPLES: u32 = 64;

struct Arguments {
    scene: PathBuf,
    frame: u32,
    frames: u32,
    out: PathBuf,
    settings: Settings,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}; see --help")]
    Arguments(String),
    #[error("cannot read the scene {}: {source}; list it among the job's input files", path.display())]
    Scene { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Mesh(#[from] ParseError),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: Box<dyn std::error::Error> },
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Arguments(_) | Self::Scene { .. } | Self::Mesh(_) => ExitCode::from(2),
            Self::Write { .. } => ExitCode::from(1),
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("pathtrace: {failure}");
            failure.exit_code()
        }
    }
}

fn run() -> Result<(), Failure> {
    let Some(arguments) = parse_arguments(lexopt::Parser::from_env())? else {
        print!("{HELP}");
        return Ok(());
    };
    let text = fs::read_to_string(&arguments.scene)
        .map_err(|source| Failure::Scene { path: arguments.scene.clone(), source })?;
    let folder = arguments.scene.parent().unwrap_or(Path::new(""));
    let name = arguments.scene.display().to_string();
    let mesh = obj::parse_obj(&name, &text, &|library| fs::read_to_string(folder.join(library)))?;
    let studio = Studio::new(&mesh, arguments.frame as f32 / arguments.frames as f32);
    let frame = arguments.frame;
    let picture = render(&studio, &arguments.settings, &mut |share| {
        eprintln!("frame {frame}: {:.0} %", share * 100.0);
    });
    write_picture(&arguments, &picture.rgb)?;
    println!(
        "frame {frame} of {}: {} triangles, {} rays, {}x{} -> {}",
        arguments.frames,
        mesh.triangles.len(),
        picture.rays,
        arguments.settings.width,
        arguments.settings.height,
        arguments.out.display(),
    );
    Ok(())
}

fn write_picture(arguments: &Arguments, rgb: &[u8]) -> Result<(), Failure> {
    let failed = |source: Box<dyn std::error::Error>| Failure::Write { path: arguments.out.clone(), source };
    let file = File::create(&arguments.out).map_err(|error| failed(error.into()))?;
    film::write_png(BufWriter::new(file), arguments.settings.width, arguments.settings.height, rgb)
        .map_err(|error| failed(error.into()))
}

/// `None` when only help is asked for.
fn parse_arguments(mut parser: lexopt::Parser) -> Result<Option<Arguments>, Failure> {
    use lexopt::prelude::*;
    let wrong = |error: lexopt::Error| Failure::Arguments(error.to_string());
    let (mut scene, mut out, mut frame, mut frames) = (None, None, None, None);
    let mut settings = Settings { width: 480, height: 360, samples: 2 };
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Long("help") | Short('h') => return Ok(None),
            Long("scene") => scene = Some(PathBuf::from(parser.value().map_err(wrong)?)),
            Long("out") => out = Some(parser.value().and_then(|value| value.string()).map_err(wrong)?),
            Long("frame") => frame = Some(number(&mut parser, "--frame", 0, u32::MAX)?),
            Long("frames") => frames = Some(number(&mut parser, "--frames", 1, 100_000)?),
            Long("width") => settings.width = number(&mut parser, "--width", 1, MOST_PIXELS)?,
            Long("height") => settings.height = number(&mut parser, "--height", 1, MOST_PIXELS)?,
            Long("samples") => settings.samples = number(&mut parser, "--samples", 1, MOST_SAMPLES)?,
            other => return Err(wrong(other.unexpected())),
        }
    }
    let needed = |name: &str| Failure::Arguments(format!("{name} is missing"));
    let scene = scene.ok_or_else(|| needed("--scene"))?;
    let frame = frame.ok_or_else(|| needed("--frame"))?;
    let frames = frames.ok_or_else(|| needed("--frames"))?;
    let out = PathBuf::from(numbered(&out.ok_or_else(|| needed("--out"))?, frame));
    if frame >= frames {
        return Err(Failure::Arguments(format!("--frame {frame} must be less than --frames {frames}")));
    }
    Ok(Some(Arguments { scene, frame, frames, out, settings }))
}

fn number(parser: &mut lexopt::Parser, name: &str, least: u32, most: u32) -> Result<u32, Failure> {
    let text =
        parser.value().and_then(lexopt::ValueExt::string).map_err(|e| Failure::Arguments(e.to_string()))?;
    match text.parse() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(Failure::Arguments(format!(
            "{name} must be a whole number from {least} to {most}, not `{text}`"
        ))),
    }
}

/// Replaces the first run of `#` by the frame's number with as many digits.
fn numbered(path: &str, frame: u32) -> String {
    let Some(start) = path.find('#') else { return path.to_owned() };
    let digits = path[start..].bytes().take_while(|&byte| byte == b'#').count();
    format!("{}{frame:0digits$}{}", &path[..start], &path[start + digits..])
}
