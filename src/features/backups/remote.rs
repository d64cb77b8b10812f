//! The remote that the day's dashboard numbers are pushed to: a PostgreSQL URL, or PostgREST (Supabase) with a service key.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/backups/remote` | `read:backups` |
//! | PUT, DELETE | `/ops/backups/remote` | `write:backups` |
//! | POST | `/ops/backups/remote/test` | `write:backups` |
//! | POST | `/ops/backups/remote/push` | `write:backups` |
//! | GET | `/ops/backups/remote/comparison` | `read:backups` |
//!
//! Address and key are stored sealed and never shown again. Pushing is `remote_backup`'s; here it is only asked for.

use std::time::Instant;

use actix_web::{HttpResponse, delete, get, post, put, web};
use serde::{Deserialize, Serialize};
use steward_actors::remote::{
    self, Address, Kind, PostgresUrl, RemoteRow, base_of, is_table, table_sql,
};
use steward_actors::tree::upkeep::remote_backup::{Round, opened, round};
use steward_entities::{dashboard_stats, remote_backup};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::change::{Audit, Change, refused};
use crate::http::check;
use crate::http::egress::{self, Reach};
use crate::http::extract::Json;
use crate::http::permission::{Can, ReadBackups, WriteBackups};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// What it is called in the audit log; there is one.
const TARGET: &str = "remote_backup";
const TABLE: &str = "dashboard_stats";
const INTERVAL_S: i64 = 3_600;
const KEEP_DAYS: i64 = 30;
const KEY_MAX: usize = 2_048;
const URL_MAX: usize = 1_000;
/// Days of which a comparison tells; a remote that keeps all is compared as far back as that.
const COMPARED_DAYS: usize = 400;

pub(super) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(show)
        .service(update)
        .service(remove)
        .service(test)
        .service(push)
        .service(comparison);
}

/// The remote as operators set it, and how pushes went.
#[derive(Debug, Serialize, ToSchema)]
struct RemoteShown {
    /// `postgres` or `postgrest`.
    kind: String,
    /// What may be shown of the address.
    address: String,
    table: String,
    enabled: bool,
    /// Between two pushes.
    interval_s: i64,
    /// Days kept there, counted back from the newest; 0: all.
    keep_days: i64,
    /// The last push that succeeded; null before the first.
    #[schema(format = DateTime)]
    last_push_at: Option<String>,
    /// Rows it took.
    last_rows: i64,
    /// When the next is due; null while it is disabled.
    #[schema(format = DateTime)]
    next_push_at: Option<String>,
    /// Since when pushes fail.
    #[schema(format = DateTime)]
    failing_since: Option<String>,
    /// What the last one came to, when it failed.
    last_error: Option<String>,
    /// Pushes that failed in a row.
    attempts: i64,
    /// Rows taken and pushes failed since the remote was set.
    pushed_rows: i64,
    failures: i64,
    #[schema(format = DateTime)]
    updated_at: String,
    version: i64,
}

impl From<remote_backup::Model> for RemoteShown {
    fn from(row: remote_backup::Model) -> Self {
        Self {
            kind: row.kind,
            address: row.shown,
            table: row.table_name,
            enabled: row.enabled,
            interval_s: row.interval_s,
            keep_days: row.keep_days,
            last_push_at: row.last_push_at.map(rfc3339),
            last_rows: row.last_rows,
            next_push_at: row.enabled.then(|| rfc3339(row.next_at)),
            failing_since: row.failing_since.map(rfc3339),
            last_error: row.last_error,
            attempts: row.attempts,
            pushed_rows: row.pushed_rows,
            failures: row.failures,
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    }
}

/// What operators say of the remote, for the audit log.
#[derive(Serialize)]
struct Told<'a> {
    kind: &'a str,
    address: &'a str,
    table: &'a str,
    enabled: bool,
    interval_s: i64,
    keep_days: i64,
}

impl<'a> From<&'a remote_backup::Model> for Told<'a> {
    fn from(row: &'a remote_backup::Model) -> Self {
        Self {
            kind: &row.kind,
            address: &row.shown,
            table: &row.table_name,
            enabled: row.enabled,
            interval_s: row.interval_s,
            keep_days: row.keep_days,
        }
    }
}

/// A day that the remote would not take.
#[derive(Debug, Serialize, ToSchema)]
struct RefusedDay {
    /// `YYYY-MM-DD`.
    stat_date: String,
    /// What the remote answered.
    reason: String,
}

