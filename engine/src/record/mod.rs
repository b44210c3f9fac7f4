//! RecordBatch v2: encodes and decodes bytes. No I/O, no async.
//!
//! The format is Kafka's, byte for byte; `docs/format.md` is normative here. [`BatchBuilder`] writes batches.
//! [`batches`] and [`RecordBatch`] read them in place and borrow from a slice. [`stamp`] sets the two fields that only
//! the log knows. This code does not compress or decompress: compressed batches pass through unchanged.

mod builder;
mod compression;
mod error;
mod header;
mod murmur2;
mod reader;
mod varint;

pub use builder::{
    BATCH_BYTES_MAX, BatchBuilder, EncodedBatch, HeaderRef, ProducerFields, RecordRef, RecordTooLarge,
};
pub use compression::Compression;
pub use error::{BatchError, RecordFault};
pub use header::{
    Attributes, BATCH_HEADER_BYTES, BatchHeader, TimestampType, peek_total_bytes, stamp, verify_crc,
};
pub use murmur2::murmur2;
pub use reader::{Batches, Headers, Record, RecordBatch, Records, batches};

#[cfg(test)]
mod tests;
