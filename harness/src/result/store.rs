//! Writes and reads a result directory. It is written whole or not at all, and never replaces an earlier one.
//!
//! This module knows the files that hold measurements: `result.json`, `series.csv`, `events.jsonl` and `latency.hlog`.
//! Charts and reports are drawn from them by others, and are plain [`Artifact`]s here. A published result may have the largest
//! files packed with gzip.

pub use super::names::directory_name;
use super::names::{SAME_NAME_MAX, UNFINISHED, is_series, is_staging, numbered, time_of};
use super::record::{Artifact, Recording, TrialRecord};
use super::{RunResult, SCHEMA_VERSION, hlog, timeline};
use crate::exit::UsageError;
use crate::num;
use anyhow::{Context as _, anyhow, bail};
use flate2::read::MultiGzDecoder;
use serde::Deserialize as _;
use std::fs::{self, File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes that [`check`] writes: about as many as the measurements of a short run.
const CHECKED_BYTES: usize = 1 << 20;

pub(super) const RESULT: &str = "result.json";
const SERIES: &str = "series.csv";
const EVENTS: &str = "events.jsonl";
const LATENCY: &str = "latency.hlog";
/// Ending of a file that is packed with gzip.
const PACKED: &str = ".gz";
/// The most bytes that a packed file may hold.
const UNPACKED_BYTES_MAX: u64 = 1 << 30;

/// Writes the result directory `<time>-<name>-<hash>` below `results`, and returns its path. `results` is created if it is
/// missing. The directory appears whole or not at all, and never replaces an earlier one.
///
/// # Errors
/// A file cannot be written. No file is left behind then.
pub fn write(results: &Path, recording: &Recording, artifacts: &[Artifact]) -> anyhow::Result<PathBuf> {
    write_files(results, &name_of(&recording.result), measurements(recording)?, artifacts)
}

/// Writes the directory `name` below `results` with measurements and artifacts, as [`write`] does.
pub(super) fn write_files<const N: usize>(
    results: &Path,
    name: &str,
    measurements: [(&str, Vec<u8>); N],
    artifacts: &[Artifact],
) -> anyhow::Result<PathBuf> {
    let cannot = || format!("cannot write the result below {}", results.display());
    fs::create_dir_all(results).with_context(cannot)?;
    let building = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(results)
        .with_context(cannot)?;
    for (path, content) in measurements {
        write_file(&building.path().join(path), &content)?;
    }
    for artifact in artifacts {
        write_file(&building.path().join(&artifact.path), &artifact.content)?;
    }
    let dir = publish(building.path(), results, name).with_context(cannot)?;
    // The temporary directory was renamed to the result's name, so it must not be removed.
    let _ = building.keep();
    sync_dir(results)?;
    Ok(dir)
}

/// Checks that results can be written below `results`, by writing a small file there. `results` is created if it is missing.
///
/// # Errors
/// A file cannot be written there. No file is left behind.
pub fn check(results: &Path) -> anyhow::Result<()> {
    let cannot = || format!("results cannot be written to {}", results.display());
    fs::create_dir_all(results).with_context(cannot)?;
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(results).with_context(cannot)?;
    file.write_all(&[b'\n'; CHECKED_BYTES]).and_then(|()| file.as_file().sync_all()).with_context(cannot)
}

/// Writes a result into an existing directory, such as that of an interrupted sweep. Each file replaces that of an earlier
/// session atomically.
///
/// # Errors
/// A file cannot be written.
pub fn write_into(dir: &Path, recording: &Recording, artifacts: &[Artifact]) -> anyhow::Result<()> {
    for (path, content) in measurements(recording)? {
        replace_file(&dir.join(path), &content)?;
    }
    redraw(dir, artifacts)
}

/// Replaces the files that are drawn from the measurements, each atomically. The measurements do not change.
///
/// # Errors
/// A file cannot be replaced. It then keeps its old content.
pub fn redraw(dir: &Path, artifacts: &[Artifact]) -> anyhow::Result<()> {
    artifacts.iter().try_for_each(|artifact| replace_file(&dir.join(&artifact.path), &artifact.content))
}

/// Reads a result directory.
///
/// # Errors
/// A [`UsageError`] if the directory is missing or unfinished, holds a comparison, or was written by a newer vnotch. Another error if
/// one of its files is missing or damaged.
pub fn load(dir: &Path) -> anyhow::Result<Recording> {
    let result = load_result(dir)?;
    let mut trials: Vec<TrialRecord> = result
        .points
        .iter()
        .enumerate()
        .flat_map(|(point, it)| (0..it.trials.len()).map(move |trial| (point, trial)))
        .map(|(point, trial)| TrialRecord { point, trial, ..TrialRecord::default() })
        .collect();
    let read = |name: &str| {
        let path = dir.join(name);
        let content = read_file(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => anyhow!(
                "{} has no {name}, which charts are drawn from: a file was lost, or the result was published \
                 without its largest files; `vnotch show` and its report.html show its figures",
                dir.display()
            ),
            _ => anyhow::Error::new(error).context(format!("cannot read {}", path.display())),
        })?;
        anyhow::Ok((content, format!("{} is damaged", path.display())))
    };
    let (series, damaged) = read(SERIES)?;
    timeline::read_series(&series, &mut trials).context(damaged)?;
    let (events, damaged) = read(EVENTS)?;
    timeline::read_events(&events, &mut trials).context(damaged)?;
    let (latency, damaged) = read(LATENCY)?;
    hlog::read(&latency, &mut trials, |record| window_of(&result, record).start_s).context(damaged)?;
    Ok(Recording { result, trials })
}

