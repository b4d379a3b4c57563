//! Chores of the workspace: `cargo xtask tidy`.

mod tidy;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::{path::Path, process::ExitCode};

/// Chores of the workspace.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Checks the rules that neither rustfmt nor clippy know: sizes, names, links, purity, who depends on whom.
    Tidy,
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().chore {
        Chore::Tidy => {
            let root =
                Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
            let tree = tidy::Tree::read(root)?;
            let findings = tidy::check(&tree);
            for finding in &findings {
                println!("{finding}");
            }
            if findings.is_empty() {
                println!("tidy: {} files, nothing to say", tree.len());
                return Ok(ExitCode::SUCCESS);
            }
            println!("tidy: {} findings in {} files", findings.len(), tree.len());
            Ok(ExitCode::FAILURE)
        }
    }
}
