//! `/api/v1/*` and the operations face: what operators and scripts see.

mod acceptance;
mod alerts;
mod auth;
mod backups;
mod conventions;
mod conversations;
mod export;
mod feedback;
mod health;
mod ingest;
mod knowledge;
mod logs;
mod operations;
mod prompts;
mod roles;
mod secrets;
mod templates;
mod tenants;
mod vector_stores;
