//! The engine as its users see it: commands in, events and money out.

mod auctions;
mod jobs;
mod money;
mod parties;
mod verification;
mod withheld;
mod world;
