//! Opening of a log's files. A log opens its files, opens closed ones again, and holds the files that it plans writes
//! for.

use super::Log;
use super::files::{FileName, OpenFile};
use super::state::{Readers, State};
use super::work::Work;
use crate::clock::Clock;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{DiskError, DiskOp};
use crate::segment;
use std::io;
use std::path::Path;
use std::rc::Rc;

impl<D: Disk, C: Clock, A> Log<D, C, A> {
    /// Opens a file that may stay open. If all permits are in use it waits for up to 10 s
    /// ([`OpenFiles::permit`](super::files::OpenFiles::permit)).
    pub(super) async fn open_file(
        &self,
        path: &Path,
        mode: OpenMode,
    ) -> Result<OpenFile<D::File>, DiskError> {
        let context = &self.context;
        let Some(permit) = context.files.permit(&context.disk).await else {
            let source = io::Error::from_raw_os_error(libc::EMFILE);
            return Err(DiskError::new(DiskOp::Open, path, 0, source));
        };
        let file = context.disk.open(path, mode, context.limits.io).await?;
        Ok(OpenFile::new(file, permit))
    }

    /// The file of a segment that is not sealed; opens it if it is closed. `readers` belong to the segment.
    pub(super) async fn unsealed_file(
        &self,
        base_offset: i64,
        readers: &Readers,
    ) -> Result<OpenFile<D::File>, DiskError> {
        let open = self.state.borrow().files.get(FileName::Segment(base_offset));
        if let Some(file) = open {
            return Ok(file);
        }
        let path = segment::log_path(&self.dir, base_offset);
        let file = self.open_file(&path, OpenMode::ReadWrite).await?;
        let state = self.state.borrow();
        // After a cut, another segment may have got the name meanwhile.
        if state.unsealed(base_offset).is_some_and(|segment| segment.readers.are_same(readers)) {
            state.files.put(FileName::Segment(base_offset), file.clone());
        }
        Ok(file)
    }

    /// Opens the file that the next write or sync needs. A lack of descriptors is tried again later; any other failure
    /// latches the log.
    pub async fn reopen(self: Rc<Self>) {
        if self.reopening.replace(true) {
            return;
        }
        let needed = self.state.borrow().file_to_open();
        if let Some((base_offset, readers)) = needed {
            match self.unsealed_file(base_offset, &readers).await {
                Ok(_) => {
                    self.state.borrow_mut().hold_file(base_offset);
                }
                Err(error) => self.work_failed(Work::Reopen, error),
            }
        }
        self.reopening.set(false);
    }

    /// Writes the batches that a lack of descriptors has kept from being written. Used when the log is closed.
    pub(super) async fn write_held_up(&self) -> Result<(), DiskError> {
        while self.state.borrow().has_unwritten() {
            let needed = self.state.borrow().file_to_open();
            if let Some((base_offset, readers)) = needed {
                let _file = self.unsealed_file(base_offset, &readers).await?;
                self.state.borrow_mut().hold_file(base_offset);
            }
            let Some(job) = self.next_job() else { break };
            self.job_done(job.run().await);
        }
        let state = self.state.borrow();
        let unwritten = state.has_unwritten().then(|| state.no_space()).flatten();
        state.failed.clone().or(unwritten).map_or(Ok(()), Err)
    }
}

impl<F: DiskFile, A> State<F, A> {
    /// Makes the segment hold its file, which then stays open until [`State::release_files`]. Returns false if the file
    /// is not open.
    pub(super) fn hold_file(&mut self, base_offset: i64) -> bool {
        let files = &self.files;
        let mut segments = self.closing.iter_mut().map(|closing| &mut closing.active).chain(&mut self.active);
        let Some(segment) = segments.find(|segment| segment.base_offset == base_offset) else { return true };
        if segment.file.is_none() {
            segment.file = files.get(FileName::Segment(base_offset));
        }
        segment.file.is_some()
    }

    /// Releases the files that no write or sync is planned for.
    pub(super) fn release_files(&mut self) {
        let is_idle =
            !self.has_unwritten() && !self.progress.is_sync_under_way() && !self.progress.is_sync_due();
        let written_to = self.progress.written_to();
        if is_idle && let Some(active) = &mut self.active {
            active.file = None;
        }
        for closing in self.closing.iter_mut().filter(|closing| closing.end() <= written_to) {
            closing.active.file = None;
        }
    }

    /// The segment whose file the next write or sync needs, if that file is not open.
    pub(super) fn file_to_open(&self) -> Option<(i64, Readers)> {
        let needed = if self.has_unwritten() {
            self.unsealed(self.tail.next_write_segment())
        } else if self.closing.is_empty() && self.progress.is_sync_due() {
            self.active.as_ref()
        } else {
            None
        };
        let needed = needed.filter(|segment| segment.file.is_none());
        let needed = needed.filter(|segment| !self.files.has(FileName::Segment(segment.base_offset)));
        needed.map(|segment| (segment.base_offset, segment.readers.clone()))
    }
}
