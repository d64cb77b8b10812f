//! The queue of one child and the message in its actor's hands, under one lock.
//!
//! Taking a message and noting it as in flight is one step, and the epoch is checked in the same step: an accepted
//! message is therefore in exactly one place, whatever thread is fenced at whatever moment.

use super::envelope::Queued;
use actix::Actor;
use std::collections::VecDeque;
use std::time::Instant;

pub(crate) struct Mailbox<A: Actor> {
    pub(crate) queue: VecDeque<Queued<A>>,
    in_flight: Option<InFlight<A>>,
    /// The only epoch that may take and finish messages.
    pub(crate) epoch: u64,
    /// No further message is accepted.
    pub(crate) closed: bool,
}

pub(crate) struct InFlight<A: Actor> {
    pub(crate) again: Option<Queued<A>>,
    pub(crate) message: &'static str,
    pub(crate) loss: &'static str,
    since: Instant,
}

/// What a reader finds.
pub(crate) enum Next<A: Actor> {
    /// It is fenced and gets nothing.
    Fenced,
    Empty,
    Message(Queued<A>),
}

impl<A: Actor> Mailbox<A> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            queue: VecDeque::with_capacity(capacity.min(64)),
            in_flight: None,
            epoch: 1,
            closed: false,
        }
    }

    /// The oldest message, noted as in flight for `epoch`.
    pub(crate) fn take(&mut self, epoch: u64) -> Next<A> {
        if self.epoch != epoch {
            return Next::Fenced;
        }
        let Some(envelope) = self.queue.pop_front() else {
            return Next::Empty;
        };
        self.in_flight = Some(InFlight {
            again: envelope.redelivery(),
            message: envelope.message(),
            loss: envelope.loss(),
            since: Instant::now(),
        });
        Next::Message(envelope)
    }

    /// The message in flight is done; when it was taken, or none if `epoch` is fenced.
    pub(crate) fn finish(&mut self, epoch: u64) -> Option<(InFlight<A>, Instant)> {
        if self.epoch != epoch {
            return None;
        }
        let done = self.in_flight.take()?;
        let since = done.since;
        Some((done, since))
    }

    /// Fences the present epoch. An unfinished message goes back to the front, or is returned as lost.
    pub(crate) fn fence(&mut self) -> Option<InFlight<A>> {
        self.epoch += 1;
        let mut unfinished = self.in_flight.take()?;
        match unfinished.again.take() {
            Some(envelope) => {
                self.queue.push_front(envelope);
                None
            }
            None => Some(unfinished),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.in_flight.is_none()
    }
}
