//! What a stall on purpose shows, in words: the proof that nothing is omitted, and what the wrong histogram would have said.

use crate::num;
use crate::quantity;
use crate::result::{InjectedStall, Point, RunResult, StallFigures};
use crate::stats;
use std::fmt::Write as _;

/// A `service` that shows less than this share of the late records hides the stall.
const HIDES_MAX: f64 = 0.5;

/// A paragraph for each point that was stalled.
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
    let mut text = format!("A stall on purpose: {}, while the load went on. ", made.join("; "));
    let service = median(|stall| stall.service_late_share);
    // Writing to a String cannot fail.
    match median(|stall| stall.late_share) {
        Some(late) => {
            let longest_s = first.injected.iter().map(|stall| stall.length_s).fold(0.0, f64::max);
            if let Some(max) = point.figure("latency_ns.response.max") {
                let of = quantity::percent(max.median * 1e-9 / longest_s);
                let max = quantity::ns(num::u64_of(max.median));
                let _ = write!(text, "The longest response was {max}, {of} of the longest stall. ");
            }
            let (late, bound) = (quantity::percent(late), quantity::ns(first.late_ns));
            let _ = write!(text, "{late} of the records were late (response above {bound})");
            match median(|stall| stall.expected_late_share) {
                Some(expected) => {
                    let expected = quantity::percent(expected);
                    let _ = write!(
                        text,
                        "; {expected} follow from the stall's length s and the load: what piles up in s is worked off \
                         in s ÷ (1 − load) from its beginning. "
                    );
                }
                None => text.push_str(". "),
            }
        }
        None => text.push_str(
            "Under `max` and `closed` no record is due at a time of its own: what the stall delayed was never begun, so no \
             latency tells of it. An open load (`-r 50%`) does. ",
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

/// Why `service` does not tell, or why it does here.
fn about_service(late: Option<f64>, service: Option<f64>) -> String {
    let (Some(late), Some(service)) = (late, service) else { return String::new() };
    let told = quantity::percent(service);
    if service < late * HIDES_MAX {
        format!(
            "By `service` only {told} were late: it begins when the target accepts a record, and a shard that stands \
             still accepts no more than `load.in_flight_bytes` has room for. All else that became due waited outside, \
             where only `response` counts. A benchmark that starts its clock at the actual send would have reported \
             just that."
        )
    } else {
        format!(
            "By `service` {told} were late as well, as `load.in_flight_bytes` had room for most of what became due \
             meanwhile; with less of it they would have waited outside, where only `response` counts."
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
            pass,
            target: "engine".into(),
            durability: Durability::Written,
            io: None,
            poll: None,
            verdict: Default::default(),
            summary: stats::summarise(&trials),
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
        assert!(text.contains("By `service` only 0.60 % were late"), "{text}");
        let seen = paragraph(&point(PassKind::Open, Some(0.098), 0.09)).unwrap();
        assert!(seen.contains("9.00 % were late as well"), "{seen}");
        let closed = paragraph(&point(PassKind::Closed, None, 0.001)).unwrap();
        assert!(closed.contains("no latency tells of it"), "{closed}");
    }
}
