//! A sweep as people look at it: the swept settings with their values, and the results of each combination.
//!
//! A combination has up to two points: `pass: max` or `closed`, whose throughput counts, and `pass: open`, whose
//! latencies count. If there are only open points, both are taken from them.

pub(super) mod answers;
pub(super) mod change;
pub(super) mod metric;
pub(super) mod notes;
pub(super) mod price_table;
pub(super) mod prices;
pub(super) mod table;
pub(super) mod words;

use super::facts::NONE;
use super::setting::{self, Setting};
use crate::result::{Bound, Kind, Point, RunResult, Trial, VerdictStatus};
use crate::workload::{Metric, PassKind, Rate, Workload};
use metric::Pass;

/// Rates that differ by more than this share are not one common rate.
const SAME_RATE: f64 = 0.01;

/// The settings and the combinations of a sweep.
pub(super) struct Sweep<'a> {
    /// Settings in alphabetical order of their keys, as combinations have them.
    pub(super) settings: Vec<Setting>,
    /// Combinations in the order of their values. The last setting changes fastest.
    pub(super) combinations: Vec<Combination<'a>>,
    /// The metric that the workload names; `None` if it names none.
    named: Option<Metric>,
    /// The load's share of the slowest rate, percent. `None` if the workload does not ask for a share.
    share_percent: Option<f64>,
    /// Whether retention deletes records, or may do so in some combination.
    has_retention: bool,
    /// Index of the setting whose steps have a price (`answer: ratio`); `None` if the best setting is asked for.
    pub(super) ratio: Option<usize>,
}

/// One combination: one value of every swept setting.
pub(super) struct Combination<'a> {
    /// Index of the value of each setting.
    pub(super) values: Vec<usize>,
    /// Point under `max` or `closed`.
    loaded: Option<&'a Point>,
    /// Point under an open load.
    open: Option<&'a Point>,
}

impl<'a> Sweep<'a> {
    /// Returns `None` if the result is not that of a sweep.
    pub(super) fn of(result: &'a RunResult) -> Option<Self> {
        if result.kind != Kind::Sweep {
            return None;
        }
        let settings = setting::all(&result.points);
        let mut combinations: Vec<Combination<'a>> = Vec::new();
        for point in &result.points {
            let values: Vec<usize> = settings.iter().map(|setting| setting.index_of(point)).collect();
            let at = combinations.iter().position(|it| it.values == values).unwrap_or_else(|| {
                combinations.push(Combination { values, loaded: None, open: None });
                combinations.len() - 1
            });
            match point.pass {
                PassKind::Open => combinations[at].open = Some(point),
                PassKind::Max | PassKind::Closed => combinations[at].loaded = Some(point),
            }
        }
        combinations.sort_by(|a, b| a.values.cmp(&b.values));
        let workload = serde_json::from_value::<Workload>(result.workload.clone()).ok();
        let key = workload.as_ref().and_then(Workload::ratio_key);
        let ratio = settings.iter().position(|setting| Some(setting.key.as_str()) == key);
        let share_percent = workload.as_ref().and_then(|workload| match workload.load.mode.rate() {
            Some(Rate::Share(percent)) => Some(percent),
            _ => None,
        });
        let is_kept_for_ever =
            workload.as_ref().is_none_or(|workload| workload.log.retention_bytes.0.is_none());
        let has_retention =
            !is_kept_for_ever || settings.iter().any(|it| it.key.starts_with("log.retention_"));
        let named = workload.and_then(|workload| workload.metric);
        Some(Self { settings, combinations, named, share_percent, has_retention, ratio })
    }

