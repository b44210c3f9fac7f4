//! What a log wants done on its disk, as futures for its owner to run.

use super::FlightId;
use crate::disk::{DiskFile, WriteData, WriteSync};
use crate::error::DiskError;
use futures_util::future::{LocalBoxFuture, join_all};

/// A write or sync to be run; its outcome goes back through [`Log::job_done`](super::Log::job_done).
pub struct Job<F> {
    /// Which one.
    pub id: FlightId,
    pub(super) kind: JobKind<F>,
}

/// What a write meets on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Extents that were written before, within the file's size, and durably so.
    Written,
    /// Extents that are reserved at best, or none.
    New,
}

pub(super) enum JobKind<F> {
    Write {
        file: F,
        data: WriteData,
        position: u64,
        sync: WriteSync,
        target: Target,
    },
    /// The name of the file first, if that is not durable yet.
    Sync {
        file: F,
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
        matches!(self.kind, JobKind::Write { target: Target::Written, .. })
    }

    /// Whether it is a synced write that a flush of the device makes durable too, together with others of the same domain
    /// ([`DiskFile::flush_domain`]); see [`run_together`].
    pub fn flush_domain(&self) -> Option<u64> {
        match &self.kind {
            JobKind::Write { file, sync: WriteSync::Dsync, target: Target::Written, .. } => {
                file.flush_domain()
            }
            _ => None,
        }
    }

    /// Does it.
    pub async fn run(self) -> JobDone {
        let (outcome, is_write) = match self.kind {
            JobKind::Write { file, data, position, sync, .. } => {
                (file.write(data, position, sync).await, true)
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
                (synced, false)
            }
        };
        JobDone { id: self.id, is_write, outcome }
    }
}

/// Does several jobs with one flush of the device: writes that are not synced, and when the last of them has completed one
/// sync that covers all. A write that fails fails alone; a sync that fails fails all that it was to cover.
///
/// # Panics
/// If the jobs are not of one flush domain.
pub async fn run_together<F: DiskFile, K>(jobs: Vec<(K, Job<F>)>) -> Vec<(K, JobDone)> {
    let domain = jobs.first().and_then(|(_, job)| job.flush_domain());
    assert!(domain.is_some() && jobs.iter().all(|(_, job)| job.flush_domain() == domain), "one domain");
    let written = join_all(jobs.into_iter().map(|(key, job)| async move {
        let JobKind::Write { file, data, position, .. } = job.kind else { unreachable!("checked above") };
        let outcome = file.write(data, position, WriteSync::None).await;
        (key, job.id, file, outcome)
    }));
    let written = written.await;
    let covered = written.iter().find(|(.., outcome)| outcome.is_ok());
    let synced = match covered {
        Some((_, _, file, _)) => file.sync().await,
        None => Ok(()),
    };
    let done = written.into_iter().map(|(key, id, _, outcome)| {
        let outcome = outcome.and_then(|()| synced.clone());
        (key, JobDone { id, is_write: true, outcome })
    });
    done.collect()
}

/// The outcome of a [`Job`].
#[derive(Debug)]
pub struct JobDone {
    pub(super) id: FlightId,
    pub(super) is_write: bool,
    pub(super) outcome: Result<(), DiskError>,
}
