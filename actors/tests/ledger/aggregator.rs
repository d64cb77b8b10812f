//! What the aggregator keeps and derives is what the log says: heard, read again, or both at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use steward_actors::domain::calendar::{date_of, day_of, next_day};
use steward_actors::domain::clock::{ManualClock, SharedClock};
use steward_actors::domain::recent::Recent;
use steward_actors::domain::record::{Mode, Operation, Record};
use steward_actors::domain::ring::{Dimension, KEPT_US};
use steward_actors::ledger_store::recount::{recount, recount_day};
use steward_actors::ledger_store::{Batch, open};
use steward_actors::spool::{Spool, SpoolConfig};
use steward_actors::supervision::{ActorRef, Group, Supervisor, SupervisorHandle};
use steward_actors::tree::ledger::aggregator::{Parts, spec};
use steward_actors::tree::ledger::batch_writer::delivery::BatchCommitted;
use steward_entities::ledger::conversation_count::{self, ConversationDay};
use steward_entities::ledger::daily;
use steward_entities::{dashboard_stats, metrics_snapshot};
use steward_migration::testing::TestDatabase;
use tokio::sync::broadcast;

use crate::records::{NOW_MS, execute, record};

const ZONE: Tz = Tz::Asia__Shanghai;
/// A quarter of an hour after the local midnight that follows the calls.
const LATER_US: i64 = 900_000_000;

/// Call `n` ended `n` seconds before `now`; every tenth user was signed in. Every other one is of a conversation of four;
/// every 13th embeds.
fn call(n: u64, now: i64) -> Record {
    let at = now - n as i64 * 1_000_000;
    let mut record = record(n);
    record.rid = ((at / 1_000) << 20) | n as i64;
    record.request_at = at - 500_000;
    record.response_at = at;
    record.mode = if n.is_multiple_of(10) {
        Mode::Web
    } else {
        Mode::Api
    } as i32;
    if n.is_multiple_of(2) {
        record.conversation_id = format!("thread {}", n / 8);
    }
    if n.is_multiple_of(13) {
        record.operation = Operation::Embedding as i32;
    }
    record
}

fn is_talk(call: &Record) -> bool {
    call.operation != Operation::Embedding as i32
}

async fn write(database: &TestDatabase, records: &[Record], upto: u64) -> BatchCommitted {
    let store = open(&database.ledger, ZONE);
    store.prepare(NOW_MS).await.unwrap();
    let first = upto - records.len() as u64;
    let entries: Vec<(u64, Record)> = (first + 1..).zip(records.iter().cloned()).collect();
    let batch = Batch {
        node: 0,
        entries: &entries,
        upto_seq: upto,
        now_micros: NOW_MS * 1_000,
    };
    let outcome = store.write(batch).await.unwrap();
    BatchCommitted {
        rids: outcome.rids.unwrap(),
        records: records.into(),
        count: outcome.inserted,
    }
}

struct House {
    clock: Arc<ManualClock>,
    recent: Arc<Recent>,
    committed: broadcast::Sender<BatchCommitted>,
    tree: SupervisorHandle,
}

impl House {
    fn start(database: &TestDatabase, now: i64) -> Self {
        let clock = Arc::new(ManualClock::at_micros(now));
        let recent = Recent::new(clock.clone());
        let (committed, _) = broadcast::channel(4);
        let mut spool = SpoolConfig::new(database.dir().join("spool"), 0);
        spool.min_free_bytes = 0;
        let (spool, _) = Spool::open(spool).unwrap();
        let parts = Parts {
            databases: (**database).clone(),
            committed: committed.clone(),
            recent: recent.clone(),
            spool,
            node: 0,
            zone: ZONE,
            settings: Arc::default(),
            clock: clock.clone(),
        };
        let root = Group::new("root").child(spec(&ActorRef::new(4), parts));
        let tree = Supervisor::new(root).unwrap().start();
        Self {
            clock,
            recent,
            committed,
            tree,
        }
    }

    fn requests(&self) -> i64 {
        let all = self.recent.last(Dimension::Total, "", KEPT_US);
        all.sum("request_count")
    }

