//! How long what is kept stays, and forgetting what has outlived it.
//!
//! [`kind`] says what there is and for how many days, [`pace`] how much of it goes at once, [`holds`] what must not go
//! yet because it is still to be archived, or was brought back; [`pass`] does it, and tells [`Board`] how far it is.
//! `root/upkeep/retention` makes a pass an hour, the job [`RunNow`] one when somebody asks. [`files`] keeps SQLite's files
//! in shape meanwhile. What is *not* here: deleting
//! what somebody wants gone (`contents::deletion`), and the audit, which is never forgotten.

mod board;
pub mod files;
pub mod holds;
mod kind;
mod pace;
mod pass;

pub use board::{Board, Running, Standing};
pub use kind::{HOURLY_CUBE_KEPT_MICROS, Home, Kind};
pub(crate) use pace::Step;
pub use pace::{HELD_MAX, Pace};
pub use pass::{COUNTED_MAX, Due, Parts, Report, due, pass};

use std::time::Duration;

use serde_json::Value;

use crate::jobs::{JobContext, JobKind};

/// How long a job waits for a pass under way before it looks again.
const AGAIN: Duration = Duration::from_millis(200);

/// The kind of the job that makes a pass now.
pub const RUN: &str = "retention.run";

/// The job [`RUN`].
pub struct RunNow {
    pub parts: Parts,
}

#[async_trait::async_trait]
impl JobKind for RunNow {
    fn kind(&self) -> &str {
        RUN
    }

    // It rests most of the time.
    fn waits(&self) -> bool {
        true
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        loop {
            let (parts, home) = (self.parts.clone(), self.parts.databases.clone());
            let told = context.clone();
            let report = home.at_home(async move {
                let now = parts.clock.now_micros();
                let progress = |per_cent| told.progress(per_cent);
                pass(&parts, now, &progress, &|| told.is_cancelled()).await
            });
            let report = report.await.map_err(|error| error.to_string())?;
            if context.is_cancelled() {
                let rows = report.map_or(0, |report| report.rows());
                return Err(format!("stopped after {rows} rows"));
            }
            match report {
                Some(report) => {
                    return serde_json::to_value(report).map_err(|error| error.to_string());
                }
                // Another is under way; this one may have less to do, and is made all the same.
                None => tokio::time::sleep(AGAIN).await,
            }
        }
    }
}
