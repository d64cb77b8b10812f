//! Rows that go when they have grown old, whatever they are: how many there are, since when, and taking some of them away.
//!
//! Which tables these are, how long their rows stay and when they go is not decided here.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement};

use crate::archive_late;

/// A table whose rows grow old.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Expiring {
    pub table: &'static str,
    /// What its rows are told apart by.
    pub key: &'static str,
    /// The column that says how old a row is.
    pub age: &'static str,
    /// Only rows for which this holds may go; SQL, empty for all of them.
    pub only: &'static str,
}

const fn by_id(table: &'static str, age: &'static str) -> Expiring {
    Expiring {
        table,
        key: "id",
        age,
        only: "",
    }
}

pub const SYSTEM_LOGS: Expiring = by_id("system_logs", "at");
pub const HEALTH_CHECKS: Expiring = by_id("health_checks", "at");
pub const METRICS_SNAPSHOTS: Expiring = by_id("metrics_snapshots", "at");
pub const DELIVERIES: Expiring = by_id("deliveries", "at");
/// Sessions that ended, by their end.
pub const SESSIONS: Expiring = by_id("sessions", "expires_at");
/// Notices that arrived, and those of which somebody decided that they are not needed. What nobody got stays until then.
pub const OUTBOX: Expiring = Expiring {
    only: "state IN ('delivered', 'discarded')",
    ..by_id("outbox", "done_at")
};
/// Incidents that are over, with their steps.
pub const ALERTS: Expiring = Expiring {
    only: "resolved_at IS NOT NULL",
    ..by_id("alerts", "resolved_at")
};
pub const IDEMPOTENCY_KEYS: Expiring = Expiring {
    table: "idempotency_keys",
    key: "operator_id, key",
    age: "created_at",
    only: "",
};
/// Counts by the hour of every token, account, mode and model; the table has no key of one column.
pub const USAGE_STATS_HOURLY: Expiring = Expiring {
    table: "usage_stats_hourly",
    key: "bucket, token_id, model_id, account_id, mode, node",
    age: "bucket",
    only: "",
};
/// The request log, by record ids: its age is in them.
pub const REQUEST_LOGS: Expiring = Expiring {
    table: "request_logs",
    key: "rid",
    age: "rid",
    only: "",
};

/// What there is of a table.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Census {
    /// Rows; at most as many as were asked to be counted.
    pub rows: u64,
    /// The age column of the oldest row.
    pub oldest: Option<i64>,
}

fn value(row: Option<QueryResult>) -> Result<Option<i64>, DbErr> {
    row.map_or(Ok(None), |row| row.try_get_by_index(0))
}

impl Expiring {
    fn and_only(&self) -> String {
        match self.only {
            "" => String::new(),
            only => format!(" AND {only}"),
        }
    }

    /// Rows of ages in `[from, to)`, and the oldest of them; counts at most `most`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn census(
        &self,
        connection: &impl ConnectionTrait,
        (from, to): (i64, i64),
        most: u64,
    ) -> Result<Census, DbErr> {
        let backend = connection.get_database_backend();
        let Self { table, age, .. } = self;
        let only = self.and_only();
        let bounds = || [from.into(), to.into()];
        let sql = format!("SELECT MIN({age}) FROM {table} WHERE {age} >= $1 AND {age} < $2{only}");
        let oldest = Statement::from_sql_and_values(backend, sql, bounds());
        let oldest = value(connection.query_one_raw(oldest).await?)?;
        let sql = format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE {age} >= $1 AND {age} < $2{only} LIMIT {most}) AS few"
        );
        let rows = Statement::from_sql_and_values(backend, sql, bounds());
        let rows = value(connection.query_one_raw(rows).await?)?.unwrap_or(0);
        Ok(Census {
            rows: rows.unsigned_abs(),
            oldest,
        })
    }

    /// Removes the oldest rows of ages in `[from, to)`, at most `most`; how many it removed.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn remove_some(
        &self,
        connection: &impl ConnectionTrait,
        (from, to): (i64, i64),
        most: u64,
    ) -> Result<u64, DbErr> {
        let backend = connection.get_database_backend();
        let Self {
            table, key, age, ..
        } = self;
        let only = self.and_only();
        let sql = format!(
            "DELETE FROM {table} WHERE ({key}) IN \
             (SELECT {key} FROM {table} WHERE {age} >= $1 AND {age} < $2{only} ORDER BY {age} LIMIT {most})"
        );
        let delete = Statement::from_sql_and_values(backend, sql, [from.into(), to.into()]);
        Ok(connection.execute_raw(delete).await?.rows_affected())
    }

    /// Bytes it takes on the disk, indexes included; `None` where the database cannot tell without reading it all.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn bytes(&self, connection: &impl ConnectionTrait) -> Result<Option<u64>, DbErr> {
        if connection.get_database_backend() != DbBackend::Postgres {
            return Ok(None);
        }
        // Of a partitioned table, that is what its partitions take; others are no tree.
        let sql = format!(
            "SELECT COALESCE((SELECT SUM(pg_total_relation_size(relid)) FROM pg_partition_tree('{0}')), \
             pg_total_relation_size('{0}'))::BIGINT",
            self.table
        );
        let asked = Statement::from_string(DbBackend::Postgres, sql);
        let bytes = value(connection.query_one_raw(asked).await?)?;
        Ok(bytes.map(i64::unsigned_abs))
    }
}

