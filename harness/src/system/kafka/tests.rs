//! Producers, consumers and members of groups against librdkafka's mock cluster, which gives errors on request.

mod members;

use super::cluster::KafkaSystem;
use super::config::Client;
use super::consumer::{Begin, KafkaConsumer};
use super::producer::KafkaProducer;
use crate::result::ErrorKind;
use crate::system::{
    Ack, ConsumerSpec, FetchSink, FetchedInfo, InRecord, LeftKind, Newest, OutRecord, ProducerSpec,
    STAMP_HEADER, SendError, SystemConsumer, SystemProducer,
};
use crate::workload::{Phases, TimeSpan, Workload};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

const TOPIC: &str = "vnotch-0-test";
/// Longest wait for anything that must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fetched record: index of its assignment, offset, value, stamp.
type Seen = (usize, u64, Vec<u8>, Option<Vec<u8>>);
type Mock = MockCluster<'static, DefaultProducerContext>;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(std::thread::current())))
}

fn mock(partitions: i32) -> Mock {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, partitions, 1).unwrap();
    mock
}

fn workload() -> Workload {
    Workload { phases: Phases { drain: TimeSpan::seconds(30), ..Phases::default() }, ..Workload::default() }
}

fn producer(mock: &Mock, workload: &Workload, in_flight_bytes_max: u64) -> KafkaProducer {
    let spec = ProducerSpec {
        topic: "vnotch-0".to_owned(),
        batch_bytes_max: 1 << 16,
        batch_records_max: 1000,
        in_flight_bytes_max,
    };
    let config = Client::of(workload, &mock.bootstrap_servers()).unwrap().producer();
    KafkaProducer::new(&config, TOPIC.to_owned(), 4, &spec).unwrap()
}

fn consumer(mock: &Mock, partitions: i32) -> KafkaConsumer {
    consumer_from(mock, partitions, None)
}

fn consumer_from(mock: &Mock, partitions: i32, offset: Option<u64>) -> KafkaConsumer {
    let begin = |partition| Begin { topic: TOPIC.to_owned(), partition, offset };
    let assignment: Vec<_> = (0..partitions).map(begin).collect();
    let spec = ConsumerSpec { group: "test".to_owned(), assignment: Vec::new(), fetch_bytes_max: 1 << 20 };
    let config = Client::of(&workload(), &mock.bootstrap_servers()).unwrap().consumer("test", 1 << 20);
    KafkaConsumer::new(&config, assignment, &spec).unwrap()
}

fn send(producer: &mut KafkaProducer, partition: u32, value: &[u8]) -> Result<(), SendError> {
    producer.try_send(partition, &OutRecord { timestamp_ms: 1000, key: None, value, headers: &[] })
}

/// Waits until `poll` gives something, parked in between: only a wake lets the thread look again.
fn awaited<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let (waker, begun) = (waker(), Instant::now());
    let mut context = Context::from_waker(&waker);
    loop {
        match poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park_timeout(PATIENCE),
        }
        assert!(begun.elapsed() < PATIENCE, "nothing came, and nobody was woken");
    }
}

fn acks(producer: &mut KafkaProducer, records: u32) -> Vec<Ack> {
    let (mut acks, mut count) = (Vec::new(), 0);
    while count < records {
        let ack = awaited(|context| producer.poll_ack(context));
        count += ack.count;
        acks.push(ack);
    }
    assert_eq!(count, records);
    acks
}

#[derive(Default)]
struct Sink {
    assignment: usize,
    skipped: u64,
    records: Vec<Seen>,
}

impl FetchSink for Sink {
    fn begin(&mut self, info: &FetchedInfo) {
        self.assignment = info.assignment;
        self.skipped += info.skipped;
    }

    fn record(&mut self, record: &InRecord<'_>) {
        let header = record.stamp_header.map(<[u8]>::to_vec);
        self.records.push((self.assignment, record.offset, record.value.to_vec(), header));
    }
}

fn read(consumer: &mut KafkaConsumer, records: usize) -> Sink {
    let mut sink = Sink::default();
    while sink.records.len() < records {
        awaited(|context| consumer.poll_fetch(context, &mut sink)).unwrap();
    }
    sink
}

#[test]
fn acks_come_in_the_order_of_each_partition_with_its_offsets() {
    let mock = mock(2);
    let mut producer = producer(&mock, &workload(), 1 << 20);
    for number in 0..100_u32 {
        send(&mut producer, number % 2, &number.to_le_bytes()).unwrap();
    }
    let mut next = [0; 2];
    for ack in acks(&mut producer, 100) {
        ack.result.unwrap();
        let next = &mut next[ack.partition as usize];
        assert_eq!(ack.base_offset, *next);
        *next += u64::from(ack.count);
        assert!(ack.completed_at.unwrap() <= Instant::now());
    }
    assert_eq!(next, [50, 50]);
}

