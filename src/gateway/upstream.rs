//! Sends a call to the accounts that may serve it, one after the other, until one answers.
//!
//! Another account is tried only before the first byte and only when no provider can have done the work:
//! after no connection, 401, 408, 429 or 5xx. Once a request went out, silence or a broken line may hide a
//! call that was made and billed: making it again is the caller's to decide. When every account refused by
//! status, the last such answer passes as the provider gave it. What is sent is the caller's request with three
//! things changed: the credential, the model's name where the account knows it under another, and the wish for
//! usage. Redirects are not followed.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use steward_actors::domain::record::Operation;
use steward_actors::domain::snapshot::AccountView;

use crate::error::catalog::ErrorCode;
use crate::http::egress;

use super::breaker::{self, Outcome};
use super::client::{UpstreamClient, WholeBody};
use super::finish::Finish;
use super::inject;
use super::pulse::{Expired, Pulse};
use super::refusal::Refusal;
use super::request::RequestHead;
use super::{dialect, headers, route};

/// A call ready to be sent.
pub(super) struct Call<'a> {
    pub(super) client: &'a UpstreamClient,
    pub(super) operation: Operation,
    pub(super) query: Option<&'a str>,
    /// As the caller sent them.
    pub(super) headers: &'a [(&'a str, &'a [u8])],
    pub(super) body: &'a Bytes,
    pub(super) head: &'a RequestHead,
    pub(super) model: &'a str,
    /// The caller did not ask for usage, and the provider tells it only when asked.
    pub(super) wants_usage: bool,
}

/// An upstream's answer: its head is here, its body is to come.
pub(super) struct Answer {
    pub(super) head: http::response::Parts,
    pub(super) body: Incoming,
    /// The call's timer, to go on with.
    pub(super) pulse: Pulse,
    pub(super) withhold_usage: bool,
}

/// Finds an account that answers. `pulse` is the call's timer, if it has one already.
///
/// # Errors
/// No account may be tried, or none gave any answer.
pub(super) async fn send(
    finish: &mut Finish,
    call: &Call<'_>,
    pulse: Option<Pulse>,
) -> Result<Answer, Refusal> {
    let gateway = Arc::clone(finish.gateway());
    let mut now_ms = gateway.accounts.now_ms();
    let candidates = {
        let down = gateway.health.down_accounts();
        route::candidates(
            &gateway.snapshot.load().accounts,
            call.model,
            dialect::protocol_of(call.operation),
            |account| {
                gateway
                    .accounts
                    .availability(account, down.contains(&account.id), now_ms)
            },
            finish.seed(),
        )
    }
    .map_err(|reason| Refusal::no_route(reason, call.model))?;

    // The last answer that another account may better; who gave it, `finish` knows.
    let mut kept: Option<Answer> = None;
    let mut last = Refusal::new(ErrorCode::AccountsBusy).retry_after_ms(1_000);
    let (first_byte, max_attempts) = {
        let settings = gateway.settings.load();
        (settings.first_byte_timeout, settings.max_attempts)
    };
    let mut pulse = match pulse {
        Some(mut pulse) => {
            pulse.restart(first_byte);
            pulse
        }
        None => Pulse::new(first_byte),
    };
    let mut tried = 0;
    for account in &candidates.accounts {
        if tried == max_attempts {
            break;
        }
        if tried > 0 {
            now_ms = gateway.accounts.now_ms();
        }
        let Some((seat, pass)) = gateway
            .accounts
            .enter(account, candidates.last_resort, now_ms)
        else {
            continue;
        };
        if tried > 0 {
            gateway.counters.retry();
            pulse.restart(first_byte);
        }
        tried += 1;
        finish.tries(account, seat);
        match attempt(finish, call, account, &mut pulse).await {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let status = head.status.as_u16();
                let retry_after_ms = match status {
                    ..400 => None,
                    _ => headers::retry_after_ms(&head.headers),
                };
                let outcome = breaker::outcome_of(status, retry_after_ms);
                finish.begins(pass.settle(outcome, gateway.accounts.now_ms()));
                let answer = Answer {
                    head,
                    body,
                    pulse,
                    withhold_usage: call.wants_usage,
                };
                if kept.take().is_some() {
                    finish.gives_up();
                }
                if !worth_another(status) {
                    return Ok(answer);
                }
                gateway.counters.upstream_error();
                finish.sets_aside(status);
                kept = Some(answer);
                pulse = Pulse::new(first_byte);
            }
            Err(code) => {
                let failed = Outcome::Failure {
                    retry_after_ms: None,
                };
                if code == ErrorCode::ShuttingDown {
                    return Err(code.into());
                }
                pass.settle(failed, gateway.accounts.now_ms());
                gateway.counters.upstream_error();
                if code != ErrorCode::UpstreamUnreachable {
                    return Err(code.into());
                }
                finish.failed(code);
                last = Refusal::new(code);
            }
        }
    }
    match kept {
        Some(answer) => {
            finish.takes_up();
            Ok(answer)
        }
        None => Err(last),
    }
}

