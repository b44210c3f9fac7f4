//! The conditions that must hold before the measured window opens (`require`). The warm-up lasts until they hold, or the trial is
//! given up.
//!
//! Under an open load the log is filled as fast as acks allow until then. The warm-up at the offered rate follows. At a low rate it
//! would take minutes until retention deletes.

use crate::load::plan::topic_name;
use crate::measure::events::{SystemEvent, SystemEventKind};
use crate::num;
use crate::workload::limits::{REQUIREMENT_WAIT_MIN, WARMUP_TIMES_MAX, requirement_wait};
use crate::workload::{Phases, TimeSpan, Workload};
use std::collections::BTreeSet;

/// The condition `retention_reached`: retention has deleted a segment of every partition.
#[derive(Debug)]
pub(crate) struct RetentionGate {
    /// The topics of the workload. A system may have others, such as that of committed offsets.
    topics: BTreeSet<String>,
    partitions: usize,
    warmup: TimeSpan,
    /// Whether the warm-up follows only when the condition holds.
    fills_first: bool,
    reached: BTreeSet<(String, u32)>,
}

/// Whether the window may open.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GateState {
    /// The condition does not hold yet.
    Shut,
    /// The window may open.
    Open,
    /// The condition did not hold in time. The text says why, and what to do.
    Missed(String),
}

impl RetentionGate {
    /// The condition for a trial of these phases. `fills_first`: the warm-up follows when the condition holds.
    pub(crate) fn new(workload: &Workload, phases: Phases, fills_first: bool) -> Self {
        let partitions = usize::try_from(workload.partitions()).unwrap_or(usize::MAX);
        let topics = (0..workload.topics).map(topic_name).collect();
        Self { topics, partitions, warmup: phases.warmup, fills_first, reached: BTreeSet::new() }
    }

    /// Takes note of an event of the system.
    pub(crate) fn note(&mut self, event: &SystemEvent) {
        if event.kind == SystemEventKind::Retention {
            let of_workload = |partition: &&(String, u32)| self.topics.contains(&partition.0);
            self.reached.extend(event.partition.iter().filter(of_workload).cloned());
        }
    }

    /// The state of the condition, `now_ns` into the trial.
    pub(crate) fn state(&self, now_ns: u64) -> GateState {
        let warmup_ns = num::ns_of(self.warmup.0);
        if self.reached.len() >= self.partitions {
            if self.fills_first || now_ns >= warmup_ns { GateState::Open } else { GateState::Shut }
        } else if now_ns >= num::ns_of(requirement_wait(self.warmup.0)) {
            GateState::Missed(self.missed())
        } else {
            GateState::Shut
        }
    }

    /// The warm-up that follows when the condition holds, in ns.
    pub(crate) fn warmup_left_ns(&self) -> u64 {
        if self.fills_first { num::ns_of(self.warmup.0) } else { 0 }
    }

    fn missed(&self) -> String {
        let [longest, least] = [requirement_wait(self.warmup.0), REQUIREMENT_WAIT_MIN].map(TimeSpan);
        format!(
            "retention_reached: retention deleted from {} of {} partitions in {longest} of warm-up \
             ({WARMUP_TIMES_MAX} times `phases.warmup`, at least {least}); lower `log.retention_bytes`, `log.retention_ms` or \
             `log.segment_bytes`, offer more, or raise `phases.warmup`",
            self.reached.len(),
            self.partitions
        )
    }

    /// The progress of the condition, as text.
    pub(crate) fn progress(&self) -> String {
        format!("warm-up until retention deletes: {} of {} partitions", self.reached.len(), self.partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn it_opens_once_every_partition_has_lost_a_segment_and_the_warm_up_is_over() {
        let workload = Workload { partitions_per_topic: 2, ..Workload::default() };
        let phases = Phases { warmup: TimeSpan::seconds(2), ..Phases::default() };
        let mut gate = RetentionGate::new(&workload, phases, false);
        let event_of = |topic: &str, kind, partition: u32| SystemEvent {
            at: Instant::now(),
            kind,
            shard: 0,
            partition: Some((topic.to_owned(), partition)),
        };
        let event = |kind, partition| event_of("vnotch-0", kind, partition);
        let s = |seconds| num::ns_of(Duration::from_secs(seconds));
        gate.note(&event(SystemEventKind::Retention, 0));
        gate.note(&event(SystemEventKind::Retention, 0));
        gate.note(&event(SystemEventKind::Roll, 1));
        gate.note(&event_of("__consumer_offsets", SystemEventKind::Retention, 1));
        // Ten times the warm-up.
        assert_eq!(gate.state(s(19)), GateState::Shut);
        let GateState::Missed(why) = gate.state(s(20)) else { panic!("its time is up") };
        assert!(why.contains("in 20s") && why.contains("1 of 2 partitions"), "{why}");
        gate.note(&event(SystemEventKind::Retention, 1));
        assert_eq!(
            (gate.state(s(1)), gate.state(s(2)), gate.state(s(60))),
            (GateState::Shut, GateState::Open, GateState::Open)
        );
        let short = Phases { warmup: TimeSpan::default(), ..phases };
        let gate_of_short = RetentionGate::new(&workload, short, false);
        let least = num::ns_of(REQUIREMENT_WAIT_MIN);
        assert_eq!(gate_of_short.state(least - 1), GateState::Shut);
        assert!(matches!(gate_of_short.state(least), GateState::Missed(_)));
        let filled = RetentionGate { fills_first: true, ..gate };
        assert_eq!((filled.state(s(1)), filled.warmup_left_ns()), (GateState::Open, s(2)));
    }
}
