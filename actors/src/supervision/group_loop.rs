//! The supervisor of one group: a state machine with deadlines.
//!
//! It waits for one thing only — the next event, order or deadline — and never for a child, so no child can hold up
//! the care for another, an answer to an operator, or the watch. What to do about failures, stops and silence
//! stands in `failure`, `stopping` and `watchdog`; here is the loop, and starting.

use super::backoff::FailureWindow;
use super::exit::{Exit, GroupExit};
use super::group::Group;
use super::managed::{Command, Event, EventKind, Launch, Surroundings};
use super::slot::{Phase, Slot, Watch};
use super::snapshot::State;
use super::subgroup::Subgroup;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Batch of the first start.
const FIRST_BATCH: u64 = 0;

/// What the loop is about.
#[derive(Debug)]
pub(crate) enum Mode {
    Running,
    /// Everything goes down and stays ready to be started again by the parent.
    Halting(GroupExit),
    /// Everything finishes its work, last child first, and stays down.
    Draining {
        until: Instant,
        /// Children below this index have not had their turn.
        turn: usize,
        outcome: GroupExit,
    },
}

pub(crate) struct GroupLoop {
    pub(crate) node: Arc<Subgroup>,
    pub(crate) surroundings: Arc<Surroundings>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) mode: Mode,
    pub(crate) window: FailureWindow,
    batches: u64,
    events: mpsc::UnboundedReceiver<Event>,
    events_sender: mpsc::UnboundedSender<Event>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Called once, when the first start is through.
    announce: Option<Box<dyn FnOnce() + Send>>,
}

impl GroupLoop {
    pub(crate) fn new(
        node: Arc<Subgroup>,
        surroundings: Arc<Surroundings>,
        commands: mpsc::UnboundedReceiver<Command>,
        announce: impl FnOnce() + Send + 'static,
    ) -> Self {
        let now = Instant::now();
        let slots = node
            .group
            .children
            .iter()
            .map(|_| Slot::new(now, FIRST_BATCH))
            .collect();
        let (events_sender, events) = mpsc::unbounded_channel();
        Self {
            node,
            surroundings,
            slots,
            mode: Mode::Running,
            window: FailureWindow::default(),
            batches: FIRST_BATCH,
            events,
            events_sender,
            commands,
            announce: Some(Box::new(announce)),
        }
    }

    pub(crate) fn group(&self) -> &Group {
        &self.node.group
    }

    pub(crate) fn next_batch(&mut self) -> u64 {
        self.batches += 1;
        self.batches
    }

