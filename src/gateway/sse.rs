//! Splits a server-sent event stream into events without changing a byte of it.
//!
//! The relay forwards what came; yet two things must be kept from the client: the usage chunk it did not ask
//! for, and the terminal event until the call is on the books. So the splitter finds where events begin and
//! end in any chunking, shows each to a judge, and answers the bytes that may go out now. Bytes of an event
//! that is not complete wait (no client can act on half an event); one that outgrows [`EVENT_MAX_BYTES`] is
//! let through unparsed. It knows nothing of any provider.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr2};

/// An event longer than this is relayed as it comes and no longer parsed.
pub const EVENT_MAX_BYTES: usize = 1024 * 1024;

/// How much of such an event's end is kept: what a provider says last is what it used.
pub const TAIL_BYTES: usize = 32 * 1024;

/// One complete event (comments and pings count as events without data).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event<'a> {
    /// The `event:` field; empty when there was none.
    pub name: &'a [u8],
    /// The `data:` lines joined by `\n`; of an oversized event the last [`TAIL_BYTES`] as they came.
    pub data: Cow<'a, [u8]>,
    /// Offset of its first byte in the stream.
    pub start: u64,
    /// Offset after its last byte, the blank line included.
    pub end: u64,
    /// Too long: `name` is known when it came first, `data` is its end only.
    pub oversized: bool,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It goes out.
    Pass,
    /// It is kept from the client.
    Drop,
    /// It and all that follows wait for [`Splitter::release`].
    Hold,
}

/// What is kept of an event that outgrew the bound.
#[derive(Debug, Default)]
struct Oversized {
    name: Vec<u8>,
    tail: Vec<u8>,
}

impl Oversized {
    fn take(&mut self, bytes: &[u8]) {
        let from = bytes.len().saturating_sub(TAIL_BYTES);
        self.tail.extend_from_slice(&bytes[from..]);
        if self.tail.len() > 2 * TAIL_BYTES {
            let surplus = self.tail.len() - TAIL_BYTES;
            self.tail.drain(..surplus);
        }
    }

