//! Tells an error of the gateway the way the caller's SDK expects it: OpenAI's or Anthropic's JSON, the
//! status its error classes go by, the headers its retries go by, and the event that ends a stream.
//!
//! An error of the provider is not told here: it passes as it came.

use serde::Serialize;
use steward_actors::domain::record::Operation;
use steward_actors::domain::snapshot::Protocol;

use super::catalog::ErrorCode;

/// What to tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure<'a> {
    pub code: ErrorCode,
    /// What happened this time; the catalog's sentence when empty. Must be free of secrets.
    pub detail: &'a str,
    /// The request's parameter at fault (OpenAI's `param`).
    pub param: Option<&'a str>,
    /// When a retry makes sense, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// The call's `x-request-id`.
    pub request_id: &'a str,
}

impl<'a> Failure<'a> {
    /// A failure told by the catalog's own sentence.
    pub fn new(code: ErrorCode, request_id: &'a str) -> Self {
        Self {
            code,
            detail: "",
            param: None,
            retry_after_ms: None,
            request_id,
        }
    }

    fn message(&self) -> String {
        if self.detail.is_empty() {
            format!("{} {}", self.code.title(), self.code.remedy())
        } else {
            self.detail.to_owned()
        }
    }
}

/// An answer ready to be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// Besides `x-request-id`, which every answer carries.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

#[derive(Serialize)]
struct OpenAiBody<'a> {
    error: OpenAiError<'a>,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct AnthropicBody<'a> {
    r#type: &'a str,
    error: AnthropicError<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct ResponsesError<'a> {
    r#type: &'a str,
    code: &'a str,
    message: &'a str,
    param: Option<&'a str>,
    sequence_number: u64,
}

/// OpenAI's `type` and `code` for one of ours.
fn openai_kind(code: ErrorCode) -> (&'static str, &'static str) {
    use ErrorCode as E;
    match code {
        E::TokenMissing | E::TokenInvalid => ("invalid_request_error", "invalid_api_key"),
        E::TokenExpired | E::TokenDisabled => ("invalid_request_error", code.slug()),
        E::TenantSuspended | E::ModelNotAllowed => ("permission_error", code.slug()),
        E::RateLimited | E::ConcurrencyLimited => ("requests", "rate_limit_exceeded"),
        E::TokensLimited => ("tokens", "rate_limit_exceeded"),
        E::QuotaExhausted | E::BudgetExhausted => ("insufficient_quota", "insufficient_quota"),
        _ if code.status() < 500 => ("invalid_request_error", code.slug()),
        _ => ("server_error", code.slug()),
    }
}

/// Anthropic's `type` for one of ours.
fn anthropic_kind(code: ErrorCode) -> &'static str {
    use ErrorCode as E;
    match (code, code.status()) {
        (E::AccountsDown | E::AccountsBusy | E::Overloaded, _) => "overloaded_error",
        (_, 401) => "authentication_error",
        (_, 403) => "permission_error",
        (_, 404) => "not_found_error",
        (_, 413) => "request_too_large",
        (_, 429) => "rate_limit_error",
        (_, 504) => "timeout_error",
        (_, status) if status < 500 => "invalid_request_error",
        _ => "api_error",
    }
}

/// An error's `type` in `protocol`, as the SDKs know it.
pub fn kind(protocol: Protocol, code: ErrorCode) -> &'static str {
    match protocol {
        Protocol::OpenAi => openai_kind(code).0,
        Protocol::Anthropic => anthropic_kind(code),
    }
}

/// The whole answer to a call that failed before its first byte.
pub fn answer(protocol: Protocol, failure: &Failure<'_>) -> Answer {
    let mut headers = vec![("content-type", "application/json".to_owned())];
    if let Some(ms) = failure.retry_after_ms {
        headers.push(("retry-after", ms.div_ceil(1_000).max(1).to_string()));
        headers.push(("retry-after-ms", ms.max(1).to_string()));
    }
    // A used-up quota is a 429 that no retry mends.
    if matches!(
        failure.code,
        ErrorCode::QuotaExhausted | ErrorCode::BudgetExhausted
    ) {
        headers.push(("x-should-retry", "false".to_owned()));
    }
    if protocol == Protocol::Anthropic {
        headers.push(("request-id", failure.request_id.to_owned()));
    }
    Answer {
        status: failure.code.status(),
        headers,
        body: body(protocol, failure),
    }
}

/// The JSON of an error.
pub fn body(protocol: Protocol, failure: &Failure<'_>) -> String {
    let message = failure.message();
    match protocol {
        Protocol::OpenAi => {
            let (kind, code) = openai_kind(failure.code);
            json(&OpenAiBody {
                error: OpenAiError {
                    message: &message,
                    r#type: kind,
                    param: failure.param,
                    code,
                },
            })
        }
        Protocol::Anthropic => json(&AnthropicBody {
            r#type: "error",
            error: AnthropicError {
                r#type: anthropic_kind(failure.code),
                message: &message,
            },
            request_id: failure.request_id,
        }),
    }
}

