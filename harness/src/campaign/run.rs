//! A whole run. It measures the device's best, then the trials of all combinations and passes, then the device's best again, and
//! puts everything together into one result.

use super::interrupt::Interrupt;
use super::order::Order;
use super::pass::PassRun;
use super::points::Points;
use super::session::Session;
use crate::device::{bare_device, probe_dir};
use crate::exit::UsageError;
use crate::host::machine_id::machine_id;
use crate::judge::figures::written_bytes_per_s;
use crate::judge::{limit, verdict};
use crate::num;
use crate::result::Recording;
use crate::result::environment::Environment;
use crate::result::environment::IoUring;
use crate::result::provenance::{Build, CoresUsed, PayloadData, Provenance, SystemIdentity};
use crate::result::staging::{DeviceBestSamples, Manifest, Staging};
use crate::result::verdict::Reasons;
use crate::result::{Kind, Point, RunResult, SCHEMA_VERSION, Verdict, VerdictStatus, WorkloadList};
use crate::stats::{summarise, summarise_first};
use crate::system::Systems;
use crate::trial::ceilings;
use crate::trial::context::{Options, RunContext};
use crate::trial::data_dir::DataDir;
use crate::trial::progress::Progress;
use crate::workload::{Combination, Host, Lines, PassKind, PayloadSource, Study};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Checks that this machine has the cores that a study names, and that its values can be made.
///
/// # Errors
/// A combination names cores that this process may not use, or its values cannot be made.
pub fn check(study: &Study) -> anyhow::Result<()> {
    super::session::check(study)
}

/// The directory in which a sweep keeps its finished trials.
#[derive(Debug)]
pub enum Keeping {
    /// A new directory below this one.
    Below(PathBuf),
    /// The directory of an earlier session.
    In(Box<Staging>),
}

/// The outcome of a run.
#[derive(Debug)]
pub struct Measured {
    /// Everything that was measured.
    pub recording: Recording,
    /// The directory of a sweep; `None` for other runs.
    pub staging: Option<Staging>,
    /// Whether all trials were made.
    pub is_whole: bool,
}

/// Runs a study; `None` if it was interrupted before anything was measured.
///
/// # Errors
/// The workload cannot be run here, or the system, the ceiling or the file system fails outside of a trial. A failure inside a
/// trial is part of the verdict. So is a failure after the first trial of a run. A sweep keeps its finished trials.
pub fn run(study: &Study, options: &Options, keeping: Keeping) -> anyhow::Result<Option<Measured>> {
    let is_started = |it: &Combination| it.workload.deployment().host == Host::Started;
    if options.keep_data && study.combinations.iter().any(is_started) {
        return Err(UsageError::error(
            "--keep-data: the data of brokers that the harness starts is removed with them; start Kafka yourself \
             (`scripts/kafka up`), and name its address as the target",
        ));
    }
    let given = options.data_dir.as_deref();
    let data_dir = if options.keep_data { DataDir::open_to_keep(given) } else { DataDir::open(given) };
    let data_dir = Arc::new(data_dir?);
    if let Some(path) = &options.ack_log {
        std::fs::write(path, "").with_context(|| format!("cannot write the ack log {}", path.display()))?;
    }
    let interrupt = Interrupt::watch(Arc::clone(&data_dir), left_in_a_cluster(study))?;
    let progress = Progress::new(options.is_quiet, Duration::from_secs_f64(study.estimate().seconds));
    let systems = Systems::default();
    let context = RunContext {
        study,
        options,
        open: &|workload, cores, data_dir| systems.open(workload, cores, data_dir),
        unwarmed: &|workload| systems.unwarmed(workload),
        device: &bare_device,
        data_dir: &data_dir,
        stop: interrupt.flag(),
        measured: interrupt.measured(),
        progress: &progress,
        started: Instant::now(),
    };
    let measured = run_in(context, keeping);
    // Brokers end before their data goes, and here the watch still answers signals.
    systems.end();
    data_dir.remove();
    measured
}

