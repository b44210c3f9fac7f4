//! What injected stalls did, and what they should have done (docs/methodology.md, "A stall on purpose").

use crate::measure::finished::TrialRun;
use crate::num;
use crate::result::latency::{LATENCY_NS_MAX, Measure};
use crate::result::{InjectedStall, StallFigures, Trial};
use crate::workload::{LoadMode, Profile, Workload};

/// A record is late beyond the shortest stall ÷ this: far above an ordinary response, far below the stall.
const LATE_PARTS: f64 = 20.0;

/// The figures of a trial's stalls; `None` if there were none. What is expected is not known yet.
pub fn of(run: &TrialRun) -> Option<StallFigures> {
    let injected = run.watched.stalls.clone();
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

/// Enters what is to be expected where it is known what the pass before reached at `max`, records/s.
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

/// At a load of `load` times what is possible, a stall of *s* leaves a backlog that is worked off after *s* ÷ (1 − load).
/// A record due *x* after the stall's begin is late by *s* − *x* (1 − load): by more than `late_s` for
/// (*s* − `late_s`) ÷ (1 − load). `None` where one stall begins before the last one's backlog is gone.
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
