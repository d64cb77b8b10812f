//! The pretended providers: one actor that serves every account's site on one loopback port.
//!
//! `/<site>/v1/…` speaks the site's protocol. What is answered is decided in [`answer`] and shaped in [`openai`]
//! and [`anthropic`], all pure; here are the port and the pace. Connections live inside the actor and end with it;
//! the port is bound before the tree starts, so that a restarted provider is found where it was.

pub mod answer;
pub mod anthropic;
pub mod openai;

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use actix_http::body::{BodyStream, BoxBody, MessageBody};
use actix_http::{HttpService, Method, Request, Response, StatusCode};
use actix_web::dev::{Service, ServiceFactory, fn_service};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, FuturesUnordered};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::Value;
use steward_actors::domain::clock::SharedClock;
use steward_actors::domain::record::Operation;
use steward_actors::supervision::{ActorRef, ChildSpec, Incarnation};

use super::chance::Chance;
use super::weather;
use super::world::{SITES, Site};
use answer::{Answer, Asked};

/// Tokens of one event: fewer events than real providers send, the same pace.
const PIECES_A_FRAME: usize = 4;
/// More connections than the demonstration's own clients can cause.
const CONNECTIONS_MAX: usize = 2_000;
/// Longest request body taken.
const BODY_MAX: usize = 4 << 20;

/// A part of a streamed answer.
#[derive(Debug)]
pub struct Frame {
    /// Since the part before.
    pub after_ms: u64,
    pub bytes: String,
}

fn plain(data: &str) -> String {
    format!("data: {data}\n\n")
}

fn named(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn paced(answer: &Answer, pieces: usize) -> u64 {
    (answer.token_ms * pieces as f64) as u64
}

/// What the provider is made of. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    /// Bound to loopback.
    pub listener: Arc<TcpListener>,
    pub clock: SharedClock,
    pub seed: u64,
}

/// The actor.
pub struct Provider {
    parts: Parts,
    me: Incarnation<Self>,
}

/// The child spec of `root/demo/demo_provider`.
pub fn spec(actor: &ActorRef<Provider>, parts: Parts) -> ChildSpec {
    ChildSpec::new("demo_provider", actor, move |me| Provider {
        parts: parts.clone(),
        me,
    })
    .shutdown_within(Duration::from_millis(500))
}

impl Actor for Provider {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let serving = serve(self.parts.clone()).into_actor(self);
        ctx.spawn(serving.map(|ended, this, _| {
            let Err(cause) = ended;
            this.me
                .fail(format!("the pretended provider cannot listen: {cause}"));
        }));
    }
}

async fn serve(parts: Parts) -> io::Result<Infallible> {
    let listener = parts.listener.try_clone()?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let site = Rc::new(Desk {
        clock: parts.clock,
        seed: parts.seed,
        calls: AtomicU64::new(0),
    });
    let service = HttpService::build()
        .client_request_timeout(Duration::from_secs(20))
        .h1(fn_service(move |request: Request| {
            let site = Rc::clone(&site);
            async move { Ok::<_, Infallible>(site.answer(request).await) }
        }))
        .tcp()
        .new_service(())
        .await
        .map_err(|()| io::Error::other("no HTTP service"))?;
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    let _ = stream.set_nodelay(true);
                    connections.push(service.call(stream));
                }
                // Too many open files, or a peer that left at once: neither lasts.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.next() => {}
        }
    }
}

/// Answers requests.
struct Desk {
    clock: SharedClock,
    seed: u64,
    calls: AtomicU64,
}

impl Desk {
    async fn answer(&self, mut request: Request) -> Response<BoxBody> {
        let path = request.path().to_owned();
        let Some((index, site, rest)) = site_of(&path) else {
            return json(StatusCode::NOT_FOUND, &Value::Null);
        };
        if *request.method() == Method::GET && rest == "/models" {
            let body = match site.protocol {
                "anthropic" => anthropic::models(site.models),
                _ => openai::models(site.models, site.provider),
            };
            return json(StatusCode::OK, &body);
        }
        let operation = match (rest, site.protocol) {
            ("/chat/completions", "openai") => Operation::Chat,
            ("/responses", "openai") => Operation::Responses,
            ("/embeddings", "openai") => Operation::Embedding,
            ("/messages", "anthropic") => Operation::Messages,
            ("/messages/count_tokens", "anthropic") => Operation::CountTokens,
            _ => return json(StatusCode::NOT_FOUND, &Value::Null),
        };
        let mut body = BytesMut::new();
        let mut payload = request.take_payload();
        while let Ok(Some(part)) = payload.try_next().await {
            if body.len() + part.len() > BODY_MAX {
                return json(StatusCode::PAYLOAD_TOO_LARGE, &Value::Null);
            }
            body.extend_from_slice(&part);
        }
        let Some(asked) = answer::read(operation, &body) else {
            return json(StatusCode::BAD_REQUEST, &Value::Null);
        };
        let now_ms = self.clock.now_ms();
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut chance = Chance::of(self.seed, &[call, now_ms.cast_unsigned()]);
        let weather = weather::at(self.seed, index, now_ms);
        match answer::plan(&asked, site.models, &weather, now_ms, &mut chance) {
            Ok(answer) => served(site, &asked, &answer).await,
            Err(refused) => {
                tokio::time::sleep(Duration::from_millis(refused.after_ms)).await;
                let body = match site.protocol {
                    "anthropic" => anthropic::refusal(&refused),
                    _ => openai::refusal(&refused),
                };
                let status = StatusCode::from_u16(refused.status)
                    .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let mut response = Response::build(status);
                response.insert_header(("content-type", "application/json"));
                if let Some(wait_s) = refused.retry_after_s {
                    response.insert_header(("retry-after", wait_s.to_string()));
                }
                response.body(body.to_string()).map_into_boxed_body()
            }
        }
    }
}

