//! The order of the trials of a comparison, as a pure value.
//!
//! Pairs are measured one after the other. The order within a pair is random, from a recorded seed, so that a slow change of
//! the machine affects both sides alike. A pair with a trial that is late or invalid is measured again as a whole.

use super::pairs::{Pairs, Side};
use crate::campaign::agenda::Agenda;
use crate::campaign::order::Order;

/// The number of pairs without values that ends a series. More pairs would not help: something is wrong that lasts.
pub(crate) const LOST_MAX: usize = 3;

/// The trial that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NextTrial {
    /// Number of the pair, from 0.
    pub(crate) pair: usize,
    /// Earlier attempts at this pair.
    pub(crate) repeats: usize,
    /// The side to measure.
    pub(crate) side: Side,
}

/// Says how many pairs a series has, from those that were measured. The answer may grow as pairs are added.
pub(crate) type Wanted<'a> = dyn Fn(&Pairs) -> usize + 'a;

/// The order of a comparison.
pub(crate) struct Pairwise<'a> {
    order: Order,
    wanted: &'a Wanted<'a>,
}

impl<'a> Pairwise<'a> {
    /// An order from `seed`. `wanted` says how many pairs are needed.
    pub(crate) fn new(seed: u64, wanted: &'a Wanted<'a>) -> Self {
        Self { order: Order::new(seed, Side::BOTH.len()), wanted }
    }

    /// The number of pairs of the whole series, as it is known now.
    pub(crate) fn pairs(&self, made: &Pairs) -> usize {
        (self.wanted)(made)
    }

    /// The sides of an attempt at a pair, the first one to measure first. It depends on no other pair, so a resumed series
    /// keeps its order.
    pub(crate) fn sides(&self, pair: usize, repeats: usize) -> [Side; 2] {
        match self.order.block(repeats, pair).first() {
            Some(1) => [Side::B, Side::A],
            _ => [Side::A, Side::B],
        }
    }

    /// Whether the series has ended: it has its pairs, or too many pairs have no values.
    fn is_over(&self, made: &Pairs) -> bool {
        made.lost() >= LOST_MAX || made.closed.len() >= self.pairs(made)
    }
}

impl Agenda for Pairwise<'_> {
    type Made = Pairs;
    type Next = NextTrial;

    fn next(&mut self, made: &Pairs) -> Option<NextTrial> {
        let pair = made.closed.len();
        let (repeats, measured) = (made.open.repeats.len(), made.open.first.is_some());
        if repeats == 0 && !measured && self.is_over(made) {
            return None;
        }
        let sides = self.sides(pair, repeats);
        Some(NextTrial { pair, repeats, side: sides[usize::from(measured)] })
    }
}

#[cfg(test)]
mod tests {
    use super::super::pairs::{Closed, Fault, REPEATS_MAX, TrialEnd, Values};
    use super::*;
    use proptest::prelude::*;

    fn usable(primary: f64) -> TrialEnd {
        TrialEnd::Usable(Values { primary, ..Values::default() })
    }

    fn late() -> TrialEnd {
        TrialEnd::Unusable("the generator was late".to_owned())
    }

    fn failed() -> TrialEnd {
        TrialEnd::Failed(Fault::Errors("the disk is full".to_owned()))
    }

    /// Runs an order to its end; `result` says how each trial ends.
    fn all(
        agenda: &mut Pairwise<'_>,
        made: &mut Pairs,
        mut result: impl FnMut(NextTrial) -> TrialEnd,
    ) -> Vec<NextTrial> {
        let mut trials = Vec::new();
        while let Some(next) = agenda.next(made) {
            made.enter(next.side, result(next));
            trials.push(next);
            assert!(trials.len() < 10_000, "a series has an end");
        }
        trials
    }

