//! Comparisons: of two stored results, and documents that are stored, listed, shown, drawn and pruned.

use crate::pictures::is_readable;
use crate::sample::{self, MAX, OPEN, PassSpec};
use crate::support::{Ended, end, vnotch};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use vnotch::campaign::stored::{StoredOptions, compare};
use vnotch::exit::{ExitStatus, UsageError, status_of};
use vnotch::report;
use vnotch::result::comparison::{
    Comparison, Conclusion, Method, PairOrder, PairOutcome, PairRecord, baseline, store as comparison_store,
};
use vnotch::result::{Bound, Kind, Recording, VerdictStatus, store};
use vnotch::stats;
use vnotch::workload::Durability;

const OPTIONS: StoredOptions<'_> = StoredOptions { metric: None, band: 0.02, baseline: None };

/// A recording whose eight trials made `rate` records/s, give or take 0.4 %.
fn recording(rate: f64) -> Recording {
    let specs = [MAX, OPEN].map(|spec| PassSpec { window_s: 1.0, rolls: 0, trials: 8, ..spec });
    let mut recording = sample::recording(&specs);
    let point = &mut recording.result.points[0];
    for (index, trial) in point.trials.iter_mut().enumerate() {
        trial.produce.records_per_s = rate * (1.0 + 0.001 * (index as f64 - 3.5));
    }
    point.summary = stats::summarise(&point.trials);
    recording.result.provenance.machine_id = Some("this-machine".into());
    recording
}

/// Two stored results. Each can be changed before it is written.
fn stored(results: &Path, rate: f64, day: u32, change: impl FnOnce(&mut Recording)) -> PathBuf {
    let mut recording = recording(rate);
    recording.result.provenance.started_at = format!("2026-10-0{day}T03:54:04Z");
    change(&mut recording);
    store::write(results, &recording, &[]).unwrap()
}

fn two(rate_b: f64, change: impl FnOnce(&mut Recording)) -> (tempfile::TempDir, anyhow::Result<Comparison>) {
    let results = tempfile::tempdir().unwrap();
    let a = stored(results.path(), 1e6, 1, |_| {});
    let b = stored(results.path(), rate_b, 2, change);
    let compared = compare(&a, &b, OPTIONS);
    (results, compared)
}

/// Returns the message with which a comparison is refused as a mistake of the user.
fn refusal(change: impl FnOnce(&mut Recording)) -> String {
    let error = two(1e6, change).1.unwrap_err();
    assert_eq!(status_of(&error), ExitStatus::Usage, "{error:#}");
    format!("{error:#}")
}

#[test]
fn two_stored_results_are_compared_by_their_ranks_and_marked_as_not_interleaved() {
    let compared = two(9e5, |_| {}).1.unwrap();
    let effect = compared.effect.unwrap();
    assert_eq!((effect.conclusion, effect.pairs, compared.method), (Conclusion::Worse, 8, Method::Stored));
    assert!((effect.ratio - 0.9).abs() < 1e-3, "{}", effect.ratio);
    assert_eq!(compared.exit_status(true), ExitStatus::Ok, "without a baseline, worse is no regression");
    let text = report::comparison::text(&compared, None);
    assert!(text.lines().next().unwrap().contains("10.0 % lower (95 % interval: "), "{text}");
    assert!(text.lines().next().unwrap().ends_with("WORSE") && text.lines().count() <= 24, "{text}");
    assert!(text.contains("Not interleaved: differences of the hour are in it."), "{text}");
    let beside: Vec<&str> = compared.secondary.iter().map(|it| it.metric.path.as_str()).collect();
    assert!(beside.contains(&"cpu.shard_s_per_gib") && beside.contains(&"syncs_per_record"), "{beside:?}");
}

