//! A call that is answered by us instead of an upstream: why, and the answer in the caller's dialect.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use steward_actors::domain::snapshot::Protocol;

use crate::error::catalog::ErrorCode;
use crate::error::dialect::{self, Failure};

use super::limits;
use super::route::NoRoute;

/// Why a call is not served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    pub(super) code: ErrorCode,
    /// Free of secrets; empty: the catalog's sentence.
    pub(super) detail: Cow<'static, str>,
    pub(super) param: Option<&'static str>,
    pub(super) retry_after_ms: Option<u64>,
    /// Beside those of the error itself.
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(super) const fn new(code: ErrorCode) -> Self {
        Self {
            code,
            detail: Cow::Borrowed(""),
            param: None,
            retry_after_ms: None,
            headers: Vec::new(),
        }
    }

    pub(super) fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    pub(super) const fn param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    pub(super) const fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// The answer to a caller of `protocol`, under our request id.
    pub(super) fn answer(&self, protocol: Protocol, request_id: &str) -> HttpResponse {
        let told = dialect::answer(
            protocol,
            &Failure {
                code: self.code,
                detail: &self.detail,
                param: self.param,
                retry_after_ms: self.retry_after_ms,
                request_id,
            },
        );
        let status = StatusCode::from_u16(told.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        response.insert_header(("x-request-id", request_id));
        for (name, value) in told.headers.iter().chain(&self.headers) {
            response.insert_header((*name, value.as_str()));
        }
        if self.code == ErrorCode::BodyTooLarge {
            // The rest of the body is not read: the connection cannot serve another request.
            response.force_close();
        }
        response.body(told.body)
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

impl Refusal {
    /// No account can be tried for `model`.
    pub(super) fn no_route(reason: NoRoute, model: &str) -> Self {
        match reason {
            NoRoute::NoAccount => Self::new(ErrorCode::NoAccount),
            NoRoute::UnknownModel => Self::new(ErrorCode::ModelUnknown)
                .detail(format!("No account serves the model `{model}`."))
                .param("model"),
            NoRoute::OnlyOtherProtocol => Self::new(ErrorCode::ModelOnOtherProtocol)
                .detail(format!(
                    "The model `{model}` is served on the other protocol only: call it through the other API."
                ))
                .param("model"),
            NoRoute::AllDown { retry_after_ms } => {
                Self::new(ErrorCode::AccountsDown).retry_after_ms(retry_after_ms)
            }
            NoRoute::AllBusy => Self::new(ErrorCode::AccountsBusy).retry_after_ms(1_000),
        }
    }
}

impl From<limits::Refusal> for Refusal {
    fn from(refused: limits::Refusal) -> Self {
        Self::new(refused.code()).retry_after_ms(refused.retry_after_ms)
    }
}
