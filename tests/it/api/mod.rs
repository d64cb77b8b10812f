//! `/api/v1/*` and the operations face: what operators and scripts see.

mod auth;
mod conventions;
mod logs;
mod operations;
mod roles;
