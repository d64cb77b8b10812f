//! Changing a row that other people may be changing too.
//!
//! Rows that people edit carry a version. A change names the version it was made from; when the row has
//! moved on, nothing is written and the caller is told. No merging is attempted.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, ExprTrait,
    IntoActiveModel, QueryFilter, SqlErr,
};

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Somebody else changed or removed the row since it was read.
    #[error("the row was changed by somebody else in the meantime")]
    Stale,
    /// A value that must be unique is taken.
    #[error("a row with this name exists already")]
    Duplicate,
    /// Other rows refer to this one, or it refers to one that is not there.
    #[error("another row depends on this one")]
    InUse,
    /// The database did not do it. Its text is for logs, not for callers.
    #[error(transparent)]
    Database(DbErr),
}

impl From<DbErr> for ChangeError {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => Self::Duplicate,
            Some(SqlErr::ForeignKeyConstraintViolation(_)) => Self::InUse,
            _ => Self::Database(error),
        }
    }
}

/// An entity with `id`, `version` and `updated_at`.
pub(crate) trait Versioned: EntityTrait {
    const ID: Self::Column;
    const VERSION: Self::Column;
    const UPDATED_AT: Self::Column;
}

/// Writes the set fields of `changes` when the row still has `version`, which rises by one.
pub(crate) async fn update<E>(
    txn: &DatabaseTransaction,
    id: i64,
    version: i64,
    changes: E::ActiveModel,
    at_micros: i64,
) -> Result<E::Model, ChangeError>
where
    E: Versioned,
    E::ActiveModel: ActiveModelTrait<Entity = E>,
    E::Model: IntoActiveModel<E::ActiveModel>,
{
    let written = E::update_many()
        .set(changes)
        .col_expr(E::VERSION, Expr::val(version).add(1))
        .col_expr(E::UPDATED_AT, Expr::val(at_micros))
        .filter(E::ID.eq(id))
        .filter(E::VERSION.eq(version))
        .exec(txn)
        .await?;
    if written.rows_affected == 0 {
        return Err(ChangeError::Stale);
    }
    E::find()
        .filter(E::ID.eq(id))
        .one(txn)
        .await?
        .ok_or(ChangeError::Stale)
}

/// Implements [`Versioned`] for the entity of the calling module.
macro_rules! versioned {
    () => {
        impl $crate::change::Versioned for Entity {
            const ID: Column = Column::Id;
            const VERSION: Column = Column::Version;
            const UPDATED_AT: Column = Column::UpdatedAt;
        }
    };
}
pub(crate) use versioned;