#[test]
fn consumers_get_every_record_of_their_partitions_in_order_and_are_woken_for_later_ones() {
    let mock = mock(2);
    let mut producer = producer(&mock, &workload(), 1 << 20);
    let mut consumer = consumer(&mock, 2);
    for round in 0..3_u32 {
        for number in 0..20_u32 {
            let value = (round * 20 + number).to_le_bytes();
            let headers: &[(&str, &[u8])] = &[("other", b"x"), (STAMP_HEADER, &value)];
            let record = OutRecord { timestamp_ms: 1000, key: Some(b"key"), value: &value, headers };
            producer.try_send(number % 2, &record).unwrap();
        }
        acks(&mut producer, 20).into_iter().for_each(|ack| ack.result.unwrap());
        let seen = read(&mut consumer, 20);
        assert_eq!((seen.records.len(), seen.skipped), (20, 0));
        for partition in 0..2_usize {
            let own: Vec<_> =
                seen.records.iter().filter(|(assignment, ..)| *assignment == partition).collect();
            let offsets: Vec<u64> = own.iter().map(|(_, offset, ..)| *offset).collect();
            let first = u64::from(round) * 10;
            assert_eq!(offsets, (first..first + 10).collect::<Vec<_>>());
            assert!(own.iter().all(|(_, _, value, header)| header.as_ref() == Some(value)));
        }
    }
}

#[test]
fn a_consumer_of_an_existing_topic_begins_at_its_end_and_skips_nothing() {
    let mock = mock(1);
    let mut producer = producer(&mock, &workload(), 1 << 20);
    for value in [b"old", b"old", b"new"] {
        send(&mut producer, 0, value).unwrap();
    }
    acks(&mut producer, 3).into_iter().for_each(|ack| ack.result.unwrap());
    let seen = read(&mut consumer_from(&mock, 1, Some(2)), 1);
    assert_eq!(seen.skipped, 0, "what was there before is not the trial's");
    assert_eq!((seen.records[0].1, &seen.records[0].2[..]), (2, &b"new"[..]));
}

#[test]
fn bytes_in_flight_are_bounded_and_an_ack_makes_room() {
    let mock = mock(1);
    let mut producer = producer(&mock, &workload(), 100);
    send(&mut producer, 0, &[1; 60]).unwrap();
    assert!(matches!(send(&mut producer, 0, &[2; 60]), Err(SendError::Full)));
    acks(&mut producer, 1);
    send(&mut producer, 0, &[2; 60]).unwrap();
    acks(&mut producer, 1);
}

#[test]
fn an_error_that_passes_is_retried_and_nothing_is_reordered_or_repeated() {
    let mock = mock(1);
    let passing = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
    mock.request_errors(RDKafkaApiKey::Produce, &[passing, passing]);
    let mut producer = producer(&mock, &workload(), 1 << 20);
    for number in 0..50_u32 {
        send(&mut producer, 0, &number.to_le_bytes()).unwrap();
    }
    acks(&mut producer, 50).into_iter().for_each(|ack| ack.result.unwrap());
    let seen = read(&mut consumer(&mock, 1), 50);
    let values: Vec<Vec<u8>> = seen.records.into_iter().map(|(.., value, _)| value).collect();
    assert_eq!(values, (0..50_u32).map(|number| number.to_le_bytes().to_vec()).collect::<Vec<_>>());
}

#[test]
fn a_record_that_the_broker_refuses_fails_with_its_reason_and_the_next_one_is_acked() {
    let mock = mock(1);
    mock.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD]);
    let mut workload = workload();
    workload.kafka.properties.insert("enable.idempotence".to_owned(), "false".to_owned());
    let mut producer = producer(&mock, &workload, 1 << 20);
    send(&mut producer, 0, b"refused").unwrap();
    let refused = acks(&mut producer, 1).remove(0).result.unwrap_err().to_string();
    assert!(refused.contains(&format!("{}", RDKafkaErrorCode::InvalidRecord)), "{refused}");
    send(&mut producer, 0, b"accepted").unwrap();
    acks(&mut producer, 1).remove(0).result.unwrap();
}

#[test]
fn records_time_out_if_no_broker_answers() {
    let mock = mock(1);
    let mut workload = workload();
    workload.kafka.properties.insert("message.timeout.ms".to_owned(), "1500".to_owned());
    let mut producer = producer(&mock, &workload, 1 << 20);
    send(&mut producer, 0, b"before").unwrap();
    acks(&mut producer, 1);
    mock.broker_down(-1).unwrap();
    send(&mut producer, 0, b"lost").unwrap();
    let lost = acks(&mut producer, 1).remove(0).result.unwrap_err();
    assert_eq!(lost.kind, ErrorKind::TimedOut);
    assert!(lost.message.contains("timed out"), "{lost}");
    mock.broker_up(-1).unwrap();
}

#[test]
fn a_pause_of_the_broker_is_not_hidden_from_the_times_of_acks() {
    let mock = mock(1);
    let mut producer = producer(&mock, &workload(), 1 << 20);
    send(&mut producer, 0, b"first").unwrap();
    acks(&mut producer, 1);
    mock.broker_round_trip_time(-1, Duration::from_millis(300)).unwrap();
    let sent = Instant::now();
    send(&mut producer, 0, b"late").unwrap();
    let ack = acks(&mut producer, 1).remove(0);
    assert!(ack.completed_at.unwrap().duration_since(sent) >= Duration::from_millis(300));
}

