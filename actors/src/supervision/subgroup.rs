//! A group as a child of a group. Its escalation is its abnormal exit.
//!
//! The specs stay for the life of the process; only the loop over them comes and goes, so the addresses of its actors
//! outlive its restarts.

use super::exit::{Exit, GroupExit, LastExit};
use super::faults::Strike;
use super::group::Group;
use super::group_loop::GroupLoop;
use super::life::{Protection, StopRequest};
use super::managed::{Command, Event, EventKind, Launch, Managed, Surroundings};
use super::snapshot::{State, StateCell};
use super::spec::{ChildSpec, SpecError};
use super::threads::spawn_here;
use super::tree::{Node, NodeKind};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What a group needs beyond its children's own times.
const MARGIN: Duration = Duration::from_millis(200);

pub(crate) struct Subgroup {
    pub(crate) group: Group,
    path: OnceLock<String>,
    state: StateCell,
    epoch: AtomicU64,
    starts: AtomicU64,
    last_exit: Mutex<Option<LastExit>>,
    running: Mutex<Option<Running>>,
}

struct Running {
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<()>,
}

impl Subgroup {
    pub(crate) fn new(group: Group) -> Self {
        Self {
            group,
            path: OnceLock::new(),
            state: StateCell::new(),
            epoch: AtomicU64::new(1),
            starts: AtomicU64::new(0),
            last_exit: Mutex::new(None),
            running: Mutex::new(None),
        }
    }

    pub(crate) fn path(&self) -> &str {
        self.path.get().map_or("(not in a tree)", String::as_str)
    }

    pub(crate) fn is_root(&self) -> bool {
        !self.path().contains('/')
    }

    /// The longest that an orderly stop of everything in it may take.
    pub(crate) fn budget(&self) -> Duration {
        let each = |child: &ChildSpec| child.stop_limit() + child.kill_limit();
        self.group.children.iter().map(each).sum::<Duration>() + MARGIN
    }

    fn command(&self, command: Command) -> Result<(), Command> {
        match self.running.lock().as_ref() {
            Some(running) => running.commands.send(command).map_err(|unsent| unsent.0),
            None => Err(command),
        }
    }
}

impl Managed for Subgroup {
    fn attach(&self, path: &str) -> Result<(), SpecError> {
        if self.path.set(path.to_owned()).is_err() {
            return Err(SpecError::NameTwice(path.to_owned()));
        }
        self.group.attach(path)
    }

    fn start(self: Arc<Self>, launch: Launch) -> u64 {
        let epoch = self.epoch.load(Relaxed);
        self.starts.fetch_add(1, Relaxed);
        self.state.set(State::Starting);
        let (commands, orders) = mpsc::unbounded_channel();
        let child = launch.child;
        let tell = move |kind| Event { child, epoch, kind };
        let announce = {
            let events = launch.events.clone();
            move || drop(events.send(tell(EventKind::Started)))
        };
        let group_loop = GroupLoop::new(
            Arc::clone(&self),
            Arc::clone(&launch.surroundings),
            orders,
            announce,
        );
        let task = spawn_here(async move {
            let exit = match group_loop.run(launch.draining).await {
                GroupExit::Shutdown { .. } => Exit::Normal,
                GroupExit::Escalated(chain) => Exit::Escalated(chain),
            };
            let _ = launch.events.send(tell(EventKind::Exited(exit)));
        });
        *self.running.lock() = Some(Running { commands, task });
        epoch
    }

    fn stop(&self, how: StopRequest, until: Instant) {
        let (state, command) = match how {
            StopRequest::Halt => (State::Stopping, Command::Halt),
            StopRequest::Drain => (State::Draining, Command::Drain(until)),
        };
        self.state.set(state);
        // A loop that has just ended has said so already.
        let _ = self.command(command);
    }

    fn kill(&self) {
        let _ = self.command(Command::Kill);
    }

    fn bury(&self, surroundings: &Surroundings, exit: &Exit, abandoned: bool) -> u64 {
        if let Some(running) = self.running.lock().take()
            && abandoned
        {
            running.task.abort();
            for child in &self.group.children {
                child.node.kill();
                let epoch = child.node.bury(surroundings, &Exit::Killed, true);
                if let Some(revoke) = &child.on_fence {
                    let _ = super::panics::contain(|| revoke(epoch));
                }
            }
        }
        *self.last_exit.lock() = Some(LastExit::new(exit, surroundings.clock.now_micros()));
        self.epoch.fetch_add(1, Relaxed) + 1
    }

    fn set_state(&self, state: State) {
        self.state.set(state);
    }

    fn close(&self, state: State, reason: &str) {
        self.state.set(state);
        for child in &self.group.children {
            child.node.close(state, reason);
        }
    }

    fn has_work(&self) -> bool {
        self.group
            .children
            .iter()
            .any(|child| child.node.has_work())
    }

    // Its loop shares the thread of the parent's and never waits: there is nothing to watch.
    fn nudge(&self) {}

    fn ask(&self, _number: u64) {}

    fn has_answered(&self, _number: u64) -> bool {
        true
    }

    fn strike(&self, path: &[&str], strike: Strike) -> bool {
        let Some((first, rest)) = path.split_first() else {
            return false;
        };
        let mut children = self.group.children.iter();
        children
            .find(|child| child.id == *first)
            .is_some_and(|child| child.node.strike(rest, strike))
    }

    fn protection(&self, _now: Instant) -> Protection {
        Protection::None(None)
    }

    fn set_gate(&self, _gate: Box<dyn Fn() -> bool + Send + Sync>) {}

    fn stop_budget(&self) -> Option<Duration> {
        Some(self.budget())
    }

    fn courtesy(&self) -> Duration {
        let children = self.group.children.iter();
        children.map(|child| child.node.courtesy()).sum()
    }

    fn kill_budget(&self) -> Option<Duration> {
        let longest = self.group.children.iter().map(ChildSpec::kill_limit).max();
        Some(longest.unwrap_or_default() + MARGIN)
    }

    fn order(&self, command: Command) -> Result<(), Command> {
        self.command(command)
    }

    fn is_group(&self) -> bool {
        true
    }

    fn node(&self) -> Node {
        let children: Vec<Node> = self
            .group
            .children
            .iter()
            .map(|child| child.node.node())
            .collect();
        let sum = |number: fn(&Node) -> u64| children.iter().map(number).sum();
        Node {
            id: self.path().to_owned(),
            kind: NodeKind::Group,
            strategy: Some(self.group.strategy),
            state: self.state.get(),
            depth: children.iter().map(|child| child.depth).sum(),
            capacity: children.iter().map(|child| child.capacity).sum(),
            processed: sum(|child| child.processed),
            rejected: sum(|child| child.rejected),
            restarts: self.starts.load(Relaxed).saturating_sub(1),
            dead_letters: sum(|child| child.dead_letters),
            zombies: sum(|child| child.zombies),
            epoch: self.epoch.load(Relaxed),
            last_exit: self.last_exit.lock().clone(),
            p50_us: 0,
            p99_us: 0,
            children,
        }
    }
}
