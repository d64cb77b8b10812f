//! The job that brings a file's rows in, or tries to without writing anything.
//!
//! Some hundred rows a transaction, which also moves the place in the file: started again it goes on there, and no row is
//! brought in twice. A tenant's pair is known by its question ([`qa_pair::question_key`]), so the same file once more
//! changes nothing. The second of two rows that ask the same is no pair: the file does not say which of them holds.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sea_orm::ActiveValue::Set;
use sea_orm::{DatabaseTransaction, DbErr};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use steward_actors::domain::clock::SharedClock;
use steward_actors::jobs::{JobContext, JobKind};
use steward_actors::knowledge::News;
use steward_entities::change::ChangeError;
use steward_entities::database::{Databases, begin_write};
use steward_entities::knowledge_import::{self, Model};
use steward_entities::knowledge_import_error::{self, New as Bad};
use steward_entities::qa_pair::{self, Source, question_key};
use steward_entities::scope::Scope;
use utoipa::ToSchema;

use super::mapping::{self, Line, Mapping};

/// Its name in the table of jobs.
pub(super) const KIND: &str = "knowledge.import";
/// Rows of one transaction.
const STEP_ROWS: usize = 500;
/// Reasons that are kept of one file; further bad rows are counted.
pub(super) const ERRORS_MAX: i64 = 10_000;

/// What is done with a pair that asks the same and says something else.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Existing {
    /// It stays as it is.
    Keep,
    /// It says what the file says.
    Replace,
}

/// What the job's parameters hold.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Asked {
    pub(super) import: String,
    pub(super) dry_run: bool,
    pub(super) mapping: Mapping,
    pub(super) existing: Existing,
    /// Of pairs for which the file names none.
    pub(super) category: String,
}

/// The job [`KIND`].
pub(crate) struct ImportPairs {
    pub(crate) databases: Databases,
    pub(crate) clock: SharedClock,
    /// Where the files lie.
    pub(crate) dir: PathBuf,
    /// Hears that pairs were written.
    pub(crate) news: News,
}

/// Where the plain rows of an import lie.
pub(super) fn rows_path(dir: &Path, public_id: &str) -> PathBuf {
    dir.join(format!("{public_id}.rows"))
}

/// A row of the file: its number and its cells.
type Row = (u64, Vec<String>);

/// What of a file lies behind a place: at most so many rows, and the place after them.
pub(super) fn rows_from(path: &Path, offset: u64, most: usize) -> io::Result<(Vec<Row>, u64)> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut reader = BufReader::new(file);
    let (mut rows, mut at, mut text) = (Vec::new(), offset, String::new());
    while rows.len() < most {
        text.clear();
        let length = reader.read_line(&mut text)?;
        if length == 0 {
            break;
        }
        at += length as u64;
        rows.push(serde_json::from_str(&text).map_err(io::Error::from)?);
    }
    Ok((rows, at))
}

/// Rows by what they ask: the question's key, as 16 bytes of its hash.
type Asks = HashMap<[u8; 16], u64>;

