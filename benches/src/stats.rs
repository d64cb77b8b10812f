//! The statistics over HTTP when the log is long. What they are read from is counted by the product's own back-fill, which
//! is timed too.

use std::path::Path;
use std::time::Instant;

use sea_orm::ConnectionTrait;
use steward_actors::ledger_store;
use steward_entities::database::{DatabaseConfig, Databases};
use steward_entities::instance;

use crate::client::Blocking;
use crate::list::{Asked, millions, most_rows, sign_in};
use crate::load::block_on;
use crate::process;
use crate::seed;
use crate::table::Table;

pub(crate) fn measure(table: &mut Table) {
    let rows = most_rows();
    let size = millions(rows);
    let dir = tempfile::tempdir().unwrap();
    process::migrate(dir.path());
    // The first start makes the operator, and fixes where days begin.
    drop(process::steward(dir.path()));
    block_on(seed::ledger(dir.path(), rows));
    let began = Instant::now();
    block_on(count(dir.path()));
    let rate = rows as f64 / began.elapsed().as_secs_f64();
    table.row(
        &format!("{size}: counted by the back-fill"),
        format!("{rate:.0} rows/s"),
        String::new(),
        "every rollup".into(),
        "",
    );
    let (steward, _) = process::steward(dir.path());
    let mut connection = Blocking::open(steward.address);
    let access = sign_in(&mut connection);
    // The start reads the log of the last two hours and derives days.
    steward.settle();
    // Each with a field that every item of the answer has, and its bar.
    for (label, path, mark, bar_ms) in [
        ("overview, 24 hours", "stats/overview?range=24h", "from", 10),
        ("overview, 30 days", "stats/overview?range=30d", "from", 10),
        ("overview, 90 days", "stats/overview?range=90d", "from", 10),
        ("dashboard", "ops/dashboard/overview", "uptime_seconds", 10),
        ("trend, 90 days", "stats/trend?by=day&range=90d", "at", 15),
        (
            "trend, 7 days by hour",
            "stats/trend?by=hour&range=7d",
            "at",
            15,
        ),
        (
            "top models, 30 days",
            "stats/top?by=model&range=30d",
            "key",
            20,
        ),
        (
            "top tokens, 30 days",
            "stats/top?by=token&range=30d",
            "key",
            20,
        ),
        (
            "top users, 30 days",
            "stats/top?by=user&range=30d",
            "key",
            20,
        ),
        ("top apps, 30 days", "stats/top?by=app&range=30d", "key", 20),
        (
            "cost by account, 30 days",
            "stats/cost?by=account&range=30d",
            "key",
            20,
        ),
        (
            "percentiles by model, 30 days",
            "stats/latency?by=model&range=30d",
            "key",
            20,
        ),
        (
            "one token's models, 30 days",
            "stats/top?by=model&range=30d&token_id=tok_00000000000000000007",
            "key",
            20,
        ),
    ] {
        let path = format!("/api/v1/{path}");
        Asked::again(&mut connection, &access, &path, mark).tell(
            table,
            &format!("{size}: {label}"),
            bar_ms,
        );
    }
}

/// Has the whole log counted, as the first start of a version with rollups would.
async fn count(dir: &Path) {
    let config = DatabaseConfig::Sqlite {
        dir: dir.to_owned(),
    };
    let databases = Databases::open(&config).await.unwrap();
    let zone = instance::get(&databases.control, "time_zone").await;
    let zone = zone.unwrap().expect("a zone").parse().unwrap();
    databases
        .ledger
        .execute_unprepared(
            "UPDATE rollup_backfill SET next_rid = (SELECT min(rid) FROM request_logs),
             below_rid = (SELECT max(rid) + 1 FROM request_logs)",
        )
        .await
        .unwrap();
    let store = ledger_store::open(&databases.ledger, zone);
    while !store.backfill().await.unwrap() {}
    databases.close().await;
}
