//! Reports on the books: a run is asked for with its job, and ends with its table, its notice and the report's last error —
//! each in one transaction.
//!
//! Counting is the front's, which keeps the statistics; carrying is the notifier's, which finds what to carry by the outbox
//! row. Such a row belongs to no alert: where theirs have the key of a step, it has the run's below zero.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use steward_entities::database::{Databases, begin_write};
use steward_entities::report_run::{self, NewRun, Outcome};
use steward_entities::{channel, job, outbox, report};

use crate::domain::notice::Kind;
use crate::domain::report::Definition;
use crate::domain::report::letter::{Letter, reaches};
use crate::domain::report::schedule::Schedule;
use crate::domain::report::table::Table;

/// The kind of the job that counts.
pub const RUN: &str = "reports.run";
/// Who asks for what is due.
pub const SCHEDULER: &str = "scheduler";
/// Reports of one look.
const LOOK_MAX: u64 = 100;

/// Who asks for a run, and what for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Public id of an operator, or [`SCHEDULER`].
    pub by: String,
    /// When the schedule asked.
    pub due_at: Option<i64>,
    /// Whether the report's channel is told.
    pub deliver: bool,
}

/// Queues a run and its job.
///
/// # Errors
/// When the database cannot be written.
pub async fn queue(
    txn: &DatabaseTransaction,
    report: &report::Model,
    ask: Ask,
    now: i64,
) -> Result<(report_run::Model, job::Model), DbErr> {
    let public_id = report_run::new_id();
    let params = json!({ "report_id": report.public_id, "run_id": public_id });
    let job = job::insert(txn, RUN, params, ask.by.clone(), now).await?;
    let new = NewRun {
        public_id,
        job_id: job.public_id.clone(),
        due_at: ask.due_at,
        deliver: ask.deliver,
        created_by: ask.by,
    };
    let run = report_run::insert(txn, report, new, now).await?;
    Ok((run, job))
}

/// What the outbox keeps of a letter: the rest is the run's.
#[derive(Deserialize, Serialize)]
struct Kept {
    run: String,
    link: String,
}

/// Ends a run with what was counted, and puts it into the outbox if it is to be delivered. A run that has ended stays as it
/// is.
///
/// # Errors
/// When the database cannot be written.
pub async fn finish(
    databases: &Databases,
    run: &report_run::Model,
    counted: Result<Table, String>,
    link: String,
    now: i64,
) -> Result<(), DbErr> {
    let txn = begin_write(&databases.control).await?;
    let now_run = report_run::by_public_id(&txn, &run.public_id).await?;
    if now_run.is_none_or(|run| run.state != report_run::QUEUED) {
        return Ok(());
    }
    let Some(report) = report::of_run(&txn, run).await? else {
        return Ok(());
    };
    let mut outcome = Outcome::default();
    match counted {
        Ok(table) => {
            outcome.rows = i64::try_from(table.rows.len()).ok();
            let result = serde_json::to_value(table);
            outcome.result = Some(result.map_err(|cause| DbErr::Json(cause.to_string()))?);
        }
        Err(why) => outcome.error = Some(why),
    }
    if run.deliver && outcome.error.is_none() {
        match receiver(&txn, &report).await? {
            Ok(channel) => {
                let kept = Kept {
                    run: run.public_id.clone(),
                    link,
                };
                let new = outbox::NewNotice {
                    transition_id: -run.id,
                    channel_id: channel.id,
                    incident: run.public_id.clone(),
                    notice: serde_json::to_string(&kept).unwrap_or_default(),
                };
                outcome.message_id = Some(outbox::insert(&txn, new, now).await?.public_id);
            }
            Err(why) => outcome.delivery_error = Some(why),
        }
    }
    let problem = outcome.error.clone().or(outcome.delivery_error.clone());
    if !report_run::finish(&txn, run.id, outcome, now).await? {
        return Ok(());
    }
    report::ran(&txn, report.id, problem.as_deref(), now).await?;
    report_run::prune(&txn, report.id).await?;
    txn.commit().await?;
    if let Some(why) = problem {
        tracing::warn!(report = report.name, why, "a report was not told");
    }
    Ok(())
}

/// The channel that a report is told to, or why there is none.
///
/// # Errors
/// When the database cannot be read.
pub async fn receiver(
    connection: &impl ConnectionTrait,
    report: &report::Model,
) -> Result<Result<channel::Model, String>, DbErr> {
    let Some(id) = &report.channel else {
        return Ok(Err("the report names no channel".to_owned()));
    };
    let found = channel::by_public_id(connection, id).await?;
    Ok(match (fitting(found.as_ref()), found) {
        (Ok(()), Some(channel)) => Ok(channel),
        (Err(why), _) => Err(why),
        (Ok(()), None) => Err("the channel was removed".to_owned()),
    })
}

