//! What the keys of a workload become in librdkafka's and in Kafka's names. docs/kafka.md has the same table.

use crate::exit::UsageError;
use crate::system::MemberSpec;
use crate::workload::{
    Assignor, Bytes, Durability, FROM_ENVIRONMENT, KafkaSettings, LogSettings, Preallocate, TimeSpan,
    Workload,
};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::BaseProducer;
use std::collections::BTreeMap;
use std::time::Duration;

/// The most records that librdkafka puts into a batch.
const BATCH_RECORDS_MAX: u32 = 1_000_000;
/// The largest queue of a producer that librdkafka can be asked for, in KiB. The harness bounds what is in flight itself.
const QUEUE_KIB_MAX: u32 = i32::MAX.unsigned_abs();
/// Shortest time after which a record that is not acked has failed.
const MESSAGE_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// The longest time after which a client looks whether a heartbeat is due.
const HEARTBEAT_LOOK: Duration = Duration::from_millis(500);
/// The segment's age that stands for no limit.
const NO_LIMIT_MS: &str = "9223372036854775807";
/// The value of `flush.messages` and `flush.ms` of a topic whose appends are not flushed.
pub(super) const NEVER_FLUSHED: u64 = i64::MAX.unsigned_abs();

/// Checks the client properties of a workload.
///
/// # Errors
/// A [`UsageError`] if librdkafka does not know a property or its value, or if a secret is not in the environment.
pub(crate) fn check(workload: &Workload) -> anyhow::Result<()> {
    let client = Client::of(workload, "127.0.0.1:1")?;
    let wrong = |error| UsageError::error(format!("kafka.properties: {error}"));
    // Some properties contradict each other, which shows only when a client is made. No broker is needed for that.
    client.producer().create::<BaseProducer>().map_err(wrong)?;
    client.admin().create::<BaseConsumer>().map_err(wrong)?;
    Ok(())
}

/// The configuration of all clients of one workload.
#[derive(Debug, Clone)]
pub(super) struct Client {
    common: ClientConfig,
    producer: Vec<(&'static str, String)>,
}

impl Client {
    /// The configuration of a workload's clients for the cluster at `brokers`.
    ///
    /// # Errors
    /// A secret is not in the environment.
    pub(super) fn of(workload: &Workload, brokers: &str) -> anyhow::Result<Self> {
        let mut common = ClientConfig::new();
        for (name, value) in properties(&workload.kafka)? {
            common.set(name, value);
        }
        common.set("bootstrap.servers", brokers).set("client.id", "vnotch");
        // By default a producer's request for metadata makes a topic that is missing.
        common.set("allow.auto.create.topics", "false");
        Ok(Self { common, producer: producer(workload) })
    }

    /// The configuration of a client that only asks for metadata and changes topics.
    pub(super) fn admin(&self) -> ClientConfig {
        self.common.clone()
    }

    /// The configuration of a producer.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.common.clone();
        for (name, value) in &self.producer {
            // These two may be the user's.
            let is_default = matches!(*name, "message.timeout.ms" | "enable.idempotence");
            let given =
                ["message.timeout.ms", "delivery.timeout.ms"].iter().any(|it| config.get(it).is_some());
            let is_given = if *name == "message.timeout.ms" { given } else { config.get(name).is_some() };
            if !(is_default && is_given) {
                config.set(*name, value);
            }
        }
        config
    }

    /// The configuration of a consumer whose partitions are assigned to it. It never joins its group.
    pub(super) fn consumer(&self, group: &str, fetch_bytes_max: u64) -> ClientConfig {
        let mut config = self.common.clone();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("max.partition.fetch.bytes", fetch_bytes_max.to_string());
        config
    }

    /// The configuration of a member of a group.
    pub(super) fn member(&self, group: &str, spec: &MemberSpec) -> ClientConfig {
        let mut config = self.consumer(group, spec.fetch_bytes_max);
        let heartbeat = spec.heartbeat_interval;
        let assignor = match spec.assignor {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::CooperativeSticky => "cooperative-sticky",
        };
        // The client tells much of its membership only in the lines that it logs.
        let debug = config.get("debug").map_or_else(|| "cgrp".to_owned(), |given| format!("{given},cgrp"));
        config
            .set("partition.assignment.strategy", assignor)
            .set("heartbeat.interval.ms", heartbeat.as_millis().to_string())
            .set("debug", debug)
            .set_log_level(RDKafkaLogLevel::Debug);
        if let Some(every) = spec.auto_commit {
            config
                .set("enable.auto.commit", "true")
                .set("auto.commit.interval.ms", every.as_millis().to_string());
        }
        if heartbeat < HEARTBEAT_LOOK {
            // Each report of statistics lets the client look.
            config.set("statistics.interval.ms", (heartbeat / 2).as_millis().max(1).to_string());
        }
        config
    }
}

