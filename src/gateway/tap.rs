//! Looks at an answer while it passes: unpacks, splits and meters it, and says which bytes may go now.
//!
//! Three shapes: plain events, whose terminal one is held back and whose unwanted one is taken out; packed
//! events (the provider compressed them), of which only whole frames can be held, and of those that cannot be
//! unpacked only the last (when one of them is unwanted they go on unpacked, as plain ones); and anything else, of which the last frame is held (of an error all of it, see
//! [`echo`](super::echo)). An error told as an event loses the account's credential here.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use memchr::memmem;
use steward_actors::domain::record::Operation;
use steward_actors::domain::snapshot::AccountView;

use super::capture;
use super::decode::{Coding, Decoder};
use super::echo::{self, Echo};
use super::meter::{Meter, Reading};
use super::sse::{Event, Splitter, Verdict};

const EVENT_STREAM: &str = "text/event-stream";

enum Shape {
    Events {
        splitter: Splitter,
        /// The provider packed them, and they go on unpacked, because one may have to be taken out.
        unpacks: Option<Decoder>,
    },
    PackedEvents {
        decoder: Decoder,
        splitter: Splitter,
        held: Vec<Bytes>,
        /// The call is on the books: nothing is held any more.
        released: bool,
    },
    Whole {
        /// `None`: a coding nobody here can read.
        decoder: Option<Decoder>,
        last: Option<Bytes>,
        /// Of an error, in which the credential may be echoed.
        echo: Option<Echo>,
        /// It says that it is JSON, whose end can be told.
        is_json: bool,
    },
}

/// Meters events and judges them.
struct Judge {
    meter: Meter,
    operation: Operation,
    /// The caller did not ask for the usage chunk that we asked the provider for.
    withhold_usage: bool,
    started: Instant,
    first_token_ms: Option<i64>,
    failed: bool,
    /// Whose credential must not be echoed.
    account: Option<Arc<AccountView>>,
    /// An error event held it: from then on it is starred out.
    echoed: bool,
    /// Keeps the answer, if the token asks for that.
    listener: Option<Box<capture::Heard>>,
}

/// What came of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Heard {
    /// The answer goes on.
    More,
    /// Its end is here and held.
    End,
    /// It tells what the client must not see, and cannot be edited: it was kept back, and so must be the rest.
    Leak,
}

/// See the module.
pub(super) struct Tap {
    shape: Shape,
    judge: Judge,
}

/// What was read off an answer.
pub(super) struct Measured {
    pub(super) reading: Reading,
    /// From the call's start to its first output; only streams tell.
    pub(super) first_token_ms: Option<i64>,
    /// The provider reported an error within its stream.
    pub(super) failed: bool,
    /// What was kept of it.
    pub(super) heard: Option<Box<capture::Heard>>,
}

impl Measured {
    /// The provider says that it failed, in an event or, under a status that says otherwise, in the body.
    pub(super) fn tells_failure(&self) -> bool {
        self.failed || self.reading.error.is_some()
    }
}

impl Judge {
    fn event(&mut self, event: &Event<'_>) -> Verdict {
        let seen = self.meter.event(event);
        if seen.content && self.first_token_ms.is_none() {
            self.first_token_ms = i64::try_from(self.started.elapsed().as_millis()).ok();
        }
        self.failed |= seen.error;
        if !seen.error {
            capture::hear(&mut self.listener, event);
        }
        if seen.error || event.name == b"error" {
            self.echoed |= self
                .secret()
                .is_some_and(|secret| memmem::find(&event.data, secret).is_some());
        }
        if seen.terminal {
            Verdict::Hold
        } else if seen.usage_only && self.withhold_usage {
            Verdict::Drop
        } else {
            Verdict::Pass
        }
    }

    fn secret(&self) -> Option<&[u8]> {
        let account = self.account.as_ref()?;
        echo::secret_of(account)
    }

