//! What becomes of a message: the three classes, dead letters, bounds.

use crate::support::*;
use actix::prelude::*;
use std::time::Duration;
use steward_actors::supervision::*;

fn one(diary: &Diary) -> (ActorRef<Probe>, SupervisorHandle) {
    let (actor, spec) = probe("a", diary);
    (actor, run(patient("root").child(spec.never_hangs())))
}

#[test]
fn at_most_once_is_lost_with_its_incarnation_and_counted_and_the_queue_behind_it_is_kept() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, tree) = one(&diary);
        actor.try_send(boom()).unwrap();
        actor.try_send(note("behind")).unwrap();
        until("behind", || diary.count("behind") == 1).await;
        settle().await;
        let now = actor.snapshot();
        assert_eq!((now.processed, now.dead_letters, now.depth), (1, 1, 0));
        let letters = actor.dead_letters();
        assert!(letters[0].message.ends_with("Do"), "{letters:?}");
        assert!(letters[0].reason.contains("at most once") && letters[0].reason.contains("boom"));
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn sure_is_redelivered_so_many_times_and_then_a_dead_letter() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, tree) = one(&diary);
        let stubborn = act(|probe, _| {
            probe.diary.note("tried");
            panic!("again")
        });
        actor.try_send_sure(stubborn, 3).unwrap();
        actor.try_send_sure(note("next"), 3).unwrap();
        until("next", || diary.count("next") == 1).await;
        assert_eq!(diary.count("tried"), 4);
        assert_eq!(actor.snapshot().dead_letters, 1);
        let reason = actor.dead_letters()[0].reason.clone();
        assert!(
            reason.contains("used up") && reason.contains("again"),
            "{reason}"
        );
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn sure_is_checkpointed_across_ctx_wait() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, tree) = one(&diary);
        let fails_while_waiting = act(|probe, ctx| {
            probe.diary.note("began");
            let first = probe.me.epoch() == 1;
            let diary = probe.diary.clone();
            ctx.wait(
                async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    assert!(!first, "in the wait");
                    diary.note("finished");
                }
                .into_actor(probe),
            );
        });
        actor.try_send_sure(fails_while_waiting, 1).unwrap();
        actor.try_send(note("behind")).unwrap();
        until("behind", || diary.count("behind") == 1).await;
        let lines = diary.take();
        assert_eq!(
            lines,
            [
                "a started",
                "began",
                "a dropped",
                "a started",
                "began",
                "finished",
                "behind"
            ]
        );
        settle().await;
        assert_eq!(actor.snapshot().dead_letters, 0);
        assert_eq!(actor.snapshot().processed, 2);
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn a_handler_that_stops_its_actor_has_handled_the_message() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, tree) = one(&diary);
        let last = act(|probe, ctx| {
            probe.diary.note("last");
            ctx.stop();
        });
        actor.try_send_sure(last, 10).unwrap();
        actor.try_send(note("behind")).unwrap();
        until("behind", || diary.count("behind") == 1).await;
        assert_eq!((diary.count("last"), actor.epoch()), (1, 2));
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn a_message_whose_handler_declares_failure_is_not_handled() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, tree) = one(&diary);
        let once = act(|probe, _| {
            probe.diary.note("tried");
            if probe.me.epoch() == 1 {
                probe.me.fail("not yet");
            }
        });
        actor.try_send_sure(once, 1).unwrap();
        until("tried twice", || diary.count("tried") == 2).await;
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn the_queue_is_bounded_also_for_redeliveries() {
    virtual_time(async {
        let diary = Diary::default();
        let actor = ActorRef::<Probe>::new(2);
        for _ in 0..2 {
            actor.try_send_sure(boom(), 2).unwrap();
        }
        assert!(matches!(actor.try_send(boom()), Err(TrySendError::Full(_))));
        assert_eq!(actor.ask(WhichEpoch).await, Err(AskError::Full));
        assert_eq!(actor.snapshot().rejected, 2);
        let inner = diary.clone();
        let spec = ChildSpec::new("a", &actor, move |me| make(me, &inner));
        let tree = run(patient("root").child(spec));
        until("all given up", || actor.snapshot().dead_letters == 2).await;
        // Room for exactly two again, whatever was put back in between.
        settle().await;
        actor.try_send(hang()).unwrap();
        settle().await;
        actor.try_send(note("second")).unwrap();
        assert!(matches!(
            actor.try_send(note("third")),
            Err(TrySendError::Full(_))
        ));
        drop(tree);
    });
}

