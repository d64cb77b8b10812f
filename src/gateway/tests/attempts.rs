//! Which failures another account may mend, and what accounts are blamed for.

use steward_actors::domain::snapshot::Protocol;
use steward_actors::spool::SpoolConfig;

use super::fake::{Fake, Step, chunk, json, sse_head};
use super::house::{account, read_answer, token, with};

const CHAT: &str = "/v1/chat/completions";
const ASK: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hello"}]}"#;
const ASK_STREAM: &str =
    r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Hello"}]}"#;
const HELLO: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";

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
            config.first_byte_timeout_ms = 100;
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
            },
        )
        .await;
    }
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
