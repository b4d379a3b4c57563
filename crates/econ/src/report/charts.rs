//! Charts as SVG: lines, bars, ranges, and the fan of a simulation.
//!
//! A chart is drawn twice, wide and narrow, and the page shows the one that fits: text that is scaled down with its
//! picture cannot be read on a phone. Colors are few and fixed; the page's style sheet maps them to light and dark.

mod canvas;
mod plane;
mod rows;

use canvas::Canvas;
use plotters::style::RGBColor;

/// The height of charts with two axes, in units.
const PLANE_HEIGHT: u32 = 640;
/// The most series that a chart tells apart.
pub const MAX_SERIES: usize = 8;

/// What a chart shows, with its words.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// The heading: what is to be seen.
    pub title: String,
    /// The same for those who cannot see it, in a sentence or two.
    pub description: String,
    /// What is drawn.
    pub drawing: Drawing,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Drawing {
    /// Values over something.
    Lines(Lines),
    /// Amounts beside each other.
    Bars(Bars),
    /// Low to high of several things.
    Ranges(Ranges),
    /// What most paths have in common, over time.
    Fan(Fan),
}

/// An axis: its name with the unit, and how its values are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// `net, $ a day`.
    pub label: String,
    /// How values are written.
    pub form: Form,
}

/// How a value is written on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As a number.
    Number,
    /// As dollars.
    Dollars,
    /// As a percentage; the value is a fraction.
    Percent,
}

/// Lines over a common axis; at most [`MAX_SERIES`] are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    /// What runs to the right.
    pub x: Axis,
    /// What runs upward.
    pub y: Axis,
    /// The lines.
    pub series: Vec<Series>,
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// Its points, from left to right. What is not finite is left out.
    pub points: Vec<(f64, f64)>,
}

/// Bars to the right of zero, each of one or more parts; values that are not positive are not drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    /// What their length means.
    pub axis: Axis,
    /// What the parts are, in the order of their colors.
    pub parts: Vec<String>,
    /// The bars, top down.
    pub bars: Vec<Bar>,
}

/// A bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it is about.
    pub label: String,
    /// The length of each part.
    pub values: Vec<f64>,
}

/// Ranges from low to high.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranges {
    /// What their place means.
    pub axis: Axis,
    /// What kinds there are, in the order of their colors.
    pub kinds: Vec<String>,
    /// The ranges, top down.
    pub ranges: Vec<Range>,
}

/// A range; one price where low and high are the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// What it is about, with its source.
    pub label: String,
    /// Which of the kinds it is.
    pub kind: usize,
    /// Its low end.
    pub low: f64,
    /// Its middle, where one is known.
    pub middle: Option<f64>,
    /// Its high end.
    pub high: f64,
}

/// A fan: for each place on the axis five values in ascending order, such as P5, P25, P50, P75, P95.
#[derive(Debug, Clone, PartialEq)]
pub struct Fan {
    /// What runs to the right.
    pub x: Axis,
    /// What runs upward.
    pub y: Axis,
    /// What the outer band, the inner band and the line are.
    pub names: [String; 3],
    /// From left to right.
    pub points: Vec<(f64, [f64; 5])>,
}

/// How much room there is, in units of which about two are a pixel on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Tablets, computers, paper.
    Wide,
    /// Phones.
    Narrow,
}

impl Width {
    fn units(self) -> i32 {
        match self {
            Width::Wide => 1560,
            Width::Narrow => 720,
        }
    }
}

/// What the legend says about a color.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Which series, from 0.
    pub series: usize,
    /// How it looks.
    pub mark: Mark,
    /// What it means.
    pub name: String,
}

/// How something in a chart looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A line.
    Line,
    /// A filled area.
    Area,
    /// The band of a fan that holds half of the paths.
    InnerBand,
    /// The band around it.
    OuterBand,
}

/// A chart that could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the chart cannot be drawn: {0}")]
pub struct ChartError(String);

impl ChartError {
    pub(super) fn new(error: impl std::fmt::Display) -> ChartError {
        ChartError(error.to_string())
    }
}

impl Chart {
    /// The picture: an `svg` element.
    pub fn svg(&self, width: Width) -> Result<String, ChartError> {
        let mut svg = String::new();
        match &self.drawing {
            Drawing::Lines(lines) => plane::lines(lines, &Canvas::new(&mut svg, width, PLANE_HEIGHT))?,
            Drawing::Fan(fan) => plane::fan(fan, &Canvas::new(&mut svg, width, PLANE_HEIGHT))?,
            Drawing::Bars(bars) => rows::bars(bars, width, &mut svg)?,
            Drawing::Ranges(ranges) => rows::ranges(ranges, width, &mut svg)?,
        }
        Ok(svg)
    }

    /// What its colors mean; empty where there is nothing to tell apart.
    pub fn legend(&self) -> Vec<Key> {
        let keys = |names: &[String], mark: Mark| -> Vec<Key> {
            let names = names.iter().take(MAX_SERIES).cloned().enumerate();
            names.map(|(series, name)| Key { series, mark, name }).collect()
        };
        match &self.drawing {
            Drawing::Lines(lines) => {
                let names: Vec<String> = lines.series.iter().map(|series| series.name.clone()).collect();
                keys(&names, Mark::Line)
            }
            Drawing::Bars(bars) => keys(&bars.parts, Mark::Area),
            Drawing::Ranges(ranges) => keys(&ranges.kinds, Mark::Area),
            Drawing::Fan(fan) => {
                let marks = [Mark::OuterBand, Mark::InnerBand, Mark::Line];
                let keys = fan.names.iter().zip(marks);
                keys.map(|(name, mark)| Key { series: 0, mark, name: name.clone() }).collect()
            }
        }
    }
}

