//! The answers of sweeps: which settings remain, and prices.

use crate::sweeps::{flowing, holds, of_sweep, screen, sizes, sweep};
use serde_json::json;
use vnotch::result::{LateAttempt, Recording, VerdictFlag};
use vnotch::stats;

/// Gives the points from the second on the trials of the first one, scaled by the factor of their combination, so that their
/// throughputs differ by exactly these factors.
fn with_throughputs(recording: &mut Recording, factors: &[f64], noise: impl Fn(usize, usize) -> f64) {
    let trials = recording.result.points[0].trials.clone();
    for (index, factor) in factors.iter().enumerate() {
        let mut own = trials.clone();
        for (block, trial) in own.iter_mut().enumerate() {
            trial.produce.bytes_per_s *= factor * noise(index, block);
        }
        let point = &mut recording.result.points[2 * index];
        point.summary = stats::summarise(&own);
        point.trials = own;
    }
}

/// Returns a noise of about 1 %, different for each setting and block.
fn small_noise(setting: usize, block: usize) -> f64 {
    1.0 + 0.01 * ((setting * 7 + block * 5 + setting * block) as f64).sin()
}

#[test]
fn no_setting_is_ruled_out_where_there_is_no_difference() {
    let mut recording = sweep(&[("log.segment_bytes", &sizes(3))], 10);
    with_throughputs(&mut recording, &[1.0, 1.0, 1.0], small_noise);
    let summary = of_sweep(&recording)("summary.md").unwrap();
    holds(
        &summary,
        &["No setting is ruled out by throughput.", "looks best, ", "none of the others has more than "],
    );
    holds(&summary, &["10 trials of each can show differences of "]);
    let (answer, _) = summary.split_once("- throughput").unwrap();
    assert!(!answer.contains("Ruled out"), "{answer}");
}

#[test]
fn settings_that_remain_and_settings_that_are_ruled_out_are_named_with_their_effect() {
    let mut recording = sweep(&[("log.segment_bytes", &sizes(3))], 10);
    with_throughputs(&mut recording, &[1.0, 0.8, 1.001], small_noise);
    let screen = screen(&recording);
    let said = flowing(&screen);
    holds(&said, &["looks best, throughput ", "One other cannot be told from it: segment_bytes "]);
    holds(
        &said,
        &["Ruled out: segment_bytes 8 MiB with 20 % less (", "10 trials of each can show differences of "],
    );
    assert_eq!(said.matches("out −").count(), 1, "one row is marked:\n{screen}");
    assert!(
        screen.lines().nth(1).unwrap().contains("looks best, throughput"),
        "the answer is first:\n{screen}"
    );
    let mut recording = sweep(&[("log.segment_bytes", &sizes(3))], 10);
    with_throughputs(&mut recording, &[1.0, 0.8, 0.9], small_noise);
    let said = flowing(&crate::sweeps::screen(&recording));
    holds(
        &said,
        &[
            "segment_bytes 4 MiB has the highest throughput: ",
            "Ruled out: segment_bytes 16 MiB with 9.9 % less (9 to 11 %)",
        ],
    );
}

#[test]
fn a_better_median_that_does_not_win_is_explained() {
    let mut recording = sweep(&[("log.segment_bytes", &sizes(2))], 10);
    // The second setting is faster in most blocks, and much slower in some.
    let uneven = |setting: usize, block: usize| match (setting, block % 3) {
        (1, 0) => 0.2,
        _ => small_noise(setting, block),
    };
    with_throughputs(&mut recording, &[1.0, 1.2], uneven);
    let said = flowing(&screen(&recording));
    holds(&said, &["segment_bytes 4 MiB looks best, ", "The median of segment_bytes 8 MiB is better, "]);
    holds(
        &said,
        &["but the answer compares settings within each block, and there it had on average ", " % less."],
    );
    with_throughputs(&mut recording, &[1.0, 0.8], |_, _| 1.0);
    assert!(!flowing(&screen(&recording)).contains("is better"), "the best one has the best median too");
}

