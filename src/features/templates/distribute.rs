//! Handing out templates: what it would do, and the job that does it, a tenant at a time.
//!
//! Each step is one transaction with its audit row. What was previewed may have changed by then: everything is looked at
//! again in the transaction, and a decision about words that were changed since it was taken is no decision. A job
//! that is started again goes on: what it did is noted under its id.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use steward_actors::domain::clock::SharedClock;
use steward_actors::jobs::{JobContext, JobKind};
use steward_actors::knowledge::News;
use steward_entities::change::ChangeError;
use steward_entities::database::{Databases, begin_write};
use steward_entities::scope::Scope;
use steward_entities::template_distribution::{self, Model as Distribution};
use steward_entities::{audit, operator, qa_pair, template, tenant};
use utoipa::ToSchema;

use super::plan::{self, Act, OnConflict, Standing};

/// Its name in the table of jobs.
pub(super) const KIND: &str = "templates.distribute";
/// Templates of one transaction.
const STEP: usize = 100;
/// How often a transaction is begun for a tenant who keeps changing the same pairs.
const TRIES: u32 = 5;

/// What is to become of one tenant's own words.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Decision {
    pub(super) template_id: String,
    pub(super) tenant_id: String,
    pub(super) action: OnConflict,
    /// `pair_version` of the preview: were the words changed since, they stay and the matter is open.
    pub(super) pair_version: Option<i64>,
}

/// What the job's parameters hold.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Asked {
    pub(super) template_ids: Vec<String>,
    /// None: every tenant there is when the job begins.
    pub(super) tenant_ids: Option<Vec<String>>,
    pub(super) on_conflict: OnConflict,
    pub(super) decisions: Vec<Decision>,
}

/// One template and one tenant.
pub(super) struct Case<'a> {
    pub(super) template: &'a template::Model,
    pub(super) given: Option<Distribution>,
    /// What became of it there; or the tenant's own pair that asks the same.
    pub(super) pair: Option<qa_pair::Model>,
    pub(super) standing: Standing,
}

/// How one tenant stands to these templates.
pub(super) async fn cases<'a>(
    connection: &impl ConnectionTrait,
    templates: &'a [template::Model],
    tenant_id: i64,
) -> Result<Vec<Case<'a>>, DbErr> {
    let scope = Scope::Tenant(tenant_id);
    let ids: Vec<i64> = templates.iter().map(|row| row.id).collect();
    let given = template_distribution::of(connection, &ids, &[tenant_id]).await?;
    let mut given: HashMap<i64, Distribution> = given
        .into_iter()
        .map(|row| (row.template_id, row))
        .collect();
    let pairs: Vec<i64> = given.values().filter_map(|row| row.pair_id).collect();
    let pairs = qa_pair::by_ids(connection, scope, pairs).await?;
    let mut pairs: HashMap<i64, qa_pair::Model> =
        pairs.into_iter().map(|row| (row.id, row)).collect();
    let new = templates.iter().filter(|row| !given.contains_key(&row.id));
    let keys = new.map(|row| row.question_key.clone()).collect();
    let mut own: HashMap<String, qa_pair::Model> = HashMap::new();
    for pair in qa_pair::asking(connection, scope, keys).await? {
        own.entry(pair.question_key.clone()).or_insert(pair);
    }
    let each = templates.iter().map(|template| {
        let given = given.remove(&template.id);
        let pair = given.as_ref().and_then(|given| given.pair_id);
        let pair = pair.and_then(|id| pairs.remove(&id));
        let twin = match given {
            None => own.remove(&template.question_key),
            Some(_) => None,
        };
        let standing = plan::standing(template, given.as_ref(), pair.as_ref(), twin.is_some());
        Case {
            template,
            given,
            pair: pair.or(twin),
            standing,
        }
    });
    Ok(each.collect())
}

/// How often what was done.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) replaced: u64,
    pub(super) kept: u64,
    pub(super) skipped: u64,
    pub(super) unchanged: u64,
}

impl Counts {
    pub(super) fn note(&mut self, act: Act) {
        *match act {
            Act::Create => &mut self.created,
            Act::Update => &mut self.updated,
            Act::Replace => &mut self.replaced,
            Act::Keep => &mut self.kept,
            Act::Skip => &mut self.skipped,
            Act::Nothing => &mut self.unchanged,
        } += 1;
    }

    fn merge(&mut self, other: &Self) {
        self.created += other.created;
        self.updated += other.updated;
        self.replaced += other.replaced;
        self.kept += other.kept;
        self.skipped += other.skipped;
        self.unchanged += other.unchanged;
    }
}

/// The job [`KIND`].
pub(crate) struct Distribute {
    pub(crate) databases: Databases,
    pub(crate) clock: SharedClock,
    /// Hears that pairs were written.
    pub(crate) news: News,
}

/// On whose behalf a step is done.
#[derive(Clone)]
struct Behalf {
    job_id: String,
    operator_id: Option<i64>,
    operator_name: String,
}

