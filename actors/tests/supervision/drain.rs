//! The orderly end: everything finishes its work, in reverse order, within its time.

use crate::support::*;
use actix::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use steward_actors::supervision::*;
use tokio::time::Instant;

fn unclean(paths: &[&str]) -> GroupExit {
    GroupExit::Shutdown {
        unclean: paths.iter().map(|path| (*path).to_owned()).collect(),
    }
}

#[test]
fn queued_work_is_finished_also_while_the_actor_is_in_a_wait() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, spec) = probe("a", &diary);
        let tree = run(patient("root").child(spec));
        for _ in 0..3 {
            let slow = act(|probe, ctx| {
                let diary = probe.diary.clone();
                let wait = async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    diary.note("done");
                };
                ctx.wait(wait.into_actor(probe));
            });
            actor.try_send(slow).unwrap();
        }
        assert_eq!(tree.shutdown(LONG).await, clean());
        assert_eq!((diary.count("done"), diary.count("a stopped")), (3, 1));
        assert_eq!(state(&actor), State::Stopped);
        assert!(matches!(
            actor.try_send(boom()),
            Err(TrySendError::Closed(_))
        ));
        assert_eq!(
            tree.restart("root/a").await,
            Err(RestartError::ShuttingDown)
        );
        assert_eq!(
            tree.exited().await,
            clean(),
            "whoever asks later learns the same"
        );
    });
}

/// A polite stop must reach an actor inside `ctx.wait`: the pump is not polled there.
#[test]
fn a_halt_reaches_an_actor_inside_ctx_wait() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, spec) = probe("a", &diary);
        let tree = run(patient("root").child(spec.never_hangs().shutdown_within(LONG)));
        actor
            .try_send_sure(
                act(|probe, ctx| {
                    probe.diary.note("tried");
                    if probe.me.epoch() == 1 {
                        ctx.wait(std::future::pending::<()>().into_actor(probe));
                    }
                }),
                1,
            )
            .unwrap();
        settle().await;
        let start = Instant::now();
        tree.restart("root/a").await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(1));
        until("handed out again", || diary.count("tried") == 2).await;
        assert_eq!(diary.count("a stopped"), 1, "it was stopped, not killed");
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn an_empty_mailbox_is_not_drained_while_the_gate_says_so() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, spec) = probe("a", &diary);
        let busy = Arc::new(AtomicBool::new(true));
        let gate = Arc::clone(&busy);
        let tree =
            run(patient("root").child(spec.drain_gate(move || gate.load(Ordering::Acquire))));
        running(&actor).await;
        let start = Instant::now();
        let finish = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert_eq!(state(&actor), State::Draining);
            busy.store(false, Ordering::Release);
        };
        let (exit, ()) = tokio::join!(tree.shutdown(LONG), finish);
        assert_eq!(exit, clean());
        let elapsed = start.elapsed().as_millis();
        assert!(
            (3_000..3_100).contains(&elapsed),
            "the gate is looked at again and again: {elapsed}"
        );
    });
}

#[test]
fn a_child_in_backoff_is_brought_back_for_its_work_and_only_then() {
    virtual_time(async {
        let diary = Diary::default();
        let slow = Backoff {
            first: Duration::from_secs(1_000),
            max: Duration::from_secs(1_000),
            jitter: 0.0,
            reset_after: LONG,
        };
        let (idle, first) = probe("idle", &diary);
        let (queued, second) = probe("queued", &diary);
        let (gated, third) = probe("gated", &diary);
        let left = Arc::new(AtomicUsize::new(0));
        let gate = Arc::clone(&left);
        let third = third.drain_gate(move || gate.load(Ordering::Acquire) > 0);
        let root = patient("root")
            .backoff(slow)
            .child(first)
            .child(second)
            .child(third);
        let tree = run(root);
        running(&gated).await;
        for actor in [&idle, &queued, &gated] {
            actor.try_send(boom()).unwrap();
            until("down", || state(actor) == State::BackingOff).await;
        }
        queued.try_send(note("done")).unwrap();
        left.store(1, Ordering::Release);
        let (exit, ()) = tokio::join!(tree.shutdown(LONG), async {
            until("the gated one is up", || state(&gated) == State::Draining).await;
            left.store(0, Ordering::Release);
        });
        assert_eq!(exit, clean());
        assert_eq!(diary.count("done"), 1);
        let starts = |name: &str| diary.count(&format!("{name} started"));
        assert_eq!(
            (starts("idle"), starts("queued"), starts("gated")),
            (1, 2, 2)
        );
    });
}

