//! A store that misbehaves by plan: around each transaction and inside it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use steward_actors::domain::price::PriceBook;
use steward_actors::domain::record::Record;
use steward_actors::ledger_store::{
    Batch, Breakpoint, Breakpoints, DeadLetter, KeptLetter, LedgerStore, Outcome, PostgresStore,
    Prepared, SqliteStore, WriteError,
};
use steward_actors::supervision::{Fault, FaultPlan};
use steward_entities::database::{DatabaseKind, Databases};

/// Longer than a transaction may take plus the grace of a kill: the thread is given up and its successor
/// starts while the zombie still holds a transaction.
const BLOCK: Duration = Duration::from_millis(450);

/// The store of `databases`, struck by `plan`.
pub(crate) fn store(databases: &Databases, plan: &Arc<FaultPlan>) -> Arc<dyn LedgerStore> {
    let inside = Arc::clone(plan);
    let breakpoints: Breakpoints = Arc::new(move |breakpoint| {
        let point = match breakpoint {
            Breakpoint::Begun => "begun",
            Breakpoint::RowsInserted => "rows inserted",
            Breakpoint::BeforeCommit => "before commit",
            Breakpoint::Committed => "committed",
        };
        strike(&inside, point);
    });
    let inner: Arc<dyn LedgerStore> = match databases.kind {
        DatabaseKind::Sqlite => {
            Arc::new(SqliteStore::new(&databases.ledger).with_breakpoints(breakpoints))
        }
        DatabaseKind::Postgres => {
            Arc::new(PostgresStore::new(&databases.ledger).with_breakpoints(breakpoints))
        }
    };
    Arc::new(Faulty {
        inner,
        plan: Arc::clone(plan),
    })
}

fn strike(plan: &FaultPlan, point: &'static str) -> Option<Fault> {
    let fault = plan.at(point)?;
    match fault {
        Fault::Panic => panic!("struck: {point}"),
        Fault::Block => std::thread::sleep(BLOCK),
        _ => {}
    }
    Some(fault)
}

struct Faulty {
    inner: Arc<dyn LedgerStore>,
    plan: Arc<FaultPlan>,
}

impl Faulty {
    async fn pass(&self, point: &'static str) -> Result<(), WriteError> {
        match strike(&self.plan, point) {
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Fail) => Err(WriteError::Unavailable("struck".into())),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl LedgerStore for Faulty {
    async fn prepare(&self, now_ms: i64) -> Result<Prepared, WriteError> {
        self.inner.prepare(now_ms).await
    }

    async fn backfill(&self) -> Result<bool, WriteError> {
        self.inner.backfill().await
    }

    async fn cursor(&self, node: u8) -> Result<u64, WriteError> {
        self.inner.cursor(node).await
    }

    async fn greatest_rid(&self) -> Result<i64, WriteError> {
        self.inner.greatest_rid().await
    }

    async fn write(&self, batch: Batch<'_>) -> Result<Outcome, WriteError> {
        self.pass("before the transaction").await?;
        let outcome = self.inner.write(batch).await?;
        self.pass("after the commit, before the ack").await?;
        Ok(outcome)
    }

    async fn dead_letter(
        &self,
        node: u8,
        letters: &[DeadLetter],
        upto_seq: u64,
        now_micros: i64,
    ) -> Result<(), WriteError> {
        self.inner
            .dead_letter(node, letters, upto_seq, now_micros)
            .await
    }

    async fn dead_letters(&self, after_id: i64, limit: u32) -> Result<Vec<KeptLetter>, WriteError> {
        self.inner.dead_letters(after_id, limit).await
    }

    async fn replay(
        &self,
        letter: &KeptLetter,
        record: &Record,
        now_micros: i64,
    ) -> Result<bool, WriteError> {
        self.inner.replay(letter, record, now_micros).await
    }

    async fn reprice(
        &self,
        rids: &[i64],
        prices: &PriceBook,
        now_micros: i64,
    ) -> Result<u64, WriteError> {
        self.inner.reprice(rids, prices, now_micros).await
    }
}
