//! Random histories of several logs that share a committer, on two devices.

use crate::committer::{Fleet, settings};
use crate::model::{Model, batch};
use crate::restart::{Fate, INJECTED};
use crate::rig::{Settings, Ticket};
use crate::tally;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use vnotch_engine::disk::Disk as _;
use vnotch_engine::disk::sim::{Effect, Fault, SimDisk};
use vnotch_engine::error::DiskOp;
use vnotch_engine::log::{Fetched, Refused};
use vnotch_engine::segment;
use vnotch_engine::types::{Commit, Durability};

/// The directory of the second device.
const SECOND: &str = "/second";

/// Number of attempts to append a batch to a log that is busy.
const OFFERS: usize = 30;

/// Returns the directory of the log with this number. Odd numbers are on the second device, if the disk has one.
pub(crate) fn dir_of(disk: &SimDisk, number: usize) -> PathBuf {
    let root = disk.run_until(disk.list(Path::new("/"))).unwrap();
    let has_second = root.iter().any(|entry| Path::new("/").join(&entry.name) == Path::new(SECOND));
    let root = if has_second && number % 2 == 1 { SECOND } else { "/" };
    Path::new(root).join(format!("t-{number}"))
}

impl Fleet {
    /// Returns a fleet whose logs are on two devices in turn.
    fn on_two_devices(settings: Settings, count: usize, commit: Commit, seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        disk.mount_second(Path::new(SECOND));
        disk.run_until(disk.create_dir(Path::new(SECOND))).unwrap();
        disk.run_until(disk.sync_dir(Path::new("/"))).unwrap();
        Self::with(settings, disk, vec![Model::default(); count], (1, commit))
    }

    /// Appends a batch to a log. The log may not take it, because it has failed or is busy for longer than a few steps.
    pub(crate) fn offer(&mut self, log: usize, bytes: Vec<u8>) {
        for _ in 0..OFFERS {
            let number = self.models[log].batches().len();
            let ticket = Ticket { number, level: Durability::Synced };
            match self.logs[log].append(&bytes, None, ticket) {
                Ok(()) => {
                    self.models[log].appended(bytes, self.epoch);
                    self.turn();
                    return;
                }
                Err(Refused::NotNow(_) | Refused::NoMemory(_)) => {
                    self.step();
                }
                Err(Refused::Failed(_, error)) => {
                    assert!(self.logs[log].failed().is_some(), "a valid batch is refused: {error}");
                    return;
                }
            }
        }
    }

    /// Opens the logs on `disk`, which is what an end has left of this fleet's disk. Checks that everything acked as synced is
    /// there.
    pub(crate) fn reopened(&self, disk: SimDisk) -> Self {
        disk.evict();
        let models = self.models.clone();
        let mut after = Self::with(self.settings.clone(), disk, models, (self.epoch + 1, self.commit));
        for (log, model) in after.logs.iter().zip(&mut after.models) {
            let (mut offset, end) = (log.log_start_offset(), log.log_end_offset());
            model.reopened(end, Durability::Synced);
            while offset < end {
                let pieces = match log.fetch(offset, 700_000).unwrap() {
                    Fetched::Batches(pieces) => pieces,
                    Fetched::OnDisk => {
                        after.disk.run_until(Rc::clone(log).fetch_from_disk(offset, 700_000)).unwrap()
                    }
                    Fetched::Nothing => panic!("there is more below the end"),
                };
                offset = model.check(offset, &pieces, end);
            }
        }
        after
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Offer { log, seed, bytes } => {
                self.offer(log % self.logs.len(), batch(*seed, 3, *bytes));
            }
            Event::Steps(count) => {
                for _ in 0..*count {
                    self.step();
                }
            }
            Event::RunToIdle => while self.step() {},
            Event::Probe { device, seed } => {
                self.reopened(
                    device.map_or_else(
                        || self.disk.crash(*seed),
                        |device| self.disk.crash_device(device, *seed),
                    ),
                );
            }
            Event::Fault(fault) => self.disk.inject(*fault),
            Event::Restart { fate, seed } => *self = self.reopened(fate.of(&self.disk, *seed)),
        }
    }
}

