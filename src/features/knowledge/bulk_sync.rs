//! Having many pairs synchronised, as a job: exactly those that were asked for, each of them told of.
//!
//! Another kind than the changes of [`super::bulk`], since it only waits: reports, imports and backups do not wait with it.
//! The pairs are marked (`qa_sync_requests`), `root/learning/knowledge_sync` of any node embeds what is marked, and the job
//! waits until each has come to something. Started again it waits for what is left.

use std::time::Duration;

use sea_orm::DbErr;
use serde_json::{Value, json};
use steward_actors::jobs::{JobContext, JobKind};
use steward_actors::knowledge::{asked, outage};
use steward_entities::database::begin_write;
use steward_entities::scope::Page;
use steward_entities::{job, qa_pair, qa_sync_failure, qa_sync_request, qa_vector};

use super::bulk::{Asked, ChangeMany};

/// Pairs marked in one transaction.
const STEP: u64 = 500;
/// How often it is looked at what has come of them.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longer than a pass on another node may hold what embeds: where nothing at all was embedded for so long, nothing will be.
const STALLED_MICROS: i64 = 1_200_000_000;
const STALLED: &str = "nothing was embedded for twenty minutes";
/// Reasons that are told.
const REASONS_MAX: u64 = 20;

/// How many were embedded, how many failed, and why.
type Told = (i64, i64, Vec<(String, i64)>);

/// Its name in the table of jobs.
pub(super) const KIND: &str = "knowledge.sync";

/// The job [`KIND`].
pub(crate) struct SyncMany(pub(crate) ChangeMany);

#[async_trait::async_trait]
impl JobKind for SyncMany {
    fn kind(&self) -> &str {
        KIND
    }

    fn waits(&self) -> bool {
        true
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        self.0.run(context).await
    }
}

/// Since when nothing has moved: neither what is waited for, nor what embeds, which may be busy with others' pairs first.
#[derive(Debug)]
struct Stillness {
    waiting: i64,
    embedded_at: i64,
    since: i64,
}

impl Stillness {
    fn from(now: i64) -> Self {
        Self {
            waiting: i64::MAX,
            embedded_at: i64::MIN,
            since: now,
        }
    }

    /// Whether it has lasted too long, by how many are waited for now and when a vector was last written.
    fn lasts(&mut self, waiting: i64, embedded_at: i64, now: i64) -> bool {
        if waiting < self.waiting || embedded_at > self.embedded_at {
            *self = Self {
                waiting,
                embedded_at,
                since: now,
            };
        }
        now - self.since > STALLED_MICROS
    }
}

