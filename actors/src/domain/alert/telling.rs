//! What to tell, judged by what was told last — never by what happened last.
//!
//! That is why a restart, an edited rule or the end of a silence tells nobody what they know already, and why
//! an incident that came and went in silence is never heard of.

use std::fmt;
use std::time::Duration;

/// A firing, unacknowledged incident is told again after so long.
pub const REPEAT: Duration = Duration::from_secs(4 * 3_600);

/// What was told last about a series.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    pub what: Known,
    /// When, in microseconds since the Unix epoch.
    pub at: i64,
}

/// What whoever was told believes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Known {
    /// This incident fires.
    Firing(String),
    /// It is over.
    Resolved(String),
    /// It comes and goes; `open` is the incident they last heard fire, if they did not hear it end.
    Flapping { open: Option<String> },
}

/// How a series stands now.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// The incident that fires.
    pub firing: Option<&'a str>,
    /// Breached, but not yet for long enough.
    pub pending: bool,
    pub acknowledged: bool,
    pub flapping: bool,
    pub silenced: bool,
}

/// One thing to tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    Fired(String),
    Resolved(String),
    /// It still fires.
    Repeated(String),
    /// It comes and goes; said once until it calms down.
    Flapping,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fired(incident) => write!(f, "fired {incident}"),
            Self::Resolved(incident) => write!(f, "resolved {incident}"),
            Self::Repeated(incident) => write!(f, "still {incident}"),
            Self::Flapping => f.write_str("flapping"),
        }
    }
}

/// What to tell at `now`, in this order, and what is known afterwards.
pub fn decide(
    last: Option<&Told>,
    standing: Standing<'_>,
    now: i64,
) -> (Vec<Notice>, Option<Told>) {
    let unchanged = || (Vec::new(), last.cloned());
    if standing.silenced {
        return unchanged();
    }
    let open = match last.map(|told| &told.what) {
        Some(Known::Firing(incident)) => Some(incident.as_str()),
        Some(Known::Flapping { open }) => open.as_deref(),
        Some(Known::Resolved(_)) | None => None,
    };
    let was_flapping = matches!(last.map(|told| &told.what), Some(Known::Flapping { .. }));
    if standing.flapping {
        if was_flapping {
            return unchanged();
        }
        let what = Known::Flapping {
            open: open.map(str::to_owned),
        };
        return (vec![Notice::Flapping], Some(Told { what, at: now }));
    }
    // After an edit a series starts over: until it is known where it stands, what was told still holds.
    if standing.pending && open.is_some() {
        return unchanged();
    }
    match (open, standing.firing) {
        (None, None) => unchanged(),
        (Some(open), Some(firing)) if open == firing => {
            let told_at = last.map_or(now, |told| told.at);
            let due = now.saturating_sub(told_at) >= super::machine::micros(REPEAT);
            let known = |at| {
                Some(Told {
                    what: Known::Firing(firing.to_owned()),
                    at,
                })
            };
            if due && !standing.acknowledged {
                (vec![Notice::Repeated(firing.to_owned())], known(now))
            } else {
                (Vec::new(), known(told_at))
            }
        }
        (open, firing) => {
            let mut notices = Vec::with_capacity(2);
            let mut what = None;
            if let Some(open) = open {
                notices.push(Notice::Resolved(open.to_owned()));
                what = Some(Known::Resolved(open.to_owned()));
            }
            if let Some(firing) = firing {
                notices.push(Notice::Fired(firing.to_owned()));
                what = Some(Known::Firing(firing.to_owned()));
            }
            (notices, what.map(|what| Told { what, at: now }))
        }
    }
}
