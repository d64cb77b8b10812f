//! Whose rows a caller may see, and which of them it asked for.

use sea_orm::sea_query::{Expr, ExprTrait, Func, LikeExpr};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

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
