//! Reports and their runs as the API shows them.

use std::collections::{BTreeMap, HashMap};

use sea_orm::ConnectionTrait;
use serde::Serialize;
use steward_actors::domain::report::Definition;
use steward_actors::domain::report::schedule::Schedule;
use steward_actors::domain::report::table::{Numbers, Table};
use steward_actors::reports::fitting;
use steward_entities::{channel, outbox, report, report_run};
use utoipa::ToSchema;

use super::input::{ReportFilters, ReportGroup, ReportLanguage, ReportSchedule, ReportSort};
use crate::error::ApiError;
use crate::http::range::rfc3339;

/// A saved report.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Report)]
pub(super) struct ReportView {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) definition: DefinitionView,
    /// Null: it runs when somebody asks.
    pub(super) schedule: Option<ReportSchedule>,
    /// Where it is told; null: nowhere.
    pub(super) channel_id: Option<String>,
    /// The channel's name; null without one, or when it was removed.
    channel_name: Option<String>,
    pub(super) enabled: bool,
    /// Null while it is disabled or has no schedule.
    #[schema(format = DateTime)]
    next_run_at: Option<String>,
    #[schema(format = DateTime)]
    last_run_at: Option<String>,
    /// Why the last run, or its delivery, failed; or why the next cannot be delivered.
    last_error: Option<String>,
    last_run: Option<RunView>,
    created_by: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    pub(super) version: i64,
}

/// What a report tells.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportDefinition)]
pub(super) struct DefinitionView {
    /// `7d` (whole days up to yesterday), `last_week`, `last_month`, `this_month`, or `2026-01-01..2026-01-31`.
    range: String,
    /// Whose date decides which days those are, and whose clock when it is due. Days begin where the statistics' do.
    time_zone: String,
    filters: ReportFilters,
    #[schema(inline)]
    group_by: ReportGroup,
    #[schema(inline)]
    sort: ReportSort,
    limit: u64,
    /// As statistics name them.
    columns: Vec<String>,
    /// What costs are told in; null: what the installation is set to.
    currency: Option<String>,
    #[schema(inline)]
    language: ReportLanguage,
}

impl From<Definition> for DefinitionView {
    fn from(definition: Definition) -> Self {
        let columns = definition.columns.iter();
        Self {
            range: definition.range.to_string(),
            columns: columns.map(|column| column.name().to_owned()).collect(),
            time_zone: definition.time_zone,
            filters: definition.filters.into(),
            group_by: definition.group_by.into(),
            sort: definition.sort.into(),
            limit: definition.limit,
            currency: definition.currency,
            language: definition.language.into(),
        }
    }
}

/// How far a run's notice has come.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportDelivery)]
struct DeliveryView {
    /// `waiting`, `delivered`, `given_up`, `quarantined` or `discarded` as in the outbox; `refused` when there was nobody to tell;
    /// `unknown` when it is no longer in the outbox.
    state: String,
    /// Why it waits, or was not delivered.
    reason: Option<String>,
    #[schema(format = DateTime)]
    done_at: Option<String>,
}

/// A run of a report.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportRun)]
pub(super) struct RunView {
    pub(super) id: String,
    /// `queued`, `done` or `failed`.
    state: String,
    error: Option<String>,
    job_id: String,
    /// When the schedule asked; null when somebody did.
    #[schema(format = DateTime)]
    due_at: Option<String>,
    row_count: Option<i64>,
    /// Null when nobody is told.
    delivery: Option<DeliveryView>,
    /// Id of an operator, or `scheduler`.
    created_by: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    finished_at: Option<String>,
}

/// A run with what it counted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportRunTold)]
pub(super) struct RunTold {
    #[serde(flatten)]
    run: RunView,
    /// Null until it is counted.
    table: Option<TableView>,
}

/// What a run counted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportTable)]
struct TableView {
    /// The first day and the last.
    from: String,
    to: String,
    /// Whose days they are.
    time_zone: String,
    /// The last day was over when it was counted.
    is_complete: bool,
    /// Earlier calls were still being counted: what lies behind is told too low.
    is_backfilling: bool,
    currency: String,
    #[schema(inline)]
    group_by: ReportGroup,
    columns: Vec<String>,
    rows: Vec<RowView>,
    /// There are more that lead less.
    is_truncated: bool,
    /// Of all calls, not only of the rows'; by the names of the columns.
    #[schema(value_type = HashMap<String, Value>)]
    totals: Numbers,
    /// Every day, with the numbers that are drawn.
    days: Vec<DayView>,
}

/// One of those that a report tells apart.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportRow)]
struct RowView {
    /// A date, or a name; empty for calls that had none.
    name: String,
    id: Option<String>,
    /// Of a model.
    provider: Option<String>,
    /// By the names of the columns.
    #[schema(value_type = HashMap<String, Value>)]
    values: Numbers,
}

/// A day of the charts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportDay)]
struct DayView {
    date: String,
    #[schema(value_type = HashMap<String, Value>)]
    values: Numbers,
}

