//! Tests of the settings that remain: equal settings are hardly ever ruled out, and real differences are found.

use super::draws::{constants, normal};
use super::*;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use std::fmt::Write as _;

/// Draws that the table is made of.
const DRAWS: usize = 40_000;
/// Draws that a test takes to recompute the table.
const DRAWS_FEW: usize = 8_000;
/// Sweeps of each proof; their seeds are 1 to this number, or as many fresh ones (see [`seeds`]).
const SWEEPS: u64 = 400;
/// Blocks and settings of each proof.
const BLOCKS: usize = 10;
const SETTINGS: usize = 9;

/// Returns the seeds of a proof: 1 to 400. `VNOTCH_SEEDS_FROM=N` gives N to N + 399.
fn seeds() -> impl Iterator<Item = u64> {
    let from: u64 = std::env::var("VNOTCH_SEEDS_FROM").map_or(1, |text| text.parse().unwrap());
    from..from + SWEEPS
}

/// Returns trials of settings whose true values are `truth`. Each has a log-normal noise of its own `spread`. A drift of 20 % is
/// common to all settings of a block.
fn made_up(truth: &[f64], spread: impl Fn(usize) -> f64, blocks: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut random = SmallRng::seed_from_u64(seed);
    let drift: Vec<f64> = (0..blocks).map(|_| 0.2 * normal(&mut random)).collect();
    let mut noisy =
        |setting: usize, drift: f64| truth[setting] * (drift + spread(setting) * normal(&mut random)).exp();
    (0..truth.len()).map(|setting| drift.iter().map(|drift| noisy(setting, *drift)).collect()).collect()
}

fn answer(trials: &[Vec<f64>], better: Better) -> Remaining {
    remaining(trials, trials, better).unwrap()
}

fn is_ruled_out(answer: &Remaining, setting: usize) -> bool {
    answer.others[setting].is_some_and(|it| it.standing == Standing::RuledOut)
}

/// Returns the number of sweeps over equal settings that rule any of them out.
fn false_answers(spread: impl Fn(usize) -> f64 + Copy, better: Better) -> usize {
    let rules_out = |seed: &u64| {
        let answer = answer(&made_up(&[1.0; SETTINGS], spread, BLOCKS, *seed), better);
        (0..SETTINGS).any(|setting| is_ruled_out(&answer, setting))
    };
    seeds().filter(rules_out).count()
}

#[test]
fn equal_settings_are_ruled_out_in_29_of_400_sweeps_at_most() {
    for better in [Better::More, Better::Less] {
        let alike = false_answers(|_| 0.04, better);
        assert!(alike <= 29, "{better:?}: {alike} of {SWEEPS}");
        let mixed = false_answers(|setting| if setting % 2 == 0 { 0.03 } else { 0.12 }, better);
        assert!(mixed <= 29, "{better:?}, spreads of 3 and 12 %: {mixed} of {SWEEPS}");
    }
}

#[test]
fn a_setting_that_is_ten_percent_worse_is_ruled_out_in_372_of_400_sweeps_at_least() {
    for (better, worse) in [(Better::More, 1.0 / 1.1), (Better::Less, 1.1)] {
        let mut truth = [1.0; SETTINGS];
        truth[4] = worse;
        let found = seeds()
            .filter(|seed| is_ruled_out(&answer(&made_up(&truth, |_| 0.04, BLOCKS, *seed), better), 4));
        let found = found.count();
        assert!(found >= 372, "{better:?}: {found} of {SWEEPS}");
    }
}

#[test]
fn the_least_difference_is_one_that_is_found_nineteen_times_of_twenty() {
    let (mut told, mut found) = (Vec::new(), 0);
    for seed in seeds() {
        told.push(answer(&made_up(&[1.0; SETTINGS], |_| 0.04, BLOCKS, seed), Better::More).sight.unwrap());
    }
    assert!(told.iter().all(|sight| sight.blocks == BLOCKS));
    let told = median(&told.iter().map(|sight| sight.difference).collect::<Vec<_>>()).unwrap();
    let two = |seed| made_up(&[1.0, 1.0], |_| 0.04, BLOCKS, seed);
    let sight =
        seeds().map(|seed| answer(&two(seed), Better::More).sight.unwrap().difference).collect::<Vec<_>>();
    let of_two = median(&sight).unwrap();
    for seed in seeds() {
        let trials = made_up(&[1.0, 1.0 / (1.0 + of_two)], |_| 0.04, BLOCKS, seed);
        found += usize::from(is_ruled_out(&answer(&trials, Better::More), 1));
    }
    // Three standard errors to both sides of 95 %, and the middle of many estimates of a spread, which is 4 % too small.
    assert!((360..=393).contains(&found), "{found} of {SWEEPS} at {of_two}");
    assert!(told > of_two, "more settings make it harder: {told}, {of_two}");
}

