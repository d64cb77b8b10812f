//! One series of a rule with all that is kept about it: the machine, the incident that fires, and what was told.

use super::condition::Reading;
use super::machine::{Instance, State, Transition};
use super::rule::Rule;
use super::telling::{Known, Notice, Standing, Told, decide};

/// A series. Plain data: stored after a round and read back, it goes on where it stood.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    pub instance: Instance,
    /// The incident that fires.
    pub incident: Option<String>,
    /// Somebody looks after the incident: no reminders.
    pub acknowledged: bool,
    /// What was told last.
    pub told: Option<Told>,
    /// The incident people know from before the rule was edited, until it is known whether it goes on.
    pub carried: Option<String>,
    /// There was no channel to tell that it fires.
    pub unheard: bool,
}

/// What a round did.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// The incident that began or ended.
    pub transition: Option<(Transition, String)>,
    /// What to tell, in this order.
    pub notices: Vec<Notice>,
}

impl Series {
    /// Takes a reading at `now` (microseconds since the Unix epoch); `name` names a new incident.
    pub fn round(
        &mut self,
        rule: &Rule,
        reading: &Reading,
        silenced: bool,
        now: i64,
        name: impl FnOnce() -> String,
    ) -> Round {
        let step = self.instance.step(rule, rule.condition.judge(reading), now);
        let transition = match step {
            Some(Transition::Fired) => {
                // An incident that only an edit interrupted is still the same, and so is who looks after it.
                let incident = self.carried.take().unwrap_or_else(|| {
                    self.acknowledged = false;
                    name()
                });
                self.incident = Some(incident.clone());
                Some((Transition::Fired, incident))
            }
            Some(Transition::Resolved) => self.ended(),
            None => None,
        };
        if self.instance.state == State::Inactive && self.instance.error_since.is_none() {
            self.carried = None;
        }
        Round {
            transition,
            notices: self.tell(silenced, now),
        }
    }

    /// What is to be said once more, now that somebody may hear it.
    pub fn say_again(&self) -> Option<Notice> {
        let Some(Known::Firing(known)) = self.told.as_ref().map(|told| &told.what) else {
            return None;
        };
        let still = self.unheard && self.incident.as_ref() == Some(known);
        still.then(|| Notice::Fired(known.clone()))
    }

    /// Ends the incident by hand; a breach that goes on is a new one.
    pub fn resolve(&mut self, silenced: bool, now: i64) -> Round {
        let transition = match self.instance.resolve(now) {
            Some(_) => self.ended(),
            None => None,
        };
        Round {
            transition,
            notices: self.tell(silenced, now),
        }
    }

    /// The rule is gone or disabled: whoever was told that something fires is told that it does not, silence or none.
    pub fn retire(&mut self, now: i64) -> Round {
        self.start_over();
        self.carried = None;
        self.acknowledged = false;
        Round {
            transition: None,
            notices: self.tell(false, now),
        }
    }

    /// The rule was edited: the series starts over, and nobody is told what they know.
    pub fn start_over(&mut self) {
        self.instance = Instance::default();
        let known = match self.told.as_ref().map(|told| &told.what) {
            Some(Known::Firing(incident)) => Some(incident),
            Some(Known::Flapping { open }) => open.as_ref(),
            Some(Known::Resolved(_)) | None => None,
        };
        // One that was never told of, for a silence, is simply over.
        self.carried = self
            .incident
            .take()
            .or(self.carried.take())
            .filter(|incident| known == Some(incident));
    }

    fn ended(&mut self) -> Option<(Transition, String)> {
        self.acknowledged = false;
        self.incident
            .take()
            .map(|incident| (Transition::Resolved, incident))
    }

    fn tell(&mut self, silenced: bool, now: i64) -> Vec<Notice> {
        let undecided = self.carried.is_some() && self.incident.is_none();
        let standing = Standing {
            firing: self.incident.as_deref(),
            pending: self.instance.state == State::Pending || undecided,
            acknowledged: self.acknowledged,
            flapping: self.instance.is_flapping(),
            silenced,
        };
        let (notices, told) = decide(self.told.as_ref(), standing, now);
        self.told = told;
        notices
    }
}
