//! The latency figures of a trial, each percentile with the side on which the true value lies.

use super::verdict::statistic_name;
use crate::measure::finished::TrialRun;
use crate::num;
use crate::result::latency::Measure;
use crate::result::{Bound, LatencyFigures, LatencySet};
use crate::workload::{Histogram, Slo, Workload};

/// Percentile of `response` by which the load generator is judged. A higher one that is an upper bound is only printed so.
const JUDGED: &str = "p99";
/// Lower percentiles, the highest first. They stand in for [`JUDGED`] in a trial that has too few acks for it.
const STAND_INS: [&str; 3] = ["p95", "p90", "p50"];
/// Largest share of an end-to-end percentile that the generator may have made. It is the share that `response` may exceed `own`
/// by.
const INHERITED_MAX: f64 = 0.2;

/// Returns the latencies that the trial has.
pub(super) fn latency_set(workload: &Workload, run: &TrialRun) -> LatencySet {
    let is_open_load = run.granularity.is_some();
    let of = |measure, applies: bool| applies.then(|| latency_figures(run, measure));
    let has_consumers = workload.subscriptions_per_topic > 0;
    let are_acks_stamped = !run.harvest.latencies.records.of(Measure::AckPickup).is_empty();
    let mut set = LatencySet {
        pacing_lag: of(Measure::PacingLag, is_open_load),
        blocked: of(Measure::Blocked, true),
        service: of(Measure::Service, true),
        response: of(Measure::Response, is_open_load),
        own: of(Measure::Own, is_open_load),
        ack_pickup: of(Measure::AckPickup, are_acks_stamped),
        end_to_end: of(Measure::EndToEnd, is_open_load && has_consumers),
    };
    inherit(&mut set);
    set
}

fn latency_figures(run: &TrialRun, measure: Measure) -> LatencyFigures {
    let latencies = &run.harvest.latencies;
    let records = latencies.records.of(measure);
    let censored = run.harvest.censored[measure as usize];
    let values = latencies.values(measure, censored.from_ns);
    let mut figures = LatencyFigures {
        count: records.len(),
        distinct: Some(latencies.distinct.of(measure.acks()).len()),
        censored: censored.records,
        censored_from: censored.from_ns,
        overflows: latencies.records.overflows(measure),
        min: (!records.is_empty()).then(|| records.min()),
        mean: (!records.is_empty()).then(|| records.mean()),
        ..LatencyFigures::default()
    };
    for (name, quantile) in LatencyFigures::QUANTILES {
        figures.set(name, if name == "max" { values.max() } else { values.at_quantile(quantile) });
    }
    figures
}

/// Makes end-to-end percentiles upper bounds where the generator's delay of the response is a large part of them. Consumers do
/// not know how long a record waited for the generator, but the producers do.
fn inherit(set: &mut LatencySet) {
    let (Some(response), Some(own), Some(end_to_end)) = (&set.response, &set.own, &mut set.end_to_end) else {
        return;
    };
    for (name, _) in LatencyFigures::QUANTILES {
        let Some((mut found, response)) = end_to_end.at(name).zip(response.at(name)) else { continue };
        let excess_ns = response.ns.saturating_sub(own.at(name).map_or(0, |own| own.ns));
        let is_large = num::f64_of(excess_ns) > INHERITED_MAX * num::f64_of(found.ns);
        if found.bound.is_none() && response.bound == Some(Bound::Upper) && is_large {
            found.bound = Some(Bound::Upper);
            end_to_end.set(name, Some(found));
        }
    }
}

/// Returns the percentile of `response` that the generator has made and that makes the trial invalid: p99, or one that an
/// objective bounds. `None` if the generator was in time.
pub(super) fn late_percentile(slo: &Slo, latencies: &LatencySet) -> Option<String> {
    let response = latencies.response.as_ref()?;
    let stand_in = STAND_INS.into_iter().find(|name| response.at(name).is_some());
    let judged = if response.at(JUDGED).is_some() { Some(JUDGED) } else { stand_in };
    let bounded = slo.latencies.iter().filter(|bound| bound.histogram == Histogram::Response);
    let names = judged.into_iter().chain(bounded.map(|bound| statistic_name(bound.statistic)));
    let is_late = |name: &&str| response.at(name).and_then(|it| it.bound) == Some(Bound::Upper);
    names.into_iter().find(is_late).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::latency::percentile::Percentile;
    use crate::workload::{LatencyBound, Statistic, TimeSpan};

    fn figures(percentiles: &[(&str, u64, Option<Bound>)]) -> LatencyFigures {
        let mut figures = LatencyFigures::default();
        for (name, ns, bound) in percentiles {
            figures.set(name, Some(Percentile { ns: *ns, bound: *bound }));
        }
        figures
    }

    fn late(percentiles: &[(&str, u64, Option<Bound>)], slo: &Slo) -> Option<String> {
        late_percentile(slo, &LatencySet { response: Some(figures(percentiles)), ..LatencySet::default() })
    }

    const UPPER: Option<Bound> = Some(Bound::Upper);

    #[test]
    fn a_trial_is_late_by_its_p99_or_by_the_percentile_of_an_objective() {
        let none = Slo::default();
        assert_eq!(late(&[("p50", 1, None), ("p99", 9, UPPER)], &none), Some("p99".to_owned()));
        let beyond = [("p50", 1, None), ("p99", 9, None), ("p99_9", 20, UPPER)];
        assert_eq!(late(&beyond, &none), None, "a higher percentile is only printed as a bound");
        let limit = TimeSpan::seconds(1);
        let bound = |histogram, statistic| LatencyBound { key: "", histogram, statistic, limit };
        let of = |bound| Slo { latencies: vec![bound], min_achieved: None };
        assert_eq!(late(&beyond, &of(bound(Histogram::Response, Statistic::P999))), Some("p99_9".to_owned()));
        assert_eq!(late(&beyond, &of(bound(Histogram::Service, Statistic::P999))), None);
    }

    #[test]
    fn without_a_p99_the_highest_percentile_below_it_is_judged() {
        let none = Slo::default();
        assert_eq!(late(&[("p50", 1, UPPER), ("p90", 9, UPPER)], &none), Some("p90".to_owned()));
        assert_eq!(late(&[("p50", 1, UPPER), ("p90", 9, None)], &none), None);
        assert_eq!(late(&[], &none), None);
    }

    #[test]
    fn records_that_were_never_acked_do_not_make_the_generator_late() {
        assert_eq!(late(&[("p99", 9, Some(Bound::Lower))], &Slo::default()), None);
    }

    #[test]
    fn a_late_generator_bounds_the_end_to_end_latency_that_it_made() {
        let percentiles = |ns| figures(&[("p50", ns, None), ("p99", 10 * ns, None)]);
        let mut set = LatencySet {
            response: Some(figures(&[("p50", 100, None), ("p99", 1000, UPPER)])),
            own: Some(figures(&[("p50", 90, None), ("p99", 400, None)])),
            end_to_end: Some(percentiles(150)),
            ..LatencySet::default()
        };
        inherit(&mut set);
        let bounds = |set: &LatencySet| set.end_to_end.as_ref().unwrap().bounds.clone();
        assert_eq!(bounds(&set), [("p99".to_owned(), Bound::Upper)].into());
        set.end_to_end = Some(percentiles(1000));
        inherit(&mut set);
        assert!(bounds(&set).is_empty(), "consumers that are far behind hide what the generator did");
    }
}
