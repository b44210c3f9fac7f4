//! A sweep while it is under way: `<time>-<name>-<hash>.partial` beside the results, in which every finished trial is
//! kept durably, so that whatever ends the process loses the trial under way and no other.
//!
//! `sweep.json` says which sweep it is and never changes; `sessions.json` what is known of the whole; `trials/` has two
//! files a trial, of which the `.json` one comes last: a trial without it was not finished. Each file appears whole.

use super::TrialRecord;
use super::environment::Environment;
use super::names::{MANIFEST, SAME_NAME_MAX, directory_name, numbered, time_of};
pub use super::names::{SUFFIX, is_staging};
use super::provenance::{Build, PayloadData, SystemIdentity};
use super::store;
use super::{Event, SCHEMA_VERSION, SeriesRow, Trial, Verdict, hlog};
use crate::exit::UsageError;
use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const SESSIONS: &str = "sessions.json";
const TRIALS: &str = "trials";

/// Which sweep a directory holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// As in results.
    pub schema_version: u32,
    /// The workload's name.
    pub name: String,
    /// The workload as it is run, every default filled in.
    pub workload: serde_json::Value,
    /// Its hash.
    pub workload_sha256: String,
    /// The build that measures.
    pub build: Build,
    /// When the first session began, RFC 3339.
    pub started_at: String,
    /// Seed of the order of trials.
    pub order_seed: u64,
    /// The machine when the first session began.
    pub environment: Environment,
    /// Where the records' bytes come from, if they are real data.
    #[serde(default)]
    pub payload_files: Vec<PayloadData>,
    /// `--tag` of the first session.
    pub tags: BTreeMap<String, String>,
    /// What `--inject` does in its trials, in words.
    #[serde(default)]
    pub injected: Vec<String>,
}

/// What sessions leave to those after them, beside trials.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sessions {
    /// When each later session began, RFC 3339.
    pub resumed_at: Vec<String>,
    /// How long all of them took so far, s.
    pub elapsed_s: f64,
    /// The device's best, as often as it was looked at.
    pub looks: DeviceLooks,
}

/// The device's best, each time it was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceLooks {
    /// Writing, bytes/s.
    pub write: Vec<f64>,
    /// Reading, bytes/s.
    pub read: Vec<f64>,
    /// Median of one synced 4 KiB write, ns.
    pub dsync_p50_ns: Option<u64>,
}

/// One finished trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StagedTrial {
    /// Index of its combination.
    pub combination: usize,
    /// Index of its pass.
    pub pass: usize,
    /// Its figures; the device's best is not in them yet.
    pub trial: Trial,
    /// How far it can be trusted.
    pub verdict: Verdict,
    /// What was measured.
    pub target: SystemIdentity,
    /// Index in its point of the one whose place it takes, as the generator of that was late; `None` for the next one.
    #[serde(default)]
    pub replaces: Option<usize>,
}

/// `trials/<number>.json`.
#[derive(Serialize, Deserialize)]
struct TrialFile {
    /// Not flattened: serde cannot read maps with numbers for keys back that way.
    staged: StagedTrial,
    series: Vec<SeriesRow>,
    events: Vec<Event>,
}

/// The directory of a sweep under way. Nobody else can open it meanwhile.
#[derive(Debug)]
pub struct Staging {
    dir: PathBuf,
    manifest: Manifest,
    sessions: Sessions,
    /// Finished trials, in the order they were made.
    trials: Vec<(StagedTrial, TrialRecord)>,
    written: usize,
    /// Locked as long as it is open.
    _lock: File,
}

impl Staging {
    /// Makes the directory of a new sweep below `results`.
    ///
    /// # Errors
    /// The disk refuses.
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
        let lock = lock(&dir)?;
        let (sessions, trials) = (Sessions::default(), Vec::new());
        Ok(Self { dir, manifest, sessions, trials, written: 0, _lock: lock })
    }

    /// Opens the directory of an unfinished sweep with everything that was measured.
    ///
    /// # Errors
    /// A [`UsageError`] if another process is at it; otherwise it is damaged, or a newer vnotch wrote it.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let manifest = manifest_of(dir)?;
        let lock = lock(dir)?;
        let sessions =
            if dir.join(SESSIONS).exists() { read_json(&dir.join(SESSIONS))? } else { Sessions::default() };
        let mut numbers = trial_numbers(&dir.join(TRIALS))?;
        numbers.sort_unstable();
        let trials =
            numbers.iter().map(|number| read_trial(dir, *number)).collect::<anyhow::Result<Vec<_>>>()?;
        let written = numbers.last().map_or(0, |last| last + 1);
        Ok(Self { dir: dir.to_owned(), manifest, sessions, trials, written, _lock: lock })
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Which sweep it is.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What was left by earlier sessions, and by this one so far.
    pub const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Whether nothing has been measured yet.
    pub const fn is_empty(&self) -> bool {
        self.written == 0
    }

    /// Takes the finished trials out, in the order they were made; their points are not set.
    pub fn take_trials(&mut self) -> Vec<(StagedTrial, TrialRecord)> {
        std::mem::take(&mut self.trials)
    }

    /// Keeps a finished trial durably.
    ///
    /// # Errors
    /// The disk refuses; the trial is lost to later sessions then.
    pub fn keep(&mut self, staged: StagedTrial, record: &TrialRecord) -> anyhow::Result<()> {
        let path = |extension: &str| self.dir.join(TRIALS).join(format!("{:06}.{extension}", self.written));
        let tagged =
            TrialRecord { point: 0, trial: 0, latency: record.latency.clone(), ..TrialRecord::default() };
        let window_start_s = staged.trial.window_start_s;
        let started = time_of(&self.manifest.started_at);
        let latency = hlog::write(started, std::slice::from_ref(&tagged), |_| window_start_s)?;
        store::replace_file(&path("hlog"), &latency)?;
        let file = TrialFile { staged, series: record.series.clone(), events: record.events.clone() };
        write_json(&path("json"), &file)?;
        self.written += 1;
        Ok(())
    }

    /// Keeps what is known of the whole.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn keep_sessions(&mut self, sessions: Sessions) -> anyhow::Result<()> {
        self.sessions = sessions;
        write_json(&self.dir.join(SESSIONS), &self.sessions)
    }

    /// Removes the directory: its sweep has become a result, or nothing was measured.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn discard(self) -> anyhow::Result<()> {
        // The manifest goes first: what a removal cut short leaves is no sweep.
        fs::remove_file(self.dir.join(MANIFEST))
            .and_then(|()| fs::remove_dir_all(&self.dir))
            .with_context(|| format!("cannot remove {}", self.dir.display()))
    }
}

/// Which sweep an unfinished directory holds.
///
/// # Errors
/// It is damaged, or a newer vnotch wrote it.
pub fn manifest_of(dir: &Path) -> anyhow::Result<Manifest> {
    let path = dir.join(MANIFEST);
    let json: serde_json::Value = read_json(&path)?;
    let version = json.get("schema_version").and_then(serde_json::Value::as_u64);
    if version.is_none_or(|version| version > u64::from(SCHEMA_VERSION)) {
        bail!("{} was written by a newer vnotch; go on with the one that wrote it", path.display());
    }
    Manifest::deserialize(json).with_context(|| format!("{} is damaged", path.display()))
}

/// The unfinished sweeps below `results`, the newest first; what cannot be read is left out.
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

fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join(MANIFEST);
    let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| UsageError::error(format!("{} is being measured by another process", dir.display())))?;
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
    let TrialFile { staged, series, events } = read_json(&path("json"))?;
    let mut records = [TrialRecord { series, events, ..TrialRecord::default() }];
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
