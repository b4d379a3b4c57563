//! Answers as plain text, for snapshots.

use crate::answer::{Answer, Table};
use std::fmt::Write;

/// The title, every table, the notes.
pub(crate) fn drawn(answer: &impl Answer) -> String {
    let mut text = format!("{}\n", answer.title());
    for table in answer.tables() {
        text.push_str(&grid(&table));
    }
    for note in answer.notes() {
        let _ = write!(text, "\n* {note}");
    }
    text
}

fn grid(table: &Table) -> String {
    let headings = table.columns.iter().map(|column| column.heading.to_owned()).collect();
    let mut lines: Vec<Vec<String>> = vec![headings];
    lines.extend(table.rows.iter().map(|row| row.iter().map(|cell| cell.shown()).collect()));
    let columns = 0..table.columns.len();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = columns.map(width).collect();
    let mut text = format!("\n[{}] {}\n", table.name, table.title);
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join(" | ").trim_end());
    }
    text
}