#[test]
fn there_is_one_answer_within_each_durability() {
    let durability = ["written", "synced"].map(|text| json!(text));
    let mut recording = sweep(&[("durability", &durability), ("log.segment_bytes", &sizes(2))], 10);
    with_throughputs(&mut recording, &[1.0, 0.8, 0.1, 0.12], small_noise);
    let summary = of_sweep(&recording)("summary.md").unwrap();
    holds(&summary, &["With durability written: segment_bytes 4 MiB has the highest throughput"]);
    holds(&summary, &["With durability synced: segment_bytes 8 MiB has the highest throughput"]);
    holds(&summary, &["The other, segment_bytes 8 MiB, is ruled out with 20 % less"]);
}

#[test]
fn an_answer_in_ratios_gives_the_price_of_each_step_and_no_winner() {
    let durability = ["appended", "written", "synced"].map(|text| json!(text));
    let mut recording = sweep(&[("durability", &durability)], 10);
    recording.result.workload["answer"] = json!("ratio");
    recording.result.workload["sweep"] = json!({"durability": durability});
    with_throughputs(&mut recording, &[1.0, 0.5, 0.05], small_noise);
    let screen = screen(&recording);
    let said = flowing(&screen);
    holds(&said, &["The price of durability in throughput: appended → written × 0.50 (0.49 to 0.50), from "]);
    holds(&said, &["written → synced × 0.10 ("]);
    assert!(!screen.contains("best") && !screen.contains("uled out"), "{screen}");
    holds(
        &screen,
        &[
            "vs before",
            " 0.50 [0.49–0.50] ",
            "vs before: multiple of the row with the durability before it [95 % interval",
        ],
    );
    let file = of_sweep(&recording);
    holds(
        &file("summary.md").unwrap(),
        &[
            "| durability | × throughput | × p99 response | blocks |\n|---|---:|---:|---|\n| appended → written | 0.50 [0.49–0.50] | ",
            "\n| written → synced | 0.10 [0.10–0.10] | ",
            "×: the metric after the step, as a multiple of that before it, in trials of the same blocks [95 % interval that holds",
        ],
    );
    let page = file("report.html").unwrap();
    holds(
        &page,
        &["<h2>Prices</h2>", "<td>appended → written</td><td class=\"number\">0.50 [0.49–0.50]</td>"],
    );
    assert!(
        page.find("class=\"answer\"").unwrap() < page.find("<h2>Prices</h2>").unwrap(),
        "the sentence is first"
    );
    let few = sweep(&[("durability", &durability)], 3);
    let mut few = Recording { result: few.result, trials: Vec::new() };
    few.result.workload = recording.result.workload.clone();
    holds(
        &flowing(&crate::sweeps::screen(&few)),
        &["No interval yet: an answer needs 8 blocks (`--trials 8`), not 3."],
    );
    holds(
        &crate::sweeps::screen(&few),
        &["vs before: multiple of the row with the durability before it (an interval needs 8 blocks)"],
    );
}

#[test]
fn the_table_of_prices_names_the_other_settings_and_the_contradicted_steps() {
    let durability = ["written", "synced"].map(|text| json!(text));
    let mut recording = sweep(&[("durability", &durability), ("log.segment_bytes", &sizes(2))], 10);
    recording.result.workload["answer"] = json!("ratio:durability");
    recording.result.workload["sweep"] = json!({"durability": durability, "log.segment_bytes": sizes(2)});
    with_throughputs(&mut recording, &[1.0, 1.0, 0.5, 0.5], small_noise);
    for trial in &mut recording.result.points[4].trials {
        let mut late = trial.clone();
        late.produce.bytes_per_s *= 4.0;
        trial.late_attempts.push(LateAttempt::of(&late));
    }
    let open = &mut recording.result.points[7];
    open.trials.iter_mut().take(3).for_each(|trial| trial.is_late = true);
    open.summary = stats::summarise(&open.trials);
    let summary = of_sweep(&recording)("summary.md").unwrap();
    let of_late = summary.lines().find(|line| line.starts_with("| written → synced | 8 MiB |")).unwrap();
    assert!(of_late.ends_with(" | 10 / 7 |") && of_late.matches('[').count() == 1, "{of_late}");
    holds(
        &summary,
        &[
            "; an interval needs 8 blocks\n",
            "| durability | segment_bytes | × throughput | × p99 response | blocks |",
            "| written → synced | 4 MiB | 0.50 [0.50–0.51] contradicted |",
            "| written → synced | 8 MiB | 0.50 [0.50–0.51] |",
            "contradicted: first attempts, late ones included, do not show this difference",
        ],
    );
}

