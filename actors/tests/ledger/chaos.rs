//! The pipeline under seeded faults: struck before, inside and after transactions by panics, refusals, futures
//! that never finish and threads that block, and by crashes of the whole process. Every appended record is on
//! the books exactly once, the totals are exact, the loss ledger balances at every look.

use std::sync::Arc;

use steward_actors::supervision::{Fault, FaultPlan};
use steward_entities::database::Databases;
use steward_migration::testing::TestDatabase;

use crate::life::{live, quick};
use crate::records::assert_books;

const SEEDS: u64 = 20;
const SEEDS_AT_ONCE: u64 = 4;
const LIVES: u64 = 3;
const RECORDS_PER_LIFE: u64 = 150;

fn survives(seed: u64, database: &TestDatabase) {
    let kinds = [
        Fault::Panic,
        Fault::Panic,
        Fault::Panic,
        Fault::Fail,
        Fault::Fail,
        Fault::Hang,
        Fault::Block,
    ];
    let plan = FaultPlan::new(seed, 8, &kinds);
    let calm = FaultPlan::none();
    let spool_dir = database.dir().join("spool");
    let mut appended = 1;
    for life in 0..LIVES {
        let range = appended..appended + RECORDS_PER_LIFE;
        appended = range.end;
        live(
            database.config(),
            &spool_dir,
            quick(),
            &plan,
            async |mut process| {
                let settled = process.spool.ledger().stored;
                process.append(range).await;
                // Some crashes come at once, some amid the work, some after it.
                let goal = (seed + life) % 3 * RECORDS_PER_LIFE / 2;
                let before = process.spool.ledger().stored;
                process
                    .until("some are stored", |ledger| {
                        ledger.stored - before >= goal || ledger.spooled == 0
                    })
                    .await;
                // Whatever was struck: nothing is settled before it was announced.
                let settled = process.spool.ledger().stored - settled;
                let announced = process.announced().len() as u64;
                assert!(
                    announced >= settled,
                    "{announced} of {settled}, seed {seed}"
                );
                process.crash().await;
            },
        );
    }
    let struck = plan.struck();
    let total = appended - 1;
    let config = database.config().clone();
    live(
        database.config(),
        &spool_dir,
        quick(),
        &calm,
        async |process| {
            process
                .until("the spool is empty", |ledger| ledger.spooled == 0)
                .await;
            let ledger = process.spool.ledger();
            assert_eq!(
                (ledger.accepted, ledger.stored),
                (total, total),
                "seed {seed}: {ledger:?}"
            );
            process.end().await;
            let reader = Databases::open(&config).await.unwrap();
            assert_books(&reader.ledger_read, 1..appended).await;
            reader.close().await;
        },
    );
    println!("seed {seed}: struck {struck} times");
}

/// Makes the databases first (they need a runtime of the test's), then lets the seeds run side by side.
fn run(open: impl AsyncFn() -> TestDatabase) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for first in (0..SEEDS).step_by(SEEDS_AT_ONCE as usize) {
        let mut running = Vec::new();
        for seed in first..(first + SEEDS_AT_ONCE).min(SEEDS) {
            let database = Arc::new(runtime.block_on(open()));
            let mine = Arc::clone(&database);
            running.push((database, std::thread::spawn(move || survives(seed, &mine))));
        }
        for (_database, seed) in running {
            if let Err(panic) = seed.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_under_faults_sqlite() {
    run(TestDatabase::sqlite);
}

#[test]
fn nothing_is_lost_or_doubled_under_faults_postgres() {
    run(TestDatabase::postgres);
}
