//! The gateway's part of the OpenAPI document. Its handlers read no more of a request than they must and pass the
//! rest on, so there is nothing to generate it from: bodies are free-form objects with the fields that Steward
//! looks at, and the provider's own reference says the rest. The errors come from the catalog.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::request_id;
use crate::error::ErrorCode;
use crate::error::catalog::Face;

const TAG: &str = "gateway";
/// Names of the security schemes.
const BEARER: &str = "token";
const KEY: &str = "token_as_key";

/// The operations whose calls may be given knowledge as context, and the header that says so.
const GIVEN_KNOWLEDGE: [&str; 3] = ["chat_completions", "responses", "messages"];
const KNOWLEDGE: &str = "x-steward-knowledge";

/// Whose words a path speaks.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Speaks {
    OpenAi,
    Anthropic,
    /// The caller's, told by whether it sends `anthropic-version`.
    Either,
}

/// Adds paths, schemas and security schemes.
pub(super) fn add(document: &mut OpenApi) {
    for (path, item) in paths() {
        if let Ok(item) = serde_json::from_value(item) {
            document.paths.paths.insert(path.to_owned(), item);
        }
    }
    for (path, item) in [("/v1/traces", traces()), ("/v1/prompts/{name}", prompt())] {
        if let Ok(item) = serde_json::from_value(item) {
            document.paths.paths.insert(path.to_owned(), item);
        }
    }
    let components = document.components.get_or_insert_default();
    for (name, schema) in schemas() {
        if let Ok(schema) = serde_json::from_value(schema) {
            components.schemas.insert(name.to_owned(), schema);
        }
    }
    for (name, scheme) in schemes() {
        if let Ok(scheme) = serde_json::from_value(scheme) {
            components
                .add_security_scheme::<_, utoipa::openapi::security::SecurityScheme>(name, scheme);
        }
    }
}

