//! The errors of records, counted by their kind.

use crate::result::{ErrorFigures, ErrorKind};
use crate::time::timeline::Timeline;
use std::collections::BTreeMap;

/// The records that failed with one kind of error.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counted {
    records: u64,
    /// Time of the first error, ns on the trial's clock.
    first_ns: u64,
    /// Time of the last error, ns on the trial's clock.
    last_ns: u64,
    /// The first error in words.
    example: String,
}

/// The records that failed, by the kind of their error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorCounts(BTreeMap<ErrorKind, Counted>);

impl ErrorCounts {
    /// Counts `records` records that failed at `now_ns`. The message is kept if it is the first of its kind.
    pub fn add(&mut self, kind: ErrorKind, records: u64, now_ns: u64, message: &str) {
        let counted = self.0.entry(kind).or_insert_with(|| Counted {
            records: 0,
            first_ns: now_ns,
            last_ns: now_ns,
            example: message.to_owned(),
        });
        counted.records += records;
        counted.last_ns = counted.last_ns.max(now_ns);
    }

    /// Adds the counts of another thread.
    pub fn merge(&mut self, other: Self) {
        for (kind, theirs) in other.0 {
            let Some(own) = self.0.get_mut(&kind) else {
                self.0.insert(kind, theirs);
                continue;
            };
            own.records += theirs.records;
            own.last_ns = own.last_ns.max(theirs.last_ns);
            if theirs.first_ns < own.first_ns {
                (own.first_ns, own.example) = (theirs.first_ns, theirs.example);
            }
        }
    }

    /// Returns the counts on the time axis of the result, the most frequent kind first.
    pub fn figures(&self, timeline: &Timeline) -> Vec<ErrorFigures> {
        let figures = self.0.iter().map(|(kind, counted)| ErrorFigures {
            kind: *kind,
            records: counted.records,
            first_s: timeline.seconds_of(counted.first_ns),
            last_s: timeline.seconds_of(counted.last_ns),
            example: counted.example.clone(),
        });
        let mut figures: Vec<_> = figures.collect();
        figures.sort_by_key(|it| (std::cmp::Reverse(it.records), it.kind));
        figures
    }

    /// Returns the number of all records that failed.
    pub fn records(&self) -> u64 {
        self.0.values().map(|counted| counted.records).sum()
    }

    /// Returns whether no record failed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn errors_are_counted_by_kind_and_the_first_of_all_threads_is_quoted() {
        let (mut one, mut other) = (ErrorCounts::default(), ErrorCounts::default());
        one.add(ErrorKind::NoSpace, 3, 7_000_000_000, "late");
        one.add(ErrorKind::NoSpace, 4, 9_000_000_000, "later");
        other.add(ErrorKind::NoSpace, 1, 500_000_000, "first");
        other.add(ErrorKind::TimedOut, 20, 8_000_000_000, "slow");
        one.merge(other);
        assert_eq!((one.records(), one.is_empty()), (28, false));
        let s = Duration::from_secs;
        let figures = one.figures(&Timeline::new(s(1), s(10), s(1), s(1)));
        let found: Vec<_> =
            figures.iter().map(|it| (it.kind, it.records, it.first_s, it.last_s, &*it.example)).collect();
        assert_eq!(
            found,
            [(ErrorKind::TimedOut, 20, 7.0, 7.0, "slow"), (ErrorKind::NoSpace, 8, -0.5, 8.0, "first")]
        );
    }
}
