//! Steward's front: bytes in, bytes out.
//!
//! The living part — supervision, spool, writer — is in `steward-actors`; tables are in
//! `steward-entities`. Here are the HTTP faces, the gateway's hot path, and the one door through which
//! production and tests start the process: [`startup::Application`].

mod alert_test;
pub mod cli;
pub mod config;
pub mod console;
pub mod courier;
pub mod demo;
pub mod embedding;
pub mod error;
pub mod features;
pub mod gateway;
pub mod http;
mod issuing;
mod memory;
pub mod otlp;
pub mod probes;
pub mod push;
pub mod schema;
pub mod startup;
pub mod state;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod vector_store;
