//! The day's dashboard numbers, in the control database: what is pushed to a remote, and shown there.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveValue::Set, Condition, DatabaseTransaction, PaginatorTrait, QueryOrder, QuerySelect,
};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "dashboard_stats")]
pub struct Model {
    /// `YYYY-MM-DD`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub stat_date: String,
    pub daily_active_users: i64,
    pub jwt_active_users: i64,
    pub ai_requests: i64,
    /// Between 0 and 1; `None` without requests.
    pub success_rate: Option<f64>,
    pub total_tokens: i64,
    /// Billionths of `currency`; `None` when no price was known.
    pub cost_nano: Option<i64>,
    pub currency: Option<String>,
    /// Share of the known time in which accounts could be called, between 0 and 1; `None` when nobody looked at any.
    pub api_connectivity: Option<f64>,
    /// Share of the known time in which tokens could be issued, between 0 and 1; `None` when nobody looked.
    pub jwt_availability: Option<f64>,
    pub p95_duration_ms: Option<f64>,
    /// Microseconds since the Unix epoch.
    pub updated_at: i64,
    /// When this state of the row was pushed; `None` when it was not.
    pub synced_at: Option<i64>,
    /// Why the remote would not take this state of the row; it is not offered again.
    pub refused: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What a day's calls came to; what they stand on is told by [`Reach`].
#[derive(Clone, Debug, PartialEq)]
pub struct Day {
    /// `YYYY-MM-DD`.
    pub stat_date: String,
    pub daily_active_users: i64,
    pub jwt_active_users: i64,
    pub ai_requests: i64,
    pub success_rate: Option<f64>,
    pub total_tokens: i64,
    /// Billionths, and of what.
    pub cost: Option<(i64, String)>,
    pub p95_duration_ms: Option<f64>,
}

/// Writes a day whole; a row that says so already is left alone, so that it need not be pushed again.
///
/// # Errors
/// When the database cannot be written.
pub async fn put(txn: &DatabaseTransaction, day: Day, at_micros: i64) -> Result<(), DbErr> {
    let (cost_nano, currency) = day.cost.unzip();
    let known = Entity::find_by_id(&day.stat_date).one(txn).await?;
    if known.is_some_and(|row| {
        row.daily_active_users == day.daily_active_users
            && row.jwt_active_users == day.jwt_active_users
            && row.ai_requests == day.ai_requests
            && row.success_rate == day.success_rate
            && row.total_tokens == day.total_tokens
            && row.cost_nano == cost_nano
            && row.currency == currency
            && row.p95_duration_ms == day.p95_duration_ms
    }) {
        return Ok(());
    }
    let row = ActiveModel {
        stat_date: Set(day.stat_date),
        daily_active_users: Set(day.daily_active_users),
        jwt_active_users: Set(day.jwt_active_users),
        ai_requests: Set(day.ai_requests),
        success_rate: Set(day.success_rate),
        total_tokens: Set(day.total_tokens),
        cost_nano: Set(cost_nano),
        currency: Set(currency),
        p95_duration_ms: Set(day.p95_duration_ms),
        updated_at: Set(at_micros),
        synced_at: Set(None),
        refused: Set(None),
        ..Default::default()
    };
    let update = OnConflict::column(Column::StatDate)
        .update_columns([
            Column::DailyActiveUsers,
            Column::JwtActiveUsers,
            Column::AiRequests,
            Column::SuccessRate,
            Column::TotalTokens,
            Column::CostNano,
            Column::Currency,
            Column::P95DurationMs,
            Column::UpdatedAt,
            Column::SyncedAt,
            Column::Refused,
        ])
        .to_owned();
    Entity::insert(row)
        .on_conflict(update)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// How a day went for what calls stand on. Each between 0 and 1; `None`: nothing is known, and what the row says stays.
#[derive(Clone, Debug, PartialEq)]
pub struct Reach {
    /// `YYYY-MM-DD`.
    pub stat_date: String,
    pub api_connectivity: Option<f64>,
    pub jwt_availability: Option<f64>,
}

/// Writes what is known of a day's health beside its calls; a row that says so already is left alone.
///
/// # Errors
/// When the database cannot be written.
pub async fn put_reach(
    txn: &DatabaseTransaction,
    reach: &Reach,
    at_micros: i64,
) -> Result<(), DbErr> {
    let known = Entity::find_by_id(&reach.stat_date).one(txn).await?;
    let said = known.as_ref().map_or((None, None), |row| {
        (row.api_connectivity, row.jwt_availability)
    });
    let is_said = (
        reach.api_connectivity.or(said.0),
        reach.jwt_availability.or(said.1),
    );
    if is_said == said {
        return Ok(());
    }
    let row = ActiveModel {
        stat_date: Set(reach.stat_date.clone()),
        daily_active_users: Set(0),
        jwt_active_users: Set(0),
        ai_requests: Set(0),
        total_tokens: Set(0),
        api_connectivity: Set(is_said.0),
        jwt_availability: Set(is_said.1),
        updated_at: Set(at_micros),
        synced_at: Set(None),
        refused: Set(None),
        ..Default::default()
    };
    let update = OnConflict::column(Column::StatDate)
        .update_columns([
            Column::ApiConnectivity,
            Column::JwtAvailability,
            Column::UpdatedAt,
            Column::SyncedAt,
            Column::Refused,
        ])
        .to_owned();
    Entity::insert(row)
        .on_conflict(update)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Days from `from` up to `to` (`YYYY-MM-DD`, both included), rising.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    from: &str,
    to: &str,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::StatDate.gte(from))
        .filter(Column::StatDate.lte(to))
        .order_by_asc(Column::StatDate)
        .all(connection)
        .await
}

fn not_pushed() -> Condition {
    Condition::all()
        .add(Column::SyncedAt.is_null())
        .add(Column::Refused.is_null())
}

/// What is to be pushed, oldest first, at most `limit`.
///
/// # Errors
/// When the database cannot be read.
pub async fn unpushed(connection: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(not_pushed())
        .order_by_asc(Column::StatDate)
        .limit(limit)
        .all(connection)
        .await
}

/// Days that the remote would not take, rising, and why; the latest hundred.
///
/// # Errors
/// When the database cannot be read.
pub async fn refusals(connection: &impl ConnectionTrait) -> Result<Vec<(String, String)>, DbErr> {
    let rows = Entity::find()
        .filter(Column::Refused.is_not_null())
        .order_by_desc(Column::StatDate)
        .limit(100)
        .all(connection)
        .await?;
    let each = rows.into_iter().rev();
    Ok(each
        .map(|row| (row.stat_date, row.refused.unwrap_or_default()))
        .collect())
}

/// How far the remote is behind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Backlog {
    pub rows: u64,
    /// Since when the oldest change of them waits, microseconds since the Unix epoch.
    pub since: Option<i64>,
}

