//! RecordBatch v2: pure bytes in, pure bytes out. No I/O, no async.
