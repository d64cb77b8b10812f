//! The outbox: notices that wait for their channel. A row is written with the step it tells of, or not at all, and
//! leaves the state `waiting` only when the receiver has it or it is given up for a reason that stays readable.

use std::collections::BTreeSet;

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{DatabaseTransaction, PaginatorTrait, QueryOrder, QuerySelect};

use crate::scope::Page;
use crate::{alert, alert_transition, channel, public_id};

/// It waits, or is being tried.
pub const WAITING: &str = "waiting";
/// The receiver has it.
pub const DELIVERED: &str = "delivered";
/// The receiver will never take it, or it became too old.
pub const GIVEN_UP: &str = "given_up";
/// It cannot be read, or cannot be written for its channel.
pub const QUARANTINED: &str = "quarantined";
/// It was one of the two before, and an operator decided that it is not to be sent any more.
pub const DISCARDED: &str = "discarded";

/// What ended without its receiver having it, and without anybody having looked at it.
const UNDELIVERED: [&str; 2] = [GIVEN_UP, QUARANTINED];

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The notice's id: the same on every attempt.
    pub public_id: String,
    /// The step of an alert that it tells of; below zero the run of a report.
    pub transition_id: i64,
    pub channel_id: i64,
    /// Public id of the incident: notices of one go out in order.
    pub incident: String,
    /// What is told, as JSON.
    pub notice: String,
    /// One of the constants above.
    pub state: String,
    pub attempts: i64,
    /// Not before this time.
    pub next_at: i64,
    /// Why it waits, was given up or put aside.
    pub reason: Option<String>,
    pub created_at: i64,
    pub done_at: Option<i64>,
    /// Id of the message it goes out with: of several notices the same, and the same on every attempt. Set before the
    /// first one; programs get each notice by itself, under its own id.
    pub batch: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A notice for a channel.
#[derive(Clone, Debug)]
pub struct NewNotice {
    pub transition_id: i64,
    pub channel_id: i64,
    pub incident: String,
    pub notice: String,
}

/// Puts a notice in, to go out at once.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: NewNotice,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        public_id: Set(public_id::new("msg")),
        transition_id: Set(new.transition_id),
        channel_id: Set(new.channel_id),
        incident: Set(new.incident),
        notice: Set(new.notice),
        state: Set(WAITING.to_owned()),
        attempts: Set(0),
        next_at: Set(at_micros),
        created_at: Set(at_micros),
        ..Default::default()
    };
    row.insert(txn).await
}

/// What waits for a channel, oldest first: at most so many.
///
/// # Errors
/// When the database cannot be read.
pub async fn waiting(
    connection: &impl ConnectionTrait,
    channel_id: i64,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::ChannelId.eq(channel_id))
        .filter(Column::State.eq(WAITING))
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(connection)
        .await
}

/// How many wait.
///
/// # Errors
/// When the database cannot be read.
pub async fn count_waiting(connection: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::State.eq(WAITING))
        .count(connection)
        .await
}

/// Whether anything is to be done at `now`: for one of these channels something is due, or something is older than
/// `too_old`.
///
/// # Errors
/// When the database cannot be read.
pub async fn is_due(
    connection: &impl ConnectionTrait,
    channels: &[i64],
    now: i64,
    too_old: i64,
) -> Result<bool, DbErr> {
    let due = Column::ChannelId
        .is_in(channels.iter().copied())
        .and(Column::NextAt.lte(now));
    let found = Entity::find()
        .filter(Column::State.eq(WAITING))
        .filter(due.or(Column::CreatedAt.lte(too_old)))
        .one(connection)
        .await?;
    Ok(found.is_some())
}

/// Whether a notice of an alert was due for one of these channels at `since`, and waits still. Reports may: alerts come
/// before them.
///
/// # Errors
/// When the database cannot be read.
pub async fn is_overdue(
    connection: &impl ConnectionTrait,
    channels: &[i64],
    since: i64,
) -> Result<bool, DbErr> {
    let found = Entity::find()
        .filter(Column::State.eq(WAITING))
        .filter(Column::ChannelId.is_in(channels.iter().copied()))
        .filter(Column::TransitionId.gt(0))
        .filter(Column::NextAt.lte(since))
        .one(connection)
        .await?;
    Ok(found.is_some())
}

