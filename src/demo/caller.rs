//! The pretended clients: one actor that calls this very Steward over HTTP, as applications do.
//!
//! Calls come independently of each other at the pace of [`traffic`]. They live inside the actor: a restart drops
//! them, which the gateway records as clients that left.

use std::net::SocketAddr;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, WrapFuture};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use steward_actors::domain::clock::SharedClock;
use steward_actors::domain::snapshot::Secret;
use steward_actors::supervision::{ActorRef, ChildSpec, Incarnation};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::chance::Chance;
use super::library::Opinion;
use super::traffic::{self, Call};

/// More waits for a gateway that answers nothing are no use to anybody.
const IN_FLIGHT_MAX: usize = 400;
/// A client's patience.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the clients are made of. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    /// Where the gateway listens; none before it does and after it stopped.
    pub gateway: watch::Receiver<Option<SocketAddr>>,
    /// By key.
    pub secrets: std::sync::Arc<[Secret]>,
    pub clock: SharedClock,
    pub seed: u64,
    pub calls_per_second: f64,
}

/// The actor.
pub struct Caller {
    parts: Parts,
    epoch: u64,
}

/// The child spec of `root/demo/demo_caller`.
pub fn spec(actor: &ActorRef<Caller>, parts: Parts) -> ChildSpec {
    ChildSpec::new("demo_caller", actor, move |me: Incarnation<Caller>| {
        Caller {
            parts: parts.clone(),
            epoch: me.epoch(),
        }
    })
    .shutdown_within(Duration::from_millis(500))
}

impl Actor for Caller {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let parts = self.parts.clone();
        if parts.calls_per_second > 0.0 {
            ctx.spawn(go_on(parts, self.epoch).into_actor(self));
        }
    }
}

async fn go_on(mut parts: Parts, epoch: u64) {
    let client: HttpClient = Client::builder(TokioExecutor::new()).build_http();
    let mut chance = Chance::of(
        parts.seed,
        &[epoch, parts.clock.now_micros().cast_unsigned()],
    );
    let mut under_way = FuturesUnordered::new();
    let mut due = Instant::now();
    loop {
        let Ok(known) = parts.gateway.wait_for(Option::is_some).await.map(|it| *it) else {
            return;
        };
        let Some(address) = known else { continue };
        let now_ms = parts.clock.now_ms();
        let rate = parts.calls_per_second * traffic::pace(now_ms);
        // After a pause of the machine the calls that were missed are not made up for.
        due = due.max(Instant::now() - Duration::from_secs(1))
            + Duration::from_secs_f64(chance.gap(1.0 / rate).min(60.0));
        let call = traffic::next(now_ms, &mut chance);
        loop {
            tokio::select! {
                () = sleep_until(due) => break,
                Some(()) = under_way.next() => {}
            }
        }
        if under_way.len() < IN_FLIGHT_MAX
            && let Some(secret) = parts.secrets.get(call.key)
        {
            under_way.push(made(&client, address, secret.clone(), call));
        }
    }
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// Makes a call and reads its answer; what comes of it is in the ledger.
async fn made(client: &HttpClient, address: SocketAddr, secret: Secret, call: Call) {
    let patience = call.leaves_after_ms.map_or(PATIENCE, Duration::from_millis);
    let request = http::Request::post(format!("http://{address}{}", call.path))
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", secret.reveal()))
        .header("anthropic-version", "2023-06-01")
        .header("user-agent", "steward-demo-client");
    let request = [
        ("x-user-id", call.user.as_str()),
        ("x-conversation-id", call.conversation.as_str()),
        ("x-prompt", call.prompt.unwrap_or_default()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .fold(request, |request, (name, value)| {
        request.header(name, value)
    });
    let Ok(request) = request.body(Full::new(Bytes::from(call.body.to_string()))) else {
        return;
    };
    let reading = async {
        let answer = client.request(request).await.ok()?;
        let id = answer.headers().get("x-request-id").cloned();
        let succeeded = answer.status().is_success();
        let mut body = answer.into_body();
        while let Some(Ok(_)) = body.frame().await {}
        id.filter(|_| succeeded)
    };
    // Dropping the body closes the connection: the client has left.
    let Ok(Some(id)) = timeout(patience, reading).await else {
        return;
    };
    if let (Some(opinion), Ok(id)) = (call.opinion, id.to_str()) {
        let said = said(client, address, &secret, opinion, id);
        let _ = timeout(PATIENCE, said).await;
    }
}

/// What a user thinks of the answer `id`.
async fn said(
    client: &HttpClient,
    address: SocketAddr,
    secret: &Secret,
    opinion: &Opinion,
    id: &str,
) {
    let mut said = json!({"request_id": id, "rating": opinion.stars, "category": opinion.category});
    for (name, words) in [
        ("comment", opinion.comment),
        ("correction", opinion.correction),
    ] {
        if !words.is_empty() {
            said[name] = words.into();
        }
    }
    let request = http::Request::post(format!("http://{address}/api/v1/feedback"))
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", secret.reveal()))
        .body(Full::new(Bytes::from(said.to_string())));
    if let Ok(request) = request
        && let Ok(answer) = client.request(request).await
    {
        // Read to its end, so that the connection can be used again.
        let _ = answer.into_body().collect().await;
    }
}