fn make(me: Incarnation<Probe>, diary: &Diary) -> Probe {
    Probe::plain("a", me, diary.clone())
}

#[test]
fn tell_waits_for_room_and_learns_of_the_end() {
    virtual_time(async {
        let diary = Diary::default();
        let actor = ActorRef::<Probe>::new(1);
        actor.try_send(note("first")).unwrap();
        let sender = {
            let actor = actor.clone();
            async move {
                actor.tell(note("second")).await.unwrap();
                actor.tell(hang()).await.unwrap();
                // The hanging message keeps the only slot.
                actor.tell(note("never")).await
            }
        };
        let inner = diary.clone();
        let spec = ChildSpec::new("a", &actor, move |me| make(me, &inner))
            .never_hangs()
            .shutdown_within(Duration::from_secs(1));
        let tree = run(patient("root").child(spec));
        let ending = async {
            settle().await;
            tree.shutdown(LONG).await
        };
        let (last, exit) = tokio::join!(sender, ending);
        assert!(matches!(last, Err(TrySendError::Closed(_))));
        assert_eq!(
            exit,
            GroupExit::Shutdown {
                unclean: vec!["root/a".into()]
            }
        );
        assert_eq!((diary.count("second"), diary.count("never")), (1, 0));
    });
}

#[test]
fn an_asker_learns_of_a_crash_and_of_silence() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, tree) = one(&diary);
        assert_eq!(actor.ask(boom()).await, Err(AskError::Dropped));
        assert_eq!(actor.ask(WhichEpoch).await, Ok(2));
        actor.try_send(hang()).unwrap();
        let limit = Duration::from_secs(1);
        assert_eq!(
            actor.ask_within(WhichEpoch, limit).await,
            Err(AskError::TimedOut)
        );
        tree.restart("root/a").await.unwrap();
        assert_eq!(actor.ask(WhichEpoch).await, Ok(3));
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn a_question_nobody_waits_for_is_not_asked() {
    virtual_time(async {
        let diary = Diary::default();
        let actor = ActorRef::<Probe>::new(4);
        let asked = actor
            .ask_within(note("asked"), Duration::from_millis(1))
            .await;
        assert_eq!(asked, Err(AskError::TimedOut));
        let inner = diary.clone();
        let tree =
            run(patient("root").child(ChildSpec::new("a", &actor, move |me| make(me, &inner))));
        actor.ask(WhichEpoch).await.unwrap();
        assert_eq!(diary.count("asked"), 0);
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn handling_time_includes_the_wait() {
    virtual_time(async {
        let diary = Diary::default();
        let (actor, tree) = one(&diary);
        for _ in 0..100 {
            actor
                .tell(act(|_, _| std::thread::sleep(Duration::from_micros(200))))
                .await
                .unwrap();
        }
        actor.ask(WhichEpoch).await.unwrap();
        let now = actor.snapshot();
        assert!(now.p50_us >= 200 && now.p99_us >= now.p50_us, "{now:?}");
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn a_work_queue_gives_back_in_order_and_fences_late_acknowledgements() {
    let queue = WorkQueue::new(4);
    for item in 0..4 {
        queue.try_push(item).unwrap();
    }
    assert_eq!(queue.try_push(9), Err(QueueFull(9)));
    let numbers = |lease: &Lease<i32>| lease.items().iter().map(|(n, _)| *n).collect::<Vec<_>>();
    let first = queue.lease(1, 2).unwrap().unwrap();
    let second = queue.lease(1, 2).unwrap().unwrap();
    assert_eq!(
        (numbers(&first), numbers(&second)),
        (vec![0, 1], vec![2, 3])
    );
    assert!(queue.lease(1, 2).unwrap().is_none());
    drop(first);
    assert_eq!(queue.depth(), (2, 2));
    queue.revoke_before(2);
    assert_eq!((queue.depth(), queue.redelivered()), ((4, 0), 4));
    assert_eq!(second.ack(), Err(Fenced));
    assert!(
        matches!(queue.lease(1, 2), Err(Fenced)),
        "a zombie gets nothing more"
    );
    let all = queue.lease(2, 10).unwrap().unwrap();
    assert_eq!(numbers(&all), [0, 1, 2, 3]);
    assert_eq!(
        queue.try_push(9),
        Err(QueueFull(9)),
        "leased items keep their room"
    );
    all.ack().unwrap();
    assert!(queue.is_empty() && queue.try_push(9).is_ok());
    assert_eq!(queue.acknowledged(), 4);
}