fn paths() -> Vec<(&'static str, Value)> {
    let text = json!({"type": "string"});
    let texts = json!({"type": ["string", "array"], "description": "A text, or several."});
    let turns =
        json!({"type": "array", "items": {"type": "object"}, "description": "The turns so far."});
    let model = json!({"type": "string", "description": "A model of `/v1/models`, or an account's alias for one."});
    let stream = json!({"type": "boolean", "description": "Answer by server-sent events."});
    let most =
        json!({"type": "integer", "minimum": 1, "description": "The most tokens to answer with."});
    let call = |speaks, name, summary, required: &[&str], more: &[(&str, &Value)]| {
        let mut fields = Map::from_iter([("model".to_owned(), model.clone())]);
        fields.extend(
            more.iter()
                .map(|(name, schema)| ((*name).to_owned(), (*schema).clone())),
        );
        let streams = fields.contains_key("stream");
        let body = json!({"required": true, "content": {"application/json": {"schema": {
            "type": "object", "required": required, "properties": fields, "additionalProperties": true,
        }}}});
        let mut operation = operation(speaks, name, summary, streams);
        operation["requestBody"] = body;
        if GIVEN_KNOWLEDGE.contains(&name) {
            tell_knowledge(&mut operation);
        }
        json!({"post": operation})
    };
    let mut listed = operation(
        Speaks::Either,
        "models",
        "The models this token may use, in the caller's dialect.",
        false,
    );
    listed["parameters"] = json!([
        parameter(
            "anthropic-version",
            "header",
            "Asks for Anthropic's dialect."
        ),
        parameter("limit", "query", "Anthropic's dialect: length of a page."),
        parameter(
            "after_id",
            "query",
            "Anthropic's dialect: the page after this model."
        ),
        parameter(
            "before_id",
            "query",
            "Anthropic's dialect: the page before this model."
        ),
    ]);
    let mut shown = operation(Speaks::Either, "model", "One model.", false);
    shown["parameters"] = json!([
        {"name": "model", "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}},
        parameter("anthropic-version", "header", "Asks for Anthropic's dialect."),
    ]);
    use Speaks::{Anthropic, OpenAi};
    vec![
        (
            "/v1/chat/completions",
            call(
                OpenAi,
                "chat_completions",
                "OpenAI's chat completions.",
                &["model", "messages"],
                &[
                    ("messages", &turns),
                    ("stream", &stream),
                    ("max_tokens", &most),
                    ("max_completion_tokens", &most),
                ],
            ),
        ),
        (
            "/v1/completions",
            call(
                OpenAi,
                "completions",
                "OpenAI's completions.",
                &["model", "prompt"],
                &[
                    ("prompt", &texts),
                    ("stream", &stream),
                    ("max_tokens", &most),
                ],
            ),
        ),
        (
            "/v1/responses",
            call(
                OpenAi,
                "responses",
                "OpenAI's responses.",
                &["model", "input"],
                &[
                    ("input", &texts),
                    ("instructions", &text),
                    ("stream", &stream),
                    ("max_output_tokens", &most),
                ],
            ),
        ),
        (
            "/v1/embeddings",
            call(
                OpenAi,
                "embeddings",
                "OpenAI's embeddings.",
                &["model", "input"],
                &[("input", &texts)],
            ),
        ),
        (
            "/v1/messages",
            call(
                Anthropic,
                "messages",
                "Anthropic's messages.",
                &["model", "messages", "max_tokens"],
                &[
                    ("messages", &turns),
                    ("system", &texts),
                    ("stream", &stream),
                    ("max_tokens", &most),
                ],
            ),
        ),
        (
            "/v1/messages/count_tokens",
            call(
                Anthropic,
                "count_tokens",
                "Anthropic's token counting.",
                &["model", "messages"],
                &[("messages", &turns), ("system", &texts)],
            ),
        ),
        ("/v1/models", json!({"get": listed})),
        ("/v1/models/{model}", json!({"get": shown})),
    ]
}

fn tell_knowledge(operation: &mut Value) {
    let switch = "`off`: this call is given no context, though its token has `knowledge` on.";
    operation["parameters"] = json!([parameter(KNOWLEDGE, "header", switch)]);
    operation["responses"]["200"]["headers"][KNOWLEDGE] = json!({
        "schema": {"type": "string"},
        "description": "For tokens with `knowledge` on: how many of the tenant's pairs the call was given as context, or a word for \
            why none: `off`, `no_tenant`, `no_question`, `too_large`, `loading`, `timed_out`, `failed`.",
    });
}

fn operation(speaks: Speaks, name: &str, summary: &str, streams: bool) -> Value {
    let mut answers = Map::new();
    let mut content = json!({"application/json": {"schema": {"type": "object"}}});
    if streams {
        content["text/event-stream"] = json!({});
    }
    let as_it_came = "The provider's answer, byte for byte as it came.";
    answers.insert(
        "200".to_owned(),
        json!({"description": as_it_came, "content": content, "headers": headers()}),
    );
    for (status, titles) in refusals() {
        let content = json!({"application/json": {"schema": error_schema(speaks)}});
        let answer =
            json!({"description": titles.join(" "), "content": content, "headers": headers()});
        answers.insert(status.to_string(), answer);
    }
    let description = "Any other answer of the provider, errors included, passes as it came.";
    answers.insert("default".to_owned(), json!({"description": description}));
    json!({
        "tags": [TAG],
        "operationId": name,
        "summary": summary,
        "security": [{BEARER: []}, {KEY: []}],
        "responses": answers,
    })
}

/// OTLP's own definition says what is in these bodies.
fn traces() -> Value {
    let content = json!({
        "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {"schema": {"type": "object"}},
    });
    let mut answers = Map::new();
    for (status, description) in [
        (
            "200",
            "`ExportTraceServiceResponse`: taken, except the spans that `partial_success` counts.",
        ),
        (
            "400",
            "`google.rpc.Status`: the body is no trace request; not to be sent again.",
        ),
        (
            "401",
            "`google.rpc.Status`: no credential, or one that is not known.",
        ),
        ("403", "`google.rpc.Status`: the tenant is suspended."),
        (
            "413",
            "`google.rpc.Status`: more than 16 MiB, packed or not.",
        ),
        (
            "415",
            "`google.rpc.Status`: neither protobuf nor JSON, or packed other than by gzip.",
        ),
        (
            "503",
            "`google.rpc.Status`: the books are full; to be sent again.",
        ),
    ] {
        let answer = json!({"description": description, "content": content});
        answers.insert(status.to_owned(), answer);
    }
    json!({"post": {
        "tags": ["ingest"],
        "operationId": "traces",
        "summary": "OTLP over HTTP: GenAI spans become records; all others are passed over. Gzip is taken.",
        "security": [{BEARER: []}, {KEY: []}],
        "requestBody": {"required": true, "content": content},
        "responses": answers,
    }})
}

/// A version of a prompt, for applications.
fn prompt() -> Value {
    let text = json!({"type": "string"});
    let schema = json!({
        "type": "object",
        "required": ["name", "version", "messages", "model", "parameters", "variables", "content_hash", "hash", "created_at"],
        "properties": {
            "name": text,
            "version": {"type": "integer", "minimum": 1},
            "messages": {"type": "array", "items": {
                "type": "object",
                "required": ["role", "content"],
                "properties": {
                    "role": {"type": "string", "enum": ["system", "user", "assistant"]},
                    "content": {"type": "string", "description": "`{{name}}` in it stands for a variable."},
                },
            }},
            "model": {"type": ["string", "null"]},
            "parameters": {"type": "object"},
            "variables": {"type": "array", "items": text, "description": "Names of the variables, sorted."},
            "content_hash": {"type": "string", "description": "SHA-256 of the content."},
            "hash": {"type": "string", "description": "SHA-256 over content, message, author, time and the parent's hash: the `ETag`."},
            "created_at": {"type": "string", "format": "date-time"},
        },
    });
    let told = json!({
        "x-request-id": {"schema": text},
        "etag": {"schema": text},
        "x-prompt": {"schema": text, "description": "`name@number`: send it back as `x-prompt` with calls that are made with this version."},
    });
    let mut answers = Map::new();
    answers.insert(
        "200".to_owned(),
        json!({"description": "The version.", "headers": told, "content": {"application/json": {"schema": schema}}}),
    );
    answers.insert(
        "304".to_owned(),
        json!({"description": "The caller has it already (`If-None-Match`).", "headers": told}),
    );
    let refused = json!({"application/json": {"schema": error_schema(Speaks::Either)}});
    for (status, description) in [
        ("400", "The query is not valid."),
        ("401", "No credential, or one that opens nothing."),
        ("403", "The tenant of this API key is suspended."),
        ("404", "There is no such prompt, or no such version of it."),
        ("500", "Something failed inside Steward."),
        (
            "503",
            "The version cannot be read at the moment; to be asked for again.",
        ),
    ] {
        let answer = json!({"description": description, "content": refused, "headers": headers()});
        answers.insert(status.to_owned(), answer);
    }
    json!({"get": {
        "tags": ["prompts"],
        "operationId": "prompt",
        "summary": "A version of a prompt: by label, by number, or the newest.",
        "security": [{BEARER: []}, {KEY: []}],
        "parameters": [
            {"name": "name", "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}},
            {"name": "label", "in": "query", "required": false, "description": "The version that this label points at; `latest` is the newest.", "schema": text},
            {"name": "version", "in": "query", "required": false, "description": "The version of this number.", "schema": {"type": "integer", "minimum": 1}},
            parameter("if-none-match", "header", "The `ETag` of the version that the caller has."),
            parameter("anthropic-version", "header", "Errors are told in Anthropic's dialect."),
        ],
        "responses": answers,
    }})
}

/// What the gateway itself may refuse with. Nobody is there to read a 499, and a 405 is the answer to methods that
/// are not documented.
fn refusals() -> BTreeMap<u16, Vec<&'static str>> {
    let mut refusals: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in ErrorCode::ALL {
        if code.face() != Face::Control && !matches!(code.status(), 405 | 499) {
            refusals
                .entry(code.status())
                .or_default()
                .push(code.title());
        }
    }
    refusals
}

fn error_schema(speaks: Speaks) -> Value {
    let openai = json!({"$ref": "#/components/schemas/OpenAiError"});
    let anthropic = json!({"$ref": "#/components/schemas/AnthropicError"});
    match speaks {
        Speaks::OpenAi => openai,
        Speaks::Anthropic => anthropic,
        Speaks::Either => json!({"anyOf": [openai, anthropic]}),
    }
}

fn headers() -> Value {
    json!({request_id::HEADER: {
        "schema": {"type": "string"},
        "description": "Names this call: the `id` of its row under `/api/v1/logs/requests`.",
    }})
}

fn parameter(name: &str, place: &str, description: &str) -> Value {
    json!({"name": name, "in": place, "required": false, "description": description, "schema": {"type": "string"}})
}

/// The names of the schemas that no type of ours has.
#[cfg(test)]
pub(super) fn schema_names() -> [&'static str; 2] {
    schemas().map(|(name, _)| name)
}

fn schemas() -> [(&'static str, Value); 2] {
    let text = json!({"type": "string"});
    let maybe = json!({"type": ["string", "null"]});
    [
        (
            "OpenAiError",
            json!({
                "type": "object",
                "description": "An error as OpenAI's clients know it.",
                "required": ["error"],
                "properties": {"error": {
                    "type": "object",
                    "required": ["message", "type"],
                    "properties": {"message": text, "type": text, "param": maybe, "code": maybe},
                }},
            }),
        ),
        (
            "AnthropicError",
            json!({
                "type": "object",
                "description": "An error as Anthropic's clients know it.",
                "required": ["type", "error"],
                "properties": {
                    "type": {"type": "string", "enum": ["error"]},
                    "error": {
                        "type": "object",
                        "required": ["type", "message"],
                        "properties": {"type": text, "message": text},
                    },
                    "request_id": text,
                },
            }),
        ),
    ]
}

fn schemes() -> [(&'static str, Value); 2] {
    let description = "A token of an application (POST /api/v1/tokens), `sk-stw-…`, or the JWT of a signed-in user of an issuer (POST /api/v1/jwt-issuers).";
    [
        (
            BEARER,
            json!({"type": "http", "scheme": "bearer", "description": description}),
        ),
        (
            KEY,
            json!({"type": "apiKey", "in": "header", "name": "x-api-key", "description": description}),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::{BEARER, KEY, paths, schemas};
    use crate::gateway::dialect::{Endpoint, endpoint};
    use crate::http::openapi::openapi;

    #[test]
    fn what_is_documented_is_served_and_nothing_is_lost_on_the_way() {
        let document = openapi();
        let components = document.components.as_ref().unwrap();
        for scheme in [BEARER, KEY] {
            assert!(components.security_schemes.contains_key(scheme), "{scheme}");
        }
        for (name, schema) in schemas() {
            let kept = serde_json::to_value(&components.schemas[name]).unwrap();
            assert_eq!(kept["properties"], schema["properties"], "{name}");
        }
        for (path, written) in paths() {
            let item = serde_json::to_value(&document.paths.paths[path]).unwrap();
            let (method, endpoint) = match endpoint(path) {
                Some(Endpoint::Call(_)) => ("post", true),
                Some(_) => ("get", false),
                None => panic!("the gateway serves nothing at {path}"),
            };
            assert_eq!(
                item[method]["requestBody"], written[method]["requestBody"],
                "{path}"
            );
            assert_eq!(item[method]["requestBody"].is_object(), endpoint, "{path}");
            let answers = item[method]["responses"].as_object().unwrap();
            for status in [
                "200", "401", "403", "404", "413", "429", "502", "503", "504", "default",
            ] {
                assert!(answers.contains_key(status), "{path} {status}");
            }
            let id = &answers["200"]["headers"]["x-request-id"];
            assert!(id.is_object(), "{path}");
        }
    }
}
