//! Monthly partitions of `request_logs` and `request_attempts`: this month and two ahead.
//!
//! Months are UTC and follow rid (acceptance). Making one is idempotent and safe from several nodes (an
//! advisory lock); one that cannot be made because the default partition already holds rows of its month is
//! left out and told.

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, AssertSqlSafe, Connection as _};

use crate::domain::rid::Rid;
use crate::ledger_store::{Prepared, WriteError};

const AHEAD: u32 = 2;
/// Key of the advisory lock; any constant that nothing else in the database uses.
const LOCK: i64 = 0x5354_5750;
const STRAY_ROWS_COUNTED: i64 = 1_000;

pub(super) async fn ensure(
    connection: &mut PgConnection,
    now_ms: i64,
) -> Result<Prepared, WriteError> {
    for (name, from, to) in months(now_ms) {
        for table in ["request_logs", "request_attempts"] {
            create(connection, table, &name, from, to).await?;
        }
    }
    let stray_rows: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT 1 FROM request_logs_default LIMIT $1) AS strays",
    )
    .bind(STRAY_ROWS_COUNTED)
    .fetch_one(&mut *connection)
    .await?;
    Ok(Prepared {
        stray_rows: stray_rows.unsigned_abs(),
    })
}

async fn create(
    connection: &mut PgConnection,
    table: &str,
    month: &str,
    from: Rid,
    to: Rid,
) -> Result<(), WriteError> {
    let name = format!("{table}_{month}");
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(&name)
        .fetch_one(&mut *connection)
        .await?;
    if exists {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    // It waits for whoever reads the table, and everybody who comes later would wait for it.
    sqlx::query("SET LOCAL lock_timeout = '2s'")
        .execute(&mut *transaction)
        .await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *transaction)
        .await?;
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} FOR VALUES FROM ({}) TO ({})",
        from.0, to.0
    );
    match sqlx::query(AssertSqlSafe(sql))
        .execute(&mut *transaction)
        .await
    {
        Ok(_) => Ok(transaction.commit().await?),
        Err(error) => match WriteError::from(error) {
            WriteError::Data(reason) => {
                tracing::warn!(
                    partition = name,
                    reason,
                    "the default partition holds rows of this month; it gets no partition of its own"
                );
                Ok(())
            }
            unavailable => Err(unavailable),
        },
    }
}

/// Name and bounds of this month and the two ahead.
fn months(now_ms: i64) -> Vec<(String, Rid, Rid)> {
    let Some(now) = DateTime::<Utc>::from_timestamp_millis(now_ms) else {
        return Vec::new();
    };
    let first = |ahead: u32| {
        now.date_naive()
            .with_day(1)?
            .checked_add_months(Months::new(ahead))
    };
    let floor = |day: NaiveDate| {
        Rid::floor_of_ms(
            day.and_time(chrono::NaiveTime::MIN)
                .and_utc()
                .timestamp_millis(),
        )
    };
    (0..=AHEAD)
        .filter_map(|ahead| {
            let (start, end) = (first(ahead)?, first(ahead + 1)?);
            let name = format!("y{:04}m{:02}", start.year(), start.month());
            Some((name, floor(start), floor(end)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_meet_and_cross_the_year() {
        let november_2026 = 1_795_000_000_000;
        let months = months(november_2026);
        let names: Vec<_> = months.iter().map(|month| month.0.as_str()).collect();
        assert_eq!(names, ["y2026m11", "y2026m12", "y2027m01"]);
        assert!(months.windows(2).all(|pair| pair[0].2 == pair[1].1));
        assert!(months[0].1 <= Rid::floor_of_ms(november_2026));
        assert!(months[0].2 > Rid::floor_of_ms(november_2026));
    }
}
