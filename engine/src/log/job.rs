//! Writes and syncs of a log, as futures that its owner runs.

use super::FlightId;
use super::files::OpenFile;
use crate::disk::{DiskFile, WriteData, WriteSync};
use crate::error::DiskError;
use futures_util::future::LocalBoxFuture;

/// A write or sync to run. Its outcome goes to [`Log::job_done`](super::Log::job_done).
pub struct Job<F> {
    /// Identifies the write or sync among those in flight.
    pub id: FlightId,
    /// Number of syncs that had failed on the device before the log's oldest change that is not durable. If another
    /// sync fails before the job ends, that change may be lost, and the job fails.
    pub(super) failed_syncs: u64,
    pub(super) kind: JobKind<F>,
}

/// The state of the extents that a write covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extents {
    /// Extents that were durably written before, within the file's size: those of a recycled file, or those of the log's own
    /// synced writes.
    AlreadyWritten,
    /// Extents that are not written yet, or not all of them. They may be reserved, or missing.
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
    /// A sync of the file, after a sync of its name if the name is not durable yet.
    Sync {
        file: OpenFile<F>,
        name: Option<LocalBoxFuture<'static, Result<(), DiskError>>>,
    },
}

impl<F: DiskFile> Job<F> {
    /// Bytes that the job writes; 0 for a sync.
    pub fn write_bytes(&self) -> usize {
        match &self.kind {
            JobKind::Write { data, .. } => data.len(),
            JobKind::Sync { .. } => 0,
        }
    }

    /// Whether the job makes something durable on the device.
    pub const fn is_sync(&self) -> bool {
        matches!(self.kind, JobKind::Sync { .. } | JobKind::Write { sync: WriteSync::Dsync, .. })
    }

    /// Whether the job is a write that covers only extents which were durably written before, within the file's size.
    /// It changes no metadata. So with direct I/O a flush of the device is enough to make it durable.
    pub const fn is_overwriting(&self) -> bool {
        matches!(self.kind, JobKind::Write { extents: Extents::AlreadyWritten, .. })
    }

    /// The flush domain of a synced write that a flush of the device makes durable as well
    /// ([`DiskFile::flush_domain`]). Writes of one domain can share a flush: see [`flush`]. `None` for every other job.
    pub fn flush_domain(&self) -> Option<u64> {
        match &self.kind {
            JobKind::Write { file, sync: WriteSync::Dsync, extents: Extents::AlreadyWritten, .. } => {
                file.flush_domain()
            }
            _ => None,
        }
    }

    /// Runs the job.
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

    /// Runs a synced write without its sync. [`flush`] makes it durable.
    ///
    /// # Panics
    /// If the job has no [`Job::flush_domain`].
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
    /// Number of syncs that have failed on the device of the write's file; 0 for a sync.
    pub fn failed_syncs(&self) -> u64 {
        match &self.kind {
            JobKind::Write { file, .. } => file.failed_syncs(),
            JobKind::Sync { .. } => 0,
        }
    }
}

/// A synced write that was run without its sync, or has failed. [`flush`] has to follow.
pub struct Unflushed<F> {
    id: FlightId,
    file: OpenFile<F>,
    outcome: Result<(), DiskError>,
}

impl<F> Unflushed<F> {
    /// The outcome of the write after a flush that failed, or that cannot be trusted.
    pub fn lost(self, error: &DiskError) -> JobDone {
        JobDone { id: self.id, is_write: true, outcome: self.outcome.and_then(|()| Err(error.clone())) }
    }
}

/// Makes several writes durable with one flush of the device.
///
/// A write that failed has failed alone. A flush that fails, fails all the writes that it was for. Its error is
/// returned next to them, because it may also have lost other writes that completed before it ended. A later flush can
/// succeed even so.
///
/// All writes must have the same flush domain ([`Job::flush_domain`]). `failed_syncs` is the number of syncs that had
/// failed on the device when the first of the writes began. If another one has failed since, the writes may be lost,
/// and the flush fails too.
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
