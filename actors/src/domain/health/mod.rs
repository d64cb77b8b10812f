//! How components are: what a look at one finds, what is made of several looks, and what is remembered.
//!
//! - [`damping`]: from findings to a status that does not flicker.
//! - [`uplink`]: whether a provider or our own line is to blame.
//! - [`history`]: latency and availability over thirty days.
//!
//! Pure: the time is passed in. Who looks, and at what, is `tree/watch/health_prober`.

pub mod damping;
pub mod history;
pub mod uplink;

use std::str::FromStr;

use serde::Serialize;

/// How a component is, after damping.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Healthy,
    /// It works, and something is wrong with it.
    Degraded,
    Unhealthy,
    /// Nobody can say: not looked at yet, not lately, or not possible at present.
    #[default]
    Unknown,
}

impl Status {
    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it does its work.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Healthy | Self::Degraded)
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [
            Self::Healthy,
            Self::Degraded,
            Self::Unhealthy,
            Self::Unknown,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or(())
    }
}

/// What one look saw.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Seen {
    /// All is well.
    Up,
    /// It works, not as it should.
    Impaired,
    /// It does not work.
    Down,
    /// The look says nothing about the component.
    Nothing,
}

/// One look at a component.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub seen: Seen,
    /// How long the component took to answer, where that means something.
    pub latency_ms: Option<u64>,
    /// Stable name of what is wrong.
    pub code: Option<&'static str>,
    /// What is wrong, for people, without secrets.
    pub reason: Option<String>,
    /// When its certificate ends, microseconds since the Unix epoch.
    pub certificate_expires_at: Option<i64>,
    /// Nothing answered at all: our own line may be to blame.
    pub is_unreachable: bool,
}

impl Finding {
    /// A look that saw `seen` and nothing else.
    pub fn of(seen: Seen) -> Self {
        Self {
            seen,
            latency_ms: None,
            code: None,
            reason: None,
            certificate_expires_at: None,
            is_unreachable: false,
        }
    }

    /// All is well.
    pub fn up() -> Self {
        Self::of(Seen::Up)
    }

    /// The same, with why.
    pub fn because(self, code: &'static str, reason: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            reason: Some(reason.into()),
            ..self
        }
    }

    /// The same, with how long the answer took.
    pub fn after_ms(self, latency_ms: u64) -> Self {
        Self {
            latency_ms: Some(latency_ms),
            ..self
        }
    }

    /// Weighs it against the calls that used the component since the last look: what carries traffic is not down,
    /// and what fails its traffic is not well.
    pub fn weighed(mut self, traffic: Traffic) -> Self {
        const ENOUGH: u64 = 5;
        let calls = traffic.answered + traffic.failed;
        match self.seen {
            Seen::Down | Seen::Nothing if traffic.answered > traffic.failed => {
                self.seen = Seen::Impaired;
                self.is_unreachable = false;
                let said = self.reason.take().unwrap_or_default();
                self.reason = Some(format!("It answers calls, but not the check: {said}"));
            }
            Seen::Up if calls >= ENOUGH && traffic.failed * 2 > calls => {
                self.impaired_by("calls_failing", || {
                    format!(
                        "{} of {calls} calls since the last check failed.",
                        traffic.failed
                    )
                })
            }
            _ => {}
        }
        self
    }

    fn impaired_by(&mut self, code: &'static str, reason: impl FnOnce() -> String) {
        self.seen = Seen::Impaired;
        self.code = Some(code);
        self.reason = Some(reason());
    }
}

/// Calls that used a component.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    pub answered: u64,
    pub failed: u64,
}

impl Traffic {
    /// What came since `before`; both are sums since the process began.
    pub fn since(self, before: Self) -> Self {
        Self {
            answered: self.answered.saturating_sub(before.answered),
            failed: self.failed.saturating_sub(before.failed),
        }
    }
}

/// What kind of thing a component is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Database,
    Spool,
    Disk,
    Uplink,
    Account,
    Jwt,
    Group,
    Smtp,
    RemoteBackup,
    VectorStore,
    Scheduler,
}

/// Something that can be well or not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Component {
    /// Stable: `database`, `account:acc_…`, `group:ledger`.
    pub id: String,
    pub kind: Kind,
    /// For people: an account's own name, otherwise the id without its kind.
    pub name: String,
    /// When that one is down, this one has nothing to say.
    pub parent: Option<String>,
    /// Where a connection to it goes, `host:port`, when it is reached over our own line to the outside.
    pub outside: Option<String>,
    /// Of an account: its key.
    pub account_id: Option<i64>,
    /// Changes whenever what is known of it no longer counts, as after an operator's edit.
    pub version: i64,
}

impl Component {
    /// A part of the process itself.
    pub fn own(id: impl Into<String>, kind: Kind) -> Self {
        let id = id.into();
        Self {
            name: id
                .split_once(':')
                .map_or(id.as_str(), |(_, name)| name)
                .to_owned(),
            id,
            kind,
            parent: None,
            outside: None,
            account_id: None,
            version: 0,
        }
    }

    /// The same below another component.
    pub fn below(self, parent: &str) -> Self {
        Self {
            parent: Some(parent.to_owned()),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_speaks_for_and_against_a_component() {
        let traffic = |answered, failed| Traffic { answered, failed };
        let down = || Finding {
            is_unreachable: true,
            ..Finding::of(Seen::Down).because("upstream_timeout", "no answer within 10 s")
        };
        let carried = down().weighed(traffic(3, 0));
        assert_eq!(
            (carried.seen, carried.is_unreachable),
            (Seen::Impaired, false)
        );
        assert_eq!(
            carried.reason.as_deref(),
            Some("It answers calls, but not the check: no answer within 10 s")
        );
        assert_eq!(down().weighed(traffic(0, 0)), down());
        assert_eq!(down().weighed(traffic(1, 9)), down());
        let failing = Finding::up().after_ms(12).weighed(traffic(2, 4));
        assert_eq!(
            (failing.seen, failing.code),
            (Seen::Impaired, Some("calls_failing"))
        );
        assert_eq!(failing.latency_ms, Some(12));
        // Too few to say anything, or as many good as bad.
        for good in [traffic(0, 4), traffic(5, 5), traffic(100, 0)] {
            assert_eq!(Finding::up().weighed(good), Finding::up());
        }
        assert_eq!(traffic(9, 4).since(traffic(2, 4)), traffic(7, 0));
    }
}
