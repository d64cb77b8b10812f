//! What must not go although it is old enough: months that are to be archived and are not yet, and months that somebody
//! brought back from the archive to look at.
//!
//! Pure: the archive's list in, stretches of record ids out.

use std::collections::BTreeMap;

use crate::contents::store::Month;

/// A month in the archive.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Archived {
    /// All that is here of it is in its files.
    pub is_whole: bool,
    /// Until when it stays, as it was brought back (0: it was not).
    pub kept_until: i64,
}

/// What the archive has to say about one kind of data.
#[derive(Clone, Debug, Default)]
pub struct Holds {
    /// Only months in the archive may go, each when all of it is there.
    pub archives: bool,
    pub archived: BTreeMap<Month, Archived>,
}

impl Holds {
    /// Of the record ids from the month of `oldest` up to `cutoff`, those that may go at `now_micros`; rising.
    pub fn free(&self, oldest: i64, cutoff: i64, now_micros: i64) -> Vec<(i64, i64)> {
        let mut free: Vec<(i64, i64)> = Vec::new();
        if oldest >= cutoff {
            return free;
        }
        let mut month = Month::of(oldest);
        while month.from() < cutoff {
            let stretch = (month.from(), month.to().min(cutoff));
            let held = match self.archived.get(&month) {
                Some(month) => month.kept_until > now_micros || (self.archives && !month.is_whole),
                None => self.archives,
            };
            if !held {
                match free.last_mut() {
                    Some(last) if last.1 == stretch.0 => last.1 = stretch.1,
                    _ => free.push(stretch),
                }
            }
            month = month.next();
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rid::Rid;

    fn month(text: &str) -> Month {
        Month::parse(text).unwrap()
    }

    /// 2026-03-15T18:30:00Z.
    const NOW: i64 = 1_773_599_400_000_000;

    #[test]
    fn without_an_archive_everything_old_goes() {
        let cutoff = Rid::floor_of_ms(NOW / 1_000).0;
        let holds = Holds::default();
        let november = month("2025-11").from();
        assert_eq!(holds.free(november + 5, cutoff, NOW), [(november, cutoff)]);
        assert_eq!(holds.free(cutoff, cutoff, NOW), []);
    }

    const WHOLE: Archived = Archived {
        is_whole: true,
        kept_until: 0,
    };

    #[test]
    fn a_month_that_is_to_be_archived_stays_until_all_of_it_is() {
        let cutoff = month("2026-02").from() + 99;
        let (december, january) = (month("2025-12"), month("2026-01"));
        let holds = |archived: &[(Month, Archived)]| Holds {
            archives: true,
            archived: archived.iter().copied().collect(),
        };
        let oldest = december.from();
        assert_eq!(holds(&[]).free(oldest, cutoff, NOW), []);
        assert_eq!(
            holds(&[(december, WHOLE)]).free(oldest, cutoff, NOW),
            [(december.from(), december.to())]
        );
        // A gap in the archive is a gap in what goes.
        assert_eq!(
            holds(&[(january, WHOLE)]).free(oldest, cutoff, NOW),
            [(january.from(), january.to())]
        );
        // So is a month for which something came late, as long as somebody archives.
        let mut late = holds(&[(december, Archived::default()), (january, WHOLE)]);
        assert_eq!(
            late.free(oldest, cutoff, NOW),
            [(january.from(), january.to())]
        );
        late.archives = false;
        assert_eq!(late.free(oldest, cutoff, NOW), [(oldest, cutoff)]);
    }

    #[test]
    fn what_was_brought_back_stays_for_its_time_whether_or_not_it_archives() {
        let (december, january) = (month("2025-12"), month("2026-01"));
        let back = Archived {
            kept_until: NOW + 1,
            ..WHOLE
        };
        let holds = Holds {
            archives: false,
            archived: [(december, back), (january, WHOLE)].into(),
        };
        let range = (december.from(), january.to());
        assert_eq!(
            holds.free(range.0, range.1, NOW),
            [(january.from(), january.to())]
        );
        assert_eq!(holds.free(range.0, range.1, NOW + 1), [range]);
    }
}