/// Says what a run leaves in a cluster if its process ends at once; `None` if it measures no cluster that was there before.
fn left_in_a_cluster(study: &Study) -> Option<String> {
    let mut workloads = study.combinations.iter().map(|combination| &combination.workload);
    let workload = workloads.find(|workload| workload.deployment().host == Host::Elsewhere)?;
    let target = &workload.target;
    Some(format!(
        "topics and groups of this run may be left in {target}; `vnotch prune --leftovers --target {target}` lists them"
    ))
}

/// Runs the study of `context`.
pub(crate) fn run_in(mut context: RunContext<'_>, keeping: Keeping) -> anyhow::Result<Option<Measured>> {
    let RunContext { study, options, data_dir, progress, .. } = context;
    let mut environment = Environment::collect(data_dir.path(), IoUring::collect());
    environment.storage.direct_is_cached =
        probe_dir(data_dir.path()).ok().and_then(|probe| probe.direct_is_cached);
    let now = manifest(study, options, environment)?;
    let mut staging = match keeping {
        Keeping::In(staging) => Some(resume(*staging, &now)?),
        Keeping::Below(results) if study.is_sweep() => Some(Staging::begin(&results, now.clone())?),
        Keeping::Below(_) => None,
    };
    let mut points = Points::new(study);
    if let Some(staging) = &mut staging {
        points.take_over(staging)?;
    }
    let before = staging.as_ref().map_or(0.0, |staging| staging.sessions().elapsed_s);
    let started = context.started;
    context.started = started.checked_sub(Duration::from_secs_f64(before)).unwrap_or(started);
    let order = Order::new(now.order_seed, study.combinations.len());
    let session = Session::new(&context, order, points.attempts());
    let outcome = session.map(|session| {
        let measured = session.measure(&mut points, staging.as_mut());
        if let Some(staging) = &mut staging {
            // What still cannot be stored is in the result.
            let _ = staging.keep_unstored();
        }
        (measured, session.cores(), (session.is_whole(&points), session.late(&points)))
    });
    progress.finish();
    if points.trials() == 0
        && let Some(staging) = staging.take_if(|staging| staging.is_empty())
    {
        staging.discard()?;
    }
    let (measured, cores, (is_whole, late)) = outcome?;
    let failure = match measured {
        // A sweep can be resumed from its stored trials. A run has this one result, and so have trials that could not be stored.
        Err(error) if staging.as_ref().is_none_or(Staging::has_unstored) && points.trials() > 0 => {
            Some(error)
        }
        measured => measured.map(|()| None)?,
    };
    if points.trials() == 0 {
        return Ok(None);
    }
    let begun = staging.as_ref().map_or(&now, Staging::manifest).clone();
    let resumed_at = staging.as_ref().map_or_else(Vec::new, |staging| staging.sessions().resumed_at.clone());
    let about = About {
        begun,
        environment_at_end: Environment::collect(data_dir.path(), now.environment.io_uring.clone()),
        resumed_at,
        cores,
        elapsed: context.started.elapsed(),
        is_whole,
        late,
        failure,
    };
    Ok(Some(Measured { recording: record(study, points, about), staging, is_whole }))
}

/// The description of a study before its first trial.
fn manifest(study: &Study, options: &Options, environment: Environment) -> anyhow::Result<Manifest> {
    let workload = &study.workload;
    Ok(Manifest {
        schema_version: SCHEMA_VERSION,
        name: workload.name.clone(),
        workload: workload.resolved(),
        workload_sha256: workload.sha256(),
        build: Build::current(),
        started_at: jiff::Timestamp::now().to_string(),
        order_seed: workload.payload.seed,
        environment,
        machine_id: machine_id(),
        payload_files: payload_files(study)?,
        command_line: options.command_line.clone(),
        workload_arguments: options.workload_arguments.clone(),
        tags: options.tags.clone(),
        injected: options.injections.iter().map(ToString::to_string).collect(),
    })
}