/// The event that tells a stream's client that it was cut. `next_sequence` is the number the Responses API
/// expects next. The stream must end after it without its terminal event.
pub fn stream_error(operation: Operation, failure: &Failure<'_>, next_sequence: u64) -> String {
    match operation {
        Operation::Messages | Operation::CountTokens => {
            format!(
                "event: error\ndata: {}\n\n",
                body(Protocol::Anthropic, failure)
            )
        }
        Operation::Responses => {
            let message = failure.message();
            let event = json(&ResponsesError {
                r#type: "error",
                code: openai_kind(failure.code).1,
                message: &message,
                param: failure.param,
                sequence_number: next_sequence,
            });
            format!("event: error\ndata: {event}\n\n")
        }
        _ => format!("data: {}\n\n", body(Protocol::OpenAi, failure)),
    }
}

fn json(value: &impl Serialize) -> String {
    // Strings and numbers only: it cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(protocol: Protocol, code: ErrorCode) -> (u16, Value, Vec<(&'static str, String)>) {
        let failure = Failure {
            retry_after_ms: (code.status() == 429).then_some(1_500),
            ..Failure::new(code, "req-1")
        };
        let answer = answer(protocol, &failure);
        (
            answer.status,
            serde_json::from_str(&answer.body).unwrap(),
            answer.headers,
        )
    }

    #[test]
    fn openai_clients_get_the_four_fields() {
        let (status, body, _) = told(Protocol::OpenAi, ErrorCode::TokenInvalid);
        assert_eq!(status, 401);
        assert_eq!(body["error"]["code"], "invalid_api_key");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert_eq!(body["error"]["param"], Value::Null);
        assert!(
            body["error"]["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        let (status, body, _) = told(Protocol::OpenAi, ErrorCode::ModelUnknown);
        assert_eq!(
            (status, &body["error"]["code"]),
            (404, &json!("model_not_found"))
        );
    }

    #[test]
    fn anthropic_clients_get_their_types() {
        let expected = [
            (ErrorCode::TokenMissing, 401, "authentication_error"),
            (ErrorCode::ModelNotAllowed, 403, "permission_error"),
            (ErrorCode::ModelUnknown, 404, "not_found_error"),
            (ErrorCode::BodyTooLarge, 413, "request_too_large"),
            (ErrorCode::BodyInvalid, 400, "invalid_request_error"),
            (ErrorCode::TokensLimited, 429, "rate_limit_error"),
            (ErrorCode::AccountsDown, 503, "overloaded_error"),
            (ErrorCode::NoAccount, 503, "api_error"),
            (ErrorCode::UpstreamTimeout, 504, "timeout_error"),
            (ErrorCode::UpstreamUnreachable, 502, "api_error"),
        ];
        for (code, status, kind) in expected {
            let (seen, body, headers) = told(Protocol::Anthropic, code);
            assert_eq!(seen, status, "{code:?}");
            assert_eq!(body["type"], "error");
            assert_eq!(body["error"]["type"], kind, "{code:?}");
            assert_eq!(body["request_id"], "req-1");
            assert!(headers.contains(&("request-id", "req-1".into())));
        }
    }

    #[test]
    fn limits_say_when_to_retry_and_quotas_say_not_to() {
        let (_, _, headers) = told(Protocol::OpenAi, ErrorCode::RateLimited);
        assert!(headers.contains(&("retry-after", "2".into())));
        assert!(headers.contains(&("retry-after-ms", "1500".into())));
        assert!(!headers.iter().any(|(name, _)| *name == "x-should-retry"));
        let (_, _, headers) = told(Protocol::OpenAi, ErrorCode::QuotaExhausted);
        assert!(headers.contains(&("x-should-retry", "false".into())));
    }

    #[test]
    fn a_cut_stream_ends_in_the_callers_error_event() {
        let failure = Failure {
            detail: "it \"broke\"\noff",
            ..Failure::new(ErrorCode::UpstreamBroken, "req-1")
        };
        let chat = stream_error(Operation::Chat, &failure, 0);
        let data: Value =
            serde_json::from_str(chat.strip_prefix("data: ").unwrap().trim_end()).unwrap();
        assert_eq!(data["error"]["message"], "it \"broke\"\noff");
        assert!(chat.ends_with("}\n\n"));

        let messages = stream_error(Operation::Messages, &failure, 0);
        assert!(messages.starts_with("event: error\ndata: {\"type\":\"error\",\"error\":{"));

        let responses = stream_error(Operation::Responses, &failure, 7);
        let data = responses.strip_prefix("event: error\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data.trim_end()).unwrap();
        assert_eq!(data["sequence_number"], 7);
        assert_eq!(data["code"], "upstream_broken");
    }
}
