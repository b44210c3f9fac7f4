//! The news of a membership. A client tells of rebalances by a callback, and of all else by the lines that it logs about its group.
//!
//! librdkafka has no calls for the generation of a member, for the begin of a cooperative rebalance, or for the answers to commits
//! that nobody waits for. Its log lines about the group (`debug=cgrp`) have them. These lines come through the client's queue of events,
//! and wake the load thread as records do. They keep their order among each other, and come before other events that wait.

use crate::system::kafka::errors::Errors;
use crate::system::kafka::events::{Counting, Handled};
use rdkafka::bindings::rd_kafka_resp_err_t::{
    RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS as ASSIGN, RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS as REVOKE,
};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// The reason that librdkafka gives for a commit that the application asked for.
const ASKED_FOR: &str = "manual";
/// librdkafka's words for an answer without an error.
const SUCCESS: &str = "Success";
/// librdkafka's words for a commit that it sends again.
const SENT_AGAIN: &str = "Local: Operation in progress";

/// Something that a client tells of its membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// The group gives these partitions to the member. They are read once they are assigned to the client.
    Given(Vec<i32>),
    /// The group takes these partitions away. They are gone once they are unassigned. If `are_lost` is true, the group has removed
    /// the member before.
    Taken { partitions: Vec<i32>, are_lost: bool },
    /// The member has joined this generation.
    Joined(i32),
    /// The member has its assignment if `is_steady` is true; otherwise it takes part in a rebalance.
    Moved { is_steady: bool },
    /// A commit that the client makes by itself is on its way.
    CommitSent,
    /// A commit was answered.
    Committed { was_asked_for: bool, is_ok: bool },
}

/// The context of a member's client: it keeps what the client tells.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) errors: Errors,
    news: Mutex<VecDeque<News>>,
    handled: Handled,
    /// Whether the client is closing. Its rebalances are no news then, because nobody follows them.
    is_closing: AtomicBool,
    /// How many times a client that is closing has said that it waits for a call that assigns or unassigns partitions.
    requests: AtomicU32,
}

impl Account {
    /// Returns the oldest news.
    pub(super) fn next(&self) -> Option<News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Notes that the client is closing. From now on its rebalances are no news.
    pub(super) fn note_closing(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
    }

    /// How many times a client that is closing has said, since [`Account::forget_requests`], that it waits for a call that assigns
    /// or unassigns partitions.
    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }

    /// Forgets what the client has said that it waits for.
    pub(super) fn forget_requests(&self) {
        self.requests.store(0, Ordering::SeqCst);
    }

    fn push(&self, news: News) {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).push_back(news);
    }
}

impl ClientContext for Account {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, line: &str) {
        self.handled.count();
        if says_that_it_awaits_a_call(facility, line) {
            self.requests.fetch_add(1, Ordering::SeqCst);
        }
        news_in(facility, line).into_iter().for_each(|news| self.push(news));
    }

    fn stats_raw(&self, _: &[u8]) {
        self.handled.count();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.handled.count();
        self.errors.note(&error, reason);
    }
}

impl ConsumerContext for Account {
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        step: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        self.handled.count();
        if self.is_closing.load(Ordering::SeqCst) {
            return;
        }
        let numbers = partitions.elements().iter().map(|element| element.partition()).collect();
        if step == ASSIGN {
            self.push(News::Given(numbers));
        } else if step == REVOKE {
            self.push(News::Taken { partitions: numbers, are_lost: client.assignment_lost() });
        }
    }

    fn commit_callback(&self, _: KafkaResult<()>, _: &TopicPartitionList) {
        self.handled.count();
    }
}

impl Counting for Account {
    fn handled(&self) -> &Handled {
        &self.handled
    }
}

/// Assigns partitions to a client, as the protocol of its group says.
///
/// # Errors
/// The client refuses them.
pub(super) fn give(client: &BaseConsumer<Account>, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match client.rebalance_protocol() {
        RebalanceProtocol::Cooperative => client.incremental_assign(partitions),
        RebalanceProtocol::Eager | RebalanceProtocol::None => client.assign(partitions),
    }
}

/// Takes partitions away from a client, as the protocol of its group says.
///
/// # Errors
/// The client refuses it.
pub(super) fn take_away(client: &BaseConsumer<Account>, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match client.rebalance_protocol() {
        RebalanceProtocol::Cooperative => client.incremental_unassign(partitions),
        RebalanceProtocol::Eager | RebalanceProtocol::None => client.unassign(),
    }
}

