//! The bell: what channels were told or would have been, and how far the caller has read it.

use std::collections::{BTreeMap, HashMap};

use actix_web::{get, post, web};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use steward_entities::database::begin_write;
use steward_entities::{alert, alert_transition, notification_read};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::check;
use crate::http::extract::Json;
use crate::http::page::{PageQuery, PageRequest};
use crate::http::permission::{Can, ReadAlerts};
use crate::http::range::rfc3339;
use crate::state::AppState;

/// Something that was told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Notification {
    /// Rises: say how far you have read with it.
    number: i64,
    alert_id: String,
    /// `fired`, `resolved`, `acknowledged`, `repeated` or `flapping`.
    event: String,
    at: String,
    rule: String,
    severity: String,
    labels: BTreeMap<String, String>,
    condition: String,
    value: String,
    unread: bool,
}

/// A page of what was told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Notifications {
    items: Vec<Notification>,
    /// Ask for what follows with `?cursor=`; null on the last page.
    next_cursor: Option<String>,
    /// Told since the caller last read.
    unread: u64,
}

/// How far the caller has read.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadTo {
    /// Number of the last one seen.
    #[schema(minimum = 0)]
    number: i64,
}

/// What is left.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Unread {
    unread: u64,
}

/// What was told lately, newest first, and how much of it the caller has not read.
#[utoipa::path(tag = "notifications", params(PageQuery), responses((status = 200, body = Notifications)))]
#[get("/notifications")]
pub(super) async fn list(
    state: web::Data<AppState>,
    caller: Can<ReadAlerts>,
    page: PageRequest,
) -> Result<Json<Notifications>, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let rows = alert_transition::ringing(read, page.rows()?).await?;
    let ids: Vec<i64> = rows.iter().map(|row| row.alert_id).collect();
    let alerts = alert::by_ids(read, ids).await?;
    let alerts: HashMap<i64, alert::Model> = alerts.into_iter().map(|row| (row.id, row)).collect();
    let read_to = notification_read::read_to(read, caller.operator.id).await?;
    let shown = |row: alert_transition::Model| {
        let alert = alerts.get(&row.alert_id);
        Notification {
            unread: row.id > read_to,
            number: row.id,
            alert_id: alert.map(|it| it.public_id.clone()).unwrap_or_default(),
            event: row.event,
            at: rfc3339(row.at),
            rule: alert.map(|it| it.rule.clone()).unwrap_or_default(),
            severity: alert.map(|it| it.severity.clone()).unwrap_or_default(),
            labels: alert.map(|it| it.labels.0.clone()).unwrap_or_default(),
            condition: alert.map(|it| it.condition.clone()).unwrap_or_default(),
            value: row.value,
        }
    };
    let page = crate::http::page::Page::of(rows, &page, None, |row| row.id, shown);
    Ok(Json(Notifications {
        items: page.items,
        next_cursor: page.next_cursor,
        unread: alert_transition::rang_after(read, read_to).await?,
    }))
}

/// Says how far the caller has read. It never goes back, and no audit row tells of it.
#[utoipa::path(tag = "notifications", responses((status = 200, body = Unread)))]
#[post("/notifications/read")]
pub(super) async fn mark_read(
    state: web::Data<AppState>,
    caller: Can<ReadAlerts>,
    Json(to): Json<ReadTo>,
) -> Result<Json<Unread>, ApiError> {
    check::whole_installation(&caller)?;
    let txn = begin_write(&state.databases.control).await?;
    let newest = newest(&txn).await?;
    let before = notification_read::read_to(&txn, caller.operator.id).await?;
    let read_to = to.number.min(newest).max(before);
    notification_read::put(&txn, caller.operator.id, read_to).await?;
    let unread = alert_transition::rang_after(&txn, read_to).await?;
    txn.commit().await?;
    Ok(Json(Unread { unread }))
}

/// What does not exist yet cannot have been read.
async fn newest(connection: &impl ConnectionTrait) -> Result<i64, ApiError> {
    let first = steward_entities::scope::Page {
        after: None,
        limit: 1,
    };
    let rows = alert_transition::ringing(connection, first).await?;
    Ok(rows.first().map_or(0, |row| row.id))
}
