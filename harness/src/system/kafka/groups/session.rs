//! One membership, from joining a group until leaving it: what the client tells becomes events, and partitions are read from queues
//! of their own, so that nothing of a member waits behind its records.

use super::account::{Account, News, give, take_away};
use super::ending;
use crate::num;
use crate::system::kafka::events;
use crate::system::kafka::partition::{Fetched, Partition, judge};
use crate::system::kafka::ready::Ready;
use crate::system::{FetchSink, MemberEvent, Membership};
use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// When positions are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commits {
    /// The client commits at intervals, and before partitions go.
    ByItself,
    /// Only by [`Session::commit`].
    WhenAsked,
}

/// How far a member has come with leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    /// The member stays in its group.
    No,
    /// It leaves once the commit under way is answered, and after another one if `commits` is true.
    Begun { commits: bool },
    /// The client is closing.
    Closing,
}

/// One membership.
pub(super) struct Session {
    client: Arc<BaseConsumer<Account>>,
    topic: String,
    /// The offset of the first record of each partition that may be read; empty if each may.
    first_offsets: Arc<[u64]>,
    ready: Ready,
    commits: Commits,
    fetch_bytes_max: u64,
    /// The partitions that are read, by number.
    partitions: BTreeMap<i32, Partition<Account>>,
    /// The offset after the last record that was passed on, of each partition that the member still owns.
    positions: BTreeMap<i32, u64>,
    /// Partitions that are no longer read, and that the next poll gives back to the group.
    taken: Option<Vec<i32>>,
    /// The time at which the commit that was asked for began; `None` if there is none.
    asked_since: Option<Instant>,
    /// The times at which the client's own commits began that are not answered.
    sent_since: VecDeque<Instant>,
    events: VecDeque<MemberEvent>,
    leaving: Leaving,
    membership: Membership,
}

impl Session {
    /// Makes a client that begins to join its group.
    ///
    /// # Errors
    /// The client cannot be made.
    pub(super) fn begin(
        config: &ClientConfig,
        (topic, first_offsets): (&str, &Arc<[u64]>),
        commits: Commits,
        fetch_bytes_max: u64,
    ) -> anyhow::Result<Self> {
        let ready = Ready::default();
        let client: BaseConsumer<Account> = config
            .create_with_context(Account::default())
            .context("cannot make a Kafka consumer for a member of a group")?;
        let (mut client, events) = (client, ready.clone());
        client.set_nonempty_callback(move || events.note_events());
        client.subscribe(&[topic]).with_context(|| format!("cannot subscribe to {topic}"))?;
        // Events may have come before the callback was set.
        ready.note_events();
        Ok(Self {
            client: Arc::new(client),
            topic: topic.to_owned(),
            first_offsets: Arc::clone(first_offsets),
            ready,
            commits,
            fetch_bytes_max,
            partitions: BTreeMap::new(),
            positions: BTreeMap::new(),
            taken: None,
            asked_since: None,
            sent_since: VecDeque::new(),
            events: VecDeque::new(),
            leaving: Leaving::No,
            membership: Membership::NONE,
        })
    }

    /// Returns the client alone. Its partitions are no longer read.
    pub(super) fn into_client(self) -> Arc<BaseConsumer<Account>> {
        self.client
    }

    pub(super) fn membership(&self) -> Membership {
        match self.leaving {
            Leaving::No => self.membership,
            Leaving::Begun { .. } | Leaving::Closing => Membership::NONE,
        }
    }

    /// Begins a commit of all positions, which an event answers.
    pub(super) fn commit(&mut self) {
        if self.asked_since.is_some() || self.membership.generation.is_none() {
            return;
        }
        let list = self.list(self.positions.iter().map(|(partition, offset)| (*partition, Some(*offset))));
        let begun = Instant::now();
        let sent = list.and_then(|list| Ok(self.client.commit(&list, CommitMode::Async)?));
        match sent {
            Ok(()) if self.positions.is_empty() => {
                self.events.push_back(MemberEvent::Committed { took: Duration::ZERO })
            }
            Ok(()) => self.asked_since = Some(begun),
            Err(_) => self.events.push_back(MemberEvent::CommitFailed),
        }
    }

    /// Begins to leave the group.
    pub(super) fn leave(&mut self, commits: bool) {
        self.partitions.clear();
        // A client that commits by itself does so when it is closed.
        self.leaving = Leaving::Begun { commits: commits && self.commits == Commits::WhenAsked };
    }

