//! Ends a log by a kill or a power loss, opens it again, and checks that it has kept its promises.

use crate::model::{Model, Shown};
use crate::rig::{Rig, SimLog, context, dir, open};
use crate::tally;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use vnotch_engine::disk::Disk as _;
use vnotch_engine::disk::sim::{Fault, SimDisk};
use vnotch_engine::error::{DiskError, OpenError};
use vnotch_engine::log::Epochs;
use vnotch_engine::segment;
use vnotch_engine::types::Durability;

/// The kind of the error that injected faults return. Nothing else on the simulated disk returns it.
pub(crate) const INJECTED: std::io::ErrorKind = std::io::ErrorKind::Other;

/// The way in which a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Kill,
    PowerLoss,
}

impl Fate {
    pub(crate) fn of(self, disk: &SimDisk, seed: u64) -> SimDisk {
        match self {
            Self::Kill => disk.kill(seed),
            Self::PowerLoss => disk.crash(seed),
        }
    }

    /// The lowest level of durability that survives this end.
    const fn survives(self) -> Durability {
        match self {
            Self::Kill => Durability::Written,
            Self::PowerLoss => Durability::Synced,
        }
    }
}

/// Damage to one of a log's index files, done before the log is opened again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum IndexDamage {
    Removed { file: usize },
    Flipped { file: usize, position: u64 },
}

/// An end of a log, and the next open, which may be interrupted.
#[derive(Debug, Clone)]
pub(crate) struct Restart {
    pub(crate) fate: Fate,
    pub(crate) seed: u64,
    pub(crate) damage: Option<IndexDamage>,
    /// Attempts to open that end early: the way in which each ends, and the steps of the disk that it gets.
    pub(crate) interruptions: Vec<(Fate, usize)>,
    /// A fault that is injected into one further attempt to open.
    pub(crate) fault: Option<Fault>,
}

impl Restart {
    pub(crate) const fn simple(fate: Fate, seed: u64) -> Self {
        Self { fate, seed, damage: None, interruptions: Vec::new(), fault: None }
    }
}

/// The promises that the faults of a log's disk have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// All promises hold: the disk kept its contract, errors included.
    Whole,
    /// Only the promises of synced acks hold: a failed sync has dropped writes.
    Synced,
    /// Only the promises below this offset hold: bytes from there on are damaged.
    Below(i64),
    /// Writes were lost or misdirected. Only one promise holds: a read returns no other bytes than those appended.
    Nothing,
}

impl Trust {
    /// Whether a read or an open may find damage.
    pub(crate) const fn is_broken(self) -> bool {
        !matches!(self, Self::Whole)
    }

    /// Whether the checkpoint and the names of files can be relied on.
    const fn has_metadata(self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// The batches that readers may be served. Where a write into a recycled file is lost or misdirected, the file keeps
    /// what it held. After a power loss that can be batches of a segment whose name was never synced: their checksums
    /// hold, and their offsets were given again. No reader can tell them from the batches that were lost. Recovery can,
    /// by the leader epoch, but a sealed segment is not read again.
    pub(crate) const fn shown(self) -> Shown {
        match self {
            Self::Nothing => Shown::AlsoTaken,
            Self::Whole | Self::Synced | Self::Below(_) => Shown::OfLog,
        }
    }

    /// Sets this to the promises that both faults leave.
    pub(crate) fn worsen(&mut self, other: Self) {
        *self = match (*self, other) {
            (Self::Nothing, _) | (_, Self::Nothing) => Self::Nothing,
            (Self::Below(offset), Self::Below(other)) => Self::Below(offset.min(other)),
            // Dropped writes may be anywhere above the last synced one. Together with damage, no promise is left for sure.
            (Self::Below(_), Self::Synced) | (Self::Synced, Self::Below(_)) => Self::Nothing,
            (Self::Whole, other) => other,
            (trust, Self::Whole) => trust,
            (Self::Synced, Self::Synced) => Self::Synced,
        };
    }
}

/// Whether the error was injected.
pub(crate) fn is_injected(error: &DiskError) -> bool {
    error.source.kind() == INJECTED
}

impl Rig {
    /// Returns the log after its end and a new open, with its promises checked. `self` does not change.
    pub(crate) fn restarted(&self, restart: &Restart) -> Self {
        self.reopened(restart).unwrap_or_else(|error| panic!("an undamaged log does not open: {error}"))
    }

    /// Runs this log step by step until nothing is outstanding. Before each step, copies of the log end in every way, open again and
    /// are read.
    pub(crate) fn end_at_every_step(&mut self) {
        let mut seed = 0;
        while self.disk.outstanding() > 0 {
            for fate in [Fate::Kill, Fate::PowerLoss] {
                seed += 1;
                let again = self.restarted(&Restart::simple(fate, seed));
                again.read_from(again.log.log_start_offset());
            }
            self.steps(1);
        }
        self.run_to_idle();
    }

