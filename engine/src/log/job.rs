//! What a log wants done on its disk, as futures for its owner to run.

use super::FlightId;
use super::files::OpenFile;
use crate::disk::{DiskFile, WriteData, WriteSync};
use crate::error::DiskError;
use futures_util::future::LocalBoxFuture;

/// A write or sync to be run; its outcome goes back through [`Log::job_done`](super::Log::job_done).
pub struct Job<F> {
    /// Which one.
    pub id: FlightId,
    /// Syncs that had failed on the device before the log's oldest change that is not durable. If another one fails before the
    /// job has ended, that change may be lost, and the job fails.
    pub(super) failed_syncs: u64,
    pub(super) kind: JobKind<F>,
}

/// The state of the extents that a write covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extents {
    /// Extents that were written before, within the file's size, and durably so.
    AlreadyWritten,
    /// Extents that are reserved at best, or none.
    New,
}

pub(super) enum JobKind<F> {
    Write {
        file: OpenFile<F>,
        data: WriteData,
        position: u64,
        sync: WriteSync,
        extents: Extents,
    },
    /// The name of the file first, if that is not durable yet.
    Sync {
        file: OpenFile<F>,
        name: Option<LocalBoxFuture<'static, Result<(), DiskError>>>,
    },
}

impl<F: DiskFile> Job<F> {
    /// Bytes it writes; 0 for a sync.
    pub fn write_bytes(&self) -> usize {
        match &self.kind {
            JobKind::Write { data, .. } => data.len(),
            JobKind::Sync { .. } => 0,
        }
    }

    /// Whether the device is asked to make something durable.
    pub const fn is_sync(&self) -> bool {
        matches!(self.kind, JobKind::Sync { .. } | JobKind::Write { sync: WriteSync::Dsync, .. })
    }

    /// Whether it is a write that overwrites extents which were durably written before, within the file's size: it changes
    /// no metadata, so that with direct I/O a flush of the device is all it takes to make it durable.
    pub const fn is_overwriting(&self) -> bool {
        matches!(self.kind, JobKind::Write { extents: Extents::AlreadyWritten, .. })
    }

    /// Whether it is a synced write that a flush of the device makes durable too, together with others of the same domain
    /// ([`DiskFile::flush_domain`]); see [`flush`].
    pub fn flush_domain(&self) -> Option<u64> {
        match &self.kind {
            JobKind::Write { file, sync: WriteSync::Dsync, extents: Extents::AlreadyWritten, .. } => {
                file.flush_domain()
            }
            _ => None,
        }
    }

    /// Does it.
    pub async fn run(self) -> JobDone {
        let check = |file: &F, outcome: Result<(), DiskError>| {
            outcome.and_then(|()| file.check_syncs(self.failed_syncs))
        };
        let (outcome, is_write) = match self.kind {
            JobKind::Write { file, data, position, sync, .. } => {
                let written = file.write(data, position, sync).await;
                (check(&file, written), true)
            }
            JobKind::Sync { file, name } => {
                let named = match name {
                    Some(name) => name.await,
                    None => Ok(()),
                };
                let synced = match named {
                    Ok(()) => file.sync().await,
                    Err(error) => Err(error),
                };
                (check(&file, synced), false)
            }
        };
        JobDone { id: self.id, is_write, outcome }
    }

    /// Does a write without its sync.
    ///
    /// # Panics
    /// If it has no [`Job::flush_domain`].
    pub async fn write_unflushed(self) -> Unflushed<F> {
        let (id, is_shareable) = (self.id, self.flush_domain().is_some());
        let JobKind::Write { file, data, position, .. } = self.kind else { unreachable!("not a write") };
        assert!(is_shareable, "a flush of the device makes it durable");
        let written = file.write(data, position, WriteSync::None).await;
        let outcome = written.and_then(|()| file.check_syncs(self.failed_syncs));
        Unflushed { id, file, outcome }
    }
}

impl<F: DiskFile> Job<F> {
    /// How many syncs have failed on the device of its file; 0 for a sync.
    pub fn failed_syncs(&self) -> u64 {
        match &self.kind {
            JobKind::Write { file, .. } => file.failed_syncs(),
            JobKind::Sync { .. } => 0,
        }
    }
}

/// A synced write that has been done without its sync, or has failed: [`flush`] is to follow.
pub struct Unflushed<F> {
    id: FlightId,
    file: OpenFile<F>,
    outcome: Result<(), DiskError>,
}

impl<F> Unflushed<F> {
    /// Its outcome, where the flush after it failed or could not be trusted.
    pub fn lost(self, error: &DiskError) -> JobDone {
        JobDone { id: self.id, is_write: true, outcome: self.outcome.and_then(|()| Err(error.clone())) }
    }
}

/// Makes writes last with one flush of the device, which covers all. A write that failed has failed alone; a flush that fails
/// fails all that it was to cover, and is told beside them: what else was written before it ended may be lost too, and a flush
/// after it succeeds all the same. They are to be of one flush domain ([`Job::flush_domain`]), on which `failed_syncs` syncs
/// had failed when the first of them began: if any has failed since, what they wrote may be lost, and the flush fails too.
pub async fn flush<F: DiskFile, K>(
    writes: Vec<(K, Unflushed<F>)>,
    failed_syncs: u64,
) -> (Vec<(K, JobDone)>, Result<(), DiskError>) {
    let flushed = match writes.iter().find(|(_, write)| write.outcome.is_ok()) {
        Some((_, write)) => write.file.flush(failed_syncs).await,
        None => Ok(()),
    };
    let done = writes.into_iter().map(|(key, write)| {
        let done = match &flushed {
            Ok(()) => JobDone { id: write.id, is_write: true, outcome: write.outcome },
            Err(error) => write.lost(error),
        };
        (key, done)
    });
    (done.collect(), flushed)
}

/// The outcome of a [`Job`].
#[derive(Debug)]
pub struct JobDone {
    pub(super) id: FlightId,
    pub(super) is_write: bool,
    pub(super) outcome: Result<(), DiskError>,
}
