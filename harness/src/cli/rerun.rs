//! `vnotch rerun`: repeats a stored result from its directory, after saying what differs here.

use super::results::dir::ResultsDir;
use super::run::{Request, Strict, command_line, measure_all, note};
use super::{Format, Globals};
use crate::exit::{ExitStatus, UsageError};
use crate::host::machine_id::machine_id;
use crate::result::environment::{Environment, IoUring};
use crate::result::provenance::changes::{Change, Here, changes};
use crate::result::provenance::{Build, PayloadData};
use crate::result::{Kind, RunResult, store};
use crate::system;
use crate::trial::context::Options;
use crate::trial::inject;
use crate::workload::{Lines, Many, Study, differences, parse_study, with_former_defaults};
use serde_json::json;
use std::path::{Path, PathBuf};

/// The oldest version of the schema whose results hold everything that a rerun needs.
const SCHEMA_VERSION_MIN: u32 = 2;

/// Arguments of `vnotch rerun`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The workload, with every key that the command line changed, the seed, the injected stalls and the tags are those of the stored result. The \
new result has the tag `rerun_of`. What differs here is printed first: machine, processor, memory, kernel, file system, device, build, payload \
files, and keys that this version reads otherwise.

Examples:
  vnotch rerun latest --dry-run
  vnotch rerun results/20261124-035404-quickstart-1a2b3c4d
  vnotch rerun 20261124-0354 --data-dir /mnt/nvme/vnotch

Exit codes: as of `vnotch run`; with --dry-run 0, or 2 if the result cannot be repeated here.")]
pub struct Args {
    /// A result directory, the beginning of its name (as `vnotch list` shows it), or `latest`
    #[arg(value_name = "RESULT", value_hint = clap::ValueHint::DirPath)]
    result: String,
    /// Directory in which the new result directory is made, and in which a name is looked for
    #[arg(short, long, value_name = "DIR", default_value = "results")]
    output: PathBuf,
    /// Directory in which the target keeps its data [default: that of the stored run; if it named none, a new directory in
    /// the working directory, removed afterwards]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print only what differs here
    #[arg(long)]
    dry_run: bool,
    /// Continue an unfinished rerun of the same sweep
    #[arg(long)]
    resume: bool,
    /// Exit with 5 if the verdict of the new result has a flag, or one of these: --strict=noisy_disk,short
    #[arg(long, value_name = "FLAGS", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "clap's way to tell a flag without a value from none")]
    strict: Option<Option<String>>,
}

/// Runs the verb.
///
/// # Errors
/// A [`UsageError`] if no result matches, or if it cannot be repeated; otherwise the same as of `vnotch run`.
pub fn run(globals: Globals, args: Args) -> anyhow::Result<ExitStatus> {
    let strict = Strict::parse(args.strict.as_ref().map(Option::as_deref))?;
    let dir = ResultsDir::at(&args.output).find(&args.result)?;
    let result = store::load_result(&dir)?;
    require_repeatable(&result, &dir)?;
    let data_dir = args.data_dir.clone().or_else(|| data_dir_of(&result));
    let mut changes = changes(&result.provenance, &result.environment, &here(&result, data_dir.as_deref()));
    // A workload that cannot be read here, such as one without its payload file, is an error after the differences.
    let study = study_of(&result);
    if let Ok(study) = &study {
        changes.extend(changed_keys(&result, study));
    }
    if args.dry_run {
        print(globals, &dir, &changes)?;
        study?;
        return Ok(ExitStatus::Ok);
    }
    if changes.is_empty() {
        note(globals, "nothing that the result recorded differs here");
    }
    changes.iter().for_each(|change| note(globals, &change.to_string()));
    let study = study?;
    let workloads: Vec<_> = study.combinations.iter().map(|combination| &combination.workload).collect();
    let injections = inject::parse(&result.provenance.injected, &workloads)?;
    let mut tags = result.provenance.tags.clone();
    tags.insert("rerun_of".to_owned(), crate::result::shelf::name_of(&dir));
    let options = Options {
        data_dir,
        injections,
        command_line: command_line(),
        tags,
        is_quiet: globals.quiet,
        ..Options::default()
    };
    let arguments = vec![result.provenance.workload_arguments.clone()];
    let resume = args.resume.then_some(None);
    measure_all(
        globals,
        Request { studies: vec![study], arguments, options, output: args.output, resume, strict },
    )
}

