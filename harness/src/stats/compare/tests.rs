//! Tests of claims: equal settings are hardly ever claimed to differ, and real differences are found.

use super::*;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

/// Returns trials of settings whose true medians are `truth`: log-normal noise of `noise` per trial, and a drift of
/// four times as much that every setting of a block shares.
fn made_up(truth: &[f64], trials: usize, noise: f64, random: &mut SmallRng) -> Vec<Vec<f64>> {
    let mut normal = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    let drift: Vec<f64> = (0..trials).map(|_| 4.0 * noise * normal()).collect();
    let noisy = |truth: f64, drift: f64, normal: f64| truth * (drift + noise * normal).exp();
    truth.iter().map(|truth| drift.iter().map(|drift| noisy(*truth, *drift, normal())).collect()).collect()
}

/// Returns the index of the highest median: the setting that a sweep names.
fn best(trials: &[Vec<f64>]) -> usize {
    let medians: Vec<f64> = trials.iter().map(|it| crate::stats::median(it).unwrap()).collect();
    (0..medians.len()).max_by(|a, b| medians[*a].total_cmp(&medians[*b])).unwrap()
}

fn claims(trials: &[Vec<f64>], band: f64) -> usize {
    let found = against_each(trials, best(trials), band).into_iter().flatten();
    found.filter(|it| matches!(it.standing, Standing::Above | Standing::Below)).count()
}

/// Returns the share of made-up sweeps in which any difference was claimed.
fn claimed(truth: &[f64], trials: usize, band: f64, seed: u64) -> f64 {
    const SWEEPS: u32 = 1500;
    let mut random = SmallRng::seed_from_u64(seed);
    let some = (0..SWEEPS).filter(|_| claims(&made_up(truth, trials, 0.05, &mut random), band) > 0).count();
    some as f64 / f64::from(SWEEPS)
}

#[test]
fn equal_settings_are_claimed_to_differ_in_one_sweep_of_twenty_at_most() {
    // There is no noise band, and the best setting is picked after looking. 1.7 % is three standard errors of 1500
    // sweeps.
    for (settings, trials) in [(2, 6), (2, 20), (6, 7), (12, 10)] {
        let share = claimed(&vec![1.0; settings], trials, 0.0, 7);
        assert!(share <= 0.05 + 0.017, "{settings} equal settings, {trials} trials: {share}");
    }
    let exact = claimed(&[1.0; 2], 10, 0.0, 3);
    assert!(exact >= 0.05 - 0.017, "one comparison is no stricter than it says: {exact}");
}

#[test]
fn a_difference_inside_the_noise_band_is_hardly_ever_claimed() {
    let share = claimed(&[1.0, 1.019], 20, NOISE_BAND, 11);
    assert!(share <= 0.05, "{share}");
}

#[test]
fn a_difference_well_above_the_noise_is_found_through_the_drift() {
    let share = claimed(&[1.0, 1.0, 1.0, 1.5], 7, NOISE_BAND, 5);
    assert!(share >= 0.95, "{share}");
}

#[test]
fn below_six_trials_there_is_only_the_range() {
    let found = against_each(&[vec![5.0, 6.0, 7.0], vec![1.0, 2.0, 3.0], vec![5.5, 9.0, 4.0]], 0, NOISE_BAND);
    let told: Vec<_> =
        found.iter().map(|it| it.map(|it| (it.standing, it.interval, it.comparisons))).collect();
    assert_eq!(
        told,
        [None, Some((Standing::RangesApart, None, 0)), Some((Standing::RangesOverlap, None, 0))]
    );
}

#[test]
fn the_interval_is_the_textbook_one() {
    // Log ratios 1…6: t(5) at 97.5 % is 2.5706, s = 1.8708, n = 6.
    let one: Vec<f64> = (1..=6).map(|log| f64::from(log).exp()).collect();
    let found = against_each(&[one, vec![1.0; 6]], 0, NOISE_BAND)[1].unwrap();
    let interval = found.interval.unwrap();
    assert!((interval.low.ln() - 1.5367).abs() < 1e-3, "{interval:?}");
    assert!((interval.high.ln() - 5.4633).abs() < 1e-3, "{interval:?}");
    assert_eq!((found.standing, found.pairs, found.comparisons), (Standing::Above, 6, 1));
}

#[test]
fn holm_steps_down_and_stops_at_the_first_that_does_not_hold() {
    let levels = holm(&[0.2, 0.001, 0.015, 0.04]);
    let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
    let expected = [0.05 / 2.0, 0.05 / 4.0, 0.05 / 3.0, 0.05 / 2.0];
    assert!(levels.iter().zip(expected).all(|(a, b)| close(*a, b)), "{levels:?}");
}

#[test]
fn trials_that_came_to_nothing_are_not_paired() {
    let found =
        against_each(&[vec![0.0, 2.0, f64::NAN, 8.0], vec![1.0, 1.0, 1.0, 2.0], vec![0.0]], 0, NOISE_BAND);
    assert_eq!(found[1].map(|it| it.pairs), Some(2));
    assert!((found[1].unwrap().ratio - 8.0_f64.sqrt()).abs() < 1e-12);
    assert_eq!(found[2], None);
    assert!(against_each(&[], 0, NOISE_BAND).is_empty());
}

fn some_sweep() -> impl Strategy<Value = Vec<Vec<f64>>> {
    (1usize..12, 1usize..6).prop_flat_map(|(trials, settings)| {
        prop::collection::vec(prop::collection::vec(1e-3f64..1e9, trials), settings)
    })
}

proptest! {
    #[test]
    fn seen_from_the_other_side_it_is_the_inverse(trials in some_sweep()) {
        for one in 0..trials.len() {
            for (other, found) in against_each(&trials, one, NOISE_BAND).into_iter().enumerate() {
                let Some(found) = found else { continue };
                let back = against_each(&trials, other, NOISE_BAND)[one].unwrap();
                prop_assert!((found.ratio * back.ratio - 1.0).abs() < 1e-9);
                prop_assert_eq!(found.standing == Standing::Above, back.standing == Standing::Below);
                prop_assert_eq!(found.interval.is_some(), found.pairs >= INTERVAL_TRIALS_MIN);
                if let Some(interval) = found.interval {
                    prop_assert!(interval.low <= found.ratio && found.ratio <= interval.high);
                    prop_assert!(interval.confidence >= CONFIDENCE - 1e-12);
                }
            }
        }
    }

    #[test]
    fn what_hits_a_whole_block_changes_nothing(trials in some_sweep(), factor in 0.1f64..10.0) {
        let drifted: Vec<Vec<f64>> = trials.iter()
            .map(|it| it.iter().zip(1i32..).map(|(value, block)| value * factor.powi(block % 3)).collect())
            .collect();
        let pairs = against_each(&trials, 0, NOISE_BAND).into_iter().zip(against_each(&drifted, 0, NOISE_BAND));
        for (before, after) in pairs {
            let (Some(before), Some(after)) = (before, after) else { continue };
            prop_assert!((before.ratio / after.ratio - 1.0).abs() < 1e-6);
        }
    }
}
