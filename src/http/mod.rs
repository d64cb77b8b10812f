//! What every HTTP handler shares: routes, middleware, extractors, pages, the OpenAPI document.
//!
//! [`routes`] is the contents page. A handler demands its permission in its signature
//! ([`permission::Can`]) and changes something only through a [`change::Change`], which carries the audit row.

pub mod access_token;
pub mod caller;
pub mod change;
pub mod check;
mod compat;
pub mod directory;
pub mod download;
pub mod egress;
mod envelope;
pub mod extract;
mod gateway_document;
pub mod idempotency;
pub mod job;
pub mod jwks;
pub mod middleware;
pub mod money;
pub mod openapi;
pub mod page;
pub mod passwords;
pub mod patch;
pub mod permission;
pub mod place;
pub mod precondition;
pub mod proxies;
pub mod range;
pub mod rate;
pub mod request_id;
pub mod routes;
pub mod sealer;
pub mod sheet;
pub mod ticket;

#[cfg(test)]
mod tests;
