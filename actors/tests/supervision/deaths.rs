//! Every way to die, and what each restart type makes of it.

use crate::support::*;
use actix::prelude::*;
use std::sync::Arc;
use std::time::Duration;
use steward_actors::supervision::*;

/// Sends `fatal` to a fresh probe; the reason of its exit once it runs again, and its diary.
async fn dies_of(fatal: Do, script: Script) -> (LastExit, Vec<String>) {
    let diary = Diary::default();
    let (actor, spec) = scripted("a", &diary, script);
    let tree = run(patient("root").child(spec));
    running(&actor).await;
    actor.try_send(fatal).unwrap();
    until("a second incarnation", || {
        actor.epoch() == 2 && state(&actor) == State::Running
    })
    .await;
    actor.ask(WhichEpoch).await.unwrap();
    let exit = actor.snapshot().last_exit.unwrap();
    let lines = diary.lines();
    assert_eq!(actor.snapshot().restarts, 1);
    assert_eq!(tree.shutdown(LONG).await, clean());
    (exit, lines)
}

#[test]
fn a_panic_in_a_handler_is_caught_with_its_place_and_runs_no_hook() {
    let (exit, lines) = virtual_time(dies_of(boom(), Script::default()));
    assert_eq!((exit.reason, exit.message.as_str()), ("panicked", "boom"));
    assert!(exit.location.unwrap().contains("support.rs:"));
    assert_eq!(lines, ["a started", "a dropped", "a started"]);
}

#[test]
fn a_panic_in_a_spawned_future_kills_the_actor() {
    let fatal = act(|probe, ctx| {
        ctx.spawn(async { panic!("spawned") }.into_actor(probe));
    });
    let (exit, lines) = virtual_time(dies_of(fatal, Script::default()));
    assert_eq!(exit.message, "spawned");
    assert_eq!(lines, ["a started", "a dropped", "a started"]);
}

#[test]
fn a_panic_in_run_later_kills_the_actor() {
    let fatal = act(|_, ctx| {
        ctx.run_later(Duration::from_secs(5), |_, _| panic!("later"));
    });
    let (exit, _) = virtual_time(dies_of(fatal, Script::default()));
    assert_eq!(exit.message, "later");
}

#[test]
fn a_panic_in_stopped_is_contained() {
    let script = Script {
        stopped: Some(Arc::new(|probe, _| {
            if probe.me.epoch() == 1 {
                panic!("in stopped")
            }
        })),
        ..Script::default()
    };
    let (exit, _) = virtual_time(dies_of(act(|_, ctx| ctx.stop()), script));
    assert_eq!(
        (exit.reason, exit.message.as_str()),
        ("panicked", "in stopped")
    );
}

#[test]
fn a_panic_in_a_handler_and_then_in_stopped_does_not_abort() {
    let script = Script {
        stopped: Some(Arc::new(|probe, _| {
            assert!(probe.me.epoch() > 1, "never reached")
        })),
        ..Script::default()
    };
    let (exit, _) = virtual_time(dies_of(boom(), script));
    assert_eq!(exit.message, "boom");
}

#[test]
fn a_panic_in_drop_counts_after_a_normal_stop_and_is_contained_after_a_failure() {
    let script = Script {
        dropped: Some(Arc::new(|probe, _| {
            if probe.me.epoch() == 1 {
                panic!("in drop")
            }
        })),
        ..Script::default()
    };
    let (exit, _) = virtual_time(dies_of(act(|_, ctx| ctx.stop()), script.clone()));
    assert_eq!(
        (exit.reason, exit.message.as_str()),
        ("panicked", "in drop")
    );
    let (exit, _) = virtual_time(dies_of(boom(), script));
    assert_eq!(exit.message, "boom");
}

#[test]
fn ctx_stop_restarts_a_permanent_child_as_a_new_value() {
    let (exit, lines) = virtual_time(dies_of(act(|_, ctx| ctx.stop()), Script::default()));
    assert_eq!(exit.reason, "normal");
    assert_eq!(lines, ["a started", "a stopped", "a dropped", "a started"]);
}

