//! Counting a report, as a job: by the statistics' own finders, once for a run however often the job is started.

use std::sync::{Arc, Weak};
use std::time::Duration;

use actix_web::web;
use async_trait::async_trait;
use serde_json::{Value, json};
use steward_actors::domain::report::Definition;
use steward_actors::domain::report::table::Table;
use steward_actors::jobs::{JobContext, JobKind};
use steward_actors::reports;
use steward_entities::scope::Scope;
use steward_entities::{report, report_run};
use tokio::sync::SetOnce;

use crate::error::ApiError;
use crate::state::AppState;

/// How long a database that does not answer is waited for; other jobs wait as long.
const AGAIN: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(20),
    Duration::from_secs(60),
];

/// The kind of job. Where it counts is known only when everything else is up.
#[derive(Clone, Default)]
pub(crate) struct CountReport(Arc<SetOnce<Weak<AppState>>>);

impl CountReport {
    /// From now on reports can be counted.
    pub(crate) fn open(&self, state: &web::Data<AppState>) {
        // A second time says nothing new.
        let _ = self.0.set(Arc::downgrade(&state.clone().into_inner()));
    }
}

#[async_trait]
impl JobKind for CountReport {
    fn kind(&self) -> &str {
        reports::RUN
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        let state = self.0.wait().await.upgrade();
        let state = state.ok_or("the process is stopping")?;
        let run_id = context.params.get("run_id").and_then(Value::as_str);
        let run_id = run_id.unwrap_or_default().to_owned();
        let databases = state.databases.clone();
        let work = async move { Ok(perform(&state, &run_id).await) };
        let done = databases.at_home(work).await;
        done.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// Counts the run and ends it. What the database does not do fails the job, and the reporter then ends the run.
pub(super) async fn perform(state: &AppState, run_id: &str) -> Result<Value, String> {
    let failed = |error: sea_orm::DbErr| {
        tracing::warn!(%error, "a report could not be counted");
        "the database could not be read or written".to_owned()
    };
    let read = &state.databases.control_read;
    let run = report_run::by_public_id(read, run_id)
        .await
        .map_err(failed)?;
    let run = run.ok_or("the report was removed")?;
    if run.state != report_run::QUEUED {
        return Ok(json!({ "run_id": run.public_id }));
    }
    let report = report::of_run(read, &run).await.map_err(failed)?;
    let report = report.ok_or("the report was removed")?;
    let counted = counted(state, &report, &run).await;
    let error = counted.as_ref().err().cloned();
    let rows = counted.as_ref().map_or(0, |table| table.rows.len());
    let link = state.report_link(&report.public_id);
    let now = state.clock.now_micros();
    reports::finish(&state.databases, &run, counted, link, now)
        .await
        .map_err(failed)?;
    match error {
        Some(why) => Err(why),
        None => Ok(json!({ "run_id": run.public_id, "rows": rows })),
    }
}

/// The table, or why there is none. What may pass by itself is waited for: the turn of a schedule comes once.
async fn counted(
    state: &AppState,
    report: &report::Model,
    run: &report_run::Model,
) -> Result<Table, String> {
    let definition: Definition = match serde_json::from_value(run.definition.clone()) {
        Ok(definition) => definition,
        Err(cause) => return Err(format!("the report cannot be read: {cause}")),
    };
    let mut waits = AGAIN.iter();
    loop {
        let error = match count(state, report, run, &definition).await {
            Ok(table) => return Ok(table),
            Err(error) => error,
        };
        match waits.next() {
            Some(wait) if error.code().status() >= 500 => {
                tracing::warn!(%error, report = report.public_id, "a report could not be counted; trying again");
                tokio::time::sleep(*wait).await;
            }
            _ => return Err(error.sentence()),
        }
    }
}

async fn count(
    state: &AppState,
    report: &report::Model,
    run: &report_run::Model,
    definition: &Definition,
) -> Result<Table, ApiError> {
    // What a schedule asked for late tells of the days it was asked about.
    let asked_at = run.due_at.unwrap_or(run.created_at);
    let dates = definition.range.dates(definition.zone(), asked_at);
    let scope = report.tenant_id.map_or(Scope::All, Scope::Tenant);
    state.report_table(scope, definition, dates).await
}

impl AppState {
    /// Where the console shows a report; empty when its address is not known.
    pub(super) fn report_link(&self, report: &str) -> String {
        match self.config.alerts.console_url.trim_end_matches('/') {
            "" => String::new(),
            console => format!("{console}/reports/{report}"),
        }
    }
}
