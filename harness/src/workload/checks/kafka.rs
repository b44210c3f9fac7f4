//! Checks of workloads that measure a Kafka cluster: settings that its topics cannot have, and properties that are not the user's.

use super::problems::Problems;
use crate::workload::{Bytes, KafkaSettings, Preallocate, Target, Workload};

/// Client properties that follow from other keys of the workload, each with that key. A trailing `.` stands for all properties
/// that begin with the name.
const OWNED: [(&str, &str); 33] = [
    ("bootstrap.servers", "`target`"),
    ("metadata.broker.list", "`target`"),
    ("test.mock.", "`target`"),
    ("client.id", "the harness, which names its clients"),
    ("acks", "`durability`"),
    ("request.required.acks", "`durability`"),
    ("linger.ms", "`batch.linger`"),
    ("queue.buffering.max.ms", "`batch.linger`"),
    ("batch.size", "`batch.max_bytes`"),
    ("batch.num.messages", "`batch.max_records`"),
    ("message.max.bytes", "`batch.max_bytes` and `log.max_message_bytes`"),
    ("queue.buffering.max.messages", "`load.in_flight_bytes`"),
    ("queue.buffering.max.kbytes", "`load.in_flight_bytes`"),
    ("compression.codec", "`compression`"),
    ("compression.type", "`compression`"),
    ("partitioner", "`key_distribution`"),
    ("delivery.report.only.error", "the harness, which times each ack"),
    ("enable.gapless.guarantee", "`on_error`"),
    ("allow.auto.create.topics", "the harness, which makes its topics itself"),
    ("transactional.id", "the harness, which uses no transactions"),
    ("group.id", "`group`"),
    ("group.protocol", "the harness, whose members speak the classic protocol"),
    ("group.remote.assignor", "the harness, whose members speak the classic protocol"),
    ("group.instance.id", "the harness, whose members are not static"),
    ("partition.assignment.strategy", "`consume.assignor`"),
    ("heartbeat.interval.ms", "`consume.heartbeat_interval`"),
    ("enable.auto.commit", "`consume.commit.mode`"),
    ("auto.commit.interval.ms", "`consume.commit.every`"),
    ("enable.auto.offset.store", "the harness, which knows what it has read"),
    ("auto.offset.reset", "the harness, which reads from the first record"),
    ("enable.partition.eof", "the harness, which knows the ends"),
    ("max.partition.fetch.bytes", "the harness, which bounds the bytes of a fetch"),
    ("fetch.message.max.bytes", "the harness, which bounds the bytes of a fetch"),
];

/// Properties that hold secrets. A result prints the workload, so it must not hold them.
const SECRET: [&str; 7] = [
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "ssl.truststore.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
];

/// Prefix of a property's value that is read from the environment.
pub const FROM_ENVIRONMENT: &str = "env:";

/// The ways to authenticate by SASL. GSSAPI (Kerberos) needs a library of the system, and OAUTHBEARER a server for tokens.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// The smallest and the largest heap of a broker.
const HEAP: [Bytes; 2] = [Bytes::mib(256), Bytes::gib(64)];
/// The smallest `message.max.bytes` that librdkafka takes. It follows from `log.max_message_bytes`, which is never below
/// `batch.max_bytes`.
const MESSAGE_BYTES_MIN: Bytes = Bytes(1000);
/// Most load threads.
const LOAD_THREADS_MAX: u32 = 64;

/// Refuses what a Kafka cluster cannot do, or what another key of the workload decides.
pub(in crate::workload) fn check(workload: &Workload, problems: &mut Problems) {
    if workload.target.system() != Target::KAFKA {
        return;
    }
    let kafka = &workload.kafka;
    for (name, value) in &kafka.properties {
        let owner = OWNED.iter().find(|(owned, _)| {
            name == owned || owned.strip_suffix('.').is_some_and(|_| name.starts_with(owned))
        });
        if let Some((_, owner)) = owner {
            let message = format!("`{name}` follows from {owner}; leave it out");
            problems.refuse(&["kafka.properties"], message);
        }
        if SECRET.contains(&name.as_str()) && !value.starts_with(FROM_ENVIRONMENT) {
            let message = format!(
                "`{name}` is a secret, and the result prints the workload; write `{name}: env:NAME`, and give the value in the \
                 environment variable NAME"
            );
            problems.refuse(&["kafka.properties"], message);
        }
    }
    check_sasl(workload, problems);
    check_log(workload, problems);
    check_counts(workload, problems);
    check_launch(workload, problems);
}

