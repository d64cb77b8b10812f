//! Operators: the people who sign in to the control face.
//!
//! `epoch` is part of every access token; raising it ends all of them at once.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, DatabaseTransaction, PaginatorTrait, QuerySelect};

use crate::change::{self, ChangeError, versioned};
use crate::column::HiddenText;
use crate::public_id;
use crate::scope::{Page, Scope, counts};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operators")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub username: String,
    /// PHC string (argon2id).
    pub password_hash: HiddenText,
    /// Name of a role.
    pub role: String,
    pub display_name: String,
    pub enabled: bool,
    pub epoch: i64,
    pub must_change_password: bool,
    /// Set: sees this tenant only.
    pub tenant_id: Option<i64>,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
    pub last_login_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
versioned!();

impl Model {
    /// Whose rows this operator may see.
    pub fn scope(&self) -> Scope {
        self.tenant_id.map_or(Scope::All, Scope::Tenant)
    }
}

/// An operator to add.
#[derive(Clone, Debug)]
pub struct NewOperator {
    pub username: String,
    /// PHC string (argon2id).
    pub password_hash: HiddenText,
    pub role: String,
    pub display_name: String,
    pub enabled: bool,
    pub must_change_password: bool,
    pub tenant_id: Option<i64>,
}

/// Adds an operator.
///
/// # Errors
/// [`ChangeError::Duplicate`] when the user name is taken.
pub async fn insert(
    txn: &DatabaseTransaction,
    new: NewOperator,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let row = ActiveModel {
        public_id: Set(public_id::new("opr")),
        username: Set(new.username),
        password_hash: Set(new.password_hash),
        role: Set(new.role),
        display_name: Set(new.display_name),
        enabled: Set(new.enabled),
        epoch: Set(1),
        must_change_password: Set(new.must_change_password),
        tenant_id: Set(new.tenant_id),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        last_login_at: Set(None),
        ..Default::default()
    };
    Ok(row.insert(txn).await?)
}

/// Whether anybody can sign in at all: false at the first start.
///
/// # Errors
/// When the database cannot be read.
pub async fn any(connection: &impl ConnectionTrait) -> Result<bool, DbErr> {
    Ok(Entity::find().count(connection).await? > 0)
}

/// Who signs in under this name. Unscoped: the scope is only known once they have.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_username(
    connection: &impl ConnectionTrait,
    username: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::Username.eq(username))
        .one(connection)
        .await
}

/// By key: who a session or key belongs to.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_id(connection: &impl ConnectionTrait, id: i64) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(connection).await
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
        .filter(scope.on(Column::TenantId))
        .filter(Column::PublicId.eq(public_id))
        .one(connection)
        .await
}

/// A page, newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    connection: &impl ConnectionTrait,
    scope: Scope,
    page: Page,
) -> Result<Vec<Model>, DbErr> {
    let query = Entity::find().filter(scope.on(Column::TenantId));
    page.of(query, Column::Id).all(connection).await
}

/// How many there are.
///
/// # Errors
/// When the database cannot be read.
pub async fn count(connection: &impl ConnectionTrait, scope: Scope) -> Result<u64, DbErr> {
    Entity::find()
        .filter(scope.on(Column::TenantId))
        .count(connection)
        .await
}

/// How many each of these tenants has, or each there is; one that has none is missing.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_tenant(
    connection: &impl ConnectionTrait,
    scope: Scope,
    tenants: Option<&[i64]>,
) -> Result<HashMap<i64, u64>, DbErr> {
    counts(
        connection,
        Entity::find(),
        Column::TenantId,
        (scope, tenants),
    )
    .await
}

/// How many hold each role; a role that nobody holds is missing.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_role(
    connection: &impl ConnectionTrait,
    scope: Scope,
) -> Result<HashMap<String, u64>, DbErr> {
    let rows: Vec<(String, i64)> = Entity::find()
        .filter(scope.on(Column::TenantId))
        .select_only()
        .column(Column::Role)
        .column_as(Expr::cust("COUNT(*)"), "holders")
        .group_by(Column::Role)
        .into_tuple()
        .all(connection)
        .await?;
    let counted = |(role, holders): (String, i64)| (role, holders.unsigned_abs());
    Ok(rows.into_iter().map(counted).collect())
}

/// How many enabled operators hold the role: the last administrator is not to be locked out.
///
/// # Errors
/// When the database cannot be read.
pub async fn count_enabled_with_role(
    connection: &impl ConnectionTrait,
    role: &str,
) -> Result<u64, DbErr> {
    Entity::find()
        .filter(Column::Role.eq(role))
        .filter(Column::Enabled.eq(true))
        .count(connection)
        .await
}

/// Writes the set fields of `changes` over `current`. To end every session at once, set `epoch` to
/// `current.epoch + 1` with it.
///
/// # Errors
/// [`ChangeError::Stale`] when `current` is no longer what is stored.
pub async fn update(
    txn: &DatabaseTransaction,
    current: &Model,
    changes: ActiveModel,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    change::update::<Entity>(txn, current.id, current.version, changes, at_micros).await
}

/// Notes a sign-in. It is no change of the operator, so the version stays.
///
/// # Errors
/// When the database cannot be written.
pub async fn record_login(txn: &DatabaseTransaction, id: i64, at_micros: i64) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::LastLoginAt, Expr::value(at_micros))
        .filter(Column::Id.eq(id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Removes the operator with sessions and keys; the audit log keeps the name.
///
/// # Errors
/// [`ChangeError::Stale`] when `current` is no longer what is stored.
pub async fn remove(txn: &DatabaseTransaction, current: &Model) -> Result<(), ChangeError> {
    let removed = Entity::delete_many()
        .filter(Column::Id.eq(current.id))
        .filter(Column::Version.eq(current.version))
        .exec(txn)
        .await?;
    if removed.rows_affected == 0 {
        return Err(ChangeError::Stale);
    }
    Ok(())
}
