//! Deadlines: start, stop, kill, and silence.
//!
//! A child that does not answer in time is killed (stage 1: enough for a future that is stuck). If it is still there
//! after its grace, its thread is blocked: it is fenced, its work is taken back, and its successor gets another
//! thread (stage 2). Neither stage waits.

use super::exit::Exit;
use super::group_loop::GroupLoop;
use super::life::Protection;
use super::slot::{Phase, Then};
use super::spec::ChildSpec;
use super::stopping::NUDGE_EVERY;
use std::time::Duration;
use tokio::time::Instant;

/// How often a child is asked for a sign of life, at least and at most.
const SHORTEST_PERIOD: Duration = Duration::from_millis(5);
const LONGEST_PERIOD: Duration = Duration::from_secs(1);

fn period(limit: Duration) -> Duration {
    (limit / 4).clamp(SHORTEST_PERIOD, LONGEST_PERIOD)
}

impl GroupLoop {
    /// When to look again if nothing happens before.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let children = self.group().children.iter().zip(&self.slots);
        children
            .filter_map(|(spec, slot)| match slot.phase {
                // What is due and still down waits for another child, not for time.
                Phase::Held { due, .. } => (due > now).then_some(due),
                Phase::Starting { until, .. } => until,
                Phase::Up => self.silence_max(spec).map(|_| slot.watch.look_at),
                Phase::StopQueued { .. } | Phase::Finished => None,
                Phase::Stopping { until, .. } if slot.draining.is_some() => {
                    Some(until.min(now + NUDGE_EVERY))
                }
                Phase::Stopping { until, .. } | Phase::Killing { until, .. } => Some(until),
            })
            .min()
    }

    /// Acts on every deadline that has passed.
    pub(crate) fn on_time(&mut self, now: Instant) {
        for index in 0..self.slots.len() {
            match self.slots[index].phase.clone() {
                Phase::Starting {
                    until: Some(until), ..
                } if now >= until => {
                    let limit = self.group().children[index].start_within;
                    let why = Exit::StartTimedOut(limit.unwrap_or_default());
                    self.kill(index, why, Then::Fail);
                }
                Phase::Up => self.look(index, now),
                Phase::Stopping { until, then, .. } => {
                    if now >= until {
                        self.kill(index, Exit::Killed, then);
                    } else if self.slots[index].draining.is_some() {
                        self.group().children[index].node.nudge();
                        self.look(index, now);
                    }
                }
                Phase::Killing {
                    until, why, then, ..
                } if now >= until => {
                    tracing::warn!(child = %self.path(index), "an actor survived its kill: it is fenced and left behind");
                    self.went_down(index, why, then, true);
                }
                _ => {}
            }
        }
    }

    /// How long the child may leave a sign of life unanswered; none for one that is not watched.
    fn silence_max(&self, spec: &ChildSpec) -> Option<Duration> {
        let limit = spec.hang_after?;
        Some(limit.min(self.surroundings.silence_max.unwrap_or(limit)))
    }

    /// Is the child still answering?
    fn look(&mut self, index: usize, now: Instant) {
        let spec = &self.group().children[index];
        let Some(limit) = self.silence_max(spec) else {
            return;
        };
        let watch = self.slots[index].watch;
        if now < watch.look_at {
            return;
        }
        let period = period(limit);
        if spec.node.has_answered(watch.asked) {
            self.ask(index, now);
            self.slots[index].watch.look_at = now + period;
            return;
        }
        let silent_since = match spec.node.protection(now) {
            Protection::Until(until) => {
                self.slots[index].watch.asked_at = now;
                self.slots[index].watch.look_at = until.min(now + period);
                return;
            }
            Protection::Overrun(bound) => {
                let why = format!("a protected zone took longer than {bound:?}");
                self.kill(index, Exit::Hung(why), Then::Fail);
                return;
            }
            Protection::None(left_at) => {
                left_at.map_or(watch.asked_at, |at| at.max(watch.asked_at))
            }
        };
        if now < silent_since + limit {
            self.slots[index].watch.look_at = (silent_since + limit).min(now + period);
        } else if now > watch.look_at + period {
            // We were late ourselves (a machine asleep, a stopped process): the child gets its time anew.
            self.slots[index].watch.asked_at = now;
            self.slots[index].watch.look_at = now + period;
        } else {
            let why = format!("no sign of life for {limit:?}");
            self.kill(index, Exit::Hung(why), Then::Fail);
        }
    }

    fn ask(&mut self, index: usize, now: Instant) {
        let watch = &mut self.slots[index].watch;
        watch.asked += 1;
        watch.asked_at = now;
        let number = watch.asked;
        self.group().children[index].node.ask(number);
    }
}
