//! Rules that every system keeps: one suite of tests for the engine, the fake and Kafka.

mod groups;

use super::fake::{Behaviour, FakeSystem};
use super::{
    Ack, ConsumerSpec, FetchSink, FetchedInfo, InRecord, OutRecord, ProducerSpec, SendError, System,
    SystemConsumer, SystemProducer, Systems,
};
use crate::result::ErrorKind;
use crate::result::provenance::CoresUsed;
use crate::workload::{Bytes, Durability, EngineSettings, Workload};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Longest wait for anything that must come.
const PATIENCE: Duration = Duration::from_secs(60);
const PARTITIONS: u32 = 2;
/// Length of a value, bytes.
const VALUE: usize = 100;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits until `poll` gives something, parked in between: only a wake lets the thread look again.
fn awaited<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let (waker, begun) = (Waker::from(Arc::new(Unpark(std::thread::current()))), Instant::now());
    let mut context = Context::from_waker(&waker);
    loop {
        match poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park_timeout(PATIENCE),
        }
        assert!(begun.elapsed() < PATIENCE, "nothing came, and nobody was woken");
    }
}

fn producer(system: &dyn System, topic: &str, in_flight_bytes_max: u64) -> Box<dyn SystemProducer + Send> {
    let batch = (1 << 16, 1000);
    let (batch_bytes_max, batch_records_max) = batch;
    let spec =
        ProducerSpec { topic: topic.to_owned(), batch_bytes_max, batch_records_max, in_flight_bytes_max };
    system.producer(&spec).unwrap()
}

fn consumer(system: &dyn System, topic: &str) -> anyhow::Result<Box<dyn SystemConsumer + Send>> {
    let assignment = (0..PARTITIONS).map(|partition| (topic.to_owned(), partition)).collect();
    system.consumer(&ConsumerSpec { group: "conformance".to_owned(), assignment, fetch_bytes_max: 1 << 20 })
}

fn value(number: u32) -> Vec<u8> {
    let mut value = vec![b'x'; VALUE];
    value[..4].copy_from_slice(&number.to_le_bytes());
    value
}

fn send(producer: &mut dyn SystemProducer, partition: u32, number: u32) -> Result<(), SendError> {
    let timestamp_ms = jiff::Timestamp::now().as_millisecond();
    producer.try_send(partition, &OutRecord { timestamp_ms, key: None, value: &value(number), headers: &[] })
}

/// Waits until `records` records are acked. Returns the acks.
fn acks(producer: &mut dyn SystemProducer, records: u32) -> Vec<Ack> {
    let (mut acks, mut count) = (Vec::new(), 0);
    while count < records {
        let ack = awaited(|context| producer.poll_ack(context));
        count += ack.count;
        acks.push(ack);
    }
    assert_eq!(count, records);
    acks
}

/// The records that a consumer has read: partition, offset, number.
#[derive(Default)]
struct Seen {
    assignment: u32,
    records: Vec<(u32, u64, u32)>,
}

impl FetchSink for Seen {
    fn begin(&mut self, info: &FetchedInfo) {
        self.assignment = u32::try_from(info.assignment).unwrap();
    }

    fn record(&mut self, record: &InRecord<'_>) {
        let number = u32::from_le_bytes(record.value[..4].try_into().unwrap());
        assert_eq!(record.value, value(number));
        self.records.push((self.assignment, record.offset, number));
    }
}

fn read(consumer: &mut dyn SystemConsumer, records: usize) -> Vec<(u32, u64, u32)> {
    let mut seen = Seen::default();
    while seen.records.len() < records {
        awaited(|context| consumer.poll_fetch(context, &mut seen)).unwrap();
    }
    seen.records
}

/// Records of a partition are acked and read in the order in which they were sent, and an acked record can be read.
fn order_and_acks(system: &mut dyn System) {
    system.create_topic("order", PARTITIONS).unwrap();
    let mut producer = producer(system, "order", 1 << 20);
    for number in 0..100 {
        send(&mut *producer, number % PARTITIONS, number).unwrap();
    }
    producer.flush();
    let mut next = [0; 2];
    for ack in acks(&mut *producer, 100) {
        ack.result.unwrap();
        let end = &mut next[ack.partition as usize];
        assert_eq!(ack.base_offset, *end, "acks come in the order of offsets");
        *end += u64::from(ack.count);
    }
    assert_eq!(next, [50, 50]);
    let seen = read(&mut *consumer(system, "order").unwrap(), 100);
    for partition in 0..PARTITIONS {
        let of =
            seen.iter().filter(|(of, ..)| *of == partition).map(|(_, offset, number)| (*offset, *number));
        let expected = (0..50).map(|sent| (u64::from(sent), sent * PARTITIONS + partition));
        assert!(of.eq(expected), "partition {partition}: {seen:?}");
    }
}

