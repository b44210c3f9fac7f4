//! The rules of recovery: they decide where a log ends, and whether it is damaged. Pure; an open and `verify` use the
//! same rules.
//!
//! All unsealed segments of a partition are examined first, and judged together. Only then does an open change
//! anything. Two facts about the writer decide:
//!
//! - No write to a segment begins before every write to the segment before it has completed.
//! - Bytes of one log in flight lie at most [`Losses::InFlight::reach_bytes`] behind the first byte that is missing.

use super::checkpoint::Checkpoint;
use crate::config::BATCH_BYTES_MAX;
use crate::error::CorruptionKind;
use crate::segment::ScanEnd;
use crate::types::Durability;

/// The writes that a crash can have taken from a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Losses {
    /// Only writes in flight: the process ended, or each completed write was durable.
    InFlight {
        /// Largest distance behind a gap at which bytes that were in flight can lie, or the rest of an old batch.
        reach_bytes: u64,
    },
    /// Any write: the machine went down while the log was not a synced one, or nothing is known of the crash.
    Any,
}

impl Losses {
    /// The losses that are possible by a partition's last checkpoint. `synced_after` is the last epoch in which the
    /// topic was not a synced one.
    pub(crate) fn of(
        checkpoint: Option<&Checkpoint>,
        durability: Option<Durability>,
        synced_after: i32,
        boot_id: u64,
    ) -> Self {
        let Some(checkpoint) = checkpoint else { return Self::Any };
        let is_synced = durability == Some(Durability::Synced) && checkpoint.epoch > synced_after;
        if is_synced || checkpoint.boot_id == boot_id { Self::in_flight(checkpoint) } else { Self::Any }
    }

    /// The losses of a log that an earlier open found damaged, and that was not written since. Only the writes in
    /// flight before that open can be lost. A reboot since then does not matter.
    pub(crate) fn of_damaged(checkpoint: Option<&Checkpoint>) -> Self {
        checkpoint.map_or(Self::Any, Self::in_flight)
    }

    fn in_flight(checkpoint: &Checkpoint) -> Self {
        // The rest of an old batch, whose head was overwritten, may lie behind all bytes that were in flight.
        let reach_bytes = checkpoint.in_flight_bytes_max.saturating_add(BATCH_BYTES_MAX as u64);
        Self::InFlight { reach_bytes }
    }
}

/// The offset that a log has to reach. Every record below `durable_to` is known to have been durable, and every record
/// below the log's start was written before the start was raised to it.
pub(crate) fn required_end(losses: Losses, log_start_offset: i64, durable_to: i64) -> i64 {
    match losses {
        Losses::InFlight { .. } => durable_to.max(log_start_offset),
        Losses::Any => durable_to,
    }
}

/// An unsealed segment, read batch by batch up to the first byte that is no batch of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Examined {
    /// Base offset in the file's name.
    pub(crate) base_offset: i64,
    /// Offset after the last valid batch.
    pub(crate) next_offset: i64,
    /// Bytes of valid batches from the start of the file.
    pub(crate) valid_bytes: u64,
    /// The reason why the valid batches end.
    pub(crate) end: ScanEnd,
    /// Whether the segment was certainly sealed at some time. Then it was whole and durable.
    pub(crate) was_sealed: bool,
}

/// The decision about the unsealed segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The log ends with the last of the first `kept` segments. Everything behind was never acked, or could be lost.
    End { kept: usize },
    /// The log ends there too, unless a search finds a batch of the log behind `from` in the last of the kept segments.
    EndUnlessFound { kept: usize, from: u64 },
    /// Bytes are missing that no crash can have lost.
    Damage(Damage),
}

/// The damage of a log, and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Base offset of the segment that is damaged or missing.
    pub(crate) segment: i64,
    /// Byte of the segment's file at which the damage begins.
    pub(crate) position: u64,
    /// The first offset that cannot be read.
    pub(crate) offset: i64,
    /// The kind of the damage.
    pub(crate) kind: CorruptionKind,
}

