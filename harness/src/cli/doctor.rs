//! `vnotch doctor`: reports problems of this machine, and how to fix each of them.

use super::{Format, Globals};
use crate::doctor::{self, Check, Diagnosis, Level, Needs};
use crate::exit::ExitStatus;
use crate::workload::{EngineSettings, Io};
use anyhow::Context as _;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// Arguments of `vnotch doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each check is ok, warn (a run works, but its figures are worse or mean less) or fail (a run does not work). Each warning \
and failure comes with a way to fix it.

Exit codes: 0 a run works here; 1 a run does not work here; 2 wrong usage.")]
pub struct Args {
    /// Directory that would hold the data
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// How a run would read and write its files
    #[arg(long, value_enum, default_value_t = Io::Direct)]
    io: Io,
}

/// The JSON document that `--format json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    kind: &'static str,
    dir: &'a Path,
    io: Io,
    verdict: Level,
    #[serde(flatten)]
    diagnosis: &'a Diagnosis,
}

/// Runs the verb.
///
/// # Errors
/// A [`crate::exit::UsageError`] if `dir` is not a directory.
pub fn run(globals: Globals, args: Args) -> anyhow::Result<ExitStatus> {
    super::require_dir(&args.dir)?;
    let dir = std::path::absolute(&args.dir).context("the working directory no longer exists")?;
    let needs = Needs { io: args.io, ..Needs::from(&EngineSettings::default()) };
    let diagnosis = doctor::examine(&dir, &needs);
    let verdict = diagnosis.worst();
    let output = match globals.format {
        Format::Text => text(&dir, &diagnosis, globals.quiet, &Paint::for_stdout()),
        Format::Json => {
            let document =
                Document { kind: "doctor", dir: &dir, io: args.io, verdict, diagnosis: &diagnosis };
            serde_json::to_string_pretty(&document).context("cannot write JSON")? + "\n"
        }
    };
    super::print(&output)?;
    Ok(if verdict == Level::Fail { ExitStatus::Runtime } else { ExitStatus::Ok })
}

/// The terminal's colour codes by level; all empty if colours are off.
struct Paint {
    ok: &'static str,
    warn: &'static str,
    fail: &'static str,
    reset: &'static str,
}

impl Paint {
    const NONE: Self = Self { ok: "", warn: "", fail: "", reset: "" };

    fn for_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if wanted && std::io::stdout().is_terminal() {
            Self { ok: "\x1b[32m", warn: "\x1b[33m", fail: "\x1b[1;31m", reset: "\x1b[0m" }
        } else {
            Self::NONE
        }
    }
}

/// Formats one line per check, and one more for its remedy if it has one. `quiet` leaves out the checks that are ok.
fn text(dir: &Path, diagnosis: &Diagnosis, quiet: bool, paint: &Paint) -> String {
    let mut out = String::new();
    if !quiet {
        let _ = writeln!(out, "{}\n", dir.display());
    }
    let width = diagnosis.checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    for check in diagnosis.checks.iter().filter(|check| !quiet || check.level != Level::Ok) {
        line(&mut out, check, width, paint);
    }
    if !quiet {
        let count = |level| diagnosis.checks.iter().filter(|check| check.level == level).count();
        let verdict = match (count(Level::Fail), count(Level::Warn)) {
            (0, 0) => "No problems found.".to_owned(),
            (0, warnings) => format!("A run works here; warnings: {warnings}."),
            (failures, warnings) => {
                format!("A run does not work here; failures: {failures}, warnings: {warnings}.")
            }
        };
        let _ = writeln!(out, "\n{verdict}");
    }
    out
}

fn line(out: &mut String, check: &Check, width: usize, paint: &Paint) {
    let (word, colour) = match check.level {
        Level::Ok => ("ok", paint.ok),
        Level::Warn => ("warn", paint.warn),
        Level::Fail => ("fail", paint.fail),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{colour}{word:<4}{}  {:<width$}  {}", paint.reset, check.name, check.finding);
    if let Some(remedy) = &check.remedy {
        let _ = writeln!(out, "{:<4}  {:<width$}  → {remedy}", "", "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Jitter;
    use crate::result::environment::{Environment, IoUring};
    use crate::result::provenance::Build;

    fn diagnosis() -> Diagnosis {
        let check = |name, level, finding: &str, remedy: Option<&str>| Check {
            name,
            level,
            finding: finding.to_owned(),
            remedy: remedy.map(str::to_owned),
        };
        Diagnosis {
            checks: vec![
                check("kernel", Level::Ok, "Linux 6.18.0", None),
                check("memlock", Level::Warn, "8 MiB", Some("raise it")),
                check("O_DIRECT", Level::Fail, "not supported", Some("choose another directory")),
            ],
            environment: Environment::collect(Path::new("/"), IoUring::collect()),
            jitter: Jitter::default(),
            core_messages: None,
            build: Build::current(),
        }
    }

    #[test]
    fn each_check_is_a_line_and_each_remedy_another() {
        insta::assert_snapshot!(text(Path::new("/srv"), &diagnosis(), false, &Paint::NONE), @r"
        /srv

        ok    kernel    Linux 6.18.0
        warn  memlock   8 MiB
                        → raise it
        fail  O_DIRECT  not supported
                        → choose another directory

        A run does not work here; failures: 1, warnings: 1.
        ");
    }

    #[test]
    fn quiet_shows_only_the_problems() {
        let quiet = text(Path::new("/srv"), &diagnosis(), true, &Paint::NONE);
        assert!(!quiet.contains("kernel") && !quiet.contains("failures"), "{quiet}");
        assert!(quiet.contains("memlock") && quiet.contains("→ choose another directory"), "{quiet}");
    }
}
