//! The playground: a version is run on a model, and what came of it is kept.
//!
//! It is a call like any other, on behalf of an API key that the operator may see: with its limits, budgets and models, on
//! the books under the key, the app `playground` and the operator's name, counted for the version. The answer is told as
//! events in one form, whatever the provider's. Whoever leaves before its end cancels the call.

use std::collections::VecDeque;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse, post};
use futures_util::stream;
use sea_orm::ActiveValue::Set;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use steward_actors::domain::record::Operation;
use steward_actors::domain::snapshot::{Protocol, Snapshot};
use steward_entities::database::begin_write;
use steward_entities::{prompt_run, token};
use utoipa::ToSchema;

use super::content::{Content, Message, Role};
use super::keep::{find, version_of};
use super::runs::PromptRun;
use crate::error::ApiError;
use crate::gateway::sse::{Splitter, Verdict};
use crate::gateway::{Inward, Outgoing};
use crate::http::change::{Audit, Change};
use crate::http::check;
use crate::http::extract::{Json, client_ip};
use crate::http::permission::{Can, WritePrompts};
use crate::http::request_id;
use crate::state::AppState;

/// What a run's text is cut to.
const TEXT_MAX_BYTES: usize = 512 * 1024;
/// What is read of an answer that is no stream.
const BODY_MAX_BYTES: usize = 1024 * 1024;
const ERROR_MAX_CHARS: usize = 500;
/// Anthropic wants to be told; used where neither the version nor the run tells.
const MAX_TOKENS: u64 = 1_024;
/// How runs name themselves on the books.
const APP: &str = "playground";

/// What to run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunWish {
    /// Number of the version.
    #[schema(minimum = 1)]
    version: i64,
    /// The model; the version's own unless given.
    model: Option<String>,
    /// The API key on whose behalf: its limits and budgets hold, and the call is on its books.
    token_id: String,
    /// Values by variable; what is no text is written as JSON. Every variable needs one.
    #[serde(default)]
    #[schema(value_type = Object)]
    variables: Map<String, Value>,
}

