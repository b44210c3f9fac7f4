//! Checks of a workload that was read: bounds, contradictions, what its system cannot do, and keys without effect.

pub(super) mod bounds;
pub(super) mod capabilities;
pub(super) mod consume;
pub(super) mod effects;
pub(super) mod existing_topic;
pub(super) mod kafka;
pub(super) mod metric;
pub(super) mod payload;
pub(super) mod placement;
pub(super) mod problems;
pub(super) mod slo;
pub(super) mod unsupported;
pub(super) mod validate;
