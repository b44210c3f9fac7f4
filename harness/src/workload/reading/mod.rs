//! Reading a workload file: the tree of its text with the place of each node, keys and overrides, and decoding into the schema.

pub(super) mod decode;
pub(super) mod keys;
pub(super) mod nearest;
pub(super) mod overrides;
pub(super) mod tree;