/// The remote, and how far it is behind.
#[derive(Debug, Serialize, ToSchema)]
struct RemoteState {
    /// Null when there is none.
    remote: Option<RemoteShown>,
    /// Days the remote does not have in their present state.
    waiting: u64,
    /// How long the oldest change among them has waited; 0 when nothing waits.
    lag_ms: i64,
    /// Days it would not take: shown until they change or a push is asked for.
    refused: Vec<RefusedDay>,
    /// Makes the remote's table; for its owner to run.
    table_sql: String,
}

/// A remote to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RemoteChanges {
    /// `postgres` or `postgrest`.
    kind: String,
    /// `postgres://user:password@host:5432/database?sslmode=require`, or the address of PostgREST such as
    /// `https://project.supabase.co`. Missing: stays.
    #[schema(max_length = 1000)]
    url: Option<String>,
    /// PostgREST's service key. Missing: stays.
    #[schema(max_length = 2048)]
    key: Option<String>,
    /// `dashboard_stats` unless said otherwise.
    #[schema(max_length = 63)]
    table: Option<String>,
    /// Seconds between two pushes, 60 to 604800; 3600 unless said otherwise.
    interval_s: Option<i64>,
    /// Days kept there, 0 (all) to 36500; 30 unless said otherwise.
    keep_days: Option<i64>,
    enabled: Option<bool>,
}

/// What the remote really answered.
#[derive(Debug, Serialize, ToSchema)]
struct RemoteTest {
    /// Whether its table can be read as it has to be.
    works: bool,
    /// Of PostgREST.
    status_code: Option<u16>,
    /// The beginning of its answer.
    response: Option<String>,
    /// What is wrong.
    error: Option<String>,
    duration_ms: u64,
}

/// What became of a push.
#[derive(Debug, Serialize, ToSchema)]
struct RemotePush {
    /// Days that the remote took.
    pushed: usize,
    /// Days that it would not take.
    refused: usize,
    /// What stopped it; null when the remote has everything.
    error: Option<String>,
}

/// A field that is not the same here and there.
#[derive(Debug, Serialize, ToSchema)]
struct RemoteDifference {
    stat_date: String,
    field: &'static str,
    local: Option<String>,
    remote: Option<String>,
}

/// What differs between here and there.
#[derive(Debug, Serialize, ToSchema)]
struct RemoteComparison {
    /// The first day looked at; null when there is none here.
    from: Option<String>,
    /// Days that are the same.
    equal: usize,
    /// Days that are only here: not pushed yet, or lost there.
    only_local: Vec<String>,
    /// Days that are only there.
    only_remote: Vec<String>,
    different: Vec<RemoteDifference>,
}

/// The remote for statistics and how far it is behind.
#[utoipa::path(tag = "remote backup", responses((status = 200, body = RemoteState)))]
#[get("/ops/backups/remote")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadBackups>,
) -> Result<Tagged<RemoteState>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let row = remote_backup::get(read).await?;
    let version = row.as_ref().map_or(0, |row| row.version);
    Ok(Tagged::ok(version, told(&state, row).await?))
}

/// Sets the remote. Everything is pushed anew when it is another one.
#[utoipa::path(tag = "remote backup", responses((status = 200, body = RemoteState)))]
#[put("/ops/backups/remote")]
async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteBackups>,
    if_match: IfMatch,
    Json(changes): Json<RemoteChanges>,
) -> Result<Tagged<RemoteState>, ApiError> {
    check::whole_installation(&caller)?;
    let kind = Kind::parse(&changes.kind)
        .ok_or_else(|| ApiError::invalid("kind", "must be postgres or postgrest"))?;
    let url = match &changes.url {
        Some(url) => Some(checked_url(&state, kind, url).await?),
        None => None,
    };
    let key = checked_key(kind, changes.key.as_deref())?;
    let table = changes.table.unwrap_or_else(|| TABLE.to_owned());
    if !is_table(&table) {
        return Err(ApiError::invalid(
            "table",
            "must be a name of small letters, digits and underscores, at most 63",
        ));
    }
    let interval_s = check::bounded("interval_s", changes.interval_s, 60, 604_800)?;
    let keep_days = check::bounded("keep_days", changes.keep_days, 0, 36_500)?;
    let change = Change::begin(&state, &caller).await?;
    let before = remote_backup::get(&*change).await?;
    let version = before.as_ref().map_or(0, |row| row.version);
    if_match.check(version, &*change, TARGET, TARGET).await?;
    let replaced = key.is_some();
    let kept = match before.as_ref().filter(|row| row.kind == kind.as_str()) {
        Some(row) => Address::open(&state.vault, row).map_err(ApiError::internal)?,
        None => Address::default(),
    };
    if key.is_none() && kept.key.is_some() && url.as_ref().is_some_and(|url| *url != kept.url) {
        // Else whoever may change the address could have the key sent to themselves.
        return Err(ApiError::invalid(
            "key",
            "must be given anew with another address",
        ));
    }
    let address = Address {
        url: url.unwrap_or(kept.url),
        key: key.or(kept.key),
    };
    if address.url.is_empty() {
        return Err(ApiError::invalid("url", "is missing"));
    }
    if kind == Kind::Postgrest && address.key.is_none() {
        return Err(ApiError::invalid("key", "is missing"));
    }
    let sealed = address.seal(&state.vault).map_err(ApiError::internal)?;
    let said = remote_backup::Said {
        kind: kind.as_str().to_owned(),
        shown: shown(kind, &address.url),
        table_name: table,
        sealed: sealed.bytes,
        sealed_key_id: sealed.key_id,
        enabled: changes.enabled.unwrap_or(true),
        interval_s: interval_s.unwrap_or(INTERVAL_S),
        keep_days: keep_days.unwrap_or(KEEP_DAYS),
        by: caller.operator.public_id.clone(),
    };
    let row = match &before {
        None => remote_backup::insert(&change, said, change.now).await,
        Some(before) => remote_backup::update(&change, before, said, change.now).await,
    };
    let row = row.map_err(refused("kind"))?;
    let is_another = before.as_ref().is_none_or(|before| {
        (&before.kind, &before.shown, &before.table_name)
            != (&row.kind, &row.shown, &row.table_name)
    });
    dashboard_stats::offer_again(&change, is_another).await?;
    let mut audit = Audit::of("remote_backup.update", TARGET, TARGET);
    audit = match &before {
        None => audit.with("created", Told::from(&row)),
        Some(before) => audit.diff(&Told::from(before), &Told::from(&row)),
    };
    if replaced {
        audit = audit.with("secret", "replaced");
    }
    change.commit(audit).await?;
    Ok(Tagged::ok(row.version, told(&state, Some(row)).await?))
}

