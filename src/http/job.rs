//! A job as every answer shows it: several resources answer "it is being done" with one.

use serde::Serialize;
use serde_json::Value;
use steward_entities::job;
use utoipa::ToSchema;

use super::range::rfc3339;

/// Long work. Follow it with `GET /api/v1/jobs/{id}`.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobView {
    pub id: String,
    /// Such as `dead_letters.replay`.
    pub kind: String,
    /// `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    pub state: &'static str,
    /// Per cent.
    pub progress: i64,
    /// What was asked.
    pub params: Value,
    /// What came of it; null until it succeeded.
    pub result: Option<Value>,
    /// Why it failed.
    pub error: Option<String>,
    /// Somebody asked it to stop.
    pub cancel_requested: bool,
    /// How often it was started.
    pub attempts: i64,
    /// Id of the operator who asked for it.
    pub created_by: String,
    pub created_at: String,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    /// When it last showed that it lives.
    pub heartbeat_at: Option<String>,
}

impl From<job::Model> for JobView {
    fn from(row: job::Model) -> Self {
        Self {
            id: row.public_id,
            kind: row.kind,
            state: row.state.as_str(),
            progress: row.progress,
            params: row.params,
            result: row.result,
            error: row.error,
            cancel_requested: row.cancel_requested,
            attempts: row.attempts,
            created_by: row.created_by,
            created_at: rfc3339(row.created_at),
            started_at: row.started_at.map(rfc3339),
            finished_at: row.finished_at.map(rfc3339),
            heartbeat_at: row.heartbeat_at.map(rfc3339),
        }
    }
}

/// The answer to a request whose work goes on after it.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobAccepted {
    pub job: JobView,
}
