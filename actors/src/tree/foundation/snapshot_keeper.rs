//! `snapshot_keeper`: builds what the gateway decides by, and swaps it in whole.
//!
//! It looks once a second whether the control tables changed, so that a change made by another node is in
//! force within that time; [`Refresh`] is for the node that made the change and answers when it is. When the
//! database cannot be read, the snapshot that is there stays in force and [`Condition`] says so. It writes
//! nothing, and keeps no counters: those survive a swap elsewhere.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorFuture, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture,
    WrapFuture,
};
use arc_swap::ArcSwap;
use sea_orm::DbErr;
use serde::Serialize;
use steward_entities::database::Databases;
use tokio::sync::oneshot;

use crate::domain::clock::SharedClock;
use crate::domain::snapshot::Snapshot;
use crate::snapshot_source::{Loaded, Unusable, load};
use crate::supervision::{ActorRef, ChildSpec, Incarnation};
use crate::vault::Vault;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A database that takes longer counts as unreadable for now.
const LOAD_WITHIN: Duration = Duration::from_secs(10);

/// Asks for a snapshot that shows every change committed before the question; answers once it is in force.
#[derive(Clone, Copy, Debug)]
pub struct Refresh;

impl Message for Refresh {
    type Result = Result<(), RefreshError>;
}

/// The same, and everything is read again, whether or not anything has changed.
#[derive(Clone, Copy, Debug)]
pub struct Rebuild;

impl Message for Rebuild {
    type Result = Result<(), RefreshError>;
}

/// Why the snapshot is still the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// The control tables cannot be read at present. It is tried again every second.
    #[error("the control database cannot be read; the change takes effect as soon as it can")]
    Unreadable,
}

/// How the snapshot in force came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Revision of the control tables it shows; absent before the first one.
    pub revision: Option<i64>,
    /// When it was swapped in, microseconds since the Unix epoch.
    pub loaded_at: Option<i64>,
    /// Since when the control tables cannot be read, microseconds since the Unix epoch.
    pub unreadable_since: Option<i64>,
    /// Accounts that are disabled because they cannot be used: (public id, reason).
    pub unusable_accounts: Vec<(String, String)>,
}

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub databases: Databases,
    pub vault: Arc<Vault>,
    /// Where the snapshot is published.
    pub published: Arc<ArcSwap<Snapshot>>,
    /// Where its condition is published.
    pub condition: Arc<ArcSwap<Condition>>,
    pub clock: SharedClock,
}

/// The actor.
pub struct SnapshotKeeper {
    parts: Parts,
    /// A load is under way.
    loading: bool,
    /// Asked since that load began; the next one answers them.
    waiting: Vec<oneshot::Sender<Result<(), RefreshError>>>,
    /// The next load reads everything.
    wants_all: bool,
    /// Accounts already told about, so that each is logged once.
    told: HashSet<String>,
}

/// The child spec of `root/foundation/snapshot_keeper`.
pub fn spec(actor: &ActorRef<SnapshotKeeper>, parts: Parts) -> ChildSpec {
    ChildSpec::new("snapshot_keeper", actor, move |me| {
        SnapshotKeeper::new(me, parts.clone())
    })
}

impl SnapshotKeeper {
    /// A keeper that has loaded nothing yet.
    pub fn new(_me: Incarnation<Self>, parts: Parts) -> Self {
        Self {
            parts,
            loading: false,
            waiting: Vec::new(),
            wants_all: false,
            told: HashSet::new(),
        }
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        if !self.loading {
            let load = self.load();
            ctx.spawn(load);
        }
    }

