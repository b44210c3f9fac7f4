//! Runs of two trials on a fake system and a fake device that note what they are asked for.

use crate::campaign::run::{Keeping, run_in};
use crate::device::{BareDevice, BestCell, CeilingSpec, DeviceBest, DeviceError, Reap, Replay};
use crate::measure::events::SystemEvent;
use crate::measure::shards::ShardStats;
use crate::num;
use crate::result::RunResult;
use crate::result::provenance::CoresUsed;
use crate::system::engine::configuration;
use crate::system::fake::{Behaviour, FakeSystem};
use crate::system::{
    Ack, ConsumerSpec, Description, Inside, Joined, LocalWork, MemberSpec, OutRecord, ProducerSpec,
    SendError, System, SystemConsumer, SystemMember, SystemProducer,
};
use crate::trial::context::{Options, RunContext};
use crate::trial::data_dir::DataDir;
use crate::trial::progress::Progress;
#[cfg(feature = "kafka")]
use crate::workload::Target;
use crate::workload::limits::STAMP_BYTES;
use crate::workload::{Many, Override, Study, Workload, parse_study};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// The requests of one trial to the system.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// The configuration that the engine and its topics would have.
    pub(super) config: String,
    pub(super) topics: Vec<(String, u32)>,
    /// The settings of all clients.
    pub(super) clients: BTreeSet<String>,
    /// The records that were accepted, by sender, partition and sequence.
    pub(super) records: BTreeMap<(u32, u32, u64), Sent>,
    /// Number of batches.
    pub(super) batches: usize,
    /// Calls of [`Inside`].
    pub(super) calls: BTreeSet<&'static str>,
    /// The cores on which the threads that sent records may run.
    pub(super) load_cores: BTreeSet<usize>,
    /// The names of the threads that sent records.
    pub(super) load_threads: BTreeSet<String>,
    /// Time for which the system was open.
    pub(super) open_for: Duration,
}

/// A record that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    key: Option<Vec<u8>>,
    /// The value without the stamp.
    body: Vec<u8>,
    has_header: bool,
    /// The stamp, with the intended time.
    stamp: Vec<u8>,
}

/// A run that has ended.
pub(super) struct Ran {
    /// The requests of each trial, calibrations included, in their order.
    pub(super) trials: Vec<Asked>,
    /// The requests to the device, in their order.
    pub(super) device: Vec<String>,
    /// The result; `None` if the first trial failed.
    pub(super) result: Option<RunResult>,
}

/// The places where requests are noted.
#[derive(Clone, Default)]
struct Notes {
    trials: Arc<Mutex<Vec<Asked>>>,
    device: Arc<Mutex<Vec<String>>>,
}

/// Returns the study of `yaml` with these `--set` arguments.
pub(super) fn study(yaml: &str, sets: &[String]) -> anyhow::Result<Study> {
    let overrides = sets.iter().map(|set| Override::set(set)).collect::<anyhow::Result<Vec<_>>>()?;
    parse_study(yaml, "keys.yaml", &overrides, Many::Refused, crate::system::CAPABILITIES)
}

