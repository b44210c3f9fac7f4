//! Which trial comes next, and a whole run: combinations, passes and blocks in their order, resumed where it was interrupted.

mod agenda;
pub mod interrupt;
pub mod order;
pub mod pass;
mod points;
pub mod run;
mod session;
#[cfg(test)]
mod sweep_tests;
