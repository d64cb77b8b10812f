//! Whether a provider does not answer, or we do not reach anybody.
//!
//! When nothing outside answers, providers are not blamed: the line is. One host alone cannot tell the two apart; then,
//! and whenever they are configured, addresses that stand for the outside are asked, and their word is final.

use super::Seen;

/// The latest look at one component that is reached over our line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glimpse<'a> {
    /// `host:port`.
    pub host: &'a str,
    /// Something answered, whatever it said.
    pub is_reached: bool,
    /// Microseconds since the Unix epoch.
    pub at: i64,
}

/// How our own line is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Uplink {
    Up,
    /// Nothing outside answers.
    Down,
    /// Nothing outside was asked lately.
    Unknown,
}

impl Uplink {
    /// As a look at the line.
    pub const fn seen(self) -> Seen {
        match self {
            Self::Up => Seen::Up,
            Self::Down => Seen::Down,
            Self::Unknown => Seen::Nothing,
        }
    }
}

/// Judges by the looks of the last `within_micros`, and by what the configured addresses said, if they were asked.
pub fn judge(
    glimpses: &[Glimpse<'_>],
    outposts: Option<bool>,
    now_micros: i64,
    within_micros: i64,
) -> Uplink {
    let fresh: Vec<&Glimpse<'_>> = glimpses
        .iter()
        .filter(|glimpse| now_micros.saturating_sub(glimpse.at) <= within_micros)
        .collect();
    if fresh.iter().any(|glimpse| glimpse.is_reached) {
        return Uplink::Up;
    }
    match outposts {
        Some(true) => return Uplink::Up,
        Some(false) => return Uplink::Down,
        None => {}
    }
    let mut hosts: Vec<&str> = fresh.iter().map(|glimpse| glimpse.host).collect();
    hosts.sort_unstable();
    hosts.dedup();
    match hosts.len() {
        0 | 1 => Uplink::Unknown,
        _ => Uplink::Down,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn at(host: &str, is_reached: bool, minutes_ago: i64) -> Glimpse<'_> {
        Glimpse {
            host,
            is_reached,
            at: 100 * MINUTE - minutes_ago * MINUTE,
        }
    }

    fn judged(glimpses: &[Glimpse<'_>], outposts: Option<bool>) -> Uplink {
        judge(glimpses, outposts, 100 * MINUTE, 2 * MINUTE)
    }

    #[test]
    fn a_dead_line_is_told_from_a_dead_provider() {
        let (a, b) = ("api.a.com:443", "api.b.com:443");
        let all_dead = [at(a, false, 0), at(b, false, 1)];
        assert_eq!(judged(&all_dead, None), Uplink::Down);
        assert_eq!(judged(&[at(a, false, 0), at(b, true, 1)], None), Uplink::Up);
        // What was reached long ago says nothing of now.
        assert_eq!(
            judged(
                &[at(a, false, 0), at(b, false, 1), at("c:1", true, 3)],
                None
            ),
            Uplink::Down
        );
        // One provider, with as many accounts as it likes, is no evidence against the line.
        assert_eq!(
            judged(&[at(a, false, 0), at(a, false, 1)], None),
            Uplink::Unknown
        );
        assert_eq!(judged(&[], None), Uplink::Unknown);
        // Configured addresses settle it.
        assert_eq!(judged(&[at(a, false, 0)], Some(false)), Uplink::Down);
        assert_eq!(judged(&all_dead, Some(true)), Uplink::Up);
        assert_eq!(judged(&[at(a, true, 0)], Some(false)), Uplink::Up);
    }

    proptest! {
        #[test]
        fn whoever_was_reached_lately_proves_the_line(
            looks in prop::collection::vec((0u8..5, any::<bool>(), 0i64..10), 0..12), outposts: Option<bool>) {
            let names = ["a:1", "b:1", "c:1", "d:1", "e:1"];
            let glimpses: Vec<_> = looks.iter().map(|(host, reached, ago)| at(names[usize::from(*host)], *reached, *ago)).collect();
            let reached = looks.iter().any(|(_, reached, ago)| *reached && *ago <= 2);
            let verdict = judged(&glimpses, outposts);
            prop_assert_eq!(verdict == Uplink::Up, reached || outposts == Some(true));
            if verdict == Uplink::Down {
                prop_assert!(looks.iter().all(|(_, reached, ago)| !*reached || *ago > 2));
            }
        }
    }
}
