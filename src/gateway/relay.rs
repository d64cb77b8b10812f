//! The way back: the upstream's bytes go to the client as they come, and the record goes on the books
//! before the answer ends.
//!
//! No task and no channel stand between: the server polls this body, which polls the upstream. What ends an
//! answer (the terminal event of a stream, the last frame of anything else) is kept until the spool has taken
//! the record. A client that leaves drops this body, which drops the upstream's and records what was used.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;

use crate::error::catalog::ErrorCode;
use crate::http::request_id;

use super::closing::{Closed, Settling};
use super::finish::{End, Finish};
use super::headers;
use super::knowledge;
use super::pulse::{Expired, Pulse};
use super::tap::{Heard, Tap};
use super::upstream::Answer;

const X_REQUEST_ID: HeaderName = HeaderName::from_static(request_id::HEADER);

/// The connection is broken off on purpose, so that a cut answer never looks like a finished one.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut: {}", .0.title())]
pub(super) struct CutOff(ErrorCode);

enum Stage {
    /// The answer is under way.
    Open,
    /// The record is being estimated or synced (`spool.fsync = always`).
    Settling(Settling),
    /// On the books; what the upstream still says is passed on.
    Settled,
    /// What is queued goes out, then the connection breaks.
    Breaking { code: ErrorCode, flushed: bool },
}

struct RelayBody {
    upstream: Incoming,
    finish: Finish,
    tap: Tap,
    pulse: Pulse,
    size: BodySize,
    out: Vec<Bytes>,
    next: usize,
    stage: Stage,
    /// The upstream has said everything.
    ended: bool,
    /// The body's end is the connection's end, so that an end without a terminal event proves nothing.
    ends_by_close: bool,
}

/// An answer without a body, which the server never polls: its record is settled before it is given away.
pub(super) struct Empty {
    response: HttpResponseBuilder,
    body: Box<RelayBody>,
}

impl Empty {
    /// The answer, when its record is on the books.
    pub(super) async fn settle(self) -> HttpResponse {
        let Self {
            mut response,
            mut body,
        } = self;
        body.ended();
        std::future::poll_fn(|cx| body.poll_settled(cx)).await;
        if let Stage::Breaking { code, .. } = body.stage {
            return body.finish.answer(&code.into());
        }
        response.body(*body)
    }
}

/// Turns the upstream's answer into ours, whose body settles the record as it is polled. It awaits nothing, so that what
/// it puts together lies on the stack: within the call's own future it would be a kilobyte more for every call under way,
/// and cold memory each time.
pub(super) fn respond(mut finish: Finish, answer: Answer) -> Result<HttpResponse, Empty> {
    let Answer {
        head,
        body: upstream,
        mut pulse,
        withhold_usage,
    } = answer;
    let status = StatusCode::from_u16(head.status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut tap = Tap::new(
        &head,
        finish.operation(),
        withhold_usage,
        finish.started(),
        finish.account(),
    );
    finish.answered(
        status.as_u16(),
        headers::upstream_request_id(&head.headers).unwrap_or(""),
    );
    if status.is_success() {
        let capture = finish.about.capture.as_ref();
        tap.keep_for(capture.and_then(|capture| capture.listener()));
    }
    if tap.is_stream() {
        finish.about.prompt.shrink();
    }
    let mut response = HttpResponseBuilder::new(status);
    response.insert_header((X_REQUEST_ID, finish.request_id()));
    for (name, value) in headers::to_client(&head.headers) {
        if tap.unpacks() && name == CONTENT_ENCODING {
            continue;
        }
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            response.append_header((name, value));
        }
    }
    if let Some(given) = &finish.about.knowledge {
        response.insert_header((knowledge::HEADER.clone(), given.told()));
    }
    let size = match upstream.size_hint().exact() {
        // Events may be taken out or put in, so a stream's length is not its upstream's.
        Some(length) if length == 0 || tap.keeps_length() => BodySize::Sized(length),
        _ => BodySize::Stream,
    };
    pulse.restart(finish.gateway().settings.load().idle_timeout);
    let ends_by_close = upstream.size_hint().exact().is_none()
        && !head.headers.contains_key(http::header::TRANSFER_ENCODING);
    let body = RelayBody {
        ended: false,
        upstream,
        finish,
        tap,
        pulse,
        size,
        out: Vec::with_capacity(4),
        next: 0,
        stage: Stage::Open,
        ends_by_close,
    };
    if body.upstream.is_end_stream() {
        let body = Box::new(body);
        return Err(Empty { response, body });
    }
    Ok(response.body(body))
}

