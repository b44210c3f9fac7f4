//! The machine's usage while a system is measured: CPU by thread, memory, the disk's bytes and interrupts, stolen time.
//!
//! A sample reads a few dozen small files of the kernel, at some 10 µs each, perhaps on a core that the load needs. So
//! take a sample at the two ends of the measured time, and a [`Glance`], which reads two files, in between.

use super::cgroup::CpuGroups;
use super::environment::read;
use super::procfs::{self, CpuTicks, DiskCounters, TaskTicks};
use super::storage::{self, Disk};
use crate::num;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Prefix of the names of the engine's shard threads. A number follows it.
pub const SHARD_THREADS: &str = "shard-";
/// Prefix of the names of the load threads. A number follows it.
pub const LOAD_THREADS: &str = "load-";
/// Prefixes of the names of the threads of a client library, which work for the load: those of librdkafka, and the ones that
/// pass on what it reports.
const CLIENT_THREADS: [&str; 2] = ["rdk:", "producer pollin"];
/// Name under which the kernel's io_uring workers are counted. The kernel adds these threads to a process for
/// operations that would block.
pub const IO_WORKERS: &str = "iou-wrk";

/// CPU time in all, and its share in the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CpuTime {
    /// All CPU time in seconds, exact to the scheduler's nanosecond.
    pub total_s: f64,
    /// CPU time in the kernel, in seconds. An estimate, because the kernel samples it at each clock tick (mostly 10
    /// ms).
    pub kernel_s: f64,
}

impl std::ops::AddAssign for CpuTime {
    fn add_assign(&mut self, other: Self) {
        self.total_s += other.total_s;
        self.kernel_s += other.kernel_s;
    }
}

impl std::ops::Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        let since = |now: f64, then: f64| (now - then).max(0.0);
        Self {
            total_s: since(self.total_s, earlier.total_s),
            kernel_s: since(self.kernel_s, earlier.kernel_s),
        }
    }
}

/// Counters of this process and of the disk under its data, at one moment. Two samples make a [`HostUsage`].
#[derive(Debug, Clone)]
pub struct HostSample {
    at: Instant,
    process: CpuTime,
    threads: BTreeMap<String, CpuTime>,
    /// Ticks of the cores in use, and the CPU time of this process on them in seconds.
    cores: Option<(CpuTicks, f64)>,
    disk: Option<DiskCounters>,
    interrupts: BTreeMap<u32, u64>,
    throttled_s: Option<f64>,
}

/// The use of the machine between two samples.
#[derive(Debug, Clone, PartialEq)]
pub struct HostUsage {
    /// The time between the two samples.
    pub elapsed: Duration,
    /// CPU time of the process.
    pub process: CpuTime,
    /// CPU time by the name of the thread. Includes threads that have ended, up to the last time they were sampled.
    pub threads: BTreeMap<String, CpuTime>,
    /// Share of the time of the cores in use that the hypervisor gave to other guests, 0 to 1.
    pub steal_share: Option<f64>,
    /// Number of the cores in use that other processes and kernel threads kept busy.
    pub others_cores: Option<f64>,
    /// The disk's counters, for all processes. `None` if the file system has no disk.
    pub disk: Option<DiskCounters>,
    /// The disk's interrupts by the core that took them. Cores without interrupts are left out.
    pub interrupts: BTreeMap<u32, u64>,
    /// Time for which a quota of the control group stopped threads, in seconds. `None` without a quota.
    pub throttled_s: Option<f64>,
}

impl HostUsage {
    /// Takes the CPU time of processes that belong to the measured system out of that of others.
    #[must_use]
    pub fn without_others_s(mut self, own_s: f64) -> Self {
        let elapsed_s = self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
        self.others_cores = self.others_cores.map(|others| (others - own_s / elapsed_s).max(0.0));
        self
    }

    /// Returns the CPU time of the threads whose names begin with `prefix`, such as [`SHARD_THREADS`], [`LOAD_THREADS`]
    /// and [`IO_WORKERS`].
    pub fn threads_of(&self, prefix: &str) -> CpuTime {
        let mut sum = CpuTime::default();
        self.threads.iter().filter(|(name, _)| name.starts_with(prefix)).for_each(|(_, time)| sum += *time);
        sum
    }

    /// Returns the CPU time of the load: that of the load threads and of the threads of a client library.
    pub fn load(&self) -> CpuTime {
        let mut sum = self.threads_of(LOAD_THREADS);
        CLIENT_THREADS.iter().for_each(|prefix| sum += self.threads_of(prefix));
        sum
    }
}

/// The few counters that are read in every interval of a series.
#[derive(Debug, Clone, Copy)]
pub struct Glance {
    at: Instant,
    cpu_s: f64,
    disk: Option<DiskCounters>,
    /// Resident memory in bytes.
    pub rss_bytes: Option<u64>,
}

