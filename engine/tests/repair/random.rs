//! Repairs of random damage, up to three kinds together.

use crate::data::{check, closed, copy, files, flip, open, topic};
use crate::rig::{assert_no_byte_is_lost, dropped, plan, read, segments, start_of_batch_in, unseal};
use proptest::prelude::*;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;
use vnotch_engine::repair;
use vnotch_engine::verify::DefectKind;

static CLOSED: LazyLock<TempDir> = LazyLock::new(closed);

/// A directory with a log that has no sealed segment.
static UNSEALED: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = dropped(topic(), 5_000);
    unseal(dir.path());
    dir
});

#[derive(Debug, Clone)]
enum Damage {
    Flip {
        log: prop::sample::Index,
        bit: prop::sample::Index,
    },
    /// Flips a bit of a batch's header. No checksum covers some of its fields.
    FlipHeader {
        log: prop::sample::Index,
        batch: prop::sample::Index,
        bit: u64,
    },
    Truncate {
        log: prop::sample::Index,
        bytes: prop::sample::Index,
    },
    Zero {
        log: prop::sample::Index,
        from: prop::sample::Index,
    },
    Remove {
        log: prop::sample::Index,
    },
    LoseCheckpoint,
    LoseCatalog,
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => (index(), index()).prop_map(|(log, bit)| Damage::Flip { log, bit }),
        3 => (index(), index(), 0u64..61 * 8).prop_map(|(log, batch, bit)| Damage::FlipHeader { log, batch, bit }),
        2 => (index(), index()).prop_map(|(log, bytes)| Damage::Truncate { log, bytes }),
        2 => (index(), index()).prop_map(|(log, from)| Damage::Zero { log, from }),
        2 => index().prop_map(|log| Damage::Remove { log }),
        1 => Just(Damage::LoseCheckpoint),
        1 => Just(Damage::LoseCatalog),
    ]
}

/// Damages `dir`, a copy of `whole`.
fn harm(whole: &Path, dir: &Path, damage: &Damage) {
    let log = |index: &prop::sample::Index| {
        let logs = files(dir, ".log");
        (!logs.is_empty()).then(|| logs[index.index(logs.len())].clone())
    };
    let len = |path: &Path| fs::metadata(path).unwrap().len() as usize;
    match damage {
        Damage::Flip { log: at, bit } => {
            if let Some(path) = log(at).filter(|path| len(path) > 0) {
                flip(&path, bit.index(len(&path) * 8) as u64);
            }
        }
        Damage::FlipHeader { log: at, batch, bit } => {
            if let Some(path) = log(at) {
                let bytes = fs::read(whole.join("t-0").join(path.file_name().unwrap())).unwrap();
                let batches = vnotch_engine::record::batches(&bytes).map_while(Result::ok).count();
                let bit = start_of_batch_in(&bytes, batch.index(batches)) * 8 + bit;
                if bit / 8 < len(&path) as u64 {
                    flip(&path, bit);
                }
            }
        }
        Damage::Truncate { log: at, bytes } => {
            if let Some(path) = log(at) {
                let bytes = bytes.index(len(&path) + 1) as u64;
                fs::File::options().write(true).open(path).unwrap().set_len(bytes).unwrap();
            }
        }
        Damage::Zero { log: at, from } => {
            if let Some(path) = log(at) {
                let mut bytes = fs::read(&path).unwrap();
                let from = from.index(bytes.len() + 1);
                let to = bytes.len().min(from + 5_000);
                bytes[from..to].fill(0);
                fs::write(path, bytes).unwrap();
            }
        }
        Damage::Remove { log: at } => {
            if let Some(path) = log(at) {
                fs::remove_file(path).unwrap();
            }
        }
        Damage::LoseCheckpoint => drop(fs::remove_file(dir.join("t-0/checkpoint"))),
        Damage::LoseCatalog => drop(fs::remove_file(dir.join("catalog.json"))),
    }
}

/// Whether a repair leaves this kind of defect, because readers can still read all records.
fn is_left(kind: DefectKind) -> bool {
    matches!(kind, DefectKind::Epoch | DefectKind::Index | DefectKind::IndexMissing | DefectKind::Checkpoint)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_a_repair_a_log_opens_and_is_read_from_its_start_to_its_end(
        damages in prop::collection::vec(damage(), 1..4),
        stopped_at in 0usize..12,
        is_closed: bool,
    ) {
        let whole = if is_closed { CLOSED.path() } else { UNSEALED.path() };
        let dir = copy(whole);
        damages.iter().for_each(|damage| harm(whole, dir.path(), damage));
        let before = segments(dir.path());
        let mut steps = 0;
        let _ = repair::apply(plan(dir.path()), &mut |_| {
            steps += 1;
            if steps > stopped_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }).unwrap();
        assert_no_byte_is_lost(dir.path(), &before);
        let ended = repair::apply(plan(dir.path()), &mut |_| ControlFlow::Continue(())).unwrap();
        prop_assert!(ended.is_continue());
        assert_no_byte_is_lost(dir.path(), &before);
        prop_assert!(plan(dir.path()).is_empty());
        let engine = open(dir.path());
        prop_assert!(engine.damaged().is_empty(), "{:?}", engine.damaged());
        let log = engine.describe_topic("t").unwrap().partitions[0];
        read(&engine, 0, log.log_start_offset..log.log_end_offset);
        engine.close().unwrap();
        if is_closed {
            // This does not hold for a log that was not closed: an open cuts off bytes behind its end.
            assert_no_byte_is_lost(dir.path(), &before);
        }
        let report = check(dir.path());
        prop_assert!(report.defects.iter().all(|defect| is_left(defect.kind)), "{:#?}", report.defects);
        prop_assert_eq!(report.partitions[0].damage, None);
    }
}
