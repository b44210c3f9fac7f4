//! Draws the constants: the 95 % point of the statistic that rules settings out, over seeded draws of equal settings.

use super::{BLOCKS_MIN, SETTINGS_MIN};
use crate::stats::CONFIDENCE;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// The most settings of the table.
const SETTINGS_MAX: usize = 24;
/// The most blocks of the table.
const BLOCKS_MAX: usize = 32;

/// Sums over the blocks of one draw so far.
struct Sums {
    /// Sum of each setting's values.
    values: [f64; SETTINGS_MAX],
    /// Sum of the products of each two settings' values.
    products: [[f64; SETTINGS_MAX]; SETTINGS_MAX],
}

/// Returns the constants: a row for each number of settings from 2 to 24, with an entry for each number of blocks from 8 to 32.
pub(super) fn constants(draws: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut random = SmallRng::seed_from_u64(seed);
    let (rows, columns) = (SETTINGS_MAX - SETTINGS_MIN + 1, BLOCKS_MAX - BLOCKS_MIN + 1);
    let mut found = vec![vec![Vec::with_capacity(draws); columns]; rows];
    for _ in 0..draws {
        let mut sums = Sums { values: [0.0; SETTINGS_MAX], products: [[0.0; SETTINGS_MAX]; SETTINGS_MAX] };
        for blocks in 1..=BLOCKS_MAX {
            sums.add(&mut random);
            for settings in SETTINGS_MIN..=SETTINGS_MAX {
                if let Some(column) = blocks.checked_sub(BLOCKS_MIN) {
                    found[settings - SETTINGS_MIN][column].push(sums.greatest(settings, blocks));
                }
            }
        }
    }
    let point = |values: Vec<f64>| {
        let mut values = values;
        values.sort_unstable_by(f64::total_cmp);
        let rank = (draws as f64 * CONFIDENCE).ceil();
        values[crate::num::index_of_f64(rank) - 1]
    };
    found.into_iter().map(|row| row.into_iter().map(point).collect()).collect()
}

impl Sums {
    /// Adds a block in which all settings are equal but for noise.
    fn add(&mut self, random: &mut SmallRng) {
        let block: [f64; SETTINGS_MAX] = std::array::from_fn(|_| normal(random));
        for (one, value) in block.iter().enumerate() {
            self.values[one] += value;
            for (other, product) in self.products[one][..=one].iter_mut().enumerate() {
                *product += value * block[other];
            }
        }
    }

    /// Returns the statistic of the first settings: the greatest t of the best-looking one against another.
    fn greatest(&self, settings: usize, blocks: usize) -> f64 {
        let best = (0..settings).max_by(|a, b| self.values[*a].total_cmp(&self.values[*b])).unwrap();
        let count = blocks as f64;
        let t = |other: usize| {
            let mean = (self.values[best] - self.values[other]) / count;
            let product = self.products[best.max(other)][best.min(other)];
            let squares = self.products[best][best] + self.products[other][other] - 2.0 * product;
            let variance = (squares - count * mean * mean) / (count - 1.0);
            mean / (variance / count).sqrt()
        };
        (0..settings).filter(|other| *other != best).map(t).fold(0.0, f64::max)
    }
}

/// Returns a value of the standard normal distribution (Box and Muller).
pub(super) fn normal(random: &mut SmallRng) -> f64 {
    let (one, other): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - one).ln()).sqrt() * (std::f64::consts::TAU * other).cos()
}