/// Refuses ways to authenticate that the client is not built with. Without a mechanism librdkafka takes GSSAPI.
fn check_sasl(workload: &Workload, problems: &mut Problems) {
    let properties = &workload.kafka.properties;
    let mechanism = ["sasl.mechanism", "sasl.mechanisms"].iter().find_map(|name| properties.get(*name));
    let is_sasl =
        properties.get("security.protocol").is_some_and(|it| it.to_ascii_uppercase().starts_with("SASL"));
    let message = match mechanism {
        Some(name) if MECHANISMS.contains(&name.as_str()) => return,
        Some(name) => format!("`sasl.mechanism: {name}` is not supported; use {}", MECHANISMS.join(", ")),
        None if is_sasl => {
            format!(
                "`sasl.mechanism` is missing, and librdkafka's own is GSSAPI, which is not supported; use {}",
                MECHANISMS.join(", ")
            )
        }
        None => return,
    };
    problems.refuse(&["kafka.properties"], message);
}

/// Refuses settings of the log that topics of Kafka do not have, and a size that its client does not take.
fn check_log(workload: &Workload, problems: &mut Problems) {
    let size = workload.log.max_message_bytes;
    if size < MESSAGE_BYTES_MIN {
        let message = format!(
            "`log.max_message_bytes` must be at least {MESSAGE_BYTES_MIN} for the client of Kafka, not {size}"
        );
        problems.refuse(&["log.max_message_bytes", "target"], message);
    }
    let named = match workload.log.preallocate {
        Preallocate::Auto | Preallocate::None => return,
        Preallocate::Fallocate => "fallocate",
        Preallocate::Recycle => "recycle",
    };
    let message =
        format!("topics of Kafka cannot have `log.preallocate: {named}`; use `none`, or leave it out");
    problems.refuse(&["log.preallocate", "target"], message);
}

fn check_counts(workload: &Workload, problems: &mut Problems) {
    let KafkaSettings { load_threads, replication, min_insync_replicas, .. } = workload.kafka;
    if !(1..=LOAD_THREADS_MAX).contains(&load_threads) {
        let message =
            format!("`kafka.load_threads` must be from 1 to {LOAD_THREADS_MAX}, not {load_threads}");
        problems.refuse(&["kafka.load_threads"], message);
    }
    if replication == 0 {
        problems.refuse(&["kafka.replication"], "`kafka.replication` must be at least 1");
    } else if !(1..=replication).contains(&min_insync_replicas) {
        let message = format!(
            "`kafka.min_insync_replicas` must be from 1 to `kafka.replication` ({replication}), not {min_insync_replicas}"
        );
        problems.refuse(&["kafka.min_insync_replicas", "kafka.replication"], message);
    }
}

