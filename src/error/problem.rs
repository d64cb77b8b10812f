//! What the control face answers when it cannot do what was asked: RFC 9457 `application/problem+json`.
//!
//! An [`ApiError`] says one of the catalog's codes, what the caller may know, and — apart from that — the
//! cause, which is logged once here with the request's id and never shown. The gateway's face speaks its
//! callers' dialects instead and has its own module.

use std::borrow::Cow;
use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use sea_orm::{DbErr, SqlErr};
use serde::{Deserialize, Serialize};
use steward_entities::database::READ_DEADLINE;
use steward_entities::read_deadline::is_overdue;
use utoipa::ToSchema;

use super::catalog::ErrorCode;
use crate::http::request_id;

/// Media type of every error of the control face.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One input that was refused.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct FieldError {
    /// Path of the input, for example `allowed_models[2]`.
    pub field: String,
    /// What is wrong with it, for people.
    pub message: String,
}

/// An error as it is sent.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of error; a relative reference made of the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of error, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, for people.
    pub detail: String,
    /// Stable name of the error, for programs.
    pub code: String,
    /// Names this request in the log; also in `x-request-id`.
    pub request_id: String,
    /// The inputs that were refused; empty for other errors.
    pub errors: Vec<FieldError>,
}

/// Why a handler of the control face cannot do what was asked.
pub struct ApiError(Box<Inner>);

struct Inner {
    code: ErrorCode,
    detail: Option<Cow<'static, str>>,
    errors: Vec<FieldError>,
    retry_after_s: Option<u64>,
    allow: Option<String>,
    cause: Option<String>,
}

impl ApiError {
    /// An error that says no more than its code.
    pub fn new(code: ErrorCode) -> Self {
        Self(Box::new(Inner {
            code,
            detail: None,
            errors: Vec::new(),
            retry_after_s: None,
            allow: None,
            cause: None,
        }))
    }

    /// What happened this time, for the caller's eyes.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Names an input that was refused; may be called several times.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.0.errors.push(FieldError {
            field: field.into(),
            message: message.into(),
        });
        self
    }

    /// Asks the caller to wait, in whole seconds.
    #[must_use]
    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds.max(1));
        self
    }

    /// The methods that would have been allowed, for `405`.
    #[must_use]
    pub fn allow(mut self, methods: String) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// The cause, for the log only.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// Something of ours failed: 500, with the cause in the log.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(ErrorCode::Internal).because(cause)
    }

    /// No such thing, or not for this operator. `what` is a noun: "token".
    pub fn not_found(what: &str) -> Self {
        Self::new(ErrorCode::NotFound).detail(format!("There is no such {what}."))
    }

    /// One input was refused.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ValidationFailed).field(field, message)
    }

    /// Another row already has this value.
    pub fn taken(field: &str) -> Self {
        Self::new(ErrorCode::Conflict)
            .detail(format!("Another one has this {field} already."))
            .field(field, "is taken")
    }

    /// Tells a broken uniqueness as "this field is taken"; every other failure as what it is.
    pub fn unique(field: &'static str) -> impl Fn(DbErr) -> Self {
        move |error| match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => Self::taken(field),
            _ => error.into(),
        }
    }

    /// The catalog's code.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// What happened this time, as the caller is told.
    pub fn shown_detail(&self) -> String {
        match &self.0.detail {
            Some(detail) => detail.to_string(),
            None if !self.0.errors.is_empty() => {
                let fields: Vec<&str> = self.0.errors.iter().map(|e| e.field.as_str()).collect();
                format!("Refused: {}.", fields.join(", "))
            }
            None => self.0.code.title().to_owned(),
        }
    }

    /// The same in one sentence, where there is no form to show each refused input at: a job's.
    pub fn sentence(&self) -> String {
        let fields = self.0.errors.iter();
        let fields: Vec<String> = fields
            .map(|e| format!("{} {}", e.field, e.message))
            .collect();
        match (&self.0.detail, fields.is_empty()) {
            (None, false) => fields.join("; "),
            _ => self.shown_detail(),
        }
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("code", &self.0.code.slug())
            .field("detail", &self.0.detail)
            .field("errors", &self.0.errors)
            .field("cause", &self.0.cause)
            .finish()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.slug(), self.shown_detail())?;
        // Where there is no list of fields to look at, as on a command line.
        self.0
            .errors
            .iter()
            .try_for_each(|error| write!(f, " {} {}.", error.field, error.message))
    }
}

impl std::error::Error for ApiError {}

impl From<DbErr> for ApiError {
    fn from(error: DbErr) -> Self {
        match error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::new(ErrorCode::Unavailable)
                .detail("The database does not answer; nothing was changed.")
                .retry_after_s(1)
                .because(error),
            late if is_overdue(&late) => Self::new(ErrorCode::Unavailable)
                .detail(format!(
                    "The database did not find the answer within {} seconds; ask for less: a shorter time, or other filters.",
                    READ_DEADLINE.as_secs()
                ))
                .because(late),
            other => Self::internal(other),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let request_id = request_id::current()
            .map(|id| id.to_string())
            .unwrap_or_default();
        let status = self.status_code();
        let code = self.0.code.slug();
        if status.is_server_error() {
            let cause = self.0.cause.as_deref().unwrap_or("unknown");
            tracing::error!(
                request_id,
                code,
                cause,
                "a request failed for a reason of ours"
            );
        } else if let Some(cause) = &self.0.cause {
            tracing::debug!(request_id, code, cause, "a request was refused");
        }
        let mut response = HttpResponse::build(status);
        response.content_type(MEDIA_TYPE);
        if let Some(seconds) = self.0.retry_after_s {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Some(methods) = &self.0.allow {
            response.insert_header((header::ALLOW, methods.as_str()));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"steward\""));
        }
        let problem = Problem {
            kind: format!("/problems/{code}"),
            title: self.0.code.title().to_owned(),
            status: status.as_u16(),
            detail: self.shown_detail(),
            code: code.to_owned(),
            request_id,
            errors: self.0.errors.clone(),
        };
        response.body(serde_json::to_vec(&problem).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};

    use super::*;
    use crate::testing::World;

    #[actix_web::test]
    async fn a_read_that_was_given_up_is_told_as_that_postgres() {
        let world = World::postgres().await;
        let txn = world.database.control_read.begin().await.unwrap();
        txn.execute_unprepared("SET LOCAL statement_timeout = 50")
            .await
            .unwrap();
        let nap = Statement::from_string(DbBackend::Postgres, "SELECT pg_sleep(20)");
        let error = ApiError::from(txn.query_one_raw(nap).await.unwrap_err());
        assert_eq!(error.code(), ErrorCode::Unavailable);
        assert!(error.shown_detail().contains("ask for less"), "{error}");
        let nonsense = Statement::from_string(DbBackend::Postgres, "SELECT nothing");
        let other = world.database.control_read.query_one_raw(nonsense).await;
        let error = ApiError::from(other.unwrap_err());
        assert_eq!(error.code(), ErrorCode::Internal);
    }
}
