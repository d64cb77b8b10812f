//! Calls and their tries, between the ledger and files: read in the order of their ids with the names they refer to, and
//! put back where they are missing. Names are written into the file, so that it can be read without this database; put
//! back, those of apps, users and models are found or made, for their ids are the ledger's own.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, Statement, Value};
use steward_entities::database::push_place;

use super::sheet::{Cell, Columns, Kind, Row};
use Kind::{Flag, Number, Text, Time};

/// Columns of the request log, as they are there.
pub(super) static CALLS: Columns = &[
    ("rid", Number),
    ("id_tail", Number),
    ("request_at", Time),
    ("response_at", Time),
    ("token_id", Number),
    ("account_id", Number),
    ("tenant_id", Number),
    ("app_id", Number),
    ("end_user_id", Number),
    ("model_id", Number),
    ("upstream_model_id", Number),
    ("price_id", Number),
    ("duration_ms", Number),
    ("ttft_ms", Number),
    ("prompt_tokens", Number),
    ("completion_tokens", Number),
    ("total_tokens", Number),
    ("cached_tokens", Number),
    ("cache_write_tokens", Number),
    ("reasoning_tokens", Number),
    ("cost_nano", Number),
    ("status_code", Number),
    ("mode", Number),
    ("operation", Number),
    ("source", Number),
    ("node", Number),
    ("attempts", Number),
    ("attempt_offset_us", Number),
    ("attempt_ms", Number),
    ("stream", Flag),
    ("usage_estimated", Flag),
    ("priced", Flag),
    ("success", Flag),
    ("provider", Text),
    ("currency", Text),
    ("error_code", Text),
    ("error_message", Text),
    ("conversation_id", Text),
    ("client_ip", Text),
    ("upstream_request_id", Text),
    ("prompt_version_id", Number),
    ("knowledge", Text),
    ("cache_write_1h_tokens", Number),
    ("units", Number),
    // What its ids mean; not of the table itself.
    ("token_public_id", Text),
    ("token_name", Text),
    ("account_public_id", Text),
    ("account_name", Text),
    ("tenant_public_id", Text),
    ("tenant_name", Text),
    ("app", Text),
    ("user_name", Text),
    ("model", Text),
    ("upstream_model", Text),
    ("prompt_public_id", Text),
    ("prompt", Text),
];
/// So many of them are the table's.
const OWN: usize = 44;

/// Columns of the tries.
pub(super) static ATTEMPTS: Columns = &[
    ("rid", Number),
    ("started_at", Time),
    ("duration_ms", Number),
    ("account_id", Number),
    ("status_code", Number),
    ("ordinal", Number),
    ("error_code", Text),
];

/// Where a name in the file is found: its expression.
const NAMES: [&str; 12] = [
    "t.public_id",
    "t.name",
    "a.public_id",
    "a.name",
    "n.public_id",
    "n.name",
    "p.name",
    "u.name",
    "m.name",
    "um.name",
    "v.public_id",
    "v.name",
];

fn place(columns: Columns, name: &str) -> usize {
    let found = columns.iter().position(|(known, _)| *known == name);
    found.unwrap_or(columns.len())
}

/// A column as it is selected: one type for each kind, on both databases.
fn selected(of: &str, name: &str, kind: Kind) -> String {
    match kind {
        Number | Time => format!("CAST({of}.{name} AS BIGINT)"),
        Flag => format!("CAST(CASE WHEN {of}.{name} THEN 1 ELSE 0 END AS BIGINT)"),
        Text => format!("{of}.{name}"),
    }
}

fn row(found: &QueryResult, columns: Columns) -> Result<Row, DbErr> {
    let each = columns.iter().enumerate();
    each.map(|(at, (_, kind))| {
        Ok(match kind {
            Number | Time => Cell::Number(found.try_get_by_index(at)?),
            Text => Cell::Text(found.try_get_by_index(at)?),
            Flag => {
                let flag: Option<i64> = found.try_get_by_index(at)?;
                Cell::Flag(flag.map(|flag| flag != 0))
            }
        })
    })
    .collect()
}

