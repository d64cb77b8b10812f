//! Kept conversations: stored once whatever happens, found in any language, gone when deleted, packed when old.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use steward_actors::contents::intake::{self, Intake};
use steward_actors::contents::store::{ContentFilter, ContentStore, Place};
use steward_actors::contents::words::Question;
use steward_actors::contents::{Content, Said};
use steward_actors::domain::clock::ManualClock;
use steward_actors::domain::rid::Rid;
use steward_actors::domain::setting::{Retention, Settings};
use steward_actors::retention::{Kind, Parts, due, pass};
use steward_actors::spool::{Settled, Spool, SpoolConfig};
use steward_actors::vault::Vault;
use steward_entities::database::{DatabaseConfig, open_contents_schema};
use steward_entities::tombstone::{self, Selection};
use steward_migration::testing::TestDatabase;

/// 2026-03-15T18:30:00Z.
pub(crate) const START_MS: i64 = 1_773_599_400_000;
pub(crate) const DAY_MS: i64 = 86_400_000;

/// On files.
pub(crate) fn store(database: &TestDatabase) -> Arc<ContentStore> {
    let place = Place::Files(database.dir().join("contents"));
    ContentStore::new(
        place,
        database.control.clone(),
        Arc::new(|connection| {
            async move { steward_migration::migrate_contents(&connection).await }.boxed()
        }),
    )
}

pub(crate) async fn store_on(database: &TestDatabase) -> Arc<ContentStore> {
    let DatabaseConfig::Postgres { url } = database.config() else {
        return store(database);
    };
    let (write, read) = open_contents_schema(url).await.unwrap();
    steward_migration::migrate_contents(&write).await.unwrap();
    let place = Place::Schema { write, read };
    ContentStore::new(
        place,
        database.control.clone(),
        Arc::new(|_| async { Ok(()) }.boxed()),
    )
}

pub(crate) fn content(at_ms: i64, number: i64, prompt: &str, completion: &str) -> Content {
    Content {
        rid: Rid::floor_of_ms(at_ms).0 + number,
        id_tail: 7,
        token_id: 1 + number % 2,
        token_public_id: format!("tok_{}", 1 + number % 2),
        end_user: format!("user {}", number % 3),
        model: "m".into(),
        redaction: "redact".into(),
        said: Some(Said {
            system_prompt: "You are the assistant of the finance department. Answer briefly."
                .into(),
            messages_json: format!("[{{\"role\":\"user\",\"content\":\"{prompt}\"}}]"),
            prompt: prompt.into(),
            completion: completion.into(),
            tool_calls_json: String::new(),
        }),
        ..Content::default()
    }
}

async fn prompts(store: &ContentStore, filter: &ContentFilter, question: &str) -> Vec<String> {
    let page = store
        .search(filter, &Question::parse(question), None, 50)
        .await
        .unwrap();
    page.hits.into_iter().map(|hit| hit.said.prompt).collect()
}