#[async_trait::async_trait]
impl JobKind for Distribute {
    fn kind(&self) -> &str {
        KIND
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        let job = Job {
            id: context.job_id.clone(),
            created_by: context.created_by.clone(),
            params: context.params.clone(),
        };
        let watch = Watch {
            progress: &|per_cent| context.progress(per_cent),
            is_cancelled: &|| context.is_cancelled(),
        };
        self.perform(job, watch).await
    }
}

/// A job as it was asked for.
pub(super) struct Job {
    /// What its effect is idempotent by.
    pub(super) id: String,
    /// Public id of the operator who asked.
    pub(super) created_by: String,
    pub(super) params: Value,
}

/// How a job tells how far it is, and learns that it is to stop.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    pub(super) progress: &'a (dyn Fn(u8) + Sync),
    pub(super) is_cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl Distribute {
    /// Hands out, from the first tenant to the last.
    ///
    /// # Errors
    /// A sentence for the operator: it was cancelled, or nothing could be done at all. That a tenant failed is a result.
    pub(super) async fn perform(&self, job: Job, watch: Watch<'_>) -> Result<Value, String> {
        let asked: Asked =
            serde_json::from_value(job.params.clone()).map_err(|error| error.to_string())?;
        let asked = Arc::new(asked);
        let (behalf, tenants) = self.begin(job, &asked).await?;
        let mut total = Counts::default();
        let mut outcomes = Vec::with_capacity(tenants.len());
        let mut failed = 0;
        for (done, tenant) in tenants.iter().enumerate() {
            if (watch.is_cancelled)() {
                return Err(format!("stopped after {done} of {} tenants", tenants.len()));
            }
            let mut told = json!({"tenant_id": tenant.public_id, "tenant_name": tenant.name});
            match self.tenant(tenant, &asked, &behalf).await {
                Ok(counts) => {
                    self.news.tell();
                    total.merge(&counts);
                    told["outcome"] = json!("done");
                    told["counts"] = json!(counts);
                }
                Err(error) => {
                    failed += 1;
                    told["outcome"] = json!("failed");
                    told["error"] = json!(error);
                }
            }
            outcomes.push(told);
            let per_cent = (done + 1) * 100 / tenants.len();
            (watch.progress)(u8::try_from(per_cent).unwrap_or(100));
        }
        if failed > 0 && failed == outcomes.len() {
            return Err("the database could not be read or written".to_owned());
        }
        Ok(json!({
            "templates": asked.template_ids.len(),
            "counts": total,
            "failed": failed,
            "tenants": outcomes,
        }))
    }

    /// Work on the tables, where their connections live.
    async fn at_home<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, DbErr>> + Send + 'static,
    ) -> Result<T, String> {
        self.databases.at_home(work).await.map_err(|error| {
            tracing::warn!(%error, "templates could not be handed out");
            "the database could not be read or written".to_owned()
        })
    }

    async fn begin(
        &self,
        job: Job,
        asked: &Arc<Asked>,
    ) -> Result<(Behalf, Vec<tenant::Model>), String> {
        let read = self.databases.control_read.clone();
        let asked = Arc::clone(asked);
        self.at_home(async move {
            let author = operator::by_public_id(&read, Scope::All, &job.created_by).await?;
            let mut tenants = tenant::all(&read).await?;
            if let Some(ids) = &asked.tenant_ids {
                tenants.retain(|row| ids.contains(&row.public_id));
            }
            tenants.sort_by_key(|row| row.id);
            let behalf = Behalf {
                job_id: job.id,
                operator_id: author.as_ref().map(|row| row.id),
                operator_name: author.map_or(job.created_by, |row| row.username),
            };
            Ok((behalf, tenants))
        })
        .await
    }

    /// Everything that one tenant is to get.
    async fn tenant(
        &self,
        tenant: &tenant::Model,
        asked: &Arc<Asked>,
        behalf: &Behalf,
    ) -> Result<Counts, String> {
        let mut total = Counts::default();
        for start in (0..asked.template_ids.len()).step_by(STEP) {
            let control = self.databases.control.clone();
            let (asked, behalf, tenant) = (Arc::clone(asked), behalf.clone(), tenant.clone());
            let now = self.clock.now_micros();
            let counts = self
                .at_home(async move {
                    let end = (start + STEP).min(asked.template_ids.len());
                    let ids = &asked.template_ids[start..end];
                    let mut tries = 1;
                    loop {
                        let txn = begin_write(&control).await?;
                        match step(&txn, &tenant, ids, &asked, &behalf, now).await {
                            Ok(counts) => {
                                txn.commit().await?;
                                return Ok(counts);
                            }
                            // The tenant changed a pair meanwhile. Its new words are looked at like any others.
                            Err(DbErr::RecordNotUpdated) if tries < TRIES => {
                                txn.rollback().await?;
                                tries += 1;
                            }
                            Err(error) => return Err(error),
                        }
                    }
                })
                .await?;
            total.merge(&counts);
        }
        Ok(total)
    }
}

