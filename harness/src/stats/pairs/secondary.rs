//! The figures that stand beside the metric: CPU time by part, syncs for each record, bytes written. They are far less noisy.

use super::effect::estimate;
use crate::result::Interval;
use crate::result::comparison::{Metric, PairRecord, SecondaryEffect, Unit};
use crate::stats::median;
use std::collections::BTreeMap;

const GIB: f64 = 1_073_741_824.0;

/// The figures of one trial by their dotted paths.
pub type Figures = BTreeMap<String, f64>;

/// Kinds of threads whose CPU time is compared, with the names for people.
const PARTS: [(&str, &str); 4] =
    [("shard", "shards"), ("load", "load threads"), ("io_workers", "io workers"), (ALL, "system and load")];

/// The kind that stands for all threads of vnotch's process.
const ALL: &str = "process";

/// Returns the effect on each figure beside the metric that all counted pairs have.
pub(super) fn of_pairs(pairs: &[PairRecord]) -> Vec<SecondaryEffect> {
    let counted: Vec<(&Figures, &Figures)> = pairs
        .iter()
        .filter(|pair| pair.a.is_some() && pair.b.is_some())
        .map(|pair| (&pair.figures_a, &pair.figures_b))
        .collect();
    let effects = figures().into_iter().filter_map(|(metric, of)| {
        let values =
            counted.iter().map(|(a, b)| Some((of(a)?, of(b)?))).collect::<Option<Vec<(f64, f64)>>>()?;
        let (ratio, interval) = estimate(&values)?;
        Some(effect_of(metric, values.into_iter().unzip(), (ratio, interval)))
    });
    distinct(effects.collect())
}

/// Returns the effect on each figure beside the metric that all trials of two stored results have.
pub(super) fn of_trials(a: &[Figures], b: &[Figures]) -> Vec<SecondaryEffect> {
    let effects = figures().into_iter().filter_map(|(metric, of)| {
        let values = |trials: &[Figures]| trials.iter().map(&of).collect::<Option<Vec<f64>>>();
        let (a, b) = (values(a)?, values(b)?);
        let found = super::unpaired(&a, &b, 0.0, true)?;
        Some(effect_of(metric, (a, b), (found.ratio, found.interval)))
    });
    distinct(effects.collect())
}

fn effect_of(
    metric: Metric,
    (a, b): (Vec<f64>, Vec<f64>),
    (ratio, interval): (f64, Option<Interval>),
) -> SecondaryEffect {
    SecondaryEffect {
        metric,
        ratio,
        interval,
        pairs: u32::try_from(a.len().min(b.len())).unwrap_or(u32::MAX),
        a_median: median(&a).unwrap_or_default(),
        b_median: median(&b).unwrap_or_default(),
    }
}

/// CPU time of the system, whether it is shards or processes of its own.
const CPU_OF_SYSTEM: &str = "resources.cpu_s_per_gib.system";
/// CPU time of shards. Where both sides have them, that of the system says nothing more.
const CPU_OF_SHARDS: &str = "cpu.shard_s_per_gib";

/// Leaves out figures that repeat others.
fn distinct(mut effects: Vec<SecondaryEffect>) -> Vec<SecondaryEffect> {
    if effects.iter().any(|effect| effect.metric.path == CPU_OF_SHARDS) {
        effects.retain(|effect| effect.metric.path != CPU_OF_SYSTEM);
    }
    effects
}

/// A function that returns a figure of a trial, if the trial has it and it is above 0.
type Reading = Box<dyn Fn(&Figures) -> Option<f64>>;

fn figures() -> Vec<(Metric, Reading)> {
    let metric = |path: &str, name: &str, unit| Metric {
        path: path.to_owned(),
        name: name.to_owned(),
        unit,
        more_is_better: false,
    };
    let mut figures: Vec<(Metric, Reading)> = PARTS
        .into_iter()
        .map(|(part, name)| {
            let metric =
                metric(&format!("cpu.{part}_s_per_gib"), &format!("CPU of {name}"), Unit::CpuSPerGib);
            let reading: Reading = Box::new(move |trial| match part {
                ALL => cpu_of_all(trial),
                _ => cpu_per_gib(trial, part),
            });
            (metric, reading)
        })
        .collect();
    figures.push((
        metric(CPU_OF_SYSTEM, "CPU of the system", Unit::CpuSPerGib),
        Box::new(|trial| trial.get(CPU_OF_SYSTEM).copied().filter(|value| *value > 0.0)),
    ));
    figures.push((
        metric("syncs_per_record", "syncs for each record", Unit::Number),
        Box::new(|trial| ratio(*trial.get("resources.syncs")?, records(trial)?)),
    ));
    figures.push((
        metric("resources.write_amplification", "bytes written for each byte produced", Unit::Number),
        Box::new(|trial| trial.get("resources.write_amplification").copied().filter(|value| *value > 0.0)),
    ));
    figures
}

