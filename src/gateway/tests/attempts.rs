//! Which failures another account may mend, and what accounts are blamed for.

use steward_actors::domain::snapshot::Protocol;
use steward_actors::spool::SpoolConfig;

use super::fake::{Fake, Step, chunk, json, sse_head};
use super::house::{
    ASK, ASK_STREAM, CHAT, HELLO, account, at, eventually, read_answer, token, with,
};

#[actix_web::test]
async fn a_call_that_was_sent_is_not_made_again_elsewhere() {
    let switch =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    for (script, status, code) in [
        (vec![Step::Stall], 504, "upstream_timeout"),
        (vec![Step::Close], 502, "upstream_broken"),
        (
            vec![Step::Send(switch.to_vec()), Step::Stall],
            502,
            "upstream_broken",
        ),
    ] {
        let refuses = Fake::new(vec![vec![Step::Send(json("429 Too Many", "{}"))]]).await;
        let fails = Fake::new(vec![script]).await;
        let spare = Fake::new(vec![vec![Step::Send(json("200 OK", "{}"))]]).await;
        let untouched = spare.clone();
        let quick = |config: &mut crate::config::Gateway, _: &mut SpoolConfig| {
            // On a busy machine an answer that comes at once takes a while too.
            config.first_byte_timeout_ms = 2_000;
        };
        with(
            vec![
                account(1, Protocol::OpenAi, &refuses),
                account(2, Protocol::OpenAi, &fails),
                account(3, Protocol::OpenAi, &spare),
            ],
            token(),
            &[&refuses, &fails, &spare],
            quick,
            |house| async move {
                let (seen, complete) = read_answer(&mut house.post(CHAT, ASK).await).await;
                assert!(complete && seen.contains(code), "{seen}");
                assert!(untouched.seen.borrow().is_empty());
                let record = house.record().await;
                assert_eq!(
                    (record.status_code, record.error_code.as_str()),
                    (status, code)
                );
                let tried: Vec<_> = record
                    .attempts
                    .iter()
                    .map(|one| (one.account_id, one.status_code))
                    .collect();
                assert_eq!(tried, [(1, 429), (2, 0)]);
                // It got the prompt, and may have worked on it.
                assert_eq!((record.account_id, record.usage_estimated), (2, true));
                assert!(record.prompt_tokens > 0, "{record:?}");
            },
        )
        .await;
    }
}

/// An account that refused at once: its try was short and its place is free, however long the next one takes.
#[actix_web::test]
async fn a_refused_try_ends_with_the_refusal() {
    let refuses = Fake::new(vec![vec![Step::Send(json("429 Too Many", "{}"))]]).await;
    let slow = Fake::new(vec![vec![Step::Wait, Step::Send(json("200 OK", "{}"))]]).await;
    let (first, second) = (refuses.clone(), slow.clone());
    let mut narrow = account(1, Protocol::OpenAi, &refuses);
    narrow.concurrency = Some(1);
    with(
        vec![narrow, account(2, Protocol::OpenAi, &slow)],
        token(),
        &[&refuses, &slow],
        |_, _| {},
        |house| async move {
            let began = std::time::Instant::now();
            let mut call = house.post(CHAT, ASK).await;
            eventually(|| !second.seen.borrow().is_empty()).await;
            let mut other = house.post(CHAT, ASK).await;
            eventually(|| first.seen.borrow().len() == 2).await;
            let refused_within = began.elapsed();
            // A try that ended with the call would now be longer than that, whatever the call took to begin.
            let later = refused_within * 2 + std::time::Duration::from_millis(1);
            eventually(|| began.elapsed() > later).await;
            second.go_on();
            second.go_on();
            assert!(read_answer(&mut call).await.1);
            assert!(read_answer(&mut other).await.1);
            eventually(|| house.spool.ledger().accepted == 2).await;
            let record = house.records().remove(0);
            let [refused, served] = &record.attempts[..] else {
                panic!("{record:?}")
            };
            assert_eq!((refused.status_code, served.status_code), (429, 200));
            let within_ms = i64::try_from(refused_within.as_millis()).unwrap();
            assert!(refused.duration_ms <= within_ms, "{record:?}");
        },
    )
    .await;
}