/// Removes the oldest calls of record ids in `[from, to)` from the request log, with their tries; at most `most`.
/// Rollups and totals keep counting them. `spares_late`: those that came for a month whose archive was begun stay until
/// they are in it ([`crate::archive_late`]); otherwise their marks go with them.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove_calls(
    connection: &impl ConnectionTrait,
    (from, to): (i64, i64),
    most: u64,
    spares_late: bool,
) -> Result<u64, DbErr> {
    let backend = connection.get_database_backend();
    let sql = format!(
        "SELECT MAX(rid) FROM \
         (SELECT rid FROM request_logs WHERE rid >= $1 AND rid < $2 ORDER BY rid LIMIT {most}) AS few"
    );
    let last = Statement::from_sql_and_values(backend, sql, [from.into(), to.into()]);
    let Some(last) = value(connection.query_one_raw(last).await?)? else {
        return Ok(0);
    };
    // In the statement itself: a row and its mark may be committed between one statement and the next.
    let spared = |table: &str| match spares_late {
        true => format!(
            " AND NOT EXISTS (SELECT 1 FROM archive_late late WHERE late.rid = {table}.rid)"
        ),
        false => String::new(),
    };
    let mut removed = 0;
    for table in ["request_attempts", "request_logs"] {
        let delete = Statement::from_sql_and_values(
            backend,
            format!(
                "DELETE FROM {table} WHERE rid >= $1 AND rid <= $2{}",
                spared(table)
            ),
            [from.into(), last.into()],
        );
        removed = connection.execute_raw(delete).await?.rows_affected();
    }
    if !spares_late {
        archive_late::forget(connection, (from, last)).await?;
    }
    Ok(removed)
}

/// Bytes of a SQLite file, and those of them that hold nothing; `None` on PostgreSQL.
///
/// # Errors
/// When the database cannot be read.
pub async fn file_bytes(connection: &impl ConnectionTrait) -> Result<Option<(u64, u64)>, DbErr> {
    let backend = connection.get_database_backend();
    if backend == DbBackend::Postgres {
        return Ok(None);
    }
    let mut told = [0_u64; 3];
    for (slot, pragma) in told
        .iter_mut()
        .zip(["page_size", "page_count", "freelist_count"])
    {
        let asked = Statement::from_string(backend, format!("PRAGMA {pragma}"));
        let number = value(connection.query_one_raw(asked).await?)?;
        *slot = number.unwrap_or(0).unsigned_abs();
    }
    let [size, pages, free] = told;
    Ok(Some((size * pages, size * free)))
}

/// What a database takes of the disk, in bytes: its file on SQLite, on PostgreSQL the tables of the connection's schema.
///
/// # Errors
/// When the database cannot be read.
pub async fn stored_bytes(connection: &impl ConnectionTrait) -> Result<u64, DbErr> {
    if let Some((bytes, _)) = file_bytes(connection).await? {
        return Ok(bytes);
    }
    let asked = Statement::from_string(
        connection.get_database_backend(),
        "SELECT COALESCE(SUM(pg_total_relation_size(oid)), 0)::BIGINT FROM pg_class \
         WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace",
    );
    let bytes = value(connection.query_one_raw(asked).await?)?;
    Ok(bytes.unwrap_or_default().unsigned_abs())
}

/// Gives some pages that hold nothing back to the disk; how many are left. SQLite only: PostgreSQL sees to it itself.
///
/// # Errors
/// When the database cannot be written.
pub async fn give_back(connection: &impl ConnectionTrait, pages: u64) -> Result<u64, DbErr> {
    let backend = connection.get_database_backend();
    if backend == DbBackend::Postgres {
        return Ok(0);
    }
    let vacuum = Statement::from_string(backend, format!("PRAGMA incremental_vacuum({pages})"));
    connection.query_all_raw(vacuum).await?;
    let left = Statement::from_string(backend, "PRAGMA freelist_count");
    let left = value(connection.query_one_raw(left).await?)?;
    Ok(left.unwrap_or(0).unsigned_abs())
}
