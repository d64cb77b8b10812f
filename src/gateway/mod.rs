//! The data plane: an application's call, sent to an upstream account and back unchanged.
//!
//! The hot path, told on one page: [`serve`] finds what is asked for, [`call`] opens the books on it,
//! [`forward`] lets it in, reads its body, admits it and sends it, [`relay`] brings the answer back and closes the
//! books before it ends.
//! What decides is pure (bytes and values in, values out, the time passed in) and stands in its own module;
//! what moves bytes is thin and stands beside it. No database, no lock across an await, no task per call: but for tokens that
//! want their tenant's knowledge as context ([`knowledge`]), which pay for that with a search before the call is sent.

pub mod augment;
pub mod breaker;
pub mod budget;
pub mod decode;
pub mod dialect;
pub mod estimate;
pub mod headers;
pub mod inject;
pub mod json;
pub mod limits;
pub mod meter;
pub mod redact;
pub mod request;
pub mod route;
pub mod scan;
pub mod sse;
pub mod token_key;
pub mod usage;
pub mod user_token;

mod accounts;
mod admit;
mod capture;
mod client;
mod closing;
mod counters;
mod echo;
mod finish;
mod inward;
mod knowledge;
mod missing_keys;
mod models;
mod names;
mod outside;
mod own;
mod pulse;
mod refusal;
mod relay;
mod sample;
mod server;
mod tap;
mod upstream;
mod vectors;

#[cfg(test)]
mod tests;

pub use accounts::AccountStates;
pub use capture::{kept as capture_kept, text_of as capture_text};
pub(crate) use client::tls_config;
pub use counters::{Counters, Reading};
pub use inward::{Inward, Outgoing};
pub use missing_keys::MissingKeys;
pub use outside::{Who, counted_at, refuse, take_back};
pub use own::{Payer, Unembedded};
pub use server::{KEEP_ALIVE, LINGER, on_connect};
pub use vectors::VectorCall;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use arc_swap::ArcSwap;
use futures_util::FutureExt;
use steward_actors::contents::intake::Intake;
use steward_actors::domain::clock::SharedClock;
use steward_actors::domain::record::Operation;
use steward_actors::domain::rid::{RecordId, RidAllocator};
use steward_actors::domain::setting::InForce;
use steward_actors::domain::snapshot::{Protocol, Snapshot, TokenKey};
use steward_actors::health::HealthBoard;
use steward_actors::knowledge::Parts as Knowledge;
use steward_actors::spool::Spool;

use crate::config;
use crate::error::catalog::ErrorCode;
use crate::http::extract::client_ip;
use crate::http::middleware::panic_text;

use breaker::BreakerConfig;
use budget::Budgets;
use client::UpstreamClient;
use dialect::Endpoint;
use finish::Finish;
use limits::{Demand, Limits};
use refusal::Refusal;
use upstream::{Answer, Call};

/// What a gateway is built from. Everything is passed in, so that tests and benches can build one alone.
pub struct Parts {
    /// What to decide by, swapped by whoever keeps it.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Where records go.
    pub spool: Arc<Spool>,
    /// One per process.
    pub rids: Arc<RidAllocator>,
    pub clock: SharedClock,
    pub limits: Arc<Limits>,
    pub budgets: Arc<Budgets>,
    /// Which accounts are down.
    pub health: Arc<HealthBoard>,
    /// Where conversations go that are kept; `None`: none are.
    pub contents: Option<Arc<Intake>>,
    /// What calls may be given as context; `None`: none is.
    pub knowledge: Option<Knowledge>,
    pub config: config::Gateway,
    /// What of it operators change meanwhile.
    pub settings: InForce,
    /// A finished answer waits until its record survives a power failure.
    pub wait_durable: bool,
}

/// The data plane of one process: shared by all workers, owner of what must not be per worker.
pub struct Gateway {
    snapshot: Arc<ArcSwap<Snapshot>>,
    spool: Arc<Spool>,
    rids: Arc<RidAllocator>,
    clock: SharedClock,
    limits: Arc<Limits>,
    budgets: Arc<Budgets>,
    health: Arc<HealthBoard>,
    contents: Option<Arc<Intake>>,
    knowledge: Option<Knowledge>,
    accounts: AccountStates,
    counters: Counters,
    missing_keys: MissingKeys,
    models: models::Known,
    settings: InForce,
    max_body_bytes: usize,
    record_client_ip: bool,
    wait_durable: bool,
    tls: rustls::ClientConfig,
    cut: AtomicBool,
}