async fn served(site: &Site, asked: &Asked, answer: &Answer) -> Response<BoxBody> {
    let request_id = ("x-request-id", format!("req_demo_{}", answer.id));
    if !asked.stream {
        let spoken_ms = answer.token_ms * answer.pieces.len() as f64;
        tokio::time::sleep(Duration::from_millis(answer.first_ms + spoken_ms as u64)).await;
        let body = match site.protocol {
            "anthropic" => anthropic::whole(asked, answer),
            _ => openai::whole(asked, answer),
        };
        return Response::build(StatusCode::OK)
            .insert_header(("content-type", "application/json"))
            .insert_header(request_id)
            .body(body.to_string())
            .map_into_boxed_body();
    }
    let frames = match site.protocol {
        "anthropic" => anthropic::stream(answer),
        _ => openai::stream(asked, answer),
    };
    let paced = stream::iter(frames).then(|frame| async move {
        tokio::time::sleep(Duration::from_millis(frame.after_ms)).await;
        Ok::<_, Infallible>(Bytes::from(frame.bytes))
    });
    Response::build(StatusCode::OK)
        .insert_header(("content-type", "text/event-stream; charset=utf-8"))
        .insert_header(("cache-control", "no-cache"))
        .insert_header(request_id)
        .body(BodyStream::new(Box::pin(paced)).boxed())
        .map_into_boxed_body()
}

/// The site a path belongs to, and the rest of the path behind `/v1`.
fn site_of(path: &str) -> Option<(usize, &'static Site, &str)> {
    let (name, rest) = path.strip_prefix('/')?.split_once('/')?;
    let index = SITES.iter().position(|site| site.path == name)?;
    let rest = rest.strip_prefix("v1")?;
    Some((index, &SITES[index], rest))
}

