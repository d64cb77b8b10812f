//! Rows as columns: arrays for `UNNEST`, the binary format for `COPY`.

use sea_orm::sqlx::postgres::{PgArguments, PgConnection};
use sea_orm::sqlx::{self, Arguments, Executor};

use crate::domain::record::Attempt;
use crate::ledger_store::WriteError;
use crate::ledger_store::row::{self, BIGS, FLAGS, INTS, Row, SMALLS, TEXTS, WIDTH};

/// Lives as long as the connection, is empty between transactions, never logged to the WAL.
const STAGE: &str = "request_logs_stage";

pub(super) fn insert_from_arrays() -> String {
    let columns = row::columns();
    let types = [
        ("bigint", BIGS.len()),
        ("integer", INTS.len()),
        ("smallint", SMALLS.len()),
        ("boolean", FLAGS.len()),
        ("text", TEXTS.len()),
    ];
    let arrays: Vec<String> = types
        .into_iter()
        .flat_map(|(name, many)| std::iter::repeat_n(name, many))
        .enumerate()
        .map(|(index, name)| format!("${}::{name}[]", index + 1))
        .collect();
    format!(
        "INSERT INTO request_logs ({columns}) SELECT * FROM UNNEST({})",
        arrays.join(", ")
    )
}

pub(super) fn insert_from_stage() -> String {
    let columns = row::columns();
    format!("INSERT INTO request_logs ({columns}) SELECT {columns} FROM {STAGE}")
}

fn bound(error: sqlx::error::BoxDynError) -> WriteError {
    WriteError::Data(error.to_string())
}

pub(super) fn arrays(rows: &[Row<'_>]) -> Result<PgArguments, WriteError> {
    let mut arguments = PgArguments::default();
    for column in 0..BIGS.len() {
        if Row::may_be_null(column) {
            let values: Vec<Option<i64>> = rows.iter().map(|row| row.big(column)).collect();
            arguments.add(values).map_err(bound)?;
        } else {
            let values: Vec<i64> = rows.iter().map(|row| row.bigs[column]).collect();
            arguments.add(values).map_err(bound)?;
        }
    }
    let codes: Vec<i32> = rows.iter().map(|row| row.status_code).collect();
    arguments.add(codes).map_err(bound)?;
    for column in 0..SMALLS.len() {
        let values: Vec<i16> = rows.iter().map(|row| row.smalls[column]).collect();
        arguments.add(values).map_err(bound)?;
    }
    for column in 0..FLAGS.len() {
        let values: Vec<bool> = rows.iter().map(|row| row.flags[column]).collect();
        arguments.add(values).map_err(bound)?;
    }
    for column in 0..TEXTS.len() {
        let values: Vec<Option<&str>> = rows.iter().map(|row| row.text(column)).collect();
        arguments.add(values).map_err(bound)?;
    }
    Ok(arguments)
}

/// Fills the staging table of this connection, making it on first use.
pub(super) async fn copy_into_stage(
    transaction: &mut PgConnection,
    rows: &[Row<'_>],
) -> Result<(), WriteError> {
    let columns = row::columns();
    let exists: bool =
        sqlx::query_scalar("SELECT to_regclass('pg_temp.request_logs_stage') IS NOT NULL")
            .fetch_one(&mut *transaction)
            .await?;
    if !exists {
        let sql = format!(
            "CREATE TEMP TABLE {STAGE} ON COMMIT DELETE ROWS AS SELECT {columns} FROM request_logs WHERE FALSE"
        );
        transaction.execute(sqlx::AssertSqlSafe(sql)).await?;
    }
    let statement = format!("COPY {STAGE} ({columns}) FROM STDIN (FORMAT binary)");
    let bytes = encode(rows)?;
    let mut copy = transaction.copy_in_raw(&statement).await?;
    if let Err(error) = copy.send(bytes).await {
        copy.abort("the batch could not be sent").await?;
        return Err(error.into());
    }
    copy.finish().await?;
    Ok(())
}

/// The binary format of `COPY`: a header, per row the number of fields and each field's length and bytes.
fn encode(rows: &[Row<'_>]) -> Result<Vec<u8>, WriteError> {
    let mut bytes = Vec::with_capacity(19 + rows.len() * (BIGS.len() * 12 + 200));
    bytes.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
    let width = i16::try_from(WIDTH).unwrap_or(i16::MAX);
    for row in rows {
        bytes.extend_from_slice(&width.to_be_bytes());
        for column in 0..BIGS.len() {
            let big = row.big(column).map(i64::to_be_bytes);
            field(&mut bytes, big.as_ref())?;
        }
        field(&mut bytes, Some(&row.status_code.to_be_bytes()))?;
        for small in row.smalls {
            field(&mut bytes, Some(&small.to_be_bytes()))?;
        }
        for flag in row.flags {
            field(&mut bytes, Some(&[u8::from(flag)]))?;
        }
        for column in 0..TEXTS.len() {
            field(&mut bytes, row.text(column).map(str::as_bytes))?;
        }
    }
    bytes.extend_from_slice(&(-1_i16).to_be_bytes());
    Ok(bytes)
}

fn field<T: AsRef<[u8]> + ?Sized>(
    bytes: &mut Vec<u8>,
    value: Option<&T>,
) -> Result<(), WriteError> {
    match value {
        None => bytes.extend_from_slice(&(-1_i32).to_be_bytes()),
        Some(value) => {
            let value = value.as_ref();
            let length = i32::try_from(value.len())
                .map_err(|_| WriteError::Data("a text is longer than 2 GiB".into()))?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(value);
        }
    }
    Ok(())
}

/// Attempts as columns.
#[derive(Default)]
pub(super) struct Attempts {
    rids: Vec<i64>,
    ordinals: Vec<i16>,
    started_at: Vec<i64>,
    durations_ms: Vec<i64>,
    accounts: Vec<i64>,
    codes: Vec<i32>,
    errors: Vec<Option<String>>,
}

impl Attempts {
    pub(super) fn is_empty(&self) -> bool {
        self.rids.is_empty()
    }

    pub(super) fn push(&mut self, rid: i64, ordinal: i16, attempt: &Attempt) {
        self.rids.push(rid);
        self.ordinals.push(ordinal);
        self.started_at.push(attempt.started_at);
        self.durations_ms.push(attempt.duration_ms);
        self.accounts.push(attempt.account_id);
        self.codes.push(attempt.status_code);
        let error = row::clean(&attempt.error_code);
        self.errors
            .push((!error.is_empty()).then(|| error.into_owned()));
    }

    pub(super) async fn insert(self, transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO request_attempts (rid, ordinal, started_at, duration_ms, account_id, status_code, error_code) \
             SELECT * FROM UNNEST($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[], $7::text[]) \
             ON CONFLICT DO NOTHING",
        )
        .bind(self.rids)
        .bind(self.ordinals)
        .bind(self.started_at)
        .bind(self.durations_ms)
        .bind(self.accounts)
        .bind(self.codes)
        .bind(self.errors)
        .execute(&mut *transaction)
        .await?;
        Ok(())
    }
}
