//! Reading the request log: every filter, every order, the scan budget, and the indexes behind them.
//!
//! Tests with `postgres` in their name need `STEWARD_TEST_POSTGRES_URL`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use sea_orm::{ConnectionTrait, Statement};
use steward_entities::database::DatabaseKind;
use steward_entities::ledger::request_filter::RequestFilter;
use steward_entities::ledger::request_page::{
    COUNT_CAP, RequestCount, RequestPage, RequestSort, SortColumn, count, explain, list,
};
use steward_entities::ledger::{dead_letter, name, request_log, total};
use steward_migration::testing::TestDatabase;

const ROWS: i64 = 45_000;

/// Rows 1..=ROWS: token n%4 + 1 except every 9,000th, which is token 9; status 502 every 1,000th; user and
/// app follow n; durations go up and down.
async fn fill(database: &TestDatabase) {
    let series = match database.kind {
        DatabaseKind::Sqlite => format!(
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {ROWS})"
        ),
        DatabaseKind::Postgres => format!("WITH s AS (SELECT generate_series(1, {ROWS}) AS n)"),
    };
    let rows = format!(
        "INSERT INTO request_logs (rid, id_tail, request_at, response_at, token_id, account_id, tenant_id, \
         app_id, end_user_id, model_id, duration_ms, total_tokens, status_code, mode, node, success, provider, \
         error_message, conversation_id) {series} SELECT n, n * 7, n, n + 5, \
         CASE WHEN n % 9000 = 0 THEN 9 ELSE n % 4 + 1 END, n % 3 + 1, n % 2, n % 2, n % 1000 + 1, 1, \
         (n * 7919) % 10007, n % 50, CASE WHEN n % 1000 = 0 THEN 502 ELSE 200 END, n % 2, 1, n % 1000 <> 0, \
         'openai', CASE WHEN n % 1000 = 0 THEN '100% broken_pipe' END, CASE WHEN n = 16077 THEN 'conv-77' END FROM s"
    );
    let names = match database.kind {
        DatabaseKind::Sqlite => {
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1000) \
            INSERT INTO end_users (name) SELECT 'user-' || n FROM s"
        }
        DatabaseKind::Postgres => {
            "INSERT INTO end_users (name) SELECT 'user-' || n FROM generate_series(1, 1000) AS n"
        }
    };
    for sql in [
        rows.as_str(),
        names,
        "INSERT INTO apps (name) VALUES ('chat')",
        "INSERT INTO models (name) VALUES ('gpt-4o')",
        "INSERT INTO dim_tokens VALUES (1, 'tok_1', 'first'), (9, 'tok_9', 'rare')",
        "INSERT INTO dim_accounts VALUES (1, 'acc_1', 'main', 'openai')",
        "INSERT INTO request_attempts (rid, ordinal, started_at, duration_ms, account_id, status_code, error_code) \
         VALUES (77, 2, 20, 1, 1, 200, NULL), (77, 1, 10, 1, 2, 429, 'limited')",
        "INSERT INTO token_totals VALUES (1, 1, 10, 100, 5), (1, 2, 1, 1, 9), (2, 1, 3, 3, 3)",
        "INSERT INTO tenant_totals VALUES (1, 1, 10, 100, 5)",
        "INSERT INTO dead_letters (node, seq, rid, reason, payload, created_at) VALUES (1, 5, NULL, 'x', '', 1)",
    ] {
        database.ledger.execute_unprepared(sql).await.unwrap();
    }
    if database.kind == DatabaseKind::Postgres {
        database.ledger.execute_unprepared("ANALYZE").await.unwrap();
    }
}

fn rids(page: &RequestPage) -> Vec<i64> {
    page.rows.iter().map(|row| row.rid).collect()
}

/// Every rid a filter finds, page by page, and the number of pages.
async fn all(
    database: &TestDatabase,
    filter: &RequestFilter,
    sort: RequestSort,
    limit: u64,
) -> (Vec<i64>, usize) {
    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = list(&database.ledger_read, filter, sort, after, limit)
            .await
            .unwrap();
        found.extend(rids(&page));
        pages += 1;
        assert!(pages < 1_000, "the list does not end");
        after = page.next;
        if after.is_none() {
            return (found, pages);
        }
    }
}

fn expected(keep: impl Fn(i64) -> bool) -> Vec<i64> {
    (1..=ROWS).rev().filter(|n| keep(*n)).collect()
}

