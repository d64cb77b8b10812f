//! A run of the test bench, as a job: so many tokens, so many at a time, each signed, verified and called with.
//!
//! Results are written down as they come, so that whoever looks sees them; a run that is started again after a crash
//! begins anew. A call goes to the address this process listens on.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use actix_web::web;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{BoxFuture, OptionFuture};
use futures_util::{FutureExt, StreamExt, stream};
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sea_orm::DbErr;
use serde_json::{Value, json};
use steward_actors::domain::issuer::StoredKey;
use steward_actors::jobs::{JobContext, JobKind};
use steward_actors::vault::{self, JWT_TEST_TOKEN};
use steward_entities::database::begin_write;
use steward_entities::jwt_test_result::NewResult;
use steward_entities::{jwt_issuer, jwt_test, jwt_test_result};
use tokio::sync::SetOnce;

use super::{JwtTestCall, summary_of};
use crate::gateway::{redact, user_token};
use crate::issuing;
use crate::state::AppState;

/// Its name in the table of jobs.
pub(super) const KIND: &str = "jwt_tests.run";
/// Who the tokens are for: one user, so that a thousand tokens are not a thousand active users.
const USER: &str = "steward-jwt-test";
const TTL_S: i64 = 600;
/// A call that takes longer has failed.
const CALL_WITHIN: Duration = Duration::from_secs(60);
const ANSWER_MAX_BYTES: usize = 1 << 20;
const MESSAGE_MAX_CHARS: usize = 300;
/// Results wait at most so long, and at most so many of them, before they are written down.
const WRITE_EVERY: Duration = Duration::from_millis(300);
const WRITE_AT: usize = 100;

/// The kind of job. Where it works is known only when everything else is up.
#[derive(Clone, Default)]
pub(crate) struct Bench(Arc<SetOnce<Place>>);

struct Place {
    state: Weak<AppState>,
    /// Where this process listens.
    address: SocketAddr,
}

impl Bench {
    /// From now on runs can be made.
    pub(crate) fn open(&self, state: &web::Data<AppState>, address: SocketAddr) {
        let state = Arc::downgrade(&state.clone().into_inner());
        // A second time says nothing new.
        let _ = self.0.set(Place { state, address });
    }
}

#[async_trait]
impl JobKind for Bench {
    fn kind(&self) -> &str {
        KIND
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        let place = self.0.wait().await;
        let state = place.state.upgrade().ok_or("the process is stopping")?;
        let test_id = context.params.get("test_id").and_then(Value::as_str);
        let test_id = test_id.unwrap_or_default().to_owned();
        let read = state.databases.control_read.clone();
        let found = async move { jwt_test::by_public_id(&read, &test_id).await };
        let test = at_home(&state, found).await?;
        let test = test.ok_or("the run was removed")?;
        let watch = Watch {
            progress: &|per_cent| context.progress(per_cent),
            is_cancelled: &|| context.is_cancelled(),
        };
        perform(&state, place.address, test, watch).await
    }
}

/// How a run tells how far it is, and learns that it is to stop.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    pub(super) progress: &'a (dyn Fn(u8) + Sync),
    pub(super) is_cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// Work on the tables; a failure of theirs ends the run.
async fn at_home<T: Send + 'static>(
    state: &AppState,
    work: impl Future<Output = Result<T, DbErr>> + Send + 'static,
) -> Result<T, String> {
    state.databases.at_home(work).await.map_err(|error| {
        tracing::warn!(%error, "a JWT test could not be written down");
        "the database could not be read or written".to_owned()
    })
}

/// Where tokens come from.
enum Source {
    /// Signed anew each time.
    Signed(Box<jwt_issuer::Model>, Vec<StoredKey>),
    /// The same each time.
    Given(String),
}

/// What every attempt of a run shares.
struct Parts<'a> {
    state: &'a AppState,
    test: &'a jwt_test::Model,
    source: Source,
    client: Client<HttpConnector, Full<Bytes>>,
    /// `http://127.0.0.1:8080`
    base: String,
}

