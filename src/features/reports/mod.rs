//! Saved reports: which days, calls, rows and numbers; counted when somebody asks or a schedule does, told to a channel.
//!
//! | method | path | permission |
//! |---|---|---|
//! | GET | `/reports` | `read:reports` |
//! | POST | `/reports` | `write:reports` |
//! | GET | `/reports/{id}` | `read:reports` |
//! | PATCH, DELETE | `/reports/{id}` | `write:reports` |
//! | POST | `/reports/{id}/run` | `write:reports`, `read:stats` |
//! | GET | `/reports/{id}/runs`, `/reports/{id}/runs/{run}` | `read:reports`, `read:stats` |
//! | GET | `/reports/export` | `read:reports`, `read:stats` |
//!
//! Counting is a job ([`run`]) by the finders of `stats`; what is due is the `reporter`'s to ask for, and telling it the
//! notifier's. Operators of a tenant have reports of their own, of their tenant's days; rankings and channels span tenants.

mod input;
mod run;
#[cfg(test)]
mod tests;
mod view;

use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use actix_web::{HttpResponse, delete, get, patch, post, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sea_orm::ActiveValue::Set;
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use steward_actors::domain::report::{Definition, Group, page};
use steward_actors::reports::{self, Ask, fitting, next_after};
use steward_actors::tree::upkeep::job_runner::Wake;
use steward_entities::scope::Scope;
use steward_entities::{channel, report, report_run};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use crate::error::{ApiError, ErrorCode};
use crate::http::caller::Caller;
use crate::http::change::{Audit, Change, refused};
use crate::http::check::text;
use crate::http::download::TicketParam;
use crate::http::extract::{Json, Query};
use crate::http::job::JobView;
use crate::http::money::CurrencyCode;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::patch::nullable;
use crate::http::permission::{Can, ReadReports, ReadStats, WriteReports};
use crate::http::precondition::{IfMatch, Tagged};
use crate::state::AppState;

use input::{ReportFilters, ReportGroup, ReportLanguage, ReportSchedule, ReportSort, Said};
pub(crate) use run::CountReport;
use view::{ReportView, RunTold, RunView};

const NAME_MAX: usize = 120;
const REPORTS_MAX: u64 = 500;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(list)
        .service(create)
        // Before the one that takes any id.
        .service(export)
        .service(show)
        .service(update)
        .service(remove)
        .service(run_now)
        .service(runs)
        .service(run_told);
}

/// A report to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewReport {
    #[schema(min_length = 1, max_length = 120)]
    name: String,
    /// `1d` to `366d` (whole days up to yesterday), `last_week`, `last_month`, `this_month`, or two dates such as
    /// `2026-01-01..2026-01-31`; `7d` unless given.
    range: Option<String>,
    /// Whose date decides which days those are, and whose clock when it is due; the installation's unless given.
    time_zone: Option<String>,
    filters: Option<ReportFilters>,
    #[schema(inline)]
    group_by: ReportGroup,
    /// `requests` unless given.
    #[schema(inline)]
    sort: Option<ReportSort>,
    /// Rows; 100 unless given.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// As statistics name them; requests, tokens and cost unless given.
    #[schema(min_items = 1)]
    columns: Option<Vec<String>>,
    /// What costs are told in; what the installation is set to unless given.
    #[schema(inline)]
    currency: Option<CurrencyCode>,
    /// `en` unless given.
    #[schema(inline)]
    language: Option<ReportLanguage>,
    schedule: Option<ReportSchedule>,
    channel_id: Option<String>,
    enabled: Option<bool>,
}

/// What to change of a report. A field that is missing stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReportChanges {
    #[schema(min_length = 1, max_length = 120)]
    name: Option<String>,
    range: Option<String>,
    time_zone: Option<String>,
    filters: Option<ReportFilters>,
    #[schema(inline)]
    group_by: Option<ReportGroup>,
    #[schema(inline)]
    sort: Option<ReportSort>,
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    #[schema(min_items = 1)]
    columns: Option<Vec<String>>,
    /// Null: what the installation is set to.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<CurrencyCode>, inline)]
    currency: Option<Option<CurrencyCode>>,
    #[schema(inline)]
    language: Option<ReportLanguage>,
    /// Null takes it away.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<ReportSchedule>)]
    schedule: Option<Option<ReportSchedule>>,
    /// Null: nobody is told.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    channel_id: Option<Option<String>>,
    enabled: Option<bool>,
}

/// What to do with what is counted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RunAsked {
    /// Whether the report's channel is told.
    #[serde(default)]
    deliver: bool,
}

/// A run that was asked for, and the job that counts.
#[derive(Debug, Serialize, ToSchema)]
struct ReportRunAccepted {
    run: RunView,
    job: JobView,
}

