//! The stamp that every record carries: its producer, its sequence number, and the time at which it was intended to be
//! sent.
//!
//! ```text
//!  0        8        16       20      24
//!  sequence intended producer check   …the rest of the value
//!  u64      u64 ns   u32      u32     (little endian)
//! ```
//! The stamp is the first part of a random value. Real data has it in a record header of its own instead. `check` covers
//! the other fields and, under `sequence+crc`, the CRC-32C of the rest of the value.
//!
//! The upper 12 bits of `producer` are the machine's number ([`crate::host::machine_id::machine_number`]) and the lower 20
//! bits the producer's. So records of one machine are not taken for those of another.

use crate::workload::limits::{PRODUCERS_MAX, STAMP_BYTES};
use anyhow::Context as _;
use rustix::rand::{GetRandomFlags, getrandom};

/// The stamp of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Position in its producer's sequence for this partition, from 0.
    pub sequence: u64,
    /// Time at which the record was intended to be sent, in ns on the trial's clock.
    pub intended_ns: u64,
    /// Sender of the record, as [`sender`] returns it.
    pub producer: u32,
}

/// Returns the stamp's number for producer `producer`, counted over all topics, on machine `machine`.
///
/// # Panics
/// If `producer` or `machine` is larger than the stamp can hold.
pub fn sender(machine: u32, producer: u32) -> u32 {
    assert!(producer < PRODUCERS_MAX, "validation bounds the number of producers");
    assert!(machine <= u32::MAX / PRODUCERS_MAX, "a machine's number has 12 bits");
    machine * PRODUCERS_MAX + producer
}

/// Returns a number for the checks of one trial's stamps, so that no other records pass for those of the trial.
///
/// # Errors
/// The kernel has no random numbers.
pub fn salt() -> anyhow::Result<u32> {
    let mut bytes = [0; 4];
    getrandom(&mut bytes, GetRandomFlags::empty()).context("the kernel gives no random number")?;
    Ok(u32::from_le_bytes(bytes))
}

impl Stamp {
    /// Returns the bytes of the stamp. `body_crc` is 0 if bodies are not checked. In a topic that others may write to, the trial's
    /// [`salt`] is mixed in (exclusive or).
    pub fn encode(self, body_crc: u32) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[0..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.intended_ns.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.producer.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.check(body_crc).to_le_bytes());
        bytes
    }

    /// Decodes the stamp at the start of `bytes`. Returns `None` if `bytes` is too short or the check does not match.
    pub fn decode(bytes: &[u8], body_crc: u32) -> Option<Self> {
        let (sequence, rest) = bytes.split_first_chunk()?;
        let (intended_ns, rest) = rest.split_first_chunk()?;
        let (producer, rest) = rest.split_first_chunk()?;
        let (check, _) = rest.split_first_chunk()?;
        let stamp = Self {
            sequence: u64::from_le_bytes(*sequence),
            intended_ns: u64::from_le_bytes(*intended_ns),
            producer: u32::from_le_bytes(*producer),
        };
        (stamp.check(body_crc) == u32::from_le_bytes(*check)).then_some(stamp)
    }

    /// Returns the check value. Odd multipliers are bijections, so a change of any single field changes the sum. The
    /// upper half is used, because its bits are mixed best.
    fn check(self, body_crc: u32) -> u32 {
        let sum = self.sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ self.intended_ns.rotate_left(32).wrapping_mul(0xC2B2_AE3D_27D4_EB4F)
            ^ u64::from(self.producer).wrapping_mul(0x1656_67B1_9E37_79F9);
        crate::num::high_u32(sum.wrapping_mul(0xD6E8_FEB8_6659_FD93)) ^ body_crc
    }
}

/// Returns the CRC-32C of a value without its stamp.
pub fn body_crc(body: &[u8]) -> u32 {
    crate::num::low_u32(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_encoded_stamp_is_decoded_to_itself(sequence: u64, intended_ns: u64, producer: u32, crc: u32) {
            let stamp = Stamp { sequence, intended_ns, producer };
            prop_assert_eq!(Stamp::decode(&stamp.encode(crc), crc), Some(stamp));
        }

        #[test]
        fn a_flipped_bit_in_stamp_or_body_is_seen(
            sequence in 0u64..1 << 40, intended_ns in 0u64..1 << 40, producer in 0u32..1000, bit in 0usize..(24 + 40) * 8,
            body in prop::collection::vec(any::<u8>(), 40),
        ) {
            let crc = body_crc(&body);
            let mut value = Stamp { sequence, intended_ns, producer }.encode(crc).to_vec();
            value.extend_from_slice(&body);
            value[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Stamp::decode(&value, body_crc(&value[STAMP_BYTES..])), None);
        }
    }

    #[test]
    fn two_machines_have_no_sender_in_common() {
        assert_eq!(sender(0, 7), 7);
        assert_eq!(sender(0xfff, PRODUCERS_MAX - 1), u32::MAX);
        assert_eq!(sender(1, 0), sender(0, PRODUCERS_MAX - 1) + 1);
    }

    #[test]
    fn a_short_value_has_no_stamp() {
        assert_eq!(Stamp::decode(&[0; 23], 0), None);
    }
}