fn digest(key: &str) -> [u8; 16] {
    let hash = Sha256::digest(key.as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    short
}

#[async_trait::async_trait]
impl JobKind for ImportPairs {
    fn kind(&self) -> &str {
        KIND
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        self.perform(
            context.params.clone(),
            context.job_id.clone(),
            &|per_cent| context.progress(per_cent),
            &|| context.is_cancelled(),
        )
        .await
    }
}

impl ImportPairs {
    /// Goes over the file from where it stands.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) async fn perform(
        &self,
        params: Value,
        job_id: String,
        progress: &(dyn Fn(u8) + Sync),
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Value, String> {
        let asked: Asked = serde_json::from_value(params).map_err(|error| error.to_string())?;
        let mut row = self.stand(&asked, job_id).await?;
        let path = rows_path(&self.dir, &asked.import);
        let mut asks = match row.ended_at {
            None => self.seen(&path, &asked.mapping, row.offset_bytes).await?,
            Some(_) => Asks::new(),
        };
        while row.ended_at.is_none() {
            if is_cancelled() {
                return Err(format!("stopped after {} rows", row.rows_done));
            }
            let offset = u64::try_from(row.offset_bytes).unwrap_or(0);
            let (rows, after) = self.read(&path, offset, STEP_ROWS).await?;
            if rows.is_empty() {
                if asked.dry_run {
                    break;
                }
                row.ended_at = Some(self.clock.now_micros());
            }
            row.offset_bytes = i64::try_from(after).unwrap_or(i64::MAX);
            let first = asked.mapping.has_header && offset == 0;
            let lines = judged(rows, first, &asked, &mut asks);
            row = self.write(row, lines, &asked).await?;
            if !asked.dry_run {
                self.news.tell();
            }
            let per_cent = row.rows_done.saturating_mul(100) / row.row_count.max(1);
            progress(u8::try_from(per_cent.clamp(0, 100)).unwrap_or(100));
        }
        if row.ended_at.is_some() {
            // Nobody needs it any more; what cannot be removed now is when it is swept.
            let _ = tokio::fs::remove_file(&path).await;
        }
        Ok(json!({
            "import": row.public_id, "dry_run": row.dry_run, "rows": row.rows_done, "created": row.created,
            "updated": row.updated, "unchanged": row.unchanged, "kept": row.kept, "bad": row.bad,
        }))
    }

    /// The import as this job left it, or, when it has only begun, with nothing done.
    async fn stand(&self, asked: &Asked, job_id: String) -> Result<Model, String> {
        let (control, asked) = (self.databases.control.clone(), asked.clone());
        let now = self.clock.now_micros();
        let standing = async move {
            let txn = begin_write(&control).await?;
            let row = knowledge_import::by_public_id(&txn, Scope::All, &asked.import).await?;
            let Some(row) = row else { return Ok(None) };
            if row.job_id.as_ref() == Some(&job_id) && row.dry_run == asked.dry_run {
                return Ok(Some(row));
            }
            knowledge_import_error::clear(&txn, row.id).await?;
            let row = knowledge_import::begin(&txn, row, job_id, asked.dry_run, now).await?;
            txn.commit().await?;
            Ok(Some(row))
        };
        let row = self.at_home(standing).await?;
        row.ok_or_else(|| "the file was removed before it was brought in".to_owned())
    }

    async fn read(&self, path: &Path, offset: u64, most: usize) -> Result<(Vec<Row>, u64), String> {
        let path = path.to_owned();
        let reading = tokio::task::spawn_blocking(move || rows_from(&path, offset, most)).await;
        let read = reading.map_err(io::Error::other).and_then(|read| read);
        read.map_err(|error| {
            tracing::warn!(%error, "an imported file cannot be read");
            "the file is not in this node's data directory any more, or cannot be read: send it again".to_owned()
        })
    }

    /// What the rows before a place ask.
    async fn seen(&self, path: &Path, mapping: &Mapping, until: i64) -> Result<Asks, String> {
        let (mut asks, mut at) = (Asks::new(), 0);
        let until = u64::try_from(until).unwrap_or(0);
        while at < until {
            let (rows, after) = self.read(path, at, STEP_ROWS).await?;
            let first = mapping.has_header && at == 0;
            for (number, cells) in rows.iter().skip(usize::from(first)) {
                if let Ok(line) = mapping::line(*number, cells, mapping) {
                    asks.entry(digest(&question_key(&line.question)))
                        .or_insert(*number);
                }
            }
            at = after;
        }
        Ok(asks)
    }

    async fn write(&self, row: Model, lines: Judged, asked: &Asked) -> Result<Model, String> {
        let (control, asked) = (self.databases.control.clone(), asked.clone());
        let now = self.clock.now_micros();
        let writing = async move {
            let txn = begin_write(&control).await?;
            let row = step(&txn, row, lines, &asked, now).await?;
            txn.commit().await?;
            Ok(row)
        };
        self.at_home(writing).await
    }

    async fn at_home<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, DbErr>> + Send + 'static,
    ) -> Result<T, String> {
        self.databases.at_home(work).await.map_err(|error| {
            tracing::warn!(%error, "pairs could not be brought in");
            "the database could not be read or written".to_owned()
        })
    }
}

/// Some rows: which are pairs, and which are not.
struct Judged {
    /// All of them, a header included.
    rows: usize,
    good: Vec<Line>,
    bad: Vec<Bad>,
}

