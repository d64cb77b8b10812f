//! Chat calls of tokens that ask for it get the best of their tenant's pairs as context.
//!
//! The one part of a call's way that asks a database and an account (the question has to be embedded, which is a call on the
//! books of its own): only for tokens with `knowledge` on, and never at the call's expense. A search that fails, that has
//! nothing to look through yet or that takes longer than [`PATIENCE`] leaves the call as it is. What came of it stands in the
//! call's record and in the answer's [`HEADER`]. Where in the request the context goes is [`augment`]'s.

use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use steward_actors::domain::record::Operation;
use steward_actors::domain::snapshot::TokenView;
use steward_actors::knowledge::find::NotFound;
use steward_entities::scope::Scope;

use super::augment::{self, Opening, Unfit};
use super::finish::Finish;
use super::request::RequestHead;
use super::{Asked, Gateway};

/// `off` in a request: no context for this call. In an answer: how many pairs the call was given, or a word for why none.
pub(super) static HEADER: HeaderName = HeaderName::from_static("x-steward-knowledge");
const PATIENCE: Duration = Duration::from_secs(2);

/// What a call was given.
pub(super) enum Given {
    /// Public ids of the pairs, the nearest first.
    Pairs(Vec<String>),
    Nothing(Why),
}

/// Why a call was given nothing.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Why {
    /// The caller switched it off.
    Off,
    /// No pair of the tenant is near enough.
    None,
    /// The token belongs to no tenant, and pairs do.
    NoTenant,
    /// No user says anything in words.
    NoQuestion,
    /// The turns are too long to look through.
    TooLarge,
    /// The vectors are still being read into memory.
    Loading,
    TimedOut,
    Failed,
}

impl Why {
    const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::None => "none",
            Self::NoTenant => "no_tenant",
            Self::NoQuestion => "no_question",
            Self::TooLarge => "too_large",
            Self::Loading => "loading",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
        }
    }
}

impl From<Unfit> for Why {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::NoQuestion => Self::NoQuestion,
            Unfit::TooLarge => Self::TooLarge,
        }
    }
}

impl Given {
    /// As the record says it.
    pub(super) fn recorded(&self) -> String {
        match self {
            Self::Pairs(ids) => ids.join(","),
            Self::Nothing(why) => why.word().to_owned(),
        }
    }

    /// As the answer says it.
    pub(super) fn told(&self) -> HeaderValue {
        match self {
            Self::Pairs(ids) => HeaderValue::from(ids.len()),
            Self::Nothing(Why::None) => HeaderValue::from_static("0"),
            Self::Nothing(why) => HeaderValue::from_static(why.word()),
        }
    }
}

/// The body of a call with the context in it, where there is one. `head` is what was read of the body, and is read anew.
pub(super) async fn add(
    finish: &mut Finish,
    token: &TokenView,
    asked: &Asked<'_>,
    body: Bytes,
    head: &mut RequestHead,
) -> Bytes {
    let operation = finish.operation();
    if !matches!(
        operation,
        Operation::Chat | Operation::Messages | Operation::Responses
    ) {
        return body;
    }
    let found = if is_off(asked.headers) {
        Err(Why::Off)
    } else {
        let opening = augment::look(&body, head, operation).map_err(Why::from);
        match opening {
            Ok(opening) => find(asked.gateway, token, &opening)
                .await
                .map(|(ids, context)| (opening, ids, context)),
            Err(why) => Err(why),
        }
    };
    let (given, body) = match found {
        Ok((opening, ids, context)) => (
            Given::Pairs(ids),
            augment::put(&body, head, &opening, &context),
        ),
        Err(why) => (Given::Nothing(why), body),
    };
    finish.given(given, &body, head);
    body
}

fn is_off(headers: &HeaderMap) -> bool {
    headers
        .get(&HEADER)
        .is_some_and(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"off"))
}

/// The pairs nearest to the question, and the context they make.
async fn find(
    gateway: &Gateway,
    token: &TokenView,
    opening: &Opening,
) -> Result<(Vec<String>, String), Why> {
    // A scope of everything would be other tenants' pairs.
    if token.tenant_id == 0 {
        return Err(Why::NoTenant);
    }
    let knowledge = gateway.knowledge.as_ref().ok_or(Why::None)?;
    let (top_k, min_score) = {
        let settings = gateway.settings.load();
        (
            settings.top_k as usize,
            settings.min_score_nano as f32 / 1e9,
        )
    };
    let scope = Scope::Tenant(token.tenant_id);
    let search = knowledge.find(scope, &opening.question, top_k, min_score);
    let found = tokio::time::timeout(PATIENCE, search)
        .await
        .map_err(|_| {
            tracing::warn!(
                token = token.public_id,
                "no knowledge was found in time; the call goes on without"
            );
            Why::TimedOut
        })?
        .map_err(|cause| why(token, cause))?;
    let pairs = found
        .iter()
        .map(|hit| (hit.pair.question.as_str(), hit.pair.answer.as_str()));
    let (context, which) = augment::context(pairs).ok_or(Why::None)?;
    let ids = which
        .into_iter()
        .map(|index| found[index].pair.public_id.clone());
    Ok((ids.collect(), context))
}

fn why(token: &TokenView, cause: NotFound) -> Why {
    let reason = match cause {
        NotFound::Loading => return Why::Loading,
        NotFound::Unembedded(failed) => failed.sentence,
        NotFound::Store(failed) => failed.sentence,
        NotFound::Database(error) => error.to_string(),
    };
    tracing::warn!(
        token = token.public_id,
        reason,
        "no knowledge can be looked for; the call goes on without"
    );
    Why::Failed
}