/// Reports, newest first.
#[utoipa::path(tag = "reports", params(PageQuery), responses((status = 200, body = Page<ReportView>)))]
#[get("/reports")]
async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadReports>,
    page: PageRequest,
) -> Result<Json<Page<ReportView>>, ApiError> {
    let (read, scope) = (&state.databases.control_read, caller.operator.scope());
    let rows = report::list(read, scope, page.rows()?).await?;
    let total = report::count(read, scope).await?;
    let page = Page::of(rows, &page, Some(total), |row| row.id, |row| row);
    Ok(Json(Page {
        items: view::of(read, page.items).await?,
        next_cursor: page.next_cursor,
        total: page.total,
        total_is_exact: page.total_is_exact,
    }))
}

/// Makes a report. With a schedule it is due from the next time on that the schedule names.
#[utoipa::path(tag = "reports", responses((status = 201, body = ReportView)))]
#[post("/reports")]
async fn create(
    state: web::Data<AppState>,
    caller: Can<WriteReports>,
    _: Can<ReadStats>,
    Json(new): Json<NewReport>,
) -> Result<Tagged<ReportView>, ApiError> {
    let name = text("name", &new.name, 1, NAME_MAX)?;
    let said = Said {
        range: new.range,
        time_zone: new.time_zone,
        filters: new.filters,
        group_by: Some(new.group_by),
        sort: new.sort,
        limit: new.limit,
        columns: new.columns,
        currency: new.currency.map(Some),
        language: new.language,
    };
    let definition = said.new_definition(state.time_zone.name())?;
    let schedule = input::schedule(new.schedule)?;
    let change = Change::begin(&state, &caller).await?;
    if report::count(&*change, caller.operator.scope()).await? >= REPORTS_MAX {
        let why = format!("there are {REPORTS_MAX} reports already");
        return Err(ApiError::invalid("name", why));
    }
    may_be(&caller, &definition, new.channel_id.as_deref())?;
    known_channel(&*change, new.channel_id.as_deref()).await?;
    let (definition, enabled) = (stored(&definition)?, new.enabled.unwrap_or(true));
    let new = report::NewReport {
        tenant_id: caller.operator.tenant_id,
        name,
        next_at: due(enabled, schedule.as_ref(), &definition, change.now)?,
        definition,
        schedule,
        channel: new.channel_id,
        enabled,
        created_by: caller.operator.public_id.clone(),
    };
    let row = report::insert(&change, new, change.now)
        .await
        .map_err(refused("name"))?;
    let view = view::one(&*change, row).await?;
    let audit = Audit::of("reports.create", "report", &view.id).with("created", &view);
    let version = view.version;
    change.created(audit, version, view).await
}

/// One report.
#[utoipa::path(tag = "reports", responses((status = 200, body = ReportView)))]
#[get("/reports/{id}")]
async fn show(
    state: web::Data<AppState>,
    caller: Can<ReadReports>,
    id: web::Path<String>,
) -> Result<Tagged<ReportView>, ApiError> {
    let read = &state.databases.control_read;
    let view = view::one(read, find(read, &caller, &id).await?).await?;
    Ok(Tagged::ok(view.version, view))
}

/// Changes a report. When it is due next follows from its schedule as it is then.
#[utoipa::path(tag = "reports", responses((status = 200, body = ReportView)))]
#[patch("/reports/{id}")]
async fn update(
    state: web::Data<AppState>,
    caller: Can<WriteReports>,
    _: Can<ReadStats>,
    id: web::Path<String>,
    if_match: IfMatch,
    Json(changes): Json<ReportChanges>,
) -> Result<Tagged<ReportView>, ApiError> {
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &caller, &id).await?;
    if_match
        .check(row.version, &*change, "report", &row.public_id)
        .await?;
    let said = Said {
        range: changes.range,
        time_zone: changes.time_zone,
        filters: changes.filters,
        group_by: changes.group_by,
        sort: changes.sort,
        limit: changes.limit,
        columns: changes.columns,
        currency: changes.currency,
        language: changes.language,
    };
    let before_definition = view::definition_of(&row)?;
    let definition = said.over(before_definition.clone())?;
    let mut schedule_now = row.schedule.clone();
    let channel = changes.channel_id.clone().unwrap_or(row.channel.clone());
    may_be(&caller, &definition, channel.as_deref())?;
    let mut set = report::ActiveModel {
        definition: Set(stored(&definition)?),
        ..report::ActiveModel::default()
    };
    if let Some(name) = &changes.name {
        set.name = Set(text("name", name, 1, NAME_MAX)?);
    }
    if let Some(channel) = changes.channel_id {
        known_channel(&*change, channel.as_deref()).await?;
        // What was said of the one before is no longer true.
        set.last_error = Set(None);
        set.channel = Set(channel);
    }
    if let Some(enabled) = changes.enabled {
        set.enabled = Set(enabled);
    }
    if let Some(schedule) = changes.schedule {
        schedule_now = input::schedule(schedule)?;
        set.schedule = Set(schedule_now.clone());
    }
    // The same said again moves nothing: a turn that is due at this moment would be lost.
    let is_due_anew = schedule_now != row.schedule
        || changes
            .enabled
            .is_some_and(|enabled| enabled != row.enabled)
        || definition.zone() != before_definition.zone();
    if is_due_anew {
        let enabled = changes.enabled.unwrap_or(row.enabled);
        let definition = stored(&definition)?;
        set.next_at = Set(due(
            enabled,
            schedule_now.as_ref(),
            &definition,
            change.now,
        )?);
    }
    let changed = report::update(&change, &row, set, change.now)
        .await
        .map_err(refused("name"))?;
    let before = view::one(&*change, row).await?;
    let after = view::one(&*change, changed).await?;
    let audit = Audit::of("reports.update", "report", &after.id).diff(&before, &after);
    change.commit(audit).await?;
    Ok(Tagged::ok(after.version, after))
}

