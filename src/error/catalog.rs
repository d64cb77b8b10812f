//! Every error a caller or an operator can meet, once: its stable slug, its status, and what to do.
//!
//! Both faces read it: the gateway tells it in the caller's dialect ([`super::dialect`]), the control face
//! as a problem document. `docs/errors.md` is generated from it. It holds no text of a single failure.

use std::fmt::Write as _;

/// Which face an error can appear on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Face {
    /// `/v1/*`.
    Gateway,
    /// `/api/v1/*`.
    Control,
    /// Either.
    Both,
}

macro_rules! catalog {
    ($($name:ident $face:ident $status:literal $slug:literal: $title:literal, $remedy:literal;)*) => {
        /// What went wrong.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum ErrorCode {
            $(#[doc = $title] $name,)*
        }

        impl ErrorCode {
            /// The whole catalog, in the order it is documented.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Stable name: part of the API and of the record, never renamed.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// One sentence that says what happened.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// One sentence that says what to do about it.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }

            /// Where it can appear.
            pub const fn face(self) -> Face {
                match self { $(Self::$name => Face::$face,)* }
            }
        }
    };
}

catalog! {
    TokenMissing Both 401 "token_missing": "No API key was sent.",
        "Send the token as `Authorization: Bearer sk-stw-…` or as `x-api-key`.";
    TokenInvalid Both 401 "token_invalid": "The API key is not known here.",
        "Check that the whole token was copied and that it was not deleted.";
    TokenExpired Both 401 "token_expired": "The API key has expired.",
        "Ask an operator for a new token or a later expiry.";
    TokenDisabled Both 401 "token_disabled": "The API key is disabled.",
        "Ask an operator to enable it.";
    UserTokenInvalid Both 401 "user_token_invalid": "The user token is not accepted.",
        "The message says what is wrong with it; an operator sees the issuers that are in force.";
    UserTokenExpired Both 401 "user_token_expired": "The user token has expired.",
        "Sign in again for a new one.";
    TenantSuspended Both 403 "tenant_suspended": "The tenant of this API key is suspended.",
        "Ask an operator why, and to activate it.";
    ModelNotAllowed Gateway 403 "model_not_allowed": "The API key may not use this model.",
        "List `/v1/models` for those it may use, or ask an operator to allow it.";
    ModelMissing Gateway 400 "model_missing": "The request names no model.",
        "Set `model` to a non-empty string.";
    ModelUnknown Gateway 404 "model_not_found": "No account serves this model.",
        "List `/v1/models`, or add the model to an account.";
    ModelOnOtherProtocol Gateway 400 "model_on_other_protocol": "The model is served on the other protocol only.",
        "Call it through the other API (`/v1/messages` or `/v1/chat/completions`).";
    PromptUnknown Gateway 404 "prompt_not_found": "There is no such prompt, or no such version of it.",
        "Check the name, the label or the number; an operator sees them under prompts.";
    RateLimited Gateway 429 "rate_limit_exceeded": "The API key makes too many requests a minute.",
        "Wait for `retry-after`, or ask an operator for a higher limit.";
    TokensLimited Gateway 429 "token_rate_limit_exceeded": "The API key uses too many model tokens a minute.",
        "Wait for `retry-after`, or ask an operator for a higher limit.";
    ConcurrencyLimited Gateway 429 "concurrency_limit_exceeded": "The API key has too many calls in flight.",
        "Let some finish, or ask an operator for a higher limit.";
    QuotaExhausted Gateway 429 "insufficient_quota": "The API key has used up its token quota.",
        "Ask an operator for a larger quota; retrying does not help.";
    BudgetExhausted Gateway 429 "budget_exhausted": "The budget of this API key or its tenant is used up.",
        "Wait for the next period, or ask an operator for a larger budget.";
    BodyTooLarge Both 413 "request_too_large": "The request body is too large.",
        "Send less, or raise `gateway.max_body_bytes`.";
    BodyInvalid Both 400 "invalid_json": "The request body is not valid JSON.",
        "Send a UTF-8 JSON object, nested at most 127 levels deep.";
    RequestInvalid Both 400 "invalid_request": "The request is not valid.",
        "Correct what `detail` names.";
    HeadersInvalid Both 400 "invalid_headers": "The request headers contradict each other.",
        "Send each of `host`, `authorization`, `x-api-key` and `content-length` once.";
    MediaTypeUnsupported Both 415 "unsupported_media_type": "The body's media type or encoding is not supported.",
        "Send `application/json` without a content encoding; to `/v1/traces` also `application/x-protobuf`, and gzip.";
    NotFound Both 404 "not_found": "There is nothing at this address.",
        "Check the path and the id.";
    MethodNotAllowed Both 405 "method_not_allowed": "The address does not take this method.",
        "See `allow` for those it takes.";
    RequestTimeout Both 408 "request_timeout": "The request took too long to arrive.",
        "Send the whole request without pausing.";
    ClientClosed Gateway 499 "client_closed_request": "The client left before the answer ended.",
        "Nothing is wrong here; raise the client's time-out if it was that.";
    NoAccount Gateway 503 "no_account": "No upstream account is set up for this protocol.",
        "Add an account, or enable one.";
    AccountsDown Gateway 503 "upstream_unavailable": "Every account that serves this model is failing.",
        "Retry after `retry-after`; an operator sees the reasons under accounts.";
    AccountsBusy Gateway 503 "upstream_busy": "Every account that serves this model is at its concurrency limit.",
        "Retry after `retry-after`, or raise the accounts' limits.";
    UpstreamUnreachable Gateway 502 "upstream_unreachable": "The upstream could not be reached.",
        "Retry; an operator checks the account's base URL and the network.";
    UpstreamBroken Gateway 502 "upstream_broken": "The upstream broke off its answer.",
        "Retry the call.";
    UpstreamError Gateway 502 "upstream_error": "The upstream answered with an error.",
        "The message is the provider's own; see its documentation.";
    UpstreamCredential Gateway 502 "upstream_credential": "The upstream refused the account's credential.",
        "An operator replaces the account's key.";
    UpstreamTimeout Gateway 504 "upstream_timeout": "The upstream did not answer in time.",
        "Retry, or raise the gateway's time-outs.";
    LedgerFull Both 503 "ledger_full": "The books cannot take another record.",
        "An operator frees disk space or chooses another `ledger.overflow`.";
    ShuttingDown Both 503 "shutting_down": "This process is shutting down.",
        "Retry; another one takes over.";
    Overloaded Both 503 "overloaded": "The server cannot take more at the moment.",
        "Retry after `retry-after`.";
    Internal Both 500 "internal_error": "Something failed inside Steward.",
        "Report the request id; the cause is in the process's log.";

    Unauthenticated Control 401 "unauthenticated": "You are not signed in.",
        "Sign in, or send a valid access token or operator key.";
    CredentialsWrong Control 401 "invalid_credentials": "User name or password is wrong.",
        "Check both; after several failures further tries are delayed.";
    SessionEnded Control 401 "session_ended": "The session has ended.",
        "Sign in again.";
    Forbidden Control 403 "forbidden": "Your role does not permit this.",
        "Ask an administrator for the permission that `detail` names.";
    OriginRefused Control 403 "origin_refused": "The request came from another site.",
        "Use the console's own address, or allow the origin.";
    PasswordChangeRequired Control 403 "password_change_required": "The password must be changed first.",
        "Change it with `POST /api/v1/auth/password`.";
    PasswordWeak Control 422 "password_weak": "The new password is too weak.",
        "Choose a longer one that is not the old one.";
    ValidationFailed Control 422 "validation_failed": "Some fields are not valid.",
        "Correct the fields that `errors` names.";
    CursorInvalid Control 400 "invalid_cursor": "The page cursor is not valid.",
        "Start again without `cursor`.";
    RangeInvalid Control 400 "invalid_range": "The time range is not valid.",
        "Give `from` before `to`, or one of the named ranges.";
    ScanBudgetExceeded Control 400 "scan_budget_exceeded": "The query would read too much.",
        "Narrow the range or the filters.";
    TicketInvalid Control 401 "ticket_invalid": "The ticket is used up, too old or unknown.",
        "Get a fresh one with `POST /api/v1/auth/ws-ticket` or `auth/download-ticket`.";
    TopicUnknown Control 404 "topic_unknown": "There is no such topic.",
        "Subscribe to one of those that `GET /api/v1/ws` names.";
    Conflict Control 409 "conflict": "It conflicts with what exists.",
        "Choose another name, or change the existing one.";
    InUse Control 409 "in_use": "Something else still needs it.",
        "Remove what `detail` names first.";
    LastAdministrator Control 409 "last_administrator": "This is the last administrator who can sign in.",
        "Make another administrator first.";
    IdempotencyMismatch Control 422 "idempotency_mismatch": "This idempotency key was used for another request.",
        "Use a fresh key for a different request.";
    IdempotencyInProgress Control 409 "idempotency_in_progress": "The first request with this idempotency key is still running.",
        "Retry shortly.";
    PreconditionFailed Control 412 "precondition_failed": "Someone else has changed it since you read it.",
        "Read it again and repeat your change.";
    TooManyRequests Control 429 "too_many_requests": "Too many requests.",
        "Wait for `retry-after`.";
    LoginThrottled Control 429 "login_throttled": "Too many failed attempts to sign in.",
        "Wait for `retry-after`.";
    EgressRefused Control 422 "egress_refused": "This address may not be called from here.",
        "Use a public address, or set `egress.allow_private`.";
    CallNotBooked Control 409 "call_not_booked": "The call is not on the books yet.",
        "Retry after `retry-after`; a call is booked within a second of its end.";
    FeedbackHandled Control 409 "feedback_handled": "Somebody has dealt with this feedback already.",
        "Leave it as it is, or ask an operator to open it again.";
    JobNotCancellable Control 409 "job_not_cancellable": "The job has already ended.",
        "Nothing is left to cancel.";
    Unavailable Control 503 "unavailable": "A part that is needed does not answer.",
        "Retry; `/health` says which part.";
}

