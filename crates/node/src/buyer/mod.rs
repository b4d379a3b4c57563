//! The buyer: orders work, follows it, collects the results.

pub mod agent;
mod input_files;
pub mod job_file;

pub use input_files::InputFileError;
pub use job_file::{JobFile, JobFileError, PreparedJob};
