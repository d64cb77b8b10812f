//! How much may be on its way to one client, and whether it is still there.
//!
//! A client proves what it has read by answering pings, which carry how many bytes were sent before them. Never more
//! than [`BYTES`] are unproven: a client that stops reading stops being sent to long before its connection blocks, its
//! session goes on running, and after three heartbeats without any sign of life it ends. Pure: time is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes that may be unproven.
pub(super) const BYTES: u64 = 64 * 1024;
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
        }
    }

    /// Bytes that may be sent now.
    pub(super) fn room(&self) -> usize {
        usize::try_from(BYTES.saturating_sub(self.sent - self.proven)).unwrap_or(0)
    }

    /// So many bytes were sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Anything came from the client.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// A ping was answered with this payload; others than ours prove nothing.
    pub(super) fn answered(&mut self, payload: &[u8]) {
        if let Ok(bytes) = payload.try_into() {
            let read = u64::from_be_bytes(bytes);
            if read <= self.sent {
                self.proven = self.proven.max(read);
            }
        }
    }

    /// The payload of a ping, when one is due.
    pub(super) fn ping(&mut self, now: Instant) -> Option<[u8; 8]> {
        let due = self.sent - self.pinged >= PING_EVERY
            || now.duration_since(self.pinged_at) >= self.heartbeat;
        if !due {
            return None;
        }
        self.pinged = self.sent;
        self.pinged_at = now;
        Some(self.sent.to_be_bytes())
    }

    /// No sign of life for too long.
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        now.duration_since(self.heard_at) >= self.heartbeat * PATIENCE
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
        assert_eq!(window.ping(at(15)), Some([0; 8]));
        assert_eq!(window.ping(at(16)), None);
        window.heard(at(17));
        assert!(window.ping(at(30)).is_some() && !window.is_dead(at(61)));
        assert!(window.is_dead(at(62)));
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
        assert!(window.room() as u64 >= BYTES - PING_EVERY - 2_000);
        let room = window.room();
        window.answered(&pings[0]);
        window.answered(b"nonsense, and too long");
        window.answered(&u64::MAX.to_be_bytes());
        assert_eq!(window.room(), room);
    }
}
