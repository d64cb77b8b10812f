//! Calls that were made elsewhere and are told of by whoever holds a token: the same credential, the same
//! books, the same promise, the same prices. Nothing is sent, limited or metered here; what is told becomes records elsewhere
//! (`otlp`, `features::ingest`).

use std::borrow::Cow;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header::HeaderMap;
use prost::Message;
use steward_actors::domain::record::{RECORD_KIND, Record};
use steward_actors::domain::rid::RecordId;
use steward_actors::domain::snapshot::TokenView;
use steward_actors::spool::AppendError;

use super::budget::{Budgets, charge_of};
use super::limits::Limits;
use super::refusal::Refusal;
use super::{Gateway, admit, dialect};
use crate::error::catalog::ErrorCode;

/// Records booked before others on this thread get their turn.
const TURN_RECORDS: usize = 64;

/// Who speaks.
pub struct Who {
    /// Theirs, or that of their issuer.
    pub token: Arc<TokenView>,
    /// Set where a user is signed in.
    pub user: Option<Arc<str>>,
}

/// An answer to what is no call and fails as one: in the caller's dialect, under `id`.
pub fn refuse(
    headers: &HeaderMap,
    id: &str,
    code: ErrorCode,
    detail: Cow<'static, str>,
) -> HttpResponse {
    let mut refusal = Refusal::new(code).detail(detail);
    if code == ErrorCode::Overloaded {
        refusal = refusal.retry_after_ms(1_000);
    }
    let protocol = dialect::caller_protocol(headers.contains_key("anthropic-version"));
    refusal.answer(protocol, id)
}

/// What a call that was made elsewhere uses of its token's quota and of the budgets: as much as if it had been made here.
fn count(limits: &Limits, budgets: &Budgets, record: &Record, now_micros: i64) {
    limits.used_elsewhere(record.token_id, record.total_tokens);
    let (token, tenant) = (record.token_id, record.tenant_id);
    budgets.spend(
        token,
        tenant,
        counted_at(record, now_micros),
        charge_of(record),
    );
}

/// Takes back what [`count`] counted of a record whose call turned out to be on the books already.
pub fn take_back(limits: &Limits, budgets: &Budgets, record: &Record, now_micros: i64) {
    limits.used_elsewhere(record.token_id, record.total_tokens.saturating_neg());
    let (token, tenant) = (record.token_id, record.tenant_id);
    let less = charge_of(record).map(i64::saturating_neg);
    budgets.correct(token, tenant, counted_at(record, now_micros), less);
}

/// What is told may lie a little ahead of this clock; tomorrow's budget is not opened by it.
pub fn counted_at(record: &Record, now_micros: i64) -> i64 {
    record.request_at.min(now_micros)
}

impl Gateway {
    /// Whose records a request brings: its token, if it may call now and the books can take more.
    ///
    /// # Errors
    /// As for a call: no credential, an unknown one, a token that may not call, or full books.
    pub fn sign_in(&self, headers: &HeaderMap) -> Result<Arc<TokenView>, ErrorCode> {
        let (key, user) = admit::identify(self, headers).map_err(|refusal| refusal.code)?;
        // Users call; what happened elsewhere is told by who holds a token.
        if user.is_some() {
            return Err(ErrorCode::TokenInvalid);
        }
        admit::standing(&key, self.clock.now_micros()).map_err(|refusal| refusal.code)?;
        admit::books(self).map_err(|refusal| refusal.code)?;
        Ok(key.token)
    }

    /// Who speaks, for what is no call and makes no record: a token, and the user who is signed in where that is one.
    ///
    /// # Errors
    /// As for a call, with what is said of it beside the catalog's sentence.
    pub fn who(&self, headers: &HeaderMap) -> Result<Who, (ErrorCode, Cow<'static, str>)> {
        let told = |refusal: Refusal| (refusal.code, refusal.detail);
        let (key, user) = admit::identify(self, headers).map_err(told)?;
        admit::standing(&key, self.clock.now_micros()).map_err(told)?;
        Ok(Who {
            token: key.token,
            user,
        })
    }

    /// Gives every record an id and puts it on the books. When this returns they are as safe as a call's
    /// record is before its answer ends. Answers the public ids.
    ///
    /// # Errors
    /// `ledger_full` or `internal_error`. Records before the one that failed are booked; sent again they are
    /// recognised by their keys.
    pub async fn book(&self, records: Vec<Record>) -> Result<Vec<String>, ErrorCode> {
        let mut ids = Vec::with_capacity(records.len());
        let mut last = None;
        for (at, mut record) in records.into_iter().enumerate() {
            let (id, seq) = self.append(&mut record)?;
            count(
                &self.limits,
                &self.budgets,
                &record,
                self.clock.now_micros(),
            );
            last = seq.or(last);
            ids.push(id.to_string());
            if at % TURN_RECORDS == TURN_RECORDS - 1 {
                tokio::task::yield_now().await;
            }
        }
        self.durable(last).await?;
        Ok(ids)
    }

    /// Gives a record an id and a price and puts it on the books; nobody's budget is asked or charged. Answers its id, and where
    /// it stands.
    ///
    /// # Errors
    /// `ledger_full` or `internal_error`.
    pub(super) fn append(&self, record: &mut Record) -> Result<(RecordId, Option<u64>), ErrorCode> {
        let id = self.rids.next();
        record.rid = id.rid.0;
        record.id_tail = id.tail;
        self.snapshot.load().prices.price(record);
        record.bound();
        let appended = self.spool.append(RECORD_KIND, &record.encode_to_vec());
        let appended = appended.map_err(|cause| {
            self.counters.append_failure();
            tracing::error!(request_id = %id, %cause, "a record could not be written");
            match cause {
                AppendError::Full(_) => ErrorCode::LedgerFull,
                _ => ErrorCode::Internal,
            }
        })?;
        Ok((id, appended.recorded.then_some(appended.seq)))
    }

    /// Waits until what was appended survives a power failure, where that is wanted.
    pub(super) async fn durable(&self, last: Option<u64>) -> Result<(), ErrorCode> {
        match last {
            Some(seq) if self.wait_durable => {
                let durable = self.spool.durable(seq).await;
                durable.map_err(|_| ErrorCode::Internal)
            }
            _ => Ok(()),
        }
    }
}
