//! How much may be on its way to one client, and whether it is still there.
//!
//! A client proves what it has read by answering pings, which carry how many bytes were sent before them and a mark that
//! only who read them knows. Never more than [`BYTES`] of news are unproven: a client that stops reading stops being sent
//! to long before its connection blocks, its session goes on running, and after three heartbeats without any sign of life
//! it ends. Writing is no such sign when pings stay unanswered, and who asks on and on without reading the answers gets
//! [`ANSWERS`] of them, then its session ends. Pure: time is passed in.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// Bytes that may be unproven.
pub(super) const BYTES: u64 = 64 * 1024;
/// Beyond those: answers to what the client asks, which cannot wait.
const ANSWERS: u64 = 32 * 1024;
/// What a frame takes beside what it says.
const FRAME: u64 = 32;
/// Of a ping: what was sent, and the mark.
const PING: usize = 16;
/// A ping at least so often, in bytes.
const PING_EVERY: u64 = BYTES / 4;
/// Heartbeats without a sign of life that a client survives.
const PATIENCE: u32 = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Window {
    heartbeat: Duration,
    sent: u64,
    proven: u64,
    pinged: u64,
    pinged_at: Instant,
    heard_at: Instant,
    /// When the oldest ping went out that nothing proves to be read.
    unanswered_at: Option<Instant>,
    marks: RandomState,
}

impl Window {
    pub(super) fn new(heartbeat: Duration, now: Instant) -> Self {
        Self {
            heartbeat,
            sent: 0,
            proven: 0,
            pinged: 0,
            pinged_at: now,
            heard_at: now,
            unanswered_at: None,
            marks: RandomState::new(),
        }
    }

    /// Bytes that may be sent now.
    pub(super) fn room(&self) -> usize {
        usize::try_from(BYTES.saturating_sub(self.sent - self.proven)).unwrap_or(0)
    }

    /// So many bytes were sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64 + FRAME;
    }

    /// More is unproven than any client leaves that reads what it asks for.
    pub(super) fn is_overrun(&self) -> bool {
        self.sent - self.proven > BYTES + ANSWERS
    }

    /// Anything came from the client.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// A ping was answered with this payload; others than ours prove nothing.
    pub(super) fn answered(&mut self, payload: &[u8]) {
        let Some((count, _)) = payload.split_first_chunk() else {
            return;
        };
        let read = u64::from_be_bytes(*count);
        if read <= self.sent && payload == self.payload(read) {
            self.proven = self.proven.max(read);
            self.unanswered_at = None;
        }
    }

    fn payload(&self, sent: u64) -> [u8; PING] {
        let mut payload = [0; PING];
        let (count, mark) = payload.split_at_mut(PING / 2);
        count.copy_from_slice(&sent.to_be_bytes());
        mark.copy_from_slice(&self.marks.hash_one(sent).to_be_bytes());
        payload
    }

    /// The payload of a ping, when one is due.
    pub(super) fn ping(&mut self, now: Instant) -> Option<[u8; PING]> {
        let due = self.sent - self.pinged >= PING_EVERY
            || now.duration_since(self.pinged_at) >= self.heartbeat;
        if !due {
            return None;
        }
        self.pinged = self.sent;
        self.pinged_at = now;
        self.unanswered_at.get_or_insert(now);
        Some(self.payload(self.sent))
    }

    /// No sign of life for too long, or none that anything is read.
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        let is_long = |since: Instant| now.duration_since(since) >= self.heartbeat * PATIENCE;
        is_long(self.heard_at) || self.unanswered_at.is_some_and(is_long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(15);

    #[test]
    fn a_quiet_client_is_pinged_and_dies_after_three_heartbeats() {
        let start = Instant::now();
        let mut window = Window::new(HEARTBEAT, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(window.ping(at(14)), None);
        let ping = window.ping(at(15)).unwrap();
        assert_eq!(ping[..8], [0; 8]);
        assert_eq!(window.ping(at(16)), None);
        window.heard(at(17));
        window.answered(&ping);
        assert!(window.ping(at(30)).is_some() && !window.is_dead(at(61)));
        assert!(window.is_dead(at(62)));
    }

    #[test]
    fn a_client_that_writes_on_and_reads_nothing_dies_too() {
        let start = Instant::now();
        let mut window = Window::new(HEARTBEAT, start);
        let at = |seconds| start + Duration::from_secs(seconds);
        window.sent(100);
        assert!(window.ping(at(15)).is_some());
        for second in 16..60 {
            window.heard(at(second));
            assert!(!window.is_dead(at(second)), "{second}");
            window.ping(at(second));
            // Neither something that was never sent nor a guess at it proves anything.
            window.answered(b"");
            window.answered(&132_u64.to_be_bytes());
            window.answered(&[&132_u64.to_be_bytes()[..], &[7; 8]].concat());
        }
        window.heard(at(60));
        assert!(window.is_dead(at(60)));
    }

    #[test]
    fn answers_that_nobody_reads_are_bounded_and_those_that_are_read_are_not() {
        let now = Instant::now();
        let mut window = Window::new(HEARTBEAT, now);
        let mut answers = 0;
        while !window.is_overrun() {
            window.sent(0);
            window.ping(now);
            answers += 1;
        }
        assert_eq!(answers, (BYTES + ANSWERS) / FRAME + 1);
        let mut window = Window::new(HEARTBEAT, now);
        for _ in 0..10_000 {
            window.sent(1_000);
            if let Some(ping) = window.ping(now) {
                window.answered(&ping);
            }
            assert!(!window.is_overrun());
        }
    }

    #[test]
    fn a_client_that_reads_is_sent_everything() {
        let now = Instant::now();
        let mut window = Window::new(HEARTBEAT, now);
        for _ in 0..10_000 {
            assert!(window.room() > 0);
            window.sent(2_000);
            if let Some(ping) = window.ping(now) {
                window.answered(&ping);
            }
        }
    }

    #[test]
    fn a_client_that_does_not_read_is_sent_one_window() {
        let now = Instant::now();
        let mut window = Window::new(HEARTBEAT, now);
        let (mut sent, mut pings) = (0, Vec::new());
        while window.room() > 0 {
            window.sent(2_000);
            sent += 2_000;
            pings.extend(window.ping(now));
        }
        assert!(sent <= BYTES + 2_000, "{sent}");
        // What it reads at last makes room again, whichever answer comes first.
        window.answered(pings.last().unwrap());
        assert!(window.room() as u64 >= BYTES - PING_EVERY - 2_000 - FRAME);
        let room = window.room();
        window.answered(&pings[0]);
        window.answered(b"nonsense, and too long");
        window.answered(&u64::MAX.to_be_bytes());
        window.answered(&[u8::MAX; PING]);
        assert_eq!(window.room(), room);
    }
}
