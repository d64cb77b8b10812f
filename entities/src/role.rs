//! Roles: named sets of permissions.
//!
//! A permission is `read:<resource>` or `write:<resource>`. A role holds patterns: `*` (everything), a
//! permission, or `read:*` / `write:*`; with a leading `!` a pattern takes away. What any pattern takes away
//! is not allowed, whatever the others say. `ops_viewer` is `["read:*", "!read:conversations"]`.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, DatabaseTransaction, QueryOrder};

use crate::change::{self, ChangeError, versioned};
use crate::column::TextList;
use crate::public_id;

/// Built in: may do everything.
pub const OPS_ADMIN: &str = "ops_admin";
/// Built in: may read everything but conversations.
pub const OPS_VIEWER: &str = "ops_viewer";
/// Built in, for people of a tenant: its keys, knowledge, feedback, conversations and people.
pub const TENANT_ADMIN: &str = "tenant_admin";
/// Built in, for people of a tenant: its knowledge and feedback.
pub const TENANT_STAFF: &str = "tenant_staff";

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "roles")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub public_id: String,
    pub name: String,
    pub permissions: TextList,
    /// Cannot be changed or removed.
    pub built_in: bool,
    pub created_at: i64,
    pub updated_at: i64,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
versioned!();

impl Model {
    /// Whether the role allows `permission` (such as `read:tokens`).
    pub fn allows(&self, permission: &str) -> bool {
        allows(&self.permissions.0, permission)
    }
}

/// Whether the patterns allow `permission`.
pub fn allows(patterns: &[String], permission: &str) -> bool {
    let mut allowed = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(taken) if covers(taken, permission) => return false,
            Some(_) => {}
            None => allowed |= covers(pattern, permission),
        }
    }
    allowed
}

fn covers(pattern: &str, permission: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => permission.starts_with(prefix),
        None => pattern == permission,
    }
}

/// Adds a role.
///
/// # Errors
/// [`ChangeError::Duplicate`] when the name is taken.
pub async fn insert(
    txn: &DatabaseTransaction,
    name: String,
    permissions: Vec<String>,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let row = ActiveModel {
        public_id: Set(public_id::new("rol")),
        name: Set(name),
        permissions: Set(TextList(permissions)),
        built_in: Set(false),
        created_at: Set(at_micros),
        updated_at: Set(at_micros),
        version: Set(1),
        ..Default::default()
    };
    Ok(row.insert(txn).await?)
}

/// Every role, by name. There are few.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .order_by_asc(Column::Name)
        .all(connection)
        .await
}

/// By name.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_name(
    connection: &impl ConnectionTrait,
    name: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::Name.eq(name))
        .one(connection)
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

/// Replaces what the role allows. Its name stays: operators refer to it. Built-in roles are the caller's to
/// refuse.
///
/// # Errors
/// [`ChangeError::Stale`] when `current` is no longer what is stored.
pub async fn update(
    txn: &DatabaseTransaction,
    current: &Model,
    permissions: Vec<String>,
    at_micros: i64,
) -> Result<Model, ChangeError> {
    let changes = ActiveModel {
        permissions: Set(TextList(permissions)),
        ..Default::default()
    };
    change::update::<Entity>(txn, current.id, current.version, changes, at_micros).await
}

/// Removes a role that is not built in.
///
/// # Errors
/// [`ChangeError::Stale`] when it changed meanwhile or is built in; [`ChangeError::InUse`] while an operator
/// holds it.
pub async fn remove(txn: &DatabaseTransaction, current: &Model) -> Result<(), ChangeError> {
    let removed = Entity::delete_many()
        .filter(Column::Id.eq(current.id))
        .filter(Column::Version.eq(current.version))
        .filter(Column::BuiltIn.eq(false))
        .exec(txn)
        .await?;
    if removed.rows_affected == 0 {
        return Err(ChangeError::Stale);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pattern_takes_away_is_not_allowed_in_any_order() {
        let list = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        for (patterns, permission, expected) in [
            (list(&["*"]), "write:tokens", true),
            (list(&["read:*"]), "write:tokens", false),
            (
                list(&["read:*", "!read:conversations"]),
                "read:tokens",
                true,
            ),
            (
                list(&["read:*", "!read:conversations"]),
                "read:conversations",
                false,
            ),
            (
                list(&["!read:conversations", "*"]),
                "read:conversations",
                false,
            ),
            (list(&["read:tokens"]), "read:tokens", true),
            (list(&["read:tokens"]), "read:tokens_and_more", false),
            (list(&["!read:tokens"]), "read:accounts", false),
            (list(&[]), "read:tokens", false),
        ] {
            assert_eq!(
                allows(&patterns, permission),
                expected,
                "{patterns:?} {permission}"
            );
        }
    }
}