#[test]
fn equal_results_have_no_difference_that_matters_and_few_trials_cannot_tell() {
    assert_eq!(two(1e6, |_| {}).1.unwrap().effect.unwrap().conclusion, Conclusion::NoDifference);
    let few = two(9e5, |recording| {
        let point = &mut recording.result.points[0];
        point.trials.truncate(1);
        point.summary = stats::summarise(&point.trials);
        recording.trials.retain(|record| record.point == 1 || record.trial < 1);
    });
    let few = few.1.unwrap();
    assert_eq!(
        (few.effect.unwrap().conclusion, few.exit_status(false)),
        (Conclusion::CannotTell, ExitStatus::Ok)
    );
    assert_eq!(few.exit_status(true), ExitStatus::Invalid);
    let text = report::comparison::text(&few, None);
    assert!(
        text.contains("There are 8 trials of A and 1 of B. An interval needs 4 of each, or more of one."),
        "{text}"
    );
}

#[test]
fn a_regression_against_a_baseline_of_the_same_machine_is_exit_4() {
    let results = tempfile::tempdir().unwrap();
    let a = stored(results.path(), 1e6, 1, |_| {});
    let b = stored(results.path(), 9e5, 2, |_| {});
    baseline::save(results.path(), "main", &a).unwrap();
    assert_eq!(baseline::find(results.path(), "main").unwrap(), a);
    let options = StoredOptions { baseline: Some("main"), ..OPTIONS };
    let compared = compare(&a, &b, options).unwrap();
    assert_eq!(compared.exit_status(false), ExitStatus::Regression);
    assert!(report::comparison::text(&compared, None).contains(" instead of main: "));
    let unknown = stored(results.path(), 9e5, 3, |recording| recording.result.provenance.machine_id = None);
    let compared = compare(&a, &unknown, options).unwrap();
    assert_eq!(compared.exit_status(false), ExitStatus::Ok, "the machine may be another one");
    assert!(
        compared.notes.iter().any(|note| note.contains("the machines may differ")),
        "{:?}",
        compared.notes
    );
}

#[test]
fn a_reader_that_leaves_changes_neither_the_exit_code_nor_what_is_saved() {
    let results = tempfile::tempdir().unwrap();
    let a = stored(results.path(), 1e6, 1, |_| {});
    let b = stored(results.path(), 9e5, 2, |_| {});
    baseline::save(results.path(), "main", &a).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = vnotch();
    command.args(["compare", "--baseline", "main", "--save-baseline", "next"]).arg(&b);
    let status = command.arg("-o").arg(results.path()).stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(4), "B is worse than the baseline");
    assert_eq!(baseline::find(results.path(), "next").unwrap(), b);
}

#[test]
fn a_baseline_is_the_result_of_one_run() {
    let results = tempfile::tempdir().unwrap();
    let sweep = stored(results.path(), 1e6, 1, |recording| recording.result.kind = Kind::Sweep);
    let error = baseline::save(results.path(), "main", &sweep).unwrap_err();
    assert!(error.is::<UsageError>() && error.to_string().contains("is a sweep"), "{error}");
}

#[test]
fn what_cannot_be_compared_is_refused_with_the_reason() {
    let machine = refusal(|it| it.result.provenance.machine_id = Some("another".into()));
    assert!(machine.contains("different machines") && machine.contains("vnotch report A B"), "{machine}");
    let durability = refusal(|it| it.result.points[0].durability = Durability::Synced);
    assert!(
        durability.contains("A is written, B is synced") && durability.contains("--interleave"),
        "{durability}"
    );
    let load = refusal(|it| it.result.workloads[0]["load"]["in_flight_bytes"] = json!("1MiB"));
    assert!(load.contains("load.in_flight_bytes: A "), "{load}");
    let pass = refusal(|it| {
        it.result.points.remove(0);
        it.result.points[0].pass = vnotch::workload::PassKind::Closed;
        it.trials.retain(|record| record.point == 1);
        it.trials.iter_mut().for_each(|record| record.point = 0);
    });
    assert!(pass.contains("A was measured under max and open, B under closed"), "{pass}");
    let interrupted = refusal(|it| it.result.verdict.lower(VerdictStatus::Interrupted, "Ctrl-C"));
    assert!(interrupted.contains("was interrupted"), "{interrupted}");
    let sweep = refusal(|it| it.result.kind = Kind::Sweep);
    assert!(sweep.contains("is a sweep"), "{sweep}");
}

