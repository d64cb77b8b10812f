//! The process's own log, read in the console: its latest lines, in memory, without secrets.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/logs/query` | `read:logs` |
//! | GET | `/ops/logs/stats` | `read:logs` |
//! | GET | `/ops/logs/export` | `read:logs` |
//!
//! What is kept are the latest 10,000 lines (8 MiB at most) of this process; older ones are on standard error only. Live
//! they are the topics `logs:<LEVEL>`. What operators did is another log: `/ops/logs/operations`.

use std::collections::BTreeMap;

use actix_web::http::header::{CONTENT_DISPOSITION, ContentType};
use actix_web::{HttpResponse, get, web};
use serde::{Deserialize, Serialize};
use steward_actors::log_feed::{Filter, Level, Line};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::check;
use crate::http::download::TicketParam;
use crate::http::extract::{Json, Query};
use crate::http::page::{self, Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadLogs};
use crate::http::range::{RangeQuery, TimeRange, rfc3339};
use crate::state::AppState;

/// Sources that are told with their number.
const SOURCES_MAX: usize = 20;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config.service(query).service(stats).service(export);
}

/// A line of the log.
#[derive(Debug, Serialize, ToSchema)]
struct LogLine {
    /// Rising from 1 in this process.
    id: u64,
    at: String,
    /// `TRACE`, `DEBUG`, `INFO`, `WARN` or `ERROR`.
    level: &'static str,
    /// The module that wrote it.
    target: String,
    message: String,
    /// User name of the operator in whose request it was written.
    user: Option<String>,
    /// Of the request it was written in.
    request_id: Option<String>,
    fields: BTreeMap<String, String>,
}

impl From<&Line> for LogLine {
    fn from(line: &Line) -> Self {
        Self {
            id: line.id,
            at: line.at_text(),
            level: line.level.as_str(),
            target: line.target.clone(),
            message: line.message.clone(),
            user: line.user.clone(),
            request_id: line.request_id.clone(),
            fields: line.fields.iter().cloned().collect(),
        }
    }
}

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// That level and worse: `TRACE`, `DEBUG`, `INFO`, `WARN` (or `WARNING`), `ERROR`.
    level: Option<String>,
    /// A module, such as `steward::gateway`, with everything below it.
    source: Option<String>,
    /// Stands somewhere in the line, in whatever case.
    keyword: Option<String>,
    /// The same as `keyword`.
    q: Option<String>,
}

impl Which {
    fn filter(self, range: TimeRange) -> Result<Filter, ApiError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let level = match given(self.level) {
            None => None,
            Some(name) => Some(Level::parse(&name).ok_or_else(|| {
                ApiError::new(ErrorCode::RequestInvalid)
                    .field("level", "must be TRACE, DEBUG, INFO, WARN or ERROR")
            })?),
        };
        Ok(Filter {
            level,
            target: given(self.source),
            keyword: given(self.keyword)
                .or_else(|| given(self.q))
                .map(|word| word.to_lowercase()),
            from: range.from,
            to: range.to,
        })
    }
}

/// Lines, newest first.
#[utoipa::path(tag = "system logs", params(Which, RangeQuery, PageQuery), responses((status = 200, body = Page<LogLine>)))]
#[get("/ops/logs/query")]
async fn query(
    state: web::Data<AppState>,
    caller: Can<ReadLogs>,
    which: Query<Which>,
    range: TimeRange,
    page: PageRequest,
) -> Result<Json<Page<LogLine>>, ApiError> {
    check::whole_installation(&caller)?;
    let Query(which) = which;
    let filter = which.filter(range)?;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let offset = usize::try_from(page.offset).unwrap_or(usize::MAX);
    let before = page.after::<u64>()?;
    let many = limit.saturating_add(offset).saturating_add(1);
    let found = state.tree.logs.read(&filter, before, many);
    let rest = found.get(offset..).unwrap_or_default();
    let shown = &rest[..rest.len().min(limit)];
    Ok(Json(Page {
        items: shown.iter().map(|line| LogLine::from(&**line)).collect(),
        next_cursor: match shown.last() {
            Some(last) if rest.len() > limit => Some(page::cursor(&last.id)),
            _ => None,
        },
        total: Some(state.tree.logs.count(&filter) as u64),
        total_is_exact: true,
    }))
}

/// How many lines of which kind there are.
#[derive(Debug, Serialize, ToSchema)]
struct LogStats {
    total: u64,
    /// By level.
    levels: BTreeMap<&'static str, u64>,
    /// By module, those with most lines first.
    sources: Vec<SourceCount>,
    /// When the oldest line that is kept was written; null when there is none.
    kept_since: Option<String>,
    /// Lines since the process began that came too fast to be kept.
    dropped: u64,
}

/// A module and its lines.
#[derive(Debug, Serialize, ToSchema)]
struct SourceCount {
    source: String,
    count: u64,
}

