//! Finding: one, a list, an answer to a question. Bounded work, newest first.

use sea_orm::{DbBackend, FromQueryResult, Statement};
use serde::{Deserialize, Serialize};

use super::super::snippet::{self, Piece};
use super::super::words::{self, Question};
use super::super::{Content, Said, around, packing};
use super::shelf::Shelf;
use super::sql::Sql;
use super::{ContentStore, StoreError, Totals};

/// Texts that are ranked against each other: those found newest. The next page begins among them or after them.
const WINDOW: u64 = 100;
/// Rows that a filter may look at in one month before an answer is given with a cursor to go on.
const SCAN_MAX: u64 = 20_000;

const COLUMNS: &str = "c.rid, c.id_tail, c.token_id, c.token_public_id, c.token_name, c.tenant_id, c.tenant_public_id, \
    c.end_user, c.app, c.model, c.provider, c.conversation_id, c.operation, c.stream, c.status_code, c.success, \
    c.duration_ms, c.prompt_tokens, c.completion_tokens, c.created_at, c.redaction, c.redactions, c.truncated, \
    c.is_compressed, c.dict_id, c.original_bytes, c.stored_bytes, c.body";

/// A row as it lies.
#[derive(Clone, Debug, FromQueryResult)]
pub struct ContentRow {
    pub rid: i64,
    pub id_tail: i64,
    pub token_id: i64,
    pub token_public_id: String,
    pub token_name: String,
    pub tenant_id: i64,
    pub tenant_public_id: String,
    pub end_user: String,
    pub app: String,
    pub model: String,
    pub provider: String,
    pub conversation_id: String,
    pub operation: i64,
    pub stream: bool,
    pub status_code: i64,
    pub success: bool,
    pub duration_ms: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub created_at: i64,
    pub redaction: String,
    pub redactions: i64,
    pub truncated: bool,
    pub is_compressed: bool,
    pub dict_id: i64,
    pub original_bytes: i64,
    pub stored_bytes: i64,
    body: Vec<u8>,
}

/// Which contents: all that are given must hold.
#[derive(Clone, Debug, Default)]
pub struct ContentFilter {
    /// First record id.
    pub rid_from: Option<i64>,
    /// First record id beyond.
    pub rid_to: Option<i64>,
    /// Keys of the control tables.
    pub token_id: Option<i64>,
    pub tenant_id: Option<i64>,
    pub end_user: Option<String>,
    pub app: Option<String>,
    pub model: Option<String>,
    pub conversation_id: Option<String>,
}

impl ContentFilter {
    fn push(&self, sql: &mut Sql) {
        for (column, key) in [("token_id", self.token_id), ("tenant_id", self.tenant_id)] {
            if let Some(key) = key {
                sql.push(&format!(" AND c.{column} = ")).bind(key);
            }
        }
        for (column, text) in [
            ("end_user", &self.end_user),
            ("app", &self.app),
            ("model", &self.model),
            ("conversation_id", &self.conversation_id),
        ] {
            if let Some(text) = text {
                sql.push(&format!(" AND c.{column} = ")).bind(text.clone());
            }
        }
    }

    /// Whether rows have to be looked at that are not found: no index leads to just those that pass.
    fn scans(&self, asked: bool) -> bool {
        let unindexed = self.tenant_id.is_some() || self.app.is_some() || self.model.is_some();
        let indexed =
            self.token_id.is_some() || self.end_user.is_some() || self.conversation_id.is_some();
        unindexed || (asked && indexed)
    }

    fn stretch(&self, before: Option<i64>) -> (i64, i64) {
        let to = self.rid_to.unwrap_or(i64::MAX);
        (
            self.rid_from.unwrap_or(0),
            before.map_or(to, |before| before.min(to)),
        )
    }
}

/// A content with what was said.
#[derive(Clone, Debug)]
pub struct Hit {
    pub row: ContentRow,
    pub said: Said,
    /// Of the question, if there was one.
    pub score: f64,
    /// Where it meets the question; empty without one.
    pub pieces: Vec<Piece>,
    /// What the pieces are of.
    pub found_in: FoundIn,
}

