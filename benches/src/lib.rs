//! What the benchmarks share: percentiles, the table that each of them prints, and a line about the machine.

pub mod machine;
pub mod samples;
pub mod table;
