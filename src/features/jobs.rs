//! Jobs: long work as operators follow and stop it. What a kind does belongs to whoever queues it.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/jobs` | `read:jobs` |
//! | GET | `/jobs/{id}` | `read:jobs`; one's own without it |
//! | POST | `/jobs/{id}/cancel` | `write:jobs`; one's own without it |
//!
//! Who sees one tenant only sees the jobs they started themselves: a job knows who asked for it, and no tenant.

use actix_web::{get, post, web};
use sea_orm::ConnectionTrait;
use serde::Deserialize;
use steward_actors::tree::upkeep::job_runner::Wake;
use steward_entities::job::{self, State};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::caller::Caller;
use crate::http::change::{Audit, Change};
use crate::http::check;
use crate::http::extract::{Json, Query};
use crate::http::job::JobView;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, Permission, ReadJobs, Settled, WriteJobs, permitted};
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

/// Jobs, newest first. Operators of one tenant find those they started.
#[utoipa::path(tag = "jobs", params(Which, PageQuery), responses((status = 200, body = Page<JobView>)))]
#[get("/jobs")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadJobs>,
    which: Query<Which>,
    page: PageRequest,
) -> Result<Json<Page<JobView>>, ApiError> {
    let connection = &state.databases.control_read;
    let Query(which) = which;
    let filter = job::Filter {
        kind: which.kind.filter(|kind| !kind.is_empty()),
        state: which.state.map(State::from),
        created_by: (!sees_all(&caller)).then(|| caller.operator.public_id.clone()),
    };
    let rows = job::list(connection, &filter, page.rows()?).await?;
    let total = job::count(connection, &filter).await?;
    let page = Page::of(rows, &page, Some(total), |row| row.id, JobView::from);
    Ok(Json(page))
}

/// One job. Whoever started it may follow it; of others' jobs, who may not see all of them learns nothing.
#[utoipa::path(tag = "jobs", responses((status = 200, body = JobView)))]
#[get("/jobs/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<Settled>,
    id: web::Path<String>,
) -> Result<Json<JobView>, ApiError> {
    let row = find(&state.databases.control_read, &id).await?;
    if row.created_by != caller.operator.public_id && !sees_all(&caller) {
        return Err(ApiError::not_found("job"));
    }
    Ok(Json(row.into()))
}

/// Whether the caller sees everybody's jobs.
fn sees_all(caller: &Caller) -> bool {
    let operator = &caller.operator;
    let permitted = ReadJobs::NAME.is_none_or(|name| operator.permissions.allow(name));
    permitted && operator.tenant_id.is_none()
}

/// Stops a job: at once when it waits, at its next step when it runs. Whoever started it may; of others' jobs, who may stop all.
#[utoipa::path(tag = "jobs", responses((status = 200, body = JobView)))]
#[post("/jobs/{id}/cancel")]
async fn cancel(
    state: web::Data<AppState>,
    caller: Can<Settled>,
    id: web::Path<String>,
) -> Result<Json<JobView>, ApiError> {
    let change = Change::begin(&state, &caller).await?;
    let found = find(&*change, &id).await;
    let is_own = |row: &job::Model| row.created_by == caller.operator.public_id;
    if !found.as_ref().is_ok_and(is_own) {
        // Before it is told that there is none: who may not stop it learns nothing.
        permitted::<WriteJobs>(&caller)?;
        check::whole_installation(&caller)?;
    }
    let before = found?;
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

    #[actix_web::test]
    async fn ones_own_jobs_may_be_followed_and_stopped() {
        own_on(World::sqlite().await).await;
    }

    #[actix_web::test]
    async fn ones_own_jobs_may_be_followed_and_stopped_postgres() {
        own_on(World::postgres().await).await;
    }

    async fn own_on(world: World) {
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        for (name, permissions) in [
            ("worker", json!(["write:knowledge"])),
            ("shop_admin", json!(["read:*", "write:*"])),
        ] {
            let role = json!({"name": name, "permissions": permissions});
            let made = Ask::post("/api/v1/ops/roles", role).bearer(&root);
            assert_eq!(made.to(&app).await.status, StatusCode::CREATED);
        }
        let tenant = json!({"name": "T"});
        let made = Ask::post("/api/v1/ops/tenants", tenant).bearer(&root);
        assert_eq!(made.to(&app).await.status, StatusCode::CREATED);
        let worker = world.signed_in("worker", "worker").await;
        let ann = world.signed_in_of_tenant("ann", "shop_admin", 1).await;
        let ben = world.signed_in_of_tenant("ben", "shop_admin", 1).await;

        let mut jobs = Vec::new();
        for access in [&worker, &ann, &ben] {
            let me = Ask::get("/api/v1/auth/me").bearer(access).to(&app).await;
            let by = me.body["id"].as_str().unwrap().to_owned();
            let txn = begin_write(&world.database.control).await.unwrap();
            let row = job::insert(&txn, "a.kind", json!({}), by, START).await;
            txn.commit().await.unwrap();
            jobs.push(row.unwrap().public_id);
        }
        // The node's own work is nobody's.
        let txn = begin_write(&world.database.control).await.unwrap();
        let nobodys = job::insert(&txn, "a.kind", json!({}), String::new(), START).await;
        txn.commit().await.unwrap();
        jobs.push(nobodys.unwrap().public_id);

        for (who, own) in [(&worker, 0), (&ann, 1), (&ben, 2)] {
            for (at, id) in jobs.iter().enumerate() {
                let path = format!("{JOBS}/{id}");
                let seen = Ask::get(&path).bearer(who).to(&app).await;
                let wanted = match at == own {
                    true => StatusCode::OK,
                    false => StatusCode::NOT_FOUND,
                };
                assert_eq!(seen.status, wanted, "{own} {at}");
                let stop = Ask::post(&format!("{path}/cancel"), json!({})).bearer(who);
                let stopped = stop.to(&app).await;
                match at == own {
                    true => assert_eq!(stopped.body["state"], "cancelled", "{own} {at}"),
                    false => assert_eq!(stopped.status, StatusCode::FORBIDDEN, "{own} {at}"),
                }
            }
        }
        let nobodys = Ask::post(&format!("{JOBS}/job_x/cancel"), json!({})).bearer(&ann);
        assert_eq!(nobodys.to(&app).await.status, StatusCode::FORBIDDEN);
        let listed = Ask::get(JOBS).bearer(&ann).to(&app).await;
        assert_eq!(listed.body["total"], 1, "{listed:?}");
        assert_eq!(listed.body["items"][0]["id"], json!(jobs[1]));
        let barred = Ask::get(JOBS).bearer(&worker).to(&app).await;
        assert_eq!(barred.status, StatusCode::FORBIDDEN);
        let all = Ask::get(JOBS).bearer(&root).to(&app).await;
        assert_eq!(all.body["total"], 4);
    }
}
