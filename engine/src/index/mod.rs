//! Offset and time index entries: pure bytes. No I/O, no async.
