//! The order of the combinations of a sweep. They are measured in blocks. A block holds each combination once, shuffled, so that
//! a slow change of the machine affects all combinations alike.

use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// The order of all blocks, from one seed.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    seed: u64,
    combinations: usize,
}

impl Order {
    /// The order of so many combinations. The same seed gives the same order.
    pub const fn new(seed: u64, combinations: usize) -> Self {
        Self { seed, combinations }
    }

    /// The combinations of one block, each once. A block depends on no other block, so a resumed sweep keeps its order.
    pub fn block(self, pass: usize, block: usize) -> Vec<usize> {
        let mut rng = SmallRng::seed_from_u64(self.seed);
        let (pass, block) = (crate::num::count(pass), crate::num::count(block));
        let mut rng = SmallRng::seed_from_u64(rng.next_u64() ^ (pass << 32 | block));
        let mut order: Vec<usize> = (0..self.combinations).collect();
        order.shuffle(&mut rng);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_block_holds_each_combination_once_and_the_same_seed_the_same_order(
            seed in any::<u64>(), combinations in 1usize..200, pass in 0usize..2, block in 0usize..20
        ) {
            let order = Order::new(seed, combinations).block(pass, block);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..combinations).collect::<Vec<_>>());
            prop_assert_eq!(Order::new(seed, combinations).block(pass, block), order);
        }
    }

    #[test]
    fn blocks_passes_and_seeds_have_orders_of_their_own() {
        let orders: std::collections::BTreeSet<_> = (0..10)
            .flat_map(|seed| (0..2).map(move |pass| (seed, pass)))
            .flat_map(|(seed, pass)| (0..10).map(move |block| Order::new(seed, 20).block(pass, block)))
            .collect();
        assert_eq!(orders.len(), 200);
    }
}