/// Which text of a content answers a question.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FoundIn {
    /// What the user said last.
    #[default]
    Prompt,
    /// What the model answered.
    Completion,
    /// What was said before.
    Messages,
    /// The instructions.
    SystemPrompt,
}

impl From<Hit> for Content {
    /// As it came in.
    fn from(hit: Hit) -> Self {
        let row = hit.row;
        Self {
            rid: row.rid,
            id_tail: row.id_tail.cast_unsigned(),
            token_id: row.token_id,
            token_public_id: row.token_public_id,
            token_name: row.token_name,
            tenant_id: row.tenant_id,
            tenant_public_id: row.tenant_public_id,
            end_user: row.end_user,
            app: row.app,
            model: row.model,
            provider: row.provider,
            conversation_id: row.conversation_id,
            operation: i32::try_from(row.operation).unwrap_or_default(),
            stream: row.stream,
            status_code: i32::try_from(row.status_code).unwrap_or_default(),
            success: row.success,
            created_at: row.created_at,
            duration_ms: row.duration_ms,
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            redaction: row.redaction,
            redactions: row.redactions,
            truncated: row.truncated,
            said: Some(hit.said),
        }
    }
}

/// Where the next page of an answer begins: `offset` texts into the window of those below `below`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SearchCursor {
    pub below: i64,
    pub offset: u64,
    /// Where that window ends, when what lies further back was not looked at: pages of one window rank the same texts.
    pub floor: Option<i64>,
}

/// A page of an answer.
#[derive(Debug, Default)]
pub struct SearchPage {
    pub hits: Vec<Hit>,
    pub next: Option<SearchCursor>,
}

/// Some rows, newest first, and up to where the search got.
struct Looked {
    rows: Vec<Hit>,
    /// Everything from this record id on has been looked at; `None`: everything there is.
    down_to: Option<i64>,
}

