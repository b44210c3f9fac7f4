//! `run --resume`: which unfinished sweep is meant, and whether it is the one that the workload asks for.

use crate::exit::UsageError;
use crate::result::provenance::Build;
use crate::result::staging::{self, Manifest, Staging};
use crate::result::{Kind, VerdictStatus, store};
use crate::workload::{Study, differences};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Settings that are named when two sweeps differ in more than a few.
const DIFFERENCES_SHOWN: usize = 5;

/// What there is to go on with.
#[derive(Debug)]
pub(super) enum Found {
    /// This.
    Unfinished(Box<Staging>),
    /// Nothing: the sweep is finished, and this is its result.
    Finished(PathBuf),
}

/// The unfinished sweep of `study`: the one in `dir`, or without that the newest below `results`.
///
/// # Errors
/// A [`UsageError`] if there is none, or if it is another one, or another build's.
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
    // A process that died after it had written the result, but before it had removed this.
    let published = dir.to_str().and_then(|dir| dir.strip_suffix(staging::SUFFIX)).map(PathBuf::from);
    if let Some(result) = published.filter(|result| is_result_of(study, result)) {
        Staging::open(&dir)?.discard()?;
        return Ok(Found::Finished(result));
    }
    Ok(Found::Unfinished(Box::new(Staging::open(&dir)?)))
}

/// A hint that `study` was begun before, if it was.
pub(super) fn unfinished_hint(study: &Study, results: &Path) -> Option<String> {
    let sha256 = study.is_sweep().then(|| study.workload.sha256())?;
    let unfinished = staging::unfinished(results).ok()?;
    let (dir, _) = unfinished.into_iter().find(|(_, manifest)| manifest.workload_sha256 == sha256)?;
    Some(format!("{} is the same sweep, unfinished: `--resume` would have gone on with it", dir.display()))
}

/// The newest unfinished sweep of the study, or else the newest that bears its name, for the message.
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
            "{} is the finished result of another workload, `{}`: there is nothing of `{}` to resume in it",
            dir.display(),
            result.name,
            study.workload.name
        ))),
        Err(_) => Err(UsageError::error(format!("{} is no sweep that was begun", dir.display()))),
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
    // Names begin with the time.
    dirs.sort_unstable();
    dirs.into_iter().rev().find(|dir| is_result_of(study, dir))
}

/// Whether a directory holds the whole result of this sweep.
fn is_result_of(study: &Study, dir: &Path) -> bool {
    // The hash is in the name; reading every result there is would take long.
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
            "{} is a sweep of `{}` ({}), and what is to be resumed is `{}` ({}): they are not the same",
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
            "{} was begun by {}, and this is {}: figures of two builds are not one sweep. Go on with that one, or begin it \
             anew without `--resume`",
            dir.display(),
            described(&there.build),
            described(&build)
        )));
    }
    Ok(())
}

fn described(build: &Build) -> String {
    let revision: String = build.git_revision.chars().take(12).collect();
    let changed = if build.git_dirty == Some(true) { ", changed" } else { "" };
    format!("vnotch {} ({revision}{changed}, {}, {})", build.version, build.profile, build.rustc)
}
