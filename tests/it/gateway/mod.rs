//! `/v1/*`: what applications see.

mod accounts;
mod crowd;
mod errors;
mod faithful;
mod hostile;
mod knowledge;
mod limits;
mod metering;
mod models;
mod slow_peers;
mod streams;
mod timeouts;
mod tls;
mod tokens;
mod users;
