//! A bounded list: when it is full, every second entry is dropped, and from then on only as many new ones are kept.

/// The entries that are kept of a sequence of any length: the first of every `stride`.
#[derive(Debug)]
pub(crate) struct Sampled<T> {
    kept: Vec<T>,
    /// Entries seen for each one that is kept.
    stride: u64,
    seen: u64,
    most: usize,
}

impl<T> Sampled<T> {
    /// An empty list that keeps fewer than `most` entries, which is at least 2.
    pub(crate) fn new(most: usize) -> Self {
        Self { kept: Vec::new(), stride: 1, seen: 0, most: most.max(2) }
    }

    /// Adds entries.
    pub(crate) fn extend(&mut self, entries: impl IntoIterator<Item = T>) {
        for entry in entries {
            if self.seen.is_multiple_of(self.stride) {
                self.kept.push(entry);
            }
            self.seen += 1;
            if self.kept.len() >= self.most {
                let mut index = 0_usize;
                self.kept.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.stride *= 2;
            }
        }
    }

    /// Number of entries that were seen.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Number of entries seen for each one that is kept.
    pub(crate) fn stride(&self) -> u64 {
        self.stride
    }

    /// Returns the entries that were kept, in their order.
    pub(crate) fn into_kept(self) -> Vec<T> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_all_kept_and_many_are_thinned_evenly() {
        let mut few = Sampled::new(10);
        few.extend(0..9);
        assert_eq!((few.stride(), few.into_kept()), (1, (0..9).collect::<Vec<_>>()));
        let mut many = Sampled::new(10);
        (0..1000).for_each(|entry| many.extend([entry]));
        assert_eq!((many.seen(), many.stride()), (1000, 128));
        let kept = many.into_kept();
        assert_eq!(kept, (0..1000).step_by(128).collect::<Vec<_>>());
        assert!(kept.len() < 10);
    }
}