/// Runs a version on a model.
///
/// The answer is a stream of events: `begun` with the run's `id` and the call's `request_id`, `text` with the next piece of
/// what the model says, and `ended` with the run as it is kept.
#[utoipa::path(tag = "prompts", responses((status = 200, content((serde_json::Value = "text/event-stream")))))]
#[post("/prompts/{id}/run")]
pub(super) async fn run_version(
    state: web::Data<AppState>,
    outgoing: web::Data<Outgoing>,
    caller: Can<WritePrompts>,
    request: HttpRequest,
    id: web::Path<String>,
    Json(wish): Json<RunWish>,
) -> Result<HttpResponse, ApiError> {
    check::whole_installation(&caller)?;
    let read = &state.databases.control_read;
    let row = find(read, &id).await?;
    let version = version_of(read, &row, wish.version).await?;
    let content = Content::stored(&version.content)?;
    let scope = caller.operator.scope();
    let key = token::by_public_id(read, scope, &wish.token_id).await?;
    let key = key.ok_or_else(|| ApiError::invalid("token_id", "names no API key"))?;
    let model = wish.model.filter(|model| !model.is_empty());
    let model = model.or_else(|| content.model.clone());
    let model = model.filter(|model| check::is_model(model));
    let model = model.ok_or_else(|| ApiError::invalid("model", "must be a model's name"))?;
    for name in content.variables() {
        if !wish.variables.contains_key(&name) {
            return Err(ApiError::invalid(
                format!("variables.{name}"),
                "has no value",
            ));
        }
    }
    let messages = content.filled(&wish.variables);
    let protocol = protocol_of(&state.snapshot.load(), &model);
    let (operation, body) = body_of(protocol, &model, &messages, &content.parameters);
    let call = Inward {
        token: key.public_id.clone(),
        operation,
        headers: headers(
            &format!("{}@{}", row.name, version.number),
            &caller.operator.username,
        ),
        body: Bytes::from(body.to_string()),
        address: client_ip(&request),
    };
    let answer = state.gateway.inward(&outgoing, call).await;
    let answer =
        answer.ok_or_else(|| ApiError::invalid("token_id", "names no API key in force"))?;
    let request_id = answer.headers().get(request_id::HEADER);
    let request_id = request_id
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default();
    // Should it not be kept, the answer is dropped, and with it the call.
    let change = Change::begin(&state, &caller).await?;
    let new = prompt_run::New {
        prompt_id: row.id,
        number: version.number,
        model,
        token_id: key.public_id,
        variables: serde_json::to_string(&wish.variables).map_err(ApiError::internal)?,
        request_id: request_id.to_owned(),
        created_by: caller.operator.username.clone(),
        created_at: change.now,
    };
    let kept = prompt_run::insert(&change, new).await?;
    let audit = Audit::of("prompts.run", "prompt", &row.public_id)
        .with("version", version.number)
        .with("model", &kept.model)
        .with("run", &kept.public_id);
    change.commit(audit).await?;
    let running = Running::of(state.clone(), kept, operation, answer);
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header(("cache-control", "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(Box::pin(stream::unfold(running, Running::step))))
}

/// What a call of the playground says of itself.
fn headers(version: &str, operator: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-app-id", APP),
        ("x-prompt", version),
        ("x-user-id", operator),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// The protocol that a model is served on; OpenAI's where it is served on both, or on none.
fn protocol_of(snapshot: &Snapshot, model: &str) -> Protocol {
    let served = |protocol| {
        let mut accounts = snapshot.accounts.iter();
        accounts
            .any(|account| account.enabled && account.protocol == protocol && account.serves(model))
    };
    match !served(Protocol::OpenAi) && served(Protocol::Anthropic) {
        true => Protocol::Anthropic,
        false => Protocol::OpenAi,
    }
}

/// The call's operation and body. Parameters are the provider's own; what the playground needs wins.
fn body_of(
    protocol: Protocol,
    model: &str,
    messages: &[Message],
    parameters: &Map<String, Value>,
) -> (Operation, Value) {
    let mut body = parameters.clone();
    body.insert("model".into(), model.into());
    body.insert("stream".into(), true.into());
    match protocol {
        Protocol::OpenAi => {
            body.insert("messages".into(), json!(messages));
            (Operation::Chat, Value::Object(body))
        }
        Protocol::Anthropic => {
            let (system, mut turns): (Vec<&Message>, Vec<&Message>) = messages
                .iter()
                .partition(|message| message.role == Role::System);
            let system: Vec<&str> = system
                .iter()
                .map(|message| message.content.as_str())
                .collect();
            let system = system.join("\n\n");
            let alone = Message {
                content: system.clone(),
                role: Role::User,
            };
            if turns.is_empty() {
                // A conversation needs a turn: instructions alone are one.
                turns.push(&alone);
            } else if !system.is_empty() {
                body.insert("system".into(), system.into());
            }
            body.insert("messages".into(), json!(turns));
            body.entry("max_tokens")
                .or_insert_with(|| MAX_TOKENS.into());
            (Operation::Messages, Value::Object(body))
        }
    }
}

/// What a stream's events say, whichever of the two protocols it is.
#[derive(Default)]
struct Said {
    text: String,
    error: String,
}

impl Said {
    /// The next event; answers the text it brings.
    fn event(&mut self, operation: Operation, data: &[u8]) -> Option<String> {
        let event: Value = serde_json::from_slice(data).ok()?;
        if let Some(message) = complaint(&event) {
            self.error = message;
        }
        let piece = match operation {
            Operation::Messages => event["delta"]["text"].as_str(),
            _ => event["choices"][0]["delta"]["content"].as_str(),
        }?;
        if piece.is_empty() {
            return None;
        }
        let room = TEXT_MAX_BYTES.saturating_sub(self.text.len());
        self.text
            .push_str(&piece[..piece.floor_char_boundary(room.min(piece.len()))]);
        Some(piece.to_owned())
    }
}

/// An error's own sentence.
fn complaint(event: &Value) -> Option<String> {
    let message = event["error"]["message"].as_str()?;
    Some(message.chars().take(ERROR_MAX_CHARS).collect())
}

/// A run under way.
struct Running {
    state: web::Data<AppState>,
    run: prompt_run::Model,
    operation: Operation,
    status: u16,
    is_stream: bool,
    body: BoxBody,
    splitter: Splitter,
    said: Said,
    /// Of an answer that is no stream.
    whole: Vec<u8>,
    waiting: VecDeque<Bytes>,
    ended: bool,
}

fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

impl Running {
    fn of(
        state: web::Data<AppState>,
        run: prompt_run::Model,
        operation: Operation,
        answer: HttpResponse,
    ) -> Self {
        let text = |name: &str| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
        let is_stream =
            text("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        let begun = event(
            "begun",
            &json!({"id": run.public_id, "request_id": run.request_id}),
        );
        Self {
            state,
            operation,
            status: answer.status().as_u16(),
            is_stream,
            body: answer.into_body(),
            splitter: Splitter::new(),
            said: Said::default(),
            whole: Vec::new(),
            waiting: VecDeque::from([begun]),
            ended: false,
            run,
        }
    }

    async fn step(mut self) -> Option<(Result<Bytes, actix_web::Error>, Self)> {
        loop {
            if let Some(bytes) = self.waiting.pop_front() {
                return Some((Ok(bytes), self));
            }
            if self.ended {
                return None;
            }
            let next = std::future::poll_fn(|cx| std::pin::Pin::new(&mut self.body).poll_next(cx));
            match next.await {
                Some(Ok(chunk)) => self.hears(chunk),
                Some(Err(_)) => {
                    if self.said.error.is_empty() {
                        self.said.error = "The answer was cut.".to_owned();
                    }
                    self.ends().await;
                }
                None => self.ends().await,
            }
        }
    }

    fn hears(&mut self, chunk: Bytes) {
        if !self.is_stream {
            let room = BODY_MAX_BYTES.saturating_sub(self.whole.len());
            self.whole
                .extend_from_slice(&chunk[..chunk.len().min(room)]);
            return;
        }
        let (said, operation, mut pieces) = (&mut self.said, self.operation, String::new());
        self.splitter.push(chunk, &mut Vec::new(), |event| {
            if let Some(piece) = said.event(operation, &event.data) {
                pieces.push_str(&piece);
            }
            Verdict::Pass
        });
        if !pieces.is_empty() {
            self.waiting
                .push_back(event("text", &json!({"text": pieces})));
        }
    }

    /// Keeps what came of it, and tells it.
    async fn ends(&mut self) {
        self.ended = true;
        if !self.is_stream {
            let body: Value = serde_json::from_slice(&self.whole).unwrap_or_default();
            match complaint(&body) {
                Some(message) => self.said.error = message,
                None => {
                    self.said.error = format!("The answer is no stream (status {}).", self.status)
                }
            }
        }
        let said = std::mem::take(&mut self.said);
        let changes = prompt_run::ActiveModel {
            // PostgreSQL keeps no NUL in a text.
            text: Set(said.text.replace('\0', "\u{fffd}")),
            error: Set(said.error.replace('\0', "\u{fffd}")),
            status_code: Set(i64::from(self.status)),
            ended_at: Set(Some(self.state.clock.now_micros())),
            ..Default::default()
        };
        match self.keep(changes).await {
            Ok(row) => {
                let run = PromptRun::of(row, None);
                self.waiting.push_back(event("ended", &run));
            }
            Err(cause) => {
                tracing::error!(run = self.run.public_id, %cause, "what came of a run could not be kept");
                let lost = json!({"error": "What came of it could not be kept."});
                self.waiting.push_back(event("lost", &lost));
            }
        }
    }

    async fn keep(
        &self,
        changes: prompt_run::ActiveModel,
    ) -> Result<prompt_run::Model, sea_orm::DbErr> {
        let txn = begin_write(&self.state.databases.control).await?;
        let row = prompt_run::write(&txn, self.run.id, changes).await?;
        txn.commit().await?;
        Ok(row)
    }
}
