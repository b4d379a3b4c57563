//! The ways to cheat. Each is played by an actor of its own in a world that is otherwise the same with and without it.

use std::fmt;

/// A way to cheat, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cheat {
    /// A provider that never works and makes every result up.
    AlwaysWrong,
    /// A provider that makes up one result in eight.
    SometimesWrong,
    /// A provider that seals another party's seal and later shows what that party showed.
    CopiesSeals,
    /// A provider that reveals after the window.
    LateReveal,
    /// A provider that never reveals.
    NoReveal,
    /// A provider that claims thrice the fuel.
    FakeMeter,
    /// A provider that sends every claim twice, claims under others' leases and commits to others' attempts.
    DoubleClaim,
    /// A provider that reveals without handing over its output.
    WithholdsOutput,
    /// Two parties of one owner that give the same wrong results where three have to agree.
    SybilPair,
    /// A provider that makes results up, quits each lease at once and tries to take its bond away.
    QuitsBeforeAudit,
    /// A buyer without money.
    Unfunded,
    /// A buyer that sends every accepted statement again.
    Replays,
    /// A buyer that cancels while work is under way.
    GriefingCancel,
    /// A buyer that withholds its audit links.
    WithholdsLinks,
    /// A buyer that reveals false audit links.
    FalseLinks,
    /// A validator that commits garbage.
    LazyValidator,
    /// A provider that lies and a validator that vouches for it.
    ColludingValidator,
    /// Three parties of the operator, undeclared, that lie alike.
    OperatorSybils,
    /// An operator that keeps the venue's audit links to itself.
    VenueWithholdsLinks,
}

/// Whose cheat it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A provider's.
    Provider,
    /// A buyer's.
    Buyer,
    /// A validator's.
    Validator,
    /// The operator's.
    Operator,
}

impl Cheat {
    /// All of them.
    pub const ALL: [Cheat; 19] = [
        Cheat::AlwaysWrong,
        Cheat::SometimesWrong,
        Cheat::CopiesSeals,
        Cheat::LateReveal,
        Cheat::NoReveal,
        Cheat::FakeMeter,
        Cheat::DoubleClaim,
        Cheat::WithholdsOutput,
        Cheat::SybilPair,
        Cheat::QuitsBeforeAudit,
        Cheat::Unfunded,
        Cheat::Replays,
        Cheat::GriefingCancel,
        Cheat::WithholdsLinks,
        Cheat::FalseLinks,
        Cheat::LazyValidator,
        Cheat::ColludingValidator,
        Cheat::OperatorSybils,
        Cheat::VenueWithholdsLinks,
    ];

    /// Whose cheat it is.
    pub fn side(self) -> Side {
        match self {
            Cheat::AlwaysWrong
            | Cheat::SometimesWrong
            | Cheat::CopiesSeals
            | Cheat::LateReveal
            | Cheat::NoReveal
            | Cheat::FakeMeter
            | Cheat::DoubleClaim
            | Cheat::WithholdsOutput
            | Cheat::SybilPair
            | Cheat::QuitsBeforeAudit => Side::Provider,
            Cheat::Unfunded
            | Cheat::Replays
            | Cheat::GriefingCancel
            | Cheat::WithholdsLinks
            | Cheat::FalseLinks => Side::Buyer,
            Cheat::LazyValidator | Cheat::ColludingValidator => Side::Validator,
            Cheat::OperatorSybils | Cheat::VenueWithholdsLinks => Side::Operator,
        }
    }

    /// How many results in a million are made up.
    pub fn lies_ppm(self) -> u32 {
        match self {
            Cheat::AlwaysWrong
            | Cheat::CopiesSeals
            | Cheat::SybilPair
            | Cheat::QuitsBeforeAudit
            | Cheat::LazyValidator
            | Cheat::ColludingValidator
            | Cheat::OperatorSybils => 1_000_000,
            Cheat::SometimesWrong => 125_000,
            Cheat::LateReveal
            | Cheat::NoReveal
            | Cheat::FakeMeter
            | Cheat::DoubleClaim
            | Cheat::WithholdsOutput
            | Cheat::Unfunded
            | Cheat::Replays
            | Cheat::GriefingCancel
            | Cheat::WithholdsLinks
            | Cheat::FalseLinks
            | Cheat::VenueWithholdsLinks => 0,
        }
    }

    /// A name for tables.
    pub fn name(self) -> &'static str {
        match self {
            Cheat::AlwaysWrong => "always wrong",
            Cheat::SometimesWrong => "sometimes wrong",
            Cheat::CopiesSeals => "copies another's seal",
            Cheat::LateReveal => "late reveal",
            Cheat::NoReveal => "no reveal",
            Cheat::FakeMeter => "fake fuel meter",
            Cheat::DoubleClaim => "double claim",
            Cheat::WithholdsOutput => "withholds results",
            Cheat::SybilPair => "sybil pair (k-1)",
            Cheat::QuitsBeforeAudit => "quits before audit",
            Cheat::Unfunded => "unfunded buyer",
            Cheat::Replays => "replayed statements",
            Cheat::GriefingCancel => "griefing cancels",
            Cheat::WithholdsLinks => "withheld links",
            Cheat::FalseLinks => "false links",
            Cheat::LazyValidator => "lazy validator",
            Cheat::ColludingValidator => "colluding validator",
            Cheat::OperatorSybils => "operator's sybils",
            Cheat::VenueWithholdsLinks => "venue withholds links",
        }
    }
}

impl fmt::Display for Cheat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
