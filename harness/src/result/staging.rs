//! The directory of an unfinished sweep: `<time>-<name>-<hash>.partial` beside the results.
//!
//! Every finished trial is stored there durably. When the process ends for any reason, only the trial in progress is lost.
//!
//! - `sweep.json` describes the sweep and never changes.
//! - `sessions.json` holds the facts about the whole sweep, such as the time that it took.
//! - `trials/` has two files for each trial. The `.json` file is written last: a trial without it was not finished.
//!
//! Each file is written whole or not at all.

pub mod series;

use super::TrialRecord;
use super::environment::Environment;
use super::names::{MANIFEST, SAME_NAME_MAX, directory_name, numbered, time_of};
pub use super::names::{SUFFIX, is_staging};
use super::provenance::{Build, PayloadData, SystemIdentity};
use super::store;
use super::verdict::Reasons;
use super::{Event, GridCell, SCHEMA_VERSION, SeriesRow, Trial, hlog};
use crate::exit::UsageError;
use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const SESSIONS: &str = "sessions.json";
const TRIALS: &str = "trials";

/// The description of a sweep, the content of `sweep.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the schema, as in results.
    pub schema_version: u32,
    /// Name of the workload.
    pub name: String,
    /// The workload with its sweep, every default filled in.
    pub workload: serde_json::Value,
    /// SHA-256 of the workload, hexadecimal.
    pub workload_sha256: String,
    /// The build that measures.
    pub build: Build,
    /// When the first session began, RFC 3339.
    pub started_at: String,
    /// Seed of the order of trials.
    pub order_seed: u64,
    /// The machine when the first session began.
    pub environment: Environment,
    /// The id of that machine, as in results.
    #[serde(default)]
    pub machine_id: Option<String>,
    /// The files whose lines are sent; empty where records are generated.
    #[serde(default)]
    pub payload_files: Vec<PayloadData>,
    /// The command line of the first session, as typed.
    #[serde(default)]
    pub command_line: Vec<String>,
    /// The part of that command line that describes the workload.
    #[serde(default)]
    pub workload_arguments: Vec<String>,
    /// Tags (`--tag`) of the first session.
    pub tags: BTreeMap<String, String>,
    /// The stalls that `--inject` causes in each trial, in words.
    #[serde(default)]
    pub injected: Vec<String>,
}

/// The facts that a session stores for later sessions, beside trials.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sessions {
    /// When each session after the first began, RFC 3339.
    pub resumed_at: Vec<String>,
    /// Time that all sessions took together, s.
    pub elapsed_s: f64,
    /// The best of the device, each time it was measured.
    #[serde(alias = "looks")]
    pub device_best: DeviceBestSamples,
}

/// The best of the device, each time it was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceBestSamples {
    /// Write speeds of the best cell of the grid, bytes/s.
    pub write: Vec<f64>,
    /// Read speeds of the best cell of the grid, bytes/s.
    pub read: Vec<f64>,
    /// Cells of those write speeds.
    #[serde(default)]
    pub write_cells: Vec<GridCell>,
    /// Cells of those read speeds.
    #[serde(default)]
    pub read_cells: Vec<GridCell>,
}

/// One finished trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StagedTrial {
    /// Index of the trial's combination.
    pub combination: usize,
    /// Index of the trial's pass.
    pub pass: usize,
    /// Figures of the trial. They do not include the best of the device yet.
    pub trial: Trial,
    /// Reasons for the verdict on the trial.
    pub verdict: Reasons,
    /// The system that was measured.
    pub target: SystemIdentity,
    /// Index, in the point, of the trial that this one replaces because that trial's generator was late. `None` if the
    /// trial replaces no other.
    #[serde(default)]
    pub replaces: Option<usize>,
}

/// Content of `trials/<number>.json`.
#[derive(Serialize, Deserialize)]
struct TrialFile {
    /// A field, and not flattened, because serde cannot read flattened maps whose keys are numbers.
    staged: StagedTrial,
    series: Vec<SeriesRow>,
    #[serde(default)]
    group_lags: BTreeMap<String, Vec<Option<u64>>>,
    events: Vec<Event>,
}