async fn lives(database: TestDatabase) {
    let store = store_on(&database).await;
    let all = ContentFilter::default();
    let contents = vec![
        content(START_MS, 1, "请解释对话记录的压缩策略", "压缩使用字典。"),
        content(
            START_MS,
            2,
            "What is the due date of the invoice?",
            "It's the 5th; see O'Neil \\ 'x'.",
        ),
        content(
            START_MS,
            3,
            "データベースの移行について",
            "段階的に行います",
        ),
        // Another month.
        content(
            START_MS - 40 * DAY_MS,
            4,
            "older invoice question",
            "invoice invoice invoice",
        ),
    ];
    let first = store.write(&contents).await.unwrap();
    assert_eq!((first.stored, first.known), (4, 0));
    // Delivered again after a crash between commit and ack.
    let again = store.write(&contents).await.unwrap();
    assert_eq!((again.stored, again.known), (0, 4));
    assert_eq!(store.totals().await.unwrap().contents, 4);

    for (question, found) in [
        ("录", 1),
        ("记录", 1),
        ("对话记录", 1),
        ("压缩", 1),
        ("策", 1),
        ("略", 1),
        ("デ", 1),
        ("ベース", 1),
        ("について", 1),
        ("行", 1),
        ("录话", 0),
        ("invoice", 2),
        ("INVO", 2),
        ("due date", 1),
        ("\"due date\"", 1),
        ("\"date due\"", 0),
        ("压缩 invoice", 0),
        ("'; drop", 0),
        ("neil", 1),
    ] {
        let found_now = prompts(&store, &all, question).await;
        assert_eq!(found_now.len(), found, "{question}: {found_now:?}");
    }
    // The newest month first, then by how well it answers.
    let token = ContentFilter {
        token_id: Some(1),
        ..ContentFilter::default()
    };
    assert_eq!(prompts(&store, &token, "invoice").await.len(), 2);
    let user = ContentFilter {
        end_user: Some("user 2".into()),
        ..ContentFilter::default()
    };
    assert_eq!(prompts(&store, &user, "invoice").await.len(), 1);

    let (page, next) = store.list(&all, None, 3).await.unwrap();
    assert_eq!(page.len(), 3);
    let (rest, end) = store.list(&all, next, 3).await.unwrap();
    assert_eq!((rest.len(), end), (1, None));
    assert_eq!(rest[0].said.completion, "invoice invoice invoice");
    let one = store.find(contents[0].rid, 7).await.unwrap().unwrap();
    assert_eq!(Some(one.said), contents[0].said);
    assert!(store.find(contents[0].rid, 8).await.unwrap().is_none());

    // Deleted while it still waits in a spool: it does not come back, what comes later does.
    let selection = Selection {
        rid_from: 0,
        rid_to: Rid::floor_of_ms(START_MS + 1).0,
        end_user: Some("user 1".into()),
        ..Selection::default()
    };
    tombstone::insert(&database.control, selection.clone(), "job_x".into(), 0)
        .await
        .unwrap();
    let mut deleted = 0;
    loop {
        let some = store.delete_some(&selection).await.unwrap();
        if some == 0 {
            break;
        }
        deleted += some;
    }
    assert_eq!(deleted, 2);
    let back = store.write(&contents).await.unwrap();
    assert_eq!((back.stored, back.known, back.buried), (0, 2, 2));
    assert!(prompts(&store, &all, "对话记录").await.is_empty());
    assert_eq!(store.totals().await.unwrap().contents, 2);
    let later = content(START_MS + 5, 1, "对话记录 again", "");
    assert_eq!(store.write(&[later]).await.unwrap().stored, 1);
    store.close().await;
}

