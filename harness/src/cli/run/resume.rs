//! `run --resume`: finds the unfinished sweep, and checks that it is the sweep that the workload asks for.

use crate::exit::UsageError;
use crate::result::provenance::Build;
use crate::result::staging::{self, Manifest, Staging};
use crate::result::{Kind, VerdictStatus, store};
use crate::workload::{Study, differences};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Number of different settings that the error about two sweeps names. It counts the others.
const DIFFERENCES_SHOWN: usize = 5;

/// The outcome of the search for a sweep to resume.
#[derive(Debug)]
pub(super) enum Found {
    /// An unfinished sweep, which can be continued.
    Unfinished(Box<Staging>),
    /// The directory of the result: the sweep is already finished.
    Finished(PathBuf),
}

/// Finds the unfinished sweep of `study`: the one in `dir`, or, if `dir` is `None`, the newest below `results`.
///
/// # Errors
/// A [`UsageError`] if there is none, or if another workload or another build began it.
pub(super) fn find(study: &Study, dir: Option<&Path>, results: &Path) -> anyhow::Result<Found> {
    let name = &study.workload.name;
    if !study.is_sweep() {
        return Err(UsageError::error(format!("{name} has no `sweep`: only a sweep can be resumed")));
    }
    let (dir, manifest) = match dir {
        Some(dir) if staging::is_staging(dir) => (dir.to_owned(), staging::manifest_of(dir)?),
        Some(dir) => return finished_in(study, dir),
        None => match newest(study, results)? {
            Some(found) => found,
            None => return finished_below(study, results),
        },
    };
    require_same(study, &dir, &manifest)?;
    // A process wrote the result, but died before it removed this staging directory.
    let published = dir.to_str().and_then(|dir| dir.strip_suffix(staging::SUFFIX)).map(PathBuf::from);
    if let Some(result) = published.filter(|result| is_result_of(study, result)) {
        Staging::open(&dir)?.discard()?;
        return Ok(Found::Finished(result));
    }
    Ok(Found::Unfinished(Box::new(Staging::open(&dir)?)))
}

/// Returns a hint if `study` was begun before and is unfinished.
pub(super) fn unfinished_hint(study: &Study, results: &Path) -> Option<String> {
    let sha256 = study.is_sweep().then(|| study.workload.sha256())?;
    let unfinished = staging::unfinished(results).ok()?;
    let (dir, _) = unfinished.into_iter().find(|(_, manifest)| manifest.workload_sha256 == sha256)?;
    Some(format!(
        "{} is an unfinished run of the same sweep. This run starts anew; with `--resume` it would continue that one",
        dir.display()
    ))
}

/// Returns the newest unfinished sweep of the study. If there is neither one nor a result, returns one of the same name
/// for the error message.
fn newest(study: &Study, results: &Path) -> anyhow::Result<Option<(PathBuf, Manifest)>> {
    let mut unfinished = staging::unfinished(results)?;
    let sha256 = study.workload.sha256();
    let same = unfinished.iter().position(|(_, manifest)| manifest.workload_sha256 == sha256);
    let namesake = || unfinished.iter().position(|(_, manifest)| manifest.name == study.workload.name);
    let index = same.or_else(|| if newest_result(study, results).is_some() { None } else { namesake() });
    Ok(index.map(|index| unfinished.swap_remove(index)))
}

fn finished_in(study: &Study, dir: &Path) -> anyhow::Result<Found> {
    if is_result_of(study, dir) {
        return Ok(Found::Finished(dir.to_owned()));
    }
    if !dir.exists() {
        return Err(UsageError::error(format!("there is no {} to resume", dir.display())));
    }
    match store::load_result(dir) {
        Ok(result) => Err(UsageError::error(format!(
            "{} is the finished result of another workload, `{}`: it holds nothing of `{}` to resume",
            dir.display(),
            result.name,
            study.workload.name
        ))),
        Err(_) => Err(UsageError::error(format!("{} does not hold an unfinished sweep", dir.display()))),
    }
}

fn finished_below(study: &Study, results: &Path) -> anyhow::Result<Found> {
    newest_result(study, results).map(Found::Finished).ok_or_else(|| {
        UsageError::error(format!(
            "there is no sweep of `{}` to resume below {}; run it without `--resume`",
            study.workload.name,
            results.display()
        ))
    })
}

fn newest_result(study: &Study, results: &Path) -> Option<PathBuf> {
    let mut dirs: Vec<PathBuf> =
        std::fs::read_dir(results).ok()?.filter_map(|it| Some(it.ok()?.path())).collect();
    // Names begin with the time, so the newest comes last.
    dirs.sort_unstable();
    dirs.into_iter().rev().find(|dir| is_result_of(study, dir))
}

/// Tells whether a directory holds the complete result of this sweep.
fn is_result_of(study: &Study, dir: &Path) -> bool {
    // The name holds the hash, so that most results need not be read, which would take long.
    let hash = study.workload.sha256()[..8].to_owned();
    let is_named = dir.file_name().is_some_and(|name| name.to_string_lossy().contains(&hash));
    let is_whole = || {
        store::load_result(dir).is_ok_and(|result| {
            result.kind == Kind::Sweep
                && result.provenance.workload_sha256 == study.workload.sha256()
                && result.verdict.status != VerdictStatus::Interrupted
        })
    };
    is_named && !staging::is_staging(dir) && is_whole()
}

fn require_same(study: &Study, dir: &Path, there: &Manifest) -> anyhow::Result<()> {
    let workload = &study.workload;
    if there.workload_sha256 != workload.sha256() {
        let mut message = format!(
            "{} is a sweep of `{}` ({}), but the workload to resume is `{}` ({}): they differ",
            dir.display(),
            there.name,
            &there.workload_sha256[..there.workload_sha256.len().min(12)],
            workload.name,
            workload.hash()
        );
        let differences = differences(&there.workload, &workload.resolved());
        for difference in differences.iter().take(DIFFERENCES_SHOWN) {
            let (key, there, here) = (&difference.key, &difference.value, &difference.default);
            let _ = write!(message, "\n  {key}: {there} there, {here} here");
        }
        if differences.len() > DIFFERENCES_SHOWN {
            let _ = write!(message, "\n  … and {} more", differences.len() - DIFFERENCES_SHOWN);
        }
        return Err(UsageError::error(message));
    }
    let build = Build::current();
    if there.build != build {
        return Err(UsageError::error(format!(
            "{} was started by {}, but this is {build}: one sweep must be measured by one build. Continue it with that build, or \
             start again without `--resume`",
            dir.display(),
            there.build
        )));
    }
    Ok(())
}