/// Messages that a channel's receiver got since then.
///
/// # Errors
/// When the database cannot be read.
pub async fn messages_since(
    connection: &impl ConnectionTrait,
    channel_id: i64,
    since: i64,
) -> Result<usize, DbErr> {
    let rows: Vec<(Option<String>, String)> = Entity::find()
        .select_only()
        .column(Column::Batch)
        .column(Column::PublicId)
        .filter(Column::ChannelId.eq(channel_id))
        .filter(Column::State.eq(DELIVERED))
        .filter(Column::DoneAt.gte(since))
        .into_tuple()
        .all(connection)
        .await?;
    let messages: BTreeSet<String> = rows
        .into_iter()
        .map(|(batch, id)| batch.unwrap_or(id))
        .collect();
    Ok(messages.len())
}

/// These go out as one message from now on.
///
/// # Errors
/// When the database cannot be written.
pub async fn gather(txn: &DatabaseTransaction, ids: &[i64], batch: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Batch, Expr::value(batch))
        .filter(Column::Id.is_in(ids.iter().copied()))
        .filter(Column::State.eq(WAITING))
        .exec(txn)
        .await?;
    Ok(())
}

/// The latest of a channel, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_channel(
    connection: &impl ConnectionTrait,
    channel_id: i64,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::ChannelId.eq(channel_id))
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(connection)
        .await
}

/// The channels that have something of an incident, or will have it: not those that were given up on.
///
/// # Errors
/// When the database cannot be read.
pub async fn channels_of(
    connection: &impl ConnectionTrait,
    incident: &str,
) -> Result<BTreeSet<i64>, DbErr> {
    let rows: Vec<i64> = Entity::find()
        .select_only()
        .column(Column::ChannelId)
        .filter(Column::Incident.eq(incident))
        .filter(Column::State.is_in([WAITING, DELIVERED]))
        .into_tuple()
        .all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}

/// They were tried and wait for another attempt.
///
/// # Errors
/// When the database cannot be written.
pub async fn put_off(
    txn: &DatabaseTransaction,
    ids: &[i64],
    next_at: i64,
    reason: &str,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .col_expr(Column::NextAt, Expr::value(next_at))
        .col_expr(Column::Reason, Expr::value(reason))
        .filter(Column::Id.is_in(ids.iter().copied()))
        .filter(Column::State.eq(WAITING))
        .exec(txn)
        .await?;
    Ok(())
}

/// They were tried for the last time; `state` says how that ended.
///
/// # Errors
/// When the database cannot be written.
pub async fn finish(
    txn: &DatabaseTransaction,
    ids: &[i64],
    state: &'static str,
    reason: Option<&str>,
    at_micros: i64,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
        .col_expr(Column::State, Expr::value(state))
        .col_expr(Column::Reason, Expr::value(reason.map(str::to_owned)))
        .col_expr(Column::DoneAt, Expr::value(at_micros))
        .filter(Column::Id.is_in(ids.iter().copied()))
        .filter(Column::State.eq(WAITING))
        .exec(txn)
        .await?;
    Ok(())
}

/// Gives up everything that waits: how many notices.
///
/// # Errors
/// When the database cannot be written.
pub async fn give_up_all(
    txn: &DatabaseTransaction,
    reason: &str,
    at_micros: i64,
) -> Result<u64, DbErr> {
    let given_up = Entity::update_many()
        .col_expr(Column::State, Expr::value(GIVEN_UP))
        .col_expr(Column::Reason, Expr::value(reason))
        .col_expr(Column::DoneAt, Expr::value(at_micros))
        .filter(Column::State.eq(WAITING))
        .exec(txn)
        .await?;
    Ok(given_up.rows_affected)
}

/// Lets everything of a channel that waits go out at once: it was changed.
///
/// # Errors
/// When the database cannot be written.
pub async fn hurry(
    txn: &DatabaseTransaction,
    channel_id: i64,
    at_micros: i64,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::NextAt, Expr::value(at_micros))
        .filter(Column::ChannelId.eq(channel_id))
        .filter(Column::State.eq(WAITING))
        .exec(txn)
        .await?;
    channel::spare(txn, channel_id, None).await
}

/// Those of these public ids that there are.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_public_ids(
    connection: &impl ConnectionTrait,
    public_ids: impl IntoIterator<Item = String>,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::PublicId.is_in(public_ids))
        .all(connection)
        .await
}

/// What was given up or put aside, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn undelivered(
    connection: &impl ConnectionTrait,
    page: Page,
) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(Column::State.is_in(UNDELIVERED));
    page.of(query, Column::Id).all(connection).await
}

/// How much was given up or put aside.
///
/// # Errors
/// When the database cannot be read.
pub async fn count_undelivered(connection: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::State.is_in(UNDELIVERED))
        .count(connection)
        .await
}

