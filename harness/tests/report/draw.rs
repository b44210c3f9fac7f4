//! Charts and pages hold the measured figures, for different kinds of results.

use crate::pictures::is_readable;
use crate::sample::{self, MAX, OPEN, PassSpec};
use vnotch::report::text::first_screen;
use vnotch::report::{Drawn, draw};
use vnotch::result::{Recording, SeriesRow, Trial, TrialRecord, VerdictFlag, VerdictStatus};

const FILES: [&str; 8] = [
    "charts/throughput.png",
    "charts/throughput.svg",
    "charts/latency.png",
    "charts/latency.svg",
    "charts/latency-over-time.png",
    "charts/latency-over-time.svg",
    "report.html",
    "summary.md",
];

/// Draws all files of a result. Checks that each picture can be parsed, and that the page needs no other file. Returns a
/// function that gives the text of each file by its path.
fn drawn(recording: &Recording) -> impl Fn(&str) -> String + use<> {
    files(recording, &FILES)
}

/// The same as [`drawn`], for a recording of which not every chart is drawn.
#[track_caller]
fn files(recording: &Recording, expected: &[&str]) -> impl Fn(&str) -> String + use<> {
    let Drawn { artifacts, faults } = draw(recording);
    assert!(faults.is_empty(), "{faults:?}");
    let paths: Vec<&str> = artifacts.iter().map(|artifact| artifact.path.as_str()).collect();
    assert_eq!(paths, expected);
    for artifact in &artifacts {
        if artifact.path.ends_with(".png") {
            assert_eq!(artifact.content[..8], *b"\x89PNG\r\n\x1a\n");
        }
        if artifact.path.ends_with(".svg") {
            is_readable(std::str::from_utf8(&artifact.content).unwrap());
        }
    }
    let text = move |path: &str| {
        let artifact = artifacts.iter().find(|artifact| artifact.path == path).unwrap();
        String::from_utf8(artifact.content.clone()).unwrap()
    };
    let page = text("report.html");
    for loads in ["<script", "<link", "<img", "src=", "url(http", "@import"] {
        assert!(!page.contains(loads), "the page needs no other file: {loads}");
    }
    text
}

#[test]
fn every_drawing_says_what_was_measured_and_how_far_to_trust_it() {
    let text = drawn(&sample::quickstart());
    for chart in ["throughput", "latency", "latency-over-time"] {
        let svg = text(&format!("charts/{chart}.svg"));
        for expected in ["quickstart: ", "WRITTEN", "io direct", "valid (flags: noisy disk"] {
            assert!(svg.contains(expected), "{expected} in {chart}");
        }
    }
    let throughput = text("charts/throughput.svg");
    for expected in
        ["acked", "consumed", "offered", "backlog", "the bare disk", "GiB/s", "trial 2 of 3", "a flush every"]
    {
        assert!(throughput.contains(expected), "{expected}");
    }
    let latency = text("charts/latency.svg");
    assert!(latency.contains("service, max") && latency.contains("response, open at 725 k/s"));
    assert!(latency.contains("20261124-035404-quickstart-1a2b3c4d"), "the result's id");
    assert!(text("charts/latency-over-time.svg").contains("roll"));
    for page in [text("report.html"), text("summary.md")] {
        for expected in ["ceiling ranged over 1.6", "none missing", "1a2b3c4d5e6f", "response", "of ceiling"]
        {
            assert!(page.contains(expected), "{expected}");
        }
    }
}