    /// Like [`Rig::restarted`], but returns the error with which a damaged log is refused.
    fn reopened(&self, restart: &Restart) -> Result<Self, OpenError> {
        self.check_held();
        let mut worst = restart.fate;
        let (mut epoch, mut boot_id) = (self.epoch + 1, self.boot_id + u64::from(worst == Fate::PowerLoss));
        let mut disk = worst.of(&self.disk, restart.seed);
        // A failed sync may leave a page clean in the cache. It is gone before the log is opened again.
        disk.evict();
        if !self.trust.is_broken() {
            self.check_old_names(&disk);
        }
        damage_index(&disk, restart.damage);
        for (fate, steps) in restart.interruptions.iter().copied() {
            let context = context(&self.settings, &disk, &self.clock, boot_id);
            let epochs = Epochs { current: epoch, synced_after: self.synced_after };
            let outcome = open_for(&disk, steps, open(context, &self.settings, epochs));
            self.check_open_error(outcome.map_or(Ok(()), |opened| opened.map(drop)))?;
            disk = fate.of(&disk, restart.seed);
            worst = worst.max(fate);
            epoch += 1;
            boot_id += u64::from(fate == Fate::PowerLoss);
        }
        let before = Directory::of(&disk);
        if let Some(fault) = restart.fault {
            disk.inject(fault);
            let context = context(&self.settings, &disk, &self.clock, boot_id);
            let epochs = Epochs { current: epoch, synced_after: self.synced_after };
            let opened = disk.run_until(open(context, &self.settings, epochs)).map(drop);
            while disk.step() {}
            disk.clear_faults();
            epoch += 1;
            match opened {
                Err(OpenError::Disk(error)) if is_injected(&error) => tally::count("open: the disk failed"),
                opened => self.check_open_error(opened)?,
            }
        }
        let epochs = (epoch, self.synced_after, boot_id);
        let opened = Self::with(self.settings.clone(), disk.clone(), self.model.clone(), epochs);
        let after = Directory::of(&disk);
        let mut rig = match opened {
            Ok(rig) => rig,
            Err(error) => {
                let changed = if after == before { "nothing changed" } else { "files changed" };
                tally::count(&format!("open: refused as damaged, {changed}"));
                return Err(self.check_open_error(Err(error)).expect_err("it is an error"));
            }
        };
        before.count_changes(&after, rig.log.log_start_offset(), rig.log.log_end_offset());
        self.check_reopened(&mut rig, worst);
        rig.held.clone_from(&self.held);
        Ok(rig)
    }

    /// Panics at an error that the injected faults do not explain.
    fn check_open_error(&self, opened: Result<(), OpenError>) -> Result<(), OpenError> {
        match opened {
            Err(error) if !self.trust.is_broken() => panic!("an undamaged log does not open: {error}"),
            opened => opened,
        }
    }

    fn check_reopened(&self, rig: &mut Self, fate: Fate) {
        let end = rig.log.log_end_offset();
        let (level, trusted_to) = match self.trust {
            Trust::Whole => (fate.survives(), i64::MAX),
            Trust::Synced => (Durability::Synced, i64::MAX),
            Trust::Below(offset) => (fate.survives(), offset),
            Trust::Nothing => (fate.survives(), i64::MIN),
        };
        if rig.model.loses(end, level) {
            tally::count("open: damage is taken for the end");
        }
        rig.model.reopened_below(end, level, trusted_to);
        rig.trust = match self.trust {
            Trust::Synced => Trust::Whole,
            trust => trust,
        };
        assert_eq!(rig.log.high_watermark(), end);
        if !self.trust.has_metadata() {
            return;
        }
        let start = rig.log.log_start_offset();
        assert!(start >= rig.model.deleted_to, "deleted records do not come back");
        if rig.model.deletions.contains(&start) {
            return;
        }
        assert!(start == 0 || rig.settings.has_retention(), "nothing is deleted without retention");
        assert!(rig.model.begins_batch(start), "whole segments are deleted");
    }

    /// Checks that a segment's name leads to the segment's own bytes and no others, even if the segment was being deleted.
    fn check_old_names(&self, disk: &SimDisk) {
        let names = disk.run_until(disk.list(&dir())).unwrap_or_default();
        for entry in &names {
            let base_offset = segment::base_offset_of(&entry.name);
            let Some(base_offset) = base_offset.filter(|base| *base < self.log.log_start_offset()) else {
                continue;
            };
            // After a deletion of records the start may lie in a segment that is not sealed. Its file is longer than its
            // batches.
            let names = names.iter().map(|entry| entry.name.as_str());
            if !self.model.deletions.is_empty() && !segment::has_indexes(base_offset, names) {
                continue;
            }
            let bytes = disk.run_until(disk.read_file(&dir().join(&entry.name))).unwrap();
            let is_its_own = self.model.are_batches_from(base_offset, &bytes);
            assert!(is_its_own, "{} shows other bytes than its own", entry.name);
        }
    }

