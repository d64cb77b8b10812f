//! `archivist`: writes months that are over to files that stay, if a setting says so.
//!
//! A reconciler: it takes no input, looks once an hour at the settings, the clock and the list of what is archived, and
//! writes what is missing (`archive`). A month that cannot be written is told and tried again; retention waits for it.

use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use sea_orm::DbErr;

use crate::archive::{Parts, write_all};
use crate::supervision::{ActorRef, ChildSpec};

/// How often it looks.
pub const EVERY: Duration = Duration::from_secs(3_600);

/// The actor.
pub struct Archivist {
    parts: Parts,
    /// Months are being written.
    at_work: bool,
}

/// The child spec of `root/upkeep/archivist`.
pub fn spec(actor: &ActorRef<Archivist>, parts: Parts) -> ChildSpec {
    ChildSpec::new("archivist", actor, move |_| Archivist {
        parts: parts.clone(),
        at_work: false,
    })
}

impl Archivist {
    fn look(&mut self, ctx: &mut Context<Self>) {
        if !self.parts.settings.load().archives || std::mem::replace(&mut self.at_work, true) {
            return;
        }
        let (parts, home) = (self.parts.clone(), self.parts.databases.clone());
        let work = async move {
            home.at_home(async move {
                write_all(&parts, &|_| {}, &|| false)
                    .await
                    .map_err(|error| DbErr::Custom(error.to_string()))
            })
            .await
        };
        ctx.spawn(work.into_actor(self).map(|result, this, _| {
            this.at_work = false;
            if let Err(error) = result {
                tracing::warn!(%error, "a month cannot be archived; trying again in an hour");
            }
        }));
    }
}

impl Actor for Archivist {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.look(ctx);
        ctx.run_interval(EVERY, Self::look);
    }
}
