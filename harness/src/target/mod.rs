//! What is measured: one trait, and one file a kind of target.

pub mod device;
