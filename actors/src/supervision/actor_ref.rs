//! The stable address of a child: valid from before its first start until the process ends, on any thread.

use super::cell::ActorCell;
use super::envelope::{Ask, Queued, Sure, Tell};
use super::snapshot::{DeadLetter, Snapshot};
use actix::{Actor, Handler, Message};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::oneshot;

/// Why a message was not accepted. It comes back.
#[derive(thiserror::Error)]
pub enum TrySendError<M> {
    /// The queue is full: try later or shed.
    #[error("the actor's queue is full")]
    Full(M),
    /// The child has ended for good.
    #[error("the actor has ended")]
    Closed(M),
}

impl<M> fmt::Debug for TrySendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<M> TrySendError<M> {
    /// The message.
    pub fn into_inner(self) -> M {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The queue is full.
    #[error("the actor's queue is full")]
    Full,
    /// The child has ended for good.
    #[error("the actor has ended")]
    Closed,
    /// The actor failed, or was stopped, while it had the question.
    #[error("the actor dropped the question")]
    Dropped,
    /// No answer in time; the actor may still handle the question if it has begun.
    #[error("the actor did not answer in time")]
    TimedOut,
}

/// Stable address of a supervised actor. Cheap to clone; usable from any thread and before the actor runs.
pub struct ActorRef<A: Actor> {
    pub(crate) cell: Arc<ActorCell<A>>,
}

impl<A: Actor> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        Self {
            cell: Arc::clone(&self.cell),
        }
    }
}

impl<A: Actor> fmt::Debug for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ActorRef").field(&self.id()).finish()
    }
}

impl<A: Actor> ActorRef<A> {
    /// An address whose queue holds `capacity` messages (at least 1), the one in hand included. A child spec gives
    /// it its actor and its name.
    pub fn new(capacity: usize) -> Self {
        Self {
            cell: Arc::new(ActorCell::new(capacity)),
        }
    }

    /// Slash path in the tree; a placeholder before the tree is built.
    pub fn id(&self) -> &str {
        self.cell.path()
    }

    /// Number of the present incarnation, from 1.
    pub fn epoch(&self) -> u64 {
        self.cell.epoch()
    }

    /// State and counters; cheap, never waits.
    pub fn snapshot(&self) -> Snapshot {
        self.cell.snapshot()
    }

    /// The latest dead letters, oldest first. [`Snapshot::dead_letters`] counts all of them.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.cell.dead_letters()
    }

    /// Sends at most once: lost (and counted as a dead letter) if the actor fails while handling it.
    ///
    /// # Errors
    /// `Full` when the queue is full, `Closed` when the child has ended for good.
    pub fn try_send<M>(&self, message: M) -> Result<(), TrySendError<M>>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
    {
        self.offer(message, |message| Box::new(Tell(message)))
    }

    /// Sends so that a failure hands the message out again, up to `redeliveries` times; then it is a dead letter.
    ///
    /// It counts as handled when the handler has returned and the `ctx.wait` it began has finished; futures that the
    /// handler spawned are not awaited. Handling must be idempotent.
    ///
    /// # Errors
    /// `Full` when the queue is full, `Closed` when the child has ended for good.
    pub fn try_send_sure<M>(&self, message: M, redeliveries: u32) -> Result<(), TrySendError<M>>
    where
        A: Handler<M>,
        M: Message + Clone + Send + Sync + 'static,
    {
        self.offer(message, |message| {
            Box::new(Sure {
                message: Arc::new(message),
                redeliveries,
            })
        })
    }

    /// Like [`try_send`](Self::try_send), but waits for room.
    ///
    /// # Errors
    /// `Closed` when the child has ended for good.
    pub async fn tell<M>(&self, message: M) -> Result<(), TrySendError<M>>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
    {
        if !self.reserve().await {
            return Err(TrySendError::Closed(message));
        }
        self.cell
            .accept(message, |message| Box::new(Tell(message)))
            .map_err(TrySendError::Closed)
    }

    /// Like [`try_send_sure`](Self::try_send_sure), but waits for room.
    ///
    /// # Errors
    /// `Closed` when the child has ended for good.
    pub async fn tell_sure<M>(&self, message: M, redeliveries: u32) -> Result<(), TrySendError<M>>
    where
        A: Handler<M>,
        M: Message + Clone + Send + Sync + 'static,
    {
        if !self.reserve().await {
            return Err(TrySendError::Closed(message));
        }
        self.cell
            .accept(message, |message| {
                Box::new(Sure {
                    message: Arc::new(message),
                    redeliveries,
                })
            })
            .map_err(TrySendError::Closed)
    }

    /// Sends and waits for the answer, as long as it takes (restarts included).
    ///
    /// # Errors
    /// `Full`, `Closed`, or `Dropped` when the actor failed while it had the question.
    pub async fn ask<M>(&self, message: M) -> Result<M::Result, AskError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let (answer, answered) = oneshot::channel();
        self.offer(message, |message| Box::new(Ask { message, answer }))
            .map_err(|error| match error {
                TrySendError::Full(_) => AskError::Full,
                TrySendError::Closed(_) => AskError::Closed,
            })?;
        answered.await.map_err(|_| AskError::Dropped)
    }

    /// Like [`ask`](Self::ask), for at most `limit`.
    ///
    /// # Errors
    /// As `ask`, and `TimedOut`.
    pub async fn ask_within<M>(&self, message: M, limit: Duration) -> Result<M::Result, AskError>
    where
        A: Handler<M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        tokio::time::timeout(limit, self.ask(message))
            .await
            .unwrap_or(Err(AskError::TimedOut))
    }

    fn offer<M>(
        &self,
        message: M,
        wrap: impl FnOnce(M) -> Queued<A>,
    ) -> Result<(), TrySendError<M>> {
        if self.cell.is_closed() {
            return Err(TrySendError::Closed(message));
        }
        match self.cell.slots.try_acquire() {
            Ok(slot) => slot.forget(),
            Err(_) => {
                self.cell.rejected.fetch_add(1, Relaxed);
                return Err(TrySendError::Full(message));
            }
        }
        self.cell
            .accept(message, wrap)
            .map_err(TrySendError::Closed)
    }

    /// Waits for a slot. False when the cell closes first.
    async fn reserve(&self) -> bool {
        loop {
            let mut closing = pin!(self.cell.closing.notified());
            closing.as_mut().enable();
            if self.cell.is_closed() {
                return false;
            }
            tokio::select! {
                slot = self.cell.slots.acquire() => match slot {
                    Ok(slot) => {
                        slot.forget();
                        return true;
                    }
                    Err(_) => return false,
                },
                () = closing => {}
            }
        }
    }
}
