//! Checks that every acked record was consumed: once, in order, and unchanged.
//!
//! Each producer numbers its records in each partition from 0. So a consumer knows the next number without asking
//! anyone. At the end of a trial, the records that producers report as acked are compared with the records that
//! consumers saw.

use crate::measure::ledger::{ConsumedPartition, ProducedPartition};
use std::ops::Range;

/// The result of the check on a trial's records. All counts except `checked` should be 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Integrity {
    /// Number of records consumed and checked, of all groups together.
    pub checked: u64,
    /// Number of acked records that are missing in a group that read to the end of the log.
    pub gaps: u64,
    /// Number of records that a group saw again.
    pub duplicates: u64,
    /// Number of records that a group saw after a later one of the same producer and partition.
    pub reorders: u64,
    /// Number of records whose bytes differ from those that were sent.
    pub corruptions: u64,
    /// Number of records that a new owner of a partition read again.
    pub redelivered: u64,
    /// Number of acked records before the position of an owner that no member has read.
    pub skipped: u64,
    /// Number of records that two owners of one generation have read.
    pub double_owned: u64,
    /// Number of acked records that a group had not read when the drain ended. They were read too slowly, but are not
    /// lost.
    pub undrained: u64,
    /// Number of records that retention deleted before a group read them. The group was slow; the log did not lose
    /// them.
    pub lost_to_retention: u64,
    /// Number of records in an existing topic that others wrote. They are not among the checked ones.
    pub foreign: u64,
}

impl Integrity {
    /// Returns whether records were lost, repeated, reordered, corrupted, skipped or read by two owners.
    pub fn is_violated(&self) -> bool {
        let of_groups = self.skipped + self.double_owned;
        self.gaps + self.duplicates + self.reorders + self.corruptions + of_groups > 0
    }
}

/// Compares the acked records with the consumed ones.
pub fn judge(produced: &[ProducedPartition], consumed: &[ConsumedPartition]) -> Integrity {
    let mut integrity = Integrity::default();
    for seen in consumed {
        integrity.checked += seen.checked;
        integrity.corruptions += seen.corruptions;
        integrity.foreign += seen.foreign;
        let of_partition =
            || produced.iter().filter(|p| p.topic == seen.topic && p.partition == seen.partition);
        let end_offset = of_partition().map(|p| p.end_offset).max().unwrap_or(0);
        let mut lost = 0;
        for sent in of_partition() {
            let Some(track) = seen.tracks.get(crate::num::index(sent.producer)) else { continue };
            integrity.duplicates += track.duplicates();
            integrity.reorders += track.reorders();
            integrity.redelivered += track.redelivered();
            integrity.double_owned += track.double_owned();
            lost += track.lost();
            let acked = |ranges: &[Range<u64>]| {
                ranges.iter().map(|range| count_outside(range, &sent.failed, sent.answered)).sum::<u64>()
            };
            integrity.gaps += acked(track.missing());
            integrity.skipped += acked(track.skipped_ranges());
            let tail = count_outside(&(track.expected()..sent.answered), &sent.failed, sent.answered);
            // A consumer at the end of the log will not see a record that is still missing.
            let count = match seen.position >= end_offset {
                true if track.has_skipped() => &mut lost,
                true if track.has_jumped() => &mut integrity.skipped,
                true => &mut integrity.gaps,
                false => &mut integrity.undrained,
            };
            *count += tail;
        }
        // At most as many records as the system reported to be deleted. If more are missing, the others were lost.
        let deleted = lost.min(seen.skipped);
        integrity.lost_to_retention += deleted;
        integrity.gaps += lost - deleted;
    }
    integrity
}

