//! Checking tokens, ours and theirs.

use anyhow::{Context, ensure};
use market::{id::PaymentHash, units::TimeMs};
use pay::l402::{Caveat, Identifier, Limit, RootKeys, Service, Token, TokenId};
use report::samples::median;
use std::{
    collections::BTreeSet,
    hint::black_box,
    process::{Command, Stdio},
    time::Instant,
};

/// How many different tokens there are.
const TOKENS: u32 = 1_000;
/// How often all of them are checked, and in how many rounds, of which the middle one counts.
const PASSES: u32 = 20;
const ROUNDS: usize = 5;
const SECRET: [u8; 32] = [7; 32];
const NOW: TimeMs = TimeMs(1_750_000_000_000);

/// Tokens as a market sells them: five caveats.
pub(crate) fn made() -> anyhow::Result<Vec<String>> {
    let keys = RootKeys::new(SECRET, NOW);
    let texts = (0..TOKENS).map(|number| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let identifier = Identifier { payment_hash: PaymentHash([9; 32]), token: TokenId(id) };
        let caveats = [
            Caveat::Services(vec![Service { name: "films".into(), tier: 0 }]),
            Limit::Capabilities(BTreeSet::from(["watch".into()])).of("films"),
            Limit::Path(format!("/films/{number}")).of("films"),
            Limit::ValidUntil(1_750_400_000).of("films"),
            Limit::MaxUses(16).of("films"),
        ];
        Ok(Token::mint(keys.current(), "films.example", identifier, &caveats)?.to_base64())
    });
    texts.collect()
}

/// How many we check a second.
pub(crate) fn ours(texts: &[String]) -> anyhow::Result<f64> {
    let keys = RootKeys::new(SECRET, NOW);
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..PASSES {
            for text in texts {
                let token = Token::from_base64(black_box(text))?;
                ensure!(keys.signed(&token, NOW), "a token of ours is not ours");
                black_box(token.rights("films")?);
            }
        }
        rates.push(f64::from(PASSES * TOKENS) / started.elapsed().as_secs_f64());
    }
    Ok(median(rates))
}

/// How many the peer checks a second; `None` where it is not here.
pub(crate) fn theirs(texts: &[String]) -> anyhow::Result<Option<f64>> {
    let Some(python) = std::env::var_os("PYMACAROONS_PYTHON") else { return Ok(None) };
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), serde_json::to_vec(texts)?)?;
    let output = Command::new(python)
        .args(["-c", include_str!("verify.py")])
        .arg(file.path())
        .stderr(Stdio::inherit())
        .output()
        .context("the peer's Python does not start")?;
    ensure!(output.status.success(), "the peer failed");
    Ok(Some(String::from_utf8(output.stdout)?.trim().parse()?))
}
