//! What can go wrong on demand or by chance.

use bitcoin_hashes::{Hash, HashEngine, sha256};
use market::units::PPM;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Something that goes wrong once, at the node that it was injected into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The next payment fails before it leaves the node.
    FailPayment,
    /// The next payment gets stuck: its state is unknown for a while.
    HangPayment {
        /// For how long, in milliseconds.
        for_ms: u64,
        /// What becomes of it then.
        then: HangEnd,
    },
    /// The next payment is taken on, but the answer to the caller is lost.
    LoseAnswer,
    /// The next payment that the payee takes is reported as in flight for a while longer.
    SettleLate {
        /// For how long, in milliseconds.
        by_ms: u64,
    },
    /// The next event comes twice.
    DuplicateEvent,
    /// The next event never comes.
    LoseEvent,
}

/// What becomes of a payment that got stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HangEnd {
    /// It goes on to the payee.
    Delivered,
    /// It comes back.
    Failed,
}

/// What goes wrong by chance, anywhere; each number is a probability in parts per million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chaos {
    /// A payment fails before it leaves.
    pub fail_payment_ppm: u32,
    /// A payment gets stuck, and is delivered or comes back with equal chance.
    pub hang_payment_ppm: u32,
    /// The answer to a payment is lost.
    pub lose_answer_ppm: u32,
    /// A success is reported late.
    pub settle_late_ppm: u32,
    /// An event comes twice.
    pub duplicate_event_ppm: u32,
    /// An event never comes.
    pub lose_event_ppm: u32,
    /// The longest that a payment is stuck or late, in milliseconds.
    pub delay_max_ms: u64,
}

/// Decides what goes wrong, and is the network's only source of chance: a hash over the seed and a counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mischief {
    seed: [u8; 32],
    draws: u64,
    pub(super) chaos: Chaos,
    /// Faults that were injected and have not struck yet, by node.
    waiting: BTreeMap<usize, VecDeque<Fault>>,
}

impl Mischief {
    pub(super) fn new(seed: [u8; 32]) -> Mischief {
        Mischief { seed, draws: 0, chaos: Chaos::default(), waiting: BTreeMap::new() }
    }

    pub(super) fn inject(&mut self, node: usize, fault: Fault) {
        self.waiting.entry(node).or_default().push_back(fault);
    }

    /// Whether a fault strikes here: because it waits in line, or by chance.
    pub(super) fn strikes(&mut self, node: usize, fault: Fault) -> bool {
        self.take(node, |waiting| (*waiting == fault).then_some(())).is_some() || self.happens(fault)
    }

    /// For how long a payment gets stuck, if it does, and what becomes of it then.
    pub(super) fn hang(&mut self, node: usize) -> Option<(u64, HangEnd)> {
        let ordered = self.take(node, |fault| match *fault {
            Fault::HangPayment { for_ms, then } => Some((for_ms, then)),
            Fault::FailPayment
            | Fault::LoseAnswer
            | Fault::SettleLate { .. }
            | Fault::DuplicateEvent
            | Fault::LoseEvent => None,
        });
        let then = HangEnd::Delivered;
        if ordered.is_some() || !self.happens(Fault::HangPayment { for_ms: 0, then }) {
            return ordered;
        }
        let then = if self.draw_below(2) == 0 { HangEnd::Delivered } else { HangEnd::Failed };
        Some((self.draw_delay(), then))
    }

    /// How late a success is reported, if it is.
    pub(super) fn settle_late(&mut self, node: usize) -> Option<u64> {
        let ordered = self.take(node, |fault| match *fault {
            Fault::SettleLate { by_ms } => Some(by_ms),
            Fault::FailPayment
            | Fault::HangPayment { .. }
            | Fault::LoseAnswer
            | Fault::DuplicateEvent
            | Fault::LoseEvent => None,
        });
        if ordered.is_some() || !self.happens(Fault::SettleLate { by_ms: 0 }) {
            return ordered;
        }
        Some(self.draw_delay())
    }

    fn take<T>(&mut self, node: usize, fits: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        let waiting = self.waiting.get_mut(&node)?;
        let (place, found) =
            waiting.iter().enumerate().find_map(|(place, fault)| Some((place, fits(fault)?)))?;
        waiting.remove(place);
        Some(found)
    }

    fn happens(&mut self, fault: Fault) -> bool {
        let chance_ppm = match fault {
            Fault::FailPayment => self.chaos.fail_payment_ppm,
            Fault::HangPayment { .. } => self.chaos.hang_payment_ppm,
            Fault::LoseAnswer => self.chaos.lose_answer_ppm,
            Fault::SettleLate { .. } => self.chaos.settle_late_ppm,
            Fault::DuplicateEvent => self.chaos.duplicate_event_ppm,
            Fault::LoseEvent => self.chaos.lose_event_ppm,
        };
        chance_ppm > 0 && self.draw_below(PPM) < u64::from(chance_ppm)
    }

    fn draw_delay(&mut self) -> u64 {
        1 + self.draw_below(self.chaos.delay_max_ms.max(1))
    }

    /// Uniform but for the bias of the modulo, which is below 2⁻²⁰ for limits below 2⁴⁴.
    fn draw_below(&mut self, limit: u64) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.draw();
        u64::from_le_bytes([a, b, c, d, e, f, g, h]) % limit
    }

    /// The next 32 bytes of chance.
    pub(super) fn draw(&mut self) -> [u8; 32] {
        let mut engine = sha256::Hash::engine();
        engine.input(&self.seed);
        engine.input(&self.draws.to_le_bytes());
        self.draws += 1;
        sha256::Hash::from_engine(engine).to_byte_array()
    }
}