    /// Loads, publishes, and answers who asked before it began.
    fn load(&mut self) -> impl ActorFuture<Self, Output = ()> + use<> {
        self.loading = true;
        let asked = std::mem::take(&mut self.waiting);
        let condition = self.parts.condition.load();
        // An account that did not open may open now (the key file was put back): then look at all rows again.
        let all_again = std::mem::take(&mut self.wants_all)
            || (!asked.is_empty() && !condition.unusable_accounts.is_empty());
        let known = condition.revision.filter(|_| !all_again);
        let databases = self.parts.databases.clone();
        let vault = Arc::clone(&self.parts.vault);
        let loaded = async move {
            let home = databases.clone();
            let loading = home.at_home(async move { load(&databases, &vault, known).await });
            tokio::time::timeout(LOAD_WITHIN, loading)
                .await
                .unwrap_or_else(|_| Err(DbErr::Custom("no answer in time".to_owned())))
        };
        loaded
            .into_actor(self)
            .map(move |result, this: &mut Self, ctx| {
                this.loading = false;
                let answer = this.settle(result);
                for asker in asked {
                    // Who asked may have given up.
                    let _ = asker.send(answer);
                }
                if !this.waiting.is_empty() {
                    this.begin(ctx);
                }
            })
    }

    fn settle(&mut self, result: Result<Option<Loaded>, DbErr>) -> Result<(), RefreshError> {
        let before = self.parts.condition.load_full();
        let now = self.parts.clock.now_micros();
        match result {
            Ok(loaded) => {
                let mut condition = Condition {
                    unreadable_since: None,
                    ..(*before).clone()
                };
                if before.unreadable_since.is_some() {
                    tracing::info!("the control database can be read again");
                }
                if let Some(Loaded { revision, built }) = loaded {
                    self.tell(&built.unusable);
                    condition.revision = Some(revision);
                    condition.loaded_at = Some(now);
                    condition.unusable_accounts = built
                        .unusable
                        .into_iter()
                        .map(|account| (account.public_id, account.reason))
                        .collect();
                    self.parts.published.store(Arc::new(built.snapshot));
                }
                if condition != *before {
                    self.parts.condition.store(Arc::new(condition));
                }
                Ok(())
            }
            Err(error) => {
                if before.unreadable_since.is_none() {
                    tracing::warn!(%error, "the control database cannot be read; the gateway goes on with what it knows");
                    self.parts.condition.store(Arc::new(Condition {
                        unreadable_since: Some(now),
                        ..(*before).clone()
                    }));
                }
                Err(RefreshError::Unreadable)
            }
        }
    }

    fn tell(&mut self, unusable: &[Unusable]) {
        for account in unusable {
            if self.told.insert(account.public_id.clone()) {
                tracing::warn!(
                    account = account.public_id,
                    name = account.name,
                    reason = account.reason,
                    "an account cannot be used and is disabled"
                );
            }
        }
        self.told
            .retain(|id| unusable.iter().any(|account| account.public_id == *id));
    }
}

impl Actor for SnapshotKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Up means there is a snapshot, if there can be one; what starts after it finds it.
        let first = self.load();
        ctx.wait(first);
        ctx.run_interval(LOOK_EVERY, Self::begin);
    }
}

impl SnapshotKeeper {
    fn answer(
        &mut self,
        ctx: &mut Context<Self>,
    ) -> ResponseActFuture<Self, Result<(), RefreshError>> {
        let (asker, answer) = oneshot::channel();
        self.waiting.push(asker);
        self.begin(ctx);
        let answer = async move { answer.await.unwrap_or(Err(RefreshError::Unreadable)) };
        Box::pin(answer.into_actor(self))
    }
}

impl Handler<Refresh> for SnapshotKeeper {
    type Result = ResponseActFuture<Self, Result<(), RefreshError>>;

    fn handle(&mut self, _: Refresh, ctx: &mut Context<Self>) -> Self::Result {
        self.answer(ctx)
    }
}

impl Handler<Rebuild> for SnapshotKeeper {
    type Result = ResponseActFuture<Self, Result<(), RefreshError>>;

    fn handle(&mut self, _: Rebuild, ctx: &mut Context<Self>) -> Self::Result {
        self.wants_all = true;
        self.answer(ctx)
    }
}
