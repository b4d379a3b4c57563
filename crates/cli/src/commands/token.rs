//! `grist token`: rights that are handed on, and tokens that were paid for.

use crate::{
    args::Global,
    exit::{Exit, Failure},
    home::Home,
    output::{Output, facts, table},
    session::Session,
    text,
};
use clap::{Args, Subcommand};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use market::{id::LeaseId, units::TimeMs};
use node::{
    api::{LeaseRight, TokenRequest},
    client::paid_elsewhere,
    config_file::Span,
};
use pay::{
    Preimage,
    l402::{Limit, Token},
};
use serde_json::json;
use std::io::Read;

/// The service, as a market's tokens call it.
const SERVICE: &str = "grist";

/// `grist token …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token with which somebody else can read a lease of yours
    Mint(MintArgs),
    /// Show what a token says, without asking anybody
    Show {
        /// The token; `-` reads it from standard input
        token: String,
    },
    /// Ask the market whether a token is good, and for what
    Verify {
        /// The token; `-` reads it from standard input
        token: String,
    },
    /// List the tokens that were paid for, or wait to be
    List,
    /// Note that an invoice was paid with another wallet
    Paid {
        /// What the wallet shows as the payment's preimage, 64 hex digits
        preimage: String,
    },
}

/// `grist token mint`.
#[derive(Debug, Args)]
pub(crate) struct MintArgs {
    /// The lease
    #[arg(long, required_unless_present = "from", conflicts_with = "from")]
    lease: Option<LeaseId>,
    /// Make this token narrower instead of asking the market for one; `-` reads it from standard input
    #[arg(long, value_name = "TOKEN")]
    from: Option<String>,
    /// What it allows: `status`, `logs`
    #[arg(long, value_name = "RIGHT", value_delimiter = ',', required_unless_present = "from")]
    can: Vec<LeaseRight>,
    /// Until when: `3d`, `2026-12-24` (that day included) or `2026-12-24T12:00:00Z`
    #[arg(long, value_name = "WHEN", required_unless_present = "from", value_parser = until)]
    until: Option<TimeMs>,
    /// For how many requests
    #[arg(long, value_name = "N")]
    max_uses: Option<u32>,
}

/// Runs the command.
pub(crate) async fn run(command: &TokenCommand, global: &Global, output: &Output) -> Result<(), Failure> {
    match command {
        TokenCommand::Mint(args) => mint(args, global, output).await,
        TokenCommand::Show { token } => show(&read(token)?, output),
        TokenCommand::Verify { token } => verify(&read(token)?, global, output).await,
        TokenCommand::List => list(&Home::of(global)?, output),
        TokenCommand::Paid { preimage } => paid(preimage, &Home::of(global)?, output),
    }
}

/// Reads a token that somebody gave.
pub(crate) fn read(text: &str) -> Result<Token, Failure> {
    let mut given = text.to_owned();
    if text == "-" {
        given.clear();
        std::io::stdin().read_to_string(&mut given).map_err(|e| Failure::of(Exit::BadInput, e))?;
    }
    Token::from_base64(given.trim()).map_err(|e| Failure::of(Exit::BadInput, e))
}

async fn mint(args: &MintArgs, global: &Global, output: &Output) -> Result<(), Failure> {
    let mut limits = Vec::new();
    let base = match (&args.from, args.lease, args.until) {
        (Some(from), ..) => {
            if !args.can.is_empty() {
                limits.push(Limit::Capabilities(
                    args.can.iter().map(|right| right.word().to_owned()).collect(),
                ));
            }
            limits.extend(args.until.map(|until| Limit::ValidUntil(until.0 / 1_000)));
            read(from)?
        }
        (None, Some(lease), Some(valid_until_ms)) => {
            let session = Session::open(global).await?;
            let request = TokenRequest { can: args.can.clone(), valid_until_ms };
            session.market.lease_token(&session.secret()?, lease, &request).await?
        }
        (None, ..) => {
            return Err(Failure::new(Exit::Usage, "name the lease (--lease), and until when (--until)"));
        }
    };
    limits.extend(args.max_uses.map(Limit::MaxUses));
    let narrowed = limits.into_iter().try_fold(base, |token, limit| token.narrowed(&limit.of(SERVICE)));
    let token = narrowed.map_err(|e| Failure::of(Exit::BadInput, e))?;
    let rights = token.rights(SERVICE).map_err(|e| Failure::of(Exit::BadInput, e))?;
    let until = rights.valid_until_s.map(|seconds| TimeMs(seconds.saturating_mul(1_000)));
    if let Some(until) = until {
        output.note(&format!(
            "good until {}; whoever has it can read, so pass it on in private",
            text::time(until)
        ));
    }
    output.result(&json!({ "token": token.to_base64(), "valid_until_ms": until }), || token.to_base64())
}