#[tokio::test]
async fn contents_are_stored_once_found_and_deleted() {
    lives(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn contents_are_stored_once_found_and_deleted_postgres() {
    lives(TestDatabase::postgres().await).await;
}

async fn packs(database: TestDatabase) {
    let store = store_on(&database).await;
    let old: Vec<Content> = (0..300)
        .map(|number| {
            let prompt = format!(
                "What does invoice {number} of customer {} say?",
                number * 7 % 50
            );
            let completion = format!(
                "Invoice {number} is due on day {} of the month and amounts to {} EUR.",
                number % 28,
                number * 13
            );
            content(START_MS - 10 * DAY_MS, number, &prompt, &completion)
        })
        .collect();
    store.write(&old).await.unwrap();
    let before = store.totals().await.unwrap();
    let below = Rid::floor_of_ms(START_MS - 7 * DAY_MS).0;
    let mut rows = 0;
    loop {
        let step = store.repack(below, START_MS * 1_000).await.unwrap();
        if step.rows == 0 {
            break;
        }
        rows += step.rows;
    }
    assert_eq!(rows, 300);
    let after = store.totals().await.unwrap();
    assert_eq!((after.contents, after.compressed), (300, 300));
    assert_eq!(after.original_bytes, before.original_bytes);
    // Six tenths at least, as asked for.
    assert!(
        after.stored_bytes * 10 <= after.original_bytes * 4,
        "{before:?} {after:?}"
    );
    let one = store.find(old[123].rid, 7).await.unwrap().unwrap();
    assert_eq!(Some(one.said), old[123].said);
    assert!(one.row.is_compressed);
    let found = prompts(&store, &ContentFilter::default(), "\"invoice 123\"").await;
    assert_eq!(found.len(), 1);
    // New contents of the month use the dictionary at once.
    let new = content(
        START_MS - 9 * DAY_MS,
        1,
        "What does invoice 999 say?",
        "Nothing.",
    );
    store.write(std::slice::from_ref(&new)).await.unwrap();
    let row = store.find(new.rid, 7).await.unwrap().unwrap().row;
    assert!(row.dict_id > 0 && !row.is_compressed);
    store.close().await;
}

#[tokio::test]
async fn what_is_old_is_packed_and_read_all_the_same() {
    packs(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn what_is_old_is_packed_and_read_all_the_same_postgres() {
    packs(TestDatabase::postgres().await).await;
}

#[tokio::test]
async fn the_spool_holds_nothing_that_can_be_read() {
    let database = TestDatabase::sqlite().await;
    let vault = Arc::new(Vault::open(database.dir()).unwrap());
    let dir = database.dir().join("contents-spool");
    let mut config = SpoolConfig::new(&dir, 1);
    config.segment_bytes = 64 << 10;
    config.min_free_bytes = 0;
    let (spool, _) = Spool::open(config.clone()).unwrap();
    let intake = Intake::new(
        Arc::clone(&spool),
        Arc::clone(&vault),
        Arc::default(),
        1 << 20,
    );
    let said = content(START_MS, 1, "canary-prompt-1234", "canary-answer-1234");
    intake.keep(&said);
    assert_eq!(intake.read().accepted, 1);
    spool.flush().unwrap();
    for file in std::fs::read_dir(&dir).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            let bytes = std::fs::read(file.path()).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"canary"));
        }
    }
    // The process is killed here; the next one reads it back.
    drop((intake, spool));
    let (spool, recovery) = Spool::open(config).unwrap();
    assert_eq!(recovery.unacked, 1);
    let lease = spool.lease(1, 10).unwrap().unwrap();
    assert_eq!(intake::open(&vault, &lease.entries[0]).unwrap(), said);
    let settled = Settled {
        stored: 1,
        dead_lettered: 0,
    };
    lease.ack(settled).unwrap();

    let intake = Intake::new(spool, vault, Arc::default(), 100);
    let mut held = intake.reserve();
    assert!(held.grow(100) && !held.grow(1));
    drop(held);
    assert!(intake.reserve().grow(100));
}

async fn go_with_their_days(database: TestDatabase) {
    let store = store_on(&database).await;
    let mut contents = Vec::new();
    for (age, many) in [(70, 3), (20, 120), (12, 60), (1, 2)] {
        contents
            .extend((0..many).map(|n| content(START_MS - age * DAY_MS, n, "question", "answer")));
    }
    store.write(&contents).await.unwrap();
    assert!(store.bytes().await.unwrap() > 0);
    let settings = Settings {
        retention: Retention {
            contents_days: 10,
            ..Retention::default()
        },
        ..Settings::default()
    };
    let parts = Parts {
        databases: (*database).clone(),
        contents: Arc::clone(&store),
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        board: Arc::default(),
        clock: Arc::new(ManualClock::at_micros(START_MS * 1_000)),
    };
    let now = START_MS * 1_000;
    assert_eq!(due(&parts, Kind::Contents, now).await.unwrap().rows, 183);
    let report = pass(&parts, now, &|_| {}, &|| false)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(report.removed, [("contents", 183)].into());
    assert_eq!(store.totals().await.unwrap().contents, 2);
    assert_eq!(
        prompts(&store, &ContentFilter::default(), "question")
            .await
            .len(),
        2
    );
    let left = store.census((0, i64::MAX), 99).await.unwrap();
    assert_eq!(left.oldest, Some(content(START_MS - DAY_MS, 0, "", "").rid));
    store.close().await;
}

#[tokio::test]
async fn old_contents_go_with_their_days() {
    go_with_their_days(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn old_contents_go_with_their_days_postgres() {
    go_with_their_days(TestDatabase::postgres().await).await;
}
