//! Retention: what is kept, for how long, what there is of it, and what the next pass would remove.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/retention` | `read:settings` |
//! | POST | `/ops/retention/run` | `write:settings` |
//!
//! For how many days something stays is a setting (`/settings`). A pass is made once an hour; one that is asked for is a
//! job.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, post, web};
use futures_util::future::try_join_all;
use sea_orm::DbErr;
use serde::Serialize;
use serde_json::json;
use steward_actors::domain::rid::Rid;
use steward_actors::retention::{COUNTED_MAX, HELD_MAX, Home, Kind, RUN, due};
use steward_actors::tree::upkeep::retention::EVERY;
use steward_entities::expiry;
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

/// Rows of a kind that are counted: reading more of a long log takes longer than anybody waits for a page.
const SHOWN_MAX: u64 = 10_000;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(show).service(run);
}

/// Something that is kept.
#[derive(Debug, Serialize, ToSchema)]
struct KeptKind {
    /// `request_logs`, `contents`, `system_logs`, `health_checks`, `metrics_snapshots`, `deliveries`, `outbox`, `alerts`,
    /// `usage_stats_hourly`, `sessions` or `idempotency_keys`.
    kind: &'static str,
    /// For how many days it stays; null: for ever.
    days: Option<u32>,
    /// The setting that says so; null where it is fixed.
    setting: Option<&'static str>,
    /// How many there are; counted up to ten thousand.
    rows: u64,
    rows_is_exact: bool,
    /// When the oldest was written; null when there is none.
    #[schema(format = DateTime)]
    oldest_at: Option<String>,
    /// What it takes on the disk; null where that is told for several kinds at once.
    bytes: Option<u64>,
    /// What the next pass removes; counted up to ten thousand.
    due: u64,
    due_is_exact: bool,
    /// Old enough to go, and left until its month is archived, or because it was brought back from the archive.
    is_held: bool,
}

/// A file that holds several kinds.
#[derive(Debug, Serialize, ToSchema)]
struct KeptFile {
    kinds: Vec<&'static str>,
    bytes: u64,
    /// Of those, what holds nothing and is filled again first.
    free_bytes: u64,
}

/// A pass under way.
#[derive(Debug, Serialize, ToSchema)]
struct PassRunning {
    #[schema(format = DateTime)]
    began_at: String,
    /// What it is at.
    kind: &'static str,
    removed: u64,
    due: u64,
    due_is_exact: bool,
}

/// What the latest pass of this process did.
#[derive(Debug, Serialize, ToSchema)]
struct PassDone {
    #[schema(format = DateTime)]
    at: String,
    /// Rows by kind.
    removed: BTreeMap<&'static str, u64>,
    steps: u64,
    /// The longest time that a step held a writer, in microseconds.
    longest_hold_us: u64,
    /// Steps that held it longer than `hold_max_ms`.
    slow_steps: u64,
    is_stopped: bool,
}

/// What is kept and for how long.
#[derive(Debug, Serialize, ToSchema)]
struct Kept {
    items: Vec<KeptKind>,
    /// SQLite: files that hold several kinds.
    files: Vec<KeptFile>,
    /// A pass is made so often.
    every_s: u64,
    /// A step of a pass shall hold a writer no longer.
    hold_max_ms: u64,
    running: Option<PassRunning>,
    last: Option<PassDone>,
}

/// What is kept, for how long, what there is of it, and what the next pass removes.
#[utoipa::path(tag = "retention", responses((status = 200, body = Kept)))]
#[get("/ops/retention")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadSettings>,
) -> Result<Json<Kept>, ApiError> {
    check::whole_installation(&caller)?;
    let mut items = try_join_all(Kind::ALL.map(|kind| kept(&state, kind))).await?;
    // What somebody may set comes first.
    items.sort_by_key(|item| item.setting.is_none());
    let standing = state.tree.retention.board.standing();
    Ok(Json(Kept {
        items,
        files: files(&state).await?,
        every_s: EVERY.as_secs(),
        hold_max_ms: u64::try_from(HELD_MAX.as_millis()).unwrap_or(u64::MAX),
        running: standing.running.map(|running| PassRunning {
            began_at: rfc3339(running.began_at),
            kind: running.kind.name(),
            removed: running.removed,
            due: running.due,
            due_is_exact: running.due < COUNTED_MAX,
        }),
        last: standing.last.map(|(at, report)| PassDone {
            at: rfc3339(at),
            removed: report.removed,
            steps: report.steps,
            longest_hold_us: report.longest_hold_us,
            slow_steps: report.slow_steps,
            is_stopped: report.is_stopped,
        }),
    }))
}

