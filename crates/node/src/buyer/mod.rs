//! The buyer: orders work, follows it, collects the results.
//!
//! [`JobFile`] reads what a person writes; [`Buyer`] uploads, places the order and follows the job. What it decides is in
//! [`agent`], a state machine without I/O that the simulation runs as well.

pub mod agent;
pub mod hold_check;
mod input_files;
pub mod job_file;
mod keys;
mod payer;
mod purchase;
mod record;
pub mod sale_check;

pub use input_files::InputFileError;
pub use job_file::{JobFile, JobFileError, PreparedJob};
pub use payer::SharedNode;
pub use purchase::{BuyError, Buyer, News, Placed, Recovered};
pub use record::RecordError;
