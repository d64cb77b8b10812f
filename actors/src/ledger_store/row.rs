//! A record as a row: references resolved, text cleaned, columns grouped by type.
//!
//! The groups are what lets both databases bind, unnest or copy all columns in loops; their order is the
//! order of the table (`migration/src/ledger`).

use std::borrow::Cow;

use crate::domain::record::{Attempt, Record};

use super::WriteError;
use super::names::Resolved;

pub(super) const BIGS: [&str; 26] = [
    "rid",
    "id_tail",
    "request_at",
    "response_at",
    "token_id",
    "account_id",
    "tenant_id",
    "app_id",
    "end_user_id",
    "model_id",
    "upstream_model_id",
    "price_id",
    "duration_ms",
    "ttft_ms",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_nano",
    "attempt_offset_us",
    "attempt_ms",
    "prompt_version_id",
    "cache_write_1h_tokens",
    "units",
];
/// Those of [`BIGS`] that may be NULL.
const TTFT: usize = 13;
const ATTEMPT_OFFSET: usize = 21;
const ATTEMPT_MS: usize = 22;
const PROMPT_VERSION: usize = 23;
const HOUR_CACHE: usize = 24;
const UNITS: usize = 25;
pub(super) const INTS: [&str; 1] = ["status_code"];
pub(super) const SMALLS: [&str; 5] = ["mode", "operation", "source", "node", "attempts"];
pub(super) const FLAGS: [&str; 4] = ["stream", "usage_estimated", "priced", "success"];
pub(super) const TEXTS: [&str; 8] = [
    "provider",
    "currency",
    "error_code",
    "error_message",
    "conversation_id",
    "client_ip",
    "upstream_request_id",
    "knowledge",
];
/// The first so many of [`TEXTS`] are never NULL; in the others the empty text is NULL.
pub(super) const TEXTS_NOT_NULL: usize = 2;

/// Columns of a row.
pub(super) const WIDTH: usize = BIGS.len() + INTS.len() + SMALLS.len() + FLAGS.len() + TEXTS.len();

/// Every column, comma-separated, in order.
pub(super) fn columns() -> String {
    let mut all = Vec::with_capacity(WIDTH);
    all.extend(BIGS);
    all.extend(INTS);
    all.extend(SMALLS);
    all.extend(FLAGS);
    all.extend(TEXTS);
    all.join(", ")
}

/// One row of `request_logs` and the record it came from (attempts and totals are taken from there).
pub(super) struct Row<'a> {
    pub(super) record: &'a Record,
    pub(super) bigs: [i64; BIGS.len()],
    /// For rollups; the row itself spells the provider.
    pub(super) provider_id: i64,
    has_ttft: bool,
    /// Its one attempt is told by the row itself.
    has_lone_attempt: bool,
    pub(super) status_code: i32,
    pub(super) smalls: [i16; SMALLS.len()],
    pub(super) flags: [bool; FLAGS.len()],
    pub(super) texts: [Cow<'a, str>; TEXTS.len()],
}

impl<'a> Row<'a> {
    /// # Errors
    /// `Data` when a number does not fit its column.
    pub(super) fn new(
        record: &'a Record,
        node: u8,
        resolved: &Resolved,
    ) -> Result<Self, WriteError> {
        if record.rid <= 0 {
            return Err(WriteError::Data("rid is not positive".into()));
        }
        let tail = i64::try_from(record.id_tail)
            .map_err(|_| WriteError::Data("id_tail exceeds 63 bits".into()))?;
        let small = |value: i32| {
            i16::try_from(value).map_err(|_| WriteError::Data("a small number is too big".into()))
        };
        let lone = lone_attempt(record);
        Ok(Self {
            record,
            bigs: [
                record.rid,
                tail,
                record.request_at,
                record.response_at,
                record.token_id,
                record.account_id,
                record.tenant_id,
                resolved.app_id,
                resolved.end_user_id,
                resolved.model_id,
                resolved.upstream_model_id,
                record.price_id,
                record.duration_ms,
                record.ttft_ms.unwrap_or_default(),
                record.prompt_tokens,
                record.completion_tokens,
                record.total_tokens,
                record.cached_tokens,
                record.cache_write_tokens,
                record.reasoning_tokens,
                record.cost_nano,
                lone.map_or(0, |attempt| attempt.started_at - record.request_at),
                lone.map_or(0, |attempt| attempt.duration_ms),
                record.prompt_version_id,
                record.cache_write_1h_tokens,
                record.units,
            ],
            provider_id: resolved.provider_id,
            has_ttft: record.ttft_ms.is_some(),
            has_lone_attempt: lone.is_some(),
            status_code: record.status_code,
            smalls: [
                small(record.mode)?,
                small(record.operation)?,
                small(record.source)?,
                i16::from(node),
                i16::try_from(record.attempts.len()).unwrap_or(i16::MAX),
            ],
            flags: [
                record.stream,
                record.usage_estimated,
                record.priced,
                record.success,
            ],
            texts: [
                clean(&record.provider),
                clean(&record.currency),
                clean(&record.error_code),
                clean(&record.error_message),
                clean(&record.conversation_id),
                clean(&record.client_ip),
                clean(&record.upstream_request_id),
                clean(&record.knowledge),
            ],
        })
    }

    /// The `index`th of [`BIGS`], `None` where it is stored as NULL.
    pub(super) fn big(&self, index: usize) -> Option<i64> {
        let present = match index {
            TTFT => self.has_ttft,
            ATTEMPT_OFFSET | ATTEMPT_MS => self.has_lone_attempt,
            PROMPT_VERSION | HOUR_CACHE | UNITS => self.bigs[index] != 0,
            _ => true,
        };
        present.then_some(self.bigs[index])
    }

    /// Whether a value of the `index`th of [`BIGS`] may be NULL.
    pub(super) fn may_be_null(index: usize) -> bool {
        matches!(
            index,
            TTFT | ATTEMPT_OFFSET | ATTEMPT_MS | PROMPT_VERSION | HOUR_CACHE | UNITS
        )
    }

    /// The attempts that need rows of their own.
    pub(super) fn attempts(&self) -> &'a [Attempt] {
        if self.has_lone_attempt {
            &[]
        } else {
            &self.record.attempts
        }
    }

    /// The `index`th text, `None` where it is stored as NULL.
    pub(super) fn text(&self, index: usize) -> Option<&str> {
        let text = self.texts[index].as_ref();
        (index < TEXTS_NOT_NULL || !text.is_empty()).then_some(text)
    }
}

/// The only attempt of a request whose account and status are the request's: most of them, and a row of their
/// own would cost a quarter of the log.
fn lone_attempt(record: &Record) -> Option<&Attempt> {
    match record.attempts.as_slice() {
        [only]
            if only.account_id == record.account_id
                && only.status_code == record.status_code
                && only.error_code.is_empty()
                && only.started_at.checked_sub(record.request_at).is_some() =>
        {
            Some(only)
        }
        _ => None,
    }
}

/// PostgreSQL takes no NUL in text; callers choose names, so a NUL must not cost a record.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.as_bytes().contains(&0) {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}
