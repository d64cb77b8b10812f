//! The store's own connections: one writer at a time, and whoever comes next is not held up by the last.
//!
//! A connection is used again only after a transaction that committed. One that failed, was cancelled or never
//! ended is closed, which rolls it back; a successor that finds its predecessor's transaction still open (its
//! thread is blocked, the server says nothing) takes the connection away from it. No pool is used: a pool
//! waits for what it lent out, also for a connection that a blocked thread was about to open.
//!
//! One thing cannot be taken away: a connection inside a statement whose thread is blocked at that very moment.
//! On PostgreSQL the successor then ends the session at the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{MappedMutexGuard, MutexGuard};

use super::WriteError;

/// A transaction beside the writer's (a replayed letter) that lasts longer has been left behind.
const ASIDE_WITHIN: Duration = Duration::from_secs(5);
/// Sessions remembered until they can be ended.
const LEFT_MAX: usize = 32;

/// Where connections come from.
#[async_trait]
pub(super) trait Source: Send + Sync + 'static {
    type Connection: Send + 'static;
    /// What the server calls a connection.
    type Session: Clone + PartialEq + Send + Sync + 'static;

    /// A connection works only while the runtime it was opened on is driven.
    const NEEDS_ITS_RUNTIME: bool;

    async fn connect(&self) -> Result<(Self::Connection, Self::Session), WriteError>;

    /// Ends what is left of sessions at the server. Best effort.
    async fn end(&self, connection: &mut Self::Connection, sessions: &[Self::Session]);
}

/// Who wants a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    /// The batch writer. There is one: whatever another one left open is over.
    Write,
    /// Anything rare beside it.
    Aside,
}

struct Live<S: Source> {
    connection: S::Connection,
    session: S::Session,
}

/// A connection in use.
struct Open<S: Source> {
    purpose: Purpose,
    since: Instant,
    session: Mutex<Option<S::Session>>,
    /// Locked during a statement only, so that a successor can empty it.
    connection: tokio::sync::Mutex<Option<S::Connection>>,
    is_over: AtomicBool,
}

struct State<S: Source> {
    /// The writer's, and the thread whose runtime drives it: another's may never be polled again.
    idle: Option<(ThreadId, Live<S>)>,
    open: Vec<Arc<Open<S>>>,
    /// Sessions whose connection was not handed back; the server may not have noticed.
    left: Vec<S::Session>,
}

impl<S: Source> State<S> {
    fn leave(&mut self, session: Option<S::Session>) {
        self.left.extend(session);
        if self.left.len() > LEFT_MAX {
            self.left.remove(0);
        }
    }

    /// Takes the connections of transactions that must not hold up `purpose`.
    fn take_over(&mut self, purpose: Purpose) {
        let (over, others) =
            std::mem::take(&mut self.open)
                .into_iter()
                .partition(|open: &Arc<Open<S>>| match (purpose, open.purpose) {
                    (Purpose::Write, Purpose::Write) => true,
                    (Purpose::Write, Purpose::Aside) => open.since.elapsed() > ASIDE_WITHIN,
                    (Purpose::Aside, _) => false,
                });
        self.open = others;
        for open in over {
            let open: Arc<Open<S>> = open;
            open.is_over.store(true, Ordering::SeqCst);
            if let Ok(mut connection) = open.connection.try_lock() {
                *connection = None;
            }
            let session = open.session.lock().take();
            self.leave(session);
        }
    }
}

/// See the module.
pub(super) struct Line<S: Source> {
    source: S,
    state: Arc<Mutex<State<S>>>,
}

impl<S: Source> Line<S> {
    pub(super) fn new(source: S) -> Self {
        let state = State {
            idle: None,
            open: Vec::new(),
            left: Vec::new(),
        };
        Self {
            source,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A connection for one transaction. [`Purpose::Write`] ends every other writer's.
    pub(super) async fn acquire(&self, purpose: Purpose) -> Result<Held<S>, WriteError> {
        let open = Arc::new(Open {
            purpose,
            since: Instant::now(),
            session: Mutex::new(None),
            connection: tokio::sync::Mutex::new(None),
            is_over: AtomicBool::new(false),
        });
        let idle = {
            let mut state = self.state.lock();
            state.take_over(purpose);
            state.open.push(Arc::clone(&open));
            match state.idle.take() {
                Some((thread, live))
                    if purpose == Purpose::Write
                        && (!S::NEEDS_ITS_RUNTIME || thread == std::thread::current().id()) =>
                {
                    Some(live)
                }
                Some((_, live)) if purpose == Purpose::Write => {
                    state.leave(Some(live.session));
                    None
                }
                kept => {
                    state.idle = kept;
                    None
                }
            }
        };
        // From here on, whatever happens, dropping it cleans up.
        let held = Held {
            state: Arc::clone(&self.state),
            open,
        };
        let live = match idle {
            Some(live) => live,
            None => self.connect().await?,
        };
        *held.open.session.lock() = Some(live.session);
        *held.open.connection.lock().await = Some(live.connection);
        Ok(held)
    }

    async fn connect(&self) -> Result<Live<S>, WriteError> {
        let (mut connection, session) = self.source.connect().await?;
        let left = self.state.lock().left.clone();
        if !left.is_empty() {
            self.source.end(&mut connection, &left).await;
            self.state
                .lock()
                .left
                .retain(|session| !left.contains(session));
        }
        Ok(Live {
            connection,
            session,
        })
    }
}

/// A connection for one transaction. Dropped without [`Held::finish`] it is closed.
pub(super) struct Held<S: Source> {
    state: Arc<Mutex<State<S>>>,
    open: Arc<Open<S>>,
}

impl<S: Source> Held<S> {
    /// The connection, for one statement.
    pub(super) async fn connection(
        &self,
    ) -> Result<MappedMutexGuard<'_, S::Connection>, WriteError> {
        let guard = self.open.connection.lock().await;
        let held = match self.open.is_over.load(Ordering::SeqCst) {
            true => None,
            false => MutexGuard::try_map(guard, Option::as_mut).ok(),
        };
        held.ok_or_else(|| {
            WriteError::Unavailable("another transaction took this one's place".into())
        })
    }

    /// Hands the connection back in the state it was given: nothing open on it.
    pub(super) fn finish(self) {
        let session = self.open.session.lock().take();
        let connection = self
            .open
            .connection
            .try_lock()
            .ok()
            .and_then(|mut c| c.take());
        let mut state = self.state.lock();
        let is_over = self.open.is_over.load(Ordering::SeqCst);
        match (session, connection) {
            (Some(session), Some(connection))
                if self.open.purpose == Purpose::Write && !is_over =>
            {
                let live = Live {
                    connection,
                    session,
                };
                state.idle = Some((std::thread::current().id(), live));
            }
            // Closed as nothing is open on it: the server has nothing to undo.
            _ => {}
        }
    }
}

impl<S: Source> Drop for Held<S> {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        state.open.retain(|open| !Arc::ptr_eq(open, &self.open));
        let session = self.open.session.lock().take();
        state.leave(session);
        drop(state);
        if let Ok(mut connection) = self.open.connection.try_lock() {
            *connection = None;
        }
    }
}