    /// Returns the metrics that the sweep has an answer for. The first is the one that it is about: the one that the workload
    /// names, or else throughput if there was another load than an open one, or else the p99 response.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let has_loaded = self.combinations.iter().any(|it| it.loaded.is_some());
        let of_loads =
            [has_loaded.then(|| self.throughput()), self.has_open().then_some(Metric::ResponseP99)];
        let mut metrics: Vec<Metric> = self.named.into_iter().collect();
        for metric in of_loads.into_iter().flatten() {
            if !metrics.contains(&metric) {
                metrics.push(metric);
            }
        }
        metrics
    }

    /// Returns the name of a combination: `segment_bytes 16 MiB, durability synced`.
    pub(super) fn name(&self, combination: &Combination<'_>) -> String {
        self.name_without(combination, |_| false)
    }

    /// Returns the name of a combination without some of the settings; empty if none is left.
    pub(super) fn name_without(
        &self,
        combination: &Combination<'_>,
        is_left_out: impl Fn(&Setting) -> bool,
    ) -> String {
        let named = self.settings.iter().zip(&combination.values).filter(|(it, _)| !is_left_out(it));
        let name = |(setting, value): (&Setting, &usize)| {
            format!("{} {}", setting.name, setting.values.get(*value).map_or("–", |value| &value.label))
        };
        named.map(name).collect::<Vec<_>>().join(", ")
    }

    /// Returns the throughput that counts for this sweep.
    pub(super) fn throughput(&self) -> Metric {
        metric::throughput_of(self.combinations.iter().flat_map(Combination::points))
    }

    /// Tells whether the sweep measures how fast consumers catch up with a backlog.
    pub(super) fn is_catch_up(&self) -> bool {
        self.throughput() == Metric::CatchUp
    }

    /// Tells whether any combination ran under an open load.
    pub(super) fn has_open(&self) -> bool {
        self.combinations.iter().any(|it| it.open.is_some())
    }

    /// Returns the records per second that every open point was offered. `None` if the rates differ, or if there is no
    /// open point.
    pub(super) fn common_rate(&self) -> Option<f64> {
        let points = self.combinations.iter().filter_map(|it| it.open);
        let rates: Vec<f64> =
            points.filter_map(|point| Some(point.summary.get("offered.records_per_s")?.median)).collect();
        let (low, high) = rates.iter().fold((f64::INFINITY, 0.0_f64), |(l, h), r| (l.min(*r), h.max(*r)));
        (low.is_finite() && high <= low * (1.0 + SAME_RATE)).then_some(low)
    }

    /// Returns the name of the setting whose values have one rate beside each combination of the others, and the share of the
    /// slowest one's rate, percent. `None` if all combinations have one rate, or the workload names the rates itself.
    fn rate_beside(&self) -> Option<(&str, f64)> {
        // Older results have one rate for all.
        let setting = self.ratio.filter(|_| self.settings.len() > 1 && self.common_rate().is_none())?;
        Some((&self.settings[setting].name, self.share_percent?))
    }

    /// Explains the rates of the open load. `None` if the workload names the rate itself.
    pub(super) fn rate_note(&self) -> Option<String> {
        if let Some((setting, percent)) = self.rate_beside() {
            let of = format!("{percent} % of what the slowest {setting} reached under max");
            return Some(format!(
                "rate of the open load: {of}, beside each combination of the other settings"
            ));
        }
        let (rate, percent) = self.common_rate().zip(self.share_percent)?;
        let rate = crate::quantity::per_s(rate);
        let of = "of what the slowest combination reached under max, and the same for all rows";
        Some(format!("{rate} is {percent} % {of}"))
    }

    /// Explains why the disk peak exceeds retention. `None` if nothing is deleted.
    pub(super) fn disk_note(&self) -> Option<String> {
        let note = "disk peak can be retention and two segments of each partition: retention deletes whole segments only, and the \
                    next segment has its space before it is written";
        self.has_retention.then(|| note.to_owned())
    }

    /// Returns the records per second that the open point of a combination was offered, as text; `None` if all combinations have one
    /// rate.
    pub(super) fn rate_of(&self, combination: &Combination<'_>) -> Option<String> {
        let figure = || combination.open?.summary.get("offered.records_per_s");
        let text = || figure().map_or_else(|| NONE.to_owned(), |rate| crate::quantity::per_s(rate.median));
        (self.has_open() && self.common_rate().is_none()).then(text)
    }

    /// Returns `at 350 k/s`, or a text that tells how the rates of the combinations were found.
    pub(super) fn rate_words(&self) -> String {
        if let Some((setting, percent)) = self.rate_beside() {
            return format!("at {percent} % of what the slowest {setting} reached");
        }
        self.common_rate().map_or_else(
            || "each at its own rate".to_owned(),
            |rate| format!("at {}", crate::quantity::per_s(rate)),
        )
    }
}

