//! Charts with two axes: lines, and the fan of a simulation.

use super::{
    Axis, ChartError, Fan, Lines, MAX_SERIES, Ticks, Width,
    canvas::{Canvas, GRID, HPos, MUTED, SERIES, ZERO, room_for, text_style},
};
use plotters::{
    chart::ChartContext,
    coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged},
    prelude::*,
};
use std::ops::Range;

/// The height of the line above the picture that names the upward axis, in units.
const TOP: i32 = 60;
/// The height of a line of labels below it.
const BOTTOM: i32 = 54;

type Plane<'s> = ChartContext<'s, SVGBackend<'s>, Cartesian2d<Ticks, Ticks>>;

impl Ranged for Ticks {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value - self.low) / (self.high - self.low);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.places.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

/// Draws lines.
pub(super) fn lines(lines: &Lines, canvas: &Canvas<'_>) -> Result<(), ChartError> {
    let points = || lines.series.iter().take(MAX_SERIES).flat_map(|series| &series.points);
    let xs = points().map(|(x, _)| *x);
    let ys = points().map(|(_, y)| *y);
    let mut plane = plane(canvas, (&lines.x, xs), (&lines.y, ys))?;
    for (series, color) in lines.series.iter().zip(SERIES) {
        let is_drawn = |(x, y): &(f64, f64)| x.is_finite() && y.is_finite();
        let points = series.points.iter().copied().filter(is_drawn);
        plane.draw_series(LineSeries::new(points, color.stroke_width(5))).map_err(ChartError::new)?;
    }
    Ok(())
}

/// Draws a fan.
pub(super) fn fan(fan: &Fan, canvas: &Canvas<'_>) -> Result<(), ChartError> {
    let xs = fan.points.iter().map(|(x, _)| *x);
    let ys = fan.points.iter().flat_map(|(_, values)| values).copied();
    let mut plane = plane(canvas, (&fan.x, xs), (&fan.y, ys))?;
    let line = |place: usize| fan.points.iter().map(move |(x, values)| (*x, values[place]));
    for (low, high, alpha) in [(0, 4, 0.2), (1, 3, 0.35)] {
        let outline: Vec<(f64, f64)> = line(low).chain(line(high).rev()).collect();
        let band = Polygon::new(outline, SERIES[0].mix(alpha).filled());
        plane.draw_series([band]).map_err(ChartError::new)?;
    }
    plane.draw_series(LineSeries::new(line(2), SERIES[0].stroke_width(6))).map_err(ChartError::new)?;
    Ok(())
}

/// Axes, grid and words, and the line at zero. The upward axis always contains zero.
fn plane<'s>(
    canvas: &Canvas<'s>,
    (x_axis, xs): (&Axis, impl Iterator<Item = f64>),
    (y_axis, ys): (&Axis, impl Iterator<Item = f64>),
) -> Result<Plane<'s>, ChartError> {
    let x_count = match canvas.width {
        Width::Wide => 10,
        Width::Narrow => 5,
    };
    let x = Ticks::of(xs, x_count, false);
    let y = Ticks::of(ys.chain([0.0]), 6, true);
    let x_label = |value: &f64| x_axis.tick(*value, x.step);
    let y_label = |value: &f64| y_axis.tick(*value, y.step);
    let left = y.places.iter().map(|value| room_for(&y_label(value))).max().unwrap_or_default() + 16;
    let right = x.places.last().map_or(0, |value| room_for(&x_label(value)) / 2) + 8;

    let (width, height) = canvas.area.dim_in_pixel();
    let (width, height) = (width.cast_signed(), height.cast_signed());
    canvas.text(&y_axis.label, (0, TOP / 2 - 8), HPos::Left, MUTED)?;
    canvas.text(&x_axis.label, (width - right, height - 20), HPos::Right, MUTED)?;
    let mut plane = ChartBuilder::on(&canvas.area)
        .margin_top(TOP)
        .margin_right(right)
        .margin_bottom(BOTTOM)
        .x_label_area_size(BOTTOM)
        .y_label_area_size(left)
        .build_cartesian_2d(x.clone(), y.clone())
        .map_err(ChartError::new)?;
    plane
        .configure_mesh()
        .disable_x_mesh()
        .axis_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(2))
        .set_tick_mark_size(LabelAreaPosition::Bottom, 14)
        .set_tick_mark_size(LabelAreaPosition::Left, 8)
        .label_style(text_style(MUTED))
        .x_label_formatter(&x_label)
        .y_label_formatter(&y_label)
        .draw()
        .map_err(ChartError::new)?;
    let zero = PathElement::new([(x.low, 0.0), (x.high, 0.0)], ZERO.stroke_width(3));
    plane.draw_series([zero]).map_err(ChartError::new)?;
    Ok(plane)
}
