//! Stalls on purpose (`--inject stall:shardN:D@T`): a shard stops for a while, and the load continues. The latencies of an open
//! load then show whether the delayed records are counted.

use crate::exit::UsageError;
use crate::num;
use crate::result::{Event, InjectedStall};
use crate::system;
use crate::system::System;
use crate::time::timeline::Timeline;
use crate::workload::capabilities_of;
use crate::workload::{TimeSpan, Workload};
use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;

/// The longest stall. The engine's watchdog takes a shard for stuck later than that, and then fails the requests in flight.
pub const STALL_MAX: Duration = Duration::from_secs(8);

/// The shortest stall. A shorter one cannot be told from ordinary delays.
pub const STALL_MIN: Duration = Duration::from_millis(10);

/// One `--inject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injection {
    /// The number of the shard.
    pub shard: u32,
    /// The time at which the shard stops, counted from the start of the measured window.
    pub at: Duration,
    /// The length of the stall.
    pub length: Duration,
}

impl FromStr for Injection {
    type Err = String;

    /// Reads `stall:shard0:1s@10s`.
    fn from_str(text: &str) -> Result<Self, String> {
        let form = || {
            "write it like `stall:shard0:1s@10s`: which shard, for how long, and when in the window"
                .to_owned()
        };
        let (shard, times) =
            text.strip_prefix("stall:shard").and_then(|rest| rest.split_once(':')).ok_or_else(form)?;
        let (length, at) = times.split_once('@').ok_or_else(form)?;
        let time =
            |text: &str| text.parse::<TimeSpan>().map(|span| span.0).map_err(|error| error.to_string());
        Ok(Self { shard: shard.parse().map_err(|_| form())?, at: time(at)?, length: time(length)? })
    }
}

impl std::fmt::Display for Injection {
    /// Writes the stall in the form of the command line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "stall:shard{}:{}@{}", self.shard, TimeSpan(self.length), TimeSpan(self.at))
    }
}

impl Injection {
    fn end(self) -> Duration {
        self.at.saturating_add(self.length)
    }
}

/// The stalls of one trial.
#[derive(Debug, Default)]
pub(crate) struct InjectedStalls {
    pending: VecDeque<Injection>,
    until_ns: u64,
    /// Stalls that were made, with the time of each.
    made: Vec<InjectedStall>,
}

impl InjectedStalls {
    pub(crate) fn new(injections: &[Injection]) -> Self {
        Self { pending: injections.iter().copied().collect(), ..Self::default() }
    }

    /// The time at which the next stall is due, ns on the trial's clock; the largest value if none is left.
    pub(crate) fn next_ns(&self, timeline: &Timeline) -> u64 {
        let start_ns = timeline.window_start_ns();
        self.pending.front().map_or(u64::MAX, |next| start_ns.saturating_add(num::ns_of(next.at)))
    }

    /// Whether a shard is stopped at `now_ns`. A request to it would wait.
    pub(crate) fn is_under_way(&self, now_ns: u64) -> bool {
        now_ns < self.until_ns
    }

    /// Makes the next stall, which is due.
    ///
    /// # Errors
    /// The system cannot stop the shard.
    pub(crate) fn make_next(
        &mut self,
        system: &mut dyn System,
        timeline: &Timeline,
        now_ns: u64,
    ) -> anyhow::Result<Option<Event>> {
        let Some(next) = self.pending.pop_front() else { return Ok(None) };
        system::inside(system)?.stall(next.shard, next.length)?;
        self.until_ns = self.until_ns.max(now_ns.saturating_add(num::ns_of(next.length)));
        let at_s = timeline.seconds_of(now_ns);
        self.made.push(InjectedStall { shard: next.shard, at_s, length_s: next.length.as_secs_f64() });
        Ok(Some(Event {
            t_s: at_s,
            kind: "stall".to_owned(),
            shard: Some(next.shard),
            length_s: Some(next.length.as_secs_f64()),
            detail: Some("injected: the shard's thread slept".to_owned()),
            ..Event::default()
        }))
    }

    pub(crate) fn into_made(self) -> Vec<InjectedStall> {
        self.made
    }
}