/// The files that hold real data, each once, in the order of the combinations.
fn payload_files(study: &Study) -> anyhow::Result<Vec<PayloadData>> {
    let mut files: Vec<PayloadData> = Vec::new();
    for combination in &study.combinations {
        if let PayloadSource::File(file) = &combination.workload.payload.source
            && files.iter().all(|known| known.path != file.path.to_string_lossy())
        {
            files.push(PayloadData::of(&file.path, &Lines::read(&file.path)?));
        }
    }
    Ok(files)
}

/// Notes in the staging directory that a sweep is resumed.
///
/// # Errors
/// A [`UsageError`] if the machine or the disk is another one, if the payload file has changed, or if other stalls are injected.
fn resume(mut staging: Staging, now: &Manifest) -> anyhow::Result<Staging> {
    let (there, here) = (place_of(&staging.manifest().environment), place_of(&now.environment));
    if there != here {
        return Err(UsageError::error(format!(
            "{} was started on another machine or disk: {there} there, {here} here; start again without `--resume`",
            staging.dir().display()
        )));
    }
    if staging.manifest().payload_files != now.payload_files {
        return Err(UsageError::error(format!(
            "the payload file has changed since {} was started; start again without `--resume`",
            staging.dir().display()
        )));
    }
    let injected = |manifest: &Manifest| match &manifest.injected[..] {
        [] => "no `--inject`".to_owned(),
        some => format!("`--inject {}`", some.join(" --inject ")),
    };
    let (there, here) = (injected(staging.manifest()), injected(now));
    if there != here {
        return Err(UsageError::error(format!(
            "{} was started with {there}, and this is {here}: they are not the same sweep",
            staging.dir().display()
        )));
    }
    let mut sessions = staging.sessions().clone();
    sessions.resumed_at.push(now.started_at.clone());
    staging.keep_sessions(sessions)?;
    Ok(staging)
}

/// Names the processor, the kernel, the file system and the disk of an environment. Trials that are compared with each other have
/// the same ones.
pub(crate) fn place_of(environment: &Environment) -> String {
    let model = environment.cpu.model.as_deref().unwrap_or("an unknown processor");
    let filesystem = environment.storage.filesystem.as_deref().unwrap_or("unknown");
    let disk = environment.storage.device.as_ref().map_or("no disk", |device| &device.name);
    format!("{model}, {}, {filesystem} on {disk}", environment.kernel)
}

/// Facts of a run beside its trials.
struct About {
    begun: Manifest,
    environment_at_end: Environment,
    resumed_at: Vec<String>,
    cores: CoresUsed,
    elapsed: Duration,
    is_whole: bool,
    /// Late trials that were not measured again.
    late: usize,
    /// The failure outside of a trial that ended the run.
    failure: Option<anyhow::Error>,
}

impl About {
    /// Lowers the verdict of a run of `made` trials that failed outside of a trial, or that is not whole.
    fn lower(&self, study: &Study, made: usize, verdict: &mut Verdict) {
        if let Some(failure) = &self.failure {
            verdict.lower(VerdictStatus::Errors, format!("ended early: {failure:#}"));
        } else if !self.is_whole {
            // The run may have been interrupted between two trials. Then no trial says so.
            let all = study.combinations.len() * study.passes() * num::index(study.workload.trials);
            let late = self.late;
            let interrupted = if made == all && late > 0 {
                format!(
                    "interrupted before {late} of {made} trials were measured again, because the load generator was late"
                )
            } else {
                format!("interrupted: {made} of {all} trials were begun")
            };
            verdict.lower(VerdictStatus::Interrupted, interrupted);
        }
    }
}

