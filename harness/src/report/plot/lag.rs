//! The lag of each consumer group over time: records that are acked and that the group has not read yet. Rebalances and commits
//! are below it.

use super::axis::{self, Extent};
use super::events::{self, Shows};
use super::head::Head;
use super::shown::{Moment, Shown, lines, widest};
use super::stack::stacked;
use super::value::{Axes, Axis, Colour, Key, Look, Panel, Part, Plot, Scale, Series, Size, Symbol, Weight};
use super::{NotDrawn, OverTime};
use crate::num;
use crate::result::{Recording, SeriesRow};
use crate::stats;
use std::collections::BTreeMap;

const NAME: &str = "lag";
const TITLE: &str = "lag of consumer groups over time";
/// A lag is worth a chart if it was at least the records of this many intervals. A smaller one is on its way.
const LAG_INTERVALS_MIN: f64 = 1.0;
/// The most lines. Of more groups, those with the largest lag have a line, and all together have another.
const LINES_MAX: usize = 8;
/// Name of the line of all groups together.
const ALL: &str = "all groups";
/// With more intervals than this, lines of normal weight would merge into a block.
const NORMAL_ROWS_MAX: usize = 400;

/// Returns the chart of one result.
pub(super) fn plot(recording: &Recording) -> Result<Plot, NotDrawn> {
    let shown = Shown::of_all(recording);
    let it = OverTime { alt: "Lag of consumer groups over time", keys: Vec::new(), shown: &shown };
    of(&Head::of(&recording.result), it)
}

/// Returns the chart of several trials on equal axes.
pub(super) fn of(head: &Head, it: OverTime<'_, '_>) -> Result<Plot, NotDrawn> {
    let trials: Vec<Trial<'_>> = it.shown.iter().filter_map(Trial::of).collect();
    if trials.is_empty() {
        return Err(NotDrawn::because("no consumer was a member of a group"));
    }
    if !trials.iter().any(Trial::was_measured) {
        return Err(NotDrawn::because("the lag of no group was measured"));
    }
    if !trials.iter().any(Trial::has_news) {
        return Err(NotDrawn::because(
            "the groups kept up and none rebalanced: no lag was as large as the records of one interval",
        ));
    }
    let common = Common::of(&trials);
    let panels = trials.iter().map(|trial| common.panel(trial)).collect();
    Ok(stacked(Plot { keys: it.keys, ..head.plot(NAME, it.alt, TITLE) }, panels))
}

/// A trial with the lag of its groups.
struct Trial<'a> {
    shown: &'a Shown<'a>,
    /// Lag of each group at the end of each row.
    groups: BTreeMap<&'a str, &'a [Option<u64>]>,
}

impl<'a> Trial<'a> {
    /// Returns a trial with its groups; `None` if it has none.
    fn of(shown: &'a Shown<'a>) -> Option<Self> {
        let lags = shown.record.group_lags.iter();
        let groups: BTreeMap<_, _> = lags.map(|(group, lags)| (&group[..], &lags[..])).collect();
        (!groups.is_empty()).then_some(Self { shown, groups })
    }

    fn rows(&self) -> &'a [SeriesRow] {
        &self.shown.record.series
    }

    /// Tells whether the lag of a group is known at the end of any row.
    fn was_measured(&self) -> bool {
        let is_known = |lags: &&[Option<u64>]| lags.iter().take(self.rows().len()).any(Option::is_some);
        self.groups.values().any(is_known)
    }

    /// Tells whether a group was behind by more than what is always on its way, or rebalanced.
    fn has_news(&self) -> bool {
        let flow = self.rows().iter().map(|row| num::f64_of(row.achieved.max(row.consumed)));
        let interval = stats::median(&flow.collect::<Vec<_>>()).unwrap_or(0.0);
        let most = self.groups.keys().map(|group| self.most(group)).fold(0.0, f64::max);
        let is_behind = most > 0.0 && most >= interval * LAG_INTERVALS_MIN;
        let rebalances = events::kinds(&self.shown.record.events, Shows::Rebalances, self.shown.span());
        is_behind || !rebalances.is_empty()
    }

    /// Returns the largest lag of a group, records.
    fn most(&self, group: &str) -> f64 {
        let lags = self.groups.get(group).copied().unwrap_or_default();
        num::f64_of(lags.iter().flatten().copied().max().unwrap_or(0))
    }

    /// Returns the lag of a group, or of all groups together, at the end of a row.
    fn at(&self, group: &str, row: usize) -> Option<f64> {
        let of = |lags: &&[Option<u64>]| lags.get(row).copied().flatten();
        if group == ALL {
            return self.groups.values().filter_map(of).reduce(|sum, lag| sum + lag).map(num::f64_of);
        }
        self.groups.get(group).and_then(of).map(num::f64_of)
    }
}