/// Judges unsealed segments, in the order of their base offsets. The log is known to be whole below `start`, its recovery
/// offset, and to have reached `durable_to` ([`required_end`]).
pub(crate) fn judge(start: i64, segments: &[Examined], losses: Losses, durable_to: i64) -> Verdict {
    let kept = chain_length(start, segments);
    let last = segments[..kept].last();
    let end = last.map_or(start, |last| last.next_offset);
    if let Some(Examined { end: ScanEnd::Invalid(kind @ CorruptionKind::EpochAhead { .. }), .. }) = last {
        // A batch follows that is whole and right but for its epoch. No crash writes a batch before the catalog has its epoch.
        return Verdict::Damage(Damage { kind: kind.clone(), ..damage(start, last, end) });
    }
    let behind = segments[kept..].iter().find(|segment| segment.valid_bytes > 0);
    // A sealed segment that ends with a whole batch lacks no bytes. The segment behind it may have lost its name in a
    // power loss.
    let lacks_bytes = |last: &Examined| last.was_sealed && last.end != ScanEnd::Whole;
    let was_whole = matches!(losses, Losses::InFlight { .. }) || last.is_some_and(lacks_bytes);
    if let Some(found) = behind.filter(|_| was_whole) {
        return Verdict::Damage(damage(start, last, found.base_offset));
    }
    if end < durable_to {
        return Verdict::Damage(damage(start, last, durable_to));
    }
    match (losses, last) {
        (Losses::InFlight { reach_bytes }, Some(last)) if last.end != ScanEnd::Whole => {
            Verdict::EndUnlessFound { kept, from: last.valid_bytes.saturating_add(reach_bytes) }
        }
        _ => Verdict::End { kept },
    }
}

/// The damage in `segment`, where a search found a batch of offset `found` behind a gap.
pub(crate) fn damage_before(segment: &Examined, found: i64) -> Damage {
    damage(segment.base_offset, Some(segment), found)
}

/// Number of segments that follow each other without a gap, from offset `start` on.
fn chain_length(start: i64, segments: &[Examined]) -> usize {
    let mut next = start;
    let follows = |segment: &&Examined| {
        let follows = segment.base_offset == next;
        next = segment.next_offset;
        follows
    };
    segments.iter().take_while(follows).count()
}

/// The damage of a log whose first segments are missing.
pub(crate) const fn missing(from: i64, to: i64) -> Damage {
    let kind = CorruptionKind::SegmentMissing { from, to };
    Damage { segment: from, position: 0, offset: from, kind }
}

