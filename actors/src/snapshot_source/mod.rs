//! From the control tables to the snapshot: reading the rows of one moment, then a pure function.
//!
//! When to do it, and where the result goes, is `snapshot_keeper`'s.

mod build;
mod issuer_keys;
mod load;

pub use build::{Built, Rows, Unusable, build, price_row};
pub use issuer_keys::{issuer_keys, seal_issuer_keys};
pub use load::{Loaded, load, view_of_account};
