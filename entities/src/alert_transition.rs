//! What became of an incident, step by step, which of it channels were told, and what the bell in the console rings for.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::{DatabaseTransaction, PaginatorTrait, QueryOrder};

use crate::scope::Page;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_transitions")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Key of the incident.
    pub alert_id: i64,
    /// `fired`, `resolved`, `acknowledged`, `repeated` or `flapping`.
    pub event: String,
    pub at: i64,
    /// What was measured, as text.
    pub value: String,
    /// Name of the operator, when one did it.
    pub operator: Option<String>,
    /// Whether a channel was to hear of it: not in a silence, not while it flaps, and not where there is none.
    pub told: bool,
    /// Whether the bell rings for it, channels or none.
    pub rings: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A step to write down.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    pub alert_id: i64,
    pub event: &'static str,
    pub value: &'a str,
    pub operator: Option<&'a str>,
    pub told: bool,
    pub rings: bool,
}

/// Writes a step down.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    step: Step<'_>,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        alert_id: Set(step.alert_id),
        event: Set(step.event.to_owned()),
        at: Set(at_micros),
        value: Set(step.value.to_owned()),
        operator: Set(step.operator.map(str::to_owned)),
        told: Set(step.told),
        rings: Set(step.rings),
        ..Default::default()
    };
    row.insert(txn).await
}

/// The steps of an incident, oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_alert(
    connection: &impl ConnectionTrait,
    alert_id: i64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::AlertId.eq(alert_id))
        .order_by_asc(Column::Id)
        .all(connection)
        .await
}

/// A page of what the bell rings for, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn ringing(connection: &impl ConnectionTrait, page: Page) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(Column::Rings.eq(true));
    page.of(query, Column::Id).all(connection).await
}

/// How often it rang after the one with this key.
///
/// # Errors
/// When the database cannot be read.
pub async fn rang_after(connection: &impl ConnectionTrait, id: i64) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::Rings.eq(true))
        .filter(Column::Id.gt(id))
        .count(connection)
        .await
}
