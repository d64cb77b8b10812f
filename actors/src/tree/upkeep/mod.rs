//! Work that keeps the house in order and may wait.

pub mod archivist;
pub mod database_backup;
pub mod job_runner;
pub mod remote_backup;
pub mod reporter;
pub mod retention;
