//! Restart on demand: an operator's order for one path below a group.
//!
//! It never waits here: the order changes what a child is to do next, and the answer is sent when the child is up (or
//! has failed to come up), so orders cannot pile up against the care for the children.

use super::group_loop::{GroupLoop, Mode};
use super::handle::RestartError;
use super::managed::Command;
use super::slot::{Phase, Then};
use tokio::sync::oneshot;
use tokio::time::Instant;

impl GroupLoop {
    /// Restart on demand: the strategy applies as for a failure, but nothing is counted and nothing waits.
    pub(crate) fn restart(
        &mut self,
        path: Vec<String>,
        reply: oneshot::Sender<Result<(), RestartError>>,
    ) {
        if !matches!(self.mode, Mode::Running) {
            let _ = reply.send(Err(RestartError::ShuttingDown));
            return;
        }
        let Some((first, rest)) = path.split_first() else {
            let batch = self.next_batch();
            for index in 0..self.slots.len() {
                self.hold(index, Instant::now(), batch, true);
            }
            // Told when the last of them is up.
            let last = self
                .slots
                .iter_mut()
                .rfind(|slot| slot.phase != Phase::Finished);
            match last {
                Some(last) => last.waiters.push(reply),
                None => drop(reply.send(Ok(()))),
            }
            return;
        };
        let found = self
            .group()
            .children
            .iter()
            .position(|child| child.id == *first);
        let Some(index) = found else {
            let _ = reply.send(Err(RestartError::NotFound));
            return;
        };
        if !rest.is_empty() {
            let order = Command::Restart {
                path: rest.to_vec(),
                reply,
            };
            let node = &self.group().children[index].node;
            let missing = if node.is_group() {
                RestartError::GroupDown
            } else {
                RestartError::NotFound
            };
            if let Err(Command::Restart { reply, .. }) = node.order(order) {
                let _ = reply.send(Err(missing));
            }
            return;
        }
        self.slots[index].waiters.push(reply);
        match self.slots[index].phase.clone() {
            // It is on its way already.
            Phase::Starting { .. } => {}
            Phase::Killing {
                then: Then::Fail, ..
            } => {}
            Phase::Held { batch, .. } => self.hurry(batch),
            Phase::StopQueued { then, .. }
            | Phase::Stopping { then, .. }
            | Phase::Killing { then, .. } => {
                if let Then::Hold { batch, .. } = then {
                    self.hurry(batch);
                }
            }
            Phase::Finished => {
                let batch = self.next_batch();
                self.slots[index].phase = Phase::Held {
                    due: Instant::now(),
                    batch,
                };
            }
            Phase::Up => {
                let batch = self.next_batch();
                for other in self.group().strategy.affected(index, self.slots.len()) {
                    self.hold(other, Instant::now(), batch, other == index);
                }
            }
        }
    }

    /// A batch that waits for its restart need not wait longer.
    fn hurry(&mut self, wanted: u64) {
        let now = Instant::now();
        for slot in &mut self.slots {
            if slot
                .restart_mut()
                .is_some_and(|(_, batch)| *batch == wanted)
            {
                slot.hurry(now);
            }
        }
    }
}
