//! What the rest of the process holds of the tree: look at it, restart parts of it, end it.

use super::exit::GroupExit;
use super::faults::{Fault, Strike};
use super::managed::{Command, Managed};
use super::subgroup::Subgroup;
use super::tree::Node;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Why a restart on demand did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestartError {
    /// No node has that path.
    #[error("there is no such actor")]
    NotFound,
    /// The group above it is itself down at the moment; it starts all its children when it comes back.
    #[error("its group is down and will start it when it comes back")]
    GroupDown,
    /// It ended again before it was up; the supervisor goes on as usual.
    #[error("it did not come up: {0}")]
    Failed(String),
    /// The tree is going down, or the child has ended for good.
    #[error("it is being shut down")]
    ShuttingDown,
}

/// Handle of a running tree. Cheap to clone; usable from any thread and any runtime.
#[derive(Clone)]
pub struct SupervisorHandle {
    pub(crate) root: Arc<Subgroup>,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) exit: watch::Receiver<Option<GroupExit>>,
}

impl fmt::Debug for SupervisorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SupervisorHandle")
            .field(&self.root.path())
            .finish()
    }
}

impl SupervisorHandle {
    /// The tree at this moment. Reads counters; never waits for an actor.
    pub async fn tree(&self) -> Node {
        self.tree_now()
    }

    /// [`tree`](Self::tree) for callers that are not async.
    pub fn tree_now(&self) -> Node {
        self.root.node()
    }

    /// Restarts the actor or group at a slash path (`root/…`; `root` itself restarts all of its children) and
    /// answers when it is up again. Its group's strategy applies. Orders for one child that is on its way already
    /// are answered together.
    ///
    /// # Errors
    /// See [`RestartError`].
    pub async fn restart(&self, path: &str) -> Result<(), RestartError> {
        let mut parts = path.split('/').map(str::to_owned);
        if parts.next().as_deref() != Some(self.root.path()) {
            return Err(RestartError::NotFound);
        }
        let (reply, answer) = oneshot::channel();
        let order = Command::Restart {
            path: parts.collect(),
            reply,
        };
        if self.commands.send(order).is_err() {
            return Err(RestartError::ShuttingDown);
        }
        answer.await.unwrap_or_else(|_| {
            Err(if self.exit.borrow().is_some() {
                RestartError::ShuttingDown
            } else {
                RestartError::GroupDown
            })
        })
    }

    /// Has the actor at a slash path go wrong on purpose, so that what follows can be seen: for drills. `block` is how
    /// long [`Fault::Block`] holds the actor's thread. False when no actor has that path.
    pub fn strike(&self, path: &str, fault: Fault, block: Duration) -> bool {
        let mut parts = path.split('/');
        if parts.next() != Some(self.root.path()) {
            return false;
        }
        let rest: Vec<&str> = parts.collect();
        self.root.strike(&rest, Strike { fault, block })
    }

    /// Ends the tree in order: last child first, each finishes its work. What is not done within `deadline` is
    /// killed and listed; those whose turn comes after it get 100 ms each, since they may have nothing left to do. A
    /// second call can shorten the time, not lengthen it.
    pub async fn shutdown(&self, deadline: Duration) -> GroupExit {
        let _ = self.commands.send(Command::DrainWithin(deadline));
        self.exited().await
    }

    /// Waits until the tree has ended, for whatever reason.
    pub async fn exited(&self) -> GroupExit {
        let mut exit = self.exit.clone();
        let seen = exit.wait_for(Option::is_some).await;
        match seen.as_deref() {
            Ok(Some(exit)) => exit.clone(),
            // Its runtime was torn down underneath it.
            _ => GroupExit::Shutdown {
                unclean: vec![self.root.path().to_owned()],
            },
        }
    }
}