/// Reads and checks the values of `--inject`.
///
/// # Errors
/// A [`UsageError`] for the first stall that a workload cannot have.
pub fn parse(texts: &[String], workloads: &[&Workload]) -> anyhow::Result<Vec<Injection>> {
    let refuse = |text: &str, why: &str| UsageError::error(format!("--inject {text}: {why}"));
    let mut injections: Vec<Injection> = Vec::new();
    for text in texts {
        let injection: Injection = text.parse().map_err(|error: String| refuse(text, &error))?;
        for workload in workloads {
            if let Some(why) = misplaced(injection, workload) {
                return Err(refuse(text, &format!("{}: {why}", workload.name)));
            }
        }
        let overlaps = |other: &&Injection| {
            other.shard == injection.shard && other.at < injection.end() && injection.at < other.end()
        };
        if injections.iter().any(|other| overlaps(&other)) {
            return Err(refuse(text, "it overlaps another stall of the same shard"));
        }
        injections.push(injection);
    }
    injections.sort_by_key(|injection| injection.at);
    Ok(injections)
}

/// The reason why a workload cannot have a stall; `None` if it can.
fn misplaced(injection: Injection, workload: &Workload) -> Option<String> {
    let (length, window) = (TimeSpan(injection.length), workload.phases.measure);
    let capabilities = capabilities_of(system::CAPABILITIES, workload.target.system());
    if !capabilities.is_some_and(|capabilities| capabilities.can_be_stalled) {
        return Some(format!("no shard of {} can be stopped", workload.target));
    }
    if workload.deployment().is_colocated() {
        return Some(
            "with `engine.placement: colocated` the load is on the shard, and would stop with it".to_owned(),
        );
    }
    if injection.shard >= workload.deployment().shards {
        let count = workload.deployment().shards;
        return Some(format!(
            "there is no shard {}: `engine.shards` is {count}, so the {} 0{}",
            injection.shard,
            if count == 1 { "only shard is" } else { "shards are" },
            if count == 1 { String::new() } else { format!(" to {}", count - 1) }
        ));
    }
    if !(STALL_MIN..=STALL_MAX).contains(&injection.length) {
        return Some(format!(
            "a stall lasts from 10ms to 8s, not {length}: after 10s the engine takes the shard for stuck"
        ));
    }
    let end = TimeSpan(injection.end());
    (injection.end() > window.0)
        .then(|| format!("it would end {end} after the window opens, and the window lasts {window}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::EngineSettings;

    fn refused(texts: &[&str], workload: &Workload) -> String {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let error = parse(&texts, &[workload]).expect_err("it is wrong");
        assert_eq!(crate::exit::status_of(&error), crate::exit::ExitStatus::Usage);
        error.to_string()
    }

    #[test]
    fn stalls_are_read_and_put_in_order() {
        let texts = ["stall:shard0:250ms@3s", "stall:shard0:1s@1s500ms"].map(str::to_owned);
        let read = parse(&texts, &[&Workload::default()]).unwrap();
        let ms = Duration::from_millis;
        let of = |at, length| Injection { shard: 0, at: ms(at), length: ms(length) };
        assert_eq!(read, [of(1500, 1000), of(3000, 250)]);
    }

    #[test]
    fn what_has_no_place_is_refused() {
        let workload = Workload::default();
        let cases = [
            ("stall:shard1:1s@1s", "there is no shard 1: `engine.shards` is 1, so the only shard is 0"),
            (
                "stall:shard0:1s@9500ms",
                "it would end 10500ms after the window opens, and the window lasts 10s",
            ),
            ("stall:shard0:9s@0", "from 10ms to 8s, not 9s"),
            ("stall:shard0:1ms@0", "from 10ms to 8s, not 1ms"),
            ("stall:shard0:1s", "write it like `stall:shard0:1s@10s`"),
            ("stall:shardx:1s@1s", "write it like"),
            ("stop:shard0:1s@1s", "write it like"),
            ("stall:shard0:1@1s", "needs a unit"),
        ];
        for (text, why) in cases {
            let message = refused(&[text], &workload);
            assert!(message.starts_with(&format!("--inject {text}: ")) && message.contains(why), "{message}");
        }
        assert!(refused(&["stall:shard0:1s@1s", "stall:shard0:1s@1500ms"], &workload).contains("overlaps"));
        let engine =
            EngineSettings { placement: crate::workload::Placement::Colocated, ..workload.engine.clone() };
        let colocated = Workload { engine, ..workload.clone() };
        assert!(refused(&["stall:shard0:1s@1s"], &colocated).contains("would stop with it"));
        let device = Workload { target: "device".parse().unwrap(), ..workload };
        assert!(refused(&["stall:shard0:1s@1s"], &device).contains("no shard of device can be stopped"));
    }
}