/// A producer refuses records beyond its bytes in flight, and accepts them again after acks.
fn back_pressure(system: &mut dyn System) {
    system.create_topic("full", PARTITIONS).unwrap();
    let room = 20 * VALUE as u64;
    let mut producer = producer(system, "full", room);
    let mut sent = 0;
    let begun = Instant::now();
    loop {
        match send(&mut *producer, 0, sent) {
            Ok(()) => sent += 1,
            Err(SendError::Full) => break,
            Err(error) => panic!("{error:?}"),
        }
        assert!(sent <= 20 && begun.elapsed() < PATIENCE, "{sent} records of {VALUE} bytes in {room} bytes");
    }
    assert!(sent > 0);
    producer.flush();
    acks(&mut *producer, sent).into_iter().for_each(|ack| ack.result.unwrap());
    send(&mut *producer, 0, sent).unwrap();
    producer.flush();
    acks(&mut *producer, 1).remove(0).result.unwrap();
}

/// An error of one record is told at once, and the next record is accepted.
fn errors_of_records(system: &mut dyn System) {
    system.create_topic("errors", PARTITIONS).unwrap();
    let mut producer = producer(system, "errors", 1 << 20);
    match send(&mut *producer, PARTITIONS, 0) {
        Err(SendError::Refused(error)) => assert_eq!(error.kind, ErrorKind::UnknownPartition),
        other => panic!("{other:?}"),
    }
    send(&mut *producer, 0, 0).unwrap();
    producer.flush();
    acks(&mut *producer, 1).remove(0).result.unwrap();
}

/// A topic is made once, and clients of a topic that does not exist are refused.
fn topics(system: &mut dyn System) {
    system.create_topic("once", PARTITIONS).unwrap();
    assert!(system.create_topic("once", PARTITIONS).is_err());
    let spec = ProducerSpec {
        topic: "nowhere".to_owned(),
        batch_bytes_max: 1 << 16,
        batch_records_max: 10,
        in_flight_bytes_max: 1 << 20,
    };
    assert!(system.producer(&spec).is_err());
    assert!(consumer(system, "nowhere").is_err());
}

/// Runs the whole suite, and closes the system with records in flight.
fn conforms(mut system: Box<dyn System>) {
    groups::conform(&mut *system);
    assert!(!system.describe().version.is_empty());
    order_and_acks(&mut *system);
    back_pressure(&mut *system);
    errors_of_records(&mut *system);
    topics(&mut *system);
    system.create_topic("in-flight", PARTITIONS).unwrap();
    let mut producer = producer(&*system, "in-flight", 1 << 20);
    for number in 0..100 {
        send(&mut *producer, number % PARTITIONS, number).unwrap();
    }
    let begun = Instant::now();
    system.close().unwrap();
    drop(producer);
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn the_fake_conforms() {
    conforms(Box::new(FakeSystem::new(Behaviour::default())));
}

#[test]
fn the_engine_conforms() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    for durability in [Durability::Appended, Durability::Written, Durability::Synced] {
        let engine = EngineSettings { arena_bytes: Bytes::mib(16), ..EngineSettings::default() };
        let workload = Workload { durability, engine, ..Workload::default() };
        let cores = CoresUsed::default();
        let data = dir.path().join(durability.name());
        conforms(Systems::default().open(&workload, &cores, &data).unwrap());
    }
}

#[cfg(feature = "kafka")]
#[test]
fn kafka_conforms() {
    use crate::workload::{KafkaSettings, TimeSpan};
    let dir = tempfile::tempdir().unwrap();
    let systems = Systems::default();
    for durability in [Durability::Written, Durability::Synced] {
        let kafka =
            KafkaSettings { heap: Bytes::mib(384), warm: TimeSpan::default(), ..KafkaSettings::default() };
        let workload =
            Workload { target: "kafka".parse().unwrap(), durability, kafka, ..Workload::default() };
        conforms(systems.open(&workload, &CoresUsed::default(), dir.path()).unwrap());
    }
}