/// See [`Backlog`].
///
/// # Errors
/// When the database cannot be read.
pub async fn backlog(connection: &impl ConnectionTrait) -> Result<Backlog, DbErr> {
    let oldest = Entity::find()
        .filter(not_pushed())
        .order_by_asc(Column::UpdatedAt)
        .one(connection)
        .await?;
    Ok(Backlog {
        rows: Entity::find()
            .filter(not_pushed())
            .count(connection)
            .await?,
        since: oldest.map(|row| row.updated_at),
    })
}

/// Notes that the remote has this state of the row; one that was written anew meanwhile still waits.
///
/// # Errors
/// When the database cannot be written.
pub async fn pushed(txn: &DatabaseTransaction, row: &Model, at_micros: i64) -> Result<(), DbErr> {
    settle(txn, row, Column::SyncedAt, Expr::value(at_micros)).await
}

/// Notes why the remote would not take this state of the row.
///
/// # Errors
/// When the database cannot be written.
pub async fn refused(txn: &DatabaseTransaction, row: &Model, why: &str) -> Result<(), DbErr> {
    settle(txn, row, Column::Refused, Expr::value(why)).await
}

async fn settle(
    txn: &DatabaseTransaction,
    row: &Model,
    column: Column,
    value: Expr,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(column, value)
        .filter(Column::StatDate.eq(&row.stat_date))
        .filter(Column::UpdatedAt.eq(row.updated_at))
        .exec(txn)
        .await?;
    Ok(())
}

/// Offers what was refused once more; `all`: everything, since the remote is another one.
///
/// # Errors
/// When the database cannot be written.
pub async fn offer_again(txn: &DatabaseTransaction, all: bool) -> Result<(), DbErr> {
    let mut again = Entity::update_many().col_expr(Column::Refused, Expr::value(None::<String>));
    if all {
        again = again.col_expr(Column::SyncedAt, Expr::value(None::<i64>));
    } else {
        again = again.filter(Column::Refused.is_not_null());
    }
    again.exec(txn).await?;
    Ok(())
}

/// The newest day there is.
///
/// # Errors
/// When the database cannot be read.
pub async fn newest(connection: &impl ConnectionTrait) -> Result<Option<String>, DbErr> {
    let row = Entity::find()
        .order_by_desc(Column::StatDate)
        .one(connection)
        .await?;
    Ok(row.map(|row| row.stat_date))
}

/// Forgets the days from this one on (`YYYY-MM-DD`): they begin elsewhere now, and are counted anew.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_from(txn: &DatabaseTransaction, first: &str) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::StatDate.gte(first))
        .exec(txn)
        .await?;
    Ok(())
}
