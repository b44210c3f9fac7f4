//! The limits of the space of the simulated disk.

/// The limits of the disk's space. Without a limit, no operation is refused.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Space {
    /// How many more operations that take space succeed. Every further one fails. `None`: there is no such limit.
    operations_left: Option<u64>,
    /// Bytes that all files together may have. `None`: there is no such limit.
    capacity_bytes: Option<u64>,
}

impl Space {
    pub(super) const fn fill_up(&mut self, operations_before: u64) {
        self.operations_left = Some(operations_before);
    }

    pub(super) const fn limit(&mut self, capacity_bytes: u64) {
        self.capacity_bytes = Some(capacity_bytes);
    }

    /// Whether there is a limit.
    pub(super) const fn is_limited(&self) -> bool {
        self.operations_left.is_some() || self.capacity_bytes.is_some()
    }

    /// Whether there is no room for an operation that adds `added_bytes` to the `used_bytes` of all files. A disk that
    /// was filled up refuses overwrites too, as metadata and copy-on-write may make any write take space.
    pub(super) const fn refuses(&mut self, used_bytes: u64, added_bytes: u64) -> bool {
        if let Some(left) = &mut self.operations_left {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => return true,
            }
        }
        match self.capacity_bytes {
            Some(capacity_bytes) => added_bytes > 0 && used_bytes + added_bytes > capacity_bytes,
            None => false,
        }
    }
}
