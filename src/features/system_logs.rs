//! The process's own log, read in the console: without secrets, out of memory and table.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/ops/logs/query` | `read:logs` |
//! | GET | `/ops/logs/query/{id}` | `read:logs` |
//! | GET | `/ops/logs/stats` | `read:logs` |
//! | GET | `/ops/logs/export` | `read:logs` |
//!
//! The latest 10,000 lines (8 MiB at most) of this process are in memory, whatever their level; of every node, those of
//! the level of the setting `log.stored_level` and worse are in the table, for as many days as retention leaves them.
//! Here they are one list. Live they are the topics `logs:<LEVEL>`. What operators did is another log:
//! `/ops/logs/operations`.

use std::collections::BTreeMap;

use actix_web::http::header::{CONTENT_DISPOSITION, ContentType};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, get, web};
use futures_util::{TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use steward_actors::log_feed::{self, Level, Line};
use steward_entities::system_log::{self, Key};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::check;
use crate::http::download::TicketParam;
use crate::http::extract::{Json, Query};
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadLogs};
use crate::http::range::{RangeQuery, TimeRange, rfc3339};
use crate::state::AppState;

/// Sources that are told with their number.
const SOURCES_MAX: usize = 20;
/// Stored lines that are counted for a page's total.
const COUNTED_MAX: u64 = 10_000;
/// Lines of one step of an export.
const STEP_LINES: usize = 1_000;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(query)
        .service(show)
        .service(stats)
        .service(export);
}

/// A line of the log.
#[derive(Debug, Serialize, ToSchema)]
struct LogLine {
    /// Its number and its node.
    id: String,
    #[schema(format = DateTime)]
    at: String,
    /// `TRACE`, `DEBUG`, `INFO`, `WARN` or `ERROR`.
    level: String,
    /// The module that wrote it.
    target: String,
    message: String,
    /// User name of the operator in whose request it was written.
    user: Option<String>,
    /// Of the request or call that it was written in or is about.
    request_id: Option<String>,
    fields: BTreeMap<String, String>,
    #[serde(skip)]
    key: Key,
}

impl From<&Line> for LogLine {
    fn from(line: &Line) -> Self {
        Self {
            id: line.name(),
            at: line.at_text(),
            level: line.level.as_str().to_owned(),
            target: line.target.clone(),
            message: line.message.clone(),
            user: line.user.clone(),
            request_id: line.request_id.clone(),
            fields: line.fields.iter().cloned().collect(),
            key: (line.id, i64::from(line.node)),
        }
    }
}

impl From<system_log::Model> for LogLine {
    fn from(row: system_log::Model) -> Self {
        Self {
            key: row.key(),
            id: format!("{}-{}", row.line, row.node),
            at: rfc3339(row.at),
            level: row.level,
            target: row.target,
            message: row.message,
            user: row.user_id,
            request_id: row.request_id,
            fields: row.fields.0,
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
    /// User name of the operator in whose request it was written.
    user: Option<String>,
    /// Id of a request or call.
    request_id: Option<String>,
}

/// The same question to memory and to the table.
#[derive(Clone)]
struct Asked {
    memory: log_feed::Filter,
    table: system_log::Filter,
}

impl Which {
    fn asked(self, range: TimeRange) -> Result<Asked, ApiError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let level = match given(self.level) {
            None => None,
            Some(name) => Some(Level::parse(&name).ok_or_else(|| {
                ApiError::new(ErrorCode::RequestInvalid)
                    .field("level", "must be TRACE, DEBUG, INFO, WARN or ERROR")
            })?),
        };
        let memory = log_feed::Filter {
            level,
            target: given(self.source),
            keyword: given(self.keyword)
                .or_else(|| given(self.q))
                .map(|word| word.to_lowercase()),
            user: given(self.user),
            request_id: given(self.request_id),
            from: range.from,
            to: range.to,
        };
        let worse = |least: Level| {
            let all = Level::ALL.into_iter();
            all.filter(|level| *level >= least)
                .map(Level::as_str)
                .collect()
        };
        let table = system_log::Filter {
            levels: level.map(worse),
            target: memory.target.clone(),
            keyword: memory.keyword.clone(),
            user: memory.user.clone(),
            request_id: memory.request_id.clone(),
            from: range.from,
            to: range.to,
            beside: None,
        };
        Ok(Asked { memory, table })
    }
}

impl Asked {
    /// What memory holds of it, and the question to the table for the rest.
    fn in_memory(
        &self,
        state: &AppState,
        after: Option<Key>,
        limit: usize,
    ) -> (log_feed::Found, system_log::Filter) {
        let node = i64::from(state.config.node.id);
        let before = after.map(|(line, its)| if node < its { line + 1 } else { line });
        let found = state.tree.logs.read(&self.memory, before, limit);
        let rest = system_log::Filter {
            beside: found.oldest.map(|line| (line, node)),
            ..self.table.clone()
        };
        (found, rest)
    }