/// Runs a study, with its data and results below `dir`.
pub(super) fn run(dir: &Path, study: &Study, behaviour: &Behaviour) -> Ran {
    let notes = Notes::default();
    let data_dir = DataDir::open(Some(&dir.join("data"))).unwrap();
    let open = |workload: &Workload, cores: &CoresUsed, _: &Path| {
        let asked = Asked { config: config_of(workload, cores)?, ..Asked::default() };
        Ok(Box::new(NotingSystem {
            inner: FakeSystem::new(behaviour.clone()),
            asked: Arc::new(Mutex::new(asked)),
            opened: Instant::now(),
            looks: AtomicU64::new(0),
            trials: Arc::clone(&notes.trials),
        }) as Box<dyn System>)
    };
    let device = |_: &Path, _: Arc<AtomicBool>| {
        Ok(Box::new(NotingDevice(Arc::clone(&notes.device))) as Box<dyn BareDevice>)
    };
    let context = RunContext {
        study,
        options: &Options { is_quiet: true, ..Options::default() },
        open: &open,
        unwarmed: &|workload| unwarmed(workload).filter(|_| notes.trials.lock().unwrap().is_empty()),
        device: &device,
        data_dir: &data_dir,
        stop: &Arc::new(AtomicBool::new(false)),
        measured: &AtomicBool::new(false),
        progress: &Progress::silent(),
        started: Instant::now(),
    };
    let measured = run_in(context, Keeping::Below(dir.to_owned())).ok().flatten();
    let take = |notes: &Mutex<Vec<Asked>>| std::mem::take(&mut *notes.lock().unwrap());
    Ran {
        trials: take(&notes.trials),
        device: std::mem::take(&mut *notes.device.lock().unwrap()),
        result: measured.map(|measured| measured.recording.result),
    }
}

/// Everything that a system is configured with.
fn config_of(workload: &Workload, cores: &CoresUsed) -> anyhow::Result<String> {
    #[cfg(feature = "kafka")]
    if workload.target.system() == Target::KAFKA {
        return crate::system::kafka::asked(workload);
    }
    Ok(format!("{:?}", configuration(workload, cores, Path::new(""))?))
}

/// The time for which load is put on the system before the first trial.
fn unwarmed(workload: &Workload) -> Option<Duration> {
    crate::system::Systems::default().unwarmed(workload)
}

/// A fake system that notes its requests.
struct NotingSystem {
    inner: FakeSystem,
    asked: Arc<Mutex<Asked>>,
    opened: Instant,
    /// How often its counters were read.
    looks: AtomicU64,
    trials: Arc<Mutex<Vec<Asked>>>,
}

impl Drop for NotingSystem {
    fn drop(&mut self) {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        (asked.batches, asked.open_for) = (self.inner.batches().len(), self.opened.elapsed());
        self.trials.lock().unwrap().push(asked);
    }
}

impl System for NotingSystem {
    fn describe(&self) -> Description {
        self.inner.describe()
    }

    fn create_topic(&mut self, name: &str, partitions: u32) -> anyhow::Result<()> {
        self.asked.lock().unwrap().topics.push((name.to_owned(), partitions));
        self.inner.create_topic(name, partitions)
    }

    fn producer(&self, spec: &ProducerSpec) -> anyhow::Result<Box<dyn SystemProducer + Send>> {
        let mut asked = self.asked.lock().unwrap();
        // Producers of one topic may have equal settings.
        let number = asked.clients.len();
        asked.clients.insert(format!("{number}: {spec:?}"));
        let inner = self.inner.producer(spec)?;
        Ok(Box::new(NotingProducer { inner, asked: Arc::clone(&self.asked) }))
    }

    fn consumer(&self, spec: &ConsumerSpec) -> anyhow::Result<Box<dyn SystemConsumer + Send>> {
        let mut asked = self.asked.lock().unwrap();
        let number = asked.clients.len();
        asked.clients.insert(format!("{number}: {spec:?}"));
        self.inner.consumer(spec)
    }

    fn member(&self, spec: &MemberSpec) -> anyhow::Result<Box<dyn SystemMember + Send>> {
        let mut asked = self.asked.lock().unwrap();
        let number = asked.clients.len();
        asked.clients.insert(format!("{number}: {spec:?}"));
        self.inner.member(spec)
    }

    fn inside(&self) -> Option<&dyn Inside> {
        Some(self)
    }

    fn close(self: Box<Self>) -> anyhow::Result<()> {
        Ok(())
    }
}

impl Inside for NotingSystem {
    fn shards_of(&self, _: &str) -> anyhow::Result<Vec<u32>> {
        self.asked.lock().unwrap().calls.insert("shards_of");
        anyhow::bail!("the fake has no shards")
    }

