//! The open of a log. Its files are read and judged first ([`judge`]), and only a log that is whole is then changed
//! ([`apply`]). A damaged log does not change. It serves the records below the damage, and takes no appends.

mod apply;
mod judge;

use super::files::{IndexSource, LogFiles};
use super::progress::Progress;
use super::segments::spare::SpareWork;
use super::spare_file::Spare;
use super::state::{Damaged, EVENTS_MAX, LargestTimestamp, Readers, Sealed, SealedBy, State};
use super::tail::Tail;
use super::work::Postponed;
use super::{Log, LogContext, ReadCache, checkpoint};
use crate::clock::Clock;
use crate::config::{BATCH_BYTES_MAX, TopicConfig};
use crate::disk::{Disk, SyncFailures};
use crate::error::{DiskError, OpenError};
use crate::events::{EventKind, Newest};
use crate::segment::ScanRequest;
use checkpoint::Checkpoint;
use futures_util::lock::Mutex;
use judge::Judged;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;

/// Largest distance between the index entries that a scan makes, bytes. The batches may be larger than the topic takes
/// now, and the bytes between two entries have to fit into a chunk.
const SCAN_INTERVAL_BYTES_MAX: u32 = 4096;

/// The leader epochs that a log is opened with. Each open of the data directory has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    /// The epoch of this open, above that of any batch on disk.
    pub current: i32,
    /// The last epoch in which batches may have been appended before the topic became a synced one; 0 for none.
    pub synced_after: i32,
}

/// The origin of a partition. It says whether the partition's directory must exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The partition is being created, so a missing directory is made. The caller makes the directory's name durable
    /// before anything refers to the partition.
    Created,
    /// The partition was created before. A missing directory is damage, and so is a log that ends before `durable_to`.
    Existing {
        /// Every record below this offset is known to have been durable. `i64::MIN` if nothing is known.
        durable_to: i64,
        /// Whether an earlier open has found the log damaged. Then a later reboot does not explain missing bytes.
        was_damaged: bool,
    },
}