async fn every_filter_finds_exactly_its_rows(database: TestDatabase) {
    fill(&database).await;
    let token = |n: i64| if n % 9_000 == 0 { 9 } else { n % 4 + 1 };
    let none = || RequestFilter {
        rid_from: Some(15_001),
        rid_to: Some(19_001),
        ..RequestFilter::default()
    };
    let rare = RequestFilter {
        token_id: Some(9),
        ..RequestFilter::default()
    };
    let text = |text: &str| Some(text.to_owned());
    type Keep = Box<dyn Fn(i64) -> bool>;
    let cases: Vec<(RequestFilter, Keep)> = vec![
        (rare, Box::new(move |n| token(n) == 9)),
        (none(), Box::new(|_| true)),
        (
            RequestFilter {
                token_id: Some(9),
                ..none()
            },
            Box::new(move |n| token(n) == 9),
        ),
        (
            RequestFilter {
                account_id: Some(2),
                ..none()
            },
            Box::new(|n| n % 3 + 1 == 2),
        ),
        (
            RequestFilter {
                token_id: Some(2),
                account_id: Some(2),
                ..none()
            },
            Box::new(move |n| token(n) == 2 && n % 3 + 1 == 2),
        ),
        (
            RequestFilter {
                tenant_id: Some(1),
                ..none()
            },
            Box::new(|n| n % 2 == 1),
        ),
        (
            RequestFilter {
                app: text("chat"),
                ..none()
            },
            Box::new(|n| n % 2 == 1),
        ),
        (
            RequestFilter {
                app: text(""),
                ..none()
            },
            Box::new(|n| n % 2 == 0),
        ),
        (
            RequestFilter {
                app: text("nobody's"),
                ..none()
            },
            Box::new(|_| false),
        ),
        (
            RequestFilter {
                user: text("user-7"),
                ..none()
            },
            Box::new(|n| n % 1_000 + 1 == 7),
        ),
        (
            RequestFilter {
                model: text("gpt-4o"),
                mode: Some(1),
                ..none()
            },
            Box::new(|n| n % 2 == 1),
        ),
        (
            RequestFilter {
                provider: text("anthropic"),
                ..none()
            },
            Box::new(|_| false),
        ),
        (
            RequestFilter {
                success: Some(false),
                ..none()
            },
            Box::new(|n| n % 1_000 == 0),
        ),
        (
            RequestFilter {
                status_code: Some(502),
                ..none()
            },
            Box::new(|n| n % 1_000 == 0),
        ),
        (
            RequestFilter {
                status_code: Some(502),
                success: Some(true),
                ..none()
            },
            Box::new(|_| false),
        ),
        (
            RequestFilter {
                status_code: Some(200),
                token_id: Some(9),
                ..none()
            },
            Box::new(|_| false),
        ),
        (
            RequestFilter {
                min_duration_ms: Some(10_000),
                ..none()
            },
            Box::new(|n| (n * 7_919) % 10_007 >= 10_000),
        ),
        (
            RequestFilter {
                q: text("100% BROKEN_"),
                ..none()
            },
            Box::new(|n| n % 1_000 == 0),
        ),
        (
            RequestFilter {
                q: text("100%broken"),
                ..none()
            },
            Box::new(|_| false),
        ),
        (
            RequestFilter {
                q: text("conv-77"),
                ..none()
            },
            Box::new(|n| n == 16_077),
        ),
        (
            RequestFilter {
                q: text("RARE"),
                ..none()
            },
            Box::new(move |n| token(n) == 9),
        ),
        (
            RequestFilter {
                rid_from: Some(100),
                rid_to: Some(200),
                ..none()
            },
            Box::new(|n| (100..200).contains(&n)),
        ),
    ];
    for (filter, keep) in cases {
        let (from, to) = (
            filter.rid_from.unwrap_or(1),
            filter.rid_to.unwrap_or(ROWS + 1),
        );
        let expected = expected(|n| (from..to).contains(&n) && keep(n));
        let (found, _) = all(&database, &filter, RequestSort::Newest, 1_000).await;
        assert_eq!(found, expected, "{filter:?}");
        let (mut found, _) = all(&database, &filter, RequestSort::Oldest, 1_000).await;
        found.reverse();
        assert_eq!(found, expected, "oldest first: {filter:?}");
        for sort in [
            (SortColumn::DurationMs, true),
            (SortColumn::StatusCode, false),
        ] {
            let (column, descending) = sort;
            let sort = RequestSort::By { column, descending };
            let (mut found, _) = all(&database, &filter, sort, 1_000).await;
            found.sort_by_key(|rid| -rid);
            assert_eq!(found, expected, "{sort:?}: {filter:?}");
        }
        let counted = count(&database.ledger_read, &filter).await.unwrap();
        let many = expected.len() as u64;
        assert!(
            counted.total <= many && (!counted.is_exact || counted.total == many),
            "{filter:?}"
        );
    }
}

