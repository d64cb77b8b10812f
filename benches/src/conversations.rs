//! The search through kept conversations over HTTP when they are many, and how fast they are stored.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use steward_actors::contents::store::{ContentStore, Place};
use steward_actors::contents::{Content, Said};
use steward_actors::domain::rid::Rid;
use steward_entities::database::{DatabaseConfig, Databases};

use crate::client::Blocking;
use crate::list::{Asked, millions, sign_in};
use crate::load::block_on;
use crate::process;
use crate::table::Table;

const BATCH: u64 = 1_000;
const DAYS: u64 = 75;
/// Words of the English half; the first are the commonest (Zipf).
const WORDS: usize = 30_000;
/// Characters of the Chinese half, likewise.
const CHARACTERS: usize = 3_000;

fn most() -> u64 {
    let rows = std::env::var("STEWARD_BENCH_CONTENTS").ok();
    rows.and_then(|rows| rows.parse().ok()).unwrap_or(1_000_000)
}

pub(crate) fn measure(table: &mut Table) {
    let rows = most();
    let size = millions(rows);
    let dir = tempfile::tempdir().unwrap();
    process::migrate(dir.path());
    let began = Instant::now();
    block_on(seed(dir.path(), rows));
    let rate = rows as f64 / began.elapsed().as_secs_f64();
    table.row(
        &format!("{size}: conversations stored"),
        format!("{rate:.0} /s"),
        String::new(),
        "packed, indexed, synced".into(),
        "≥ 5000 /s",
    );
    let (steward, _) = process::steward(dir.path());
    let mut connection = Blocking::open(steward.address);
    let access = sign_in(&mut connection);
    let vocabulary = Vocabulary::new();
    let word = |rank: usize| vocabulary.words[rank].clone();
    let run = |from: usize, count: usize| -> String {
        (from..from + count)
            .map(|at| vocabulary.character(at))
            .collect()
    };
    let questions: Vec<(&str, String)> = vec![
        ("common word", format!("q={}", word(5))),
        ("rare word", format!("q={}", word(25_000))),
        ("two words", format!("q={}%20{}", word(40), word(90))),
        ("beginning, 1 letter", format!("q={}", &word(3)[..1])),
        ("beginning, 2 letters", format!("q={}", &word(3)[..2])),
        ("beginning, 3 letters", format!("q={}", &word(300)[..3])),
        ("common character", format!("q={}", encoded(&run(2, 1)))),
        ("rare character", format!("q={}", encoded(&run(2_500, 1)))),
        ("two characters", format!("q={}", encoded(&run(20, 2)))),
        (
            "both languages",
            format!("q={}%20{}", word(50), encoded(&run(30, 1))),
        ),
        ("one model", format!("q={}&model=model-3", word(12))),
        ("one user", format!("q={}&user=user-77", word(12))),
        ("nothing there", "q=nowhereatall".to_owned()),
    ];
    for (label, query) in questions {
        let path = format!("/api/v1/conversations/search?limit=50&{query}");
        let row = format!("{size}: search, {label}");
        Asked::again(&mut connection, &access, &path, "created_at").tell(table, &row, 100);
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Words that never were, but as long as real ones and as unevenly used.
struct Vocabulary {
    words: Vec<String>,
}

impl Vocabulary {
    fn new() -> Self {
        const STARTS: [&str; 20] = [
            "b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr",
            "pr", "ch", "sh",
        ];
        const VOWELS: [&str; 8] = ["a", "e", "i", "o", "u", "ea", "ou", "io"];
        const ENDS: [&str; 8] = ["", "n", "r", "s", "t", "l", "ng", "ck"];
        let mut seen = HashMap::new();
        let mut chance = Chance(7);
        while seen.len() < WORDS {
            // Common words are short.
            let syllables = 1
                + chance.below(2)
                + usize::from(seen.len() > 300)
                + usize::from(seen.len() > 5_000);
            let word: String = (0..syllables)
                .flat_map(|_| {
                    [
                        STARTS[chance.below(STARTS.len())],
                        VOWELS[chance.below(VOWELS.len())],
                        ENDS[chance.below(ENDS.len())],
                    ]
                })
                .collect();
            let rank = seen.len();
            seen.entry(word).or_insert(rank);
        }
        let mut words = vec![String::new(); WORDS];
        for (word, rank) in seen {
            words[rank] = word;
        }
        Self { words }
    }

    fn character(&self, rank: usize) -> char {
        // Spread over the block, so that neighbours in rank are not neighbours in code.
        char::from_u32(0x4e00 + u32::try_from(rank * 5_003 % 20_000).unwrap()).unwrap()
    }
}

struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    /// A rank: the n-th is drawn about 1/n as often as the first.
    fn rank(&mut self, count: usize) -> usize {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = (count as f64).powf(unit) - 1.0;
        (rank as usize).min(count - 1)
    }
}

fn text(vocabulary: &Vocabulary, chance: &mut Chance, words: usize) -> String {
    if chance.below(2) == 0 {
        let words: Vec<&str> = (0..words)
            .map(|_| vocabulary.words[chance.rank(WORDS)].as_str())
            .collect();
        words.join(" ")
    } else {
        (0..words * 2)
            .map(|at| match at % 17 {
                16 => '，',
                _ => vocabulary.character(chance.rank(CHARACTERS)),
            })
            .collect()
    }
}

/// Fills the months of a migrated data directory, through the writer's own store.
async fn seed(dir: &Path, rows: u64) {
    let config = DatabaseConfig::Sqlite {
        dir: dir.to_owned(),
    };
    let databases = Databases::open(&config).await.unwrap();
    let store = ContentStore::new(
        Place::Files(dir.join("contents")),
        databases.control.clone(),
        Arc::new(|connection| {
            Box::pin(async move { steward_migration::migrate_contents(&connection).await })
        }),
    );
    let now_ms = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    let span_ms = DAYS * 86_400_000;
    let vocabulary = Vocabulary::new();
    let mut chance = Chance(99);
    for from in (0..rows).step_by(BATCH as usize) {
        let contents: Vec<Content> = (from..(from + BATCH).min(rows))
            .map(|number| {
                let at_ms = now_ms - span_ms + number * span_ms / rows;
                let prompt = text(&vocabulary, &mut chance, 30);
                let completion = text(&vocabulary, &mut chance, 60);
                let token = 1 + chance.rank(200);
                Content {
                    rid: Rid::floor_of_ms(at_ms.cast_signed()).0 + (number % 4_096).cast_signed(),
                    id_tail: number,
                    token_id: token as i64,
                    token_public_id: format!("tok_{token:020}"),
                    token_name: format!("tok-{token}"),
                    end_user: format!("user-{}", chance.below(2_000)),
                    app: format!("app-{}", chance.below(20)),
                    model: format!("model-{}", chance.below(12)),
                    provider: "openai".into(),
                    operation: 1,
                    status_code: 200,
                    success: true,
                    created_at: at_ms.cast_signed() * 1_000,
                    duration_ms: 900,
                    prompt_tokens: 60,
                    completion_tokens: 120,
                    redaction: "redact".into(),
                    said: Some(Said {
                        system_prompt: "You are the assistant of the house. Answer briefly.".into(),
                        messages_json: serde_json::json!([{"role": "user", "content": prompt}])
                            .to_string(),
                        prompt,
                        completion,
                        ..Said::default()
                    }),
                    ..Content::default()
                }
            })
            .collect();
        store.write(&contents).await.unwrap();
        if from % 100_000 == 0 {
            // As the compressor does: a new month gets its dictionary early.
            store.repack(0, at_micros(now_ms)).await.unwrap();
        }
    }
    store.close().await;
    databases.close().await;
}

fn at_micros(ms: u64) -> i64 {
    ms.cast_signed() * 1_000
}