#[test]
fn only_what_a_ratio_compares_has_a_common_rate_and_each_row_says_its_own() {
    let (targets, sizes) =
        (["engine", "kafka"].map(|text| json!(text)), ["100B", "1KiB"].map(|text| json!(text)));
    let mut recording = sweep(&[("message_size", &sizes), ("target", &targets)], 10);
    recording.result.workload["answer"] = json!("ratio:target");
    recording.result.workload["sweep"] = json!({"message_size": sizes, "target": targets});
    recording.result.workload["load"] = json!({"mode": "open", "rate": "50%"});
    for point in &mut recording.result.points {
        let rate = if point.settings["message_size"] == "1KiB" { 25_000.0 } else { 75_000.0 };
        if let Some(offered) = point.summary.get_mut("offered.records_per_s") {
            offered.median = rate;
        }
    }
    let screen = screen(&recording);
    let beside = "50 % of what the slowest target reached";
    holds(&flowing(&screen), &[beside, "75.0 k/s", "25.0 k/s"]);
    assert!(!screen.contains("the same for all rows"), "{screen}");
    let summary = of_sweep(&recording)("summary.md").unwrap();
    holds(&summary, &["| rate | p99 |", "beside each combination of the other settings"]);
}

#[test]
fn the_metric_that_a_workload_names_comes_first() {
    let mut recording = sweep(&[("log.segment_bytes", &sizes(2))], 10);
    recording.result.workload["metric"] = json!("write_amplification");
    let screen = screen(&recording);
    holds(screen.lines().nth(1).unwrap(), &["write amplification"]);
    let svg = of_sweep(&recording)("charts/sweep.svg").unwrap();
    let at = |text: &str| svg.find(text).unwrap();
    assert!(at("write amplification: bytes") < at("p99 response"), "its panel is the first");
}

#[test]
fn a_claim_that_first_attempts_contradict_is_taken_back() {
    let mut recording = sweep(&[("log.segment_bytes", &sizes(2))], 10);
    with_throughputs(&mut recording, &[1.0, 0.8], small_noise);
    let first = recording.result.points[0].trials.clone();
    for (trial, fast) in recording.result.points[2].trials.iter_mut().zip(first) {
        let mut late = fast;
        late.produce.bytes_per_s *= 1.1;
        trial.late_attempts.push(LateAttempt::of(&late));
    }
    let said = flowing(&screen(&recording));
    holds(
        &said,
        &["Not ruled out, because first attempts, late ones included, contradict it: segment_bytes 8 MiB."],
    );
}

#[test]
fn the_page_begins_with_the_answer_and_folds_the_rest() {
    let mut recording = sweep(&[("log.segment_bytes", &sizes(3))], 10);
    with_throughputs(&mut recording, &[1.0, 0.8, 0.9], small_noise);
    for count in 0..4 {
        recording.result.verdict.flag(VerdictFlag::NoisyDisk, format!("reason {count}"));
    }
    let file = of_sweep(&recording);
    for (page, marks) in [
        (
            file("report.html").unwrap(),
            ["class=\"answer\"", "class=\"numbers\"", "<figure", "class=\"verdict", "<table"],
        ),
        (
            file("summary.md").unwrap(),
            ["has the highest throughput", "- throughput: ", "![", "**valid", "| segment_bytes"],
        ),
    ] {
        let at = marks.map(|mark| page.find(mark).unwrap_or_else(|| panic!("no {mark} in:\n{page}")));
        assert!(at.is_sorted(), "{marks:?} at {at:?}");
        assert!(page.find("<details").unwrap() < page.find("reason 3").unwrap(), "reasons are folded");
    }
}