/// Counts of the lines that pass.
#[utoipa::path(tag = "system logs", params(Which, RangeQuery), responses((status = 200, body = LogStats)))]
#[get("/ops/logs/stats")]
async fn stats(
    state: web::Data<AppState>,
    caller: Can<ReadLogs>,
    which: Query<Which>,
    range: TimeRange,
) -> Result<Json<LogStats>, ApiError> {
    check::whole_installation(&caller)?;
    let Query(which) = which;
    let lines = state
        .tree
        .logs
        .read(&which.filter(range)?, None, usize::MAX);
    let mut levels: BTreeMap<&'static str, u64> = Level::ALL
        .into_iter()
        .map(|level| (level.as_str(), 0))
        .collect();
    let mut by_source: BTreeMap<&str, u64> = BTreeMap::new();
    for line in &lines {
        *levels.entry(line.level.as_str()).or_default() += 1;
        *by_source.entry(&line.target).or_default() += 1;
    }
    let mut sources: Vec<SourceCount> = by_source
        .into_iter()
        .map(|(source, count)| SourceCount {
            source: source.to_owned(),
            count,
        })
        .collect();
    sources.sort_by_key(|source| std::cmp::Reverse(source.count));
    sources.truncate(SOURCES_MAX);
    let (oldest, dropped) = state.tree.logs.reach();
    Ok(Json(LogStats {
        total: lines.len() as u64,
        levels,
        sources,
        kept_since: oldest.map(rfc3339),
        dropped,
    }))
}

/// Every kept line that passes, one JSON object a line, oldest first.
#[utoipa::path(tag = "system logs", params(Which, RangeQuery, TicketParam), responses(
    (status = 200, description = "A file of lines.", body = String, content_type = "application/x-ndjson"),
))]
#[get("/ops/logs/export")]
async fn export(
    state: web::Data<AppState>,
    caller: Can<ReadLogs>,
    which: Query<Which>,
    range: TimeRange,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let Query(which) = which;
    let lines = state
        .tree
        .logs
        .read(&which.filter(range)?, None, usize::MAX);
    let mut text = String::new();
    for line in lines.iter().rev() {
        text.push_str(&serde_json::to_string(&**line).map_err(ApiError::internal)?);
        text.push('\n');
    }
    let day = &rfc3339(state.clock.now_micros())[..10];
    let name = format!("attachment; filename=\"steward-log-{day}.jsonl\"");
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_DISPOSITION, name))
        .insert_header(ContentType(
            "application/x-ndjson".parse().map_err(ApiError::internal)?,
        ))
        .body(text))
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use serde_json::json;
    use steward_actors::log_feed::{Level, Line};

    use crate::testing::{Ask, START, World};

    fn line(level: Level, target: &str, message: &str) -> Line {
        Line {
            id: 0,
            at: START,
            level,
            target: target.into(),
            message: message.into(),
            user: Some("ada".into()),
            request_id: None,
            fields: vec![("error".into(), "broken pipe".into())],
        }
    }

    #[actix_web::test]
    async fn lines_are_listed_counted_and_exported() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let feed = &world.state.tree.logs;
        for n in 0..5 {
            feed.push(line(Level::Info, "steward::gateway", &format!("call {n}")));
        }
        feed.push(line(Level::Warn, "steward::http", "slow"));
        feed.push(line(Level::Error, "sqlx", "Lost"));
        feed.collect();
        let get = |path: &str| Ask::get(&format!("/api/v1/ops/logs/{path}")).bearer(&root);
        let bad = get("query?level=warning").to(&app).await;
        assert_eq!(
            (
                &bad.body["total"],
                bad.body["items"].as_array().unwrap().len()
            ),
            (&json!(2), 2)
        );
        let newest = &bad.body["items"][0];
        assert_eq!(
            (&newest["message"], &newest["level"]),
            (&json!("Lost"), &json!("ERROR"))
        );
        assert_eq!(
            (&newest["user"], &newest["fields"]["error"]),
            (&json!("ada"), &json!("broken pipe"))
        );
        // The same line as it is pushed.
        let pushed = serde_json::to_value(&*feed.read(&Default::default(), None, 1)[0]).unwrap();
        assert_eq!(&pushed, newest);
        let first = get("query?source=steward&limit=4").to(&app).await;
        assert_eq!(first.body["total"], 6);
        let cursor = first.body["next_cursor"].as_str().unwrap();
        let second = get(&format!("query?source=steward&limit=4&cursor={cursor}"))
            .to(&app)
            .await;
        assert_eq!(second.body["items"][1]["message"], "call 0");
        assert_eq!(second.body["next_cursor"], json!(null));
        assert_eq!(get("query?q=LOST").to(&app).await.body["total"], 1);
        assert_eq!(get("query?range=24h").to(&app).await.body["total"], 7);
        assert_eq!(
            get("query?level=loud").to(&app).await.status,
            StatusCode::BAD_REQUEST
        );
        let stats = get("stats").to(&app).await.body;
        assert_eq!(
            (&stats["levels"]["INFO"], &stats["levels"]["DEBUG"]),
            (&json!(5), &json!(0))
        );
        assert_eq!(
            stats["sources"][0],
            json!({"source": "steward::gateway", "count": 5})
        );
        let file = get("export?level=WARN").to(&app).await;
        assert!(
            file.header("content-disposition")
                .contains("steward-log-2026-03-15.jsonl")
        );
        assert_eq!(file.text.lines().count(), 2);
        assert!(file.text.starts_with('{') && file.text.contains("\"slow\""));
    }

    #[actix_web::test]
    async fn only_who_may_read_all_logs_reads_them() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let path = "/api/v1/ops/logs/query";
        assert_eq!(
            Ask::get(path).to(&app).await.status,
            StatusCode::UNAUTHORIZED
        );
        let tenant = world.signed_in_of_tenant("tina", "ops_viewer", 1).await;
        assert_eq!(
            Ask::get(path).bearer(&tenant).to(&app).await.status,
            StatusCode::FORBIDDEN
        );
    }
}
