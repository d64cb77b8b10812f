//! Exports: a page after the other out of the store into the answer, so that memory does not grow with what is sent.

use std::collections::VecDeque;
use std::sync::Arc;

use actix_web::web::Bytes;
use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use steward_actors::contents::store::{ContentFilter, ContentStore, Hit, SearchCursor, StoreError};
use steward_actors::contents::words::Question;
use steward_actors::domain::rid::RecordId;
use steward_entities::scope::Scope;
use utoipa::ToSchema;
use uuid::Uuid;

use super::tuning;
use super::view::ConversationDetail;
use super::which::{Which, may_see};
use crate::error::ApiError;
use crate::http::range::{RangeQuery, TimeRange};
use crate::state::AppState;

/// Calls read at once.
const PAGE: u64 = 20;
const IDS_MAX: usize = 1_000;

/// How it is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ConversationExportFormat)]
pub(super) enum Format {
    Json,
    #[default]
    Jsonl,
    Openai,
}

/// What to export: these calls, or all that the filter finds.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConversationExport)]
pub(super) struct ExportRequest {
    #[serde(default)]
    format: Format,
    /// A selection; at most 1,000.
    #[schema(max_items = 1000)]
    ids: Option<Vec<String>>,
    filter: Option<Which>,
    /// Only what answers this question, as `conversations/search` finds it; not together with `ids`.
    // The audit is for ever, and holds no question.
    #[serde(skip_serializing)]
    #[schema(min_length = 1, max_length = 200)]
    pub(super) q: Option<String>,
    /// RFC 3339 or a date.
    from: Option<String>,
    /// RFC 3339 (exclusive) or a date (that day included).
    to: Option<String>,
}

/// A checked export.
pub(super) struct Plan {
    pub(super) format: Format,
    filter: ContentFilter,
    question: Option<Question>,
    /// A selection, in its order.
    ids: Option<VecDeque<RecordId>>,
    scope: Scope,
}

pub(super) async fn plan(
    state: &AppState,
    scope: Scope,
    asked: ExportRequest,
) -> Result<Plan, ApiError> {
    let range = TimeRange::parse(
        &RangeQuery::between(asked.from, asked.to),
        state.clock.now_micros(),
        state.time_zone,
    )?;
    let ids = match asked.ids {
        None => None,
        Some(ids) if ids.len() > IDS_MAX => {
            return Err(ApiError::invalid(
                "ids",
                format!("must be at most {IDS_MAX}"),
            ));
        }
        Some(ids) => Some(
            ids.iter()
                .enumerate()
                .map(|(index, id)| {
                    Uuid::parse_str(id)
                        .ok()
                        .and_then(RecordId::from_uuid)
                        .ok_or_else(|| {
                            ApiError::invalid(format!("ids[{index}]"), "is no conversation's id")
                        })
                })
                .collect::<Result<_, ApiError>>()?,
        ),
    };
    let question = match asked.q {
        Some(_) if ids.is_some() => {
            return Err(ApiError::invalid("q", "cannot be combined with ids"));
        }
        q => q
            .map(|q| super::question(&q))
            .transpose()
            .map_err(|wrong| ApiError::invalid("q", wrong))?,
    };
    Ok(Plan {
        format: asked.format,
        filter: asked
            .filter
            .unwrap_or_default()
            .filter(state, scope, range)
            .await?,
        question,
        ids,
        scope,
    })
}

struct Progress {
    store: Arc<ContentStore>,
    plan: Plan,
    before: Option<i64>,
    /// Where the next page of answers to the question begins.
    found: Option<SearchCursor>,
    written: u64,
    over: bool,
    closed: bool,
}

/// The answer's body. A failure breaks it off, so that it does not look complete.
pub(super) fn stream(
    store: Arc<ContentStore>,
    plan: Plan,
) -> impl Stream<Item = Result<Bytes, StoreError>> + 'static {
    let begin = Progress {
        store,
        plan,
        before: None,
        found: None,
        written: 0,
        over: false,
        closed: false,
    };
    stream::unfold(begin, |mut progress| async move {
        loop {
            if progress.closed {
                return None;
            }
            let part = progress.next().await;
            match part {
                Ok(text) if text.is_empty() => {}
                Ok(text) => return Some((Ok(Bytes::from(text)), progress)),
                Err(error) => {
                    tracing::error!(%error, "an export of conversations broke off");
                    progress.closed = true;
                    return Some((Err(error), progress));
                }
            }
        }
    })
}

impl Progress {
    async fn next(&mut self) -> Result<String, StoreError> {
        if self.over {
            self.closed = true;
            return Ok(match (self.plan.format, self.written) {
                (Format::Json, 0) => "[]\n".to_owned(),
                (Format::Json, _) => "\n]\n".to_owned(),
                _ => String::new(),
            });
        }
        let hits = self.page().await?;
        let mut text = String::new();
        for hit in hits {
            let line = match self.plan.format {
                Format::Openai => match tuning::line(&hit.said) {
                    Some(line) => line.to_string(),
                    None => continue,
                },
                _ => serde_json::to_string(&ConversationDetail::from(hit))
                    .map_err(std::io::Error::from)?,
            };
            match (self.plan.format, self.written) {
                (Format::Json, 0) => text.push_str("[\n"),
                (Format::Json, _) => text.push_str(",\n"),
                _ => {}
            }
            text.push_str(&line);
            if self.plan.format != Format::Json {
                text.push('\n');
            }
            self.written += 1;
        }
        Ok(text)
    }

    async fn page(&mut self) -> Result<Vec<Hit>, StoreError> {
        if let Some(question) = &self.plan.question {
            let filter = &self.plan.filter;
            let page = self
                .store
                .search(filter, question, self.found, PAGE)
                .await?;
            self.found = page.next;
            self.over = page.next.is_none();
            return Ok(page.hits);
        }
        let Some(ids) = &mut self.plan.ids else {
            let (hits, next) = self
                .store
                .list(&self.plan.filter, self.before, PAGE)
                .await?;
            self.before = next;
            self.over = next.is_none();
            return Ok(hits);
        };
        let Some(id) = ids.pop_front() else {
            self.over = true;
            return Ok(Vec::new());
        };
        let found = self.store.find(id.rid.0, id.tail.cast_signed()).await?;
        let scope = self.plan.scope;
        Ok(found
            .into_iter()
            .filter(|hit| may_see(scope, hit.row.tenant_id))
            .collect())
    }
}
