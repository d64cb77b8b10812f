//! Who goes down and comes up with whom.

use crate::support::*;
use std::time::Duration;
use steward_actors::supervision::*;

struct Three {
    diary: Diary,
    actors: [ActorRef<Probe>; 3],
    tree: SupervisorHandle,
}

async fn three(strategy: Strategy, of_b: Restart) -> Three {
    let diary = Diary::default();
    let (a, first) = probe("a", &diary);
    let (b, second) = probe("b", &diary);
    let (c, third) = probe("c", &diary);
    let root = patient("root")
        .strategy(strategy)
        .child(first)
        .child(second.restart(of_b))
        .child(third);
    let tree = run(root);
    running(&c).await;
    assert_eq!(diary.take(), ["a started", "b started", "c started"]);
    Three {
        diary,
        actors: [a, b, c],
        tree,
    }
}

impl Three {
    /// Lets one of them crash and says what happened until all are up again.
    async fn crash(&self, index: usize) -> Vec<String> {
        self.actors[index].try_send(boom()).unwrap();
        until("down", || self.actors[index].snapshot().last_exit.is_some()).await;
        settle().await;
        for actor in &self.actors {
            assert_eq!(state(actor), State::Running);
        }
        self.diary.take()
    }

    async fn end(self) {
        assert_eq!(self.tree.shutdown(LONG).await, clean());
        let stops: Vec<String> = self.diary.take();
        let stops: Vec<&str> = stops
            .iter()
            .filter(|line| line.ends_with("stopped"))
            .map(String::as_str)
            .collect();
        assert_eq!(stops, ["c stopped", "b stopped", "a stopped"]);
    }
}

#[test]
fn one_for_one_restarts_the_one() {
    virtual_time(async {
        let three = three(Strategy::OneForOne, Restart::Permanent).await;
        assert_eq!(three.crash(1).await, ["b dropped", "b started"]);
        three.end().await;
    });
}

#[test]
fn rest_for_one_restarts_it_and_its_juniors_in_order() {
    virtual_time(async {
        let three = three(Strategy::RestForOne, Restart::Permanent).await;
        let happened = three.crash(1).await;
        assert_eq!(
            happened,
            [
                "b dropped",
                "c stopped",
                "c dropped",
                "b started",
                "c started"
            ]
        );
        three.end().await;
    });
}

#[test]
fn one_for_all_restarts_all_in_order_after_stopping_them_in_reverse() {
    virtual_time(async {
        let three = three(Strategy::OneForAll, Restart::Permanent).await;
        let happened = three.crash(1).await;
        assert_eq!(
            happened,
            [
                "b dropped",
                "c stopped",
                "c dropped",
                "a stopped",
                "a dropped",
                "a started",
                "b started",
                "c started"
            ]
        );
        three.end().await;
    });
}

#[test]
fn a_temporary_sibling_stays_down_after_one_for_all() {
    virtual_time(async {
        let three = three(Strategy::OneForAll, Restart::Temporary).await;
        three.actors[0].try_send(boom()).unwrap();
        until("down", || three.actors[0].snapshot().last_exit.is_some()).await;
        settle().await;
        assert_eq!(state(&three.actors[1]), State::Stopped);
        assert_eq!(state(&three.actors[2]), State::Running);
        assert_eq!(three.tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn restart_on_demand_follows_the_strategy_and_counts_as_no_failure() {
    virtual_time(async {
        let three = three(Strategy::RestForOne, Restart::Permanent).await;
        for round in 1..=50 {
            three.tree.restart("root/b").await.unwrap();
            until("c up", || state(&three.actors[2]) == State::Running).await;
            let restarts = three
                .actors
                .each_ref()
                .map(|actor| actor.snapshot().restarts);
            assert_eq!(restarts, [0, round, round]);
        }
        three.diary.take();
        three.end().await;
    });
}

/// A group restart is invisible to senders: full at worst, never closed.
#[test]
fn groups_never_show_closed_while_they_restart() {
    virtual_time(async {
        let diary = Diary::default();
        let (a, first) = probe("a", &diary);
        let (b, second) = probe("b", &diary);
        let inner = Group::new("inner")
            .strategy(Strategy::OneForAll)
            .intensity(Intensity {
                max: 1,
                within: LONG,
            })
            .backoff(patient("x").backoff)
            .child(first)
            .child(second);
        let tree = run(patient("root").child(inner));
        running(&b).await;
        let mut sent = 0;
        for round in 0..600 {
            // Crashes, escalations of the group, and restarts by hand, all the time.
            if round % 20 == 3 {
                let _ = a.try_send(boom());
            }
            for actor in [&a, &b] {
                match actor.try_send_sure(note("seen"), 1_000) {
                    Ok(()) => sent += 1,
                    Err(TrySendError::Full(_)) => {}
                    Err(TrySendError::Closed(_)) => panic!("closed in round {round}"),
                }
            }
            if round % 50 == 7 {
                let order = tree.clone();
                let path = if round % 100 == 7 {
                    "root/inner"
                } else {
                    "root/inner/a"
                };
                let _ = tokio::time::timeout(Duration::from_millis(3), order.restart(path)).await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        until("all seen", || diary.count("seen") == sent).await;
        assert!(tree.tree_now().children[0].restarts >= 3);
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn a_child_that_does_not_come_up_does_not_hold_up_independent_siblings() {
    virtual_time(async {
        let diary = Diary::default();
        let (bad, first) = scripted("bad", &diary, started(|_, _| panic!("no")));
        let (good, second) = probe("good", &diary);
        let tree = run(patient("root").child(first).child(second));
        running(&good).await;
        assert_ne!(state(&bad), State::Running);
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}
