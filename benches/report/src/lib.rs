//! What the benchmarks share: percentiles, the table that each of them prints, a line about the machine, and a pool of
//! real processes.

pub mod machine;
pub mod pool;
pub mod samples;
pub mod table;
