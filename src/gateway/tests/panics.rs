//! What fails inside Steward is on the books as just that.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use bytes::Bytes;
use tokio::sync::Semaphore;

use super::super::estimate;
use super::fake::{Fake, Step, chunk, json, sse_head};
use super::house::{CHAT, HELLO, at, eventually, read_answer, read_until};

const ASK: &str = r#"{"model":"gpt-4o","stream":true,"messages":[]}"#;
/// Asks [`trap`] to panic: `handler` or `body`.
const WHERE: &str = "x-test-panic";

static HANDLER_PANICS: Semaphore = Semaphore::const_new(0);

/// A model whose call panics in the handler.
pub(in crate::gateway) const PANICS: &str = "a-model-that-panics-the-handler";

/// Stands around every call of a test and panics, when asked to, on the call's own stack.
pub(super) async fn trap<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let place = request.headers().get(WHERE).cloned();
    let mut call = next.call(request);
    match place.as_ref().map(|place| place.as_bytes()) {
        None => Ok(call.await?.map_into_boxed_body()),
        Some(b"handler") => tokio::select! {
            answer = &mut call => Ok(answer?.map_into_boxed_body()),
            _ = HANDLER_PANICS.acquire() => panic!("asked for by a test"),
        },
        Some(_) => Ok(call.await?.map_body(|_, body| {
            BoxBody::new(Trapped {
                body: BoxBody::new(body),
                armed: false,
            })
        })),
    }
}

/// Passes one piece.
struct Trapped {
    body: BoxBody,
    armed: bool,
}

impl MessageBody for Trapped {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        assert!(!self.armed, "asked for by a test");
        let next = Pin::new(&mut self.body).poll_next(cx);
        self.armed = next.is_ready();
        next
    }
}

#[actix_web::test]
async fn a_panic_is_not_the_clients_leaving() {
    for (place, script) in [
        ("handler", vec![Step::Stall]),
        (
            "body",
            vec![
                Step::Send(sse_head()),
                Step::Send(chunk(HELLO)),
                Step::Stall,
            ],
        ),
    ] {
        let fake = Fake::new(vec![script]).await;
        let upstream = fake.clone();
        at(&fake, |house| async move {
            let headers = format!(
                "authorization: Bearer {}\r\n{WHERE}: {place}\r\n",
                house.secret
            );
            let mut socket = house.send("POST", CHAT, &headers, ASK).await;
            eventually(|| upstream.seen.borrow().len() == 1).await;
            if place == "handler" {
                HANDLER_PANICS.add_permits(1);
            }
            let whole = read_until(&mut socket, &mut String::new(), "\r\n0\r\n\r\n").await;
            assert!(!whole);
            let record = house.record().await;
            assert_eq!(
                (record.status_code, record.error_code.as_str()),
                (500, "internal_error")
            );
            assert_eq!(record.account_id, 1);
            eventually(|| upstream.hung_up.get() == 1).await;
        })
        .await;
    }
}

#[actix_web::test]
async fn an_estimate_that_fails_does_not_fail_the_call() {
    let fake = Fake::new(vec![vec![Step::Send(json("200 OK", r#"{"id":"c"}"#))]]).await;
    at(&fake, |house| async move {
        let ask = format!(
            r#"{{"model":"{}","messages":[{{"role":"user","content":"Hello"}}]}}"#,
            estimate::PANICS
        );
        let (seen, complete) = read_answer(&mut house.post(CHAT, &ask).await).await;
        assert!(complete && seen.starts_with("HTTP/1.1 200"), "{seen}");
        let record = house.record().await;
        assert_eq!((record.status_code, record.success), (200, true));
        assert!(record.usage_estimated && record.prompt_tokens > 0);
    })
    .await;
}

#[actix_web::test]
async fn a_panic_is_answered_under_the_records_id_in_the_callers_dialect() {
    let fake = Fake::new(vec![]).await;
    at(&fake, |house| async move {
        let ask = format!(r#"{{"model":"{PANICS}","messages":[]}}"#);
        let (seen, complete) = read_answer(&mut house.post(CHAT, &ask).await).await;
        assert!(complete && seen.starts_with("HTTP/1.1 500"), "{seen}");
        assert!(
            seen.contains(r#""type":"server_error""#) && !seen.contains("problem+json"),
            "{seen}"
        );
        let record = house.record().await;
        assert_eq!(record.error_code, "internal_error");
        assert!(
            seen.contains(&format!("x-request-id: {}", record.id())),
            "{seen}"
        );
    })
    .await;
}
