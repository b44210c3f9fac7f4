//! Sentences about an injected stall: proof that no record is omitted, and what a histogram that omits records would
//! have said.

use super::facts::median_text;
use crate::num;
use crate::quantity;
use crate::result::{InjectedStall, Point, RunResult, StallFigures};
use crate::stats;
use std::fmt::Write as _;

/// If `service` shows less than this share of the late records, it hides the stall.
const HIDES_MAX: f64 = 0.5;

/// Returns a paragraph for each point that was stalled.
pub(super) fn paragraphs(result: &RunResult) -> Vec<String> {
    result.points.iter().filter_map(paragraph).collect()
}

fn paragraph(point: &Point) -> Option<String> {
    let stalls: Vec<&StallFigures> = point.trials.iter().filter_map(|trial| trial.stall.as_ref()).collect();
    let first = *stalls.first()?;
    let median = |of: fn(&StallFigures) -> Option<f64>| {
        stats::median(&stalls.iter().filter_map(|stall| of(stall)).collect::<Vec<_>>())
    };
    let made: Vec<String> = first.injected.iter().map(made).collect();
    let mut text = format!("Injected stall: {}, while the load continued. ", made.join("; "));
    let service = median(|stall| stall.service_late_share);
    // Writing to a String cannot fail.
    match median(|stall| stall.late_share) {
        Some(late) => {
            let longest_s = first.injected.iter().map(|stall| stall.length_s).fold(0.0, f64::max);
            if let Some(max) = point.figure("latency_ns.response.max") {
                let of = quantity::percent(max.median * 1e-9 / longest_s);
                let max = median_text(max, |ns| quantity::ns(num::u64_of(ns)));
                let _ = write!(text, "The longest response was {max}, {of} of the longest stall. ");
            }
            let (late, bound) = (quantity::percent(late), quantity::ns(first.late_ns));
            let _ = write!(text, "{late} of the records were late (response above {bound})");
            match median(|stall| stall.expected_late_share) {
                Some(expected) => {
                    let expected = quantity::percent(expected);
                    let _ = write!(
                        text,
                        "; {expected} were expected from the stall's length s and the load, because the records that pile \
                         up during s are worked off s ÷ (1 − load) after it began. "
                    );
                }
                None => text.push_str(". "),
            }
        }
        None => text.push_str(
            "Under `max` and `closed` records have no due time: those that the stall delayed were not even started, so no \
             latency shows the stall. An open load (`-r 50%`) does. ",
        ),
    }
    text.push_str(&about_service(median(|stall| stall.late_share), service));
    Some(text.trim_end().to_owned())
}

fn made(stall: &InjectedStall) -> String {
    format!(
        "shard {} stood still for {:.2} s, {:.2} s into the window",
        stall.shard, stall.length_s, stall.at_s
    )
}

/// Explains why `service` does not show the stall, or why it does in this run.
fn about_service(late: Option<f64>, service: Option<f64>) -> String {
    let (Some(late), Some(service)) = (late, service) else { return String::new() };
    let share = quantity::percent(service);
    if service < late * HIDES_MAX {
        format!(
            "By `service`, only {share} were late: it starts when the target accepts a record, and a stalled shard accepts \
             only as many bytes as `load.in_flight_bytes` allows. All other due records waited outside the target, and \
             only `response` counts that time. A benchmark that starts its clock at the actual send would have reported \
             only the figure of `service`."
        )
    } else {
        format!(
            "By `service`, {share} were late as well, because `load.in_flight_bytes` had room for most of the records that \
             became due during the stall. With a smaller value they would have waited outside the target, and only \
             `response` counts that time."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{LatencyFigures, LatencySet, Trial};
    use crate::workload::{Durability, PassKind};

    fn point(pass: PassKind, late: Option<f64>, service: f64) -> Point {
        let stall = StallFigures {
            injected: vec![InjectedStall { shard: 0, at_s: 5.0, length_s: 1.0 }],
            late_ns: 50_000_000,
            late_share: late,
            service_late_share: Some(service),
            expected_late_share: late.map(|_| 0.095),
        };
        let response = late.map(|_| LatencyFigures {
            count: 1000,
            max: Some(1_020_000_000),
            ..LatencyFigures::default()
        });
        let latency_ns = LatencySet { response, ..LatencySet::default() };
        let trials = vec![Trial { stall: Some(stall), latency_ns, ..Trial::default() }];
        Point {
            settings: Default::default(),
            workload: 0,
            pass,
            target: "engine".into(),
            system: None,
            durability: Durability::Written,
            io: None,
            poll: None,
            verdict: Default::default(),
            summary: stats::summarise(&trials),
            first_attempts: Default::default(),
            trials,
        }
    }

    #[test]
    fn the_text_holds_both_histograms_against_the_stall() {
        let text = paragraph(&point(PassKind::Open, Some(0.098), 0.006)).unwrap();
        for expected in
            ["stood still for 1.00 s, 5.00 s into", "102 % of the longest", "9.80 % of the records", "9.50 %"]
        {
            assert!(text.contains(expected), "{expected} in: {text}");
        }
        assert!(text.contains("By `service`, only 0.60 % were late"), "{text}");
        let seen = paragraph(&point(PassKind::Open, Some(0.098), 0.09)).unwrap();
        assert!(seen.contains("9.00 % were late as well"), "{seen}");
        let closed = paragraph(&point(PassKind::Closed, None, 0.001)).unwrap();
        assert!(closed.contains("no latency shows the stall"), "{closed}");
    }
}
