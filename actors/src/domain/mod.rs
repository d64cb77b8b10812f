//! The product's nouns as plain values: no process, no I/O.
//!
//! Everything here is pure or nearly so (a clock is passed in), so that the parts that live — spool,
//! writer, gateway — can be tested against it without a runtime. Wire formats that outlive a release
//! ([`record`]) are here too, because every crate above reads them.

pub mod alert;
pub mod calendar;
pub mod clock;
pub mod csv;
pub mod decimal;
pub mod health;
pub mod issuer;
pub mod notice;
pub mod price;
pub mod prompt;
pub mod recent;
pub mod record;
pub mod redaction;
pub mod report;
pub mod rid;
pub mod ring;
pub mod secrets;
pub mod seen;
pub mod setting;
pub mod snapshot;
