//! `GET /v1/prompts/{name}`: a version for an application, by label or by number.
//!
//! Which version that is, is known without a database, and so is that nothing changed since the caller last asked (304).
//! What it says is read once: a version never changes. Errors are told as the gateway's are, in the caller's dialect.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use steward_actors::domain::prompt::{LATEST, PromptVersion};
use steward_entities::prompt_version;

use super::content::{Content, Message, content_hash};
use crate::error::ErrorCode;
use crate::gateway;
use crate::http::range::rfc3339;
use crate::http::request_id;
use crate::state::AppState;

/// Texts remembered at most, in bytes; beyond that they are forgotten and read again.
const REMEMBERED_MAX_BYTES: usize = 32 << 20;

/// Versions as applications get them, remembered by their keys.
#[derive(Default)]
pub struct Texts(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    texts: HashMap<i64, Bytes>,
    bytes: usize,
}

impl Texts {
    fn get(&self, id: i64) -> Option<Bytes> {
        self.0.lock().texts.get(&id).cloned()
    }

    fn keep(&self, id: i64, text: Bytes) {
        if text.len() > REMEMBERED_MAX_BYTES {
            return;
        }
        let mut memory = self.0.lock();
        if memory.bytes + text.len() > REMEMBERED_MAX_BYTES {
            *memory = Memory::default();
        }
        memory.bytes += text.len();
        if let Some(before) = memory.texts.insert(id, text) {
            memory.bytes -= before.len();
        }
    }
}

/// Which version: `label` or `version`; without either the newest.
#[derive(Debug, Deserialize)]
struct Which {
    label: Option<String>,
    version: Option<String>,
}

/// A version as an application gets it. What may change (labels, description) is not in it.
#[derive(Serialize)]
struct Served<'a> {
    name: &'a str,
    version: i64,
    messages: Vec<Message>,
    model: Option<String>,
    parameters: Map<String, Value>,
    variables: Vec<String>,
    content_hash: &'a str,
    hash: &'a str,
    created_at: String,
}

/// Why there is no answer.
type Refused = (ErrorCode, Cow<'static, str>);

pub(super) async fn show(
    request: HttpRequest,
    name: web::Path<String>,
    state: web::Data<AppState>,
) -> HttpResponse {
    let id = state.rids.next().to_string();
    match found(&request, &name, &state).await {
        Ok((version, text)) => {
            let mut answer = match text {
                Some(_) => HttpResponse::Ok(),
                None => HttpResponse::NotModified(),
            };
            answer
                .insert_header((request_id::HEADER, id))
                .insert_header((header::ETAG, format!("\"{}\"", version.hash)))
                .insert_header((header::CACHE_CONTROL, "private, no-cache"))
                // What to send as `x-prompt` with calls that are made with it.
                .insert_header(("x-prompt", version.name.as_str()));
            match text {
                Some(text) => answer.content_type("application/json").body(text),
                None => answer.finish(),
            }
        }
        Err((code, detail)) => gateway::refuse(request.headers(), &id, code, detail),
    }
}

/// No name.
pub(super) async fn nothing(request: HttpRequest, state: web::Data<AppState>) -> HttpResponse {
    let id = state.rids.next().to_string();
    gateway::refuse(
        request.headers(),
        &id,
        ErrorCode::NotFound,
        Cow::Borrowed(""),
    )
}

/// Any method but GET.
pub(super) async fn wrong_method(request: HttpRequest, state: web::Data<AppState>) -> HttpResponse {
    let id = state.rids.next().to_string();
    let code = ErrorCode::MethodNotAllowed;
    let mut answer = gateway::refuse(request.headers(), &id, code, Cow::Borrowed(""));
    let allowed = header::HeaderValue::from_static("GET");
    answer.headers_mut().insert(header::ALLOW, allowed);
    match *request.method() {
        Method::HEAD => answer.drop_body().map_into_boxed_body(),
        _ => answer,
    }
}

/// The version, and what it says unless the caller has it.
async fn found(
    request: &HttpRequest,
    name: &str,
    state: &AppState,
) -> Result<(Arc<PromptVersion>, Option<Bytes>), Refused> {
    state.gateway.who(request.headers())?;
    let version = asked(name, request.query_string(), state)?;
    if has(request.headers(), &version.hash) {
        return Ok((version, None));
    }
    let text = match state.prompt_texts.get(version.id) {
        Some(text) => text,
        None => {
            let text = read(state, name, &version).await?;
            state.prompt_texts.keep(version.id, text.clone());
            text
        }
    };
    Ok((version, Some(text)))
}

fn asked(name: &str, query: &str, state: &AppState) -> Result<Arc<PromptVersion>, Refused> {
    let invalid = |detail: &'static str| (ErrorCode::RequestInvalid, Cow::Borrowed(detail));
    let which = web::Query::<Which>::from_query(query)
        .map_err(|_| invalid("The query cannot be read."))?
        .into_inner();
    let which = match (which.label, which.version) {
        (Some(_), Some(_)) => return Err(invalid("Send either `label` or `version`.")),
        (Some(label), None) if label.parse::<i64>().is_ok() => {
            return Err(invalid("`label` is a name; send a number as `version`."));
        }
        (None, Some(number)) if number.parse::<i64>().is_err() => {
            return Err(invalid("`version` is a number; send a name as `label`."));
        }
        (Some(which), None) | (None, Some(which)) => which,
        (None, None) => LATEST.to_owned(),
    };
    let prompts = Arc::clone(&state.snapshot.load().prompts);
    let Some(prompt) = prompts.prompt(name) else {
        let detail = format!("There is no prompt `{name}`.");
        return Err((ErrorCode::PromptUnknown, detail.into()));
    };
    let version = prompt.version(&which).cloned();
    version.ok_or_else(|| {
        let detail = format!("The prompt `{name}` has no version or label `{which}`.");
        (ErrorCode::PromptUnknown, detail.into())
    })
}

/// Whether the caller has the version of this hash already.
fn has(headers: &HeaderMap, hash: &str) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH);
    let mut tags = tags
        .filter_map(|tags| tags.to_str().ok())
        .flat_map(|tags| tags.split(','));
    tags.any(|tag| {
        let tag = tag.trim();
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag.trim_matches('"') == hash
    })
}