    /// Lines, newest first, older than `after`; how many there are in all is asked by the way.
    async fn lines(
        &self,
        state: &AppState,
        after: Option<Key>,
        limit: usize,
    ) -> Result<(Vec<LogLine>, usize, system_log::Filter), ApiError> {
        let (found, rest) = self.in_memory(state, after, limit);
        let read = &state.databases.events_read;
        let most = u64::try_from(limit).unwrap_or(u64::MAX);
        let stored = system_log::list(read, &rest, after, most).await?;
        let mut lines: Vec<LogLine> = found
            .lines
            .iter()
            .map(|line| LogLine::from(&**line))
            .collect();
        lines.extend(stored.into_iter().map(LogLine::from));
        lines.sort_unstable_by_key(|line| std::cmp::Reverse(line.key));
        lines.truncate(limit);
        Ok((lines, found.count, rest))
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
    let asked = which.asked(range)?;
    let many = page.limit + page.offset + 1;
    let many = usize::try_from(many).unwrap_or(usize::MAX);
    let (lines, in_memory, rest) = asked.lines(&state, page.after::<Key>()?, many).await?;
    let read = &state.databases.events_read;
    let stored = system_log::count(read, &rest, COUNTED_MAX).await?;
    let total = in_memory as u64 + stored;
    let mut answer = Page::of(lines, &page, Some(total), |line| line.key, |line| line);
    answer.total_is_exact = stored < COUNTED_MAX;
    Ok(Json(answer))
}

/// The key that `id` names; nothing for what is no line's id.
fn key_of(id: &str) -> Option<Key> {
    let (line, node) = id.split_once('-')?;
    Some((line.parse().ok()?, node.parse().ok()?))
}

/// One line, wherever in the list it stands: as long as it is in memory or stored.
#[utoipa::path(tag = "system logs", params(("id" = String, Path, description = "As the list has it.")), responses((status = 200, body = LogLine)))]
#[get("/ops/logs/query/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadLogs>,
    id: web::Path<String>,
) -> Result<Json<LogLine>, ApiError> {
    check::whole_installation(&caller)?;
    let missing = || ApiError::not_found("line");
    let (line, node) = key_of(&id).ok_or_else(missing)?;
    if node == i64::from(state.config.node.id)
        && let Some(kept) = state.tree.logs.line(line)
    {
        return Ok(Json(LogLine::from(&*kept)));
    }
    let stored = system_log::by_key(&state.databases.events_read, (line, node)).await?;
    Ok(Json(stored.map(LogLine::from).ok_or_else(missing)?))
}

/// How many lines of which kind there are.
#[derive(Debug, Serialize, ToSchema)]
struct LogStats {
    total: u64,
    /// By level.
    levels: BTreeMap<String, u64>,
    /// By module, those with most lines first.
    sources: Vec<SourceCount>,
    /// When the oldest line that is there was written; null when there is none.
    #[schema(format = DateTime)]
    kept_since: Option<String>,
    /// When the oldest line of every level was written: of those before, only what is stored is there.
    #[schema(format = DateTime)]
    complete_since: Option<String>,
    /// That level and worse is stored.
    stored_level: &'static str,
    /// Lines since the process began that came too fast to be kept.
    dropped: u64,
    /// Lines since the process began that are not in the table and should be: they came too fast, or the database took
    /// none for too long.
    not_stored: u64,
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
    let (found, rest) = which.asked(range)?.in_memory(&state, None, usize::MAX);
    let read = &state.databases.events_read;
    let mut levels: BTreeMap<String, u64> = Level::ALL
        .into_iter()
        .map(|level| (level.as_str().to_owned(), 0))
        .collect();
    let mut by_source: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = |level: &str, source: &str, many: u64| {
        *levels.entry(level.to_owned()).or_default() += many;
        *by_source.entry(source.to_owned()).or_default() += many;
    };
    for line in &found.lines {
        count(line.level.as_str(), &line.target, 1);
    }
    for (level, source, many) in system_log::sums(read, &rest).await? {
        count(&level, &source, many.unsigned_abs());
    }
    let mut sources: Vec<SourceCount> = by_source
        .into_iter()
        .map(|(source, count)| SourceCount { source, count })
        .collect();
    sources.sort_by_key(|source| std::cmp::Reverse(source.count));
    sources.truncate(SOURCES_MAX);
    let feed = &state.tree.logs;
    let complete_since = feed.kept_since();
    let stored_since = system_log::oldest(read).await?;
    let losses = feed.losses();
    Ok(Json(LogStats {
        total: levels.values().sum(),
        levels,
        sources,
        kept_since: [complete_since, stored_since]
            .into_iter()
            .flatten()
            .min()
            .map(rfc3339),
        complete_since: complete_since.map(rfc3339),
        stored_level: state.settings.load().stored_level.as_str(),
        dropped: losses.dropped,
        not_stored: losses.not_stored,
    }))
}

/// Every line that passes, one JSON object a line, in the order of the list: newest first.
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
    let asked = which.asked(range)?;
    let day = &rfc3339(state.clock.now_micros())[..10];
    let name = format!("attachment; filename=\"steward-log-{day}.jsonl\"");
    let begun: Place = Some((state, asked, None));
    let steps = stream::try_unfold(begun, |place| async move {
        let Some((state, asked, after)) = place else {
            return Ok(None);
        };
        step(state, asked, after).await.map(Some)
    });
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_DISPOSITION, name))
        .insert_header(ContentType(
            "application/x-ndjson".parse().map_err(ApiError::internal)?,
        ))
        .streaming(steps.map_err(|cause: ApiError| {
            tracing::warn!(%cause, "an export of the log broke off");
            actix_web::Error::from(cause)
        })))
}

