//! Time-outs of one call without a timer per chunk.
//!
//! A [`Pulse`] is one timer that beats at most once a second. At a beat it looks at two things: has the
//! silence lasted too long, and is the process cutting its streams (drain)? A chunk only sets a flag, so a
//! busy stream costs one re-arming a second. Silence is therefore measured to within one beat.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

const SLOWEST_BEAT: Duration = Duration::from_secs(1);
const FASTEST_BEAT: Duration = Duration::from_millis(5);

/// Why a call must end now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Expired {
    /// Nothing came for too long.
    Silence,
    /// The process is going down and its patience with streams is over.
    Cut,
}

/// One call's timer.
pub(super) struct Pulse {
    sleep: Pin<Box<Sleep>>,
    limit: Duration,
    beat: Duration,
    quiet_since: Instant,
    moved: bool,
}

impl Pulse {
    /// Expires after `limit` of silence.
    pub(super) fn new(limit: Duration) -> Self {
        let now = Instant::now();
        let beat = beat_of(limit);
        Self {
            sleep: Box::pin(tokio::time::sleep_until(now + beat)),
            limit,
            beat,
            quiet_since: now,
            moved: false,
        }
    }

    /// Starts over with another limit, keeping the timer; and its next beat, which is early enough unless beats become
    /// faster: arming a timer costs more than a beat for nothing.
    pub(super) fn restart(&mut self, limit: Duration) {
        let now = Instant::now();
        let beat = beat_of(limit);
        if beat < self.beat {
            self.sleep.as_mut().reset(now + beat);
        }
        self.limit = limit;
        self.beat = beat;
        self.quiet_since = now;
        self.moved = false;
    }

    /// Something came.
    pub(super) fn touch(&mut self) {
        self.moved = true;
    }

    /// Ready when the call must end. Call it only after what is waited for was found pending.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, cut: &AtomicBool) -> Poll<Expired> {
        loop {
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if cut.load(Ordering::Relaxed) {
                return Poll::Ready(Expired::Cut);
            }
            let now = Instant::now();
            if self.moved {
                self.moved = false;
                self.quiet_since = now;
            } else if now.duration_since(self.quiet_since) >= self.limit {
                return Poll::Ready(Expired::Silence);
            }
            let deadline = self.quiet_since + self.limit;
            self.sleep.as_mut().reset((now + self.beat).min(deadline));
        }
    }
}

fn beat_of(limit: Duration) -> Duration {
    (limit / 4).clamp(FASTEST_BEAT, SLOWEST_BEAT)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_expires_within_one_beat_of_the_limit() {
        let cut = AtomicBool::new(false);
        let start = Instant::now();
        let mut pulse = Pulse::new(Duration::from_secs(60));
        assert_eq!(poll_fn(|cx| pulse.poll(cx, &cut)).await, Expired::Silence);
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_chunk_starts_the_silence_over() {
        let cut = AtomicBool::new(false);
        let start = Instant::now();
        let mut pulse = Pulse::new(Duration::from_secs(10));
        for _ in 0..5 {
            let expired =
                tokio::time::timeout(Duration::from_secs(9), poll_fn(|cx| pulse.poll(cx, &cut)));
            assert!(expired.await.is_err());
            pulse.touch();
        }
        assert_eq!(poll_fn(|cx| pulse.poll(cx, &cut)).await, Expired::Silence);
        let elapsed = start.elapsed();
        assert!((54..=57).contains(&elapsed.as_secs()), "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn another_limit_holds_from_its_start_on() {
        let cut = AtomicBool::new(false);
        for (first, then) in [(60_000, 2_000), (60_000, 90_000), (100, 60_000), (100, 20)] {
            let mut pulse = Pulse::new(Duration::from_millis(first));
            let early = tokio::time::timeout(
                Duration::from_millis(first / 2),
                poll_fn(|cx| pulse.poll(cx, &cut)),
            );
            assert!(early.await.is_err());
            let start = Instant::now();
            pulse.restart(Duration::from_millis(then));
            assert_eq!(poll_fn(|cx| pulse.poll(cx, &cut)).await, Expired::Silence);
            let took = start.elapsed().as_millis();
            assert!(
                (u128::from(then)..=u128::from(then) + 10).contains(&took),
                "{first} then {then}: {took}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_is_seen_within_a_second() {
        let cut = AtomicBool::new(true);
        let start = Instant::now();
        let mut pulse = Pulse::new(Duration::from_secs(60));
        assert_eq!(poll_fn(|cx| pulse.poll(cx, &cut)).await, Expired::Cut);
        assert!(start.elapsed() <= Duration::from_secs(1));
    }
}
