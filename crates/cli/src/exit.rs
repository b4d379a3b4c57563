//! How the program ends: exit codes, and the errors that lead to them.
//!
//! Codes are part of the interface: scripts depend on them, so one never changes its meaning.

use node::{
    buyer::BuyError,
    client::{ClientError, FetchError, PayingError},
};
use serde::Serialize;
use std::{fmt, process::ExitCode};

/// Why the program ended, as scripts see it. `grist help exit-codes` prints this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something that should not happen: a bug, or a system that refuses the ordinary.
    Unexpected = 1,
    /// The command line is wrong.
    Usage = 2,
    /// A file that was named is missing or wrong: job, configuration, module, input.
    BadInput = 3,
    /// The market understood and said no.
    Refused = 4,
    /// The market does not answer.
    Unreachable = 5,
    /// Not enough money, or the price is above what was allowed.
    Money = 6,
    /// The job ended, but not every task has a result of a program that succeeded.
    Incomplete = 7,
    /// Something that can be checked is wrong: a receipt, a journal, a forked log, a blob, the demo's books.
    NotVerified = 8,
    /// A key is missing, damaged, or readable by others.
    Key = 9,
    /// Interrupted by Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// Every code with what it means, in order.
    pub(crate) const ALL: [(Exit, &str); 10] = [
        (Exit::Unexpected, "something unexpected: run again with --verbose and report it"),
        (Exit::Usage, "the command line is wrong"),
        (Exit::BadInput, "a file that was named is missing or wrong (job, configuration, module, input)"),
        (Exit::Refused, "the market said no"),
        (Exit::Unreachable, "the market does not answer"),
        (Exit::Money, "not enough money, or the price is above what was allowed"),
        (Exit::Incomplete, "the job ended without all results"),
        (Exit::NotVerified, "a check failed: receipt, journal, public log, blob, or the demo's books"),
        (Exit::Key, "a key is missing, damaged, or readable by others"),
        (Exit::Interrupted, "interrupted"),
    ];

    /// The number.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// The word that stands for it in JSON.
    fn word(self) -> &'static str {
        match self {
            Exit::Unexpected => "unexpected",
            Exit::Usage => "usage",
            Exit::BadInput => "bad_input",
            Exit::Refused => "refused",
            Exit::Unreachable => "unreachable",
            Exit::Money => "money",
            Exit::Incomplete => "incomplete",
            Exit::NotVerified => "not_verified",
            Exit::Key => "key",
            Exit::Interrupted => "interrupted",
        }
    }

    /// The list for people.
    pub(crate) fn list() -> String {
        let mut text = String::from("  0  it is done\n");
        for (exit, meaning) in Exit::ALL {
            text.push_str(&format!("{:3}  {meaning}\n", exit.code()));
        }
        text
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a command did not do what was asked: one sentence that says what to do, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    word: String,
    message: String,
    source: Option<anyhow::Error>,
}

impl Failure {
    /// A failure with a sentence for people.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, word: exit.word().to_owned(), message: message.into(), source: None }
    }

    /// A failure that another error led to; `--verbose` shows the chain behind it.
    pub(crate) fn of(exit: Exit, error: impl Into<anyhow::Error>) -> Failure {
        let error = error.into();
        Failure { source: Some(error), ..Failure::new(exit, String::new()) }.told()
    }

    /// The same with a sentence in front that says what was being done.
    pub(crate) fn during(mut self, what: impl fmt::Display) -> Failure {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The same with what to do about it behind.
    pub(crate) fn advise(mut self, what: &str) -> Failure {
        self.message = format!("{}: {what}", self.message);
        self
    }

    fn told(mut self) -> Failure {
        if let Some(source) = &self.source {
            self.message = source.to_string();
        }
        self
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// As JSON: `{"error": {code, message, exit_code}}`.
    pub(crate) fn json(&self) -> impl Serialize + use<> {
        serde_json::json!({
            "error": { "code": self.word, "message": self.message, "exit_code": self.exit.code() }
        })
    }

    /// What lies behind the message, outermost first.
    pub(crate) fn causes(&self) -> Vec<String> {
        self.source.iter().flat_map(|source| source.chain().skip(1).map(ToString::to_string)).collect()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<BuyError> for Failure {
    fn from(error: BuyError) -> Failure {
        match error {
            BuyError::Market(error) => error.into(),
            BuyError::Record(_) | BuyError::Results { .. } | BuyError::Random(_) | BuyError::Strange => {
                Failure::of(Exit::Unexpected, error)
            }
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let exit = match &error {
            ClientError::Refused { error, .. } => match error.code.as_str() {
                "insufficient_funds" | "balance_cap" => Exit::Money,
                _ => Exit::Refused,
            },
            ClientError::Unreachable { .. } => Exit::Unreachable,
            ClientError::Paying(error) => paying(error),
            ClientError::Address(_) => Exit::Usage,
            ClientError::UnsignedHead
            | ClientError::Fork(_)
            | ClientError::NoProof { .. }
            | ClientError::BlobMismatch(_) => Exit::NotVerified,
            ClientError::File { .. } => Exit::BadInput,
            ClientError::Tls(_) | ClientError::Garbled { .. } | ClientError::Encode(_) => Exit::Unexpected,
        };
        let word = error.code().map(str::to_owned);
        let mut failure = Failure::of(exit, error);
        if let Some(word) = word {
            failure.word = word;
        }
        failure
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Failure {
        let exit = match &error {
            FetchError::Address { .. } | FetchError::Request(_) => Exit::Usage,
            FetchError::BrokenOff(_) => Exit::Unreachable,
            FetchError::Paying(error) => paying(error),
            FetchError::Tls(_) => Exit::Unexpected,
        };
        Failure::of(exit, error)
    }
}

fn paying(error: &PayingError) -> Exit {
    match error {
        PayingError::Price { .. }
        | PayingError::NoWallet { .. }
        | PayingError::Undecided { .. }
        | PayingError::Failed { .. }
        | PayingError::NotPaid { .. } => Exit::Money,
        PayingError::BadChallenge { .. } | PayingError::NotAccepted { .. } => Exit::Refused,
        PayingError::Unreachable { .. } => Exit::Unreachable,
        PayingError::Jar { .. } => Exit::Unexpected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_listed_once_and_in_order() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|(exit, _)| exit.code()).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        assert!(Exit::list().contains("  9  a key"));
    }
}
