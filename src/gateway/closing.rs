//! The last step of a call: usage into the record, the record onto the books, the limits settled.
//!
//! It runs at once on the caller's thread unless tokens have to be estimated: that may load a tokenizer and
//! belongs on a blocking thread. The end of an answer waits for it there; a client that has left does not.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use steward_actors::domain::record::{Operation, RECORD_KIND, Record};
use steward_actors::domain::seen;
use steward_actors::spool::AppendError;
use tokio::runtime::Handle;

use super::budget::{Hold, charge_of};
use super::capture::{Ended, Heard};
use super::estimate::Settled;
use super::limits::Admission;
use super::meter::Reading;
use super::request::{self, PromptSize, PromptText, RequestHead};
use super::usage::Usage;
use super::{Gateway, estimate};

/// A longer request is not kept for an estimate: its size has to do, in bytes.
const PROMPT_KEPT_BYTES: usize = 64 * 1024;

/// Resolves to whether the answer may end.
pub(super) type Settling = Pin<Box<dyn Future<Output = bool>>>;

/// What a closed call answers to whoever holds back an answer's end.
pub(super) enum Closed {
    /// The answer may end, or (the books did not take the record) must not.
    Now(bool),
    /// That is not known yet. Dropping it changes nothing about the record.
    Later(Settling),
}

/// A shorter request is kept as it is; of a longer one, when its answer takes its time, a sample of the text.
const PROMPT_WHOLE_BYTES: usize = 4 * 1024;

/// The request's text, as far as it is kept for an estimate.
#[derive(Default)]
pub(super) struct Prompt {
    kept: Kept,
    size: PromptSize,
}

#[derive(Default)]
enum Kept {
    #[default]
    Nothing,
    Body(Bytes),
    Text(PromptText),
}

impl Prompt {
    pub(super) fn of(body: &Bytes, head: &RequestHead) -> Self {
        Self {
            kept: match body.len() {
                ..=PROMPT_KEPT_BYTES => Kept::Body(body.clone()),
                _ => Kept::Nothing,
            },
            size: head.prompt,
        }
    }

    /// The answer is a stream, and there may be thousands of them: lets go of the buffer the request came in
    /// and keeps what an estimate needs, in memory of its own.
    pub(super) fn shrink(&mut self) {
        let Kept::Body(body) = &self.kept else { return };
        self.kept = if body.len() <= PROMPT_WHOLE_BYTES {
            Kept::Body(Bytes::copy_from_slice(body))
        } else {
            let mut text = request::prompt_text(body, estimate::SAMPLE_MAX_BYTES);
            text.sample.shrink_to_fit();
            Kept::Text(text)
        };
    }

    fn is_kept(&self) -> bool {
        !matches!(self.kept, Kept::Nothing)
    }

    fn text(&self) -> PromptText {
        match &self.kept {
            Kept::Nothing => PromptText::default(),
            Kept::Body(body) => request::prompt_text(body, estimate::SAMPLE_MAX_BYTES),
            Kept::Text(text) => text.clone(),
        }
    }
}

/// See the module. Dropped unwritten (the estimate's thread never ran because the process goes down), it writes the record all the same, with what the provider told.
pub(super) struct Closing {
    pub(super) gateway: Arc<Gateway>,
    pub(super) operation: Operation,
    pub(super) record: Record,
    pub(super) reading: Reading,
    /// A provider worked for it, so that something was used.
    pub(super) accepted: bool,
    /// What the account calls the model, when callers call it otherwise: who answered, where the answer does not say.
    pub(super) sent_model: Option<String>,
    pub(super) prompt: Prompt,
    /// What was said, where it is kept.
    pub(super) capture: Option<Ended>,
    pub(super) heard: Option<Box<Heard>>,
    pub(super) admission: Option<Admission>,
    pub(super) hold: Option<Hold>,
    /// Not put on the books.
    pub(super) unrecorded: bool,
    pub(super) written: bool,
}

impl Drop for Closing {
    fn drop(&mut self) {
        if !self.written {
            // Nobody waits for it any more; a failure has been counted and logged.
            let _ = self.append();
        }
    }
}

impl Closing {
    pub(super) fn run(self) -> Closed {
        let gateway = Arc::clone(&self.gateway);
        if self.accepted
            && estimate::is_needed(self.operation, &self.reading)
            && let Ok(runtime) = Handle::try_current()
        {
            let work = runtime.spawn_blocking(move || self.write());
            return Closed::Later(Box::pin(async move {
                match work.await {
                    Ok(Ok(seq)) => is_durable(&gateway, seq).await,
                    _ => false,
                }
            }));
        }
        match self.write() {
            Ok(seq) if gateway.wait_durable => {
                Closed::Later(Box::pin(async move { is_durable(&gateway, seq).await }))
            }
            written => Closed::Now(written.is_ok()),
        }
    }

