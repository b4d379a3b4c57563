//! `grist party`: the key that owns money, bond and reputation.

use crate::{
    args::Global,
    exit::{Exit, Failure},
    home::Home,
    keys::{self, KeyError},
    output::{Output, Tone, facts, table},
    session::{Session, address, no_party, party_label},
    text,
};
use clap::{Args, Subcommand};
use market::{
    command::{Command, ROTATION_DOMAIN, rotation_message},
    id::PartyId,
    key::SecretKey,
};
use node::api::KeyView;
use serde_json::json;
use std::{
    io::{self, BufRead, IsTerminal},
    path::{Path, PathBuf},
};

/// `grist party …`.
#[derive(Debug, Subcommand)]
pub(crate) enum PartyCommand {
    /// Make a party: a key, its recovery phrase, and its registration where a market is named
    New(LabelArgs),
    /// Register this party at another market
    Register(LabelArgs),
    /// Show a party, by default your own
    Show(ShowArgs),
    /// Show the recovery phrase
    Backup(BackupArgs),
    /// Bring a party back from its recovery phrase, read from standard input
    Restore,
    /// Move the party to a new key; the old one is worth nothing at this market afterwards
    Rotate,
}

/// How a party is called.
#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    /// How the party is called, for people [default: the beginning of its key]
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
}

/// Which party.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Another party than your own
    party: Option<PartyId>,
}

/// `grist party backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Do not ask whether anybody is looking
    #[arg(long, short)]
    yes: bool,
}

/// Runs the command.
pub(crate) async fn run(command: &PartyCommand, global: &Global, output: &Output) -> Result<(), Failure> {
    match command {
        PartyCommand::New(args) => new(args, global, output).await,
        PartyCommand::Register(args) => register(args, global, output).await,
        PartyCommand::Show(args) => show(args, global, output).await,
        PartyCommand::Backup(args) => backup(args, global, output),
        PartyCommand::Restore => restore(global, output),
        PartyCommand::Rotate => rotate(global, output).await,
    }
}

async fn new(args: &LabelArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let home = Home::of(global)?;
    let file = home.party_key(global);
    let secret = keys::generate()?;
    keys::create(&file, &secret)?;
    let phrase = keys::words(&secret)?;
    let id = match global.market.is_some() || home.settings()?.market.is_some() {
        // The key is made and must be told of even when the market is away.
        true => match registered(global, &secret, args).await {
            Ok(id) => Some(id),
            Err(e) => {
                output.warn(&format!(
                    "the party is made, but not registered ({e}): run `grist party register`"
                ));
                None
            }
        },
        false => None,
    };
    let json = json!({ "key": secret.public(), "file": file, "party": id, "recovery_phrase": phrase });
    output.result(&json, || {
        let at = id.map_or_else(String::new, |id| format!(", {id} at the market"));
        format!(
            "{}\n\n{}\n{}\nWhoever has these words has the party. Write them down; they are shown this once.",
            output.tone(Tone::Strong, &format!("a new party{at}; its key is in {}", file.display())),
            "recovery phrase:",
            numbered(&phrase),
        )
    })
}

/// What the party is to be called.
fn label(args: &LabelArgs, secret: &SecretKey) -> String {
    args.label.clone().unwrap_or_else(|| party_label(&secret.public()))
}

async fn registered(global: &Global, secret: &SecretKey, args: &LabelArgs) -> Result<PartyId, Failure> {
    let session = Session::open(global).await?;
    session.register(secret, &label(args, secret)).await
}

async fn register(args: &LabelArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let session = Session::open(global).await?;
    let secret = session.secret()?;
    let id = session.register(&secret, &label(args, &secret)).await?;
    output.result(&json!({ "party": id, "key": secret.public() }), || format!("registered as {id}"))
}

async fn show(args: &ShowArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    if args.party.is_none() && address(global, &Home::of(global)?).is_err() {
        return show_key(global, output);
    }
    let session = Session::open(global).await?;
    let id = match args.party {
        Some(id) => id,
        None => session.party().await?.id,
    };
    let party = session.market.party(id).await?;
    output.result(&party, || {
        let mut lines = vec![
            ("party", party.party.to_string()),
            ("label", party.label.clone()),
            ("key", party.key.to_string()),
            ("bond", party.bond_msat.to_string()),
        ];
        if party.is_operators {
            lines.push(("owner", "the market's operator".to_owned()));
        }
        let scores = party.reputation.iter().map(|score| {
            vec![
                score.class.to_string(),
                text::reputation(score.score_ppm, score.is_unvetted),
                score.valid_in_a_row.to_string(),
            ]
        });
        match party.reputation.is_empty() {
            true => facts(lines),
            false => facts(lines) + "\n" + &table(["CLASS", "REPUTATION", "VALID IN A ROW"], scores),
        }
    })
}

