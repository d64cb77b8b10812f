//! `request_logger`: keeps the spool in order after acceptance.
//!
//! Syncs while something is unsynced and tidies up a few times a second (next segment, old segments, free
//! disk). With nothing to do it sleeps. It touches no entry: callers append, the batch writer leases. Whatever
//! blocks runs on the spool's blocking threads.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseActFuture, WrapFuture};
use tokio::time::{Instant, sleep, timeout};

use crate::spool::Spool;
use crate::supervision::{ActorRef, ChildSpec, Incarnation, Placement};

use super::LedgerSettings;

/// Sync and tidy up now; answers when it is done.
#[derive(Clone, Copy, Debug)]
pub struct Flush;

impl Message for Flush {
    type Result = Result<(), String>;
}

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    /// The spool it keeps.
    pub spool: Arc<Spool>,
    /// Its rhythm.
    pub settings: LedgerSettings,
}

/// The actor.
pub struct RequestLogger {
    parts: Parts,
    me: Incarnation<Self>,
}

/// The child spec of `root/ledger/request_logger`.
pub fn spec(actor: &ActorRef<RequestLogger>, parts: Parts) -> ChildSpec {
    let hang_after = parts.settings.hang_after;
    ChildSpec::new("request_logger", actor, move |me| RequestLogger {
        parts: parts.clone(),
        me,
    })
    .placement(Placement::Shared("steady"))
    .hang_after(hang_after)
}

impl Actor for RequestLogger {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let parts = self.parts.clone();
        let me = self.me.clone();
        let keep = async move {
            keep(&parts).await;
            me.fail("the loop ended");
        };
        ctx.spawn(keep.into_actor(self));
    }
}

impl Handler<Flush> for RequestLogger {
    type Result = ResponseActFuture<Self, Result<(), String>>;

    fn handle(&mut self, _: Flush, _: &mut Self::Context) -> Self::Result {
        let spool = Arc::clone(&self.parts.spool);
        let flushed = async move {
            match tokio::task::spawn_blocking(move || spool.flush()).await {
                Ok(flushed) => flushed.map_err(|error| error.to_string()),
                Err(stopped) => Err(stopped.to_string()),
            }
        };
        Box::pin(flushed.into_actor(self))
    }
}

async fn keep(parts: &Parts) {
    let Parts { spool, settings } = parts;
    let mut tidied = Instant::now();
    spool.maintain();
    loop {
        if tidied.elapsed() >= settings.maintain_every {
            spool.maintain();
            tidied = Instant::now();
        }
        let stats = spool.stats();
        if stats.last_seq > stats.durable_seq {
            sleep(settings.sync_every).await;
            spool.sync_if_due();
            continue;
        }
        let rest = settings.maintain_every.saturating_sub(tidied.elapsed());
        if stats.leasable > 0 {
            // Entries wait for the writer: their presence is no news, so look again soon.
            sleep(settings.sync_every.min(rest).max(Duration::from_millis(1))).await;
        } else {
            // An append wakes us. One that is leased at once may not; then the next round finds it.
            let _ = timeout(rest, spool.ready(1)).await;
        }
    }
}
