//! `log_collector`: warnings and worse are in the table, once, also after an outage of the database.

use std::sync::Arc;

use sea_orm::ConnectionTrait;
use steward_actors::domain::clock::SystemClock;
use steward_actors::live::Switchboard;
use steward_actors::log_feed::{Level, Line, LogFeed};
use steward_actors::supervision::{ActorRef, SupervisorHandle};
use steward_actors::tree::watch::log_collector::{Parts, spec};
use steward_entities::system_log::{self, Filter};
use steward_migration::testing::TestDatabase;

use crate::{eventually, on_both, supervised};

on_both!(
    warnings_are_stored_and_the_rest_is_not,
    an_outage_is_waited_for,
    what_waits_at_the_end_is_stored,
);

const NODE: u8 = 7;

fn line(level: Level, message: &str) -> Line {
    Line {
        id: 0,
        node: 0,
        at: 1_773_599_400_000_000,
        level,
        target: "steward::gateway".into(),
        message: message.into(),
        user: Some("ada".into()),
        request_id: Some("7".into()),
        fields: vec![("cause".into(), "a\0b".into())],
    }
}

fn started(database: &TestDatabase) -> (Arc<LogFeed>, SupervisorHandle) {
    let feed = Arc::new(LogFeed::default());
    let parts = Parts {
        feed: Arc::clone(&feed),
        board: Switchboard::new(Arc::new(SystemClock)),
        databases: (**database).clone(),
        settings: Arc::default(),
        node: NODE,
    };
    (feed, supervised(spec(&ActorRef::new(4), parts)))
}

async fn stored(database: &TestDatabase) -> Vec<String> {
    let all = system_log::list(&database.events_read, &Filter::default(), None, 100).await;
    let rows = all.unwrap_or_default().into_iter();
    rows.rev().map(|row| row.message).collect()
}

async fn until_stored(database: &TestDatabase, expected: &[&str]) {
    eventually("the lines in the table", async || {
        (stored(database).await == expected).then_some(())
    })
    .await;
}

async fn warnings_are_stored_and_the_rest_is_not(database: &TestDatabase) {
    let (feed, tree) = started(database);
    feed.push(line(Level::Info, "all is well"));
    feed.push(line(Level::Warn, "slow"));
    feed.push(line(Level::Debug, "a detail"));
    feed.push(line(Level::Error, "not a NUL: \0"));
    until_stored(database, &["slow", "not a NUL: \u{fffd}"]).await;
    let rows = system_log::list(&database.events_read, &Filter::default(), None, 9)
        .await
        .unwrap();
    let row = &rows[1];
    assert_eq!(
        (row.level.as_str(), row.node, row.user_id.as_deref()),
        ("WARN", i64::from(NODE), Some("ada"))
    );
    assert_eq!(row.fields.0["cause"], "a\u{fffd}b");
    // The same number as in memory: the two are one line.
    let memory = feed.read(&Default::default(), None, 9);
    assert_eq!(memory.lines[2].id, row.line);
    tree.shutdown(std::time::Duration::from_secs(5)).await;
}

async fn an_outage_is_waited_for(database: &TestDatabase) {
    let (feed, tree) = started(database);
    let rename = async |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        database.events.execute_unprepared(&sql).await.unwrap();
    };
    rename("system_logs", "elsewhere").await;
    feed.push(line(Level::Warn, "first"));
    eventually("the line in memory", async || {
        (feed.read(&Default::default(), None, 1).count == 1).then_some(())
    })
    .await;
    rename("elsewhere", "system_logs").await;
    feed.push(line(Level::Warn, "second"));
    until_stored(database, &["first", "second"]).await;
    assert_eq!(feed.losses().not_stored, 0);
    tree.shutdown(std::time::Duration::from_secs(5)).await;
}

async fn what_waits_at_the_end_is_stored(database: &TestDatabase) {
    let (feed, tree) = started(database);
    feed.push(line(Level::Error, "the last words"));
    eventually("the line in memory", async || {
        (feed.read(&Default::default(), None, 1).count == 1).then_some(())
    })
    .await;
    tree.shutdown(std::time::Duration::from_secs(5)).await;
    assert_eq!(stored(database).await, ["the last words"]);
}
