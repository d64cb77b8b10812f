//! Tenants: who owns tokens. A suspended one keeps its tokens, which open nothing meanwhile.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, Condition, DatabaseTransaction, PaginatorTrait};

use crate::change::{self, ChangeError, versioned};
use crate::scope::{Page, Scope, contains};
use crate::{public_id, revision};

/// Whether a tenant's tokens open anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Status {
    #[sea_orm(string_value = "active")]
    Active,
    #[sea_orm(string_value = "suspended")]
    Suspended,
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tenants")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub name: String,
    pub status: Status,
    pub suspended_at: Option<i64>,
    pub suspended_reason: Option<String>,
    /// Billionths of `budget_currency`.
    pub daily_budget_nano: Option<i64>,
    /// Billionths of `budget_currency`.
    pub monthly_budget_nano: Option<i64>,
    /// ISO 4217; of both budgets.
    pub budget_currency: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
versioned!();

/// Which tenants a list is about.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub status: Option<Status>,
    /// Part of the name.
    pub search: Option<String>,
}

impl Filter {
    fn condition(&self, scope: Scope) -> Condition {
        let search = self.search.as_deref();
        Condition::all()
            .add(scope.on(Column::Id))
            .add_option(self.status.map(|status| Column::Status.eq(status)))
            .add_option(search.map(|text| contains(Column::Name, text)))
    }
}

/// Adds an active tenant.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    name: String,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        public_id: Set(public_id::new("ten")),
        name: Set(name),
        status: Set(Status::Active),
        suspended_at: Set(None),
        suspended_reason: Set(None),
        daily_budget_nano: Set(None),
        monthly_budget_nano: Set(None),
        budget_currency: Set("USD".to_owned()),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        ..Default::default()
    };
    let row = row.insert(txn).await?;
    revision::bump(txn).await?;
    Ok(row)
}

/// By public id.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_public_id(
    connection: &impl ConnectionTrait,
    scope: Scope,
    public_id: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(scope.on(Column::Id))
        .filter(Column::PublicId.eq(public_id))
        .one(connection)
        .await
}

/// By keys, in no order: what a page of other rows refers to.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_ids(
    connection: &impl ConnectionTrait,
    scope: Scope,
    ids: impl IntoIterator<Item = i64>,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(scope.on(Column::Id))
        .filter(Column::Id.is_in(ids))
        .all(connection)
        .await
}

/// Every tenant: for the gateway's snapshot.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find().all(connection).await
}

/// A page, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    scope: Scope,
    filter: &Filter,
    page: Page,
) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(filter.condition(scope));
    page.of(query, Column::Id).all(connection).await
}

/// All that the filter finds, in no order: for an order that the database cannot make.
///
/// # Errors
/// When the database cannot be read.
pub async fn found(
    connection: &impl ConnectionTrait,
    scope: Scope,
    filter: &Filter,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(filter.condition(scope))
        .all(connection)
        .await
}

/// How many the filter finds.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(
    connection: &impl ConnectionTrait,
    scope: Scope,
    filter: &Filter,
) -> Result<u64, DbErr> {
    Entity::find()
        .filter(filter.condition(scope))
        .count(connection)
        .await
}

/// Writes the set fields of `changes` over `current`.
///
/// # Errors
/// [`ChangeError::Stale`] when `current` is no longer what is stored.
pub async fn update(
    txn: &DatabaseTransaction,
    current: &Model,
    changes: ActiveModel,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let row =
        change::update::<Entity>(txn, current.id, current.version, changes, at_micros).await?;
    revision::bump(txn).await?;
    Ok(row)
}

/// Closes the tenant's tokens, saying why.
///
/// # Errors
/// As [`update`].
pub async fn suspend(
    txn: &DatabaseTransaction,
    current: &Model,
    reason: String,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let changes = ActiveModel {
        status: Set(Status::Suspended),
        suspended_at: Set(Some(at_micros)),
        suspended_reason: Set(Some(reason)),
        ..Default::default()
    };
    update(txn, current, changes, at_micros).await
}

/// Opens the tenant's tokens again.
///
/// # Errors
/// As [`update`].
pub async fn activate(
    txn: &DatabaseTransaction,
    current: &Model,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let changes = ActiveModel {
        status: Set(Status::Active),
        suspended_at: Set(None),
        suspended_reason: Set(None),
        ..Default::default()
    };
    update(txn, current, changes, at_micros).await
}
