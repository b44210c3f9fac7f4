//! The order of trials, as a pure value: which trial comes next, given those that were made. This file has the order of a
//! sweep; `compare/agenda.rs` has that of a comparison.

use super::order::Order;
use super::points::Points;
use crate::num;
use std::collections::VecDeque;

/// The trial that comes next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Next {
    /// Number of the combination.
    pub(crate) combination: usize,
    /// Number of the pass.
    pub(crate) pass: usize,
    /// The records/s that a rate in percent is a share of: what the slowest combination of its group reached at `max`. `None` in the
    /// first pass.
    pub(crate) reached: Option<f64>,
    /// The trial that it replaces, because the generator was late in it.
    pub(crate) replaces: Option<usize>,
}

/// An order of trials.
pub(crate) trait Agenda {
    /// The trials that were made.
    type Made;
    /// A trial to make.
    type Next;

    /// The trial that comes next; `None` if none is left.
    fn next(&mut self, made: &Self::Made) -> Option<Self::Next>;
}

/// The part of a pass that a sweep is in.
#[derive(Debug, Clone)]
struct Stage {
    /// The block.
    block: u32,
    /// The round of late trials of this block, from 1; 0 while every combination of the block has its first attempt.
    round: u32,
    /// Combinations that are left in this block and round.
    left: VecDeque<usize>,
}

/// The order of a sweep: in each pass every combination once a block, block after block.
///
/// A trial whose generator was late comes again at the end of its own block, so that the trials that are compared with each
/// other stay close in time. The next block waits. Trials that an earlier session made are skipped, and so are combinations
/// that are given up.
#[derive(Debug, Clone)]
pub(crate) struct Sweep {
    order: Order,
    /// Trials of each combination.
    trials: u32,
    /// Rounds in which the late trials of a block are made again.
    retries: u32,
    pass: usize,
    /// `None` before the first pass.
    stage: Option<Stage>,
}

impl Sweep {
    /// A sweep of `trials` blocks with `retries` rounds for the late trials of each.
    pub(crate) const fn new(order: Order, trials: u32, retries: u32) -> Self {
        Self { order, trials, retries, pass: 0, stage: None }
    }

    /// A round of a block, in an order of its own.
    fn stage(&self, block: u32, round: u32) -> Stage {
        let number = num::index(self.trials) * num::index(round) + num::index(block);
        Stage { block, round, left: self.order.block(self.pass, number).into() }
    }

    /// Begins the blocks of `pass`; false if there is no such pass.
    fn begin_pass(&mut self, pass: usize, points: &Points) -> bool {
        self.pass = pass;
        self.stage = Some(self.stage(0, 0));
        pass < points.passes
    }

    /// Begins the stage after a round of a block: the next round of late trials, the next block, or the next pass. Returns false
    /// if there is none.
    fn advance(&mut self, block: u32, round: u32, points: &Points) -> bool {
        if round < self.retries {
            self.stage = Some(self.stage(block, round + 1));
            return true;
        }
        if block + 1 < self.trials {
            self.stage = Some(self.stage(block + 1, 0));
            return true;
        }
        self.begin_pass(self.pass + 1, points)
    }

    /// The trial of `combination` in this stage; `None` if it needs none.
    fn trial_of(&self, combination: usize, stage: &Stage, points: &Points) -> Option<Next> {
        let run = points.run(combination, self.pass);
        let trial = num::index(stage.block);
        let is_due = match stage.round {
            0 => run.trials.len() <= trial,
            round => run.is_late(trial, round),
        };
        let replaces = (stage.round > 0).then_some(trial);
        let reached = if self.pass == 0 { None } else { points.slowest(combination) };
        let next = Next { combination, pass: self.pass, reached, replaces };
        (is_due && !points.is_given_up(combination)).then_some(next)
    }
}

impl Agenda for Sweep {
    type Made = Points;
    type Next = Next;

