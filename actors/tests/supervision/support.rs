//! A probe actor whose behaviour is sent to it, a diary of what happened, and runs in virtual or real time.

use actix::prelude::*;
use parking_lot::Mutex;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use steward_actors::supervision::{Supervisor, *};

pub(crate) type Act = Arc<dyn Fn(&mut Probe, &mut Context<Probe>) + Send + Sync>;
pub(crate) type Made = Arc<dyn Fn(&Incarnation<Probe>) + Send + Sync>;

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    pub(crate) fn note(&self, line: impl Into<String>) {
        self.0.lock().push(line.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().clone()
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.0.lock().iter().filter(|seen| *seen == line).count()
    }
}

/// What a probe does at the turns of its life.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) made: Option<Made>,
    pub(crate) started: Option<Act>,
    /// Refuses to stop, and does this instead.
    pub(crate) stopping: Option<Act>,
    pub(crate) stopped: Option<Act>,
    pub(crate) dropped: Option<Act>,
}

pub(crate) struct Probe {
    pub(crate) name: &'static str,
    pub(crate) me: Incarnation<Probe>,
    pub(crate) diary: Diary,
    script: Script,
}

impl Probe {
    pub(crate) fn plain(name: &'static str, me: Incarnation<Probe>, diary: Diary) -> Self {
        Self {
            name,
            me,
            diary,
            script: Script::default(),
        }
    }
}

impl Actor for Probe {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.diary.note(format!("{} started", self.name));
        if let Some(act) = self.script.started.clone() {
            act(self, ctx);
        }
    }

    fn stopping(&mut self, ctx: &mut Self::Context) -> Running {
        match self.script.stopping.clone() {
            Some(act) => {
                act(self, ctx);
                Running::Continue
            }
            None => Running::Stop,
        }
    }

    fn stopped(&mut self, ctx: &mut Self::Context) {
        self.diary.note(format!("{} stopped", self.name));
        if let Some(act) = self.script.stopped.clone() {
            act(self, ctx);
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.diary.note(format!("{} dropped", self.name));
        if let Some(act) = self.script.dropped.take() {
            act(self, &mut Context::new());
        }
    }
}

/// Does something inside the probe.
#[derive(Clone, Message)]
#[rtype(result = "()")]
pub(crate) struct Do(pub(crate) Act);

pub(crate) fn act(f: impl Fn(&mut Probe, &mut Context<Probe>) + Send + Sync + 'static) -> Do {
    Do(Arc::new(f))
}

pub(crate) fn note(line: &'static str) -> Do {
    act(move |probe, _| probe.diary.note(line))
}

pub(crate) fn boom() -> Do {
    act(|_, _| panic!("boom"))
}

pub(crate) fn hang() -> Do {
    act(|probe, ctx| ctx.wait(std::future::pending::<()>().into_actor(probe)))
}

impl Handler<Do> for Probe {
    type Result = ();

    fn handle(&mut self, message: Do, ctx: &mut Self::Context) {
        (message.0)(self, ctx);
    }
}

#[derive(Message)]
#[rtype(result = "u64")]
pub(crate) struct WhichEpoch;

impl Handler<WhichEpoch> for Probe {
    type Result = u64;

    fn handle(&mut self, _: WhichEpoch, _: &mut Self::Context) -> u64 {
        self.me.epoch()
    }
}

pub(crate) fn scripted(
    name: &'static str,
    diary: &Diary,
    script: Script,
) -> (ActorRef<Probe>, ChildSpec) {
    let actor = ActorRef::new(64);
    let diary = diary.clone();
    let spec = ChildSpec::new(name, &actor, move |me| {
        if let Some(made) = &script.made {
            made(&me);
        }
        Probe {
            name,
            me,
            diary: diary.clone(),
            script: script.clone(),
        }
    });
    (actor, spec)
}

pub(crate) fn probe(name: &'static str, diary: &Diary) -> (ActorRef<Probe>, ChildSpec) {
    scripted(name, diary, Script::default())
}

pub(crate) fn started(
    f: impl Fn(&mut Probe, &mut Context<Probe>) + Send + Sync + 'static,
) -> Script {
    Script {
        started: Some(Arc::new(f)),
        ..Script::default()
    }
}

/// A root that never gives up and restarts after exactly 10 ms.
pub(crate) fn patient(name: &str) -> Group {
    Group::new(name)
        .intensity(Intensity {
            max: 1_000_000,
            within: Duration::from_secs(60),
        })
        .backoff(Backoff {
            first: Duration::from_millis(10),
            max: Duration::from_millis(10),
            jitter: 0.0,
            reset_after: Duration::from_secs(3_600),
        })
}

/// Runs a test with a paused clock.
pub(crate) fn virtual_time<T>(test: impl Future<Output = T>) -> T {
    System::new().block_on(async {
        tokio::time::pause();
        test.await
    })
}

pub(crate) fn real_time<T>(test: impl Future<Output = T>) -> T {
    System::new().block_on(test)
}

/// A tree on the present thread.
pub(crate) fn run(root: Group) -> SupervisorHandle {
    Supervisor::new(root)
        .unwrap()
        .seed(1)
        .on_one_thread()
        .start()
}

/// A tree whose actors run where their specs say.
pub(crate) fn run_on_threads(root: Group) -> SupervisorHandle {
    Supervisor::new(root).unwrap().seed(1).start()
}

/// Waits for a condition; at most 20 s of real time.
#[track_caller]
pub(crate) fn until<'a>(
    what: &'a str,
    mut condition: impl FnMut() -> bool + 'a,
) -> impl Future<Output = ()> + 'a {
    let caller = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        while !condition() {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{caller}: never came true: {what}"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

pub(crate) fn state(actor: &ActorRef<Probe>) -> State {
    actor.snapshot().state
}

pub(crate) async fn running(actor: &ActorRef<Probe>) {
    until("running", || state(actor) == State::Running).await;
}

pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) fn clean() -> GroupExit {
    GroupExit::Shutdown {
        unclean: Vec::new(),
    }
}