fn damage(start: i64, last: Option<&Examined>, found: i64) -> Damage {
    let Some(last) = last else { return missing(start, found) };
    let expected = last.next_offset;
    let kind = match &last.end {
        ScanEnd::Whole => CorruptionKind::EndsEarly { expected, found },
        ScanEnd::Invalid(_) => CorruptionKind::DamagedBeforeValid { expected, found },
    };
    Damage { segment: last.base_offset, position: last.valid_bytes, offset: expected, kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::BatchError;

    const KILLED: Losses = Losses::InFlight { reach_bytes: 100 };

    /// A segment in which each record takes one byte.
    fn segment(base_offset: i64, valid_bytes: u64, end: ScanEnd) -> Examined {
        let next_offset = base_offset + i64::try_from(valid_bytes).unwrap();
        Examined { base_offset, next_offset, valid_bytes, end, was_sealed: false }
    }

    fn torn() -> ScanEnd {
        ScanEnd::Invalid(BatchError::BadMagic { magic: 0 }.into())
    }

    #[test]
    fn a_gap_in_the_last_segment_is_the_end_unless_a_batch_lies_too_far_behind_it() {
        let segments = [segment(10, 20, torn()), segment(30, 5, torn())];
        assert_eq!(judge(10, &segments, KILLED, 0), Verdict::EndUnlessFound { kept: 2, from: 105 });
        assert_eq!(judge(10, &segments, Losses::Any, 0), Verdict::End { kept: 2 });
        let whole = [segment(10, 20, torn()), segment(30, 5, ScanEnd::Whole)];
        assert_eq!(judge(10, &whole, KILLED, 0), Verdict::End { kept: 2 });
    }

    #[test]
    fn a_batch_of_an_epoch_that_the_catalog_does_not_know_is_damage_whatever_the_crash() {
        let ahead = CorruptionKind::EpochAhead { found: 9, newest: 5 };
        for (valid_bytes, losses) in [(0, Losses::Any), (20, Losses::Any), (20, KILLED)] {
            let segments =
                [segment(10, valid_bytes, ScanEnd::Invalid(ahead.clone())), segment(50, 5, torn())];
            let Verdict::Damage(damage) = judge(10, &segments, losses, i64::MIN) else {
                panic!("{losses:?}")
            };
            assert_eq!((damage.segment, damage.position, damage.kind), (10, valid_bytes, ahead.clone()));
        }
    }

    #[test]
    fn batches_in_a_segment_show_that_the_one_before_was_complete() {
        for end in [torn(), ScanEnd::Whole] {
            let segments = [segment(10, 19, end), segment(30, 5, torn())];
            let Verdict::Damage(damage) = judge(10, &segments, KILLED, 0) else { panic!("a gap") };
            assert_eq!((damage.segment, damage.position, damage.offset), (10, 19, 29));
            assert_eq!(judge(10, &segments, Losses::Any, 0), Verdict::End { kept: 1 });
        }
        let empty = [segment(10, 19, ScanEnd::Whole), segment(30, 0, torn())];
        assert_eq!(judge(10, &empty, KILLED, 0), Verdict::End { kept: 1 });
    }

    #[test]
    fn a_power_loss_can_take_the_name_of_a_segment_behind_a_sealed_one() {
        let whole = Examined {
            base_offset: 78,
            next_offset: 107,
            valid_bytes: 9_000,
            end: ScanEnd::Whole,
            was_sealed: true,
        };
        let later = Examined { base_offset: 111, next_offset: 114, was_sealed: false, ..whole.clone() };
        let segments = [whole, later];
        assert_eq!(judge(78, &segments, Losses::Any, i64::MIN), Verdict::End { kept: 1 });
        let in_flight = Losses::InFlight { reach_bytes: 1 << 20 };
        assert!(matches!(judge(78, &segments, in_flight, i64::MIN), Verdict::Damage(_)));
    }

    #[test]
    fn a_segment_that_was_sealed_cannot_end_early_whatever_is_known_of_the_crash() {
        let mut segments = [segment(10, 19, torn()), segment(30, 5, torn())];
        segments[0].was_sealed = true;
        assert!(matches!(judge(10, &segments, Losses::Any, 0), Verdict::Damage(_)));
    }

    #[test]
    fn a_missing_first_segment_is_damage_where_those_behind_it_hold_batches() {
        let segments = [segment(30, 5, torn())];
        let Verdict::Damage(damage) = judge(10, &segments, KILLED, 0) else { panic!("a gap") };
        assert_eq!(damage.kind, CorruptionKind::SegmentMissing { from: 10, to: 30 });
        assert_eq!(judge(10, &[], KILLED, 0), Verdict::End { kept: 0 });
    }

    #[test]
    fn a_log_reaches_its_start_unless_a_crash_can_have_taken_written_records() {
        let segments = [segment(10, 20, torn())];
        for (losses, is_damage) in [(KILLED, true), (Losses::Any, false)] {
            let required = required_end(losses, 31, i64::MIN);
            let verdict = judge(10, &segments, losses, required);
            assert_eq!(matches!(verdict, Verdict::Damage(_)), is_damage, "{verdict:?}");
            assert_eq!(required_end(losses, 31, 40), 40);
        }
        assert_eq!(
            judge(10, &segments, KILLED, required_end(KILLED, 30, 5)),
            judge(10, &segments, KILLED, 0)
        );
    }

    #[test]
    fn what_was_durable_is_missed_whatever_the_crash() {
        let segments = [segment(10, 20, torn())];
        for losses in [KILLED, Losses::Any] {
            let Verdict::Damage(damage) = judge(10, &segments, losses, 31) else { panic!("a loss") };
            assert_eq!((damage.position, damage.offset), (20, 30));
        }
        assert_eq!(judge(10, &segments, Losses::Any, 30), Verdict::End { kept: 1 });
    }
}
