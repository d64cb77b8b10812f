//! Records to write, and what the books must say afterwards.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use steward_actors::domain::record::{Attempt, Record};

pub(crate) const NODE: u8 = 3;
pub(crate) const NOW_MS: i64 = 1_795_000_000_000;

/// The `n`th record of a life: varied, deterministic.
pub(crate) fn record(n: u64) -> Record {
    let at = n as i64;
    let failed = n.is_multiple_of(33);
    let request_at = (NOW_MS + at) * 1_000;
    let account = 1 + at % 5;
    let mut record = Record {
        rid: ((NOW_MS + at) << 20) | (i64::from(NODE) << 12),
        id_tail: n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 10,
        token_id: 1 + at % 7,
        token_public_id: format!("tok_{:022}", at % 7),
        token_name: format!("token {}", at % 7),
        account_id: account,
        account_public_id: format!("acc_{account:022}"),
        account_name: format!("account {account}"),
        tenant_id: at % 3,
        tenant_public_id: format!("ten_{:022}", at % 3),
        tenant_name: format!("tenant {}", at % 3),
        app: ["", "chat", "search"][n as usize % 3].into(),
        end_user: format!("user-{}", at % 200),
        provider: "openai".into(),
        model: "gpt-4o-mini".into(),
        upstream_model: "gpt-4o-mini-2024-07-18".into(),
        operation: 1,
        stream: n.is_multiple_of(2),
        request_at,
        response_at: request_at + 1_234_000,
        duration_ms: 1_000 + at % 900,
        ttft_ms: (!failed).then_some(320),
        prompt_tokens: 900,
        completion_tokens: 100 + at % 50,
        total_tokens: 1_000 + at % 50,
        currency: "USD".into(),
        cost_nano: 195_000,
        priced: true,
        price_id: 4,
        status_code: if failed { 502 } else { 200 },
        success: !failed,
        ..Record::default()
    };
    if failed {
        record.error_code = "upstream_down".into();
        record.error_message = "the upstream closed the connection".into();
    }
    record.attempts = vec![Attempt {
        account_id: account,
        account_public_id: record.account_public_id.clone(),
        account_name: record.account_name.clone(),
        started_at: request_at + 1_700,
        duration_ms: 1_200,
        status_code: record.status_code,
        error_code: record.error_code.clone(),
    }];
    record
}

/// Records `range` with their numbers as sequence numbers.
pub(crate) fn entries(range: std::ops::Range<u64>) -> Vec<(u64, Record)> {
    range.map(|n| (n, record(n))).collect()
}

/// The first column of a query's only row.
pub(crate) async fn number(connection: &DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index::<Option<i64>>(0)
        .unwrap()
        .unwrap_or_default()
}

/// Runs a statement as it stands.
pub(crate) async fn execute(connection: &DatabaseConnection, sql: &str) {
    connection.execute_unprepared(sql).await.unwrap();
}

/// Asserts that exactly the records numbered by `numbers` are on the books, once, with exact totals.
pub(crate) async fn assert_books(
    connection: &DatabaseConnection,
    numbers: impl Iterator<Item = u64>,
) {
    let mut expected: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    let (mut rows, mut rids) = (0, 0_i64);
    for n in numbers {
        let record = record(n);
        let total = expected.entry(record.token_id).or_default();
        total.0 += 1;
        total.1 += record.total_tokens;
        rows += 1;
        rids = rids.wrapping_add(record.rid & 0xffff_ffff_ffff);
    }
    assert_eq!(
        number(connection, "SELECT count(*) FROM request_logs").await,
        rows
    );
    assert_eq!(
        number(connection, "SELECT count(*) FROM request_attempt_view").await,
        rows
    );
    let sum = "SELECT CAST(sum(rid & 281474976710655) AS BIGINT) FROM request_logs";
    assert_eq!(number(connection, sum).await, rids);
    let statement = Statement::from_string(
        connection.get_database_backend(),
        "SELECT token_id, CAST(sum(total_requests) AS BIGINT), CAST(sum(total_tokens) AS BIGINT) \
         FROM token_totals GROUP BY token_id",
    );
    let mut totals = BTreeMap::new();
    for row in connection.query_all_raw(statement).await.unwrap() {
        let get = |index| row.try_get_by_index::<i64>(index).unwrap();
        totals.insert(get(0), (get(1), get(2)));
    }
    assert_eq!(totals, expected);
    // Whatever was replayed in whatever order, the last use is the last use.
    for (totals, id, last) in [
        ("token_totals", "token_id", "last_used_at"),
        ("tenant_totals", "tenant_id", "last_active_at"),
    ] {
        let wrong = format!(
            "SELECT count(*) FROM (SELECT {id} AS id, max({last}) AS last FROM {totals} GROUP BY {id}) t \
             LEFT JOIN (SELECT {id} AS id, max(response_at) AS last FROM request_logs GROUP BY {id}) l \
             ON l.id = t.id WHERE l.last IS NULL OR l.last <> t.last"
        );
        assert_eq!(number(connection, &wrong).await, 0, "{totals}");
    }
    let orphans = "SELECT count(*) FROM request_log_view WHERE token_id IS NULL OR user_name IS NULL \
                   OR model IS NULL OR account_name IS NULL";
    assert_eq!(number(connection, orphans).await, 0);
}
