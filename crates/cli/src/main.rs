//! `grist`: an open market for verified compute, paid over Lightning.
//!
//! Arguments in, text or JSON out, a documented exit code at the end. The work is done by `node`; this crate reads files
//! and keys, asks, shows and explains.

mod answer;
mod args;
mod commands;
mod demo;
mod exit;
mod home;
mod keys;
mod lightning_node;
mod output;
mod qr;
mod screen;
mod session;
mod text;

use args::{Cli, Command, Global};
use clap::{Parser, error::ErrorKind};
use exit::{Exit, Failure};
use market::offer::OfferRole;
use output::Output;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    if matches!(cli.command, Command::Worker) {
        // Restricts the whole process, so nothing else may have started in it.
        return runner::worker::serve(std::io::stdin(), std::io::stdout());
    }
    let output = Output::new(&cli.global);
    let output = match home::fiat_rate(&cli.global) {
        Ok(rate) => output.with_rate(rate),
        Err(failure) => {
            output.failure(&failure);
            return failure.exit().into();
        }
    };
    start_logging(&cli.global);
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::of(Exit::Unexpected, e))
        .and_then(|runtime| runtime.block_on(dispatch(cli.command, &cli.global, &output)))
        .and_then(|()| output.finish());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.exit().into()
        }
    }
}

async fn dispatch(command: Command, global: &Global, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => demo::run(&args, output).await,
        Command::Market(args) => commands::market::run(args, global, output).await,
        Command::Provide(args) => commands::provide::run(args, None, global, output).await,
        Command::Validate(args) => commands::provide::run(args, Some(OfferRole::Audit), global, output).await,
        Command::Run(args) => commands::run::run(&args, global, output).await,
        Command::Job(command) => commands::job::run(&command, global, output).await,
        Command::Offers(args) => commands::offers::run(&args, global, output).await,
        Command::Order(command) => commands::order::order(&command, global, output).await,
        Command::Lease(command) => commands::order::lease(&command, global, output).await,
        Command::Token(command) => commands::token::run(&command, global, output).await,
        Command::Fetch(args) => commands::fetch::run(&args, global, output).await,
        Command::Receipt(command) => commands::receipt::run(&command, global, output).await,
        Command::Wallet(command) => commands::wallet::run(&command, global, output).await,
        Command::Lightning(args) => commands::lightning::run(&args, global, output).await,
        Command::Party(command) => commands::party::run(&command, global, output).await,
        Command::Machine(command) => commands::machine::run(&command, global, output).await,
        Command::Escrow(command) => commands::escrow::run(&command, global, output).await,
        Command::Econ(args) => commands::econ::run(*args, global, output).await,
        Command::Journal(command) => commands::journal::run(&command, output),
        Command::Completions(args) => commands::manual::completions(&args),
        Command::Man(args) => commands::manual::man(&args, output),
        Command::Version => commands::manual::version(output),
        Command::ExitCodes => commands::manual::exit_codes(output),
        Command::Worker => Ok(()),
        Command::DemoProvider(args) => demo::run_provider(&args).await,
    }
}

/// Tells what is wrong with the command line, in JSON where that was asked for. Help and version are no errors.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A reader that has gone is no failure.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if std::env::args().any(|arg| arg == "--json") {
        let text = error.render().to_string();
        let message = text.trim().strip_prefix("error: ").unwrap_or(text.trim()).to_owned();
        let json = Failure::new(Exit::Usage, message).json();
        println!("{}", serde_json::json!(json));
    } else {
        let _ = error.print();
    }
    Exit::Usage.into()
}

/// Daemons log to standard error; `RUST_LOG` says how much.
fn start_logging(global: &Global) {
    let default = if global.verbose { "info" } else { "warn" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}