#[test]
fn the_first_screen_fits_a_terminal() {
    let screen = first_screen(&sample::quickstart().result, "results/x".as_ref(), &["quickstart".to_owned()]);
    assert!(screen.lines().count() <= 24, "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 130), "{screen}");
    assert!(screen.contains("results/x/report.html"), "{screen}");
    assert!(screen.contains("a synced 4 KiB write 113 µs"), "{screen}");
}

#[test]
fn direct_io_that_goes_through_the_page_cache_is_named() {
    let mut recording = sample::quickstart();
    let screen =
        |recording: &Recording| first_screen(&recording.result, "r".as_ref(), &["quickstart".to_owned()]);
    assert!(screen(&recording).contains("io direct ·"));
    recording.result.environment.storage.direct_is_cached = Some(true);
    assert!(screen(&recording).contains("io direct (through the page cache) ·"));
}

#[test]
fn a_share_of_slices_that_lacked_the_trial_s_flushes_says_so() {
    let words = "writes, 6.1 in flight, slices without flushes";
    let mut recording = sample::quickstart();
    let screen =
        |recording: &Recording| first_screen(&recording.result, "r".as_ref(), &["quickstart".to_owned()]);
    assert!(!screen(&recording).contains(words));
    for trial in recording.result.points.iter_mut().flat_map(|point| &mut point.trials) {
        trial.resources.device_flushes = None;
        trial.ceiling.write_shape.as_mut().unwrap().flush_every_bytes = None;
    }
    assert!(screen(&recording).contains(words), "a result of an older revision");
    for trial in recording.result.points.iter_mut().flat_map(|point| &mut point.trials) {
        trial.ceiling.write_shape.as_mut().unwrap().dsync = true;
    }
    assert!(!screen(&recording).contains(words), "synced writes flush themselves");
}

#[test]
fn a_share_above_every_ceiling_is_called_no_ceiling() {
    let mut recording = sample::quickstart();
    for point in &mut recording.result.points {
        point.summary.get_mut("of_ceiling.write").unwrap().median = 4.95;
    }
    let screen = first_screen(&recording.result, "r".as_ref(), &["quickstart".to_owned()]);
    let line = screen.lines().find(|line| line.starts_with("of ceiling")).unwrap();
    assert!(line.contains("495 %") && line.contains(", so no ceiling"), "{screen}");
    let screen = first_screen(&sample::quickstart().result, "r".as_ref(), &["quickstart".to_owned()]);
    assert!(!screen.contains("no ceiling"), "{screen}");
}

#[test]
fn many_events_become_a_rate() {
    let text = drawn(&sample::recording(&[PassSpec { rolls: 600, ..OPEN }]));
    assert!(text("charts/latency-over-time.svg").contains("up to "));
}

#[test]
fn what_is_missing_is_left_out_and_nothing_breaks() {
    let mut recording = sample::recording(&[MAX, OPEN]);
    for trial in recording.result.points.iter_mut().flat_map(|point| &mut point.trials) {
        *trial = Trial::default();
    }
    recording.result.points[0].summary.clear();
    recording.result.points[1].summary.clear();
    for record in &mut recording.trials {
        *record = TrialRecord { point: record.point, trial: record.trial, ..TrialRecord::default() };
    }
    let pages = ["report.html", "summary.md"];
    let _ = files(&recording, &pages);
    recording.trials[0].series = vec![SeriesRow::default()];
    let _ = files(&recording, &pages);
    recording.trials.clear();
    recording.result.points.clear();
    let text = files(&recording, &pages);
    for page in pages {
        assert!(text(page).contains("Not drawn: Throughput over time (nothing was measured"), "{page}");
    }
}

#[test]
fn a_ceiling_far_above_is_named_and_a_long_run_is_drawn() {
    let long = PassSpec { window_s: 1000.0, trials: 1, records_per_s: 100.0, ..OPEN };
    let mut recording = sample::recording(&[long]);
    recording.trials[0].latency.truncate(50);
    let text = drawn(&recording);
    assert!(text("charts/throughput.svg").contains("the bare disk with the same writes: "));
}

#[test]
fn names_and_questions_are_text_and_no_markup() {
    let mut recording = sample::quickstart();
    recording.result.name = "<b>&\"".into();
    recording.result.question = Some("<script>alert(1)</script>".into());
    recording.result.verdict.reasons.push("a | b <i>".into());
    let text = drawn(&recording);
    assert!(text("report.html").contains("&lt;script&gt;"));
    assert!(text("summary.md").contains("a \\| b &lt;i>"));
}

#[test]
fn control_characters_are_shown_escaped_everywhere() {
    let evil = "a\u{1b}[2J\nb\r\0\u{9b}\u{202e}c";
    let mut recording = sample::recording(&[PassSpec { trials: 1, rolls: 6, ..OPEN }]);
    recording.result.name = evil.into();
    recording.result.question = Some(evil.into());
    recording.result.verdict.reasons.push(evil.into());
    recording.result.provenance.tags.insert("disk".into(), evil.into());
    recording.result.points[0].settings.insert("payload.path".into(), evil.into());
    recording.trials[0].events[0].kind = evil.into();
    recording.result.environment.cpu.model = Some(evil.into());
    let text = drawn(&recording);
    let screen = first_screen(&recording.result, "results/x".as_ref(), &["quickstart".to_owned()]);
    let files = FILES.iter().filter(|file| !file.ends_with(".png")).map(|file| (*file, text(file)));
    for (file, text) in files.chain([("the first screen", screen)]) {
        let is_hidden = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(is_hidden), "{file} holds a control character");
        assert!(text.contains("\\u{1b}[2J\\nb\\r\\u{0}\\u{9b}\\u{202e}"), "{file} shows it");
    }
}

