//! `vnotch ceiling`: measures how fast the bare disk is, without a log on it.

mod text;

use super::{Format, Globals};
use crate::device::survey::{self, Grid, Step, Survey};
use crate::device::{Ceiling, DeviceError};
use crate::exit::{ExitStatus, UsageError};
use crate::interrupt;
use crate::result::environment::Environment;
use crate::result::environment::IoUring;
use crate::result::provenance::Build;
use crate::stderr;
use crate::workload::{Io, TimeSpan};
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

/// Arguments of `vnotch ceiling`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads and writes blocks of 4 KiB to 1 MiB in sequence through a bare io_uring, 1 to 32 at a time. The files are in a \
hidden directory inside DIR, which is removed afterwards. They take 1 GiB at most, and never more than half of the free \
space. Takes about 30 s, or 5 s with --quick.

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
    let depths = if args.quick { QUICK_DEPTHS.to_vec() } else { DEPTHS.to_vec() };
    let grid = Grid { block_bytes: BLOCK_BYTES.to_vec(), depths, io: args.io, slice: slice.0 };
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
