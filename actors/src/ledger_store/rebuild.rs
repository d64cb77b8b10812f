//! The job that follows while all of the log is counted anew: in another `stats.time_zone` days and hours begin elsewhere.
//!
//! Starting it is the front's, before there is a writer ([`begin_anew`](steward_entities::ledger::backfill::begin_anew)).
//! The counting is the writer's back-fill, between batches; it goes on when this job is cancelled. When it is through,
//! the figures of days are derived.

use std::time::Duration;

use chrono_tz::Tz;
use sea_orm::DbErr;
use serde_json::{Value, json};
use steward_entities::database::Databases;
use steward_entities::ledger::{backfill, daily};
use tokio::time::sleep;

use crate::domain::clock::SharedClock;
use crate::jobs::{JobContext, JobKind};

use super::days::{count_conversations, derive_day};

/// Its name: `{"time_zone": "Asia/Shanghai", "from_rid": 1, "below_rid": 9}`.
pub const REBUILD: &str = "stats.rebuild";

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What counting is of the whole; the rest is deriving.
const COUNTING: f64 = 90.0;

/// The kind of job that follows a rebuild.
pub struct RebuildDays {
    pub databases: Databases,
    pub zone: Tz,
    pub clock: SharedClock,
}

impl RebuildDays {
    async fn follow(&self, context: &JobContext) -> Result<usize, DbErr> {
        let read = &self.databases.ledger_read;
        let first = context.params["from_rid"].as_i64().unwrap_or_default();
        loop {
            let rest = backfill::rest(read).await?;
            if rest.is_done() {
                break;
            }
            let done = (rest.next - first) as f64 / (rest.below - first).max(1) as f64;
            context.progress((done * COUNTING).clamp(0.0, COUNTING) as u8);
            sleep(LOOK_EVERY).await;
        }
        let days = daily::counted(read).await?;
        for (at, day) in days.iter().enumerate() {
            derive_day(&self.databases, self.zone, &self.clock, *day).await?;
            count_conversations(&self.databases, self.zone, &self.clock, *day).await?;
            let done = (at + 1) as f64 / days.len() as f64;
            context.progress((COUNTING + done * (99.0 - COUNTING)) as u8);
        }
        Ok(days.len())
    }
}

#[async_trait::async_trait]
impl JobKind for RebuildDays {
    fn kind(&self) -> &str {
        REBUILD
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        tokio::select! {
            days = self.follow(&context) => {
                let days = days.map_err(|error| error.to_string())?;
                tracing::info!(days, zone = self.zone.name(), "the log is counted anew");
                Ok(json!({"days": days, "time_zone": self.zone.name()}))
            }
            () = context.cancelled() => Err("cancelled".to_owned()),
        }
    }
}
