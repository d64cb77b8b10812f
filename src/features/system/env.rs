//! What the process runs on, and how it is configured, without secrets.

use actix_web::{get, web};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::check;
use crate::http::extract::Json;
use crate::http::permission::{Can, ReadSupervision};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// What the process runs on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Environment {
    /// The version of Steward.
    version: &'static str,
    /// Such as `linux`.
    os: &'static str,
    /// Such as `x86_64`.
    architecture: &'static str,
    processors: usize,
    /// `sqlite` or `postgres`.
    database: &'static str,
    /// As the database tells it; null when it does not answer.
    database_version: Option<String>,
    /// IANA name; days begin at its midnight.
    time_zone: &'static str,
    node: u8,
    data_dir: String,
    /// Of the disk the spool is on.
    free_bytes: u64,
    /// When this process started.
    started_at: String,
    process_id: u32,
    /// By section and key; passwords are masked.
    #[schema(value_type = Object)]
    config: Value,
}

/// What the process runs on.
#[utoipa::path(tag = "system", responses((status = 200, body = Environment)))]
#[get("/ops/system/env")]
pub(super) async fn environment(
    state: web::Data<AppState>,
    caller: Can<ReadSupervision>,
) -> Result<Json<Environment>, ApiError> {
    check::whole_installation(&caller)?;
    let connection = &state.databases.control_read;
    let (database, asked) = match connection.get_database_backend() {
        DbBackend::Postgres => ("postgres", "SHOW server_version"),
        _ => ("sqlite", "SELECT sqlite_version()"),
    };
    let statement = Statement::from_string(connection.get_database_backend(), asked);
    let answered = connection.query_one_raw(statement).await.ok().flatten();
    let config: toml::Value = toml::from_str(&state.config.print()).map_err(ApiError::internal)?;
    Ok(Json(Environment {
        version: env!("CARGO_PKG_VERSION"),
        os: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        database,
        database_version: answered.and_then(|row| row.try_get_by_index(0).ok()),
        time_zone: state.time_zone.name(),
        node: state.config.node.id,
        data_dir: state.config.data.dir.display().to_string(),
        free_bytes: state.spool.stats().free_bytes,
        started_at: rfc3339(state.started_at),
        process_id: std::process::id(),
        config: serde_json::to_value(config).map_err(ApiError::internal)?,
    }))
}
