//! Measured values over time, in the events database: what a metric was at a moment. Rows only come and go.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, QueryOrder, QuerySelect};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "metrics_snapshots")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Microseconds since the Unix epoch.
    pub at: i64,
    /// Such as `request_count` or `spool_depth`.
    pub metric: String,
    pub value: f64,
    /// What it is about, such as `{"window_s": 60}`.
    pub dimensions: Json,
    /// The node that measured it.
    pub node: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// One value to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    pub metric: &'static str,
    pub value: f64,
    pub dimensions: Json,
}

/// Keeps values that were measured at one moment.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    connection: &impl ConnectionTrait,
    values: Vec<Measured>,
    at_micros: i64,
    node: u8,
) -> Result<(), DbErr> {
    if values.is_empty() {
        return Ok(());
    }
    let rows = values.into_iter().map(|measured| ActiveModel {
        at: Set(at_micros),
        metric: Set(measured.metric.to_owned()),
        value: Set(measured.value),
        dimensions: Set(measured.dimensions),
        node: Set(i64::from(node)),
        ..Default::default()
    });
    Entity::insert_many(rows)
        .exec_without_returning(connection)
        .await?;
    Ok(())
}

/// What a metric was on a node when it was measured last, at `until` or before.
///
/// # Errors
/// When the database cannot be read.
pub async fn newest(
    connection: &impl ConnectionTrait,
    metric: &str,
    node: u8,
    until: i64,
) -> Result<Option<f64>, DbErr> {
    let row = Entity::find()
        .filter(Column::Metric.eq(metric))
        .filter(Column::At.lte(until))
        .filter(Column::Node.eq(i64::from(node)))
        .order_by_desc(Column::At)
        .limit(1)
        .one(connection)
        .await?;
    Ok(row.map(|row| row.value))
}

/// Values of a metric at moments in `[from, to)`, rising.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    metric: &str,
    (from, to): (i64, i64),
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Metric.eq(metric))
        .filter(Column::At.gte(from))
        .filter(Column::At.lt(to))
        .order_by_asc(Column::At)
        .all(connection)
        .await
}
