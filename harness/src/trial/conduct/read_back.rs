//! Reads back a trial that nobody consumed, before its data is removed. The closed data is scanned. Then the system is opened
//! again, and every record's stamp and position are checked as consumers would check them.

use crate::host::disk_use::files_below;
use crate::host::machine_id::machine_number;
use crate::load::consumers::{Check, note_skipped};
use crate::load::plan::topic_name;
use crate::load::pool::StampPlace;
use crate::load::stamp::sender;
use crate::load::wake::waker_of;
use crate::measure::finished::{Closed, TrialRun};
use crate::measure::ledger::{ConsumedPartition, ProducedPartition, SequenceTrack};
use crate::system::{self, ConsumerSpec, FetchSink, FetchedInfo, InRecord, SystemConsumer};
use crate::trial::bench::Bench;
use crate::workload::Workload;
use anyhow::{Context as _, bail};
use crossbeam::channel::RecvTimeoutError;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Bytes of a fetch.
const FETCH_BYTES_MAX: u64 = 1 << 20;
/// Longest wait for the next records. When it is over, the records that are missing are not in the log.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Longest sleep between two looks at the consumer.
const LOOK: Duration = Duration::from_millis(20);

impl Bench<'_> {
    /// Reads back the trial `run`, whose system is closed, and enters the findings into it. Nothing is entered if its system
    /// cannot be read back, or if the run was interrupted.
    ///
    /// # Errors
    /// The data cannot be read, or the system cannot be opened again.
    pub(crate) fn read_back(&self, run: &mut TrialRun) -> anyhow::Result<()> {
        let data_dir = &self.context.system_dir(self.workload);
        let (kind, dir) = (run.target.kind.clone(), data_dir.clone());
        let scanned = unless_stopped(&|| self.context.is_stopped(), move || system::scan(&kind, &dir))?;
        let Some(defects) = scanned.transpose()?.flatten() else { return Ok(()) };
        let files = files_below(data_dir);
        let begun = Instant::now();
        let opened = (self.context.open)(self.workload, &self.place.cores, data_dir);
        let opened = opened.context("the log cannot be opened again")?;
        let closed = Closed { files, reopen: begun.elapsed() };
        let mut consumed = Vec::new();
        for topic in 0..self.workload.topics {
            let mut reader = Reader::new(self.workload, self.pool.place(), topic, &run.harvest.produced);
            let partitions = 0..self.workload.partitions_per_topic;
            let assignment = partitions.map(|partition| (topic_name(topic), partition)).collect();
            let group = "vnotch-read-back".to_owned();
            let spec = ConsumerSpec { group, assignment, fetch_bytes_max: FETCH_BYTES_MAX };
            let mut consumer = opened.consumer(&spec)?;
            if !reader.read(&mut *consumer, &|| self.context.is_stopped())? {
                return Ok(());
            }
            drop(consumer);
            consumed.extend(reader.partitions);
        }
        opened.close()?;
        run.defects = Some(defects);
        run.closed = Some(closed);
        run.harvest.consumed = consumed;
        Ok(())
    }
}

/// Does `work` on a thread of its own and returns what it returns; `None` once `is_stopped` is true. The thread is not waited for
/// then: it only reads.
fn unless_stopped<T: Send + 'static>(
    is_stopped: &dyn Fn() -> bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<Option<T>> {
    let (answer, answers) = crossbeam::channel::bounded(1);
    let work = move || drop(answer.send(work()));
    std::thread::Builder::new().name("scan".into()).spawn(work).context("cannot start a thread")?;
    loop {
        match answers.recv_timeout(LOOK) {
            Ok(answer) => return Ok(Some(answer)),
            Err(RecvTimeoutError::Timeout) if is_stopped() => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("the scan of the data ended without an answer"),
        }
    }
}

/// Reads one topic from its start.
struct Reader {
    check: Check,
    partitions: Vec<ConsumedPartition>,
    /// The offset after the last acked record of each partition.
    ends: Vec<u64>,
    assignment: usize,
}

impl Reader {
    fn new(workload: &Workload, place: StampPlace, topic: u32, produced: &[ProducedPartition]) -> Self {
        let tracks = || (0..workload.producers_per_topic).map(|_| SequenceTrack::default()).collect();
        let partitions = 0..workload.partitions_per_topic;
        let end = |partition| {
            let own = produced.iter().filter(|it| (it.topic, it.partition) == (topic, partition));
            own.map(|it| it.end_offset).max().unwrap_or(0)
        };
        Self {
            check: Check {
                first_sender: sender(machine_number(), topic * workload.producers_per_topic),
                verify: workload.verify,
                place,
                is_open_load: false,
                salt: None,
            },
            ends: partitions.clone().map(end).collect(),
            partitions: partitions
                .map(|partition| ConsumedPartition {
                    topic,
                    partition,
                    tracks: tracks(),
                    ..Default::default()
                })
                .collect(),
            assignment: 0,
        }
    }

