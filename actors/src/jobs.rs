//! What a kind of long work looks like to the `job_runner`, and what the runner gives it.
//!
//! A job may be started again after a crash, so its effect is idempotent by the job's id. Which kinds exist is
//! decided at startup; how they are queued, told and cancelled is not theirs to know.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::Value;
use tokio::sync::watch;

/// One kind of long work.
#[async_trait::async_trait]
pub trait JobKind: Send + Sync + 'static {
    /// Its name in the table `jobs`, such as `dead_letters.replay`. Never changes once released.
    fn kind(&self) -> &str;

    /// Whether it mostly waits for what others do. Such jobs run beside the others, one of them at a time, so that nothing
    /// else waits with them.
    fn waits(&self) -> bool {
        false
    }

    /// Does it. Runs beside other work on one thread, so it awaits and does not block.
    ///
    /// # Errors
    /// A sentence for the operator. After [`JobContext::is_cancelled`] any error counts as cancelled.
    async fn run(&self, context: JobContext) -> Result<Value, String>;
}

/// The kinds a process can run.
#[derive(Clone, Default)]
pub struct JobKinds(BTreeMap<String, Arc<dyn JobKind>>);

impl JobKinds {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind; one of the same name is replaced.
    pub fn with(mut self, kind: impl JobKind) -> Self {
        self.0.insert(kind.kind().to_owned(), Arc::new(kind));
        self
    }

    /// Whether jobs of this kind can be run here.
    pub fn knows(&self, kind: &str) -> bool {
        self.0.contains_key(kind)
    }

    pub(crate) fn get(&self, kind: &str) -> Option<Arc<dyn JobKind>> {
        self.0.get(kind).cloned()
    }

    /// Those that wait for others, or those that do not.
    pub(crate) fn names(&self, that_wait: bool) -> Vec<String> {
        let kinds = self.0.iter().filter(|(_, kind)| kind.waits() == that_wait);
        kinds.map(|(name, _)| name.clone()).collect()
    }
}

impl fmt::Debug for JobKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a running job knows, and how it tells how far it is.
#[derive(Clone, Debug)]
pub struct JobContext {
    /// Public id; what its effect is idempotent by.
    pub job_id: String,
    /// What was asked.
    pub params: Value,
    /// Public id of the operator who asked.
    pub created_by: String,
    /// How often it was started, this time included.
    pub attempt: i64,
    control: Arc<JobControl>,
}

impl JobContext {
    pub(crate) fn new(job: &steward_entities::job::Model, control: Arc<JobControl>) -> Self {
        Self {
            job_id: job.public_id.clone(),
            params: job.params.clone(),
            created_by: job.created_by.clone(),
            attempt: job.attempts,
            control,
        }
    }

    /// Tells how far it is, in per cent. Costs nothing: the runner writes it down once in a while.
    pub fn progress(&self, per_cent: u8) {
        let bounded = i64::from(per_cent.min(100));
        self.control.progress.store(bounded, Ordering::Relaxed);
    }

    /// Whether it is to stop. Looked at between steps.
    pub fn is_cancelled(&self) -> bool {
        *self.control.cancelled.borrow()
    }

    /// Waits until it is to stop; for `select!` beside something long.
    pub async fn cancelled(&self) {
        let mut watched = self.control.cancelled.subscribe();
        // The sender is in the control that `self` holds: it cannot be gone.
        let _ = watched.wait_for(|cancelled| *cancelled).await;
    }
}

/// The runner's end of a [`JobContext`].
#[derive(Debug)]
pub(crate) struct JobControl {
    progress: AtomicI64,
    cancelled: watch::Sender<bool>,
}

impl JobControl {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            progress: AtomicI64::new(0),
            cancelled: watch::Sender::new(false),
        })
    }

    pub(crate) fn per_cent(&self) -> i64 {
        self.progress.load(Ordering::Relaxed)
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }
}