#[test]
fn ctx_terminate_restarts_too() {
    let (exit, _) = virtual_time(dies_of(act(|_, ctx| ctx.terminate()), Script::default()));
    assert_eq!(exit.reason, "normal");
}

#[test]
fn fail_ends_the_incarnation_with_its_reason_and_without_hooks() {
    let fatal = act(|probe, _| probe.me.fail("the disk is gone"));
    let (exit, lines) = virtual_time(dies_of(fatal, Script::default()));
    assert_eq!(
        (exit.reason, exit.message.as_str()),
        ("failed", "the disk is gone")
    );
    assert_eq!(lines, ["a started", "a dropped", "a started"]);
}

#[test]
fn fail_reaches_an_actor_that_is_waiting() {
    let fatal = act(|probe, ctx| {
        let me = probe.me.clone();
        ctx.spawn(async {}.into_actor(probe));
        ctx.wait(
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                me.fail("gave up waiting");
                std::future::pending::<()>().await;
            }
            .into_actor(probe),
        );
    });
    let (exit, _) = virtual_time(dies_of(fatal, Script::default()));
    assert_eq!(exit.message, "gave up waiting");
}

#[test]
fn panics_in_the_factory_and_in_started_are_failures_like_any_other() {
    virtual_time(async {
        let diary = Diary::default();
        let script = Script {
            made: Some(Arc::new(|me| {
                assert!(me.epoch() > 2, "factory {}", me.epoch())
            })),
            started: Some(Arc::new(|probe, _| {
                assert!(probe.me.epoch() > 4, "started")
            })),
            ..Script::default()
        };
        let (actor, spec) = scripted("a", &diary, script);
        let tree = run(patient("root").child(spec));
        actor.try_send(note("handled")).unwrap();
        until("handled", || diary.count("handled") == 1).await;
        assert_eq!((actor.epoch(), actor.snapshot().restarts), (5, 4));
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn a_transient_child_returns_after_a_failure_and_not_after_a_normal_stop() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, spec) = probe("a", &diary);
        let tree = run(patient("root").child(spec.restart(Restart::Transient)));
        running(&actor).await;
        actor.try_send(boom()).unwrap();
        until("restarted", || {
            actor.epoch() == 2 && state(&actor) == State::Running
        })
        .await;
        actor.try_send(act(|_, ctx| ctx.stop())).unwrap();
        until("stopped", || state(&actor) == State::Stopped).await;
        settle().await;
        assert_eq!(actor.snapshot().restarts, 1);
        assert!(matches!(
            actor.try_send(boom()),
            Err(TrySendError::Closed(_))
        ));
        // By hand it comes back, and its address with it.
        tree.restart("root/a").await.unwrap();
        actor.ask(WhichEpoch).await.unwrap();
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn a_temporary_child_never_returns_and_its_queue_becomes_dead_letters() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, spec) = probe("a", &diary);
        let tree = run(patient("root").child(spec.restart(Restart::Temporary)));
        running(&actor).await;
        actor.try_send(boom()).unwrap();
        actor.try_send_sure(note("never"), 5).unwrap();
        let question = actor.ask(WhichEpoch).await;
        assert_eq!(question, Err(AskError::Dropped));
        settle().await;
        assert_eq!(state(&actor), State::Failed);
        assert_eq!(actor.snapshot().dead_letters, 3);
        assert_eq!(actor.ask(WhichEpoch).await, Err(AskError::Closed));
        assert_eq!(tree.shutdown(LONG).await, clean());
        assert!(diary.count("never") == 0);
    });
}

#[test]
fn a_thread_that_ends_underneath_its_actor_is_a_failure() {
    real_time(async {
        let diary = Diary::default();
        let (actor, spec) = probe("a", &diary);
        let tree = run_on_threads(patient("root").child(spec));
        running(&actor).await;
        actor
            .try_send(act(|_, _| assert!(Arbiter::current().stop())))
            .unwrap();
        until("a second incarnation", || {
            actor.epoch() == 2 && state(&actor) == State::Running
        })
        .await;
        assert_eq!(actor.snapshot().last_exit.unwrap().reason, "thread_lost");
        assert_eq!(diary.count("a stopped"), 0, "no hook on a torn-down actor");
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}
