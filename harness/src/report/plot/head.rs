//! The texts above and below a chart: name, durability and verdict, settings; build, machine, date and result id.

use super::value::Plot;
use crate::report::facts;
use crate::report::overlay::Overlay;
use crate::result::{RunResult, store};
use crate::workload::Durability;

/// Digits of a revision that are shown.
const REVISION_DIGITS: usize = 10;

/// The texts that all charts of a result share.
pub(super) struct Head {
    name: String,
    verdict: String,
    settings: String,
    footer: Vec<String>,
}

impl Head {
    /// Returns the texts of one result.
    pub(super) fn of(result: &RunResult) -> Self {
        let promises = promises(result);
        let verdict = result.verdict.to_string();
        Self {
            name: result.name.clone(),
            verdict: if promises.is_empty() { verdict } else { format!("{promises} · {verdict}") },
            settings: facts::settings(result),
            footer: vec![format!("{} · {}", origin(result), id(result))],
        }
    }

    /// Returns the texts of several runs.
    pub(super) fn of_runs(overlay: &Overlay<'_>) -> Self {
        let mut footer: Vec<String> = Vec::new();
        for run in &overlay.runs {
            let line =
                format!("{} {} · {}", run.letter, id(&run.recording.result), origin(&run.recording.result));
            footer.push(line);
        }
        Self { name: overlay.title(), verdict: overlay.verdicts(), settings: overlay.settings(), footer }
    }

    /// Returns a chart with these texts, and without panels.
    pub(super) fn plot(&self, name: &'static str, alt: &'static str, what: &str) -> Plot {
        Plot {
            name,
            alt,
            title: format!("{}: {what}", self.name),
            verdict: self.verdict.clone(),
            settings: self.settings.clone(),
            keys: Vec::new(),
            notes: Vec::new(),
            panels: Vec::new(),
            footer: self.footer.clone(),
        }
    }
}

/// Returns what the acks of a result promise: `SYNCED: survives power loss`.
fn promises(result: &RunResult) -> String {
    let mut promises: Vec<&str> = Vec::new();
    for point in &result.points {
        let promise = match point.durability {
            Durability::Appended => "APPENDED: an ack promises nothing",
            Durability::Written => "WRITTEN: survives a killed process",
            Durability::Synced => "SYNCED: survives power loss",
        };
        if !promises.contains(&promise) {
            promises.push(promise);
        }
    }
    // With several levels, the words alone fit the line.
    let short = |promise: &&str| promise.split(':').next().unwrap_or_default().to_owned();
    match promises[..] {
        [one] => one.to_owned(),
        _ => promises.iter().map(short).collect::<Vec<_>>().join(" and "),
    }
}

/// Returns build, machine and start of a result.
fn origin(result: &RunResult) -> String {
    let build = &result.provenance.build;
    let revision: String = build.git_revision.chars().take(REVISION_DIGITS).collect();
    let dirty = if build.git_dirty == Some(true) { " with local changes" } else { "" };
    let profile =
        if build.profile == "release" { String::new() } else { format!(", {} build", build.profile) };
    let cpu = &result.environment.cpu;
    format!(
        "vnotch {} {revision}{dirty}{profile} · {} cores, {} · {} UTC",
        build.version,
        cpu.cores_online,
        cpu.model.as_deref().unwrap_or("unknown processor"),
        facts::started(result)
    )
}

/// Returns the id of a result: the name of its directory.
fn id(result: &RunResult) -> String {
    let provenance = &result.provenance;
    store::directory_name(&provenance.started_at, &result.name, &provenance.workload_sha256)
}
