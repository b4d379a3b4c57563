//! The engine: the only writer of the market's state.
//!
//! [`Engine::apply`] checks a command, changes the state and says what happened ([`Event`]) and what somebody has
//! to do about it ([`Effect`]). A rejected command changes nothing. Each family of commands has a file of its own.

pub mod state;

use crate::{
    effect::{Effect, EffectId},
    event::Event,
    key::PublicKey,
    rejection::Rejection,
    reply::Reply,
    statement::Checked,
    units::TimeMs,
};
pub use state::State;

/// What an accepted command led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its position in the journal; the first is 1.
    pub position: u64,
    /// What its sender is told.
    pub reply: Reply,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// What somebody has to do, in order.
    pub effects: Vec<(EffectId, Effect)>,
}