/// Calls with ids in `(after, to)`, rising; at most so many.
pub(super) async fn calls(
    read: &impl ConnectionTrait,
    (after, to): (i64, i64),
    limit: u64,
) -> Result<Vec<Row>, DbErr> {
    let those = format!("l.rid > {after} AND l.rid < {to} ORDER BY l.rid LIMIT {limit}");
    select_calls(read, &those).await
}

/// Those of the calls with these ids that are there, rising.
pub(super) async fn calls_of(read: &impl ConnectionTrait, rids: &[i64]) -> Result<Vec<Row>, DbErr> {
    select_calls(read, &format!("l.rid IN ({}) ORDER BY l.rid", listed(rids))).await
}

/// The tries of calls with ids in `[from, to]`.
pub(super) async fn attempts(
    read: &impl ConnectionTrait,
    (from, to): (i64, i64),
) -> Result<Vec<Row>, DbErr> {
    select_attempts(read, &format!("l.rid >= {from} AND l.rid <= {to}")).await
}

/// The tries of calls with these ids.
pub(super) async fn attempts_of(
    read: &impl ConnectionTrait,
    rids: &[i64],
) -> Result<Vec<Row>, DbErr> {
    select_attempts(read, &format!("l.rid IN ({})", listed(rids))).await
}

/// Numbers: nothing of them comes from outside.
fn listed(rids: &[i64]) -> String {
    let rids: Vec<String> = rids.iter().map(i64::to_string).collect();
    rids.join(", ")
}

async fn select_calls(read: &impl ConnectionTrait, those: &str) -> Result<Vec<Row>, DbErr> {
    let own = CALLS[..OWN].iter();
    let mut columns: Vec<String> = own.map(|(name, kind)| selected("l", name, *kind)).collect();
    columns.extend(NAMES.map(str::to_owned));
    let sql = format!(
        "SELECT {} FROM request_logs l \
         LEFT JOIN dim_tokens t ON t.id = l.token_id \
         LEFT JOIN dim_accounts a ON a.id = l.account_id \
         LEFT JOIN dim_tenants n ON n.id = l.tenant_id \
         LEFT JOIN apps p ON p.id = l.app_id \
         LEFT JOIN end_users u ON u.id = l.end_user_id \
         LEFT JOIN models m ON m.id = l.model_id \
         LEFT JOIN models um ON um.id = l.upstream_model_id \
         LEFT JOIN dim_prompt_versions v ON v.id = l.prompt_version_id \
         WHERE {those}",
        columns.join(", ")
    );
    let asked = Statement::from_string(read.get_database_backend(), sql);
    let found = read.query_all_raw(asked).await?;
    found.iter().map(|found| row(found, CALLS)).collect()
}

async fn select_attempts(read: &impl ConnectionTrait, those: &str) -> Result<Vec<Row>, DbErr> {
    let columns: Vec<String> = ATTEMPTS
        .iter()
        .map(|(name, kind)| selected("l", name, *kind))
        .collect();
    let sql = format!(
        "SELECT {} FROM request_attempts l WHERE {those} ORDER BY l.rid, l.ordinal",
        columns.join(", ")
    );
    let asked = Statement::from_string(read.get_database_backend(), sql);
    let found = read.query_all_raw(asked).await?;
    found.iter().map(|found| row(found, ATTEMPTS)).collect()
}

/// The id of a call.
pub(super) fn rid(row: &[Cell]) -> i64 {
    row.first().and_then(Cell::number).unwrap_or(0)
}

