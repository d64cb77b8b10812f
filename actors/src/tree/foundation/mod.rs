//! What everything else stands on: the settings in force, and the snapshot the gateway decides by.

pub mod settings_keeper;
pub mod snapshot_keeper;
