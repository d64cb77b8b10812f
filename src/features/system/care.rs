//! What an operator may do: restart the scheduler, and have every cache filled again.

use std::fmt::Display;
use std::time::Duration;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, post, web};
use serde::{Deserialize, Serialize};
use steward_actors::supervision::RestartError;
use steward_actors::tree::foundation::snapshot_keeper::{Rebuild, RefreshError};
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorCode};
use crate::http::change::{Audit, Change};
use crate::http::check;
use crate::http::extract::Json;
use crate::http::permission::{Can, WriteSupervision};
use crate::state::AppState;

/// How long either may take before it is answered without its end.
const WITHIN: Duration = Duration::from_secs(30);
/// What the settings `scheduler.*` steer.
const SCHEDULER: &str = "root/learning";

/// What was restarted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Restarted {
    /// Its place in the supervision tree.
    path: String,
}

/// Restarts the scheduler through its supervisor: what waits for it goes on waiting meanwhile.
#[utoipa::path(tag = "system", responses((status = 200, body = Restarted)))]
#[post("/ops/system/restart-scheduler")]
pub(super) async fn restart_scheduler(
    state: web::Data<AppState>,
    caller: Can<WriteSupervision>,
) -> Result<Json<Restarted>, ApiError> {
    check::whole_installation(&caller)?;
    let note = |outcome: &str| {
        Audit::of("system.restart_scheduler", "actor", SCHEDULER).with("outcome", outcome)
    };
    // The effect lies outside the database: who ordered it is written down first, what came of it second.
    let change = Change::begin(&state, &caller).await?;
    change.commit(note("ordered")).await?;
    let ended = tokio::time::timeout(WITHIN, state.tree.supervisor.restart(SCHEDULER)).await;
    let (outcome, answer) = match ended {
        Ok(Ok(())) => ("restarted", Ok(())),
        Ok(Err(RestartError::NotFound)) => ("not found", Err(ApiError::not_found("actor"))),
        Ok(Err(cause)) => (
            "not up",
            Err(ApiError::new(ErrorCode::Unavailable)
                .detail("It did not come up again; the supervision page tells why.")
                .because(cause)),
        ),
        Err(_) => (
            "still restarting",
            Err(ApiError::new(ErrorCode::Unavailable)
                .detail("It is still restarting.")
                .retry_after_s(5)),
        ),
    };
    let change = Change::begin(&state, &caller).await?;
    change.commit(note(outcome)).await?;
    answer?;
    Ok(Json(Restarted {
        path: SCHEDULER.to_owned(),
    }))
}

/// What is kept in memory of the databases.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cache {
    /// Tokens, accounts, tenants, prices and redaction rules, as the gateway decides by them.
    Gateway,
    /// Operators, roles and operator keys.
    Operators,
    /// Lists of models that providers gave.
    ProviderModels,
    /// Settings, as every actor goes by them.
    Settings,
}

/// Which caches to read anew.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CachesAsked {
    /// All of them unless given.
    caches: Option<Vec<Cache>>,
}

/// What was read anew.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cleared {
    caches: Vec<Cache>,
}

/// Throws away what is kept in memory and reads it again; calls go on meanwhile with what is known.
#[utoipa::path(tag = "system", request_body = Option<CachesAsked>, responses((status = 200, body = Cleared)))]
#[post("/ops/system/clear-cache")]
pub(super) async fn clear_cache(
    state: web::Data<AppState>,
    caller: Can<WriteSupervision>,
    request: HttpRequest,
    which: Result<Json<CachesAsked>, ApiError>,
) -> Result<Json<Cleared>, ApiError> {
    check::whole_installation(&caller)?;
    // Nothing said is all of them; something said must be understood.
    let asked = match request.headers().contains_key(CONTENT_TYPE) {
        true => which?.0.caches,
        false => None,
    };
    let caches = asked.unwrap_or_else(|| {
        vec![
            Cache::Settings,
            Cache::Gateway,
            Cache::Operators,
            Cache::ProviderModels,
        ]
    });
    let change = Change::begin(&state, &caller).await?;
    let audit = Audit::of("system.clear_cache", "system", "").with("caches", &caches);
    change.commit(audit).await?;
    for cache in &caches {
        match cache {
            Cache::Gateway => {
                read_anew(state.tree.snapshot_keeper.ask_within(Rebuild, WITHIN).await)?
            }
            Cache::Settings => {
                read_anew(state.tree.settings_keeper.ask_within(Rebuild, WITHIN).await)?
            }
            Cache::Operators => state.directory.refresh().await?,
            Cache::ProviderModels => state.provider_lists.clear(),
        }
    }
    Ok(Json(Cleared { caches }))
}

fn read_anew<E: Display>(answer: Result<Result<(), RefreshError>, E>) -> Result<(), ApiError> {
    let unread = |cause: &dyn Display| {
        ApiError::new(ErrorCode::Unavailable)
            .detail("The control tables cannot be read at present; what was known stays in force.")
            .because(cause.to_string())
    };
    answer
        .map_err(|cause| unread(&cause))?
        .map_err(|cause| unread(&cause))
}
