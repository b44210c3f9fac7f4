//! The batches and records of a segment file.

use super::internal::{Decode, decoder_of};
use super::line::{BatchLine, Line, RecordLine, TimestampName};
use super::shown::shown;
use super::{Args, Output};
use crate::exit::UsageError;
use std::path::Path;
use vnotch_engine::record::{BatchHeader, Compression, Record, RecordBatch, TimestampType};
use vnotch_engine::segment::base_offset_of;
use vnotch_engine::verify::{BatchAt, BatchesEnd, SegmentFile};

/// The magic number of the batches that the engine reads.
const MAGIC: u8 = 2;

/// The parts of a record that are printed.
#[derive(Clone, Copy)]
struct Records {
    /// Most bytes of a key and of a payload.
    bytes_max: Option<usize>,
    /// The decoder of the topic's records, if it is an internal topic.
    decode: Option<Decode>,
}

/// Prints a segment.
pub(super) fn dump(path: &Path, args: &Args, out: &mut Output) -> anyhow::Result<()> {
    let mut segment = SegmentFile::open(path)?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let base_offset = base_offset_of(name);
    let decode = segment.topic().and_then(decoder_of);
    let records = args.records.then_some(Records { bytes_max: args.bytes, decode });
    let file = Line::File { path, base_offset, size: segment.file_bytes() };
    let mut has_begun = false;
    while let Some(found) = segment.next_batch()? {
        if !std::mem::replace(&mut has_begun, true) {
            out.print(&file)?;
        }
        print_batch(&found, records, out)?;
    }
    let end = segment.end()?;
    if !has_begun {
        if base_offset.is_none() && matches!(end, BatchesEnd::Fault { .. }) {
            return Err(UsageError::error(format!(
                "{} is no segment, offset index or time index: it does not begin with a batch",
                path.display()
            )));
        }
        out.print(&file)?;
    }
    print_end(&segment, end, has_begun, out)
}

fn print_batch(found: &BatchAt<'_>, records: Option<Records>, out: &mut Output) -> anyhow::Result<()> {
    let header = found.batch.header();
    out.print(&Line::Batch(batch_line(header, found.position)))?;
    if let Some(records) = records {
        print_records(&found.batch, found.position, records, out)?;
    }
    match found.records {
        Ok(()) => Ok(()),
        Err(error) => {
            let message =
                format!("{error}; the checksum of the batch holds, so its producer made it like that");
            out.print(&Line::Finding { position: found.position, message })
        }
    }
}

fn print_records(
    batch: &RecordBatch<'_>,
    position: u64,
    records: Records,
    out: &mut Output,
) -> anyhow::Result<()> {
    let compression = batch.header().compression();
    if compression != Compression::None {
        let message = format!("the records are compressed with {compression}, and are not decoded");
        return out.print(&Line::Note { position, message });
    }
    // The fault of a record that does not decode is printed after those before it.
    for record in batch.records().map_while(Result::ok) {
        let decoded = records.decode.map(|decode| decode(record.key, record.value));
        let (decoded, fault) = match decoded {
            Some(Err(fault)) => (None, Some(fault)),
            Some(Ok(decoded)) => (decoded, None),
            None => (None, None),
        };
        let line = RecordLine { decoded, ..record_line(batch.header(), &record, records.bytes_max) };
        out.print(&Line::Record(line))?;
        if let Some(fault) = fault {
            let message =
                format!("the record of offset {} is no record of a consumer group: {fault}", record.offset);
            out.print(&Line::Finding { position, message })?;
        }
    }
    Ok(())
}

fn batch_line(header: &BatchHeader, position: u64) -> BatchLine {
    BatchLine {
        base_offset: header.base_offset,
        last_offset: header.last_offset(),
        count: header.record_count,
        base_sequence: header.base_sequence,
        last_sequence: sequence(header, header.last_offset_delta),
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        partition_leader_epoch: header.partition_leader_epoch,
        is_transactional: header.is_transactional(),
        is_control: header.is_control(),
        delete_horizon_ms: header.attributes.delete_horizon.then_some(header.base_timestamp_ms),
        position,
        timestamp_type: timestamp_name(header),
        max_timestamp_ms: header.max_timestamp_ms,
        size: header.total_bytes(),
        magic: MAGIC,
        compresscodec: header.compression().to_string(),
        crc: header.crc,
        is_valid: true,
    }
}

/// Returns the line of a record, which is not decoded.
fn record_line(header: &BatchHeader, record: &Record<'_>, bytes_max: Option<usize>) -> RecordLine {
    let size =
        |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX));
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| shown(bytes, bytes_max));
    let keys = record.headers.clone().map_while(Result::ok);
    let delta = u32::try_from(record.offset - header.base_offset).unwrap_or(u32::MAX);
    RecordLine {
        offset: record.offset,
        timestamp_type: timestamp_name(header),
        timestamp_ms: record.timestamp_ms,
        key_size: size(record.key),
        value_size: size(record.value),
        sequence: sequence(header, delta),
        header_keys: keys.map(|header| shown(header.key.as_bytes(), bytes_max)).collect(),
        key: text(record.key),
        payload: text(record.value),
        decoded: None,
    }
}

