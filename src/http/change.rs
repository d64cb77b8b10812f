//! A change of the control tables: one transaction that cannot be committed without its audit row.
//!
//! Handlers begin one, write through it and commit it with what they did; dropped, nothing has happened.
//! What has to follow a commit (reading caches again) is not done here.

use std::ops::Deref;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use sea_orm::DatabaseTransaction;
use serde::Serialize;
use serde_json::{Map, Value, json};
use steward_actors::tree::upkeep::job_runner::Wake;
use steward_entities::change::ChangeError;
use steward_entities::database::begin_write;
use steward_entities::{audit, job};

use super::caller::Caller;
use super::idempotency;
use super::job::JobAccepted;
use super::precondition::Tagged;
use crate::error::{ApiError, ErrorCode};
use crate::state::AppState;

/// Shown instead of a secret.
const MASK: &str = "***";

/// What was done, for the audit log.
#[derive(Clone, Debug)]
pub struct Audit {
    action: &'static str,
    target_type: &'static str,
    target_id: String,
    details: Map<String, Value>,
}

impl Audit {
    /// `action` is `<resource>.<verb>` such as `tokens.create`, `target_type` a noun such as `token`,
    /// `target_id` a public id or empty.
    pub fn of(action: &'static str, target_type: &'static str, target_id: &str) -> Self {
        Self {
            action,
            target_type,
            target_id: target_id.to_owned(),
            details: Map::new(),
        }
    }

    /// A detail worth keeping. Secrets are masked by the name of the field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.details.insert(name.to_owned(), mask(name, value));
        self
    }

    /// What differs between two states of the target, as `field: [before, after]`.
    #[must_use]
    pub fn diff(mut self, before: &impl Serialize, after: &impl Serialize) -> Self {
        let before = serde_json::to_value(before).unwrap_or_default();
        let after = serde_json::to_value(after).unwrap_or_default();
        let (Value::Object(before), Value::Object(after)) = (before, after) else {
            return self;
        };
        for (name, new) in &after {
            let old = before.get(name).unwrap_or(&Value::Null);
            if old != new && !matches!(name.as_str(), "updated_at" | "version") {
                let pair = json!([mask(name, old.clone()), mask(name, new.clone())]);
                self.details.insert(name.clone(), pair);
            }
        }
        self
    }
}

fn mask(name: &str, value: Value) -> Value {
    const SECRET: [&str; 5] = ["password", "secret", "hash", "api_key", "authorization"];
    if value.is_null() {
        return value;
    }
    if name == "token" || SECRET.iter().any(|word| name.contains(word)) && !value.is_boolean() {
        return Value::from(MASK);
    }
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| {
                    let value = mask(&name, value);
                    (name, value)
                })
                .collect(),
        ),
        other => other,
    }
}

/// A transaction on the control tables, on behalf of a caller. Dereferences to the transaction.
pub struct Change<'a> {
    state: &'a AppState,
    caller: &'a Caller,
    txn: DatabaseTransaction,
    /// Microseconds since the Unix epoch: the one "now" of this change.
    pub now: i64,
}

impl Deref for Change<'_> {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.txn
    }
}

impl<'a> Change<'a> {
    /// Begins; on SQLite this waits for the one writer.
    ///
    /// # Errors
    /// When the database does not answer in time.
    pub async fn begin(state: &'a AppState, caller: &'a Caller) -> Result<Self, ApiError> {
        Ok(Self {
            txn: begin_write(&state.databases.control).await?,
            now: state.clock.now_micros(),
            state,
            caller,
        })
    }

    /// Writes the audit row and commits.
    ///
    /// # Errors
    /// When either fails; nothing has happened then.
    pub async fn commit(self, audit: Audit) -> Result<(), ApiError> {
        self.audit(audit).await?;
        Ok(self.txn.commit().await?)
    }

    /// Writes the audit row, keeps the answer for a repetition of the request, commits, and answers 201.
    ///
    /// # Errors
    /// When any of it fails; nothing has happened then.
    pub async fn created<T: Serialize>(
        self,
        audit: Audit,
        version: i64,
        body: T,
    ) -> Result<Tagged<T>, ApiError> {
        self.audit(audit).await?;
        self.keep(StatusCode::CREATED, Some(version), &body).await?;
        self.txn.commit().await?;
        Ok(Tagged::created(version, body))
    }

