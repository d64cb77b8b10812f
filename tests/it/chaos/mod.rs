//! kill -9 and databases that go away: whatever a client saw finished is on the books exactly once.
//!
//! `STEWARD_CHAOS_KILLS` (5) and `STEWARD_CHAOS_OUTAGE_S` (5) make it long: `make soak` takes 50 and 60. Each test
//! brings the database it is about, whatever `STEWARD_IT_DATABASE` says.

mod load;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseConnection};
use steward_actors::domain::calendar;
use steward_actors::ledger_store::recount::recount;
use steward_entities::ledger::rollup::{ROLLUPS, SUMS};

use crate::support::app::ADMIN_PASSWORD;
use crate::support::database::{Kind, ledger, number};
use crate::support::{App, Setup, eventually};
use load::Load;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| {
        v.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {v}"))
    })
}

/// A PostgreSQL server of this test's own, since it will be stopped.
struct Server {
    directory: tempfile::TempDir,
}

impl Server {
    fn start() -> (Self, String) {
        let server = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let url = server.tell("start");
        (server, url.trim().to_owned())
    }

    fn tell(&self, command: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres.sh");
        let done = Command::new(script)
            .arg(command)
            .arg(self.directory.path().join("server"))
            .output()
            .expect("run tests/postgres.sh");
        assert!(
            done.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        String::from_utf8_lossy(&done.stdout).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tell("stop");
    }
}

/// Every id a client saw finished is in the table exactly once, and the books balance.
async fn settle(app: &mut App, load: &Load) {
    app.admin = app.sign_in("admin", ADMIN_PASSWORD).await;
    let finished = load.finished();
    eventually("the spool is empty", || async {
        let [_, _, spooled, ..] = app.loss_ledger().await;
        (spooled == 0).then_some(())
    })
    .await;
    let [_, _, _, dead_lettered, dropped] = app.loss_ledger().await;
    assert_eq!((dead_lettered, dropped), (0, 0));
    let database = ledger(app.kind, &app.data_dir(), app.database_url.as_deref()).await;
    let rows = number(&database, "SELECT COUNT(*) FROM request_logs").await;
    let charged = "SELECT COUNT(*) FROM request_logs WHERE cost_nano > 0 AND success";
    let succeeded = number(&database, "SELECT COUNT(*) FROM request_logs WHERE success").await;
    assert_eq!(
        number(&database, charged).await,
        succeeded,
        "calls without a price"
    );
    assert!(succeeded > 0);
    let mut missing = Vec::new();
    // Each by its id, as far as that is quick; the list below tells of all.
    for id in finished.iter().take(1_000) {
        let answer = app
            .api(http::Method::GET, &format!("logs/requests/{id}"), None)
            .await;
        if answer.status != 200 {
            missing.push(id.clone());
        }
    }
    assert!(
        missing.is_empty(),
        "{} of {} finished answers are not on the books: {missing:?}",
        missing.len(),
        finished.len()
    );
    let listed = load::all_listed(app).await;
    for id in &finished {
        assert_eq!(
            listed.get(id).copied(),
            Some(1),
            "{id} is listed {:?} times",
            listed.get(id)
        );
    }
    assert_eq!(
        listed.values().sum::<usize>() as i64,
        rows,
        "the list and the table differ"
    );
    rollups_are_the_log(app, &database).await;
    println!(
        "{:?}: {} finished answers, {rows} records, {} calls broke off",
        app.kind,
        finished.len(),
        load.broken()
    );
}

/// Every sum of every rollup is the sum over the log, altogether and for each value of each of its keys; and the product's
/// own recount, which compares the histograms too, finds no difference in any day.
async fn rollups_are_the_log(app: &App, database: &DatabaseConnection) {
    let of_log: Vec<&str> = SUMS.iter().map(|sum| in_log(sum)).collect();
    for table in ROLLUPS {
        let sum = |what: &str| format!("CAST(COALESCE(SUM({what}), 0) AS BIGINT)");
        for keys in std::iter::once(&[][..]).chain(table.keys.chunks(1)) {
            let (kept_by, log_by) = match keys {
                [key] => (
                    format!("{key}, "),
                    format!("{} AS {key}, ", key_in_log(key)),
                ),
                _ => (String::new(), String::new()),
            };
            let grouped = match keys {
                [_] => " GROUP BY 1",
                _ => "",
            };
            let kept: Vec<String> = SUMS.iter().map(|name| sum(name)).collect();
            let log: Vec<String> = of_log.iter().map(|what| sum(what)).collect();
            let (kept, log) = (kept.join(", "), log.join(", "));
            let kept = format!("SELECT {kept_by}{kept} FROM {}{grouped}", table.name);
            let some = match table.counts_nobody {
                true => String::new(),
                false => format!(" WHERE COALESCE({}, 0) <> 0", key_in_log(table.keys[0])),
            };
            let log = format!("SELECT {log_by}{log} FROM request_logs{some}{grouped}");
            for (one, other) in [(&kept, &log), (&log, &kept)] {
                let sql = format!("SELECT COUNT(*) FROM ({one} EXCEPT {other}) AS differing");
                assert_eq!(number(database, &sql).await, 0, "{}: {sql}", table.name);
            }
        }
    }
    // What quotas go by at the next start.
    for (table, key) in [("token_totals", "token_id"), ("tenant_totals", "tenant_id")] {
        let kept = format!(
            "SELECT {key}, CAST(SUM(total_requests) AS BIGINT), CAST(SUM(total_tokens) AS BIGINT) FROM {table} GROUP BY 1"
        );
        let log = format!(
            "SELECT {key}, COUNT(*), CAST(SUM(total_tokens) AS BIGINT) FROM request_logs WHERE {key} <> 0 GROUP BY 1"
        );
        for (one, other) in [(&kept, &log), (&log, &kept)] {
            let sql = format!("SELECT COUNT(*) FROM ({one} EXCEPT {other}) AS differing");
            assert_eq!(number(database, &sql).await, 0, "{table}: {sql}");
        }
    }
    let zone = app.get("instance").await["time_zone"].clone();
    let zone: chrono_tz::Tz = zone.as_str().unwrap().parse().unwrap();
    let first = number(database, "SELECT MIN(request_at) FROM request_logs").await;
    let last = number(database, "SELECT MAX(request_at) FROM request_logs").await;
    let (mut day, mut calls) = (calendar::day_of(zone, first), 0);
    let (read, now) = (database, last + 3_600_000_000);
    while day <= last {
        let found = recount(read, zone, day, now, |_| {}).await.unwrap();
        assert_eq!(found.difference_count, 0, "{:?}", found.differences);
        calls += found.calls as i64;
        day = calendar::next_day(zone, day);
    }
    assert_eq!(
        calls,
        number(database, "SELECT COUNT(*) FROM request_logs").await
    );
}

/// A rollup's key, said of a row of the log.
fn key_in_log(key: &str) -> String {
    match key {
        "provider_id" => {
            "COALESCE((SELECT id FROM providers WHERE name = request_logs.provider), 0)".to_owned()
        }
        key => key.to_owned(),
    }
}

/// What a column of the rollups counts, said of a row of the log.
fn in_log(sum: &str) -> &'static str {
    match sum {
        "request_count" => "1",
        "success_count" => "CASE WHEN success THEN 1 ELSE 0 END",
        "rate_limited_count" => "CASE WHEN NOT success AND status_code = 429 THEN 1 ELSE 0 END",
        "cancelled_count" => "CASE WHEN NOT success AND status_code = 499 THEN 1 ELSE 0 END",
        "client_error_count" => {
            "CASE WHEN NOT success AND status_code BETWEEN 400 AND 499 AND status_code NOT IN (429, 499) THEN 1 ELSE 0 END"
        }
        "upstream_error_count" => {
            "CASE WHEN NOT success AND status_code NOT BETWEEN 400 AND 499 THEN 1 ELSE 0 END"
        }
        "estimated_count" => "CASE WHEN usage_estimated THEN 1 ELSE 0 END",
        "unpriced_count" => "CASE WHEN NOT priced AND total_tokens > 0 THEN 1 ELSE 0 END",
        "duration_ms_sum" => "duration_ms",
        "ttft_ms_sum" => "COALESCE(ttft_ms, 0)",
        "ttft_count" => "CASE WHEN ttft_ms IS NULL THEN 0 ELSE 1 END",
        "cost_usd_nano" => "CASE WHEN currency = 'USD' THEN cost_nano ELSE 0 END",
        "cost_cny_nano" => "CASE WHEN currency = 'CNY' THEN cost_nano ELSE 0 END",
        "prompt_tokens" => "prompt_tokens",
        "completion_tokens" => "completion_tokens",
        "total_tokens" => "total_tokens",
        "cached_tokens" => "cached_tokens",
        "cache_write_tokens" => "cache_write_tokens",
        "reasoning_tokens" => "reasoning_tokens",
        unknown => panic!("say what {unknown} is in the log"),
    }
}

