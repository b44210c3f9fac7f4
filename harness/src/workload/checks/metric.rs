//! Checks of `metric` and `answer`, and their defaults.

use super::problems::Problems;
use crate::workload::reading::nearest::nearest;
use crate::workload::{Answer, Durability, LoadMode, Metric, Workload};

impl Workload {
    /// Returns the metric that the study is about: the one that the file names, or else the one of its load.
    pub fn primary_metric(&self) -> Metric {
        let of_load = || match self.load.mode {
            _ if self.backlog.is_some() => Metric::CatchUp,
            LoadMode::Open { .. } if self.passes().len() == 1 => Metric::ResponseP99,
            _ => Metric::Throughput,
        };
        self.metric.unwrap_or_else(of_load)
    }

    /// Returns the swept key whose steps have a price under `answer: ratio`. `None` under `best`, and where the file does not
    /// say which of its keys it is.
    pub fn ratio_key(&self) -> Option<&str> {
        let Answer::Ratio(named) = &self.answer else { return None };
        let swept = || self.sweep.keys().map(String::as_str);
        match named {
            Some(key) => swept().find(|swept| swept == key),
            None if self.sweep.contains_key("durability") => Some("durability"),
            None => swept().next().filter(|_| self.sweep.len() == 1),
        }
    }
}

/// Refuses a metric that the load cannot have.
pub(in crate::workload) fn check(workload: &Workload, problems: &mut Problems) {
    let Some(metric) = workload.metric else { return };
    let name = metric.name();
    let mut refuse = |keys: &[&str], message: String| problems.refuse(keys, message);
    let is_open = matches!(workload.load.mode, LoadMode::Open { .. });
    if metric.needs_open_load() && !is_open {
        let message = format!(
            "`{name}` is measured from intended times, which only `load: {{mode: open, rate: …}}` has; use `throughput`, or \
             such a load"
        );
        refuse(&["metric"], message);
    }
    if metric == Metric::EndToEndP99 && workload.subscriptions_per_topic == 0 {
        refuse(
            &["metric", "subscriptions_per_topic"],
            format!("`{name}` needs consumers, but `subscriptions_per_topic` is 0"),
        );
    }
    match (metric, workload.backlog.is_some()) {
        (Metric::CatchUp, false) => {
            refuse(&["metric"], format!("`{name}` needs a `backlog`; without one, use `throughput`"));
        }
        (Metric::Throughput, true) => {
            let message =
                format!("`{name}` is what producers reach, and they rest; with a `backlog`, use `catch_up`");
            refuse(&["metric", "backlog"], message);
        }
        _ => {}
    }
    if metric == Metric::Reopen && !workload.is_read_back() {
        let message = format!(
            "`{name}` is measured when a trial is read back, which needs `subscriptions_per_topic: 0` and not `verify: none`"
        );
        refuse(&["metric", "subscriptions_per_topic", "verify"], message);
    }
    if matches!(metric, Metric::DiskPeak | Metric::WriteAmplification)
        && !workload.deployment().is_on_this_machine()
    {
        let message =
            format!("`{name}` needs the system's disk, and `{}` keeps its data elsewhere", workload.target);
        refuse(&["metric", "target"], message);
    }
    if metric == Metric::WriteAmplification && workload.durability == Durability::Appended {
        let message = format!("`{name}` means nothing for `appended`, whose writes come later than the acks");
        refuse(&["metric", "durability"], message);
    }
}

/// Returns the reason why `answer` cannot be given for the sweep; `None` if it can.
pub(in crate::workload) fn problem_of_answer(workload: &Workload) -> Option<String> {
    let Answer::Ratio(named) = &workload.answer else { return None };
    if workload.sweep.is_empty() {
        return Some(
            "`answer: ratio` compares the values of a swept key, but there is no `sweep`".to_owned(),
        );
    }
    if let Some(key) = workload.ratio_key() {
        let few = workload.sweep.get(key).is_none_or(|values| values.len() < 2);
        return few.then(|| format!("`answer: ratio` needs two values or more of `{key}`"));
    }
    let swept: Vec<&str> = workload.sweep.keys().map(String::as_str).collect();
    let Some(named) = named else {
        return Some(format!(
            "`answer: ratio` must say which of the swept keys it is about: `ratio:{}`",
            swept.join("`, `ratio:")
        ));
    };
    let meant = nearest(named, swept.iter().copied());
    let meant = meant.map_or_else(
        || format!("swept are: {}", swept.join(", ")),
        |it| format!("did you mean `ratio:{it}`?"),
    );
    Some(format!("`{named}` is not swept; {meant}"))
}
