//! The spool against a simple model, a hostile disk and a killer.