async fn kills(mut app: App) {
    let kills = setting("STEWARD_CHAOS_KILLS", 5);
    let load = Load::start(&app).await;
    for number in 0..kills {
        // Before, during and after the writer's first transactions: it waits up to 200 ms, which is some 100 calls.
        let until = load.count() + 30 + (number as usize * 97) % 310;
        eventually("calls finish", || async {
            (load.count() >= until).then_some(())
        })
        .await;
        app.kill();
        app.start_process().await;
    }
    let until = load.count() + 25;
    eventually("calls finish after the last kill", || async {
        (load.count() >= until).then_some(())
    })
    .await;
    load.stop().await;
    settle(&mut app, &load).await;
}

#[tokio::test]
async fn kill_nine_under_load_sqlite() {
    kills(Setup::new().on(Kind::Sqlite).serving().await).await;
}

#[tokio::test]
async fn kill_nine_under_load_postgres() {
    let (_server, url) = Server::start();
    kills(Setup::new().on_database(url).serving().await).await;
}

/// Calls go on while the database is away: none fails for it, none is lost.
async fn outage(app: &mut App, load: &Load, away: impl AsyncFnOnce(), back: impl AsyncFnOnce()) {
    let outage = Duration::from_secs(setting("STEWARD_CHAOS_OUTAGE_S", 5));
    let until = load.count() + 20;
    eventually("calls finish", || async {
        (load.count() >= until).then_some(())
    })
    .await;
    away().await;
    let (began, before) = (Instant::now(), load.count());
    while began.elapsed() < outage {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let meanwhile = load.count() - before;
    back().await;
    assert!(
        meanwhile > 20,
        "only {meanwhile} calls finished while the database was away"
    );
    let until = load.count() + 20;
    eventually("calls finish", || async {
        (load.count() >= until).then_some(())
    })
    .await;
    load.stop().await;
    assert_eq!(
        load.broken(),
        0,
        "calls failed while the database was away: {:?}",
        load.first_failure()
    );
    settle(app, load).await;
}

#[tokio::test]
async fn a_locked_database_fails_no_call_sqlite() {
    let mut app = Setup::new().on(Kind::Sqlite).serving().await;
    let load = Load::start(&app).await;
    let locks = [
        ledger(Kind::Sqlite, &app.data_dir(), None).await,
        load::control_file(&app.data_dir()).await,
    ];
    outage(
        &mut app,
        &load,
        async || {
            for lock in &locks {
                lock.execute_unprepared("PRAGMA busy_timeout = 30000")
                    .await
                    .unwrap();
                lock.execute_unprepared("BEGIN EXCLUSIVE").await.unwrap();
            }
        },
        async || {
            for lock in &locks {
                lock.execute_unprepared("ROLLBACK").await.unwrap();
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_stopped_database_fails_no_call_postgres() {
    let (server, url) = Server::start();
    let mut app = Setup::new().on_database(url).serving().await;
    let load = Load::start(&app).await;
    outage(
        &mut app,
        &load,
        async || drop(server.tell("pause")),
        async || drop(server.tell("resume")),
    )
    .await;
}

/// The database away *and* the process killed: the spool alone has to carry it over.
async fn killed_while_the_database_is_away(
    mut app: App,
    away: impl AsyncFnOnce(),
    back: impl AsyncFnOnce(),
) {
    let load = Load::start(&app).await;
    let until = load.count() + 20;
    eventually("calls finish", || async {
        (load.count() >= until).then_some(())
    })
    .await;
    away().await;
    let until = load.count() + 60;
    eventually("calls finish", || async {
        (load.count() >= until).then_some(())
    })
    .await;
    app.kill();
    load.stop().await;
    back().await;
    app.start_process().await;
    settle(&mut app, &load).await;
}

#[tokio::test]
async fn killed_while_the_database_is_locked_sqlite() {
    let app = Setup::new().on(Kind::Sqlite).serving().await;
    let lock = ledger(Kind::Sqlite, &app.data_dir(), None).await;
    lock.execute_unprepared("PRAGMA busy_timeout = 30000")
        .await
        .unwrap();
    killed_while_the_database_is_away(
        app,
        async || {
            lock.execute_unprepared("BEGIN EXCLUSIVE").await.unwrap();
        },
        async || {
            lock.execute_unprepared("ROLLBACK").await.unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn killed_while_the_database_is_stopped_postgres() {
    let (server, url) = Server::start();
    let app = Setup::new().on_database(url).serving().await;
    killed_while_the_database_is_away(
        app,
        async || drop(server.tell("pause")),
        async || drop(server.tell("resume")),
    )
    .await;
}