/// Removes a report and its runs. What is in the outbox of it is not sent any more.
#[utoipa::path(tag = "reports", responses((status = 204)))]
#[delete("/reports/{id}")]
async fn remove(
    state: web::Data<AppState>,
    caller: Can<WriteReports>,
    id: web::Path<String>,
    if_match: IfMatch,
) -> Result<HttpResponse, ApiError> {
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &caller, &id).await?;
    if_match
        .check(row.version, &*change, "report", &row.public_id)
        .await?;
    report::remove(&change, &row).await?;
    let audit = Audit::of("reports.remove", "report", &row.public_id).with("name", &row.name);
    change.commit(audit).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Has a report counted now; with `deliver` its channel is told. When it is due next stays.
#[utoipa::path(tag = "reports", responses((status = 202, body = ReportRunAccepted)))]
#[post("/reports/{id}/run")]
async fn run_now(
    state: web::Data<AppState>,
    caller: Can<WriteReports>,
    _: Can<ReadStats>,
    id: web::Path<String>,
    Json(asked): Json<RunAsked>,
) -> Result<HttpResponse, ApiError> {
    let deliver = asked.deliver;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &caller, &id).await?;
    if report_run::waits(&*change, &row).await? {
        return Err(ApiError::new(ErrorCode::Conflict)
            .detail("A run of this report is waiting already; its numbers will be as new."));
    }
    if deliver {
        let found = reports::receiver(&*change, &row).await?;
        found.map_err(|why| ApiError::invalid("deliver", format!("is not possible: {why}")))?;
    }
    let ask = Ask {
        by: caller.operator.public_id.clone(),
        due_at: None,
        deliver,
    };
    let (run, job) = reports::queue(&change, &row, ask, change.now).await?;
    let audit = Audit::of("reports.run", "report", &row.public_id)
        .with("run", &run.public_id)
        .with("deliver", deliver);
    let run = view::runs(&*change, vec![run]).await?.pop();
    let body = ReportRunAccepted {
        run: run.ok_or_else(|| ApiError::internal("the run is not there"))?,
        job: job.into(),
    };
    let answer = change.accepted(audit, body).await?;
    // It would look by itself in a second; that it cannot be told is no failure.
    let _ = state.tree.job_runner.try_send(Wake);
    Ok(answer)
}

/// Runs of a report, newest first; the latest 50 are kept.
#[utoipa::path(tag = "reports", params(PageQuery), responses((status = 200, body = Page<RunView>)))]
#[get("/reports/{id}/runs")]
async fn runs(
    state: web::Data<AppState>,
    caller: Can<ReadReports>,
    _: Can<ReadStats>,
    id: web::Path<String>,
    page: PageRequest,
) -> Result<Json<Page<RunView>>, ApiError> {
    let read = &state.databases.control_read;
    let report = find(read, &caller, &id).await?;
    let rows = report_run::list(read, &report, page.rows()?).await?;
    let total = report_run::count(read, &report).await?;
    let page = Page::of(rows, &page, Some(total), |row| row.id, |row| row);
    Ok(Json(Page {
        items: view::runs(read, page.items).await?,
        next_cursor: page.next_cursor,
        total: page.total,
        total_is_exact: page.total_is_exact,
    }))
}

/// One run, with what it counted.
#[utoipa::path(
    tag = "reports",
    params(("id" = String, Path), ("run" = String, Path)),
    responses((status = 200, body = RunTold))
)]
#[get("/reports/{id}/runs/{run}")]
async fn run_told(
    state: web::Data<AppState>,
    caller: Can<ReadReports>,
    _: Can<ReadStats>,
    path: web::Path<(String, String)>,
) -> Result<Json<RunTold>, ApiError> {
    let read = &state.databases.control_read;
    let (id, run) = path.into_inner();
    let report = find(read, &caller, &id).await?;
    let run = report_run::of_report(read, &report, &run).await?;
    let run = run.ok_or_else(|| ApiError::not_found("run"))?;
    Ok(Json(view::told(read, run).await?))
}