/// One try on one account: its answer's head, or why there is none.
async fn attempt(
    finish: &Finish,
    call: &Call<'_>,
    account: &AccountView,
    pulse: &mut Pulse,
) -> Result<http::Response<Incoming>, ErrorCode> {
    let request = request(call, account).map_err(|cause| {
        tracing::warn!(account = account.public_id, %cause, "the account's base URL or secret cannot be used");
        ErrorCode::UpstreamUnreachable
    })?;
    let mut answer = call.client.request(request);
    let cut = &finish.gateway().cut;
    std::future::poll_fn(|cx| {
        if let Poll::Ready(answer) = Pin::new(&mut answer).poll(cx) {
            return Poll::Ready(match answer {
                // Nobody asked to change protocols: whatever follows is no answer.
                Ok(answer) if answer.status().is_informational() => Err(ErrorCode::UpstreamBroken),
                Ok(answer) => Ok(answer),
                Err(cause) => {
                    if egress::is_refusal(&cause) {
                        tracing::warn!(account = account.public_id, "the account's host leads to a link-local or metadata address, which is never called");
                    } else {
                        tracing::debug!(account = account.public_id, %cause, "no answer from the upstream");
                    }
                    Err(if is_unsent(&cause) {
                        ErrorCode::UpstreamUnreachable
                    } else {
                        ErrorCode::UpstreamBroken
                    })
                }
            });
        }
        pulse.poll(cx, cut).map(|expired| {
            Err(match expired {
                Expired::Silence => ErrorCode::UpstreamTimeout,
                Expired::Cut => ErrorCode::ShuttingDown,
            })
        })
    })
    .await
}

/// Whether nothing of the request went out: no connection, or one that closed before it was written to. (On a
/// connection used before, the client has tried once more by itself.)
fn is_unsent(cause: &legacy::Error) -> bool {
    let canceled = || {
        cause
            .source()
            .and_then(|source| source.downcast_ref::<hyper::Error>())
            .is_some_and(hyper::Error::is_canceled)
    };
    cause.is_connect() || canceled()
}

/// The request as this account gets it.
fn request(call: &Call<'_>, account: &AccountView) -> Result<http::Request<WholeBody>, Unsendable> {
    let edits = inject::needed(
        call.head,
        account.upstream_model(call.model),
        call.wants_usage,
    );
    let body = inject::apply(call.body, call.head, edits).parts;
    let mut request = http::Request::new(WholeBody::new(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() =
        http::Uri::try_from(dialect::upstream_url(account, call.operation, call.query))?;
    *request.headers_mut() = headers::to_upstream(
        call.headers.iter().copied(),
        account.protocol,
        &account.secret,
        call.head.stream,
    )?;
    Ok(request)
}

/// The account as it is set up cannot be called.
#[derive(Debug, thiserror::Error)]
enum Unsendable {
    #[error(transparent)]
    Address(#[from] http::uri::InvalidUri),
    #[error(transparent)]
    Headers(#[from] headers::HeaderFault),
}

/// Whether another account may do better.
const fn worth_another(status: u16) -> bool {
    matches!(status, 401 | 408 | 429 | 500..)
}
