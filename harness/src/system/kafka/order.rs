//! Puts the delivery reports of a partition into the order in which its records were sent.
//!
//! The client reports in that order as long as nothing fails. A record that times out in the client's queue is reported before
//! an earlier one that is still in flight.

use rdkafka::error::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::time::Instant;

/// The outcome of records of one partition that were sent one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    /// Position of the first record among those sent to the partition, from 0.
    pub(super) first: u64,
    /// Number of records.
    pub(super) count: u32,
    /// Bytes of keys and values.
    pub(super) bytes: u64,
    /// Offset of the first record; `None` if the broker did not say, as after a retry whose first try had arrived.
    pub(super) offset: Option<u64>,
    /// The time at which the client had the last of these outcomes.
    pub(super) at: Instant,
    /// The reason why the records failed; `None` if they were acked.
    pub(super) error: Option<RDKafkaErrorCode>,
}

impl Report {
    /// Whether `next` continues this report: the record after the last one, with the next offset and the same outcome.
    pub(super) fn is_continued_by(&self, next: &Self) -> bool {
        let offset = self.offset.map(|offset| offset + u64::from(self.count));
        next.first == self.first + u64::from(self.count) && next.error == self.error && next.offset == offset
    }

    /// Adds the records of `next`, which continues this report.
    pub(super) fn extend(&mut self, next: &Self) {
        self.count += next.count;
        self.bytes += next.bytes;
        self.at = next.at;
    }
}

/// The reports of one partition.
#[derive(Debug, Default)]
pub(super) struct InOrder {
    /// Position of the next record to report.
    next: u64,
    /// Reports that came before those of earlier records, by their first record.
    early: BTreeMap<u64, Report>,
}

impl InOrder {
    /// Takes a report, and passes on those whose turn it is.
    pub(super) fn accept(&mut self, report: Report, pass_on: &mut impl FnMut(Report)) {
        if report.first != self.next {
            self.early.insert(report.first, report);
            return;
        }
        let mut now = Some(report);
        while let Some(report) = now {
            self.next += u64::from(report.count);
            pass_on(report);
            now = self.early.remove(&self.next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(first: u64, count: u32, offset: Option<u64>) -> Report {
        Report { first, count, bytes: u64::from(count) * 10, offset, at: Instant::now(), error: None }
    }

    #[test]
    fn a_report_that_is_early_waits_for_those_before_it() {
        let mut order = InOrder::default();
        let mut seen = Vec::new();
        for early in
            [report(5, 1, Some(5)), report(2, 3, Some(2)), report(0, 2, Some(0)), report(6, 1, Some(6))]
        {
            order.accept(early, &mut |report| seen.push((report.first, report.count)));
        }
        assert_eq!(seen, [(0, 2), (2, 3), (5, 1), (6, 1)]);
        assert!(order.early.is_empty());
    }

    #[test]
    fn only_neighbours_with_the_same_outcome_become_one_report() {
        let mut first = report(0, 2, Some(7));
        assert!(first.is_continued_by(&report(2, 1, Some(9))));
        assert!(!first.is_continued_by(&report(3, 1, Some(9))), "a record is missing between them");
        assert!(
            !first.is_continued_by(&report(2, 1, Some(12))),
            "records of another producer lie between them"
        );
        let failed = Report { error: Some(RDKafkaErrorCode::MessageTimedOut), ..report(2, 1, Some(9)) };
        assert!(!first.is_continued_by(&failed));
        first.extend(&report(2, 1, Some(9)));
        assert_eq!((first.count, first.bytes, first.offset), (3, 30, Some(7)));
    }
}