/// Checks the settings of brokers that the harness starts; with an address they are refused.
fn check_launch(workload: &Workload, problems: &mut Problems) {
    let (kafka, default) = (&workload.kafka, KafkaSettings::default());
    if workload.target.address().is_some() {
        let written = [
            ("kafka.version", kafka.version != default.version),
            ("kafka.brokers", kafka.brokers != default.brokers),
            ("kafka.heap", kafka.heap != default.heap),
            ("kafka.warm", kafka.warm != default.warm),
        ];
        for (key, _) in written.iter().filter(|(_, is_written)| *is_written) {
            let message = format!(
                "`{key}` is for brokers that the harness starts (`target: kafka`); this target has an address"
            );
            problems.refuse(&[key, "target"], message);
        }
        return;
    }
    if ![1, 3].contains(&kafka.brokers) {
        problems.refuse(&["kafka.brokers"], format!("`kafka.brokers` must be 1 or 3, not {}", kafka.brokers));
    }
    if u32::from(kafka.replication) > kafka.brokers {
        let message = format!("{} copies of a partition need as many brokers", kafka.replication);
        problems.refuse(&["kafka.replication", "kafka.brokers"], message);
    }
    let [least, most] = HEAP;
    if !(least..=most).contains(&kafka.heap) {
        problems.refuse(
            &["kafka.heap"],
            format!("`kafka.heap` must be from {least} to {most}, not {}", kafka.heap),
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::workload::{Capabilities, Durability, Many, Study, parse_study};

    /// Kafka as a build with its client has it.
    const KAFKA: Capabilities = Capabilities {
        system: "kafka",
        missing: None,
        settings: Some("kafka"),
        durabilities: &[Durability::Written, Durability::Synced],
        runs_colocated_load: false,
        can_be_stalled: false,
        drops_caches: false,
        reports_retention: false,
        has_groups: true,
        stamps_completion: true,
    };

    fn parsed(yaml: &str) -> anyhow::Result<Study> {
        parse_study(yaml, "test.yaml", &[], Many::Refused, &[KAFKA])
    }

    fn refusal(yaml: &str) -> String {
        parsed(yaml).unwrap_err().to_string()
    }

    #[test]
    fn a_cluster_is_named_by_its_addresses_or_started() {
        let addressed = parsed("target: 'kafka://one:9092,two:9093'").unwrap().workload;
        assert_eq!(
            (addressed.target.system(), addressed.target.address()),
            ("kafka", Some("one:9092,two:9093"))
        );
        let started =
            parsed("target: kafka\nkafka: {version: 3.6.2, brokers: 3, heap: 512MiB}").unwrap().workload;
        assert_eq!((started.target.system(), started.target.address()), ("kafka", None));
        assert_eq!((started.kafka.version.number(), started.kafka.brokers), ("3.6.2", 3));
        for wrong in ["kafka://one", "kafka://one:", "kafka://:9092", "kafka://one:9092,", "kafka://one:port"]
        {
            let refused = refusal(&format!("target: '{wrong}'"));
            assert!(refused.contains("host:port"), "{wrong}: {refused}");
        }
    }

    #[test]
    fn properties_pass_through_and_those_of_other_keys_are_refused_by_name() {
        let yaml =
            "target: 'kafka://h:1'\nkafka: {properties: {socket.nagle.disable: true, fetch.wait.max.ms: 10}}";
        let properties = parsed(yaml).unwrap().workload.kafka.properties;
        assert_eq!(properties["socket.nagle.disable"], "true");
        assert_eq!(properties["fetch.wait.max.ms"], "10");
        for (name, key) in [
            ("linger.ms", "`batch.linger`"),
            ("acks", "`durability`"),
            ("group.id", "`group`"),
            ("heartbeat.interval.ms", "`consume.heartbeat_interval`"),
            ("group.protocol", "the harness, whose members speak the classic protocol"),
        ] {
            let refused = refusal(&format!("target: 'kafka://h:1'\nkafka: {{properties: {{{name}: 1}}}}"));
            assert!(refused.contains(&format!("`{name}` follows from {key}")), "{refused}");
        }
        let mock = refusal("target: 'kafka://h:1'\nkafka: {properties: {test.mock.num.brokers: 1}}");
        assert!(mock.contains("`test.mock.num.brokers` follows from `target`"), "{mock}");
    }

    #[test]
    fn a_secret_comes_from_the_environment() {
        let written = refusal("target: 'kafka://h:1'\nkafka: {properties: {sasl.password: hunter2}}");
        assert!(written.contains("write `sasl.password: env:NAME`"), "{written}");
        parsed("target: 'kafka://h:1'\nkafka: {properties: {sasl.password: 'env:KAFKA_PASSWORD'}}").unwrap();
    }

    #[test]
    fn ways_to_authenticate_that_the_client_lacks_are_refused_by_name() {
        let with = |properties: &str| {
            parsed(&format!("target: 'kafka://h:1'\nkafka: {{properties: {{{properties}}}}}"))
        };
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            with(&format!("security.protocol: SASL_SSL, sasl.mechanism: {mechanism}")).unwrap();
        }
        with("security.protocol: SSL").unwrap();
        for mechanism in ["GSSAPI", "OAUTHBEARER"] {
            let refused = with(&format!("sasl.mechanisms: {mechanism}")).unwrap_err().to_string();
            assert!(
                refused.contains(&format!("`sasl.mechanism: {mechanism}` is not supported; use PLAIN")),
                "{refused}"
            );
        }
        let missing = with("security.protocol: sasl_plaintext").unwrap_err().to_string();
        assert!(missing.contains("librdkafka's own is GSSAPI"), "{missing}");
    }

    #[test]
    fn what_kafka_cannot_promise_or_translate_is_refused_by_name() {
        let appended = refusal("target: 'kafka://h:1'\ndurability: appended");
        assert!(
            appended
                .contains("kafka cannot be asked for `durability: appended`; it has `written` or `synced`"),
            "{appended}"
        );
        let recycled = refusal("target: 'kafka://h:1'\nlog: {preallocate: recycle, retention_bytes: 1GiB}");
        assert!(recycled.contains("cannot have `log.preallocate: recycle`"), "{recycled}");
    }

    #[test]
    fn sizes_below_the_least_of_the_client_are_refused_by_the_key_of_the_workload() {
        let sizes = |batch, log| {
            format!(
                "target: kafka\nmessage_size: 100B\nbatch: {{max_bytes: {batch}B}}\nlog: {{max_message_bytes: {log}B}}"
            )
        };
        let small = refusal(&sizes(999, 999));
        assert!(
            small
                .contains("`log.max_message_bytes` must be at least 1000B for the client of Kafka, not 999B"),
            "{small}"
        );
        parsed(&sizes(999, 1000)).unwrap();
    }

    #[test]
    fn each_trial_that_needs_another_kafka_starts_and_warms_it() {
        let seconds = |sweep: &str| {
            let study = parsed(&format!("target: kafka\ntrials: 3\nsweep: {{{sweep}}}")).unwrap();
            study.estimate().seconds
        };
        let (one, two) = (seconds("durability: [written, synced]"), seconds("kafka.heap: [1GiB, 2GiB]"));
        // Five more starts, each with 30 s of load.
        assert!((150.0..250.0).contains(&(two - one)), "{one} and {two} s");
    }

    #[test]
    fn what_has_no_effect_on_kafka_is_said_and_a_linger_has_one() {
        let notes = |yaml: &str| {
            parsed(&format!("target: kafka\n{yaml}")).unwrap().workload.without_effect().join("\n")
        };
        assert!(
            notes("log: {retention_bytes: 1GiB}").contains("Kafka looks for old segments every 5 minutes")
        );
        assert!(!notes("batch: {linger: 5ms}").contains("batch.linger"));
        let backlog = |target: &str| {
            let yaml =
                format!("target: '{target}'\nload: {{mode: max}}\nbacklog: {{build: 1GiB, cache: warm}}");
            parsed(&yaml).unwrap().workload.without_effect().join("\n")
        };
        assert!(backlog("kafka://h:1").contains("`backlog.cache`: the files of a cluster elsewhere"));
        assert!(!backlog("kafka").contains("backlog.cache"), "brokers of the harness keep their files here");
        let cold = refusal("target: kafka\nload: {mode: max}\nbacklog: {build: 1GiB}");
        assert!(cold.contains("the caches of kafka cannot be dropped; use `backlog.cache: warm`"), "{cold}");
    }

    #[test]
    fn settings_of_brokers_that_are_not_started_here_are_refused() {
        let version = refusal("target: 'kafka://h:1'\nkafka: {version: 3.6.2}");
        assert!(version.contains("`kafka.version` is for brokers that the harness starts"), "{version}");
        let insync = refusal("target: 'kafka://h:1'\nkafka: {replication: 3, min_insync_replicas: 4}");
        assert!(
            insync.contains("`kafka.min_insync_replicas` must be from 1 to `kafka.replication` (3)"),
            "{insync}"
        );
        let copies = refusal("target: kafka\nkafka: {replication: 3}");
        assert!(copies.contains("3 copies of a partition need as many brokers"), "{copies}");
        assert!(refusal("target: kafka\nkafka: {brokers: 2}").contains("must be 1 or 3"));
        assert!(refusal("target: kafka\nkafka: {heap: 1MiB}").contains("`kafka.heap` must be from 256MiB"));
        assert!(
            refusal("target: kafka\nkafka: {version: 9.9.9}").contains("`9.9.9` is not one of 4.3.1, 3.6.2")
        );
    }
}
