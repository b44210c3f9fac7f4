//! The ways in which a disk misbehaves in a history, and the promises that still hold then.

use crate::model::batch;
use crate::restart::{INJECTED, Trust};
use crate::rig::{Fate, Restart, Settings};
use crate::rig::{Rig, dir};
use proptest::prelude::*;
use std::rc::Rc;
use vnotch_engine::disk::Disk as _;
use vnotch_engine::disk::sim::{Effect, Fault};
use vnotch_engine::error::DiskOp;
use vnotch_engine::segment;

/// Bytes at the beginning of a batch that hold its base offset: no checksum covers them, so a flipped bit there may be served.
const OFFSET_BYTES: u64 = 8;

/// A fault of the disk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Misbehaviour {
    Fault(Fault),
    /// A bit flips in the file of a segment. `file` counts modulo the number of segments, `position` modulo the file's length.
    Rot {
        file: usize,
        position: u64,
    },
}

/// A fault after which every promise still holds: an operation fails.
pub(crate) fn failure() -> impl Strategy<Value = Fault> {
    let ops = vec![
        DiskOp::Open,
        DiskOp::Create,
        DiskOp::Read,
        DiskOp::Write,
        DiskOp::Sync,
        DiskOp::Allocate,
        DiskOp::Truncate,
        DiskOp::Rename,
        DiskOp::Remove,
        DiskOp::CreateDir,
        DiskOp::SyncDir,
        DiskOp::List,
    ];
    let operations_before = prop_oneof![2 => Just(0), 1 => 0_u64..8];
    (prop::sample::select(ops), operations_before).prop_map(|(op, operations_before)| Fault {
        op,
        operations_before,
        effect: Effect::Fails(INJECTED),
    })
}

/// A fault that breaks promises.
pub(crate) fn breach() -> impl Strategy<Value = Misbehaviour> {
    let of_syncs = vec![Effect::FailsAndDropsFile(INJECTED), Effect::FailsAndDropsDevice(INJECTED)];
    let of_writes = vec![Effect::IsLost, Effect::IsMisdirected];
    let fault =
        |op| move |(operations_before, effect)| Misbehaviour::Fault(Fault { op, operations_before, effect });
    prop_oneof![
        2 => (0_u64..4, prop::sample::select(of_syncs)).prop_map(fault(DiskOp::Sync)),
        1 => (0_u64..6, prop::sample::select(of_writes)).prop_map(fault(DiskOp::Write)),
        2 => (0_usize..8, any::<u64>()).prop_map(|(file, position)| Misbehaviour::Rot { file, position }),
    ]
}

impl Rig {
    pub(crate) fn misbehave(&mut self, misbehaviour: &Misbehaviour) {
        match *misbehaviour {
            Misbehaviour::Fault(fault) => {
                self.trust.worsen(match fault.effect {
                    Effect::Fails(_) => Trust::Whole,
                    Effect::FailsAndDropsFile(_) | Effect::FailsAndDropsDevice(_) => Trust::Synced,
                    Effect::IsLost | Effect::IsMisdirected => Trust::Nothing,
                });
                self.disk.inject(fault);
            }
            Misbehaviour::Rot { file, position } => self.rot(file, position),
        }
    }

    fn rot(&mut self, file: usize, position: u64) {
        // Read from a copy, so that the disk's own operations keep their order.
        let beside = self.disk.kill(0);
        let names = beside.run_until(beside.list(&dir())).unwrap();
        let bases: Vec<i64> = names.iter().filter_map(|entry| segment::base_offset_of(&entry.name)).collect();
        let Some(base) = bases.get(file % bases.len().max(1)).copied() else { return };
        let path = segment::log_path(&dir(), base);
        let len = beside.run_until(beside.read_file(&path)).map_or(0, |bytes| bytes.len() as u64);
        if len == 0 {
            return;
        }
        let mut position = position % len;
        let found = self.model.batch_at(base, position);
        if let Some((_, begins)) = found {
            position = position.max(begins + OFFSET_BYTES);
        }
        self.trust.worsen(Trust::Below(found.map_or(self.model.next_offset(), |(offset, _)| offset)));
        // The file may have been removed meanwhile.
        let _ = self.disk.damage(&path, position);
    }
}

#[test]
fn a_read_that_failed_works_when_it_is_repeated() {
    let mut met = 0;
    for operations_before in 0..5 {
        let mut rig = Rig::new(Settings { cache_bytes: 0, ..Settings::default() }, operations_before);
        for number in 0..9 {
            rig.append(batch(number, 3, 300_000), None);
        }
        rig.run_to_idle();
        rig.restart(&Restart::simple(Fate::Kill, operations_before));
        rig.log.shed_memory();
        rig.disk.inject(Fault { op: DiskOp::Read, operations_before, effect: Effect::Fails(INJECTED) });
        let (mut offset, end) = (0, rig.log.high_watermark());
        let mut failed = 0;
        while offset < end {
            let read = Rc::clone(&rig.log).fetch_from_disk(offset, 300_000);
            match rig.disk.run_until(read) {
                Ok(pieces) => offset = rig.model.check(offset, &pieces, end),
                Err(_) => failed += 1,
            }
            assert!(failed < 2, "one read has failed, and its error comes again");
        }
        met += failed;
    }
    assert!(met >= 2, "{met} reads have failed");
}
