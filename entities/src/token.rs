//! Tokens: what applications present to the gateway. Only the SHA-256 of the secret is kept.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    Condition, DatabaseTransaction, PaginatorTrait,
};

use crate::change::{self, ChangeError, versioned};
use crate::column::TextList;
use crate::scope::{Page, Scope, contains, counts};
use crate::{public_id, revision};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tokens")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub tenant_id: Option<i64>,
    /// Empty when the token names none.
    pub app: String,
    pub name: String,
    pub description: String,
    /// First characters of the secret, to recognise it by.
    pub prefix: String,
    /// Last four characters of the secret.
    pub last4: String,
    /// SHA-256 of the secret.
    pub hash: Vec<u8>,
    /// SHA-256 of the secret before the last rotation.
    pub previous_hash: Option<Vec<u8>>,
    /// Until when the previous secret still opens.
    pub previous_expires_at: Option<i64>,
    pub enabled: bool,
    pub expires_at: Option<i64>,
    /// `None`: every model. Entries may end in `*`.
    pub allowed_models: Option<TextList>,
    /// Requests per minute.
    pub rpm: Option<i64>,
    /// Model tokens per minute.
    pub tpm: Option<i64>,
    /// Calls at the same time.
    pub concurrency: Option<i64>,
    /// Model tokens in its life.
    pub token_quota: Option<i64>,
    pub daily_budget_nano: Option<i64>,
    pub monthly_budget_nano: Option<i64>,
    /// ISO 4217; of both budgets.
    pub budget_currency: String,
    pub enable_conversation_logging: bool,
    /// Whether its chat calls get its tenant's own answers as context.
    pub knowledge: bool,
    /// Name of the redaction applied to kept conversations.
    pub redaction: String,
    /// Public id of the operator who made it.
    pub created_by: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
    pub revoked_at: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
versioned!();

/// What of a secret is stored.
#[derive(Clone, Debug)]
pub struct KeptSecret {
    pub prefix: String,
    pub last4: String,
    /// SHA-256.
    pub hash: Vec<u8>,
}

/// Which tokens a list is about. The default is all that are not revoked.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub tenant_id: Option<i64>,
    pub app: Option<String>,
    pub enabled: Option<bool>,
    /// Part of the name, the description, the prefix or the last four characters.
    pub search: Option<String>,
    pub with_revoked: bool,
}

impl Filter {
    fn condition(&self, scope: Scope) -> Condition {
        let mut all = Condition::all()
            .add(scope.on(Column::TenantId))
            .add_option(self.tenant_id.map(|id| Column::TenantId.eq(id)))
            .add_option(self.app.as_deref().map(|app| Column::App.eq(app)))
            .add_option(self.enabled.map(|enabled| Column::Enabled.eq(enabled)));
        if let Some(search) = &self.search {
            all = all.add(
                Condition::any()
                    .add(contains(Column::Name, search))
                    .add(contains(Column::Description, search))
                    .add(contains(Column::Prefix, search))
                    .add(contains(Column::Last4, search)),
            );
        }
        if !self.with_revoked {
            all = all.add(Column::RevokedAt.is_null());
        }
        all
    }
}

/// A token to add, as its creator chose it.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub tenant_id: Option<i64>,
    pub app: String,
    pub name: String,
    pub description: String,
    pub enabled: bool,
    pub expires_at: Option<i64>,
    pub allowed_models: Option<Vec<String>>,
    pub rpm: Option<i64>,
    pub tpm: Option<i64>,
    pub concurrency: Option<i64>,
    pub token_quota: Option<i64>,
    pub daily_budget_nano: Option<i64>,
    pub monthly_budget_nano: Option<i64>,
    /// ISO 4217; of both budgets.
    pub budget_currency: String,
    pub enable_conversation_logging: bool,
    pub knowledge: bool,
    pub redaction: String,
    pub created_by: String,
}

/// Adds a token.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(
    txn: &DatabaseTransaction,
    secret: KeptSecret,
    new: NewToken,
    at_micros: i64,
) -> Result<Model, DbErr> {
    let row = ActiveModel {
        id: NotSet,
        public_id: Set(public_id::new("tok")),
        tenant_id: Set(new.tenant_id),
        app: Set(new.app),
        name: Set(new.name),
        description: Set(new.description),
        prefix: Set(secret.prefix),
        last4: Set(secret.last4),
        hash: Set(secret.hash),
        previous_hash: Set(None),
        previous_expires_at: Set(None),
        enabled: Set(new.enabled),
        expires_at: Set(new.expires_at),
        allowed_models: Set(new.allowed_models.map(TextList)),
        rpm: Set(new.rpm),
        tpm: Set(new.tpm),
        concurrency: Set(new.concurrency),
        token_quota: Set(new.token_quota),
        daily_budget_nano: Set(new.daily_budget_nano),
        monthly_budget_nano: Set(new.monthly_budget_nano),
        budget_currency: Set(new.budget_currency),
        enable_conversation_logging: Set(new.enable_conversation_logging),
        knowledge: Set(new.knowledge),
        redaction: Set(new.redaction),
        created_by: Set(new.created_by),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        revoked_at: Set(None),
    };
    let row = row.insert(txn).await?;
    revision::bump(txn).await?;
    Ok(row)
}

/// Every token that is not revoked, whoever owns it: for the gateway's snapshot.
///
/// # Errors
/// When the database cannot be read.
pub async fn all_live(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::RevokedAt.is_null())
        .all(connection)
        .await
}

/// By public id; revoked ones too.
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

/// By key; revoked ones too.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_id(connection: &impl ConnectionTrait, id: i64) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(connection).await
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

/// How many that are not revoked each of these tenants has, or each there is; one that has none is missing.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_tenant(
    connection: &impl ConnectionTrait,
    scope: Scope,
    tenants: Option<&[i64]>,
) -> Result<HashMap<i64, u64>, DbErr> {
    let live = Entity::find().filter(Column::RevokedAt.is_null());
    counts(connection, live, Column::TenantId, (scope, tenants)).await
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

/// Gives it a new secret. The present one opens until `previous_expires_at`; the one before it no more.
///
/// # Errors
/// As [`update`].
pub async fn rotate(
    txn: &DatabaseTransaction,
    current: &Model,
    secret: KeptSecret,
    previous_expires_at: i64,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let changes = ActiveModel {
        prefix: Set(secret.prefix),
        last4: Set(secret.last4),
        hash: Set(secret.hash),
        previous_hash: Set(Some(current.hash.clone())),
        previous_expires_at: Set(Some(previous_expires_at)),
        ..Default::default()
    };
    update(txn, current, changes, at_micros).await
}

/// Closes it for good; the row stays for the books.
///
/// # Errors
/// As [`update`].
pub async fn revoke(
    txn: &DatabaseTransaction,
    current: &Model,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let changes = ActiveModel {
        enabled: Set(false),
        revoked_at: Set(Some(at_micros)),
        ..Default::default()
    };
    update(txn, current, changes, at_micros).await
}