/// Makes a run, from its first token to its summary.
///
/// # Errors
/// A sentence for the operator: it was cancelled, or could not be made at all. That tokens fail is a result.
pub(super) async fn perform(
    state: &AppState,
    address: SocketAddr,
    test: jwt_test::Model,
    watch: Watch<'_>,
) -> Result<Value, String> {
    let parts = Parts {
        source: source(state, &test).await?,
        state,
        test: &test,
        client: Client::builder(TokioExecutor::new()).build_http(),
        base: format!("http://{}", near(address)),
    };
    let (id, begun_at) = (test.id, state.clock.now_micros());
    let control = state.databases.control.clone();
    let begin = async move {
        let txn = begin_write(&control).await?;
        jwt_test::begin(&txn, id, begun_at).await?;
        txn.commit().await
    };
    at_home(state, begin).await?;

    let begun = Instant::now();
    let at_once = usize::try_from(test.concurrency).unwrap_or(1).max(1);
    let attempts = stream::iter(1..=test.count).map(|number| attempt(&parts, number));
    let mut attempts = std::pin::pin!(attempts.buffer_unordered(at_once));
    let mut waiting = Vec::new();
    let mut done = 0;
    // Results are written beside the attempts: a call is not kept waiting, or its time would be wrong.
    let mut writing: OptionFuture<BoxFuture<'_, Result<(), String>>> = None.into();
    let mut is_writing = false;
    let mut written = Instant::now();
    loop {
        tokio::select! {
            result = attempts.next() => match result {
                Some(result) => {
                    waiting.push(result);
                    done += 1;
                }
                None => break,
            },
            Some(kept) = &mut writing, if is_writing => {
                kept?;
                is_writing = false;
                written = Instant::now();
            }
        }
        let per_cent = done * 100 / test.count.max(1);
        (watch.progress)(u8::try_from(per_cent).unwrap_or(100));
        if (watch.is_cancelled)() {
            break;
        }
        let is_due = waiting.len() >= WRITE_AT || written.elapsed() >= WRITE_EVERY;
        if is_due && !is_writing && !waiting.is_empty() {
            let results = std::mem::take(&mut waiting);
            writing = Some(keep(state, id, results).boxed()).into();
            is_writing = true;
        }
    }
    if is_writing && let Some(kept) = writing.await {
        kept?;
    }
    keep(state, id, waiting).await?;
    let took_us = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
    let (databases, now) = (state.databases.clone(), state.clock.now_micros());
    let finish = async move {
        let results = jwt_test_result::of(&databases.control_read, id).await?;
        let summary = json!(summary_of(&results, took_us));
        let txn = begin_write(&databases.control).await?;
        jwt_test::finish(&txn, id, summary.clone(), now).await?;
        txn.commit().await?;
        Ok(summary)
    };
    let summary = at_home(state, finish).await?;
    match done < test.count {
        true => Err("it was stopped".to_owned()),
        false => Ok(json!({
            "test_id": test.public_id,
            "ok": summary["ok"],
            "failed": summary["failed"],
        })),
    }
}

async fn keep(state: &AppState, test_id: i64, results: Vec<NewResult>) -> Result<(), String> {
    if results.is_empty() {
        return Ok(());
    }
    let control = state.databases.control.clone();
    let write = async move {
        let txn = begin_write(&control).await?;
        jwt_test_result::insert(&txn, test_id, &results).await?;
        txn.commit().await
    };
    at_home(state, write).await
}

async fn source(state: &AppState, test: &jwt_test::Model) -> Result<Source, String> {
    if let (Some(sealed), Some(key_id)) = (&test.token_sealed, &test.token_key_id) {
        let place = vault::Place::jwt_test_token(&test.public_id);
        let opened = state.vault.unseal(JWT_TEST_TOKEN, place, key_id, &sealed.0);
        let opened = opened.map_err(|_| "the token that was given does not open any more")?;
        return Ok(Source::Given(String::from_utf8_lossy(&opened).into_owned()));
    }
    let read = state.databases.control_read.clone();
    let id = test.issuer_id.clone();
    let found = async move { jwt_issuer::by_public_id(&read, &id).await };
    let issuer = at_home(state, found).await?;
    let issuer = issuer.ok_or("the issuer was removed")?;
    let keys = issuing::open(&state.vault, &issuer).map_err(|_| "the issuer's keys do not open")?;
    Ok(Source::Signed(Box::new(issuer), keys))
}