/// Where an export stands; none: its end has left.
type Place = Option<(web::Data<AppState>, Asked, Option<Key>)>;

/// The next lines of a file.
async fn step(
    state: web::Data<AppState>,
    asked: Asked,
    after: Option<Key>,
) -> Result<(Bytes, Place), ApiError> {
    let (lines, ..) = asked.lines(&state, after, STEP_LINES).await?;
    let mut text = String::new();
    for line in &lines {
        text.push_str(&serde_json::to_string(line).map_err(ApiError::internal)?);
        text.push('\n');
    }
    let next = lines.last().filter(|_| lines.len() == STEP_LINES);
    let after = next.map(|last| last.key);
    Ok((
        Bytes::from(text),
        after.map(|after| (state, asked, Some(after))),
    ))
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use serde_json::json;
    use steward_actors::log_feed::{Level, Line};
    use steward_entities::column::TextMap;
    use steward_entities::system_log::{self, NewLine};

    use crate::testing::{Ask, START, World};

    fn line(level: Level, target: &str, message: &str) -> Line {
        Line {
            id: 0,
            node: 0,
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
        feed.collect(0);
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
        let latest = feed.read(&Default::default(), None, 1).lines;
        let pushed = serde_json::to_value(&*latest[0]).unwrap();
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
    async fn memory_and_table_are_one_list() {
        memory_and_table(World::sqlite().await).await;
    }

    #[actix_web::test]
    async fn memory_and_table_are_one_list_postgres() {
        memory_and_table(World::postgres().await).await;
    }

    /// What an earlier life and another node stored, and what this life has in memory, stored in part.
    async fn memory_and_table(world: World) {
        let app = world.app().await;
        let root = world.signed_in("root", "ops_admin").await;
        let stored = |line: i64, message: &str| NewLine {
            line,
            at: line,
            level: "WARN",
            target: "steward::gateway".into(),
            message: message.into(),
            user_id: Some("ada".into()),
            request_id: Some("req_7".into()),
            fields: TextMap([("n".to_owned(), "50 %".to_owned())].into()),
        };
        let events = &world.database.events;
        let earlier = vec![stored(START - 9, "old"), stored(START - 8, "older life")];
        system_log::insert(events, earlier, 0).await.unwrap();
        let elsewhere = vec![stored(START - 8, "elsewhere"), stored(START + 1, "beside")];
        system_log::insert(events, elsewhere, 3).await.unwrap();
        // In memory and stored: told once. Stored twice: there once.
        for _ in 0..2 {
            system_log::insert(events, vec![stored(START, "now")], 0)
                .await
                .unwrap();
        }
        let feed = &world.state.tree.logs;
        feed.push(line(Level::Warn, "steward::gateway", "now"));
        feed.push(Line {
            at: START + 5,
            ..line(Level::Info, "steward::http", "last")
        });
        feed.collect(0);
        let get = |path: &str| Ask::get(&format!("/api/v1/ops/logs/{path}")).bearer(&root);
        let mut messages = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = get(&format!("query?limit=2{cursor}")).to(&app).await;
            assert_eq!(page.body["total"], 6, "{page:?}");
            for item in page.body["items"].as_array().unwrap() {
                messages.push(item["message"].as_str().unwrap().to_owned());
            }
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(
            messages,
            ["last", "beside", "now", "elsewhere", "older life", "old"]
        );
        // Each of them, stored or in memory, is found by its id; and nothing else is.
        let all = get("query").to(&app).await.body;
        for line in all["items"].as_array().unwrap() {
            let id = line["id"].as_str().unwrap();
            let one = get(&format!("query/{id}")).to(&app).await;
            assert_eq!((one.status, &one.body), (StatusCode::OK, line), "{id}");
        }
        let unknown = format!("{START}-7");
        for id in [
            unknown.as_str(),
            "1",
            "1-",
            "-",
            "x-0",
            "9223372036854775808-0",
        ] {
            let none = get(&format!("query/{id}")).to(&app).await;
            assert_eq!(none.status, StatusCode::NOT_FOUND, "{id}");
            assert_eq!(none.body["code"], "not_found");
        }
        let third = get("query?limit=2&page=3").to(&app).await;
        assert_eq!(third.body["items"][1]["message"], "old");
        for (query, total) in [
            ("level=WARN", 5),
            ("level=ERROR", 0),
            ("source=steward::gateway", 5),
            ("source=steward%25", 0),
            ("q=OLD", 2),
            ("q=50%20%25", 4),
            ("q=50_%25", 0),
            ("user=ada", 6),
            ("user=bob", 0),
            ("request_id=req_7", 4),
            ("to=2026-03-15T18:30:00Z", 3),
            ("from=2026-03-15T18:30:00Z", 3),
        ] {
            let found = get(&format!("query?{query}")).to(&app).await;
            assert_eq!(found.body["total"], total, "{query}: {found:?}");
            let stats = get(&format!("stats?{query}")).to(&app).await;
            assert_eq!(stats.body["total"], total, "{query}: {stats:?}");
            let file = get(&format!("export?{query}")).to(&app).await;
            assert_eq!(file.text.lines().count(), total, "{query}");
        }
        let stats = get("stats").to(&app).await.body;
        assert_eq!(
            (&stats["levels"]["WARN"], &stats["stored_level"]),
            (&json!(5), &json!("WARN"))
        );
        assert_eq!(stats["kept_since"], "2026-03-15T18:29:59.999Z");
        assert_eq!(stats["complete_since"], "2026-03-15T18:30:00.000Z");
    }

    #[actix_web::test]
    async fn only_who_may_read_all_logs_reads_them() {
        let world = World::sqlite().await;
        let app = world.app().await;
        let tenant = world.signed_in_of_tenant("tina", "ops_viewer", 1).await;
        for path in ["query", "query/1-0", "stats", "export"] {
            let path = format!("/api/v1/ops/logs/{path}");
            assert_eq!(
                Ask::get(&path).to(&app).await.status,
                StatusCode::UNAUTHORIZED,
                "{path}"
            );
            assert_eq!(
                Ask::get(&path).bearer(&tenant).to(&app).await.status,
                StatusCode::FORBIDDEN,
                "{path}"
            );
        }
    }
}
