//! Backups of the databases: where they go and how often, those that were made, and what restoring them came to.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/backups` | `read:backups` |
//! | POST | `/ops/backups` | `write:backups` |
//! | POST | `/ops/backups/drill` | `write:backups` |
//! | GET | `/ops/backups/plan` | `read:backups` |
//! | PUT, DELETE | `/ops/backups/plan` | `write:backups` |
//! | POST | `/ops/backups/plan/test` | `write:backups` |
//!
//! Making one and restoring one somewhere are jobs; here they are only asked for. The keys of a bucket are stored sealed
//! and never shown again.

use std::sync::Arc;

use actix_web::{HttpResponse, delete, get, post, put, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use steward_actors::backup::{BACKUP, DRILL, open_place, seal_place};
use steward_actors::depot;
use steward_entities::{backup, backup_plan};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::change::{Audit, Change, refused};
use crate::http::check;
use crate::http::egress::Reach;
use crate::http::extract::Json;
use crate::http::job::JobAccepted;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadBackups, WriteBackups};
use crate::http::place::{self, PlaceTest, Said};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// What it is called in the audit log; there is one.
const TARGET: &str = "backup_plan";
const INTERVAL_S: i64 = 86_400;
const KEEP_LAST: i64 = 3;
const KEEP_DAILY: i64 = 7;
const KEEP_WEEKLY: i64 = 4;
const KEEP_MONTHLY: i64 = 12;
const KEPT_MAX: i64 = 1_000;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        .service(run)
        .service(drill)
        .service(show)
        .service(update)
        .service(remove)
        .service(test);
}

/// A backup.
#[derive(Debug, Serialize, ToSchema)]
struct BackupShown {
    id: String,
    /// Its folder's.
    name: String,
    /// Where it is.
    place: String,
    /// `running`, `complete`, `failed` or `removed` (it made room for others).
    state: String,
    /// Why it failed.
    error: Option<String>,
    /// Public id of the job that made it.
    job_id: String,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    /// As it lies there.
    bytes: i64,
    /// Of all tables.
    rows: i64,
    parts: i64,
    /// When it was last restored somewhere and compared; null before that.
    #[schema(format = DateTime)]
    drilled_at: Option<String>,
    /// Whether everything was there.
    drill_works: Option<bool>,
    /// What was not.
    drill_error: Option<String>,
    drill_ms: Option<i64>,
}

impl From<backup::Model> for BackupShown {
    fn from(row: backup::Model) -> Self {
        Self {
            id: row.public_id,
            name: row.name,
            place: row.place,
            state: row.state,
            error: row.error,
            job_id: row.job_id,
            started_at: rfc3339(row.started_at),
            finished_at: row.finished_at.map(rfc3339),
            bytes: row.bytes,
            rows: row.table_rows,
            parts: row.parts,
            drilled_at: row.drilled_at.map(rfc3339),
            drill_works: row.drill_works,
            drill_error: row.drill_error,
            drill_ms: row.drill_ms,
        }
    }
}

/// Where backups go and how often.
#[derive(Debug, Serialize, ToSchema)]
struct PlanShown {
    /// `folder` or `bucket`.
    kind: String,
    /// What may be shown of the place.
    place: String,
    enabled: bool,
    /// Between two backups.
    interval_s: i64,
    /// How many of the last ones stay, and of the newest of each day, week and month.
    keep_last: i64,
    keep_daily: i64,
    keep_weekly: i64,
    keep_monthly: i64,
    /// Whether each is restored somewhere and compared.
    drill: bool,
    /// Null while it is disabled.
    #[schema(format = DateTime)]
    next_at: Option<String>,
    #[schema(format = DateTime)]
    updated_at: String,
    version: i64,
}