async fn kept(state: &AppState, kind: Kind) -> Result<KeptKind, ApiError> {
    let parts = &state.tree.retention;
    let now = state.clock.now_micros();
    let days = kind.days(&state.settings.load());
    let least = if kind.by_rid() { 0 } else { i64::MIN };
    let all = parts.census(kind, (least, i64::MAX), SHOWN_MAX).await?;
    let due = due(parts, kind, now, SHOWN_MAX).await?;
    let is_held = kind.by_rid() && days > 0 && {
        let before = now - i64::from(days) * 24 * 3_600_000_000;
        let cutoff = Rid::floor_of_ms(before.max(0) / 1_000).0;
        let most = (due.rows + 1).min(SHOWN_MAX);
        parts.census(kind, (0, cutoff), most).await?.rows > due.rows
    };
    let bytes = match kind.table() {
        None => Some(
            state
                .contents
                .bytes()
                .await
                .map_err(|error| DbErr::Custom(error.to_string()))?,
        ),
        Some(table) => table.bytes(reader(state, kind.home())).await?,
    };
    let oldest = all.oldest.map(|age| match kind.by_rid() {
        true => Rid(age).ms() * 1_000,
        false => age,
    });
    Ok(KeptKind {
        kind: kind.name(),
        days: Some(days).filter(|days| *days > 0),
        setting: kind.setting(),
        rows: all.rows,
        rows_is_exact: all.rows < SHOWN_MAX,
        oldest_at: oldest.map(rfc3339),
        bytes,
        due: due.rows,
        due_is_exact: due.rows < SHOWN_MAX,
        is_held,
    })
}

fn reader(state: &AppState, home: Home) -> &sea_orm::DatabaseConnection {
    match home {
        Home::Ledger => &state.databases.ledger_read,
        Home::Events => &state.databases.events_read,
        Home::Control | Home::Contents => &state.databases.control_read,
    }
}

async fn files(state: &AppState) -> Result<Vec<KeptFile>, ApiError> {
    let mut files = Vec::new();
    for home in [Home::Ledger, Home::Events, Home::Control] {
        let Some((bytes, free_bytes)) = expiry::file_bytes(reader(state, home)).await? else {
            continue;
        };
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.home() == home);
        files.push(KeptFile {
            kinds: kinds.map(Kind::name).collect(),
            bytes,
            free_bytes,
        });
    }
    Ok(files)
}

