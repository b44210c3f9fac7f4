//! Time in a trial: the clock, the timeline of its phases, and the schedules by which records are due.

pub mod clock;
pub mod schedule;
pub mod timeline;
