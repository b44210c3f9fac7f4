//! What killed runs leave behind: it is named with its size, and `prune --leftovers` removes it and nothing else.

use crate::run::{Bench, SMALL};
use crate::support::{alone, end, vnotch};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Begins a run without `--data-dir` and kills it when it has data. Returns its data directory.
fn killed_run(bench: &Bench) -> PathBuf {
    let _alone = alone();
    let mut command = vnotch();
    command.arg("run").arg(&bench.file).args(["-d", "60s", "-o"]).arg(bench.path("results"));
    let command = command.current_dir(bench.dir.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let data = bench.path(&format!("vnotch-data-{}-0", child.id()));
    let begun = Instant::now();
    while !data.join("catalog.json").exists() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(data.join("catalog.json").exists(), "the run had begun");
    data
}

#[test]
fn what_a_killed_run_left_is_named_and_removed() {
    let bench = Bench::new(SMALL);
    let data = killed_run(&bench);
    let name = data.file_name().unwrap().to_str().unwrap().to_owned();
    let kept = bench.path("vnotch-kept-1-0");
    std::fs::create_dir(&kept).unwrap();
    let here = |arguments: &[&str]| end(vnotch().args(arguments).current_dir(bench.dir.path()));

    let doctor = here(&["doctor"]).stdout;
    assert!(doctor.contains(&name) && doctor.contains("prune --leftovers"), "{doctor}");
    for arguments in [vec!["check", "small.yaml"], vec!["run", "small.yaml", "-d", "200ms", "-o", "results"]]
    {
        let said = here(&arguments).stderr;
        assert!(said.contains(&name) && said.contains("iB"), "{arguments:?}: {said}");
    }

    let listed = here(&["prune", "--leftovers"]).success();
    assert!(listed.contains("would remove") && listed.contains(&name), "{listed}");
    assert!(data.exists());
    let removed = here(&["prune", "--leftovers", "--yes"]).success();
    assert!(removed.contains("removed") && removed.contains(&name), "{removed}");
    assert!(!data.exists() && kept.exists() && bench.file.exists());
    assert_eq!(bench.results().len(), 1, "results are no leftovers");
    let nothing = here(&["prune", "--leftovers", "--format", "json"]).success();
    let nothing: serde_json::Value = serde_json::from_str(&nothing).unwrap();
    assert_eq!((&nothing["bytes"], nothing["leftovers"].as_array().unwrap().len()), (&0.into(), 0));
}

#[test]
fn data_that_is_kept_is_no_leftover() {
    let bench = Bench::new(SMALL);
    let mut command = vnotch();
    command.arg("run").arg(&bench.file).args(["-d", "200ms", "--keep-data", "-o"]).arg(bench.path("results"));
    end(command.current_dir(bench.dir.path())).success();
    let names: Vec<String> = std::fs::read_dir(bench.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("vnotch-"))
        .collect();
    let [kept] = &names[..] else { panic!("{names:?}") };
    assert!(kept.starts_with("vnotch-kept-"), "{kept}");
    let listed = end(vnotch().args(["prune", "--leftovers"]).current_dir(bench.dir.path()));
    assert!(listed.stderr.contains("nothing to remove"), "{}", listed.stderr);
}
