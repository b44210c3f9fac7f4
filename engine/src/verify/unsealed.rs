//! The segments behind a partition's recovery offset. They are read first, and then judged together by the rules of an
//! open.

use super::partition::PartitionWalk;
use super::report::{DamagedFrom, DefectKind, NoteKind};
use super::segment::{Expected, SegmentWalk};
use crate::config::BATCH_BYTES_MAX;
use crate::error::{CorruptionKind, DiskError};
use crate::log::rules::{self, Damage, Examined, Losses, Verdict};
use crate::segment::{ScanEnd, SearchRequest};

/// A segment that was read up to its last valid batch.
struct Read {
    examined: Examined,
    /// The reason why the valid batches end; `None` if they end with the file.
    stopped: Option<String>,
    file_bytes: u64,
    /// Bytes behind the valid batches, up to the last byte that is not zero.
    rest_bytes: u64,
    epoch: i32,
    batches: u64,
    records: u64,
}

impl PartitionWalk<'_, '_> {
    /// Judges the unsealed segments as an open does.
    pub(super) fn walk_unsealed(&mut self, bases: &[i64]) -> Result<(), DiskError> {
        // The checkpoint was written before the first append to these segments, and has the epoch of the earlier ones.
        self.epoch = self.epoch.max(self.checkpoint.map_or(i32::MIN, |checkpoint| checkpoint.epoch));
        let mut read = Vec::new();
        for base_offset in bases.iter().copied() {
            let segment = self.read_unsealed(base_offset)?;
            self.epoch = segment.epoch;
            read.push(segment);
        }
        let first_base = bases.first().copied();
        if let Some(first_base) = first_base.filter(|_| self.checkpoint.is_none()) {
            self.begin_behind_lost(first_base);
        }
        // If neither is known, damage has been reported already.
        let Some(start) = self.end.map(|end| end.value).or(first_base) else { return Ok(()) };
        let durability = self.context.config.map(|config| config.durability);
        let (synced_after, boot_id) = (self.context.synced_after, self.context.boot_id);
        let losses = if self.context.was_damaged {
            Losses::of_damaged(self.checkpoint.as_ref())
        } else {
            Losses::of(self.checkpoint.as_ref(), durability, synced_after, boot_id)
        };
        let examined: Vec<Examined> = read.iter().map(|read| read.examined.clone()).collect();
        let required = rules::required_end(losses, self.report.log_start_offset, self.context.durable_to);
        let mut verdict = rules::judge(start, &examined, losses, required);
        let mut first = 0;
        if let Verdict::Damage(Damage { kind: CorruptionKind::SegmentMissing { from, to }, .. }) = &verdict
            && self.holes.is_empty_below()
        {
            // No part of the log lies before the hole, so the log can begin behind it. The segments there are judged
            // again.
            let (from, to) = (*from, *to);
            self.holes.raise_start(from, to);
            self.report_damage(&rules::missing(from, to));
            self.end = Some(Expected::new(to));
            first = examined.partition_point(|segment| segment.base_offset < to);
            verdict = rules::judge(to, &examined[first..], losses, required);
        }
        let (read, examined) = (&read[first..], &examined[first..]);
        let (kept, damage) = match verdict {
            Verdict::End { kept } => (kept, None),
            Verdict::EndUnlessFound { kept, from } => (kept, self.search(&read[kept - 1], from)?),
            Verdict::Damage(damage) => {
                let kept = examined.partition_point(|segment| segment.base_offset <= damage.segment);
                (kept.min(examined.len()), Some(damage))
            }
        };
        self.report_segments(read, kept, damage, losses);
        Ok(())
    }

    fn read_unsealed(&mut self, base_offset: i64) -> Result<Read, DiskError> {
        let path = self.log_path(base_offset);
        let mut walk =
            SegmentWalk::begin(&path, base_offset, (self.epoch, self.context.epoch_max), self.findings)?;
        let stopped = walk.walk_unsealed()?;
        self.epoch_found = self.epoch_found.max(walk.epoch_found);
        let rest = walk.window.file_bytes - walk.position;
        walk.findings.advance(rest);
        let rest_bytes = walk.window.data_end(walk.position)? - walk.position;
        let end = match &stopped {
            None => ScanEnd::Whole,
            Some(reason) => ScanEnd::Invalid(match walk.epoch_ahead {
                Some(found) => CorruptionKind::EpochAhead { found, newest: self.context.epoch_max },
                None => CorruptionKind::Metadata(reason.clone()),
            }),
        };
        Ok(Read {
            examined: Examined {
                base_offset,
                next_offset: walk.next.value,
                valid_bytes: walk.position,
                end,
                was_sealed: self.files.is_indexed(base_offset),
            },
            stopped,
            file_bytes: walk.window.file_bytes,
            rest_bytes,
            epoch: walk.epoch(),
            batches: walk.batches,
            records: walk.records,
        })
    }

