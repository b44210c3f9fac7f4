//! The effect of a change, from pairs of trials: the estimate, its interval, and the conclusion.
//!
//! All work is done on logarithms, so that A ÷ B is as far from 1 as B ÷ A. The interval is the signed-rank one and decides;
//! Student's t stands beside it. Stored results have no pairs: for them the rank-sum interval decides (`unpaired`).
//!
//! - `ranks`: exact critical ranks.
//! - `interval`: estimates and intervals on logarithms.
//! - `effect`: the conclusion, the least difference, and the pairs that are needed.
//! - `secondary`: the figures beside the metric.
//! - `conclude`: fills in the conclusions of a comparison.
//!
//! Hollander, M., Wolfe, D. A., Chicken, E. (2014): Nonparametric Statistical Methods, 3rd ed., chapters 3 and 4.

mod conclude;
mod effect;
mod interval;
mod ranks;
mod secondary;

pub use conclude::{conclude, conclude_stored};
pub use effect::{PILOT_PAIRS, calibrate, effect, half_width, next_pairs, unpaired};
pub use secondary::Figures;

#[cfg(test)]
mod proofs;
