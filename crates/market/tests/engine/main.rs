//! The engine as its users see it: commands in, events and money out.

mod auctions;
mod holds;
mod jobs;
mod money;
mod parties;
mod sales;
mod sessions;
mod verification;
mod withheld;
mod world;
