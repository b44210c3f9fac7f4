//! What this machine lacks for a trustworthy run: `vnotch doctor` shows all of it, and `run` refuses early, in the same
//! words, what cannot work.

mod checks;
mod jitter;
#[cfg(test)]
mod tests;

use crate::device::{self, DeviceError, DirProbe};
use crate::host::storage;
use crate::result::environment::IoUring;
use crate::result::environment::{Environment, RingProbe};
use crate::result::provenance::Build;
use crate::workload::{EngineSettings, Io};
use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use std::path::Path;

pub use jitter::Jitter;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// A run works, but its figures suffer or say less.
    Warn,
    /// A run does not work.
    Fail,
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub finding: String,
    /// How to mend it; never missing where the level is not [`Level::Ok`].
    pub remedy: Option<String>,
}

/// What a run is going to need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Memory for records, bytes a shard.
    pub arena_bytes: u64,
    /// Shards.
    pub shards: u32,
    /// How segments are written.
    pub io: Io,
}

impl From<&EngineSettings> for Needs {
    fn from(engine: &EngineSettings) -> Self {
        Self { arena_bytes: engine.arena_bytes.0, shards: engine.shards, io: engine.io }
    }
}

/// What was found out, before it is judged.
struct Facts {
    environment: Environment,
    /// The hard limit on open files.
    descriptors_max: Option<u64>,
    ring: Result<RingProbe, DeviceError>,
    dir: Result<DirProbe, DeviceError>,
    has_journal: Option<bool>,
    interrupt_cores: Vec<u32>,
    jitter: Jitter,
    build: Build,
}

/// Everything the doctor has to say.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// Each thing looked at, in a fixed order.
    pub checks: Vec<Check>,
    /// The machine.
    pub environment: Environment,
    /// How this thread was interrupted while it tried to run.
    pub jitter: Jitter,
    /// The build that says so.
    pub build: Build,
}

impl Diagnosis {
    /// The worst level of all.
    pub fn worst(&self) -> Level {
        self.checks.iter().map(|check| check.level).max().unwrap_or(Level::Ok)
    }
}

/// Looks at this machine and at `dir`, which must exist; takes about a quarter of a second.
pub fn examine(dir: &Path, needs: &Needs) -> Diagnosis {
    let facts = Facts {
        environment: Environment::collect(dir, IoUring::collect()),
        descriptors_max: getrlimit(Resource::Nofile).maximum,
        ring: device::probe(),
        dir: device::probe_dir(dir),
        has_journal: storage::has_journal(dir),
        interrupt_cores: storage::interrupt_cores(dir),
        jitter: jitter::probe(),
        build: Build::current(),
    };
    let checks = checks::all(&facts, needs);
    Diagnosis { checks, environment: facts.environment, jitter: facts.jitter, build: facts.build }
}

/// Refuses a run that cannot work on this machine with its data in `data_dir` (or, until that is made, where it would
/// be made). Quick; makes and removes a small file. Returns what will work, but worse than it could.
///
/// # Errors
/// io_uring or O_DIRECT is missing, memlock is too small for a shard's executor, or nothing can be written there: all
/// that is wrong, each with how to mend it.
pub fn preflight(data_dir: &Path, needs: &Needs) -> anyhow::Result<Vec<Check>> {
    let absolute = std::path::absolute(data_dir)?;
    let existing = absolute.ancestors().find(|dir| dir.is_dir()).unwrap_or(&absolute);
    let memlock = crate::result::environment::Memlock::collect();
    let ring = device::probe();
    let mut checks = vec![checks::io_uring(&ring, None), checks::memlock(memlock, needs)];
    checks.extend(checks::operations(&ring));
    checks.extend(checks::directory(&device::probe_dir(existing), needs.io));
    let failed: Vec<_> = checks.iter().filter(|check| check.level == Level::Fail).map(sentence).collect();
    if !failed.is_empty() {
        anyhow::bail!("cannot run here: {}", failed.join("\n  and "));
    }
    Ok(checks.into_iter().filter(|check| check.level == Level::Warn).collect())
}

/// A check as one line of a message.
pub fn sentence(check: &Check) -> String {
    match &check.remedy {
        Some(remedy) => format!("{}: {}; {remedy}", check.name, check.finding),
        None => format!("{}: {}", check.name, check.finding),
    }
}
