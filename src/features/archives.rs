//! Archived months: listed, written when somebody asks, brought back.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/archives` | `read:settings` |
//! | POST | `/archives` | `write:settings` |
//! | POST | `/archives/{id}/import` | `write:settings` |
//!
//! Writing and bringing back are jobs. What is brought back stays for a week, whatever retention says.

use actix_web::{HttpResponse, get, post, web};
use serde::Serialize;
use serde_json::json;
use steward_actors::archive::{Asked, IMPORT, WRITE, waiting};
use steward_actors::tree::upkeep::job_runner::Wake;
use steward_entities::{archive, job};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::change::{Audit, Change};
use crate::http::check;
use crate::http::extract::Json;
use crate::http::job::JobAccepted;
use crate::http::permission::{Can, ReadSettings, WriteSettings};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// What is brought back stays so long.
const BACK_MICROS: i64 = 7 * 24 * 3_600_000_000;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(list).service(write).service(import);
}

/// A month that was written.
#[derive(Debug, Serialize, ToSchema)]
struct ArchiveShown {
    id: String,
    /// `request_logs` or `contents`.
    kind: String,
    /// Such as `2026-03`, in UTC.
    month: String,
    /// Calls or conversations.
    rows: i64,
    bytes: i64,
    /// Its manifest, below the directory.
    manifest: String,
    /// What the manifest hashes to; it names the hashes of the files.
    sha256: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last brought back.
    #[schema(format = DateTime)]
    imported_at: Option<String>,
    /// Until when retention leaves what was brought back; null when it leaves nothing.
    #[schema(format = DateTime)]
    kept_until: Option<String>,
    /// Its manifest is where it was written.
    is_there: bool,
}

/// Archived months.
#[derive(Debug, Serialize, ToSchema)]
struct Archives {
    /// Newest first.
    items: Vec<ArchiveShown>,
    /// Months are archived by themselves, and none goes before it is.
    enabled: bool,
    /// So many days after their end.
    after_days: u64,
    /// On the node that answers.
    directory: String,
    /// Months that could be archived and are not.
    waiting: Vec<String>,
}

/// Archived months, the newest first.
#[utoipa::path(tag = "archives", responses((status = 200, body = Archives)))]
#[get("/archives")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadSettings>,
) -> Result<Json<Archives>, ApiError> {
    check::whole_installation(&caller)?;
    let parts = &state.tree.archive;
    let now = state.clock.now_micros();
    let rows = archive::all(&state.databases.control_read).await?;
    let items = rows.into_iter().map(|row| ArchiveShown {
        is_there: parts.dir.join(&row.manifest).exists(),
        id: row.public_id,
        kind: row.kind,
        month: row.month,
        rows: row.rows,
        bytes: row.bytes,
        manifest: row.manifest,
        sha256: row.sha256,
        created_at: rfc3339(row.created_at),
        imported_at: row.imported_at.map(rfc3339),
        kept_until: row.kept_until.filter(|until| *until > now).map(rfc3339),
    });
    let items = items.collect();
    let waiting = waiting(parts).await.map_err(ApiError::internal)?;
    let mut months: Vec<String> = waiting.into_iter().map(|(_, month)| month.name()).collect();
    months.dedup();
    let settings = state.settings.load();
    Ok(Json(Archives {
        items,
        enabled: settings.archives,
        after_days: settings.archived_after.as_secs() / 86_400,
        directory: parts.dir.display().to_string(),
        waiting: months,
    }))
}

/// Writes every month that is over for long enough and not archived yet, as a job.
#[utoipa::path(tag = "archives", responses((status = 202, body = JobAccepted)))]
#[post("/archives")]
async fn write(
    state: web::Data<AppState>,
    caller: Can<WriteSettings>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let author = caller.operator.public_id.clone();
    let row = job::insert(&change, WRITE, json!({}), author, change.now).await?;
    let audit = Audit::of("archives.write", "job", &row.public_id);
    let answer = change
        .accepted(audit, JobAccepted { job: row.into() })
        .await?;
    // It would look by itself in a second; that it cannot be told is no failure.
    let _ = state.tree.job_runner.try_send(Wake);
    Ok(answer)
}

