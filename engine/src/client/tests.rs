//! Tests of the handles with a shard that the test itself plays: it stores what handles send, and answers when the test
//! says so.

use super::port::{Destination, Port, Reach, Unreachable};
use super::*;
use crate::buffer::SharedBytes;
use crate::error::{Corruption, CorruptionKind, FetchError};
use crate::record::RecordRef;
use crate::shard::{AckMessage, Append, FetchReply, FetchRequest, Refusal, Wanted};
use crate::types::{ConsumerPosition, TopicPartition};
use futures_util::task::AtomicWaker;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Far longer than any test here takes.
const LONG: Duration = Duration::from_secs(30);

/// All that handles have sent to a played shard.
#[derive(Debug, Default)]
struct Given {
    appends: VecDeque<Append>,
    fetches: Vec<FetchRequest>,
    registrations: usize,
    wakes: Vec<Instant>,
}

#[derive(Debug, Clone)]
struct PlayedShard {
    number: u32,
    given: Rc<RefCell<Given>>,
}

impl PlayedShard {
    fn new(number: u32) -> Self {
        Self { number, given: Rc::default() }
    }

    /// Acks every batch that the shard holds. Returns their number.
    fn ack_all(&self) -> usize {
        let appends = std::mem::take(&mut self.given.borrow_mut().appends);
        for Append { reply, .. } in &appends {
            reply.inbox.acks.push(AckMessage::new(reply.ticket, Ok(0)));
        }
        appends.len()
    }
}

/// The partitions of topic t, which a test may change.
#[derive(Debug, Clone)]
struct PlayedTopic(Rc<RefCell<Vec<Destination<PlayedShard>>>>);

impl PlayedTopic {
    fn new(shards: &[PlayedShard], partitions: usize) -> Self {
        Self(Rc::new(RefCell::new(routes(shards, partitions).map(Destination::Reachable).collect())))
    }
}

impl Port for PlayedShard {}

impl Reach for PlayedShard {
    type Directory = PlayedTopic;

    fn destinations(directory: &PlayedTopic, topic: &str) -> Option<Vec<Destination<Self>>> {
        (topic == "t").then(|| directory.0.borrow().clone())
    }

    fn last_shard(directory: &PlayedTopic) -> u32 {
        let shard = |destination: &Destination<Self>| match destination {
            Destination::Reachable(route) => route.port.number,
            Destination::OtherShard(shard) => *shard,
        };
        directory.0.borrow().iter().map(shard).max().unwrap()
    }

    fn shard(&self) -> u32 {
        self.number
    }

    fn try_append(&self, append: Append, _: &Arc<AtomicWaker>) -> Result<(), Refusal<Append>> {
        self.given.borrow_mut().appends.push_back(append);
        Ok(())
    }

    fn try_fetch(&self, request: FetchRequest, _: &Arc<AtomicWaker>) -> Result<(), Refusal<FetchRequest>> {
        self.given.borrow_mut().fetches.push(request);
        Ok(())
    }

    fn register(&self, _: &Arc<AtomicWaker>) {
        self.given.borrow_mut().registrations += 1;
    }

    fn unreachable(&self) -> Option<Unreachable> {
        None
    }

    fn wake_at(&self, due: Instant, _: &Arc<AtomicWaker>) {
        self.given.borrow_mut().wakes.push(due);
    }
}

/// Routes to `partitions` partitions, dealt to `shards` in turn.
fn routes(shards: &[PlayedShard], partitions: usize) -> impl Iterator<Item = Route<PlayedShard>> {
    shards.iter().cycle().take(partitions).enumerate().map(|(slot, port)| Route { port: port.clone(), slot })
}

fn producer(shard: &PlayedShard, partitions: usize, config: ProducerConfig) -> Producer<PlayedShard> {
    Producer::new(config, "t", PlayedTopic::new(std::slice::from_ref(shard), partitions)).unwrap()
}

fn poll_ack(producer: &mut Producer<PlayedShard>) -> Poll<Ack> {
    producer.poll_ack(&mut Context::from_waker(Waker::noop()))
}

fn send(producer: &mut Producer<PlayedShard>) -> Result<u32, TrySendError> {
    producer.try_send(None, &RecordRef { value: Some(&[7; 1000]), ..RecordRef::default() })
}

