//! `compare --interleave`: checks both sides, says what the series costs, measures it, and continues an unfinished one.

use super::request::SeriesRequest;
use super::{Args, Output, finish};
use crate::campaign::compare::{
    Binary, Checked, Pairs, Plan, Session, Side, SidePlan, WorkloadText, alike, check, metric_of,
};
use crate::campaign::interrupt::Interrupt;
use crate::campaign::run::place_of;
use crate::cli::results::prune::leftovers_note;
use crate::exit::{ExitStatus, UsageError};
use crate::explain;
use crate::host::machine_id::machine_id;
use crate::result::environment::{Environment, IoUring};
use crate::result::staging::series::{Series, SeriesName, is_series};
use crate::result::store;
use crate::trial::data_dir::DataDir;
use crate::trial::progress::Progress;
use crate::workload::Metric;
use anyhow::Context as _;
use rustix::rand::{GetRandomFlags, getrandom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Measures the series that a command line asks for, or only says what it would cost.
///
/// # Errors
/// A [`UsageError`] before anything is measured; otherwise the failure that ended the series. Its pairs are kept.
pub(super) fn run(args: &Args, request: &SeriesRequest, output: Output) -> anyhow::Result<ExitStatus> {
    let mut sides = sides(request)?;
    if args.dry_run {
        let Some(checked) =
            check_both(&mut sides, args.data_dir.as_deref(), &AtomicBool::new(false), output)?
        else {
            return Ok(ExitStatus::Interrupted);
        };
        return super::plan_text::print(&plan(args, request, sides, &checked)?, &checked, output);
    }
    store::check(args.results())?;
    let place = Place::open(args.data_dir.as_deref(), output)?;
    let Some(checked) = check_both(&mut sides, Some(place.data_dir.path()), place.interrupt.flag(), output)?
    else {
        return Ok(ExitStatus::Interrupted);
    };
    let plan = plan(args, request, sides, &checked)?;
    super::plan_text::introduce(&plan, output);
    let name =
        SeriesName { started_at: &plan.started_at, name: &plan.directory_name(), sha256: &plan.sha256() };
    let series = Series::begin(args.results(), name, &plan)?;
    measure(&plan, series, Pairs::default(), &place, output)
}

/// Continues an unfinished series.
///
/// # Errors
/// A [`UsageError`] if the directory holds none, or if the machine or the disk is another one; otherwise the failure that ended the
/// series. Its pairs are kept.
pub(super) fn resume(args: &Args, dir: &Path, output: Output) -> anyhow::Result<ExitStatus> {
    if !is_series(dir) {
        let what = if dir.exists() { "does not hold an unfinished comparison" } else { "does not exist" };
        return Err(UsageError::error(format!(
            "--resume: {} {what}; name the directory that ends in `.partial`",
            dir.display()
        )));
    }
    let (series, plan, closed) = Series::open::<Plan, _>(dir)?;
    if plan.machine_id != machine_id() {
        return Err(UsageError::error(format!(
            "{} was begun on another machine, so its pairs and new ones are no series; begin a new one",
            dir.display()
        )));
    }
    let place = match (&args.data_dir, &plan.data_dir) {
        (None, Some(begun_in)) => Place::open(Some(begun_in), output)
            .with_context(|| format!("{} was begun with --data-dir {}", dir.display(), begun_in.display()))?,
        (given, _) => Place::open(given.as_deref(), output)?,
    };
    require_disk(&plan, dir, place.data_dir.path())?;
    output.note(&format!("continuing {} after {} pairs", dir.display(), closed.len()));
    measure(&plan, series, Pairs { closed, ..Pairs::default() }, &place, output)
}

/// Refuses to continue a series whose earlier pairs were measured on another disk, file system or kernel.
fn require_disk(plan: &Plan, dir: &Path, data_dir: &Path) -> anyhow::Result<()> {
    let now = Environment::collect(data_dir, plan.environment.io_uring.clone());
    let (there, here) = (place_of(&plan.environment), place_of(&now));
    if there == here {
        return Ok(());
    }
    Err(UsageError::error(format!(
        "{} was begun on another disk or system: {there} there, {here} here. Its pairs and new ones are no series; name a directory \
         on the same disk with --data-dir, or begin a new series",
        dir.display()
    )))
}

/// The data directory, and the watch for signals.
struct Place {
    data_dir: Arc<DataDir>,
    interrupt: Interrupt,
}

impl Place {
    fn open(data_dir: Option<&Path>, output: Output) -> anyhow::Result<Self> {
        leftovers_note(data_dir).into_iter().for_each(|text| output.note(&text));
        if cfg!(debug_assertions) {
            output.note("this is a debug build, so its figures mean nothing; build with --release");
        }
        let data_dir = Arc::new(DataDir::open(data_dir)?);
        let interrupt = Interrupt::watch(Arc::clone(&data_dir), None)?;
        // The series ends by itself within seconds, so the watch has not to end the process.
        interrupt.measured().store(true, Ordering::SeqCst);
        Ok(Self { data_dir, interrupt })
    }
}

/// Measures the pairs that are left, then stores and prints the comparison.
fn measure(
    plan: &Plan,
    mut series: Series,
    mut pairs: Pairs,
    place: &Place,
    output: Output,
) -> anyhow::Result<ExitStatus> {
    let seconds = plan.expected_seconds(pairs.closed.len());
    let progress = Progress::new(output.is_quiet, Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let session = Session {
        plan,
        data_dir: &place.data_dir,
        stop: place.interrupt.flag(),
        progress: &progress,
        pairs_before: pairs.closed.len(),
    };
    let measured = session.measure(&mut pairs, &mut series);
    // What still cannot be stored is printed, and measured again by `--resume`.
    let _ = series.keep_unstored();
    progress.finish();
    if pairs.closed.is_empty() {
        series.discard()?;
        return measured.map(|_| ExitStatus::Interrupted);
    }
    match measured {
        Ok(is_whole) => finish::finish(plan, &pairs, series, is_whole, output),
        Err(error) => {
            let dir = series.dir().display();
            let error = error.context(format!(
                "the series ended early, after {} pairs; `vnotch compare --resume {dir}` continues it after {} of them",
                pairs.closed.len(),
                series.stored()
            ));
            finish::fail(plan, &pairs, output, error)
        }
    }
}

fn sides(request: &SeriesRequest) -> anyhow::Result<[SidePlan; 2]> {
    let binary =
        |path: Option<&Path>, flag: &str| path.map_or_else(Binary::this, |path| Binary::at(path, flag));
    let side = |workload: &str, sets: &[String], binary: Binary| {
        let (workload, sets) = (WorkloadText::read(workload)?, sets.to_vec());
        anyhow::Ok(SidePlan { workload, sets, sets_alike: Vec::new(), binary })
    };
    let a = binary(request.binary_a.as_deref(), "--binary-a")?;
    let b = binary(request.binary_b.as_deref(), "--binary-b")?;
    Ok([side(&request.workload_a, &request.sets_a, a)?, side(&request.workload_b, &request.sets_b, b)?])
}

/// Has both sides checked by their binaries. `None` if the user interrupts. If the sides of one workload differ in a default that the
/// other setting has changed, one side gets another setting, so that they differ in nothing that nobody asked for.
fn check_both(
    sides: &mut [SidePlan; 2],
    data_dir: Option<&Path>,
    stop: &AtomicBool,
    output: Output,
) -> anyhow::Result<Option<[Checked; 2]>> {
    let dir = tempfile::tempdir().context("cannot make a temporary directory")?;
    let one = |side: Side, plan: &SidePlan| {
        let Some(checked) = check(side, plan, dir.path(), data_dir, stop)? else { return Ok(None) };
        checked.require_one_load(side)?;
        anyhow::Ok(Some(checked))
    };
    let Some(a) = one(Side::A, &sides[0])? else { return Ok(None) };
    let b = if sides[0] == sides[1] { Some(a.clone()) } else { one(Side::B, &sides[1])? };
    let Some(b) = b else { return Ok(None) };
    let mut checked = [a, b];
    let is_one_workload = sides[0].workload == sides[1].workload;
    let Some((side, set)) = alike(&checked).filter(|_| is_one_workload) else { return Ok(Some(checked)) };
    output.note(&format!(
        "{} is measured with {set}, as the other side has no members of groups",
        side.letter()
    ));
    let index = match side {
        Side::A => 0,
        Side::B => 1,
    };
    sides[index].sets_alike.push(set);
    let Some(again) = one(side, &sides[index])? else { return Ok(None) };
    checked[index] = again;
    Ok(Some(checked))
}

fn plan(
    args: &Args,
    request: &SeriesRequest,
    sides: [SidePlan; 2],
    checked: &[Checked; 2],
) -> anyhow::Result<Plan> {
    if let Some(metric) = args.metric.as_deref().filter(|_| !has_other_binaries(args)) {
        require_metric(metric)?;
    }
    let [a, b] = sides;
    let place = args.data_dir.as_deref().unwrap_or(Path::new("."));
    Ok(Plan {
        name: checked[0].name.clone(),
        question: checked[0].question.clone(),
        metric: metric_of(args.metric.as_deref(), [&checked[0].resolved, &checked[1].resolved])?,
        resolved_a: checked[0].resolved.clone(),
        resolved_b: checked[1].resolved.clone(),
        seconds: [checked[0].seconds, checked[1].seconds],
        seconds_max: [checked[0].seconds_max, checked[1].seconds_max],
        a,
        b,
        band: request.band,
        length: request.length,
        seed: args.seed.map_or_else(random_seed, Ok)?,
        is_calibration: request.is_calibration,
        data_dir: data_dir_of(args)?,
        started_at: jiff::Timestamp::now().to_string(),
        command_line: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        environment: Environment::collect(place, IoUring::collect()),
        machine_id: machine_id(),
    })
}

/// The data directory for the plan. A series that is continued has its data there too, from whichever working directory.
fn data_dir_of(args: &Args) -> anyhow::Result<Option<PathBuf>> {
    let Some(given) = &args.data_dir else { return Ok(None) };
    let path =
        std::path::absolute(given).with_context(|| format!("cannot tell where {} is", given.display()))?;
    if path.to_str().is_none() {
        return Err(UsageError::error(format!(
            "--data-dir: {} is not valid UTF-8, so the series could not be stored; name another directory",
            path.display()
        )));
    }
    Ok(Some(path))
}

/// Whether a side is measured by another binary, whose results may have other figures.
fn has_other_binaries(args: &Args) -> bool {
    args.binary_a.is_some() || args.binary_b.is_some()
}

/// Refuses a metric that no result has, before anything is measured.
fn require_metric(metric: &str) -> anyhow::Result<()> {
    if Metric::named(metric).is_some() {
        return Ok(());
    }
    explain::require_field(metric).map_err(|nearest| {
        let hint = nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        UsageError::error(format!(
            "--metric {metric}: results have no such figure{hint}; `vnotch explain` lists the fields of results"
        ))
    })
}

/// A seed that nobody chose. It has 32 bits, so that every reader of JSON keeps it whole.
fn random_seed() -> anyhow::Result<u64> {
    let mut bytes = [0; 4];
    getrandom(&mut bytes, GetRandomFlags::empty()).context("the kernel gives no random number")?;
    Ok(u64::from(u32::from_ne_bytes(bytes)))
}
