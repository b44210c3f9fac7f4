//! Time in a trial: the clock, the timeline of its phases, and the schedules that say when records are due.

pub mod clock;
pub mod schedule;
pub mod timeline;
