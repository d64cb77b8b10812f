//! A large request takes its turns: others on the same worker are served between them.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::test::TestRequest;
use actix_web::{FromRequest, web};
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::super::admit;
use super::house::{token, with};

const CHUNK_BYTES: usize = 32 * 1024;

/// Bodies whose reading is work, of about 4 MB.
fn dense_bodies() -> [(&'static str, String); 4] {
    let fill = |unit: &str| unit.repeat(4_000_000 / unit.len());
    let text = |unit: &str| {
        let text = fill(unit);
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}"#)
    };
    [
        (
            "numbers",
            format!(r#"{{"model":"m","input":[{}1]}}"#, fill("1,")),
        ),
        (
            "objects",
            format!(r#"{{"model":"m","messages":[{}1]}}"#, fill(r#"{"a":""},"#)),
        ),
        ("escapes", text(r"\n\u00e9")),
        ("chinese", text("界")),
    ]
}

#[actix_web::test]
async fn no_turn_of_a_huge_dense_request_reads_more_than_a_little() {
    with(
        Vec::new(),
        token(),
        &[],
        |_, _| (),
        |house| async move {
            for (what, body) in dense_bodies() {
                let body = Bytes::from(body);
                let pulled = Rc::new(Cell::new(0));
                // All of it is here already: nothing but the reading itself makes anybody wait.
                let chunks: Vec<Bytes> = (0..body.len())
                    .step_by(CHUNK_BYTES)
                    .map(|from| body.slice(from..(from + CHUNK_BYTES).min(body.len())))
                    .collect();
                let count = Rc::clone(&pulled);
                let arriving = stream::iter(chunks).map(move |chunk| {
                    count.set(count.get() + chunk.len());
                    Ok::<_, PayloadError>(chunk)
                });
                let request = TestRequest::post().to_http_request();
                let payload = web::Payload::from_request(
                    &request,
                    &mut Payload::Stream {
                        payload: Box::pin(arriving),
                    },
                )
                .await
                .unwrap();

                let mut reading = pin!(admit::body(&house.gateway, request.headers(), payload));
                let mut most = 0;
                let received = loop {
                    let before = pulled.get();
                    let turn = reading
                        .as_mut()
                        .poll(&mut Context::from_waker(Waker::noop()));
                    most = most.max(pulled.get() - before);
                    if let Poll::Ready(received) = turn {
                        break received.ok().unwrap();
                    }
                };
                assert!(most <= 256 * 1024, "{what}: {most} bytes in one turn");
                // Nothing was put off to the end.
                assert_eq!(received.unread, 0, "{what}");
                assert_eq!(received.bytes, body, "{what}");
                assert_eq!(received.head.model.as_deref(), Some("m"), "{what}");
            }
        },
    )
    .await;
}
