//! Deleting many conversations at once, as a job: privacy requests by token, by user, by time.
//!
//! The tombstone is committed with the request, so nothing selected comes back from a spool, whatever happens to the
//! job; deleting again what is gone does nothing. What the search index and the journal still hold goes before the job
//! ends; dictionaries that were trained on what was deleted are replaced after it, by `root/ledger/compressor`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use steward_entities::tombstone::Selection;
use tokio::time::{Instant, sleep};

use super::store::ContentStore;
use crate::jobs::{JobContext, JobKind};

/// The kind of the job.
pub const DELETE: &str = "conversations.delete";

/// What the job's parameters hold.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Asked {
    pub rid_from: i64,
    pub rid_to: i64,
    pub token_key: Option<i64>,
    pub tenant_key: Option<i64>,
    pub end_user: Option<String>,
}

impl From<Asked> for Selection {
    fn from(asked: Asked) -> Self {
        Self {
            rid_from: asked.rid_from,
            rid_to: asked.rid_to,
            token_id: asked.token_key,
            tenant_id: asked.tenant_key,
            end_user: asked.end_user,
        }
    }
}

/// The job [`DELETE`].
pub struct DeleteConversations {
    /// Where they are.
    pub store: Arc<ContentStore>,
}

#[async_trait::async_trait]
impl JobKind for DeleteConversations {
    fn kind(&self) -> &str {
        DELETE
    }

    async fn run(&self, context: JobContext) -> Result<serde_json::Value, String> {
        let asked: Asked =
            serde_json::from_value(context.params.clone()).map_err(|error| error.to_string())?;
        let selection = Selection::from(asked);
        let mut deleted = 0;
        let told = |error: super::store::StoreError| error.to_string();
        loop {
            if context.is_cancelled() {
                return Err(format!("stopped after {deleted} conversations"));
            }
            let some = self.store.delete_some(&selection).await.map_err(told)?;
            if some == 0 {
                break;
            }
            deleted += some;
        }
        let (from, to) = (selection.rid_from, selection.rid_to);
        loop {
            let begun = Instant::now();
            if context.is_cancelled() || !self.store.erase_words(from, to).await.map_err(told)? {
                break;
            }
            // The writer of the month is the calls' as well.
            sleep(begun.elapsed()).await;
        }
        let dictionaries = self
            .store
            .retired_dictionaries(from, to)
            .await
            .map_err(told)?;
        Ok(serde_json::json!({ "deleted": deleted, "dictionaries_to_replace": dictionaries }))
    }
}
