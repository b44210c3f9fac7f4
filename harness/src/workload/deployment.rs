//! The deployment of the system under test. The settings of a system (`engine:`) are read here alone; the rest of the harness
//! asks the deployment. This file also lists what keeps consumers from being members of a group.

use super::{Assignment, Ceiling, Cores, Durability, Io, Placement, Poll, Target, Workload};

/// The place where the system under test runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// This process.
    Process,
    /// Processes that the harness starts on this machine.
    Started,
    /// Somewhere else: the system was there before, and keeps its data where it likes.
    Elsewhere,
}

/// The resolved deployment of the system under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployment<'a> {
    /// The place where the system runs.
    pub host: Host,
    /// The place where load runs: threads of its own, or the shards' threads.
    pub placement: Placement,
    /// Number of shards; 0 for a system that does not run in this process.
    pub shards: u32,
    /// Number of load threads without a core of their own; `None` if the cores decide.
    pub load_threads: Option<u32>,
    /// The cores that the workload names; an empty list leaves the choice to the harness.
    pub cores: &'a Cores,
    /// How the log is written and read.
    pub io: Io,
    /// How a shard waits for completions.
    pub poll: Poll,
}

/// Cores of a system that chooses its own.
static NO_CORES: Cores = Cores { shards: Vec::new(), load: Vec::new() };

impl Deployment<'_> {
    /// Whether load runs on the shards' own threads.
    pub fn is_colocated(&self) -> bool {
        self.placement == Placement::Colocated
    }

    /// Whether writes go to the page cache of this machine, so that a completed one has not reached the device.
    pub fn is_page_cached(&self) -> bool {
        self.io == Io::Buffered && self.is_on_this_machine()
    }

    /// Whether the system runs in this process.
    pub fn is_in_process(&self) -> bool {
        self.host == Host::Process
    }

    /// Whether the system keeps its data in the run's data directory.
    pub fn is_on_this_machine(&self) -> bool {
        self.host != Host::Elsewhere
    }
}

impl Workload {
    /// The deployment that this workload asks for.
    pub fn deployment(&self) -> Deployment<'_> {
        if self.target.system() == Target::KAFKA {
            let host = if self.target.address().is_some() { Host::Elsewhere } else { Host::Started };
            return Deployment {
                host,
                placement: Placement::Remote,
                shards: 0,
                load_threads: Some(self.kafka.load_threads),
                cores: &NO_CORES,
                io: Io::Buffered,
                poll: Poll::Park,
            };
        }
        let settings = &self.engine;
        Deployment {
            host: Host::Process,
            load_threads: None,
            placement: settings.placement,
            shards: settings.shards,
            cores: &settings.cores,
            io: settings.io,
            poll: settings.poll,
        }
    }
}

impl Workload {
    /// Whether the device's best is measured. An `appended` ack does not wait for the disk, so the disk is no ceiling for it.
    pub fn has_device_best(&self) -> bool {
        self.ceiling == Ceiling::Auto
            && self.durability != Durability::Appended
            && self.deployment().is_on_this_machine()
    }

    /// Whether slices of the ceiling bracket each trial. They replay the writes of the trial, which only a system in this process
    /// counts.
    pub fn has_ceiling(&self) -> bool {
        self.has_device_best() && self.deployment().is_in_process()
    }
}

/// A reason why consumers cannot be members of a group.
pub(super) struct Obstacle {
    /// The keys that it concerns.
    pub(super) keys: [&'static str; 2],
    /// The reason and, after the semicolon, what to change.
    pub(super) message: &'static str,
}

impl Workload {
    /// Returns what keeps the consumers from being members of a group. Does not check whether the system has groups.
    pub(super) fn obstacles_of_members(&self) -> Vec<Obstacle> {
        let mut obstacles = Vec::new();
        let mut add = |keys, message| obstacles.push(Obstacle { keys, message });
        if self.subscriptions_per_topic == 0 {
            let message = "members of a group need `subscriptions_per_topic` of at least 1";
            add(["consume", "subscriptions_per_topic"], message);
        }
        if self.deployment().is_colocated() {
            let message = "colocated consumers cannot be members of a group yet; use `engine.placement: remote`, or \
                           `consume.assignment: fixed`";
            add(["consume", "engine.placement"], message);
        }
        if self.backlog.is_some() {
            let message =
                "members of a group cannot start late on a backlog yet; use `consume.assignment: fixed`";
            add(["consume", "backlog"], message);
        }
        obstacles
    }

    /// Whether `consume.assignment` is not the default that a workload of its own would have.
    pub(super) fn is_assignment_chosen(&self) -> bool {
        let can_be_members = self.target.system() == Target::ENGINE && self.obstacles_of_members().is_empty();
        let default = match can_be_members || self.consume.asks_for_members() {
            true => Assignment::Group,
            false => Assignment::Fixed,
        };
        self.consume.assignment.is_some_and(|assignment| assignment != default)
    }
}