#[test]
fn a_metric_that_a_load_does_not_have_is_refused_and_one_of_the_other_load_is_found() {
    let results = tempfile::tempdir().unwrap();
    let a = stored(results.path(), 1e6, 1, |_| {});
    let b = stored(results.path(), 1e6, 2, |_| {});
    let with = |metric| compare(&a, &b, StoredOptions { metric: Some(metric), ..OPTIONS });
    let error = with("latency_ns.response.p12").unwrap_err();
    assert!(error.is::<UsageError>());
    let text = error.to_string();
    assert!(
        text.contains("A has no latency_ns.response.p12 under max") && text.contains("under open"),
        "{text}"
    );
    assert!(text.contains("\n  produce.records_per_s"), "{text}");
    let p50 = with("latency_ns.response.p50").unwrap();
    assert_eq!((p50.metric.name.as_str(), p50.metric.more_is_better), ("p50 response", false));
    let bounded = stored(results.path(), 1e6, 3, |it| {
        let figures = it.result.points[1].trials[2].latency_ns.response.as_mut().unwrap();
        figures.bounds.insert("p50".into(), Bound::Upper);
    });
    let options = StoredOptions { metric: Some("latency_ns.response.p50"), ..OPTIONS };
    let bound = compare(&a, &bounded, options).unwrap_err().to_string();
    assert!(bound.contains("in a trial of B, latency_ns.response.p50 is only a bound"), "{bound}");
    let same = compare(&a, &a, OPTIONS).unwrap_err().to_string();
    assert!(same.contains("the same result"), "{same}");
}

#[test]
fn failures_come_before_a_regression_and_leave_no_answer() {
    let cases = [
        (VerdictStatus::IntegrityFailed, ExitStatus::Integrity),
        (VerdictStatus::Errors, ExitStatus::Runtime),
        (VerdictStatus::Invalid, ExitStatus::Invalid),
    ];
    for (status, exit) in cases {
        let compared = two(5e5, |it| {
            it.result.points[0].verdict.lower(status, "for a reason");
            it.result.verdict.lower(status, "for a reason");
        });
        let compared = compared.1.unwrap();
        assert_eq!((compared.effect, compared.exit_status(false)), (None, exit), "{status:?}");
        let text = report::comparison::text(&compared, None);
        assert!(text.contains("no answer") && text.contains("B: for a reason"), "{text}");
    }
    let slo = two(9e5, |it| it.result.points[0].verdict.lower(VerdictStatus::SloMissed, "12 ms > 10 ms"));
    assert!(slo.1.unwrap().effect.is_some(), "a missed objective is a finding, and its figures count");
}

#[test]
fn results_of_version_1_are_compared_and_broken_ones_named() {
    let results = tempfile::tempdir().unwrap();
    let a = stored(results.path(), 1e6, 1, |it| {
        it.result.schema_version = 1;
        it.result.workloads.clear();
        it.result.provenance.machine_id = None;
        it.result.workload["load"].as_object_mut().unwrap().remove("in_flight_bytes");
    });
    let b = stored(results.path(), 1e6, 2, |_| {});
    let compared = compare(&a, &b, OPTIONS).unwrap();
    assert_eq!(compared.effect.unwrap().conclusion, Conclusion::NoDifference);
    assert_eq!(compared.differences, [], "a key that only one version has is no difference");
    fs::write(b.join("result.json"), "{\"schema_version\": 2").unwrap();
    let broken = compare(&a, &b, OPTIONS).unwrap_err();
    assert!(format!("{broken:#}").contains("is damaged"), "{broken:#}");
    fs::write(b.join("result.json"), "{\"schema_version\": 99}").unwrap();
    assert!(format!("{:#}", compare(&a, &b, OPTIONS).unwrap_err()).contains("newer vnotch"));
    let missing = compare(&a, &results.path().join("missing"), OPTIONS).unwrap_err();
    assert!(missing.to_string().contains("no such directory"), "{missing:#}");
}

