//! The values that records carry. They are made or read before the run, used in turn, and stamped when they are sent.

use super::stamp::{Stamp, body_crc};
use crate::num;
use crate::system::STAMP_HEADER;
use crate::workload::limits::STAMP_BYTES;
use crate::workload::{Lines, MessageSize, PayloadSource, Verify, Workload};
use rand::rngs::SmallRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use std::ops::Range;
use std::sync::Arc;

/// The place of the stamp in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampPlace {
    /// In the first bytes of the value. Random data may be overwritten.
    Value,
    /// In a header named [`STAMP_HEADER`]. Real data stays unchanged, and small values have no room for it.
    Header,
}

/// The values of a run in one piece of memory. If stamps are written into the values, every load thread has its own
/// copy.
#[derive(Debug, Clone)]
pub struct Pool {
    values: Values,
    entries: Arc<[Entry]>,
    stamp: [u8; STAMP_BYTES],
    /// Mixed into the checks of all stamps; 0 changes nothing.
    salt: u32,
}

/// The bytes of all values.
#[derive(Debug, Clone)]
enum Values {
    /// Random data of this load thread. Stamps are written into it.
    Own(Vec<u8>),
    /// Real data and small values, which all load threads share.
    Shared(Arc<[u8]>),
}

/// One value: its place in the bytes of all values, and the CRC of its body (0 if bodies are not checked).
#[derive(Debug, Clone)]
struct Entry {
    range: Range<usize>,
    body_crc: u32,
}

impl Pool {
    /// Makes the values that a workload asks for. The same workload gives the same values.
    ///
    /// # Errors
    /// The payload file can no longer be read.
    pub fn of(workload: &Workload) -> anyhow::Result<Self> {
        let mut rng = SmallRng::seed_from_u64(workload.payload.seed);
        let place = if workload.has_stamp_header() { StampPlace::Header } else { StampPlace::Value };
        let (bytes, ranges) = match &workload.payload.source {
            PayloadSource::Random { compressibility, pool } => {
                let count = workload.pool_entries(*pool);
                random(&mut rng, &workload.message_size, compressibility.0, count)
            }
            PayloadSource::File(file) => {
                let lines = Lines::read(&file.path)?;
                (lines.bytes, lines.records)
            }
        };
        let checked = workload.verify == Verify::SequenceCrc;
        let entry_of = |range: Range<usize>| {
            let body = place.body_of(&bytes[range.clone()]);
            Entry { body_crc: if checked { body_crc(body) } else { 0 }, range }
        };
        let entries = ranges.into_iter().map(entry_of).collect();
        let values = match place {
            StampPlace::Value => Values::Own(bytes),
            StampPlace::Header => Values::Shared(bytes.into()),
        };
        Ok(Self { values, entries, stamp: [0; STAMP_BYTES], salt: 0 })
    }

    /// Mixes `salt` into the checks of all stamps.
    #[must_use]
    pub fn with_salt(self, salt: u32) -> Self {
        Self { salt, ..self }
    }

    /// Returns the place of the stamps of this pool's values.
    pub fn place(&self) -> StampPlace {
        match self.values {
            Values::Own(_) => StampPlace::Value,
            Values::Shared(_) => StampPlace::Header,
        }
    }

    /// Returns the number of different values.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Always false: a pool has at least one value. It satisfies clippy's len_without_is_empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the size of value number `entry` in bytes.
    pub fn value_bytes(&self, entry: usize) -> usize {
        self.entries[entry].range.len()
    }

    /// Returns the mean size of a value in bytes, rounded up.
    pub fn mean_value_bytes(&self) -> u64 {
        let total: usize = self.entries.iter().map(|e| e.range.len()).sum();
        num::count(total.div_ceil(self.entries.len()))
    }

    /// Returns value number `entry` with `stamp` on it, or in a header if this pool's stamps are in headers.
    pub fn stamped(&mut self, entry: usize, stamp: Stamp) -> Stamped<'_> {
        let Entry { range, body_crc } = &self.entries[entry];
        let bytes = stamp.encode(*body_crc ^ self.salt);
        match &mut self.values {
            Values::Own(values) => {
                let value = &mut values[range.clone()];
                value[..STAMP_BYTES].copy_from_slice(&bytes);
                Stamped { value, header: None }
            }
            Values::Shared(values) => {
                self.stamp = bytes;
                Stamped { value: &values[range.clone()], header: Some((STAMP_HEADER, &self.stamp)) }
            }
        }
    }
}

/// A value that can be sent.
#[derive(Debug)]
pub struct Stamped<'a> {
    /// The value.
    pub value: &'a [u8],
    /// The header that carries the stamp, if the value does not.
    pub header: Option<(&'static str, &'a [u8])>,
}

impl StampPlace {
    /// Returns the part of a value that is not the stamp.
    pub fn body_of(self, value: &[u8]) -> &[u8] {
        match self {
            Self::Value => value.get(STAMP_BYTES..).unwrap_or_default(),
            Self::Header => value,
        }
    }
}

