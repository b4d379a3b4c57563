//! Prints the answers of `econ`: tables on a terminal, `--json`, `--csv`.

use crate::{
    exit::{Exit, Failure},
    output::{Output, Tone, table},
};
use comfy_table::{Cell as TextCell, CellAlignment};
use econ::answer::{Answer, Cell, Table};
use jiff::civil::Date;
use serde_json::json;

/// Today, by this computer's clock.
pub(crate) fn today() -> Date {
    jiff::Zoned::now().date()
}

/// Prints an answer. With `csv` its tables, one after the other, a line with `# name` before each where there are several.
pub(crate) fn print<A: Answer>(answer: &A, csv: bool, output: &Output) -> Result<(), Failure> {
    let today = today();
    if csv {
        return output.text(&as_csv(&answer.tables())?);
    }
    let warnings = answer.figures().warnings(today);
    let value = json!({
        "answer": answer,
        "figures": answer.figures(),
        "notes": answer.notes(),
        "warnings": warnings,
    });
    output.result(&value, || told(answer, &warnings, output))
}

fn as_csv(tables: &[Table]) -> Result<String, Failure> {
    let mut text = String::new();
    for table in tables {
        if tables.len() > 1 {
            text += &format!("# {}\n", table.name);
        }
        text += &table.to_csv().map_err(|e| Failure::of(Exit::Unexpected, e))?;
    }
    Ok(text)
}

fn told<A: Answer>(answer: &A, warnings: &[String], output: &Output) -> String {
    let mut text = String::new();
    for table in answer.tables() {
        text += &format!("{}\n{}\n", output.tone(Tone::Strong, &table.title), drawn(&table));
    }
    for note in answer.notes() {
        text += &format!("{note}\n");
    }
    let figures: Vec<String> = answer
        .figures()
        .iter()
        .map(|figure| {
            let dated = figure.as_of.map(|as_of| format!(", {as_of}")).unwrap_or_default();
            format!("  {}: {} ({}{dated})\n", figure.what, figure.value, figure.source)
        })
        .collect();
    if !figures.is_empty() {
        text += &output.tone(Tone::Faint, &format!("Figures used:\n{}", figures.concat()));
    }
    for warning in warnings {
        text += &format!("{}: {warning}\n", output.tone(Tone::Bad, "old"));
    }
    text
}

/// A table for a terminal: numbers to the right.
fn drawn(from: &Table) -> String {
    let cell = |cell: &Cell| {
        let side = if cell.is_numeric() { CellAlignment::Right } else { CellAlignment::Left };
        TextCell::new(cell.shown()).set_alignment(side)
    };
    table(
        from.columns.iter().map(|column| column.heading),
        from.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>()),
    )
}
