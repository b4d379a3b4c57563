//! What tokens about leases let others read, and how they are asked for.

use market::{
    event::Verdict,
    id::{AttemptId, LeaseId},
    units::{Msat, TimeMs},
    verify::TaskResult,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What a token about a lease allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseRight {
    /// To read which tasks were done under it, and what was found about them.
    Status,
    /// To fetch what those tasks wrote.
    Logs,
}

impl LeaseRight {
    /// All of them.
    pub const ALL: [LeaseRight; 2] = [LeaseRight::Status, LeaseRight::Logs];

    /// The word for it in tokens.
    pub fn word(self) -> &'static str {
        match self {
            LeaseRight::Status => "status",
            LeaseRight::Logs => "logs",
        }
    }
}

impl fmt::Display for LeaseRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that is no right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is nothing that a token about a lease can allow: say `status` or `logs`")]
pub struct BadRight(String);

impl FromStr for LeaseRight {
    type Err = BadRight;

    fn from_str(text: &str) -> Result<LeaseRight, BadRight> {
        LeaseRight::ALL
            .into_iter()
            .find(|right| right.word() == text)
            .ok_or_else(|| BadRight(text.to_owned()))
    }
}

/// Asks for a token about a lease (`POST /v1/leases/{lease}/token`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What it is to allow.
    pub can: Vec<LeaseRight>,
    /// Until when; the market may make it shorter.
    pub valid_until_ms: TimeMs,
}

/// A token. Whoever has it has its rights.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenGiven {
    /// A macaroon, in standard base64.
    pub token: String,
}

impl fmt::Debug for TokenGiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenGiven(secret)")
    }
}

/// What a token is good for (`GET /v1/token`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Which.
    pub token_id: String,
    /// Whether it has to be paid for; if not, it was given by a party of its lease.
    pub is_bought: bool,
    /// What it allows.
    pub can: Vec<String>,
    /// Until when.
    pub valid_until_ms: TimeMs,
    /// The lease that it is about.
    pub lease: Option<LeaseId>,
    /// The one path that it is for.
    pub path: Option<String>,
    /// How many requests it was made for.
    pub max_uses: Option<u32>,
}

/// An attempt under a lease that has its verdict (`GET /v1/leases/{lease}/results`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseResult {
    /// The task.
    pub task: u32,
    /// The attempt.
    pub attempt: AttemptId,
    /// What was found.
    pub verdict: Verdict,
    /// What it gave, when it was revealed.
    pub result: Option<TaskResult>,
    /// What it earned.
    pub paid_msat: Msat,
}