/// Takes samples. It remembers the threads that it has seen, so one probe must take all the samples of a trial.
#[derive(Debug)]
pub struct HostProbe {
    disk: Option<Disk>,
    cpu_groups: CpuGroups,
    ticks_per_s: u64,
    /// The cores in use. Steal and the time of others are those of these cores; of all cores if there are none here.
    cores: BTreeSet<u32>,
    /// Name and CPU time of each thread at the last look, by thread id.
    seen: HashMap<String, (String, CpuTime)>,
    /// CPU time by the thread's name, of all threads seen since the beginning.
    threads: BTreeMap<String, CpuTime>,
    /// CPU time of all threads by the core on which they were seen, in seconds.
    by_core: BTreeMap<u32, f64>,
}

/// A thread of this process.
struct Task {
    id: String,
    name: String,
    time: CpuTime,
    /// The core on which it ran last.
    core: Option<u32>,
}

impl HostProbe {
    /// Makes a probe of this process and of the disk under `data_dir`.
    pub fn new(data_dir: &Path) -> Self {
        Self {
            disk: storage::disk_under(data_dir),
            cpu_groups: CpuGroups::find(),
            ticks_per_s: rustix::param::clock_ticks_per_second().max(1),
            cores: BTreeSet::new(),
            seen: HashMap::new(),
            threads: BTreeMap::new(),
            by_core: BTreeMap::new(),
        }
    }

    /// Sets the cores whose stolen time and other processes are counted.
    #[must_use]
    pub fn on_cores(mut self, cores: impl IntoIterator<Item = u32>) -> Self {
        self.cores = cores.into_iter().collect();
        self
    }

    /// Reads the few counters of a [`Glance`].
    pub fn glance(&self) -> Glance {
        let pages = read("/proc/self/statm").and_then(|text| procfs::resident_pages(&text));
        let page_bytes = num::count(rustix::param::page_size());
        Glance {
            at: Instant::now(),
            cpu_s: process_cpu_s(),
            disk: self.disk.as_ref().and_then(Disk::counters),
            rss_bytes: pages.map(|pages| pages * page_bytes),
        }
    }

    /// Reads every counter once.
    pub fn sample(&mut self) -> HostSample {
        self.update_threads();
        let process = read("/proc/self/stat").and_then(|text| procfs::task_ticks(&text));
        let total_s = process_cpu_s();
        HostSample {
            at: Instant::now(),
            process: process.map_or(CpuTime { total_s, kernel_s: 0.0 }, |ticks| split(total_s, &ticks)),
            threads: self.threads.clone(),
            cores: self.usage_of_cores(total_s),
            disk: self.disk.as_ref().and_then(Disk::counters),
            interrupts: self.interrupts(),
            throttled_s: self.cpu_groups.throttling().map(|throttling| throttling.throttled_s),
        }
    }

    /// Adds the CPU time that each thread has used since the last look. For a thread that has ended, the time after the
    /// last look is lost, so call this now and then. A thread with the id of an ended one counts from 0.
    pub fn update_threads(&mut self) {
        let mut alive = HashMap::with_capacity(self.seen.len());
        for Task { id, name, time: now, core } in self.tasks() {
            let before = match self.seen.get(&id) {
                Some((old_name, before)) if *old_name == name && before.total_s <= now.total_s => *before,
                _ => CpuTime::default(),
            };
            let spent = now - before;
            *self.threads.entry(name.clone()).or_default() += spent;
            if let Some(core) = core {
                *self.by_core.entry(core).or_default() += spent.total_s;
            }
            alive.insert(id, (name, now));
        }
        self.seen = alive;
    }

    /// Returns the ticks of the cores in use, and this process's CPU time on them in seconds. `process_s` is its time on all cores.
    ///
    /// The time of a thread counts for the core on which it was seen. Shards and load threads are bound to theirs; the other
    /// threads use little.
    fn usage_of_cores(&self, process_s: f64) -> Option<(CpuTicks, f64)> {
        let stat = read("/proc/stat")?;
        if self.cores.is_empty() {
            return Some((procfs::cpu_ticks(&stat)?, process_s));
        }
        let own_s = self.cores.iter().filter_map(|core| self.by_core.get(core)).sum();
        Some((procfs::ticks_of_cores(&stat, &self.cores)?, own_s))
    }

