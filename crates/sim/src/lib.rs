//! The market as a whole on a seeded clock, network, disk and payments, with faults and cheats on every side.
//!
//! What runs is the production code: the venue with its journal, recovery, keeper, liveness and payments, and the
//! agents of provider and buyer. They do no I/O and read no clock, so a world is a queue of events, and a seed is all that it takes to
//! run it again. Why this is our own loop is in `docs/adr/0004-own-simulation-loop.md`.
//!
//! | file | what |
//! |---|---|
//! | `plan` | what a seed means: parties, machines, jobs, cheats, faults |
//! | `stage` | time, the queue, the network |
//! | `caller` | asks until it is answered |
//! | `market_host` | the market's process, disk and Lightning node |
//! | `machine`, `party`, `order` | the others, honest or not |
//! | `operator` | forks and rewritten journals |
//! | `checker`, `hold_watch` | what must hold |
//! | `world` | the loop |
//! | `report`, `progress` | many seeds, added up |
//!
//! Each seed is run twice: once with the cheat that it measures, once with the same actor honest. A cheat's profit is the
//! difference of what the actor gained.
#![forbid(unsafe_code)]

mod caller;
pub mod cheat;
pub mod checker;
pub mod hold_watch;
mod machine;
mod market_host;
pub mod operator;
mod order;
mod party;
pub mod plan;
pub mod progress;
pub mod report;
mod rng;
mod stage;
pub mod world;