#[test]
fn the_overall_deadline_holds_and_the_unclean_are_named_down_to_the_leaf() {
    virtual_time(async {
        let diary = Diary::default();
        let (good, first) = probe("good", &diary);
        let (stuck, second) = probe("stuck", &diary);
        let long = |spec: ChildSpec| spec.shutdown_within(LONG * 100).never_hangs();
        let inner = patient("inner").child(long(second));
        let tree = run(patient("root").child(first).child(inner));
        running(&stuck).await;
        stuck.try_send(hang()).unwrap();
        stuck.try_send(note("never")).unwrap();
        good.try_send(note("done")).unwrap();
        settle().await;
        let start = Instant::now();
        let exit = tree.shutdown(Duration::from_secs(5)).await;
        assert!(
            start.elapsed() < Duration::from_secs(6),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(exit, unclean(&["root/inner/stuck"]));
        assert_eq!(exit.exit_code(), 1);
        assert_eq!(diary.count("done"), 1);
        assert_eq!(
            stuck.snapshot().dead_letters,
            2,
            "what was not done is accounted for"
        );
    });
}

#[test]
fn a_second_shutdown_shortens_the_first() {
    virtual_time(async {
        let diary = Diary::default();
        let (stuck, spec) = probe("stuck", &diary);
        let inner = patient("inner").child(spec.shutdown_within(LONG * 100).never_hangs());
        let tree = run(patient("root").child(inner));
        stuck.try_send(hang()).unwrap();
        settle().await;
        let start = Instant::now();
        let again = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            tree.shutdown(Duration::from_secs(1)).await
        };
        let (first, second) = tokio::join!(tree.shutdown(LONG * 100), again);
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
        assert_eq!((&first, &second), (&unclean(&["root/inner/stuck"]), &first));
    });
}

/// The elder drains the younger's output: it must stay supervised until its own turn, or the drain locks up.
#[test]
fn the_others_stay_supervised_while_one_drains_into_them() {
    virtual_time(async {
        let diary = Diary::default();
        let (writer, first) = probe("writer", &diary);
        let (logger, second) = probe("logger", &diary);
        let root = patient("root")
            .intensity(Intensity {
                max: 3,
                within: LONG,
            })
            .child(first)
            .child(second.shutdown_within(LONG));
        let tree = run(root);
        running(&logger).await;
        for _ in 0..20 {
            let target = writer.clone();
            let hand_over = act(move |probe, ctx| {
                let target = target.clone();
                let wait = async move {
                    // Every second one kills the writer, more often than its group would stand for in peace.
                    let fatal = act(|probe, _| {
                        probe.diary.note("written");
                        if probe.diary.count("written") % 2 == 0 {
                            panic!("writer down")
                        }
                    });
                    let _ = target.ask(fatal).await;
                };
                ctx.wait(wait.into_actor(probe));
            });
            logger.try_send(hand_over).unwrap();
        }
        assert_eq!(tree.shutdown(LONG * 2).await, clean());
        assert_eq!(diary.count("written"), 20);
        // The tenth crash may come when nothing is left to return for.
        assert!(writer.snapshot().restarts >= 9);
    });
}

#[test]
fn an_actor_that_hangs_or_crashes_while_draining_is_brought_back_to_finish() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, spec) = probe("a", &diary);
        let spec = spec
            .hang_after(Duration::from_secs(2))
            .shutdown_within(LONG);
        let tree = run(patient("root").child(spec));
        running(&actor).await;
        actor.try_send(boom()).unwrap();
        actor
            .try_send_sure(
                act(|probe, ctx| {
                    if probe.me.epoch() == 2 {
                        ctx.wait(std::future::pending::<()>().into_actor(probe));
                    } else {
                        probe.diary.note("done");
                    }
                }),
                5,
            )
            .unwrap();
        actor.try_send(act(|_, ctx| ctx.stop())).unwrap();
        actor.try_send(note("last")).unwrap();
        assert_eq!(tree.shutdown(LONG * 2).await, clean());
        assert_eq!((diary.count("done"), diary.count("last")), (1, 1));
    });
}

#[test]
fn a_blocked_thread_does_not_hold_up_the_end() {
    real_time(async {
        let diary = Diary::default();
        let (blocked, spec) = probe("blocked", &diary);
        let (other, calm) = probe("other", &diary);
        let spec = spec
            .shutdown_within(Duration::from_millis(50))
            .kill_grace(Duration::from_millis(20));
        let tree = run_on_threads(patient("root").child(calm).child(spec));
        running(&blocked).await;
        blocked
            .try_send(act(|_, _| std::thread::sleep(Duration::from_millis(600))))
            .unwrap();
        until("blocked", || blocked.snapshot().depth == 0).await;
        other.try_send(note("done")).unwrap();
        assert_eq!(tree.shutdown(LONG).await, unclean(&["root/blocked"]));
        assert_eq!(diary.count("done"), 1);
    });
}
