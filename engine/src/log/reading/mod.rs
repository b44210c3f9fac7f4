//! Reads of a log: fetches, offsets by place and time, epochs, and the bytes that are kept for readers.

pub(super) mod epochs;
pub(super) mod extent;
pub(super) mod fetch;
pub(super) mod list_offsets;
pub(super) mod readable;