    /// Stars the credential out of what goes to the client. The splitter gives out events whole, so that one
    /// piece holds all of it.
    fn mask(&self, pieces: &mut [Bytes]) {
        if !self.echoed {
            return;
        }
        let Some(secret) = self.secret() else { return };
        for piece in pieces {
            if memmem::find(piece, secret).is_some() {
                let mut masked = BytesMut::from(&piece[..]);
                echo::star_out(&mut masked, secret);
                *piece = masked.freeze();
            }
        }
    }
}

fn heard(holding: bool) -> Heard {
    if holding { Heard::End } else { Heard::More }
}

impl Tap {
    /// At the start of an answer. `started` is when the call came in.
    pub(super) fn new(
        head: &http::response::Parts,
        operation: Operation,
        withhold_usage: bool,
        started: Instant,
        account: Option<&Arc<AccountView>>,
    ) -> Self {
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let kind = text(CONTENT_TYPE).unwrap_or("").trim_start();
        let events = kind
            .get(..EVENT_STREAM.len())
            .is_some_and(|kind| kind.eq_ignore_ascii_case(EVENT_STREAM));
        let failed = head.status.is_client_error() || head.status.is_server_error();
        let shape = match (events, Coding::parse(text(CONTENT_ENCODING))) {
            (true, Some(coding)) if coding == Coding::Identity || withhold_usage => Shape::Events {
                splitter: Splitter::new(),
                unpacks: (coding != Coding::Identity).then(|| Decoder::new(coding)),
            },
            (true, Some(coding)) => Shape::PackedEvents {
                decoder: Decoder::new(coding),
                splitter: Splitter::new(),
                held: Vec::new(),
                released: false,
            },
            (_, coding) => Shape::Whole {
                decoder: coding.map(Decoder::new),
                last: None,
                echo: account
                    .filter(|_| failed)
                    .and_then(|account| Echo::of(account, coding)),
                is_json: kind.to_ascii_lowercase().starts_with("application/json"),
            },
        };
        Self {
            shape,
            judge: Judge {
                meter: Meter::new(operation),
                operation,
                withhold_usage,
                started,
                first_token_ms: None,
                failed: false,
                account: account.cloned(),
                echoed: false,
                listener: None,
            },
        }
    }

    /// From now on the answer is kept as it passes.
    pub(super) fn keep_for(&mut self, listener: Option<Box<capture::Heard>>) {
        self.judge.listener = listener;
    }

    /// What was read so far. To be asked once, at the end.
    pub(super) fn measured(&mut self) -> Measured {
        let fresh = Meter::new(self.judge.operation);
        Measured {
            reading: std::mem::replace(&mut self.judge.meter, fresh).reading(),
            first_token_ms: self.judge.first_token_ms,
            failed: self.judge.failed,
            heard: self.judge.listener.take(),
        }
    }

    /// Events, readable or not.
    pub(super) fn is_stream(&self) -> bool {
        !matches!(self.shape, Shape::Whole { .. })
    }

    /// Plain events: one can be taken out, and one of ours can be put in.
    pub(super) fn is_plain_sse(&self) -> bool {
        matches!(self.shape, Shape::Events { .. })
    }

    /// Whether the answer goes on without the coding that the provider gave it.
    pub(super) fn unpacks(&self) -> bool {
        matches!(
            self.shape,
            Shape::Events {
                unpacks: Some(_),
                ..
            }
        )
    }

    /// Whether as many bytes go out as come in.
    pub(super) fn keeps_length(&self) -> bool {
        match &self.shape {
            Shape::Events { .. } => false,
            Shape::PackedEvents { .. } => true,
            Shape::Whole { echo, .. } => !echo.as_ref().is_some_and(Echo::may_change_length),
        }
    }

