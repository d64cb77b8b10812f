//! `settings_keeper`: puts into force what operators saved over the configuration.
//!
//! It looks once a second whether the control tables changed, so that a change made by another node holds within that
//! time; [`Refresh`] is for the node that made it and answers when it holds. While the database cannot be read, what was
//! in force stays in force. It writes nothing, and starts no work of its own: readers look at what is in force.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, WrapFuture};
use sea_orm::DbErr;
use steward_entities::database::Databases;
use steward_entities::{exchange_rate, revision, setting};

use super::snapshot_keeper::{Rebuild, Refresh, RefreshError};
use crate::domain::price::{Rate, Rates};
use crate::domain::setting::{Defaults, InForce, Settings, Unusable};
use crate::supervision::{ActorRef, ChildSpec, Incarnation};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A database that takes longer counts as unreadable for now.
const LOAD_WITHIN: Duration = Duration::from_secs(10);

/// What holds without a database, and where it is told what holds. Clones share everything.
#[derive(Clone, Debug)]
pub struct Says {
    /// The configuration's say.
    pub defaults: Arc<Defaults>,
    /// Where the settings are published.
    pub published: InForce,
}

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub databases: Databases,
    pub says: Says,
}

/// Settings of one moment.
struct Loaded {
    /// The control tables show this at least.
    revision: i64,
    settings: Settings,
    unusable: Vec<Unusable>,
}

/// The actor.
pub struct SettingsKeeper {
    parts: Parts,
    /// What is published is of this.
    revision: Option<i64>,
    is_unreadable: bool,
    told: Vec<Unusable>,
}

/// The child spec of `root/foundation/settings_keeper`.
pub fn spec(actor: &ActorRef<SettingsKeeper>, parts: Parts) -> ChildSpec {
    ChildSpec::new("settings_keeper", actor, move |me| {
        SettingsKeeper::new(me, parts.clone())
    })
}

/// What is to be in force as the tables stand, and what of them cannot be.
///
/// # Errors
/// When the control tables cannot be read.
pub async fn read(
    databases: &Databases,
    defaults: &Defaults,
) -> Result<(Settings, Vec<Unusable>), DbErr> {
    let rows = setting::all(&databases.control_read).await?.into_iter();
    let saved: BTreeMap<String, String> = rows.map(|row| (row.key, row.value)).collect();
    let (mut settings, unusable) = defaults.with(&saved);
    let rates = exchange_rate::all(&databases.control_read)
        .await?
        .into_iter();
    let rates = rates.filter_map(|row| Some((row.valid_from, Rate::new(row.cny_per_usd_nano)?)));
    settings.rates = Rates::new(rates.collect());
    Ok((settings, unusable))
}

/// `None` when the revision of the tables is still `known`.
///
/// # Errors
/// When the control tables cannot be read.
async fn load(parts: &Parts, known: Option<i64>) -> Result<Option<Loaded>, DbErr> {
    // The number first: what comes meanwhile is found at the next look.
    let revision = revision::read(&parts.databases.control_read).await?;
    if known == Some(revision) {
        return Ok(None);
    }
    let (settings, unusable) = read(&parts.databases, &parts.says.defaults).await?;
    Ok(Some(Loaded {
        revision,
        settings,
        unusable,
    }))
}

impl SettingsKeeper {
    /// A keeper that has read nothing yet.
    pub fn new(_me: Incarnation<Self>, parts: Parts) -> Self {
        Self {
            parts,
            revision: None,
            is_unreadable: false,
            told: Vec::new(),
        }
    }

    fn look(&self) -> ResponseActFuture<Self, Result<(), RefreshError>> {
        let (parts, known) = (self.parts.clone(), self.revision);
        let loaded = async move {
            let home = parts.databases.clone();
            let loading = home.at_home(async move { load(&parts, known).await });
            tokio::time::timeout(LOAD_WITHIN, loading)
                .await
                .unwrap_or_else(|_| Err(DbErr::Custom("no answer in time".to_owned())))
        };
        Box::pin(
            loaded
                .into_actor(self)
                .map(|loaded, this: &mut Self, _| this.settle(loaded)),
        )
    }

    fn settle(&mut self, loaded: Result<Option<Loaded>, DbErr>) -> Result<(), RefreshError> {
        match loaded {
            Ok(loaded) => {
                if std::mem::take(&mut self.is_unreadable) {
                    tracing::info!("the saved settings can be read again");
                }
                // Two looks at a time may end in the other order.
                if let Some(loaded) = loaded.filter(|new| Some(new.revision) > self.revision) {
                    self.publish(loaded);
                }
                Ok(())
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_unreadable, true) {
                    tracing::warn!(%error, "the saved settings cannot be read; those in force stay");
                }
                Err(RefreshError::Unreadable)
            }
        }
    }

    fn publish(&mut self, loaded: Loaded) {
        for Unusable { key, problem } in &loaded.unusable {
            if !self.told.iter().any(|known| known.key == *key) {
                tracing::warn!(key, problem, "a saved setting cannot be; its default holds");
            }
        }
        self.told = loaded.unusable;
        self.revision = Some(loaded.revision);
        if **self.parts.says.published.load() != loaded.settings {
            self.parts.says.published.store(Arc::new(loaded.settings));
        }
    }
}

impl Actor for SettingsKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Up means that what is saved holds, if it can be read; what starts after it finds it.
        ctx.wait(self.look().map(|_, _, _| ()));
        ctx.run_interval(LOOK_EVERY, |this, ctx| {
            ctx.spawn(this.look().map(|_, _, _| ()));
        });
    }
}

impl Handler<Rebuild> for SettingsKeeper {
    type Result = ResponseActFuture<Self, Result<(), RefreshError>>;

    fn handle(&mut self, _: Rebuild, _: &mut Context<Self>) -> Self::Result {
        self.revision = None;
        self.look()
    }
}

impl Handler<Refresh> for SettingsKeeper {
    type Result = ResponseActFuture<Self, Result<(), RefreshError>>;

    fn handle(&mut self, _: Refresh, _: &mut Context<Self>) -> Self::Result {
        self.look()
    }
}
