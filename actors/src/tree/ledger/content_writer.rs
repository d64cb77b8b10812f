//! `content_writer`: leases kept conversations from their spool, stores them in their months, acks.
//!
//! One loop in the background of the actor. A database that takes nothing is tried again, more and more slowly; what
//! arrives meanwhile waits in the spool, whose oldest segment goes when it is full. What cannot be opened (another
//! key file, damage) becomes a dead letter of that spool. Every step may run twice: a content is stored once.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, WrapFuture};
use tokio::time::{sleep, timeout};

use crate::contents::store::{ContentStore, StoreError};
use crate::contents::{Content, intake};
use crate::domain::clock::SharedClock;
use crate::domain::setting::InForce;
use crate::spool::{Entry, Lease, ReadError, Settled, Spool};
use crate::supervision::{ActorRef, ChildSpec, Incarnation};
use crate::vault::Vault;

/// Contents of one round: with a few hundred kilobytes each at most, some tens of megabytes.
const BATCH_MAX: usize = 100;
/// How long the first content waits for others.
const FLUSH_AFTER: Duration = Duration::from_millis(250);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// A transaction that takes longer is given up and tried again.
const COMMIT_WITHIN: Duration = Duration::from_secs(60);
/// How often the spool is tidied up while nothing happens in it.
const MAINTAIN_EVERY: Duration = Duration::from_secs(5);
/// How long it may empty the spool at shutdown; the rest is safe on disk.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// What it works with. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    /// Where contents wait, sealed.
    pub spool: Arc<Spool>,
    /// Where they go.
    pub store: Arc<ContentStore>,
    /// Opens them.
    pub vault: Arc<Vault>,
    pub clock: SharedClock,
    /// What says how old those are that are packed for good.
    pub settings: InForce,
}

/// The actor.
pub struct ContentWriter {
    parts: Parts,
    me: Incarnation<Self>,
}

/// The child spec of `root/ledger/content_writer`.
pub fn spec(actor: &ActorRef<ContentWriter>, parts: Parts) -> ChildSpec {
    let (gate, fence) = (Arc::clone(&parts.spool), Arc::clone(&parts.spool));
    ChildSpec::new("content_writer", actor, move |me| ContentWriter {
        parts: parts.clone(),
        me,
    })
    .shutdown_within(DRAIN_WITHIN)
    .drain_gate(move || gate.ledger().spooled > 0)
    .on_fence(move |epoch| fence.revoke_before(epoch))
}

impl Actor for ContentWriter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (parts, me) = (self.parts.clone(), self.me.clone());
        let write = async move {
            let why = run(&parts, &me).await;
            me.fail(why);
        };
        ctx.spawn(write.into_actor(self));
        // Segments roll, trim and go with the same hand that empties them.
        ctx.run_interval(MAINTAIN_EVERY, |this, _| this.parts.spool.maintain());
    }
}

async fn run(parts: &Parts, me: &Incarnation<ContentWriter>) -> String {
    loop {
        parts.spool.ready(1).await;
        if !me.is_draining() {
            let _ = timeout(FLUSH_AFTER, parts.spool.ready(BATCH_MAX)).await;
        }
        let (spool, epoch) = (Arc::clone(&parts.spool), me.epoch());
        // Leasing may read from disk.
        let leased = tokio::task::spawn_blocking(move || spool.lease(epoch, BATCH_MAX)).await;
        match leased {
            Ok(Ok(Some(lease))) => deliver(parts, lease).await,
            Ok(Ok(None)) | Err(_) => {}
            Ok(Err(error @ ReadError::Fenced { .. })) => return error.to_string(),
            Ok(Err(error)) => {
                tracing::error!(%error, "the spool of conversations cannot be read; it is tried again");
                sleep(RETRY_MAX).await;
            }
        }
        parts.spool.maintain();
    }
}

async fn deliver(parts: &Parts, lease: Lease) {
    let (contents, unreadable) = read(parts, &lease.entries);
    let mut pause = RETRY_FIRST;
    loop {
        match settle(parts, &contents, &unreadable).await {
            Ok(()) => break,
            Err(error) => {
                tracing::error!(%error, "kept conversations cannot be stored; they wait in their spool");
                sleep(pause.mul_f64(0.5 + 0.5 * rand::random::<f64>())).await;
                pause = (pause * 2).min(RETRY_MAX);
            }
        }
    }
    let settled = Settled {
        stored: contents.len() as u64,
        dead_lettered: unreadable.len() as u64,
    };
    if lease.ack(settled).is_err() {
        tracing::warn!("conversations were stored by an incarnation that had been replaced");
    }
}

fn read(parts: &Parts, entries: &[Entry]) -> (Vec<Content>, Vec<(Entry, String)>) {
    let mut contents = Vec::with_capacity(entries.len());
    let mut unreadable = Vec::new();
    for entry in entries {
        match intake::open(&parts.vault, entry) {
            Ok(content) => contents.push(content),
            Err(reason) => {
                tracing::error!(
                    seq = entry.seq,
                    reason,
                    "a kept conversation cannot be opened"
                );
                unreadable.push((entry.clone(), reason));
            }
        }
    }
    (contents, unreadable)
}

async fn settle(
    parts: &Parts,
    contents: &[Content],
    unreadable: &[(Entry, String)],
) -> Result<(), StoreError> {
    if !contents.is_empty() {
        match timeout(COMMIT_WITHIN, parts.store.write(contents)).await {
            Ok(written) => written?,
            Err(_) => return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        };
    }
    if !unreadable.is_empty() {
        let (spool, letters) = (Arc::clone(&parts.spool), unreadable.to_vec());
        tokio::task::spawn_blocking(move || {
            letters
                .iter()
                .try_for_each(|(entry, reason)| spool.dead_letter(entry, reason))
        })
        .await
        .map_err(|stopped| std::io::Error::other(stopped.to_string()))?
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    }
    Ok(())
}
