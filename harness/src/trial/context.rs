//! Everything that the trials of a run share. It is made once and borrowed by all of them.

use super::data_dir::DataDir;
use super::inject::Injection;
use super::progress::Progress;
use crate::device::{BareDevice, DeviceError};
use crate::result::provenance::CoresUsed;
use crate::system::System;
use crate::workload::{Combination, Host, Study, Workload};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A function that opens the system of a workload on the given cores, with its data in the given directory.
pub type Opener<'a> = dyn Fn(&Workload, &CoresUsed, &Path) -> anyhow::Result<Box<dyn System>> + 'a;

/// A function that returns how long load must be put on a workload's system before its first trial; `None` if that was done, or
/// is not needed.
pub type Unwarmed<'a> = dyn Fn(&Workload) -> Option<Duration> + 'a;

/// A function that opens the bare device below a directory. Once the flag is set, measuring it ends early.
pub type DeviceOpener<'a> = dyn Fn(&Path, Arc<AtomicBool>) -> Result<Box<dyn BareDevice>, DeviceError> + 'a;

/// The options of a run beside its workload.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--keep-data`: the data of the last trial is not removed.
    pub keep_data: bool,
    /// `--ack-log`.
    pub ack_log: Option<PathBuf>,
    /// `--inject`, in order of time.
    pub injections: Vec<Injection>,
    /// The command line as typed.
    pub command_line: Vec<String>,
    /// The part of the command line that describes the workload.
    pub workload_arguments: Vec<String>,
    /// `--tag`.
    pub tags: BTreeMap<String, String>,
    /// Whether no progress is printed.
    pub is_quiet: bool,
}

/// Everything that the trials of a run share.
pub struct RunContext<'a> {
    /// The study that is run.
    pub study: &'a Study,
    /// The options of the run.
    pub options: &'a Options,
    /// Opens the system of a workload.
    pub open: &'a Opener<'a>,
    /// Says whether a system needs load before its first trial.
    pub unwarmed: &'a Unwarmed<'a>,
    /// Opens the bare device, for the ceilings.
    pub device: &'a DeviceOpener<'a>,
    /// The directory of the data. It is cleared after each trial.
    pub data_dir: &'a DataDir,
    /// Set by a signal: the run ends early.
    pub stop: &'a Arc<AtomicBool>,
    /// Set once the window of a trial has opened: the run then has a result to keep.
    pub measured: &'a AtomicBool,
    /// Prints the progress of the run.
    pub progress: &'a Progress,
    /// The time at which the run started. The time that earlier sessions of a sweep took lies before it.
    pub started: Instant,
}

/// Name of the directory of the embedded engine's data in a study that also starts processes.
const OWN_DIRECTORY: &str = "engine";

impl RunContext<'_> {
    /// The directory in which the system of a workload keeps its data. The data of processes that serve all trials stays in the
    /// data directory while the embedded engine is measured, so the engine has a directory of its own then.
    pub fn system_dir(&self, workload: &Workload) -> PathBuf {
        let starts = |it: &Combination| it.workload.deployment().host == Host::Started;
        let path = self.data_dir.path();
        if workload.deployment().is_in_process() && self.study.combinations.iter().any(starts) {
            path.join(OWN_DIRECTORY)
        } else {
            path.to_owned()
        }
    }

    /// Whether the run was asked to end early.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
