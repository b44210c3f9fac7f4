//! The order in which Kafka's coordinator walks the members of a group: that of Java's `HashMap`.
//!
//! Kafka's next leader is the first member of that walk, so the order can be observed. A `HashMap` has a power of two of
//! buckets, 16 at first, and doubles them when it holds more entries than three quarters of that. An entry's bucket comes from
//! the low bits of its hash. Entries of one bucket stand in the order in which they were added; doubling keeps it. Java turns a
//! bucket of nine entries into a tree, which keeps that order as well.

/// Buckets of a new map.
const BUCKETS_MIN: u32 = 16;

/// The number of buckets of a map. It never shrinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Buckets(u32);

impl Buckets {
    /// Returns the number for an empty map.
    pub(crate) const fn new() -> Self {
        Self(BUCKETS_MIN)
    }

    /// Makes room for `entries`.
    pub(crate) const fn grow(&mut self, entries: usize) {
        while entries > self.0 as usize / 4 * 3 && self.0 < 1 << 30 {
            self.0 *= 2;
        }
    }

    /// Returns the bucket of `key`.
    pub(crate) fn of(self, key: &str) -> u32 {
        let hash = string_hash(key);
        (hash ^ (hash >> 16)) & (self.0 - 1)
    }
}

/// Returns Java's `String.hashCode`: each UTF-16 unit is added to 31 times the hash of those before it.
fn string_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// Returns the keys in the order in which Java walks a `HashMap` to which they were added in the order given.
pub(crate) fn in_java_order<'a>(keys: impl ExactSizeIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut buckets = Buckets::new();
    buckets.grow(keys.len());
    let mut keys: Vec<&str> = keys.collect();
    keys.sort_by_key(|key| buckets.of(key));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_string_is_javas() {
        // Printed by a JVM.
        assert_eq!(string_hash(""), 0);
        assert_eq!(string_hash("a"), 97);
        assert_eq!(string_hash("consumer").cast_signed(), -567_770_122);
        assert_eq!(string_hash("é€😀").cast_signed(), 16_752_006);
    }

    #[test]
    fn buckets_double_when_the_thirteenth_entry_arrives() {
        let mut buckets = Buckets::new();
        buckets.grow(12);
        assert_eq!(buckets, Buckets(16));
        buckets.grow(13);
        assert_eq!(buckets, Buckets(32));
        buckets.grow(1);
        assert_eq!(buckets, Buckets(32));
    }

    #[test]
    fn keys_of_one_bucket_keep_the_order_in_which_they_were_added() {
        // "Aa" and "BB" have the same hash.
        assert_eq!(string_hash("Aa"), string_hash("BB"));
        assert_eq!(in_java_order(["BB", "Aa", "b", "a"].into_iter()), ["BB", "Aa", "a", "b"]);
    }

    #[test]
    fn many_keys_stand_in_the_order_that_a_jvm_prints() {
        let added: Vec<String> = (0..20).map(|number| format!("member-{number}")).collect();
        let walked = [19, 18, 17, 16, 5, 15, 6, 14, 3, 13, 4, 12, 9, 11, 10, 7, 8, 1, 2, 0];
        let expected: Vec<String> = walked.iter().map(|number| format!("member-{number}")).collect();
        assert_eq!(in_java_order(added.iter().map(String::as_str)), expected);
    }
}
