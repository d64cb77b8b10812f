//! Introspection and restart on demand, from any thread.

use crate::support::*;
use std::time::Duration;
use steward_actors::supervision::*;

#[test]
fn the_tree_is_nested_and_serialises_with_the_names_of_the_api() {
    virtual_time(async {
        let diary = Diary::default();
        let (a, first) = probe("a", &diary);
        let (b, second) = probe("b", &diary);
        let inner = patient("inner")
            .strategy(Strategy::RestForOne)
            .child(first)
            .child(second);
        let tree = run(patient("root").child(inner));
        running(&b).await;
        a.ask(note("x")).await.unwrap();
        b.try_send(boom()).unwrap();
        until("back", || b.epoch() == 2 && state(&b) == State::Running).await;
        let root = tree.tree().await;
        let ids: Vec<&str> = root.walk().iter().map(|node| node.id.as_str()).collect();
        assert_eq!(ids, ["root", "root/inner", "root/inner/a", "root/inner/b"]);
        assert_eq!(a.id(), "root/inner/a");
        let json = serde_json::to_value(&root).unwrap();
        let inner = &json["children"][0];
        assert_eq!(inner["kind"], "group");
        assert_eq!(inner["strategy"], "rest_for_one");
        assert_eq!(inner["processed"], 1);
        let leaf = &inner["children"][1];
        assert_eq!(leaf["kind"], "actor");
        assert_eq!(leaf["state"], "running");
        assert_eq!(leaf["last_exit"]["reason"], "panicked");
        assert_eq!(leaf["last_exit"]["message"], "boom");
        assert!(
            leaf["last_exit"]["location"]
                .as_str()
                .unwrap()
                .contains("support.rs:")
        );
        assert!(leaf["last_exit"]["at"].as_str().unwrap().ends_with('Z'));
        for field in [
            "depth",
            "capacity",
            "rejected",
            "restarts",
            "dead_letters",
            "epoch",
            "p50_us",
            "p99_us",
            "children",
        ] {
            assert!(leaf.get(field).is_some(), "{field}");
        }
        assert!(root.find("root/inner/b").is_some() && root.find("root/in").is_none());
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn restart_on_demand_answers_for_every_path() {
    virtual_time(async {
        let diary = Diary::default();
        let (a, first) = probe("a", &diary);
        let once = |probe: &mut Probe, _: &mut actix::Context<Probe>| {
            assert!(probe.me.epoch() != 2, "second start fails");
        };
        let (b, second) = scripted("b", &diary, started(once));
        let tree = run(patient("root")
            .child(patient("inner").child(first))
            .child(second));
        running(&b).await;
        assert_eq!(tree.restart("root/inner/a").await, Ok(()));
        assert_eq!((a.epoch(), a.snapshot().restarts), (2, 1));
        for missing in [
            "",
            "root/x",
            "root/inner/x",
            "root/b/x",
            "other",
            "root/inner/a/x",
            "root/",
        ] {
            assert_eq!(
                tree.restart(missing).await,
                Err(RestartError::NotFound),
                "{missing}"
            );
        }
        let failed = tree.restart("root/b").await;
        assert!(
            matches!(&failed, Err(RestartError::Failed(why)) if why.contains("second start fails")),
            "{failed:?}"
        );
        running(&b).await;
        assert_eq!(b.epoch(), 3, "the supervisor went on as usual");
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

/// Orders nobody waits for must not starve the care for the children.
#[test]
fn restart_orders_by_the_thousand_do_not_starve_exits() {
    virtual_time(async {
        let diary = Diary::default();
        let (a, first) = probe("a", &diary);
        let (b, second) = probe("b", &diary);
        let tree = run(patient("root").child(first).child(second));
        running(&b).await;
        for round in 0..50 {
            // A flood of orders whose answers nobody awaits; each is sent when polled once.
            for _ in 0..200 {
                let order = tree.clone();
                let mut order = std::pin::pin!(async move { order.restart("root/a").await });
                let waker = std::task::Waker::noop();
                let _ = Future::poll(order.as_mut(), &mut std::task::Context::from_waker(waker));
            }
            let epoch = b.epoch();
            b.try_send(boom()).unwrap();
            until("b is cared for", || {
                b.epoch() > epoch && state(&b) == State::Running
            })
            .await;
            assert_eq!(b.snapshot().restarts, round + 1);
        }
        a.ask(WhichEpoch).await.unwrap();
        assert!(
            a.snapshot().restarts < 2_000,
            "orders for one child are answered together"
        );
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}

#[test]
fn handle_and_address_work_from_a_foreign_runtime() {
    fn assert_shareable<T: Clone + Send + Sync>() {}
    assert_shareable::<SupervisorHandle>();
    assert_shareable::<ActorRef<Probe>>();
    real_time(async {
        let diary = Diary::default();
        let (actor, spec) = probe("a", &diary);
        let tree = Supervisor::new(patient("root").child(spec))
            .unwrap()
            .start_on_own_thread()
            .unwrap();
        let (handle, address) = (tree.clone(), actor.clone());
        let outside = std::thread::Builder::new()
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async move {
                    address.tell(note("from outside")).await.unwrap();
                    address.ask(WhichEpoch).await.unwrap();
                    handle.restart("root/a").await.unwrap();
                    let epoch = address
                        .ask_within(WhichEpoch, Duration::from_secs(10))
                        .await;
                    (epoch, handle.tree().await.id)
                })
            })
            .unwrap();
        until("outside is done", || outside.is_finished()).await;
        assert_eq!(outside.join().unwrap(), (Ok(2), "root".to_owned()));
        assert_eq!(diary.count("from outside"), 1);
        assert_eq!(tree.shutdown(LONG).await, clean());
    });
}
