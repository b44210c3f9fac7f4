//! Events inside the target on the trial's time axis, and the stalls that show in its acks.

use crate::result::{Event, SeriesRow};
use crate::time::clock::{Clock as _, TrialClock};
use crate::time::timeline::Timeline;

use std::time::Instant;

/// The kind of the event that the wall clock was set.
pub const CLOCK_STEP: &str = "clock_step";

/// The kinds of events inside a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemEventKind {
    /// A new segment was begun.
    Roll,
    /// A full segment was trimmed, synced and indexed.
    Seal,
    /// A sync of its own completed.
    Sync,
    /// Retention deleted a segment.
    Retention,
    /// A segment was begun in a new file, because no recycled one was ready.
    NoSpare,
    /// A partition was recovered at open.
    Recovery,
}

impl SystemEventKind {
    /// The name of the kind in results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Roll => "roll",
            Self::Seal => "seal",
            Self::Sync => "sync",
            Self::Retention => "retention",
            Self::NoSpare => "no_spare",
            Self::Recovery => "recovery",
        }
    }
}

/// An event inside the system, which is marked on the charts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemEvent {
    /// Time of the event.
    pub at: Instant,
    /// The kind of the event.
    pub kind: SystemEventKind,
    /// The shard of the event.
    pub shard: u32,
    /// Topic and partition, if the event concerns one.
    pub partition: Option<(String, u32)>,
}

/// Least length of a stall: a time without acks while there was load, s.
const STALL_S_MIN: f64 = 0.2;

/// Converts an event of a target. The result's time is counted from the start of the measured window.
pub fn event_of(event: SystemEvent, clock: &TrialClock, timeline: &Timeline) -> Event {
    let (topic, partition) = event.partition.unzip();
    Event {
        t_s: timeline.seconds_of(clock.ns_at(event.at)),
        kind: event.kind.name().to_owned(),
        shard: Some(event.shard),
        topic,
        partition,
        ..Event::default()
    }
}

/// Returns the stalls: parts of the measured window, of at least `STALL_S_MIN`, in which records were due and none was
/// acked.
pub fn gaps_without_acks(rows: &[SeriesRow]) -> Vec<Event> {
    let mut stalls = Vec::new();
    let mut quiet: Option<(f64, f64)> = None;
    let in_window = rows.iter().filter(|row| row.t_s > -1e-9);
    for row in in_window {
        if row.achieved == 0 && row.offered != Some(0) {
            let (start_s, length_s) = quiet.unwrap_or((row.t_s, 0.0));
            quiet = Some((start_s, length_s + row.interval_s));
        } else if let Some(stall) = quiet.take() {
            stalls.push(stall);
        }
    }
    stalls.extend(quiet);
    let event_of = |(t_s, length_s): (f64, f64)| Event {
        t_s,
        length_s: Some(length_s),
        kind: "stall".to_owned(),
        detail: Some(format!("nothing was acked for {length_s:.1} s")),
        ..Event::default()
    };
    stalls.into_iter().filter(|(_, length_s)| *length_s > STALL_S_MIN - 1e-9).map(event_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(t_s: f64, achieved: u64, offered: Option<u64>) -> SeriesRow {
        SeriesRow { t_s, interval_s: 0.1, achieved, offered, ..SeriesRow::default() }
    }

    #[test]
    fn no_ack_for_two_intervals_is_a_stall() {
        let rows =
            [row(-0.1, 0, None), row(0.0, 5, None), row(0.1, 0, None), row(0.2, 0, None), row(0.3, 5, None)];
        let stalls = gaps_without_acks(&rows);
        assert_eq!(stalls.len(), 1);
        assert!((stalls[0].t_s - 0.1).abs() < 1e-9);
        assert_eq!(stalls[0].detail.as_deref(), Some("nothing was acked for 0.2 s"));
    }

    #[test]
    fn one_quiet_interval_is_none_and_neither_is_the_lack_of_load() {
        assert!(gaps_without_acks(&[row(0.0, 5, None), row(0.1, 0, None), row(0.2, 5, None)]).is_empty());
        assert!(
            gaps_without_acks(&[row(0.0, 0, Some(0)), row(0.1, 0, Some(0)), row(0.2, 0, Some(0))]).is_empty()
        );
    }

    #[test]
    fn a_stall_that_lasts_to_the_end_is_one() {
        assert_eq!(
            gaps_without_acks(&[row(0.0, 1, Some(9)), row(0.1, 0, Some(9)), row(0.2, 0, Some(9))]).len(),
            1
        );
    }
}