impl<'a> Combination<'a> {
    /// Returns the point whose throughput counts.
    pub(super) fn loaded_point(&self) -> Option<&'a Point> {
        self.loaded.or(self.open)
    }

    /// Returns the point that a metric is taken from.
    pub(super) fn point(&self, metric: Metric) -> Option<&'a Point> {
        match metric::pass(metric) {
            Pass::Loaded => self.loaded_point(),
            Pass::Open => self.open,
        }
    }

    /// Returns every point of the combination.
    pub(super) fn points(&self) -> impl Iterator<Item = &'a Point> {
        self.loaded.into_iter().chain(self.open)
    }

    /// Returns a metric of each trial that has it.
    pub(super) fn trials(&self, metric: Metric) -> Vec<f64> {
        self.blocks(metric).into_iter().filter(|value| value.is_finite()).collect()
    }

    /// Returns a metric by block; NaN for a trial without it, and for a trial whose generator was late.
    pub(super) fn blocks(&self, metric: Metric) -> Vec<f64> {
        let value = |trial: &Trial| if trial.is_late { None } else { metric::value(metric, trial) };
        self.by_block(metric, value)
    }

    /// Returns a metric of the first attempt in each block, whether its generator was late or not; NaN where it is not known.
    pub(super) fn first_blocks(&self, metric: Metric) -> Vec<f64> {
        let is_first =
            |trial: &Trial| trial.late_attempts.is_empty() || !metric::is_kept_of_late_attempts(metric);
        let value = |trial: &Trial| match is_first(trial) {
            true => metric::value(metric, trial),
            false => metric::value(metric, &trial.first_attempt()?),
        };
        self.by_block(metric, value)
    }

    fn by_block(&self, metric: Metric, value: impl Fn(&Trial) -> Option<f64>) -> Vec<f64> {
        let trials = self.point(metric).map_or(&[][..], |point| &point.trials);
        trials.iter().map(|trial| value(trial).unwrap_or(f64::NAN)).collect()
    }

    /// Returns the greatest share of trials whose generator was late at first, over the points of the combination.
    pub(super) fn late_share(&self) -> f64 {
        self.points().map(Point::late_share).fold(0.0, f64::max)
    }

    /// Tells whether a metric of the combination is only a lower bound.
    pub(super) fn is_censored(&self, metric: Metric) -> bool {
        let figure = self.point(metric).and_then(|point| point.figure(metric.path()));
        figure.is_some_and(|figure| figure.bound == Some(Bound::Lower))
    }

    /// Tells whether the combination failed under any load. Then it is no choice under another load either.
    pub(super) fn has_failed(&self) -> bool {
        self.points().any(|point| point.verdict.status >= VerdictStatus::Errors)
    }

    /// Returns the median of a metric that every trial has, if the point may be compared. A lower bound may not, because the
    /// true value may be any greater one.
    pub(super) fn sound_median(&self, metric: Metric) -> Option<f64> {
        let point = self.point(metric).filter(|point| is_sound(point) && !self.has_failed())?;
        let figure = point.figure(metric.path()).filter(|figure| figure.bound != Some(Bound::Lower));
        figure.map(|figure| figure.median)
    }
}

/// Tells whether a point's figures may be compared with others: nothing failed, and the load generator kept up.
pub(super) fn is_sound(point: &Point) -> bool {
    let was_in_time = || point.trials.iter().all(|trial| trial.late_percentile.is_none());
    match point.verdict.status {
        VerdictStatus::Valid => !point.trials.is_empty(),
        // An objective is missed also where the generator was late, but such figures are not compared.
        VerdictStatus::SloMissed => !point.trials.is_empty() && was_in_time(),
        _ => false,
    }
}
