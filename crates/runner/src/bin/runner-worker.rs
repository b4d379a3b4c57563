//! A worker process by itself, for this crate's tests and examples; `grist` has the same in a hidden subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    runner::worker::serve(std::io::stdin(), std::io::stdout())
}