impl Gateway {
    /// Builds it; nothing runs yet.
    ///
    /// # Errors
    /// The TLS provider is unusable.
    pub fn new(parts: Parts) -> Result<Arc<Self>, rustls::Error> {
        let config = &parts.config;
        Ok(Arc::new(Self {
            accounts: AccountStates::new(BreakerConfig {
                consecutive_failures: config.breaker_failures,
                cool_down_ms: config.breaker_open_ms,
                cool_down_max_ms: config.breaker_open_max_ms,
                ..BreakerConfig::default()
            }),
            counters: Counters::default(),
            missing_keys: MissingKeys::default(),
            models: models::Known::default(),
            max_body_bytes: config.max_body_bytes,
            settings: parts.settings,
            record_client_ip: config.record_client_ip,
            wait_durable: parts.wait_durable,
            tls: tls_config()?,
            cut: AtomicBool::new(false),
            snapshot: parts.snapshot,
            spool: parts.spool,
            rids: parts.rids,
            clock: parts.clock,
            limits: parts.limits,
            budgets: parts.budgets,
            health: parts.health,
            contents: parts.contents,
            knowledge: parts.knowledge,
        }))
    }

    /// Ends every open call within about a second, with an error event where there is a stream, and records
    /// it. For the end of a graceful drain; there is no way back. Wait until [`Counters::read`] shows no call
    /// in flight before stopping the workers and closing the spool: the last records are written then.
    pub fn cut_streams(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    /// TLS towards upstreams, for whoever else asks one.
    pub fn tls(&self) -> &rustls::ClientConfig {
        &self.tls
    }

    /// For `/metrics` and for knowing when a drain is over.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Issuers whose key set seems to have changed.
    pub fn missing_keys(&self) -> &MissingKeys {
        &self.missing_keys
    }

    /// Breakers and load of the accounts.
    pub fn accounts(&self) -> &AccountStates {
        &self.accounts
    }

    /// What tokens and tenants spend.
    pub fn budgets(&self) -> &Arc<Budgets> {
        &self.budgets
    }

    /// Limits and quotas of the tokens.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }
}

/// Mounts the gateway at `/v1`. To be called in the App factory, once per worker: the client towards the
/// upstreams lives on the worker that calls. Other features' paths under `/v1` are registered before it.
pub fn configure(gateway: &Arc<Gateway>) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let gateway = Arc::clone(gateway);
    move |routes| {
        let client = client::build(gateway.tls.clone(), Arc::clone(&gateway.settings));
        // For calls that the console makes, on the same worker.
        routes.app_data(web::Data::new(Outgoing(client.clone())));
        routes.service(
            web::scope("/v1")
                .app_data(web::Data::from(gateway))
                .app_data(web::Data::new(client))
                .default_service(web::to(serve)),
        );
    }
}

/// A request under `/v1` and what answers it.
struct Asked<'a> {
    gateway: &'a Arc<Gateway>,
    client: &'a UpstreamClient,
    headers: &'a HeaderMap,
    query: Option<&'a str>,
    /// Where it came from; only asked for when that is recorded.
    address: &'a dyn Fn() -> IpAddr,
    /// The dialect errors are told in.
    protocol: Protocol,
    id: RecordId,
}

impl Asked<'_> {
    fn refuse(&self, refusal: &Refusal) -> HttpResponse {
        refusal.answer(self.protocol, &self.id.to_string())
    }

    fn refuse_method(&self, allowed: &'static str) -> HttpResponse {
        let mut answer = self.refuse(&ErrorCode::MethodNotAllowed.into());
        let allowed = HeaderValue::from_static(allowed);
        answer.headers_mut().insert(header::ALLOW, allowed);
        answer
    }
}

/// Every request under `/v1`. A panic is answered as every other failure is: in the caller's dialect, under the id that its
/// record has.
async fn serve(
    request: HttpRequest,
    payload: web::Payload,
    gateway: web::Data<Gateway>,
    client: web::Data<UpstreamClient>,
) -> HttpResponse {
    let endpoint = dialect::endpoint(request.uri().path());
    let address = || client_ip(&request);
    let asked = Asked {
        protocol: dialect_of(&request, endpoint),
        id: gateway.rids.next(),
        gateway: &gateway,
        client: &client,
        headers: request.headers(),
        query: request.uri().query(),
        address: &address,
    };
    let answer = answer(&asked, request.method(), endpoint, payload);
    let answer = AssertUnwindSafe(answer).catch_unwind();
    answer.await.unwrap_or_else(|panic| {
        tracing::error!(request_id = %asked.id, "a call panicked: {}", panic_text(&*panic));
        asked.refuse(&ErrorCode::Internal.into())
    })
}

