//! `vnotch compare`: says by how much two things differ, with an interval: two stored results, or two sides that are measured
//! turn by turn.

pub mod child;
mod finish;
mod interleaved;
mod length;
mod plan_text;
mod print;
mod request;
mod stored;

use super::FormatArg;
use crate::exit::ExitStatus;
use crate::stderr;
use request::Request;
use std::path::{Path, PathBuf};

/// The directory of results, unless `--output` names another one.
const RESULTS: &str = "results";

/// Arguments of `vnotch compare`.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = "\
Without --interleave, A and B are results that are stored already: directories, the beginnings of their names, or `latest`. \
Differences of the hour are in such a comparison, because the two were not measured turn by turn. The \
comparison is printed. --save also stores it below --output, with a page, a summary and a chart.

With --interleave, two sides are measured in pairs, each trial in a process of its own with a data directory of its own. The \
order within a pair is random. The sides differ in their workload, in settings (--set-a, --set-b), or in the binary of vnotch \
that measures (--binary-a, --binary-b). `ceiling=off` is set unless --set says otherwise.

The answer is the ratio B / A of one metric, with a 95 % interval. B is better or worse if the interval lies wholly beyond the \
band; there is no difference that matters if it lies wholly inside; otherwise these pairs cannot tell, and the answer says \
which difference they could have seen. The metric is the workload's `metric`; without one it is records/s under `max` and `closed`, the p99 of the response time \
under an open load, and consumed bytes/s with a backlog. --metric takes another one, by such a name (`response_p99`) or by its \
path in a result's summary.

A pair with a trial that was late or invalid is measured again. A pair with a trial that failed is kept and counted; then \
there is no verdict. Ctrl-C keeps the finished pairs, and --resume continues the series with its data on the same disk.

Examples:
  vnotch compare --interleave throughput --set-b durability=synced
  vnotch compare --interleave my.yaml --binary-a old/vnotch --binary-b target/release/vnotch
  vnotch compare --interleave throughput small-records --metric produce.bytes_per_s --pairs 14
  vnotch compare --interleave latency --set load.rate=20k/s --set-b engine.poll=parked --precision 1%
  vnotch compare --calibrate throughput
  vnotch compare 20261124-0354 latest --format markdown
  vnotch compare 20261124-0354 latest --save
  vnotch compare --save-baseline main 20261124-0354
  vnotch compare --baseline main latest

Exit codes: 0 no regression, or the pairs cannot tell; 1 a trial, the disk or the machine failed; 2 wrong usage; 4 B is worse \
by more than the band (two stored results: only with --baseline); 5 too many pairs were invalid, or with --strict the pairs \
cannot tell, or a calibration finds that the set-up prefers one side; 6 records were lost, repeated, reordered or corrupted, or \
a group skipped some or had two owners read them; 130 interrupted, unless a pair failed before (then 1 or 6).")]
pub struct Args {
    /// Two stored results; with --interleave one workload, or two
    #[arg(value_name = "A B", num_args = 0..=2)]
    subjects: Vec<String>,
    /// Measure two sides turn by turn
    #[arg(long)]
    interleave: bool,
    /// Override a key of the workload on both sides, such as phases.measure=3s; the value is YAML; repeatable
    #[arg(long, value_name = "KEY=VALUE", allow_hyphen_values = true)]
    set: Vec<String>,
    /// Override a key on side A only; repeatable
    #[arg(long, value_name = "KEY=VALUE", allow_hyphen_values = true)]
    set_a: Vec<String>,
    /// Override a key on side B only; repeatable
    #[arg(long, value_name = "KEY=VALUE", allow_hyphen_values = true)]
    set_b: Vec<String>,
    /// Measure side A with this binary of vnotch [default: this one]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    binary_a: Option<PathBuf>,
    /// Measure side B with this binary of vnotch [default: this one]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    binary_b: Option<PathBuf>,
    /// Compare this figure, by its path in a result's summary: produce.bytes_per_s, latency_ns.service.p50
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// The least difference that matters [default: 2%]
    #[arg(long, value_name = "PERCENT", allow_hyphen_values = true)]
    band: Option<String>,
    /// Number of pairs [default: 10; 20 with --calibrate]
    #[arg(long, value_name = "N")]
    pairs: Option<u32>,
    /// Measure until the interval reaches no further than this to either side; never fewer than 10 pairs
    #[arg(long, value_name = "PERCENT", allow_hyphen_values = true)]
    precision: Option<String>,
    /// The most pairs with --precision [default: 40]
    #[arg(long, value_name = "N")]
    pairs_max: Option<u32>,
    /// Measure one side against itself, and say how noisy pairs are and how many the band needs
    #[arg(long)]
    calibrate: bool,
    /// Print the pairs, the time and the disk that this would take, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Compare with the result of this name, and exit with 4 on a regression
    #[arg(long, value_name = "NAME")]
    baseline: Option<String>,
    /// Store a name for the result (of two, the second), for --baseline. The baseline that was compared with is replaced only if
    /// the exit code is 0
    #[arg(long, value_name = "NAME")]
    save_baseline: Option<String>,
    /// Store the comparison of two stored results as well, with its page and chart; sides that are measured turn by turn are always
    /// stored
    #[arg(long)]
    save: bool,
    /// Exit with 5 if the comparison cannot tell
    #[arg(long)]
    strict: bool,
    /// Seed of the order within the pairs [default: random, recorded]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Directory that holds the results, and in which a comparison is stored [default: results]
    #[arg(short, long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    output: Option<PathBuf>,
    /// Directory below which each trial has its data [default: a new directory in the working directory, removed afterwards; with
    /// --resume that of the series]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Continue the unfinished series in DIR, with the same pairs in the same order
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    resume: Option<PathBuf>,
}

impl Args {
    /// The directory of results.
    fn results(&self) -> &Path {
        self.output.as_deref().unwrap_or(Path::new(RESULTS))
    }
}

/// How the answer is printed.
#[derive(Debug, Clone, Copy)]
struct Output {
    format: FormatArg,
    is_quiet: bool,
    is_strict: bool,
}

impl Output {
    /// Prints a note on standard error, unless `--quiet` is given.
    fn note(self, text: &str) {
        if !self.is_quiet {
            stderr::line(format_args!("note: {text}"));
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// A [`crate::exit::UsageError`] before anything is measured; otherwise the reason why the comparison could not be made.
pub fn run(format: FormatArg, is_quiet: bool, args: &Args) -> anyhow::Result<ExitStatus> {
    let output = Output { format, is_quiet, is_strict: args.strict };
    match Request::of(args, format)? {
        Request::Series(request) => interleaved::run(args, &request, output),
        Request::Resume(dir) => interleaved::resume(args, &dir, output),
        Request::Stored(request) => stored::run(args, &request, output),
        Request::SaveBaseline { name, result } => stored::save_baseline(args, &name, &result, output),
    }
}