impl ContentStore {
    /// One content.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn find(&self, rid: i64, id_tail: i64) -> Result<Option<Hit>, StoreError> {
        let Some(shelf) = self.shelves.holding(rid).await? else {
            return Ok(None);
        };
        match at(&shelf, rid).await?.filter(|row| row.id_tail == id_tail) {
            Some(row) => opened(&shelf, row).await.map(Some),
            None => Ok(None),
        }
    }

    /// Contents below `before`, newest first, and the cursor of the next page. A filter that few contents pass may
    /// answer with fewer than asked for, or none, and a cursor.
    ///
    /// # Errors
    /// When a database cannot be read.
    pub async fn list(
        &self,
        filter: &ContentFilter,
        before: Option<i64>,
        limit: u64,
    ) -> Result<(Vec<Hit>, Option<i64>), StoreError> {
        let looked = self.look(filter, None, before, limit).await?;
        Ok((looked.rows, looked.down_to))
    }

    /// What answers a question, the best of the newest first.
    ///
    /// # Errors
    /// When a database cannot be read.
    pub async fn search(
        &self,
        filter: &ContentFilter,
        question: &Question,
        cursor: Option<SearchCursor>,
        limit: u64,
    ) -> Result<SearchPage, StoreError> {
        let below = cursor.map(|cursor| cursor.below);
        let offset = cursor.map_or(0, |cursor| cursor.offset);
        let mut filter = filter.clone();
        if let Some(floor) = cursor.and_then(|cursor| cursor.floor) {
            filter.rid_from = Some(filter.rid_from.unwrap_or(floor).max(floor));
        }
        let mut looked = self.look(&filter, Some(question), below, WINDOW).await?;
        if looked.down_to.is_none() {
            looked.down_to = cursor.and_then(|cursor| cursor.floor);
        }
        let top = below.or_else(|| looked.rows.first().map(|hit| hit.row.rid + 1));
        let hits = rank(looked.rows, question.clone(), self.shelves.are_files()).await?;
        let found = hits.len() as u64;
        let hits: Vec<Hit> = hits
            .into_iter()
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .collect();
        let shown = offset + hits.len() as u64;
        let next = match (top, looked.down_to) {
            (Some(top), floor) if shown < found => Some(SearchCursor {
                below: top,
                offset: shown,
                floor,
            }),
            (_, Some(below)) => Some(SearchCursor {
                below,
                offset: 0,
                floor: None,
            }),
            _ => None,
        };
        Ok(SearchPage { hits, next })
    }

    /// Sums over every month.
    ///
    /// # Errors
    /// When a database cannot be read.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        #[derive(FromQueryResult)]
        struct Row {
            contents: i64,
            compressed: i64,
            original_bytes: i64,
            stored_bytes: i64,
        }
        let mut totals = Totals::default();
        for month in self.shelves.stretches(0, i64::MAX)? {
            let shelf = self.shelves.at(month).await?;
            let asked = Statement::from_string(
                shelf.backend(),
                "SELECT contents, compressed, original_bytes, stored_bytes FROM content_totals",
            );
            for row in Row::find_by_statement(asked).all(&shelf.read).await? {
                totals.contents += row.contents;
                totals.compressed += row.compressed;
                totals.original_bytes += row.original_bytes;
                totals.stored_bytes += row.stored_bytes;
            }
        }
        Ok(totals)
    }

    async fn look(
        &self,
        filter: &ContentFilter,
        question: Option<&Question>,
        before: Option<i64>,
        limit: u64,
    ) -> Result<Looked, StoreError> {
        let (from, to) = filter.stretch(before);
        let mut rows = Vec::new();
        let months = self.shelves.stretches(from, to)?;
        for month in &months {
            let shelf = self.shelves.at(*month).await?;
            let left = limit - rows.len() as u64;
            let from = from.max(shelf.rids.0);
            let to = to.min(shelf.rids.1);
            // The bound of this month's work: the record id below which nothing is looked at this time.
            let floor = if filter.scans(question.is_some()) {
                scan_floor(&shelf, from, to).await?
            } else {
                None
            };
            let mut sql = Sql::new(&format!("SELECT {COLUMNS} FROM "));
            match (question, shelf.backend()) {
                (None, _) => {
                    sql.push("conversation_contents c WHERE c.rid >= ");
                }
                (Some(question), DbBackend::Postgres) => {
                    sql.push("conversation_contents c WHERE c.search @@ (")
                        .bind(question.as_tsquery());
                    sql.push("::text)::tsquery AND c.rid >= ");
                }
                (Some(question), _) => {
                    // The index leads, whatever the planner thinks: it is walked newest first and left early.
                    sql.push(
                        "conversation_search s CROSS JOIN conversation_contents c ON c.rid = s.rowid \
                         WHERE s.conversation_search MATCH ",
                    )
                    .bind(question.as_fts5());
                    sql.push(" AND s.rowid >= ").bind(floor.unwrap_or(from));
                    sql.push(" AND s.rowid < ").bind(to);
                    sql.push(" AND c.rid >= ");
                }
            }
            sql.bind(floor.unwrap_or(from));
            sql.push(" AND c.rid < ").bind(to);
            filter.push(&mut sql);
            let order = match (question, shelf.backend()) {
                (Some(_), DbBackend::Sqlite) => "s.rowid",
                _ => "c.rid",
            };
            sql.push(&format!(" ORDER BY {order} DESC LIMIT "))
                .bind(left.cast_signed());
            let found = ContentRow::find_by_statement(sql.done(shelf.backend()))
                .all(&shelf.read)
                .await?;
            for row in found {
                rows.push(opened(&shelf, row).await?);
            }
            if rows.len() as u64 >= limit {
                let down_to = rows.last().map(|hit| hit.row.rid);
                return Ok(Looked { rows, down_to });
            }
            if let Some(floor) = floor {
                return Ok(Looked {
                    rows,
                    down_to: Some(floor),
                });
            }
        }
        Ok(Looked {
            rows,
            down_to: None,
        })
    }
}

