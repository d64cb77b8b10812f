//! OpenTelemetry spans as records: a trace request in, finished calls out.
//!
//! Pure: bytes and values in, values out, the time passed in. [`wire`] and [`json`] read OTLP's two encodings
//! into [`span::Span`]s, of which only the attributes that matter are kept, so that a request never takes much
//! more memory than its bytes; [`call`] tells which spans are model calls and turns them into records, whoever
//! made them (the semantic conventions old and new, OpenLLMetry, OpenLIT, OpenInference, the Vercel AI SDK,
//! Anthropic's own client); [`answer`] is what OTLP has a receiver say. Receiving and booking is not here
//! (`features::ingest`), nor are metrics and logs.

pub mod answer;
pub mod call;
pub mod json;
pub mod span;
pub mod wire;

#[cfg(test)]
mod tests;

use steward_actors::domain::record::Record;
use steward_actors::domain::snapshot::TokenView;

use call::Rejected;
use span::{Context, Span};

/// Most calls taken out of one request; the rest is rejected, and the sender told so.
pub const CALLS_MAX: usize = 10_000;

/// One of OTLP's encodings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encoding {
    Protobuf,
    Json,
}

/// The body is not of its encoding.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the body is no {0} trace request")]
pub struct Malformed(pub &'static str);

/// What a request holds.
#[derive(Debug, Default)]
pub struct Taken {
    /// Calls, in the order of the request, without ids of our own.
    pub records: Vec<Record>,
    /// Spans that say they are model calls and cannot be taken.
    pub rejected: u64,
    /// Why the first of them was not.
    pub reason: Option<Rejected>,
}

impl Taken {
    fn reject(&mut self, reason: Rejected) {
        self.rejected += 1;
        self.reason.get_or_insert(reason);
    }
}

/// Reads a request sent with `token` at `now_micros`. Spans that are no model calls are passed over.
///
/// # Errors
/// [`Malformed`]; nothing is taken then.
pub fn take(
    encoding: Encoding,
    body: &[u8],
    token: &TokenView,
    now_micros: i64,
) -> Result<Taken, Malformed> {
    let mut taken = Taken::default();
    let mut each = |context: &Context, span: Option<Span>| {
        let Some(span) = span else {
            return taken.reject(Rejected::Unreadable);
        };
        match call::record(context, &span, token, now_micros) {
            Ok(None) => {}
            Ok(Some(_)) if taken.records.len() == CALLS_MAX => taken.reject(Rejected::TooMany),
            Ok(Some(record)) => taken.records.push(record),
            Err(reason) => taken.reject(reason),
        }
    };
    match encoding {
        Encoding::Protobuf => wire::read(body, &mut each)?,
        Encoding::Json => json::read(body, &mut each)?,
    }
    Ok(taken)
}
