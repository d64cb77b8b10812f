//! How a group takes its children down: a halt (they come back later), the orderly drain at shutdown, a kill.

use super::exit::{Exit, GroupExit};
use super::group_loop::{GroupLoop, Mode};
use super::life::StopRequest;
use super::slot::{Phase, Then};
use super::snapshot::State;
use super::spec::Restart;
use std::time::Duration;
use tokio::time::Instant;

/// How often a draining child is woken to look again whether its drain gate has closed.
pub(crate) const NUDGE_EVERY: Duration = Duration::from_millis(10);

impl GroupLoop {
    /// Begins the polite stop of a child if all its juniors under the same order are down.
    pub(crate) fn stop_if_its_turn(&mut self, index: usize, now: Instant) -> bool {
        let Phase::StopQueued { then, order } = self.slots[index].phase.clone() else {
            return false;
        };
        let juniors_up = self.slots[index + 1..]
            .iter()
            .any(|slot| slot.stop_order() == Some(order));
        if juniors_up {
            return false;
        }
        let spec = &self.group().children[index];
        let until = now + spec.stop_limit();
        spec.node.stop(StopRequest::Halt, until);
        self.slots[index].phase = Phase::Stopping { until, then, order };
        true
    }

    /// Takes everything down for the parent, which may start it again: queues stay open.
    pub(crate) fn halt(&mut self, exit: GroupExit) {
        if !matches!(self.mode, Mode::Running) {
            return;
        }
        self.mode = Mode::Halting(exit);
        let order = self.next_batch();
        for index in 0..self.slots.len() {
            match &mut self.slots[index].phase {
                Phase::Finished => {}
                Phase::Held { .. } => self.down_for_the_parent(index),
                phase @ (Phase::Starting { .. } | Phase::Up) => {
                    *phase = Phase::StopQueued {
                        then: Then::Finish,
                        order,
                    };
                }
                Phase::StopQueued { then, .. }
                | Phase::Stopping { then, .. }
                | Phase::Killing { then, .. } => *then = Then::Finish,
            }
        }
    }

    /// Lets everything finish its work, last child first, until `until`. Called again it can only shorten the time.
    pub(crate) fn drain(&mut self, until: Instant, outcome: Option<GroupExit>) {
        if let Mode::Draining { until: present, .. } = &mut self.mode {
            *present = until.min(*present);
            let present = *present;
            for (slot, spec) in self.slots.iter_mut().zip(&self.node.group.children) {
                let least = Instant::now() + spec.node.courtesy();
                slot.draining = slot.draining.map(|its| its.min(present.max(least)));
                if let (Some(deadline), Phase::Stopping { until, .. }) =
                    (slot.draining, &mut slot.phase)
                {
                    *until = deadline;
                    // A group below hands the shorter time down.
                    spec.node.stop(StopRequest::Drain, deadline);
                }
            }
            return;
        }
        // What is being halted is halted for its parent, which has the say over what comes next.
        if matches!(self.mode, Mode::Running) {
            self.mode = Mode::Draining {
                until,
                turn: self.slots.len(),
                outcome: outcome.unwrap_or(GroupExit::Shutdown {
                    unclean: Vec::new(),
                }),
            };
        }
    }

