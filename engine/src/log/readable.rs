//! The segment that holds an offset: found by its base offset, opened, and with its index.

use super::Log;
use super::files::{CachedIndex, FileName, IndexSource, OpenFile};
use super::state::{Readers, Sealed, State};
use crate::clock::Clock;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{CorruptionKind, DiskError, FetchError};
use crate::index::OffsetIndex;
use crate::segment;
use std::path::PathBuf;
use std::rc::Rc;

/// A segment as a reader sees it.
pub(super) struct Readable<F> {
    pub(super) base_offset: i64,
    pub(super) file: OpenFile<F>,
    pub(super) offsets: Rc<OffsetIndex>,
    pub(super) index_source: IndexSource,
    /// Batches end here.
    pub(super) end: u64,
    /// The offset after the last record, where the segment takes no more.
    pub(super) next_offset: Option<i64>,
    /// Keeps the file from being overwritten.
    pub(super) readers: Readers,
}

/// The segment that holds an offset.
enum Located<F> {
    /// Its file is open and its index known.
    Readable(Readable<F>),
    /// A sealed segment, by its base offset, that is not open.
    Sealed(i64, i64, Readers),
    /// The same of a segment that is not sealed.
    Unsealed(i64, Readers),
    /// The log does not hold the offset.
    Nothing,
}

impl<D: Disk, C: Clock, A: 'static> Log<D, C, A> {
    /// The segment that holds `offset`, opened and with its index.
    pub(super) async fn readable(&self, offset: i64) -> Result<Readable<D::File>, FetchError> {
        loop {
            let found = self.state.borrow().find(offset);
            match found {
                Located::Readable(readable) => return Ok(readable),
                Located::Sealed(base_offset, next_offset, readers) => {
                    return self.open_sealed((base_offset, next_offset), readers).await;
                }
                // What it holds is looked at again: it may have been sealed, or have got more batches.
                Located::Unsealed(base_offset, readers) => {
                    self.unsealed_file(base_offset, &readers).await?;
                }
                Located::Nothing => {
                    let (log_start_offset, high_watermark) = (self.log_start_offset(), self.high_watermark());
                    return Err(FetchError::OffsetOutOfRange { offset, log_start_offset, high_watermark });
                }
            }
        }
    }

    /// Opens a sealed segment for reading and loads its index, or rebuilds it by a scan.
    async fn open_sealed(
        &self,
        (base_offset, next_offset): (i64, i64),
        readers: Readers,
    ) -> Result<Readable<D::File>, FetchError> {
        let disk = &self.context.disk;
        let path: PathBuf = segment::log_path(&self.dir, base_offset);
        let file = match self.open_file(&path, OpenMode::Read).await {
            // Retention was quicker.
            Err(error) if error.is_not_found() && base_offset < self.log_start_offset() => {
                let (log_start_offset, high_watermark) = (self.log_start_offset(), self.high_watermark());
                return Err(FetchError::OffsetOutOfRange {
                    offset: base_offset,
                    log_start_offset,
                    high_watermark,
                });
            }
            Err(error) if error.is_not_found() => {
                let kind = CorruptionKind::SegmentMissing { from: base_offset, to: next_offset };
                return Err(self.corrupt(base_offset, 0, kind));
            }
            opened => opened?,
        };
        let size_bytes = file.size().await?;
        let source = self.state.borrow_mut().sealed_at(base_offset).map(|sealed| sealed.index_source);
        let loaded = if source == Some(IndexSource::Batches) {
            None
        } else {
            segment::load_indexes(disk, &self.dir, base_offset, size_bytes).await?
        };
        let (offsets, end, index_source) = match loaded {
            Some(offsets) => (offsets, size_bytes, IndexSource::File),
            None => {
                let (offsets, valid_bytes) = self.scanned_index(base_offset, &file).await?;
                (offsets, valid_bytes, IndexSource::Batches)
            }
        };
        let (offsets, next_offset) = (Rc::new(offsets), Some(next_offset));
        let readable = Readable { base_offset, file, offsets, index_source, end, next_offset, readers };
        self.state.borrow_mut().remember(&readable);
        Ok(readable)
    }

    /// The segment with an index that is made of its batches, instead of the one from its file.
    pub(super) async fn reindexed(
        &self,
        segment: &Readable<D::File>,
    ) -> Result<Readable<D::File>, FetchError> {
        let (offsets, end) = self.scanned_index(segment.base_offset, &segment.file).await?;
        let readable = Readable {
            base_offset: segment.base_offset,
            file: segment.file.clone(),
            offsets: Rc::new(offsets),
            index_source: IndexSource::Batches,
            end,
            next_offset: segment.next_offset,
            readers: segment.readers.clone(),
        };
        let mut state = self.state.borrow_mut();
        // Its extents were cut where the old index said.
        state.read_cache.clear();
        if let Some(sealed) = state.sealed_at(segment.base_offset) {
            sealed.index_source = IndexSource::Batches;
        }
        state.remember(&readable);
        Ok(readable)
    }

    /// An offset index made of a segment's batches, and how many bytes of valid batches there are.
    async fn scanned_index(&self, base_offset: i64, file: &D::File) -> Result<(OffsetIndex, u64), DiskError> {
        let request = self.scan_request(base_offset, i32::MIN);
        let scanned = segment::scan(file, &self.context.arena, &request).await?;
        Ok((scanned.indexes.offsets, scanned.valid_bytes))
    }
}