/// Makes `count` values whose first part is random and whose rest is zeros. `compressibility` is the share of zeros.
fn random(
    rng: &mut SmallRng,
    sizes: &MessageSize,
    compressibility: f64,
    count: u64,
) -> (Vec<u8>, Vec<Range<usize>>) {
    let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let size = draw_size(rng, sizes);
        let random_bytes = num::index_of_f64(num::f64_of(num::count(size)) * (1.0 - compressibility));
        let start = bytes.len();
        bytes.resize(start + size, 0);
        rng.fill_bytes(&mut bytes[start..start + random_bytes.clamp(STAMP_BYTES.min(size), size)]);
        ranges.push(start..start + size);
    }
    (bytes, ranges)
}

fn draw_size(rng: &mut SmallRng, sizes: &MessageSize) -> usize {
    let bytes = match sizes {
        MessageSize::Fixed(size) => size.0,
        MessageSize::Range(range) => rng.random_range(range.min.0..=range.max.0),
        MessageSize::Weighted(list) => {
            let total: f64 = list.iter().map(|entry| entry.weight).sum();
            let mut left = rng.random::<f64>() * total;
            let drawn = list.iter().find(|entry| {
                left -= entry.weight;
                left < 0.0
            });
            drawn.or(list.last()).map_or(0, |entry| entry.size.0)
        }
    };
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Bytes, Fraction, Payload, PayloadFile, SizeRange, Split};

    fn workload(size: MessageSize, source: PayloadSource) -> Workload {
        Workload {
            message_size: size,
            payload: Payload { seed: 7, source },
            verify: Verify::SequenceCrc,
            ..Default::default()
        }
    }

    fn random_source(compressibility: f64) -> PayloadSource {
        PayloadSource::Random { compressibility: Fraction(compressibility), pool: 100 }
    }

    fn own(pool: &Pool) -> &[u8] {
        let Values::Own(values) = &pool.values else { panic!("random values are each thread's own") };
        values
    }

    #[test]
    fn the_same_seed_gives_the_same_values_and_sizes_stay_in_their_range() {
        let range = SizeRange { min: Bytes(30), max: Bytes(90) };
        let workload = workload(MessageSize::Range(range), random_source(0.5));
        let (one, two) = (Pool::of(&workload).unwrap(), Pool::of(&workload).unwrap());
        assert_eq!((one.len(), own(&one)), (100, own(&two)));
        assert!((0..100).all(|entry| (30..=90).contains(&one.value_bytes(entry))));
    }

    #[test]
    fn compressibility_is_the_share_of_zeros() {
        let pool = Pool::of(&workload(MessageSize::Fixed(Bytes(1000)), random_source(0.75))).unwrap();
        assert!(own(&pool)[..1000][250..].iter().all(|byte| *byte == 0));
        assert!(own(&pool)[..250].iter().filter(|byte| **byte == 0).count() < 20);
    }

    #[test]
    fn a_stamped_value_carries_its_stamp_and_its_bodys_crc() {
        let mut pool = Pool::of(&workload(MessageSize::Fixed(Bytes(100)), random_source(0.0))).unwrap();
        let stamp = Stamp { sequence: 9, intended_ns: 8, producer: 7 };
        let stamped = pool.stamped(3, stamp);
        assert_eq!(Stamp::decode(stamped.value, body_crc(&stamped.value[STAMP_BYTES..])), Some(stamp));
        assert!(stamped.header.is_none());
    }

    #[test]
    fn a_value_without_room_for_a_stamp_has_its_size_and_the_stamp_in_a_header() {
        let mut workload = workload(MessageSize::Fixed(Bytes(10)), random_source(0.0));
        workload.verify = Verify::None;
        let mut pool = Pool::of(&workload).unwrap();
        assert_eq!((pool.mean_value_bytes(), pool.place()), (10, StampPlace::Header));
        let stamp = Stamp { sequence: 1, intended_ns: 2, producer: 3 };
        let stamped = pool.stamped(1, stamp);
        assert_eq!(stamped.value.len(), 10);
        assert_eq!(Stamp::decode(stamped.header.unwrap().1, 0), Some(stamp));
    }

    #[test]
    fn real_data_stays_unchanged_and_has_its_stamp_in_a_header() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lines.txt");
        std::fs::write(&path, "one\n\nthree\n").unwrap();
        let source = PayloadSource::File(PayloadFile::new(path, Split::Lines));
        let mut pool = Pool::of(&workload(MessageSize::Fixed(Bytes(100)), source)).unwrap();
        assert_eq!(pool.len(), 2);
        let stamp = Stamp { sequence: 1, intended_ns: 2, producer: 3 };
        let stamped = pool.stamped(1, stamp);
        assert_eq!(stamped.value, b"three");
        let (name, bytes) = stamped.header.unwrap();
        assert_eq!(name, STAMP_HEADER);
        assert_eq!(Stamp::decode(bytes, body_crc(b"three")), Some(stamp));
    }
}
