//! Stuck futures, blocked threads, start time-outs, protected zones, threads that come and go.

use crate::support::*;
use actix::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use steward_actors::supervision::*;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_stuck_future_is_killed_on_its_deadline_and_its_message_handed_out_again() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, spec) = probe("a", &diary);
        let tree = run(patient("root").child(spec.hang_after(LIMIT)));
        running(&actor).await;
        tokio::time::sleep(LONG * 10).await;
        assert_eq!(actor.epoch(), 1, "an idle actor answers");
        let stuck_once = act(|probe, ctx| {
            probe.diary.note("tried");
            if probe.me.epoch() == 1 {
                ctx.wait(std::future::pending::<()>().into_actor(probe));
            }
        });
        let start = Instant::now();
        actor.try_send_sure(stuck_once, 1).unwrap();
        until("tried again", || diary.count("tried") == 2).await;
        let elapsed = start.elapsed();
        assert!(elapsed >= LIMIT && elapsed < LIMIT * 3 / 2, "{elapsed:?}");
        let exit = actor.snapshot().last_exit.unwrap();
        assert_eq!(exit.reason, "hung");
        assert_eq!(diary.count("a stopped"), 0, "no hook on a killed actor");
        assert_eq!(
            (actor.snapshot().zombies, actor.snapshot().dead_letters),
            (0, 0)
        );
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn a_protected_zone_suspends_the_deadline_and_has_its_own_bound() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, spec) = probe("a", &diary);
        let tree = run(patient("root").child(spec.hang_after(LIMIT)));
        let work = |seconds: u64, bound: u64| {
            act(move |probe, ctx| {
                let zone = probe.me.protected(Duration::from_secs(bound));
                let diary = probe.diary.clone();
                ctx.wait(
                    async move {
                        tokio::time::sleep(Duration::from_secs(seconds)).await;
                        drop(zone);
                        // The deadline begins anew when the zone is left.
                        tokio::time::sleep(Duration::from_secs(8)).await;
                        diary.note("done");
                    }
                    .into_actor(probe),
                );
            })
        };
        actor.ask(work(100, 200)).await.unwrap();
        until("done", || diary.count("done") == 1).await;
        assert_eq!(actor.epoch(), 1);

        let start = Instant::now();
        actor.try_send(work(100, 30)).unwrap();
        until("killed", || actor.epoch() == 2).await;
        let elapsed = start.elapsed();
        assert!(
            elapsed >= Duration::from_secs(30) && elapsed < Duration::from_secs(33),
            "{elapsed:?}"
        );
        let exit = actor.snapshot().last_exit.unwrap();
        assert!(
            exit.message.contains("protected zone took longer than 30s"),
            "{exit:?}"
        );
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

