//! Alert rules as operators wrote them. What they mean is the domain's; where their series stand, [`crate::alert_series`].

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Expr;
use sea_orm::{DatabaseTransaction, PaginatorTrait, QueryOrder, QuerySelect};

use crate::change::{self, ChangeError, versioned};
use crate::column::TextList;
use crate::public_id;
use crate::scope::Page;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alert_rules")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub name: String,
    /// Such as `error_rate > 0.1`.
    pub condition: String,
    pub window_s: i64,
    pub hold_for_s: i64,
    pub keep_firing_for_s: i64,
    pub severity: String,
    pub no_data: String,
    /// Labels that make a series each.
    pub split_by: TextList,
    /// `label=value` or `label!=value`; all must fit.
    pub filter: TextList,
    /// Public ids of channels; empty: those that take everything.
    pub channels: TextList,
    pub enabled: bool,
    /// When it was last evaluated.
    pub evaluated_at: Option<i64>,
    /// Why it could not be evaluated then.
    pub error: Option<String>,
    /// Public id of the operator who made it; empty when it came with the program.
    pub created_by: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
versioned!();

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub name: String,
    pub condition: String,
    pub window_s: i64,
    pub hold_for_s: i64,
    pub keep_firing_for_s: i64,
    pub severity: String,
    pub no_data: String,
    pub split_by: Vec<String>,
    pub filter: Vec<String>,
    pub channels: Vec<String>,
    pub enabled: bool,
}

impl Said {
    fn set(self) -> ActiveModel {
        ActiveModel {
            name: Set(self.name),
            condition: Set(self.condition),
            window_s: Set(self.window_s),
            hold_for_s: Set(self.hold_for_s),
            keep_firing_for_s: Set(self.keep_firing_for_s),
            severity: Set(self.severity),
            no_data: Set(self.no_data),
            split_by: Set(TextList(self.split_by)),
            filter: Set(TextList(self.filter)),
            channels: Set(TextList(self.channels)),
            enabled: Set(self.enabled),
            // Due at once.
            evaluated_at: Set(None),
            error: Set(None),
            ..Default::default()
        }
    }
}

impl From<&Model> for Said {
    fn from(row: &Model) -> Self {
        Self {
            name: row.name.clone(),
            condition: row.condition.clone(),
            window_s: row.window_s,
            hold_for_s: row.hold_for_s,
            keep_firing_for_s: row.keep_firing_for_s,
            severity: row.severity.clone(),
            no_data: row.no_data.clone(),
            split_by: row.split_by.0.clone(),
            filter: row.filter.0.clone(),
            channels: row.channels.0.clone(),
            enabled: row.enabled,
        }
    }
}

/// Adds a rule.
///
/// # Errors
/// [`ChangeError::Duplicate`] when the name is taken.
pub async fn insert(
    txn: &DatabaseTransaction,
    said: Said,
    created_by: String,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let row = ActiveModel {
        public_id: Set(public_id::new("rul")),
        created_by: Set(created_by),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        ..said.set()
    };
    Ok(row.insert(txn).await?)
}

/// Writes what a rule now says over `current`.
///
/// # Errors
/// [`ChangeError::Stale`] when `current` is no longer what is stored, [`ChangeError::Duplicate`] when the name is taken.
pub async fn update(
    txn: &DatabaseTransaction,
    current: &Model,
    said: Said,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    change::update::<Entity>(txn, current.id, current.version, said.set(), at_micros).await
}

/// Remembers an evaluation. Not a change of the rule: its version stays.
///
/// # Errors
/// When the database cannot be written.
pub async fn evaluated(
    txn: &DatabaseTransaction,
    id: i64,
    error: Option<String>,
    at_micros: i64,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::EvaluatedAt, Expr::value(at_micros))
        .col_expr(Column::Error, Expr::value(error))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

/// The row, held until the transaction ends: whoever moves a rule's series holds its rule.
///
/// # Errors
/// When the database cannot be read.
pub async fn hold(txn: &DatabaseTransaction, id: i64) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).lock_exclusive().one(txn).await
}

/// Every rule, oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .order_by_asc(Column::Id)
        .all(connection)
        .await
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

/// A page, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(connection: &impl ConnectionTrait, page: Page) -> Result<Vec<Model>, DbErr> {
    page.of(Entity::find(), Column::Id).all(connection).await
}

/// How many there are.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(connection: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find().count(connection).await
}

/// Removes it, and where its series stood. Its incidents stay.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(txn: &DatabaseTransaction, current: &Model) -> Result<(), DbErr> {
    Entity::delete_by_id(current.id).exec(txn).await?;
    Ok(())
}