    async fn end(self) {
        self.tree.shutdown(Duration::from_secs(5)).await;
    }
}

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not seen in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn windows_and_days(database: TestDatabase) {
    let now = NOW_MS * 1_000;
    let old: Vec<Record> = (1..=100).map(|n| call(n, now)).collect();
    let committed = write(&database, &old, 100).await;
    let house = House::start(&database, now);
    eventually("the log to be read", async || {
        house.recent.complete_since().is_some()
    })
    .await;
    assert_eq!(house.requests(), 100);

    // What was read from the log and is announced late counts once; what is new counts.
    house.committed.send(committed).unwrap();
    let new: Vec<Record> = (101..=150).map(|n| call(n, now)).collect();
    let news = write(&database, &new, 150).await;
    house.committed.send(news.clone()).unwrap();
    eventually("news to be counted", async || house.requests() >= 150).await;
    assert_eq!(house.requests(), 150);
    let of_app = house.recent.last(Dimension::App, "chat", KEPT_US);
    let expected = (1..=150).filter(|n| n % 3 == 1).count() as i64;
    assert_eq!(of_app.sum("request_count"), expected);
    assert_eq!(house.recent.names(Dimension::Tenant).len(), 3);
    let minute = house.recent.last(Dimension::Total, "", 60_000_000);
    assert_eq!(minute.sum("request_count"), naive(now, 150));

    // Announced again, long after: which were counted is not known any more, so the log is asked.
    let readings = house.recent.readings();
    house.clock.advance_micros(120_000_000);
    house
        .committed
        .send(BatchCommitted { count: 0, ..news })
        .unwrap();
    eventually("the log to be read again", async || {
        house.recent.readings() > readings
    })
    .await;
    assert_eq!(house.requests(), 150);

    // The figures of the day, as they were derived at start or later.
    let read = &database.ledger_read;
    let all: Vec<&Record> = old.iter().chain(&new).collect();
    let day = day_of(ZONE, now);
    let of_day: Vec<&&Record> = all
        .iter()
        .filter(|call| day_of(ZONE, call.request_at) == day)
        .collect();
    house.end().await;
    // A later life, after the next midnight: it derives what is missing and recounts yesterday.
    let midnight = next_day(ZONE, now);
    let house = House::start(&database, midnight + LATER_US);
    eventually("yesterday to be recounted", async || {
        let days = daily::ai_requests(read, (day, day + 1)).await.unwrap();
        days.first().is_some_and(|day| day.recounted_at.is_some())
    })
    .await;
    let requests = daily::ai_requests(read, (day, day + 1)).await.unwrap();
    assert_eq!(requests[0].request_count, of_day.len() as i64);
    assert_eq!(requests[0].differences, Some(0));
    // What a recount finds is heard of (`recount_differences`).
    let off = async |since: i64| daily::differences_since(read, since).await.unwrap();
    let recounted_at = requests[0].recounted_at.unwrap();
    assert_eq!(off(recounted_at).await, 0);
    let write = &database.ledger;
    daily::recounted(write, day, recounted_at, 3).await.unwrap();
    assert_eq!(
        (off(recounted_at).await, off(recounted_at + 1).await),
        (3, 0)
    );
    assert_eq!(requests[0].stat_date, date_of(ZONE, day).to_string());
    let users = daily::user_activity(read, (day, day + 1)).await.unwrap();
    let distinct = |wanted: &dyn Fn(&Record) -> bool| {
        let mut names: Vec<&str> = of_day
            .iter()
            .filter(|call| wanted(call))
            .map(|call| call.end_user.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names.len() as i64
    };
    assert_eq!(users[0].daily_active_users, distinct(&|_| true));
    assert_eq!(
        users[0].jwt_active_users,
        distinct(&|call| call.mode == Mode::Web as i32)
    );
    let date = date_of(ZONE, day).to_string();
    let shown = dashboard_stats::list(&database.control_read, &date, &date)
        .await
        .unwrap();
    assert_eq!(shown[0].ai_requests, of_day.len() as i64);
    assert_eq!(shown[0].cost_nano, Some(195_000 * of_day.len() as i64));
    assert_eq!(shown[0].currency.as_deref(), Some("USD"));
    assert_eq!(shown[0].api_connectivity, None);
    // Conversations follow, by tenant; a call belongs to the day of its key.
    let between = (day, next_day(ZONE, day));
    let mut talks = Vec::new();
    eventually("the day's conversations", async || {
        let found = conversation_count::days(&database.ledger_read, between, None).await;
        talks = found.unwrap();
        !talks.is_empty()
    })
    .await;
    let accepted: Vec<&&Record> = all
        .iter()
        .filter(|call| day_of(ZONE, (call.rid >> 20) * 1_000) == day)
        .collect();
    let calls = accepted.len() as i64;
    let (named, others): (Vec<&&Record>, Vec<&&Record>) = accepted
        .into_iter()
        .filter(|call| is_talk(call))
        .partition(|call| !call.conversation_id.is_empty());
    let named: BTreeSet<_> = named
        .iter()
        .map(|call| (call.tenant_id, &call.conversation_id))
        .collect();
    let sum = |of: fn(&ConversationDay) -> i64| talks.iter().map(of).sum::<i64>();
    assert_eq!(
        (sum(|day| day.with_id), sum(|day| day.without_id)),
        (named.len() as i64, others.len() as i64)
    );
    assert_eq!(sum(|day| day.calls), calls);
    let rid = |micros: i64| (micros / 1_000) << 20;
    let rids = rid(between.0)..rid(between.1);
    let counted = conversation_count::count(&database.ledger_read, rids, None)
        .await
        .unwrap();
    assert_eq!(
        (counted.with_id, counted.without_id, counted.calls),
        (named.len() as i64, others.len() as i64, calls)
    );
    let depths = metrics_snapshot::list(&database.events_read, "spool_depth", (0, i64::MAX)).await;
    assert_eq!(depths.unwrap().first().map(|row| row.value), Some(0.0));
    house.end().await;
}

/// Calls that ended in the last minute, taken down to ten seconds.
fn naive(now: i64, calls: i64) -> i64 {
    let from = now - 60_000_000;
    let from = from - from.rem_euclid(10_000_000);
    (1..=calls).filter(|n| now - n * 1_000_000 >= from).count() as i64
}

#[actix::test]
async fn windows_and_days_are_those_of_the_log() {
    windows_and_days(TestDatabase::sqlite().await).await;
}

#[actix::test]
async fn windows_and_days_are_those_of_the_log_postgres() {
    windows_and_days(TestDatabase::postgres().await).await;
}

async fn tampering_is_found(database: TestDatabase) {
    let now = NOW_MS * 1_000;
    let records: Vec<Record> = (1..=200).map(|n| call(n, now)).collect();
    write(&database, &records, 200).await;
    let day = day_of(ZONE, now);
    let clock: SharedClock = Arc::new(ManualClock::at_micros(now));
    let found = recount(&database.ledger_read, ZONE, day, now, |_| {})
        .await
        .unwrap();
    let of_day = records
        .iter()
        .filter(|call| day_of(ZONE, call.request_at) == day);
    assert_eq!(found.calls, of_day.count() as u64);
    assert_eq!(found.difference_count, 0, "{found:?}");

    execute(
        &database.ledger,
        &format!("UPDATE token_daily SET total_tokens = total_tokens + 7 WHERE bucket = {day} AND token_id = 3"),
    )
    .await;
    execute(
        &database.ledger,
        &format!("DELETE FROM app_daily WHERE bucket = {day} AND app_id = 0"),
    )
    .await;
    let found = recount_day(&database, ZONE, date_of(ZONE, day), &clock, |_| {})
        .await
        .unwrap();
    let tokens: Vec<_> = found
        .differences
        .iter()
        .filter(|one| one.table == "token_daily")
        .collect();
    assert_eq!(tokens.len(), 1, "{found:?}");
    assert_eq!(
        (tokens[0].key.as_str(), tokens[0].column),
        ("token_id=3", "total_tokens")
    );
    assert_eq!(tokens[0].rollup - tokens[0].log, 7);
    let gone = found
        .differences
        .iter()
        .find(|one| one.table == "app_daily" && one.column == "request_count");
    let gone = gone.unwrap();
    assert_eq!((gone.key.as_str(), gone.rollup), ("app_id=0", 0));
    assert!(gone.log > 0);
    assert!(
        found
            .differences
            .iter()
            .all(|one| matches!(one.table, "token_daily" | "app_daily"))
    );
    // Of a rollup that began while calls were on the books, what is missing is no fault; what is wrong is.
    execute(
        &database.ledger,
        &format!(
            "UPDATE tenant_provider_daily SET total_tokens = total_tokens + 7 WHERE bucket = {day}"
        ),
    )
    .await;
    let wrong = recount(&database.ledger_read, ZONE, day, now, |_| {})
        .await
        .unwrap();
    assert!(wrong.difference_count > found.difference_count);
    execute(
        &database.ledger,
        &format!("UPDATE tenant_provider_daily SET request_count = request_count - 1 WHERE bucket = {day}"),
    )
    .await;
    // Nothing was repaired.
    let again = recount(&database.ledger_read, ZONE, day, now, |_| {})
        .await
        .unwrap();
    assert_eq!(again.difference_count, found.difference_count);
}

#[tokio::test]
async fn a_recount_tells_what_was_tampered_with() {
    tampering_is_found(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn a_recount_tells_what_was_tampered_with_postgres() {
    tampering_is_found(TestDatabase::postgres().await).await;
}