/// The open directory of an unfinished sweep. No other process can open it at the same time.
#[derive(Debug)]
pub struct Staging {
    dir: PathBuf,
    manifest: Manifest,
    sessions: Sessions,
    /// Finished trials of earlier sessions, in the order in which they were made.
    trials: Vec<(StagedTrial, TrialRecord)>,
    /// Number of the next trial's files.
    written: usize,
    /// Finished trials that could not be stored yet.
    unstored: VecDeque<(StagedTrial, TrialRecord)>,
    /// The lock on the directory, which ends when this file is closed.
    _lock: File,
}

impl Staging {
    /// Creates the directory of a new sweep below `results`.
    ///
    /// # Errors
    /// The directory or a file in it cannot be written.
    pub fn begin(results: &Path, manifest: Manifest) -> anyhow::Result<Self> {
        let cannot = || format!("cannot make a directory for the sweep below {}", results.display());
        let name = directory_name(&manifest.started_at, &manifest.name, &manifest.workload_sha256);
        let dir =
            (1..SAME_NAME_MAX).map(|number| results.join(numbered(&name, number) + SUFFIX)).find_map(|dir| {
                match fs::create_dir(&dir) {
                    Ok(()) => Some(Ok(dir)),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
                    Err(error) => Some(Err(error)),
                }
            });
        let dir = dir.context("every name for it is taken").and_then(|dir| Ok(dir?)).with_context(cannot)?;
        fs::create_dir(dir.join(TRIALS)).with_context(cannot)?;
        write_json(&dir.join(MANIFEST), &manifest)?;
        store::sync_dir(results)?;
        let lock = lock_file(&dir.join(MANIFEST))?;
        let (sessions, trials) = (Sessions::default(), Vec::new());
        Ok(Self { dir, manifest, sessions, trials, written: 0, unstored: VecDeque::new(), _lock: lock })
    }

    /// Opens the directory of an unfinished sweep, with all finished trials.
    ///
    /// # Errors
    /// A [`UsageError`] if another process has it open. Another error if it is damaged, or a newer vnotch wrote it.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let manifest = manifest_of(dir)?;
        let lock = lock_file(&dir.join(MANIFEST))?;
        let sessions =
            if dir.join(SESSIONS).exists() { read_json(&dir.join(SESSIONS))? } else { Sessions::default() };
        let mut numbers = trial_numbers(&dir.join(TRIALS))?;
        numbers.sort_unstable();
        let trials =
            numbers.iter().map(|number| read_trial(dir, *number)).collect::<anyhow::Result<Vec<_>>>()?;
        let written = numbers.last().map_or(0, |last| last + 1);
        let unstored = VecDeque::new();
        Ok(Self { dir: dir.to_owned(), manifest, sessions, trials, written, unstored, _lock: lock })
    }

    /// Path of the directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Description of the sweep.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The facts that were stored last, by this session or an earlier one.
    pub const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Whether no trial is finished yet.
    pub const fn is_empty(&self) -> bool {
        self.written == 0
    }

    /// Removes and returns the finished trials of earlier sessions, in the order in which they were made. Their points are
    /// not set.
    pub fn take_trials(&mut self) -> Vec<(StagedTrial, TrialRecord)> {
        std::mem::take(&mut self.trials)
    }

    /// Stores a finished trial durably, and before it the trials that could not be stored.
    ///
    /// # Errors
    /// A file cannot be written. The trial is stored with the next one, or by [`Self::keep_sessions`].
    pub fn keep(&mut self, staged: StagedTrial, record: TrialRecord) -> anyhow::Result<()> {
        self.unstored.push_back((staged, record));
        self.keep_unstored()
    }

    /// Whether there are finished trials that could not be stored. Later sessions do not have them.
    pub fn has_unstored(&self) -> bool {
        !self.unstored.is_empty()
    }

    /// Stores the trials that could not be stored before.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn keep_unstored(&mut self) -> anyhow::Result<()> {
        while let Some((staged, record)) = self.unstored.front() {
            self.write(staged, record)?;
            self.unstored.pop_front();
            self.written += 1;
        }
        Ok(())
    }

    /// Writes the files of a trial.
    fn write(&self, staged: &StagedTrial, record: &TrialRecord) -> anyhow::Result<()> {
        let path = |extension: &str| self.dir.join(TRIALS).join(format!("{:06}.{extension}", self.written));
        // The file's name says which trial it is, so its tags all begin with 0.0.
        let tagged = TrialRecord {
            latency: record.latency.clone(),
            histograms: record.histograms.clone(),
            ..TrialRecord::default()
        };
        let window = hlog::Window::of(&staged.trial);
        let started = time_of(&self.manifest.started_at);
        let latency = hlog::write(started, std::slice::from_ref(&tagged), |_| window)?;
        store::replace_file(&path("hlog"), &latency)?;
        let file = TrialFile {
            staged: staged.clone(),
            series: record.series.clone(),
            group_lags: record.group_lags.clone(),
            events: record.events.clone(),
        };
        write_json(&path("json"), &file)
    }

    /// Stores the facts about the whole sweep, and before them the trials that could not be stored.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn keep_sessions(&mut self, sessions: Sessions) -> anyhow::Result<()> {
        self.sessions = sessions;
        self.keep_unstored()?;
        write_json(&self.dir.join(SESSIONS), &self.sessions)
    }

    /// Removes the directory. Called after the sweep is written as a result, or if nothing was measured.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn discard(self) -> anyhow::Result<()> {
        // The manifest is removed first: after an interrupted removal the directory is not taken for a sweep.
        fs::remove_file(self.dir.join(MANIFEST))
            .and_then(|()| fs::remove_dir_all(&self.dir))
            .with_context(|| format!("cannot remove {}", self.dir.display()))
    }
}