impl From<backup_plan::Model> for PlanShown {
    fn from(row: backup_plan::Model) -> Self {
        Self {
            kind: row.kind,
            place: row.shown,
            enabled: row.enabled,
            interval_s: row.interval_s,
            keep_last: row.keep_last,
            keep_daily: row.keep_daily,
            keep_weekly: row.keep_weekly,
            keep_monthly: row.keep_monthly,
            drill: row.drill,
            next_at: row.enabled.then(|| rfc3339(row.next_at)),
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    }
}

/// The plan, the newest backup and the last restore.
#[derive(Debug, Serialize, ToSchema)]
struct PlanState {
    /// Null when there is none.
    plan: Option<PlanShown>,
    /// The newest that is there.
    newest: Option<BackupShown>,
    /// The one that was restored last.
    last_drill: Option<BackupShown>,
    /// Since the newest was finished.
    age_s: Option<i64>,
    /// Id of the key that backups are sealed under. The key file is in none of them: keep a copy of it elsewhere.
    key_id: String,
}

/// A plan to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlanChanges {
    /// `folder` or `bucket`.
    kind: String,
    /// Of a folder: absolute, on the machine Steward runs on.
    #[schema(max_length = 300)]
    path: Option<String>,
    /// Of a bucket, such as `https://s3.eu-central-1.amazonaws.com`.
    #[schema(max_length = 300)]
    endpoint: Option<String>,
    /// `us-east-1` unless said otherwise.
    #[schema(max_length = 300)]
    region: Option<String>,
    #[schema(max_length = 300)]
    bucket: Option<String>,
    /// Before every name, such as `steward/`.
    #[schema(max_length = 300)]
    prefix: Option<String>,
    /// Missing: stays, as long as endpoint and bucket do.
    #[schema(max_length = 512)]
    access_key: Option<String>,
    #[schema(max_length = 512)]
    secret_key: Option<String>,
    enabled: Option<bool>,
    /// Seconds between two backups, 3600 to 2678400; 86400 unless said otherwise.
    interval_s: Option<i64>,
    /// 1 to 1000; 3 unless said otherwise.
    keep_last: Option<i64>,
    /// 0 to 1000 each; 7, 4 and 12 unless said otherwise.
    keep_daily: Option<i64>,
    keep_weekly: Option<i64>,
    keep_monthly: Option<i64>,
    /// Whether each is restored somewhere and compared; true unless said otherwise.
    drill: Option<bool>,
}

/// Which backup to restore somewhere.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DrillAsked {
    /// Its id; the newest unless given.
    backup: Option<String>,
}

/// Backups, newest first.
#[utoipa::path(tag = "backups", params(PageQuery), responses((status = 200, body = Page<BackupShown>)))]
#[get("/ops/backups")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadBackups>,
    page: PageRequest,
) -> Result<Json<Page<BackupShown>>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let rows = backup::list(read, page.rows()?).await?;
    let total = backup::count(read).await?;
    let key = |row: &backup::Model| row.id;
    Ok(Json(Page::of(
        rows,
        &page,
        Some(total),
        key,
        BackupShown::from,
    )))
}

/// Makes a backup now.
#[utoipa::path(tag = "backups", responses((status = 202, body = JobAccepted)))]
#[post("/ops/backups")]
async fn run(
    state: web::Data<AppState>,
    caller: Can<WriteBackups>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    find(&state).await?;
    let change = Change::begin(&state, &caller).await?;
    let row = change.queue(BACKUP, json!({})).await?;
    let audit = Audit::of("backups.run", "job", &row.public_id);
    change.queued(audit, row).await
}

/// Restores a backup to a scratch place and compares it with what it says it holds.
#[utoipa::path(tag = "backups", responses((status = 202, body = JobAccepted)))]
#[post("/ops/backups/drill")]
async fn drill(
    state: web::Data<AppState>,
    caller: Can<WriteBackups>,
    Json(asked): Json<DrillAsked>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let row = match &asked.backup {
        Some(id) => backup::by_public_id(read, id).await?,
        None => backup::newest(read).await?,
    };
    let row = row
        .filter(|row| row.state == backup::COMPLETE)
        .ok_or_else(|| ApiError::not_found("backup"))?;
    let change = Change::begin(&state, &caller).await?;
    let params = json!({"backup": row.public_id});
    let queued = change.queue(DRILL, params).await?;
    let audit = Audit::of("backups.drill", "backup", &row.public_id);
    change.queued(audit, queued).await
}

/// Where backups go, the newest of them, and the last restore.
#[utoipa::path(tag = "backups", responses((status = 200, body = PlanState)))]
#[get("/ops/backups/plan")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadBackups>,
) -> Result<Tagged<PlanState>, ApiError> {
    check::whole_installation(&caller)?;
    let plan = backup_plan::get(&state.databases.control_read).await?;
    let version = plan.as_ref().map_or(0, |plan| plan.version);
    Ok(Tagged::ok(version, told(&state, plan).await?))
}