    fn event(&self, start: u64, end: u64) -> Event<'_> {
        let from = self.tail.len().saturating_sub(TAIL_BYTES);
        Event {
            name: &self.name,
            data: Cow::Borrowed(&self.tail[from..]),
            start,
            end,
            oversized: true,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Splitter {
    /// Bytes of the event that has begun and not ended.
    carry: BytesMut,
    /// Stream offset of the next byte to come.
    offset: u64,
    /// Stream offset at which the current event began.
    start: u64,
    /// The current line holds no byte yet.
    line_empty: bool,
    /// The last byte was a `\r` that ended a line: a `\n` now belongs to it.
    after_cr: bool,
    /// That `\r` ended an event.
    cr_ended_event: bool,
    started: bool,
    oversized: Option<Oversized>,
    holding: bool,
    held: Vec<Bytes>,
    oversized_events: u64,
}

impl Splitter {
    /// A splitter at the start of a stream.
    pub fn new() -> Self {
        Self {
            line_empty: true,
            ..Self::default()
        }
    }

    /// Takes the next chunk; appends to `out` what may be forwarded now (slices of `chunk` wherever no
    /// event straddles a chunk boundary). `judge` sees each event once, in order.
    pub fn push(
        &mut self,
        chunk: Bytes,
        out: &mut Vec<Bytes>,
        mut judge: impl FnMut(&Event<'_>) -> Verdict,
    ) {
        // Everything before `done` has been decided; `sent` is where the current run of passed bytes began.
        let mut sent = 0;
        let mut done = 0;
        let mut at = 0;
        if !self.started && !chunk.is_empty() {
            self.started = true;
            self.line_empty = true;
        }
        while at < chunk.len() {
            if self.after_cr {
                self.after_cr = false;
                let ended = std::mem::take(&mut self.cr_ended_event);
                if chunk[at] == b'\n' {
                    at += 1;
                    if ended {
                        // The blank line's second half: it follows the event it ended.
                        done = at;
                        self.start = self.offset + at as u64;
                    }
                    continue;
                }
            }
            let Some(found) = memchr2(b'\n', b'\r', &chunk[at..]) else {
                self.line_empty = false;
                break;
            };
            let blank = self.line_empty && found == 0;
            at += found + 1;
            self.line_empty = true;
            self.after_cr = chunk[at - 1] == b'\r';
            if !blank {
                continue;
            }
            if self.after_cr {
                if chunk.get(at) == Some(&b'\n') {
                    self.after_cr = false;
                    at += 1;
                } else {
                    self.cr_ended_event = at == chunk.len();
                }
            }
            let end = self.offset + at as u64;
            let mut oversized = self.oversized.take();
            if let Some(oversized) = &mut oversized {
                oversized.take(&chunk[done..at]);
            }
            let straddles = !self.carry.is_empty();
            if straddles {
                self.carry.extend_from_slice(&chunk[done..at]);
            }
            let verdict = match &oversized {
                Some(long) => judge(&long.event(self.start, end)),
                None => {
                    let raw = if straddles {
                        &self.carry[..]
                    } else {
                        &chunk[done..at]
                    };
                    judge(&parse(raw, self.start, end))
                }
            };
            self.start = end;
            // Most of an oversized event is gone already: dropping its end would glue two events together.
            let verdict = match (verdict, &oversized) {
                (Verdict::Drop, Some(_)) => Verdict::Pass,
                (verdict, _) => verdict,
            };
            match verdict {
                Verdict::Pass if straddles => {
                    let whole = self.carry.split().freeze();
                    self.emit(whole, out);
                    sent = at;
                }
                Verdict::Pass => {}
                Verdict::Drop => {
                    self.emit(chunk.slice(sent..done.max(sent)), out);
                    self.carry.clear();
                    sent = at;
                }
                Verdict::Hold => {
                    self.emit(chunk.slice(sent..done.max(sent)), out);
                    self.holding = true;
                    if straddles {
                        let whole = self.carry.split().freeze();
                        self.emit(whole, out);
                        sent = at;
                    } else {
                        sent = done;
                    }
                }
            }
            done = at;
        }
        self.offset += chunk.len() as u64;
        self.emit(chunk.slice(sent..done.max(sent)), out);
        self.keep(chunk.slice(done.max(sent)..), out);
    }

    /// The upstream has ended: an unfinished event is judged as if its blank line had come, and what was
    /// waiting goes out by that verdict.
    pub fn finish(&mut self, out: &mut Vec<Bytes>, mut judge: impl FnMut(&Event<'_>) -> Verdict) {
        let oversized = self.oversized.take();
        if self.carry.is_empty() && oversized.is_none() {
            return;
        }
        let verdict = match &oversized {
            Some(long) => judge(&long.event(self.start, self.offset)),
            None => judge(&parse(&self.carry, self.start, self.offset)),
        };
        self.start = self.offset;
        let rest = self.carry.split().freeze();
        match verdict {
            Verdict::Drop => {}
            Verdict::Pass => self.emit(rest, out),
            Verdict::Hold => {
                self.holding = true;
                self.emit(rest, out);
            }
        }
    }

    /// Gives out what a [`Verdict::Hold`] kept back; later bytes pass again.
    pub fn release(&mut self) -> Vec<Bytes> {
        self.holding = false;
        std::mem::take(&mut self.held)
    }

    /// Whether bytes are being kept back.
    pub fn holding(&self) -> bool {
        self.holding
    }

    /// Bytes of an unfinished event that wait for its end.
    pub fn pending_bytes(&self) -> usize {
        self.carry.len()
    }

    /// How many events were too long to be parsed.
    pub fn oversized_events(&self) -> u64 {
        self.oversized_events
    }

    fn emit(&mut self, bytes: Bytes, out: &mut Vec<Bytes>) {
        if bytes.is_empty() {
        } else if self.holding {
            self.held.push(bytes);
        } else {
            out.push(bytes);
        }
    }

    /// Keeps the start of an unfinished event, or lets it go when it has outgrown the bound.
    fn keep(&mut self, rest: Bytes, out: &mut Vec<Bytes>) {
        if rest.is_empty() {
            return;
        }
        if self.oversized.is_none() && self.carry.len() + rest.len() > EVENT_MAX_BYTES {
            let head = if self.carry.is_empty() {
                &rest[..]
            } else {
                &self.carry[..]
            };
            let mut oversized = Oversized {
                name: first_name(head).to_vec(),
                tail: Vec::new(),
            };
            oversized.take(&self.carry);
            self.oversized = Some(oversized);
            self.oversized_events += 1;
            let carried = self.carry.split().freeze();
            self.emit(carried, out);
        }
        if let Some(oversized) = &mut self.oversized {
            oversized.take(&rest);
            self.emit(rest, out);
        } else {
            self.carry.extend_from_slice(&rest);
        }
    }
}

/// Reads an event's fields from its raw bytes.
fn parse(raw: &[u8], start: u64, end: u64) -> Event<'_> {
    let mut name: &[u8] = b"";
    let mut data: Option<Cow<'_, [u8]>> = None;
    let mut rest = if start == 0 {
        raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw)
    } else {
        raw
    };
    while !rest.is_empty() {
        let (line, after) = match memchr2(b'\n', b'\r', rest) {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        rest = after;
        if let Some(value) = field(line, b"data") {
            data = Some(match data {
                None => Cow::Borrowed(value),
                Some(joined) => {
                    let mut joined = joined.into_owned();
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                    Cow::Owned(joined)
                }
            });
        } else if let Some(value) = field(line, b"event") {
            name = value;
        }
    }
    Event {
        name,
        data: data.unwrap_or(Cow::Borrowed(b"")),
        start,
        end,
        oversized: false,
    }
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

fn first_name(head: &[u8]) -> &[u8] {
    let line = memchr(b'\n', head).map_or(&b""[..], |at| &head[..at]);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    field(line, b"event").unwrap_or(b"")
}

#[cfg(test)]
mod tests;
