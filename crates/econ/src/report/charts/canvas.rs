//! A picture that is being drawn: its colors and its text.

use super::{ChartError, MAX_SERIES, Width};
use plotters::{prelude::*, style::text_anchor::Pos};

pub(super) use plotters::style::text_anchor::{HPos, VPos};

/// Words and values.
pub(super) const TEXT: RGBColor = RGBColor(0x1A, 0x1F, 0x24);
/// Labels of axes.
pub(super) const MUTED: RGBColor = RGBColor(0x5B, 0x65, 0x70);
/// Lines of the grid.
pub(super) const GRID: RGBColor = RGBColor(0xE2, 0xE6, 0xEA);
/// The line at zero.
pub(super) const ZERO: RGBColor = RGBColor(0x8A, 0x94, 0x9E);
/// The paper.
pub(super) const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
/// Series. They differ in lightness as well as in hue, and keep 3:1 on white at least.
pub(super) const SERIES: [RGBColor; MAX_SERIES] = [
    RGBColor(0x00, 0x5F, 0xA3),
    RGBColor(0xC4, 0x4E, 0x00),
    RGBColor(0x00, 0x80, 0x60),
    RGBColor(0xA6, 0x3D, 0x7F),
    RGBColor(0x9A, 0x6A, 0x00),
    RGBColor(0x2B, 0x87, 0xB8),
    RGBColor(0x5C, 0x4B, 0xA8),
    RGBColor(0x60, 0x68, 0x70),
];

/// The height of text, in units.
const TEXT_SIZE: f64 = 26.0;
/// What the SVG backend divides font sizes by.
const BACKEND_FACTOR: f64 = 1.24;
/// The width that a character takes on average in a wide font, in units.
const CHARACTER: f64 = 16.0;

/// A picture that is being drawn into a string.
pub(super) struct Canvas<'s> {
    pub(super) area: DrawingArea<SVGBackend<'s>, plotters::coord::Shift>,
    pub(super) width: Width,
}

impl<'s> Canvas<'s> {
    pub(super) fn new(svg: &'s mut String, width: Width, height: u32) -> Canvas<'s> {
        let area = SVGBackend::with_string(svg, (width.units().unsigned_abs(), height)).into_drawing_area();
        Canvas { area, width }
    }

    /// Writes a line of text; `at` is where it begins, ends or has its middle.
    pub(super) fn text(
        &self,
        text: &str,
        at: (i32, i32),
        align: HPos,
        color: RGBColor,
    ) -> Result<(), ChartError> {
        let style = text_style(color).pos(Pos::new(align, VPos::Center));
        self.area.draw_text(text, &style, at).map_err(ChartError::new)
    }

    /// Draws anything in units.
    pub(super) fn draw<'e, E>(&self, element: &'e E) -> Result<(), ChartError>
    where
        &'e E: plotters::element::PointCollection<'e, (i32, i32)>,
        E: plotters::element::Drawable<SVGBackend<'s>>,
    {
        self.area.draw(element).map_err(ChartError::new)
    }
}

/// How text looks.
pub(super) fn text_style(color: RGBColor) -> TextStyle<'static> {
    ("sans-serif", TEXT_SIZE * BACKEND_FACTOR).into_font().color(&color)
}

/// The room that a text takes, in units; rather more than less, since nobody knows the font.
pub(super) fn room_for(text: &str) -> i32 {
    (text.chars().count() as f64 * CHARACTER).ceil() as i32
}

/// As much of a text as fits into so many units.
pub(super) fn fitted(text: &str, units: i32) -> String {
    if room_for(text) <= units {
        return text.to_owned();
    }
    let count = (f64::from(units) / CHARACTER) as usize;
    let kept: String = text.chars().take(count.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}