/// An interleaved comparison of ten pairs whose ratios are `ratio`, give or take 0.4 %.
fn interleaved(ratio: f64) -> Comparison {
    let mut compared = two(1e6, |_| {}).1.unwrap();
    compared.method = Method::Interleaved;
    compared.notes.clear();
    compared.name = "compare-small".into();
    (compared.a.label, compared.b.label) = ("durability=written".into(), "durability=synced".into());
    let figures = |scale: f64| {
        let figures = [
            ("produce.bytes", 1e9),
            ("produce.records", 1e6),
            ("resources.cpu_s.shard.user_s", 2.0 * scale),
            ("resources.cpu_s.shard.kernel_s", 0.5 * scale),
            ("resources.syncs", 100.0 * scale),
        ];
        figures.into_iter().map(|(path, value)| (path.to_owned(), value)).collect()
    };
    let pair = |number: i32| PairRecord {
        order: if number % 3 == 0 { PairOrder::Ba } else { PairOrder::Ab },
        a: Some(1e6),
        b: Some(1e6 * ratio * (1.0 + 0.002 * f64::from(number % 5 - 2))),
        outcome: PairOutcome::Counted,
        repeats: Vec::new(),
        figures_a: figures(1.0),
        figures_b: figures(1.1),
    };
    compared.pairs = (0..10).map(pair).collect();
    stats::pairs::conclude(&mut compared);
    compared
}

#[test]
fn an_interleaved_series_concludes_and_its_failed_pairs_leave_no_answer() {
    assert_eq!(interleaved(0.9).exit_status(false), ExitStatus::Regression);
    assert_eq!(interleaved(1.1).exit_status(false), ExitStatus::Ok);
    let compared = interleaved(0.9);
    assert!((compared.secondary[0].ratio - 1.1).abs() < 1e-9);
    let text = report::comparison::text(&compared, Some(Path::new("results/x")));
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with("durability=synced instead of durability=written: throughput is 10.0 % lower"),
        "{first}"
    );
    assert!(text.lines().count() <= 24, "{text}");

    let lose = |outcome: fn(String) -> PairOutcome, pairs: &[usize]| {
        let mut compared = interleaved(0.9);
        for pair in pairs {
            let record = &mut compared.pairs[*pair];
            (record.a, record.b, record.outcome) = (None, None, outcome("B: a reason".into()));
        }
        stats::pairs::conclude(&mut compared);
        compared
    };
    let failed = lose(|reason| PairOutcome::Failed { reason }, &[3]);
    assert_eq!((failed.effect, failed.exit_status(false)), (None, ExitStatus::Runtime));
    assert!(failed.secondary.is_empty() && failed.verdict.reasons[0].contains("pair 4 failed: B: a reason"));
    let corrupt = lose(|reason| PairOutcome::IntegrityFailed { reason }, &[3]);
    assert_eq!(corrupt.exit_status(false), ExitStatus::Integrity);
    let late = lose(|reason| PairOutcome::SetAside { reason }, &[0, 1]);
    assert_eq!((late.effect.unwrap().pairs, late.exit_status(false)), (8, ExitStatus::Regression));
    let never = lose(|reason| PairOutcome::SetAside { reason }, &[0, 1, 2]);
    assert_eq!((never.effect, never.exit_status(false)), (None, ExitStatus::Invalid));
}

