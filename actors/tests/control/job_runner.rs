//! `job_runner`: every job comes to one end, whatever happens on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use steward_actors::domain::clock::{Clock, SystemClock};
use steward_actors::jobs::{JobContext, JobKind, JobKinds};
use steward_actors::supervision::{ActorRef, SupervisorHandle};
use steward_actors::tree::upkeep::job_runner::{JobRunner, Parts, Wake, spec};
use steward_entities::job::{self, State};
use steward_entities::ops_log;
use steward_migration::testing::TestDatabase;

use crate::{committed, eventually, on_both, supervised};

on_both!(
    jobs_run_one_after_the_other,
    a_running_job_tells_its_progress_and_is_cancelled,
    a_job_that_panics_fails_after_three_starts,
    what_ran_at_a_crash_runs_again,
    an_ending_outlasts_an_unwritable_table,
    a_kind_nobody_knows_waits,
    what_only_waits_holds_nothing_up,
);

/// Answers its parameters; fails when told to.
struct Echo(Arc<AtomicUsize>);

#[async_trait::async_trait]
impl JobKind for Echo {
    fn kind(&self) -> &str {
        "echo"
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        assert_eq!(self.0.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
        tokio::task::yield_now().await;
        self.0.fetch_sub(1, Ordering::SeqCst);
        match context.params["fail"].as_str() {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(context.params),
        }
    }
}

/// Is at 40 % until it is cancelled.
struct Patient;

#[async_trait::async_trait]
impl JobKind for Patient {
    fn kind(&self) -> &str {
        "patient"
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        context.progress(40);
        context.cancelled().await;
        assert!(context.is_cancelled());
        Err("stopped".into())
    }
}

struct Panics;

#[async_trait::async_trait]
impl JobKind for Panics {
    fn kind(&self) -> &str {
        "panics"
    }

    async fn run(&self, _: JobContext) -> Result<Value, String> {
        panic!("a bug in the job");
    }
}

/// Ends when the test says so.
struct Gated(Arc<tokio::sync::Notify>);

#[async_trait::async_trait]
impl JobKind for Gated {
    fn kind(&self) -> &str {
        "gated"
    }

    async fn run(&self, _: JobContext) -> Result<Value, String> {
        self.0.notified().await;
        Ok(json!("through"))
    }
}

/// As [`Gated`], and says that it only waits.
struct Waits(Arc<tokio::sync::Notify>);

#[async_trait::async_trait]
impl JobKind for Waits {
    fn kind(&self) -> &str {
        "waits"
    }

    fn waits(&self) -> bool {
        true
    }

    async fn run(&self, context: JobContext) -> Result<Value, String> {
        self.0.notified().await;
        Ok(context.params)
    }
}

/// The machine's clock, counting how often it is looked at: once for each step at the database, and never
/// while one is under way.
#[derive(Default)]
struct CountedClock(AtomicUsize);

impl CountedClock {
    fn steps(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Clock for CountedClock {
    fn now_micros(&self) -> i64 {
        self.0.fetch_add(1, Ordering::SeqCst);
        SystemClock.now_micros()
    }
}

struct Running<'a> {
    database: &'a TestDatabase,
    actor: ActorRef<JobRunner>,
    tree: SupervisorHandle,
    gate: Arc<tokio::sync::Notify>,
    clock: Arc<CountedClock>,
}

impl<'a> Running<'a> {
    fn start(database: &'a TestDatabase) -> Self {
        let gate = Arc::new(tokio::sync::Notify::new());
        let kinds = JobKinds::new()
            .with(Echo(Arc::default()))
            .with(Patient)
            .with(Panics)
            .with(Gated(Arc::clone(&gate)));
        Self::start_with(database, kinds, gate)
    }

    fn start_with(
        database: &'a TestDatabase,
        kinds: JobKinds,
        gate: Arc<tokio::sync::Notify>,
    ) -> Self {
        let clock = Arc::new(CountedClock::default());
        let actor = ActorRef::new(64);
        let parts = Parts {
            databases: (**database).clone(),
            kinds,
            node: 1,
            clock: Arc::clone(&clock) as _,
        };
        Self {
            database,
            tree: supervised(spec(&actor, parts)),
            actor,
            gate,
            clock,
        }
    }

    async fn queue(&self, kind: &str, params: Value) -> job::Model {
        let made = queue(self.database, kind, params).await;
        self.actor.tell(Wake).await.unwrap();
        made
    }

    async fn row(&self, job: &job::Model) -> job::Model {
        let read = &self.database.control_read;
        job::by_public_id(read, &job.public_id)
            .await
            .unwrap()
            .unwrap()
    }

    async fn ended(&self, job: &job::Model) -> job::Model {
        eventually("the job ends", async || {
            let row = self.row(job).await;
            row.state.is_final().then_some(row)
        })
        .await
    }