/// Ids of names that this ledger gave, as far as they were looked up.
#[derive(Default)]
pub(super) struct Names(HashMap<(&'static str, String), i64>);

impl Names {
    async fn id(
        &mut self,
        txn: &DatabaseTransaction,
        table: &'static str,
        name: &str,
    ) -> Result<i64, DbErr> {
        if let Some(id) = self.0.get(&(table, name.to_owned())) {
            return Ok(*id);
        }
        let backend = txn.get_database_backend();
        let insert =
            format!("INSERT INTO {table} (name) VALUES ($1) ON CONFLICT (name) DO NOTHING");
        txn.execute_raw(Statement::from_sql_and_values(
            backend,
            insert,
            [name.into()],
        ))
        .await?;
        let select = format!("SELECT id FROM {table} WHERE name = $1");
        let found = txn
            .query_one_raw(Statement::from_sql_and_values(
                backend,
                select,
                [name.into()],
            ))
            .await?;
        let id = found.map_or(Ok(0), |row| row.try_get_by_index(0))?;
        self.0.insert((table, name.to_owned()), id);
        Ok(id)
    }
}

/// Puts calls back that are missing; how many.
pub(super) async fn put_back(
    txn: &DatabaseTransaction,
    mut rows: Vec<Row>,
    names: &mut Names,
) -> Result<u64, DbErr> {
    let at = |name: &str| place(CALLS, name);
    for (key, name, table) in [
        ("app_id", "app", "apps"),
        ("end_user_id", "user_name", "end_users"),
        ("model_id", "model", "models"),
        ("upstream_model_id", "upstream_model", "models"),
    ] {
        let (key, name) = (at(key), at(name));
        for row in &mut rows {
            if let Some(text) = row[name].text().map(str::to_owned) {
                let id = names.id(txn, table, &text).await?;
                row[key] = Cell::Number(Some(id));
            }
        }
    }
    for (table, key, public_id, name) in [
        ("dim_tokens", "token_id", "token_public_id", "token_name"),
        (
            "dim_accounts",
            "account_id",
            "account_public_id",
            "account_name",
        ),
        (
            "dim_tenants",
            "tenant_id",
            "tenant_public_id",
            "tenant_name",
        ),
        (
            "dim_prompt_versions",
            "prompt_version_id",
            "prompt_public_id",
            "prompt",
        ),
    ] {
        let known = rows.iter().filter_map(|row| {
            let id = row[at(key)].number()?;
            let public_id = row[at(public_id)].text()?;
            Some((id, (public_id, row[at(name)].text().unwrap_or_default())))
        });
        for (id, (public_id, name)) in known.collect::<HashMap<_, _>>() {
            let sql = format!(
                "INSERT INTO {table} (id, public_id, name) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING"
            );
            let values = [id.into(), public_id.into(), name.into()];
            let insert = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
            txn.execute_raw(insert).await?;
        }
    }
    insert(txn, "request_logs", &CALLS[..OWN], &rows).await
}

/// Puts tries back that are missing.
pub(super) async fn put_back_attempts(
    txn: &DatabaseTransaction,
    rows: &[Row],
) -> Result<u64, DbErr> {
    insert(txn, "request_attempts", ATTEMPTS, rows).await
}

async fn insert(
    txn: &DatabaseTransaction,
    table: &str,
    columns: &[(&'static str, Kind)],
    rows: &[Row],
) -> Result<u64, DbErr> {
    if rows.is_empty() {
        return Ok(0);
    }
    let backend = txn.get_database_backend();
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut values: Vec<Value> = Vec::with_capacity(rows.len() * columns.len());
    let mut sql = format!("INSERT INTO {table} ({}) VALUES ", names.join(", "));
    for (at, row) in rows.iter().enumerate() {
        sql.push_str(if at == 0 { "(" } else { ", (" });
        for (at, cell) in row.iter().take(columns.len()).enumerate() {
            values.push(match cell {
                Cell::Number(number) => (*number).into(),
                Cell::Text(text) => text.clone().into(),
                Cell::Flag(flag) => (*flag).into(),
            });
            sql.push_str(if at == 0 { "" } else { ", " });
            push_place(&mut sql, backend, values.len());
        }
        sql.push(')');
    }
    sql.push_str(" ON CONFLICT DO NOTHING");
    let insert = Statement::from_sql_and_values(backend, sql, values);
    Ok(txn.execute_raw(insert).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_columns_come_first_and_names_follow() {
        assert_eq!(CALLS[OWN].0, "token_public_id");
        assert_eq!(CALLS.len(), OWN + NAMES.len());
        assert_eq!(CALLS[0].0, "rid");
    }
}
