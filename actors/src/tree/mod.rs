//! The actors themselves. Folder = supervisor, file = process.

pub mod foundation;
pub mod upkeep;