/// The rules that give the fixed colors of pictures the look that the page's variables say, and lines their dashes: who
/// cannot tell the colors apart can tell those.
pub(super) fn style_rules() -> String {
    const DASHES: [&str; MAX_SERIES] =
        ["none", "16 8", "4 7", "22 7 4 7", "30 10", "10 5", "22 6 4 6 4 6", "6 12"];
    let mut rules = String::new();
    let mut rule = |color: RGBColor, variable: &str| {
        let hex = format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2);
        rules += &format!(
            ".chart [fill=\"{hex}\"] {{ fill: var({variable}); }} .chart [stroke=\"{hex}\"] {{ stroke: var({variable}); }}\n"
        );
        hex
    };
    for (color, variable) in [
        (canvas::TEXT, "--text"),
        (canvas::MUTED, "--muted"),
        (canvas::GRID, "--grid"),
        (canvas::ZERO, "--zero"),
        (canvas::PAPER, "--paper"),
    ] {
        rule(color, variable);
    }
    let series: Vec<String> = canvas::SERIES
        .into_iter()
        .zip(1..)
        .map(|(color, number)| rule(color, &format!("--s{number}")))
        .collect();
    for ((hex, dash), number) in series.iter().zip(DASHES).zip(1..) {
        rules += &format!(".chart polyline[stroke=\"{hex}\"] {{ stroke-dasharray: {dash}; }} ");
        rules += &format!(".key.s{number} path {{ stroke: var(--s{number}); }} ");
        rules += &format!(".key.line.s{number} path {{ stroke-dasharray: {dash}; }}\n");
    }
    rules
}

impl Axis {
    /// An axis.
    pub fn new(label: impl Into<String>, form: Form) -> Axis {
        Axis { label: label.into(), form }
    }

    /// A value as it stands on the axis, when neighbours are `step` apart.
    fn tick(&self, value: f64, step: f64) -> String {
        let step = if self.form == Form::Percent { step * 100.0 } else { step };
        let digits = (0..4).find(|digits| is_multiple(step, 10f64.powi(-digits))).unwrap_or(4);
        let digits = if self.form == Form::Dollars && digits == 1 { 2 } else { digits };
        self.written(value, digits as usize)
    }

    /// A value by itself, with about three digits that say something.
    fn value(&self, value: f64) -> String {
        let digits = match (self.form, value.abs()) {
            (Form::Percent, _) => 1,
            (_, 100.0..) => 0,
            (Form::Dollars, 0.1..) => 2,
            (Form::Number, 10.0..) => 1,
            (Form::Number, 1.0..) => 2,
            (Form::Dollars | Form::Number, _) => 3,
        };
        self.written(value, digits)
    }

    fn written(&self, value: f64, digits: usize) -> String {
        let value = if self.form == Form::Percent { value * 100.0 } else { value };
        let amount = with_thousands(&format!("{:.digits$}", value.abs()));
        let is_zero = amount.bytes().all(|byte| matches!(byte, b'0' | b'.' | b','));
        let sign = if value < 0.0 && !is_zero { "\u{2212}" } else { "" };
        match self.form {
            Form::Number => format!("{sign}{amount}"),
            Form::Dollars => format!("{sign}${amount}"),
            Form::Percent => format!("{sign}{amount} %"),
        }
    }
}

fn is_multiple(step: f64, unit: f64) -> bool {
    let ratio = step / unit;
    ratio > 0.5 && (ratio - ratio.round()).abs() < 1e-6
}

/// `1234567.8` as `1,234,567.8`.
fn with_thousands(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut text = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + rest
}

/// The values that an axis is labelled with, and its ends.
#[derive(Debug, Clone, PartialEq)]
struct Ticks {
    low: f64,
    high: f64,
    step: f64,
    places: Vec<f64>,
}

impl Ticks {
    /// About so many labels for these values, which need not be in order. The ends are `low` and `high` of them, widened to
    /// whole steps if `is_widened`.
    fn of(values: impl Iterator<Item = f64>, count: usize, is_widened: bool) -> Ticks {
        let values = values.filter(|value| value.is_finite());
        let (low, high) = values
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match (low <= high, low < high) {
            (false, _) => (0.0, 1.0),
            (true, false) => (low - 0.5 * low.abs().max(1.0), high + 0.5 * high.abs().max(1.0)),
            (true, true) => (low, high),
        };
        let step = step_of(high - low, count);
        let near = 1e-9;
        let (first, last) = if is_widened {
            ((low / step + near).floor(), (high / step - near).ceil())
        } else {
            ((low / step - near).ceil(), (high / step + near).floor())
        };
        let steps = (last - first).clamp(0.0, 100.0) as u32;
        let places: Vec<f64> = (0..=steps).map(|place| (first + f64::from(place)) * step).collect();
        let (low, high) = if is_widened { (first * step, last * step) } else { (low, high) };
        Ticks { low, high, step, places }
    }
}

/// Steps of 1, 2 or 5 times a power of ten that divide a span into about so many parts.
fn step_of(span: f64, parts: usize) -> f64 {
    let rough = span / parts as f64;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|factor| factor * power);
    steps.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests;
