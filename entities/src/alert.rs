//! Incidents: what fired, since when, who looks after it, and when it was over. History: rows outlive their rule.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::{DatabaseTransaction, PaginatorTrait, QueryOrder};

use crate::column::{TextList, TextMap};
use crate::scope::Page;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alerts")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    /// Public id of the rule.
    pub rule_id: String,
    /// Its name, severity, condition and channels at that time.
    pub rule: String,
    pub severity: String,
    pub labels: TextMap,
    pub condition: String,
    /// What was measured when it fired, as text.
    pub value: String,
    pub channels: TextList,
    /// When the breach began.
    pub active_at: i64,
    pub fired_at: i64,
    pub acknowledged_at: Option<i64>,
    /// Name of the operator.
    pub acknowledged_by: Option<String>,
    pub resolved_at: Option<i64>,
    /// Name of the operator; `None`: it cleared by itself.
    pub resolved_by: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An incident that begins.
#[derive(Clone, Debug)]
pub struct NewAlert {
    pub public_id: String,
    pub rule_id: String,
    pub rule: String,
    pub severity: String,
    pub labels: TextMap,
    pub condition: String,
    pub value: String,
    pub channels: TextList,
    pub active_at: i64,
}

/// Which incidents a list is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those that fire (`true`), or those that are over.
    pub open: Option<bool>,
    pub severity: Option<String>,
    /// Public id of the rule.
    pub rule_id: Option<String>,
    /// Fired at or after.
    pub from: Option<i64>,
    /// Fired before.
    pub to: Option<i64>,
}

impl Filter {
    fn condition(&self) -> sea_orm::Condition {
        sea_orm::Condition::all()
            .add_option(self.open.map(|open| match open {
                true => Column::ResolvedAt.is_null(),
                false => Column::ResolvedAt.is_not_null(),
            }))
            .add_option(self.severity.as_deref().map(|it| Column::Severity.eq(it)))
            .add_option(self.rule_id.as_deref().map(|it| Column::RuleId.eq(it)))
            .add_option(self.from.map(|from| Column::FiredAt.gte(from)))
            .add_option(self.to.map(|to| Column::FiredAt.lt(to)))
    }
}

/// Writes down that it began.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: NewAlert,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        public_id: Set(new.public_id),
        rule_id: Set(new.rule_id),
        rule: Set(new.rule),
        severity: Set(new.severity),
        labels: Set(new.labels),
        condition: Set(new.condition),
        value: Set(new.value),
        channels: Set(new.channels),
        active_at: Set(new.active_at),
        fired_at: Set(at_micros),
        ..Default::default()
    };
    row.insert(txn).await
}

/// Writes down who looks after it.
///
/// # Errors
/// When the database cannot be written.
pub async fn acknowledge(
    txn: &DatabaseTransaction,
    row: &Model,
    by: &str,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        id: Set(row.id),
        acknowledged_at: Set(Some(at_micros)),
        acknowledged_by: Set(Some(by.to_owned())),
        ..Default::default()
    };
    row.update(txn).await
}

/// Writes down that it is over.
///
/// # Errors
/// When the database cannot be written.
pub async fn resolve(
    txn: &DatabaseTransaction,
    row: &Model,
    by: Option<&str>,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        id: Set(row.id),
        resolved_at: Set(Some(at_micros)),
        resolved_by: Set(by.map(str::to_owned)),
        ..Default::default()
    };
    row.update(txn).await
}

/// By public id.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_public_id(
    connection: &impl ConnectionTrait,
    public_id: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::PublicId.eq(public_id))
        .one(connection)
        .await
}

/// Those with one of these keys.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_ids(
    connection: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = i64>,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Id.is_in(ids))
        .order_by_asc(Column::Id)
        .all(connection)
        .await
}

/// A page, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    filter: &Filter,
    page: Page,
) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(filter.condition());
    page.of(query, Column::Id).all(connection).await
}

/// How many the filter finds.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(connection: &impl ConnectionTrait, filter: &Filter) -> Result<u64, DbErr> {
    Entity::find()
        .filter(filter.condition())
        .count(connection)
        .await
}