/// The user's properties, with secrets from the environment.
fn properties(kafka: &KafkaSettings) -> anyhow::Result<BTreeMap<&str, String>> {
    let value = |(name, value): (&'_ String, &String)| match value.strip_prefix(FROM_ENVIRONMENT) {
        None => Ok(value.clone()),
        Some(variable) => std::env::var(variable).map_err(|_| {
            UsageError::error(format!(
                "kafka.properties: `{name}` comes from the environment variable {variable}, which is not set"
            ))
        }),
    };
    kafka.properties.iter().map(|(name, text)| Ok((name.as_str(), value((name, text))?))).collect()
}

/// The properties of producers that follow from the workload.
fn producer(workload: &Workload) -> Vec<(&'static str, String)> {
    let (batch, log) = (&workload.batch, &workload.log);
    let timeout = workload.phases.drain.0.max(MESSAGE_TIMEOUT_MIN);
    vec![
        ("acks", "all".to_owned()),
        ("enable.idempotence", "true".to_owned()),
        ("linger.ms", (batch.linger.0.as_secs_f64() * 1e3).to_string()),
        ("batch.size", batch.max_bytes.0.to_string()),
        ("batch.num.messages", batch.max_records.min(BATCH_RECORDS_MAX).to_string()),
        ("message.max.bytes", batch.max_bytes.max(log.max_message_bytes).0.to_string()),
        ("queue.buffering.max.messages", "0".to_owned()),
        ("queue.buffering.max.kbytes", QUEUE_KIB_MAX.to_string()),
        ("compression.type", "none".to_owned()),
        ("message.timeout.ms", timeout.as_millis().to_string()),
    ]
}