fn show(token: &Token, output: &Output) -> Result<(), Failure> {
    let (identifier, caveats) = (token.identifier(), token.caveats().collect::<Vec<_>>());
    let payment = (!identifier.is_unpaid()).then_some(identifier.payment_hash);
    let value = json!({
        "token_id": identifier.token.to_string(),
        "payment_hash": payment,
        "location": token.location(),
        "caveats": caveats,
    });
    output.result(&value, || {
        let lines = facts([
            ("token", identifier.token.to_string()),
            ("payment", payment.map_or_else(|| "none: it was given".to_owned(), |hash| hash.to_string())),
            ("from", token.location().unwrap_or("it does not say").to_owned()),
        ]);
        let caveats: String = caveats.iter().map(|caveat| format!("  {}\n", printable(caveat))).collect();
        format!("{lines}allows only:\n{caveats}")
    })
}

/// A caveat is somebody else's text, which must not move the cursor.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

async fn verify(token: &Token, global: &Global, output: &Output) -> Result<(), Failure> {
    let view = Session::open(global).await?.market.token(token).await?;
    output.result(&view, || {
        facts([
            ("token", view.token_id.clone()),
            ("kind", if view.is_bought { "for sale: good once it is paid" } else { "given" }.to_owned()),
            ("allows", view.can.join(", ")),
            ("until", text::time(view.valid_until_ms)),
            ("lease", view.lease.map_or_else(|| "none".to_owned(), |lease| lease.to_string())),
            ("path", view.path.clone().unwrap_or_else(|| "any".to_owned())),
            ("uses", view.max_uses.map_or_else(|| "any number".to_owned(), |max| format!("at most {max}"))),
        ])
    })
}

fn list(home: &Home, output: &Output) -> Result<(), Failure> {
    let jar = home.tokens();
    let tokens = jar.all().map_err(|e| Failure::of(Exit::BadInput, e).during(jar.folder().display()))?;
    // Without the secrets: this list is for looking at.
    let rows: Vec<_> = tokens
        .iter()
        .map(|token| {
            json!({
                "url": token.url,
                "price_msat": token.price_msat,
                "payment_hash": token.payment_hash,
                "at_ms": token.at_ms,
                "phase": token.phase.word(),
            })
        })
        .collect();
    output.result(&rows, || {
        if tokens.is_empty() {
            return "no tokens: what costs something says so, and --max-pay pays it".to_owned();
        }
        let rows = tokens.iter().map(|token| {
            let price = token.price_msat.to_string();
            vec![printable(&token.url), price, token.phase.word().to_owned(), text::time(token.at_ms)]
        });
        table(["ADDRESS", "PRICE", "STATE", "SINCE"], rows)
    })
}

fn paid(preimage: &str, home: &Home, output: &Output) -> Result<(), Failure> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(preimage.trim().as_bytes()).ok();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    let preimage = bytes.map(Preimage).ok_or_else(|| {
        Failure::new(Exit::Usage, "the preimage is not 64 hex digits: copy it from the wallet that paid")
    })?;
    let jar = home.tokens();
    let stored = paid_elsewhere(&jar, preimage);
    let stored = stored.map_err(|e| Failure::of(Exit::BadInput, e).during(jar.folder().display()))?;
    let Some(token) = stored else {
        let hash = preimage.payment_hash();
        return Err(Failure::new(Exit::BadInput, format!("no stored token waits for the payment {hash}")));
    };
    output.result(&json!({ "url": token.url }), || format!("noted: the token for {} is good now", token.url))
}

/// Reads `--until`: a span from now, a day, or a moment.
fn until(text: &str) -> Result<TimeMs, String> {
    let expected = || format!("`{text}` is no time like 3d, 2026-12-24 or 2026-12-24T12:00:00Z");
    let now = Timestamp::now();
    let at = match (text.parse::<Span>(), text.parse::<Timestamp>(), text.parse::<Date>()) {
        (Ok(span), ..) => now.as_millisecond().saturating_add_unsigned(span.0),
        (_, Ok(moment), _) => moment.as_millisecond(),
        // The day is over when the next one begins.
        (.., Ok(day)) => {
            let next = day.tomorrow().and_then(|day| day.to_zoned(TimeZone::system()));
            next.map_err(|_| expected())?.timestamp().as_millisecond()
        }
        _ => return Err(expected()),
    };
    if at <= now.as_millisecond() {
        return Err(format!("`{text}` is over"));
    }
    u64::try_from(at).map(TimeMs).map_err(|_| expected())
}