async fn a_call_looks_at_a_bounded_number_of_rows(database: TestDatabase) {
    fill(&database).await;
    // Nobody matches: every call stops at the budget and says where to go on.
    let filter = RequestFilter {
        min_duration_ms: Some(1 << 40),
        ..RequestFilter::default()
    };
    for sort in [RequestSort::Newest, RequestSort::Oldest] {
        let first = list(&database.ledger_read, &filter, sort, None, 50)
            .await
            .unwrap();
        assert!(first.rows.is_empty() && first.next.is_some());
        let (found, pages) = all(&database, &filter, sort, 50).await;
        assert_eq!((found.len(), pages), (0, 3));
    }
    let counted = count(&database.ledger_read, &filter).await.unwrap();
    assert_eq!(
        counted,
        RequestCount {
            total: 0,
            is_exact: false
        }
    );
    let everything = count(&database.ledger_read, &RequestFilter::default())
        .await
        .unwrap();
    assert_eq!(
        everything,
        RequestCount {
            total: COUNT_CAP,
            is_exact: false
        }
    );
    let failed = RequestFilter {
        status_code: Some(502),
        ..RequestFilter::default()
    };
    let counted = count(&database.ledger_read, &failed).await.unwrap();
    assert_eq!(
        counted,
        RequestCount {
            total: 45,
            is_exact: true
        }
    );
}

async fn numbers_are_sorted_within_windows(database: TestDatabase) {
    fill(&database).await;
    let sort = RequestSort::By {
        column: SortColumn::DurationMs,
        descending: true,
    };
    let filter = RequestFilter {
        rid_from: Some(1_001),
        rid_to: Some(16_001),
        ..RequestFilter::default()
    };
    let (found, _) = all(&database, &filter, sort, 700).await;
    let mut sorted: Vec<i64> = (1_001..16_001).collect();
    sorted.sort_by_key(|n| (-((n * 7_919) % 10_007), -n));
    assert_eq!(found, sorted);
    // The newest 20,000 come before anything older, however slow the older ones were.
    let (mut found, mut after) = (Vec::new(), None);
    for _ in 0..20 {
        let everything = RequestFilter::default();
        let page = list(&database.ledger_read, &everything, sort, after, 1_000)
            .await
            .unwrap();
        found.extend(rids(&page));
        after = page.next;
    }
    let mut newest: Vec<i64> = (ROWS - 19_999..=ROWS).collect();
    newest.sort_by_key(|n| (-((n * 7_919) % 10_007), -n));
    assert_eq!(found, newest);
}

