//! The page as HTML that is XML as well: every element is closed, every text escaped.

use super::{
    ChartError, Section,
    charts::{self, Chart, Mark, Width},
};
use crate::answer::{Cell, Figures, Table};
use jiff::civil::Date;
use std::fmt::{self, Display, Write};

const STYLE: &str = include_str!("style.css");

/// Text that cannot be mistaken for markup.
struct Escaped<'t>(&'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

impl From<fmt::Error> for ChartError {
    fn from(error: fmt::Error) -> ChartError {
        ChartError::new(error)
    }
}

/// What a link can lead to: `Break-even` → `break-even`.
fn anchor(name: &str) -> String {
    name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

pub(super) fn page(sections: &[Section], today: Date) -> Result<String, ChartError> {
    let mut figures = Figures::default();
    for section in sections {
        figures.extend(&section.figures);
    }
    let mut page = String::new();
    head(&mut page, sections, &figures, today)?;
    page += "<main>\n";
    for section in sections {
        write_section(&mut page, section)?;
    }
    write_figures(&mut page, &figures, today)?;
    write!(
        page,
        "</main>\n<footer><p>Made by <code>grist econ report</code> on {today}. This page loads nothing and sends nothing; \
         print it or pass it on as it is.</p></footer>\n</body>\n</html>\n"
    )?;
    Ok(page)
}

fn head(page: &mut String, sections: &[Section], figures: &Figures, today: Date) -> fmt::Result {
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>Does it pay? Gristmill, {today}</title>\n<style>\n{STYLE}{}</style>\n</head>\n<body>\n\
         <header>\n<p class=\"eyebrow\">Gristmill · economics · {today}</p>\n<h1>Does it pay?</h1>\n\
         <p class=\"lede\">What machines cost to run, what markets pay for them, and what may come of it. \
         Computed from {} dated figures; every one is listed <a href=\"#figures\">below</a> with its source.</p>\n<nav><ol>\n",
        charts::style_rules(),
        figures.iter().count()
    )?;
    for section in sections {
        let name = section.name;
        writeln!(page, "<li><a href=\"#{}\">{}</a></li>", anchor(name), Escaped(name))?;
    }
    page.push_str("<li><a href=\"#figures\">Figures</a></li>\n</ol></nav>\n");
    let warnings = figures.warnings(today);
    if !warnings.is_empty() {
        page.push_str("<aside class=\"warning\">\n<p><strong>Old figures.</strong> Prices go stale; these need another look:</p>\n<ul>\n");
        for warning in &warnings {
            writeln!(page, "<li>{}</li>", Escaped(warning))?;
        }
        page.push_str("</ul>\n</aside>\n");
    }
    page.push_str("</header>\n");
    Ok(())
}

fn write_section(page: &mut String, section: &Section) -> Result<(), ChartError> {
    let id = anchor(section.name);
    writeln!(
        page,
        "<section id=\"{id}\">\n<p class=\"eyebrow\">{}</p>\n<h2>{}</h2>",
        Escaped(section.name),
        Escaped(&section.title)
    )?;
    for chart in &section.charts {
        write_chart(page, chart)?;
    }
    for table in &section.tables {
        write_table(page, table)?;
    }
    if !section.notes.is_empty() {
        page.push_str("<div class=\"notes\">\n<h3>To read it right</h3>\n<ul>\n");
        for note in &section.notes {
            writeln!(page, "<li>{}</li>", Escaped(note))?;
        }
        page.push_str("</ul>\n</div>\n");
    }
    page.push_str("</section>\n");
    Ok(())
}

