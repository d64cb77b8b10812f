//! What can be subscribed to: the list. A new topic is one line here and one in the front's list of permissions.

/// How a topic's messages relate to each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Each message tells all there is; only the newest matters. A new subscriber gets it at once.
    State,
    /// Each message tells something new; the latest are kept for whoever was away.
    Events,
}

macro_rules! topics {
    ($($topic:ident $kind:ident $name:literal: $doc:literal;)*) => {
        /// Something to subscribe to.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u8)]
        pub enum Topic {
            $(#[doc = $doc] $topic,)*
        }

        impl Topic {
            /// Every topic; states stand before events, so that a narrow line carries them first.
            pub const ALL: &'static [Self] = &[$(Self::$topic,)*];

            /// As spelt by clients.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$topic => $name,)* }
            }

            /// How its messages relate.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$topic => Kind::$kind,)* }
            }
        }
    };
}

topics! {
    Stats State "stats": "Live numbers: calls in flight, rates, today's totals.";
    Health State "health": "What the circuit breakers think of the accounts, and how the components are.";
    Supervision State "supervision": "The tree of actors and the books' balance.";
    Alerts Events "alerts": "Incidents that begin, change and end.";
    Jobs Events "jobs": "Jobs that were queued, got on or ended.";
    Requests Events "requests": "Calls that came onto the books.";
    LogsError Events "logs:ERROR": "The process's own log: errors.";
    LogsWarn Events "logs:WARN": "The process's own log: warnings and worse.";
    LogsInfo Events "logs:INFO": "The process's own log: information and worse.";
    LogsDebug Events "logs:DEBUG": "The process's own log: everything but traces.";
    LogsTrace Events "logs:TRACE": "The process's own log: everything.";
}

impl Topic {
    /// Reads a client's spelling.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|topic| topic.name() == name)
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_states_come_first() {
        for topic in Topic::ALL {
            assert_eq!(Topic::parse(topic.name()), Some(*topic));
        }
        assert_eq!(Topic::parse("logs:warn"), None);
        assert!(
            Topic::ALL
                .windows(2)
                .all(|pair| pair[0].kind() == Kind::State || pair[1].kind() == Kind::Events)
        );
        assert!(
            Topic::ALL
                .iter()
                .enumerate()
                .all(|(n, topic)| topic.index() == n)
        );
    }
}
