//! The segments behind a partition's recovery offset: read first, then judged together by the rules of an open.

use super::partition::Chain;
use super::report::{DamagedFrom, DefectKind, NoteKind};
use super::segment::{Expected, Walk};
use crate::config::BATCH_BYTES_MAX;
use crate::error::{CorruptionKind, DiskError};
use crate::log::rules::{self, Damage, Examined, Losses, Verdict};
use crate::segment::{ScanEnd, SearchRequest};

/// A segment that was read up to its last valid batch.
struct Read {
    examined: Examined,
    /// The reason why the valid batches end; `None` if the file does.
    stopped: Option<String>,
    file_bytes: u64,
    /// Bytes behind the valid batches, up to the last that is not zero.
    rest_bytes: u64,
    epoch: i32,
    batches: u64,
    records: u64,
}

impl Chain<'_, '_> {
    /// Judges the segments that are not sealed, as an open does.
    pub(super) fn unsealed(&mut self, bases: &[i64]) -> Result<(), DiskError> {
        // The checkpoint was written before anything was appended here, and has the epoch of all that was.
        self.epoch = self.epoch.max(self.vouched.map_or(i32::MIN, |vouched| vouched.epoch));
        let mut read = Vec::new();
        for base_offset in bases.iter().copied() {
            let segment = self.read_unsealed(base_offset)?;
            self.epoch = segment.epoch;
            read.push(segment);
        }
        let first_base = bases.first().copied();
        if let Some(first_base) = first_base.filter(|_| self.vouched.is_none()) {
            self.begin_behind_lost(first_base);
        }
        // Where neither is known, damage has been found already.
        let Some(start) = self.end.map(|end| end.value).or(first_base) else { return Ok(()) };
        let durability = self.frame.config.map(|config| config.durability);
        let (synced_after, boot_id) = (self.frame.synced_after, self.frame.boot_id);
        let losses = if self.frame.was_damaged {
            Losses::of_damaged(self.vouched.as_ref())
        } else {
            Losses::of(self.vouched.as_ref(), durability, synced_after, boot_id)
        };
        let examined: Vec<Examined> = read.iter().map(|read| read.examined.clone()).collect();
        let mut verdict = rules::judge(start, &examined, losses, self.frame.durable_to);
        let mut first = 0;
        if let Verdict::Damage(Damage { kind: CorruptionKind::SegmentMissing { from, to }, .. }) = &verdict
            && self.holes.is_empty_below()
        {
            // Nothing of the log lies before the hole, so that it can begin behind. There it is judged anew.
            let (from, to) = (*from, *to);
            self.holes.raise_start(from, to);
            self.report_damage(&rules::missing(from, to));
            first = examined.partition_point(|segment| segment.base_offset < to);
            verdict = rules::judge(to, &examined[first..], losses, self.frame.durable_to);
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
        self.put_down(read, kept, damage, losses);
        Ok(())
    }

    fn read_unsealed(&mut self, base_offset: i64) -> Result<Read, DiskError> {
        let path = self.log_path(base_offset);
        let mut walk = Walk::begin(&path, base_offset, (self.epoch, self.frame.epoch_max), self.findings)?;
        let stopped = walk.unsealed()?;
        self.epoch_found = self.epoch_found.max(walk.epoch_found);
        let rest = walk.window.file_bytes - walk.position;
        walk.findings.advance(rest);
        let rest_bytes = walk.window.data_end(walk.position)? - walk.position;
        let end = match &stopped {
            None => ScanEnd::Whole,
            Some(reason) => ScanEnd::Invalid(CorruptionKind::Metadata(reason.clone())),
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
            epoch_max: self.frame.epoch_max,
            batch_bytes_max: BATCH_BYTES_MAX,
        };
        let path = self.log_path(last.examined.base_offset);
        let mut window = super::window::Window::open(&path)?;
        let found = window.search(last.examined.valid_bytes, &request)?;
        Ok(found.map(|offset| rules::damage_before(&last.examined, offset)))
    }

    /// Reports what was read and judged.
    fn put_down(&mut self, read: &[Read], kept: usize, damage: Option<Damage>, losses: Losses) {
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
            }
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
                "{all_bytes} bytes of zeros behind the last batch, set aside; the next open cuts them off"
            )
        } else {
            let (rest_bytes, because) = match losses {
                Losses::InFlight { reach_bytes } => (
                    segment.rest_bytes.min(reach_bytes),
                    "were being written and not acked, are of an earlier life of the file, or are damaged",
                ),
                Losses::Any => (
                    segment.rest_bytes,
                    "were being written when the machine went down, which may have taken records that were acked as \
                     `written`, are of an earlier life of the file, or are damaged",
                ),
            };
            self.report.unjudged_bytes += rest_bytes;
            format!(
                "{stopped}: {rest_bytes} bytes behind the last batch {because}: that cannot be told. The next open cuts \
                 the segment off at offset {}",
                segment.examined.next_offset
            )
        };
        self.findings.note(NoteKind::Tail, &path, at, message);
    }
}
