//! The errors that clients report beside the results of single records, such as a broker that cannot be reached.

use crate::result::ErrorKind;
use rdkafka::client::ClientContext;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::{Arc, Mutex, PoisonError};

/// The newest error of some clients. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Errors(Arc<Mutex<Option<String>>>);

impl Errors {
    /// Notes an error, in place of an earlier one. That all brokers are down says nothing about why, so it replaces nothing.
    pub(super) fn note(&self, error: &KafkaError, reason: &str) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_only_a_count = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if newest.is_none() || !is_only_a_count {
            *newest = Some(reason.to_owned());
        }
    }

    /// The newest error, as the end of a sentence; empty if there is none.
    pub(super) fn because(&self) -> String {
        let newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        newest.as_ref().map_or_else(String::new, |reason| format!(": {reason}"))
    }
}

/// The context of a client whose own events are only noted.
#[derive(Debug, Clone, Default)]
pub(super) struct Noting(pub(super) Errors);

impl ClientContext for Noting {
    fn error(&self, error: KafkaError, reason: &str) {
        self.0.note(&error, reason);
    }
}

impl ConsumerContext for Noting {}

/// The kind of an error because of which a record was not acked.
pub(super) fn kind_of(code: RDKafkaErrorCode) -> ErrorKind {
    use RDKafkaErrorCode as Code;
    match code {
        Code::MessageTimedOut | Code::RequestTimedOut | Code::OperationTimedOut | Code::TimedOutQueue => {
            ErrorKind::TimedOut
        }
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve | Code::BrokerNotAvailable => {
            ErrorKind::Unreachable
        }
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend | Code::ISRInsufficient => {
            ErrorKind::NotEnoughReplicas
        }
        Code::KafkaStorageError => ErrorKind::Storage,
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => ErrorKind::TooLarge,
        Code::InvalidMessage
        | Code::InvalidRecord
        | Code::InvalidDifferentRecord
        | Code::InvalidTimestamp => ErrorKind::Invalid,
        Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::SaslAuthenticationFailed
        | Code::Authentication => ErrorKind::NotAuthorized,
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            ErrorKind::UnknownPartition
        }
        _ => ErrorKind::Other,
    }
}

/// Whether a client that reports this error can send nothing more.
pub(super) const fn is_fatal(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced)
}

/// Whether the client cannot recover from an error, so that waiting is useless.
pub(super) fn is_final(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    match error {
        KafkaError::MessageConsumptionFatal(_) => true,
        KafkaError::MessageConsumption(code) | KafkaError::Global(code) => matches!(
            code,
            Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::SaslAuthenticationFailed
                | Code::Authentication
                | Code::BadMessage
                | Code::Fatal
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_connection_is_waited_for_and_missing_rights_are_not() {
        let consumed = |code| is_final(&KafkaError::MessageConsumption(code));
        assert!(!consumed(RDKafkaErrorCode::BrokerTransportFailure));
        assert!(!consumed(RDKafkaErrorCode::AllBrokersDown));
        assert!(consumed(RDKafkaErrorCode::TopicAuthorizationFailed));
        assert!(is_final(&KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::Fatal)));
    }

    #[test]
    fn the_newest_error_ends_a_sentence() {
        let errors = Errors::default();
        assert_eq!(errors.because(), "");
        let refused = KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure);
        errors.note(&refused, "one");
        errors.clone().note(&refused, "two");
        assert_eq!(errors.because(), ": two");
        errors.note(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(errors.because(), ": two", "the reason is worth more than the count");
    }
}