    /// Returns every thread of this process.
    fn tasks(&self) -> Vec<Task> {
        let entries = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let task = |entry: fs::DirEntry| {
            // A thread that ends while it is being read is left out.
            let ticks = procfs::task_ticks(&fs::read_to_string(entry.path().join("stat")).ok()?)?;
            let exact = fs::read_to_string(entry.path().join("schedstat")).ok();
            let exact_s = exact.and_then(|text| run_time_s(&text));
            let time = split(exact_s.unwrap_or_else(|| self.seconds(ticks.user + ticks.system)), &ticks);
            let name = if ticks.name.starts_with(IO_WORKERS) { IO_WORKERS.to_owned() } else { ticks.name };
            let id = entry.file_name().to_string_lossy().into_owned();
            Some(Task { id, name, time, core: ticks.core })
        };
        entries.filter_map(task).collect()
    }

    fn interrupts(&self) -> BTreeMap<u32, u64> {
        let mut per_core = BTreeMap::new();
        let Some(disk) = &self.disk else { return per_core };
        let all = read("/proc/interrupts").map(|text| procfs::interrupts(&text)).unwrap_or_default();
        for (core, count) in disk.interrupts(&all).iter().flat_map(|interrupt| &interrupt.per_core) {
            *per_core.entry(*core).or_default() += count;
        }
        per_core
    }

    fn seconds(&self, ticks: u64) -> f64 {
        num::f64_of(ticks) / num::f64_of(self.ticks_per_s)
    }
}

impl Glance {
    /// Returns the process's CPU time since `earlier`, divided by the time in between. `None` if no time has passed.
    pub fn cpu_since(&self, earlier: &Self) -> Option<f64> {
        let elapsed_s = self.at.saturating_duration_since(earlier.at).as_secs_f64();
        (elapsed_s > 0.0).then(|| (self.cpu_s - earlier.cpu_s) / elapsed_s)
    }

    /// Returns the bytes that all processes have written to the disk since `earlier`. `None` if the file system has no
    /// disk.
    pub fn written_since(&self, earlier: &Self) -> Option<u64> {
        self.disk.zip(earlier.disk).map(|(now, then)| now.written.saturating_sub(then.written))
    }
}

impl HostSample {
    fn others_cores_since(&self, earlier: &Self) -> Option<f64> {
        let ((now, own_now_s), (then, own_then_s)) = self.cores.zip(earlier.cores)?;
        let elapsed_s = self.at.saturating_duration_since(earlier.at).as_secs_f64();
        let own_s = own_now_s - own_then_s;
        let others_s = now.others_s_since(then, own_s, rustix::param::clock_ticks_per_second().max(1));
        (elapsed_s > 0.0).then(|| others_s / elapsed_s)
    }

    /// Returns the usage since `earlier`, a sample that the same probe took.
    pub fn since(&self, earlier: &Self) -> HostUsage {
        let threads = self.threads.iter().map(|(name, now)| {
            let before = earlier.threads.get(name).copied().unwrap_or_default();
            (name.clone(), *now - before)
        });
        let interrupts = self.interrupts.iter().map(|(core, now)| {
            let before = earlier.interrupts.get(core).copied().unwrap_or_default();
            (*core, now.saturating_sub(before))
        });
        HostUsage {
            elapsed: self.at.saturating_duration_since(earlier.at),
            process: self.process - earlier.process,
            threads: threads.collect(),
            steal_share: self
                .cores
                .zip(earlier.cores)
                .map(|((now, _), (then, _))| now.steal_share_since(then)),
            others_cores: self.others_cores_since(earlier),
            disk: self.disk.zip(earlier.disk).map(|(now, then)| now.since(then)),
            interrupts: interrupts.filter(|(_, count)| *count > 0).collect(),
            throttled_s: self.throttled_s.zip(earlier.throttled_s).map(|(now, then)| (now - then).max(0.0)),
        }
    }
}

/// Splits exact CPU time into user and kernel time in the ratio of the ticks, which are whole hundredths of a second.
fn split(total_s: f64, ticks: &TaskTicks) -> CpuTime {
    let all = ticks.user + ticks.system;
    let kernel = num::f64_of(ticks.system) / num::f64_of(all.max(1));
    CpuTime { total_s, kernel_s: total_s * kernel }
}

/// Returns the first figure of a `schedstat` file, the time spent on a CPU, in seconds.
fn run_time_s(schedstat: &str) -> Option<f64> {
    let ns: u64 = schedstat.split_ascii_whitespace().next()?.parse().ok()?;
    Some(num::f64_of(ns) * 1e-9)
}

