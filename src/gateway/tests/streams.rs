//! What a stream's client gets, and when: every piece at once, nothing of a credential, no end too early.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use memchr::memmem;
use steward_actors::domain::record::Operation;
use steward_actors::domain::snapshot::{AccountView, Protocol};

use super::super::tap::{Heard, Tap};
use super::fake::{Fake, Step, chunk, end, sse_head};
use super::house::{CHAT, DONE, account, at, read_answer, read_until, token, with};

const ASK: &str = r#"{"model":"gpt-4o","stream":true,"messages":[]}"#;
const SECRET: &str = "sk-upstream-secret";

fn said(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
}

fn tap(operation: Operation, coding: &str, account: &Arc<AccountView>) -> Tap {
    let (head, ()) = http::Response::builder()
        .header("content-type", "text/event-stream")
        .header("content-encoding", coding)
        .body(())
        .unwrap()
        .into_parts();
    Tap::new(&head, operation, false, Instant::now(), Some(account))
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

#[actix_web::test]
async fn what_came_is_seen_while_the_upstream_says_no_more() {
    let mut first = chunk(&said("third"));
    let last = first.split_off(30);
    let fake = Fake::new(vec![vec![
        Step::Send(sse_head()),
        Step::Wait,
        Step::Send(chunk(&said("first"))),
        Step::Wait,
        // Two in one piece, and a half of the next.
        Step::Send(chunk(&format!("{}: ping\n\n", said("second")))),
        Step::Send(first),
        Step::Wait,
        Step::Send(last),
        Step::Wait,
        Step::Send(chunk(DONE)),
        Step::Send(end()),
    ]])
    .await;
    let upstream = fake.clone();
    at(&fake, |house| async move {
        let mut socket = house.post(CHAT, ASK).await;
        let mut seen = String::new();
        // The head comes before the first event.
        assert!(read_until(&mut socket, &mut seen, "\r\n\r\n").await);
        for wanted in [
            said("first"),
            ": ping\n\n".into(),
            said("third"),
            DONE.into(),
        ] {
            upstream.go_on();
            assert!(read_until(&mut socket, &mut seen, &wanted).await, "{seen}");
        }
    })
    .await;
}

#[actix_web::test]
async fn a_credential_echoed_in_an_error_event_is_starred_out() {
    let error = format!("data: {{\"error\":{{\"message\":\"wrong key {SECRET}\"}}}}\n\n");
    // Two segments, cut inside the credential.
    let (first, last) = error.split_at(error.len() - 14);
    let fake = Fake::new(vec![vec![
        Step::Send(sse_head()),
        Step::Send(chunk(&format!("{}{first}", said(SECRET)))),
        Step::Wait,
        Step::Send(chunk(last)),
        Step::Send(chunk(DONE)),
        Step::Send(end()),
    ]])
    .await;
    let upstream = fake.clone();
    at(&fake, |house| async move {
        let mut socket = house.post(CHAT, ASK).await;
        let mut seen = String::new();
        assert!(read_until(&mut socket, &mut seen, &said(SECRET)).await);
        upstream.go_on();
        assert!(read_until(&mut socket, &mut seen, DONE).await, "{seen}");
        let stars = "*".repeat(SECRET.len());
        assert!(seen.contains(&error.replace(SECRET, &stars)), "{seen}");
        let record = house.record().await;
        assert_eq!(record.error_code, "upstream_error");
        assert!(!record.error_message.contains(SECRET));
    })
    .await;
}

#[actix_web::test]
async fn an_error_that_ends_a_stream_loses_the_credential_too_and_a_packed_one_is_kept_back() {
    let account = Arc::new(account(1, Protocol::OpenAi, &*Fake::new(vec![]).await));
    let failed = format!(
        "event: response.failed\ndata: {{\"response\":{{\"error\":{{\"code\":\"x\",\"message\":\"key {SECRET}\"}}}}}}\n\n"
    );
    for size in 1..failed.len() {
        let mut tap = tap(Operation::Responses, "identity", &account);
        let mut out = Vec::new();
        for part in failed.as_bytes().chunks(size) {
            tap.push(Bytes::copy_from_slice(part), &mut out);
        }
        assert!(out.is_empty());
        tap.release(&mut out);
        let stars = "*".repeat(SECRET.len());
        assert_eq!(out.concat(), failed.replace(SECRET, &stars).into_bytes());
    }
    let mut tap = tap(Operation::Responses, "gzip", &account);
    let mut out = Vec::new();
    assert_eq!(tap.push(gzip(&failed).into(), &mut out), Heard::Leak);
    assert!(out.is_empty());
}

#[actix_web::test]
async fn of_a_stream_that_cannot_be_unpacked_the_last_frame_waits() {
    let account = Arc::new(account(1, Protocol::OpenAi, &*Fake::new(vec![]).await));
    let mut tap = tap(Operation::Messages, "gzip", &account);
    let mut out = Vec::new();
    tap.push(gzip(&said("fine")).into(), &mut out);
    assert_eq!(out.len(), 1);
    for n in 0..3 {
        tap.push(Bytes::from_static(b"damaged by some proxy "), &mut out);
        assert_eq!(out.len(), 1 + n, "the last is held, the one before goes");
    }
    tap.end(&mut out);
    assert!(!tap.is_cut_short(false));
    assert_eq!(out.len(), 3);
    tap.release(&mut out);
    assert_eq!(out.len(), 4);
    // On the books: what still comes is no end of anything.
    tap.push(Bytes::from_static(b"trailer"), &mut out);
    assert_eq!(out.len(), 5);
    assert!(
        memmem::find(
            &out.concat(),
            b"proxy damaged by some proxy damaged by some proxy trailer"
        )
        .is_some()
    );
}

#[actix_web::test]
async fn a_stream_that_cannot_be_unpacked_is_not_taken_for_cut() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n";
    let fake = Fake::new(vec![vec![
        Step::Send(head.to_vec()),
        Step::Send(chunk("not gzip at all")),
        Step::Send(chunk("the end")),
        Step::Send(end()),
    ]])
    .await;
    with(
        vec![account(1, Protocol::Anthropic, &fake)],
        token(),
        &[&fake],
        |_, _| {},
        |house| async move {
            let (seen, complete) = read_answer(&mut house.post("/v1/messages", ASK).await).await;
            assert!(complete && seen.contains("the end"), "{seen}");
            let record = house.record().await;
            assert_eq!((record.status_code, record.success), (200, true));
        },
    )
    .await;
}
