//! Groups in groups: escalation with its whole chain, restart and kill of a group.

use crate::support::*;
use std::time::Duration;
use steward_actors::supervision::*;
use tokio::time::Instant;

fn tolerant_of(max: usize, name: &str) -> Group {
    patient(name).intensity(Intensity { max, within: LONG })
}

#[test]
fn escalation_reaches_the_root_with_every_cause_and_the_others_are_drained() {
    virtual_time(async {
        let diary = Diary::default();
        let (bystander, calm) = probe("calm", &diary);
        let (bad, spec) = scripted("bad", &diary, started(|_, _| panic!("init failed")));
        let inner = tolerant_of(3, "inner").child(spec);
        let middle = tolerant_of(1, "middle").child(inner);
        let tree = run(tolerant_of(2, "root").child(calm).child(middle));
        running(&bystander).await;
        for _ in 0..5 {
            bystander.try_send(note("work")).unwrap();
        }
        let exit = tree.exited().await;
        let GroupExit::Escalated(chain) = exit else {
            panic!("{exit:?}")
        };
        let groups: Vec<&str> = chain
            .causes
            .iter()
            .map(|cause| cause.group.as_str())
            .collect();
        assert_eq!(groups, ["root", "root/middle", "root/middle/inner"]);
        let failures: Vec<usize> = chain.causes.iter().map(|cause| cause.failures).collect();
        assert_eq!(failures, [3, 2, 4]);
        let text = chain.to_string();
        assert!(
            text.contains("root gave up on root/middle: 3 failures"),
            "{text}"
        );
        assert!(
            text.contains("because root/middle/inner gave up on root/middle/inner/bad"),
            "{text}"
        );
        assert!(text.contains("init failed at "), "{text}");
        // (3 + 1) starts an inner life, two of those a middle life, three of those.
        assert_eq!(diary.count("bad started"), 4 * 2 * 3);
        assert_eq!((diary.count("work"), diary.count("calm stopped")), (5, 1));
        assert!(matches!(bad.try_send(boom()), Err(TrySendError::Closed(_))));
        assert_eq!(tree.tree_now().state, State::Failed);
    });
}

#[test]
fn epochs_go_on_when_a_group_is_restarted() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, spec) = probe("a", &diary);
        let tree = run(patient("root").child(patient("inner").child(spec)));
        running(&actor).await;
        actor.try_send(boom()).unwrap();
        until("second", || {
            actor.epoch() == 2 && state(&actor) == State::Running
        })
        .await;
        tree.restart("root/inner").await.unwrap();
        assert_eq!(actor.ask(WhichEpoch).await, Ok(3), "never an epoch twice");
        let node = tree.tree().await;
        let inner = node.find("root/inner").unwrap();
        assert_eq!((inner.restarts, inner.epoch), (1, 2));
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn restarting_the_root_restarts_everything_below() {
    virtual_time(async {
        let diary = Diary::default();
        let (a, first) = probe("a", &diary);
        let (b, second) = probe("b", &diary);
        let tree = run(patient("root")
            .child(first)
            .child(patient("inner").child(second)));
        running(&b).await;
        diary.take();
        tree.restart("root").await.unwrap();
        assert_eq!(
            diary.take(),
            [
                "b stopped",
                "b dropped",
                "a stopped",
                "a dropped",
                "a started",
                "b started"
            ]
        );
        assert_eq!((a.epoch(), b.epoch()), (2, 2));
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

/// A group whose children will not stop is killed for real: the order of its end is not "please".
#[test]
fn a_group_that_does_not_stop_is_killed_and_its_restart_goes_on() {
    virtual_time(async {
        let diary = Diary::default();
        let (a, first) = scripted("a", &diary, never_stops());
        let (b, second) = scripted("b", &diary, never_stops());
        let long = Duration::from_secs(10_000);
        let inner = patient("inner")
            .child(first.shutdown_within(long).never_hangs())
            .child(second.shutdown_within(long).never_hangs());
        let spec = ChildSpec::from(inner).shutdown_within(Duration::from_secs(2));
        let tree = run(patient("root").child(spec));
        running(&b).await;
        let start = Instant::now();
        tree.restart("root/inner").await.unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "{:?}",
            start.elapsed()
        );
        assert_eq!((a.epoch(), b.epoch()), (2, 2));
        assert_eq!(diary.count("a dropped"), 1);
        let exit = tree.shutdown(Duration::from_secs(3)).await;
        let GroupExit::Shutdown { unclean } = &exit else {
            panic!("{exit:?}")
        };
        assert_eq!(
            unclean,
            &["root/inner/b", "root/inner/a"]
                .map(String::from)
                .iter()
                .rev()
                .cloned()
                .collect::<Vec<_>>()
        );
        assert_eq!(exit.exit_code(), 1);
    });
}

/// Refuses every polite stop, by `stopping` its own way: it is always in a wait that it enters anew.
fn never_stops() -> Script {
    Script {
        stopping: Some(std::sync::Arc::new(|_, _| {})),
        ..Script::default()
    }
}

#[test]
fn names_and_addresses_are_checked() {
    let diary = Diary::default();
    let (_a, spec) = probe("a", &diary);
    let (_b, twin) = probe("a", &diary);
    let error = Supervisor::new(Group::new("root").child(spec).child(twin)).unwrap_err();
    assert_eq!(error, SpecError::NameTwice("root/a".into()));

    let (_c, slash) = probe("a/b", &diary);
    let error = Supervisor::new(Group::new("root").child(slash)).unwrap_err();
    assert_eq!(error, SpecError::BadName("a/b".into()));

    let actor = ActorRef::<Probe>::new(1);
    let make = |diary: Diary| move |me| Probe::plain("x", me, diary.clone());
    let root = Group::new("root")
        .child(ChildSpec::new("one", &actor, make(diary.clone())))
        .child(ChildSpec::new("two", &actor, make(diary.clone())));
    assert_eq!(
        Supervisor::new(root).unwrap_err(),
        SpecError::ActorTwice("root/one".into())
    );
}