impl ChangeMany {
    pub(super) async fn synchronise(
        &self,
        asked: Asked,
        job_id: &str,
        progress: &(dyn Fn(u8) + Sync),
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Value, String> {
        if self.model.is_empty() {
            return Err("no model is configured to embed by (rag.embedding_model)".to_owned());
        }
        let (read, public_id) = (self.databases.control_read.clone(), job_id.to_owned());
        let found = async move { job::by_public_id(&read, &public_id).await };
        let row = self.at_home(found).await?.ok_or("the job is gone")?;
        let done = self
            .marked_and_done(&asked, row.id, progress, is_cancelled)
            .await;
        // Also after a failure: what is asked for by nobody would be embedded all the same.
        let databases = self.databases.clone();
        let forgetting = async move { asked::forget(&databases, row.id).await };
        self.at_home(forgetting).await?;
        let Some((already, (done, failed, reasons))) = done? else {
            return Err("stopped; what was embedded stays".to_owned());
        };
        let reasons: Vec<Value> = reasons
            .into_iter()
            .map(|(error, pairs)| json!({"error": error, "pairs": pairs}))
            .collect();
        Ok(json!({"synced": done, "already": already, "failed": failed, "reasons": reasons}))
    }

    async fn marked_and_done(
        &self,
        asked: &Asked,
        job_id: i64,
        progress: &(dyn Fn(u8) + Sync),
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<(u64, Told)>, String> {
        // What failed before is no try of these.
        let began = self.clock.now_micros();
        let Some(already) = self.mark(asked, job_id, is_cancelled).await? else {
            return Ok(None);
        };
        let told = self.wait(job_id, began, progress, is_cancelled).await?;
        Ok(told.map(|told| (already, told)))
    }

    /// Marks what is meant and waits; how many there are that need nothing. None when it was stopped.
    async fn mark(
        &self,
        asked: &Asked,
        job_id: i64,
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<u64>, String> {
        let (mut after, mut already) = (None, 0);
        loop {
            if is_cancelled() {
                return Ok(None);
            }
            let (databases, model) = (self.databases.clone(), self.model.clone());
            let (asked, now) = (asked.clone(), self.clock.now_micros());
            let step = async move {
                let page = Page { after, limit: STEP };
                let txn = begin_write(&databases.control).await?;
                let rows = qa_pair::list(&txn, asked.scope(), &asked.filter(), page).await?;
                let last = rows.last().map(|row| row.id);
                let seen: Vec<i64> = rows.iter().map(|row| row.id).collect();
                let waiting = qa_vector::waiting_of(&txn, &model, seen.clone()).await?;
                let before = qa_sync_request::asked(&txn, job_id, seen.clone()).await?;
                let is_well = |id: &&i64| !waiting.contains(id) && !before.contains(id);
                let well = seen.iter().filter(is_well).count() as u64;
                qa_sync_failure::hurry_pairs(&txn, waiting.clone(), now).await?;
                qa_sync_request::ask(&txn, job_id, waiting, now).await?;
                if after.is_none() {
                    outage::hurry(&txn, now).await?;
                }
                txn.commit().await?;
                Ok::<_, DbErr>((last, well))
            };
            let (last, well) = self.at_home(step).await?;
            already += well;
            if last.is_none() {
                return Ok(Some(already));
            }
            after = last;
        }
    }

    /// Waits until each has come to something; how many were embedded, how many failed, and why. None when it was stopped.
    async fn wait(
        &self,
        id: i64,
        began: i64,
        progress: &(dyn Fn(u8) + Sync),
        is_cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Told>, String> {
        let mut stillness = Stillness::from(self.clock.now_micros());
        loop {
            let (databases, model) = (self.databases.clone(), self.model.clone());
            let settling = async move {
                let counts = asked::settle(&databases, &model, id, began).await?;
                let embedded_at = qa_vector::last_at(&databases.control_read).await?;
                Ok((counts, embedded_at))
            };
            let (counts, embedded_at) = self.at_home(settling).await?;
            let all = counts.waiting + counts.done + counts.failed;
            if counts.waiting == 0 {
                let read = self.databases.control_read.clone();
                let why = async move { qa_sync_request::reasons(&read, id, REASONS_MAX).await };
                return Ok(Some((counts.done, counts.failed, self.at_home(why).await?)));
            }
            if is_cancelled() {
                return Ok(None);
            }
            let per_cent = (all - counts.waiting) * 100 / all;
            progress(u8::try_from(per_cent).unwrap_or(100));
            let now = self.clock.now_micros();
            if stillness.lasts(counts.waiting, embedded_at.unwrap_or(0), now) {
                let databases = self.databases.clone();
                let giving_up = async move { asked::give_up(&databases, id, STALLED).await };
                self.at_home(giving_up).await?;
                continue;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_behind_others_is_not_stalled_while_those_are_embedded() {
        let minutes = |count: i64| count * 60_000_000;
        let mut stillness = Stillness::from(0);
        // None of the job's own for an hour: the backlog before it is embedded all the while.
        for minute in 0..60 {
            assert!(!stillness.lasts(500, 1 + minute, minutes(minute)));
        }
        assert!(!stillness.lasts(500, 60, minutes(79)));
        assert!(stillness.lasts(500, 60, minutes(80)));
        // One of its own, which may have failed: it goes on.
        assert!(!stillness.lasts(499, 60, minutes(81)));
        assert!(!stillness.lasts(499, 60, minutes(101)));
        assert!(stillness.lasts(499, 60, minutes(102)));
    }
}
