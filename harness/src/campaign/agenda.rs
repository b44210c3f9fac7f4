//! The order of the trials of a study, as a pure value: which trial comes next, given those that were made.

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
    /// The records/s that a rate in percent is a share of: what the slowest combination reached at `max`.
    pub(crate) reached: Option<f64>,
    /// The trial that it replaces, because the generator was late in it.
    pub(crate) replaces: Option<usize>,
}

/// An order of trials.
pub(crate) trait Agenda {
    /// The trial that comes next; `None` if none is left. `points` are the trials that were made.
    fn next(&mut self, points: &Points) -> Option<Next>;
}

/// The part of a pass that a sweep is in.
#[derive(Debug, Clone)]
enum Stage {
    /// Every combination once a block.
    Blocks {
        /// The block.
        block: u32,
        /// Combinations of the block that are left.
        left: VecDeque<usize>,
    },
    /// Late trials again.
    Late {
        /// The round.
        round: u32,
        /// Combinations whose late trials were not looked at in this round.
        left: VecDeque<usize>,
        /// A combination with its late trials.
        trials: Option<(usize, VecDeque<usize>)>,
    },
}

/// The order of a sweep: in each pass every combination once a block, block after block, and then late trials again.
///
/// Late trials come last in their pass, because the cause may be over then. Trials that an earlier session made are skipped,
/// and so are combinations that are given up.
#[derive(Debug, Clone)]
pub(crate) struct Sweep {
    order: Order,
    /// Trials of each combination.
    trials: u32,
    /// Rounds in which late trials are made again.
    retries: u32,
    pass: usize,
    reached: Option<f64>,
    /// `None` before the first pass.
    stage: Option<Stage>,
}

impl Sweep {
    /// A sweep of `trials` blocks with `retries` rounds for late trials.
    pub(crate) const fn new(order: Order, trials: u32, retries: u32) -> Self {
        Self { order, trials, retries, pass: 0, reached: None, stage: None }
    }

    fn block(&self, block: u32) -> VecDeque<usize> {
        self.order.block(self.pass, num::index(block)).into()
    }

    /// Begins the blocks of `pass`; false if there is no such pass, or nothing that its rate could be a share of.
    fn begin_pass(&mut self, pass: usize, points: &Points) -> bool {
        (self.pass, self.reached) = (pass, points.slowest());
        self.stage = Some(Stage::Blocks { block: 0, left: self.block(0) });
        pass < points.passes && (pass == 0 || self.reached.is_some())
    }

    /// Begins a round of late trials; false if there are none, or no more rounds.
    fn begin_round(&mut self, round: u32, points: &Points) -> bool {
        let is_due = round < self.retries && points.late(self.retries) > 0;
        if is_due {
            let left = self.block(self.trials.saturating_add(round));
            self.stage = Some(Stage::Late { round, left, trials: None });
        }
        is_due
    }

    fn next_of(&self, combination: usize, replaces: Option<usize>) -> Next {
        Next { combination, pass: self.pass, reached: self.reached, replaces }
    }
}

impl Agenda for Sweep {
    fn next(&mut self, points: &Points) -> Option<Next> {
        if self.stage.is_none() && !self.begin_pass(0, points) {
            return None;
        }
        loop {
            match self.stage.as_mut()? {
                Stage::Blocks { block, .. } if *block >= self.trials => {
                    if !self.begin_round(0, points) && !self.begin_pass(self.pass + 1, points) {
                        return None;
                    }
                }
                Stage::Blocks { block, left } => {
                    let Some(combination) = left.pop_front() else {
                        let block = *block + 1;
                        self.stage = Some(Stage::Blocks { block, left: self.block(block) });
                        continue;
                    };
                    let is_done = points.run(combination, self.pass).trials.len() > num::index(*block);
                    if !is_done && !points.is_given_up(combination) {
                        return Some(self.next_of(combination, None));
                    }
                }
                Stage::Late { trials: Some((combination, late)), .. } if !late.is_empty() => {
                    let (combination, trial) = (*combination, late.pop_front());
                    if !points.is_given_up(combination) {
                        return Some(self.next_of(combination, trial));
                    }
                }
                Stage::Late { round, left, trials } => {
                    let round = *round;
                    if let Some(combination) = left.pop_front() {
                        let late = points.run(combination, self.pass).late(round + 1);
                        *trials = Some((combination, late.into()));
                    } else if !self.begin_round(round + 1, points) && !self.begin_pass(self.pass + 1, points)
                    {
                        return None;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::pass::FinishedTrial;
    use crate::result::provenance::SystemIdentity;
    use crate::result::{LateAttempt, Trial, TrialRecord, Verdict, VerdictStatus};
    use crate::workload::{Many, parse_study};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn points(combinations: usize, passes: usize) -> Points {
        let values: Vec<String> = (1..=combinations).map(|value| value.to_string()).collect();
        let load = if passes == 2 { "load: {mode: open, rate: 50%}" } else { "load: {mode: max}" };
        let yaml = format!("{load}\nsweep: {{batch.max_records: [{}]}}", values.join(", "));
        Points::new(
            &parse_study(&yaml, "test.yaml", &[], Many::Refused, crate::system::CAPABILITIES).unwrap(),
        )
    }

    /// Enters a simulated trial.
    fn enter(points: &mut Points, next: Next, status: VerdictStatus, is_late: bool) {
        let mut trial = Trial::default();
        trial.produce.records_per_s = 1000.0 * (next.combination + 1) as f64;
        let mut verdict = Verdict::default();
        verdict.lower(status, "simulated");
        if is_late {
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
        agenda: &mut dyn Agenda,
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

    #[test]
    fn late_trials_come_again_at_the_end_of_their_pass_as_often_as_is_allowed() {
        let mut points = points(3, 1);
        let agenda = &mut Sweep::new(Order::new(7, 3), 2, 2);
        let made = all(&mut points, agenda, |next| (VerdictStatus::Valid, next.combination == 1));
        assert_eq!(made.len(), 6 + 2 * 2, "two late trials, twice each");
        assert!(made[..6].iter().all(|next| next.replaces.is_none()));
        let again: Vec<_> = made[6..].iter().map(|next| (next.combination, next.replaces)).collect();
        assert_eq!(again, [(1, Some(0)), (1, Some(1)), (1, Some(0)), (1, Some(1))]);
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