/// Returns the sequence of the record that lies `delta` behind the first of its batch; -1 without a sequence. Sequences
/// continue with 0 after the largest i32.
fn sequence(header: &BatchHeader, delta: u32) -> i32 {
    if header.base_sequence < 0 {
        return -1;
    }
    let sequence = (i64::from(header.base_sequence) + i64::from(delta)) % (i64::from(i32::MAX) + 1);
    i32::try_from(sequence).unwrap_or(i32::MAX)
}

const fn timestamp_name(header: &BatchHeader) -> TimestampName {
    match header.timestamp_type() {
        TimestampType::Create => TimestampName::CreateTime,
        TimestampType::LogAppend => TimestampName::LogAppendTime,
    }
}

/// Prints how the batches end, if that is not where the file ends.
fn print_end(
    segment: &SegmentFile,
    end: BatchesEnd,
    has_batches: bool,
    out: &mut Output,
) -> anyhow::Result<()> {
    let is_sealed = segment.is_sealed();
    let line = match end {
        BatchesEnd::WithFile if has_batches => return Ok(()),
        BatchesEnd::WithFile => Line::Note { position: 0, message: "the file is empty".into() },
        BatchesEnd::Zeros { position, bytes } if is_sealed => Line::Finding {
            position,
            message: format!("{bytes} bytes of zeros follow, and a sealed segment holds nothing but batches"),
        },
        BatchesEnd::Zeros { position, bytes } => Line::Note {
            position,
            message: format!("{bytes} bytes of zeros follow: reserved space of a segment that is not sealed"),
        },
        BatchesEnd::Fault { position, message, behind: Some((at, offset)) } => Line::Finding {
            position,
            message: format!(
                "{message}; a whole batch of offset {offset} follows at byte {at}, so this is damage"
            ),
        },
        BatchesEnd::Fault { position, message, behind: None } if is_sealed => Line::Finding {
            position,
            message: format!("{message}; the segment was sealed, so this is damage"),
        },
        BatchesEnd::Fault { position, message, behind: None } if !has_batches => {
            Line::Finding { position, message: format!("{message}; the file holds no batch") }
        }
        BatchesEnd::Fault { position, message, behind: None } => Line::Note {
            position,
            message: format!(
                "{message}; the segment is not sealed, so its batches may end here. The bytes that follow are an unfinished \
                 write, an earlier use of the file, or damage: `vnotch verify` of the data directory judges that"
            ),
        },
    };
    out.print(&line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vnotch_engine::record::{BatchBuilder, HeaderRef, ProducerFields, RecordRef, stamp};

    /// Returns a batch of two records from offset 10 on, in leader epoch 4.
    fn batch(producer: Option<ProducerFields>) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        let headers = [HeaderRef { key: "unit", value: Some(b"l/s") }, HeaderRef { key: "a,b", value: None }];
        let first =
            RecordRef { timestamp_ms: 1_000, key: Some(b"weir"), value: Some(b"4\n2"), headers: &headers };
        builder.push(&first).unwrap();
        builder.push(&RecordRef { timestamp_ms: 990, ..RecordRef::default() }).unwrap();
        if let Some(producer) = producer {
            builder.set_producer(producer);
        }
        let mut bytes = builder.finish().bytes;
        stamp(&mut bytes, 10, 4);
        bytes
    }

    fn texts(bytes: &[u8], bytes_max: Option<usize>) -> Vec<String> {
        let batch = RecordBatch::parse(bytes).unwrap();
        let header = batch.header();
        let records = batch.records().map(|record| record_line(header, &record.unwrap(), bytes_max));
        let lines = std::iter::once(Line::Batch(batch_line(header, 300))).chain(records.map(Line::Record));
        lines.map(|line| line.text()).collect()
    }

    #[test]
    fn batches_and_records_have_the_form_of_kafka_dump_log() {
        let bytes = batch(None);
        let [batch, first, second] = &texts(&bytes, None)[..] else { panic!("a batch and two records") };
        let (crc, size) = (BatchHeader::parse(&bytes).unwrap().crc, bytes.len());
        assert_eq!(
            *batch,
            format!(
                "baseOffset: 10 lastOffset: 11 count: 2 baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1 \
                 partitionLeaderEpoch: 4 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty \
                 position: 300 CreateTime: 1000 size: {size} magic: 2 compresscodec: none crc: {crc} isvalid: true"
            )
        );
        assert_eq!(
            *first,
            "| offset: 10 CreateTime: 1000 keySize: 4 valueSize: 3 sequence: -1 headerKeys: [unit,a,b] key: weir payload: \
             4\\n2"
        );
        assert_eq!(
            *second,
            "| offset: 11 CreateTime: 990 keySize: -1 valueSize: -1 sequence: -1 headerKeys: []"
        );
    }

    #[test]
    fn sequences_continue_with_0_after_the_largest_one() {
        let producer = ProducerFields { id: 7, epoch: 2, base_sequence: i32::MAX };
        let lines = texts(&batch(Some(producer)), None);
        let expected = "baseSequence: 2147483647 lastSequence: 0 producerId: 7 producerEpoch: 2";
        assert!(lines[0].contains(expected), "{}", lines[0]);
        assert!(lines[1].contains("sequence: 2147483647 ") && lines[2].contains("sequence: 0 "), "{lines:?}");
    }

    #[test]
    fn bytes_of_keys_and_payloads_are_bounded() {
        let lines = texts(&batch(None), Some(2));
        assert!(lines[1].ends_with("headerKeys: [un,a,] key: we payload: 4\\n"), "{}", lines[1]);
    }
}