async fn one_request_has_its_names_and_attempts(database: TestDatabase) {
    fill(&database).await;
    let connection = &database.ledger_read;
    assert!(
        request_log::find(connection, 77, 1)
            .await
            .unwrap()
            .is_none()
    );
    let found = request_log::find(connection, 77, 77 * 7)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.row.model.as_deref(), Some("gpt-4o"));
    assert_eq!(found.row.user_name.as_deref(), Some("user-78"));
    assert_eq!(found.row.upstream_model, None);
    let attempts: Vec<_> = found
        .attempts
        .iter()
        .map(|attempt| (attempt.ordinal, attempt.status_code))
        .collect();
    assert_eq!(attempts, [(1, 429), (2, 200)]);
    assert_eq!(found.attempts[1].account_name.as_deref(), Some("main"));

    let totals = total::of_tokens(connection, &[1, 3]).await.unwrap();
    assert_eq!(totals.len(), 1);
    assert_eq!(
        (
            totals[&1].total_requests,
            totals[&1].total_tokens,
            totals[&1].last_at
        ),
        (11, 101, 9)
    );
    assert!(total::of_tokens(connection, &[]).await.unwrap().is_empty());
    assert_eq!(total::of_all_tokens(connection).await.unwrap().len(), 2);
    assert_eq!(
        total::of_tenants(connection, &[1]).await.unwrap()[&1].total_requests,
        10
    );
    let letters = dead_letter::list(connection, None, 10).await.unwrap();
    assert_eq!(
        (letters.len(), letters[0].seq, letters[0].rid),
        (1, 5, None)
    );
    assert!(
        dead_letter::list(connection, Some(letters[0].id), 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(dead_letter::waiting(connection).await.unwrap(), 1);
    let id = name::id_of(connection, name::Dimension::Token, "tok_9")
        .await
        .unwrap();
    assert_eq!(id, Some(9));
}

macro_rules! on_both {
    ($($check:ident => $sqlite:ident, $postgres:ident);* $(;)?) => {$(
        #[tokio::test]
        async fn $sqlite() {
            $check(TestDatabase::sqlite().await).await;
        }
        #[tokio::test]
        async fn $postgres() {
            $check(TestDatabase::postgres().await).await;
        }
    )*};
}

on_both! {
    every_filter_finds_exactly_its_rows => filters_sqlite, filters_postgres;
    a_call_looks_at_a_bounded_number_of_rows => budget_sqlite, budget_postgres;
    numbers_are_sorted_within_windows => windows_sqlite, windows_postgres;
    one_request_has_its_names_and_attempts => detail_sqlite, detail_postgres;
}

#[tokio::test]
async fn sqlite_uses_the_index_that_drives() {
    let database = TestDatabase::sqlite().await;
    fill(&database).await;
    let none = RequestFilter::default;
    let newest = RequestSort::Newest;
    for (filter, index) in [
        (
            none(),
            "SEARCH request_logs USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        ),
        (
            RequestFilter {
                token_id: Some(9),
                ..none()
            },
            "request_logs_token (token_id=? AND rowid>? AND rowid<?)",
        ),
        (
            RequestFilter {
                account_id: Some(1),
                token_id: Some(9),
                success: Some(false),
                ..none()
            },
            "request_logs_token (token_id=?",
        ),
        (
            RequestFilter {
                account_id: Some(1),
                q: Some("x".into()),
                ..none()
            },
            "request_logs_account (account_id=?",
        ),
        (
            RequestFilter {
                status_code: Some(502),
                ..none()
            },
            "request_logs_failed (status_code=? AND rowid>?",
        ),
        (
            RequestFilter {
                success: Some(false),
                ..none()
            },
            "request_logs_failures (success=? AND rowid>? AND rowid<?)",
        ),
        (
            RequestFilter {
                q: Some("x".into()),
                success: Some(false),
                ..none()
            },
            "request_logs_failures (success=? AND rowid>? AND rowid<?)",
        ),
        (
            RequestFilter {
                q: Some("x".into()),
                success: Some(true),
                ..none()
            },
            "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        ),
    ] {
        let statement = explain(&database.ledger_read, &filter, newest);
        let statement = Statement::from_sql_and_values(
            statement.db_backend,
            format!("EXPLAIN QUERY PLAN {}", statement.sql),
            statement.values.unwrap(),
        );
        let plan: Vec<String> = database
            .ledger_read
            .query_all_raw(statement)
            .await
            .unwrap()
            .iter()
            .map(|row| row.try_get("", "detail").unwrap())
            .collect();
        let plan = plan.join("\n");
        assert!(plan.contains(index), "{filter:?}\n{plan}");
        assert!(!plan.contains("SCAN request_logs"), "{plan}");
    }
}

#[tokio::test]
async fn failures_alone_have_an_index_postgres() {
    let database = TestDatabase::postgres().await;
    fill(&database).await;
    let filter = RequestFilter {
        success: Some(false),
        ..RequestFilter::default()
    };
    let statement = explain(&database.ledger_read, &filter, RequestSort::Newest);
    let statement = Statement::from_sql_and_values(
        statement.db_backend,
        format!("EXPLAIN {}", statement.sql),
        statement.values.unwrap(),
    );
    let rows = database.ledger_read.query_all_raw(statement).await.unwrap();
    let plan: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect();
    let plan = plan.join("\n");
    // Indexes of a partition are named after its columns; the key's ends in `pkey`.
    assert!(plan.contains("request_logs_default_rid_idx"), "{plan}");
    assert!(!plan.contains("Seq Scan on request_logs"), "{plan}");
}
