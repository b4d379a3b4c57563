//! `grist fetch`: any address, paid for where it costs something. Its options are those of curl.

use crate::{
    args::Global,
    exit::{Exit, Failure},
    home::Home,
    output::Output,
    session,
};
use clap::Args;
use market::units::Msat;
use node::client::{Market, Payer, Wallet, WebAnswer, WebRequest, fetch};
use serde_json::json;
use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

/// How long the market is asked whether it has play money to pay with.
const PATIENCE: Duration = Duration::from_secs(2);

/// `grist fetch`.
#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// The address: https, or http on this computer
    url: String,
    /// The method [default: GET, or POST with --data]
    #[arg(long, short = 'X', value_name = "METHOD")]
    request: Option<String>,
    /// Another header
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The body
    #[arg(long, short, value_name = "TEXT")]
    data: Option<String>,
    /// Write the answer into this file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the status and the headers, too
    #[arg(long, short)]
    include: bool,
}

/// Runs the command.
pub(crate) async fn run(args: &FetchArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let home = Home::of(global)?;
    let payer = Payer::new(global.max_pay.0, home.tokens(), wallet(global, &home).await);
    let method = if args.data.is_some() { "POST" } else { "GET" };
    let request = WebRequest {
        method: args.request.clone().unwrap_or_else(|| method.to_owned()),
        url: args.url.clone(),
        headers: args.header.iter().map(|line| header(line)).collect::<Result<_, _>>()?,
        body: args.data.clone().unwrap_or_default().into_bytes(),
    };
    let answer = fetch(&payer, request).await?;
    let (status, spent) = (answer.status(), payer.spent().await);
    if spent > Msat::ZERO {
        output.note(&format!("paid {spent}"));
    }
    if args.include {
        output.text(&head(&answer))?;
    }
    let bytes = write(args, answer, output).await?;
    output.json_line(&json!({ "status": status, "bytes": bytes, "spent_msat": spent }))?;
    if status >= 400 {
        return Err(Failure::new(Exit::Refused, format!("{} answered {status}", args.url)));
    }
    Ok(())
}

/// The play money of the market that is used here, if there is one that answers.
async fn wallet(global: &Global, home: &Home) -> Wallet {
    let Ok(address) = session::address(global, home) else { return Wallet::None };
    match Market::connect_to(address, PATIENCE).await {
        Ok(market) => Wallet::PlayMoney(market),
        Err(_) => Wallet::None,
    }
}

fn header(line: &str) -> Result<(String, String), Failure> {
    let split = line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    split.ok_or_else(|| Failure::new(Exit::Usage, format!("`{line}` is no header like `Name: value`")))
}

fn head(answer: &WebAnswer) -> String {
    let headers = answer.headers().map(|(name, value)| format!("{name}: {value}\n"));
    std::iter::once(format!("HTTP {}\n", answer.status())).chain(headers).collect::<String>() + "\n"
}

/// Writes the body as it arrives. With `--json` and no file it is only counted.
async fn write(args: &FetchArgs, mut answer: WebAnswer, output: &Output) -> Result<u64, Failure> {
    let unwritable = |e: io::Error| Failure::of(Exit::BadInput, e).during("the answer cannot be written");
    let mut file: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(File::create(path).map_err(unwritable)?),
        None if output.is_json() => Box::new(io::sink()),
        None => Box::new(io::stdout()),
    };
    let mut bytes = 0;
    while let Some(chunk) = answer.chunk().await? {
        bytes += chunk.len() as u64;
        match file.write_all(&chunk).and_then(|()| file.flush()) {
            // A reader that has gone is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(bytes),
            written => written.map_err(unwritable)?,
        }
    }
    Ok(bytes)
}