/// What can be said of the own party without a market.
fn show_key(global: &Global, output: &Output) -> Result<(), Failure> {
    let file = Home::of(global)?.party_key(global);
    let secret = read_own(&file)?;
    output.result(&json!({ "key": secret.public(), "file": file }), || {
        facts([("key", secret.public().to_string()), ("file", file.display().to_string())])
    })
}

fn backup(args: &BackupArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let secret = read_own(&Home::of(global)?.party_key(global))?;
    if !args.yes {
        let question = "The recovery phrase is the party. Is nobody looking?";
        if !output.confirm(question)? {
            return Err(Failure::new(Exit::Usage, "not shown: answer `y`, or give --yes"));
        }
    }
    let phrase = keys::words(&secret)?;
    output.result(&json!({ "key": secret.public(), "recovery_phrase": phrase }), || numbered(&phrase))
}

fn restore(global: &Global, output: &Output) -> Result<(), Failure> {
    let file = Home::of(global)?.party_key(global);
    if file.exists() {
        return Err(KeyError::Exists(file).into());
    }
    if io::stdin().is_terminal() {
        output.note("The 24 words, on one line or several:");
    }
    let mut text = String::new();
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|e| Failure::of(Exit::Unexpected, e))?;
        // Numbers in front of the words are what `backup` prints.
        let words = line
            .split_whitespace()
            .filter(|word| !word.trim_end_matches('.').bytes().all(|b| b.is_ascii_digit()));
        words.for_each(|word| text.extend([word, " "]));
        if text.split_whitespace().count() >= 24 {
            break;
        }
    }
    let secret = keys::from_words(&text)?;
    keys::create(&file, &secret)?;
    output.result(&json!({ "key": secret.public(), "file": file }), || {
        format!("the party with key {} is back in {}", secret.public(), file.display())
    })
}

/// The new key is on disk before the market hears of it, so that no crash leaves a party without a key.
async fn rotate(global: &Global, output: &Output) -> Result<(), Failure> {
    let session = Session::open(global).await?;
    let file = session.party_key_file();
    let next_file = beside(&file, "next");
    let old = session.secret()?;
    let next = match keys::read(&next_file) {
        Ok(secret) => secret,
        Err(KeyError::Missing(_)) => {
            let secret = keys::generate()?;
            keys::create(&next_file, &secret)?;
            secret
        }
        Err(e) => return Err(e.into()),
    };
    // An earlier try may have got as far as the market.
    if !matches!(session.market.key(&next.public()).await?, Some(KeyView::Party(_))) {
        let message = rotation_message(&session.market.venue(), &old.public());
        let consent = next.sign(ROTATION_DOMAIN, &message);
        session.submit(&old, Command::RotateKey { new_key: next.public(), consent }).await?;
    }
    let old_file = beside(&file, &old.public().short());
    let moved = std::fs::rename(&file, &old_file).and_then(|()| std::fs::rename(&next_file, &file));
    moved.map_err(|e| Failure::of(Exit::Key, e).during(file.display()))?;
    let phrase = keys::words(&next)?;
    let json = json!({ "key": next.public(), "old_key": old.public(), "old_file": old_file, "recovery_phrase": phrase });
    output.result(&json, || {
        format!(
            "the party has a new key; the old one is in {} for other markets that know it\n\nnew recovery phrase:\n{}",
            old_file.display(),
            numbered(&phrase)
        )
    })
}

fn read_own(file: &Path) -> Result<SecretKey, Failure> {
    keys::read(file).map_err(|e| match e {
        KeyError::Missing(file) => no_party(file),
        other => other.into(),
    })
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// The words with their numbers, six a line.
fn numbered(phrase: &str) -> String {
    let words: Vec<String> =
        phrase.split(' ').enumerate().map(|(i, word)| format!("{:2}. {word:9}", i + 1)).collect();
    words.chunks(6).map(|line| line.join(" ").trim_end().to_owned() + "\n").collect()
}