/// Reads the description of the sweep in an unfinished directory.
///
/// # Errors
/// The description is damaged, or a newer vnotch wrote it.
pub fn manifest_of(dir: &Path) -> anyhow::Result<Manifest> {
    let path = dir.join(MANIFEST);
    let json: serde_json::Value = read_json(&path)?;
    let version = json.get("schema_version").and_then(serde_json::Value::as_u64);
    if version.is_none_or(|version| version > u64::from(SCHEMA_VERSION)) {
        bail!("{} was written by a newer vnotch; resume it with the vnotch that wrote it", path.display());
    }
    Manifest::deserialize(json).with_context(|| format!("{} is damaged", path.display()))
}

/// Returns the unfinished sweeps below `results`, the newest first. Sweeps that cannot be read are left out.
///
/// # Errors
/// The directory cannot be listed.
pub fn unfinished(results: &Path) -> anyhow::Result<Vec<(PathBuf, Manifest)>> {
    let entries = match fs::read_dir(results) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot list {}", results.display())),
    };
    let dirs = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|dir| is_staging(dir));
    let mut found: Vec<_> = dirs.filter_map(|dir| Some((manifest_of(&dir).ok()?, dir))).collect();
    found.sort_by(|(a, _), (b, _)| b.started_at.cmp(&a.started_at));
    Ok(found.into_iter().map(|(manifest, dir)| (dir, manifest)).collect())
}

/// Locks an unfinished directory by the file that describes it.
fn lock_file(path: &Path) -> anyhow::Result<File> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let dir = path.parent().unwrap_or(path).display();
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| UsageError::error(format!("{dir} is being measured by another process")))?;
    Ok(file)
}

fn trial_numbers(dir: &Path) -> anyhow::Result<Vec<usize>> {
    let cannot = || format!("cannot list {}", dir.display());
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        numbers.extend(stem.filter(|_| is_json).and_then(|stem| stem.parse::<usize>().ok()));
    }
    Ok(numbers)
}

fn read_trial(dir: &Path, number: usize) -> anyhow::Result<(StagedTrial, TrialRecord)> {
    let path = |extension: &str| dir.join(TRIALS).join(format!("{number:06}.{extension}"));
    let TrialFile { staged, series, group_lags, events } = read_json(&path("json"))?;
    let mut records = [TrialRecord { series, group_lags, events, ..TrialRecord::default() }];
    let latency = path("hlog");
    let content = fs::read(&latency).with_context(|| format!("cannot read {}", latency.display()))?;
    hlog::read(&content, &mut records, |_| staged.trial.window_start_s)
        .with_context(|| format!("{} is damaged", latency.display()))?;
    let [record] = records;
    Ok((staged, record))
}

fn write_json(path: &Path, value: &impl Serialize) -> anyhow::Result<()> {
    store::replace_file(path, &serde_json::to_vec(value)?)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&content).with_context(|| format!("{} is damaged", path.display()))
}
