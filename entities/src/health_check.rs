//! Looks at components, in the events database: when, how it was, how fast it answered. Rows only come and go.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, FromQueryResult, QueryOrder, QuerySelect};

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "health_checks")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Microseconds since the Unix epoch.
    pub at: i64,
    /// Such as `database` or `account:acc_…`.
    pub component: String,
    /// `healthy`, `degraded`, `unhealthy` or `unknown`, after damping.
    pub status: String,
    pub latency_ms: Option<i64>,
    /// What was wrong, for people.
    pub reason: Option<String>,
    /// Microseconds since the Unix epoch.
    pub certificate_expires_at: Option<i64>,
    /// What else is known of the look.
    pub details: Json,
    /// The node that looked.
    pub node: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// One look to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    pub at: i64,
    pub component: String,
    pub status: &'static str,
    pub latency_ms: Option<i64>,
    pub reason: Option<String>,
    pub certificate_expires_at: Option<i64>,
    pub details: Json,
}

/// Keeps looks of one node.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    connection: &impl ConnectionTrait,
    looks: Vec<Look>,
    node: u8,
) -> Result<(), DbErr> {
    if looks.is_empty() {
        return Ok(());
    }
    let rows = looks.into_iter().map(|look| ActiveModel {
        at: Set(look.at),
        component: Set(look.component),
        status: Set(look.status.to_owned()),
        latency_ms: Set(look.latency_ms),
        reason: Set(look.reason),
        certificate_expires_at: Set(look.certificate_expires_at),
        details: Set(look.details),
        node: Set(i64::from(node)),
        ..Default::default()
    });
    Entity::insert_many(rows)
        .exec_without_returning(connection)
        .await?;
    Ok(())
}

/// What a history is made of.
#[derive(Clone, Debug, PartialEq, FromQueryResult)]
pub struct Point {
    pub id: i64,
    pub at: i64,
    pub component: String,
    pub status: String,
    pub latency_ms: Option<i64>,
}

/// A page of a node's looks since `from`, in the order they were kept; `after` is the last page's last key.
///
/// # Errors
/// When the database cannot be read.
pub async fn points(
    connection: &impl ConnectionTrait,
    node: u8,
    from: i64,
    after: i64,
    limit: u64,
) -> Result<Vec<Point>, DbErr> {
    Entity::find()
        .select_only()
        .columns([
            Column::Id,
            Column::At,
            Column::Component,
            Column::Status,
            Column::LatencyMs,
        ])
        .filter(Column::Id.gt(after))
        .filter(Column::At.gte(from))
        .filter(Column::Node.eq(i64::from(node)))
        .order_by_asc(Column::Id)
        .limit(limit)
        .into_model::<Point>()
        .all(connection)
        .await
}

/// The latest looks at a component, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn latest(
    connection: &impl ConnectionTrait,
    component: &str,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Component.eq(component))
        .order_by_desc(Column::At)
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(connection)
        .await
}
