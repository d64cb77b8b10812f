//! Kept conversations: stored once whatever happens, found in any language, gone when deleted, packed when old.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use steward_actors::contents::intake::{self, Intake};
use steward_actors::contents::store::{ContentFilter, ContentStore, FoundIn, Place};
use steward_actors::contents::words::Question;
use steward_actors::contents::{Content, Said};
use steward_actors::domain::clock::ManualClock;
use steward_actors::domain::rid::Rid;
use steward_actors::domain::setting::{Retention, Settings};
use steward_actors::retention::{Kind, Parts, due, pass};
use steward_actors::spool::{Settled, Spool, SpoolConfig};
use steward_actors::vault::Vault;
use steward_entities::database::{DatabaseConfig, open_contents_file, open_contents_schema};
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
            ..Said::default()
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
    let mut contents = vec![
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
    // The first is kept with the tools that were offered, the others as before there was such a thing.
    if let Some(said) = &mut contents[0].said {
        said.tools_json = r#"[{"name":"weather"}]"#.into();
    }
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

/// The tables themselves, for writing and for reading.
async fn month(database: &TestDatabase) -> (DatabaseConnection, DatabaseConnection) {
    match database.config() {
        DatabaseConfig::Postgres { url } => open_contents_schema(url).await.unwrap(),
        DatabaseConfig::Sqlite { .. } => {
            let file = database.dir().join("contents/2026-03.db");
            open_contents_file(&file).await.unwrap()
        }
    }
}

/// What the dictionaries that are there hold, one after the other.
async fn dictionaries(database: &TestDatabase) -> Vec<Vec<u8>> {
    let read = month(database).await.1;
    let asked = Statement::from_string(
        read.get_database_backend(),
        "SELECT bytes FROM content_dictionaries ORDER BY id",
    );
    let rows = read.query_all_raw(asked).await.unwrap();
    let found = rows.iter().map(|row| row.try_get("", "bytes").unwrap());
    let found = found.collect();
    read.close().await.unwrap();
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Whether a file of kept conversations holds these bytes anywhere.
fn on_disk(database: &TestDatabase, text: &str) -> bool {
    std::fs::read_dir(database.dir().join("contents"))
        .unwrap()
        .any(|file| holds(&std::fs::read(file.unwrap().path()).unwrap(), text))
}

async fn delete(store: &ContentStore, user: &str) {
    let selection = Selection {
        rid_to: i64::MAX,
        end_user: Some(user.to_owned()),
        ..Selection::default()
    };
    while store.delete_some(&selection).await.unwrap() > 0 {}
}

const CANARY: &str = "zirkonfalke";

#[tokio::test]
async fn deleted_words_are_gone_from_the_file() {
    let database = TestDatabase::sqlite().await;
    let store = store(&database);
    // Several transactions: the search index has several segments then.
    for number in 0..12 {
        let prompt = match number % 3 {
            0 => format!("the {CANARY} of room {number}"),
            _ => format!("the budget of room {number}"),
        };
        let one = content(START_MS, number, &prompt, "noted");
        store.write(&[one]).await.unwrap();
    }
    assert!(on_disk(&database, CANARY));
    delete(&store, "user 0").await;
    while store.erase_words(0, i64::MAX).await.unwrap() {}
    assert!(!on_disk(&database, CANARY));
    let all = ContentFilter::default();
    assert_eq!(prompts(&store, &all, "budget").await.len(), 8);
    assert!(prompts(&store, &all, CANARY).await.is_empty());
    // There is nothing to do until something is deleted again, and then there is, the single segment merged already.
    assert!(!store.erase_words(0, i64::MAX).await.unwrap());
    let last = content(START_MS, 100, "", "a zweiundvierzigfalke");
    store.write(std::slice::from_ref(&last)).await.unwrap();
    while store.erase_words(0, i64::MAX).await.unwrap() {}
    assert!(store.delete_one(last.rid).await.unwrap());
    while store.erase_words(0, i64::MAX).await.unwrap() {}
    assert!(!on_disk(&database, "zweiundvierzig"));
    store.close().await;
}

async fn dictionaries_go(database: TestDatabase) {
    let store = store_on(&database).await;
    let other = store_on(&database).await;
    let old: Vec<Content> = (0..400)
        .map(|number| {
            let prompt = match number % 3 {
                0 => format!("the {CANARY} opens the vault of room {number} at noon"),
                _ => format!(
                    "what does invoice {number} of room {} say?",
                    number * 7 % 50
                ),
            };
            content(
                START_MS,
                number,
                &prompt,
                "It is noted and will be looked into.",
            )
        })
        .collect();
    store.write(&old).await.unwrap();
    let at = START_MS * 1_000;
    // Half of them are packed for good.
    let below = old[200].rid;
    while store.repack(below, at).await.unwrap().rows > 0 {}
    let trained = dictionaries(&database).await;
    assert_eq!(trained.len(), 1);
    assert!(holds(&trained[0], CANARY));
    // Another process knows that dictionary.
    let known = content(START_MS, 1_000, "what does invoice 1000 say?", "Nothing.");
    other.write(std::slice::from_ref(&known)).await.unwrap();
    let row = other.find(known.rid, 7).await.unwrap().unwrap().row;
    assert!(row.dict_id > 0);

    delete(&store, "user 0").await;
    assert_eq!(store.retired_dictionaries(0, i64::MAX).await.unwrap(), 1);
    while store.erase(at).await.unwrap() {}
    assert_eq!(store.retired_dictionaries(0, i64::MAX).await.unwrap(), 0);
    let trained = dictionaries(&database).await;
    assert_eq!(trained.len(), 1);
    assert!(!holds(&trained[0], CANARY) && holds(&trained[0], "invoice"));
    if matches!(database.config(), DatabaseConfig::Sqlite { .. }) {
        assert!(!on_disk(&database, CANARY));
    }
    // The others are as they were.
    let totals = store.totals().await.unwrap();
    let (left, _) = store
        .list(&ContentFilter::default(), None, 1_000)
        .await
        .unwrap();
    assert_eq!(left.len(), 267);
    assert_eq!(totals.contents, 267);
    let stored: i64 = left.iter().map(|hit| hit.row.stored_bytes).sum();
    assert_eq!(totals.stored_bytes, stored);
    let packed = left.iter().filter(|hit| hit.row.is_compressed).count();
    assert_eq!(totals.compressed, packed as i64);
    assert!(left.iter().all(|hit| hit.row.dict_id != row.dict_id));
    assert_eq!(
        Some(&store.find(old[1].rid, 7).await.unwrap().unwrap().said),
        old[1].said.as_ref()
    );
    // What the other process writes now is not packed with what is gone.
    let later = content(START_MS, 1_003, "what does invoice 1003 say?", "Nothing.");
    other.write(std::slice::from_ref(&later)).await.unwrap();
    let found = store.find(later.rid, 7).await.unwrap().unwrap();
    assert_eq!(Some(found.said), later.said);
    // A conversation that no dictionary knows leaves them alone.
    store.delete_one(later.rid).await.unwrap();
    assert_eq!(store.retired_dictionaries(0, i64::MAX).await.unwrap(), 0);
    // Of an earlier release, which wrote down no samples.
    let write = month(&database).await.0;
    write
        .execute_unprepared("DELETE FROM content_samples")
        .await
        .unwrap();
    write.close().await.unwrap();
    assert_eq!(store.retired_dictionaries(0, i64::MAX).await.unwrap(), 1);
    while store.erase(at).await.unwrap() {}
    assert_eq!(store.retired_dictionaries(0, i64::MAX).await.unwrap(), 0);
    assert_eq!(dictionaries(&database).await.len(), 1);
    assert_eq!(
        Some(&store.find(old[1].rid, 7).await.unwrap().unwrap().said),
        old[1].said.as_ref()
    );
    store.close().await;
    other.close().await;
}

#[tokio::test]
async fn dictionaries_do_not_remember_what_was_deleted() {
    dictionaries_go(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn dictionaries_do_not_remember_what_was_deleted_postgres() {
    dictionaries_go(TestDatabase::postgres().await).await;
}

async fn long_ones_are_found(database: TestDatabase) {
    let store = store_on(&database).await;
    let filler = |name: &str, many: usize| -> String {
        (0..many).map(|number| format!("{name}{number} ")).collect()
    };
    let long = content(
        START_MS,
        1,
        &format!(
            "{} 量子纠缠理论 {}",
            filler("q", 20_000),
            filler("r", 60_000)
        ),
        &format!("beginningofanswer {}", filler("a", 60_000)),
    );
    // All pairs of the phrase, but apart.
    let apart = content(
        START_MS,
        2,
        &format!("{} 量子纠 子纠缠 缠理 理论", filler("q", 20_000)),
        "",
    );
    let mut threaded = content(START_MS, 3, "and now?", "nothing");
    let said = threaded.said.as_mut().unwrap();
    said.messages_json =
        r#"[{"role":"user","content":"the meerkat asked"},{"role":"user","content":"and now?"}]"#
            .into();
    said.system_prompt = "Speak like a capybara.".into();
    store.write(&[long, apart, threaded]).await.unwrap();
    let all = ContentFilter::default();
    for (question, found) in [
        ("beginningofanswer", 1),
        ("a29000", 1),
        ("量子纠缠", 1),
        ("量子纠", 2),
        ("\"q19998 q19999\"", 2),
        ("\"q19999 q19998\"", 0),
    ] {
        let now = prompts(&store, &all, question).await;
        assert_eq!(now.len(), found, "{question}");
    }
    for (question, place) in [
        ("meerkat", FoundIn::Messages),
        ("capybara", FoundIn::SystemPrompt),
        ("nothing", FoundIn::Completion),
    ] {
        let page = store
            .search(&all, &Question::parse(question), None, 9)
            .await
            .unwrap();
        let hit = page.hits.first().unwrap_or_else(|| panic!("{question}"));
        assert_eq!(hit.found_in, place);
        assert!(
            hit.pieces
                .iter()
                .any(|piece| piece.hit && piece.text == question)
        );
    }
    store.close().await;
}

#[tokio::test]
async fn the_answer_of_a_long_question_is_found_and_phrases_far_into_it() {
    long_ones_are_found(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn the_answer_of_a_long_question_is_found_and_phrases_far_into_it_postgres() {
    long_ones_are_found(TestDatabase::postgres().await).await;
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
    assert_eq!(
        due(&parts, Kind::Contents, now, 1_000).await.unwrap().rows,
        183
    );
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
