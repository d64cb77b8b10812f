//! Archived months: where they go, listed, written when somebody asks, brought back, and found again.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/archives` | `read:settings` |
//! | POST | `/archives` | `write:settings` |
//! | POST | `/archives/find` | `write:settings` |
//! | GET | `/archives/place` | `read:settings` |
//! | PUT, DELETE | `/archives/place` | `write:settings` |
//! | POST | `/archives/place/test` | `write:settings` |
//! | POST | `/archives/{id}/import` | `write:settings` |
//!
//! Writing, finding and bringing back are jobs. What is brought back stays for a week, whatever retention says. A month
//! stays where it was written when another place is chosen. The keys of a bucket are stored sealed and never shown again.

use std::sync::Arc;

use actix_web::{HttpResponse, delete, get, post, put, web};
use serde::{Deserialize, Serialize};
use serde_json::json;
use steward_actors::archive::{
    Asked, FIND, IMPORT, WRITE, are_there, open_place, seal_place, waiting,
};
use steward_actors::depot::{self, Place};
use steward_entities::{archive, archive_place, public_id};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::ApiError;
use crate::http::change::{Audit, Change, refused};
use crate::http::check;
use crate::http::egress::Reach;
use crate::http::extract::Json;
use crate::http::job::JobAccepted;
use crate::http::permission::{Can, ReadSettings, WriteSettings};
use crate::http::place::{self, PlaceTest, Said};
use crate::http::precondition::{IfMatch, Tagged};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// What it is called in the audit log; there is one at a time.
const TARGET: &str = "archive_place";
/// What is brought back stays so long.
const BACK_MICROS: i64 = 7 * 24 * 3_600_000_000;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        .service(write)
        .service(find)
        .service(show_place)
        .service(set_place)
        .service(leave_place)
        .service(test_place)
        .service(import);
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
    /// Its manifest, below its place.
    manifest: String,
    /// Where it lies: a directory or folder, or what may be shown of a bucket.
    place: String,
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
    /// Its manifest is where it was written; null while a bucket does not say.
    is_there: Option<bool>,
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
    /// Where months go as long as no other place is set; on the node that answers.
    directory: String,
    /// Where new months go; null: to the directory.
    place: Option<ArchivePlace>,
    /// Months that could be archived and are not.
    waiting: Vec<String>,
}

/// Where new months go.
#[derive(Debug, Serialize, ToSchema)]
struct ArchivePlace {
    /// `folder` or `bucket`.
    kind: String,
    /// What may be shown of it.
    place: String,
    #[schema(format = DateTime)]
    updated_at: String,
    version: i64,
}

impl From<archive_place::Model> for ArchivePlace {
    fn from(row: archive_place::Model) -> Self {
        Self {
            kind: row.kind,
            place: row.shown,
            updated_at: rfc3339(row.updated_at),
            version: row.version,
        }
    }
}

/// Where new months go, or that they go to the directory.
#[derive(Debug, Serialize, ToSchema)]
struct ArchivePlaceState {
    /// Null: the directory.
    place: Option<ArchivePlace>,
    /// On the node that answers.
    directory: String,
}

