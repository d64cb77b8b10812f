//! Counting the log itself: what it finds, and what it refuses to look at.

use steward_actors::domain::record::{Record, Source};
use steward_actors::domain::rid::Rid;
use steward_actors::ledger_store::{Batch, open};
use steward_entities::ledger::log_count::{Window, sum};
use steward_migration::testing::TestDatabase;

use crate::records::{NODE, NOW_MS, record};

const HOUR_MS: i64 = 3_600_000;

/// Forty calls of the minute after [`NOW_MS`] served here, thirty of the same time told of an hour later.
async fn with_calls(database: &TestDatabase) -> Window {
    let store = open(&database.ledger, chrono_tz::Tz::UTC);
    store.prepare(NOW_MS).await.unwrap();
    let told = |n: u64| Record {
        rid: record(n).rid + (HOUR_MS << 20),
        source: Source::Otlp.into(),
        ..record(n)
    };
    let served = (1..=40).map(record);
    let entries: Vec<(u64, Record)> = (1..).zip(served.chain((101..=130).map(told))).collect();
    let batch = Batch {
        node: NODE,
        entries: &entries,
        upto_seq: 70,
        now_micros: NOW_MS * 1_000,
    };
    assert_eq!(store.write(batch).await.unwrap().inserted, 70);
    let (from, to) = (NOW_MS, NOW_MS + 60_000);
    Window {
        at: (from * 1_000, to * 1_000),
        rids: (Rid::floor_of_ms(from).0, Rid::floor_of_ms(to).0),
    }
}

async fn budget(database: TestDatabase) {
    let window = with_calls(&database).await;
    let read = &database.ledger_read;
    let calls = async |only: &[(&str, &[i64])], budget| {
        let found = sum(read, window, only, budget).await.unwrap();
        found.map(|measures| measures.sum("request_count"))
    };
    assert_eq!(calls(&[], 70).await, Some(70));
    // The thirty that were told of elsewhere are as much work as the forty.
    assert_eq!(calls(&[], 69).await, None);
    let of = |id: i64, n: u64| record(n).token_id == id;
    let served = (1..=40).filter(|&n| of(3, n)).count();
    let told = (101..=130).filter(|&n| of(3, n)).count();
    let found = Some((served + told) as i64);
    // An index leads to a token's calls, so far as they were served here; of the others each is looked at.
    assert_eq!(calls(&[("token_id", &[3])], served + 30).await, found);
    assert_eq!(calls(&[("token_id", &[3])], served + 29).await, None);
    // The first leads, whatever else is asked for.
    let both: [(&str, &[i64]); 2] = [("token_id", &[3]), ("account_id", &[99])];
    assert_eq!(calls(&both, served + 30).await, Some(0));
    assert_eq!(calls(&both, served + 29).await, None);
    let turned: [(&str, &[i64]); 2] = [("tenant_id", &[99]), ("token_id", &[3])];
    assert_eq!(calls(&turned, served + 30).await, Some(0));
    // None leads to a tenant's.
    assert_eq!(calls(&[("tenant_id", &[99])], 70).await, Some(0));
    assert_eq!(calls(&[("tenant_id", &[99])], 69).await, None);
    let earlier = Window {
        at: (window.at.0 - 60_000_000, window.at.0),
        rids: (window.rids.0 - (60_000 << 20), window.rids.0),
    };
    let nothing = sum(read, earlier, &[], 0).await.unwrap().unwrap();
    assert_eq!(nothing.sum("request_count"), 0);
}

#[tokio::test]
async fn what_was_told_elsewhere_counts_for_the_budget() {
    budget(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn what_was_told_elsewhere_counts_for_the_budget_postgres() {
    budget(TestDatabase::postgres().await).await;
}
