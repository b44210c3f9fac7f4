//! The time that a message between two cores takes. It depends on which caches the two cores share. The hypervisor of a virtual
//! machine may move virtual cores while a run is under way: then the same message takes several times as long.

use crate::num;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Number of groups of messages. The fastest group counts, because other threads may keep a core busy for a while.
const GROUPS: u32 = 10;
const MESSAGES_OF_GROUP: u64 = 500;
/// The longest time that a measurement takes. A group of messages takes 0.05 to 0.5 ms.
const TIME_MAX: Duration = Duration::from_millis(30);

/// Times of a message that differ by this factor or more count as a move of the cores. On one virtual machine 33 to 440 ns were
/// measured. Between 38 and 141 ns throughput did not differ; for the longer times it is not known.
const CHANGE_MIN: u64 = 4;

/// A counter on a cache line of its own.
#[repr(align(128))]
#[derive(Default)]
struct Line(AtomicU64);

/// Returns the time in which a message from core `one` reaches core `other` and its answer comes back, ns. Takes about 2 ms, and
/// keeps both cores busy meanwhile. `None` if the cores are the same, are not allowed, or are too busy with other threads.
pub fn round_trip_ns(one: u32, other: u32) -> Option<u64> {
    if one == other {
        return None;
    }
    let (there, back, is_over) = (Line::default(), Line::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let answering = scope.spawn(|| pin(other) && answer(&there.0, &back.0, &is_over));
        let asking = scope.spawn(|| {
            let fastest = if pin(one) { ask(&there.0, &back.0) } else { None };
            is_over.store(true, Ordering::Release);
            fastest
        });
        let fastest = asking.join().ok().flatten();
        answering.join().ok().filter(|answered| *answered).and(fastest)
    })
}

/// Tells whether two times of a message are so different that the cores, or one of them, must have moved in between.
pub fn has_changed(one_ns: u64, other_ns: u64) -> bool {
    one_ns.max(other_ns) >= one_ns.min(other_ns).saturating_mul(CHANGE_MIN)
}

/// Binds the calling thread to `core`. Returns whether this was allowed.
fn pin(core: u32) -> bool {
    let mut set = CpuSet::new();
    set.set(num::index(core));
    sched_setaffinity(None, &set).is_ok()
}

/// Sends groups of messages. Returns the mean time of a message and its answer in the fastest group, ns.
fn ask(there: &AtomicU64, back: &AtomicU64) -> Option<u64> {
    let begun = Instant::now();
    let mut sent = 0;
    let mut fastest: Option<u64> = None;
    for _ in 0..GROUPS {
        let group = Instant::now();
        for _ in 0..MESSAGES_OF_GROUP {
            sent += 1;
            there.store(sent, Ordering::Release);
            let mut looks = 0_u32;
            while back.load(Ordering::Acquire) != sent {
                looks = looks.wrapping_add(1);
                if looks.is_multiple_of(1024) && begun.elapsed() > TIME_MAX {
                    return fastest;
                }
                std::hint::spin_loop();
            }
        }
        let mean_ns = num::ns_of(group.elapsed()) / MESSAGES_OF_GROUP;
        fastest = Some(fastest.map_or(mean_ns, |ns| ns.min(mean_ns)));
    }
    fastest
}

/// Answers messages until the other side is done. Returns whether it answered any.
fn answer(there: &AtomicU64, back: &AtomicU64, is_over: &AtomicBool) -> bool {
    let mut answered = 0;
    while !is_over.load(Ordering::Acquire) {
        let asked = there.load(Ordering::Acquire);
        if asked != answered {
            answered = asked;
            back.store(answered, Ordering::Release);
        }
        std::hint::spin_loop();
    }
    answered > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::environment::cores_allowed;

    #[test]
    fn a_message_takes_as_long_as_messages_between_cores_do() {
        let cores = cores_allowed();
        let [one, other, ..] = cores[..] else { return };
        // A busy machine may keep the two threads apart for the whole time.
        let measured = (0..20).find_map(|_| round_trip_ns(one, other));
        let ns = measured.expect("the cores are free for 1 ms in 600");
        assert!((5..100_000).contains(&ns), "{ns} ns");
    }

    #[test]
    fn a_core_that_is_not_there_has_no_time() {
        assert_eq!((round_trip_ns(0, 0), round_trip_ns(0, 1023), round_trip_ns(1023, 0)), (None, None, None));
    }
}
