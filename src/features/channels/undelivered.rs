//! Notices that nobody got: given up, or put aside because they cannot be read. They stay listed until somebody sends
//! them again or decides that they are not needed.

use std::collections::HashMap;

use actix_web::{get, post, web};
use sea_orm::ConnectionTrait;
use serde::Serialize;
use steward_actors::{alert_book, reports};
use steward_entities::outbox::{self, Stale};
use steward_entities::{alert, channel, report_run};
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorCode};
use crate::http::change::{Audit, Change};
use crate::http::check;
use crate::http::extract::Json;
use crate::http::page::{Page, PageQuery, PageRequest};
use crate::http::permission::{Can, ReadNotifications, WriteNotifications};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// A notice that its channel's receiver does not have.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NoticeShown {
    /// The same on every attempt, also when it is sent again.
    id: String,
    /// `given_up` (never taken, or too old), `quarantined` (it cannot be read); `waiting` once it is sent again, and
    /// `discarded`.
    state: String,
    /// Why.
    reason: Option<String>,
    /// `alert` or `report`.
    kind: &'static str,
    /// Name of the alert's rule, or of the report; null when that is gone.
    subject: Option<String>,
    /// `fired`, `resolved` and the like; null of a report, and where the notice cannot be read.
    event: Option<&'static str>,
    /// Public id of the incident, or of the report's run.
    incident_id: String,
    channel_id: Option<String>,
    channel_name: Option<String>,
    attempts: i64,
    /// Since when it was to be told.
    created_at: String,
    /// Since when it is no longer tried.
    done_at: Option<String>,
}

async fn subject(
    connection: &impl ConnectionTrait,
    row: &outbox::Model,
) -> Result<Option<String>, ApiError> {
    Ok(match reports::is_letter(row) {
        true => report_run::by_public_id(connection, &row.incident)
            .await?
            .map(|run| run.name),
        false => alert::by_public_id(connection, &row.incident)
            .await?
            .map(|incident| incident.rule),
    })
}

async fn shown(
    connection: &impl ConnectionTrait,
    rows: Vec<outbox::Model>,
) -> Result<Vec<NoticeShown>, ApiError> {
    let channels: HashMap<i64, channel::Model> = channel::all(connection)
        .await?
        .into_iter()
        .map(|channel| (channel.id, channel))
        .collect();
    // Many notices of few incidents: each is looked up once.
    let mut subjects: HashMap<String, Option<String>> = HashMap::new();
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let name = match subjects.get(&row.incident) {
            Some(known) => known.clone(),
            None => {
                let found = subject(connection, &row).await?;
                subjects.insert(row.incident.clone(), found.clone());
                found
            }
        };
        let is_letter = reports::is_letter(&row);
        let notice = (!is_letter).then(|| alert_book::notice_of(&row).ok());
        let channel = channels.get(&row.channel_id);
        all.push(NoticeShown {
            kind: if is_letter { "report" } else { "alert" },
            subject: name,
            event: notice.flatten().map(|notice| notice.event.as_str()),
            channel_id: channel.map(|channel| channel.public_id.clone()),
            channel_name: channel.map(|channel| channel.name.clone()),
            id: row.public_id,
            state: row.state,
            reason: row.reason,
            incident_id: row.incident,
            attempts: row.attempts,
            created_at: rfc3339(row.created_at),
            done_at: row.done_at.map(rfc3339),
        });
    }
    Ok(all)
}

async fn find(connection: &impl ConnectionTrait, id: &str) -> Result<outbox::Model, ApiError> {
    let rows = outbox::by_public_ids(connection, [id.to_owned()]).await?;
    rows.into_iter()
        .next()
        .ok_or_else(|| ApiError::not_found("notice"))
}

async fn one(
    connection: &impl ConnectionTrait,
    row: outbox::Model,
) -> Result<Json<NoticeShown>, ApiError> {
    let mut rows = shown(connection, vec![row]).await?;
    rows.pop()
        .map(Json)
        .ok_or_else(|| ApiError::not_found("notice"))
}