#[test]
fn open_batches_that_fill_the_buffer_are_sent_though_they_do_not_linger() {
    for (partitions, in_flight_bytes_max) in [(1024, 32 << 20), (16, 512 << 10), (2, 0), (2, 1)] {
        let shard = PlayedShard::new(0);
        let config = ProducerConfig {
            linger: None,
            partitioner: Partitioner::RoundRobin,
            in_flight_bytes_max,
            ..ProducerConfig::default()
        };
        let mut producer = producer(&shard, partitions, config);
        let mut acked = 0;
        while acked < 2 * partitions {
            if send(&mut producer).is_ok() {
                continue;
            }
            assert!(shard.ack_all() > 0, "{partitions} partitions: full, and nothing was sent");
            while poll_ack(&mut producer).is_ready() {
                acked += 1;
            }
        }
    }
}

#[test]
fn round_robin_leaves_no_partition_out_while_records_are_refused() {
    let shard = PlayedShard::new(0);
    let config = ProducerConfig {
        linger: None,
        partitioner: Partitioner::RoundRobin,
        batch_records_max: 1,
        in_flight_bytes_max: 2000,
        ..ProducerConfig::default()
    };
    let mut producer = producer(&shard, 3, config);
    let mut partitions = Vec::new();
    let mut refused = 0;
    while partitions.len() < 9 {
        match send(&mut producer) {
            Ok(partition) => partitions.push(partition),
            Err(TrySendError::Full) => {
                refused += 1;
                shard.ack_all();
                while poll_ack(&mut producer).is_ready() {}
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0);
    assert_eq!(partitions, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn batches_stay_whole_while_acks_make_room() {
    let shard = PlayedShard::new(0);
    let config = ProducerConfig {
        linger: None,
        batch_size: 10 << 10,
        in_flight_bytes_max: 95 << 10,
        ..ProducerConfig::default()
    };
    let mut producer = producer(&shard, 1, config);
    let mut records = 0;
    while send(&mut producer).is_ok() {
        records += 1;
    }
    let sent = shard.given.borrow().appends.len();
    assert!((8..=9).contains(&sent), "{sent}");
    for _ in 0..3 {
        assert!(send(&mut producer).is_err());
    }
    assert_eq!(shard.given.borrow().appends.len(), sent, "the batch that is open waits for more");
    let batches = sent + 1;
    producer.flush();
    assert_eq!(shard.ack_all(), batches);
    let counts: Vec<u32> = std::iter::from_fn(|| match poll_ack(&mut producer) {
        Poll::Ready(ack) => Some(ack.count),
        Poll::Pending => None,
    })
    .collect();
    assert_eq!(counts.iter().sum::<u32>(), records);
    assert!(counts[..sent].iter().all(|count| *count == counts[0]), "{counts:?}");
}

#[test]
fn an_ack_has_the_time_at_which_its_shard_made_it_and_not_that_at_which_it_is_taken() {
    let shard = PlayedShard::new(0);
    let mut producer = producer(&shard, 1, ProducerConfig::default());
    send(&mut producer).unwrap();
    producer.flush();
    let before = Instant::now();
    assert_eq!(shard.ack_all(), 1);
    let after = Instant::now();
    let Poll::Ready(ack) = poll_ack(&mut producer) else { panic!("the ack is there") };
    assert!((before..=after).contains(&ack.at), "{:?}", ack.at);
}

#[test]
fn a_producer_has_one_entry_in_the_timer_and_its_batches_go_when_they_are_due() {
    let shard = PlayedShard::new(0);
    let long = ProducerConfig {
        linger: Some(LONG),
        batch_records_max: 2,
        partitioner: Partitioner::RoundRobin,
        ..ProducerConfig::default()
    };
    let mut producer_of_many = producer(&shard, 8, long.clone());
    for _ in 0..1000 {
        send(&mut producer_of_many).unwrap();
        assert!(poll_ack(&mut producer_of_many).is_pending());
    }
    assert_eq!(shard.given.borrow().wakes.len(), 1);
    // The timer is set for the first batch, which is flushed before. The second batch has to be sent all the same when
    // it is due.
    let shard = PlayedShard::new(0);
    let mut producer = producer(&shard, 1, ProducerConfig { linger: Some(Duration::from_millis(5)), ..long });
    send(&mut producer).unwrap();
    producer.flush();
    assert_eq!(shard.ack_all(), 1);
    send(&mut producer).unwrap();
    let begun = Instant::now();
    while shard.given.borrow().appends.is_empty() {
        let _ = poll_ack(&mut producer);
        assert!(begun.elapsed() < LONG, "the batch lingers for ever");
        assert!(shard.given.borrow().wakes.len() <= 2, "one time ahead, at most");
        std::thread::yield_now();
    }
}

/// The answer of a shard that finds no records, in a log of leader epoch 9.
fn nothing() -> FetchReply {
    FetchReply { batches: Vec::new(), high_watermark: 40, leader_epoch: 9 }
}

#[test]
fn a_saved_position_is_checked_once_before_it_is_fetched_from() {
    let shard = PlayedShard::new(0);
    let context = &mut Context::from_waker(Waker::noop());
    let partition = TopicPartition { topic: "t".into(), partition: 0 };
    let saved = |offset| ConsumerPosition { offset, leader_epoch: Some(4) };
    let route = Route { port: shard.clone(), slot: 0 };
    let mut consumer = Consumer::new(ConsumerConfig::default(), vec![(partition, route, saved(30))]);
    let mut next = |consumer: &mut Consumer<PlayedShard>| {
        assert!(consumer.poll_fetch(context).is_pending());
        shard.given.borrow_mut().fetches.pop().expect("the consumer asks")
    };
    let check = next(&mut consumer);
    assert_eq!((check.offset, check.wanted), (30, Wanted::SavedPosition { leader_epoch: 4 }));
    // The answer to the check of an earlier position says nothing about the new one.
    consumer.seek(0, saved(20));
    check.answer(Ok(nothing()));
    let check = next(&mut consumer);
    assert_eq!((check.offset, check.wanted), (20, Wanted::SavedPosition { leader_epoch: 4 }));
    check.answer(Ok(nothing()));
    for _ in 0..2 {
        let fetch = next(&mut consumer);
        assert_eq!((fetch.offset, fetch.wanted), (20, Wanted::Records));
        fetch.answer(Ok(nothing()));
    }
    assert_eq!(consumer.position(0), Some(saved(20)), "its epoch is that of the last batch");
    let _ = next(&mut consumer);
    consumer.seek(0, 25);
    let fetch = next(&mut consumer);
    assert_eq!((fetch.offset, fetch.wanted), (25, Wanted::Records), "an offset alone is not checked");
    fetch.answer(Ok(nothing()));
    let _ = next(&mut consumer);
    assert_eq!(consumer.position(0), Some(ConsumerPosition { offset: 25, leader_epoch: Some(9) }));
}

#[test]
fn a_consumer_that_finds_damage_asks_for_its_place_before_the_fetch_fails() {
    for is_found in [true, false] {
        let shard = PlayedShard::new(0);
        let context = &mut Context::from_waker(Waker::noop());
        let name = TopicPartition { topic: "t".into(), partition: 0 };
        let route = Route { port: shard.clone(), slot: 0 };
        let mut consumer = Consumer::new(ConsumerConfig::default(), vec![(name, route, 7.into())]);
        let mut next = |consumer: &mut Consumer<PlayedShard>| {
            assert!(consumer.poll_fetch(context).is_pending());
            shard.given.borrow_mut().fetches.pop().expect("the consumer asks")
        };
        let batches = vec![SharedBytes::Heap(vec![0; 200].into())];
        next(&mut consumer).answer(Ok(FetchReply { batches, ..nothing() }));
        let question = next(&mut consumer);
        assert_eq!((question.offset, question.wanted), (7, Wanted::Damage));
        let kind = CorruptionKind::Metadata("damaged".into());
        let place = Corruption { path: "t-0/00000000000000000000.log".into(), position: 4711, kind };
        question.answer(if is_found { Err(FetchError::Corrupt(place.clone())) } else { Ok(nothing()) });
        let Poll::Ready(Err(FetchError::Corrupt(found))) = consumer.poll_fetch(context) else {
            panic!("damage is an error")
        };
        assert_eq!(found == place, is_found, "{found}");
        assert!(consumer.poll_fetch(context).is_pending() && shard.given.borrow().fetches.is_empty());
        consumer.seek(0, 7);
        assert!(consumer.poll_fetch(context).is_pending());
        assert_eq!(shard.given.borrow().fetches[0].wanted, Wanted::Records, "a seek begins anew");
    }
}

#[test]
fn a_handle_registers_once_at_each_shard() {
    let shards = [PlayedShard::new(3), PlayedShard::new(5)];
    let topic = PlayedTopic::new(&shards, 1000);
    let mut producer = Producer::<PlayedShard>::new(ProducerConfig::default(), "t", topic.clone()).unwrap();
    assert_eq!(producer.partitions(), 1000);
    *topic.0.borrow_mut() = PlayedTopic::new(&shards, 1001).0.take();
    assert_eq!(producer.refresh().unwrap(), 1001);
    let partition = TopicPartition { topic: "t".into(), partition: 0 };
    let assigned = routes(&shards, 1000).map(|route| (partition.clone(), route, 0.into())).collect();
    let mut consumer = Consumer::new(ConsumerConfig::default(), assigned);
    assert!(consumer.poll_fetch(&mut Context::from_waker(Waker::noop())).is_pending());
    for shard in &shards {
        assert_eq!(shard.given.borrow().registrations, 2, "of the producer and of the consumer");
        assert_eq!(shard.given.borrow().fetches.len(), 500);
    }
}

#[test]
fn a_refreshed_producer_sends_to_the_partitions_that_were_added_and_keeps_its_open_batches() {
    let (first, second) = (PlayedShard::new(0), PlayedShard::new(1));
    let topic = PlayedTopic::new(std::slice::from_ref(&first), 1);
    let config = ProducerConfig {
        linger: None,
        partitioner: Partitioner::RoundRobin,
        batch_records_max: 2,
        ..ProducerConfig::default()
    };
    // A shard that gets a partition later has to have its place in the inbox from the beginning.
    let others = [Destination::OtherShard(1)];
    topic.0.borrow_mut().extend(others);
    let mut producer = Producer::<PlayedShard>::new(config, "t", topic.clone()).unwrap();
    assert_eq!((send(&mut producer).unwrap(), producer.refresh().unwrap()), (0, 2));
    topic.0.borrow_mut().push(Destination::Reachable(Route { port: second.clone(), slot: 7 }));
    assert!(producer.try_send(Some(2), &RecordRef::default()).is_err(), "it is not known yet");
    assert_eq!((producer.refresh().unwrap(), producer.partitions()), (3, 3));
    let sent: Vec<u32> = (0..3).map(|_| send(&mut producer).unwrap()).collect();
    assert_eq!(sent, [0, 2, 0]);
    producer.flush();
    let counts = |shard: &PlayedShard| {
        let given = shard.given.borrow();
        let slots: Vec<usize> = given.appends.iter().map(|append| append.slot).collect();
        (slots, given.registrations)
    };
    assert_eq!((counts(&first), counts(&second)), ((vec![0, 0], 1), (vec![7], 1)));
    assert_eq!(first.ack_all() + second.ack_all(), 3);
    assert!(
        std::iter::from_fn(|| match poll_ack(&mut producer) {
            Poll::Ready(ack) => Some(ack.count),
            Poll::Pending => None,
        })
        .eq([2, 1, 1])
    );
    assert_eq!(producer.unacked_bytes(), 0);
}

#[test]
fn a_producer_of_a_deleted_topic_does_not_take_over_a_new_one_of_that_name() {
    let shard = PlayedShard::new(0);
    let topic = PlayedTopic::new(std::slice::from_ref(&shard), 2);
    let mut producer = Producer::<PlayedShard>::new(ProducerConfig::default(), "t", topic.clone()).unwrap();
    let port = |slot| Destination::Reachable(Route { port: shard.clone(), slot });
    for other in [vec![port(0)], vec![port(2), port(3), port(4)], vec![port(0), Destination::OtherShard(0)]] {
        *topic.0.borrow_mut() = other;
        assert!(matches!(producer.refresh(), Err(crate::error::TopicError::Unknown(name)) if name == "t"));
        assert_eq!(producer.partitions(), 2);
    }
    assert!(Producer::<PlayedShard>::new(ProducerConfig::default(), "other", topic).is_none());
}
