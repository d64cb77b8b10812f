//! The one owner of a call's end: whatever happens, exactly one record is written, and what the call held
//! (limits, an account's place) is given back.
//!
//! It is opened when a known token is seen and moves with the call: through the handler, then into the
//! answer's body. Whoever drops it without closing it was cancelled by the client's leaving, or is being
//! unwound by a panic, and that is what the record then says.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use actix_web::HttpResponse;
use actix_web::http::header::HeaderName;
use bytes::Bytes;
use steward_actors::domain::prompt::PromptVersion;
use steward_actors::domain::record::{Attempt, Operation, Record, Source};
use steward_actors::domain::rid::RecordId;
use steward_actors::domain::snapshot::{AccountView, Protocol, TokenKey};
use steward_actors::spool;

use crate::error::catalog::ErrorCode;
use crate::error::dialect::{self, Failure};

use super::breaker::Begun;
use super::budget::Hold;
use super::capture::Capture;
use super::closing::{Closed, Closing, Prompt};
use super::knowledge::Given;
use super::limits::{Admission, Place};
use super::meter::Reading;
use super::redact;
use super::refusal::Refusal;
use super::request::RequestHead;
use super::tap::{Measured, Tap};
use super::token_key::Caller;
use super::{Asked, Gateway};

static X_APP_ID: HeaderName = HeaderName::from_static("x-app-id");
static X_USER_ID: HeaderName = HeaderName::from_static("x-user-id");
static X_CONVERSATION_ID: HeaderName = HeaderName::from_static("x-conversation-id");
static X_PROMPT: HeaderName = HeaderName::from_static("x-prompt");

/// How a call ended.
pub(super) enum End<'a> {
    /// The upstream's answer, whatever its status, is complete.
    Answered,
    /// We answered in its stead.
    Refused(&'a Refusal),
    /// The answer had begun and was cut.
    Broken(ErrorCode),
    /// The client left.
    Left,
}

impl End<'_> {
    /// The end of a call that is dropped before anyone said how it ended.
    pub(super) fn unsaid() -> Self {
        if std::thread::panicking() {
            Self::Broken(ErrorCode::Internal)
        } else {
            Self::Left
        }
    }
}

/// What the call says about itself, as far as it has been read.
#[derive(Default)]
pub(super) struct About {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) app: String,
    pub(super) end_user: String,
    pub(super) conversation: String,
    /// The version of a prompt that the caller named, if there is one.
    pub(super) prompt_version: Option<Arc<PromptVersion>>,
    pub(super) client_ip: String,
    pub(super) prompt: Prompt,
    /// What of its tenant's knowledge it was given, when its token wants any.
    pub(super) knowledge: Option<Given>,
    /// For tokens whose conversations are kept.
    pub(super) capture: Option<Box<Capture>>,
}

/// The account that is being tried, or that answered.
pub(super) struct Trial {
    account: Arc<AccountView>,
    started_at: i64,
    started: Instant,
    place: Option<Place>,
    /// Its answer began well.
    begun: Option<Begun>,
    /// How long it took to refuse, when it did.
    refused_ms: Option<i64>,
}

/// See the module.
pub(super) struct Finish {
    gateway: Arc<Gateway>,
    id: RecordId,
    caller: Caller,
    operation: Operation,
    protocol: Protocol,
    request_at: i64,
    started: Instant,
    pub(super) about: About,
    attempts: Vec<Attempt>,
    trial: Option<Trial>,
    /// The account that answered, with this status, while others are tried that may do better.
    aside: Option<(Trial, u16)>,
    admission: Option<Admission>,
    hold: Option<Hold>,
    status: u16,
    upstream_request_id: String,
    closed: bool,
}

impl Finish {
    /// A call of a known token, or of a user, has come in.
    pub(super) fn open(
        asked: &Asked<'_>,
        key: &TokenKey,
        user: Option<Arc<str>>,
        operation: Operation,
    ) -> Self {
        let gateway = Arc::clone(asked.gateway);
        gateway.counters.opened();
        Self {
            request_at: gateway.clock.now_micros(),
            started: Instant::now(),
            gateway,
            id: asked.id,
            about: About {
                end_user: user.as_deref().unwrap_or_default().to_owned(),
                ..About::default()
            },
            caller: Caller::of(Arc::clone(&key.token), user),
            operation,
            protocol: asked.protocol,
            attempts: Vec::new(),
            trial: None,
            aside: None,
            admission: None,
            hold: None,
            status: 0,
            upstream_request_id: String::new(),
            closed: false,
        }
    }