    fn next(&mut self, points: &Points) -> Option<Next> {
        if self.stage.is_none() && !(self.trials > 0 && self.begin_pass(0, points)) {
            return None;
        }
        loop {
            let mut stage = self.stage.take()?;
            if let Some(combination) = stage.left.pop_front() {
                let next = self.trial_of(combination, &stage, points);
                self.stage = Some(stage);
                if next.is_some() {
                    return next;
                }
            } else if !self.advance(stage.block, stage.round, points) {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::pass::FinishedTrial;
    use crate::result::provenance::SystemIdentity;
    use crate::result::verdict::Reasons;
    use crate::result::{LateAttempt, Trial, TrialRecord, VerdictStatus};
    use crate::workload::{Many, parse_study};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn points_of(yaml: &str) -> Points {
        Points::new(&parse_study(yaml, "test.yaml", &[], Many::Refused, crate::system::CAPABILITIES).unwrap())
    }

    fn points(combinations: usize, passes: usize) -> Points {
        let values: Vec<String> = (1..=combinations).map(|value| value.to_string()).collect();
        let load = if passes == 2 { "load: {mode: open, rate: 50%}" } else { "load: {mode: max}" };
        points_of(&format!("{load}\nsweep: {{batch.max_records: [{}]}}", values.join(", ")))
    }

    /// Enters a simulated trial.
    fn enter(points: &mut Points, next: Next, status: VerdictStatus, is_late: bool) {
        let mut trial = Trial::default();
        trial.produce.records_per_s = 1000.0 * (next.combination + 1) as f64;
        let mut verdict = Reasons::default();
        verdict.lower(status, "simulated");
        trial.failure = (status == VerdictStatus::Errors).then(|| "simulated".to_owned());
        if is_late {
            trial.is_late = true;
            trial.late_percentile = Some("p99".to_owned());
            verdict.lower(VerdictStatus::Invalid, "the generator was late");
        }
        let run = points.run_mut(next.combination, next.pass);
        if let Some(late) = next.replaces {
            let attempt = LateAttempt::of(&run.trials[late]);
            trial.late_attempts.clone_from(&run.trials[late].late_attempts);
            trial.late_attempts.push(attempt);
        }
        let target = SystemIdentity { kind: "fake".into(), version: "0".into(), facts: BTreeMap::new() };
        run.enter(FinishedTrial { trial, record: TrialRecord::default(), verdict, target }, next.replaces);
    }

    /// Runs an agenda to its end; `result` says what becomes of each trial.
    fn all(
        points: &mut Points,
        agenda: &mut Sweep,
        mut result: impl FnMut(Next) -> (VerdictStatus, bool),
    ) -> Vec<Next> {
        let mut made = Vec::new();
        while let Some(next) = agenda.next(points) {
            let (status, is_late) = result(next);
            enter(points, next, status, is_late);
            made.push(next);
            assert!(made.len() < 10_000, "it has an end");
        }
        made
    }

    proptest! {
        #[test]
        fn every_combination_comes_once_a_block_and_the_passes_one_after_the_other(
            seed: u64, combinations in 1_usize..8, passes in 1_usize..3, trials in 1_u32..5,
        ) {
            let mut points = points(combinations, passes);
            let order = Order::new(seed, combinations);
            let made = all(&mut points, &mut Sweep::new(order, trials, 1), |_| (VerdictStatus::Valid, false));
            let expected: Vec<(usize, usize)> = (0..passes)
                .flat_map(|pass| (0..num::index(trials)).map(move |block| (pass, block)))
                .flat_map(|(pass, block)| order.block(pass, block).into_iter().map(move |it| (pass, it)))
                .collect();
            prop_assert_eq!(made.iter().map(|next| (next.pass, next.combination)).collect::<Vec<_>>(), expected);
            let slowest = made.iter().filter(|next| next.pass == 1).all(|next| next.reached == Some(1000.0));
            prop_assert!(slowest, "a share is one of what the slowest reached");
        }

        #[test]
        fn a_session_that_goes_on_makes_the_trials_that_are_left(seed: u64, before in 0_usize..12) {
            let order = Order::new(seed, 4);
            let whole = all(&mut points(4, 1), &mut Sweep::new(order, 3, 0), |_| (VerdictStatus::Valid, false));
            let mut points = points(4, 1);
            for next in &whole[..before] {
                enter(&mut points, *next, VerdictStatus::Valid, false);
            }
            let rest = all(&mut points, &mut Sweep::new(order, 3, 0), |_| (VerdictStatus::Valid, false));
            let key = |next: &Next| (next.combination, next.pass, next.replaces);
            prop_assert_eq!(rest.iter().map(key).collect::<Vec<_>>(), whole[before..].iter().map(key).collect::<Vec<_>>());
        }
    }

    /// A simulated trial of combination n reaches 1,000 × (n + 1) records/s. The last key changes fastest.
    #[test]
    fn where_a_ratio_is_asked_for_a_share_is_one_of_the_slowest_that_differs_only_in_its_key() {
        let sweep = "load: {mode: open, rate: 50%}\nsweep: {topics: [1, 2], durability: [written, synced]}";
        for (answer, expected) in [
            ("best", [1000.0; 4]),
            ("ratio:durability", [1000.0, 1000.0, 3000.0, 3000.0]),
            ("ratio:topics", [1000.0, 2000.0, 1000.0, 2000.0]),
        ] {
            let mut points = points_of(&format!("answer: {answer}\n{sweep}"));
            let agenda = &mut Sweep::new(Order::new(7, 4), 2, 0);
            let made = all(&mut points, agenda, |_| (VerdictStatus::Valid, false));
            assert_eq!(made.len(), 16);
            for next in made {
                let reached = if next.pass == 0 { None } else { Some(expected[next.combination]) };
                assert_eq!(next.reached, reached, "{answer}: {next:?}");
            }
        }
        // The second number of topics fails at `max`, with both durabilities. Its group has no rate. The other group is measured.
        let mut points = points_of(&format!("answer: ratio:durability\n{sweep}"));
        let agenda = &mut Sweep::new(Order::new(7, 4), 1, 0);
        let status =
            |next: Next| if next.combination < 2 { VerdictStatus::Valid } else { VerdictStatus::Errors };
        let made = all(&mut points, agenda, |next| (status(next), false));
        let mut open: Vec<_> =
            made.iter().filter(|next| next.pass == 1).map(|next| next.combination).collect();
        open.sort_unstable();
        assert_eq!(open, [0, 1]);
    }

    #[test]
    fn late_trials_come_again_at_the_end_of_their_own_block_as_often_as_is_allowed() {
        let mut points = points(3, 1);
        let agenda = &mut Sweep::new(Order::new(7, 3), 2, 2);
        let made = all(&mut points, agenda, |next| (VerdictStatus::Valid, next.combination == 1));
        assert_eq!(made.len(), 6 + 2 * 2, "two late trials, twice each");
        for (block, made) in made.chunks(5).enumerate() {
            assert!(made[..3].iter().all(|next| next.replaces.is_none()), "{made:?}");
            let again: Vec<_> = made[3..].iter().map(|next| (next.combination, next.replaces)).collect();
            assert_eq!(again, [(1, Some(block)), (1, Some(block))], "the next block waits");
        }
    }

    #[test]
    fn a_trial_that_is_in_time_at_last_is_not_made_again() {
        let mut points = points(2, 1);
        let agenda = &mut Sweep::new(Order::new(7, 2), 3, 3);
        let mut attempts = 0;
        let made = all(&mut points, agenda, |next| {
            attempts += usize::from(next.combination == 0);
            (VerdictStatus::Valid, next.combination == 0 && attempts == 1)
        });
        let again: Vec<_> = made.iter().filter_map(|next| next.replaces).collect();
        assert_eq!(again, [0]);
        assert_eq!((made[2].combination, made[2].replaces), (0, Some(0)));
        assert_eq!(points.run(0, 0).trials[0].late_attempts.len(), 1);
    }

    #[test]
    fn a_session_that_goes_on_makes_late_trials_of_earlier_blocks_first() {
        let order = Order::new(7, 2);
        let is_late = |next: Next| (VerdictStatus::Valid, next.combination == 1 && next.replaces.is_none());
        let whole = all(&mut points(2, 1), &mut Sweep::new(order, 3, 1), is_late);
        for before in 0..whole.len() {
            let mut points = points(2, 1);
            for next in &whole[..before] {
                let (status, late) = is_late(*next);
                enter(&mut points, *next, status, late);
            }
            let rest = all(&mut points, &mut Sweep::new(order, 3, 1), is_late);
            let key = |next: &Next| (next.combination, next.pass, next.replaces);
            let [rest, left] =
                [&rest[..], &whole[before..]].map(|made| made.iter().map(key).collect::<Vec<_>>());
            assert_eq!(rest, left, "after {before} trials");
        }
    }

    #[test]
    fn a_combination_that_fails_has_no_more_trials_and_the_others_go_on() {
        let mut points = points(3, 2);
        let agenda = &mut Sweep::new(Order::new(7, 3), 3, 1);
        let made = all(&mut points, agenda, |next| {
            (if next.combination == 2 { VerdictStatus::Errors } else { VerdictStatus::Valid }, false)
        });
        assert_eq!(made.iter().filter(|next| next.combination == 2).count(), 1);
        assert_eq!(made.len(), 1 + 2 * 2 * 3);
    }

    #[test]
    fn no_pass_follows_one_that_came_to_nothing() {
        let mut points = points(2, 2);
        let agenda = &mut Sweep::new(Order::new(7, 2), 2, 1);
        let made = all(&mut points, agenda, |_| (VerdictStatus::Errors, false));
        assert_eq!(made.len(), 2);
    }
}
