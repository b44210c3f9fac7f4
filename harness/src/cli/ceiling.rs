//! `vnotch ceiling`: measures how fast the bare disk is, without a log on it.

mod like;
mod text;

use super::{Format, Globals};
use crate::device::survey::{self, Grid, Kind, Step, Survey};
use crate::device::{Ceiling, DeviceError};
use crate::exit::{ExitStatus, UsageError};
use crate::interrupt;
use crate::result::environment::Environment;
use crate::result::environment::IoUring;
use crate::result::provenance::Build;
use crate::stderr;
use crate::workload::{Bytes, Io, TimeSpan};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const BLOCK_BYTES: [u32; 4] = [4 << 10, 64 << 10, 256 << 10, 1 << 20];
const DEPTHS: [u32; 3] = [1, 8, 32];
const QUICK_DEPTHS: [u32; 2] = [1, 8];
const SLICE: TimeSpan = TimeSpan(Duration::from_millis(400));
const QUICK_SLICE: TimeSpan = TimeSpan(Duration::from_millis(100));

/// Number of trials of `--like`.
const LIKE_TRIALS: u32 = 10;

/// Arguments of `vnotch ceiling`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads and writes blocks of 4 KiB to 1 MiB in sequence through a bare io_uring, 1 to 32 at a time. The files are in a \
hidden directory inside DIR, and only that hidden directory is removed afterwards. They take 1 GiB at most, and never more than half of the free \
space. Takes about 30 s, or 5 s with --quick.

One cell alone, for a closer look or beside another tool:
  vnotch ceiling --work write_overwriting --block 256KiB --depth 8 --slice 2s

How exact a share of the ceiling can be on this disk: raw writes like those of a result take the place of its trials.
  vnotch ceiling --like latest

Exit codes: 0 measured; 1 the disk or the kernel returned an error; 2 wrong usage; 130 interrupted.")]
pub struct Args {
    /// Directory on the disk to measure
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Measure fewer depths, each for a shorter time: a rough answer in a few seconds
    #[arg(long)]
    quick: bool,
    /// Time for which each cell of the table is measured [default: 400ms, with --quick 100ms]
    #[arg(long, value_name = "TIME")]
    slice: Option<TimeSpan>,
    /// How files are read and written
    #[arg(long, value_enum, default_value_t = Io::Direct)]
    io: Io,
    /// Measure only this kind of work. May be given more than once
    #[arg(long, value_enum, value_name = "KIND")]
    work: Vec<Kind>,
    /// Measure only blocks of this size, a multiple of 4 KiB. May be given more than once
    #[arg(long, value_name = "SIZE")]
    block: Vec<Bytes>,
    /// Measure only with this number of operations in flight. May be given more than once
    #[arg(long, value_name = "N")]
    depth: Vec<u32>,
    /// Replay the writes of this result as trials, between slices of the same writes: a result directory, the beginning of its
    /// name below results/, or `latest`
    #[arg(long, value_name = "RESULT", value_hint = clap::ValueHint::DirPath, conflicts_with_all = ["quick", "io", "work", "block", "depth"])]
    like: Option<String>,
    /// Number of trials of --like. Each is --slice long [default: 10 trials of 2s]
    #[arg(long, value_name = "N", requires = "like", value_parser = clap::value_parser!(u32).range(1..=1000))]
    trials: Option<u32>,
}

/// The JSON document that `--format json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    kind: &'static str,
    dir: &'a Path,
    io: Io,
    slice: TimeSpan,
    build: Build,
    environment: Environment,
    #[serde(flatten)]
    survey: Survey,
}

