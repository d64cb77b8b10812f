//! A node that ran on another data directory for a while, and comes back: two spools gave out the same numbers to
//! different records. Every record of both is on the books once, and both loss ledgers balance.

use std::path::Path;

use prost::Message;
use steward_actors::domain::record::RECORD_KIND;
use steward_actors::spool::{Spool, SpoolConfig};
use steward_actors::supervision::FaultPlan;
use steward_migration::testing::TestDatabase;

use crate::life::{Life, live, quick};
use crate::records::{NODE, assert_books, record};

/// As a process leaves it that is killed before its writer takes anything.
fn accepted(spool_dir: &Path, numbers: std::ops::Range<u64>) {
    let mut config = SpoolConfig::new(spool_dir, NODE);
    config.segment_bytes = 64 * 1024;
    config.min_free_bytes = 0;
    let (spool, _) = Spool::open(config).unwrap();
    for n in numbers {
        let bytes = record(n).encode_to_vec();
        spool.append(RECORD_KIND, &bytes).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Accepts `numbers`, waits until all is on the books, and answers `accepted` and `stored`.
async fn settle(process: Life, numbers: std::ops::Range<u64>) -> (u64, u64) {
    process.append(numbers).await;
    process
        .until("everything is stored", |ledger| ledger.spooled == 0)
        .await;
    let ledger = process.spool.ledger();
    assert_eq!((ledger.dropped, ledger.dead_lettered), (0, 0), "{ledger:?}");
    process.end().await;
    (ledger.accepted, ledger.stored)
}

fn comes_back(open: impl AsyncFn() -> TestDatabase) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let database = runtime.block_on(open());
    let (first, second) = (database.dir().join("first"), database.dir().join("second"));
    let calm = FaultPlan::none();
    let lives = |dir: &Path, numbers: std::ops::Range<u64>| {
        live(database.config(), dir, quick(), &calm, async |process| {
            settle(process, numbers).await
        })
    };
    let books = |numbers: Vec<u64>| {
        runtime.block_on(assert_books(&database.ledger_read, numbers.into_iter()));
    };

    assert_eq!(lives(&first, 1..1_001), (1_000, 1_000));
    accepted(&first, 1_001..1_501);
    // The same numbers on the other directory, and more.
    assert_eq!(lives(&second, 5_001..6_001), (2_000, 2_000));
    let left = database.dir().join("left");
    copy(&first, &left);
    assert_eq!(lives(&first, 7_001..7_011), (2_010, 2_010));
    let both: Vec<u64> = (1..1_501).chain(5_001..6_001).chain(7_001..7_011).collect();
    books(both.clone());

    // The same spool once more, as after a crash between commit and ack: found, not written again.
    assert_eq!(lives(&left, 8_001..8_002), (2_011, 2_011));
    books(both.into_iter().chain([8_001]).collect());
}

#[test]
fn a_spool_that_comes_back_loses_and_doubles_nothing_sqlite() {
    comes_back(TestDatabase::sqlite);
}

#[test]
fn a_spool_that_comes_back_loses_and_doubles_nothing_postgres() {
    comes_back(TestDatabase::postgres);
}
