//! kill -9 in the middle of packing a month: the test binary runs itself as the victim. Whoever comes next goes on where
//! it was; nothing is lost, nothing counted twice, and everything can be read at any moment.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use futures_util::FutureExt;
use steward_actors::contents::Content;
use steward_actors::contents::store::{ContentFilter, ContentStore, Place, Totals};
use steward_actors::domain::rid::Rid;
use steward_entities::database::{CONTENTS_DIR, DatabaseConfig, Databases, open_contents_schema};
use steward_migration::testing::TestDatabase;

use crate::contents::{DAY_MS, START_MS, content, store_on};

/// A directory, or a URL.
const VICTIM: &str = "STEWARD_PACKING_VICTIM";
const CONTENTS: i64 = 1_000;
/// So many of the victims are killed; the last one finishes.
const KILLS: usize = 5;

fn below() -> i64 {
    Rid::floor_of_ms(START_MS - 7 * DAY_MS).0
}

/// Does nothing as a test; as the victim it packs until there is nothing left, or it is killed.
#[tokio::test]
async fn victim() {
    let Ok(place) = std::env::var(VICTIM) else {
        return;
    };
    let config = if place.starts_with("postgres://") {
        DatabaseConfig::Postgres { url: place }
    } else {
        DatabaseConfig::Sqlite { dir: place.into() }
    };
    let databases = Databases::open(&config).await.unwrap();
    let place = match &config {
        DatabaseConfig::Sqlite { dir } => Place::Files(dir.join(CONTENTS_DIR)),
        DatabaseConfig::Postgres { url } => {
            let (write, read) = open_contents_schema(url).await.unwrap();
            Place::Schema { write, read }
        }
    };
    let control = databases.control_read.clone();
    let migrated = std::sync::Arc::new(|_| async { Ok(()) }.boxed());
    let store = ContentStore::new(place, control, migrated);
    loop {
        let step = store.repack(below(), START_MS * 1_000).await.unwrap();
        let mut out = std::io::stdout().lock();
        out.write_all(format!("packed {}\n", step.rows).as_bytes())
            .unwrap();
        out.flush().unwrap();
        if step.rows == 0 {
            return;
        }
    }
}

/// Runs a victim that is killed after it said so often that a step is done; whether it was.
fn run(place: &str, steps: usize) -> bool {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args([
            "packing::victim",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(VICTIM, place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let mut done = 0;
    for line in lines.map_while(Result::ok) {
        done += usize::from(line.contains("packed "));
        if done == steps {
            // It is in its next step by now, or about to be.
            victim.kill().unwrap();
        }
    }
    let status = victim.wait().unwrap();
    assert!(status.success() || status.code().is_none(), "{status}");
    status.code().is_none()
}

/// What is there is what was written, each once, and the sums are those of the rows; how many are packed for good.
async fn assert_whole(database: &TestDatabase, written: &[Content]) -> i64 {
    let store = store_on(database).await;
    let (mut sums, mut before) = (Totals::default(), None);
    let mut found = Vec::new();
    loop {
        let page = store.list(&ContentFilter::default(), before, 200).await;
        let (hits, next) = page.unwrap();
        for hit in hits {
            sums.contents += 1;
            sums.compressed += i64::from(hit.row.is_compressed);
            sums.original_bytes += hit.row.original_bytes;
            sums.stored_bytes += hit.row.stored_bytes;
            found.push((hit.row.rid, hit.said));
        }
        before = next;
        if before.is_none() {
            break;
        }
    }
    let newest_first = written.iter().rev();
    let expected: Vec<_> = newest_first
        .map(|content| (content.rid, content.said.clone().unwrap()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(store.totals().await.unwrap(), sums);
    store.close().await;
    sums.compressed
}

async fn goes_on(database: TestDatabase) {
    let place = match database.config() {
        DatabaseConfig::Sqlite { dir } => dir.display().to_string(),
        DatabaseConfig::Postgres { url } => url.clone(),
    };
    let old: Vec<Content> = (0..CONTENTS)
        .map(|number| {
            let prompt = format!("What does invoice {number} say? {}", "Please. ".repeat(20));
            let completion = format!("It amounts to {} EUR.", number * 13);
            content(START_MS - 10 * DAY_MS, number, &prompt, &completion)
        })
        .collect();
    let store = store_on(&database).await;
    store.write(&old).await.unwrap();
    store.close().await;
    let mut packed = 0;
    for steps in 1..=KILLS {
        assert!(run(&place, steps), "the victim ended by itself");
        let now = assert_whole(&database, &old).await;
        // What a victim said is done stays done, and there is something left for the next one.
        assert!(now > packed && now < CONTENTS, "{packed} {now}");
        packed = now;
    }
    assert!(!run(&place, usize::MAX));
    assert_eq!(assert_whole(&database, &old).await, CONTENTS);
}

#[tokio::test]
async fn packing_goes_on_after_kills() {
    goes_on(TestDatabase::sqlite().await).await;
}

#[tokio::test]
async fn packing_goes_on_after_kills_postgres() {
    goes_on(TestDatabase::postgres().await).await;
}
