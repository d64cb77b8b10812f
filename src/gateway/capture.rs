//! Keeps what was said in a call, for tokens that ask for it; of others nothing is looked at.
//!
//! While the call is under way two bounded buffers grow: the request's body, and the answer's text as its events bring
//! it. Everything that costs (reading the request, redaction, sealing, the disk) happens after the answer's end, on a
//! blocking thread nobody waits for. What does not fit is left out and marked; no more memory is taken than the intake
//! allows all calls together. Errors of providers are not kept: they may echo a credential.

mod answer;
mod lean;
mod request;

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use steward_actors::contents::intake::{Intake, Pending, Reserved};
use steward_actors::contents::{Content, Said};
use steward_actors::domain::record::{Operation, Record};
use steward_actors::domain::redaction::{Hits, RedactionMode, Redactor};
use steward_actors::domain::snapshot::{Snapshot, TokenView};
use tokio::runtime::Handle;

use super::sse::Event;
pub(super) use answer::Heard;
pub use request::text_of;

/// The request's side of a call that is kept.
pub(super) struct Capture {
    intake: Arc<Intake>,
    redactor: Arc<Redactor>,
    mode: RedactionMode,
    operation: Operation,
    body: Bytes,
    truncated: bool,
    _memory: Reserved,
}

impl Capture {
    /// `None` when nothing of this call is to be kept.
    pub(super) fn begin(
        intake: Option<&Arc<Intake>>,
        snapshot: &ArcSwap<Snapshot>,
        token: &TokenView,
        operation: Operation,
        body: &Bytes,
    ) -> Option<Box<Self>> {
        if !token.enable_conversation_logging {
            return None;
        }
        let intake = intake.filter(|intake| intake.keeps())?;
        if !matches!(
            operation,
            Operation::Chat | Operation::Responses | Operation::Completion | Operation::Messages
        ) {
            return None;
        }
        let mut memory = intake.reserve();
        let wanted = token.redaction != RedactionMode::MetadataOnly;
        let fits = body.len() <= request::BODY_MAX_BYTES;
        let room = body.len().min(request::BODY_MAX_BYTES);
        let body = if !wanted || !memory.grow(room) {
            Bytes::new()
        } else if fits {
            // In memory of its own: the connection's buffer is wanted again.
            Bytes::copy_from_slice(body)
        } else {
            // Pictures and files, mostly: of them little is left.
            lean::lean(body, room).map_or_else(Bytes::new, Bytes::from)
        };
        Some(Box::new(Self {
            truncated: wanted && (!fits || body.is_empty()),
            intake: Arc::clone(intake),
            redactor: Arc::clone(&snapshot.load().redactor),
            mode: token.redaction,
            operation,
            body,
            _memory: memory,
        }))
    }

    /// What listens to the answer.
    pub(super) fn listener(&self) -> Option<Box<Heard>> {
        (self.mode != RedactionMode::MetadataOnly)
            .then(|| Box::new(Heard::new(self.operation, &self.intake)))
    }

    /// The call is over: from now on a process that ends waits for what was said.
    pub(super) fn ended(self: Box<Self>) -> Ended {
        Ended {
            pending: self.intake.pending(),
            capture: self,
        }
    }

    fn fill(&self, content: &mut Content, answer: Option<Heard>) {
        if self.mode == RedactionMode::MetadataOnly {
            return;
        }
        let max = self.intake.side_max();
        let mut hits = Hits::new();
        let rules = (self.mode == RedactionMode::Redact).then_some(&*self.redactor);
        let mut said = Said::default();
        content.truncated = self.truncated;
        if !self.body.is_empty() {
            content.truncated |= request::read(&self.body, max, rules, &mut hits, &mut said);
        }
        if let Some(answer) = answer {
            content.truncated |= answer.read(max, rules, content.success, &mut hits, &mut said);
        }
        content.redactions = counted(&hits);
        content.said = Some(said);
    }
}

/// What was said in a call that is over, not kept yet. It counts as on its way before the call's record is on the books,
/// so that whoever finds the record and waits for contents under way finds the content too.
pub(super) struct Ended {
    capture: Box<Capture>,
    pending: Pending,
}

impl Ended {
    /// The call is on the books: what was said is kept, some time soon.
    pub(super) fn keep(self, record: &Record, answer: Option<Box<Heard>>) {
        let Self { capture, pending } = self;
        let mut content = about(record, capture.mode);
        let work = move || {
            capture.fill(&mut content, answer.map(|answer| *answer));
            capture.intake.keep(&content);
            drop(pending);
        };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(work)),
            Err(_) => work(),
        }
    }
}

/// What is kept of a call that nobody relayed, its request's `body` and its answer's text at hand and short: of a
/// demonstration's past.
pub fn kept(
    record: &Record,
    mode: RedactionMode,
    body: &[u8],
    completion: &str,
    redactor: &Redactor,
) -> Content {
    let mut content = about(record, mode);
    if mode == RedactionMode::MetadataOnly {
        return content;
    }
    let mut hits = Hits::new();
    let rules = (mode == RedactionMode::Redact).then_some(redactor);
    let mut said = Said::default();
    content.truncated = request::read(body, usize::MAX, rules, &mut hits, &mut said);
    (said.completion, _) = bounded(completion, usize::MAX, rules, &mut hits);
    content.redactions = counted(&hits);
    content.said = Some(said);
    content
}

fn counted(hits: &Hits) -> i64 {
    hits.values().map(|count| i64::from(*count)).sum()
}

/// Who, when, which model.
fn about(record: &Record, mode: RedactionMode) -> Content {
    Content {
        rid: record.rid,
        id_tail: record.id_tail,
        token_id: record.token_id,
        token_public_id: record.token_public_id.clone(),
        token_name: record.token_name.clone(),
        tenant_id: record.tenant_id,
        tenant_public_id: record.tenant_public_id.clone(),
        end_user: record.end_user.clone(),
        app: record.app.clone(),
        model: record.model.clone(),
        provider: record.provider.clone(),
        conversation_id: record.conversation_id.clone(),
        operation: record.operation,
        stream: record.stream,
        status_code: record.status_code,
        success: record.success,
        created_at: record.request_at,
        duration_ms: record.duration_ms,
        prompt_tokens: record.prompt_tokens,
        completion_tokens: record.completion_tokens,
        redaction: mode.as_str().to_owned(),
        redactions: 0,
        truncated: false,
        said: None,
    }
}

/// `text` redacted, then cut to `max` bytes; whether it was cut.
fn bounded(text: &str, max: usize, rules: Option<&Redactor>, hits: &mut Hits) -> (String, bool) {
    let mut clean = match rules {
        Some(rules) => rules.text(text, hits).into_owned(),
        None => text.to_owned(),
    };
    let cut = clean.len() > max;
    if cut {
        clean.truncate(clean.floor_char_boundary(max));
    }
    (clean, cut)
}

/// Told of an event; a call nobody keeps costs one branch.
pub(super) fn hear(listener: &mut Option<Box<Heard>>, event: &Event<'_>) {
    if let Some(listener) = listener {
        listener.event(&event.data);
    }
}