/// Something that happens to several logs.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Offer {
        log: usize,
        seed: u64,
        bytes: usize,
    },
    Steps(usize),
    RunToIdle,
    /// Ends a copy by a power loss of both devices, or of one, and checks it.
    Probe {
        device: Option<usize>,
        seed: u64,
    },
    Fault(Fault),
    Restart {
        fate: Fate,
        seed: u64,
    },
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    let bytes = prop_oneof![6 => 1_000_usize..20_000, 2 => 20_000_usize..60_000, 3 => 60_000_usize..300_000];
    let device = prop::sample::select(vec![None, Some(0), Some(1)]);
    let op = prop::sample::select(vec![DiskOp::Write, DiskOp::Sync, DiskOp::Rename, DiskOp::SyncDir]);
    let effects = vec![Effect::Fails(INJECTED), Effect::FailsAndDropsFile(INJECTED)];
    let failure = (op, 0_u64..6).prop_map(|(op, operations_before)| Fault {
        op,
        operations_before,
        effect: Effect::Fails(INJECTED),
    });
    let sync = (prop::sample::select(effects), 0_u64..6).prop_map(|(effect, operations_before)| Fault {
        op: DiskOp::Sync,
        operations_before,
        effect,
    });
    prop_oneof![
        60 => (any::<usize>(), any::<u64>(), bytes)
            .prop_map(|(log, seed, bytes)| Event::Offer { log, seed, bytes }),
        30 => (1_usize..12).prop_map(Event::Steps),
        1 => Just(Event::RunToIdle),
        4 => (device, any::<u64>()).prop_map(|(device, seed)| Event::Probe { device, seed }),
        1 => failure.prop_map(Event::Fault),
        1 => sync.prop_map(Event::Fault),
        3 => (prop::sample::select(vec![Fate::Kill, Fate::PowerLoss]), any::<u64>())
            .prop_map(|(fate, seed)| Event::Restart { fate, seed }),
    ]
}

/// A strategy for the number of a fleet's logs and the way in which it commits.
pub(crate) fn size_and_commit() -> impl Strategy<Value = (usize, Commit)> {
    (3_usize..7, prop::sample::select(vec![Commit::Auto, Commit::Shared, Commit::Each]))
}

/// Runs a history of several logs. Their segments roll and are recycled while other logs share flushes.
pub(crate) fn history(seed: u64, (count, commit): (usize, Commit), events: &[Event]) {
    let mut fleet = Fleet::on_two_devices(settings(), count, commit, seed);
    for (number, event) in (0..).zip(events) {
        if fleet.logs.iter().all(|log| log.failed().is_some()) {
            fleet.apply(&Event::Restart { fate: Fate::Kill, seed: number });
        }
        fleet.apply(event);
    }
    fleet.apply(&Event::Restart { fate: Fate::PowerLoss, seed });
    tally::add_faults(&fleet.disk);
}

proptest! {
    #![proptest_config(crate::config(48))]

    /// Nothing acked as synced is lost when either device or both lose their power.
    #[test]
    fn many_logs_on_two_devices_keep_their_promises(
        seed: u64, size_and_commit in size_and_commit(), events in prop::collection::vec(event(), 1..120),
    ) {
        history(seed, size_and_commit, &events);
    }
}

/// Each device has its own flushes. A flush of one device makes nothing durable on the other.
#[test]
fn a_power_loss_of_one_device_at_every_step_loses_nothing_acked() {
    let mut fleet = Fleet::on_two_devices(settings(), 6, Commit::Shared, 1);
    fleet.fill_first_segments();
    let before = fleet.stats();
    let mut seed = 0;
    for round in 0..8 {
        fleet.round(300 + 10 * round);
        while fleet.step() {
            for device in [0, 1] {
                seed += 1;
                fleet.reopened(fleet.disk.crash_device(device, seed));
            }
        }
    }
    let after = fleet.stats();
    assert_eq!(
        (after.count - before.count, after.syncs - before.syncs),
        (48, 16),
        "one flush for each device"
    );
}

impl Fleet {
    /// Whether the log's next file is partly filled with zeros.
    fn has_half_filled_spare(&self, log: usize) -> bool {
        // Read from a copy, so that the disk's own operations keep their order.
        let disk = self.disk.kill(0);
        let path = dir_of(&disk, log).join(segment::FILLING);
        disk.run_until(disk.read_file(&path)).is_ok_and(|bytes| !bytes.is_empty())
    }
}

/// If a roll takes a spare that is half filled, its zeros are not durable. So a flush of the device does not cover writes over
/// them.
#[test]
fn a_power_loss_after_a_roll_onto_a_half_filled_spare_loses_nothing_acked() {
    let settings = Settings { segment_bytes: 3 << 20, retention_bytes: Some(9 << 20), ..settings() };
    let mut half_filled = 0;
    for seed in 0..8 {
        let models = vec![Model::default(); 4];
        let mut fleet = Fleet::with(settings.clone(), SimDisk::new(seed), models, (1, Commit::Shared));
        // Twelve batches fit a segment. Some spares are half filled when the next one makes their logs roll.
        for number in 0..12 {
            (0..4).for_each(|log| fleet.append(log, batch(number, 3, 250_000)));
            for _ in 0..2 + seed {
                fleet.step();
            }
        }
        half_filled += (0..4).filter(|log| fleet.has_half_filled_spare(*log)).count();
        (0..4).for_each(|log| fleet.append(log, batch(12, 3, 150_000)));
        for round in 0..4 {
            fleet.round(300 + 10 * round);
            for step in 0..12 {
                fleet.step();
                fleet.reopened(fleet.disk.crash(100 * seed + step));
            }
        }
    }
    assert!(half_filled > 8, "{half_filled} spares were half filled");
}
