//! The progress of a run on standard error: a bar and a live line on a terminal, plain lines elsewhere, nothing with `--quiet`.

use crate::escape::visible;
use crate::quantity;
use crate::result::latency::percentile::sign;
use crate::result::{Bound, SeriesRow};
use crate::stderr;
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// Prints the progress of a run.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    expected: Cell<Duration>,
    /// The number of the current trial of a sweep, such as `12/54 `.
    turn: RefCell<String>,
    out: Out,
}

#[derive(Debug)]
enum Out {
    Quiet,
    Lines,
    Bar(ProgressBar),
}

/// The most groups whose lags stand in the live line one by one.
const GROUPS_SHOWN_MAX: usize = 4;

/// One second of a trial.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// `warm-up`, `measuring` or `draining`.
    pub phase: &'static str,
    /// Records acked a second.
    pub acked_per_s: f64,
    /// Bytes of their values a second.
    pub acked_bytes_per_s: f64,
    /// Records consumed a second; `None` without consumers.
    pub consumed_per_s: Option<f64>,
    /// Records acked and not yet consumed.
    pub backlog_records: Option<u64>,
    /// Records acked and not yet consumed, by group; empty unless the consumers are members of groups.
    pub lags: Vec<u64>,
    /// The kind of latency of `slowest`.
    pub latency: &'static str,
    /// The latency that stands for the second's intervals.
    pub slowest: Option<Slowest>,
}

/// A latency of the progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slowest {
    /// Name of the figure: `p99` or `max`.
    pub name: &'static str,
    /// The latency, ns.
    pub ns: u64,
    /// The kind of bound that the value is; `None` for a value that is the system's.
    pub bound: Option<Bound>,
}

impl Slowest {
    /// Returns the greatest p99 of some intervals, or the greatest value where too few acks tell a p99.
    pub fn of(rows: &[SeriesRow]) -> Option<Self> {
        let greatest = |name, of: fn(&SeriesRow) -> (Option<u64>, Option<Bound>)| {
            let known = rows.iter().filter_map(|row| Some((of(row).0?, of(row).1)));
            known.max_by_key(|(ns, _)| *ns).map(|(ns, bound)| Self { name, ns, bound })
        };
        let p99 = greatest("p99", |row| (row.p99_ns, row.p99_bound));
        p99.or_else(|| greatest("max", |row| (row.max_ns, row.max_bound)))
    }
}

impl Progress {
    /// Begins the progress of a run that is expected to take `expected`.
    pub fn new(is_quiet: bool, expected: Duration) -> Self {
        let out = if is_quiet {
            Out::Quiet
        } else {
            stderr::bar(deciseconds(expected)).map_or(Out::Lines, |bar| Out::Bar(styled(bar)))
        };
        Self { began: Instant::now(), expected: Cell::new(expected), turn: RefCell::default(), out }
    }

    /// A progress that prints nothing.
    pub fn silent() -> Self {
        Self::new(true, Duration::ZERO)
    }

    /// The time since the run began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Notes that trial `number` of `trials` begins, which is one of `combination`. `left` is the expected time to the end of
    /// the last trial.
    pub fn begin_trial(&self, number: usize, trials: usize, combination: &str, left: Duration) {
        self.expected.set(self.elapsed() + left);
        *self.turn.borrow_mut() = format!("{number}/{trials} ");
        if matches!(self.out, Out::Lines) {
            let left = quantity::duration(left.as_secs_f64());
            self.step(&format!("trial {number} of {trials}, about {left} to go: {combination}"));
        }
    }

    /// Notes that a trial of a comparison begins, and prints `text`. `left` is the expected time to the end of the last trial.
    pub fn begin_in_pair(&self, text: &str, left: Duration) {
        self.expected.set(self.elapsed() + left);
        self.step(text);
    }

    /// Moves the bar on with the time.
    pub fn tick(&self) {
        if let Out::Bar(bar) = &self.out {
            self.advance(bar);
        }
    }

    /// Prints the current step.
    pub fn step(&self, text: &str) {
        let text = visible(text);
        match &self.out {
            Out::Quiet => {}
            Out::Lines => stderr::line(format_args!("{:5.0} s  {text}", self.began.elapsed().as_secs_f64())),
            Out::Bar(bar) => {
                bar.set_prefix(format!("{}{text}", self.turn.borrow()));
                bar.set_message("");
                self.advance(bar);
            }
        }
    }