    /// Returns the next event.
    ///
    /// # Errors
    /// The client cannot go on as a member.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn FetchSink,
    ) -> Poll<anyhow::Result<MemberEvent>> {
        self.ready.listen(context.waker());
        match self.advance(sink) {
            Ok(Some(event)) => Poll::Ready(Ok(event)),
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn advance(&mut self, sink: &mut dyn FetchSink) -> anyhow::Result<Option<MemberEvent>> {
        loop {
            // This is read before the events are taken: events that came before the end are then followed before `Left` is told.
            let has_closed = self.client.closed();
            let arrived = self.hear()?;
            while let Some(news) = self.client.context().next() {
                self.follow(news, arrived)?;
            }
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.asked_since.is_some() {
                return Ok(None);
            }
            if let Some(taken) = self.taken.take() {
                self.give_back(&taken)?;
                continue;
            }
            match self.leaving {
                Leaving::No => return self.read(sink),
                Leaving::Begun { commits: true } => {
                    self.leaving = Leaving::Begun { commits: false };
                    if !self.positions.is_empty() {
                        self.commit();
                    }
                }
                Leaving::Begun { commits: false } => {
                    ending::begin(&self.client).context("cannot leave the group")?;
                    self.leaving = Leaving::Closing;
                }
                Leaving::Closing if has_closed => return Ok(Some(MemberEvent::Left)),
                // A client that closed while its events were taken sends no further event.
                Leaving::Closing => {
                    if !ending::answer(&self.client) && !self.client.closed() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Lets the client handle all its events. Returns the time at which the first of them came.
    fn hear(&mut self) -> anyhow::Result<Instant> {
        let mut arrived = None;
        loop {
            let since = self.ready.take_events();
            arrived = arrived.or(since);
            match events::next(&self.client) {
                Some(Err(error)) => judge(&self.client.context().errors, &error)?,
                Some(Ok(message)) => {
                    // It came before its partition had a queue of its own. Of other partitions nothing is read.
                    if let Some(partition) = self.partitions.get_mut(&message.partition()) {
                        self.ready.put_back(queue_of(message.partition()));
                        partition.hold(message.detach());
                    }
                }
                None if since.is_none() => break,
                None => {}
            }
        }
        Ok(arrived.unwrap_or_else(Instant::now))
    }

    fn follow(&mut self, news: News, arrived: Instant) -> anyhow::Result<()> {
        match news {
            News::Given(partitions) => self.accept(&partitions)?,
            News::Taken { partitions, are_lost } => {
                partitions.iter().for_each(|partition| drop(self.partitions.remove(partition)));
                if are_lost {
                    self.membership.generation = None;
                    self.events.push_back(MemberEvent::Lost(numbers(&partitions)));
                    self.give_back(&partitions)?;
                } else {
                    if self.leaving == Leaving::No {
                        self.events.push_back(MemberEvent::Revoked(numbers(&partitions)));
                    }
                    self.taken.get_or_insert_default().extend(partitions);
                }
            }
            News::Joined(generation) => self.membership.generation = Some(generation),
            News::Moved { is_steady } => self.membership.is_rebalancing = !is_steady,
            News::CommitSent => self.sent_since.push_back(arrived),
            News::Committed { was_asked_for, is_ok } => {
                let since = if was_asked_for { self.asked_since.take() } else { self.sent_since.pop_front() };
                if let Some(since) = since {
                    let took = since.elapsed();
                    let answered = MemberEvent::Committed { took };
                    self.events.push_back(if is_ok { answered } else { MemberEvent::CommitFailed });
                }
            }
        }
        Ok(())
    }

    /// Reads the partitions that the group has given to the member. Each begins at its committed offset, which the client asks for.
    fn accept(&mut self, given: &[i32]) -> anyhow::Result<()> {
        if self.leaving == Leaving::No {
            for partition in given {
                let number = (queue_of(*partition), None);
                let read = Partition::new(&self.client, (&self.topic, *partition), &self.ready, number)?;
                self.partitions.insert(*partition, read);
            }
            let first =
                |partition: &u32| (*partition, self.first_offsets.get(num::index(*partition)).copied());
            self.events.push_back(MemberEvent::Assigned(numbers(given).iter().map(first).collect()));
        }
        let list = self.list(given.iter().map(|partition| (*partition, None)))?;
        give(&self.client, &list).context("cannot read the partitions that the group assigns")
    }

    /// Gives partitions back to the group.
    fn give_back(&mut self, taken: &[i32]) -> anyhow::Result<()> {
        self.positions.retain(|partition, _| !taken.contains(partition));
        let list = self.list(taken.iter().map(|partition| (*partition, None)))?;
        take_away(&self.client, &list).context("cannot give partitions back to the group")
    }

    /// Passes on the records of one partition. Returns the event of it; `None` if there are no records.
    fn read(&mut self, sink: &mut dyn FetchSink) -> anyhow::Result<Option<MemberEvent>> {
        while let Some(queue) = self.ready.take() {
            let number = i32::try_from(queue)?;
            let Some(partition) = self.partitions.get_mut(&number) else { continue };
            match partition.fetch((0, self.fetch_bytes_max), &self.client.context().errors, sink)? {
                Fetched::Nothing => continue,
                Fetched::All => {}
                Fetched::Some => self.ready.put_back(queue),
                Fetched::Gap { from, to } => {
                    self.ready.put_back(queue);
                    let partition = num::low_u32(num::count(queue));
                    return Ok(Some(MemberEvent::Deleted { partition, from, to }));
                }
            }
            if let Some(position) = partition.next_offset() {
                self.note_position(number, position)?;
            }
            return Ok(Some(MemberEvent::Records));
        }
        Ok(None)
    }

    fn note_position(&mut self, partition: i32, position: u64) -> anyhow::Result<()> {
        self.positions.insert(partition, position);
        if self.commits == Commits::ByItself {
            let list = self.list(std::iter::once((partition, Some(position))))?;
            // It fails only if the group has taken the partition away in this moment. Then its next owner reads again from the last
            // commit.
            let _ = self.client.store_offsets(&list);
        }
        Ok(())
    }

    /// Returns a list of partitions with offsets.
    fn list(
        &self,
        partitions: impl Iterator<Item = (i32, Option<u64>)>,
    ) -> anyhow::Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in partitions {
            let offset = offset.map(i64::try_from).transpose()?.map_or(Offset::Invalid, Offset::Offset);
            list.add_partition_offset(&self.topic, partition, offset)?;
        }
        Ok(list)
    }
}

/// The number of a partition's queue.
fn queue_of(partition: i32) -> usize {
    num::index(partition.unsigned_abs())
}

fn numbers(partitions: &[i32]) -> Vec<u32> {
    partitions.iter().map(|partition| partition.unsigned_abs()).collect()
}
