//! Fetches that wait at the end of a log. Each reader has at most one, so that a consumer that seeks in a loop uses no
//! more memory.

use super::mailbox::{FetchRequest, Reader};
use std::collections::HashMap;
use std::time::Instant;

/// Fewest waiting fetches for which fetches of dropped consumers are looked for.
const SWEEP_MIN: usize = 64;

/// The waiting fetches of one partition, each with the time up to which it waits.
#[derive(Debug, Default)]
pub(in crate::shard) struct WaitingFetches {
    fetches: HashMap<Reader, (Instant, FetchRequest)>,
    /// Number of fetches at which those of dropped consumers are looked for next.
    sweep_at: usize,
}

impl WaitingFetches {
    /// Lets a fetch wait until `until`. It replaces an older fetch of the same reader.
    pub(in crate::shard) fn insert(&mut self, until: Instant, request: FetchRequest) {
        if self.fetches.len() >= self.sweep_at {
            self.fetches.retain(|_, (_, request)| request.is_wanted());
            self.sweep_at = SWEEP_MIN.max(2 * self.fetches.len());
        }
        self.fetches.insert(request.reader(), (until, request));
    }

    /// Drops the waiting fetch of the reader that now sends `newer`: the consumer has moved since.
    pub(in crate::shard) fn replace_by(&mut self, newer: &FetchRequest) {
        if !self.fetches.is_empty() {
            self.fetches.remove(&newer.reader());
        }
    }

    /// Removes and returns the fetches for whose offset `is_ready` holds.
    pub(in crate::shard) fn take_ready(&mut self, is_ready: impl Fn(i64) -> bool) -> Vec<FetchRequest> {
        let ready = self.fetches.extract_if(|_, (_, request)| is_ready(request.offset));
        ready.map(|(_, (_, request))| request).collect()
    }

    /// Removes and returns the fetches that have waited long enough.
    pub(in crate::shard) fn take_expired(&mut self, now: Instant) -> Vec<FetchRequest> {
        let expired = self.fetches.extract_if(|_, (until, _)| *until <= now);
        expired.map(|(_, (_, request))| request).collect()
    }

    /// Returns the earliest time up to which a fetch waits.
    pub(in crate::shard) fn next_due(&self) -> Option<Instant> {
        self.fetches.values().map(|(until, _)| *until).min()
    }

    /// Removes and returns every fetch.
    pub(in crate::shard) fn take_all(&mut self) -> impl Iterator<Item = FetchRequest> + use<> {
        std::mem::take(&mut self.fetches).into_values().map(|(_, request)| request)
    }

    /// Whether no fetch waits.
    pub(in crate::shard) fn is_empty(&self) -> bool {
        self.fetches.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{FetchInbox, Ticket, Wanted};
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn fetch(inbox: &Arc<FetchInbox>, assignment: usize, count: u32) -> FetchRequest {
        let offset = i64::from(count);
        let ticket = Ticket::new(count, assignment);
        let inbox = Arc::downgrade(inbox);
        FetchRequest {
            slot: 0,
            offset,
            bytes_max: 1,
            max_wait: Duration::MAX,
            wanted: Wanted::Records,
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
        assert_eq!(
            expired.iter().filter(|request| request.is_wanted()).count(),
            1,
            "the fetch of the live consumer is kept"
        );
    }
}
