//! A whole run: combinations, passes and blocks in their order, and a sweep that continues after an interruption.

mod agenda;
pub mod compare;
pub mod interrupt;
#[cfg(test)]
mod keys_tests;
#[cfg(test)]
mod members_tests;
pub mod order;
pub mod pass;
mod points;
pub mod run;
#[cfg(test)]
mod same_seed_tests;
mod session;
pub mod stored;
#[cfg(test)]
mod sweep_tests;
mod warm;
