//! Runs against a cluster that was there before: existing topics, ways to connect, what is wrong with them, and topics that killed
//! runs left.

use super::cluster::{Cluster, PASSWORD, cluster, write};
use super::{Bench, assert_sound, bytes_below};
use crate::support::{Ended, end, vnotch};
use serde_json::Value;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The variable that holds the password of the tests' users.
const VARIABLE: &str = "VNOTCH_TEST_PASSWORD";

/// Held by tests that look for topics that runs left.
static LEFT_TOPICS: Mutex<()> = Mutex::new(());
/// A topic that has a name like those of runs, but is none.
const NOT_OF_A_RUN: &str = "vnotch-0-orders";

/// A run against an address, with these settings of Kafka.
fn run_at(bench: &Bench, address: &str, kafka: &str, more: &[&str]) -> Command {
    let mut command = bench.run(&["--set", &format!("target=kafka://{address}")]);
    command.arg("--set").arg(format!("kafka={kafka}")).env(VARIABLE, PASSWORD);
    let has_trials = more.iter().any(|set| set.starts_with("trials="));
    for set in more.iter().chain(Some(&"trials=1").filter(|_| !has_trials)) {
        command.args(["--set", set]);
    }
    command
}

/// Lets a run measure a topic while others write to it.
fn beside_others(cluster: &Cluster, topic: &str, mut run: Command) -> Ended {
    let (producer, is_over) = (cluster.producer(), AtomicBool::new(false));
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                (0..2).for_each(|partition| write(&producer, topic, partition, 1));
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let ended = end(&mut run);
        is_over.store(true, Ordering::SeqCst);
        ended
    });
    assert_measured(&ended);
    ended
}

