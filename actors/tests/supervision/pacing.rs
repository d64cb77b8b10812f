//! Backoff and intensity, in virtual time.

use crate::support::*;
use std::time::Duration;
use steward_actors::supervision::*;
use tokio::time::Instant;

fn doubling() -> Backoff {
    Backoff {
        first: Duration::from_millis(100),
        max: Duration::from_secs(10),
        jitter: 0.0,
        reset_after: Duration::from_secs(60),
    }
}

#[test]
fn restarts_are_spaced_and_one_failure_too_many_escalates() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, spec) = scripted("bad", &diary, started(|_, _| panic!("init failed")));
        let root = Group::new("root").backoff(doubling()).child(spec);
        let start = Instant::now();
        let exit = run(root).exited().await;
        let elapsed = start.elapsed().as_millis();
        assert!(
            (3_100..3_150).contains(&elapsed),
            "100+200+400+800+1600, got {elapsed}"
        );
        assert_eq!(
            (diary.count("bad started"), actor.snapshot().restarts),
            (6, 5)
        );
        assert_eq!(exit.exit_code(), 70);
        let GroupExit::Escalated(chain) = exit else {
            panic!("{exit:?}")
        };
        let text = chain.to_string();
        assert!(
            text.contains("root gave up on root/bad: 6 failures within 60s"),
            "{text}"
        );
        assert!(text.contains("init failed at "), "{text}");
        assert_eq!(state(&actor), State::Failed);
        assert!(matches!(
            actor.try_send(boom()),
            Err(TrySendError::Closed(_))
        ));
    });
}

/// Fails at the given seconds; whether the group gave up.
async fn fails_at(seconds: &[u64], intensity: Intensity, fine: Duration) -> bool {
    let diary = Diary::default();
    let (actor, spec) = probe("a", &diary);
    let root = Group::new("root")
        .intensity(intensity)
        .backoff(Backoff {
            first: Duration::ZERO,
            max: Duration::ZERO,
            jitter: 0.0,
            reset_after: LONG,
        })
        .child(spec.never_hangs());
    let tree = run(root);
    running(&actor).await;
    let start = Instant::now();
    for (position, second) in seconds.iter().enumerate() {
        let mut at = Duration::from_secs(*second);
        if position + 1 == seconds.len() {
            at += fine;
        }
        tokio::time::sleep_until(start + at).await;
        running(&actor).await;
        actor.try_send(boom()).unwrap();
        until("handled", || {
            actor.snapshot().last_exit.is_some() && actor.snapshot().depth == 0
        })
        .await;
    }
    let gave_up = tokio::time::timeout(Duration::from_secs(1), tree.exited()).await;
    gave_up.is_ok()
}

#[test]
fn the_intensity_boundary_is_exact() {
    let intensity = Intensity {
        max: 2,
        within: Duration::from_secs(10),
    };
    virtual_time(async {
        assert!(
            !fails_at(&[1, 2], intensity, Duration::ZERO).await,
            "max is tolerated"
        );
        assert!(
            fails_at(&[1, 2, 3], intensity, Duration::ZERO).await,
            "max + 1 is not"
        );
        assert!(
            !fails_at(&[1, 5, 12], intensity, Duration::ZERO).await,
            "the first is 11 s old"
        );
        assert!(
            !fails_at(&[1, 5, 11], intensity, Duration::from_millis(5)).await,
            "just past the window"
        );
    });
    let none = Intensity {
        max: 0,
        within: Duration::from_secs(10),
    };
    assert!(
        virtual_time(fails_at(&[1], none, Duration::ZERO)),
        "0 escalates the first"
    );
}

#[test]
fn backoff_starts_anew_after_a_long_life() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, spec) = probe("a", &diary);
        let root = patient("root")
            .backoff(doubling())
            .child(spec.never_hangs());
        let tree = run(root);
        let mut gaps = Vec::new();
        for lived in [1, 1, 1, 61, 1] {
            running(&actor).await;
            tokio::time::sleep(Duration::from_secs(lived)).await;
            actor.try_send(boom()).unwrap();
            until("down", || state(&actor) == State::BackingOff).await;
            let down = Instant::now();
            running(&actor).await;
            gaps.push((down.elapsed().as_millis() + 50) / 100);
        }
        assert_eq!(gaps, [1, 2, 4, 1, 2]);
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn a_restart_on_demand_does_not_wait_for_the_backoff() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, spec) = probe("a", &diary);
        let slow = Backoff {
            first: Duration::from_secs(3_000),
            max: Duration::from_secs(3_000),
            ..doubling()
        };
        let tree = run(patient("root").backoff(slow).child(spec));
        running(&actor).await;
        actor.try_send(boom()).unwrap();
        until("down", || state(&actor) == State::BackingOff).await;
        let start = Instant::now();
        tree.restart("root/a").await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(1));
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}