/// Puts all trials together into the recording of the run.
fn record(study: &Study, mut points: Points, about: About) -> Recording {
    let device_best = std::mem::take(&mut points.device_best);
    let (mut done, mut records, mut target) = (Vec::new(), Vec::new(), None);
    let mut judged = Vec::new();
    let mut workloads = WorkloadList::default();
    for (combination, pass, mut run) in points.into_runs().filter(|(.., run)| !run.trials.is_empty()) {
        let combination = &study.combinations[combination];
        records.extend(run.records.drain(..).map(|mut record| {
            record.point = done.len();
            record
        }));
        target = target.or_else(|| run.target.clone());
        let kind = combination.workload.passes()[pass].kind;
        let (mut point, reasons) = point(combination, kind, (run, &device_best));
        point.workload = workloads.index_of(combination.workload.resolved());
        let name = if combination.settings.is_empty() {
            point.pass.to_string()
        } else {
            format!("{}, {}", crate::workload::label(&point.settings), point.pass)
        };
        judged.push((name, reasons));
        done.push(point);
    }
    let mut whole = Reasons::verdict_of_points(&judged);
    about.lower(study, done.iter().map(|point| point.trials.len()).sum(), &mut whole);
    let About { begun, environment_at_end, resumed_at, cores, elapsed, .. } = about;
    let workload = &study.workload;
    let target = target.unwrap_or_else(|| SystemIdentity {
        kind: workload.target.to_string(),
        version: String::new(),
        facts: BTreeMap::new(),
    });
    let result = RunResult {
        schema_version: SCHEMA_VERSION,
        kind: if study.is_sweep() { Kind::Sweep } else { Kind::Run },
        name: begun.name,
        question: workload.question.clone(),
        elapsed_s: elapsed.as_secs_f64(),
        environment: begun.environment,
        environment_at_end: Some(environment_at_end),
        provenance: Provenance {
            build: begun.build,
            machine_id: begun.machine_id,
            started_at: begun.started_at,
            resumed_at,
            command_line: begun.command_line,
            workload_arguments: begun.workload_arguments,
            injected: begun.injected,
            workload_sha256: begun.workload_sha256,
            seed: workload.payload.seed,
            order_seed: study.is_sweep().then_some(begun.order_seed),
            payload_files: begun.payload_files,
            target,
            cores,
            tags: begun.tags,
        },
        workload: begun.workload,
        workloads: workloads.into_list(),
        verdict: whole,
        points: done,
    };
    Recording { result, trials: records }
}

/// One combination under one pass, and the reasons for its verdict.
fn point(
    combination: &Combination,
    kind: PassKind,
    (mut run, device_best): (PassRun, &DeviceBestSamples),
) -> (Point, Reasons) {
    let workload = &combination.workload;
    for trial in run.trials.iter_mut().filter(|_| workload.has_device_best()) {
        ceilings::enter_device_best(device_best, &mut trial.ceiling);
        let written = written_bytes_per_s(workload, trial);
        let device = trial.ceiling.device_write_bytes_per_s;
        trial.of_device = written.zip(device).map(|(written, device)| written / device);
    }
    for trial in run.trials.iter_mut().filter(|_| kind == PassKind::Max) {
        trial.limit = limit::of(workload, trial);
    }
    let (is_whole, mut reasons) = (!run.is_cut_short(), run.reasons());
    let mut point = Point {
        settings: combination.settings.clone(),
        // Set by the caller, who knows the other points' workloads.
        workload: 0,
        pass: kind,
        target: workload.target.to_string(),
        system: run.target,
        durability: workload.durability,
        io: workload.deployment().is_in_process().then_some(workload.deployment().io),
        poll: workload.deployment().is_in_process().then_some(workload.deployment().poll),
        verdict: Verdict::default(),
        summary: summarise(&run.trials),
        first_attempts: summarise_first(&run.trials),
        trials: run.trials,
    };
    // SLOs are judged for the load of the workload, not for the pass that only finds its rate.
    if kind == workload.load.mode.kind() && is_whole {
        verdict::judge_slo(&workload.slo, &point, &mut reasons);
    }
    verdict::judge_ceiling(&point, &mut reasons);
    point.verdict = reasons.verdict();
    (point, reasons)
}
