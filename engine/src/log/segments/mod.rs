//! The files of a log come and go: roll, seal, spare files, retention.

pub(super) mod retention;
pub(super) mod roll;
pub(super) mod seal;
pub(super) mod spare;
