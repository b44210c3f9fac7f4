//! The answers of a sweep by a metric: one within each durability and cache state, because settings of different promises are
//! not compared.

use super::metric::better;
use super::{Combination, Sweep};
use crate::report::setting::Setting;
use crate::result::Point;
use crate::stats::{self, Against, Remaining};
use crate::workload::{BacklogCache, Durability, Metric};

/// Keys whose values are promises or states, so that an answer holds for one value of each only.
const APART: [&str; 2] = ["durability", "backlog.cache"];

/// The settings of one durability and cache state, compared by a metric.
pub(in crate::report) struct Answer<'s> {
    /// Durability and cache state, such as `durability synced`. Empty if the sweep has only one of each.
    pub(in crate::report) group: String,
    /// The metric.
    pub(in crate::report) metric: Metric,
    /// The combinations that are compared, in the order of the sweep.
    pub(in crate::report) members: Vec<&'s Combination<'s>>,
    /// The comparison; its indices are those of `members`.
    pub(in crate::report) found: Remaining,
}

/// A durability and a cache state.
type Group = (Durability, Option<BacklogCache>);

impl<'s> Answer<'s> {
    /// Returns the combination that looks best.
    pub(in crate::report) fn best(&self) -> &'s Combination<'s> {
        self.members[self.found.best]
    }

    /// Returns the comparison of a combination with the best-looking one. `None` for that one itself, and for others that are not
    /// compared.
    pub(in crate::report) fn against(&self, combination: &Combination<'_>) -> Option<Against> {
        let at = self.members.iter().position(|it| it.values == combination.values)?;
        self.found.others[at]
    }

    /// Returns the least number of blocks of a comparison.
    pub(in crate::report) fn blocks(&self) -> usize {
        let compared = self.found.others.iter().flatten().map(|it| it.blocks).min();
        compared.unwrap_or_else(|| self.best().trials(self.metric).len())
    }
}

/// Returns an answer for each durability and cache state in which any combination has the metric.
pub(in crate::report) fn answers<'s>(sweep: &'s Sweep<'_>, metric: Metric) -> Vec<Answer<'s>> {
    let mut groups: Vec<(Group, Vec<&'s Combination<'s>>)> = Vec::new();
    for combination in sweep.combinations.iter().filter(|it| it.sound_median(metric).is_some()) {
        let Some(group) = combination.point(metric).map(group_of) else { continue };
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, members)) => members.push(combination),
            None => groups.push((group, vec![combination])),
        }
    }
    let answer = |(_, members): (Group, Vec<&'s Combination<'s>>)| {
        let trials: Vec<Vec<f64>> = members.iter().map(|it| it.blocks(metric)).collect();
        let first: Vec<Vec<f64>> = members.iter().map(|it| it.first_blocks(metric)).collect();
        let found = stats::remaining(&trials, &first, better(metric))?;
        let group = sweep.name_without(members.first()?, |setting| !is_apart(setting));
        Some(Answer { group, metric, members, found })
    };
    groups.into_iter().filter_map(answer).collect()
}

/// Tells whether a setting is part of the name of a group.
pub(in crate::report) fn is_apart(setting: &Setting) -> bool {
    APART.contains(&setting.key.as_str()) && setting.values.len() > 1
}

fn group_of(point: &Point) -> Group {
    (point.durability, point.trials.iter().find_map(|trial| trial.backlog.as_ref()).map(|it| it.cache))
}
