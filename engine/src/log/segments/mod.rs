//! The files of a log come and go: roll, seal, spare files, retention, and the deletion of records on request.

pub(super) mod delete_records;
pub(super) mod retention;
pub(super) mod roll;
pub(super) mod seal;
pub(super) mod spare;
