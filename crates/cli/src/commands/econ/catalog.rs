//! `grist econ catalog`: the figures that all answers stand on.

use super::inputs::{catalogue, refused};
use crate::{
    answer::{self, today},
    args::Global,
    exit::{Exit, Failure},
    home::{Home, read_named},
    output::Output,
};
use clap::{Args, Subcommand};
use econ::{
    answer::Figures,
    catalogue::{
        self, Catalogue, Format, Sheet, TableError,
        doubts::doubts,
        feed::{self, Refresh},
    },
};
use node::client::fetch_text;
use std::path::{Path, PathBuf};

/// `grist econ catalog …`.
#[derive(Debug, Subcommand)]
pub(super) enum CatalogCommand {
    /// The tables: how many rows, how old, from whom
    List,
    /// The rows of a table
    Show {
        /// The table
        table: String,
        /// Only rows with these words
        #[arg(default_value = "")]
        filter: String,
    },
    /// What sources claim, beside what the arithmetic gives
    Doubts,
    /// Write the whole catalogue into a folder
    Export {
        /// The folder, which is made
        folder: PathBuf,
        /// How
        #[arg(long, value_enum, default_value = "csv")]
        format: FormatChoice,
    },
    /// Take over rows of your own: files as `export` writes them
    Import(ImportArgs),
    /// Take over prices of a feed (CSV or JSON; docs/price-feeds.md)
    Refresh {
        /// A file, or an https address
        #[arg(value_name = "FILE|URL")]
        feed: String,
    },
}

/// `grist econ catalog import`.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// CSV, TOML or JSON; the name of a CSV file is the name of its table
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// How a catalogue is written.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum FormatChoice {
    /// A file for each table.
    Csv,
    /// One `prices.toml`.
    Toml,
    /// One `catalogue.json`.
    Json,
}

/// The largest feed, in bytes.
const FEED_BYTES_MAX: u64 = 16 << 20;

/// Shows and changes the catalogue.
pub(super) async fn run(
    command: CatalogCommand,
    csv: bool,
    global: &Global,
    output: &Output,
) -> Result<(), Failure> {
    match command {
        CatalogCommand::List => answer::print(&catalogue::list(&catalogue(global)?), csv, output),
        CatalogCommand::Show { table, filter } => {
            let shown = catalogue::show(&catalogue(global)?, &table, &filter);
            answer::print(&shown.map_err(|e| Failure::of(Exit::Usage, e))?, csv, output)
        }
        CatalogCommand::Doubts => {
            let doubts = doubts(&catalogue(global)?, None).map_err(refused)?;
            answer::print(&doubts, csv, output)
        }
        CatalogCommand::Export { folder, format } => export(&folder, format, &catalogue(global)?, output),
        CatalogCommand::Import(args) => import(&args.files, csv, global, output),
        CatalogCommand::Refresh { feed } => refresh(&feed, csv, global, output).await,
    }
}

fn export(folder: &Path, format: FormatChoice, from: &Catalogue, output: &Output) -> Result<(), Failure> {
    let format = match format {
        FormatChoice::Csv => Format::Csv,
        FormatChoice::Toml => Format::Toml,
        FormatChoice::Json => Format::Json,
    };
    let sheets = catalogue::export(from, format).map_err(|e| Failure::of(Exit::Unexpected, e))?;
    let wrong = |e: std::io::Error, path: &Path| Failure::of(Exit::BadInput, e).during(path.display());
    std::fs::create_dir_all(folder).map_err(|e| wrong(e, folder))?;
    let mut files = Vec::new();
    for Sheet { name, text } in sheets {
        let file = folder.join(name);
        std::fs::write(&file, text).map_err(|e| wrong(e, &file))?;
        files.push(file.display().to_string());
    }
    output.result(&serde_json::json!({ "files": files }), || {
        files.iter().map(|file| format!("{file}\n")).collect()
    })
}

fn import(files: &[PathBuf], csv: bool, global: &Global, output: &Output) -> Result<(), Failure> {
    let home = Home::of(global)?;
    let sheets: Result<Vec<Sheet>, Failure> = files.iter().map(|file| sheet(file)).collect();
    let rows = catalogue::import(&sheets?, today()).map_err(bad)?;
    let mut stored = home.stored_prices()?;
    let changes = stored.merge(&rows);
    let imported = Refresh { changes, stored, figures: Figures::default() };
    store(&home, &imported)?;
    answer::print(&imported, csv, output)
}

async fn refresh(from: &str, csv: bool, global: &Global, output: &Output) -> Result<(), Failure> {
    let home = Home::of(global)?;
    let text = if from.contains("://") {
        output.note(&format!("reading {from}"));
        fetch_text(from, FEED_BYTES_MAX).await.map_err(|e| Failure::of(Exit::BadInput, e))?
    } else {
        sheet(Path::new(from))?.text
    };
    let refreshed = feed::refresh(&text, from, &home.catalogue()?, &home.stored_prices()?, today());
    let refreshed = refreshed.map_err(bad)?;
    store(&home, &refreshed)?;
    answer::print(&refreshed, csv, output)
}

fn store(home: &Home, refreshed: &Refresh) -> Result<(), Failure> {
    let sheets = refreshed.files().map_err(|e| Failure::of(Exit::Unexpected, e))?;
    home.store_prices(&sheets)
}

/// A file that somebody named.
fn sheet(file: &Path) -> Result<Sheet, Failure> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Sheet { name, text: read_named(file, FEED_BYTES_MAX)? })
}

fn bad(error: TableError) -> Failure {
    Failure::of(Exit::BadInput, error)
}
