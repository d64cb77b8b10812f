//! Rows that come for a month whose archive was begun: what tells them from those that are in its files.
//!
//! The ledger and the store of conversations have these two tables each. A month is *sealed* before its rows are read for
//! the archive, and whoever stores a row of a sealed month *marks* it in the same transaction. So what is not marked was
//! there when the month was read. Once its files are in their place the month is *settled*: every row that is in the
//! database is in a file or is marked, and retention may let go the former. Marked rows are written as a further part of
//! the month: they are given its number first, so that a part that was interrupted is written again with all of them, and
//! one that arrived is known to have. Numbers are those of the month's manifests; the first is 1 and has no marks.

use sea_orm::{ConnectionTrait, DbErr, ExecResult, FromQueryResult, Statement, Value};

/// What is known of a month in one of these databases.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct State {
    /// Every row is in the archive's files, or marked.
    pub is_settled: bool,
    /// Rows that are marked.
    pub late: u64,
}

impl State {
    /// Whether all of the month is in the archive's files.
    pub const fn is_whole(self) -> bool {
        self.is_settled && self.late == 0
    }
}

/// Marks of one statement.
const MARKED_AT_ONCE: usize = 500;

#[derive(FromQueryResult)]
struct Number {
    number: i64,
}

fn statement<const N: usize>(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: [Value; N],
) -> Statement {
    Statement::from_sql_and_values(connection.get_database_backend(), sql, values)
}

async fn run<const N: usize>(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: [Value; N],
) -> Result<ExecResult, DbErr> {
    connection
        .execute_raw(statement(connection, sql, values))
        .await
}

async fn numbers<const N: usize>(
    connection: &impl ConnectionTrait,
    sql: &str,
    values: [Value; N],
) -> Result<Vec<i64>, DbErr> {
    let rows = Number::find_by_statement(statement(connection, sql, values))
        .all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| row.number).collect())
}

/// Seals the month of these record ids. On PostgreSQL the caller keeps writers out until this is committed.
///
/// # Errors
/// When the database cannot be written.
pub async fn seal(connection: &impl ConnectionTrait, (from, to): (i64, i64)) -> Result<(), DbErr> {
    let sql = "INSERT INTO archive_seals (rid_from, rid_to, is_settled) VALUES ($1, $2, FALSE) ON CONFLICT (rid_from) DO NOTHING";
    run(connection, sql, [from.into(), to.into()]).await?;
    Ok(())
}

/// What is not marked of the sealed month is in its files.
///
/// # Errors
/// When the database cannot be written.
pub async fn settle(connection: &impl ConnectionTrait, from: i64) -> Result<(), DbErr> {
    let sql = "UPDATE archive_seals SET is_settled = TRUE WHERE rid_from = $1";
    run(connection, sql, [from.into()]).await?;
    Ok(())
}

/// What is known of the month of these record ids.
///
/// # Errors
/// When the database cannot be read.
pub async fn state(
    connection: &impl ConnectionTrait,
    (from, to): (i64, i64),
) -> Result<State, DbErr> {
    let sql = "SELECT COUNT(*) AS number FROM archive_seals WHERE rid_from = $1 AND is_settled";
    let settled = numbers(connection, sql, [from.into()]).await?;
    let sql = "SELECT COUNT(*) AS number FROM archive_late WHERE rid >= $1 AND rid < $2";
    let late = numbers(connection, sql, [from.into(), to.into()]).await?;
    let first = |numbers: Vec<i64>| numbers.first().map_or(0, |number| number.unsigned_abs());
    Ok(State {
        is_settled: first(settled) > 0,
        late: first(late),
    })
}

/// Of these record ids, those in sealed months.
///
/// # Errors
/// When the database cannot be read.
pub async fn in_sealed(connection: &impl ConnectionTrait, rids: &[i64]) -> Result<Vec<i64>, DbErr> {
    #[derive(FromQueryResult)]
    struct Sealed {
        rid_from: i64,
        rid_to: i64,
    }
    let (Some(least), Some(greatest)) = (rids.iter().min(), rids.iter().max()) else {
        return Ok(Vec::new());
    };
    let sql = "SELECT rid_from, rid_to FROM archive_seals WHERE rid_to > $1 AND rid_from <= $2";
    let asked = statement(connection, sql, [(*least).into(), (*greatest).into()]);
    let sealed = Sealed::find_by_statement(asked).all(connection).await?;
    let is_in = |rid: i64| {
        sealed
            .iter()
            .any(|month| (month.rid_from..month.rid_to).contains(&rid))
    };
    Ok(rids.iter().copied().filter(|rid| is_in(*rid)).collect())
}

/// Marks rows; those that are marked stay as they are.
///
/// # Errors
/// When the database cannot be written.
pub async fn mark(connection: &impl ConnectionTrait, rids: &[i64]) -> Result<(), DbErr> {
    for some in rids.chunks(MARKED_AT_ONCE) {
        // Numbers: nothing of them comes from outside.
        let values: Vec<String> = some.iter().map(|rid| format!("({rid})")).collect();
        let sql = format!(
            "INSERT INTO archive_late (rid) VALUES {} ON CONFLICT (rid) DO NOTHING",
            values.join(", ")
        );
        run(connection, &sql, []).await?;
    }
    Ok(())
}

/// Marked rows with record ids in `[from, to)`, rising.
///
/// # Errors
/// When the database cannot be read.
pub async fn marked(
    connection: &impl ConnectionTrait,
    (from, to): (i64, i64),
) -> Result<Vec<i64>, DbErr> {
    let sql = "SELECT rid AS number FROM archive_late WHERE rid >= $1 AND rid < $2 ORDER BY rid";
    numbers(connection, sql, [from.into(), to.into()]).await
}

/// Gives the marked rows of a month that are in no part yet, or in one that was not finished, the number of the next.
///
/// # Errors
/// When the database cannot be written.
pub async fn assign(
    connection: &impl ConnectionTrait,
    (from, to): (i64, i64),
    part: i64,
) -> Result<(), DbErr> {
    let sql = "UPDATE archive_late SET part = $1 WHERE rid >= $2 AND rid < $3";
    run(connection, sql, [part.into(), from.into(), to.into()]).await?;
    Ok(())
}

/// Rows of a part with record ids in `(after, to)`, rising, at most `limit`.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_part(
    connection: &impl ConnectionTrait,
    (after, to): (i64, i64),
    part: i64,
    limit: u64,
) -> Result<Vec<i64>, DbErr> {
    let sql = format!(
        "SELECT rid AS number FROM archive_late WHERE rid > $1 AND rid < $2 AND part = $3 ORDER BY rid LIMIT {limit}"
    );
    numbers(connection, &sql, [after.into(), to.into(), part.into()]).await
}

/// The parts of a month up to this one are in their place: their rows are marked no more.
///
/// # Errors
/// When the database cannot be written.
pub async fn arrived(
    connection: &impl ConnectionTrait,
    (from, to): (i64, i64),
    part: i64,
) -> Result<(), DbErr> {
    let sql = "DELETE FROM archive_late WHERE rid >= $1 AND rid < $2 AND part <= $3";
    run(connection, sql, [from.into(), to.into(), part.into()]).await?;
    Ok(())
}

/// Rows with these ids in `[from, to]` are gone, and so are their marks.
///
/// # Errors
/// When the database cannot be written.
pub async fn forget(
    connection: &impl ConnectionTrait,
    (from, to): (i64, i64),
) -> Result<(), DbErr> {
    let sql = "DELETE FROM archive_late WHERE rid >= $1 AND rid <= $2";
    run(connection, sql, [from.into(), to.into()]).await?;
    Ok(())
}