/// Returns how many numbers of `range` are below `end` and in none of `holes`, which are ascending and do not overlap.
fn count_outside(range: &Range<u64>, holes: &[Range<u64>], end: u64) -> u64 {
    let range = range.start..range.end.min(end);
    let held = |hole: &Range<u64>| range.end.min(hole.end).saturating_sub(range.start.max(hole.start));
    range.end.saturating_sub(range.start) - holes.iter().map(held).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::ledger::SequenceTrack;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn trial(sequences: &[u64], answered: u64, position: u64) -> Integrity {
        let mut track = SequenceTrack::default();
        sequences.iter().for_each(|s| track.observe(*s, 0));
        let sent = ProducedPartition { answered, sent: answered, end_offset: answered, ..Default::default() };
        let seen = ConsumedPartition { position, tracks: vec![track], ..Default::default() };
        judge(&[sent], &[seen])
    }

    proptest! {
        #[test]
        fn every_record_is_seen_repeated_or_missing(sequences in prop::collection::vec(0u64..30, 0..60)) {
            let integrity = trial(&sequences, 30, 30);
            let distinct: BTreeSet<u64> = sequences.iter().copied().collect();
            prop_assert_eq!(integrity.gaps, 30 - distinct.len() as u64);
            prop_assert_eq!(integrity.duplicates, (sequences.len() - distinct.len()) as u64);
        }
    }

    #[test]
    fn in_order_and_complete_is_clean() {
        let integrity = trial(&[0, 1, 2, 3], 4, 4);
        assert!(!integrity.is_violated());
        assert_eq!(integrity.undrained, 0);
    }

    #[test]
    fn a_record_that_comes_late_is_a_reorder_and_no_gap() {
        let integrity = trial(&[0, 2, 1, 3], 4, 4);
        assert_eq!((integrity.reorders, integrity.gaps, integrity.duplicates), (1, 0, 0));
    }

    #[test]
    fn a_record_that_comes_twice_is_a_duplicate() {
        assert_eq!(trial(&[0, 1, 1, 2], 3, 3).duplicates, 1);
    }

    #[test]
    fn records_that_a_slow_group_has_not_read_are_undrained_and_no_gap() {
        let integrity = trial(&[0, 1], 5, 2);
        assert_eq!((integrity.undrained, integrity.gaps), (3, 0));
        assert!(!integrity.is_violated());
    }

    #[test]
    fn records_deleted_by_retention_are_no_gap_but_later_missing_ones_are() {
        let mut track = SequenceTrack::default();
        [0, 1].iter().for_each(|s| track.observe(*s, 0));
        track.skipped();
        [10, 11, 13].iter().for_each(|s| track.observe(*s, 0));
        let sent = ProducedPartition { answered: 14, sent: 14, end_offset: 14, ..Default::default() };
        for (skipped, found) in [(8, (8, 1)), (5, (5, 4))] {
            let tracks = vec![track.clone()];
            let seen = ConsumedPartition { position: 14, skipped, tracks, ..Default::default() };
            let integrity = judge(std::slice::from_ref(&sent), &[seen]);
            assert_eq!(
                (integrity.lost_to_retention, integrity.gaps),
                found,
                "{skipped} records are reported as deleted"
            );
        }
    }

    #[test]
    fn a_record_missing_at_the_end_of_the_log_is_a_gap() {
        let integrity = trial(&[0, 1], 5, 5);
        assert_eq!((integrity.undrained, integrity.gaps), (0, 3));
    }

    #[test]
    fn a_record_that_was_never_acked_may_be_missing() {
        let mut track = SequenceTrack::default();
        [0, 1, 4].iter().for_each(|s| track.observe(*s, 0));
        let sent = ProducedPartition {
            answered: 5,
            sent: 9,
            end_offset: 3,
            failed: std::iter::once(2..4).collect(),
            ..Default::default()
        };
        let seen = ConsumedPartition { position: 3, tracks: vec![track], ..Default::default() };
        assert!(!judge(&[sent], &[seen]).is_violated());
    }

    #[test]
    fn two_groups_are_judged_separately() {
        let whole = |position| {
            let mut track = SequenceTrack::default();
            (0..position).for_each(|s| track.observe(s, 0));
            ConsumedPartition { position, checked: position, tracks: vec![track], ..Default::default() }
        };
        let sent = ProducedPartition { answered: 4, sent: 4, end_offset: 4, ..Default::default() };
        let integrity = judge(&[sent], &[whole(4), whole(1)]);
        assert_eq!((integrity.checked, integrity.undrained, integrity.gaps), (5, 3, 0));
    }
}
