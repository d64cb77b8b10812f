//! Changing many pairs, as a job: a selection, or all that a filter found when it was asked for.
//!
//! A step at a time, each with its audit row in its transaction. Started again it goes over what is left; what was done
//! before counts as done. A pair that somebody edits at this moment is read again, and changed as it is then. Having them synchronised is another's work ([`super::bulk_sync`]).

use std::sync::Arc;

use sea_orm::ActiveValue::Set;
use sea_orm::{DatabaseTransaction, DbErr};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use steward_actors::domain::clock::SharedClock;
use steward_actors::jobs::{JobContext, JobKind};
use steward_entities::change::ChangeError;
use steward_entities::database::{Databases, begin_write};
use steward_entities::qa_pair::{self, Source};
use steward_entities::scope::{Page, Scope};
use steward_entities::{audit, operator};
use utoipa::ToSchema;

use super::PairSource;

/// Its name in the table of jobs.
pub(super) const KIND: &str = "knowledge.bulk";
/// Pairs of one transaction.
const STEP: u64 = 200;

/// What to do to each.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum BulkAction {
    Delete,
    ChangeCategory,
    /// Embeds those that wait, and those that failed again; what came of each is the job's `result`.
    Sync,
}

/// What the job's parameters hold.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Asked {
    pub(super) action: BulkAction,
    /// The new one.
    pub(super) category: Option<String>,
    /// Whose; none: everybody's.
    pub(super) tenant_key: Option<i64>,
    pub(super) ids: Option<Vec<String>>,
    pub(super) search: Option<String>,
    pub(super) of_category: Option<String>,
    pub(super) source: Option<PairSource>,
    pub(super) is_synced: Option<bool>,
    pub(super) quality_min: Option<f64>,
    pub(super) quality_max: Option<f64>,
    /// What was added later is not meant.
    pub(super) upto_key: i64,
}

impl Asked {
    pub(super) fn scope(&self) -> Scope {
        self.tenant_key.map_or(Scope::All, Scope::Tenant)
    }

    pub(super) fn filter(&self) -> qa_pair::Filter {
        qa_pair::Filter {
            search: self.search.clone(),
            category: self.of_category.clone(),
            source: self.source.map(Source::from),
            is_synced: self.is_synced,
            quality_min: self.quality_min,
            quality_max: self.quality_max,
            template_id: None,
            public_ids: self.ids.clone(),
            upto_id: Some(self.upto_key),
        }
    }
}

/// The job [`KIND`].
#[derive(Clone)]
pub(crate) struct ChangeMany {
    pub(crate) databases: Databases,
    pub(crate) clock: SharedClock,
    /// The model that pairs are to be embedded by; empty for none.
    pub(crate) model: Arc<str>,
}

/// What a step did.
struct Done {
    /// The last row looked at; none when there was none.
    last: Option<i64>,
    seen: u64,
    changed: u64,
}

#[async_trait::async_trait]
impl JobKind for ChangeMany {
    fn kind(&self) -> &str {
        KIND
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        let params = context.params.clone();
        let (id, author) = (context.job_id.clone(), context.created_by.clone());
        self.perform(
            params,
            (id, author),
            &|per_cent| context.progress(per_cent),
            &|| context.is_cancelled(),
        )
        .await
    }
}