/// Why a notice cannot be sent again although it was never delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stale {
    /// The receiver has a later one of the same incident: an alert must not begin after its end.
    Overtaken,
    /// The incident is over, and nothing waits for the channel that would say so after it.
    Over,
}

/// Whether it would still tell the truth if it were sent now; `None`: it would.
///
/// # Errors
/// When the database cannot be read.
pub async fn stale(connection: &impl ConnectionTrait, row: &Model) -> Result<Option<Stale>, DbErr> {
    let later: Vec<String> = Entity::find()
        .select_only()
        .column(Column::State)
        .filter(Column::ChannelId.eq(row.channel_id))
        .filter(Column::Incident.eq(row.incident.as_str()))
        .filter(Column::Id.gt(row.id))
        .into_tuple()
        .all(connection)
        .await?;
    if later.iter().any(|state| state == DELIVERED) {
        return Ok(Some(Stale::Overtaken));
    }
    if later.iter().any(|state| state == WAITING) {
        return Ok(None);
    }
    if row.transition_id < 0 {
        // A report has no end.
        return Ok(None);
    }
    let Some(incident) = alert::by_public_id(connection, &row.incident).await? else {
        // Only those that are over are ever removed.
        return Ok(Some(Stale::Over));
    };
    let Some(end) = incident.resolved_at else {
        return Ok(None);
    };
    // The step of the end is as old as the end; every other of the incident is older. The notice itself is as new as the last
    // time that it was sent again.
    let step = alert_transition::Entity::find_by_id(row.transition_id)
        .filter(alert_transition::Column::AlertId.eq(incident.id))
        .one(connection)
        .await?;
    let told_at = step.map_or(row.created_at, |step| step.at);
    Ok((end > told_at).then_some(Stale::Over))
}

/// Lets what was given up or put aside wait again, as if it had just come in, under its own id. A message of several that
/// nobody has goes again as that message, under the same id; without those of its notices that would tell what is no
/// longer so, the rest go as new messages. The ids of the notices that wait now; none: it was neither.
///
/// # Errors
/// When the database cannot be written.
pub async fn send_again(
    txn: &DatabaseTransaction,
    row: &Model,
    at_micros: i64,
) -> Result<Vec<String>, DbErr> {
    if !wait_again(txn, row, at_micros).await? {
        return Ok(Vec::new());
    }
    let mut sent = vec![row.public_id.clone()];
    let Some(message) = &row.batch else {
        return Ok(sent);
    };
    // The newest first: what it ends may begin.
    let others = Entity::find()
        .filter(Column::Batch.eq(message.as_str()))
        .filter(Column::ChannelId.eq(row.channel_id))
        .filter(Column::Id.ne(row.id))
        .order_by_desc(Column::Id)
        .all(txn)
        .await?;
    // A receiver that has a part takes the rest under the same id for a repetition.
    if row.state != GIVEN_UP || others.iter().any(|one| one.state != GIVEN_UP) {
        return Ok(sent);
    }
    for one in &others {
        if stale(txn, one).await?.is_none() && wait_again(txn, one, at_micros).await? {
            sent.push(one.public_id.clone());
        }
    }
    if sent.len() == others.len() + 1 {
        Entity::update_many()
            .col_expr(Column::Batch, Expr::value(message.as_str()))
            .filter(Column::PublicId.is_in(&sent))
            .exec(txn)
            .await?;
    }
    Ok(sent)
}

async fn wait_again(txn: &DatabaseTransaction, row: &Model, at_micros: i64) -> Result<bool, DbErr> {
    let waits = Entity::update_many()
        .col_expr(Column::State, Expr::value(WAITING))
        .col_expr(Column::Attempts, Expr::value(0_i64))
        .col_expr(Column::NextAt, Expr::value(at_micros))
        .col_expr(Column::CreatedAt, Expr::value(at_micros))
        .col_expr(Column::DoneAt, Expr::value(None::<i64>))
        .col_expr(Column::Batch, Expr::value(None::<String>))
        .filter(Column::Id.eq(row.id))
        .filter(Column::State.is_in(UNDELIVERED))
        .exec(txn)
        .await?;
    Ok(waits.rows_affected == 1)
}

/// Leaves what was given up or put aside unsent for good. Whether it was one of the two.
///
/// # Errors
/// When the database cannot be written.
pub async fn discard(txn: &DatabaseTransaction, id: i64) -> Result<bool, DbErr> {
    let discarded = Entity::update_many()
        .col_expr(Column::State, Expr::value(DISCARDED))
        .filter(Column::Id.eq(id))
        .filter(Column::State.is_in(UNDELIVERED))
        .exec(txn)
        .await?;
    Ok(discarded.rows_affected > 0)
}