#[test]
fn a_calibration_says_the_noise_and_whether_the_set_up_is_at_fault() {
    let calibrated = |ratio: f64| {
        let mut compared = interleaved(ratio);
        compared.is_calibration = true;
        stats::pairs::conclude(&mut compared);
        (report::comparison::text(&compared, None), compared)
    };
    let (text, calm) = calibrated(1.0);
    assert!(text.contains("the sides are the same, as they must be"), "{text}");
    assert!(text.contains("The band of 2 % needs 6 pairs"), "{text}");
    assert_eq!(calm.exit_status(true), ExitStatus::Ok);
    let (text, faulty) = calibrated(0.9);
    assert!(text.contains("THE SET-UP IS AT FAULT"), "{text}");
    assert_eq!((faulty.exit_status(false), faulty.exit_status(true)), (ExitStatus::Ok, ExitStatus::Invalid));
}

#[test]
fn every_form_says_the_same_and_the_forest_shows_every_figure() {
    let compared = interleaved(0.9);
    let drawn = report::draw_comparison(&compared);
    assert!(drawn.faults.is_empty(), "{:?}", drawn.faults);
    let file = |path: &str| {
        let found = drawn.artifacts.iter().find(|it| it.path == path).unwrap_or_else(|| panic!("{path}"));
        String::from_utf8(found.content.clone()).unwrap()
    };
    let (page, summary, svg) = (file("report.html"), file("summary.md"), file("charts/ratio.svg"));
    is_readable(&svg);
    let text = report::comparison::text(&compared, None);
    let headline = text.lines().next().unwrap();
    assert!(page.contains(headline) && summary.contains(headline), "{headline}");
    assert!(
        report::comparison_markdown(&compared).contains("| throughput | 1.00 M records/s | "),
        "{summary}"
    );
    for label in ["throughput: 10.0 % lower", "CPU of shards: 10.0 % higher", "no change", "band of 2 %"] {
        assert!(svg.contains(label), "{label}");
    }
    let document: Value = serde_json::from_str(&report::comparison::json(&compared, None).unwrap()).unwrap();
    assert_eq!(
        (&document["answer"], &document["comparison"]["effect"]["conclusion"]),
        (&json!(headline), &json!("worse"))
    );
    assert_eq!(document["comparison"]["pairs"].as_array().unwrap().len(), 10);
}

#[test]
fn a_page_has_trust_in_the_open_and_folds_reasons_and_notes() {
    let drawn = |compared: &Comparison| {
        let drawn = report::draw_comparison(compared);
        ["report.html", "summary.md"].map(|path| {
            let found = drawn.artifacts.iter().find(|it| it.path == path).unwrap();
            let text = String::from_utf8(found.content.clone()).unwrap();
            text.split_once("<body>").map_or(text.clone(), |(_, body)| body.to_owned())
        })
    };
    let is_open = |page: &str, text: &str| {
        let at = page.find(text).unwrap_or_else(|| panic!("no {text} in:\n{page}"));
        at < page.find("<details>").unwrap()
    };
    let mut compared = interleaved(0.9);
    compared.question = Some("does it cost anything?".into());
    compared.notes.push("A was measured with care.".into());
    compared.verdict.reasons.push("pair 3 was late once".into());
    let text = report::comparison::text(&compared, None);
    let headline = text.lines().next().unwrap();
    let [page, summary] = drawn(&compared);
    for (page, marks) in [
        (
            &page,
            [
                "does it cost anything?",
                headline,
                "<td>throughput</td>",
                "<figure",
                "19 of 20 comparisons",
                "<details>",
            ],
        ),
        (
            &summary,
            [headline, "does it cost anything?", "| throughput |", "![", "19 of 20 comparisons", "<details>"],
        ),
    ] {
        let at = marks.map(|mark| page.find(mark).unwrap_or_else(|| panic!("no {mark} in:\n{page}")));
        assert!(at.is_sorted(), "{marks:?} at {at:?}");
        for folded in ["A was measured with care.", "pair 3 was late once"] {
            assert!(!is_open(page, folded), "{folded} is folded:\n{page}");
        }
    }
    compared.effect = None;
    for page in drawn(&compared) {
        assert!(
            is_open(&page, "pair 3 was late once"),
            "nothing says more about the missing answer:\n{page}"
        );
    }
    let stored = two(9e5, |_| {}).1.unwrap();
    for page in drawn(&stored) {
        assert!(is_open(&page, "Not interleaved: differences of the hour are in it."), "{page}");
    }
    let [page, _] = drawn(&stored);
    assert!(
        page.contains("<summary>The trials</summary>") && !page.contains("<summary>The machine</summary>")
    );
    assert!(page.contains("<figure"), "two stored results have a forest, too");
}