#[test]
fn the_constants_can_be_drawn_again() {
    if std::env::var_os("VNOTCH_BLESS").is_some() {
        write(&constants(DRAWS, 1));
    }
    for (settings, blocks, expected) in [(9, 8, 4.64), (9, 10, 4.21), (9, 16, 3.71)] {
        let stored = constant(settings, blocks).unwrap();
        assert!((stored / expected - 1.0).abs() < 0.02, "{settings}, {blocks}: {stored}");
    }
    for (row, drawn) in constants(DRAWS_FEW, 2).iter().enumerate() {
        for (column, drawn) in drawn.iter().enumerate() {
            let stored = CONSTANTS[row][column];
            // Five standard errors of a 95 % point of so few draws are 5 % at most.
            assert!((stored / drawn - 1.0).abs() < 0.05, "{row}, {column}: {stored}, {drawn}");
        }
    }
}

/// Writes the table of constants.
fn write(constants: &[Vec<f64>]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/stats/remaining/constants.rs");
    let source = std::fs::read_to_string(path).unwrap();
    let (head, _) = source.split_once("= [").unwrap();
    let mut text = format!("{head}= [\n");
    for row in constants {
        let cells: Vec<String> = row.iter().map(|constant| format!("{constant:.3}")).collect();
        writeln!(text, "    [{}],", cells.join(", ")).unwrap();
    }
    std::fs::write(path, text + "];\n").unwrap();
}

#[test]
fn with_two_settings_the_constant_is_students_and_beyond_the_table_it_is_a_bound() {
    for blocks in [8, 12, 20, 32] {
        let student = student_point(blocks, 0.025).unwrap();
        assert!((constant(2, blocks).unwrap() / student - 1.0).abs() < 0.03, "{blocks}");
    }
    assert_eq!(constant(9, 7), None);
    assert_eq!(constant(9, 500), constant(9, 32));
    assert_eq!(constant(1, 8), constant(2, 8));
    for blocks in [8, 12, 32] {
        assert!(constant(25, blocks).unwrap() > constant(24, blocks).unwrap());
    }
}

#[test]
fn below_eight_blocks_nothing_is_ruled_out_but_the_least_difference_of_eight_is_told() {
    let trials = made_up(&[1.0, 0.1], |_| 0.01, 7, 3);
    let answer = answer(&trials, Better::More);
    let against = answer.others[1].unwrap();
    assert_eq!((answer.best, against.standing, against.interval), (0, Standing::TooFewBlocks, None));
    assert!((against.ratio / 0.1 - 1.0).abs() < 0.1 && against.blocks == 7);
    let sight = answer.sight.unwrap();
    assert_eq!(sight.blocks, BLOCKS_MIN);
    assert!((0.005..0.1).contains(&sight.difference), "{sight:?}");
    let one_block = remaining(&[vec![1.0], vec![2.0]], &[vec![1.0], vec![2.0]], Better::Less).unwrap();
    assert_eq!((one_block.best, one_block.sight), (0, None));
}

#[test]
fn blocks_that_one_of_two_settings_lacks_are_left_out_of_their_comparison() {
    let mut trials = made_up(&[1.0, 1.0 / 1.5, 1.0 / 1.5], |_| 0.01, 10, 4);
    trials[1][3] = f64::NAN;
    trials[2][..3].fill(f64::NAN);
    let answer = answer(&trials, Better::More);
    let blocks: Vec<usize> = answer.others.iter().flatten().map(|it| it.blocks).collect();
    assert_eq!(blocks, [9, 7]);
    assert!(is_ruled_out(&answer, 1) && !is_ruled_out(&answer, 2));
    let nothing = [vec![f64::NAN; 8], vec![]];
    assert_eq!(remaining(&nothing, &nothing, Better::More), None);
}

#[test]
fn a_drift_does_not_decide_which_of_two_settings_looks_best() {
    // The second setting has no trial in the slow blocks, and is worse in each block that both have.
    let one = [100.0, 99.0, 101.0, 100.0, 50.0, 51.0, 49.0, 50.0, 52.0, 50.0].to_vec();
    let other = one.iter().map(|value| value * 0.9).enumerate();
    let other = other.map(|(block, value)| if block < 4 { value } else { f64::NAN }).collect();
    assert_eq!(answer(&[other, one], Better::More).best, 1);
}

#[test]
fn first_attempts_on_the_other_side_take_a_claim_back() {
    let trials = made_up(&[1.0, 1.5], |_| 0.01, 10, 5);
    let first = [trials[1].clone(), trials[0].clone()];
    let standing =
        |first: &[Vec<f64>]| remaining(&trials, first, Better::Less).unwrap().others[1].map(|it| it.standing);
    assert_eq!(standing(&trials), Some(Standing::RuledOut));
    assert_eq!(standing(&first), Some(Standing::Contradicted));
    assert_eq!(standing(&[vec![f64::NAN; 10], vec![f64::NAN; 10]]), Some(Standing::Contradicted));
}

#[test]
fn values_that_are_the_same_in_every_block_are_exact() {
    let answer = answer(&[vec![2.0; 8], vec![1.0; 8], vec![2.0; 8]], Better::More);
    assert_eq!(answer.best, 0);
    assert!(is_ruled_out(&answer, 1) && !is_ruled_out(&answer, 2));
    assert!(answer.sight.unwrap().difference < 1e-9);
}