    /// Prints the figures of the last second of the current trial.
    pub fn live(&self, live: &Live) {
        match &self.out {
            Out::Quiet => {}
            Out::Lines => {
                stderr::line(format_args!("{:5.0} s    {live}", self.began.elapsed().as_secs_f64()))
            }
            Out::Bar(bar) => {
                bar.set_message(live.to_string());
                self.advance(bar);
            }
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Out::Bar(bar) = &self.out {
            bar.finish_and_clear();
        }
    }

    fn advance(&self, bar: &ProgressBar) {
        let elapsed = self.began.elapsed();
        // A run that takes longer than expected keeps a bar that is not quite full.
        bar.set_length(deciseconds(self.expected.get().max(elapsed + Duration::from_secs(1))));
        bar.set_position(deciseconds(elapsed));
    }
}

fn styled(bar: ProgressBar) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix}\n{wide_bar} {elapsed}, {eta} to go\n{msg}")
        .expect("the template is a constant that indicatif accepts");
    bar.with_style(style)
}

fn deciseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / 100).unwrap_or(u64::MAX)
}

impl std::fmt::Display for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (records, bytes) =
            (quantity::per_s(self.acked_per_s), quantity::bytes_per_s(self.acked_bytes_per_s));
        write!(f, "{:<9}  acked {records} records ({bytes})", self.phase)?;
        if let (Some(consumed), Some(backlog)) = (self.consumed_per_s, self.backlog_records) {
            write!(f, "  consumed {}  {}", quantity::per_s(consumed), Behind { backlog, lags: &self.lags })?;
        }
        match self.slowest {
            Some(Slowest { name, ns, bound }) => {
                write!(f, "  {} {name} {}{}", self.latency, sign(bound), quantity::ns(ns))
            }
            None => Ok(()),
        }
    }
}

/// What consumers have not read yet: the lag of each group, or a backlog.
struct Behind<'a> {
    backlog: u64,
    lags: &'a [u64],
}

impl std::fmt::Display for Behind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.lags {
            [] => write!(f, "backlog {}", self.backlog),
            [lag] => write!(f, "lag {lag}"),
            lags if lags.len() <= GROUPS_SHOWN_MAX => {
                let lags: Vec<String> = lags.iter().map(u64::to_string).collect();
                write!(f, "lag by group {}", lags.join(", "))
            }
            lags => {
                let most = lags.iter().max().copied().unwrap_or_default();
                write!(f, "lag {most} in the slowest of {} groups", lags.len())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_its_lag_and_of_many_groups_the_slowest_one_is_told() {
        let line = |lags: &[u64]| {
            let (consumed_per_s, backlog_records) = (Some(7.0), Some(lags.iter().sum()));
            Live { consumed_per_s, backlog_records, lags: lags.to_vec(), ..Live::default() }.to_string()
        };
        assert!(line(&[]).ends_with("  backlog 0"), "{}", line(&[]));
        assert!(line(&[12]).ends_with("  lag 12"), "{}", line(&[12]));
        assert!(line(&[12, 3400]).ends_with("  lag by group 12, 3400"), "{}", line(&[12, 3400]));
        let many = line(&[1, 2, 900, 3, 4]);
        assert!(many.ends_with("  lag 900 in the slowest of 5 groups"), "{many}");
    }

    #[test]
    fn the_slowest_latency_is_told_with_its_bound() {
        let row = |p99_ns, p99_bound, max_ns| SeriesRow { p99_ns, p99_bound, max_ns, ..SeriesRow::default() };
        let rows = [row(Some(2000), None, Some(9000)), row(Some(3000), Some(Bound::Upper), None)];
        assert_eq!(Slowest::of(&rows), Some(Slowest { name: "p99", ns: 3000, bound: Some(Bound::Upper) }));
        let few = [row(None, None, Some(9000))];
        assert_eq!(Slowest::of(&few), Some(Slowest { name: "max", ns: 9000, bound: None }));
        assert_eq!(Slowest::of(&[]), None);
        let live = |slowest| Live { latency: "response", slowest, ..Live::default() }.to_string();
        assert!(
            live(Slowest::of(&rows)).ends_with("  response p99 ≤ 3.00 µs"),
            "{}",
            live(Slowest::of(&rows))
        );
        assert!(live(Slowest::of(&few)).ends_with("  response max 9.00 µs"), "{}", live(Slowest::of(&few)));
    }
}