    /// Reads until every acked record was seen, or until no more come. Returns false if `is_stopped` became true.
    fn read(
        &mut self,
        consumer: &mut dyn SystemConsumer,
        is_stopped: &dyn Fn() -> bool,
    ) -> anyhow::Result<bool> {
        let waker = waker_of(&std::thread::current());
        let mut context = Context::from_waker(&waker);
        let mut heard = Instant::now();
        while !self.is_at_end() && heard.elapsed() < SILENCE_MAX {
            if is_stopped() {
                return Ok(false);
            }
            match consumer.poll_fetch(&mut context, self) {
                Poll::Ready(fetched) => {
                    fetched?;
                    heard = Instant::now();
                }
                Poll::Pending => std::thread::park_timeout(LOOK),
            }
        }
        // All records that the log holds were read, so acked ones that were not seen are missing.
        for (seen, end) in self.partitions.iter_mut().zip(&self.ends) {
            seen.position = seen.position.max(*end);
        }
        Ok(true)
    }

    fn is_at_end(&self) -> bool {
        self.partitions.iter().zip(&self.ends).all(|(seen, end)| seen.position >= *end)
    }
}

impl FetchSink for Reader {
    fn begin(&mut self, info: &FetchedInfo) {
        self.assignment = info.assignment;
        note_skipped(info, &mut self.partitions[info.assignment]);
    }

    fn record(&mut self, record: &InRecord<'_>) {
        self.check.observe(record, &mut self.partitions[self.assignment]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::integrity::judge;
    use crate::load::stamp::{Stamp, body_crc};
    use crate::system::fake::{Behaviour, FakeSystem, Fault};
    use crate::system::{OutRecord, ProducerSpec, System as _};
    use crate::workload::Verify;

    /// Reads back ten records of a system with these faults.
    fn found(faults: &[(u64, Fault)]) -> crate::judge::integrity::Integrity {
        let faults = faults.iter().copied().collect();
        let mut system = FakeSystem::new(Behaviour { faults, ..Behaviour::default() });
        system.create_topic(&topic_name(0), 1).unwrap();
        let spec = ProducerSpec {
            topic: topic_name(0),
            batch_bytes_max: 1 << 20,
            batch_records_max: 100,
            in_flight_bytes_max: 1 << 20,
        };
        let mut producer = system.producer(&spec).unwrap();
        for sequence in 0..10 {
            let body = [7; 16];
            let stamp = Stamp { sequence, intended_ns: 0, producer: sender(machine_number(), 0) }
                .encode(body_crc(&body));
            let value = [&stamp[..], &body[..]].concat();
            producer
                .try_send(0, &OutRecord { timestamp_ms: 0, key: None, value: &value, headers: &[] })
                .unwrap();
        }
        producer.flush();
        let produced = [ProducedPartition { answered: 10, sent: 10, end_offset: 10, ..Default::default() }];
        let workload = Workload {
            partitions_per_topic: 1,
            producers_per_topic: 1,
            verify: Verify::SequenceCrc,
            ..Workload::default()
        };
        let mut reader = Reader::new(&workload, StampPlace::Value, 0, &produced);
        let spec = ConsumerSpec {
            group: "test".to_owned(),
            assignment: vec![(topic_name(0), 0)],
            fetch_bytes_max: 1 << 20,
        };
        let mut consumer = system.consumer(&spec).unwrap();
        assert!(reader.read(&mut *consumer, &|| false).unwrap());
        judge(&produced, &reader.partitions)
    }

    #[test]
    fn a_sound_log_is_found_complete() {
        let integrity = found(&[]);
        assert_eq!((integrity.checked, integrity.is_violated()), (10, false));
    }

    #[test]
    fn what_a_log_has_lost_repeated_or_changed_is_found() {
        let integrity = found(&[(3, Fault::Lose), (5, Fault::Repeat), (8, Fault::Corrupt)]);
        assert_eq!((integrity.corruptions, integrity.duplicates), (1, 1));
        // A record that cannot be recognised is missing as well.
        assert_eq!(integrity.gaps, 2, "{integrity:?}");
    }

    #[test]
    fn work_that_takes_long_is_left_when_the_run_is_stopped() {
        assert_eq!(unless_stopped(&|| false, || 7).unwrap(), Some(7));
        let begun = Instant::now();
        let long = || std::thread::sleep(Duration::from_secs(60));
        assert_eq!(unless_stopped(&|| begun.elapsed() > Duration::from_millis(50), long).unwrap(), None);
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert!(unless_stopped(&|| false, || panic!("on purpose")).is_err());
    }

    #[test]
    fn a_reader_that_is_stopped_has_found_nothing() {
        let produced = [ProducedPartition { end_offset: 1, ..Default::default() }];
        let mut reader = Reader::new(&Workload::default(), StampPlace::Value, 0, &produced);
        let mut system = FakeSystem::new(Behaviour::default());
        system.create_topic(&topic_name(0), 1).unwrap();
        let spec = ConsumerSpec {
            group: "test".to_owned(),
            assignment: vec![(topic_name(0), 0)],
            fetch_bytes_max: 1 << 20,
        };
        let mut consumer = system.consumer(&spec).unwrap();
        assert!(!reader.read(&mut *consumer, &|| true).unwrap());
    }
}
