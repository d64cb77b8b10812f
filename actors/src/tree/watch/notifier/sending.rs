//! Which of several nodes on one database sends: the one that has the lease.
//!
//! It ends by itself within a minute of its holder's death. A node that shuts down in order gives it back, so that
//! nobody waits for that; with an attempt in hand that does not end in time it keeps it, since nobody knows then what
//! the receiver has.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sea_orm::DbErr;
use steward_entities::database::begin_write;
use steward_entities::lease;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::Parts;
use crate::fault_point;

/// Who sends.
const LEASE: &str = "notifier";
/// A node that was not heard of for so long sends no more, and another may.
const LEASE_US: i64 = 60_000_000;
/// What must be left of it when an attempt begins: so long that no other node begins before the answer is written down.
const LEFT_US: i64 = 50_000_000;

/// How long the end waits for the attempts that are in hand, and then for the database.
const FINISH_WITHIN: Duration = Duration::from_secs(3);
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(1);

/// What a node knows about its lease. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Sending {
    /// Until when it is this node's, microseconds since the Unix epoch; 0: nobody gave it one.
    until: Arc<AtomicI64>,
    /// Nothing more is begun.
    is_ending: Arc<watch::Sender<bool>>,
}

impl Sending {
    /// Whether there may be a lease to give back.
    pub(super) fn has_lease(&self) -> bool {
        self.until.load(Ordering::Acquire) > 0
    }

    /// What is in hand is the last.
    pub(super) fn end(&self) {
        self.is_ending.send_replace(true);
    }

    pub(super) fn is_ending(&self) -> bool {
        *self.is_ending.borrow()
    }

    /// Comes when nothing more is to be begun.
    pub(super) async fn ending(&self) {
        let mut told = self.is_ending.subscribe();
        // The sender lives as long as `self`.
        let _ = told.wait_for(|is_ending| *is_ending).await;
    }

    /// Comes when what was in hand at the end has had its time.
    pub(super) async fn overdue(&self) {
        self.ending().await;
        sleep(FINISH_WITHIN).await;
    }

    /// Leaves the lease to end by itself.
    pub(super) fn leave(&self) {
        self.until.store(0, Ordering::Release);
    }
}

impl Parts {
    /// Whether this node sends: it does already for long enough, or has the lease now.
    pub(super) async fn sends(&self) -> Result<bool, DbErr> {
        if self.sending.is_ending() {
            return Ok(false);
        }
        let now = self.clock.now_micros();
        if self.sending.until.load(Ordering::Acquire) - now >= LEFT_US {
            return Ok(true);
        }
        let until = now + LEASE_US;
        let txn = begin_write(&self.databases.control).await?;
        let taken = lease::take(&txn, LEASE, self.node, now, until).await?;
        txn.commit().await?;
        if taken {
            self.sending.until.store(until, Ordering::Release);
            fault_point::reached("notifier.leased");
        }
        Ok(taken)
    }

    /// Lets another node send at once. A lease that cannot be given back ends by itself.
    pub(super) async fn give_back(&self) {
        if !self.sending.has_lease() {
            return;
        }
        let mine = self.clone();
        let giving = self.databases.at_home(async move {
            let txn = begin_write(&mine.databases.control).await?;
            lease::give_back(&txn, LEASE, mine.node).await?;
            txn.commit().await
        });
        match timeout(GIVE_BACK_WITHIN, giving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "another node sends notices in a minute only"),
            Err(_) => tracing::warn!(
                "the database is too slow: another node sends notices in a minute only"
            ),
        }
        self.sending.leave();
    }
}
