use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::domain::clock::ManualClock;

fn board() -> Arc<Switchboard> {
    Switchboard::new(Arc::new(ManualClock::at_micros(1_773_599_400_000_000)))
}

fn heard(subscription: &mut Subscription) -> Vec<Value> {
    let mut frames = Vec::new();
    subscription.take(usize::MAX, |frame| {
        frames.push(serde_json::from_str(&frame).unwrap())
    });
    frames
}

#[test]
fn a_frame_says_what_it_is() {
    let board = board();
    let mut listener = board.subscribe();
    assert!(listener.add(Topic::Requests, Since::Now));
    board.publish(Topic::Requests, &json!({"items": []}));
    assert_eq!(
        heard(&mut listener),
        [json!({
            "topic": "requests",
            "epoch": 1_773_599_400_000_000_i64,
            "seq": 1,
            "at": "2026-03-15T18:30:00.000Z",
            "data": {"items": []}
        })]
    );
    assert_eq!(heard(&mut listener), [] as [Value; 0]);
}

#[test]
fn a_state_is_told_at_once_newest_only_and_not_twice() {
    let board = board();
    board.publish(Topic::Stats, &1);
    board.publish(Topic::Stats, &2);
    let mut listener = board.subscribe();
    assert!(listener.add(Topic::Stats, Since::Now));
    let first = heard(&mut listener);
    assert_eq!(
        (&first[0]["data"], &first[0]["seq"], first.len()),
        (&json!(2), &json!(2), 1)
    );
    board.publish(Topic::Stats, &2);
    assert!(heard(&mut listener).is_empty());
    for n in 3..9 {
        board.publish(Topic::Stats, &n);
    }
    let newest = heard(&mut listener);
    assert_eq!(
        (&newest[0]["data"], newest.len()),
        (&json!(8), 1),
        "coalesced, not lagged"
    );
}

#[test]
fn since_replays_what_is_kept_and_admits_a_gap() {
    let board = board();
    for n in 0..700 {
        board.publish(Topic::Jobs, &n);
    }
    let numbers = |since| {
        let mut listener = board.subscribe();
        let whole = listener.add(Topic::Jobs, since);
        let heard: Vec<u64> = heard(&mut listener)
            .iter()
            .map(|frame| frame["seq"].as_u64().unwrap())
            .collect();
        (whole, heard)
    };
    assert_eq!(numbers(Since::Now), (true, vec![]));
    assert_eq!(numbers(Since::Seq(697)), (true, vec![698, 699, 700]));
    assert_eq!(numbers(Since::Seq(700)), (true, vec![]));
    assert_eq!(
        numbers(Since::Seq(188)).1.len(),
        512,
        "the oldest that is kept"
    );
    assert_eq!(numbers(Since::Seq(187)), (false, vec![]));
    assert_eq!(numbers(Since::Seq(701)), (false, vec![]), "from the future");
    assert_eq!(numbers(Since::OtherEpoch), (false, vec![]));
    let mut listener = board.subscribe();
    board.publish(Topic::Stats, &1);
    assert!(!listener.add(Topic::Stats, Since::OtherEpoch));
    assert_eq!(heard(&mut listener).len(), 1, "a gap, then the state");
}

#[test]
fn a_slow_listener_costs_nothing_and_is_told_what_it_missed() {
    let board = board();
    let mut slow = board.subscribe();
    slow.add(Topic::Jobs, Since::Now);
    for n in 0..10_000 {
        board.publish(Topic::Jobs, &n);
    }
    let late = heard(&mut slow);
    assert_eq!(late[0]["lagged"], 10_000 - 512);
    assert_eq!((&late[1]["seq"], late.len()), (&json!(10_000 - 511), 513));
}

#[test]
fn a_narrow_line_carries_states_first_and_the_rest_in_portions() {
    let board = board();
    let mut listener = board.subscribe();
    for topic in [Topic::Jobs, Topic::Requests, Topic::Stats] {
        listener.add(topic, Since::Now);
    }
    for n in 0..50 {
        board.publish(Topic::Jobs, &n);
        board.publish(Topic::Requests, &n);
    }
    board.publish(Topic::Stats, &1);
    let mut order = Vec::new();
    let mut rounds = 0;
    loop {
        let all = listener.take(300, |frame| order.push(frame));
        rounds += 1;
        if all {
            break;
        }
    }
    assert!(
        rounds > 10 && order[0].contains("\"stats\""),
        "{rounds} rounds"
    );
    assert_eq!(order.len(), 101);
    assert!(!order.iter().any(|frame| frame.contains("lagged")));
}

#[test]
fn what_nobody_hears_is_not_wanted() {
    let board = board();
    assert!(!board.is_wanted(Topic::Stats));
    let mut one = board.subscribe();
    let mut two = board.subscribe();
    one.add(Topic::Stats, Since::Now);
    one.add(Topic::Stats, Since::Now);
    two.add(Topic::Stats, Since::Now);
    one.remove(Topic::Stats);
    one.remove(Topic::Stats);
    assert!(board.is_wanted(Topic::Stats));
    drop(two);
    assert!(!board.is_wanted(Topic::Stats));
}
