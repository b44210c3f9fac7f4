//! The search for the segment that holds an offset. A fetch needs its file open and its offset index in memory.

use crate::clock::Clock;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{CorruptionKind, DiskError, FetchError};
use crate::index::OffsetIndex;
use crate::log::Log;
use crate::log::files::{CachedIndex, FileName, IndexSource, OpenFile};
use crate::log::state::{Readers, Sealed, State};
use crate::segment;
use std::path::PathBuf;
use std::rc::Rc;

/// A segment that can be read: its file is open and its index is in memory.
pub(in crate::log) struct Readable<F> {
    pub(in crate::log) base_offset: i64,
    pub(in crate::log) file: OpenFile<F>,
    pub(in crate::log) offsets: Rc<OffsetIndex>,
    pub(in crate::log) index_source: IndexSource,
    /// File position at which the readable batches end.
    pub(in crate::log) end: u64,
    /// The offset after the last record, if the segment takes no more.
    pub(in crate::log) next_offset: Option<i64>,
    /// Keeps the file from being overwritten while somebody reads it.
    pub(in crate::log) readers: Readers,
}

/// The result of a search for the segment that holds an offset.
enum Located<F> {
    /// A segment whose file is open and whose index is in memory.
    Readable(Readable<F>),
    /// A sealed segment that is not open: its base offset, and the offset after its last record.
    Sealed(i64, i64, Readers),
    /// A segment that is not sealed and not open: its base offset.
    Unsealed(i64, Readers),
    /// The log does not hold the offset.
    Nothing,
}

impl<D: Disk, C: Clock, A: 'static> Log<D, C, A> {
    /// The segment that holds `offset`, ready to be read. Opens it if need be.
    pub(in crate::log) async fn readable(&self, offset: i64) -> Result<Readable<D::File>, FetchError> {
        loop {
            let found = self.state.borrow().find(offset);
            match found {
                Located::Readable(readable) => return Ok(readable),
                Located::Sealed(base_offset, next_offset, readers) => {
                    return self.open_sealed(offset, (base_offset, next_offset), readers).await;
                }
                // The search is repeated: the segment may have been sealed, or have got more batches.
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

    /// Opens the sealed segment that holds `offset` for reading and loads its index. If the index cannot be used, makes one
    /// by a scan.
    async fn open_sealed(
        &self,
        offset: i64,
        (base_offset, next_offset): (i64, i64),
        readers: Readers,
    ) -> Result<Readable<D::File>, FetchError> {
        let disk = &self.context.disk;
        let path: PathBuf = segment::log_path(&self.dir, base_offset);
        let file = match self.open_file(&path, OpenMode::Read).await {
            // Retention has deleted the segment meanwhile.
            Err(error) if error.is_not_found() && base_offset < self.log_start_offset() => {
                let (log_start_offset, high_watermark) = (self.log_start_offset(), self.high_watermark());
                return Err(FetchError::OffsetOutOfRange { offset, log_start_offset, high_watermark });
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

    /// Replaces the index of a segment by one that is made from its batches.
    pub(in crate::log) async fn reindexed(
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
        // The ends of the cached extents come from the old index.
        state.read_cache.clear();
        if let Some(sealed) = state.sealed_at(segment.base_offset) {
            sealed.index_source = IndexSource::Batches;
        }
        state.remember(&readable);
        Ok(readable)
    }

    /// Makes an offset index from a segment's batches. Returns it with the bytes of valid batches.
    async fn scanned_index(&self, base_offset: i64, file: &D::File) -> Result<(OffsetIndex, u64), DiskError> {
        let request = self.scan_request(base_offset, i32::MIN);
        let scanned = segment::scan(file, &self.context.arena, &request).await?;
        Ok((scanned.indexes.offsets, scanned.valid_bytes))
    }
}

impl<F: DiskFile, A> State<F, A> {
    /// Keeps the size, the file and the index of a sealed segment, if the log still has the segment.
    fn remember(&mut self, readable: &Readable<F>) {
        let base_offset = readable.base_offset;
        let sealed = self.sealed_at(base_offset);
        let Some(sealed) = sealed.filter(|sealed| sealed.readers.are_same(&readable.readers)) else { return };
        sealed.size_bytes = Some(readable.end);
        let index = CachedIndex { offsets: Rc::clone(&readable.offsets), source: readable.index_source };
        self.files.put_indexed(FileName::Segment(base_offset), readable.file.clone(), index);
    }

    /// Finds the segment that holds `offset`.
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

    /// The sealed segment, if its file is open and its index is in memory.
    fn readable_sealed(&self, sealed: &Sealed) -> Option<Readable<F>> {
        let end = sealed.size_bytes?;
        let (file, index) = self.files.get_indexed(FileName::Segment(sealed.base_offset))?;
        let CachedIndex { offsets, source: index_source } = index;
        let (base_offset, readers) = (sealed.base_offset, sealed.readers.clone());
        let next_offset = Some(sealed.next_offset);
        Some(Readable { base_offset, file, offsets, index_source, end, next_offset, readers })
    }

    /// The segment after the sealed one at `base_offset`, if its file is open and its index is in memory.
    pub(in crate::log) fn readable_after(&self, base_offset: i64) -> Option<Readable<F>> {
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

    /// Finds the closing or active segment that holds `offset`. It can be read up to the first batch in memory.
    fn find_unsealed(&self, offset: i64) -> Option<Located<F>> {
        let closing = self.closing.iter().map(|closing| (&closing.active, closing.size_bytes));
        let active = self.active.iter().map(|active| (active, self.tail.segment_bytes()));
        let (segment, size_bytes) =
            closing.chain(active).filter(|(segment, _)| segment.base_offset <= offset).last()?;
        // Batches in memory may not be written yet, so they are not read from the file. Readers get them from memory. A
        // read ahead may come from an earlier segment while memory begins in that one; then it reads nothing here.
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