    /// Takes the next frame; appends to `out` what may go now.
    pub(super) fn push(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) -> Heard {
        let judge = &mut self.judge;
        match &mut self.shape {
            Shape::Events { splitter, unpacks } => {
                let from = out.len();
                match unpacks {
                    None => splitter.push(chunk, out, |event| judge.event(event)),
                    Some(decoder) => {
                        decoder.push(&chunk, |plain| {
                            let plain = Bytes::copy_from_slice(plain);
                            splitter.push(plain, out, |event| judge.event(event));
                        });
                        if decoder.given_up() {
                            out.truncate(from);
                            return Heard::Leak;
                        }
                    }
                }
                judge.mask(&mut out[from..]);
                heard(splitter.holding())
            }
            Shape::PackedEvents {
                decoder,
                splitter,
                held,
                released,
            } => {
                let mut unpacked = Vec::new();
                decoder.push(&chunk, |plain| {
                    let plain = Bytes::copy_from_slice(plain);
                    splitter.push(plain, &mut unpacked, |event| judge.event(event));
                    unpacked.clear();
                });
                if judge.echoed {
                    return Heard::Leak;
                }
                if splitter.holding() {
                    held.push(chunk);
                } else if decoder.given_up() && !*released {
                    // Any frame may be the one that ends the stream.
                    out.append(held);
                    held.push(chunk);
                } else {
                    out.push(chunk);
                }
                heard(splitter.holding())
            }
            Shape::Whole {
                decoder,
                last,
                echo,
                ..
            } => {
                if let Some(decoder) = decoder {
                    decoder.push(&chunk, |plain| {
                        judge.meter.body(plain);
                        if let Some(listener) = &mut judge.listener {
                            listener.body(plain);
                        }
                        if let Some(echo) = echo {
                            echo.unpacked(plain);
                        }
                    });
                }
                match echo {
                    Some(echo) => out.extend(echo.push(&chunk)),
                    None => out.extend(last.replace(chunk)),
                }
                Heard::More
            }
        }
    }

    /// The upstream has said everything; what an unfinished event left goes by its verdict.
    pub(super) fn end(&mut self, out: &mut Vec<Bytes>) {
        let judge = &mut self.judge;
        match &mut self.shape {
            Shape::Events { splitter, .. } => {
                let from = out.len();
                splitter.finish(out, |event| judge.event(event));
                judge.mask(&mut out[from..]);
            }
            Shape::PackedEvents { splitter, .. } => {
                splitter.finish(&mut Vec::new(), |event| judge.event(event));
            }
            Shape::Whole { .. } => {}
        }
    }

    /// What was held goes.
    pub(super) fn release(&mut self, out: &mut Vec<Bytes>) {
        match &mut self.shape {
            Shape::Events { splitter, .. } => {
                let from = out.len();
                out.extend(splitter.release());
                self.judge.mask(&mut out[from..]);
            }
            Shape::PackedEvents {
                splitter,
                held,
                released,
                ..
            } => {
                *released = true;
                splitter.release();
                out.append(held);
            }
            Shape::Whole { last, echo, .. } => {
                out.extend(last.take());
                out.extend(echo.as_mut().and_then(Echo::release));
            }
        }
    }

    /// Whether an answer whose connection ended without fault was cut all the same. Of a stream only a terminal event
    /// proves an end; of the OpenAI-like providers some never send one, so that there a proper end of the
    /// transfer is believed. Of a stream that could not be unpacked nothing is known, so nothing is said.
    pub(super) fn is_cut_short(&self, ends_by_close: bool) -> bool {
        let is_stream = match &self.shape {
            Shape::Events { .. } => true,
            Shape::PackedEvents { decoder, .. } => !decoder.given_up(),
            // What only the connection's end ends must at least close what it opened.
            Shape::Whole {
                decoder, is_json, ..
            } => {
                let is_read = decoder.as_ref().is_some_and(|decoder| !decoder.given_up());
                return ends_by_close && *is_json && is_read && self.judge.meter.body_is_open();
            }
        };
        let lenient = matches!(
            self.judge.operation,
            Operation::Chat | Operation::Completion
        );
        is_stream
            && !self.judge.meter.is_terminal()
            && !self.judge.failed
            && (ends_by_close || !lenient)
    }

    /// The number a stream's next event would carry.
    pub(super) fn next_sequence(&self) -> u64 {
        self.judge.meter.next_sequence()
    }
}
