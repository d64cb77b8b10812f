//! The day's dashboard numbers, in the control database: what is pushed to a remote, and shown there.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, DatabaseTransaction, QueryOrder};

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
    /// Between 0 and 1; `None` while nothing measures it.
    pub api_connectivity: Option<f64>,
    /// Between 0 and 1; `None` while nothing measures it.
    pub jwt_availability: Option<f64>,
    pub p95_duration_ms: Option<f64>,
    /// Microseconds since the Unix epoch.
    pub updated_at: i64,
    /// When this state of the row was pushed; `None` when it was not.
    pub synced_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What a day's calls came to; the other columns belong to whoever measures them.
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
