//! Lists of requests: keyset pages under a scan budget, and capped counts.
//!
//! Newest first is the order of the key. Other orders sort within windows of at most [`SCAN_BUDGET`] rows of
//! the driving index, newest window first: sorting a whole log by duration is a report, not a list.

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use serde::{Deserialize, Serialize};

use super::request_filter::RequestFilter;
use super::request_log::{COLUMNS, JOINS, RequestRow};
use super::sql::Sql;

/// Rows of the driving index one call looks at.
pub const SCAN_BUDGET: u64 = 20_000;
/// Above this a count says "more than".
pub const COUNT_CAP: u64 = 10_000;
/// Most rows of a page.
pub const LIMIT_MAX: u64 = 1_000;

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RequestSort {
    /// `-request_at`: by key, which is the time of acceptance.
    #[default]
    Newest,
    /// `request_at`.
    Oldest,
    /// By a number, newest first among equals, within windows.
    By {
        column: SortColumn,
        descending: bool,
    },
}

/// Numbers a list can be sorted by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SortColumn {
    StatusCode,
    TotalTokens,
    DurationMs,
}

impl SortColumn {
    const fn name(self) -> &'static str {
        match self {
            Self::StatusCode => "status_code",
            Self::TotalTokens => "total_tokens",
            Self::DurationMs => "duration_ms",
        }
    }

    fn of(self, row: &RequestRow) -> i64 {
        match self {
            Self::StatusCode => i64::from(row.status_code),
            Self::TotalTokens => row.total_tokens,
            Self::DurationMs => row.duration_ms,
        }
    }
}

#[derive(Clone, Copy)]
struct Order {
    /// `None`: the key.
    column: Option<SortColumn>,
    descending: bool,
}

impl Order {
    fn sql(self, prefix: &str) -> String {
        let direction = if self.descending { "DESC" } else { "ASC" };
        match self.column {
            None => format!("{prefix}rid {direction}"),
            Some(column) => format!("{prefix}{} {direction}, {prefix}rid DESC", column.name()),
        }
    }
}

/// Where the next page starts. Opaque to clients; valid for the same filter and sort only.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RequestCursor {
    /// The last row given, or where the last scan stopped.
    rid: i64,
    /// Inside a window: its bounds `[from, to)` and the sorted value of the last row given.
    window: Option<(i64, i64, i64)>,
}

/// One page.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestPage {
    pub rows: Vec<RequestRow>,
    /// `Some` although `rows` is short or empty: the budget was used up, there may be more.
    pub next: Option<RequestCursor>,
}

/// A count that does not count for ever.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestCount {
    /// Rows counted, at most [`COUNT_CAP`].
    pub total: u64,
    /// False: there are at least so many.
    pub is_exact: bool,
}

#[derive(FromQueryResult)]
struct Key {
    rid: i64,
}

#[derive(FromQueryResult)]
struct Counted {
    total: i64,
}

/// One page of the requests that pass `filter`, after `after`. `limit` is held between 1 and [`LIMIT_MAX`].
///
/// # Errors
/// When the database cannot be read.
pub async fn list<C: ConnectionTrait>(
    connection: &C,
    filter: &RequestFilter,
    sort: RequestSort,
    after: Option<RequestCursor>,
    limit: u64,
) -> Result<RequestPage, DbErr> {
    let limit = limit.clamp(1, LIMIT_MAX);
    match sort {
        RequestSort::Newest => by_key(connection, filter, true, after, limit).await,
        RequestSort::Oldest => by_key(connection, filter, false, after, limit).await,
        RequestSort::By { column, descending } => {
            by_number(connection, filter, column, descending, after, limit).await
        }
    }
}

async fn by_key<C: ConnectionTrait>(
    connection: &C,
    filter: &RequestFilter,
    newest_first: bool,
    after: Option<RequestCursor>,
    limit: u64,
) -> Result<RequestPage, DbErr> {
    let (mut from, mut to) = range(filter);
    match after {
        Some(cursor) if newest_first => to = to.min(cursor.rid),
        Some(cursor) => from = from.max(cursor.rid.saturating_add(1)),
        None => {}
    }
    let edge = if filter.is_sparse() {
        edge(connection, filter, newest_first, from, to).await?
    } else {
        None
    };
    match edge {
        Some(edge) if newest_first => from = edge,
        Some(edge) => to = edge.saturating_add(1),
        None => {}
    }
    let order = Order {
        column: None,
        descending: newest_first,
    };
    let mut rows = rows(connection, filter, (from, to), "", order, limit + 1).await?;
    let full = rows.len() as u64 > limit;
    rows.truncate(limit as usize);
    let stopped = if full {
        rows.last().map(|row| row.rid)
    } else {
        edge
    };
    let next = stopped.map(|rid| RequestCursor { rid, window: None });
    Ok(RequestPage { rows, next })
}

