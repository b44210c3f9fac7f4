//! Counters of a ring's reads.

use std::cell::Cell;
use std::time::Instant;

/// Counters of the reads from files since the ring was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadStats {
    /// Bytes read.
    pub bytes: u64,
    /// Number of reads.
    pub count: u64,
    /// Time during which any read was in flight, ns.
    pub busy_ns: u64,
    /// Sum over that time of the number in flight, ns. Divided by `busy_ns` it is the mean queue depth.
    pub depth_ns: u64,
}

/// The reads in flight, and the counters of all reads so far.
#[derive(Debug, Default)]
pub(super) struct Reads {
    stats: Cell<ReadStats>,
    in_flight: Cell<u64>,
    /// Time up to which `stats` is complete; `None` while no read is in flight.
    counted_until: Cell<Option<Instant>>,
}

impl Reads {
    /// Returns the counters up to now.
    pub(super) fn stats(&self) -> ReadStats {
        self.count_time();
        self.stats.get()
    }

    /// Counts a read as in flight until the returned value is dropped.
    pub(super) fn begin(&self) -> ReadInFlight<'_> {
        self.count_time();
        self.in_flight.set(self.in_flight.get() + 1);
        self.counted_until.set(Some(Instant::now()));
        ReadInFlight { reads: self, bytes: 0 }
    }

    /// Adds the time since the last call, if any read was in flight.
    fn count_time(&self) {
        let in_flight = self.in_flight.get();
        let Some(since) = self.counted_until.get() else { return };
        let now = Instant::now();
        let time_ns = u64::try_from(now.duration_since(since).as_nanos()).unwrap_or(u64::MAX);
        let mut stats = self.stats.get();
        stats.busy_ns += time_ns;
        stats.depth_ns += time_ns * in_flight;
        self.stats.set(stats);
        self.counted_until.set(Some(now));
    }
}

/// A read in flight. It is counted when it is dropped, whatever its outcome.
#[derive(Debug)]
pub(super) struct ReadInFlight<'a> {
    reads: &'a Reads,
    /// Bytes that the read gave.
    pub(super) bytes: u64,
}

impl Drop for ReadInFlight<'_> {
    fn drop(&mut self) {
        self.reads.count_time();
        let in_flight = self.reads.in_flight.get() - 1;
        self.reads.in_flight.set(in_flight);
        if in_flight == 0 {
            self.reads.counted_until.set(None);
        }
        let mut stats = self.reads.stats.get();
        stats.count += 1;
        stats.bytes += self.bytes;
        self.reads.stats.set(stats);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn reads_in_flight_together_make_depth_and_no_time_passes_between_reads() {
        let reads = Reads::default();
        let mut first = reads.begin();
        let second = reads.begin();
        std::thread::sleep(Duration::from_millis(4));
        let under_way = reads.stats();
        assert!(under_way.busy_ns >= 4_000_000 && under_way.depth_ns >= 2 * 4_000_000);
        assert_eq!((under_way.count, under_way.bytes), (0, 0));
        first.bytes = 8192;
        drop((first, second));
        let ended = reads.stats();
        assert_eq!((ended.count, ended.bytes), (2, 8192));
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(reads.stats(), ended);
        drop(reads.begin());
        assert_eq!(reads.stats().count, 3);
    }
}