    /// Moves the drain on by one step, if it can be.
    pub(crate) fn advance_drain(&mut self, now: Instant) -> bool {
        let Mode::Draining { until, turn, .. } = self.mode else {
            return false;
        };
        let Some(index) = turn.checked_sub(1) else {
            return false;
        };
        let spec = &self.group().children[index];
        // Whoever comes late because another took all the time still gets a moment: it may have nothing left to do.
        let (limit, least) = (spec.stop_limit(), now + spec.node.courtesy());
        if self.slots[index].draining.is_none() {
            // No backoff for one who is only to finish.
            self.slots[index].hurry(now);
        }
        let deadline = *self.slots[index]
            .draining
            .get_or_insert(until.min(now + limit).max(least));
        let has_work = || self.group().children[index].node.has_work();
        match self.slots[index].phase.clone() {
            Phase::Finished => {
                if let Mode::Draining { turn, .. } = &mut self.mode {
                    *turn = index;
                }
                true
            }
            Phase::Held { due, batch } => {
                if !has_work() {
                    self.finish(index, State::Stopped, "the tree has shut down");
                } else if now >= deadline {
                    self.give_up_draining(index, true);
                } else if due <= now {
                    // Down with work left: it is brought back to finish it.
                    self.start(index, batch);
                } else {
                    return false;
                }
                true
            }
            Phase::Starting { .. } | Phase::Up | Phase::StopQueued { .. } => {
                let spec = &self.group().children[index];
                spec.node.stop(StopRequest::Drain, deadline);
                self.slots[index].phase = Phase::Stopping {
                    until: deadline,
                    then: Then::Fail,
                    order: 0,
                };
                true
            }
            _ => false,
        }
    }

    /// A child ended during its own drain: done, or brought back if work is left.
    pub(crate) fn ended_while_draining(&mut self, index: usize, exit: Exit) {
        let now = Instant::now();
        let deadline = self.slots[index].draining.unwrap_or(now);
        let killed = matches!(exit, Exit::Killed);
        let spec = &self.group().children[index];
        // A group has seen to its children itself, and has named those that were not done.
        let left = !spec.node.is_group() && spec.node.has_work();
        let again = spec.restart != Restart::Temporary;
        if left && now < deadline && !killed && again {
            let due = now + self.delay(index, now);
            let batch = self.next_batch();
            tracing::warn!(child = %self.path(index), %exit, "an actor ended while it was draining and is brought back");
            self.slots[index].phase = Phase::Held { due, batch };
            self.set_state(index, State::BackingOff);
        } else if left || killed {
            let named_by_itself = self.group().children[index].node.is_group();
            self.give_up_draining(index, !named_by_itself);
        } else {
            self.finish(index, State::Stopped, "the tree has shut down");
        }
    }

    fn give_up_draining(&mut self, index: usize, name: bool) {
        let path = self.path(index);
        if name {
            tracing::warn!(child = %path, "an actor did not finish its work in time");
            self.surroundings.unclean.lock().push(path);
        }
        self.finish(index, State::Stopped, "the tree has shut down");
    }

    /// The end of a child that was to stay down.
    pub(crate) fn ended(&mut self, index: usize) {
        if matches!(self.mode, Mode::Halting(_)) {
            self.down_for_the_parent(index);
        } else {
            self.finish(
                index,
                State::Stopped,
                "the actor ended and is not restarted",
            );
        }
    }

    /// Ends everything at once.
    pub(crate) fn kill_all(&mut self) {
        let draining = matches!(self.mode, Mode::Draining { .. });
        self.mode = Mode::Halting(GroupExit::Shutdown {
            unclean: Vec::new(),
        });
        for index in 0..self.slots.len() {
            self.slots[index].draining = None;
            let running = self.slots[index].phase != Phase::Finished;
            if draining && running && !self.group().children[index].node.is_group() {
                self.surroundings.unclean.lock().push(self.path(index));
            }
            match self.slots[index].phase.clone() {
                Phase::Finished => {}
                Phase::Held { .. } => self.down_for_the_parent(index),
                Phase::Killing {
                    until, why, order, ..
                } => {
                    self.slots[index].phase = Phase::Killing {
                        until,
                        why,
                        then: Then::Finish,
                        order,
                    };
                }
                _ => self.kill(index, Exit::Killed, Then::Finish),
            }
        }
    }

    /// Kills one child; after its grace it is fenced and left behind.
    pub(crate) fn kill(&mut self, index: usize, why: Exit, then: Then) {
        let spec = &self.group().children[index];
        spec.node.kill();
        let until = Instant::now() + spec.kill_limit();
        let order = self.slots[index].stop_order().unwrap_or(0);
        self.slots[index].phase = Phase::Killing {
            until,
            why,
            then,
            order,
        };
    }
}