/// Refuses a result that does not hold all that a rerun needs.
fn require_repeatable(result: &RunResult, dir: &Path) -> anyhow::Result<()> {
    let refuse = |why: String| Err(UsageError::error(format!("{} cannot be repeated: {why}", dir.display())));
    let stalled = || result.points.iter().flat_map(|point| &point.trials).any(|trial| trial.stall.is_some());
    if result.schema_version < SCHEMA_VERSION_MIN {
        return refuse(format!(
            "its schema version is {}, and only results of version {SCHEMA_VERSION_MIN} and later hold all that a rerun needs; \
             `vnotch run {}` measures the workload of that name again",
            result.schema_version, result.name
        ));
    }
    if !matches!(result.kind, Kind::Run | Kind::Sweep) {
        return refuse("it is no run and no sweep".to_owned());
    }
    if result.provenance.injected.is_empty() && stalled() {
        return refuse(
            "shards were stalled, and the result does not hold the `--inject` that asked for it".to_owned(),
        );
    }
    Ok(())
}

/// Returns the `--data-dir` that the stored run was given.
fn data_dir_of(result: &RunResult) -> Option<PathBuf> {
    let mut arguments = result.provenance.workload_arguments.iter();
    arguments.find(|argument| *argument == "--data-dir")?;
    arguments.next().map(PathBuf::from)
}

/// Looks at this machine, and at the payload files of the result.
fn here(result: &RunResult, data_dir: Option<&Path>) -> Here {
    let wanted = data_dir.unwrap_or(Path::new("."));
    let wanted = std::path::absolute(wanted).unwrap_or_else(|_| wanted.to_owned());
    let existing = wanted.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("."));
    let payload = |data: &PayloadData| {
        let path = Path::new(&data.path);
        Lines::read(path).ok().map(|lines| PayloadData::of(path, &lines))
    };
    Here {
        build: Build::current(),
        machine_id: machine_id(),
        environment: Environment::collect(existing, IoUring::collect()),
        payload_files: result.provenance.payload_files.iter().filter_map(payload).collect(),
    }
}

/// Reads the workload of a result.
fn study_of(result: &RunResult) -> anyhow::Result<Study> {
    let text = serde_json::to_string_pretty(&with_former_defaults(&result.workload))?;
    // A run of as many combinations was allowed before. The label has no directory, so paths stay relative to the working
    // directory.
    parse_study(&text, "result.json", &[], Many::Allowed, system::CAPABILITIES)
}

/// Returns the keys whose value this version reads otherwise than the version that wrote the result.
fn changed_keys(result: &RunResult, study: &Study) -> Vec<Change> {
    let value = |value: &serde_json::Value| match value {
        serde_json::Value::Null => "none".to_owned(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let changed = differences(&with_former_defaults(&result.workload), &study.workload.resolved());
    let change = |it: &crate::workload::Difference| Change {
        what: format!("key {}", it.key),
        there: value(&it.value),
        here: value(&it.default),
    };
    changed.iter().map(change).collect()
}

/// Prints the differences, for `--dry-run`.
fn print(globals: Globals, dir: &Path, changes: &[Change]) -> anyhow::Result<()> {
    super::print(&match globals.format {
        Format::Json => {
            let document = json!({ "kind": "rerun", "directory": dir, "differences": changes });
            format!("{document:#}\n")
        }
        Format::Text if changes.is_empty() => "nothing that the result recorded differs here\n".to_owned(),
        Format::Text => changes.iter().map(|change| format!("{change}\n")).collect(),
    })
}