fn json(status: StatusCode, body: &Value) -> Response<BoxBody> {
    Response::build(status)
        .insert_header(("content-type", "application/json"))
        .body(body.to_string())
        .map_into_boxed_body()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::demo::weather::Weather;
    use crate::gateway::meter::{Meter, Reading};
    use crate::gateway::sse::{Splitter, Verdict};

    const FAIR: Weather = Weather {
        failing: 0.0,
        slower: 1.0,
        throttled: false,
    };
    const NOW_MS: i64 = 1_773_599_400_000;

    fn planned(operation: Operation, body: &Value) -> (Asked, Answer) {
        let asked = answer::read(operation, body.to_string().as_bytes()).unwrap();
        let all: Vec<&str> = SITES.iter().flat_map(|site| site.models).copied().collect();
        let planned = (0..50).find_map(|seed| {
            let mut chance = Chance::of(seed, &[]);
            answer::plan(&asked, &all, &FAIR, NOW_MS, &mut chance).ok()
        });
        (asked, planned.unwrap())
    }

    fn metered_stream(operation: Operation, frames: Vec<Frame>) -> Reading {
        let mut meter = Meter::new(operation);
        let mut splitter = Splitter::new();
        let mut out = Vec::new();
        let mut judge = |event: &crate::gateway::sse::Event<'_>| {
            meter.event(event);
            Verdict::Pass
        };
        for frame in frames {
            splitter.push(Bytes::from(frame.bytes), &mut out, &mut judge);
        }
        splitter.finish(&mut out, &mut judge);
        meter.reading()
    }

    fn metered_body(operation: Operation, body: &Value) -> Reading {
        let mut meter = Meter::new(operation);
        meter.body(body.to_string().as_bytes());
        meter.reading()
    }

    fn told(reading: &Reading, answer: &Answer) {
        let usage = reading.usage.unwrap();
        assert!(reading.complete, "{reading:?}");
        assert!(reading.usage_final, "{reading:?}");
        assert_eq!(reading.model.as_deref(), Some(&*answer.answers_as));
        assert_eq!(usage.prompt as i64, answer.prompt_tokens);
        assert_eq!(usage.completion as i64, answer.completion_tokens);
        assert_eq!(usage.cached as i64, answer.cached_tokens);
        assert!(answer.prompt_tokens > 0);
    }

    #[test]
    fn the_gateway_reads_usage_model_and_end_of_every_answer() {
        let tools = json!([{"type": "function", "function": {"name": "find_order", "description": "Finds an order"}}]);
        for with_tools in [false, true] {
            let mut chat = json!({"model": "gpt-5.1", "stream_options": {"include_usage": true},
                "messages": [{"role": "user", "content": "Where is order #20418?"}]});
            if with_tools {
                chat["tools"] = tools.clone();
            }
            let (asked, answer) = planned(Operation::Chat, &chat);
            assert_eq!(answer.tool.is_some(), with_tools);
            told(
                &metered_body(Operation::Chat, &openai::whole(&asked, &answer)),
                &answer,
            );
            told(
                &metered_stream(Operation::Chat, openai::stream(&asked, &answer)),
                &answer,
            );
        }
        let responses =
            json!({"model": "gpt-4o", "input": "Let us practise small talk at the airport."});
        let (asked, answer) = planned(Operation::Responses, &responses);
        let operation = Operation::Responses;
        told(
            &metered_body(operation, &openai::whole(&asked, &answer)),
            &answer,
        );
        told(
            &metered_stream(operation, openai::stream(&asked, &answer)),
            &answer,
        );

        let mut messages = json!({"model": "claude-sonnet-4-5", "max_tokens": 90,
            "system": "你是客服", "messages": [{"role": "user", "content": [{"type": "text", "text": "你好，落地灯什么时候发货？"}]}]});
        for with_tools in [false, true] {
            if with_tools {
                messages["tools"] =
                    json!([{"name": "find_order", "input_schema": {"type": "object"}}]);
            }
            let (asked, answer) = planned(Operation::Messages, &messages);
            assert_eq!(answer.tool.is_some(), with_tools);
            assert!(answer.completion_tokens <= 90);
            let operation = Operation::Messages;
            told(
                &metered_body(operation, &anthropic::whole(&asked, &answer)),
                &answer,
            );
            told(
                &metered_stream(operation, anthropic::stream(&answer)),
                &answer,
            );
        }
        let embedding =
            json!({"model": "text-embedding-3-small", "input": ["one text", "another text"]});
        let (asked, answer) = planned(Operation::Embedding, &embedding);
        let body = openai::whole(&asked, &answer);
        assert_eq!(body["data"].as_array().unwrap().len(), 2);
        let usage = metered_body(Operation::Embedding, &body).usage.unwrap();
        assert_eq!(usage.prompt as i64, answer.prompt_tokens);
        let (asked, answer) = planned(Operation::CountTokens, &messages);
        assert_eq!(
            anthropic::whole(&asked, &answer)["input_tokens"],
            answer.prompt_tokens
        );
    }

    #[test]
    fn bad_weather_is_told_in_the_providers_words() {
        let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]});
        let asked = answer::read(Operation::Chat, body.to_string().as_bytes()).unwrap();
        let plan = |weather: &Weather, serves: &[&str], seed| {
            answer::plan(&asked, serves, weather, NOW_MS, &mut Chance::of(seed, &[]))
        };
        let throttled = Weather {
            failing: 1.0,
            slower: 1.0,
            throttled: true,
        };
        let refused = plan(&throttled, &["gpt-4o"], 1).unwrap_err();
        assert_eq!((refused.status, refused.code), (429, "rate_limit_exceeded"));
        assert!(refused.retry_after_s.is_some());
        assert_eq!(
            openai::refusal(&refused)["error"]["code"],
            "rate_limit_exceeded"
        );
        assert_eq!(
            anthropic::refusal(&refused)["error"]["type"],
            "rate_limit_error"
        );
        let storm = Weather {
            throttled: false,
            ..throttled
        };
        let seen: std::collections::BTreeSet<u16> = (0..200)
            .map(|seed| plan(&storm, &["gpt-4o"], seed).unwrap_err().status)
            .collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [429, 500, 503]);
        assert_eq!(plan(&FAIR, &["gpt-5.1"], 1).unwrap_err().status, 404);
        let fair: std::collections::BTreeSet<u16> = (0..2_000)
            .map(|seed| {
                plan(&FAIR, &["gpt-4o"], seed).map_or_else(|refused| refused.status, |_| 200)
            })
            .collect();
        assert_eq!(fair.into_iter().collect::<Vec<_>>(), [200, 400]);
        let long = "x".repeat(90_000);
        let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": long}]});
        let asked = answer::read(Operation::Chat, body.to_string().as_bytes()).unwrap();
        let refused = answer::plan(&asked, &["gpt-4o"], &FAIR, NOW_MS, &mut Chance::of(1, &[]));
        assert_eq!(refused.unwrap_err().code, "context_length_exceeded");
        assert!(answer::read(Operation::Chat, b"[]").is_none());
    }

    #[test]
    fn paths_lead_to_sites() {
        let (index, site, rest) = site_of("/dashscope/v1/chat/completions").unwrap();
        assert_eq!(
            (index, site.path, rest),
            (4, "dashscope", "/chat/completions")
        );
        assert!(site_of("/nobody/v1/models").is_none());
        assert!(site_of("/openai").is_none());
    }
}