    /// Puts the record on the books; its sequence number there, when it was kept.
    fn write(mut self) -> Result<Option<u64>, AppendError> {
        if self.accepted {
            self.measure();
        }
        self.append()
    }

    fn append(&mut self) -> Result<Option<u64>, AppendError> {
        self.written = true;
        let record = &mut self.record;
        let answered = self.reading.model.take().filter(|model| !model.is_empty());
        let sent = self.sent_model.take().filter(|_| self.accepted);
        record.upstream_model = answered.or(sent).unwrap_or_default();
        let response = self.reading.response_id.as_deref();
        record.seen_keys = response
            .and_then(|id| seen::response(record.tenant_id, id))
            .into_iter()
            .collect();
        record.bound();
        self.gateway.snapshot.load().prices.price(record);
        let appended = match self.unrecorded {
            true => None,
            false => Some(encoded(record, |bytes| {
                self.gateway.spool.append(RECORD_KIND, bytes)
            })),
        };
        if let Some(mut admission) = self.admission.take() {
            let used = u64::try_from(record.total_tokens).unwrap_or(0);
            admission.settle(used, self.gateway.accounts.now_ms());
        }
        if let Some(mut hold) = self.hold.take() {
            hold.settle(charge_of(record));
        }
        let status = u16::try_from(record.status_code).unwrap_or(500);
        self.gateway.counters.closed(status);
        match appended.transpose() {
            Ok(appended) => {
                if let Some(capture) = self.capture.take().filter(|_| appended.is_some()) {
                    capture.keep(&self.record, self.heard.take());
                }
                Ok(appended.filter(|a| a.recorded).map(|a| a.seq))
            }
            Err(cause) => {
                self.gateway.counters.append_failure();
                tracing::error!(request_id = %record.id(), %cause, "a call's record could not be written");
                Err(cause)
            }
        }
    }

    fn measure(&mut self) {
        if !self.prompt.is_kept() && self.reading.usage.is_none() {
            self.reading.usage = Some(Usage {
                prompt: self.prompt.size.tokens(),
                ..Usage::default()
            });
        }
        let model = self.reading.model.as_deref().unwrap_or(&self.record.model);
        // An estimate that fails must not fail the call: what the provider told, and the prompt's size, do.
        let settled = catch_unwind(AssertUnwindSafe(|| {
            estimate::settle(self.operation, &self.reading, model, || self.prompt.text())
        }))
        .unwrap_or_else(|_| {
            tracing::error!(request_id = %self.record.id(), "a call's tokens could not be estimated");
            let told = self.reading.usage.unwrap_or_default();
            let usage = Usage {
                prompt: match told.prompt {
                    0 => self.prompt.size.tokens(),
                    told => told,
                },
                ..told
            };
            Settled {
                usage: usage.with_total(),
                estimated: true,
            }
        });
        let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
        let record = &mut self.record;
        record.prompt_tokens = count(settled.usage.prompt);
        record.completion_tokens = count(settled.usage.completion);
        record.total_tokens = count(settled.usage.total);
        record.cached_tokens = count(settled.usage.cached);
        record.cache_write_tokens = count(settled.usage.cache_write);
        record.cache_write_1h_tokens = count(settled.usage.cache_write_1h);
        record.reasoning_tokens = count(settled.usage.reasoning);
        record.usage_estimated = settled.estimated;
    }
}

async fn is_durable(gateway: &Gateway, seq: Option<u64>) -> bool {
    gateway.durable(seq).await.is_ok()
}

/// Encodes into a buffer that the thread keeps.
fn encoded<R>(record: &Record, then: impl FnOnce(&[u8]) -> R) -> R {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        // A vector grows as needed, so there is always room.
        let _ = record.encode(buffer);
        then(buffer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_prompt_leaves_the_connections_buffer_and_says_the_same() {
        for words in [10, 600, 5_000] {
            let text = "word ".repeat(words);
            let mut buffer = bytes::BytesMut::zeroed(8 * 1024);
            let from = buffer.len();
            buffer.extend_from_slice(
                format!(r#"{{"model":"m","messages":[{{"content":"{text}"}}]}}"#).as_bytes(),
            );
            let body = buffer.freeze().slice(from..);
            let head = request::parse(&body).unwrap();
            let mut prompt = Prompt::of(&body, &head);
            let before = prompt.text();
            prompt.shrink();
            assert_eq!(prompt.text(), before, "{words} words");
            assert!(prompt.is_kept());
            // Nobody else holds the buffer any more.
            assert!(body.is_unique(), "{words} words");
        }
    }
}