impl ChangeMany {
    /// Goes over all that is meant; who asked comes as the job's id and the operator's.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) async fn perform(
        &self,
        params: Value,
        (job_id, created_by): (String, String),
        progress: &(dyn Fn(u8) + Sync),
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Value, String> {
        let asked: Asked = serde_json::from_value(params).map_err(|error| error.to_string())?;
        if asked.action == BulkAction::Sync {
            return self
                .synchronise(asked, &job_id, progress, is_cancelled)
                .await;
        }
        let (scope, filter) = (asked.scope(), asked.filter());
        let read = self.databases.control_read.clone();
        let counting = async move {
            let total = qa_pair::count(&read, scope, &filter).await?;
            let author = operator::by_public_id(&read, Scope::All, &created_by).await?;
            Ok((total, author.map(|row| (row.id, row.username))))
        };
        let (total, author) = self.at_home(counting).await?;
        let (mut seen, mut changed, mut after) = (0, 0, None);
        loop {
            if is_cancelled() {
                return Err(format!("stopped after {changed} pairs"));
            }
            let (control, asked) = (self.databases.control.clone(), asked.clone());
            let (job_id, author) = (job_id.clone(), author.clone());
            let now = self.clock.now_micros();
            let stepping =
                async move { step(&control, &asked, after, (job_id, author), now).await };
            let done = self.at_home(stepping).await?;
            let Some(last) = done.last else {
                return Ok(json!({"changed": changed}));
            };
            after = Some(last);
            seen += done.seen;
            changed += done.changed;
            let per_cent = (seen * 100).checked_div(total.max(1)).unwrap_or(100);
            progress(u8::try_from(per_cent).unwrap_or(100));
        }
    }

    pub(super) async fn at_home<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, DbErr>> + Send + 'static,
    ) -> Result<T, String> {
        self.databases.at_home(work).await.map_err(|error| {
            tracing::warn!(%error, "pairs could not be changed");
            "the database could not be read or written".to_owned()
        })
    }
}

/// Tries for one pair, each with what somebody else has just written.
const TRIES: u32 = 5;

/// Puts a pair into a category, whoever edits it meanwhile; false when it is there already, or gone.
pub(super) async fn categorise(
    txn: &DatabaseTransaction,
    row: &qa_pair::Model,
    category: &str,
    now: i64,
) -> Result<bool, DbErr> {
    let mut current = row.clone();
    for _ in 0..TRIES {
        let changes = qa_pair::ActiveModel {
            category: Set(category.to_owned()),
            ..Default::default()
        };
        match qa_pair::update(txn, &current, changes, now).await {
            Ok(_) => return Ok(true),
            Err(ChangeError::Database(error)) => return Err(error),
            Err(ChangeError::Stale) => {}
            Err(other) => return Err(DbErr::Custom(other.to_string())),
        }
        let again = qa_pair::by_ids(txn, Scope::All, vec![row.id]).await?.pop();
        match again {
            Some(again) if again.category != category => current = again,
            _ => return Ok(false),
        }
    }
    Ok(false)
}

async fn step(
    control: &sea_orm::DatabaseConnection,
    asked: &Asked,
    after: Option<i64>,
    (job_id, author): (String, Option<(i64, String)>),
    now: i64,
) -> Result<Done, DbErr> {
    let txn = begin_write(control).await?;
    let page = Page { after, limit: STEP };
    let rows = qa_pair::list(&txn, asked.scope(), &asked.filter(), page).await?;
    let mut ids = Vec::new();
    for row in &rows {
        match (asked.action, &asked.category) {
            (BulkAction::Delete, _) => qa_pair::remove(&txn, row).await?,
            (BulkAction::ChangeCategory, Some(category)) if *category != row.category => {
                if !categorise(&txn, row, category, now).await? {
                    continue;
                }
            }
            (BulkAction::ChangeCategory | BulkAction::Sync, _) => continue,
        }
        ids.push(row.public_id.clone());
    }
    if !ids.is_empty() {
        let (operator_id, operator_name) = author.unzip();
        let entry = audit::Entry {
            operator_id,
            operator_name: operator_name.unwrap_or_default(),
            action: "knowledge.changed".to_owned(),
            target_type: "job".to_owned(),
            target_id: job_id,
            details: json!({"action": asked.action, "category": asked.category, "pairs": ids}),
            ip: String::new(),
            request_id: String::new(),
        };
        audit::insert(&txn, entry, now).await?;
    }
    txn.commit().await?;
    Ok(Done {
        last: rows.last().map(|row| row.id),
        seen: rows.len() as u64,
        changed: ids.len() as u64,
    })
}
