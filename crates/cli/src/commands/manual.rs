//! Commands about the program itself: completions, manual pages, version, exit codes.

use crate::{
    args::Cli,
    exit::{Exit, Failure},
    output::{Output, facts},
};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use runner::Profile;
use serde_json::json;
use std::{
    io,
    path::{Path, PathBuf},
};

/// `grist completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

/// `grist man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where to write them; made where it does not exist
    folder: PathBuf,
}

/// Prints completions.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "grist", &mut script);
    match io::Write::write_all(&mut io::stdout().lock(), &script) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::of(Exit::Unexpected, e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a page for every command.
pub(crate) fn man(args: &ManArgs, output: &Output) -> Result<(), Failure> {
    let write = |folder: &Path| {
        std::fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Cli::command(), folder)
    };
    write(&args.folder).map_err(|e| Failure::of(Exit::BadInput, e).during(args.folder.display()))?;
    let done = json!({ "folder": args.folder });
    output.result(&done, || format!("manual pages are in {0}: man -l {0}/grist.1", args.folder.display()))
}

/// Prints the version and what it means for results.
pub(crate) fn version(output: &Output) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let isolation = runner::enforceable().mechanisms;
    let profiles = Profile::all().iter().map(
        |profile| json!({ "name": profile.name, "wasmtime": profile.wasmtime, "digest": profile.digest() }),
    );
    let json = json!({
        "version": version,
        "profiles": profiles.collect::<Vec<_>>(),
        "isolation": isolation,
    });
    output.result(&json, || {
        let profiles = Profile::all().iter().map(|profile| {
            (
                "profile",
                format!(
                    "{} (wasmtime {}, digest {})",
                    profile.name,
                    profile.wasmtime,
                    profile.digest().short()
                ),
            )
        });
        let isolation = isolation.iter().map(|line| {
            let mark = if line.enforced { "" } else { " NOT enforced:" };
            ("sandbox", format!("{}:{mark} {}", line.mechanism, line.reason))
        });
        facts(std::iter::once(("grist", version.to_owned())).chain(profiles).chain(isolation))
    })
}

/// Prints what exit codes mean.
pub(crate) fn exit_codes(output: &Output) -> Result<(), Failure> {
    let json: Vec<_> =
        Exit::ALL.iter().map(|(exit, meaning)| json!({ "code": exit.code(), "meaning": meaning })).collect();
    output.result(&json, Exit::list)
}
