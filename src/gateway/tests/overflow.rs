//! Calls are served although the spool is full, where `ledger.overflow` says so, and the loss ledger tells what that cost.

use prost::Message;
use steward_actors::domain::record::{RECORD_KIND, Record};
use steward_actors::domain::snapshot::Protocol;
use steward_actors::spool::{DropReason, Overflow};

use super::fake::{Fake, Step, json};
use super::house::{ASK, CHAT, account, read_answer, token, with};

#[actix_web::test]
async fn drop_oldest_serves_and_keeps_the_newest() {
    let fake = Fake::new(vec![vec![Step::Send(json("200 OK", "{}"))]]).await;
    let bound = 128 << 10;
    with(
        vec![account(1, Protocol::OpenAi, &fake)],
        token(),
        &[&fake],
        |_, spool| {
            spool.overflow = Overflow::DropOldest;
            spool.segment_bytes = bound / 2;
            spool.max_bytes = Some(bound);
        },
        |house| async move {
            let other = Record {
                error_message: "x".repeat(4 << 10),
                ..Record::default()
            };
            while house.spool.stats().used_bytes + (8 << 10) < bound {
                let bytes = other.encode_to_vec();
                house.spool.append(RECORD_KIND, &bytes).unwrap();
            }
            assert_eq!(house.spool.ledger().dropped, 0);
            // Calls fill the rest, and go on being served when it is full.
            let mut calls = 0;
            while house.spool.ledger().dropped == 0 {
                assert!(calls < 200, "{:?}", house.spool.stats());
                let (seen, complete) = read_answer(&mut house.post(CHAT, ASK).await).await;
                assert!(complete && seen.starts_with("HTTP/1.1 200"), "{seen}");
                calls += 1;
            }
            let ledger = house.spool.ledger();
            assert!(ledger.balances(), "{ledger:?}");
            assert_eq!(ledger.accepted, ledger.spooled + ledger.dropped);
            let dropped = house.spool.stats().dropped_since_start;
            assert_eq!(dropped[DropReason::Overflow as usize], ledger.dropped);
            let records = house.records();
            assert_eq!(records.len() as u64, ledger.spooled);
            let kept = records.iter().filter(|record| record.model == "gpt-4o");
            assert_eq!(kept.count(), calls, "it is the oldest that went");
            assert_eq!(house.gateway.counters().read().refused_unrecorded, 0);
        },
    )
    .await;
}

#[actix_web::test]
async fn serve_unrecorded_serves_and_counts() {
    let answer = r#"{"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#;
    let fake = Fake::new(vec![vec![Step::Send(json("200 OK", answer))]]).await;
    with(
        vec![account(1, Protocol::OpenAi, &fake)],
        token(),
        &[&fake],
        |_, spool| {
            spool.overflow = Overflow::ServeUnrecorded;
            spool.min_free_bytes = u64::MAX;
        },
        |house| async move {
            for calls in 1..=3 {
                let (seen, complete) = read_answer(&mut house.post(CHAT, ASK).await).await;
                assert!(complete && seen.ends_with(answer), "{seen}");
                let ledger = house.spool.ledger();
                assert!(ledger.balances(), "{ledger:?}");
                assert_eq!(
                    (ledger.accepted, ledger.dropped, ledger.spooled),
                    (calls, calls, 0)
                );
                let dropped = house.spool.stats().dropped_since_start;
                assert_eq!(dropped[DropReason::Unrecorded as usize], calls);
                // It was made all the same: limits know of it.
                assert_eq!(house.gateway.limits().used(1), 11 * calls);
            }
            assert!(house.records().is_empty());
            assert_eq!(house.gateway.counters().read().refused_unrecorded, 0);
        },
    )
    .await;
}
