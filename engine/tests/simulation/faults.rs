//! The ways in which a disk misbehaves in a history, and the promises that they leave.

use crate::restart::{INJECTED, Trust};
use crate::rig::{Rig, dir};
use proptest::prelude::*;
use vnotch_engine::disk::Disk as _;
use vnotch_engine::disk::sim::{Effect, Fault};
use vnotch_engine::error::DiskOp;
use vnotch_engine::segment;

/// Bytes at the beginning of a batch that hold its base offset: no checksum covers them, so rot there may be served.
const OFFSET_BYTES: u64 = 8;

/// A fault of the disk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Misbehaviour {
    Fault(Fault),
    /// A bit flips in the file of a segment; both numbers are counted round.
    Rot {
        file: usize,
        position: u64,
    },
}

/// An operation that fails and leaves every promise in place.
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
        // Looked at from the side: the disk's own operations keep their order.
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
        // The file may be gone since.
        let _ = self.disk.damage(&path, position);
    }
}