/// Whether a channel can be told of reports now.
///
/// # Errors
/// Why not.
pub fn fitting(channel: Option<&channel::Model>) -> Result<(), String> {
    match channel {
        None => Err("the channel was removed: choose another".to_owned()),
        Some(channel) if !channel.enabled => {
            let why = channel.disabled_reason.as_deref();
            let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
            Err(format!("the channel {} is disabled{why}", channel.name))
        }
        Some(channel) if !reaches(Kind::parse(&channel.kind)) => {
            Err(format!("the channel {} takes alerts only", channel.name))
        }
        Some(_) => Ok(()),
    }
}

/// Whether an outbox row is a report's.
pub fn is_letter(row: &outbox::Model) -> bool {
    row.transition_id < 0
}

/// What an outbox row of a report tells, or why that cannot be read.
///
/// # Errors
/// When the database cannot be read.
pub async fn letter_of(
    connection: &impl ConnectionTrait,
    row: &outbox::Model,
) -> Result<Result<Letter, String>, DbErr> {
    let kept: Kept = match serde_json::from_str(&row.notice) {
        Ok(kept) => kept,
        Err(cause) => return Ok(Err(format!("the notice cannot be read: {cause}"))),
    };
    let gone = || Ok(Err("the run of the report was removed".to_owned()));
    let Some(run) = report_run::by_public_id(connection, &kept.run).await? else {
        return gone();
    };
    let Some(report) = report::of_run(connection, &run).await? else {
        return gone();
    };
    Ok(letter(&report.public_id, &run, kept.link))
}

/// A run as it is told, or why it cannot be read.
///
/// # Errors
/// A sentence: it has not been counted, or a newer program wrote it.
pub fn letter(report: &str, run: &report_run::Model, link: String) -> Result<Letter, String> {
    let unreadable = |cause: serde_json::Error| format!("the run cannot be read: {cause}");
    let result = run.result.clone().ok_or("the run was not counted")?;
    let definition: Definition =
        serde_json::from_value(run.definition.clone()).map_err(unreadable)?;
    Ok(Letter {
        report: report.to_owned(),
        run: run.public_id.clone(),
        title: run.name.clone(),
        language: definition.language,
        link,
        at: run.finished_at.unwrap_or(run.created_at),
        table: serde_json::from_value(result).map_err(unreadable)?,
    })
}

/// When what is defined and scheduled so is due next.
///
/// # Errors
/// A sentence: a newer program, or somebody by hand, wrote it.
pub fn next_after(
    schedule: Option<&Value>,
    definition: &Value,
    now: i64,
) -> Result<Option<i64>, String> {
    let Some(schedule) = schedule else {
        return Ok(None);
    };
    let unreadable = |cause: serde_json::Error| format!("the schedule cannot be read: {cause}");
    let schedule = Schedule::deserialize(schedule).map_err(unreadable)?;
    let definition = Definition::deserialize(definition).map_err(unreadable)?;
    Ok(schedule.next_after(definition.zone(), now))
}

/// One look: queues what is due at `now`, once each, and ends runs whose job ended without them. How many were queued.
///
/// A report that was due several times while nobody looked is due once.
///
/// # Errors
/// When the database cannot be read or written.
pub async fn look(databases: &Databases, now: i64) -> Result<usize, DbErr> {
    let read = &databases.control_read;
    let mut queued = 0;
    for report in report::due(read, now, LOOK_MAX).await? {
        // One that cannot be asked for keeps none of the others waiting.
        match turn(databases, &report, now).await {
            Ok(is_queued) => queued += usize::from(is_queued),
            Err(error) => {
                tracing::warn!(report = report.public_id, %error, "a report cannot be asked for; trying again soon");
            }
        }
    }
    for run in report_run::queued(read, LOOK_MAX).await? {
        let job = job::by_public_id(read, &run.job_id).await?;
        let why = match job {
            Some(job) if !job.state.is_final() => continue,
            Some(job) => job
                .error
                .unwrap_or_else(|| format!("its job was {}", job.state.as_str())),
            None => "its job was removed".to_owned(),
        };
        finish(databases, &run, Err(why), String::new(), now).await?;
    }
    Ok(queued)
}

/// The turn of a report that is due; whether a run of it was queued.
async fn turn(databases: &Databases, report: &report::Model, now: i64) -> Result<bool, DbErr> {
    let next = next_after(report.schedule.as_ref(), &report.definition, now);
    let txn = begin_write(&databases.control).await?;
    let next_at = next.as_ref().ok().copied().flatten();
    if !report::take_turn(&txn, report, next_at).await? {
        return Ok(false);
    }
    let is_queued = match next {
        // On a clock that went back the same turn can come twice: it was asked for.
        Ok(_) if report_run::was_due(&txn, report, report.next_at).await? => false,
        Ok(_) => {
            let ask = Ask {
                by: SCHEDULER.to_owned(),
                due_at: report.next_at,
                deliver: true,
            };
            queue(&txn, report, ask, now).await?;
            true
        }
        Err(why) => {
            report::ran(&txn, report.id, Some(&why), now).await?;
            false
        }
    };
    txn.commit().await?;
    Ok(is_queued)
}