async fn read(state: &AppState, name: &str, version: &PromptVersion) -> Result<Bytes, Refused> {
    let failed = |code: ErrorCode, cause: &dyn std::fmt::Display| {
        tracing::error!(prompt = %version.name, %cause, "a version of a prompt cannot be read");
        (code, Cow::Borrowed(""))
    };
    let row = prompt_version::by_id(&state.databases.control_read, version.id)
        .await
        .map_err(|error| failed(ErrorCode::Overloaded, &error))?;
    // Removed since the snapshot was taken.
    let row = row.ok_or((ErrorCode::PromptUnknown, Cow::Borrowed("")))?;
    if row.hash != version.hash || content_hash(&row.content) != row.content_hash {
        return Err(failed(ErrorCode::Internal, &"its hash does not hold"));
    }
    let damaged = |error: &dyn std::fmt::Display| failed(ErrorCode::Internal, error);
    let content = Content::stored(&row.content).map_err(|error| damaged(&error))?;
    let served = Served {
        name,
        version: row.number,
        variables: content.variables().into_iter().collect(),
        messages: content.messages,
        model: content.model,
        parameters: content.parameters,
        content_hash: &row.content_hash,
        hash: &row.hash,
        created_at: rfc3339(row.created_at),
    };
    let text = serde_json::to_vec(&served).map_err(|error| damaged(&error))?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let texts = Texts::default();
        let half = Bytes::from(vec![0; REMEMBERED_MAX_BYTES / 2]);
        texts.keep(1, half.clone());
        texts.keep(1, half.clone());
        texts.keep(2, half.clone());
        assert!(texts.get(1).is_some() && texts.get(2).is_some());
        texts.keep(3, half);
        assert!(texts.get(1).is_none() && texts.get(3).is_some());
        texts.keep(4, Bytes::from(vec![0; REMEMBERED_MAX_BYTES + 1]));
        assert!(texts.get(4).is_none() && texts.get(3).is_some());
    }

    #[test]
    fn tags_are_recognised_in_every_usual_form() {
        let sent = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::IF_NONE_MATCH,
                header::HeaderValue::from_static(value),
            );
            has(&headers, "abc")
        };
        assert!(sent("\"abc\"") && sent("W/\"abc\"") && sent("\"x\", \"abc\"") && sent("*"));
        assert!(!sent("\"ab\"") && !sent(""));
        assert!(!has(&HeaderMap::new(), "abc"));
    }
}