#[test]
fn backticks_are_set_as_code() {
    let mut recording = sample::recording(&[PassSpec { trials: 1, window_s: 1.0, ..MAX }]);
    recording.result.points[0].trials[0].integrity.checked = None;
    let page = drawn(&recording)("report.html");
    assert!(page.contains("<code>verify: none</code>"));
    let (body, _) = page.split_once("<details>").unwrap();
    let markup = body.split("<svg").map(|part| part.rsplit("</svg>").next().unwrap());
    assert!(markup.into_iter().all(|part| !part.contains('`')), "no backtick is left raw");
}

#[test]
fn a_curve_ends_where_the_tables_do() {
    let recording = sample::recording(&[PassSpec { trials: 1, ..OPEN }]);
    let figures = recording.result.points[0].trials[0].latency_ns.response.clone().unwrap();
    assert!(
        figures.p99_9.is_some() && figures.p99_99.is_none(),
        "ten acks lie beyond p99.9, not beyond p99.99"
    );
    let curve = drawn(&recording)("charts/latency.svg");
    assert!(curve.contains("99.99 %") && !curve.contains("99.999 %"));
}

#[test]
fn a_stall_leaves_a_gap_in_every_line() {
    let lines =
        |recording: &Recording| drawn(recording)("charts/latency-over-time.svg").matches("<polyline").count();
    let mut recording = sample::recording(&[PassSpec { trials: 1, rolls: 0, ..OPEN }]);
    let whole = lines(&recording);
    for row in recording.trials[0].series.iter_mut().filter(|row| (3.0..6.0).contains(&row.t_s)) {
        (row.achieved, row.p50_ns, row.p99_ns, row.max_ns) = (0, None, None, None);
    }
    recording.trials[0].latency.retain(|kept| !(3.0..6.0).contains(&kept.start_s));
    assert_eq!(lines(&recording), whole + 3, "median, p99 and maximum are each in two parts");
}

#[test]
fn the_whole_verdict_is_in_every_picture() {
    let mut recording = sample::recording(&[PassSpec { trials: 1, window_s: 1.0, ..OPEN }]);
    recording.result.name = "a-long-name".repeat(9);
    let verdict = &mut recording.result.verdict;
    verdict.lower(VerdictStatus::IntegrityFailed, "lost");
    for flag in [
        VerdictFlag::NoisyDisk,
        VerdictFlag::NoisyCpu,
        VerdictFlag::NotSteady,
        VerdictFlag::GeneratorLimited,
        VerdictFlag::TargetFellBehind,
        VerdictFlag::Short,
    ] {
        verdict.flag(flag, "why");
    }
    let (verdict, text) = (recording.result.verdict.to_string(), drawn(&recording));
    for (chart, shows) in [("throughput", "throughput over time"), ("latency", "response time by percentile")]
    {
        let svg = text(&format!("charts/{chart}.svg"));
        assert!(svg.contains(&verdict) && svg.contains(shows), "{chart}");
    }
}

#[test]
fn losses_that_are_no_failures_are_still_reported() {
    let mut recording = sample::recording(&[PassSpec { trials: 1, window_s: 1.0, ..MAX }]);
    let integrity = &mut recording.result.points[0].trials[0].integrity;
    (integrity.undrained, integrity.lost_to_retention) = (Some(3), Some(8));
    let text = drawn(&recording);
    for page in [text("report.html"), text("summary.md")] {
        let apart = "3 not consumed when the drain ended; 8 deleted by retention before they were consumed";
        assert!(page.contains(apart) && !page.contains("delivered again"));
    }
}
