//! Percentiles that are only bounds are printed so wherever they are printed.

use crate::sample;
use crate::sweeps::{medians_of, sweep};
use serde_json::json;
use std::path::Path;
use vnotch::report::draw;
use vnotch::report::listing::{Headline, table};
use vnotch::report::text::first_screen;
use vnotch::result::latency::percentile::Percentile;
use vnotch::result::shelf::Shelved;
use vnotch::result::{Bound, Recording, store};
use vnotch::stats;
use vnotch::workload::PassKind;

/// Makes the response p99 of every open point an upper bound, and all beyond it lower bounds.
fn bounded(mut recording: Recording) -> Recording {
    for point in recording.result.points.iter_mut().filter(|point| point.pass == PassKind::Open) {
        for trial in &mut point.trials {
            let response = trial.latency_ns.response.as_mut().unwrap();
            let ns = response.p99.unwrap();
            response.set("p99", Some(Percentile { ns, bound: Some(Bound::Upper) }));
            for beyond in ["p99_9", "max"] {
                response.set(beyond, Some(Percentile { ns: 5_200_000_000, bound: Some(Bound::Lower) }));
            }
            (response.censored, response.overflows) = (response.count / 5, 7);
        }
        point.summary = stats::summarise(&point.trials);
    }
    for record in &mut recording.trials {
        record.series.iter_mut().for_each(|row| row.p99_bound = row.p99_ns.map(|_| Bound::Upper));
    }
    recording
}

fn file(recording: &Recording, path: &str) -> String {
    let artifacts = draw(recording).artifacts;
    let artifact = artifacts.iter().find(|artifact| artifact.path == path).unwrap();
    String::from_utf8(artifact.content.clone()).unwrap()
}

#[test]
fn text_page_and_summary_print_bounds_and_say_why() {
    let recording = bounded(sample::quickstart());
    let plain = first_screen(&sample::quickstart().result, Path::new("r"), &["w".to_owned()]);
    assert!(!plain.contains('≤') && !plain.contains('≥'), "{plain}");
    let screen = first_screen(&recording.result, Path::new("r"), &["w".to_owned()]);
    for text in [screen, file(&recording, "summary.md"), file(&recording, "report.html")] {
        for expected in [
            "≤ ",
            "≥ 5.20 s",
            "≤: the load generator was late",
            "20.0 % of the records were never acked",
            "above one hour",
        ] {
            assert!(text.contains(expected), "{expected} in:\n{text}");
        }
    }
    assert!(file(&recording, "charts/latency.svg").contains("faint parts are bounds"));
    assert!(!file(&sample::quickstart(), "charts/latency.svg").contains("faint parts"));
}

#[test]
fn sweeps_and_lists_print_bounds() {
    let recording = bounded(sweep(&[("log.segment_bytes", &[json!("4MiB"), json!("8MiB")])], 2));
    let screen = first_screen(&recording.result, Path::new("r"), &["w".to_owned()]);
    for expected in ["≤ ", "≤: the load generator was late"] {
        assert!(screen.contains(expected), "{expected} in:\n{screen}");
    }
    let result = bounded(sample::quickstart()).result;
    assert_eq!(Headline::of(&result).p99_ns.unwrap().bound, Some(Bound::Upper));
    let listed = table(&[Shelved { dir: "some/dir".into(), result, is_reference: false }]);
    assert!(listed.contains("≤ "), "{listed}");
}

#[test]
fn a_combination_whose_p99_is_a_lower_bound_is_not_ranked_by_it() {
    let values = [json!("4MiB"), json!("8MiB"), json!("16MiB")];
    let mut recording = sweep(&[("log.segment_bytes", &values)], 2);
    let point = &mut recording.result.points[5];
    assert_eq!(point.pass, PassKind::Open);
    for trial in &mut point.trials {
        let least = Percentile { ns: 1, bound: Some(Bound::Lower) };
        trial.latency_ns.response.as_mut().unwrap().set("p99", Some(least));
    }
    point.summary = stats::summarise(&point.trials);
    let screen = first_screen(&recording.result, Path::new("r"), &["w".to_owned()]);
    let medians = medians_of(&recording.result, &[1, 3]);
    assert!(screen.replace("\n  ", " ").contains(&medians), "{medians} in:\n{screen}");
    assert!(
        screen.contains("Not compared by p99, because records were never acked: segment_bytes 16 MiB."),
        "{screen}"
    );
}

#[test]
fn files_keep_bounds() {
    let results = tempfile::tempdir().unwrap();
    let recording = bounded(sample::quickstart());
    let dir = store::write(results.path(), &recording, &[]).unwrap();
    let back = store::load(&dir).unwrap();
    assert_eq!(back.result.points, recording.result.points);
    assert!(back.trials.iter().flat_map(|record| &record.series).any(|row| row.p99_bound.is_some()));
    for (back, written) in back.trials.iter().zip(&recording.trials) {
        assert_eq!(back.series.len(), written.series.len());
        for (back, written) in back.series.iter().zip(&written.series) {
            assert_eq!((back.p99_ns, back.p99_bound), (written.p99_ns, written.p99_bound));
        }
    }
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("result.json")).unwrap()).unwrap();
    let response = json["points"][1]["trials"][0]["latency_ns"]["response"].clone();
    assert!(response["p99"].is_u64(), "a percentile stays a number");
    assert_eq!(response["bounds"], json!({"p99": "upper", "p99_9": "lower", "max": "lower"}));
}