impl<D: Disk, C: Clock, A: 'static> Log<D, C, A> {
    /// Opens the log in `dir`. When this returns, all records that it has kept are sealed and durable.
    ///
    /// A damaged log opens too, and then nothing on disk has changed: see [`Log::damage`]. A log opens as damaged as
    /// well if one of its files cannot be read, or cannot be changed to put the log in order.
    ///
    /// # Errors
    /// The disk has no space, no descriptors or no memory to put the log in order, or failed at more than one file.
    pub async fn open(
        context: LogContext<D, C>,
        dir: PathBuf,
        config: TopicConfig,
        epochs: Epochs,
        origin: Origin,
    ) -> Result<Rc<Self>, OpenError> {
        if origin == Origin::Created {
            context.disk.create_dir(&dir).await?;
        }
        let mut log = Self::closed(context, dir, config, epochs);
        match log.judge(origin).await? {
            Judged::Damaged(served) => log.serve_below(served),
            Judged::Whole(plan) => match log.put_in_order(plan).await {
                // Other partitions do not depend on this one. The next open judges the log the same, after any step of
                // this one.
                Err(error) if error.is_of_this_file() => {
                    let served = log.readable_below(error).await;
                    log.serve_below(served);
                }
                ordered => ordered?,
            },
        }
        log.epoch_start = log.log_end_offset();
        Ok(Rc::new(log))
    }

    /// Carries out `plan` and takes over its result.
    async fn put_in_order(&mut self, plan: judge::RecoveryPlan) -> Result<(), DiskError> {
        let is_in_order = plan.is_in_order();
        let found = self.apply(plan).await?;
        let state = self.state.get_mut();
        state.checkpoint = found.checkpoint;
        state.tail = Tail::new(found.next_offset);
        state.progress = Progress::new(found.next_offset);
        state.sealed = found.sealed;
        state.spare = found.spare;
        let now_ms = self.context.clock.wall_ms();
        state.sealed.iter_mut().for_each(|sealed| sealed.changed_ms = now_ms);
        state.checkpoint.recovery_offset = found.next_offset;
        state.note(self.context.clock.now(), EventKind::Recovery);
        if !is_in_order {
            self.write_checkpoint(|_| {}).await?;
        }
        self.weigh();
        self.look_at_retention();
        Ok(())
    }

    /// A log whose files are not read yet.
    fn closed(context: LogContext<D, C>, dir: PathBuf, config: TopicConfig, epochs: Epochs) -> Self {
        let checkpoint = Checkpoint {
            sequence: 0,
            recovery_offset: 0,
            log_start_offset: 0,
            in_flight_bytes_max: context.limits.in_flight_bytes_max(),
            epoch: i32::MIN,
            boot_id: context.limits.boot_id,
        };
        Self {
            state: RefCell::new(State {
                tail: Tail::new(0),
                progress: Progress::new(0),
                sealed: VecDeque::new(),
                closing: VecDeque::new(),
                active: None,
                files: LogFiles::new(&context.files),
                prepared: None,
                spare: Spare::None,
                roll_wanted: false,
                read_cache: ReadCache::default(),
                acks: VecDeque::new(),
                failed: None,
                damaged: None,
                full: None,
                events: Newest::new(EVENTS_MAX),
                checkpoint,
                writing_segment: 0,
                visible_floor: 0,
            }),
            context,
            dir,
            // Set once the directory is judged.
            failures: SyncFailures::default(),
            config: RefCell::new(Rc::new(config)),
            epoch: epochs.current,
            epoch_start: 0,
            synced_after: epochs.synced_after,
            rolling: Cell::new(false),
            reopening: Cell::new(false),
            is_preparing: Cell::new(false),
            sealing: Cell::new(false),
            retaining: Cell::new(false),
            cutting: Cell::new(false),
            cuts: Cell::new(0),
            postponed: Postponed::default(),
            retention_due: Cell::new(false),
            retention_at: Cell::new(u64::MAX),
            look_at: Cell::new(None),
            failed_looks: Cell::new(0),
            leaving_bytes: Cell::new(0),
            spare_work: SpareWork::default(),
            checkpointing: Mutex::new(()),
            is_open_recorded: Cell::new(false),
        }
    }

    /// Makes a damaged log ready to serve the records below the damage.
    fn serve_below(&mut self, served: judge::ReadablePart) {
        let state = self.state.get_mut();
        state.spare = Spare::None;
        state.checkpoint.log_start_offset = served.log_start_offset;
        state.tail = Tail::new(served.damage.from);
        state.progress = Progress::new(served.damage.from);
        state.sealed = served.sealed;
        state.damaged = Some(served.damage);
    }
}

impl<D: Disk, C: Clock, A> Log<D, C, A> {
    /// The damage that keeps this log from taking appends, if an open has found some.
    pub fn damage(&self) -> Option<Damaged> {
        self.state.borrow().damaged.clone()
    }

    /// The scan request for this log's segment at `base_offset`.
    pub(super) fn scan_request(&self, base_offset: i64, epoch_min: i32) -> ScanRequest {
        ScanRequest {
            base_offset,
            epoch_min,
            epoch_max: self.epoch,
            batch_bytes_max: BATCH_BYTES_MAX,
            index_interval_bytes: self.config().index_interval_bytes.min(SCAN_INTERVAL_BYTES_MAX),
        }
    }
}

impl Sealed {
    /// A sealed segment whose file is closed and not read yet.
    fn closed(base_offset: i64, next_offset: i64, sealed_by: SealedBy) -> Self {
        Self {
            base_offset,
            next_offset,
            size_bytes: None,
            index_source: IndexSource::File,
            largest_timestamp: LargestTimestamp::Unknown,
            changed_ms: i64::MAX,
            epoch: None,
            nothing_from_ms: i64::MAX,
            sealed_by,
            readers: Readers::default(),
        }
    }
}
