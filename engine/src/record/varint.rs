//! Zigzag varints as Protocol Buffers and Kafka write them: seven bits a byte, least significant group first.
//!
//! ```text
//! value   0  −1   1  −2 …  63   64        zigzag: (v << 1) ^ (v >> bits−1), so that small magnitudes stay short
//! zigzag  0   1   2   3 … 126  128
//! bytes  00  01  02  03 …  7E  80 01      high bit set: more follow
//! ```

/// The longest varint, in bytes.
#[cfg(test)]
pub(crate) const VARINT_BYTES_MAX: usize = 5;
/// The longest varlong, in bytes.
#[cfg(test)]
pub(crate) const VARLONG_BYTES_MAX: usize = 10;

/// Maps small magnitudes of either sign to small unsigned numbers.
pub(crate) const fn zigzag32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

/// Maps small magnitudes of either sign to small unsigned numbers.
pub(crate) const fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

const fn unzigzag64(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Returns the bytes that `value` takes as a varint: 1 to 5.
pub(crate) const fn varint_bytes(value: i32) -> usize {
    groups(zigzag32(value) as u64)
}

/// Returns the bytes that `value` takes as a varlong: 1 to 10.
pub(crate) const fn varlong_bytes(value: i64) -> usize {
    groups(zigzag64(value))
}

/// Returns the number of groups of seven bits that `value` needs, at least one. `(bits × 9 + 64) / 64` is `ceil(bits /
/// 7)` for 1 to 64 bits, without a division or a branch.
const fn groups(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros();
    ((bits * 9 + 64) >> 6) as usize
}

/// Takes a varint off the front of `bytes`. Returns `None` if it is cut short or does not fit 32 bits; `bytes` is then
/// unspecified. Needless leading-zero groups are accepted, as Kafka accepts them.
#[inline]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<i32> {
    let [first, rest @ ..] = *bytes else { return None };
    if *first < 0x80 {
        *bytes = rest;
        let zigzag = i32::from(*first);
        return Some((zigzag >> 1) ^ -(zigzag & 1));
    }
    i32::try_from(unzigzag64(take_groups::<5>(bytes)?)).ok()
}

/// Takes a varlong off the front of `bytes`. Returns `None` if it is cut short or does not fit 64 bits; `bytes` is then
/// unspecified.
#[inline]
pub(crate) fn take_varlong(bytes: &mut &[u8]) -> Option<i64> {
    let [first, rest @ ..] = *bytes else { return None };
    if *first < 0x80 {
        *bytes = rest;
        return Some(unzigzag64(u64::from(*first)));
    }
    Some(unzigzag64(take_groups::<10>(bytes)?))
}

/// Takes at most `MAX` groups off the front of `bytes`, as one number. Returns `None` if there are more, if they are
/// cut short, or if the tenth overflows 64 bits.
#[inline]
fn take_groups<const MAX: usize>(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for index in 0..MAX {
        let byte = *bytes.get(index)?;
        let group = u64::from(byte & 0x7F);
        if index == 9 && group > 1 {
            return None;
        }
        value |= group << (7 * index);
        if byte < 0x80 {
            *bytes = &bytes[index + 1..];
            return Some(value);
        }
    }
    None
}

/// Appends `value` as a varint.
pub(crate) fn put_varint(buffer: &mut Vec<u8>, value: i32) {
    let mut rest = zigzag32(value);
    while rest >= 0x80 {
        buffer.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    buffer.push(rest.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(value: i32) -> Vec<u8> {
        let mut buffer = Vec::new();
        put_varint(&mut buffer, value);
        buffer
    }

    /// The definition, kept apart from the code under test.
    fn encoded_long(value: i64) -> Vec<u8> {
        let mut rest = zigzag64(value);
        let mut buffer = Vec::new();
        loop {
            let group = u8::try_from(rest & 0x7F).unwrap();
            rest >>= 7;
            if rest == 0 {
                buffer.push(group);
                return buffer;
            }
            buffer.push(group | 0x80);
        }
    }

    #[test]
    fn known_encodings() {
        let cases: [(i32, &[u8]); 9] = [
            (0, &[0x00]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7E]),
            (-64, &[0x7F]),
            (64, &[0x80, 0x01]),
            (8191, &[0xFE, 0x7F]),
            (i32::MAX, &[0xFE, 0xFF, 0xFF, 0xFF, 0x0F]),
            (i32::MIN, &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
        ];
        for (value, bytes) in cases {
            assert_eq!(encoded(value), bytes, "{value}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for bytes in [
            &[][..],
            &[0x80],
            &[0xFF; 4],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0x1F],       // 33 bits
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00], // six groups
        ] {
            assert_eq!(take_varint(&mut { bytes }), None, "{bytes:x?}");
        }
        let mut eleven = [0x80_u8; 11];
        eleven[10] = 0;
        let mut wide = [0xFF_u8; 10];
        wide[9] = 0x02; // 65 bits
        for bytes in [&[][..], &[0x80], &[0xFF; 9], &eleven, &wide] {
            assert_eq!(take_varlong(&mut { bytes }), None, "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn varint_round_trip(value: i32, shift in 0_u32..32, tail: [u8; 2]) {
            let value = value >> shift; // every length, not only the longest
            let mut bytes = encoded(value);
            prop_assert_eq!(bytes.len(), varint_bytes(value));
            prop_assert!(bytes.len() <= VARINT_BYTES_MAX);
            for end in 0..bytes.len() {
                prop_assert_eq!(take_varint(&mut &bytes[..end]), None);
            }
            bytes.extend(tail);
            let mut rest = &bytes[..];
            prop_assert_eq!(take_varint(&mut rest), Some(value));
            prop_assert_eq!(rest, &tail);
        }

        #[test]
        fn varlong_round_trip(value: i64, shift in 0_u32..64, tail: [u8; 2]) {
            let value = value >> shift;
            let mut bytes = encoded_long(value);
            prop_assert_eq!(bytes.len(), varlong_bytes(value));
            prop_assert!(bytes.len() <= VARLONG_BYTES_MAX);
            for end in 0..bytes.len() {
                prop_assert_eq!(take_varlong(&mut &bytes[..end]), None);
            }
            bytes.extend(tail);
            let mut rest = &bytes[..];
            prop_assert_eq!(take_varlong(&mut rest), Some(value));
            prop_assert_eq!(rest, &tail);
        }
    }
}