/// The best first, each with the place where it answers. CPU-bound with long texts.
async fn rank(
    hits: Vec<Hit>,
    question: Question,
    phrases_are_sure: bool,
) -> Result<Vec<Hit>, StoreError> {
    let ranked = tokio::task::spawn_blocking(move || {
        let mut hits = hits;
        if !phrases_are_sure && question.has_phrases() {
            hits.retain(|hit| holds(&question, &hit.said));
        }
        for hit in &mut hits {
            let prompt = snippet::find(&question, &hit.said.prompt);
            let answer = snippet::find(&question, &hit.said.completion);
            // What was asked tells more than what was answered, and that more than what stands around.
            hit.score = prompt.score * 1.5 + answer.score;
            let mut places = vec![
                (FoundIn::Prompt, prompt.pieces),
                (FoundIn::Completion, answer.pieces),
            ];
            if places.iter().all(|(_, pieces)| pieces.is_empty()) {
                let earlier = around::earlier(&hit.said).join("\n\n");
                for (place, text) in [
                    (FoundIn::Messages, &earlier),
                    (FoundIn::SystemPrompt, &hit.said.system_prompt),
                ] {
                    let found = snippet::find(&question, text);
                    hit.score += found.score * 0.2;
                    places.push((place, found.pieces));
                }
            }
            let first = places.into_iter().find(|(_, pieces)| !pieces.is_empty());
            (hit.found_in, hit.pieces) = first.unwrap_or_default();
        }
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.row.rid.cmp(&a.row.rid)));
        hits
    });
    ranked
        .await
        .map_err(|stopped| std::io::Error::other(stopped.to_string()).into())
}

/// Whether the phrases of a question stand in a content. PostgreSQL's index does not know of a long one.
fn holds(question: &Question, said: &Said) -> bool {
    question.follows_in(&words::of_document(said))
}

/// The record id of the last of [`SCAN_MAX`] rows; `None` when there are fewer.
async fn scan_floor(shelf: &Shelf, from: i64, to: i64) -> Result<Option<i64>, StoreError> {
    #[derive(FromQueryResult)]
    struct Row {
        rid: i64,
    }
    let mut sql = Sql::new("SELECT rid FROM conversation_contents WHERE rid >= ");
    sql.bind(from);
    sql.push(" AND rid < ").bind(to);
    sql.push(" ORDER BY rid DESC LIMIT 1 OFFSET ")
        .bind(SCAN_MAX.cast_signed());
    let row = Row::find_by_statement(sql.done(shelf.backend()))
        .one(&shelf.read)
        .await?;
    Ok(row.map(|row| row.rid))
}

/// The row as it lies now.
pub(super) async fn at(shelf: &Shelf, rid: i64) -> Result<Option<ContentRow>, StoreError> {
    let mut sql = Sql::new(&format!(
        "SELECT {COLUMNS} FROM conversation_contents c WHERE c.rid = "
    ));
    sql.bind(rid);
    let asked = ContentRow::find_by_statement(sql.done(shelf.backend()));
    Ok(asked.one(&shelf.read).await?)
}

pub(super) async fn opened(shelf: &Shelf, mut row: ContentRow) -> Result<Hit, StoreError> {
    let mut dictionary = shelf.dictionary(row.dict_id).await?;
    // Packed anew since it was read, and what it was packed with is gone.
    if dictionary.is_none()
        && row.dict_id != 0
        && let Some(now) = at(shelf, row.rid).await?
    {
        row = now;
        dictionary = shelf.dictionary(row.dict_id).await?;
    }
    let body = std::mem::take(&mut row.body);
    Ok(Hit {
        said: packing::open(&body, dictionary.as_deref())?,
        row,
        score: 0.0,
        pieces: Vec::new(),
        found_in: FoundIn::default(),
    })
}