/// Forgets the remote. What lies there stays.
#[utoipa::path(tag = "remote backup", responses((status = 204)))]
#[delete("/ops/backups/remote")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WriteBackups>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = remote_backup::get(&*change)
        .await?
        .ok_or_else(|| ApiError::not_found("remote"))?;
    if_match
        .check(row.version, &*change, TARGET, TARGET)
        .await?;
    remote_backup::remove(&change).await?;
    let audit = Audit::of("remote_backup.remove", TARGET, TARGET).with("removed", Told::from(&row));
    change.commit(audit).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Reads from the remote's table now, and tells what it really answered.
#[utoipa::path(tag = "remote backup", responses((status = 200, body = RemoteTest)))]
#[post("/ops/backups/remote/test")]
async fn test(
    state: web::Data<AppState>,
    caller: Can<WriteBackups>,
) -> Result<Json<RemoteTest>, ApiError> {
    check::whole_installation(&caller)?;
    let row = find(&state).await?;
    let begun = Instant::now();
    let tested = match opened(&state.tree.remote, &row) {
        Ok(remote) => remote.test().await.map_err(|failure| failure.why),
        Err(why) => Err(why),
    };
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let change = Change::begin(&state, &caller).await?;
    let audit = Audit::of("remote_backup.test", TARGET, TARGET).with("works", tested.is_ok());
    change.commit(audit).await?;
    Ok(Json(match tested {
        Ok(tested) => RemoteTest {
            works: true,
            status_code: tested.status,
            response: Some(tested.response),
            error: None,
            duration_ms,
        },
        Err(why) => RemoteTest {
            works: false,
            status_code: None,
            response: None,
            error: Some(why),
            duration_ms,
        },
    }))
}

/// Pushes now what the remote does not have, days that it would not take included.
#[utoipa::path(tag = "remote backup", responses((status = 200, body = RemotePush)))]
#[post("/ops/backups/remote/push")]
async fn push(
    state: web::Data<AppState>,
    caller: Can<WriteBackups>,
) -> Result<Json<RemotePush>, ApiError> {
    check::whole_installation(&caller)?;
    find(&state).await?;
    let change = Change::begin(&state, &caller).await?;
    change
        .commit(Audit::of("remote_backup.push", TARGET, TARGET))
        .await?;
    match round(&state.tree.remote, true).await? {
        Round::NotDue => Err(ApiError::not_found("remote")),
        Round::Taken => {
            Err(ApiError::new(ErrorCode::Conflict).detail("A push is under way already."))
        }
        Round::Pushed { rows, refused } => Ok(Json(RemotePush {
            pushed: rows,
            refused,
            error: None,
        })),
        Round::Failed { rows, why } => Ok(Json(RemotePush {
            pushed: rows,
            refused: 0,
            error: Some(why),
        })),
    }
}

