//! An ordered list of slots, each at most once. The shard uses such lists for slots that wait for something, and for
//! logs in the order of their last use.

/// A list of slots. Every operation takes constant time.
#[derive(Debug, Default)]
pub(super) struct SlotList {
    /// The neighbours of each slot, by slot; `None` for a slot that is not in the list.
    links: Vec<Option<Link>>,
    first: Option<usize>,
    last: Option<usize>,
}

/// The neighbours of a slot.
#[derive(Debug, Clone, Copy)]
struct Link {
    before: Option<usize>,
    after: Option<usize>,
}

impl SlotList {
    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) const fn first(&self) -> Option<usize> {
        self.first
    }

    pub(super) fn contains(&self, slot: usize) -> bool {
        self.links.get(slot).is_some_and(Option::is_some)
    }

    /// Puts a slot at the end. A slot that is in the list stays where it is.
    pub(super) fn push_back(&mut self, slot: usize) {
        if self.contains(slot) {
            return;
        }
        if self.links.len() <= slot {
            self.links.resize(slot + 1, None);
        }
        self.links[slot] = Some(Link { before: self.last, after: None });
        match self.last.replace(slot) {
            Some(last) => self.set_after(last, Some(slot)),
            None => self.first = Some(slot),
        }
    }

    /// Puts a slot at the end. A slot that is in the list moves there.
    pub(super) fn move_to_back(&mut self, slot: usize) {
        if self.last != Some(slot) {
            self.remove(slot);
            self.push_back(slot);
        }
    }

    /// Removes the first slot and returns it.
    pub(super) fn pop_front(&mut self) -> Option<usize> {
        let first = self.first?;
        self.remove(first);
        Some(first)
    }

    /// Removes a slot, if it is in the list.
    pub(super) fn remove(&mut self, slot: usize) {
        let Some(link) = self.links.get_mut(slot).and_then(Option::take) else { return };
        match link.before {
            Some(before) => self.set_after(before, link.after),
            None => self.first = link.after,
        }
        match link.after {
            Some(after) => self.set_before(after, link.before),
            None => self.last = link.before,
        }
    }

    fn set_after(&mut self, slot: usize, after: Option<usize>) {
        if let Some(link) = &mut self.links[slot] {
            link.after = after;
        }
    }

    fn set_before(&mut self, slot: usize, before: Option<usize>) {
        if let Some(link) = &mut self.links[slot] {
            link.before = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn it_is_a_queue_without_duplicates(steps in prop::collection::vec((0usize..4, 0usize..6), 0..80)) {
            let (mut list, mut model) = (SlotList::default(), VecDeque::new());
            for (step, slot) in steps {
                match step {
                    0 => {
                        list.push_back(slot);
                        if !model.contains(&slot) { model.push_back(slot); }
                    }
                    1 => {
                        list.move_to_back(slot);
                        model.retain(|other| *other != slot);
                        model.push_back(slot);
                    }
                    2 => {
                        list.remove(slot);
                        model.retain(|other| *other != slot);
                    }
                    _ => prop_assert_eq!(list.pop_front(), model.pop_front()),
                }
                prop_assert_eq!(list.first(), model.front().copied());
                prop_assert_eq!(list.is_empty(), model.is_empty());
                prop_assert!((0..6).all(|slot| list.contains(slot) == model.contains(&slot)));
            }
            let rest: VecDeque<usize> = std::iter::from_fn(|| list.pop_front()).collect();
            prop_assert_eq!(rest, model);
        }
    }
}