/// Lines and axes that all panels share.
struct Common {
    span: (f64, f64),
    y: Axis,
    /// Groups that have a line, each with its name in the legend and its colour.
    lines: Vec<(String, String, Colour)>,
    /// Number of groups without a line of their own.
    without_line: usize,
}

impl Common {
    fn of(trials: &[Trial<'_>]) -> Self {
        let mut most = BTreeMap::<&str, f64>::new();
        for trial in trials {
            for group in trial.groups.keys() {
                let own = most.entry(group).or_default();
                *own = own.max(trial.most(group));
            }
        }
        let groups: Vec<&str> = most.keys().copied().collect();
        let mut drawn: Vec<usize> = (0..groups.len()).collect();
        if groups.len() > LINES_MAX {
            drawn.sort_by(|a, b| most[groups[*b]].total_cmp(&most[groups[*a]]));
            drawn.truncate(LINES_MAX - 1);
            drawn.sort_unstable();
        }
        let names = without_shared_ends(&groups);
        let mut lines: Vec<(String, String, Colour)> = (0..)
            .zip(&drawn)
            .map(|(line, group)| (groups[*group].to_owned(), names[*group].clone(), Colour::of_series(line)))
            .collect();
        let without_line = groups.len() - drawn.len();
        if without_line > 0 {
            lines.push((ALL.to_owned(), ALL.to_owned(), Colour::Ink));
        }
        let values: Vec<Vec<f64>> =
            trials.iter().flat_map(|trial| lines.iter().map(|(group, ..)| values(trial, group))).collect();
        Self {
            span: widest(trials.iter().map(|trial| trial.shown.span())),
            y: axis_of(&values),
            lines,
            without_line,
        }
    }

    fn panel(&self, trial: &Trial<'_>) -> Panel {
        let kinds = events::kinds(&trial.shown.record.events, Shows::OfGroups, self.span);
        let mut bands = trial.shown.outside_window();
        bands.extend(kinds.iter().flat_map(|kind| kind.bands(self.span)));
        let lines: Vec<Series> = self.lines.iter().map(|line| self.series(trial, line)).collect();
        let key =
            |series: &Series| Key { name: series.name.clone(), colour: series.colour, symbol: Symbol::Line };
        let keys = lines.iter().filter(|line| !line.stretches.is_empty()).map(key).collect();
        let axes = Axes {
            size: Size::Full,
            x: axis::time(self.span),
            y: self.y.clone(),
            bands,
            series: lines,
            marks: kinds.iter().flat_map(|kind| kind.marks(self.span)).collect(),
            labels: Vec::new(),
        };
        let mut parts = vec![Part::Axes(axes)];
        parts.extend(events::rows(&kinds, self.span));
        Panel { title: trial.shown.title(), keys, notes: self.notes(trial), parts }
    }

    fn notes(&self, trial: &Trial<'_>) -> Vec<String> {
        let others = match self.without_line {
            0 => None,
            count => Some(format!("{ALL}: the sum also has the {count} with the smallest lags")),
        };
        let is_0 = |(group, ..): &(String, String, Colour)| {
            (0..trial.rows().len()).any(|row| trial.at(group, row) == Some(0.0))
        };
        let is_cut = self.y.scale == Scale::Log && self.lines.iter().any(is_0);
        let zero = is_cut.then(|| "a line begins and ends where the lag was above 0".to_owned());
        others.into_iter().chain(zero).collect()
    }

    fn series(&self, trial: &Trial<'_>, (group, name, colour): &(String, String, Colour)) -> Series {
        let weight = if trial.rows().len() > NORMAL_ROWS_MAX { Weight::Thin } else { Weight::Normal };
        let is_drawn = |lag: &f64| self.y.scale == Scale::Linear || *lag > 0.0;
        let values: Vec<Option<(f64, f64, f64)>> = trial
            .rows()
            .iter()
            .enumerate()
            .map(|(index, row)| Some((row.t_s, row.interval_s, trial.at(group, index).filter(is_drawn)?)))
            .collect();
        let runs = values.split(Option::is_none).map(|run| run.iter().flatten().copied().collect());
        let within = |(t_s, lag): (f64, f64)| (t_s.clamp(self.span.0, self.span.1), lag);
        let drawn = lines(runs, Moment::End).into_iter();
        let drawn = drawn.map(|stretch| stretch.into_iter().map(within).collect()).collect();
        Series::new(name.clone(), *colour, Look::Line(weight)).with(drawn)
    }
}

/// Returns the lag of a group from its first value above 0 to its last. Nothing was produced before, and the group had read
/// everything after.
fn values(trial: &Trial<'_>, group: &str) -> Vec<f64> {
    let all: Vec<f64> = (0..trial.rows().len()).filter_map(|row| trial.at(group, row)).collect();
    let first = all.iter().position(|lag| *lag > 0.0);
    let last = all.iter().rposition(|lag| *lag > 0.0);
    first.zip(last).map_or_else(Vec::new, |(first, last)| all[first..=last].to_vec())
}

/// Returns the axis of lags. A lag that was 0 in between has no place on a log axis.
fn axis_of(lags: &[Vec<f64>]) -> Axis {
    let title = "records that are acked and not yet read";
    let extent = Extent::of(lags.iter().flatten().copied()).unwrap_or(Extent { low: 0.0, high: 0.0 });
    if extent.is_wide() {
        axis::log(title, extent, axis::count)
    } else {
        axis::from_zero(title, extent.high.max(1.0), axis::count)
    }
}

/// Returns names without the first and the last word, if all of them begin and end with the same words. Words are separated by
/// `-`.
fn without_shared_ends(names: &[&str]) -> Vec<String> {
    let parts = |name: &'_ str| {
        let (first, rest) = name.split_once('-')?;
        let (middle, last) = rest.rsplit_once('-')?;
        Some((first.to_owned(), middle.to_owned(), last.to_owned()))
    };
    let whole = || names.iter().map(|name| (*name).to_owned()).collect();
    let Some(parts) = names.iter().map(|name| parts(name)).collect::<Option<Vec<_>>>() else {
        return whole();
    };
    let is_shared = parts.windows(2).all(|pair| (&pair[0].0, &pair[0].2) == (&pair[1].0, &pair[1].2));
    if names.len() < 2 || !is_shared {
        return whole();
    }
    parts.into_iter().map(|(_, middle, _)| middle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_the_ends_that_all_share() {
        let short = |names: &[&str]| without_shared_ends(names);
        assert_eq!(
            short(&["vnotch-topic-0-bench1-group", "vnotch-topic-1-bench1-group"]),
            ["topic-0-bench1", "topic-1-bench1"]
        );
        for kept in
            [&["vnotch-t-bench1-group"][..], &["a-b-c", "a-b-d"], &["a-b", "a-b-c"], &["one", "two"], &[]]
        {
            assert_eq!(short(kept), kept);
        }
    }

    #[test]
    fn lags_have_a_log_axis_where_they_are_never_0_and_span_a_factor_of_four() {
        let scale = |lags: &[f64]| axis_of(&[lags.to_vec()]).scale;
        assert_eq!(scale(&[100.0, 400.0]), Scale::Log);
        assert_eq!(scale(&[100.0, 399.0]), Scale::Linear);
        assert_eq!(scale(&[100.0, 0.0, 400.0]), Scale::Linear);
        assert_eq!(axis_of(&[]).low, 0.0);
    }
}