#[test]
fn a_comparison_is_stored_listed_shown_and_drawn_again() {
    let results = tempfile::tempdir().unwrap();
    let compared = interleaved(0.9);
    let drawn = report::draw_comparison(&compared);
    let dir = comparison_store::write(results.path(), &compared, &drawn.artifacts).unwrap();
    assert!(dir.ends_with(compared.id()));
    let read = comparison_store::Document::load(&dir).unwrap();
    assert_eq!(read, comparison_store::Document::Comparison(Box::new(compared.clone())));
    let again = comparison_store::write(results.path(), &compared, &[]).unwrap();
    assert!(again.to_str().unwrap().ends_with("-2"), "{again:?}");
    let run = |verb: &str, args: &[&str]| -> Ended {
        end(vnotch().arg(verb).args(args).arg("-o").arg(results.path()))
    };
    let listed = run("list", &[]).success();
    assert!(listed.contains("10.0 % lower") && listed.contains(&compared.id()), "{listed}");
    let document: Value = serde_json::from_str(&run("list", &["--format", "json"]).success()).unwrap();
    assert_eq!(document["comparisons"].as_array().unwrap().len(), 2);
    let shown = run("show", &[&compared.id()]).success();
    assert!(shown.starts_with("durability=synced instead of durability=written: "), "{shown}");
    fs::remove_file(dir.join("report.html")).unwrap();
    end(vnotch().arg("report").arg(&dir)).success();
    assert!(dir.join("report.html").exists());
    let as_run = store::load_result(&dir).unwrap_err().to_string();
    assert!(as_run.contains("is a comparison of two sides"), "{as_run}");
    assert_eq!(run("prune", &["--keep", "1", "--yes"]).success().matches("removed ").count(), 1);
}

#[test]
fn a_result_that_a_baseline_names_is_never_pruned() {
    let results = tempfile::tempdir().unwrap();
    let a = stored(results.path(), 1e6, 1, |_| {});
    let b = stored(results.path(), 1e6, 2, |_| {});
    baseline::save(results.path(), "main", &a).unwrap();
    let prune = |args: &[&str]| end(vnotch().arg("prune").args(args).arg("-o").arg(results.path()));
    prune(&["--keep", "0", "--yes"]).success();
    assert!(a.exists() && !b.exists());
    let named = prune(&[a.to_str().unwrap(), "--yes"]).refusal(2);
    assert!(named.contains("is the baseline `main`") && named.contains("main.json"), "{named}");
    let listed = end(vnotch().args(["list", "-o"]).arg(results.path()));
    assert!(!listed.stderr.contains("baselines"), "{}", listed.stderr);
    fs::remove_file(results.path().join("baselines/main.json")).unwrap();
    prune(&["--keep", "0", "--yes"]).success();
    assert!(!a.exists());
    let outside = tempfile::tempdir().unwrap();
    let elsewhere = stored(outside.path(), 1e6, 1, |_| {});
    let error = baseline::save(results.path(), "main", &elsewhere).unwrap_err();
    assert!(error.is::<UsageError>() && error.to_string().contains("copy it there first"), "{error}");
}
