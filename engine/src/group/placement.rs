//! The place of a group: its partition of the topic that holds the records of all groups.

/// Returns the partition of [`OFFSETS_TOPIC`](super::OFFSETS_TOPIC) that a group belongs to, as Kafka does: Java's `String.hashCode` of the id,
/// without its sign, modulo the number of partitions.
pub fn partition_of_group(group: &str, partitions: u32) -> u32 {
    let hash =
        group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Kafka's `Utils.abs` makes 0 of the smallest number, which has no absolute value of its own.
    let positive = if hash == i32::MIN { 0 } else { hash.unsigned_abs() };
    positive % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_belongs_to_the_partition_that_javas_hash_names() {
        // Values of `String.hashCode`: "" 0, "a" 97, "test-group" -1267425308, "polygenelubricants" the smallest integer.
        assert_eq!(partition_of_group("", 16), 0);
        assert_eq!(partition_of_group("a", 16), 97 % 16);
        assert_eq!(partition_of_group("hello", 50), 99_162_322 % 50);
        assert_eq!(partition_of_group("polygenelubricants", 50), 0);
        // U+1F600 is two UTF-16 units: 0xD83D * 31 + 0xDE00.
        assert_eq!(partition_of_group("\u{1F600}", 1_000_000), 1_772_899 % 1_000_000);
    }
}