    /// Replaces this log by the one that [`Rig::restarted`] returns, and reads all records. If the open refuses the log as damaged,
    /// a new log on an empty disk replaces it.
    pub(crate) fn restart(&mut self, restart: &Restart) {
        match self.reopened(restart) {
            Ok(rig) => {
                *self = rig;
                self.read_from(self.log.log_start_offset());
            }
            Err(_) => self.begin_again(restart.seed),
        }
    }

    /// Replaces the log and its disk by new ones.
    pub(crate) fn begin_again(&mut self, seed: u64) {
        tally::add_faults(&self.disk);
        *self = Self::new(self.settings.clone(), seed);
    }
}

/// The files of a log's directory.
#[derive(PartialEq, Eq)]
struct Directory(BTreeMap<String, Vec<u8>>);

impl Directory {
    fn of(disk: &SimDisk) -> Self {
        // Read from a copy, so that the disk's own operations keep their order.
        let disk = disk.kill(0);
        let names = disk.run_until(disk.list(&dir())).unwrap_or_default();
        let files = names.into_iter().map(|entry| {
            let bytes = disk.run_until(disk.read_file(&dir().join(&entry.name))).unwrap();
            (entry.name, bytes)
        });
        Self(files.collect())
    }

    /// Counts what an open has done with the files; `after` holds the files that are left.
    fn count_changes(&self, after: &Self, start: i64, end: i64) {
        let mut is_clean = true;
        let mut changed = |name: &str| {
            is_clean = false;
            tally::count(&format!("open: {name}"));
        };
        for (name, bytes) in &self.0 {
            let left = after.0.get(name);
            match (name.as_str(), segment::base_offset_of(name), left) {
                (segment::SPARE, _, Some(_)) => tally::count("open: spare adopted"),
                (segment::SPARE, _, None) => changed("spare removed"),
                (segment::FILLING, ..) => changed("unfinished spare removed"),
                (segment::PREPARING, ..) => changed("prepared file removed"),
                (_, Some(base), None) if base < start => changed("deletion finished"),
                (_, Some(base), None) if base == end => changed("empty segment removed"),
                (_, Some(_), None) => changed("later segments discarded"),
                (_, Some(_), Some(left)) if left.len() < bytes.len() => {
                    let is_torn = bytes[left.len()..].iter().any(|byte| *byte != 0);
                    changed(if is_torn { "torn tail cut" } else { "reserved space cut" });
                }
                _ => {}
            }
        }
        let has_new_index = after.0.keys().any(|name| name.ends_with("index") && !self.0.contains_key(name));
        if is_clean && !has_new_index {
            tally::count("open: clean");
        }
    }
}

fn damage_index(disk: &SimDisk, damage: Option<IndexDamage>) {
    let Some(damage) = damage else { return };
    let Ok(entries) = disk.run_until(disk.list(&dir())) else { return };
    let names = entries.into_iter().map(|entry| entry.name).filter(|name| name.ends_with("index"));
    let paths: Vec<PathBuf> = names.map(|name| dir().join(name)).collect();
    if paths.is_empty() {
        return;
    }
    match damage {
        IndexDamage::Removed { file } => {
            disk.run_until(disk.remove_file(&paths[file % paths.len()])).unwrap();
            disk.run_until(disk.sync_dir(&dir())).unwrap();
        }
        IndexDamage::Flipped { file, position } => flip(disk, &paths[file % paths.len()], position),
    }
}

/// Flips a bit of the byte at `position` modulo the length of the file.
pub(crate) fn flip(disk: &SimDisk, path: &Path, position: u64) {
    let len = disk.run_until(disk.read_file(path)).unwrap().len() as u64;
    if len > 0 {
        disk.damage(path, position % len).unwrap();
    }
}

/// Gives an attempt to open `steps` steps of the disk. Returns its outcome if it ended within them.
fn open_for(
    disk: &SimDisk,
    steps: usize,
    open: impl Future<Output = Result<Rc<SimLog>, OpenError>>,
) -> Option<Result<Rc<SimLog>, OpenError>> {
    let mut open = pin!(open);
    let context = &mut Context::from_waker(Waker::noop());
    for _ in 0..=steps {
        match open.as_mut().poll(context) {
            Poll::Pending => assert!(disk.step(), "opening waits for nothing"),
            Poll::Ready(opened) => return Some(opened),
        }
    }
    None
}

impl Model {
    /// Whether a log that ends at `end` has lost a batch that was promised as `level`.
    fn loses(&self, end: i64, level: Durability) -> bool {
        self.batches()
            .iter()
            .rev()
            .take_while(|batch| batch.next_offset > end)
            .any(|batch| batch.is_promised(level))
    }
}