/// Whether a client that is closing says in this line that it waits for a call that assigns or unassigns partitions.
fn says_that_it_awaits_a_call(facility: &str, line: &str) -> bool {
    facility == "CGRPTERM" && line.contains(": waiting for assign call, ")
}

/// Returns what a line says of the membership; `None` if it says nothing that is needed.
fn news_in(facility: &str, line: &str) -> Option<News> {
    match facility {
        "CGRPJOINSTATE" => {
            let (_, state) = line.split_once("changed join state ")?.1.split_once(" -> ")?;
            let (state, _) = state.split_once(' ')?;
            Some(News::Moved { is_steady: state == "steady" })
        }
        "JOINGROUP" => {
            let (_, rest) = line.split_once("JoinGroup response: GenerationId ")?;
            let (generation, rest) = rest.split_once(',')?;
            rest.ends_with("(no error)").then_some(News::Joined(generation.parse().ok()?))
        }
        "COMMIT" => {
            if let Some((_, rest)) = line.split_once("Committing offsets for ") {
                let (_, reason) = rest.rsplit_once(": ")?;
                return (reason != ASKED_FOR).then_some(News::CommitSent);
            }
            let (_, rest) = line.split_once("OffsetCommit for ")?;
            let (before, answer) = rest.split_once(": returned: ")?;
            let was_asked_for = before.ends_with(&format!(": {ASKED_FOR}"));
            (answer != SENT_AGAIN).then_some(News::Committed { was_asked_for, is_ok: answer == SUCCESS })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_of_events_is_woken_for_the_next_one() {
        crate::system::kafka::events::tests::assert_a_reader_is_woken_for_the_next_event::<Account>();
    }

    #[test]
    fn a_client_that_is_closing_says_what_it_waits_for() {
        let line = |what| {
            format!(
                "[thrd:main]: Group \"g\": waiting for {what}2 toppar(s), 0 commit(s) (state up, join-state wait-unassign-call) \
                 before terminating"
            )
        };
        assert!(says_that_it_awaits_a_call("CGRPTERM", &line("assign call, ")));
        assert!(!says_that_it_awaits_a_call("CGRPTERM", &line("")));
        assert!(!says_that_it_awaits_a_call("CGRPTERM", &line("assignment in progress, ")));
    }

    #[test]
    fn lines_about_the_group_tell_generations_states_and_commits() {
        let joined = "[thrd:main]: JoinGroup response: GenerationId 7, Protocol range, LeaderId rdkafka-1 (me), my MemberId \
                      rdkafka-1, member metadata count 2: (no error)";
        let refused = "[thrd:main]: JoinGroup response: GenerationId -1, Protocol , LeaderId , my MemberId rdkafka-1, member \
                       metadata count 0: Broker: Group member needs a valid member ID";
        let state =
            |from, to| format!("[thrd:main]: Group \"g\" changed join state {from} -> {to} (state up)");
        let sent = |reason| {
            format!(
                "[thrd:main]: GroupCoordinator/1: Committing offsets for 2 partition(s) with generation-id 7 in join-state steady: \
                 {reason}"
            )
        };
        let answered = |reason, answer| {
            format!(
                "[thrd:main]: GroupCoordinator/1: OffsetCommit for 2 partition(s) in join-state steady: {reason}: returned: {answer}"
            )
        };
        let committed = |was_asked_for, is_ok| Some(News::Committed { was_asked_for, is_ok });
        for (facility, line, expected) in [
            ("JOINGROUP", joined.to_owned(), Some(News::Joined(7))),
            ("JOINGROUP", refused.to_owned(), None),
            ("CGRPJOINSTATE", state("wait-assign-call", "steady"), Some(News::Moved { is_steady: true })),
            ("CGRPJOINSTATE", state("steady", "init"), Some(News::Moved { is_steady: false })),
            ("COMMIT", sent("cgrp auto commit timer"), Some(News::CommitSent)),
            ("COMMIT", sent("manual"), None),
            ("COMMIT", answered("manual", "Success"), committed(true, true)),
            ("COMMIT", answered("cgrp auto commit timer", "Success"), committed(false, true)),
            ("COMMIT", answered("unassigned partitions", "Broker: Unknown member"), committed(false, false)),
            ("COMMIT", answered("manual", SENT_AGAIN), None),
            ("HEARTBEAT", "[thrd:main]: Heartbeat for group \"g\" generation id 7".to_owned(), None),
        ] {
            assert_eq!(news_in(facility, &line), expected, "{line}");
        }
    }
}
