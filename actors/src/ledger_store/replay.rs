//! Gives dead letters another try, after whatever refused them was mended. Run as a job.
//!
//! Idempotent: a letter is marked in the transaction that stores its row, and a row is stored once.

use std::sync::Arc;

use prost::Message;

use crate::domain::clock::Clock;
use crate::domain::record::Record;

use crate::domain::clock::SharedClock;
use crate::jobs::{JobContext, JobKind};

use super::{LedgerStore, WriteError};

const PAGE: u32 = 100;

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize)]
pub struct Replayed {
    /// Letters whose record is on the books now.
    pub stored: u64,
    /// Letters refused again; they stay.
    pub refused: u64,
}

/// Replays every letter that waits.
///
/// # Errors
/// [`WriteError::Unavailable`]; what was replayed before stays replayed.
pub async fn replay_dead_letters(
    store: &dyn LedgerStore,
    clock: &dyn Clock,
) -> Result<Replayed, WriteError> {
    let mut done = Replayed::default();
    let mut after = 0;
    loop {
        let letters = store.dead_letters(after, PAGE).await?;
        let Some(last) = letters.last() else {
            return Ok(done);
        };
        after = last.id;
        for letter in &letters {
            let stored = match Record::decode(letter.payload.as_slice()) {
                Ok(record) => match store.replay(letter, &record, clock.now_micros()).await {
                    Err(WriteError::Data(_)) => false,
                    other => other?,
                },
                Err(_) => false,
            };
            if stored {
                done.stored += 1;
            } else {
                done.refused += 1;
            }
        }
    }
}

/// The job `dead_letters.replay`.
pub struct ReplayDeadLetters {
    /// Where the letters are.
    pub store: Arc<dyn LedgerStore>,
    /// Stamps what was replayed.
    pub clock: SharedClock,
}

#[async_trait::async_trait]
impl JobKind for ReplayDeadLetters {
    fn kind(&self) -> &str {
        "dead_letters.replay"
    }

    async fn run(&self, _context: JobContext) -> Result<serde_json::Value, String> {
        let done = replay_dead_letters(&*self.store, &*self.clock)
            .await
            .map_err(|error| error.to_string())?;
        serde_json::to_value(done).map_err(|error| error.to_string())
    }
}