    pub(super) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    pub(super) fn operation(&self) -> Operation {
        self.operation
    }

    /// Our public id of the call.
    pub(super) fn request_id(&self) -> String {
        self.id.to_string()
    }

    /// Different for every call; for drawing among accounts.
    pub(super) fn seed(&self) -> u64 {
        self.id.tail
    }

    /// When the call came in, microseconds since the Unix epoch.
    pub(super) fn request_at(&self) -> i64 {
        self.request_at
    }

    /// When the call came in, for measuring.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// The credential in use, which must not come back to the client.
    pub(super) fn account(&self) -> Option<&Arc<AccountView>> {
        self.trial.as_ref().map(|trial| &trial.account)
    }

    /// Takes from the request what the record says about it.
    pub(super) fn reads(&mut self, head: &RequestHead, body: &Bytes, asked: &Asked<'_>) {
        let header = |name: &HeaderName| {
            let value = asked.headers.get(name)?.to_str().ok()?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let app = &self.caller.token().app;
        let app = if app.is_empty() {
            header(&X_APP_ID).unwrap_or_default()
        } else {
            app.clone()
        };
        // Who signed in is known; what the body says of it is anybody's word.
        let end_user = match self.caller.user() {
            Some(user) => Some(user.to_owned()),
            None => head.user.clone().or_else(|| header(&X_USER_ID)),
        };
        let conversation = header(&X_CONVERSATION_ID).or_else(|| head.conversation.clone());
        // A name that nobody knows is no reason to refuse a call.
        let prompt_version = header(&X_PROMPT)
            .and_then(|named| self.gateway.snapshot.load().prompts.find(&named).cloned());
        let address = self
            .gateway
            .record_client_ip
            .then(|| (asked.address)().to_string());
        self.about = About {
            model: head.model.clone().unwrap_or_default(),
            stream: head.stream,
            app,
            end_user: end_user.unwrap_or_default(),
            conversation: conversation.unwrap_or_default(),
            prompt_version,
            client_ip: address.unwrap_or_default(),
            prompt: Prompt::of(body, head),
            knowledge: None,
            capture: Capture::begin(
                self.gateway.contents.as_ref(),
                &self.gateway.snapshot,
                self.caller.token(),
                self.operation,
                body,
            ),
        };
    }

    /// The call's body has been given context, or was to be. What is estimated is what is sent; what is kept of the
    /// conversation stays what the caller said.
    pub(super) fn given(&mut self, given: Given, body: &Bytes, head: &RequestHead) {
        self.about.prompt = Prompt::of(body, head);
        self.about.knowledge = Some(given);
    }

    /// Keeps the call's place in the limits, and what it holds of budgets.
    pub(super) fn admitted(&mut self, admission: Admission, hold: Hold) {
        self.admission = Some(admission);
        self.hold = Some(hold);
    }

    /// An account is being tried.
    pub(super) fn tries(&mut self, account: &Arc<AccountView>, place: Place) {
        self.trial = Some(Trial {
            account: Arc::clone(account),
            started_at: self.gateway.clock.now_micros(),
            started: Instant::now(),
            place: Some(place),
            begun: None,
            refused_ms: None,
        });
    }

    /// The account being tried has begun to answer; told only when it began well.
    pub(super) fn begins(&mut self, begun: Option<Begun>) {
        if let Some(trial) = &mut self.trial {
            trial.begun = begun;
        }
    }

    /// The account being tried was not reached. (Of one that got the call and fell silent, the trial stays: it may have
    /// worked for it.)
    pub(super) fn failed(&mut self, code: ErrorCode) {
        if let Some(trial) = self.trial.take() {
            self.attempts.push(trial.attempt(0, code.slug()));
        }
    }

    /// The account being tried answered, but another may do better. Its place is for others now.
    pub(super) fn sets_aside(&mut self, status: u16) {
        self.aside = self.trial.take().map(|mut trial| {
            trial.place = None;
            trial.refused_ms = Some(millis(trial.started));
            (trial, status)
        });
    }

    /// Nobody did better than the account set aside.
    pub(super) fn takes_up(&mut self) {
        self.trial = self.aside.take().map(|(trial, _)| trial);
    }

    /// Somebody did better than the account set aside: it is only an attempt now.
    pub(super) fn gives_up(&mut self) {
        if let Some((trial, status)) = self.aside.take() {
            self.attempts
                .push(trial.attempt(status, ErrorCode::UpstreamError.slug()));
        }
    }

    /// The upstream's answer has begun.
    pub(super) fn answered(&mut self, status: u16, upstream_request_id: &str) {
        self.status = status;
        upstream_request_id.clone_into(&mut self.upstream_request_id);
    }

    /// Closes the books on a call that we answer ourselves, and makes the answer.
    pub(super) async fn refuse(mut self, refusal: &Refusal) -> HttpResponse {
        // The client sees an error either way; that it could not be recorded is counted.
        if let Closed::Later(settling) = self.close(&End::Refused(refusal), None) {
            let _ = settling.await;
        }
        self.answer(refusal)
    }

    /// A refusal in the caller's dialect; the books are closed already.
    pub(super) fn answer(&self, refusal: &Refusal) -> HttpResponse {
        refusal.answer(self.protocol, &self.request_id())
    }

    /// The event that tells a stream's client that its answer was cut.
    pub(super) fn error_event(&self, code: ErrorCode, next_sequence: u64) -> Bytes {
        let id = self.request_id();
        dialect::stream_error(self.operation, &Failure::new(code, &id), next_sequence).into()
    }

    /// Writes the record, once; later calls do nothing.
    pub(super) fn close(&mut self, end: &End<'_>, tap: Option<&mut Tap>) -> Closed {
        if std::mem::replace(&mut self.closed, true) {
            return Closed::Now(true);
        }
        let mut measured = tap.and_then(measured);
        let (status, code) = self.verdict(end, measured.as_ref());
        let message = match (end, &measured) {
            (End::Refused(refusal), _) => refusal.detail.clone().into_owned(),
            (_, Some(measured)) => self.complaint(&measured.reading),
            _ => String::new(),
        };
        // A provider has worked for this call unless it refused or was never reached.
        let accepted = match end {
            End::Answered => status < 400 || measured.as_ref().is_some_and(|m| m.failed),
            // Refused, with an account on trial: the call went out and no answer came back.
            End::Broken(_) | End::Left | End::Refused(_) => self.trial.is_some(),
        };
        let token = self.caller.token();
        let about = std::mem::take(&mut self.about);
        let mut record = Record {
            rid: self.id.rid.0,
            id_tail: self.id.tail,
            token_id: token.id,
            token_public_id: token.public_id.clone(),
            token_name: token.name.clone(),
            tenant_id: token.tenant_id,
            tenant_public_id: token.tenant_public_id.clone(),
            tenant_name: token.tenant_name.clone(),
            app: about.app,
            end_user: about.end_user,
            mode: self.caller.mode().into(),
            model: about.model,
            operation: self.operation.into(),
            stream: about.stream,
            request_at: self.request_at,
            response_at: self.gateway.clock.now_micros(),
            duration_ms: millis(self.started),
            ttft_ms: measured.as_ref().and_then(|m| m.first_token_ms),
            status_code: i32::from(status),
            success: code.is_empty(),
            error_code: code.to_owned(),
            error_message: message,
            conversation_id: about.conversation,
            source: Source::Gateway.into(),
            client_ip: about.client_ip,
            upstream_request_id: std::mem::take(&mut self.upstream_request_id),
            knowledge: about
                .knowledge
                .as_ref()
                .map_or_else(String::new, Given::recorded),
            ..Record::default()
        };
        if let Some(version) = &about.prompt_version {
            record.prompt_version_id = version.id;
            record
                .prompt_public_id
                .clone_from(&version.prompt_public_id);
            record.prompt.clone_from(&version.name);
        }
        self.gives_up();
        let mut sent_model = None;
        if let Some(mut trial) = self.trial.take() {
            match (trial.begun.take(), end) {
                (
                    Some(begun),
                    End::Broken(ErrorCode::UpstreamBroken | ErrorCode::UpstreamTimeout),
                ) => begun.broke(self.gateway.accounts.now_ms()),
                (Some(begun), End::Answered) if code.is_empty() => begun.ended(),
                _ => {}
            }
            let account = &trial.account;
            record.account_id = account.id;
            record.account_public_id.clone_from(&account.public_id);
            record.account_name.clone_from(&account.name);
            record.provider.clone_from(&account.provider);
            let sent = account.upstream_model(&record.model);
            sent_model = (sent != record.model).then(|| sent.to_owned());
            self.attempts.push(trial.attempt(self.status, code));
        }
        record.attempts = std::mem::take(&mut self.attempts);
        // One that was set aside ends after others that began later.
        record.attempts.sort_by_key(|attempt| attempt.started_at);
        // Nobody worked for it, and the room that is left belongs to the calls under way.
        let unrecorded = matches!(end, End::Refused(_))
            && record.attempts.is_empty()
            && matches!(self.gateway.spool.admits(), spool::Admission::Refuse(_));
        if unrecorded {
            self.gateway.counters.refused();
        }
        Closing {
            gateway: Arc::clone(&self.gateway),
            operation: self.operation,
            record,
            heard: measured.as_mut().and_then(|m| m.heard.take()),
            reading: measured.map(|m| m.reading).unwrap_or_default(),
            capture: about.capture.map(Capture::ended),
            accepted,
            sent_model,
            prompt: about.prompt,
            admission: self.admission.take(),
            hold: self.hold.take(),
            unrecorded,
            written: false,
        }
        .run()
    }

    /// Status and slug as recorded.
    fn verdict(&self, end: &End<'_>, measured: Option<&Measured>) -> (u16, &'static str) {
        let told = |code: ErrorCode| (code.status(), code.slug());
        match end {
            End::Answered if self.status >= 400 => (self.status, ErrorCode::UpstreamError.slug()),
            End::Answered if measured.is_some_and(Measured::tells_failure) => {
                told(ErrorCode::UpstreamError)
            }
            End::Answered => (self.status, ""),
            End::Refused(refusal) => told(refusal.code),
            End::Broken(code) => told(*code),
            // Clients hang up on an error event: it is the provider that failed.
            End::Left if measured.is_some_and(|m| m.failed) => told(ErrorCode::UpstreamError),
            End::Left if self.gateway.cut.load(Ordering::Relaxed) => told(ErrorCode::ShuttingDown),
            End::Left => told(ErrorCode::ClientClosed),
        }
    }

    /// The provider's own message. What looks like a secret is gone from it already; the one that was
    /// certainly sent goes too.
    fn complaint(&self, reading: &Reading) -> String {
        let Some(message) = reading.error.as_ref().map(|error| &error.message) else {
            return String::new();
        };
        match self.account().map(|account| account.secret.reveal()) {
            Some(secret) if !secret.is_empty() => message.replace(secret, redact::MARK),
            _ => message.to_owned(),
        }
    }
}

impl Trial {
    fn attempt(&self, status: u16, code: &str) -> Attempt {
        Attempt {
            account_id: self.account.id,
            account_public_id: self.account.public_id.clone(),
            account_name: self.account.name.clone(),
            started_at: self.started_at,
            duration_ms: self.refused_ms.unwrap_or_else(|| millis(self.started)),
            status_code: i32::from(status),
            error_code: code.to_owned(),
        }
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        // A call nobody waits for any more; a failure has been counted and logged.
        let _ = self.close(&End::unsaid(), None);
    }
}

/// What the tap has read. It may be the tap that is panicking; a second panic would end the process.
fn measured(tap: &mut Tap) -> Option<Measured> {
    if std::thread::panicking() {
        catch_unwind(AssertUnwindSafe(|| tap.measured())).ok()
    } else {
        Some(tap.measured())
    }
}

fn millis(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)
}