/// The topics that a run creates, as the cluster is asked for them.
#[derive(Debug, Clone)]
pub(super) struct NewTopics {
    /// Copies of each partition.
    pub(super) replication: u16,
    /// The configuration, in Kafka's names.
    pub(super) config: Vec<(&'static str, String)>,
}

impl NewTopics {
    pub(super) fn of(workload: &Workload) -> Self {
        Self { replication: workload.kafka.replication, config: topic(workload) }
    }
}

fn topic(workload: &Workload) -> Vec<(&'static str, String)> {
    let (log, default) = (&workload.log, LogSettings::default());
    let bytes = |limit: Option<Bytes>| limit.map_or_else(|| "-1".to_owned(), |bytes| bytes.0.to_string());
    let mut config = vec![
        ("segment.bytes", log.segment_bytes.0.to_string()),
        ("segment.ms", log.segment_ms.0.map_or_else(|| NO_LIMIT_MS.to_owned(), ms)),
        ("retention.bytes", bytes(log.retention_bytes.0)),
        ("retention.ms", log.retention_ms.0.map_or_else(|| "-1".to_owned(), ms)),
        ("max.message.bytes", log.max_message_bytes.0.to_string()),
        ("min.insync.replicas", workload.kafka.min_insync_replicas.to_string()),
    ];
    // Brokers have the same defaults. An older one does not know all of these names, so they are sent only if they differ.
    if log.index_interval_bytes != default.index_interval_bytes {
        config.push(("index.interval.bytes", log.index_interval_bytes.0.to_string()));
    }
    if log.message_timestamp_after_max_ms != default.message_timestamp_after_max_ms {
        let after = log.message_timestamp_after_max_ms.0.map_or_else(|| NO_LIMIT_MS.to_owned(), ms);
        config.push(("message.timestamp.after.max.ms", after));
    }
    if log.preallocate == Preallocate::None {
        config.push(("preallocate", "false".to_owned()));
    }
    match workload.durability {
        Durability::Synced => config.push(("flush.messages", "1".to_owned())),
        // Without its own values a topic has those of the broker (`log.flush.interval.*`), which may flush.
        Durability::Appended | Durability::Written => {
            config.extend(["flush.messages", "flush.ms"].map(|name| (name, NEVER_FLUSHED.to_string())));
        }
    }
    config
}

fn ms(span: TimeSpan) -> String {
    span.0.as_millis().to_string()
}

/// The meaning of an ack, in Kafka's words.
pub(super) fn ack_in_words(durability: Durability) -> &'static str {
    match durability {
        Durability::Synced => "acks=all, flush.messages=1: each append is flushed before its ack",
        Durability::Appended | Durability::Written => {
            "acks=all: in the page cache of every in-sync replica; nothing is flushed"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Batch, Limit, Phases};

    fn workload() -> Workload {
        Workload {
            batch: Batch {
                max_bytes: Bytes::kib(64),
                max_records: 500,
                linger: TimeSpan(Duration::from_micros(2500)),
            },
            phases: Phases { drain: TimeSpan::seconds(7), ..Phases::default() },
            ..Workload::default()
        }
    }

    fn with_properties(pairs: &[(&str, &str)]) -> Workload {
        let properties =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Workload { kafka: KafkaSettings { properties, ..KafkaSettings::default() }, ..workload() }
    }

    #[test]
    fn a_producer_has_the_batches_and_timeouts_of_the_workload() {
        let config = Client::of(&workload(), "h:1").unwrap().producer();
        let found =
            ["acks", "linger.ms", "batch.size", "batch.num.messages", "message.timeout.ms", "client.id"];
        let found = found.map(|name| config.get(name).unwrap());
        assert_eq!(found, ["all", "2.5", "65536", "500", "7000", "vnotch"]);
    }

    #[test]
    fn a_timeout_that_the_user_gives_holds_under_both_of_its_names() {
        for name in ["message.timeout.ms", "delivery.timeout.ms"] {
            let config = Client::of(&with_properties(&[(name, "1234")]), "h:1").unwrap().producer();
            assert_eq!(config.get(name), Some("1234"));
        }
        let both =
            Client::of(&with_properties(&[("delivery.timeout.ms", "1234")]), "h:1").unwrap().producer();
        assert_eq!(both.get("message.timeout.ms"), None);
        let plain =
            Client::of(&with_properties(&[("enable.idempotence", "false")]), "h:1").unwrap().producer();
        assert_eq!(plain.get("enable.idempotence"), Some("false"));
    }

    #[test]
    fn no_client_makes_a_topic_by_asking_for_it() {
        let client = Client::of(&workload(), "h:1").unwrap();
        let spec = MemberSpec {
            group: "some-group".to_owned(),
            topic: "some-topic".to_owned(),
            assignor: Assignor::Range,
            heartbeat_interval: Duration::from_secs(3),
            auto_commit: None,
            fetch_bytes_max: 4096,
        };
        for (kind, config) in [
            ("producer", client.producer()),
            ("consumer", client.consumer("some-group", 4096)),
            ("member", client.member("some-group", &spec)),
            ("admin", client.admin()),
        ] {
            assert_eq!(config.get("allow.auto.create.topics"), Some("false"), "{kind}");
        }
    }

    #[test]
    fn a_consumer_commits_nothing_and_begins_at_the_first_record() {
        let config = Client::of(&workload(), "h:1").unwrap().consumer("some-group", 4096);
        let found = ["group.id", "enable.auto.commit", "auto.offset.reset", "max.partition.fetch.bytes"];
        assert_eq!(found.map(|name| config.get(name).unwrap()), ["some-group", "false", "earliest", "4096"]);
    }

    #[test]
    fn a_topic_has_the_segments_retention_and_flushes_of_the_workload() {
        let mut workload = workload();
        let value = |workload: &Workload, name: &str| {
            topic(workload).into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
        };
        assert_eq!(value(&workload, "segment.bytes").as_deref(), Some("134217728"));
        assert_eq!(value(&workload, "retention.ms").as_deref(), Some("-1"));
        assert_eq!(value(&workload, "segment.ms").as_deref(), Some(NO_LIMIT_MS));
        for absent in ["index.interval.bytes", "message.timestamp.after.max.ms", "preallocate"] {
            assert_eq!(value(&workload, absent), None, "{absent}");
        }
        for flush in ["flush.messages", "flush.ms"] {
            let never = value(&workload, flush);
            assert_eq!(never.as_deref(), Some("9223372036854775807"), "{flush}: a broker may have its own");
        }
        workload.durability = Durability::Synced;
        workload.log.retention_bytes = Limit(Some(Bytes::gib(1)));
        workload.log.retention_ms = Limit(Some(TimeSpan::seconds(60)));
        workload.log.index_interval_bytes = Bytes::kib(8);
        workload.log.message_timestamp_after_max_ms = Limit::NONE;
        assert_eq!(value(&workload, "flush.messages").as_deref(), Some("1"));
        assert_eq!(value(&workload, "flush.ms"), None, "no record waits for a time");
        assert_eq!(value(&workload, "retention.bytes").as_deref(), Some("1073741824"));
        assert_eq!(value(&workload, "retention.ms").as_deref(), Some("60000"));
        assert_eq!(value(&workload, "index.interval.bytes").as_deref(), Some("8192"));
        assert_eq!(value(&workload, "message.timestamp.after.max.ms").as_deref(), Some(NO_LIMIT_MS));
    }

    #[test]
    fn properties_that_librdkafka_does_not_know_are_refused_before_anything_is_measured() {
        check(&with_properties(&[("socket.nagle.disable", "true")])).unwrap();
        let unknown = check(&with_properties(&[("no.such.property", "1")])).unwrap_err();
        assert!(unknown.is::<UsageError>(), "{unknown}");
        assert!(unknown.to_string().contains("no.such.property"), "{unknown}");
        let wrong = check(&with_properties(&[("socket.timeout.ms", "soon")])).unwrap_err().to_string();
        assert!(wrong.contains("socket.timeout.ms"), "{wrong}");
        let unset = check(&with_properties(&[("sasl.password", "env:VNOTCH_NO_SUCH_VARIABLE")])).unwrap_err();
        assert!(unset.to_string().contains("VNOTCH_NO_SUCH_VARIABLE, which is not set"), "{unset}");
    }
}