/// A place to set. What is missing stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ArchivePlaceChanges {
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
    /// Before every name, such as `archive/`.
    #[schema(max_length = 300)]
    prefix: Option<String>,
    /// Missing: stays, as long as endpoint and bucket do.
    #[schema(max_length = 512)]
    access_key: Option<String>,
    #[schema(max_length = 512)]
    secret_key: Option<String>,
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
    let read = &state.databases.control_read;
    let rows = archive::all(read).await?;
    let places = archive_place::all(read).await?;
    let there = are_there(parts, &rows).await;
    let directory = parts.dir.display().to_string();
    let place_of = |row: &archive::Model| match row.place_id {
        None => directory.clone(),
        Some(id) => {
            let known = places.iter().find(|place| place.id == id);
            known.map_or_else(String::new, |place| place.shown.clone())
        }
    };
    let items = rows.into_iter().map(|row| ArchiveShown {
        is_there: there.get(&row.id).copied(),
        place: place_of(&row),
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
        place: places
            .iter()
            .find(|place| place.is_current)
            .cloned()
            .map(ArchivePlace::from),
        directory,
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
    queue(&state, &caller, WRITE).await
}

/// Looks for months that lie where new ones go and that nobody here knows, as a job: after a restore of an older backup, or
/// on a new machine. They are listed then, and can be brought back.
#[utoipa::path(tag = "archives", responses((status = 202, body = JobAccepted)))]
#[post("/archives/find")]
async fn find(
    state: web::Data<AppState>,
    caller: Can<WriteSettings>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    queue(&state, &caller, FIND).await
}

async fn queue(
    state: &AppState,
    caller: &Can<WriteSettings>,
    kind: &'static str,
) -> Result<HttpResponse, ApiError> {
    let change = Change::begin(state, caller).await?;
    let row = change.queue(kind, json!({})).await?;
    let audit = Audit::of(kind, "job", &row.public_id);
    change.queued(audit, row).await
}

/// Where new months go.
#[utoipa::path(tag = "archives", responses((status = 200, body = ArchivePlaceState)))]
#[get("/archives/place")]
async fn show_place(
    state: web::Data<AppState>,
    caller: Can<ReadSettings>,
) -> Result<Tagged<ArchivePlaceState>, ApiError> {
    check::whole_installation(&caller)?;
    let row = archive_place::current(&state.databases.control_read).await?;
    Ok(told(&state, row))
}

/// Sets where new months go: a folder or a bucket. Those that are archived stay where they are.
#[utoipa::path(tag = "archives", responses((status = 200, body = ArchivePlaceState)))]
#[put("/archives/place")]
async fn set_place(
    state: web::Data<AppState>,
    caller: Can<WriteSettings>,
    if_match: IfMatch,
    Json(changes): Json<ArchivePlaceChanges>,
) -> Result<Tagged<ArchivePlaceState>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let kept = match archive_place::current(read).await? {
        Some(row) => open_place(&state.vault, &row).ok(),
        None => None,
    };
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
    let chosen = place::read(said, kept, reach).await?;
    let shown = chosen.shown();
    let change = Change::begin(&state, &caller).await?;
    let before = archive_place::current(&*change).await?;
    let version = before.as_ref().map_or(0, |row| row.version);
    if_match.check(version, &*change, TARGET, TARGET).await?;
    let known = archive_place::by_shown(&*change, &shown).await?;
    // The seal is bound to the row's id: one that is known keeps it.
    let public_id = known.map_or_else(|| public_id::new("apl"), |row| row.public_id);
    let sealed = seal_place(&state.vault, &public_id, &chosen).map_err(ApiError::internal)?;
    let said = archive_place::Said {
        public_id,
        kind: changes.kind,
        shown,
        sealed: sealed.bytes,
        sealed_key_id: sealed.key_id,
        by: caller.operator.public_id.clone(),
    };
    let row = archive_place::choose(&change, said, change.now)
        .await
        .map_err(refused("kind"))?;
    let mut audit = Audit::of("archive_place.update", TARGET, TARGET);
    audit = match before {
        None => audit.with("created", ArchivePlace::from(row.clone())),
        Some(before) => audit.diff(
            &ArchivePlace::from(before),
            &ArchivePlace::from(row.clone()),
        ),
    };
    if changes.secret_key.is_some() {
        audit = audit.with("secret", "replaced");
    }
    change.commit(audit).await?;
    Ok(told(&state, Some(row)))
}

