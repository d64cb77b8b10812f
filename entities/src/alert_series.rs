//! Where each series of a rule stands: written after every round, so that a restart goes on where it stood.

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait as _, OnConflict};
use sea_orm::{DatabaseTransaction, FromJsonQueryResult, QueryOrder};
use serde::{Deserialize, Serialize};

use crate::column::TextMap;

/// Moments, microseconds since the Unix epoch.
#[derive(Clone, Debug, Default, Deserialize, Eq, FromJsonQueryResult, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Moments(pub Vec<i64>);

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_series")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub rule_id: i64,
    /// The labels as one text.
    pub labels_key: String,
    pub labels: TextMap,
    /// Of the rule that it was last evaluated by.
    pub rule_version: i64,
    /// `inactive`, `pending` or `firing`.
    pub state: String,
    pub active_at: Option<i64>,
    pub clear_since: Option<i64>,
    pub error_since: Option<i64>,
    pub changes: Moments,
    /// Public id of the incident that fires.
    pub incident: Option<String>,
    pub acknowledged: bool,
    /// What was told last: `firing`, `resolved` or `flapping`, about which incident, and when.
    pub told_what: Option<String>,
    pub told_incident: Option<String>,
    pub told_at: Option<i64>,
    /// The incident that an edit of the rule interrupted.
    pub carried: Option<String>,
    /// There was no channel to tell that it fires.
    pub unheard: bool,
    /// What was read last, as text.
    pub value: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The series of a rule, by their labels.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_rule(connection: &impl ConnectionTrait, rule_id: i64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::RuleId.eq(rule_id))
        .order_by_asc(Column::LabelsKey)
        .all(connection)
        .await
}

/// Every series that is not inactive.
///
/// # Errors
/// When the database cannot be read.
pub async fn active(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::State.ne("inactive"))
        .order_by_asc(Column::Id)
        .all(connection)
        .await
}

/// The series whose incident this is.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_incident(
    connection: &impl ConnectionTrait,
    incident: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(
            Column::Incident
                .eq(incident)
                .or(Column::Carried.eq(incident)),
        )
        .one(connection)
        .await
}

/// Writes a series as it now stands; its `id` does not matter.
///
/// # Errors
/// When the database cannot be written.
pub async fn put(txn: &DatabaseTransaction, row: Model) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: NotSet,
        rule_id: Set(row.rule_id),
        labels_key: Set(row.labels_key),
        labels: Set(row.labels),
        rule_version: Set(row.rule_version),
        state: Set(row.state),
        active_at: Set(row.active_at),
        clear_since: Set(row.clear_since),
        error_since: Set(row.error_since),
        changes: Set(row.changes),
        incident: Set(row.incident),
        acknowledged: Set(row.acknowledged),
        told_what: Set(row.told_what),
        told_incident: Set(row.told_incident),
        told_at: Set(row.told_at),
        carried: Set(row.carried),
        unheard: Set(row.unheard),
        value: Set(row.value),
    };
    Entity::insert(row)
        .on_conflict(
            OnConflict::columns([Column::RuleId, Column::LabelsKey])
                .update_columns([
                    Column::RuleVersion,
                    Column::State,
                    Column::ActiveAt,
                    Column::ClearSince,
                    Column::ErrorSince,
                    Column::Changes,
                    Column::Incident,
                    Column::Acknowledged,
                    Column::ToldWhat,
                    Column::ToldIncident,
                    Column::ToldAt,
                    Column::Carried,
                    Column::Unheard,
                    Column::Value,
                ])
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Forgets a series.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(
    txn: &DatabaseTransaction,
    rule_id: i64,
    labels_key: &str,
) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::RuleId.eq(rule_id))
        .filter(Column::LabelsKey.eq(labels_key))
        .exec(txn)
        .await?;
    Ok(())
}
