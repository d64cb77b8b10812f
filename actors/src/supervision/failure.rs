//! What a group does when a child has ended: restart policy, intensity, backoff, strategy, escalation.

use super::exit::{Cause, Escalation, Exit, GroupExit};
use super::group_loop::{GroupLoop, Mode};
use super::handle::RestartError;
use super::slot::{Phase, Then};
use super::snapshot::State;
use super::spec::Restart;
use tokio::time::Instant;

impl GroupLoop {
    pub(crate) fn on_exited(&mut self, index: usize, exit: Exit) {
        match self.slots[index].phase.clone() {
            Phase::Held { .. } | Phase::Finished => {}
            Phase::Starting { .. } | Phase::Up => self.failed(index, exit, false),
            Phase::StopQueued { then, .. } | Phase::Stopping { then, .. } => {
                self.went_down(index, exit, then, false);
            }
            Phase::Killing { why, then, .. } => self.went_down(index, why, then, false),
        }
    }

    /// A child that was going down is down.
    pub(crate) fn went_down(&mut self, index: usize, exit: Exit, then: Then, abandoned: bool) {
        match then {
            Then::Fail => self.failed(index, exit, abandoned),
            Then::Hold { due, batch } => {
                self.log_exit(index, &exit);
                self.bury(index, &exit, abandoned);
                self.slots[index].phase = Phase::Held { due, batch };
                self.set_state(index, State::BackingOff);
            }
            Then::Finish => {
                self.log_exit(index, &exit);
                self.bury(index, &exit, abandoned);
                self.ended(index);
            }
        }
    }

    /// A child ended although nobody asked it to.
    fn failed(&mut self, index: usize, exit: Exit, abandoned: bool) {
        self.bury(index, &exit, abandoned);
        let outcome = Err(RestartError::Failed(exit.to_string()));
        self.slots[index].answer(&outcome);
        if self.slots[index].draining.is_some() {
            self.ended_while_draining(index, exit);
            return;
        }
        let again = match self.group().children[index].restart {
            Restart::Permanent => true,
            Restart::Transient => exit.is_failure(),
            Restart::Temporary => false,
        };
        if !again {
            self.log_exit(index, &exit);
            let state = if exit.is_failure() {
                State::Failed
            } else {
                State::Stopped
            };
            self.finish(index, state, "the actor ended and is not restarted");
            return;
        }
        let now = Instant::now();
        let running = matches!(self.mode, Mode::Running);
        // A drain is bounded by its deadline already; giving up early would only lose work.
        if running {
            let intensity = self.group().intensity;
            let failures = self.window.count(now, &intensity);
            if failures > intensity.max {
                self.give_up(index, exit, failures);
                return;
            }
        }
        let due = now + self.delay(index, now);
        self.log_restart(index, &exit, due - now);
        let batch = self.next_batch();
        self.slots[index].phase = Phase::Held { due, batch };
        self.set_state(index, State::BackingOff);
        // While the group goes down for good its children are independent: each finishes its own work.
        if running {
            for other in self.group().strategy.affected(index, self.slots.len()) {
                if other != index {
                    self.hold(other, due, batch, false);
                }
            }
        }
    }

    pub(crate) fn delay(&mut self, index: usize, now: Instant) -> std::time::Duration {
        let backoff = self.group().backoff;
        let slot = &mut self.slots[index];
        let lived = slot.up_since.map(|since| now - since);
        if lived.is_some_and(|lived| lived > backoff.reset_after) {
            slot.failures = 0;
        }
        let failures = slot.failures;
        slot.failures = failures.saturating_add(1);
        backoff.delay(failures, &mut self.surroundings.chance.lock())
    }

    /// Puts a child into a batch that restarts together, taking it down first if it is up. A temporary child stays
    /// down unless it is `wanted` itself.
    pub(crate) fn hold(&mut self, index: usize, due: Instant, batch: u64, wanted: bool) {
        let temporary = self.group().children[index].restart == Restart::Temporary;
        let next = if temporary && !wanted {
            Then::Finish
        } else {
            Then::Hold { due, batch }
        };
        match &mut self.slots[index].phase {
            Phase::Finished => {}
            Phase::Held {
                due: its_due,
                batch: its_batch,
            } => {
                *its_due = due;
                *its_batch = batch;
            }
            phase @ (Phase::Starting { .. } | Phase::Up) => {
                *phase = Phase::StopQueued {
                    then: next,
                    order: batch,
                };
                self.set_state(index, State::Stopping);
            }
            Phase::StopQueued { then, .. }
            | Phase::Stopping { then, .. }
            | Phase::Killing { then, .. } => *then = next,
        }
    }

    /// Too many failures: the group ends, and says why.
    fn give_up(&mut self, index: usize, exit: Exit, failures: usize) {
        let chain = Escalation::new(Cause {
            group: self.node.path().to_owned(),
            child: self.path(index),
            failures,
            within: self.group().intensity.within,
            exit: Box::new(exit),
        });
        tracing::error!(group = self.node.path(), causes = %chain, "too many failures");
        if self.node.is_root() {
            self.finish(index, State::Failed, "the tree gave up on the actor");
            let until = Instant::now() + self.node.budget();
            self.drain(until, Some(GroupExit::Escalated(chain)));
        } else {
            self.down_for_the_parent(index);
            self.set_state(index, State::Failed);
            self.halt(GroupExit::Escalated(chain));
        }
    }

    /// Down for good: accepts nothing more, and whoever asked is told.
    pub(crate) fn finish(&mut self, index: usize, state: State, reason: &str) {
        self.slots[index].phase = Phase::Finished;
        self.slots[index].answer(&Err(RestartError::ShuttingDown));
        self.group().children[index].node.close(state, reason);
    }

    /// Down until the parent starts the group again: the queue stays open.
    pub(crate) fn down_for_the_parent(&mut self, index: usize) {
        self.slots[index].phase = Phase::Finished;
        self.slots[index].answer(&Err(RestartError::GroupDown));
        self.set_state(index, State::BackingOff);
    }

    pub(crate) fn set_state(&self, index: usize, state: State) {
        self.group().children[index].node.set_state(state);
    }

    fn log_restart(&self, index: usize, exit: &Exit, delay: std::time::Duration) {
        let restart_in_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let child = self.path(index);
        if exit.is_failure() {
            tracing::error!(%child, reason = exit.reason(), message = exit.message(), location = exit.location(), restart_in_ms, "an actor failed and will be restarted");
        } else {
            tracing::info!(%child, restart_in_ms, "an actor stopped and will be restarted");
        }
    }

    fn log_exit(&self, index: usize, exit: &Exit) {
        let child = self.path(index);
        if exit.is_failure() {
            tracing::error!(%child, reason = exit.reason(), message = exit.message(), location = exit.location(), "an actor failed");
        } else {
            tracing::debug!(%child, "an actor stopped");
        }
    }
}
