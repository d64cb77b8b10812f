//! Jobs: long work as operators follow and stop it. What a kind does belongs to whoever queues it.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/jobs` | `read:jobs` |
//! | GET | `/jobs/{id}` | `read:jobs` |
//! | POST | `/jobs/{id}/cancel` | `write:jobs` |

use actix_web::{get, post, web};
use sea_orm::ConnectionTrait;
use serde::Deserialize;
use steward_actors::tree::upkeep::job_runner::Wake;
use steward_entities::job::{self, State};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::change::{Audit, Change};
use crate::http::check;
use crate::http::extract::{Json, Query};
use crate::http::job::JobView;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadJobs, WriteJobs};
use crate::state::AppState;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list).service(show).service(cancel);
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum JobState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl From<JobState> for State {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Queued => Self::Queued,
            JobState::Running => Self::Running,
            JobState::Succeeded => Self::Succeeded,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Such as `dead_letters.replay`.
    kind: Option<String>,
    #[param(inline)]
    state: Option<JobState>,
}

/// Jobs, newest first.
#[utoipa::path(tag = "jobs", params(Which, PageQuery), responses((status = 200, body = Page<JobView>)))]
#[get("/jobs")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadJobs>,
    which: Query<Which>,
    page: PageRequest,
) -> Result<Json<Page<JobView>>, ApiError> {
    check::whole_installation(&caller)?;
    let connection = &state.databases.control_read;
    let Query(which) = which;
    let filter = job::Filter {
        kind: which.kind.filter(|kind| !kind.is_empty()),
        state: which.state.map(State::from),
    };
    let rows = job::list(connection, &filter, page.rows()?).await?;
    let total = job::count(connection, &filter).await?;
    let page = Page::of(rows, &page, Some(total), |row| row.id, JobView::from);
    Ok(Json(page))
}

/// One job.
#[utoipa::path(tag = "jobs", responses((status = 200, body = JobView)))]
#[get("/jobs/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadJobs>,
    id: web::Path<String>,
) -> Result<Json<JobView>, ApiError> {
    check::whole_installation(&caller)?;
    let row = find(&state.databases.control_read, &id).await?;
    Ok(Json(row.into()))
}

/// Stops a job: at once when it waits, at its next step when it runs.
#[utoipa::path(tag = "jobs", responses((status = 200, body = JobView)))]
#[post("/jobs/{id}/cancel")]
async fn cancel(
    state: web::Data<AppState>,
    caller: Can<WriteJobs>,
    id: web::Path<String>,
) -> Result<Json<JobView>, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let before = find(&*change, &id).await?;
    if before.state.is_final() {
        return Err(ApiError::new(ErrorCode::JobNotCancellable));
    }
    let row = job::request_cancel(&change, before.id, change.now)
        .await?
        .ok_or_else(|| ApiError::not_found("job"))?;
    let audit = Audit::of("jobs.cancel", "job", &row.public_id)
        .with("kind", &row.kind)
        .with("state", [before.state.as_str(), row.state.as_str()]);
    change.commit(audit).await?;
    // It would look by itself in a second; that it cannot be told is no failure.
    let _ = state.tree.job_runner.try_send(Wake);
    Ok(Json(row.into()))
}

async fn find(connection: &impl ConnectionTrait, id: &str) -> Result<job::Model, ApiError> {
    job::by_public_id(connection, id)
        .await?
        .ok_or_else(|| ApiError::not_found("job"))
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use serde_json::json;
    use steward_entities::database::begin_write;
    use steward_entities::job;

    use crate::testing::{Ask, START, World};

    const JOBS: &str = "/api/v1/jobs";

    #[actix_web::test]
    async fn jobs_are_found_followed_and_stopped() {
        followed_on(World::sqlite().await).await;
    }

    #[actix_web::test]
    async fn jobs_are_found_followed_and_stopped_postgres() {
        followed_on(World::postgres().await).await;
    }

    async fn followed_on(world: World) {
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let mut ids = Vec::new();
        for kind in ["a.first", "b.second"] {
            let txn = begin_write(&world.database.control).await.unwrap();
            let params = json!({"of": kind});
            let row = job::insert(&txn, kind, params, "opr_x".into(), START).await;
            txn.commit().await.unwrap();
            ids.push(row.unwrap().public_id);
        }
        let find = |query: &str| Ask::get(&format!("{JOBS}{query}")).bearer(&root);
        let all = find("").to(&app).await;
        assert_eq!(all.body["total"], 2, "{all:?}");
        assert_eq!(all.body["items"][0]["id"], json!(ids[1]));
        assert_eq!(find("?kind=a.first").to(&app).await.body["total"], 1);
        assert_eq!(find("?state=running").to(&app).await.body["total"], 0);
        assert_eq!(find("?state=asleep").to(&app).await.status, 400);

        let path = format!("{JOBS}/{}", ids[0]);
        let one = Ask::get(&path).bearer(&root).to(&app).await;
        assert_eq!(one.body["state"], "queued");
        assert_eq!(one.body["created_at"], "2026-03-15T18:30:00.000Z");
        let stop = || Ask::post(&format!("{path}/cancel"), json!({})).bearer(&root);
        let stopped = stop().to(&app).await;
        assert_eq!(
            (stopped.status, &stopped.body["state"]),
            (StatusCode::OK, &json!("cancelled"))
        );
        let again = stop().to(&app).await;
        assert_eq!(
            (again.status, &again.body["code"]),
            (StatusCode::CONFLICT, &json!("job_not_cancellable"))
        );
        assert_eq!(world.audited("jobs.cancel").await.len(), 1);
        assert_eq!(find("/job_x").to(&app).await.status, StatusCode::NOT_FOUND);
        assert_eq!(
            find("/a%00b").to(&app).await.status,
            StatusCode::BAD_REQUEST
        );
    }
}
