//! The id of the request being answered, known to everything that runs for it.
//!
//! Errors are told and logged far from the request itself; this carries its id there. The gateway's calls
//! are known by their record's id instead, which the gateway sets on its answers.

use uuid::Uuid;

tokio::task_local! {
    static CURRENT: Uuid;
}

/// The header that carries it.
pub const HEADER: &str = "x-request-id";

/// The id of the request this task is answering; `None` outside of one.
pub fn current() -> Option<Uuid> {
    CURRENT.try_with(|id| *id).ok()
}

/// Runs `work` as part of the request `id`.
pub async fn scope<F: Future>(id: Uuid, work: F) -> F::Output {
    CURRENT.scope(id, work).await
}
