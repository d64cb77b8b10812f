//! `compressor`: packs conversations that have grown old, with a dictionary trained on them, at a high level; and erases
//! what deletions leave behind elsewhere than in their rows, which goes first.
//!
//! A reconciler: it looks now and then, takes one small step after another while there is something to do, and rests
//! in between so that a day's worth of packing never takes a processor. Each row says whether it is done, so stopping
//! at any point loses nothing. Reading and searching do not notice.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, WrapFuture};
use tokio::time::{Instant, sleep, timeout};

use crate::contents::store::ContentStore;
use crate::domain::clock::SharedClock;
use crate::domain::rid::Rid;
use crate::domain::setting::InForce;
use crate::supervision::{ActorRef, ChildSpec, Incarnation};

/// How often it looks when there was nothing to do.
const EVERY: Duration = Duration::from_secs(600);
/// It rests this many times as long as a step took …
const REST: u32 = 4;
/// … and at least so long.
const REST_MIN: Duration = Duration::from_millis(20);

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    pub store: Arc<ContentStore>,
    pub clock: SharedClock,
    /// What says how old contents are that are packed.
    pub settings: InForce,
}

/// The actor.
pub struct Compressor {
    parts: Parts,
    me: Incarnation<Self>,
}

/// The child spec of `root/ledger/compressor`.
pub fn spec(actor: &ActorRef<Compressor>, parts: Parts) -> ChildSpec {
    ChildSpec::new("compressor", actor, move |me| Compressor {
        parts: parts.clone(),
        me,
    })
}

impl Actor for Compressor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (parts, me) = (self.parts.clone(), self.me.clone());
        ctx.spawn(async move { run(&parts, &me).await }.into_actor(self));
    }
}

async fn run(parts: &Parts, me: &Incarnation<Compressor>) {
    loop {
        if me.is_draining() {
            return;
        }
        let now_ms = parts.clock.now_ms();
        let after = parts.settings.load().compress_after;
        let after_ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        let below = Rid::floor_of_ms(now_ms.saturating_sub(after_ms).max(0)).0;
        let begun = Instant::now();
        match parts.store.erase(now_ms * 1_000).await {
            Ok(true) => {
                sleep((begun.elapsed() * REST).max(REST_MIN)).await;
                continue;
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "what deletions left behind cannot be erased; trying again later");
            }
        }
        match parts.store.repack(below, now_ms * 1_000).await {
            Ok(step) if step.rows > 0 => {
                tracing::debug!(
                    rows = step.rows,
                    saved_bytes = step.saved_bytes,
                    "packed conversations"
                );
                sleep((begun.elapsed() * REST).max(REST_MIN)).await;
            }
            Ok(_) => {
                // Waiting ends with a deletion, or with the time.
                let _ = timeout(EVERY, parts.store.soiled()).await;
            }
            Err(error) => {
                tracing::warn!(%error, "old conversations cannot be packed; trying again later");
                sleep(EVERY).await;
            }
        }
    }
}
