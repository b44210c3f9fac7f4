//! The errors that clients report beside the results of single records, such as a broker that cannot be reached.

use super::events::{Counting, Handled};
use crate::result::ErrorKind;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use std::sync::{Arc, Mutex, PoisonError};

/// librdkafka's words for a TLS connection that did not come about, whatever the code of the error.
const HANDSHAKE_FAILED: &str = "SSL handshake failed";

/// The newest error of some clients. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Errors(Arc<Mutex<Newest>>);

#[derive(Debug, Default)]
struct Newest {
    reason: Option<String>,
    /// Advice on an error that does not pass by itself: what the user can do about it.
    advice: Option<&'static str>,
}

impl Errors {
    /// Notes an error, in place of an earlier one. That all brokers are down says nothing about why, so it replaces nothing.
    pub(super) fn note(&self, error: &KafkaError, reason: &str) {
        let mut newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_only_a_count = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if newest.reason.is_none() || !is_only_a_count {
            newest.reason = Some(reason.to_owned());
        }
        let of_handshake = reason.contains(HANDSHAKE_FAILED).then_some(RDKafkaErrorCode::SSL);
        let code = of_handshake.or(error.rdkafka_error_code());
        newest.advice = newest.advice.or(code.and_then(advice_on));
    }

    /// Returns what the user can do about an error that does not pass by itself; `None` if there was none.
    pub(super) fn advice(&self) -> Option<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).advice
    }

    /// The newest error, as the end of a sentence; empty if there is none.
    pub(super) fn because(&self) -> String {
        let newest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        newest.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"))
    }
}

/// The context of a client whose own events are only noted.
#[derive(Debug, Default)]
pub(super) struct Noting {
    pub(super) errors: Errors,
    handled: Handled,
}

impl ClientContext for Noting {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {
        self.handled.count();
    }

    fn stats_raw(&self, _: &[u8]) {
        self.handled.count();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.handled.count();
        self.errors.note(&error, reason);
    }
}

impl ConsumerContext for Noting {
    fn commit_callback(&self, _: KafkaResult<()>, _: &TopicPartitionList) {
        self.handled.count();
    }
}

impl Counting for Noting {
    fn handled(&self) -> &Handled {
        &self.handled
    }
}

/// Returns what the user can do about an error of a connection; `None` if the error may pass by itself.
const fn advice_on(code: RDKafkaErrorCode) -> Option<&'static str> {
    match code {
        RDKafkaErrorCode::SSL => Some(
            "check that this port speaks TLS (`security.protocol` in `kafka.properties`), and that `ssl.ca.location` names the \
             certificate of its authority",
        ),
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => Some(
            "check `sasl.mechanism`, `sasl.username` and `sasl.password` in `kafka.properties`, and the environment variable that \
             holds the password",
        ),
        RDKafkaErrorCode::UnsupportedSASLMechanism => {
            Some("check `sasl.mechanism` in `kafka.properties`: the broker does not offer this one")
        }
        _ => None,
    }
}

/// The rights that are missing after an error of a group, as the end of a sentence; empty for other errors.
pub(super) const fn missing_rights(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::GroupAuthorizationFailed => {
            "; the user needs the rights READ, DESCRIBE and DELETE for groups whose ids begin with `vnotch-`"
        }
        _ => "",
    }
}

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
        KafkaError::MessageConsumption(code) | KafkaError::Global(code) => {
            is_about_groups(*code)
                || matches!(
                    code,
                    Code::UnknownTopicOrPartition
                        | Code::UnknownTopic
                        | Code::UnknownPartition
                        | Code::TopicAuthorizationFailed
                        | Code::ClusterAuthorizationFailed
                        | Code::SaslAuthenticationFailed
                        | Code::Authentication
                        | Code::BadMessage
                        | Code::Fatal
                )
        }
        _ => false,
    }
}

/// Whether an error concerns the members of a group only. A consumer of fixed partitions can get such errors: librdkafka assigns
/// partitions only to clients with a group id, and looks for the coordinator of that group, which the client never joins.
pub(super) fn is_of_group(error: &KafkaError) -> bool {
    match error {
        KafkaError::MessageConsumption(code) | KafkaError::Global(code) => is_about_groups(*code),
        _ => false,
    }
}

/// Whether a code is one of groups that does not pass by itself.
const fn is_about_groups(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::GroupAuthorizationFailed
            | Code::GroupMaxSizeReached
            | Code::InconsistentGroupProtocol
            | Code::InvalidSessionTimeout
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_of_records_have_kinds() {
        use RDKafkaErrorCode as Code;
        for (code, kind) in [
            (Code::MessageTimedOut, ErrorKind::TimedOut),
            (Code::BrokerTransportFailure, ErrorKind::Unreachable),
            (Code::NotEnoughReplicas, ErrorKind::NotEnoughReplicas),
            (Code::NotEnoughReplicasAfterAppend, ErrorKind::NotEnoughReplicas),
            (Code::KafkaStorageError, ErrorKind::Storage),
            (Code::MessageSizeTooLarge, ErrorKind::TooLarge),
            (Code::InvalidTimestamp, ErrorKind::Invalid),
            (Code::TopicAuthorizationFailed, ErrorKind::NotAuthorized),
            (Code::UnknownTopicOrPartition, ErrorKind::UnknownPartition),
            (Code::OutOfOrderSequenceNumber, ErrorKind::Other),
        ] {
            assert_eq!(kind_of(code), kind, "{code:?}");
        }
    }

    #[test]
    fn a_broken_connection_is_waited_for_and_missing_rights_are_not() {
        let consumed = |code| is_final(&KafkaError::MessageConsumption(code));
        assert!(!consumed(RDKafkaErrorCode::BrokerTransportFailure));
        assert!(!consumed(RDKafkaErrorCode::AllBrokersDown));
        assert!(consumed(RDKafkaErrorCode::TopicAuthorizationFailed));
        assert!(consumed(RDKafkaErrorCode::GroupAuthorizationFailed), "a member cannot join");
        assert!(is_final(&KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::Fatal)));
    }

    #[test]
    fn a_reader_of_events_is_woken_for_the_next_one() {
        crate::system::kafka::events::tests::assert_a_reader_is_woken_for_the_next_event::<Noting>();
    }

    #[test]
    fn errors_of_groups_are_told_apart_from_those_of_topics() {
        let of_group = |code| is_of_group(&KafkaError::MessageConsumption(code));
        assert!(of_group(RDKafkaErrorCode::GroupAuthorizationFailed));
        assert!(!of_group(RDKafkaErrorCode::TopicAuthorizationFailed));
        let fatal = KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::GroupAuthorizationFailed);
        assert!(!is_of_group(&fatal), "a client with a fatal error reads nothing more");
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
        assert_eq!(errors.advice(), None, "a broker may come up");
        let closed = Errors::default();
        closed
            .note(&refused, "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?");
        assert!(
            closed.advice().is_some_and(|advice| advice.contains("speaks TLS")),
            "the port stays a plain one"
        );
        errors.note(&KafkaError::Global(RDKafkaErrorCode::Authentication), "wrong password");
        assert!(
            errors.advice().is_some_and(|advice| advice.contains("sasl.password")),
            "credentials stay wrong"
        );
    }
}
