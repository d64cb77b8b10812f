//! Whose rows a caller may see, and which of them it asked for.

use std::collections::HashMap;

use sea_orm::sea_query::{Expr, ExprTrait, Func, LikeExpr};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Select,
};

/// Whose rows a finder may return. It is an argument, never a default.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Everything: an operator of the installation.
    All,
    /// One tenant's rows only.
    Tenant(i64),
}

impl Scope {
    /// The condition on the column that names the tenant.
    pub(crate) fn on(self, tenant_column: impl ColumnTrait) -> Condition {
        match self {
            Self::All => Condition::all(),
            Self::Tenant(id) => Condition::all().add(tenant_column.eq(id)),
        }
    }
}

/// How many rows of `query` each of these tenants has, or each there is; one that has none is missing.
pub(crate) async fn counts<E: EntityTrait>(
    connection: &impl ConnectionTrait,
    query: Select<E>,
    tenant_column: E::Column,
    (scope, tenants): (Scope, Option<&[i64]>),
) -> Result<HashMap<i64, u64>, DbErr> {
    let query = query.filter(scope.on(tenant_column));
    let query = match tenants {
        Some(ids) => query.filter(tenant_column.is_in(ids.iter().copied())),
        None => query.filter(tenant_column.is_not_null()),
    };
    let rows: Vec<(i64, i64)> = query
        .select_only()
        .column(tenant_column)
        .column_as(Expr::cust("COUNT(*)"), "rows")
        .group_by(tenant_column)
        .into_tuple()
        .all(connection)
        .await?;
    let counted = |(tenant, rows): (i64, i64)| (tenant, rows.unsigned_abs());
    Ok(rows.into_iter().map(counted).collect())
}

/// `text` anywhere in the column, whatever the case; `%` and `_` stand for themselves. SQLite folds the case of
/// ASCII only: other letters are found as they are written.
pub(crate) fn contains(column: impl ColumnTrait, text: &str) -> Condition {
    contains_in(Expr::col(column.as_column_ref()), text)
}

/// The same in what is made of columns.
pub(crate) fn contains_in(within: Expr, text: &str) -> Condition {
    let lower = Expr::expr(Func::lower(within));
    let like = |text: String| {
        let pattern = format!("%{}%", literal(&text));
        lower.clone().like(LikeExpr::new(pattern).escape('\\'))
    };
    Condition::any()
        .add(like(text.to_lowercase()))
        .add(like(text.to_ascii_lowercase()))
}

/// `text` at the beginning of the column; `%` and `_` stand for themselves.
pub(crate) fn begins(column: impl ColumnTrait, text: &str) -> Expr {
    let pattern = format!("{}%", literal(text));
    Expr::col(column.as_column_ref()).like(LikeExpr::new(pattern).escape('\\'))
}

/// `text` as it stands in a pattern.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// A stretch of a list, newest first. The cursor is the id of the last row seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Page {
    /// Rows older than this id; `None` starts at the newest.
    pub after: Option<i64>,
    /// At most this many rows.
    pub limit: u64,
}

impl Page {
    pub(crate) fn of<E: EntityTrait>(self, query: Select<E>, id: E::Column) -> Select<E> {
        let query = match self.after {
            Some(after) => query.filter(id.lt(after)),
            None => query,
        };
        query.order_by_desc(id).limit(self.limit)
    }
}
