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
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Seen = (Vec<u8>, Vec<u8>, u64, u64);

    /// Feeds `stream` cut at `cuts`; `judge` decides by data.
    fn run(
        stream: &[u8],
        cuts: &[usize],
        mut judge: impl FnMut(&Event<'_>) -> Verdict,
    ) -> (Vec<Seen>, Vec<u8>, Vec<u8>) {
        let mut splitter = Splitter::new();
        let mut out = Vec::new();
        let mut seen = Vec::new();
        let mut look = |event: &Event<'_>| {
            seen.push((
                event.name.to_vec(),
                event.data.to_vec(),
                event.start,
                event.end,
            ));
            judge(event)
        };
        let mut points: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        points.sort_unstable();
        let mut from = 0;
        for point in points.into_iter().chain([stream.len()]) {
            splitter.push(
                Bytes::copy_from_slice(&stream[from..point]),
                &mut out,
                &mut look,
            );
            from = point;
        }
        splitter.finish(&mut out, &mut look);
        let held = splitter.release().concat();
        (seen, out.concat(), held)
    }

    const OPENAI: &[u8] = b": ping\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"\xe7\x95\x8c\"}}]}\n\ndata: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n";

    #[test]
    fn every_cut_gives_the_same_events_and_every_byte_goes_out() {
        for ending in ["\n", "\r\n", "\r"] {
            let text = OPENAI
                .split(|b| *b == b'\n')
                .collect::<Vec<_>>()
                .join(ending.as_bytes());
            let whole = run(&text, &[], |_| Verdict::Pass);
            assert_eq!(whole.0.len(), 4, "{ending:?}");
            assert_eq!(whole.0[3].1, b"[DONE]");
            for cut in 0..text.len() {
                let split = run(&text, &[cut], |_| Verdict::Pass);
                assert_eq!(split.1, text);
                let fields = |seen: &[Seen]| -> Vec<(Vec<u8>, Vec<u8>)> {
                    seen.iter().map(|s| (s.0.clone(), s.1.clone())).collect()
                };
                assert_eq!(
                    fields(&split.0),
                    fields(&whole.0),
                    "{ending:?} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn the_usage_chunk_is_dropped_and_the_terminal_event_held() {
        for cut in 0..OPENAI.len() {
            let (_, out, held) = run(OPENAI, &[cut, cut + 9], |event| match &event.data[..] {
                b"[DONE]" => Verdict::Hold,
                data if data.starts_with(b"{\"choices\":[]") => Verdict::Drop,
                _ => Verdict::Pass,
            });
            assert_eq!(held, b"data: [DONE]\n\n");
            let kept = OPENAI.len() - held.len() - b"data: {\"choices\":[],\"usage\":{}}\n\n".len();
            assert_eq!(out, &OPENAI[..kept]);
        }
    }

    #[test]
    fn a_whole_chunk_is_forwarded_without_a_copy() {
        let mut splitter = Splitter::new();
        let chunk = Bytes::from_static(b"data: 1\n\ndata: 2\n\n");
        let mut out = Vec::new();
        splitter.push(chunk.clone(), &mut out, |_| Verdict::Pass);
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn an_event_beyond_the_bound_keeps_flowing_and_the_next_one_is_parsed() {
        let mut splitter = Splitter::new();
        let mut out = Vec::new();
        let mut seen = Vec::new();
        let mut judge = |event: &Event<'_>| {
            seen.push((event.name.to_vec(), event.oversized));
            if event.oversized {
                assert_eq!(event.data.len(), TAIL_BYTES);
                assert!(event.data.ends_with(b"xx\n\n"));
            }
            Verdict::Pass
        };
        let mut stream = b"event: response.completed\ndata: ".to_vec();
        stream.resize(3 * EVENT_MAX_BYTES, b'x');
        stream.extend_from_slice(b"\n\nevent: e\ndata: 1\n\n");
        for piece in stream.chunks(10_000) {
            splitter.push(Bytes::copy_from_slice(piece), &mut out, &mut judge);
            assert!(splitter.pending_bytes() <= EVENT_MAX_BYTES);
        }
        assert_eq!(
            seen,
            [
                (b"response.completed".to_vec(), true),
                (b"e".to_vec(), false)
            ]
        );
        assert_eq!(out.concat(), stream);
        assert_eq!(splitter.oversized_events(), 1);
    }

    #[test]
    fn a_stream_that_ends_without_its_blank_line_still_shows_its_last_event() {
        let (seen, out, _) = run(b"data: a\n\ndata: [DONE]", &[3], |_| Verdict::Pass);
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[1].1, b"[DONE]");
        assert_eq!(out, b"data: a\n\ndata: [DONE]");
    }

    #[test]
    fn data_lines_are_joined_and_fields_without_a_space_are_read() {
        let (seen, ..) = run(
            b"\xef\xbb\xbfevent:x\ndata:1\nid: 7\ndata: 2\n\n",
            &[],
            |_| Verdict::Pass,
        );
        assert_eq!(seen[0].0, b"x");
        assert_eq!(seen[0].1, b"1\n2");
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "data: ", "event: ", "a", "界", ":", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", "\r\r",
            " ", "D",
        ]);
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn bytes_are_kept_in_order_whatever_the_chunking(stream in stream(), cuts in prop::collection::vec(0usize..400, 0..8)) {
            let (seen, out, held) = run(&stream, &cuts, |_| Verdict::Pass);
            prop_assert_eq!(&out, &stream);
            prop_assert!(held.is_empty());
            let (whole, ..) = run(&stream, &[], |_| Verdict::Pass);
            let fields = |seen: Vec<Seen>| -> Vec<(Vec<u8>, Vec<u8>)> { seen.into_iter().map(|s| (s.0, s.1)).filter(|s| !s.0.is_empty() || !s.1.is_empty()).collect() };
            prop_assert_eq!(fields(seen), fields(whole));
        }

        #[test]
        fn drop_takes_exactly_the_dropped_events_and_hold_exactly_the_tail(stream in stream(), cuts in prop::collection::vec(0usize..400, 0..8)) {
            let mut expected = Vec::new();
            let mut last = 0u64;
            let mut drops = |event: &Event<'_>| {
                if event.data.contains(&b'D') {
                    expected.extend_from_slice(&stream[last as usize..event.start as usize]);
                    last = event.end;
                    Verdict::Drop
                } else {
                    Verdict::Pass
                }
            };
            let (_, out, _) = run(&stream, &cuts, &mut drops);
            expected.extend_from_slice(&stream[last as usize..]);
            prop_assert_eq!(&out, &expected);

            let mut first = None;
            let (_, out, held) = run(&stream, &cuts, |event| {
                if event.data.contains(&b'D') {
                    first.get_or_insert(event.start);
                    Verdict::Hold
                } else {
                    Verdict::Pass
                }
            });
            let at = first.map_or(stream.len(), |start| start as usize);
            prop_assert_eq!(&out[..], &stream[..at]);
            prop_assert_eq!(&held[..], &stream[at..]);
        }
    }
}
