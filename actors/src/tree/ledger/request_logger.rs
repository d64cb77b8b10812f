//! `request_logger`: keeps the spool in order after acceptance.
//!
//! The first unsynced entry wakes it, and it syncs within the policy's interval whoever has leased what by then.
//! It tidies up (next segment, old segments, free disk) a few times a second while anything happens and every
//! few seconds otherwise. It touches no entry: callers append, the batch writer leases. Whatever blocks runs on
//! the spool's blocking threads.

use std::sync::Arc;

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseActFuture, WrapFuture};
use tokio::time::{Instant, sleep_until};

use crate::spool::{Admission, Spool, SpoolStats};
use crate::supervision::{ActorRef, ChildSpec, Incarnation};

use super::LedgerSettings;

/// Sync and tidy up now; answers when it is done.
#[derive(Clone, Copy, Debug)]
pub struct Flush;

impl Message for Flush {
    type Result = Result<(), String>;
}

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    /// The spool it keeps.
    pub spool: Arc<Spool>,
    /// Its rhythm.
    pub settings: LedgerSettings,
}

/// The actor.
pub struct RequestLogger {
    parts: Parts,
    me: Incarnation<Self>,
}

/// The child spec of `root/ledger/request_logger`.
pub fn spec(actor: &ActorRef<RequestLogger>, parts: Parts) -> ChildSpec {
    let hang_after = parts.settings.hang_after;
    ChildSpec::new("request_logger", actor, move |me| RequestLogger {
        parts: parts.clone(),
        me,
    })
    .hang_after(hang_after)
}

impl Actor for RequestLogger {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let parts = self.parts.clone();
        let me = self.me.clone();
        let keep = async move {
            keep(&parts).await;
            me.fail("the loop ended");
        };
        ctx.spawn(keep.into_actor(self));
    }
}

impl Handler<Flush> for RequestLogger {
    type Result = ResponseActFuture<Self, Result<(), String>>;

    fn handle(&mut self, _: Flush, _: &mut Self::Context) -> Self::Result {
        let spool = Arc::clone(&self.parts.spool);
        let flushed = async move {
            match tokio::task::spawn_blocking(move || spool.flush()).await {
                Ok(flushed) => flushed.map_err(|error| error.to_string()),
                Err(stopped) => Err(stopped.to_string()),
            }
        };
        Box::pin(flushed.into_actor(self))
    }
}

/// Ends never; wakes for the first unsynced entry and to tidy up.
async fn keep(parts: &Parts) {
    let Parts { spool, settings } = parts;
    spool.maintain();
    let mut tidied = Instant::now();
    let mut seen = spool.stats();
    let mut rest = settings.maintain_every;
    loop {
        tokio::select! {
            () = sleep_until(tidied + rest) => {}
            () = spool.unsynced() => {
                rest = settings.maintain_every;
                if !spool.sync_in_time().await {
                    sleep_until(tidied + rest).await;
                }
            }
        }
        if tidied.elapsed() >= rest {
            spool.maintain();
            tidied = Instant::now();
            let now = spool.stats();
            rest = if is_quiet(spool, &seen, &now) {
                settings.maintain_idle
            } else {
                settings.maintain_every
            };
            seen = now;
        }
    }
}

