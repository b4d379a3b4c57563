//! Who takes part in the demo.

use market::units::Msat;

/// What a provider of the demo does that it should not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Works as it should.
    Honest,
    /// Returns results that it has made up.
    WrongResults,
    /// Its process is killed in the middle of a task.
    Dies,
}

/// A provider of the demo.
#[derive(Debug, Clone, Copy)]
pub(super) struct Player {
    /// What it is called.
    pub(super) name: &'static str,
    /// The hardware class that it declares. All of them run on this one computer.
    pub(super) class: &'static str,
    /// Its standing price for a task, in satoshi.
    pub(super) price_sat: u64,
    /// What it locks as a bond, in satoshi.
    pub(super) bond_sat: u64,
    /// How much slower than this computer it works, in percent.
    pub(super) slowdown_percent: u32,
    /// What it does.
    pub(super) part: Part,
}

impl Player {
    /// The price as the market counts it.
    pub(super) fn price(&self) -> Msat {
        Msat(self.price_sat * 1_000)
    }
}

/// Four providers for three slots: the three cheapest win, one of them lies and one of them dies.
pub(super) const CAST: [Player; 4] = [
    Player {
        name: "magpie",
        class: "mini-pc-n100",
        price_sat: 14,
        bond_sat: 600,
        slowdown_percent: 0,
        part: Part::WrongResults,
    },
    Player {
        name: "mayfly",
        class: "gaming-pc-rtx-3080",
        price_sat: 18,
        bond_sat: 400,
        slowdown_percent: 10,
        part: Part::Dies,
    },
    Player {
        name: "finch",
        class: "mac-mini-m4-pro",
        price_sat: 21,
        bond_sat: 500,
        slowdown_percent: 25,
        part: Part::Honest,
    },
    Player {
        name: "heron",
        class: "epyc-rack",
        price_sat: 26,
        bond_sat: 800,
        slowdown_percent: 0,
        part: Part::Honest,
    },
];

/// What the buyer is called.
pub(super) const BUYER: &str = "ada";
/// What the buyer tops up, in satoshi.
pub(super) const BUYER_FUNDS_SAT: u64 = 5_000;