async fn by_number<C: ConnectionTrait>(
    connection: &C,
    filter: &RequestFilter,
    column: SortColumn,
    descending: bool,
    after: Option<RequestCursor>,
    limit: u64,
) -> Result<RequestPage, DbErr> {
    let (least, mut to) = range(filter);
    let from;
    let mut condition = String::new();
    match after.map(|cursor| (cursor.rid, cursor.window)) {
        Some((rid, Some((window_from, window_to, value)))) => {
            (from, to) = (window_from, window_to);
            let (name, beyond) = (column.name(), if descending { "<" } else { ">" });
            // Numbers of our own, no text: nothing to inject.
            condition =
                format!(" AND ({name} {beyond} {value} OR ({name} = {value} AND rid < {rid}))");
        }
        start => {
            if let Some((rid, None)) = start {
                to = to.min(rid);
            }
            from = edge(connection, filter, true, least, to)
                .await?
                .unwrap_or(least);
        }
    }
    let order = Order {
        column: Some(column),
        descending,
    };
    let mut rows = rows(connection, filter, (from, to), &condition, order, limit + 1).await?;
    let full = rows.len() as u64 > limit;
    rows.truncate(limit as usize);
    let next = match rows.last() {
        Some(last) if full => Some(RequestCursor {
            rid: last.rid,
            window: Some((from, to, column.of(last))),
        }),
        _ if from > least => Some(RequestCursor {
            rid: from,
            window: None,
        }),
        _ => None,
    };
    Ok(RequestPage { rows, next })
}

fn range(filter: &RequestFilter) -> (i64, i64) {
    (
        filter.rid_from.unwrap_or(0),
        filter.rid_to.unwrap_or(i64::MAX),
    )
}

/// The rid of the last row the budget covers; `None` when the budget covers the whole range.
async fn edge<C: ConnectionTrait>(
    connection: &C,
    filter: &RequestFilter,
    newest_first: bool,
    from: i64,
    to: i64,
) -> Result<Option<i64>, DbErr> {
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT rid FROM request_logs WHERE ",
    );
    filter.drive(&mut sql, from, to);
    sql.push(if newest_first {
        " ORDER BY rid DESC"
    } else {
        " ORDER BY rid"
    });
    sql.push(" LIMIT 1 OFFSET ").bind((SCAN_BUDGET - 1) as i64);
    let key = Key::find_by_statement(sql.done()).one(connection).await?;
    Ok(key.map(|key| key.rid))
}

async fn rows<C: ConnectionTrait>(
    connection: &C,
    filter: &RequestFilter,
    (from, to): (i64, i64),
    condition: &str,
    order: Order,
    limit: u64,
) -> Result<Vec<RequestRow>, DbErr> {
    let statement = statement(connection, filter, (from, to), condition, order, limit);
    RequestRow::find_by_statement(statement)
        .all(connection)
        .await
}

fn statement<C: ConnectionTrait>(
    connection: &C,
    filter: &RequestFilter,
    (from, to): (i64, i64),
    condition: &str,
    order: Order,
    limit: u64,
) -> sea_orm::Statement {
    let mut sql = Sql::new(connection.get_database_backend(), "SELECT ");
    sql.push(COLUMNS)
        .push(" FROM (SELECT * FROM request_logs WHERE ");
    filter.drive(&mut sql, from, to);
    filter.rest(&mut sql);
    sql.push(condition).push(" ORDER BY ").push(&order.sql(""));
    sql.push(" LIMIT ")
        .bind(limit as i64)
        .push(") l")
        .push(JOINS);
    sql.push(" ORDER BY ").push(&order.sql("l."));
    sql.done()
}

/// The statement behind a first page, for looking at its plan.
pub fn explain<C: ConnectionTrait>(
    connection: &C,
    filter: &RequestFilter,
    sort: RequestSort,
) -> sea_orm::Statement {
    let order = match sort {
        RequestSort::By { column, descending } => Order {
            column: Some(column),
            descending,
        },
        sort => Order {
            column: None,
            descending: sort == RequestSort::Newest,
        },
    };
    statement(connection, filter, range(filter), "", order, LIMIT_MAX)
}

/// How many requests pass `filter`, up to [`COUNT_CAP`] and under the same budget as a list.
///
/// # Errors
/// When the database cannot be read.
pub async fn count<C: ConnectionTrait>(
    connection: &C,
    filter: &RequestFilter,
) -> Result<RequestCount, DbErr> {
    let (mut from, to) = range(filter);
    let edge = if filter.is_sparse() {
        edge(connection, filter, true, from, to).await?
    } else {
        None
    };
    from = edge.unwrap_or(from);
    let mut sql = Sql::new(
        connection.get_database_backend(),
        "SELECT count(*) AS total FROM (SELECT 1 FROM request_logs WHERE ",
    );
    filter.drive(&mut sql, from, to);
    filter.rest(&mut sql);
    sql.push(" LIMIT ")
        .bind((COUNT_CAP + 1) as i64)
        .push(") AS counted");
    let counted = Counted::find_by_statement(sql.done())
        .one(connection)
        .await?;
    let counted = counted.map_or(0, |counted| counted.total.unsigned_abs());
    Ok(RequestCount {
        total: counted.min(COUNT_CAP),
        is_exact: edge.is_none() && counted <= COUNT_CAP,
    })
}