/// Commits what was done to a notice, `row` as it was before, and to those that it went with; as it is now.
async fn committed(
    change: Change<'_>,
    action: &'static str,
    row: &outbox::Model,
    together: Vec<String>,
) -> Result<Json<NoticeShown>, ApiError> {
    let answer = one(&*change, find(&*change, &row.public_id).await?).await?;
    let audit = Audit::of(action, "notice", &row.public_id)
        .with("state", &row.state)
        .with("reason", &row.reason)
        .with("channel", &answer.0.channel_id)
        .with("notices", together);
    change.commit(audit).await?;
    Ok(answer)
}

fn conflict(why: &'static str) -> ApiError {
    ApiError::new(ErrorCode::Conflict).detail(why)
}

/// Notices that were given up or put aside, of every channel, newest first.
#[utoipa::path(tag = "channels", params(PageQuery), responses((status = 200, body = Page<NoticeShown>)))]
#[get("/ops/alerts/notices/undelivered")]
pub(super) async fn list_undelivered(
    state: web::Data<AppState>,
    caller: Can<ReadNotifications>,
    page: PageRequest,
) -> Result<Json<Page<NoticeShown>>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let rows = outbox::undelivered(read, page.rows()?).await?;
    let total = outbox::count_undelivered(read).await?;
    let cut = Page::of(rows, &page, Some(total), |row| row.id, |row| row);
    Ok(Json(Page {
        items: shown(read, cut.items).await?,
        next_cursor: cut.next_cursor,
        total: cut.total,
        total_is_exact: cut.total_is_exact,
    }))
}

/// Lets a notice wait for its channel again, under the same id; notices it was one message with go with it, but for those
/// that would tell what is no longer so. Doing it again
/// changes nothing. 409 when that would tell what is no longer so: after a later notice of the incident, or after its end.
#[utoipa::path(tag = "channels", responses((status = 200, body = NoticeShown)))]
#[post("/ops/alerts/notices/{id}/send")]
pub(super) async fn send_undelivered(
    state: web::Data<AppState>,
    caller: Can<WriteNotifications>,
    id: web::Path<String>,
) -> Result<Json<NoticeShown>, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if row.state == outbox::WAITING {
        return one(&*change, row).await;
    }
    match outbox::stale(&*change, &row).await? {
        Some(Stale::Overtaken) => {
            return Err(conflict(
                "The receiver has a later notice of this incident: this one can be discarded only.",
            ));
        }
        Some(Stale::Over) => {
            return Err(conflict(
                "The incident is over, and the receiver would not be told so: this notice can be discarded only.",
            ));
        }
        None => {}
    }
    let sent = outbox::send_again(&change, &row, change.now).await?;
    if sent.is_empty() {
        return Err(conflict("It was delivered or discarded already."));
    }
    let answer = committed(change, "notices.send", &row, sent).await?;
    state.tree.alerts.filled.notify_one();
    Ok(answer)
}

/// Takes a notice off the list, unsent for good. Doing it again changes nothing.
#[utoipa::path(tag = "channels", responses((status = 200, body = NoticeShown)))]
#[post("/ops/alerts/notices/{id}/discard")]
pub(super) async fn discard_undelivered(
    state: web::Data<AppState>,
    caller: Can<WriteNotifications>,
    id: web::Path<String>,
) -> Result<Json<NoticeShown>, ApiError> {
    check::whole_installation(&caller)?;
    let change = Change::begin(&state, &caller).await?;
    let row = find(&*change, &id).await?;
    if row.state == outbox::DISCARDED {
        return one(&*change, row).await;
    }
    if !outbox::discard(&change, row.id).await? {
        return Err(conflict("It waits to be sent, or was delivered."));
    }
    let alone = vec![row.public_id.clone()];
    committed(change, "notices.discard", &row, alone).await
}
