//! The data plane: a call comes in, goes to an account, comes back, and is on the books before it ends.
//!
//! What decides is pure (bytes and values in, values out, the time passed in) and stands in its own module;
//! what moves bytes is thin and stands beside it.

pub mod breaker;
pub mod decode;
pub mod dialect;
pub mod estimate;
pub mod headers;
pub mod inject;
pub mod json;
pub mod limits;
pub mod meter;
pub mod redact;
pub mod request;
pub mod route;
pub mod scan;
pub mod sse;
pub mod token_key;
pub mod usage;