/// What the file is written in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ReportFormat {
    /// A line a row.
    Csv,
    /// The page that is mailed, pictures included.
    Html,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct How {
    /// Ids of the report and of its run.
    report: String,
    run: String,
    #[param(inline)]
    format: ReportFormat,
    /// CSV: begin with a byte-order mark, by which spreadsheets know UTF-8.
    #[serde(default)]
    bom: bool,
}

/// What a run counted, as a file.
#[utoipa::path(
    tag = "reports",
    params(How, TicketParam),
    responses(
        (status = 200, content((String = "text/csv"), (String = "text/html"))),
        (status = 404, description = "There is no such report, or no such run of it.", body = crate::error::problem::Problem, content_type = "application/problem+json"),
    )
)]
#[get("/reports/export")]
async fn export(
    state: web::Data<AppState>,
    caller: Can<ReadReports>,
    _: Can<ReadStats>,
    how: Query<How>,
) -> Result<HttpResponse, ApiError> {
    let read = &state.databases.control_read;
    let report = find(read, &caller, &how.report).await?;
    let run = report_run::of_report(read, &report, &how.run).await?;
    let run = run.ok_or_else(|| ApiError::not_found("run"))?;
    if run.result.is_none() {
        return Err(ApiError::new(ErrorCode::NotFound).detail("This run has counted nothing."));
    }
    let letter = reports::letter(
        &report.public_id,
        &run,
        state.report_link(&report.public_id),
    );
    let letter = letter.map_err(ApiError::internal)?;
    let (media_type, name, body) = match how.format {
        ReportFormat::Csv => (
            "text/csv; charset=utf-8",
            letter.file_name("csv"),
            letter.table.csv(how.bom),
        ),
        ReportFormat::Html => {
            let name = letter.file_name("html");
            // Drawing takes a worker's while.
            let drawn = web::block(move || {
                let charts = page::charts(&letter.table, letter.language);
                let images = charts.iter().map(page::Chart::png);
                let images = images.collect::<Result<Vec<_>, _>>()?;
                let source = |at: usize| {
                    let image = images.get(at).map(|image| STANDARD.encode(image));
                    format!("data:image/png;base64,{}", image.unwrap_or_default())
                };
                Ok::<_, String>(page::html(&letter.table, letter.head(), source))
            });
            let page = drawn.await.map_err(ApiError::internal)?;
            let page = page.map_err(ApiError::internal)?;
            ("text/html; charset=utf-8", name, page)
        }
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, media_type))
        .insert_header((
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ))
        .body(body))
}

async fn find(
    connection: &impl ConnectionTrait,
    caller: &Caller,
    id: &str,
) -> Result<report::Model, ApiError> {
    report::by_public_id(connection, caller.operator.scope(), id)
        .await?
        .ok_or_else(|| ApiError::not_found("report"))
}

fn stored(definition: &Definition) -> Result<Value, ApiError> {
    serde_json::to_value(definition).map_err(ApiError::internal)
}

/// Refuses what spans tenants to operators of one.
fn may_be(caller: &Caller, definition: &Definition, channel: Option<&str>) -> Result<(), ApiError> {
    let is_theirs = definition.group_by == Group::Day && channel.is_none();
    match caller.operator.scope() {
        Scope::Tenant(_) if !is_theirs => Err(ApiError::new(ErrorCode::Forbidden).detail(
            "Rankings and channels span tenants: a tenant's report has a row a day and is told to nobody.",
        )),
        _ => Ok(()),
    }
}

/// The channel that is to be told must be there, and take reports. That it is disabled for now is no reason.
async fn known_channel(
    connection: &impl ConnectionTrait,
    id: Option<&str>,
) -> Result<(), ApiError> {
    let Some(id) = id else { return Ok(()) };
    let refused = |why: String| ApiError::invalid("channel_id", why);
    let found = channel::by_public_id(connection, id).await?;
    let found = found.ok_or_else(|| refused("is no channel".to_owned()))?;
    let enabled = channel::Model {
        enabled: true,
        ..found
    };
    fitting(Some(&enabled)).map_err(|_| refused("takes alerts only".to_owned()))
}

/// When a report is due next, as it is now.
fn due(
    enabled: bool,
    schedule: Option<&Value>,
    definition: &Value,
    now: i64,
) -> Result<Option<i64>, ApiError> {
    if !enabled {
        return Ok(None);
    }
    next_after(schedule, definition, now).map_err(ApiError::internal)
}