impl<F: DiskFile, A> State<F, A> {
    /// Keeps what was found out about a sealed segment, if it is still the log's.
    fn remember(&mut self, readable: &Readable<F>) {
        let base_offset = readable.base_offset;
        let sealed = self.sealed_at(base_offset);
        let Some(sealed) = sealed.filter(|sealed| sealed.readers.are_same(&readable.readers)) else { return };
        sealed.size_bytes = Some(readable.end);
        let index = CachedIndex { offsets: Rc::clone(&readable.offsets), source: readable.index_source };
        self.files.put_indexed(FileName::Segment(base_offset), readable.file.clone(), index);
    }

    /// The segment that holds `offset`.
    fn find(&self, offset: i64) -> Located<F> {
        if let Some(found) = self.find_unsealed(offset) {
            return found;
        }
        let after = self.sealed.partition_point(|sealed| sealed.base_offset <= offset);
        let sealed = after.checked_sub(1).and_then(|index| self.sealed.get(index));
        let Some(sealed) = sealed.filter(|sealed| offset < sealed.next_offset) else {
            return Located::Nothing;
        };
        let closed = || Located::Sealed(sealed.base_offset, sealed.next_offset, sealed.readers.clone());
        self.readable_sealed(sealed).map_or_else(closed, Located::Readable)
    }

    /// The sealed segment as a reader sees it, if its file is open and its index known.
    fn readable_sealed(&self, sealed: &Sealed) -> Option<Readable<F>> {
        let end = sealed.size_bytes?;
        let (file, index) = self.files.get_indexed(FileName::Segment(sealed.base_offset))?;
        let CachedIndex { offsets, source: index_source } = index;
        let (base_offset, readers) = (sealed.base_offset, sealed.readers.clone());
        let next_offset = Some(sealed.next_offset);
        Some(Readable { base_offset, file, offsets, index_source, end, next_offset, readers })
    }

    /// The segment after the sealed one at `base_offset`, if its file is open and its index known.
    pub(super) fn readable_after(&self, base_offset: i64) -> Option<Readable<F>> {
        let after = self.sealed.partition_point(|sealed| sealed.base_offset <= base_offset);
        match self.sealed.get(after) {
            Some(sealed) => self.readable_sealed(sealed),
            None => {
                let last = self.sealed.back().filter(|last| last.base_offset == base_offset)?;
                match self.find_unsealed(last.next_offset)? {
                    Located::Readable(readable) => Some(readable),
                    _ => None,
                }
            }
        }
    }

    /// The closing or active segment that holds `offset`; readable up to where memory takes over.
    fn find_unsealed(&self, offset: i64) -> Option<Located<F>> {
        let closing = self.closing.iter().map(|closing| (&closing.active, closing.size_bytes));
        let active = self.active.iter().map(|active| (active, self.tail.segment_bytes()));
        let (segment, size_bytes) =
            closing.chain(active).filter(|(segment, _)| segment.base_offset <= offset).last()?;
        // What memory holds may not be written yet; a reader comes back for it through memory, and who reads ahead out of the
        // segment before this one comes here while memory begins in that.
        let end = match self.tail.cached_from() {
            Some((base, ..)) if base < segment.base_offset => 0,
            Some((base, position, _)) if base == segment.base_offset => position,
            _ => size_bytes,
        };
        let (base_offset, readers) = (segment.base_offset, segment.readers.clone());
        let Some(file) = self.files.get(FileName::Segment(base_offset)) else {
            return Some(Located::Unsealed(base_offset, readers));
        };
        let offsets = Rc::new(segment.indexes.offsets.clone());
        let (index_source, next_offset) = (IndexSource::Batches, None);
        Some(Located::Readable(Readable {
            base_offset,
            file,
            offsets,
            index_source,
            end,
            next_offset,
            readers,
        }))
    }
}