    /// Searches for a batch of the log behind the gap in `last`.
    fn search(&mut self, last: &Read, from: u64) -> Result<Option<Damage>, DiskError> {
        if from >= last.file_bytes {
            return Ok(None);
        }
        let request = SearchRequest {
            from,
            offset_min: last.examined.next_offset.saturating_add(1),
            epoch_min: last.epoch,
            epoch_max: self.context.epoch_max,
            batch_bytes_max: BATCH_BYTES_MAX,
        };
        let path = self.log_path(last.examined.base_offset);
        let mut window = super::window::Window::open(&path)?;
        let found = window.search(last.examined.valid_bytes, &request)?;
        Ok(found.map(|offset| rules::damage_before(&last.examined, offset)))
    }

    /// Reports the segments and the result of judging them.
    fn report_segments(&mut self, read: &[Read], kept: usize, damage: Option<Damage>, losses: Losses) {
        for segment in &read[..kept] {
            self.report.segments += 1;
            self.report.batches += segment.batches;
            self.report.records += segment.records;
            self.report.bytes += segment.examined.valid_bytes;
            self.report.log_end_offset = segment.examined.next_offset;
            let is_damaged = damage.as_ref().is_some_and(|it| it.segment == segment.examined.base_offset);
            if !is_damaged {
                self.note_tail(segment, losses);
            }
        }
        if let Some(last) = read[..kept].last() {
            self.end = Some(Expected::new(last.examined.next_offset));
        }
        match damage {
            Some(damage) => {
                let Damage { segment, position, offset, .. } = damage;
                self.holes.cut_at(DamagedFrom { segment, position, offset });
                self.report_damage(&damage);
            }
            None => {
                let end = self.end.map_or(self.report.log_end_offset, |end| end.value);
                for segment in &read[kept..] {
                    let message =
                        format!("the log ends at offset {end}; the next open removes this segment behind it");
                    let path = self.log_path(segment.examined.base_offset);
                    self.findings.note(NoteKind::Leftover, &path, 0, message);
                }
                self.note_end_below_start(end);
            }
        }
    }

    /// Notes a log that ends below its start: a crash has taken records that were deleted before.
    fn note_end_below_start(&mut self, end: i64) {
        let start = self.report.log_start_offset;
        if self.checkpoint.is_some() && end < start {
            let message = format!(
                "the log ends at offset {end}, and its records below offset {start} are deleted; the next open removes its \
                 segments, and new records begin at offset {start}"
            );
            self.findings.note(NoteKind::Leftover, self.context.dir, 0, message);
            self.report.log_end_offset = start;
        }
    }

    fn report_damage(&mut self, damage: &Damage) {
        let kind = match damage.kind {
            CorruptionKind::SegmentMissing { .. } | CorruptionKind::EndsEarly { .. } => {
                DefectKind::SegmentMissing
            }
            _ => DefectKind::Batch,
        };
        let message = format!(
            "{}: no crash leaves a log like that, so this is damage. Offset {} and what follows cannot be read; the \
             partition takes no appends until `vnotch repair` has cut it there",
            damage.kind, damage.offset
        );
        self.findings.defect(kind, &self.log_path(damage.segment), damage.position, message);
    }

    /// Notes the bytes behind the last valid batch of a segment.
    fn note_tail(&mut self, segment: &Read, losses: Losses) {
        let Some(stopped) = &segment.stopped else { return };
        let (at, path) = (segment.examined.valid_bytes, self.log_path(segment.examined.base_offset));
        let all_bytes = segment.file_bytes - at;
        let message = if segment.rest_bytes == 0 {
            format!(
                "{all_bytes} bytes of zeros behind the last batch, reserved space; the next open cuts them off"
            )
        } else {
            let (rest_bytes, because) = match losses {
                Losses::InFlight { reach_bytes } => (
                    segment.rest_bytes.min(reach_bytes),
                    "were being written and not acked, are from an earlier use of the file, or are damaged",
                ),
                Losses::Any => (
                    segment.rest_bytes,
                    "were being written when the machine went down, which may have taken records that were acked as \
                     `written`, are from an earlier use of the file, or are damaged",
                ),
            };
            self.report.unjudged_bytes += rest_bytes;
            format!(
                "{stopped}: {rest_bytes} bytes behind the last batch {because}: nothing shows which. The next open cuts \
                 the segment off at offset {}",
                segment.examined.next_offset
            )
        };
        self.findings.note(NoteKind::Tail, &path, at, message);
    }
}
