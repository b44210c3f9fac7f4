//! Sweeps that were interrupted or killed lose no finished trial, and continue where they stopped.

use super::*;

#[test]
fn an_interrupted_sweep_keeps_what_it_has_and_is_gone_on_with_where_it_stopped() {
    let (mut bench, study) = (Bench::new(), study(SWEEP));
    bench.stop_at = Some(4);
    let first = bench.begin(&study).unwrap();
    assert!(!first.is_whole);
    let begun = first.recording.result;
    assert_eq!(begun.verdict.status, VerdictStatus::Interrupted);
    assert_eq!(bench.opened().len(), 4);
    drop(first.staging);
    bench.stop_at = None;
    let second = bench.resume(&study);
    assert!(second.is_whole);
    // The fourth trial was cut short before or in its window. It alone is made again.
    let order = expected(&study, 42);
    assert_eq!(bench.opened()[..4], order[..4]);
    assert_eq!(bench.opened()[4..], order[3..]);
    let result = second.recording.result;
    assert_eq!(trials(&result), [2; 4]);
    assert_ne!(result.verdict.status, VerdictStatus::Interrupted);
    assert_eq!(result.provenance.started_at, begun.provenance.started_at);
    assert_eq!(result.provenance.resumed_at.len(), 1);
    assert!(result.elapsed_s > begun.elapsed_s);
    let before: Vec<_> =
        begun.points.iter().flat_map(|point| &point.trials).filter(|t| t.window_s > 0.19).collect();
    let after: Vec<_> = result.points.iter().flat_map(|point| &point.trials).collect();
    assert!(
        before.len() >= 3 && before.iter().all(|trial| after.contains(trial)),
        "they are the same trials"
    );
    let first_of_second = after.iter().map(|trial| trial.window_start_s).fold(0.0, f64::max);
    assert!(first_of_second > begun.elapsed_s, "time goes on");
}

#[test]
fn an_interruption_between_two_trials_is_one_too() {
    let (mut bench, study) = (Bench::new(), study(&SWEEP.replace("warmup: 0", "warmup: 600ms")));
    bench.stop_at = Some(2);
    let measured = bench.begin(&study).unwrap();
    assert!(!measured.is_whole);
    let result = measured.recording.result;
    assert_eq!(trials(&result), [1], "the second was cut before its window opened");
    assert_eq!(result.verdict.status, VerdictStatus::Interrupted);
    assert!(
        result.verdict.reasons.iter().any(|reason| reason.contains("1 of 8 trials")),
        "{:?}",
        result.verdict
    );
}

#[test]
fn a_sweep_that_was_killed_has_lost_no_more_than_the_trial_under_way() {
    let (mut bench, study) = (Bench::new(), study(SWEEP));
    bench.stop_at = Some(3);
    drop(bench.begin(&study).unwrap());
    // A kill while a trial is kept leaves half of its files, and one file under a temporary name.
    let [(dir, _)] = &unfinished(&bench.results()).unwrap()[..] else { panic!("one") };
    std::fs::write(dir.join("trials/000002.hlog"), "half").unwrap();
    std::fs::write(dir.join("trials/.unfinished-x"), "half").unwrap();
    bench.stop_at = None;
    let result = bench.resume(&study).recording.result;
    assert_eq!(trials(&result), [2; 4]);
    assert_eq!(bench.opened().len(), 3 + 6);
}

#[test]
fn a_sweep_that_was_stopped_before_anything_was_measured_leaves_nothing() {
    let (mut bench, study) = (Bench::new(), study(&SWEEP.replace("warmup: 0", "warmup: 5s")));
    bench.stop_at = Some(1);
    assert!(bench.begin(&study).is_none());
    assert_eq!(std::fs::read_dir(bench.results()).unwrap().count(), 0);
}