    fn colocate(&self, shard: u32, work: LocalWork) -> anyhow::Result<Joined> {
        self.inner.colocate(shard, work)
    }

    /// Between two looks, ten writes of 4 KiB were made, two at a time.
    fn shard_stats(&self) -> Vec<ShardStats> {
        let looks = self.looks.fetch_add(1, Ordering::SeqCst) + 1;
        vec![ShardStats {
            writes: 10 * looks,
            write_sizes: vec![(4096, 10 * looks)],
            write_bytes: 40_960 * looks,
            write_busy_ns: 100 * looks,
            write_depth_ns: 200 * looks,
            ..ShardStats::default()
        }]
    }

    fn drain_events(&self) -> Vec<SystemEvent> {
        self.inner.inside().map_or_else(Vec::new, Inside::drain_events)
    }

    fn stall(&self, shard: u32, length: Duration) -> anyhow::Result<()> {
        crate::system::inside(&self.inner)?.stall(shard, length)
    }

    fn drop_caches(&self) -> anyhow::Result<()> {
        self.asked.lock().unwrap().calls.insert("drop_caches");
        Ok(())
    }
}

/// A producer that notes the records that are accepted.
struct NotingProducer {
    inner: Box<dyn SystemProducer + Send>,
    asked: Arc<Mutex<Asked>>,
}

impl SystemProducer for NotingProducer {
    fn try_send(&mut self, partition: u32, record: &OutRecord<'_>) -> Result<(), SendError> {
        self.inner.try_send(partition, record)?;
        let header = record.headers.first().map(|(_, stamp)| *stamp);
        let (stamp, body) = match header {
            Some(stamp) => (stamp, record.value),
            None => record.value.split_at(STAMP_BYTES),
        };
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        let sequence = u64::from_le_bytes(stamp[..8].try_into().unwrap());
        let sent = Sent {
            key: record.key.map(<[u8]>::to_vec),
            body: body.to_vec(),
            has_header: header.is_some(),
            stamp: stamp.to_vec(),
        };
        let mut asked = self.asked.lock().unwrap();
        asked.records.insert((number(&stamp[16..20]), partition, sequence), sent);
        let thread = std::thread::current();
        if let Some(name) = thread.name().filter(|name| !asked.load_threads.contains(*name)) {
            asked.load_threads.insert(name.to_owned());
        }
        if asked.load_cores.is_empty() {
            let cores = rustix::thread::sched_getaffinity(None).unwrap();
            asked.load_cores =
                (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).collect();
        }
        Ok(())
    }

    fn flush(&mut self) {
        self.inner.flush();
    }

    fn poll_ack(&mut self, context: &mut Context<'_>) -> Poll<Ack> {
        self.inner.poll_ack(context)
    }
}

/// A fake device that notes its requests.
struct NotingDevice(Arc<Mutex<Vec<String>>>);

impl NotingDevice {
    fn note(&self, request: String) {
        self.0.lock().unwrap().push(request);
    }
}

impl BareDevice for NotingDevice {
    fn write_like(&mut self, replay: &Replay, reap: Reap, _: Duration) -> Result<Option<f64>, DeviceError> {
        self.note(format!("{replay:?} {reap:?}"));
        Ok(Some(1e9))
    }

    fn read(&mut self, spec: &CeilingSpec) -> Result<Option<f64>, DeviceError> {
        self.note(format!("{spec:?}"));
        Ok(Some(1e9))
    }

    fn synced_write_ns(&mut self, spec: &CeilingSpec) -> Result<Option<u64>, DeviceError> {
        self.note(format!("{spec:?}"));
        Ok(Some(num::count(100_000)))
    }

    fn best(&mut self, slice: Duration) -> Result<DeviceBest, DeviceError> {
        self.note(format!("best in {slice:?}"));
        let cell = BestCell { block_bytes: 1 << 20, depth: 8, bytes_per_s: 1e9 };
        Ok(DeviceBest { write: cell, read: cell })
    }
}