/// An address this machine reaches itself by: one that listens everywhere listens here too.
fn near(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn micros(since: Instant) -> Option<i64> {
    i64::try_from(since.elapsed().as_micros()).ok()
}

impl Parts<'_> {
    /// Signs, or takes what was given; then verifies as the gateway does, with nothing remembered.
    fn token(&self, result: &mut NewResult) -> Option<String> {
        let now = result.at;
        let token = match &self.source {
            Source::Given(token) => token.clone(),
            Source::Signed(issuer, keys) => {
                let begun = Instant::now();
                let now_s = now.div_euclid(1_000_000);
                let signed = issuing::sign(issuer, keys, USER, now_s, TTL_S);
                result.issue_us = micros(begun);
                match signed {
                    Ok(token) => token,
                    Err(_) => {
                        let message = "A token cannot be signed.".to_owned();
                        fail(result, "issue", "jwt_not_issued".to_owned(), message);
                        return None;
                    }
                }
            }
        };
        let begun = Instant::now();
        let taken = user_token::check(&self.state.snapshot.load(), &token, now);
        result.verify_us = micros(begun);
        match taken {
            Err(fault) => {
                let code = fault.slug().to_owned();
                fail(result, "verify", code, fault.to_string());
                None
            }
            Ok(taken) if taken.issuer.public_id != self.test.issuer_id => {
                let message = format!("It is a token of the issuer {}.", taken.issuer.name);
                fail(result, "verify", "another_issuer".to_owned(), message);
                None
            }
            Ok(_) => Some(token),
        }
    }

    fn request(&self, token: &str) -> Option<Result<Request<Full<Bytes>>, http::Error>> {
        let model = self.test.model.as_deref().unwrap_or_default();
        let turns = json!([{"role": "user", "content": "Say hello in one word."}]);
        let (method, path, body) = match JwtTestCall::stored(&self.test.call) {
            JwtTestCall::None => return None,
            JwtTestCall::Models => (Method::GET, "/v1/models", None),
            JwtTestCall::Chat => {
                let body = json!({"model": model, "messages": turns});
                (Method::POST, "/v1/chat/completions", Some(body))
            }
            JwtTestCall::Messages => {
                let body = json!({"model": model, "messages": turns, "max_tokens": 16});
                (Method::POST, "/v1/messages", Some(body))
            }
        };
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json");
        Some(request.body(Full::new(body)))
    }

    async fn call(&self, request: Request<Full<Bytes>>, result: &mut NewResult) {
        let begun = Instant::now();
        let called = tokio::time::timeout(CALL_WITHIN, self.answered(request)).await;
        result.call_us = micros(begun);
        let (status, request_id, body) = match called {
            Err(_) => {
                let message = format!("No answer within {} s.", CALL_WITHIN.as_secs());
                return fail(result, "call", "timed_out".to_owned(), message);
            }
            Ok(Err(cause)) => return fail(result, "call", "unreachable".to_owned(), cause),
            Ok(Ok(answered)) => answered,
        };
        result.status = Some(i64::from(status));
        result.request_id = request_id;
        if !(200..300).contains(&status) {
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let text = |name: &str| body["error"][name].as_str().map(str::to_owned);
            let code = text("code").or_else(|| text("type"));
            let message = text("message").unwrap_or_default();
            let code = code.unwrap_or_else(|| format!("status_{status}"));
            fail(result, "call", code, message);
        }
    }

    async fn answered(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(u16, Option<String>, Bytes), String> {
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|cause| cause.to_string())?;
        let status = answer.status().as_u16();
        let id = answer.headers().get("x-request-id");
        let id = id.and_then(|id| id.to_str().ok()).map(str::to_owned);
        let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect();
        let body = body.await.map_err(|cause| cause.to_string())?;
        Ok((status, id, body.to_bytes()))
    }
}

fn fail(result: &mut NewResult, step: &'static str, code: String, message: String) {
    // What a provider says may hold its key.
    let message = redact::scrub(&message);
    result.message = Some(message.chars().take(MESSAGE_MAX_CHARS).collect());
    result.failed_at = Some(step);
    result.code = Some(code);
}

async fn attempt(parts: &Parts<'_>, number: i64) -> NewResult {
    let mut result = NewResult {
        number,
        at: parts.state.clock.now_micros(),
        ..NewResult::default()
    };
    if let Some(token) = parts.token(&mut result) {
        match parts.request(&token) {
            None => {}
            Some(Ok(request)) => parts.call(request, &mut result).await,
            Some(Err(cause)) => {
                fail(
                    &mut result,
                    "call",
                    "unreachable".to_owned(),
                    cause.to_string(),
                );
            }
        }
    }
    // Signing and verifying take the thread; others get their turn between two tokens.
    tokio::task::yield_now().await;
    result
}