/// New months go to the directory again. Those that lie elsewhere stay there, and can be brought back.
#[utoipa::path(tag = "archives", responses((status = 204)))]
#[delete("/archives/place")]
async fn leave_place(
    state: web::Data<AppState>,
    caller: Can<WriteSettings>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = archive_place::current(&*change)
        .await?
        .ok_or_else(|| ApiError::not_found("place"))?;
    if_match
        .check(row.version, &*change, TARGET, TARGET)
        .await?;
    archive_place::leave(&change, change.now).await?;
    let audit = Audit::of("archive_place.remove", TARGET, TARGET).with("place", &row.shown);
    change.commit(audit).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Puts a small file where new months go, reads it and removes it, and tells what the place really answered.
#[utoipa::path(tag = "archives", responses((status = 200, body = PlaceTest)))]
#[post("/archives/place/test")]
async fn test_place(
    state: web::Data<AppState>,
    caller: Can<WriteSettings>,
) -> Result<Json<PlaceTest>, ApiError> {
    check::whole_installation(&caller)?;
    let parts = &state.tree.archive;
    let row = archive_place::current(&state.databases.control_read).await?;
    let opened = match &row {
        Some(row) => open_place(&state.vault, row).map_err(ApiError::internal)?,
        None => Place::Folder {
            path: parts.dir.clone(),
        },
    };
    let (outward, clock) = (Arc::clone(&parts.outward), Arc::clone(&state.clock));
    let tested = place::test(depot::open(&opened, outward, clock).as_ref()).await;
    let change = Change::begin(&state, &caller).await?;
    let audit = Audit::of("archive_place.test", TARGET, TARGET).with("works", tested.works);
    change.commit(audit).await?;
    Ok(Json(tested))
}

fn told(state: &AppState, row: Option<archive_place::Model>) -> Tagged<ArchivePlaceState> {
    let version = row.as_ref().map_or(0, |row| row.version);
    let state = ArchivePlaceState {
        place: row.map(ArchivePlace::from),
        directory: state.tree.archive.dir.display().to_string(),
    };
    Tagged::ok(version, state)
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
    archive::mark_imported(&change, found.id, change.now, change.now + BACK_MICROS).await?;
    let row = change.queue(IMPORT, params).await?;
    let audit = Audit::of("archives.import", "archive", &found.public_id)
        .with("month", format!("{} {}", found.kind, found.month));
    change.queued(audit, row).await
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use sea_orm::ConnectionTrait;
    use serde_json::{Value, json};
    use steward_actors::archive::{open_place, write_all};
    use steward_actors::depot::Place;
    use steward_entities::{archive, archive_place};

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
        let find = format!("{PATH}/find");
        assert_eq!(
            ask(&find, &viewer).to(&app).await.status,
            StatusCode::FORBIDDEN
        );
        assert_eq!(
            ask(&find, &root).to(&app).await.status,
            StatusCode::ACCEPTED
        );
    }

    #[actix_web::test]
    async fn another_place_is_set_tried_and_left() {
        set_and_left(World::sqlite().await).await;
    }

    #[actix_web::test]
    async fn another_place_is_set_tried_and_left_postgres() {
        set_and_left(World::postgres().await).await;
    }

    async fn set_and_left(world: World) {
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let viewer = world.signed_in("eve", "ops_viewer").await;
        let place = format!("{PATH}/place");
        let put = |bearer: &str, body: Value| Ask::put(&place, body).bearer(bearer);
        let folder = world.database.dir().join("elsewhere");
        let of_folder = json!({"kind": "folder", "path": folder});
        let barred = put(&viewer, of_folder.clone()).to(&app).await;
        assert_eq!(barred.status, StatusCode::FORBIDDEN);
        let first = Ask::get(&place).bearer(&viewer).to(&app).await;
        assert_eq!(first.body["place"], Value::Null);
        for (bad, field) in [
            (json!({"kind": "folder", "path": "elsewhere"}), "path"),
            (json!({"kind": "folder", "path": "/a/../b"}), "path"),
            (json!({"kind": "attic"}), "kind"),
            (
                json!({"kind": "bucket", "endpoint": "https://s3.example.com", "bucket": "b"}),
                "access_key",
            ),
            (
                json!({"kind": "bucket", "endpoint": "http://169.254.169.254", "bucket": "b"}),
                "endpoint",
            ),
        ] {
            let refused = put(&root, bad).to(&app).await;
            assert_eq!(
                refused.status,
                StatusCode::UNPROCESSABLE_ENTITY,
                "{refused:?}"
            );
            assert_eq!(refused.body["errors"][0]["field"], field);
        }
        let set = put(&root, of_folder).to(&app).await;
        assert_eq!(set.status, StatusCode::OK, "{set:?}");
        assert_eq!(set.body["place"]["place"], json!(folder));
        let tested = Ask::post(&format!("{place}/test"), json!({})).bearer(&root);
        assert_eq!(tested.to(&app).await.body["works"], true);

        // A bucket's keys are never told, and stay as long as the bucket is the same.
        let keys = json!({"kind": "bucket", "endpoint": "https://93.184.216.34", "bucket": "b", "prefix": "steward",
            "access_key": "AKIA", "secret_key": "canary"});
        let stale = put(&root, keys.clone()).header("if-match", "\"7\"");
        assert_eq!(stale.to(&app).await.status, StatusCode::PRECONDITION_FAILED);
        let set = put(&root, keys).to(&app).await;
        assert_eq!(set.status, StatusCode::OK, "{set:?}");
        let shown = "https://93.184.216.34/b/steward/";
        assert_eq!(set.body["place"]["place"], shown);
        let same = put(&root, json!({"kind": "bucket", "region": "eu"}))
            .to(&app)
            .await;
        assert_eq!(same.body["place"]["version"], 2, "{same:?}");
        let row = archive_place::current(&world.database.control_read)
            .await
            .unwrap()
            .unwrap();
        let Place::Bucket(bucket) = open_place(&world.state.vault, &row).unwrap() else {
            panic!("a bucket")
        };
        assert_eq!(
            (bucket.secret_key.as_str(), bucket.region.as_str()),
            ("canary", "eu")
        );
        let other = put(&root, json!({"kind": "bucket", "bucket": "c"}))
            .to(&app)
            .await;
        assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY, "{other:?}");

        // Where no month lies is forgotten.
        assert_eq!(
            archive_place::all(&world.database.control_read)
                .await
                .unwrap()
                .len(),
            1
        );
        let gone = Ask::delete(&place).bearer(&root).to(&app).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
        assert_eq!(
            archive_place::all(&world.database.control_read)
                .await
                .unwrap(),
            []
        );
        assert_eq!(world.audited("archive_place.update").await.len(), 3);
        assert_eq!(world.audited("archive_place.remove").await.len(), 1);
        assert!(!format!("{:?}", world.audited("archive_place.update").await).contains("canary"));
    }
}