/// Returns the CPU time of one kind of threads for each GiB of keys and values that was produced; with a backlog, consumed.
fn cpu_per_gib(trial: &Figures, part: &str) -> Option<f64> {
    let seconds = |mode: &str| trial.get(&format!("resources.cpu_s.{part}.{mode}")).copied();
    ratio((seconds("user_s")? + seconds("kernel_s")?) * GIB, flow(trial, "bytes")?)
}

/// Returns the CPU time of system and load together for each GiB. The process of vnotch has all of it if shards run there. Otherwise
/// the processes of the system are added, and there is no such figure if their CPU time is not known.
fn cpu_of_all(trial: &Figures) -> Option<f64> {
    let own = cpu_per_gib(trial, ALL)?;
    if cpu_per_gib(trial, "shard").is_some() {
        return Some(own);
    }
    Some(own + trial.get(CPU_OF_SYSTEM)?)
}

fn records(trial: &Figures) -> Option<f64> {
    flow(trial, "records")
}

/// Returns what was produced, or consumed if a backlog was.
fn flow(trial: &Figures, what: &str) -> Option<f64> {
    let side = if trial.contains_key("backlog.built_records") { "consume" } else { "produce" };
    trial.get(&format!("{side}.{what}")).copied()
}

fn ratio(one: f64, other: f64) -> Option<f64> {
    let ratio = one / other;
    (ratio.is_finite() && ratio > 0.0).then_some(ratio)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::comparison::{PairOrder, PairOutcome};

    fn figures(cpu: f64) -> Figures {
        let figures = [
            ("produce.bytes", GIB),
            ("produce.records", 1000.0),
            ("resources.cpu_s.shard.user_s", cpu),
            ("resources.cpu_s.shard.kernel_s", 0.5),
            ("resources.syncs", 10.0),
        ];
        figures.into_iter().map(|(path, value)| (path.to_owned(), value)).collect()
    }

    fn pair(a: Option<f64>) -> PairRecord {
        PairRecord {
            order: PairOrder::Ab,
            a,
            b: a,
            outcome: PairOutcome::Counted,
            repeats: Vec::new(),
            figures_a: figures(1.5),
            figures_b: if a.is_some() { figures(2.5) } else { Figures::new() },
        }
    }

    #[test]
    fn cpu_and_syncs_are_compared_for_the_same_work() {
        let pairs: Vec<PairRecord> = (0..6).map(|_| pair(Some(1.0))).chain([pair(None)]).collect();
        let told: Vec<(String, f64, u32)> =
            of_pairs(&pairs).into_iter().map(|it| (it.metric.path, it.ratio, it.pairs)).collect();
        let [(cpu, cpu_ratio, pairs), (syncs, syncs_ratio, _)] = &told[..] else { panic!("{told:?}") };
        assert_eq!((cpu.as_str(), syncs.as_str(), *pairs), ("cpu.shard_s_per_gib", "syncs_per_record", 6));
        assert!((cpu_ratio - 1.5).abs() < 1e-9 && (syncs_ratio - 1.0).abs() < 1e-9);
        let stored = of_trials(&[figures(1.5), figures(1.5)], &[figures(2.5)]);
        assert!((stored[0].ratio - 1.5).abs() < 1e-9 && stored[0].interval.is_none());
    }

    #[test]
    fn processes_of_the_system_count_and_unknown_ones_leave_the_figure_out() {
        let with = |pairs: &[(&str, f64)]| {
            let mut trial = figures(0.0);
            trial.extend(pairs.iter().map(|(path, value)| ((*path).to_owned(), *value)));
            cpu_of_all(&trial)
        };
        let process = [("resources.cpu_s.process.user_s", 3.0), ("resources.cpu_s.process.kernel_s", 1.0)];
        assert_eq!(with(&process), Some(4.0), "shards run in the process");
        let elsewhere = [process[0], process[1], ("resources.cpu_s.shard.kernel_s", 0.0)];
        assert_eq!(with(&elsewhere), None, "brokers of others");
        let brokers = [elsewhere[0], elsewhere[1], elsewhere[2], (CPU_OF_SYSTEM, 5.0)];
        assert_eq!(with(&brokers), Some(9.0));
    }

    #[test]
    fn catching_up_counts_what_was_consumed() {
        let mut trial = figures(1.0);
        trial.insert("backlog.built_records".into(), 5.0);
        assert_eq!(cpu_per_gib(&trial, "shard"), None);
        trial.insert("consume.bytes".into(), 2.0 * GIB);
        assert_eq!(cpu_per_gib(&trial, "shard"), Some(0.75));
    }
}
