//! What the program says: results on standard output (text or JSON), news and progress on standard error.
//!
//! A command prints its result once. With `--json` that is one JSON document; commands that follow something print one
//! document a line. Colors and progress bars appear on terminals only.

use crate::{
    args::{ColorChoice, Global},
    exit::Failure,
};
use comfy_table::{ContentArrangement, Table, presets};
use econ::money::{BtcRate, Usd};
use indicatif::{MultiProgress, ProgressDrawTarget};
use market::units::Msat;
use rust_decimal::Decimal;
use serde::Serialize;
use std::{
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Where and how the program speaks.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    is_json: bool,
    is_quiet: bool,
    is_verbose: bool,
    has_color: bool,
    bars: MultiProgress,
    fiat: Option<Arc<Fiat>>,
}

/// The rate by which amounts are told in dollars as well.
#[derive(Debug)]
struct Fiat {
    rate: BtcRate,
    /// Whether any amount was told.
    is_used: AtomicBool,
}

/// A color that says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It went well.
    Good,
    /// Look here.
    Bad,
    /// Less important.
    Faint,
    /// A heading.
    Strong,
}

impl Output {
    /// As the global options say.
    pub(crate) fn new(global: &Global) -> Output {
        let has_color = match global.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                io::stdout().is_terminal()
                    && io::stderr().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none()
            }
        };
        let shows_bars = !global.json && !global.quiet && io::stderr().is_terminal();
        let target = if shows_bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Output {
            is_json: global.json,
            is_quiet: global.quiet,
            is_verbose: global.verbose,
            has_color: has_color && !global.json,
            bars: MultiProgress::with_draw_target(target),
            fiat: None,
        }
    }

    /// The same with amounts in dollars beside those in satoshi.
    pub(crate) fn with_rate(self, rate: Option<BtcRate>) -> Output {
        let fiat = rate.map(|rate| Arc::new(Fiat { rate, is_used: AtomicBool::new(false) }));
        Output { fiat, ..self }
    }

    /// Says by which rate dollars were reckoned, where any were told.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        match &self.fiat {
            Some(fiat) if fiat.is_used.load(Ordering::Relaxed) => {
                let BtcRate { usd_per_btc, as_of, source } = &fiat.rate;
                let text = format!("dollars at {usd_per_btc} $ a bitcoin, as of {as_of}, by {source}");
                self.text(&self.tone(Tone::Faint, &text))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Whether colors are used.
    pub(crate) fn has_color(&self) -> bool {
        self.has_color
    }

    /// Whether somebody looks at what is told beside the results.
    pub(crate) fn has_terminal(&self) -> bool {
        !self.is_json && !self.is_quiet && io::stderr().is_terminal()
    }

    /// An amount, with what it is in dollars where that was asked for.
    pub(crate) fn money(&self, amount: Msat) -> String {
        self.dollars(amount).map_or_else(|| amount.to_string(), |usd| format!("{amount} ({usd})"))
    }

    /// An amount in dollars, where that was asked for.
    pub(crate) fn dollars(&self, amount: Msat) -> Option<String> {
        let fiat = self.fiat.as_ref()?;
        fiat.is_used.store(true, Ordering::Relaxed);
        Some(dollars(fiat.rate.usd_of(amount)))
    }

    /// The place for progress bars; hidden when nobody would see them.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Prints a result: its JSON, or the text for people.
    pub(crate) fn result<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.is_json { self.json_line(value) } else { self.text(&text()) }
    }

    /// Prints text for people on standard output; nothing with `--json`.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        if self.is_json {
            return Ok(());
        }
        self.bars.suspend(|| finished(writeln!(io::stdout().lock(), "{}", text.trim_end())))
    }

    /// Prints one JSON document on a line of its own; only with `--json`.
    pub(crate) fn json_line<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        if !self.is_json {
            return Ok(());
        }
        let failed = |e| Failure::of(crate::exit::Exit::Unexpected, e);
        let text = match &self.fiat {
            None => serde_json::to_string(value).map_err(failed)?,
            Some(fiat) => {
                let mut value = serde_json::to_value(value).map_err(failed)?;
                if let Some(object) = value.as_object_mut() {
                    object.insert("btc_rate".into(), serde_json::to_value(&fiat.rate).map_err(failed)?);
                }
                value.to_string()
            }
        };
        finished(writeln!(io::stdout().lock(), "{text}"))
    }

    /// Tells people, on standard error, what is going on; nothing with `--json` or `--quiet`.
    pub(crate) fn note(&self, text: &str) {
        if !self.is_json && !self.is_quiet {
            self.bars.suspend(|| eprintln!("{text}"));
        }
    }

    /// Tells people, on standard error, something that they must not miss: with `--quiet` too.
    pub(crate) fn warn(&self, text: &str) {
        if !self.is_json {
            self.bars.suspend(|| eprintln!("{}: {text}", self.tone(Tone::Bad, "warning")));
        }
    }

    /// Tells why the program ends: JSON on standard output, or a line on standard error.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.is_json {
            // There is nobody left to tell when this fails.
            let _ = self.json_line(&failure.json());
            return;
        }
        self.bars.suspend(|| {
            // It may quote what somebody else wrote, which must not move the cursor.
            let message = failure.to_string().replace(|c: char| c.is_control() && c != '\n', "\u{fffd}");
            eprintln!("{}: {message}", self.tone(Tone::Bad, "error"));
            if self.is_verbose {
                for cause in failure.causes() {
                    eprintln!("  because: {cause}");
                }
            }
        });
    }

    /// Whether there is somebody to ask.
    pub(crate) fn can_ask(&self) -> bool {
        !self.is_json && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Asks a question on the terminal; where nobody can answer it is a no.
    pub(crate) fn confirm(&self, question: &str) -> Result<bool, Failure> {
        if !self.can_ask() {
            return Ok(false);
        }
        let mut answer = String::new();
        self.bars
            .suspend(|| {
                eprint!("{question} [y/N] ");
                io::stdin().read_line(&mut answer)
            })
            .map_err(|e| Failure::of(crate::exit::Exit::Unexpected, e))?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }

    /// Text in a color, where there are colors.
    pub(crate) fn tone(&self, tone: Tone, text: &str) -> String {
        if !self.has_color {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Dollars with the digits that say something: small amounts are the ordinary ones here.
fn dollars(usd: Usd) -> String {
    if usd.0.abs() >= Decimal::ONE || usd.0.is_zero() { format!("{usd:.2}") } else { format!("{usd:.5}") }
}

/// A table without lines, as wide as the terminal.
pub(crate) fn table<H: Into<comfy_table::Cell>, C: Into<comfy_table::Cell>>(
    headers: impl IntoIterator<Item = H>,
    rows: impl IntoIterator<Item = Vec<C>>,
) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headers);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    // Cells are padded to the column's width; the padding at the ends of lines says nothing.
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// A list of facts, one a line.
pub(crate) fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let facts: Vec<_> = facts.into_iter().collect();
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    facts.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// A reader that has gone (`grist … | head`) is no failure of ours.
fn finished(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::of(crate::exit::Exit::Unexpected, e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args::Cli, text};
    use clap::Parser;
    use market::units::Rate;

    fn output(args: &[&str]) -> Output {
        let cli = Cli::try_parse_from(["grist"].iter().chain(args).chain(&["version"])).unwrap();
        Output::new(&cli.global).with_rate(cli.global.fiat_rate.map(|rate| rate.0))
    }

    #[test]
    fn amounts_are_told_in_dollars_only_where_that_was_asked_for() {
        let plain = output(&[]);
        assert_eq!(plain.money(Msat(1_500_000)), "1500 sat");
        assert_eq!(text::rate(&Rate::per_task(Msat(1_500)), &plain), "1500 msat a task");
        let fiat = output(&["--fiat", "usd", "--fiat-rate", "100000@2026-03-01"]);
        assert_eq!(fiat.money(Msat(1_500_000)), "1500 sat ($1.50)");
        assert_eq!(fiat.money(Msat(1_500)), "1.500 sat ($0.00150)");
        assert_eq!(text::rate(&Rate::per_hour(Msat(40_000)), &fiat), "40000 msat an hour ($0.04000)");
    }
}