async fn step(
    txn: &DatabaseTransaction,
    tenant: &tenant::Model,
    template_ids: &[String],
    asked: &Asked,
    behalf: &Behalf,
    now: i64,
) -> Result<Counts, DbErr> {
    let templates = template::by_public_ids(txn, template_ids).await?;
    let mut counts = Counts::default();
    let mut done: BTreeMap<&str, &'static str> = BTreeMap::new();
    for case in cases(txn, &templates, tenant.id).await? {
        // A start before this one has done it.
        if let Some(given) = case
            .given
            .as_ref()
            .filter(|row| row.job_id == behalf.job_id)
        {
            counts.note(Act::parse(&given.outcome));
            continue;
        }
        let act = plan::act(case.standing, wanted(&case, tenant, asked));
        counts.note(act);
        if apply(txn, &case, act, tenant, behalf, now).await? {
            done.insert(&case.template.public_id, act.as_str());
        }
    }
    if !done.is_empty() {
        let entry = audit::Entry {
            operator_id: behalf.operator_id,
            operator_name: behalf.operator_name.clone(),
            action: "templates.distributed".to_owned(),
            target_type: "tenant".to_owned(),
            target_id: tenant.public_id.clone(),
            details: json!({"job_id": behalf.job_id, "counts": counts, "templates": done}),
            ip: String::new(),
            request_id: String::new(),
        };
        audit::insert(txn, entry, now).await?;
    }
    Ok(counts)
}

/// What somebody said is to become of this tenant's words.
fn wanted(case: &Case<'_>, tenant: &tenant::Model, asked: &Asked) -> OnConflict {
    let decision = asked.decisions.iter().find(|one| {
        one.template_id == case.template.public_id && one.tenant_id == tenant.public_id
    });
    let Some(decision) = decision else {
        return asked.on_conflict;
    };
    let seen = case.pair.as_ref().map(|pair| pair.version);
    match decision.pair_version == seen {
        true => decision.action,
        false => OnConflict::Skip,
    }
}

/// Does it; whether anything was written.
async fn apply(
    txn: &DatabaseTransaction,
    case: &Case<'_>,
    act: Act,
    tenant: &tenant::Model,
    behalf: &Behalf,
    now: i64,
) -> Result<bool, DbErr> {
    let template = case.template;
    let handed_out = plan::hash_of_template(template);
    let (pair_id, hash) = match (act, &case.pair) {
        (Act::Skip, _) => return Ok(false),
        // The tenant has changed its words to these by itself: it has this revision now.
        (Act::Nothing, pair) => match (&case.given, pair) {
            (Some(given), Some(pair))
                if case.standing == Standing::Current && given.revision < template.revision =>
            {
                (Some(pair.id), handed_out)
            }
            _ => return Ok(false),
        },
        (Act::Create, _) | (Act::Replace, None) => {
            let new = qa_pair::New {
                tenant_id: tenant.id,
                question: template.question.clone(),
                answer: template.answer.clone(),
                category: template.category.clone(),
                source: qa_pair::Source::Template,
                template_id: Some(template.id),
                quality_score: None,
                created_by: behalf.operator_name.clone(),
            };
            let pair = qa_pair::insert(txn, new, now).await?;
            (Some(pair.id), handed_out)
        }
        (Act::Update | Act::Replace, Some(pair)) => {
            let changes = qa_pair::ActiveModel {
                question: Set(template.question.clone()),
                answer: Set(template.answer.clone()),
                category: Set(template.category.clone()),
                template_id: Set(Some(template.id)),
                ..Default::default()
            };
            let pair = qa_pair::update(txn, pair, changes, now).await;
            (Some(pair.map_err(database)?.id), handed_out)
        }
        (Act::Update, None) => return Ok(false),
        // The hash stays that of what was handed out, so that the words are known to be the tenant's own when the
        // template changes again.
        (Act::Keep, pair) => {
            let before = case.given.as_ref().map(|given| given.hash.clone());
            (
                pair.as_ref().map(|pair| pair.id),
                before.unwrap_or(handed_out),
            )
        }
    };
    let row = Distribution {
        template_id: template.id,
        tenant_id: tenant.id,
        pair_id,
        revision: template.revision,
        hash,
        outcome: act.as_str().to_owned(),
        job_id: behalf.job_id.clone(),
        distributed_at: now,
    };
    template_distribution::put(txn, row).await?;
    Ok(act != Act::Nothing)
}

/// In a transaction that has read the row, nobody else changes it on SQLite; on PostgreSQL the step begins anew.
fn database(error: ChangeError) -> DbErr {
    match error {
        ChangeError::Database(error) => error,
        ChangeError::Stale => DbErr::RecordNotUpdated,
        other => DbErr::Custom(other.to_string()),
    }
}