fn assert_measured(ended: &Ended) {
    assert!([Some(0), Some(5)].contains(&ended.code), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn an_existing_topic_is_measured_beside_the_records_of_others_and_stays_as_it_was() {
    let (cluster, bench) = (cluster(), Bench::new());
    let topic = "orders.beside-others";
    cluster.create(topic, 2, &[("segment.bytes", "16777216")]);
    write(&cluster.producer(), topic, 0, 500);
    let before = cluster.settings(topic);
    let set = format!("topic={topic}");
    let ended = beside_others(&cluster, topic, run_at(&bench, &cluster.plain(), "{}", &[&set, "trials=2"]));
    assert!(ended.stdout.contains("written to the topic by others"), "{}", ended.stdout);
    let result = bench.result();
    assert_sound(&result, 2);
    for trial in result["points"][0]["trials"].as_array().unwrap() {
        let foreign = trial["integrity"]["foreign"].as_u64().unwrap();
        // What was there before the trial is not read, the 4000 records and more of an earlier trial included.
        assert!((20..500).contains(&foreign), "{}", trial["integrity"]);
        let [consumed, produced] =
            ["consume", "produce"].map(|side| trial[side]["records"].as_u64().unwrap());
        assert!(consumed.abs_diff(produced) < produced / 10, "records of others are no load: {trial}");
        assert!(trial["resources"]["data_max_bytes"].is_null(), "the disk of the cluster is not known");
    }
    let facts = &result["provenance"]["target"]["facts"];
    assert_eq!(facts["topic"], format!("{topic}, which was there before"));
    assert!(facts["topic_config"].as_str().unwrap().contains("segment.bytes=16777216"), "{facts}");
    assert_eq!(cluster.settings(topic), before);
    assert_eq!(cluster.topics()[topic], 2);
}

#[test]
fn members_of_a_group_begin_at_the_end_of_an_existing_topic() {
    let (cluster, bench) = (cluster(), Bench::new());
    let topic = "orders.of-a-group";
    cluster.create(topic, 2, &[]);
    write(&cluster.producer(), topic, 0, 5000);
    let set = format!("topic={topic}");
    let sets = [&set, "consume.assignment=group", "consumers_per_subscription=2", "consume.commit.mode=sync"];
    let ended = beside_others(&cluster, topic, run_at(&bench, &cluster.plain(), "{}", &sets));
    assert!(ended.stdout.contains("written to the topic by others"), "{}", ended.stdout);
    let result = bench.result();
    assert_sound(&result, 1);
    let trial = &result["points"][0]["trials"][0];
    let integrity = &trial["integrity"];
    // The 5000 records of before are not read, and those of others are not checked.
    assert!((20..5000).contains(&integrity["foreign"].as_u64().unwrap()), "{integrity}");
    for none in ["skipped", "double_owned", "redelivered"] {
        assert_eq!(integrity[none], 0, "{none}: {integrity}");
    }
    assert_eq!((&trial["groups"]["members"], &trial["groups"]["lag_end"]), (&2.into(), &0.into()), "{trial}");
    assert_eq!(cluster.topics()[topic], 2);
}

#[test]
fn a_topic_that_is_not_as_the_workload_needs_it_is_refused_and_none_is_made() {
    let (cluster, bench) = (cluster(), Bench::new());
    cluster.create("three", 3, &[]);
    cluster.create("compacted", 2, &[("cleanup.policy", "compact")]);
    for (sets, said) in [
        (&["topic=three"][..], "the topic three has 3 partitions, and `partitions_per_topic` is 2"),
        (&["topic=missing"], "there is no topic missing in the cluster"),
        (&["topic=compacted"], "the topic compacted is compacted"),
        (
            &["topic=three", "partitions_per_topic=3", "durability=synced"],
            "`durability: synced` needs flush.messages=1",
        ),
    ] {
        let refused = end(&mut run_at(&bench, &cluster.plain(), "{}", sets)).refusal(2);
        assert!(refused.contains(said), "{sets:?}: {refused}");
    }
    assert!(!cluster.topics().contains_key("missing"), "looking for a topic does not make it");
    let forbidden = "{properties: {security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN, sasl.username: guest, \
                     sasl.password: 'env:VNOTCH_TEST_PASSWORD'}}";
    let refused = end(&mut run_at(&bench, &cluster.sasl(), forbidden, &["topic=three"])).refusal(1);
    assert!(refused.contains("the user may not see the topic three"), "{refused}");
    let refused = end(&mut run_at(&bench, &cluster.sasl(), forbidden, &[])).refusal(1);
    assert!(refused.contains("the user needs the rights CREATE and DELETE"), "{refused}");
}

#[test]
fn tls_plain_passwords_and_scram_carry_a_workload() {
    let _left_topics = LEFT_TOPICS.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = cluster();
    let tls = format!(
        "{{properties: {{security.protocol: SSL, ssl.ca.location: '{}'}}}}",
        cluster.certificate().display()
    );
    let sasl = |mechanism: &str| {
        format!(
            "{{properties: {{security.protocol: SASL_PLAINTEXT, sasl.mechanism: {mechanism}, sasl.username: bench, \
             sasl.password: 'env:{VARIABLE}'}}}}"
        )
    };
    for (name, address, kafka) in [
        ("tls", cluster.tls(), tls),
        ("plain", cluster.sasl(), sasl("PLAIN")),
        ("scram", cluster.sasl(), sasl("SCRAM-SHA-256")),
    ] {
        let bench = Bench::new();
        assert_measured(&end(&mut run_at(&bench, &address, &kafka, &[])));
        let result = bench.result();
        assert_sound(&result, 1);
        assert!(!result.to_string().contains(PASSWORD), "{name}: the result holds no secret");
    }
    let is_left = |name: &String| name.starts_with("vnotch-") && name != NOT_OF_A_RUN;
    assert!(!cluster.topics().keys().any(is_left), "{:?}", cluster.topics());
}

#[test]
fn a_connection_that_cannot_be_made_is_one_message_that_says_what_to_do() {
    let (cluster, bench) = (cluster(), Bench::new());
    let tls = format!(
        "{{properties: {{security.protocol: SSL, ssl.ca.location: '{}'}}}}",
        cluster.certificate().display()
    );
    let wrong = "{properties: {security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN, sasl.username: nobody, \
                 sasl.password: 'env:VNOTCH_TEST_PASSWORD'}}";
    let unknown = "{properties: {security.protocol: SSL}}";
    for (name, address, kafka, said) in [
        (
            "a plain client at a port for TLS",
            cluster.tls(),
            "{}",
            "`security.protocol` in `kafka.properties`",
        ),
        (
            "a TLS client at a plain port",
            cluster.plain(),
            &tls,
            "that this port speaks TLS (`security.protocol` in `kafka.properties`)",
        ),
        (
            "a certificate that nobody vouches for",
            cluster.tls(),
            unknown,
            "`ssl.ca.location` names the certificate",
        ),
        (
            "wrong credentials",
            cluster.sasl(),
            wrong,
            "check `sasl.mechanism`, `sasl.username` and `sasl.password`",
        ),
    ] {
        let refused = end(&mut run_at(&bench, &address, kafka, &[])).refusal(1);
        assert!(refused.contains(&address) && refused.contains(said), "{name}: {refused}");
    }
}

fn prune(cluster: &Cluster, more: &[&str]) -> Ended {
    let target = format!("kafka://{}", cluster.plain());
    end(vnotch().args(["prune", "--leftovers", "--target", &target]).args(more))
}

#[test]
fn topics_and_groups_that_a_killed_run_left_are_listed_and_removed_by_name_while_they_are_young() {
    let _left_topics = LEFT_TOPICS.lock().unwrap_or_else(PoisonError::into_inner);
    let (cluster, bench) = (cluster(), Bench::new());
    cluster.create(NOT_OF_A_RUN, 1, &[]);
    // A run of long ago, by its id: it has no records.
    let old = "vnotch-3-5f5e10000a1b2c3d";
    cluster.create(old, 1, &[]);
    let old_group = "vnotch-vnotch-3-bench1-group-5f5e10000a1b2c3d";
    cluster.commit(old_group, old);
    let left = {
        let _alone = crate::support::alone();
        let mut run = run_at(&bench, &cluster.plain(), "{}", &["phases.measure=60s"]);
        let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let made = |name: &String| name.starts_with("vnotch-0-") && name != NOT_OF_A_RUN;
        let find = || cluster.topics().into_keys().find(made);
        bench.wait_until("the run has a topic", || find().is_some());
        std::thread::sleep(Duration::from_secs(3));
        run.kill().unwrap();
        run.wait().unwrap();
        find().unwrap()
    };
    let listed = prune(&cluster, &[]);
    assert!(
        listed.stderr.contains(&format!("not removed: {left} (2 partitions, made ")),
        "{}",
        listed.stderr
    );
    assert!(listed.stderr.contains("a run may use it; name it to remove it"), "{}", listed.stderr);
    assert!(listed.stdout.contains(&format!("would remove {old} (1 partition, made ")), "{}", listed.stdout);
    assert!(!format!("{}{}", listed.stdout, listed.stderr).contains("orders"), "no run gives such a name");
    let group = format!("would remove {old_group} (a group without members, made ");
    assert!(listed.stdout.contains(&group), "{}", listed.stdout);
    let removed = prune(&cluster, &["--yes"]).success();
    assert!(removed.contains(&format!("removed {old} (")) && !removed.contains(&left), "{removed}");
    assert!(removed.contains(&format!("removed {old_group} (")), "{removed}");
    assert!(!cluster.groups().iter().any(|group| group == old_group), "{:?}", cluster.groups());
    let other = prune(&cluster, &["--yes", NOT_OF_A_RUN]).refusal(2);
    assert!(other.contains("vnotch-0-orders is no topic or group that a run made"), "{other}");
    let removed = prune(&cluster, &["--yes", &left, "--format", "json"]).success();
    let removed: Value = serde_json::from_str(&removed).unwrap();
    assert_eq!(removed["topics"][0]["topic"], left.as_str(), "{removed}");
    assert!(removed["topics"][0]["written_s_ago"].as_u64().unwrap() < 60, "{removed}");
    bench.wait_until("only topics of others are left", || {
        !cluster.topics().contains_key(&left) && !cluster.topics().contains_key(old)
    });
    assert!(cluster.topics().contains_key(NOT_OF_A_RUN));
    assert_eq!(bytes_below(&bench.path("data")), 0, "the run kept no data here");
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_left() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kafka");
    let dir = bench.path("kafka-dir");
    let mut command = Command::new("bash");
    let output = command.args([script, "up", "--port", &port, "--dir"]).arg(&dir).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("port {port} is in use; stop what listens there")), "{said}");
    assert!(!dir.exists());
}