impl From<Table> for TableView {
    fn from(table: Table) -> Self {
        let columns = table.columns.iter();
        let rows = table.rows.into_iter().map(|row| RowView {
            name: row.name,
            id: row.id,
            provider: row.provider,
            values: row.values,
        });
        let days = table.days.into_iter().map(|day| DayView {
            date: day.date,
            values: day.values,
        });
        Self {
            columns: columns.map(|column| column.name().to_owned()).collect(),
            from: table.from,
            to: table.to,
            time_zone: table.time_zone,
            is_complete: table.is_complete,
            is_backfilling: table.is_backfilling,
            currency: table.currency,
            group_by: table.group_by.into(),
            rows: rows.collect(),
            is_truncated: table.is_truncated,
            totals: table.totals,
            days: days.collect(),
        }
    }
}

/// What a report's row tells.
pub(super) fn definition_of(row: &report::Model) -> Result<Definition, ApiError> {
    serde_json::from_value(row.definition.clone()).map_err(ApiError::internal)
}

/// Outbox rows of these runs, by their public ids.
async fn notices(
    connection: &impl ConnectionTrait,
    runs: &[report_run::Model],
) -> Result<HashMap<String, outbox::Model>, ApiError> {
    let ids: Vec<String> = runs
        .iter()
        .filter_map(|run| run.message_id.clone())
        .collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = outbox::by_public_ids(connection, ids).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.public_id.clone(), row))
        .collect())
}

fn run_view(row: report_run::Model, notices: &HashMap<String, outbox::Model>) -> RunView {
    let delivery = match (&row.message_id, row.delivery_error) {
        (Some(id), _) => Some(match notices.get(id) {
            Some(notice) => DeliveryView {
                state: notice.state.clone(),
                reason: notice.reason.clone(),
                done_at: notice.done_at.map(rfc3339),
            },
            None => DeliveryView {
                state: "unknown".to_owned(),
                reason: None,
                done_at: None,
            },
        }),
        (None, Some(why)) => Some(DeliveryView {
            state: "refused".to_owned(),
            reason: Some(why),
            done_at: row.finished_at.map(rfc3339),
        }),
        (None, None) => None,
    };
    RunView {
        id: row.public_id,
        state: row.state,
        error: row.error,
        job_id: row.job_id,
        due_at: row.due_at.map(rfc3339),
        row_count: row.result_rows,
        delivery,
        created_by: row.created_by,
        created_at: rfc3339(row.created_at),
        finished_at: row.finished_at.map(rfc3339),
    }
}

/// Runs, without what they counted.
pub(super) async fn runs(
    connection: &impl ConnectionTrait,
    rows: Vec<report_run::Model>,
) -> Result<Vec<RunView>, ApiError> {
    let notices = notices(connection, &rows).await?;
    Ok(rows
        .into_iter()
        .map(|row| run_view(row, &notices))
        .collect())
}

/// A run with what it counted.
pub(super) async fn told(
    connection: &impl ConnectionTrait,
    row: report_run::Model,
) -> Result<RunTold, ApiError> {
    let notices = notices(connection, std::slice::from_ref(&row)).await?;
    let table = row.result.clone().map(serde_json::from_value::<Table>);
    let table = table.transpose().map_err(ApiError::internal)?;
    Ok(RunTold {
        run: run_view(row, &notices),
        table: table.map(Into::into),
    })
}

/// Reports with how their latest runs went.
pub(super) async fn of(
    connection: &impl ConnectionTrait,
    rows: Vec<report::Model>,
) -> Result<Vec<ReportView>, ApiError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let channels = channel::all(connection).await?;
    let ids = rows.iter().map(|row| row.id);
    let latest = report_run::latest(connection, ids).await?;
    let notices = notices(connection, &latest).await?;
    let mut latest: BTreeMap<i64, RunView> = latest
        .into_iter()
        .map(|run| (run.report_id, run_view(run, &notices)))
        .collect();
    rows.into_iter()
        .map(|row| view(&channels, latest.remove(&row.id), row))
        .collect()
}

fn view(
    channels: &[channel::Model],
    last_run: Option<RunView>,
    row: report::Model,
) -> Result<ReportView, ApiError> {
    let definition = definition_of(&row)?;
    let schedule = row.schedule.clone().map(serde_json::from_value::<Schedule>);
    let schedule = schedule.transpose().map_err(ApiError::internal)?;
    let channel = row.channel.as_ref().map(|id| {
        let found = channels.iter().find(|channel| channel.public_id == *id);
        (found.map(|channel| channel.name.clone()), fitting(found))
    });
    let (channel_name, fits) = channel.unwrap_or((None, Ok(())));
    let undelivered = last_run.as_ref().and_then(|run| {
        let delivery = run.delivery.as_ref()?;
        let is_lost = matches!(delivery.state.as_str(), "given_up" | "quarantined");
        delivery.reason.clone().filter(|_| is_lost)
    });
    Ok(ReportView {
        id: row.public_id,
        name: row.name,
        definition: definition.into(),
        schedule: schedule.map(Into::into),
        channel_id: row.channel,
        channel_name,
        enabled: row.enabled,
        next_run_at: row.next_at.map(rfc3339),
        last_run_at: row.last_run_at.map(rfc3339),
        last_error: fits.err().or(row.last_error).or(undelivered),
        last_run,
        created_by: row.created_by,
        created_at: rfc3339(row.created_at),
        updated_at: rfc3339(row.updated_at),
        version: row.version,
    })
}

/// One of them.
pub(super) async fn one(
    connection: &impl ConnectionTrait,
    row: report::Model,
) -> Result<ReportView, ApiError> {
    let view = of(connection, vec![row]).await?.pop();
    view.ok_or_else(|| ApiError::not_found("report"))
}