#[actix_web::test]
async fn a_handshake_that_hangs_is_no_connection_and_another_account_is_tried() {
    // It accepts, reads and never says a word of TLS.
    let mute = Fake::new(vec![vec![Step::Stall]]).await;
    let good = Fake::new(vec![vec![Step::Send(json("200 OK", "{}"))]]).await;
    let mut first = account(1, Protocol::OpenAi, &mute);
    first.base_url = first.base_url.replace("http://", "https://");
    with(
        vec![first, account(2, Protocol::OpenAi, &good)],
        token(),
        &[&mute, &good],
        |config, _| config.connect_timeout_ms = 100,
        |house| async move {
            let (seen, _) = read_answer(&mut house.post(CHAT, ASK).await).await;
            assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
            let record = house.record().await;
            let tried: Vec<_> = record
                .attempts
                .iter()
                .map(|one| (one.account_id, one.error_code.as_str()))
                .collect();
            assert_eq!(tried, [(1, "upstream_unreachable"), (2, "")]);
        },
    )
    .await;
}

#[actix_web::test]
async fn an_account_whose_streams_break_is_given_a_rest() {
    let fake = Fake::new(vec![vec![
        Step::Send(sse_head()),
        Step::Send(chunk(HELLO)),
        Step::Close,
    ]])
    .await;
    with(
        vec![account(1, Protocol::OpenAi, &fake)],
        token(),
        &[&fake],
        |config, _| config.breaker_failures = 2,
        |house| async move {
            for _ in 0..2 {
                let (seen, _) = read_answer(&mut house.post(CHAT, ASK_STREAM).await).await;
                assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
            }
            let (seen, _) = read_answer(&mut house.post(CHAT, ASK_STREAM).await).await;
            assert!(
                seen.starts_with("HTTP/1.1 503") && seen.contains("upstream_unavailable"),
                "{seen}"
            );
        },
    )
    .await;
}

#[actix_web::test]
async fn a_refused_credential_is_told_in_the_providers_words_until_another_account_serves() {
    let words = r#"{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}"#;
    let refuses = Fake::new(vec![
        vec![Step::Send(json("401 Unauthorized", words))],
        vec![Step::Send(json("401 Unauthorized", words))],
        vec![Step::Send(json("401 Unauthorized", words))],
        vec![Step::Send(json("200 OK", "{}"))],
    ])
    .await;
    at(&refuses, |house| async move {
        for call in 1..=3 {
            let (seen, complete) = read_answer(&mut house.post(CHAT, ASK).await).await;
            assert!(complete && seen.starts_with("HTTP/1.1 401"), "{seen}");
            assert!(seen.ends_with(words), "{seen}");
            let (breaker, _) = house.gateway.accounts().view(1);
            assert!(breaker.bad_credential && breaker.opened == 1, "{call}");
        }
        // The provider takes the credential after all: nothing is held against the account any more.
        let (seen, _) = read_answer(&mut house.post(CHAT, ASK).await).await;
        assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
        let (breaker, _) = house.gateway.accounts().view(1);
        assert!(!breaker.bad_credential);
        let rows: Vec<_> = house
            .records()
            .iter()
            .map(|row| (row.status_code, row.attempts.len()))
            .collect();
        assert_eq!(rows, [(401, 1), (401, 1), (401, 1), (200, 1)]);
    })
    .await;
}

#[actix_web::test]
async fn an_account_whose_credential_was_refused_is_left_out_while_another_serves() {
    let refuses = Fake::new(vec![vec![Step::Send(json("401 Unauthorized", "{}"))]]).await;
    let good = Fake::new(vec![vec![Step::Send(json("200 OK", "{}"))]]).await;
    let asked = refuses.clone();
    with(
        vec![
            account(1, Protocol::OpenAi, &refuses),
            account(2, Protocol::OpenAi, &good),
        ],
        token(),
        &[&refuses, &good],
        |_, _| {},
        |house| async move {
            for _ in 0..3 {
                let (seen, _) = read_answer(&mut house.post(CHAT, ASK).await).await;
                assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
            }
            assert_eq!(asked.seen.borrow().len(), 1);
        },
    )
    .await;
}

#[actix_web::test]
async fn what_one_caller_is_forbidden_is_not_held_against_the_account() {
    let fake = Fake::new(vec![
        vec![Step::Send(json("403 Forbidden", "{}"))],
        vec![Step::Send(json("200 OK", "{}"))],
    ])
    .await;
    with(
        vec![account(1, Protocol::OpenAi, &fake)],
        token(),
        &[&fake],
        |config, _| config.breaker_failures = 1,
        |house| async move {
            for status in ["HTTP/1.1 403", "HTTP/1.1 200"] {
                let (seen, _) = read_answer(&mut house.post(CHAT, ASK).await).await;
                assert!(seen.starts_with(status), "{seen}");
            }
            let (breaker, _) = house.gateway.accounts().view(1);
            assert!(!breaker.bad_credential && breaker.opened == 0);
        },
    )
    .await;
}
