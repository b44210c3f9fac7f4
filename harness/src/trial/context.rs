//! Everything that the trials of a run share. It is made once and borrowed by all of them.

use super::data_dir::DataDir;
use super::inject::Injection;
use super::progress::Progress;
use crate::device::{BareDevice, DeviceError};
use crate::result::provenance::CoresUsed;
use crate::system::System;
use crate::workload::{Study, Workload};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A function that opens the system of a workload on the given cores, with its data in the given directory.
pub type Opener<'a> = dyn Fn(&Workload, &CoresUsed, &Path) -> anyhow::Result<Box<dyn System>> + 'a;

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

impl RunContext<'_> {
    /// Whether the run was asked to end early.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