/// Brings a month back, as a job: what is missing of it is put in. Its files are compared with their hashes first.
#[utoipa::path(tag = "archives", responses((status = 202, body = JobAccepted)))]
#[post("/archives/{id}/import")]
async fn import(
    state: web::Data<AppState>,
    caller: Can<WriteSettings>,
    id: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let found = archive::by_public_id(&*change, &id).await?;
    let found = found.ok_or_else(|| ApiError::not_found("archive"))?;
    let asked = Asked {
        archive: found.public_id.clone(),
    };
    let params = serde_json::to_value(&asked).map_err(ApiError::internal)?;
    let author = caller.operator.public_id.clone();
    archive::mark_imported(&change, found.id, change.now, change.now + BACK_MICROS).await?;
    let row = job::insert(&change, IMPORT, params, author, change.now).await?;
    let audit = Audit::of("archives.import", "archive", &found.public_id)
        .with("month", format!("{} {}", found.kind, found.month));
    let answer = change
        .accepted(audit, JobAccepted { job: row.into() })
        .await?;
    let _ = state.tree.job_runner.try_send(Wake);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use sea_orm::ConnectionTrait;
    use serde_json::{Value, json};
    use steward_actors::archive::write_all;
    use steward_entities::archive;

    use crate::testing::{Ask, START, World};

    const PATH: &str = "/api/v1/archives";

    #[actix_web::test]
    async fn months_are_listed_and_brought_back_by_who_may() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let viewer = world.signed_in("eve", "ops_viewer").await;
        let at = START - 40 * 24 * 3_600_000_000;
        let call = format!(
            "INSERT INTO request_logs (rid, id_tail, request_at, response_at, token_id, status_code, node, success) \
             VALUES ({}, 1, {at}, {at}, 1, 200, 0, TRUE)",
            (at / 1_000) << 20
        );
        world
            .database
            .ledger
            .execute_unprepared(&call)
            .await
            .unwrap();
        let list = async || Ask::get(PATH).bearer(&viewer).to(&app).await.body;
        let before = list().await;
        assert_eq!(before["waiting"], json!(["2026-02"]));
        assert_eq!(
            (&before["enabled"], &before["after_days"]),
            (&json!(false), &json!(3))
        );
        let parts = world.state.tree.archive.clone();
        let written = write_all(&parts, &|_| {}, &|| false).await.unwrap();
        assert_eq!(written, Some(vec!["request_logs 2026-02".to_owned()]));
        let after = list().await;
        let item = &after["items"][0];
        assert_eq!(
            (
                &item["kind"],
                &item["rows"],
                &item["is_there"],
                &item["kept_until"]
            ),
            (
                &json!("request_logs"),
                &json!(1),
                &json!(true),
                &Value::Null
            )
        );
        assert_eq!(after["waiting"], json!([]));

        let id = item["id"].as_str().unwrap();
        let import = format!("{PATH}/{id}/import");
        let ask = |path: &str, bearer: &str| Ask::post(path, json!({})).bearer(bearer);
        assert_eq!(
            ask(&import, &viewer).to(&app).await.status,
            StatusCode::FORBIDDEN
        );
        assert_eq!(
            ask(PATH, &viewer).to(&app).await.status,
            StatusCode::FORBIDDEN
        );
        let unknown = ask(&format!("{PATH}/arc_x/import"), &root).to(&app).await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
        let asked = ask(&import, &root).to(&app).await;
        assert_eq!(asked.status, StatusCode::ACCEPTED, "{asked:?}");
        assert_eq!(asked.body["job"]["params"], json!({"archive": id}));
        let row = archive::by_public_id(&world.database.control_read, id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(row.kept_until, Some(START + super::BACK_MICROS));
        assert_eq!(
            list().await["items"][0]["kept_until"],
            "2026-03-22T18:30:00.000Z"
        );
        assert_eq!(world.audited("archives.import").await.len(), 1);
        assert_eq!(ask(PATH, &root).to(&app).await.status, StatusCode::ACCEPTED);
    }
}