/// Returns the CPU seconds that the whole process has used. Includes threads that have ended and the kernel's I/O
/// workers.
pub fn process_cpu_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::sync::Barrier;

    fn probe() -> HostProbe {
        HostProbe::new(Path::new(env!("CARGO_MANIFEST_DIR")))
    }

    /// Keeps a CPU busy until this thread has used 30 ms of CPU time.
    fn spin() {
        let cpu_ns = || {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            time.tv_sec * 1_000_000_000 + time.tv_nsec
        };
        let begun = cpu_ns();
        while cpu_ns() - begun < 30_000_000 {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn cpu_time_is_told_apart_by_thread_and_survives_its_end() {
        let mut probe = probe();
        let before = probe.sample();
        let (spun, sampled) = (Barrier::new(2), Barrier::new(2));
        let during = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("load-7".to_owned());
            let work = || {
                spin();
                spun.wait();
                sampled.wait();
            };
            thread.spawn_scoped(scope, work).unwrap();
            spun.wait();
            let during = probe.sample();
            sampled.wait();
            during
        });
        let after = probe.sample().since(&before);
        let during = during.since(&before);
        assert!(during.threads_of(LOAD_THREADS).total_s >= 0.029, "{during:?}");
        assert!(during.process.total_s >= during.threads_of(LOAD_THREADS).total_s);
        // The thread uses a little more CPU time before it ends.
        let (spent, kept) = (during.threads["load-7"].total_s, after.threads["load-7"].total_s);
        assert!(
            (spent..spent + 0.01).contains(&kept),
            "an ended thread keeps what it spent: {spent}, {kept}"
        );
        assert!(during.threads_of(SHARD_THREADS).total_s.abs() < 1e-9, "there are no shards here");
    }

    #[test]
    fn the_threads_of_the_client_library_count_as_load() {
        let mut probe = probe();
        let before = probe.sample();
        // The kernel keeps 15 bytes of a name, so `producer polling thread` is cut.
        let times = [
            ("load-7", 1.0),
            ("rdk:main", 2.0),
            ("rdk:broker1", 4.0),
            ("producer pollin", 8.0),
            ("shard-0", 16.0),
        ];
        let of =
            |(name, total_s): (&str, f64)| (name.to_owned(), CpuTime { total_s, kernel_s: total_s / 2.0 });
        let usage = HostUsage { threads: times.map(of).into(), ..probe.sample().since(&before) };
        assert_eq!(usage.load(), CpuTime { total_s: 15.0, kernel_s: 7.5 });
        assert_eq!(usage.threads_of(SHARD_THREADS).total_s.to_bits(), 16.0_f64.to_bits());
    }

    #[test]
    fn others_are_those_on_the_cores_in_use() {
        let at = Instant::now();
        let sample = |seconds: u64, busy, own_s| HostSample {
            at: at + Duration::from_secs(seconds),
            cores: Some((CpuTicks { total: 2000 * seconds, steal: 100 * seconds, busy }, own_s)),
            ..probe().sample()
        };
        let ticks_per_s = rustix::param::clock_ticks_per_second();
        let usage = sample(10, 12 * ticks_per_s, 8.0).since(&sample(0, 0, 0.0));
        assert!((usage.others_cores.unwrap() - 0.4).abs() < 1e-9, "12 s busy in 10 s, 8 s of them its own");
        assert!((usage.steal_share.unwrap() - 0.05).abs() < 1e-9);
    }

    #[test]
    fn the_time_of_a_thread_counts_for_the_core_that_it_is_bound_to() {
        let allowed = rustix::thread::sched_getaffinity(None).unwrap();
        let core = (0..rustix::thread::CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)).unwrap();
        let mut probe = probe().on_cores([u32::try_from(core).unwrap()]);
        let before = probe.sample();
        let after = std::thread::scope(|scope| {
            let bound = scope.spawn(|| {
                let mut one = rustix::thread::CpuSet::new();
                one.set(core);
                rustix::thread::sched_setaffinity(None, &one).unwrap();
                spin();
                probe.sample()
            });
            bound.join().unwrap()
        });
        let own_s = |sample: &HostSample| sample.cores.unwrap().1;
        assert!(own_s(&after) - own_s(&before) >= 0.029, "{after:?}");
    }

    #[test]
    fn memory_and_disk_are_counted() {
        let mut probe = probe();
        let (first, before) = (probe.glance(), probe.sample());
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(&vec![7; 4 << 20]).unwrap();
        file.sync_all().unwrap();
        let usage = probe.sample().since(&before);
        if let Some(disk) = usage.disk {
            assert!(disk.written > 0, "a synced write reaches the disk: {disk:?}");
        }
        let second = probe.glance();
        assert_eq!(second.written_since(&first).is_some(), usage.disk.is_some());
        assert!(second.written_since(&first) >= usage.disk.map(|disk| disk.written));
        assert!(second.cpu_since(&first).is_some_and(|cores| cores > 0.0));
        let status = read("/proc/self/status").unwrap();
        let (glanced, status) = (second.rss_bytes.unwrap(), procfs::field_bytes(&status, "VmRSS").unwrap());
        assert!(glanced.abs_diff(status) < 64 << 20, "{glanced} and {status} are the same memory");
    }
}
