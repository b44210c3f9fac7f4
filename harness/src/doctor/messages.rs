//! Measures whether messages between cores always take the same time. On a virtual machine they may not: the hypervisor moves
//! virtual cores between physical ones that share caches and ones that do not.

use super::check::{Check, Level, check, ok};
use crate::host::core_messages::{has_changed, round_trip_ns};
use crate::quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Number of measurements, and the pause between two of them. All of them take about half a second.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(25);

/// The time of a message between two cores and back, in several measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoreMessages {
    /// The two cores.
    pub cores: [u32; 2],
    /// The shortest time, ns.
    pub ns_min: u64,
    /// The longest time, ns.
    pub ns_max: u64,
}

/// Measures for half a second between the first two of `cores`. `None` with a single core, or if the cores are too busy.
pub(super) fn probe(cores: &[u32]) -> Option<CoreMessages> {
    let [one, other, ..] = *cores else { return None };
    let look = |number| {
        if number > 0 {
            std::thread::sleep(PAUSE);
        }
        round_trip_ns(one, other)
    };
    let measured: Vec<u64> = (0..LOOKS).filter_map(look).collect();
    let (ns_min, ns_max) = (*measured.iter().min()?, *measured.iter().max()?);
    Some(CoreMessages { cores: [one, other], ns_min, ns_max })
}

/// Reports the time of a message, and warns if it changes.
pub(super) fn core_messages(measured: Option<CoreMessages>) -> Option<Check> {
    const NAME: &str = "core messages";
    let CoreMessages { cores: [one, other], ns_min, ns_max } = measured?;
    let moved = has_changed(ns_min, ns_max);
    let times = match moved {
        true => format!("{} to {}", quantity::ns(ns_min), quantity::ns(ns_max)),
        false => quantity::ns(ns_max),
    };
    let finding = format!("a message between cores {one} and {other} and back takes {times}");
    if moved {
        let remedy = "the hypervisor moves the virtual cores, so runs that send many messages may change their speed: use a machine with \
                      cores of its own, or compare with `vnotch compare --interleave`, whose pairs lie close together";
        return Some(check(NAME, Level::Warn, finding, remedy));
    }
    Some(ok(NAME, finding))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_changes_is_a_warning() {
        let found =
            |ns_min, ns_max| core_messages(Some(CoreMessages { cores: [0, 1], ns_min, ns_max })).unwrap();
        let steady = found(90, 105);
        assert_eq!((steady.level, steady.remedy.is_none()), (Level::Ok, true), "{steady:?}");
        assert!(steady.finding.ends_with("and back takes 105 ns"), "{steady:?}");
        let moved = found(33, 430);
        assert_eq!(moved.level, Level::Warn);
        assert!(
            moved.finding.ends_with("between cores 0 and 1 and back takes 33.0 ns to 430 ns"),
            "{moved:?}"
        );
        assert_eq!((core_messages(None), probe(&[0])), (None, None), "one core has no messages");
    }
}
