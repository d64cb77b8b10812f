//! From single looks to a status: some failures in a row before a component is called down, some successes in a row
//! before it is called well again.
//!
//! A first good look is believed at once: there is nothing to damp yet. A look that says nothing changes nothing,
//! until there have been so many in a row that nobody can say any more.

use super::{Seen, Status};

/// How many looks in a row it takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Damping {
    /// Bad ones before a component is worse.
    pub failures: u32,
    /// Good ones before it is better.
    pub successes: u32,
}

impl Default for Damping {
    fn default() -> Self {
        Self {
            failures: 3,
            successes: 2,
        }
    }
}

/// A component's status and the looks in a row that may change it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Damped {
    status: Status,
    /// Latest looks that were [`Seen::Down`].
    down: u32,
    /// Latest looks that were anything but [`Seen::Up`].
    not_up: u32,
    up: u32,
    /// Latest looks at which it worked, however well.
    alive: u32,
    nothing: u32,
}

impl Damped {
    /// One that stood at `status` when the process last looked; it takes as many looks as ever to change it.
    pub fn resumed(status: Status) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    /// How the component is.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Failed looks in a row that have not changed the status yet.
    pub fn failures(&self) -> u32 {
        self.down
    }

    /// Takes one look into account; answers the status afterwards.
    pub fn see(&mut self, seen: Seen, damping: Damping) -> Status {
        if seen == Seen::Nothing {
            self.nothing = self.nothing.saturating_add(1);
            if self.nothing >= damping.failures {
                *self = Self {
                    nothing: self.nothing,
                    ..Self::default()
                };
            }
            return self.status;
        }
        let count = |run: u32, goes_on: bool| if goes_on { run.saturating_add(1) } else { 0 };
        self.nothing = 0;
        self.down = count(self.down, seen == Seen::Down);
        self.not_up = count(self.not_up, seen != Seen::Up);
        self.up = count(self.up, seen == Seen::Up);
        self.alive = count(self.alive, seen != Seen::Down);
        let alive = match seen {
            Seen::Up => Status::Healthy,
            _ => Status::Degraded,
        };
        self.status = match self.status {
            _ if self.down >= damping.failures => Status::Unhealthy,
            Status::Unknown if self.alive > 0 => alive,
            Status::Unhealthy if self.alive >= damping.successes => alive,
            Status::Healthy if self.not_up >= damping.failures => Status::Degraded,
            Status::Degraded if self.up >= damping.successes => Status::Healthy,
            unchanged => unchanged,
        };
        self.status
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trace(looks: &str) -> String {
        let mut damped = Damped::default();
        looks
            .chars()
            .map(|look| {
                let seen = match look {
                    '+' => Seen::Up,
                    '~' => Seen::Impaired,
                    '-' => Seen::Down,
                    _ => Seen::Nothing,
                };
                match damped.see(seen, Damping::default()) {
                    Status::Healthy => 'H',
                    Status::Degraded => 'D',
                    Status::Unhealthy => 'U',
                    Status::Unknown => '?',
                }
            })
            .collect()
    }

    #[test]
    fn three_failures_down_two_successes_up() {
        for (looks, statuses) in [
            ("+--+--+", "HHHHHHH"),
            ("+---", "HHHU"),
            ("+---+-++", "HHHUUUUH"),
            ("+---~~", "HHHUUD"),
            ("+---~+", "HHHUUH"),
            ("---", "??U"),
            ("--+", "??H"),
            ("~++", "DDH"),
            ("+~~~", "HHHD"),
            ("+-~-", "HHHD"),
            ("+~~+~~", "HHHHHH"),
            // A look that says nothing neither counts nor interrupts; three of them and nobody knows.
            ("+-.-.-", "HHHHHU"),
            ("+...", "HHH?"),
            ("---...", "??UUU?"),
            ("+...-", "HHH??"),
        ] {
            assert_eq!(trace(looks), statuses, "{looks}");
        }
    }

    #[test]
    fn a_restart_does_not_make_it_forget() {
        let mut damped = Damped::resumed(Status::Unhealthy);
        assert_eq!(damped.see(Seen::Up, Damping::default()), Status::Unhealthy);
        assert_eq!(damped.see(Seen::Up, Damping::default()), Status::Healthy);
    }

    fn seen() -> impl Strategy<Value = Seen> {
        prop_oneof![
            Just(Seen::Up),
            Just(Seen::Impaired),
            Just(Seen::Down),
            Just(Seen::Nothing),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_called_down_without_its_failures_in_a_row_nor_up_without_its_successes(
            looks in prop::collection::vec(seen(), 1..200), failures in 1u32..6, successes in 1u32..6) {
            let damping = Damping { failures, successes };
            let mut damped = Damped::default();
            let mut before = Status::Unknown;
            for (at, look) in looks.iter().enumerate() {
                let after = damped.see(*look, damping);
                let said: Vec<Seen> = looks[..=at].iter().rev().copied().filter(|seen| *seen != Seen::Nothing).collect();
                let run = |what: &dyn Fn(Seen) -> bool| said.iter().take_while(|seen| what(**seen)).count() as u32;
                if after != before {
                    match (before, after) {
                        (_, Status::Unhealthy) => prop_assert!(run(&|seen| seen == Seen::Down) >= failures),
                        (Status::Unhealthy, Status::Healthy | Status::Degraded) => prop_assert!(run(&|seen| seen != Seen::Down) >= successes),
                        (Status::Healthy, Status::Degraded) => prop_assert!(run(&|seen| seen != Seen::Up) >= failures),
                        (Status::Degraded, Status::Healthy) => prop_assert!(run(&|seen| seen == Seen::Up) >= successes),
                        (_, Status::Unknown) => prop_assert!(looks[..=at].iter().rev().take(failures as usize).all(|seen| *seen == Seen::Nothing)),
                        _ => prop_assert_eq!(before, Status::Unknown),
                    }
                }
                // What lasts is always told.
                if run(&|seen| seen == Seen::Down) >= failures && *look == Seen::Down
                    && looks[..=at].iter().rev().take(failures as usize).all(|seen| *seen == Seen::Down) {
                    prop_assert_eq!(after, Status::Unhealthy);
                }
                before = after;
            }
        }
    }
}
