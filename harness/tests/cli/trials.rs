//! Tests of the parts beside each trial of a run: slices of the ceiling, and the check of its log.

use crate::run::{Bench, SMALL, result_of};
use crate::support::{end, vnotch};
use serde_json::{Value, json};

/// Two trials of records that nobody consumes.
const PRODUCE_ONLY: &str = "subscriptions_per_topic: 0\nverify: sequence+crc\n";

fn trials_of(bench: &Bench) -> Vec<Value> {
    let [directory] = &bench.results()[..] else { panic!("one result") };
    result_of(directory)["points"][0]["trials"].as_array().unwrap().clone()
}

fn two_trials(extra: &str) -> String {
    SMALL.replace("trials: 1", "trials: 2") + extra
}

#[test]
fn without_a_ceiling_nothing_is_measured_beside_any_trial() {
    let bench = Bench::new(&two_trials(""));
    end(bench.run(&mut vnotch())).measured();
    let trials = trials_of(&bench);
    assert_eq!(trials.len(), 2);
    for trial in trials {
        assert_eq!(trial["ceiling"]["write_slices_bytes_per_s"], json!([]));
        assert_eq!(trial["ceiling"]["write_shape"], Value::Null);
        assert_eq!(trial["of_ceiling"], json!({"write": null, "read": null, "combined": null}));
    }
}

#[test]
fn every_trial_stands_between_slices_of_its_own_writes() {
    let text = two_trials("durability: synced\n").replace("ceiling: off", "ceiling: auto");
    let bench = Bench::new(&text);
    end(bench.run(&mut vnotch())).measured();
    for trial in trials_of(&bench) {
        let ceiling = &trial["ceiling"];
        let slices = ceiling["write_slices_bytes_per_s"].as_array().unwrap().len();
        let is_after_only = ceiling["is_after_only"].as_bool().unwrap();
        assert_eq!(slices, if is_after_only { 1 } else { 2 }, "{ceiling}");
        let shape = &ceiling["write_shape"];
        let sizes = shape["sizes"].as_array().unwrap();
        let writes: u64 = sizes.iter().map(|size| size[1].as_u64().unwrap()).sum();
        let counted: u64 =
            trial["per_shard"].as_array().unwrap().iter().map(|it| it["writes"].as_u64().unwrap()).sum();
        assert_eq!(writes, counted, "every write of the window is in the shape");
        assert_eq!((&shape["dsync"], &shape["files"]), (&json!(true), &json!(1)));
        assert!(trial["of_ceiling"]["write"].as_f64().unwrap() > 0.0, "{}", trial["of_ceiling"]);
        assert!(trial["of_device"].as_f64().unwrap() > 0.0);
        assert!(ceiling["device_write_cell"]["depth"].as_u64().unwrap() >= 4, "{ceiling}");
    }
}

#[test]
fn a_trial_that_nobody_consumed_is_read_back() {
    let bench = Bench::new(&two_trials(PRODUCE_ONLY));
    let screen = end(bench.run(&mut vnotch())).measured();
    assert!(screen.contains("read back after the trial"), "{screen}");
    for trial in trials_of(&bench) {
        let integrity = &trial["integrity"];
        let least = trial["produce"]["records"].as_u64().unwrap();
        assert!(integrity["checked"].as_u64().unwrap() >= least, "{integrity}");
        for found in ["gaps", "duplicates", "reorders", "corruptions", "undrained", "defects"] {
            assert_eq!(integrity[found], 0, "{found}: {integrity}");
        }
    }
    let bench = Bench::new(&(two_trials(PRODUCE_ONLY).replace("sequence+crc", "none")));
    end(bench.run(&mut vnotch())).measured();
    let integrity = &trials_of(&bench)[0]["integrity"];
    assert_eq!((&integrity["checked"], &integrity["defects"]), (&Value::Null, &Value::Null));
}

#[test]
fn strict_makes_a_flag_an_exit_code_and_refuses_what_is_no_flag() {
    let bench = Bench::new(SMALL);
    let refused = end(bench.run(&mut vnotch()).arg("--strict=short,noise")).refusal(2);
    assert!(refused.contains("`noise` is no flag; the flags are noisy_disk, noisy_cpu"), "{refused}");
    assert!(bench.results().is_empty(), "nothing was measured");
    let ended = end(bench.run(&mut vnotch()).arg("--strict"));
    let verdict = &result_of(&bench.results()[0])["verdict"];
    assert_eq!(verdict["status"], "valid");
    // Whether a window of this length on this machine has flags is not known.
    let is_flagged = !verdict["flags"].as_array().unwrap().is_empty();
    assert_eq!(ended.code, Some(if is_flagged { 5 } else { 0 }), "{verdict}");
    assert_eq!(ended.stderr.contains("vnotch: --strict: flagged "), is_flagged, "{}", ended.stderr);
}
