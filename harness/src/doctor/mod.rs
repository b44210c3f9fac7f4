//! Checks of this machine. `vnotch doctor` shows all of them, each with a remedy. `run` uses some of them to refuse
//! early, in the same words, a run that cannot work.

mod check;
mod checks;
mod jitter;
mod messages;
#[cfg(test)]
mod tests;

use crate::device::{self, DeviceError, DirProbe};
use crate::host::environment::hidden_files;
use crate::host::leftovers::{self, Leftover};
use crate::host::storage;
use crate::result::environment::{Cgroup, IoUring};
use crate::result::environment::{Environment, RingProbe};
use crate::result::provenance::Build;
use crate::workload::{EngineSettings, Io, Preallocate, Workload};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use std::path::Path;

pub use check::{Check, Level};
pub use jitter::Jitter;
pub use messages::CoreMessages;

/// The needs of a run, against which the machine is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Memory for records, bytes per shard.
    pub arena_bytes: u64,
    /// Number of shards.
    pub shards: u32,
    /// How segments are written.
    pub io: Io,
    /// Whether the log allocates whole segments ahead of appends.
    pub preallocates: bool,
}

impl From<&EngineSettings> for Needs {
    /// The needs of an engine. They do not include those of its log.
    fn from(engine: &EngineSettings) -> Self {
        let EngineSettings { arena_bytes, shards, io, .. } = engine;
        Self { arena_bytes: arena_bytes.0, shards: *shards, io: *io, preallocates: false }
    }
}

impl From<&Workload> for Needs {
    fn from(workload: &Workload) -> Self {
        let preallocates = workload.log.preallocate != Preallocate::None;
        Self { preallocates, ..Self::from(&workload.engine) }
    }
}

/// Facts about the machine, before the checks judge them.
struct Facts {
    environment: Environment,
    /// The hard limit on open files; `None` if there is no limit.
    descriptors_max: Option<u64>,
    ring: Result<RingProbe, DeviceError>,
    dir: Result<DirProbe, DeviceError>,
    hidden_files: Vec<&'static str>,
    has_journal: Option<bool>,
    interrupt_cores: Vec<u32>,
    leftovers: Vec<Leftover>,
    jitter: Jitter,
    core_messages: Option<CoreMessages>,
    build: Build,
}

/// The result of an examination.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// All checks, in a fixed order.
    pub checks: Vec<Check>,
    /// Description of the machine.
    pub environment: Environment,
    /// Time that a spinning thread lost to interruptions.
    pub jitter: Jitter,
    /// The time of a message between two cores; `None` with a single core.
    pub core_messages: Option<CoreMessages>,
    /// The build of vnotch that examined the machine.
    pub build: Build,
}

impl Diagnosis {
    /// Returns the worst level of all checks.
    pub fn worst(&self) -> Level {
        self.checks.iter().map(|check| check.level).max().unwrap_or(Level::Ok)
    }
}

/// Examines this machine and `dir`, which must exist. Takes about a second.
pub fn examine(dir: &Path, needs: &Needs) -> Diagnosis {
    let environment = Environment::collect(dir, IoUring::collect());
    let facts = Facts {
        core_messages: messages::probe(&environment.cpu.cores_allowed),
        environment,
        descriptors_max: getrlimit(Resource::Nofile).maximum,
        ring: device::probe(),
        dir: device::probe_dir(dir),
        hidden_files: hidden_files(),
        has_journal: storage::has_journal(dir),
        interrupt_cores: storage::interrupt_cores(dir),
        leftovers: leftovers::find(dir),
        jitter: jitter::probe(),
        build: Build::current(),
    };
    let checks = checks::all(&facts, needs);
    let Facts { environment, jitter, core_messages, build, .. } = facts;
    Diagnosis { checks, environment, jitter, core_messages, build }
}

/// Refuses a run that cannot work on this machine with its data in `data_dir`. If that directory does not exist yet,
/// its nearest existing parent is checked. This is quick; it makes and removes a small file. Returns the checks that
/// warn: the run works, but worse than it could.
///
/// # Errors
/// io_uring or O_DIRECT is missing, memlock is too small for a shard's executor, or nothing can be written there. The
/// error names every failed check, each with its remedy.
pub fn preflight(data_dir: &Path, needs: &Needs) -> anyhow::Result<Vec<Check>> {
    let absolute = std::path::absolute(data_dir)?;
    let existing = absolute.ancestors().find(|dir| dir.is_dir()).unwrap_or(&absolute);
    let memlock = crate::result::environment::Memlock::collect();
    let ring = device::probe();
    let cgroup = Cgroup::collect();
    let mut checks = vec![
        checks::kernel_files(&hidden_files()),
        checks::io_uring(&ring, device::disabled_sysctl()),
        checks::memlock(memlock, needs),
    ];
    checks.extend(checks::operations(&ring));
    checks.extend(checks::cpu_quota(&cgroup, needs));
    checks.extend(checks::directory(&device::probe_dir(existing), needs));
    let failed: Vec<_> = checks.iter().filter(|check| check.level == Level::Fail).map(sentence).collect();
    if !failed.is_empty() {
        anyhow::bail!("cannot run here: {}", failed.join("\n  and "));
    }
    Ok(checks.into_iter().filter(|check| check.level == Level::Warn).collect())
}

/// Returns the check of the control group's CPU quota as a sentence, if the quota is too small for `needs`.
pub fn quota_warning(needs: &Needs) -> Option<String> {
    let check = checks::cpu_quota(&Cgroup::collect(), needs)?;
    (check.level == Level::Warn).then(|| sentence(&check))
}

/// Formats a check as one line of a message.
pub fn sentence(check: &Check) -> String {
    match &check.remedy {
        Some(remedy) => format!("{}: {}; {remedy}", check.name, check.finding),
        None => format!("{}: {}", check.name, check.finding),
    }
}