/// A chart in both widths; the style sheet hides one. Its size comes from the style sheet, too.
fn write_chart(page: &mut String, chart: &Chart) -> Result<(), ChartError> {
    writeln!(page, "<figure>\n<figcaption>{}</figcaption>", Escaped(&chart.title))?;
    let legend = chart.legend();
    if !legend.is_empty() {
        page.push_str("<ul class=\"legend\">\n");
        for key in legend {
            let (kind, series) = (mark_class(key.mark), key.series + 1);
            writeln!(
                page,
                "<li><svg class=\"key {kind} s{series}\" viewBox=\"0 0 72 24\" aria-hidden=\"true\">\
                 <path d=\"M0 12H72\"/></svg>{}</li>",
                Escaped(&key.name)
            )?;
        }
        page.push_str("</ul>\n");
    }
    for (width, class) in [(Width::Wide, "wide"), (Width::Narrow, "narrow")] {
        let svg = chart.svg(width)?;
        let label = Escaped(&chart.description);
        let opened = format!("<svg class=\"chart {class}\" role=\"img\" aria-label=\"{label}\" ");
        page.push_str(&svg.replacen("<svg ", &opened, 1));
    }
    page.push_str("</figure>\n");
    Ok(())
}

fn mark_class(mark: Mark) -> &'static str {
    match mark {
        Mark::Line => "line",
        Mark::Area => "area",
        Mark::InnerBand => "inner",
        Mark::OuterBand => "outer",
    }
}

/// Tables with more rows are folded until somebody opens them.
const FOLDED_ABOVE: usize = 14;

/// A table without the columns in which nothing is known.
fn write_table(page: &mut String, table: &Table) -> fmt::Result {
    let cells = |place: usize| table.rows.iter().filter_map(move |row| row.get(place));
    let columns: Vec<(usize, &str, bool)> = (table.columns.iter().enumerate())
        .filter(|(place, _)| cells(*place).any(|cell| !cell.shown().is_empty()))
        .map(|(place, column)| (place, column.heading, cells(place).any(Cell::is_numeric)))
        .collect();
    let class = |is_numeric: bool| if is_numeric { " class=\"n\"" } else { "" };
    let title = Escaped(&table.title);
    let is_folded = table.rows.len() > FOLDED_ABOVE;
    if is_folded {
        let count = table.rows.len();
        writeln!(page, "<details><summary>{title}<span>{count} rows</span></summary>")?;
    } else {
        writeln!(page, "<h3 class=\"table\">{title}</h3>")?;
    }
    write!(page, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\">\n<table>\n")?;
    page.push_str("<thead><tr>");
    for (_, heading, is_numeric) in &columns {
        write!(page, "<th scope=\"col\"{}>{}</th>", class(*is_numeric), Escaped(heading))?;
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        page.push_str("<tr>");
        for (place, _, is_numeric) in &columns {
            let cell = row.get(*place).unwrap_or(&Cell::Missing);
            let shown = cell.shown();
            match shown.strip_prefix('-').filter(|_| cell.is_numeric()) {
                Some(amount) => write!(page, "<td class=\"n minus\">\u{2212}{}</td>", Escaped(amount))?,
                None => write!(page, "<td{}>{}</td>", class(*is_numeric), Escaped(&shown))?,
            }
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
    if is_folded {
        page.push_str("</details>\n");
    }
    Ok(())
}

fn write_figures(page: &mut String, figures: &Figures, today: Date) -> fmt::Result {
    page.push_str(
        "<section id=\"figures\">\n<p class=\"eyebrow\">Figures</p>\n<h2>What all this stands on</h2>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Figures\">\n<table>\n<thead><tr>\
         <th scope=\"col\">figure</th><th scope=\"col\">value</th><th scope=\"col\">source</th><th scope=\"col\">as of</th>\
         <th scope=\"col\" class=\"n\">age, days</th></tr></thead>\n<tbody>\n",
    );
    for figure in figures.iter() {
        let (as_of, age, class) = match figure.as_of {
            Some(as_of) => {
                let class = if as_of.is_stale(today) { "n stale" } else { "n" };
                (as_of.to_string(), as_of.age_days(today).to_string(), class)
            }
            None => (String::new(), String::new(), "n"),
        };
        writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"date\">{as_of}</td><td class=\"{class}\">{age}</td></tr>",
            Escaped(&figure.what),
            Escaped(&figure.value),
            Escaped(&figure.source)
        )?;
    }
    page.push_str("</tbody>\n</table>\n</div>\n</section>\n");
    Ok(())
}

#[cfg(test)]
mod tests;