impl RelayBody {
    /// One frame of the upstream's.
    fn take(&mut self, chunk: Bytes) {
        self.pulse.touch();
        // One without bytes says nothing, and must not pass for the last one, which is held.
        if !chunk.is_empty() {
            match self.tap.push(chunk, &mut self.out) {
                Heard::More => {}
                Heard::End => self.put_on_the_books(),
                Heard::Leak => return self.break_off(ErrorCode::UpstreamError),
            }
        }
        if self.upstream.is_end_stream() {
            self.ended();
        }
    }

    /// The upstream has said everything.
    fn ended(&mut self) {
        self.ended = true;
        if !matches!(self.stage, Stage::Open) {
            return;
        }
        self.tap.end(&mut self.out);
        if self.tap.is_cut_short(self.ends_by_close) {
            self.break_off(ErrorCode::UpstreamBroken);
        } else {
            self.put_on_the_books();
        }
    }

    /// The terminal event or the last frame is here: the record first.
    fn put_on_the_books(&mut self) {
        match self.finish.close(&End::Answered, Some(&mut self.tap)) {
            Closed::Now(true) => self.let_go(),
            Closed::Now(false) => self.break_off(ErrorCode::LedgerFull),
            Closed::Later(settling) => self.stage = Stage::Settling(settling),
        }
    }

    fn let_go(&mut self) {
        self.tap.release(&mut self.out);
        self.stage = Stage::Settled;
    }

    fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Stage::Settling(settling) = &mut self.stage {
            if std::task::ready!(settling.as_mut().poll(cx)) {
                self.let_go();
            } else {
                self.break_off(ErrorCode::LedgerFull);
            }
        }
        Poll::Ready(())
    }

    /// Ends the answer so that nobody takes it for a finished one.
    fn break_off(&mut self, code: ErrorCode) {
        if matches!(self.stage, Stage::Settled) {
            // The client has the terminal event and the books have the record: only the line is left.
            self.ended = true;
            return;
        }
        // Recorded already when it is the books that failed; closing twice does nothing.
        let _ = self.finish.close(&End::Broken(code), Some(&mut self.tap));
        if self.tap.is_plain_sse() {
            self.out
                .push(self.finish.error_event(code, self.tap.next_sequence()));
        }
        self.stage = Stage::Breaking {
            code,
            flushed: false,
        };
    }
}

impl Drop for RelayBody {
    fn drop(&mut self) {
        // Not closed by now: the client left in the middle. The upstream's body goes with this one.
        let _ = self.finish.close(&End::unsaid(), Some(&mut self.tap));
    }
}

impl MessageBody for RelayBody {
    type Error = CutOff;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, CutOff>>> {
        let this = self.get_mut();
        loop {
            if let Some(chunk) = this.out.get_mut(this.next) {
                this.next += 1;
                return Poll::Ready(Some(Ok(std::mem::take(chunk))));
            }
            this.out.clear();
            this.next = 0;
            match &mut this.stage {
                Stage::Settling(_) => std::task::ready!(this.poll_settled(cx)),
                Stage::Breaking { code, flushed } => {
                    if std::mem::replace(flushed, true) {
                        return Poll::Ready(Some(Err(CutOff(*code))));
                    }
                    // The server drops what is unwritten when a body fails: give it one turn to write.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Stage::Open | Stage::Settled if this.ended => return Poll::Ready(None),
                Stage::Open | Stage::Settled => match Pin::new(&mut this.upstream).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Ok(chunk) = frame.into_data() {
                            this.take(chunk);
                        }
                    }
                    Poll::Ready(None) => this.ended(),
                    Poll::Ready(Some(Err(_))) => this.break_off(ErrorCode::UpstreamBroken),
                    Poll::Pending => {
                        match std::task::ready!(this.pulse.poll(cx, &this.finish.gateway().cut)) {
                            Expired::Silence => this.break_off(ErrorCode::UpstreamTimeout),
                            Expired::Cut => this.break_off(ErrorCode::ShuttingDown),
                        }
                    }
                },
            }
        }
    }
}
