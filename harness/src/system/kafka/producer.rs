//! A producer: one client of librdkafka, whose own threads batch, send and report.

use super::errors::{Errors, is_fatal, kind_of};
use super::order::{InOrder, Report};
use super::reports::{Amount, PartitionReport, Reporting, Waiting};
use crate::num;
use crate::result::ErrorKind;
use crate::system::{Ack, OutRecord, ProducerSpec, RecordError, SendError, SystemProducer};
use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ThreadedProducer};
use std::collections::VecDeque;
use std::task::{Context, Poll};

/// A producer of one topic.
pub(super) struct KafkaProducer {
    client: ThreadedProducer<Reporting>,
    /// The topic's name in the cluster.
    topic: String,
    waiting: Waiting,
    errors: Errors,
    /// Reports that were just taken. Kept so that its memory is used again.
    taken: Vec<PartitionReport>,
    partitions: Vec<PartitionState>,
    /// Reports in the order of sending, which the load has not seen yet.
    ready: VecDeque<PartitionReport>,
    /// Bytes of keys and values that the client holds.
    in_flight_bytes: u64,
    in_flight_bytes_max: u64,
    /// Bytes of keys and values whose report the load thread has not taken. Less than in flight if reports wait for those of
    /// earlier records.
    unreported_bytes: u64,
    /// Half a full batch. A producer without room waits for the reports of this amount. The client reports a whole batch within
    /// microseconds, so the wait is not longer than for the first report. But the load thread is woken once for a batch, and
    /// not several times while the batch is reported.
    half_batch: Amount,
}

/// The state of one partition.
#[derive(Debug, Default)]
struct PartitionState {
    /// Number of records that the client has accepted.
    sent: u64,
    order: InOrder,
    /// The offset after the last acked record.
    end_offset: u64,
}

impl KafkaProducer {
    /// Makes a client for the topic with the name `topic` in the cluster.
    pub(super) fn new(
        config: &ClientConfig,
        topic: String,
        partitions: u32,
        spec: &ProducerSpec,
    ) -> anyhow::Result<Self> {
        let (waiting, errors) = (Waiting::default(), Errors::default());
        let context = Reporting { waiting: waiting.clone(), errors: errors.clone() };
        let client = config.create_with_context(context).context("cannot make a Kafka producer")?;
        Ok(Self {
            client,
            topic,
            waiting,
            errors,
            taken: Vec::new(),
            partitions: (0..partitions).map(|_| PartitionState::default()).collect(),
            ready: VecDeque::new(),
            in_flight_bytes: 0,
            in_flight_bytes_max: spec.in_flight_bytes_max,
            unreported_bytes: 0,
            half_batch: Amount {
                records: u64::from(spec.batch_records_max / 2),
                bytes: spec.batch_bytes_max / 2,
            },
        })
    }

    fn ack(&mut self, (partition, report): PartitionReport) -> Ack {
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(report.bytes);
        let Report { count, at, error, offset, .. } = report;
        let state = self.partitions.get_mut(num::index(partition));
        // A repeated send that had arrived before is acked without an offset. It lies after the last known one.
        let base_offset = offset.unwrap_or_else(|| state.as_ref().map_or(0, |state| state.end_offset));
        if let (None, Some(state)) = (error, state) {
            state.end_offset = state.end_offset.max(base_offset + u64::from(count));
        }
        let result = match error {
            None => Ok(()),
            Some(code) => {
                let message = format!("{}{}", KafkaError::MessageProduction(code), self.errors.because());
                Err(RecordError::new(kind_of(code), message))
            }
        };
        Ack { partition, base_offset, count, encoded_bytes: 0, completed_at: Some(at), result }
    }
}

impl SystemProducer for KafkaProducer {
    fn try_send(&mut self, partition: u32, record: &OutRecord<'_>) -> Result<(), SendError> {
        let bytes = num::count(record.value.len() + record.key.map_or(0, <[u8]>::len));
        if self.in_flight_bytes + bytes > self.in_flight_bytes_max {
            // Reports of so many bytes are missing, so they come.
            let bytes = self.half_batch.bytes.min(self.unreported_bytes);
            self.waiting.wake_at(Amount { bytes, ..self.half_batch });
            return Err(SendError::Full);
        }
        let failed = |error: anyhow::Error| SendError::Failed(error);
        let number = i32::try_from(partition).map_err(|error| failed(error.into()))?;
        let state = self.partitions.get_mut(num::index(partition));
        let Some(state) = state else {
            let message = format!("there is no partition {partition}");
            return Err(SendError::Refused(RecordError::new(ErrorKind::UnknownPartition, message)));
        };
        let position = usize::try_from(state.sent).map_err(|error| failed(error.into()))?;
        let mut message: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(&self.topic, position)
                .partition(number)
                .timestamp(record.timestamp_ms)
                .payload(record.value);
        message.key = record.key;
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            let insert = |headers: OwnedHeaders, (key, value): &(&str, &[u8])| {
                headers.insert(Header { key, value: Some(*value) })
            };
            message.headers = Some(record.headers.iter().fold(headers, insert));
        }
        match self.client.send(message) {
            Ok(()) => {
                state.sent += 1;
                self.in_flight_bytes += bytes;
                self.unreported_bytes += bytes;
                Ok(())
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Err(SendError::Full),
            Err((KafkaError::MessageProduction(code), _)) if !is_fatal(code) => {
                let message = format!("{}{}", KafkaError::MessageProduction(code), self.errors.because());
                Err(SendError::Refused(RecordError::new(kind_of(code), message)))
            }
            Err((error, _)) => Err(failed(anyhow::anyhow!("{error}{}", self.errors.because()))),
        }
    }

    /// Does nothing: the client closes its batches itself, after `linger.ms` at the latest.
    fn flush(&mut self) {}

    fn poll_ack(&mut self, context: &mut Context<'_>) -> Poll<Ack> {
        loop {
            if let Some(report) = self.ready.pop_front() {
                return Poll::Ready(self.ack(report));
            }
            if !self.waiting.take(&mut self.taken, context) {
                return Poll::Pending;
            }
            for (partition, report) in self.taken.drain(..) {
                self.unreported_bytes = self.unreported_bytes.saturating_sub(report.bytes);
                let Some(state) = self.partitions.get_mut(num::index(partition)) else { continue };
                state.order.accept(report, &mut |report| self.ready.push_back((partition, report)));
            }
        }
    }
}