fn judged(rows: Vec<Row>, has_header: bool, asked: &Asked, asks: &mut Asks) -> Judged {
    let count = rows.len();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (number, cells) in rows.into_iter().skip(usize::from(has_header)) {
        let line = match mapping::line(number, &cells, &asked.mapping) {
            Ok(line) => line,
            Err(reason) => {
                bad.push(reason);
                continue;
            }
        };
        match asks.entry(digest(&question_key(&line.question))) {
            std::collections::hash_map::Entry::Occupied(first) => bad.push(Bad {
                row_number: i64::try_from(number).unwrap_or(i64::MAX),
                field: "question",
                reason: "repeated",
                message: format!("asks the same as row {}", first.get()),
            }),
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(number);
                good.push(line);
            }
        }
    }
    Judged {
        rows: count,
        good,
        bad,
    }
}

async fn step(
    txn: &DatabaseTransaction,
    mut row: Model,
    lines: Judged,
    asked: &Asked,
    now: i64,
) -> Result<Model, DbErr> {
    let keys = lines.good.iter().map(|line| question_key(&line.question));
    let there = qa_pair::asking(txn, Scope::Tenant(row.tenant_id), keys.collect()).await?;
    let mut by_key: HashMap<String, Vec<qa_pair::Model>> = HashMap::new();
    for pair in there {
        by_key
            .entry(pair.question_key.clone())
            .or_default()
            .push(pair);
    }
    let mut new = Vec::new();
    for line in lines.good {
        let known = by_key
            .remove(&question_key(&line.question))
            .unwrap_or_default();
        if known.iter().any(|pair| says(pair, &line)) {
            row.unchanged += 1;
        } else if let Some(oldest) = known.first() {
            match asked.existing {
                Existing::Keep => row.kept += 1,
                Existing::Replace if asked.dry_run || replace(txn, oldest, line, now).await? => {
                    row.updated += 1;
                }
                // Somebody edits it at this moment: theirs is the newer word.
                Existing::Replace => row.kept += 1,
            }
        } else {
            row.created += 1;
            new.push(qa_pair::New {
                tenant_id: row.tenant_id,
                question: line.question,
                answer: line.answer,
                category: match line.category {
                    Some(category) if !category.is_empty() => category,
                    _ => asked.category.clone(),
                },
                source: Source::Import,
                template_id: None,
                quality_score: line.quality_score.flatten(),
                created_by: row.created_by.clone(),
            });
        }
    }
    if !asked.dry_run {
        qa_pair::insert_all(txn, new, now).await?;
    }
    let room = usize::try_from(ERRORS_MAX.saturating_sub(row.bad)).unwrap_or(0);
    row.bad += i64::try_from(lines.bad.len()).unwrap_or(i64::MAX);
    let kept = lines.bad.into_iter().take(room).collect();
    knowledge_import_error::insert_all(txn, row.id, kept).await?;
    row.rows_done += i64::try_from(lines.rows).unwrap_or(i64::MAX);
    knowledge_import::save(txn, &row, now).await?;
    Ok(row)
}

/// Whether the pair says already what the file says; where the file says nothing, it does.
fn says(pair: &qa_pair::Model, line: &Line) -> bool {
    let named = line
        .category
        .as_ref()
        .filter(|category| !category.is_empty());
    pair.question == line.question
        && pair.answer == line.answer
        && named.is_none_or(|category| *category == pair.category)
        && line
            .quality_score
            .flatten()
            .is_none_or(|score| Some(score) == pair.quality_score)
}

/// False when it is no longer what was read.
async fn replace(
    txn: &DatabaseTransaction,
    pair: &qa_pair::Model,
    line: Line,
    now: i64,
) -> Result<bool, DbErr> {
    let mut changes = qa_pair::ActiveModel {
        question: Set(line.question),
        answer: Set(line.answer),
        ..Default::default()
    };
    if let Some(category) = line.category.filter(|category| !category.is_empty()) {
        changes.category = Set(category);
    }
    if let Some(score) = line.quality_score.flatten() {
        changes.quality_score = Set(Some(score));
    }
    match qa_pair::update(txn, pair, changes, now).await {
        Ok(_) => Ok(true),
        Err(ChangeError::Stale) => Ok(false),
        Err(ChangeError::Database(error)) => Err(error),
        Err(other) => Err(DbErr::Custom(other.to_string())),
    }
}