#[test]
fn a_sweep_is_not_gone_on_with_under_other_stalls() {
    let (mut bench, study) = (Bench::new(), study(SWEEP));
    bench.stop_at = Some(2);
    drop(bench.begin(&study).unwrap());
    let [(dir, manifest)] = &unfinished(&bench.results()).unwrap()[..] else { panic!("one") };
    let mut manifest = manifest.clone();
    manifest.injected =
        vec!["stall:shard0:1s@2s".parse::<crate::trial::inject::Injection>().unwrap().to_string()];
    std::fs::write(dir.join("sweep.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
    let data_dir = DataDir::open(Some(&bench.dir.path().join("data"))).unwrap();
    let keeping = Keeping::In(Box::new(Staging::open(dir).unwrap()));
    let open = |_: &Workload, _: &CoresUsed, _: &Path| anyhow::bail!("nothing is measured");
    let context = RunContext {
        study: &study,
        options: &Options { is_quiet: true, ..Options::default() },
        open: &open,
        unwarmed: &|_| None,
        device: &bare_device,
        data_dir: &data_dir,
        stop: &Arc::default(),
        measured: &AtomicBool::new(false),
        progress: &Progress::silent(),
        started: Instant::now(),
    };
    let error = run_in(context, keeping).unwrap_err().to_string();
    assert!(error.contains("with `--inject stall:shard0:1s@2s`, and this is no `--inject`"), "{error}");
}

#[test]
fn percentiles_can_be_computed_again_from_the_files_of_a_sweep_that_was_resumed() {
    let (mut bench, study) = (Bench::new(), study(LATE));
    bench.stop_at = Some(2);
    drop(bench.begin(&study).unwrap());
    bench.stop_at = None;
    let measured = bench.resume(&study);
    let dir = store::write(&bench.results(), &measured.recording, &[]).unwrap();
    let back = store::load(&dir).unwrap();
    let mut percentiles = 0;
    for (index, point) in back.result.points.iter().enumerate() {
        for (number, trial) in point.trials.iter().enumerate() {
            assert!(trial.clock_zero_unix_ms.unwrap() > 0);
            let histograms = &back.trial(index, number).unwrap().histograms;
            for measure in Measure::ALL {
                let Some((_, figures)) =
                    trial.latency_ns.named().into_iter().find(|it| it.0 == measure.name())
                else {
                    panic!("every measure has a name")
                };
                let Some(figures) = figures else { continue };
                let count = |counting| histograms.histogram(measure, counting).map_or(0, |it| it.len());
                let acks = histograms.histogram(measure.acks(), Counting::Distinct);
                assert_eq!(count(Counting::Records), figures.count);
                assert_eq!(Some(acks.map_or(0, |it| it.len())), figures.distinct);
                let (names, quantiles): (Vec<_>, Vec<_>) =
                    LatencyFigures::QUANTILES.into_iter().filter(|(name, _)| *name != "max").unzip();
                let written: Vec<_> = names.into_iter().map(|name| figures.at(name)).collect();
                let computed = histograms.at_quantiles(measure, &quantiles, figures.censored_from);
                // Producers know how long end-to-end latencies waited for the generator, and consumers do not.
                if measure != Measure::EndToEnd {
                    assert_eq!(computed, written, "{index}.{number} {}", measure.name());
                }
                percentiles += computed.iter().flatten().count();
            }
        }
    }
    assert!(percentiles > 0);
}

#[test]
fn two_processes_do_not_go_on_with_one_sweep() {
    let (mut bench, study) = (Bench::new(), study(SWEEP));
    bench.stop_at = Some(2);
    let measured = bench.begin(&study).unwrap();
    let staging = measured.staging.unwrap();
    let error = Staging::open(staging.dir()).unwrap_err().to_string();
    assert!(error.contains("another process"), "{error}");
}

#[test]
fn a_directory_that_cannot_be_written_costs_a_sweep_nothing() {
    let (mut bench, study) = (Bench::new(), study(SWEEP));
    // The second and the third trial cannot be stored. The fourth is stored with them.
    bench.unstorable = 2..4;
    bench.stop_at = Some(6);
    let first = bench.begin(&study).unwrap();
    assert!(!first.staging.as_ref().unwrap().has_unstored());
    drop(first);
    (bench.stop_at, bench.unstorable) = (None, 0..0);
    let second = bench.resume(&study);
    assert_eq!(bench.opened().len(), 6 + 3, "the sixth trial alone is made again");
    assert_eq!(trials(&second.recording.result), [2; 4]);
}

#[test]
fn a_directory_that_stays_unwritable_costs_a_sweep_its_resumption_only() {
    let (mut bench, study) = (Bench::new(), study(SWEEP));
    bench.unstorable = 3..usize::MAX;
    let measured = bench.begin(&study).unwrap();
    assert!(measured.is_whole && measured.staging.unwrap().has_unstored());
    assert_eq!(trials(&measured.recording.result), [2; 4]);
    assert_ne!(measured.recording.result.verdict.status, VerdictStatus::Errors);
}

#[test]
fn a_sweep_that_fails_saves_the_trials_that_could_not_be_stored() {
    let (mut bench, study) = (Bench::new(), study(SWEEP));
    bench.unstorable = 3..usize::MAX;
    bench.closed_at = Some(5);
    let measured = bench.begin(&study).unwrap();
    let result = measured.recording.result;
    assert_eq!(trials(&result).iter().sum::<usize>(), 4);
    assert_eq!(result.verdict.status, VerdictStatus::Errors);
}