/// Blocks its thread until told otherwise.
fn block_on(gate: &Arc<AtomicBool>) -> impl Fn() + Send + Sync + 'static {
    let gate = Arc::clone(gate);
    move || {
        while !gate.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_blocked_thread_is_fenced_and_replaced_and_its_zombie_has_no_effect() {
    real_time(async {
        let diary = Diary::default();
        let queue = WorkQueue::new(10);
        queue.try_push("work").unwrap();
        let actor = ActorRef::<Probe>::new(8);
        let spec = {
            let diary = diary.clone();
            let queue = Arc::clone(&queue);
            ChildSpec::new("a", &actor, move |me| Probe::plain("a", me, diary.clone()))
                .hang_after(Duration::from_millis(60))
                .kill_grace(Duration::from_millis(20))
                .on_fence(move |epoch| queue.revoke_before(epoch))
        };
        let tree = run_on_threads(patient("root").child(spec));
        let wake = Arc::new(AtomicBool::new(false));
        let block = block_on(&wake);
        let holder = {
            let queue = Arc::clone(&queue);
            act(move |probe, _| {
                let Ok(Some(lease)) = queue.lease(probe.me.epoch(), 10) else {
                    return probe.diary.note("nothing to lease");
                };
                if probe.me.epoch() == 1 {
                    block();
                    probe
                        .diary
                        .note(format!("current {}", probe.me.is_current()));
                    probe.diary.note(format!("late ack {:?}", lease.ack()));
                    let again = queue
                        .lease(probe.me.epoch(), 10)
                        .map(|lease| lease.is_some());
                    probe.diary.note(format!("late lease {again:?}"));
                } else {
                    lease.ack().unwrap();
                    probe.diary.note("done by the successor");
                }
            })
        };
        actor.try_send_sure(holder, 3).unwrap();
        actor.try_send(note("behind")).unwrap();
        until("the successor works", || diary.count("behind") == 1).await;
        assert_eq!(diary.count("done by the successor"), 1);
        let now = actor.snapshot();
        assert_eq!(
            (now.epoch, now.zombies, now.last_exit.unwrap().reason),
            (2, 1, "hung")
        );
        wake.store(true, Ordering::Release);
        until("the zombie is gone", || actor.snapshot().zombies == 0).await;
        assert_eq!(diary.count("current false"), 1);
        assert_eq!(diary.count("late ack Err(Fenced)"), 1);
        assert_eq!(diary.count("late lease Err(Fenced)"), 1);
        assert_eq!(
            actor.ask(WhichEpoch).await,
            Ok(2),
            "the successor still hears"
        );
        assert_eq!(diary.count("a stopped"), 0, "no hook on a zombie");
        until("all counted", || actor.snapshot().processed == 3).await;
        settle().await;
        assert_eq!(
            actor.snapshot().processed,
            3,
            "the zombie's return counts for nothing"
        );
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn a_blocked_factory_or_started_is_a_failed_start() {
    real_time(async {
        for in_factory in [true, false] {
            let diary = Diary::default();
            let wake = Arc::new(AtomicBool::new(false));
            let (block, block_too) = (block_on(&wake), block_on(&wake));
            let script = Script {
                made: in_factory.then(|| -> Made {
                    Arc::new(move |me| {
                        if me.epoch() == 1 {
                            block()
                        }
                    })
                }),
                started: (!in_factory).then(|| -> Act {
                    Arc::new(move |probe, _| {
                        if probe.me.epoch() == 1 {
                            block_too()
                        }
                    })
                }),
                ..Script::default()
            };
            let (actor, spec) = scripted("a", &diary, script);
            let spec = spec
                .start_within(Duration::from_millis(50))
                .kill_grace(Duration::from_millis(10));
            let tree = run_on_threads(patient("root").child(spec));
            assert_eq!(actor.ask(WhichEpoch).await, Ok(2));
            let now = actor.snapshot();
            assert_eq!(
                (now.last_exit.unwrap().reason, now.zombies),
                ("start_timed_out", 1)
            );
            wake.store(true, Ordering::Release);
            until("the zombie is gone", || actor.snapshot().zombies == 0).await;
            assert_eq!(actor.ask(WhichEpoch).await, Ok(2));
            assert_eq!(tree.shutdown(LONG).await, clean());
        }
    });
}

#[test]
fn an_awaited_initialisation_counts_as_starting() {
    virtual_time(async {
        let diary = Diary::default();
        let script = started(|probe, ctx| {
            let seconds = if probe.me.epoch() == 1 { 1_000 } else { 20 };
            let wait = tokio::time::sleep(Duration::from_secs(seconds));
            ctx.wait(wait.into_actor(probe));
        });
        let (slow, first) = scripted("slow", &diary, script);
        let (next, second) = probe("next", &diary);
        let first = first
            .start_within(Duration::from_secs(30))
            .hang_after(Duration::from_secs(5));
        let tree = run(patient("root")
            .strategy(Strategy::RestForOne)
            .child(first)
            .child(second));
        tokio::time::sleep(Duration::from_secs(29)).await;
        assert_eq!((state(&slow), state(&next)), (State::Starting, State::Idle));
        until("up", || state(&slow) == State::Running).await;
        assert_eq!(slow.snapshot().last_exit.unwrap().reason, "start_timed_out");
        running(&next).await;
        assert_eq!(next.epoch(), 1, "juniors wait for their elder");
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn a_shared_thread_that_one_actor_blocks_is_left_to_the_others_and_replaced() {
    real_time(async {
        let diary = Diary::default();
        let (a, first) = probe("a", &diary);
        let (b, second) = probe("b", &diary);
        let shared = |spec: ChildSpec| {
            spec.placement(Placement::Shared("pool"))
                .kill_grace(Duration::from_millis(10))
        };
        let root = patient("root")
            .child(shared(first).hang_after(Duration::from_millis(50)))
            .child(shared(second).never_hangs());
        let tree = run_on_threads(root);
        running(&b).await;
        let (on_a, on_b) = (thread_of(&a).await, thread_of(&b).await);
        assert_eq!(on_a, on_b);
        let wake = Arc::new(AtomicBool::new(false));
        let block = block_on(&wake);
        a.try_send(act(move |_, _| block())).unwrap();
        until("a moved", || a.epoch() == 2 && state(&a) == State::Running).await;
        assert_ne!(thread_of(&a).await, on_a);
        wake.store(true, Ordering::Release);
        assert_eq!(thread_of(&b).await, on_b, "b was not disturbed");
        tree.restart("root/b").await.unwrap();
        assert_eq!(
            thread_of(&b).await,
            thread_of(&a).await,
            "and joins the others at its restart"
        );
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

async fn thread_of(actor: &ActorRef<Probe>) -> String {
    let (tell, told) = std::sync::mpsc::channel();
    let tell = parking_lot::Mutex::new(tell);
    actor
        .ask(act(move |_, _| {
            let _ = tell
                .lock()
                .send(format!("{:?}", std::thread::current().id()));
        }))
        .await
        .unwrap();
    told.recv().unwrap()
}

#[test]
fn the_supervisor_keeps_its_hours_while_a_child_resists() {
    virtual_time(async {
        let diary = Diary::default();
        let script = Script {
            stopping: Some(Arc::new(|_, _| {})),
            ..Script::default()
        };
        let (stubborn, first) = scripted("stubborn", &diary, script);
        let (other, second) = probe("other", &diary);
        let root = patient("root")
            .child(first.shutdown_within(LONG).never_hangs())
            .child(second);
        let tree = run(root);
        running(&other).await;
        let asked = Instant::now();
        let slow = async {
            tree.restart("root/stubborn").await.unwrap();
            asked.elapsed()
        };
        let quick = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            for _ in 0..20 {
                other.try_send(boom()).unwrap();
                let epoch = other.epoch();
                until("restarted", || {
                    other.epoch() > epoch && state(&other) == State::Running
                })
                .await;
            }
            tree.restart("root/other").await.unwrap();
            assert_eq!(state(&stubborn), State::Stopping);
            asked.elapsed()
        };
        let (slow, quick) = tokio::join!(slow, quick);
        assert!(
            quick < Duration::from_secs(5) && slow >= LONG,
            "{quick:?} {slow:?}"
        );
        tree.shutdown(Duration::from_secs(1)).await;
    });
}

fn own_threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, |tasks| {
        tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.starts_with("actix-rt|system"))
            .count()
    })
}

/// The count is the whole process's, and other tests run beside: only a leak per restart would show.
#[test]
fn a_thread_ends_with_its_incarnation() {
    real_time(async {
        let diary = Diary::default();
        let (actor, spec) = probe("a", &diary);
        let root = patient("root").backoff(Backoff {
            first: Duration::ZERO,
            max: Duration::ZERO,
            ..Backoff::default()
        });
        let tree = run_on_threads(root.child(spec));
        running(&actor).await;
        let before = own_threads();
        for _ in 0..100 {
            let epoch = actor.epoch();
            actor.try_send(boom()).unwrap();
            until("restarted", || {
                actor.epoch() > epoch && state(&actor) == State::Running
            })
            .await;
        }
        until("threads are back", || own_threads() < before + 40).await;
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}
