//! The life of a shard: start, opening and closing of its partitions, recovery points, and its signs of life.

pub(super) mod catalog;
pub(super) mod close;
pub(super) mod heartbeat;
pub(super) mod open;
pub(super) mod points;
pub(super) mod start;
