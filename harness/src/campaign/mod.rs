//! A whole run: combinations, passes and blocks in their order, and a sweep that continues after an interruption.

mod agenda;
pub mod interrupt;
pub mod order;
pub mod pass;
mod points;
pub mod run;
mod session;
#[cfg(test)]
mod sweep_tests;