impl ErrorCode {
    /// Reads a slug back.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.slug() == slug)
    }
}

/// The text of `docs/errors.md`.
pub fn markdown() -> String {
    let mut text = String::from(
        "# Errors\n\nGenerated from `src/error/catalog.rs`; do not edit. The code is stable: it is what programs compare, in the\n\
         `code` of an error answer and in the `error_code` of a record.\n",
    );
    let sections = [
        ("Gateway (`/v1/*`)", Face::Gateway),
        ("Control face (`/api/v1/*`)", Face::Control),
        ("Both", Face::Both),
    ];
    for (title, face) in sections {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n## {title}\n\n| code | status | what happened | what to do |\n|---|---|---|---|\n"
        );
        for code in ErrorCode::ALL.iter().filter(|code| code.face() == face) {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} |",
                code.slug(),
                code.status(),
                code.title(),
                code.remedy()
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn slugs_are_unique_readable_and_read_back() {
        let mut seen = HashSet::new();
        for code in ErrorCode::ALL {
            assert!(seen.insert(code.slug()), "{} twice", code.slug());
            assert!(
                code.slug()
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            );
            assert!(code.slug().len() <= 64);
            assert_eq!(ErrorCode::from_slug(code.slug()), Some(*code));
        }
    }

    #[test]
    fn every_entry_is_an_error_with_a_sentence_and_a_way_out() {
        for code in ErrorCode::ALL {
            assert!((400..600).contains(&code.status()), "{code:?}");
            assert!(
                code.title().ends_with('.') && code.remedy().ends_with('.'),
                "{code:?}"
            );
        }
    }

    /// `STEWARD_WRITE_DOCS=1 cargo test -p steward the_error_reference` writes it anew.
    #[test]
    fn the_error_reference_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");
        if std::env::var_os("STEWARD_WRITE_DOCS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == markdown(),
            "docs/errors.md is not current: run `STEWARD_WRITE_DOCS=1 cargo test -p steward the_error_reference`"
        );
    }

    #[test]
    fn the_document_names_every_code() {
        let text = markdown();
        for code in ErrorCode::ALL {
            assert!(text.contains(&format!("| `{}` |", code.slug())));
        }
    }
}