/// What differs between here and there, in the days that both should have; at most 400.
#[utoipa::path(tag = "remote backup", responses((status = 200, body = RemoteComparison)))]
#[get("/ops/backups/remote/comparison")]
async fn comparison(
    state: web::Data<AppState>,
    caller: Can<ReadBackups>,
) -> Result<Json<RemoteComparison>, ApiError> {
    check::whole_installation(&caller)?;
    let row = find(&state).await?;
    let kept = usize::try_from(row.keep_days)
        .ok()
        .filter(|days| *days > 0)
        .unwrap_or(COMPARED_DAYS);
    let read = &state.databases.control_read;
    let mut local = dashboard_stats::list(read, "", "9999-12-31").await?;
    local.drain(..local.len().saturating_sub(kept.min(COMPARED_DAYS)));
    let Some(from) = local.first().map(|row| row.stat_date.clone()) else {
        return Ok(Json(RemoteComparison {
            from: None,
            equal: 0,
            only_local: Vec::new(),
            only_remote: Vec::new(),
            different: Vec::new(),
        }));
    };
    let unavailable = |why: String| {
        ApiError::new(ErrorCode::Unavailable).detail(format!("The remote cannot be read: {why}"))
    };
    let remote = opened(&state.tree.remote, &row).map_err(unavailable)?;
    let theirs = remote
        .rows_since(&from)
        .await
        .map_err(|failure| unavailable(failure.why))?;
    let now = state.clock.now_micros();
    let mine: Vec<RemoteRow> = local.iter().map(|row| RemoteRow::of(row, now)).collect();
    let found = remote::compare(&mine, &theirs);
    let different = found.different.into_iter().map(|one| RemoteDifference {
        stat_date: one.stat_date,
        field: one.field,
        local: one.local,
        remote: one.remote,
    });
    Ok(Json(RemoteComparison {
        from: Some(from),
        equal: found.equal,
        only_local: found.only_local,
        only_remote: found.only_remote,
        different: different.collect(),
    }))
}

async fn find(state: &AppState) -> Result<remote_backup::Model, ApiError> {
    remote_backup::get(&state.databases.control_read)
        .await?
        .ok_or_else(|| ApiError::not_found("remote"))
}

async fn told(
    state: &AppState,
    row: Option<remote_backup::Model>,
) -> Result<RemoteState, ApiError> {
    let read = &state.databases.control_read;
    let backlog = dashboard_stats::backlog(read).await?;
    let refused = dashboard_stats::refusals(read).await?;
    let now = state.clock.now_micros();
    let table = row.as_ref().map_or(TABLE, |row| row.table_name.as_str());
    Ok(RemoteState {
        waiting: backlog.rows,
        lag_ms: backlog
            .since
            .map_or(0, |since| (now - since).max(0) / 1_000),
        refused: refused
            .into_iter()
            .map(|(stat_date, reason)| RefusedDay { stat_date, reason })
            .collect(),
        table_sql: table_sql(table),
        remote: row.map(RemoteShown::from),
    })
}

async fn checked_url(state: &AppState, kind: Kind, text: &str) -> Result<String, ApiError> {
    let reach = match state.config.egress.allow_private {
        true => Reach::Private,
        false => Reach::Public,
    };
    if text.len() > URL_MAX {
        return Err(ApiError::invalid(
            "url",
            format!("must have at most {URL_MAX} characters"),
        ));
    }
    match kind {
        Kind::Postgrest => {
            let url = egress::base_url("url", text)?;
            egress::check("url", &url, reach).await?;
            Ok(url)
        }
        Kind::Postgres => {
            let url = PostgresUrl::parse(text)
                .map_err(|error| ApiError::invalid("url", error.to_string()))?;
            let host = match url.host().contains(':') {
                true => format!("[{}]", url.host()),
                false => url.host().to_owned(),
            };
            egress::check("url", &format!("http://{host}:{}", url.port()), reach).await?;
            Ok(url.whole())
        }
    }
}

fn checked_key(kind: Kind, key: Option<&str>) -> Result<Option<String>, ApiError> {
    let Some(key) = key.map(str::trim) else {
        return Ok(None);
    };
    if kind == Kind::Postgres {
        return Err(ApiError::invalid("key", "a PostgreSQL URL has none"));
    }
    let readable =
        (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    match readable {
        true => Ok(Some(key.to_owned())),
        false => Err(ApiError::invalid(
            "key",
            format!("must have 1 to {KEY_MAX} visible ASCII characters"),
        )),
    }
}

/// What may be shown of an address.
fn shown(kind: Kind, url: &str) -> String {
    match kind {
        Kind::Postgrest => base_of(url),
        Kind::Postgres => PostgresUrl::parse(url).map_or_else(|_| String::new(), |url| url.shown()),
    }
}

#[cfg(test)]
mod tests;