    /// Supervises until everything is down for the reason that is returned.
    pub(crate) async fn run(mut self, draining: Option<Instant>) -> GroupExit {
        if let Some(until) = draining {
            self.drain(until, None);
        }
        let mut orders_open = true;
        loop {
            // One moment for both: what is not due when we look is due later than the alarm is computed for, or it
            // would be forgotten between the two.
            let now = Instant::now();
            self.advance(now);
            if let Some(exit) = self.outcome() {
                return exit;
            }
            let deadline = self.next_deadline(now);
            let alarm = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            // Events first: an order that follows upon something seen must find that it has happened. Orders cannot
            // starve, since every further event needs a child to run in between.
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => self.on_event(event),
                command = self.commands.recv(), if orders_open => match command {
                    Some(command) => self.on_command(command),
                    None => orders_open = false,
                },
                () = alarm => {}
            }
            self.on_time(Instant::now());
        }
    }

    fn outcome(&self) -> Option<GroupExit> {
        let all_finished = self.slots.iter().all(|slot| slot.phase == Phase::Finished);
        match &self.mode {
            Mode::Halting(exit) if all_finished => Some(exit.clone()),
            Mode::Draining {
                turn: 0, outcome, ..
            } if all_finished => Some(outcome.clone()),
            _ => None,
        }
    }

    /// Makes every move that is possible now.
    fn advance(&mut self, now: Instant) {
        loop {
            let mut moved = self.advance_drain(now);
            for index in (0..self.slots.len()).rev() {
                moved |= self.stop_if_its_turn(index, now);
            }
            for index in 0..self.slots.len() {
                moved |= self.start_if_its_turn(index, now);
            }
            if !moved {
                break;
            }
        }
        let starting = self.slots.iter().any(|slot| {
            matches!(
                slot.phase,
                Phase::Held {
                    batch: FIRST_BATCH,
                    ..
                } | Phase::Starting {
                    batch: FIRST_BATCH,
                    ..
                }
            )
        });
        if !starting && let Some(announce) = self.announce.take() {
            announce();
        }
    }

    fn start_if_its_turn(&mut self, index: usize, now: Instant) -> bool {
        let Phase::Held { due, batch } = self.slots[index].phase else {
            return false;
        };
        let waits = due > now
            || self
                .slots
                .iter()
                .enumerate()
                .any(|(other, slot)| slot.holds_back(batch, other < index));
        if waits {
            return false;
        }
        self.start(index, batch);
        true
    }

    pub(crate) fn start(&mut self, index: usize, batch: u64) {
        let now = Instant::now();
        let spec = &self.node.group.children[index];
        let placement = self.surroundings.placement.as_ref();
        let launch = Launch {
            child: index,
            draining: self.slots[index].draining,
            placement: placement.unwrap_or(&spec.placement).clone(),
            events: self.events_sender.clone(),
            surroundings: Arc::clone(&self.surroundings),
        };
        let until = spec.start_within.map(|limit| now + limit);
        let until = match (until, self.slots[index].draining) {
            (Some(until), Some(deadline)) => Some(until.min(deadline)),
            (until, deadline) => until.or(deadline),
        };
        let epoch = Arc::clone(&spec.node).start(launch);
        let slot = &mut self.slots[index];
        slot.epoch = epoch;
        slot.up_since = None;
        slot.watch = Watch::new(now);
        slot.phase = Phase::Starting { until, batch };
    }

    fn on_event(&mut self, event: Event) {
        let index = event.child;
        if self.slots[index].epoch != event.epoch {
            return; // A fenced incarnation has nothing to say.
        }
        match event.kind {
            EventKind::Started => self.on_started(index),
            EventKind::Exited(exit) => self.on_exited(index, exit),
        }
    }

    fn on_started(&mut self, index: usize) {
        let now = Instant::now();
        let slot = &mut self.slots[index];
        if !matches!(slot.phase, Phase::Starting { .. }) {
            return;
        }
        slot.phase = Phase::Up;
        slot.up_since = Some(now);
        slot.answer(&Ok(()));
        let state = if slot.draining.is_some() {
            State::Draining
        } else {
            State::Running
        };
        self.node.group.children[index].node.set_state(state);
    }

    /// Takes a child down in the books: fenced, its work taken back, its exit noted.
    pub(crate) fn bury(&mut self, index: usize, exit: &Exit, abandoned: bool) {
        let spec = &self.node.group.children[index];
        let epoch = spec.node.bury(&self.surroundings, exit, abandoned);
        self.slots[index].epoch = epoch;
        if let Some(revoke) = &spec.on_fence
            && let Err(report) = super::panics::contain(|| revoke(epoch))
        {
            tracing::error!(child = %self.path(index), message = %report.message, location = %report.location, "the fence hook panicked");
        }
    }

    pub(crate) fn path(&self, index: usize) -> String {
        format!("{}/{}", self.node.path(), self.group().children[index].id)
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Restart { path, reply } => self.restart(path, reply),
            Command::Halt => self.halt(GroupExit::Shutdown {
                unclean: Vec::new(),
            }),
            Command::Drain(until) => self.drain(until, None),
            Command::DrainWithin(limit) => self.drain(Instant::now() + limit, None),
            Command::Kill => self.kill_all(),
        }
    }
}
