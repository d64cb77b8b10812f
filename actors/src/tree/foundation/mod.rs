//! What everything else stands on: the snapshot the gateway decides by.

pub mod snapshot_keeper;