/// Reads a file of a result. If it is missing, the file with `.gz` added to its name is unpacked, as published results have it.
fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let missing = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => error,
        read => return read,
    };
    let mut packed_name = path.as_os_str().to_owned();
    packed_name.push(PACKED);
    let Ok(packed) = File::open(packed_name) else { return Err(missing) };
    let mut content = Vec::new();
    MultiGzDecoder::new(packed).take(UNPACKED_BYTES_MAX + 1).read_to_end(&mut content)?;
    if num::count(content.len()) > UNPACKED_BYTES_MAX {
        return Err(std::io::Error::other("it unpacks to more than 1 GiB"));
    }
    Ok(content)
}

/// Reads `result.json`, and no other file of the directory.
///
/// # Errors
/// The same as of [`load`].
pub fn load_result(dir: &Path) -> anyhow::Result<RunResult> {
    result_of(dir, load_json(dir)?)
}

/// Returns the result of a run that the file of `dir` holds.
pub(super) fn result_of(dir: &Path, json: serde_json::Value) -> anyhow::Result<RunResult> {
    if is_comparison(&json) {
        return Err(UsageError::error(format!(
            "{} is a comparison of two sides, and not the result of a run; `vnotch show {}` prints it",
            dir.display(),
            dir.display()
        )));
    }
    RunResult::deserialize(json).with_context(|| format!("{} is damaged", dir.join(RESULT).display()))
}

/// Whether the content of a `result.json` is a comparison.
pub(super) fn is_comparison(json: &serde_json::Value) -> bool {
    json.get("kind").is_some_and(|kind| kind == "compare")
}

/// Reads `result.json` of any kind.
///
/// # Errors
/// A [`UsageError`] if there is no such directory, if it is unfinished, or if a newer vnotch wrote it. Another error if the file is
/// missing or damaged.
pub(super) fn load_json(dir: &Path) -> anyhow::Result<serde_json::Value> {
    if !dir.is_dir() {
        return refuse(format!("{} is not a result directory: there is no such directory", dir.display()));
    }
    let path = dir.join(RESULT);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(without_result(dir)),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let json: serde_json::Value =
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
    match json.get("schema_version").and_then(serde_json::Value::as_u64) {
        Some(version) if version > u64::from(SCHEMA_VERSION) => refuse(format!(
            "{} was written by a newer vnotch, with schema version {version}; this build reads up to {SCHEMA_VERSION}. \
             Read it with the vnotch that wrote it, or a newer one",
            dir.display()
        )),
        Some(_) => Ok(json),
        None => bail!("{} is not a result of vnotch: it has no schema_version", path.display()),
    }
}

fn refuse<T>(message: String) -> anyhow::Result<T> {
    Err(UsageError::error(message))
}

/// Says why a directory has no `result.json`. An unfinished sweep or comparison is named with the command that continues it.
fn without_result(dir: &Path) -> anyhow::Error {
    let dir_shown = dir.display();
    if is_staging(dir) {
        UsageError::error(format!(
            "{dir_shown} is a sweep that is not finished: `vnotch run FILE --resume` continues it"
        ))
    } else if is_series(dir) {
        UsageError::error(format!(
            "{dir_shown} is a comparison that is not finished: `vnotch compare --resume {dir_shown}` continues it"
        ))
    } else {
        anyhow!("{dir_shown} is not a result directory: it has no {RESULT}")
    }
}

fn measurements(recording: &Recording) -> anyhow::Result<[(&'static str, Vec<u8>); 4]> {
    let Recording { result, trials } = recording;
    let mut json = serde_json::to_vec_pretty(result)?;
    json.push(b'\n');
    let latency = hlog::write(started(result), trials, |record| window_of(result, record))?;
    Ok([
        (RESULT, json),
        (SERIES, timeline::write_series(result, trials)?),
        (EVENTS, timeline::write_events(result, trials)?),
        (LATENCY, latency),
    ])
}

/// Renames `building` to `results/name`, or to `name-2` and so on if that exists. A rename can replace only an empty
/// directory, so it never replaces an earlier result.
fn publish(building: &Path, results: &Path, name: &str) -> anyhow::Result<PathBuf> {
    for number in 1..SAME_NAME_MAX {
        let dir = results.join(numbered(name, number));
        if dir.symlink_metadata().is_ok() {
            continue;
        }
        match fs::rename(building, &dir) {
            Ok(()) => return Ok(dir),
            // Another process took this name since the check above.
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("the names {name} to {name}-{} are taken", SAME_NAME_MAX - 1)
}

/// Returns the name of the result's directory, such as `20261124-035404-quickstart-1a2b3c4d`: the start (UTC), the workload's
/// name, and the first digits of the workload's hash.
fn name_of(result: &RunResult) -> String {
    directory_name(&result.provenance.started_at, &result.name, &result.provenance.workload_sha256)
}

/// Returns when the run started; the Unix epoch if the provenance holds no valid time.
fn started(result: &RunResult) -> SystemTime {
    time_of(&result.provenance.started_at)
}

fn window_of(result: &RunResult, record: &TrialRecord) -> hlog::Window {
    let trial = result.points.get(record.point).and_then(|point| point.trials.get(record.trial));
    trial.map(hlog::Window::of).unwrap_or_default()
}

fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = File::create_new(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Writes or replaces a file atomically and durably: a reader sees the old file or the new one.
pub(super) fn replace_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let cannot = || format!("cannot write {}", path.display());
    fs::create_dir_all(parent).with_context(cannot)?;
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(parent)
        .with_context(cannot)?;
    file.write_all(content).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    sync_dir(parent)
}

pub(super) fn sync_dir(dir: &Path) -> anyhow::Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| format!("cannot sync {}", dir.display()))
}