    async fn end(self) {
        self.tree.shutdown(Duration::from_secs(5)).await;
    }
}

async fn queue(database: &TestDatabase, kind: &str, params: Value) -> job::Model {
    committed(database, async |txn| {
        job::insert(txn, kind, params, "opr_x".into(), 1).await
    })
    .await
}

async fn jobs_run_one_after_the_other(database: &TestDatabase) {
    let running = Running::start(database);
    let mut jobs = Vec::new();
    for number in 0..5 {
        jobs.push(running.queue("echo", json!({"n": number})).await);
    }
    let failing = running
        .queue("echo", json!({"fail": "no such thing"}))
        .await;
    for (number, made) in jobs.iter().enumerate() {
        let row = running.ended(made).await;
        assert_eq!((row.state, row.progress), (State::Succeeded, 100));
        assert_eq!(row.result, Some(json!({"n": number})));
    }
    let row = running.ended(&failing).await;
    assert_eq!(
        (row.state, row.error.as_deref()),
        (State::Failed, Some("no such thing"))
    );
    let filter = ops_log::Filter {
        target_id: Some(failing.public_id.clone()),
        ..Default::default()
    };
    let page = steward_entities::scope::Page {
        after: None,
        limit: 5,
    };
    let told = ops_log::list(&database.control_read, &filter, page)
        .await
        .unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].action, "jobs.failed");
    running.end().await;
}

async fn a_running_job_tells_its_progress_and_is_cancelled(database: &TestDatabase) {
    let running = Running::start(database);
    let made = running.queue("patient", json!({})).await;
    eventually("progress", async || {
        (running.row(&made).await.progress == 40).then_some(())
    })
    .await;
    committed(database, async |txn| {
        job::request_cancel(txn, made.id, 5).await
    })
    .await;
    running.actor.tell(Wake).await.unwrap();
    assert_eq!(running.ended(&made).await.state, State::Cancelled);
    let next = running.queue("echo", json!({})).await;
    assert_eq!(running.ended(&next).await.state, State::Succeeded);
    running.end().await;
}

async fn a_job_that_panics_fails_after_three_starts(database: &TestDatabase) {
    let running = Running::start(database);
    let made = running.queue("panics", json!({})).await;
    let row = running.ended(&made).await;
    assert_eq!((row.state, row.attempts), (State::Failed, 3));
    let next = running.queue("echo", json!({})).await;
    assert_eq!(running.ended(&next).await.state, State::Succeeded);
    assert_eq!(running.actor.snapshot().restarts, 3);
    running.end().await;
}

async fn what_ran_at_a_crash_runs_again(database: &TestDatabase) {
    let mine = queue(database, "echo", json!({"n": 1})).await;
    let theirs = queue(database, "echo", json!({"n": 2})).await;
    let now = Clock::now_micros(&SystemClock);
    for node in [1, 2] {
        let kinds = ["echo".to_owned()];
        committed(database, async |txn| {
            job::claim(txn, &kinds, node, now).await
        })
        .await;
    }
    let running = Running::start(database);
    let row = running.ended(&mine).await;
    assert_eq!((row.state, row.attempts), (State::Succeeded, 2));
    assert_eq!(
        running.row(&theirs).await.state,
        State::Running,
        "node 2 is alive"
    );
    running.end().await;
}

async fn an_ending_outlasts_an_unwritable_table(database: &TestDatabase) {
    let running = Running::start(database);
    let made = running.queue("gated", json!({})).await;
    eventually("it runs", async || {
        (running.row(&made).await.state == State::Running).then_some(())
    })
    .await;
    let rename = async |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        database.control.execute_unprepared(&sql).await.unwrap();
    };
    rename("ops_logs", "gone").await;
    running.gate.notify_one();
    // The ending is written as soon as the job is through, and again at each wake; a step begins when the one
    // before has ended, so that by the fourth at least one ending was refused.
    let before = running.clock.steps();
    eventually("the ending is refused", async || {
        running.actor.tell(Wake).await.unwrap();
        (running.clock.steps() >= before + 4).then_some(())
    })
    .await;
    assert_eq!(running.row(&made).await.state, State::Running);
    rename("gone", "ops_logs").await;
    let row = running.ended(&made).await;
    assert_eq!(
        (row.state, row.result, row.attempts),
        (State::Succeeded, Some(json!("through")), 1)
    );
    running.end().await;
}

async fn a_kind_nobody_knows_waits(database: &TestDatabase) {
    let running = Running::start(database);
    let unknown = running.queue("from-the-future", json!({})).await;
    let known = running.queue("echo", json!({})).await;
    running.ended(&known).await;
    assert_eq!(running.row(&unknown).await.state, State::Queued);
    running.end().await;
}

async fn what_only_waits_holds_nothing_up(database: &TestDatabase) {
    let opens = Arc::new(tokio::sync::Notify::new());
    let kinds = JobKinds::new()
        .with(Echo(Arc::default()))
        .with(Waits(Arc::clone(&opens)));
    let running = Running::start_with(database, kinds, Arc::default());
    let waiting = running.queue("waits", json!({"n": 1})).await;
    let behind = running.queue("waits", json!({"n": 2})).await;
    eventually("it waits", async || {
        (running.row(&waiting).await.state == State::Running).then_some(())
    })
    .await;
    let other = running.queue("echo", json!({})).await;
    assert_eq!(running.ended(&other).await.state, State::Succeeded);
    let states = [
        running.row(&waiting).await.state,
        running.row(&behind).await.state,
    ];
    assert_eq!(states, [State::Running, State::Queued], "one at a time");
    for job in [&waiting, &behind] {
        opens.notify_one();
        assert_eq!(running.ended(job).await.state, State::Succeeded);
    }
    running.end().await;
}
