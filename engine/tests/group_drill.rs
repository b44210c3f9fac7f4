//! The kill -9 drill with groups: a process that produces, consumes in two groups and commits is killed again and again. Each
//! acked record is consumed by each group at least once, and none from before its group's committed offset again.
//!
//! `VNOTCH_GROUP_DRILL_KILLS` is the number of kills (default 4). Half of them are at each level of durability. Fifty kills:
//! `VNOTCH_GROUP_DRILL_KILLS=50 cargo test --release --workspace --test group_drill -- --nocapture`

#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use vnotch_engine::client::{
    AutoOffsetReset, ConsumerConfig, GroupAdmin, GroupConsumer, GroupConsumerConfig, GroupEvent, GroupsError,
    ProducerConfig, Subscribe,
};
use vnotch_engine::config::{EngineConfig, GroupsConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::group::{Assignor, GroupError, LeaveGroup, LeavingMember, RequestBody};
use vnotch_engine::record::RecordRef;
use vnotch_engine::types::Durability;
use vnotch_engine::verify::verify;

/// Variables that make the test the process that is killed: its directory, the level, and the number of the round.
const DIR: &str = "VNOTCH_TEST_GROUP_DRILL_DIR";
const LEVEL: &str = "VNOTCH_TEST_GROUP_DRILL_LEVEL";
const ROUND: &str = "VNOTCH_TEST_GROUP_DRILL_ROUND";

/// Number of partitions of the topic.
const PARTITIONS: u32 = 4;

/// Longest wait for something that takes milliseconds on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Static members that commit themselves. A restarted one takes over its partitions.
const STATIC: &str = "drill-t-static-group";
/// Other members. Their commits are automatic, and count once they are reported. A restarted process first removes the members of
/// the one before it.
const DYNAMIC: &str = "drill-t-dynamic-group";

const GROUPS: [&str; 2] = [STATIC, DYNAMIC];

/// Offsets by group and partition.
type Offsets = BTreeMap<(String, u32), i64>;

fn open(dir: &Path, level: Durability) -> Engine {
    let cores = std::thread::available_parallelism().unwrap().get();
    let groups = GroupsConfig {
        group_initial_rebalance_delay_ms: 0,
        offsets_topic_durability: level,
        offsets_topic_segment_bytes: 2 << 20,
        ..GroupsConfig::default()
    };
    let config = EngineConfig {
        shards: 2,
        cores: (0..2).map(|shard| shard % cores).collect(),
        arena_bytes: 32 << 20,
        groups,
        ..EngineConfig::new(dir.join("data"))
    };
    let engine = Engine::open(config).unwrap();
    if engine.describe_topic("t").is_err() {
        let topic = TopicConfig { durability: level, segment_bytes: 1 << 20, ..TopicConfig::default() };
        engine.create_topic("t", PARTITIONS, TopicConfig { max_message_bytes: 64 << 10, ..topic }).unwrap();
    }
    engine
}

/// A journal of one round. One thread writes it, so its lines are in the order of what happened.
struct Journal(File);

impl Journal {
    fn open(dir: &Path, name: &str, round: u64) -> Self {
        let path = dir.join(format!("{name}-{round}"));
        Self(OpenOptions::new().append(true).create(true).open(path).unwrap())
    }

    /// Writes a line with one call, so that it outlives a kill that comes later.
    fn line(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// Returns the whole lines of a journal, in fields.
fn lines(dir: &Path, name: &str, round: u64) -> Vec<Vec<String>> {
    let text = fs::read_to_string(dir.join(format!("{name}-{round}"))).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

/// The members of both groups in one process.
struct Members<'e> {
    engine: &'e Engine,
    journal: Journal,
    members: Vec<(usize, GroupConsumer)>,
    polled: u64,
    /// Number of fetches with records, by group.
    consumed: [u64; 2],
}

impl<'e> Members<'e> {
    /// Notes the committed offsets of both groups, and makes two members of each.
    fn new(engine: &'e Engine, mut journal: Journal) -> Self {
        let admin = engine.group_admin().unwrap();
        remove_members(&admin);
        for group in GROUPS {
            for commit in admin.offsets(group).unwrap() {
                let (partition, offset) = (commit.partition.partition, commit.position.offset);
                journal.line(&format!("stored {group} {partition} {offset}"));
            }
        }
        let mut members = Self { engine, journal, members: Vec::new(), polled: 0, consumed: [0; 2] };
        for number in 0..4 {
            let member = members.make(number);
            members.members.push((number, member));
        }
        members
    }

    fn make(&self, number: usize) -> GroupConsumer {
        let is_static = number < 2;
        let config = GroupConsumerConfig {
            auto_offset_reset: AutoOffsetReset::Earliest,
            auto_commit: (!is_static).then_some(Duration::from_millis(5)),
            reports_commits: true,
            group_instance_id: is_static.then(|| format!("member-{number}")),
            assignors: vec![if is_static { Assignor::CooperativeSticky } else { Assignor::Range }],
            heartbeat_interval: Duration::from_millis(20),
            fetch: ConsumerConfig {
                fetch_bytes_max: 16 << 10,
                max_wait: Duration::from_millis(20),
                ..ConsumerConfig::default()
            },
            ..GroupConsumerConfig::new(GROUPS[number / 2])
        };
        self.engine.group_consumer(config, Subscribe::topics(["t"])).unwrap()
    }

    /// Polls each member once, and sleeps if none has anything.
    fn turn(&mut self) {
        let mut has_news = false;
        for index in 0..self.members.len() {
            let (number, member) = &mut self.members[index];
            let number = *number;
            let polled = member.poll(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(event) = polled else { continue };
            has_news = true;
            self.note(number, &event.unwrap());
            self.polled += 1;
            if number < 2 && self.polled.is_multiple_of(5) {
                self.commit(index);
            }
            if number >= 2 && self.polled.is_multiple_of(151) {
                // A member leaves, and another one comes.
                let (number, member) = self.members.remove(index);
                member.close().unwrap();
                let member = self.make(number);
                self.members.insert(index, (number, member));
            }
        }
        if !has_news {
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Notes the records that a member has read, and its automatic commits that are acknowledged.
    fn note(&mut self, number: usize, event: &GroupEvent) {
        let group = GROUPS[number / 2];
        match event {
            GroupEvent::Records(records) => {
                let partition = records.partition.partition;
                let offsets: Vec<i64> =
                    records.fetched.records().map(|record| record.unwrap().offset).collect();
                let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { return };
                assert!(offsets.windows(2).all(|pair| pair[1] == pair[0] + 1), "a fetch has no gaps");
                self.journal.line(&format!("read {group} {partition} {first} {}", last + 1));
                self.consumed[number / 2] += 1;
            }
            GroupEvent::Committed { commits, .. } => {
                for commit in commits {
                    let (partition, offset) = (commit.partition.partition, commit.position.offset);
                    self.journal.line(&format!("committed {group} {partition} {offset}"));
                }
            }
            _ => {}
        }
    }

    /// Commits what the member has read, and notes it once that is acknowledged.
    fn commit(&mut self, index: usize) {
        let (number, member) = &mut self.members[index];
        let group = GROUPS[*number / 2];
        let positions: Vec<_> = member
            .assignment()
            .into_iter()
            .filter_map(|partition| Some((partition.partition, member.position(&partition)?.offset)))
            .collect();
        match member.wait_commit() {
            Ok(()) => {
                for (partition, offset) in positions {
                    self.journal.line(&format!("committed {group} {partition} {offset}"));
                }
            }
            // The group is between two generations, or has removed the member.
            Err(
                GroupsError::NotMember
                | GroupsError::Refused(
                    GroupError::RebalanceInProgress
                    | GroupError::IllegalGeneration
                    | GroupError::UnknownMemberId
                    | GroupError::FencedInstanceId,
                ),
            ) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Removes the members that a killed process has left in the dynamic group, as an operator does.
fn remove_members(admin: &GroupAdmin) {
    let members = match admin.describe(DYNAMIC) {
        Ok(described) => described.members,
        Err(GroupsError::Refused(GroupError::GroupIdNotFound)) => return,
        Err(error) => panic!("{error}"),
    };
    let members =
        members.into_iter().map(|member| LeavingMember { member_id: member.id, instance_id: None }).collect();
    admin.call(DYNAMIC, &RequestBody::Leave(LeaveGroup { group: DYNAMIC.into(), members })).unwrap();
}

/// Appends to all partitions until the process is killed, and notes what is acked.
fn produce(engine: &Engine, mut acked: Journal) {
    let config = ProducerConfig { linger: None, ..ProducerConfig::default() };
    let mut producer = engine.producer("t", config).unwrap();
    for number in 0_u64.. {
        let value = [number.to_be_bytes(); 20].concat();
        for partition in 0..PARTITIONS {
            let record = RecordRef { timestamp_ms: 1, value: Some(&value), ..RecordRef::default() };
            producer.try_send(Some(partition), &record).unwrap();
        }
        for ack in producer.wait_all() {
            let base = ack.result.unwrap();
            acked.line(&format!("{} {base} {}", ack.partition, base + i64::from(ack.count)));
        }
    }
}

/// The process that is killed.
fn run_until_killed(dir: &Path) {
    let round = std::env::var(ROUND).unwrap().parse().unwrap();
    let engine = open(dir, level_of(&std::env::var(LEVEL).unwrap()));
    std::thread::scope(|scope| {
        scope.spawn(|| produce(&engine, Journal::open(dir, "acked", round)));
        let mut members = Members::new(&engine, Journal::open(dir, "journal", round));
        loop {
            members.turn();
            if members.consumed.iter().all(|count| *count > 100) && !running(dir, round).exists() {
                File::create(running(dir, round)).unwrap();
            }
        }
    });
}

fn level_of(name: &str) -> Durability {
    if name == "synced" { Durability::Synced } else { Durability::Written }
}

/// The file that says that both groups consume.
fn running(dir: &Path, round: u64) -> PathBuf {
    dir.join(format!("running-{round}"))
}

/// A child process, which is killed if the test fails, too.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a process and kills it some time after both groups consume. Each fourth one is killed earlier.
fn kill_round(dir: &Path, level: &str, round: u64) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "groups_outlive_kill_9", "--nocapture"])
        .envs([(LEVEL, level), (ROUND, &round.to_string())])
        .env(DIR, dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let begun = Instant::now();
    let is_early = round % 4 == 3;
    while !is_early && !running(dir, round).exists() {
        let has_ended = child.0.try_wait().unwrap();
        assert!(has_ended.is_none(), "the process has ended by itself: {has_ended:?}");
        assert!(begun.elapsed() < PATIENCE, "the groups do not consume");
        std::thread::sleep(Duration::from_millis(1));
    }
    // The delays have no fixed relation to rolls, commits and rebalances.
    std::thread::sleep(Duration::from_micros(2_000 + round * 37_137 % 300_000));
    assert!(child.0.try_wait().unwrap().is_none(), "the process has ended by itself");
    drop(child);
}

/// The rules of the drill, checked over the journals of all rounds.
#[derive(Default)]
struct Checks {
    /// Offsets below which each group must not read any more.
    floors: Offsets,
    /// The records that each group has read, by offset.
    read: BTreeMap<(String, u32), Vec<bool>>,
    /// Numbers of records that were read, and read again.
    counts: [u64; 2],
    /// Number of acknowledged commits, by group.
    commits: BTreeMap<String, u64>,
}

impl Checks {
    fn round(&mut self, dir: &Path, round: u64) {
        for fields in lines(dir, "journal", round) {
            let number = |index: usize| fields[index].parse::<i64>().unwrap();
            let key = (fields[1].clone(), fields[2].parse().unwrap());
            let floor = self.floors.entry(key.clone()).or_default();
            match fields[0].as_str() {
                "stored" => {
                    assert!(number(3) >= *floor, "round {round}: {fields:?} is below {floor}");
                    *floor = number(3);
                }
                "committed" => {
                    *self.commits.entry(key.0).or_default() += 1;
                    *floor = number(3).max(*floor);
                }
                "read" => {
                    assert!(number(3) >= *floor, "round {round}: {fields:?} begins below {floor}");
                    self.read(key, number(3), number(4));
                }
                other => panic!("{other}"),
            }
        }
    }

    fn read(&mut self, key: (String, u32), first: i64, end: i64) {
        let [first, end] = [first, end].map(|offset| usize::try_from(offset).unwrap());
        let read = self.read.entry(key).or_default();
        read.resize(read.len().max(end), false);
        for is_read in &mut read[first..end] {
            self.counts[usize::from(*is_read)] += 1;
            *is_read = true;
        }
    }

    /// Checks that all acked records were read. Returns their number.
    fn all_read(&self, dir: &Path, rounds: u64) -> u64 {
        let mut count = 0;
        for fields in (0..rounds).flat_map(|round| lines(dir, "acked", round)) {
            let [partition, first, end] = [0, 1, 2].map(|index| fields[index].parse::<u32>().unwrap());
            for offset in first..end {
                count += 1;
                for group in GROUPS {
                    let read = self.read.get(&(group.to_owned(), partition));
                    let is_read = read.and_then(|read| read.get(offset as usize)) == Some(&true);
                    assert!(is_read, "{group} never read the acked record {offset} of t-{partition}");
                }
            }
        }
        count
    }
}

/// Consumes what the killed processes have left.
fn drain(dir: &Path, level: Durability, round: u64) {
    let engine = open(dir, level);
    let ends: Vec<i64> =
        engine.describe_topic("t").unwrap().partitions.iter().map(|it| it.high_watermark).collect();
    let mut members = Members::new(&engine, Journal::open(dir, "journal", round));
    let begun = Instant::now();
    loop {
        let mut at_end = [0; 2];
        for (number, member) in &members.members {
            for partition in member.assignment() {
                let position = member.position(&partition);
                let end = ends[partition.partition as usize];
                at_end[*number / 2] += u32::from(position.is_some_and(|position| position.offset >= end));
            }
        }
        if at_end == [PARTITIONS; 2] {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the groups do not reach the ends: {at_end:?}");
        members.turn();
    }
    drop(members);
    engine.close().unwrap();
}

fn drill(level: &str, kills: u64) {
    // Not in /tmp, which may be a tmpfs without O_DIRECT.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let dir = dir.path();
    for round in 0..kills {
        kill_round(dir, level, round);
        let report = verify(&dir.join("data"), &mut |_| {}).unwrap();
        assert!(report.is_sound(), "what a kill leaves is no damage: {:#?}", report.defects);
    }
    drain(dir, level_of(level), kills);
    let mut checks = Checks::default();
    (0..=kills).for_each(|round| checks.round(dir, round));
    let acked = checks.all_read(dir, kills);
    let [read, again] = checks.counts;
    let commits = GROUPS.map(|group| checks.commits.get(group).copied().unwrap_or(0));
    println!(
        "{level}: {kills} kills, {acked} acked records, each read by both groups: {read} reads and {again} \
         again; {commits:?} acknowledged commits of the groups, none read below"
    );
    assert!(acked > 0 && !commits.contains(&0), "the drill kills processes that do something");
}

#[test]
fn groups_outlive_kill_9() {
    if let Some(dir) = std::env::var_os(DIR) {
        return run_until_killed(Path::new(&dir));
    }
    let kills: u64 = std::env::var("VNOTCH_GROUP_DRILL_KILLS").map_or(4, |kills| kills.parse().unwrap());
    drill("written", kills.div_ceil(2));
    drill("synced", kills / 2);
}
