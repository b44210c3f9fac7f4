//! Phases (warm-up, measure, drain), pacing, producers and consumers: what drives a target.

pub mod clock;
pub mod pacing;
pub mod timeline;
pub mod wake;