/// Whether nothing happened between two looks, nothing waits and calls are admitted.
fn is_quiet(spool: &Spool, before: &SpoolStats, now: &SpoolStats) -> bool {
    let unchanged = SpoolStats {
        free_bytes: before.free_bytes,
        ..now.clone()
    };
    unchanged == *before && now.spooled == 0 && spool.admits() == Admission::Open
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::spool::{FsyncPolicy, Settled, SpoolConfig};

    const INTERVAL: Duration = Duration::from_millis(10);

    /// The loop beside a test, and how often it was woken. Time is virtual and stands while the disk works.
    struct Kept {
        spool: Arc<Spool>,
        woken: Arc<AtomicU32>,
        _dir: tempfile::TempDir,
    }

    impl Kept {
        fn begin(fsync: FsyncPolicy) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut config = SpoolConfig::new(dir.path(), 3);
            config.fsync = fsync;
            config.min_free_bytes = 0;
            config.segment_bytes = 64 * 1024;
            let parts = Parts {
                spool: Spool::open(config).unwrap().0,
                settings: LedgerSettings::default(),
            };
            let (spool, woken) = (Arc::clone(&parts.spool), Arc::new(AtomicU32::new(0)));
            let count = Arc::clone(&woken);
            #[allow(
                clippy::disallowed_methods,
                reason = "the test polls the bare loop to count its wakings, without the actor that supervision \
                    would restart; it ends with the test's runtime"
            )]
            tokio::spawn(async move {
                let mut keeping = pin!(keep(&parts));
                std::future::poll_fn(|context| {
                    count.fetch_add(1, Ordering::Relaxed);
                    keeping.as_mut().poll(context)
                })
                .await;
            });
            Self {
                spool,
                woken,
                _dir: dir,
            }
        }

        fn append(&self) -> u64 {
            self.spool.append(1, b"a record").unwrap().seq
        }

        fn store_all(&self) {
            let lease = self.spool.lease(1, 1_000).unwrap().unwrap();
            let stored = lease.entries.len() as u64;
            let settled = Settled {
                stored,
                dead_lettered: 0,
            };
            lease.ack(settled).unwrap();
        }

        async fn synced(&self, seq: u64) {
            while self.spool.stats().durable_seq < seq {
                sleep(Duration::from_micros(500)).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_entry_is_synced_in_time_after_any_rest_and_though_it_is_leased_at_once() {
        let kept = Kept::begin(FsyncPolicy::Interval(INTERVAL));
        for rest_ms in [0, 1, 3, 7, 20, 251, 1_003, 60_000, 4_999] {
            sleep(Duration::from_millis(rest_ms)).await;
            let seq = kept.append();
            kept.store_all();
            let late = timeout(INTERVAL, kept.synced(seq)).await;
            assert!(late.is_ok(), "not synced in time after {rest_ms} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_is_synced_under_always_too() {
        let kept = Kept::begin(FsyncPolicy::Always);
        sleep(Duration::from_secs(100)).await;
        let seq = kept.append();
        timeout(INTERVAL, kept.synced(seq)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_entries_shares_syncs() {
        let kept = Kept::begin(FsyncPolicy::Interval(INTERVAL));
        let before = kept.woken.load(Ordering::Relaxed);
        for _ in 0..1_000 {
            kept.append();
            sleep(Duration::from_millis(1)).await;
        }
        let woken = kept.woken.load(Ordering::Relaxed) - before;
        // A second: about 170 syncs (5 ms and the clock's grain), three wake-ups each, and four rounds of upkeep.
        assert!(woken < 800, "{woken}");
    }

    #[tokio::test(start_paused = true)]
    async fn with_nothing_to_do_only_rare_upkeep_wakes_it() {
        for fsync in [
            FsyncPolicy::Interval(INTERVAL),
            FsyncPolicy::Always,
            FsyncPolicy::Never,
        ] {
            let kept = Kept::begin(fsync);
            kept.append();
            sleep(Duration::from_secs(1)).await;
            kept.store_all();
            sleep(Duration::from_secs(10)).await;
            let before = kept.woken.load(Ordering::Relaxed);
            sleep(Duration::from_secs(100)).await;
            let woken = kept.woken.load(Ordering::Relaxed) - before;
            assert!(woken <= 21, "{fsync:?}: {woken} wake-ups in 100 s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_syncs_a_first_entry_brings_the_upkeep_back() {
        let kept = Kept::begin(FsyncPolicy::Never);
        sleep(Duration::from_secs(100)).await;
        for _ in 0..4_000 {
            kept.append();
        }
        kept.store_all();
        let segments = || kept.spool.stats().segments;
        let tidy = async {
            while segments() > 2 {
                kept.spool.lease(1, 1_000).unwrap().map(|lease| {
                    let stored = lease.entries.len() as u64;
                    lease.ack(Settled {
                        stored,
                        dead_lettered: 0,
                    })
                });
                sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(segments() > 2);
        timeout(Duration::from_millis(600), tidy).await.unwrap();
    }
}
