//! `grist demo`: the whole market on this machine.

use crate::{
    exit::{Exit, Failure},
    output::Output,
};
use clap::Args;
use std::path::PathBuf;

/// `grist demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave the market running at the end, until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
    /// Where the frames and the film go
    #[arg(long, value_name = "DIR", default_value = "grist-demo")]
    pub(crate) out: PathBuf,
    /// How many frames to render
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=360))]
    pub(crate) frames: u32,
}

/// Runs the demo.
pub(crate) async fn run(args: &DemoArgs, _output: &Output) -> Result<(), Failure> {
    let what = format!("{} frames into {} (keep: {})", args.frames, args.out.display(), args.keep);
    Err(Failure::new(Exit::Unexpected, format!("this build has no demo yet: {what}")))
}
