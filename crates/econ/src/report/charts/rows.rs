//! Charts with a row for each thing: bars and ranges. On a wide picture labels stand beside the rows, on a narrow one above.

use super::{
    Axis, Bar, Bars, ChartError, MAX_SERIES, Range, Ranges, Ticks, Width,
    canvas::{Canvas, GRID, HPos, MUTED, PAPER, SERIES, TEXT, fitted, room_for},
};
use plotters::prelude::*;

/// Room above the first row, and below the last for the axis.
const TOP: i32 = 10;
const BOTTOM: i32 = 100;
/// Half the height of a bar.
const HALF: i32 = 13;

/// Where things are.
struct Layout<'a, 's> {
    canvas: Canvas<'s>,
    axis: &'a Axis,
    ticks: Ticks,
    left: i32,
    right: i32,
    row_height: i32,
}

/// What stands at the end of a row must fit beside it.
struct Row<'t> {
    label: &'t str,
    value: String,
}

impl<'a, 's> Layout<'a, 's> {
    fn new(
        svg: &'s mut String,
        width: Width,
        axis: &'a Axis,
        rows: &[Row<'_>],
        most: impl Iterator<Item = f64>,
    ) -> Layout<'a, 's> {
        let widest = |text: fn(&Row<'_>) -> i32| rows.iter().map(text).max().unwrap_or_default();
        let (left, row_height, count) = match width {
            Width::Wide => (widest(|row| room_for(row.label)).min(width.units() * 2 / 5) + 20, 52, 8),
            Width::Narrow => (4, 88, 4),
        };
        let right = width.units() - widest(|row| room_for(&row.value)) - 20;
        let height = TOP + BOTTOM + row_height * i32::try_from(rows.len()).unwrap_or(i32::MAX / 1000);
        let ticks = Ticks::of(most.chain([0.0]), count, false);
        let canvas = Canvas::new(svg, width, height.unsigned_abs());
        Layout { canvas, axis, ticks, left, right, row_height }
    }

    /// Where a value is, from left to right.
    fn x(&self, value: f64) -> i32 {
        let share = ((value - self.ticks.low) / (self.ticks.high - self.ticks.low)).clamp(0.0, 1.0);
        self.left + (share * f64::from(self.right - self.left)).round() as i32
    }

    /// The middle of the bar of a row.
    fn y(&self, row: usize) -> i32 {
        let row = i32::try_from(row).unwrap_or_default();
        let in_row = match self.canvas.width {
            Width::Wide => self.row_height / 2,
            Width::Narrow => 54,
        };
        TOP + row * self.row_height + in_row
    }

    fn axis(&self, rows: usize) -> Result<(), ChartError> {
        let bottom = TOP + self.row_height * i32::try_from(rows).unwrap_or_default();
        for value in &self.ticks.places {
            let x = self.x(*value);
            self.canvas.draw(&PathElement::new([(x, TOP), (x, bottom + 6)], GRID.stroke_width(2)))?;
            let text = self.axis.tick(*value, self.ticks.step);
            let align = if x - room_for(&text) / 2 < 0 { HPos::Left } else { HPos::Center };
            self.canvas.text(&text, (x, bottom + 28), align, MUTED)?;
        }
        self.canvas.text(&self.axis.label, (self.right, bottom + 70), HPos::Right, MUTED)
    }

    fn words(&self, row: usize, words: &Row<'_>, end: i32) -> Result<(), ChartError> {
        let y = self.y(row);
        self.canvas.text(&words.value, (end + 12, y), HPos::Left, TEXT)?;
        match self.canvas.width {
            Width::Wide => {
                let label = fitted(words.label, self.left - 20);
                self.canvas.text(&label, (self.left - 20, y), HPos::Right, TEXT)
            }
            Width::Narrow => {
                let label = fitted(words.label, self.canvas.width.units());
                self.canvas.text(&label, (0, y - 36), HPos::Left, TEXT)
            }
        }
    }

    fn bar(&self, from: f64, to: f64, y: i32, color: RGBColor) -> Result<(), ChartError> {
        let corners = [(self.x(from), y - HALF), (self.x(to).max(self.x(from) + 3), y + HALF)];
        self.canvas.draw(&Rectangle::new(corners, color.filled()))
    }
}

/// Draws bars.
pub(super) fn bars(bars: &Bars, width: Width, svg: &mut String) -> Result<(), ChartError> {
    let sum = |bar: &Bar| bar.values.iter().copied().filter(|value| *value > 0.0).sum::<f64>();
    let rows: Vec<Row<'_>> =
        bars.bars.iter().map(|bar| Row { label: &bar.label, value: bars.axis.value(sum(bar)) }).collect();
    let layout = Layout::new(svg, width, &bars.axis, &rows, bars.bars.iter().map(sum));
    layout.axis(rows.len())?;
    for (place, (bar, row)) in bars.bars.iter().zip(&rows).enumerate() {
        let mut from = 0.0;
        for (value, color) in bar.values.iter().zip(SERIES) {
            if *value > 0.0 {
                layout.bar(from, from + value, layout.y(place), color)?;
                from += value;
            }
        }
        layout.words(place, row, layout.x(from))?;
    }
    Ok(())
}

/// Draws ranges.
pub(super) fn ranges(ranges: &Ranges, width: Width, svg: &mut String) -> Result<(), ChartError> {
    let value = |range: &Range| {
        let (low, high) = (ranges.axis.value(range.low), ranges.axis.value(range.high));
        if low == high { low } else { format!("{low} – {high}") }
    };
    let rows: Vec<Row<'_>> =
        ranges.ranges.iter().map(|range| Row { label: &range.label, value: value(range) }).collect();
    let ends = ranges.ranges.iter().flat_map(|range| [range.low, range.high]);
    let layout = Layout::new(svg, width, &ranges.axis, &rows, ends);
    layout.axis(rows.len())?;
    for (place, (range, row)) in ranges.ranges.iter().zip(&rows).enumerate() {
        let (y, color) = (layout.y(place), SERIES[range.kind.min(MAX_SERIES - 1)]);
        let (low, high) = (layout.x(range.low), layout.x(range.high));
        if high - low < 2 * HALF {
            layout.canvas.draw(&Circle::new(((low + high) / 2, y), HALF, color.filled()))?;
        } else {
            layout.bar(range.low, range.high, y, color)?;
        }
        if let Some(middle) = range.middle.map(|middle| layout.x(middle)) {
            let mark = PathElement::new([(middle, y - HALF), (middle, y + HALF)], PAPER.stroke_width(5));
            layout.canvas.draw(&mark)?;
        }
        layout.words(place, row, high.max((low + high) / 2 + HALF))?;
    }
    Ok(())
}
