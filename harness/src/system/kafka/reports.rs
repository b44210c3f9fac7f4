//! The delivery reports of one producer, on their way from the client's thread to the load thread.

use super::errors::Errors;
use super::order::Report;
use crate::num;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// Longest time from the first to the last record of a report. The client reports record by record, so one batch takes some
/// microseconds. A report has the time of its last record: no record gets a time before its own.
const REPORT_TIME_MAX: Duration = Duration::from_micros(50);

/// A report with the partition of its records.
pub(super) type PartitionReport = (u32, Report);

/// Reports that wait for the load thread. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting(Arc<Mutex<State>>);

/// A number of records or of bytes, whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Amount {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Default)]
struct State {
    reports: Vec<PartitionReport>,
    /// The records and bytes of `reports`.
    held: Amount,
    /// The amount at which the load thread is woken; 0 wakes it at the first report.
    wake_at: Amount,
    /// The time of the first record in the last report.
    begun: Option<Instant>,
    /// Woken as soon as `held` reaches `wake_at`.
    waker: Option<Waker>,
}

impl Waiting {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves all reports to `taken`, which must be empty. Returns false if there are none; the waker is kept then.
    pub(super) fn take(&self, taken: &mut Vec<PartitionReport>, context: &Context<'_>) -> bool {
        let mut state = self.state();
        state.wake_at = Amount::default();
        if state.reports.is_empty() {
            state.waker = Some(context.waker().clone());
            return false;
        }
        std::mem::swap(&mut state.reports, taken);
        state.held = Amount::default();
        state.begun = None;
        true
    }

    /// Wakes the load thread not before reports of this amount of records or bytes have arrived. It holds until the next
    /// [`Self::take`]. At least this amount must be without a report, or nothing would ever wake the thread.
    pub(super) fn wake_at(&self, amount: Amount) {
        let mut state = self.state();
        // A waker that was called already has the thread take what there is.
        if state.waker.is_some() {
            state.wake_at = amount;
        }
    }

    fn add(&self, partition: u32, report: Report) {
        let mut state = self.state();
        state.held.records += u64::from(report.count);
        state.held.bytes += report.bytes;
        let is_recent = state.begun.is_some_and(|begun| report.at.duration_since(begun) <= REPORT_TIME_MAX);
        match state.reports.last_mut() {
            Some((of, last)) if is_recent && *of == partition && last.is_continued_by(&report) => {
                last.extend(&report);
            }
            _ => {
                state.begun = Some(report.at);
                state.reports.push((partition, report));
            }
        }
        let (held, wake_at) = (state.held, state.wake_at);
        let is_enough = held.records >= wake_at.records || held.bytes >= wake_at.bytes;
        let waker = if is_enough { state.waker.take() } else { None };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// The context of a producer's client.
#[derive(Debug)]
pub(super) struct Reporting {
    /// Takes the reports.
    pub(super) waiting: Waiting,
    /// Takes the other errors of the client.
    pub(super) errors: Errors,
}

impl ClientContext for Reporting {
    fn error(&self, error: KafkaError, reason: &str) {
        self.errors.note(&error, reason);
    }
}

impl ProducerContext for Reporting {
    /// Position of the record among those sent to its partition.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, position: usize) {
        let (message, error) = match result {
            Ok(message) => (message, None),
            Err((error, message)) => {
                (message, Some(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)))
            }
        };
        let report = Report {
            first: num::count(position),
            count: 1,
            bytes: num::count(message.payload_len() + message.key_len()),
            offset: u64::try_from(message.offset()).ok(),
            at: Instant::now(),
            error,
        };
        self.waiting.add(u32::try_from(message.partition()).unwrap_or(u32::MAX), report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Counting(AtomicU32);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn at(first: u64, at: Instant) -> Report {
        Report { first, count: 1, bytes: 10, offset: Some(first), at, error: None }
    }

    #[test]
    fn records_that_are_reported_together_become_one_report_with_the_latest_time() {
        let (waiting, begun) = (Waiting::default(), Instant::now());
        let after = |us| begun + Duration::from_micros(us);
        waiting.add(0, at(0, begun));
        waiting.add(0, at(1, after(30)));
        waiting.add(0, at(2, after(51)));
        waiting.add(1, at(0, after(52)));
        let mut taken = Vec::new();
        assert!(waiting.take(&mut taken, &Context::from_waker(Waker::noop())));
        let found: Vec<_> =
            taken.iter().map(|(partition, report)| (*partition, report.count, report.at)).collect();
        assert_eq!(found, [(0, 2, after(30)), (0, 1, after(51)), (1, 1, after(52))]);
        assert!(!waiting.take(&mut Vec::new(), &Context::from_waker(Waker::noop())));
    }

    #[test]
    fn the_load_thread_is_woken_once_for_all_that_wait() {
        let waiting = Waiting::default();
        let counting = Arc::new(Counting::default());
        let waker = Waker::from(Arc::clone(&counting));
        assert!(!waiting.take(&mut Vec::new(), &Context::from_waker(&waker)));
        waiting.add(0, at(0, Instant::now()));
        waiting.add(0, at(5, Instant::now()));
        assert_eq!(counting.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_load_thread_that_waits_for_room_is_woken_by_as_many_records_or_bytes() {
        for (wake_at, reports) in
            [(Amount { records: 3, bytes: 1000 }, 3), (Amount { records: 100, bytes: 40 }, 4)]
        {
            let waiting = Waiting::default();
            let counting = Arc::new(Counting::default());
            let waker = Waker::from(Arc::clone(&counting));
            let woken = || counting.0.load(Ordering::SeqCst);
            assert!(!waiting.take(&mut Vec::new(), &Context::from_waker(&waker)));
            waiting.wake_at(wake_at);
            for position in 0..reports {
                assert_eq!(woken(), 0, "{wake_at:?}, {position}");
                waiting.add(0, at(position, Instant::now()));
            }
            assert_eq!(woken(), 1, "{wake_at:?}");
            // The next wait is for the first report again.
            assert!(waiting.take(&mut Vec::new(), &Context::from_waker(&waker)));
            assert!(!waiting.take(&mut Vec::new(), &Context::from_waker(&waker)));
            waiting.add(0, at(reports, Instant::now()));
            assert_eq!(woken(), 2, "{wake_at:?}");
        }
    }

    #[test]
    fn reports_that_came_before_the_wait_for_room_have_woken_the_load_thread() {
        let waiting = Waiting::default();
        let counting = Arc::new(Counting::default());
        let waker = Waker::from(Arc::clone(&counting));
        assert!(!waiting.take(&mut Vec::new(), &Context::from_waker(&waker)));
        waiting.add(0, at(0, Instant::now()));
        waiting.wake_at(Amount { records: 50, bytes: 500 });
        assert_eq!(counting.0.load(Ordering::SeqCst), 1);
        assert!(waiting.take(&mut Vec::new(), &Context::from_waker(&waker)));
    }
}
