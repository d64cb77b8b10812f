//! What goes wrong, said once: one catalog of codes, told in the dialect of whoever asked.

pub mod catalog;
pub mod dialect;
pub mod problem;

pub use catalog::ErrorCode;
pub use problem::ApiError;
