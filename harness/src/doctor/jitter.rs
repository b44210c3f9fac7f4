//! Measures how often other processes, the kernel or the hypervisor keep a thread from running that only wants to run.

use crate::num;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

const PROBE: Duration = Duration::from_millis(200);
/// Gaps between two readings of the clock from this length on count as lost time; a reading takes some 30 ns.
const GAP_NS_MIN: u64 = 20_000;

/// Time that a spinning thread lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Jitter {
    /// The longest time for which the thread was kept from running, ns.
    pub gap_ns_max: u64,
    /// Number of gaps of 20 µs or longer.
    pub gaps: u64,
    /// Share of the time that these gaps took, 0 to 1.
    pub lost_share: f64,
}

/// Spins for 200 ms on the calling thread and measures the gaps between readings of the clock.
pub(super) fn probe() -> Jitter {
    let begun = Instant::now();
    let mut jitter = Jitter::default();
    let mut lost_ns = 0;
    let mut last = begun;
    while last - begun < PROBE {
        let now = Instant::now();
        let gap_ns = num::ns_of(now - last);
        if gap_ns >= GAP_NS_MIN {
            jitter.gaps += 1;
            lost_ns += gap_ns;
            jitter.gap_ns_max = jitter.gap_ns_max.max(gap_ns);
        }
        last = now;
    }
    jitter.lost_share = num::f64_of(lost_ns) / num::f64_of(num::ns_of(last - begun));
    jitter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_time_is_a_share_of_the_probe() {
        let jitter = probe();
        assert!((0.0..=1.0).contains(&jitter.lost_share), "{jitter:?}");
        assert_eq!(jitter.gaps == 0, jitter.gap_ns_max == 0, "{jitter:?}");
    }
}