    proptest! {
        #[test]
        fn each_pair_has_both_sides_once_in_an_order_of_its_own(seed: u64, pairs in 1_usize..40) {
            let wanted = |_: &Pairs| pairs;
            let mut made = Pairs::default();
            let mut agenda = Pairwise::new(seed, &wanted);
            let trials = all(&mut agenda, &mut made, |next| usable(if next.side == Side::A { 1.0 } else { 2.0 }));
            prop_assert_eq!(trials.len(), 2 * pairs);
            for (pair, sides) in trials.chunks(2).enumerate() {
                prop_assert!(sides.iter().all(|it| it.pair == pair && it.repeats == 0));
                prop_assert_ne!(sides[0].side, sides[1].side);
            }
            prop_assert_eq!(made.values(), vec![(1.0, 2.0); pairs]);
        }

        #[test]
        fn any_outcome_leads_to_an_end_and_every_pair_is_accounted_for(
            seed: u64, pairs in 1_usize..12, outcomes in prop::collection::vec(0_u8..8, 1..200),
        ) {
            let wanted = |_: &Pairs| pairs;
            let mut made = Pairs::default();
            let mut turn = 0;
            let trials = all(&mut Pairwise::new(seed, &wanted), &mut made, |_| {
                turn += 1;
                match outcomes[turn % outcomes.len()] {
                    0 => late(),
                    1 => failed(),
                    _ => usable(1.0),
                }
            });
            let counted = made.values().len();
            let lost = made.closed.len() - counted;
            prop_assert!(made.closed.len() == pairs || lost == LOST_MAX, "{} closed, {lost} lost", made.closed.len());
            prop_assert!(made.open.first.is_none() && made.open.repeats.is_empty());
            prop_assert!(trials.len() >= 2 * counted);
            prop_assert!(trials.iter().all(|it| it.repeats <= REPEATS_MAX));
        }

        #[test]
        fn a_resumed_series_makes_the_trials_that_are_left(seed: u64, before in 0_usize..=9, late_every in 2_usize..9) {
            let wanted = |_: &Pairs| 9;
            // The outcome depends on the trial alone, as it would if the same trial were made again.
            let result = |next: NextTrial| {
                let is_late = (next.pair * 2 + next.repeats + usize::from(next.side == Side::B)).is_multiple_of(late_every);
                if is_late { late() } else { usable(1.0) }
            };
            let mut whole = Pairs::default();
            let trials = all(&mut Pairwise::new(seed, &wanted), &mut whole, result);
            let mut resumed = Pairs { closed: whole.closed.iter().take(before).cloned().collect(), ..Pairs::default() };
            let rest = all(&mut Pairwise::new(seed, &wanted), &mut resumed, result);
            let left: Vec<_> = trials.into_iter().filter(|it| it.pair >= before).collect();
            prop_assert_eq!(rest, left);
            prop_assert_eq!(resumed, whole);
        }
    }

    #[test]
    fn both_sides_come_first_about_equally_often_and_seeds_differ() {
        let wanted = |_: &Pairs| 0;
        let firsts = |seed| -> Vec<Side> {
            let agenda = Pairwise::new(seed, &wanted);
            (0..400).map(|pair| agenda.sides(pair, 0)[0]).collect()
        };
        for seed in 0..10 {
            let a = firsts(seed).into_iter().filter(|side| *side == Side::A).count();
            assert!((140..=260).contains(&a), "seed {seed}: {a} of 400 begin with A");
        }
        assert_ne!(firsts(1), firsts(2));
    }

    #[test]
    fn a_late_trial_repeats_its_whole_pair_at_once() {
        let wanted = |_: &Pairs| 2;
        for late_at in [0, 1] {
            let mut made = Pairs::default();
            let mut turn = 0;
            let trials = all(&mut Pairwise::new(3, &wanted), &mut made, |_| {
                turn += 1;
                if turn == late_at + 1 { late() } else { usable(1.0) }
            });
            let pairs: Vec<_> = trials.iter().map(|it| (it.pair, it.repeats)).collect();
            let mut expected = vec![(0, 0); late_at + 1];
            expected.extend([(0, 1), (0, 1), (1, 0), (1, 0)]);
            assert_eq!(pairs, expected);
            assert_eq!(
                made.closed[0].repeats,
                [format!("{}: the generator was late", trials[late_at].side.letter())]
            );
            assert_eq!(made.values().len(), 2);
        }
    }

    #[test]
    fn a_pair_that_is_never_in_time_is_set_aside_and_the_next_one_follows() {
        let wanted = |_: &Pairs| 3;
        let mut made = Pairs::default();
        let trials =
            all(
                &mut Pairwise::new(3, &wanted),
                &mut made,
                |next| {
                    if next.pair == 1 { late() } else { usable(1.0) }
                },
            );
        assert_eq!(trials.iter().filter(|it| it.pair == 1).count(), 1 + REPEATS_MAX);
        assert_eq!(made.closed.len(), 3);
        assert!(matches!(&made.closed[1].end, Closed::SetAside(_)));
        assert_eq!(made.values().len(), 2);
    }

    #[test]
    fn a_failed_pair_is_kept_and_counted_and_three_end_the_series() {
        let wanted = |_: &Pairs| 10;
        let mut made = Pairs::default();
        let trials = all(&mut Pairwise::new(3, &wanted), &mut made, |next| {
            if next.side == Side::B { failed() } else { usable(1.0) }
        });
        assert_eq!(made.closed.len(), LOST_MAX);
        assert!(made.closed.iter().all(|pair| matches!(pair.end, Closed::Failed { side: Side::B, .. })));
        assert!(trials.iter().all(|it| it.repeats == 0), "a failed pair is not measured again: {trials:?}");
    }

    #[test]
    fn a_series_grows_with_what_its_values_ask_for() {
        let wanted = |made: &Pairs| if made.values().len() < 10 { 10 } else { 14 };
        let mut made = Pairs::default();
        let trials = all(&mut Pairwise::new(3, &wanted), &mut made, |_| usable(1.0));
        assert_eq!(trials.len(), 28);
    }
}
