//! Fetches that wait at the end of a log. Each reader has one at most, so seeks in a loop take no memory.

use super::mailbox::{FetchRequest, Reader};
use std::collections::HashMap;
use std::time::Instant;

/// Fewest fetches among which those of consumers that are gone are looked for.
const SWEEP_MIN: usize = 64;

/// The waiting fetches of one partition, and until when each waits.
#[derive(Debug, Default)]
pub(super) struct WaitingFetches {
    fetches: HashMap<Reader, (Instant, FetchRequest)>,
    /// Number of fetches from which those of consumers that are gone are looked for.
    sweep_at: usize,
}

impl WaitingFetches {
    /// Lets a fetch wait until `until`, in place of an older one of the same reader.
    pub(super) fn insert(&mut self, until: Instant, request: FetchRequest) {
        if self.fetches.len() >= self.sweep_at {
            self.fetches.retain(|_, (_, request)| request.is_wanted());
            self.sweep_at = SWEEP_MIN.max(2 * self.fetches.len());
        }
        self.fetches.insert(request.reader(), (until, request));
    }

    /// Forgets the fetch of the reader that now sends `newer`: the consumer has moved since.
    pub(super) fn replace_by(&mut self, newer: &FetchRequest) {
        if !self.fetches.is_empty() {
            self.fetches.remove(&newer.reader());
        }
    }

    /// Takes out the fetches whose offset `is_ready`.
    pub(super) fn take_ready(&mut self, is_ready: impl Fn(i64) -> bool) -> Vec<FetchRequest> {
        let ready = self.fetches.extract_if(|_, (_, request)| is_ready(request.offset));
        ready.map(|(_, (_, request))| request).collect()
    }

    /// Takes out the fetches that have waited long enough.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<FetchRequest> {
        let expired = self.fetches.extract_if(|_, (until, _)| *until <= now);
        expired.map(|(_, (_, request))| request).collect()
    }

    /// The time up to which the first of them waits.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.fetches.values().map(|(until, _)| *until).min()
    }

    /// Takes out every fetch.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = FetchRequest> + use<> {
        std::mem::take(&mut self.fetches).into_values().map(|(_, request)| request)
    }

    /// Whether no fetch waits.
    pub(super) fn is_empty(&self) -> bool {
        self.fetches.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::FetchInbox;
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn fetch(inbox: &Arc<FetchInbox>, assignment: u64, count: u64) -> FetchRequest {
        let offset = i64::try_from(count).unwrap();
        let ticket = count << 32 | assignment;
        let inbox = Arc::downgrade(inbox);
        FetchRequest {
            slot: 0,
            offset,
            bytes_max: 1,
            max_wait: Duration::MAX,
            saved_epoch: None,
            inbox,
            ticket,
        }
    }

    #[test]
    fn a_reader_has_one_fetch_however_often_it_seeks() {
        let (mut waiting, now) = (WaitingFetches::default(), Instant::now());
        let (first, second) = (Arc::default(), Arc::default());
        for count in 0..1000 {
            waiting.insert(now, fetch(&first, 0, count));
            waiting.insert(now, fetch(&first, 1, count));
            waiting.insert(now, fetch(&second, 0, count));
        }
        assert_eq!(waiting.fetches.len(), 3, "one of each consumer and partition");
        waiting.replace_by(&fetch(&first, 1, 1000));
        let ready = waiting.take_ready(|offset| offset == 999);
        assert_eq!(ready.len(), 2);
        assert!(waiting.is_empty());
    }

    #[test]
    fn consumers_that_are_gone_leave_a_bounded_number_of_fetches() {
        let (mut waiting, now) = (WaitingFetches::default(), Instant::now());
        let stays = Arc::default();
        waiting.insert(now, fetch(&stays, 0, 7));
        for _ in 0..1000 {
            let goes = Arc::default();
            waiting.insert(now, fetch(&goes, 0, 0));
        }
        assert!(waiting.fetches.len() <= SWEEP_MIN, "{}", waiting.fetches.len());
        let expired = waiting.take_expired(now);
        assert_eq!(expired.iter().filter(|request| request.is_wanted()).count(), 1, "who is there is kept");
    }
}