    /// Writes the audit row, keeps the answer for a repetition of the request, commits, and answers 200.
    ///
    /// # Errors
    /// When any of it fails; nothing has happened then.
    pub async fn answered<T: Serialize>(
        self,
        audit: Audit,
        version: i64,
        body: T,
    ) -> Result<Tagged<T>, ApiError> {
        self.audit(audit).await?;
        self.keep(StatusCode::OK, Some(version), &body).await?;
        self.txn.commit().await?;
        Ok(Tagged::ok(version, body))
    }

    /// Writes the audit row, keeps the answer for a repetition of the request, commits, and answers 202: what
    /// was asked for goes on after the answer.
    ///
    /// # Errors
    /// When any of it fails; nothing has happened then.
    pub async fn accepted<T: Serialize>(
        self,
        audit: Audit,
        body: T,
    ) -> Result<HttpResponse, ApiError> {
        self.audit(audit).await?;
        self.keep(StatusCode::ACCEPTED, None, &body).await?;
        self.txn.commit().await?;
        Ok(HttpResponse::Accepted().json(body))
    }

    /// Queues a job on behalf of the caller.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn queue(&self, kind: &str, params: Value) -> Result<job::Model, ApiError> {
        let by = self.caller.operator.public_id.clone();
        Ok(job::insert(&self.txn, kind, params, by, self.now).await?)
    }

    /// [`Self::accepted`] with the job that was queued, which begins at once where it can.
    ///
    /// # Errors
    /// As there.
    pub async fn queued(self, audit: Audit, job: job::Model) -> Result<HttpResponse, ApiError> {
        let state = self.state;
        let answer = self
            .accepted(audit, JobAccepted { job: job.into() })
            .await?;
        // It would look by itself in a second; that it cannot be told is no failure.
        let _ = state.tree.job_runner.try_send(Wake);
        Ok(answer)
    }

    async fn keep(
        &self,
        status: StatusCode,
        version: Option<i64>,
        body: &impl Serialize,
    ) -> Result<(), ApiError> {
        let Some(pending) = &self.caller.idempotency else {
            return Ok(());
        };
        let kept = idempotency::Answer {
            status: status.as_u16(),
            etag: version.map(|version| format!("\"{version}\"")),
            body: serde_json::to_value(body).map_err(ApiError::internal)?,
        };
        idempotency::keep(self.state, &self.txn, self.caller, pending, kept).await
    }

    /// Writes an audit row without committing, for a change that has several.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn audit(&self, audit: Audit) -> Result<(), ApiError> {
        let entry = audit::Entry {
            operator_id: Some(self.caller.operator.id),
            operator_name: self.caller.operator.username.clone(),
            action: audit.action.to_owned(),
            target_type: audit.target_type.to_owned(),
            target_id: audit.target_id,
            details: Value::Object(audit.details),
            ip: self.caller.address.to_string(),
            request_id: self.caller.request_id.to_string(),
        };
        audit::insert(&self.txn, entry, self.now).await?;
        Ok(())
    }
}

/// The refusal for a change that the tables did not take. `unique` is the field that may be taken.
pub fn refused(unique: &'static str) -> impl Fn(ChangeError) -> ApiError {
    move |error| match error {
        ChangeError::Stale => ApiError::new(ErrorCode::PreconditionFailed),
        ChangeError::Duplicate => ApiError::taken(unique),
        ChangeError::InUse => ApiError::new(ErrorCode::InUse),
        ChangeError::Database(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_names_what_changed_and_masks_secrets() {
        let before = json!({"name": "a", "rpm": 5, "api_key": "sk-1", "version": 1});
        let after = json!({"name": "a", "rpm": 6, "api_key": "sk-2", "version": 2});
        let audit = Audit::of("accounts.update", "account", "acc_1").diff(&before, &after);
        assert_eq!(
            Value::Object(audit.details),
            json!({"rpm": [5, 6], "api_key": [MASK, MASK]})
        );
    }

    #[test]
    fn secrets_are_masked_wherever_they_lie_and_flags_are_not() {
        let value = json!({"inner": {"secret": "x", "must_change_password": true}, "token": "sk"});
        assert_eq!(
            mask("body", value),
            json!({"inner": {"secret": MASK, "must_change_password": true}, "token": MASK})
        );
    }
}