async fn answer(
    asked: &Asked<'_>,
    method: &Method,
    endpoint: Option<Endpoint<'_>>,
    payload: web::Payload,
) -> HttpResponse {
    match endpoint {
        Some(Endpoint::Call(operation)) if method == Method::POST => {
            call(asked, operation, payload).await
        }
        Some(Endpoint::Models) if method == Method::GET => models::list(asked).await,
        Some(Endpoint::Model(model)) if method == Method::GET => models::show(asked, model).await,
        Some(Endpoint::Call(_)) => asked.refuse_method("POST"),
        Some(_) => asked.refuse_method("GET"),
        None => asked.refuse(&ErrorCode::NotFound.into()),
    }
}

/// The dialect of a call is its path's; elsewhere Anthropic's clients are known by the version they send.
fn dialect_of(request: &HttpRequest, endpoint: Option<Endpoint<'_>>) -> Protocol {
    match endpoint {
        Some(Endpoint::Call(operation)) => dialect::protocol_of(operation),
        None if request.uri().path().starts_with("/v1/messages") => Protocol::Anthropic,
        _ => dialect::caller_protocol(request.headers().contains_key("anthropic-version")),
    }
}

/// One call, from its credential to its answer. From the moment the token is known there is a [`Finish`],
/// and with it a record, however this ends.
async fn call(asked: &Asked<'_>, operation: Operation, payload: web::Payload) -> HttpResponse {
    let (key, user) = match admit::identify(asked.gateway, asked.headers) {
        Ok(found) => found,
        Err(refusal) => return asked.refuse(&refusal),
    };
    make(asked, &key, user, operation, payload).await
}

/// The call of a known token.
async fn make(
    asked: &Asked<'_>,
    key: &TokenKey,
    user: Option<Arc<str>>,
    operation: Operation,
    payload: impl admit::Chunks,
) -> HttpResponse {
    let mut finish = Finish::open(asked, key, user, operation);
    match forward(&mut finish, key, asked, payload).await {
        Ok(answer) => match relay::respond(finish, answer) {
            Ok(response) => response,
            Err(empty) => empty.settle().await,
        },
        Err(refusal) => finish.refuse(&refusal).await,
    }
}

/// Admits the call and sends it; the answer's head is here when this returns.
async fn forward(
    finish: &mut Finish,
    key: &TokenKey,
    asked: &Asked<'_>,
    payload: impl admit::Chunks,
) -> Result<Answer, Refusal> {
    let gateway = asked.gateway;
    admit::standing(key, finish.request_at())?;
    admit::books(gateway)?;
    let headers: Vec<(&str, &[u8])> = asked
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    admit::headers(&headers)?;
    let entered = match admit::enter(gateway, &key.token, asked.protocol) {
        Ok(entered) => entered,
        Err(refusal) => {
            Box::pin(refused_unread(finish, asked, payload)).await;
            return Err(refusal);
        }
    };
    let admit::Received {
        bytes: mut body,
        mut head,
        pulse,
        ..
    } = admit::body(gateway, asked.headers, payload).await?;
    finish.reads(&head, &body, asked);
    if key.token.knowledge {
        // Nothing is looked for on behalf of a call that is refused.
        admit::model(&key.token, &head)?;
        body = Box::pin(knowledge::add(finish, &key.token, asked, body, &mut head)).await;
    }
    let model = admit::model(&key.token, &head)?;
    #[cfg(test)]
    assert_ne!(model, tests::PANICS, "asked for by a test");
    let operation = finish.operation();
    let demand = Demand {
        prompt_tokens: head.prompt.tokens(),
        completion_tokens: match operation {
            Operation::Embedding | Operation::CountTokens => 0,
            _ => head.completion_tokens(),
        },
    };
    let hold = admit::budgets(gateway, &key.token, model, demand, finish.request_at())?;
    let admission = admit::limits(gateway, entered, &key.token, demand, asked.protocol)?;
    finish.admitted(admission, hold);
    let wants_usage = dialect::openai::needs_usage_injected(operation)
        && head.stream
        && head.include_usage != Some(true);
    let call = Call {
        client: asked.client,
        operation,
        query: asked.query,
        headers: &headers,
        body: &body,
        head: &head,
        model,
        wants_usage,
    };
    upstream::send(finish, &call, pulse).await
}

/// Takes a refused call's body in if it is small, or here already: its record then says what was asked for, and the
/// connection serves the next request. A large one stays where it is.
async fn refused_unread(finish: &mut Finish, asked: &Asked<'_>, payload: impl admit::Chunks) {
    let is_here = payload.size_hint().1.is_some();
    if !is_here && !admit::is_small(asked.headers) {
        return;
    }
    let received = admit::body(asked.gateway, asked.headers, payload).await;
    if let Ok(received) = received {
        finish.reads(&received.head, &received.bytes, asked);
    }
}
