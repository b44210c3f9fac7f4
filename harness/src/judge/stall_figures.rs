//! The late records that injected stalls caused, and the number that they should have caused (docs/methodology.md, "A
//! stall on purpose").

use crate::measure::finished::TrialRun;
use crate::num;
use crate::result::latency::{LATENCY_NS_MAX, Measure};
use crate::result::{InjectedStall, StallFigures, Trial};
use crate::workload::{LoadMode, Profile, Workload};

/// Divisor of the shortest stall's length. The result is the latency from which a record counts as late. It is far
/// above an ordinary response time and far below the stall.
const LATE_PARTS: f64 = 20.0;

/// Returns the figures of a trial's stalls, or `None` if there were none. The expected share is not set yet.
pub fn of(run: &TrialRun) -> Option<StallFigures> {
    let injected = run.observed.stalls.clone();
    let shortest_s = injected.iter().map(|stall| stall.length_s).min_by(f64::total_cmp)?;
    let late_ns = num::u64_of(shortest_s / LATE_PARTS * 1e9);
    let share = |measure| {
        let latencies = run.harvest.latencies.records.of(measure);
        let late = latencies.count_between(late_ns.saturating_add(1), LATENCY_NS_MAX);
        (!latencies.is_empty()).then(|| num::f64_of(late) / num::f64_of(latencies.len()))
    };
    Some(StallFigures {
        injected,
        late_ns,
        late_share: run.granularity.and_then(|_| share(Measure::Response)),
        service_late_share: share(Measure::Service),
        expected_late_share: None,
    })
}

/// Sets the expected share of late records, if it can be computed. It needs `max`, the records a second that the pass
/// before reached under maximum load.
pub fn expect(trials: &mut [Trial], max: Option<f64>, workload: &Workload) {
    let is_constant = matches!(workload.load.mode, LoadMode::Open { profile: Profile::Constant, .. });
    let Some(max) = max.filter(|max| is_constant && *max > 0.0) else { return };
    for trial in trials.iter_mut().filter(|trial| trial.per_shard.len() == 1) {
        let (Some(offered), Some(stall)) = (trial.offered, &mut trial.stall) else { continue };
        let late_s = num::f64_of(stall.late_ns) * 1e-9;
        stall.expected_late_share =
            expected_late_share(&stall.injected, offered.records_per_s / max, trial.window_s, late_s);
    }
}

/// Returns the share of the window in which due records are late, if `load` is the load divided by the highest possible
/// load.
///
/// A stall of *s* leaves a backlog, which is worked off *s* ÷ (1 − load) after the stall began. A record that is due
/// *x* after the stall began is late by *s* − *x* (1 − load). So records are late by more than `late_s` for (*s* −
/// `late_s`) ÷ (1 − load). Returns `None` if a stall begins before the backlog of the one before is worked off.
fn expected_late_share(stalls: &[InjectedStall], load: f64, window_s: f64, late_s: f64) -> Option<f64> {
    let rest = 1.0 - load;
    if rest <= 0.0 || window_s <= 0.0 {
        return None;
    }
    let are_apart = stalls.windows(2).all(|pair| pair[0].at_s + pair[0].length_s / rest <= pair[1].at_s);
    let late_s: f64 = stalls
        .iter()
        .map(|stall| ((stall.length_s - late_s) / rest).min(window_s - stall.at_s).max(0.0))
        .sum();
    are_apart.then_some(late_s / window_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stall(at_s: f64, length_s: f64) -> InjectedStall {
        InjectedStall { shard: 0, at_s, length_s }
    }

    #[test]
    fn at_half_load_twice_the_stall_is_late() {
        let near = |found: Option<f64>, share: f64| {
            assert!((found.unwrap() - share).abs() < 1e-9, "{found:?} {share}");
        };
        near(expected_late_share(&[stall(5.0, 1.0)], 0.5, 20.0, 0.0), 0.1);
        near(expected_late_share(&[stall(5.0, 1.0)], 0.5, 20.0, 0.05), 0.095);
        near(expected_late_share(&[stall(5.0, 1.0), stall(10.0, 1.0)], 0.5, 20.0, 0.0), 0.2);
        near(expected_late_share(&[stall(19.0, 1.0)], 0.5, 20.0, 0.0), 0.05);
        near(expected_late_share(&[stall(5.0, 1.0)], 0.0, 20.0, 0.0), 0.05);
        assert_eq!(expected_late_share(&[stall(5.0, 1.0), stall(6.5, 1.0)], 0.5, 20.0, 0.0), None);
        assert_eq!(expected_late_share(&[stall(5.0, 1.0)], 1.0, 20.0, 0.0), None);
    }
}
