//! node

pub mod journal;