/// Runs the verb.
///
/// # Errors
/// A [`UsageError`] if `dir` is not a directory; otherwise the error of the disk or the kernel.
pub fn run(globals: Globals, args: Args) -> anyhow::Result<ExitStatus> {
    super::require_dir(&args.dir)?;
    let dir = std::path::absolute(&args.dir).context("the working directory no longer exists")?;
    let slice = args.slice.unwrap_or(if args.quick { QUICK_SLICE } else { SLICE });
    if slice.0.is_zero() {
        return Err(UsageError::error("--slice 0 measures nothing; write it like `--slice 500ms`"));
    }
    if let Some(result) = &args.like {
        let trials = args.trials.unwrap_or(LIKE_TRIALS);
        return like::run(globals, &like::Request { result, dir: &dir, trials, slice: args.slice });
    }
    let grid = grid(&args, slice)?;
    // Collected before the measurement, so that the load it reports is that of other processes.
    let environment = Environment::collect(&dir, IoUring::collect());
    let survey = match measure(globals, &dir, &grid) {
        Ok(survey) => survey,
        Err(DeviceError::Interrupted) => {
            stderr::line("vnotch: interrupted; the scratch files are removed");
            return Ok(ExitStatus::Interrupted);
        }
        Err(error) => return Err(error.into()),
    };
    let document = Document {
        kind: "ceiling",
        dir: &dir,
        io: args.io,
        slice,
        build: Build::current(),
        environment,
        survey,
    };
    let output = match globals.format {
        Format::Json => serde_json::to_string_pretty(&document).context("cannot write JSON")? + "\n",
        Format::Text => text::render(&document, &grid, globals.quiet),
    };
    super::print(&output)?;
    Ok(ExitStatus::Ok)
}

/// The cells that the arguments ask for.
fn grid(args: &Args, slice: TimeSpan) -> anyhow::Result<Grid> {
    let chosen = |given: &[u32], all: &[u32]| if given.is_empty() { all.to_vec() } else { given.to_vec() };
    let blocks = args.block.iter().map(|block| u32::try_from(block.0));
    let blocks: Vec<u32> = blocks.collect::<Result<_, _>>().map_err(|_| {
        UsageError::error("--block is larger than 4 GiB; sizes up to 256 MiB can be measured")
    })?;
    let grid = Grid {
        kinds: if args.work.is_empty() { Kind::ALL.to_vec() } else { args.work.clone() },
        has_dsync_4k: args.work.is_empty() && args.block.is_empty() && args.depth.is_empty(),
        block_bytes: chosen(&blocks, &BLOCK_BYTES),
        depths: chosen(&args.depth, if args.quick { &QUICK_DEPTHS } else { &DEPTHS }),
        io: args.io,
        slice: slice.0,
    };
    grid.validate().map_err(|error| UsageError::error(error.to_string()))?;
    Ok(grid)
}

fn measure(globals: Globals, dir: &Path, grid: &Grid) -> Result<Survey, DeviceError> {
    let stop = interrupt::flag().map_err(|source| DeviceError::File {
        action: "catch signals while measuring",
        path: dir.to_owned(),
        source,
    })?;
    let mut ceiling = Ceiling::open(dir, Ceiling::BYTES_MAX_DEFAULT)?.stopped_by(Arc::clone(&stop));
    let progress = Progress::new(globals, grid);
    let surveyed = survey::survey(&mut ceiling, grid, |step| progress.done(step));
    progress.bar.finish_and_clear();
    surveyed
}

/// The progress on standard error: a bar on a terminal, otherwise one line per finished step.
struct Progress {
    bar: ProgressBar,
    lines: bool,
}

impl Progress {
    fn new(globals: Globals, grid: &Grid) -> Self {
        let steps = u64::try_from(grid.steps()).expect("a few dozen steps");
        let shown = if globals.quiet { None } else { stderr::bar(steps) };
        let lines = shown.is_none() && !globals.quiet && globals.format == Format::Text;
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}  ETA {eta}");
        // A hidden bar counts the steps for the lines.
        let bar = shown
            .unwrap_or_else(|| ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::hidden()))
            .with_style(style.expect("the template is a constant that indicatif accepts"))
            .with_message("preparing files");
        bar.tick();
        Self { bar, lines }
    }

    fn done(&self, step: &Step<'_>) {
        self.bar.inc(1);
        let line = text::step(step);
        if self.lines {
            let (done, steps) = (self.bar.position(), self.bar.length().unwrap_or_default());
            stderr::line(format_args!("{done}/{steps} {line}"));
        }
        self.bar.set_message(line);
    }
}
