//! Why something ended: one incarnation ([`Exit`]), as people see it ([`LastExit`]), a whole group ([`GroupExit`]).

use super::panics::PanicReport;
use chrono::{DateTime, SecondsFormat};
use serde::{Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// Why an incarnation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It stopped by itself or was asked to.
    Normal,
    /// It declared itself failed, for this reason.
    Failed(String),
    /// It panicked: in its factory, a hook, a handler, a spawned future or its `Drop`.
    Panicked(PanicReport),
    /// It was killed because it did not stop in time, or by order.
    Killed,
    /// It did not answer within its hang deadline, or overran a protected zone.
    Hung(String),
    /// Its factory and `started` did not finish within this time.
    StartTimedOut(Duration),
    /// Its thread ended underneath it.
    ThreadLost,
    /// A group gave up on its children.
    Escalated(Escalation),
}

impl Exit {
    /// Whether a transient child is restarted after it.
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Normal)
    }

    /// A stable short name: `normal`, `failed`, `panicked`, `killed`, `hung`, `start_timed_out`, `thread_lost`,
    /// `escalated`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Failed(_) => "failed",
            Self::Panicked(_) => "panicked",
            Self::Killed => "killed",
            Self::Hung(_) => "hung",
            Self::StartTimedOut(_) => "start_timed_out",
            Self::ThreadLost => "thread_lost",
            Self::Escalated(_) => "escalated",
        }
    }

    /// A readable sentence without the place.
    pub fn message(&self) -> String {
        match self {
            Self::Normal => "stopped".to_owned(),
            Self::Failed(reason) | Self::Hung(reason) => reason.clone(),
            Self::Panicked(report) => report.message.clone(),
            Self::Killed => "killed".to_owned(),
            Self::StartTimedOut(limit) => format!("did not start within {limit:?}"),
            Self::ThreadLost => "its thread ended".to_owned(),
            Self::Escalated(chain) => chain.to_string(),
        }
    }

    /// `file:line` of the panic, if it was one.
    pub fn location(&self) -> Option<&str> {
        match self {
            Self::Panicked(report) if !report.location.is_empty() => Some(&report.location),
            _ => None,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("stopped"),
            Self::Killed => f.write_str("killed"),
            Self::Escalated(chain) => write!(f, "{chain}"),
            other => {
                write!(f, "{}: {}", other.reason(), other.message())?;
                match other.location() {
                    Some(place) => write!(f, " at {place}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// The latest exit of a child, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastExit {
    /// [`Exit::reason`].
    pub reason: &'static str,
    /// [`Exit::message`].
    pub message: String,
    /// [`Exit::location`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// When, in microseconds since the Unix epoch (serialised as RFC 3339 with milliseconds).
    #[serde(rename = "at", serialize_with = "rfc3339")]
    pub at_micros: i64,
}

impl LastExit {
    pub(crate) fn new(exit: &Exit, at_micros: i64) -> Self {
        Self {
            reason: exit.reason(),
            message: exit.message(),
            location: exit.location().map(str::to_owned),
            at_micros,
        }
    }
}

fn rfc3339<S: Serializer>(micros: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    DateTime::from_timestamp_micros(*micros)
        .map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true))
        .serialize(serializer)
}

/// One link of an escalation: which group gave up on which child, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Path of the group that gave up.
    pub group: String,
    /// Path of the child it gave up on.
    pub child: String,
    /// Failures counted in the window.
    pub failures: usize,
    /// The window.
    pub within: Duration,
    /// Exit of the child that was one too many. An `Escalated` one is told by the next link.
    pub exit: Box<Exit>,
}

/// The whole chain of causes, outermost group first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// Never empty; the last one holds the exit that began it.
    pub causes: Vec<Cause>,
}

impl Escalation {
    pub(crate) fn new(cause: Cause) -> Self {
        let inner = match cause.exit.as_ref() {
            Exit::Escalated(inner) => inner.causes.clone(),
            _ => Vec::new(),
        };
        let mut causes = vec![cause];
        causes.extend(inner);
        Self { causes }
    }
}

impl fmt::Display for Escalation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, cause) in self.causes.iter().enumerate() {
            if position > 0 {
                f.write_str("; because ")?;
            }
            let Cause {
                group,
                child,
                failures,
                within,
                exit,
            } = cause;
            write!(
                f,
                "{group} gave up on {child}: {failures} failures within {within:?}"
            )?;
            if !matches!(**exit, Exit::Escalated(_)) {
                write!(f, ", the last: {exit}")?;
            }
        }
        Ok(())
    }
}

/// How the whole tree ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupExit {
    /// Orderly. `unclean` lists the paths that had to be killed or still had work.
    Shutdown {
        /// Paths, in the order they were stopped.
        unclean: Vec<String>,
    },
    /// The root gave up; what could be drained was drained.
    Escalated(Escalation),
}

impl GroupExit {
    /// The process exit status: 0 clean, 1 unclean, 70 escalated (`EX_SOFTWARE`).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Shutdown { unclean } if unclean.is_empty() => 0,
            Self::Shutdown { .. } => 1,
            Self::Escalated(_) => 70,
        }
    }
}