/// Makes a pass now, as a job.
#[utoipa::path(tag = "retention", responses((status = 202, body = JobAccepted)))]
#[post("/ops/retention/run")]
async fn run(
    state: web::Data<AppState>,
    caller: Can<WriteSettings>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = change.queue(RUN, json!({})).await?;
    let audit = Audit::of("retention.run", "job", &row.public_id);
    change.queued(audit, row).await
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use sea_orm::ConnectionTrait;
    use serde_json::{Value, json};

    use crate::testing::{Ask, START, World};

    const PATH: &str = "/api/v1/ops/retention";

    fn of<'a>(body: &'a Value, kind: &str) -> &'a Value {
        let items = body["items"].as_array().unwrap();
        items.iter().find(|item| item["kind"] == kind).unwrap()
    }

    #[actix_web::test]
    async fn what_is_kept_is_told_with_what_is_due() {
        told(World::sqlite().await).await;
    }

    #[actix_web::test]
    async fn what_is_kept_is_told_with_what_is_due_postgres() {
        told(World::postgres().await).await;
    }

    async fn told(world: World) {
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let day = 24 * 3_600_000_000_i64;
        for age in [1, 40, 50] {
            let at = START - age * day;
            let line = format!(
                "INSERT INTO system_logs (line, at, level, target, message, fields) VALUES ({at}, {at}, 'WARN', 't', 'm', '{{}}')"
            );
            world
                .database
                .events
                .execute_unprepared(&line)
                .await
                .unwrap();
            let rid = (at / 1_000) << 20;
            let call = format!(
                "INSERT INTO request_logs (rid, id_tail, request_at, response_at, token_id, status_code, node, success) \
                 VALUES ({rid}, 1, {at}, {at}, 1, 200, 0, TRUE)"
            );
            world
                .database
                .ledger
                .execute_unprepared(&call)
                .await
                .unwrap();
        }
        let shown = Ask::get(PATH).bearer(&root).to(&app).await;
        assert_eq!(shown.status, StatusCode::OK, "{shown:?}");
        let lines = of(&shown.body, "system_logs");
        assert_eq!(
            (&lines["days"], &lines["rows"], &lines["due"]),
            (&json!(30), &json!(3), &json!(2))
        );
        assert_eq!(lines["oldest_at"], "2026-01-24T18:30:00.000Z");
        let calls = of(&shown.body, "request_logs");
        assert_eq!(
            (&calls["days"], &calls["due"], &calls["is_held"]),
            (&Value::Null, &json!(0), &json!(false))
        );
        assert_eq!(calls["oldest_at"], "2026-01-24T18:30:00.000Z");
        assert_eq!(of(&shown.body, "sessions")["setting"], Value::Null);

        // Whoever sets days sees what they would do; months to be archived stay.
        let save =
            |values: Value| Ask::patch("/api/v1/settings", json!({"values": values})).bearer(&root);
        let short = save(json!({"retention.request_logs_days": "7"}))
            .to(&app)
            .await;
        assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY);
        let saved = save(json!({"retention.request_logs_days": "45"}))
            .to(&app)
            .await;
        assert_eq!(saved.status, StatusCode::OK, "{saved:?}");
        let shown = Ask::get(PATH).bearer(&root).to(&app).await;
        assert_eq!(of(&shown.body, "request_logs")["due"], 1);
        save(json!({"archive.enabled": "on"})).to(&app).await;
        let shown = Ask::get(PATH).bearer(&root).to(&app).await;
        let calls = of(&shown.body, "request_logs");
        assert_eq!(
            (&calls["due"], &calls["is_held"]),
            (&json!(0), &json!(true))
        );
    }

    #[actix_web::test]
    async fn a_pass_is_made_when_it_is_asked_for() {
        let world = World::live().await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let viewer = world.signed_in("eve", "ops_viewer").await;
        let run = format!("{PATH}/run");
        let barred = Ask::post(&run, json!({})).bearer(&viewer).to(&app).await;
        assert_eq!(barred.status, StatusCode::FORBIDDEN);
        let asked = Ask::post(&run, json!({})).bearer(&root).to(&app).await;
        assert_eq!(asked.status, StatusCode::ACCEPTED, "{asked:?}");
        let id = asked.body["job"]["id"].as_str().unwrap().to_owned();
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        let job = loop {
            let path = format!("/api/v1/jobs/{id}");
            let job = Ask::get(&path).bearer(&root).to(&app).await.body;
            if job["finished_at"].is_string() {
                break job;
            }
            assert!(tokio::time::Instant::now() < deadline, "{job}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        assert_eq!(job["state"], "succeeded", "{job}");
        assert_eq!(job["result"]["removed"], json!({}));
        let shown = Ask::get(PATH).bearer(&root).to(&app).await;
        assert!(shown.body["last"]["at"].is_string(), "{shown:?}");
        assert_eq!(world.audited("retention.run").await.len(), 1);
        world.end().await;
    }
}