/// Sets where backups go and how often.
#[utoipa::path(tag = "backups", responses((status = 200, body = PlanState)))]
#[put("/ops/backups/plan")]
async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteBackups>,
    if_match: IfMatch,
    Json(changes): Json<PlanChanges>,
) -> Result<Tagged<PlanState>, ApiError> {
    check::whole_installation(&caller)?;
    let kept = match backup_plan::get(&state.databases.control_read).await? {
        Some(row) => open_place(&state.vault, &row).ok(),
        None => None,
    };
    let replaced = changes.secret_key.is_some();
    let said = Said {
        kind: &changes.kind,
        path: &changes.path,
        endpoint: &changes.endpoint,
        region: &changes.region,
        bucket: &changes.bucket,
        prefix: &changes.prefix,
        access_key: &changes.access_key,
        secret_key: &changes.secret_key,
    };
    let reach = Reach::of(state.config.egress.allow_private);
    let place = place::read(said, kept, reach).await?;
    let interval_s = check::bounded("interval_s", changes.interval_s, 3_600, 2_678_400)?;
    let keep_last = check::bounded("keep_last", changes.keep_last, 1, KEPT_MAX)?;
    let keep_daily = check::bounded("keep_daily", changes.keep_daily, 0, KEPT_MAX)?;
    let keep_weekly = check::bounded("keep_weekly", changes.keep_weekly, 0, KEPT_MAX)?;
    let keep_monthly = check::bounded("keep_monthly", changes.keep_monthly, 0, KEPT_MAX)?;
    let sealed = seal_place(&state.vault, &place).map_err(ApiError::internal)?;
    let said = backup_plan::Said {
        kind: changes.kind,
        shown: place.shown(),
        sealed: sealed.bytes,
        sealed_key_id: sealed.key_id,
        enabled: changes.enabled.unwrap_or(true),
        interval_s: interval_s.unwrap_or(INTERVAL_S),
        keep_last: keep_last.unwrap_or(KEEP_LAST),
        keep_daily: keep_daily.unwrap_or(KEEP_DAILY),
        keep_weekly: keep_weekly.unwrap_or(KEEP_WEEKLY),
        keep_monthly: keep_monthly.unwrap_or(KEEP_MONTHLY),
        drill: changes.drill.unwrap_or(true),
        by: caller.operator.public_id.clone(),
    };
    let change = Change::begin(&state, &caller).await?;
    let before = backup_plan::get(&*change).await?;
    let version = before.as_ref().map_or(0, |row| row.version);
    if_match.check(version, &*change, TARGET, TARGET).await?;
    let row = match &before {
        None => backup_plan::insert(&change, said, change.now).await,
        Some(before) => backup_plan::update(&change, before, said, change.now).await,
    };
    let row = row.map_err(refused("kind"))?;
    let mut audit = Audit::of("backup_plan.update", TARGET, TARGET);
    audit = match before {
        None => audit.with("created", PlanShown::from(row.clone())),
        Some(before) => audit.diff(&PlanShown::from(before), &PlanShown::from(row.clone())),
    };
    if replaced {
        audit = audit.with("secret", "replaced");
    }
    change.commit(audit).await?;
    Ok(Tagged::ok(row.version, told(&state, Some(row)).await?))
}

/// Forgets the plan. Backups that were made stay where they are.
#[utoipa::path(tag = "backups", responses((status = 204)))]
#[delete("/ops/backups/plan")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WriteBackups>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = backup_plan::get(&*change)
        .await?
        .ok_or_else(|| ApiError::not_found("plan"))?;
    if_match
        .check(row.version, &*change, TARGET, TARGET)
        .await?;
    backup_plan::remove(&change).await?;
    let audit = Audit::of("backup_plan.remove", TARGET, TARGET).with("place", &row.shown);
    change.commit(audit).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Puts a small file where backups go, reads it and removes it, and tells what the place really answered.
#[utoipa::path(tag = "backups", responses((status = 200, body = PlaceTest)))]
#[post("/ops/backups/plan/test")]
async fn test(
    state: web::Data<AppState>,
    caller: Can<WriteBackups>,
) -> Result<Json<PlaceTest>, ApiError> {
    check::whole_installation(&caller)?;
    let row = find(&state).await?;
    let opened = open_place(&state.vault, &row).map_err(ApiError::internal)?;
    let outward = Arc::clone(&state.tree.backups.outward);
    let there = depot::open(&opened, outward, Arc::clone(&state.clock));
    let tested = place::test(there.as_ref()).await;
    let change = Change::begin(&state, &caller).await?;
    let audit = Audit::of("backup_plan.test", TARGET, TARGET).with("works", tested.works);
    change.commit(audit).await?;
    Ok(Json(tested))
}

async fn find(state: &AppState) -> Result<backup_plan::Model, ApiError> {
    backup_plan::get(&state.databases.control_read)
        .await?
        .ok_or_else(|| ApiError::not_found("plan"))
}

async fn told(state: &AppState, plan: Option<backup_plan::Model>) -> Result<PlanState, ApiError> {
    let read = &state.databases.control_read;
    let newest = backup::newest(read).await?;
    let now = state.clock.now_micros();
    Ok(PlanState {
        plan: plan.map(PlanShown::from),
        age_s: newest
            .as_ref()
            .and_then(|row| row.finished_at)
            .map(|at| (now - at).max(0) / 1_000_000),
        newest: newest.map(BackupShown::from),
        last_drill: backup::last_drilled(read).await?.map(BackupShown::from),
        key_id: state.vault.current_key_id(),
    })
}

#[cfg(test)]
mod tests;