#[test]
fn a_partition_that_does_not_exist_ends_the_consumer_with_a_reason() {
    let mock = mock(1);
    let mut consumer = consumer(&mock, 3);
    let mut sink = Sink::default();
    let error = loop {
        if let Err(error) = awaited(|context| consumer.poll_fetch(context, &mut sink)) {
            break error.to_string();
        }
    };
    assert!(error.contains("cannot fetch"), "{error}");
}

#[test]
fn a_consumer_of_fixed_partitions_needs_no_right_to_a_group() {
    let mock = mock(1);
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 40];
    mock.request_errors(RDKafkaApiKey::FindCoordinator, &refused);
    let (mut consumer, mut sink, waker) = (consumer(&mock, 1), Sink::default(), waker());
    // The client asks for the coordinator within a second. Until its refusal has come, nothing would be tested.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        if let Poll::Ready(fetched) = consumer.poll_fetch(&mut Context::from_waker(&waker), &mut sink) {
            fetched.unwrap();
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let mut producer = producer(&mock, &workload(), 1 << 20);
    send(&mut producer, 0, b"read").unwrap();
    acks(&mut producer, 1).remove(0).result.unwrap();
    assert_eq!(read(&mut consumer, 1).records[0].2, b"read");
}

/// Connects to a port that reads a request, answers every connection with these bytes, and closes it.
fn connected(answer: &'static [u8], properties: &[(&str, &str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { return };
            // The whole of a TLS client's first message: a connection that is closed before all is read is reset, and its answer is
            // lost.
            let _ = connection.read(&mut [0; 1 << 16]);
            let _ = connection.write_all(answer);
        }
    });
    let mut workload = workload();
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    workload.kafka.properties.extend(properties);
    let error = KafkaSystem::connect(&workload, &address, None).err().unwrap().to_string();
    assert!(error.contains(&format!("no Kafka broker answers at {address}")), "{error}");
    error
}

#[test]
fn a_port_of_another_protocol_is_told_with_the_property_to_look_at() {
    for (answer, properties) in
        [(&b""[..], &[][..]), (b"HTTP/1.1 400 Bad Request\r\n\r\n", &[("security.protocol", "SSL")])]
    {
        let error = connected(answer, properties);
        assert!(error.contains("`security.protocol` in `kafka.properties`"), "{error}");
    }
}

#[test]
fn topics_with_the_names_of_runs_are_found_with_their_newest_record() {
    let mock = mock(1);
    let name = "vnotch-0-5f5e10000a1b2c3d";
    mock.create_topic(name, 2, 1).unwrap();
    let spec = ProducerSpec {
        topic: "vnotch-0".to_owned(),
        batch_bytes_max: 1 << 16,
        batch_records_max: 1000,
        in_flight_bytes_max: 1 << 20,
    };
    let config = Client::of(&workload(), &mock.bootstrap_servers()).unwrap().producer();
    let mut producer = KafkaProducer::new(&config, name.to_owned(), 2, &spec).unwrap();
    for (partition, timestamp_ms) in [(0, 7000), (0, 8000), (1, 5000)] {
        let record = OutRecord { timestamp_ms, key: None, value: b"left", headers: &[] };
        producer.try_send(partition, &record).unwrap();
    }
    acks(&mut producer, 3).into_iter().for_each(|ack| ack.result.unwrap());
    let client = Client::of(&workload(), &mock.bootstrap_servers()).unwrap();
    let (probe, _) = super::cluster::first_answer(&client, &mock.bootstrap_servers()).unwrap();
    let found = super::leftovers::topics_left(&client, &probe).unwrap();
    let [left] = &found[..] else { panic!("{found:?}") };
    assert_eq!((left.name.as_str(), left.made_s), (name, Some(0x5f5e_1000)), "{TOPIC} is no name of a run");
    assert_eq!(left.kind, LeftKind::Topic { partitions: 2, newest: Newest::Written(8000) });
}

#[test]
fn a_topic_with_a_partition_that_has_no_leader_is_listed_and_so_are_the_others() {
    let mock = mock(1);
    let [without, other] = ["vnotch-0-5f5e10000a1b2c3d", "vnotch-1-5f5e10000a1b2c3d"];
    mock.create_topic(without, 2, 1).unwrap();
    mock.create_topic(other, 1, 1).unwrap();
    mock.partition_leader(without, 1, None).unwrap();
    let client = Client::of(&workload(), &mock.bootstrap_servers()).unwrap();
    let (probe, _) = super::cluster::first_answer(&client, &mock.bootstrap_servers()).unwrap();
    let begun = Instant::now();
    let found = super::leftovers::topics_left(&client, &probe).unwrap();
    let kinds: Vec<_> = found.iter().map(|left| (left.name.as_str(), left.kind)).collect();
    let kind = |partitions, newest| LeftKind::Topic { partitions, newest };
    assert_eq!(kinds, [(without, kind(2, Newest::Unknown)), (other, kind(1, Newest::None))]);
    assert!(begun.elapsed() < Duration::from_secs(8), "nothing waits for a leader: {:?}", begun.elapsed());
}
